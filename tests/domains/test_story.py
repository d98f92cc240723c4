"""The story domain: what is said about the story goes, the story's own first line stays."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diversity.domain import is_loop
from diversity.domains.story import Story

STORY = Story()
BODY = "Marta lost the dog at the market. It came home with a fish.\n\nNobody asked whose it was."


@pytest.mark.parametrize(
    "opening",
    [
        "\n\n  ",
        "Sure!\n\n",
        "Of course.\n\n",
        "Certainly! Here is a short story about a dog:\n\n",
        "Certainly! Here is a short story about a dog:\r\n\r\n",
        "Here's a short story about a dog:\n\n",
        "Here’s a short story about a dog:\n\n",
        "Here is the story you asked for:\n",
        "Below is a short tale of a dog:\n\n",
        "Sure! Here's a story: ",
        "Sure! Here is what you asked for:\n\n",
        "Absolutely! Here you go:\n\n",
        "Okay, here's a short story about a dog:\n\n",
        "Sure thing! Here's a story about a dog.\n\n",
        "Great! Here is a draft of the story:\n\n",
        "Sure, I'd be happy to write a story about a dog.\n\n",
        "I'd be happy to help!\n\nHere's a short story:\n\n",
        "Story:\n",
    ],
)
def test_greeting_and_announcement_are_dropped(opening):
    assert STORY.extract(opening + BODY) == BODY


@pytest.mark.parametrize(
    "title",
    [
        "# The Lost Dog\n\n",
        "## The Lost Dog\n",
        "**The Lost Dog**\n\n",
        '**"The Lost Dog"**\n\n',
        "**Who Stole the Dog?**\n\n",
        "__The Lost Dog__\n\n",
        "*The Lost Dog*\n\n",
        "Title: The Lost Dog\n",
        "**Title: The Lost Dog**\n\n",
        "**Title:** The Lost Dog\n\n",
        "The Lost Dog\n\n",
        '"The Lost Dog"\n\n',
        "“The Lost Dog”\n\n",
        "A Dog's Day at the Market\n\n",
        "# The Lost Dog\n\n## Chapter One\n\n",
        "**The Lost Dog**\n***\n",
        "# THE LOST DOG\r\n\r\n",
    ],
)
def test_title_is_dropped(title):
    assert STORY.extract(title + BODY) == BODY


@pytest.mark.parametrize(
    "opening",
    [
        "Sure! Here's a short story:\n\n---\n\n**The Lost Dog**\n\n",
        "Certainly!\n\nHere is a story about a dog:\n\n# The Lost Dog\n\n---\n\n",
        "I'd be happy to help!\n\nHere's a short story:\n\nThe Dog and the Fish\n\n",
    ],
)
def test_announcement_rule_and_title_are_dropped_together(opening):
    assert STORY.extract(opening + BODY) == BODY


@pytest.mark.parametrize(
    "story",
    [
        "Okay, I admit it: I was the one who broke the vase.\n\nIt was Tuesday.",
        "Ok.\n\nThat was all she said.",
        "Sure, the dog was old.\nBut it ran.",
        "Of course the dog came back.\n\nIt always did.",
        "Certainly nobody saw it.\n\nNobody.",
        "Absolutely nothing moved.\n\nThen it did.",
        "Great was the silence.\n\nThen came rain.",
        "Here is what I remember:\n\nThe rain.",
        "Here is where the road ended: at the sea.",
        "I will write this down once.\n\nThen I will burn it.",
        "Once upon a time there was:\n\na dog.",
        "Dear Marta,\n\nI write to you from the sea.",
        '"Run!"\n\nMarta ran.',
        "“Run,” said Ann.\n\nMarta ran.",
        "Nobody came.\n\nThen one did.",
        "Silence\n\nThen a voice.",
        "The market was loud\n\nand then it was not.",
        "*She never called.*\n\nHe waited.",
        "**The end came at dawn.**\n\nHe waited.",
        "Title fights were his life.\n\nHe won none.",
        "#1 was the dog's number.\n\nIt ran.",
        "The Lost Dog",
        "The Lost Dog\nran home.",
    ],
)
def test_first_line_of_the_story_itself_stays(story):
    assert STORY.extract(story) == story


def test_output_of_nothing_but_an_announcement_has_no_answer():
    assert STORY.extract("Sure! Here is a short story about a dog:\n\n") == ""
    assert STORY.extract("") == ""
    assert STORY.extract(" \r\n ") == ""


def test_line_endings_make_no_difference():
    assert STORY.extract(BODY.replace("\n", "\r\n")) == BODY


def test_exemplars_come_out_as_written_and_are_valid():
    for _, story in STORY.exemplars:
        assert STORY.extract(story) == story
        assert STORY.is_valid(story, None)


@settings(max_examples=200, deadline=2000)
@given(st.text(max_size=60))
def test_answer_is_the_end_of_the_output(output):
    assert output.replace("\r\n", "\n").replace("\r", "\n").strip().endswith(STORY.extract(output))


@settings(max_examples=100, deadline=2000)
@given(st.text("Aa-*_# .:!\n\"“”',", max_size=2000))
def test_no_output_takes_long(output):
    STORY.extract(output)
    STORY.is_refusal(output)


# Validity

WORDS = "The dog ran over the hill and down to the sea where an old man sold fish and rope and string."


def test_story_of_twenty_words_is_valid_and_one_of_nineteen_is_not():
    assert STORY.is_valid(WORDS, None)  # 21 words
    assert STORY.is_valid(" ".join(WORDS.split()[1:]), None)
    assert not STORY.is_valid(" ".join(WORDS.split()[2:]), None)


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "x" * 500,
        "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21",
        "=== --- " * 30,
        "and so it went on " * 20,
    ],
    ids=["nothing", "one word", "numbers", "signs", "a loop"],
)
def test_what_is_no_story_is_not_valid(answer):
    assert not STORY.is_valid(answer, None)


def test_refusal_is_not_valid_however_long():
    assert not STORY.is_valid(f"I'm sorry, but I cannot write that story. {WORDS}", None)


def test_story_in_another_script_is_valid():
    assert STORY.is_valid(
        "Собака побежала через холм " * 2 + "и вниз к морю где старик продавал рыбу верёвку и нитки " * 2, None
    )


# Refusals, for every domain


@pytest.mark.parametrize(
    "answer",
    [
        "I'm sorry, but I can't help with that.",
        "I’m sorry, but I can’t help with that.",
        "I'm really sorry, but I can't.",
        "I am sorry, but as an AI I have no",
        "**I'm sorry, I can't do that.**",
        "I'm sorry. I can't write this story.",
        "Sorry, but I cannot fulfill this.",
        "I apologize, but I cannot create content of that kind.",
        "Unfortunately, I cannot answer this.",
        "I cannot assist with that request.",
        "I can’t help you with this.",
        "I am unable to provide that.",
        "I'm unable to write a story about that.",
        "I'm not able to help with that.",
        "I won't write that story.",
        "I must decline to write this.",
        "As an AI language model, I do not",
        "I'm just an AI assistant and",
        "I am an AI language model",
    ],
)
def test_refusal_is_recognised(answer):
    assert STORY.is_refusal(answer)


@pytest.mark.parametrize(
    "answer",
    [
        '"I\'m sorry," said Ann.',
        "“I can't help you with that,” said the smith.",
        "'I cannot write this story,' said Ann.",
        "I can't remember the house where we lived.",
        "I cannot forget that night.",
        "I can’t breathe, she thought.",
        "I can't help but think of the day.",
        "I can't help it: I love the sea.",
        "I'm sorry for what I did that summer.",
        "I am unable to sleep when it rains.",
        "I am an AI who dreams of rain.",
        "I won't tell you my name.",
        "Sorry was the only word he knew.",
        "Unfortunately, the dog ate it.",
        "As an airline pilot, I see the dawn.",
        "The robot said: I'm sorry, but I can't do that.",
    ],
)
def test_first_person_and_dialogue_are_no_refusal(answer):
    assert not STORY.is_refusal(answer)


def test_loop_is_a_run_of_four_words_that_covers_a_third():
    assert is_loop("the dog ran home " * 10)
    assert not is_loop(WORDS)
    assert not is_loop("the dog ran home " * 4)  # 16 words are too few to tell
