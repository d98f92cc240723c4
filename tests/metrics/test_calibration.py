"""Confidence by agreement against correctness, on hand-made votes."""

import numpy as np
import pytest

from diversity.errors import Undefined
from diversity.registry import find_metric
from diversity.views import Answers


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


def likely(logs, tokens, right):
    """Outputs of which each has a log-probability; flags are of all outputs."""
    right = np.array(right, dtype=bool)
    return Answers(
        ["x"] * len(logs),
        qualities=right.astype(float).tolist(),
        valid=right,
        flags={"valid": right, "empty": np.zeros(len(logs), dtype=bool)},
        log_probabilities=np.array(logs, dtype=float),
        output_tokens=None if tokens is None else np.array(tokens, dtype=float),
    )


@pytest.mark.parametrize(
    ("behaviours", "outputs", "expected"),
    [
        (["7"] * 4, 4, 1.0),
        (["7", "8", "9"], 3, 1 / 3),
        (["7", "7", "9", "9"], 4, 0.5),  # of two answers given alike one is right by chance
        # H of 3/4, 1/4 is 0.562335 nats
        (["7", "7", "7", "9"], 4, 0.25**0.25 * 0.75**0.75),
        # An output without an answer is a class of its own, be it empty or not.
        (["7", "7", None], 5, 0.4**0.4 * 0.2**0.6),
    ],
)
def test_confidence_by_semantic_entropy(behaviours, outputs, expected):
    answers = given(behaviours, [0] * len(behaviours), outputs=outputs)

    assert value("entropy_confidence", answers) == pytest.approx(expected, abs=1e-12)
    assert value("entropy_confidence", answers) <= value("modal_share", answers) + 1e-12 or None in behaviours


def test_confidence_by_the_most_probable_output_whole_and_by_token():
    # The short one is likelier as a whole (e^-4), the long one by token (e^-0.5).
    answers = likely([-4.0, -5.0, -9.0], [4, 10, 9], [0, 1, 1])

    assert value("sequence_confidence", answers) == pytest.approx(np.exp(-4.0), abs=1e-12)
    assert value("sequence_accuracy", answers) == 0
    assert value("token_confidence", answers) == pytest.approx(np.exp(-0.5), abs=1e-12)
    assert value("token_accuracy", answers) == 1
    # Two alike: half.
    assert value("sequence_accuracy", likely([-4.0, -4.0], [1, 1], [0, 1])) == 0.5


def test_without_log_probabilities_or_tokens_nothing_is_said():
    with pytest.raises(Undefined, match="no log-probabilities"):
        value("sequence_confidence", given(["7", "7"], [1, 1]))
    with pytest.raises(Undefined, match="how many tokens"):
        value("token_confidence", likely([-1.0, -2.0], None, [1, 1]))
