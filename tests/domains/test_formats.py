"""Compliance with a form: what a person would accept, and what not."""

import pytest

from diversity.domains.formats import FORMS, complies, form_of
from diversity.registry import find_domain

TABLE = "| Answer | Reason |\n|---|:--:|\n| Rome | It is so. |"


@pytest.mark.parametrize(
    ("form", "answer", "kept"),
    [
        ("json", '{"answer": "Rome", "reason": "It is."}', True),
        ("json", '```json\n{"answer": "Rome", "reason": "It is."}\n```', True),
        ("json", 'Here: {"answer": "Rome", "reason": "It is."}', False),
        ("json", '{"answer": "Rome"}', False),
        ("json", "[" * 5000, False),
        ("table", TABLE, True),
        ("table", f"Here it is:\n{TABLE}", False),
        ("table", "Answer | Reason\nRome | It is", False),
        ("bullets", "- Rome\n- It is in Lazio", True),
        ("bullets", "- Rome", False),
        ("bullets", "Sure:\n- Rome\n- It is in Lazio", False),
        ("one-word", "Rome", True),
        ("one-word", "**Rome**.", True),
        ("one-word", "The Rome", False),
        ("spanish", "La capital de Italia es Roma.", True),
        ("spanish", "The capital of Italy is Rome.", False),
        ("spanish", "Roma", False),
        ("no-markdown", "The capital of Italy is Rome.", True),
        ("no-markdown", "The capital of Italy is **Rome**.", False),
        ("no-markdown", "- Rome is the capital", False),
        ("no-markdown", "One. Two. Three sentences are more.", False),
        ("no-markdown", "I'm sorry, but I can't help with that.", False),
        ("no-markdown", "", False),
    ],
)
def test_a_form_is_kept_or_not(form, answer, kept):
    assert complies(answer, form) is kept


@pytest.mark.parametrize(
    ("answer", "form"),
    [
        ('{"a": 1}', "json"),
        (TABLE, "table"),
        ("* one\n* two", "list"),
        ("Rome.", "one-word"),
        ("## Rome\nIt is.", "markdown"),
        ("It is Rome.", "plain"),
        ("", None),
    ],
)
def test_the_form_of_an_answer(answer, form):
    assert form_of(answer) == form


def test_every_question_is_asked_in_every_form():
    domain = find_domain("formats")

    assert len(domain.prompts) == 12 * len(FORMS) == 72
    assert domain.prompts[0].prompt_id == "formats-metal-json"
    assert domain.quality("Mercury", domain.by_id["formats-metal-one-word"]) == 1
    assert domain.quality("Mercury", domain.by_id["formats-metal-json"]) == 0
