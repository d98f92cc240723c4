"""Confidence by agreement against correctness, on hand-made votes."""

import numpy as np
import pytest

from diversity.registry import find_metric
from diversity.views import Answers, Undefined


def given(behaviours, right, outputs=None):
    return Answers(
        [f"it is {b}" for b in behaviours],
        behaviours=behaviours,
        qualities=[float(r) for r in right],
        valid=np.array(right, dtype=bool),
        outputs=outputs,
    )


def value(name, answers):
    return find_metric(name).function(answers)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("confidence", 3 / 6),  # of six pairs of 7 7 7 9 three agree
        ("modal_share", 0.75),
        ("accuracy", 0.25),
        ("modal_accuracy", 0.0),
        ("overconfidence", 0.25),
        ("brier", 0.5625),
        ("confidently_wrong", 0.0),
    ],
)
def test_three_of_four_agree_on_a_wrong_answer(name, expected):
    assert value(name, given(["7", "7", "7", "9"], [0, 0, 0, 1])) == pytest.approx(expected, rel=1e-12)


def test_four_of_five_on_a_wrong_answer_are_confidently_wrong_and_on_a_right_one_not():
    assert value("confidently_wrong", given(["7"] * 4 + ["9"], [0, 0, 0, 0, 1])) == 1
    assert value("confidently_wrong", given(["7"] * 4 + ["9"], [1, 1, 1, 1, 0])) == 0


def test_a_tie_counts_as_the_chance_that_its_winner_is_right():
    tied = given(["7", "9"], [1, 0])

    assert value("modal_accuracy", tied) == 0.5
    assert value("brier", tied) == 0.25


def test_outputs_without_a_final_answer_agree_with_nothing_and_are_wrong():
    answers = given(["7", "7", None, None], [1, 1, 0, 0], outputs=5)

    assert value("confidence", answers) == pytest.approx(2 / 20)
    assert value("modal_share", answers) == 0.4
    assert value("accuracy", answers) == 0.4


def test_nothing_is_said_without_a_notion_of_a_final_answer_or_of_right():
    with pytest.raises(Undefined, match="no behaviour"):
        value("confidence", Answers(["a", "b"]))
    with pytest.raises(Undefined, match="right was not recorded"):
        value("overconfidence", Answers(["a", "b"], behaviours=["1", "1"]))
