"""Quality and diversity apart: values that can be checked on paper."""

import numpy as np
import polars as pl
import pytest

import diversity
from diversity.errors import Undefined
from diversity.metrics import quality
from diversity.stats import pair_mean
from diversity.views import Answers


def answers(behaviours, valid, *, outputs=None, equal_valid=None):
    return Answers(
        [f"text {i}" for i in range(len(behaviours))],
        behaviours=behaviours,
        valid=np.array(valid, dtype=bool),
        outputs=outputs,
        equal_valid=equal_valid,
    )


def test_only_pairs_that_are_valid_and_different_count():
    # Valid: a, a, b. Of the six pairs two are valid and different.
    found = pair_mean(quality.functional_effective_pairs(answers("aabc", [1, 1, 1, 0])))[0]

    assert found == pytest.approx(2 / 6)


def test_an_output_without_an_answer_is_one_that_is_not_valid():
    found = pair_mean(quality.functional_effective_pairs(answers("aab", [1, 1, 1], outputs=4)))[0]

    assert found == pytest.approx(2 / 6)
    assert quality.functional_effective_share(answers("aab", [1, 1, 1], outputs=4)) == 2 / 4


def test_being_wrong_in_more_ways_adds_nothing():
    right = answers("aaaa", [1, 1, 1, 1])
    wrong = answers("abcd", [1, 0, 0, 0])

    assert quality.functional_effective_pairs(right).sum() == quality.functional_effective_pairs(wrong).sum() == 0


def test_meaning_differs_by_degrees():
    unit = np.array([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
    found = Answers(["a", "b", "c"], encode=lambda texts: unit, valid=np.array([True, True, False]))

    # Without a calibration likeness is the cosine: one valid pair of three, at 1 - 0.6.
    assert pair_mean(quality.semantic_effective_pairs(found))[0] == pytest.approx(0.4 / 3)


def test_behaviours_among_valid_answers_are_read_at_equal_k():
    # Of a, a, b drawn two: the pairs aa, ab, ab show 1, 2 and 2 behaviours.
    assert quality.valid_behaviours(answers("aabc", [1, 1, 1, 0], equal_valid=2)) == pytest.approx(5 / 3)
    assert quality.valid_behaviours(answers("aabc", [1, 1, 1, 0])) == pytest.approx(2)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (answers("abc", [1, 0, 0]), "1 valid answers"),
        (Answers(["x", "y"], behaviours=["1", "2"]), "was not recorded"),
        (Answers(["x", "y"], valid=np.array([True, True])), "no behaviour"),
        (answers("a", [1]), "1 outputs, 2 are needed"),
    ],
)
def test_what_cannot_be_told_is_undefined(given, said):
    with pytest.raises(Undefined, match=said):
        quality.valid_behaviours(given)


def side(checkpoint, outputs, **columns):
    return pl.DataFrame(
        {
            "checkpoint": checkpoint,
            "domain": "factual",
            "prompt_id": "factual-001",
            "sample_index": range(len(outputs)),
            "output": outputs,
            **columns,
        }
    )


def test_k_is_the_smaller_number_of_valid_answers_of_the_two_checkpoints():
    pre = side("pre", ["Tokyo", "Tokyo.", "Kyoto", "Osaka"])
    post = side("post", ["Tokyo"] * 4)
    names = ["valid_behaviours", "functional.effective_pairs", "functional.similarity", "valid"]

    frame = diversity.score(pl.concat([pre, post]), metrics=names).frame
    found = {(r["checkpoint"], r["metric"]): r["value"] for r in frame.filter(frame["condition"] == "all").to_dicts()}

    assert found["pre", "valid"] == 0.5
    assert found["pre", "functional.similarity"] == pytest.approx(1 / 6)
    assert found["pre", "functional.effective_pairs"] == found["post", "functional.effective_pairs"] == 0
    assert found["pre", "valid_behaviours"] == found["post", "valid_behaviours"] == 1
    # Told of all outputs: no second row under another condition.
    assert frame.filter(frame["metric"] == "valid_behaviours").height == 2


def test_columns_of_the_samples_win_over_what_the_domain_finds():
    frame = side("pre", ["Tokyo", "Kyoto", "Kyoto"], behaviour=["1", "1", "1"], valid=[True, True, True])

    scores = diversity.score(frame, metrics=["functional.similarity", "functional.effective_share"]).frame

    assert scores.filter(scores["metric"] == "functional.similarity")["value"].to_list()[0] == 1
    assert scores.filter(scores["metric"] == "functional.effective_share")["value"].to_list() == [pytest.approx(1 / 3)]


def test_prompts_without_a_notion_of_behaviour_are_not_counted_as_lost(make_samples):
    texts = ["Yes, they should be gone for good.", "No, children learn a lot by it.", "It depends on the child alone."]
    asked = ["dialogue-001", "dialogue-003", "dialogue-006", "dialogue-012"]  # two for advice, two for an opinion
    sides = [make_samples(texts, checkpoint=c, domain="dialogue", prompts=asked, seed=i) for i, c in enumerate("ab")]

    judged = diversity.compare(*sides, metrics=["functional", "lexical"]).verdicts()

    (told,) = judged.filter(judged["facet"] == "functional").to_dicts()
    assert (told["n_prompts"], told["prompts_lost"]) == (2, 0)
