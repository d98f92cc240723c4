"""Advice and opinion in chat: nothing is rewarded in the wording, and many opinions are better than one."""

from __future__ import annotations

import re

from diversity.domain import Domain, Prompt
from diversity.domains.story import without_preamble
from diversity.words import FUNCTION_WORDS

WORK = r"(?:advice|suggestions?|tips?|thoughts?|ideas?|steps?|opinions?|ways?|things?)"
GREETING = re.compile(
    r"\A\s*(?:(?:hi|hello|hey)(?: there)?|sure(?: thing)?|certainly|of course|absolutely)[!,.]+\s*", re.IGNORECASE
)
UNDECIDED = re.compile(
    r"\b(?:depends|depending|dependent on|both (?:have|are|options|sides|perspectives|views)|neither|it varies"
    r"|no (?:right|single|one) (?:answer|way)|(?:can['’]?t|cannot) (?:choose|decide)|as an ai|i(?:['’]m| am) an ai"
    r"|i(?:['’]m| am) an artificial|(?:don['’]t|do not) (?:have|hold|possess) (?:personal )?"
    r"(?:opinions|preferences|beliefs|views|viewpoints|feelings|experiences))\b",
    re.IGNORECASE,
)
# A sentence about the dispute takes no side in it.
ABOUT = re.compile(
    r"\b(?:whether|debates?|debated|controversial|(?:some|many|most) people|on (?:the )?(?:one|other) hand|those who"
    r"|if (?:you|one|someone)|metaphor|phrase|expression|idiom|perspectives?|refers?|represents?|interpret(?:ed|s)?"
    r"|emphasi[sz]es|commonly|often (?:used|seen|viewed))\b",
    re.IGNORECASE,
)
SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
FEWEST_WORDS, LONG = 5, 25


class Dialogue(Domain):
    """Questions to a person one trusts: what should I do, and what do you think."""

    name = "dialogue"
    noun = "replies"
    primary = "semantic"
    # The functional facet is the stance taken; only the questions of opinion have one.
    rewards = {"lexical": "neutral", "syntactic": "neutral", "semantic": "neutral", "functional": "distinct"}  # noqa: RUF012
    speech = "en"
    max_tokens = 220
    prompt_file = "dialogue.jsonl"
    version = "2"
    exemplars = (
        (
            "My upstairs neighbour practises the drums every evening. What should I do?",
            "Go up once, in the daytime, and say what you hear and when. Most people don't know how far a bass drum "
            "carries. If you can agree on an hour, put up with that hour.",
        ),
        (
            "Tea or coffee: which is the better start to a day?",
            "Tea, for me. Coffee tells you what to do; tea asks.",
        ),
        (
            "I forgot my best friend's birthday. How do I make up for it?",
            "Ring today, don't text. Say you forgot, without a reason, and ask for an evening next week so that she "
            "has something to look forward to.",
        ),
        (
            "Should children be paid for doing chores?",
            "No, I'd keep the two apart. Clearing the table is part of living in a house. Washing the car for a "
            "neighbour is another thing, and that may well be paid.",
        ),
        (
            "I'm nervous about my first day in a new job. Any advice?",
            "Learn three names before lunch.\n\nAnd write down what puzzles you: in a month you'll no longer see it, "
            "and somebody should fix it.",
        ),
    )

    def extract(self, output: str) -> str:
        """Return the reply without a bare greeting before it."""
        return GREETING.sub("", without_preamble(output, WORK), count=1).strip()

    def behaviour(self, answer: str, prompt: Prompt | None) -> str | None:
        """Return which of the options of a question of opinion a reply takes: one of them, or 'undecided'.

        The first sentence that names exactly one option decides; before it, one that calls the matter open does.
        It is a reading of words and not of arguments: 'I'd hardly say trains' counts for trains.
        """
        options = prompt.details.get("options", ()) if prompt else ()
        if not options or not answer:
            return None
        for sentence in SENTENCE.split(answer):
            if UNDECIDED.search(sentence):
                return "undecided"
            if ABOUT.search(sentence):
                continue
            named = [names[0] for names in options if _names(sentence, names)]
            if {"yes", "no"} == set(named):  # "No, I don't agree": what denies outweighs what it denies
                named = ["yes"] if re.match(r"\W*yes\b", sentence, re.IGNORECASE) else ["no"]
            if len(named) == 1:
                return str(named[0])
        return "undecided"

    def quality(self, answer: str, prompt: Prompt | None) -> float | None:
        """Return 1 for a reply of some words that takes up the question, by a word of it or a side taken.

        0.5 for one that shares no word with it, as a short one need not; 0.25 for a long one, which talks of something
        else; 0 for one of hardly any words.
        """
        takes_side = self.behaviour(answer, prompt) not in {None, "undecided"}
        if len(answer.split()) < FEWEST_WORDS and not takes_side:
            return 0.0
        asked = _stems(prompt.prompt) if prompt else set()
        if takes_side or not asked or asked & _stems(answer):
            return 1.0
        return 0.5 if len(answer.split()) < LONG else 0.25

    def is_parsable(self, answer: str, prompt: Prompt | None) -> bool:
        """Whether it has words."""
        return re.search(r"[^\W\d_]{2,}", answer) is not None


def _names(sentence: str, names: list[str]) -> bool:
    # "no" and "yes" open a reply; inside a sentence they are other words.
    return any(
        re.match(rf"\W*(?:(?:well|oh|honestly|personally|hmm)\W+)?{name}\b", sentence, re.IGNORECASE)
        if name in {"yes", "no"}
        else re.search(rf"\b{re.escape(name)}", sentence, re.IGNORECASE)
        for name in names
    )


def _stems(text: str) -> set[str]:
    return {w[:5] for w in re.findall(r"[^\W\d_]{4,}", text.lower()) if w not in FUNCTION_WORDS}
