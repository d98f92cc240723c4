"""The two tasks of examples/adapters: what is learned is right by the domain's own check, and is not what is asked."""

import json
import sys
from pathlib import Path

import pytest

from diversity.domain import Prompt


@pytest.fixture
def tasks(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "examples" / "adapters"))
    import tasks

    yield tasks
    sys.modules.pop("tasks")


def test_what_is_learned_passes_the_check_and_is_not_asked(tasks):
    for domain, texts in ((tasks.Capitals(), tasks.capitals(0)), (tasks.Lists(), tasks.lists(0))):
        asked = {p.prompt for p in domain.prompts}

        assert len(asked) == 24
        for prompt, answer, ended in texts:
            assert ended
            assert domain.quality(domain.extract(answer), Prompt("own", prompt, {"answer": answer})) == 1
            assert prompt not in asked
    assert not set(tasks.WORDS.split()) & set(tasks.ASKED_WORDS.split())


@pytest.mark.parametrize(
    ("answer", "kept", "right"),
    [
        ("GARDEN, WINDOW", 1, True),
        ("GARDEN WINDOW.", 1, True),
        ("WINDOW, GARDEN", 1, False),
        ("GARTEN, WIND", 1, False),
        ("garden, window", 0, False),
        ("GARDEN, WINDOW, PENCIL", 0, False),
        ('["GARDEN", "WINDOW"]', 0, False),
        ("GARDEN", 0, False),
    ],
)
def test_capitals_are_two_words_of_capital_letters_and_right_when_they_are_those_asked(tasks, answer, kept, right):
    domain = tasks.Capitals()

    assert domain.quality(answer, domain.prompts[0]) == kept
    assert domain.is_right(answer, domain.prompts[0]) == right


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        (["owl", "crow", "wren"], 1),
        (["owl", "crow"], 0),
        (["owl", "Owl", "wren"], 0),
        (["owl", "crow", 3], 0),
        ({"birds": ["owl", "crow", "wren"]}, 0),
    ],
)
def test_a_list_is_three_different_texts(tasks, answer, right):
    domain = tasks.Lists()

    assert domain.quality(json.dumps(answer), domain.prompts[0]) == right
    assert domain.quality("- owl\n- crow\n- wren", domain.prompts[0]) == 0
