"""Classes of meaning: linkage, judges, what is counted of them."""

from itertools import permutations
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diversity.calibration import Calibration
from diversity.errors import InputError, MissingExtra, Undefined
from diversity.metrics import clusters
from diversity.metrics.clusters import Entailment, classes, linked, utility, utility_k
from diversity.registry import find_metric
from diversity.scoring import score
from diversity.stats import pair_mean
from diversity.views import Answers

PROMPT = "Name a colour."
COLOURS = ("Red.", "blue", "It is red", "Blue!", "red", "green")


def by_colour(texts, prompt):
    """A judge that finds the colour."""
    assert prompt == PROMPT
    return [next(c for c in ("red", "blue", "green") if c in text.lower()) for text in texts]


def judged(texts=COLOURS, judge=by_colour, **details):
    return Answers(texts, judge=judge, prompt=PROMPT, **details)


def value(name, answers):
    result = find_metric(name).function(answers)
    return pair_mean(result)[0] if isinstance(result, np.ndarray) else result


def unit(*angles):
    """Directions in the plane, by their angle in degrees."""
    return np.array([[np.cos(np.radians(a)), np.sin(np.radians(a))] for a in angles])


def test_counts_entropy_and_collisions_of_three_classes():
    # red 3, blue 2, green 1: entropy is that of 1/2, 1/3, 1/6; equal pairs 3 + 1 of 15
    assert value("meanings", judged()) == pytest.approx(3)
    assert value("semantic_entropy", judged()) == pytest.approx(1.0114042647073518, abs=1e-12)
    assert value("same_meaning", judged()) == pytest.approx(4 / 15)


def test_classes_that_agree_have_no_entropy():
    answers = judged(("red", "Red", "RED"))
    assert value("semantic_entropy", answers) == 0
    assert value("meanings", answers) == 1
    assert value("same_meaning", answers) == 1


def test_a_judge_sees_each_different_answer_once_in_alphabetical_order():
    seen = []

    def judge(texts, prompt):
        seen.append((texts, prompt))
        return [0] * len(texts)

    classes(judged(("b", "a", "b"), judge))
    assert seen == [(("a", "b"), PROMPT)]


def test_a_judge_is_heard_where_the_embeddings_say_otherwise():
    alike = unit(0, 1, 2)
    answers = Answers(("a", "b", "c"), encode=lambda _: alike)
    assert value("meanings", answers) == 1
    apart = Answers(("a", "b", "c"), encode=lambda _: alike, judge=lambda texts, prompt: range(3))
    assert value("meanings", apart) == 3


def test_a_judge_that_cannot_tell_makes_the_score_undefined_not_diverse():
    answers = judged(judge=lambda texts, prompt: [None if t == "green" else 1 for t in texts])
    with pytest.raises(Undefined, match="the judge could not tell for 1 of 6 different answers"):
        value("meanings", answers)


def test_a_judge_must_give_a_label_for_each_answer():
    with pytest.raises(InputError, match="2 labels for 6 answers: it must return one label for each"):
        value("meanings", judged(judge=lambda texts, prompt: [1, 2]))


def test_linkage_joins_while_the_mean_similarity_is_a_half_or_more():
    # Items 0 and 1 join first; their mean similarity to item 2 is 0.5, or just below it.
    at = np.array([[1, 0.9, 0.6], [0.9, 1, 0.4], [0.6, 0.4, 1]])
    assert linked(at).tolist() == [0, 0, 0]
    below = np.array([[1, 0.9, 0.6], [0.9, 1, 0.398], [0.6, 0.398, 1]])
    assert linked(below).tolist() == [0, 0, 1]
    assert linked(np.eye(3)).tolist() == [0, 1, 2]
    assert linked(np.ones((1, 1))).tolist() == [0]
    assert linked(np.ones((0, 0))).tolist() == []


def test_a_chain_of_small_steps_is_not_one_class():
    # Single linkage would join all: each is 0.6 like the next, and unlike the rest.
    chain = np.eye(6) + 0.6 * (np.eye(6, k=1) + np.eye(6, k=-1))
    assert linked(chain).max() > 0


def test_the_threshold_is_a_calibrated_similarity_of_a_half():
    # cosine of 60 degrees is 0.5
    assert value("meanings", Answers(("a", "b"), encode=lambda _: unit(0, 59.9))) == 1
    assert value("meanings", Answers(("a", "b"), encode=lambda _: unit(0, 60.1))) == 2
    curve = Calibration(form="anchored", parameters={"c0": 0.5})  # z = 0.5 at a cosine of 0.75, 41.4 degrees
    assert value("meanings", Answers(("a", "b"), encode=lambda _: unit(0, 41), calibration=curve)) == 1
    assert value("meanings", Answers(("a", "b"), encode=lambda _: unit(0, 42), calibration=curve)) == 2


@given(angles=st.lists(st.integers(0, 180), min_size=2, max_size=7), seed=st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_the_order_of_answers_does_not_move_a_class(angles, seed):
    texts = [f"at {a}" for a in angles]
    order = np.random.default_rng(seed).permutation(len(angles))
    first = classes(Answers(texts, encode=lambda _: unit(*angles)))
    moved = [angles[i] for i in order]
    second = classes(Answers([texts[i] for i in order], encode=lambda _: unit(*moved)))
    same = np.equal.outer(first, first)[np.ix_(order, order)]
    assert (same == np.equal.outer(second, second)).all()


@pytest.mark.parametrize("name", ["meanings", "semantic_entropy"])
@given(angles=st.lists(st.integers(0, 180), min_size=2, max_size=6))
@settings(max_examples=40, deadline=None)
def test_saying_everything_twice_changes_no_class(name, angles):
    texts = [f"at {a}" for a in angles]
    once = value(name, Answers(texts, encode=lambda _: unit(*angles)))
    twice = value(name, Answers(texts * 2, encode=lambda _: unit(*angles, *angles)))
    assert twice == pytest.approx(once, abs=1e-12)


def test_utility_in_the_order_given():
    # golden_metrics.json: (5 + 0.8^2 * 6 + 0.8^3 * 9) / (1 + 0.8 + 0.64 + 0.512)
    assert utility([0, 0, 1, 2], [5, 7, 6, 9]) == pytest.approx(4.555555555555555, abs=1e-12)
    assert utility(["a"], [3]) == pytest.approx(3)
    assert utility([0, 0], [4, 4], patience=0.5) == pytest.approx(4 / 1.5)


def test_utility_k_is_the_mean_over_all_orders():
    texts, labels, qualities = ("a", "b", "c", "d", "e"), [0, 0, 1, 2, 1], [5, 7, 6, 9, 1]
    answers = Answers(texts, judge=lambda texts, prompt: labels, qualities=qualities)
    expected = np.mean([utility([labels[i] for i in p], [qualities[i] for i in p]) for p in permutations(range(5))])
    assert utility_k(answers) == pytest.approx(expected, abs=1e-12)


def test_utility_k_of_one_answer_is_its_quality_and_needs_one():
    assert utility_k(Answers(("a",), judge=lambda texts, prompt: [0], qualities=[0.7])) == pytest.approx(0.7)
    with pytest.raises(Undefined, match="no quality was recorded"):
        utility_k(judged())


MEANING = {"yes": 1, "of course": 1, "sure": 1, "no": 2, "never": 2, "perhaps": 3}


class Nli:
    """Stands in for a cross-encoder: entailment in column 1 where two answers mean the same."""

    def __init__(self, meaning=MEANING, prefix=""):
        self.meaning, self.prefix, self.pairs = meaning, prefix, []

    def __call__(self, pairs):
        self.pairs += pairs
        strip = len(self.prefix)
        return np.array([[0.5, self.meaning[a[strip:]] == self.meaning[b[strip:]], 0.2] for a, b in pairs])


def test_entailment_both_ways_makes_a_class():
    nli = Nli(prefix="Will it rain? ")
    texts = tuple(MEANING)
    answers = Answers(texts, judge=Entailment(nli, entails=1), prompt="Will it rain?")
    assert classes(answers).tolist() == [0, 0, 0, 1, 1, 2]
    assert len(set(nli.pairs)) == len(nli.pairs) == 30
    assert ("Will it rain? yes", "Will it rain? no") in nli.pairs


def test_entailment_one_way_makes_none():
    def general(pairs):
        return np.array([[0.5, float(len(a) > len(b))] for a, b in pairs])

    assert Entailment(general, entails=1)(("a", "bbb", "cc"), None) == [0, 1, 2]


def test_entailment_of_one_answer_asks_nothing():
    assert Entailment(Nli(), entails=1)(("yes",), None) == [0]


def test_scores_that_are_not_finite_are_an_error():
    with pytest.raises(InputError, match="scores that are not finite"):
        Entailment(lambda pairs: np.full((len(pairs), 3), np.nan), entails=0)(("a", "b"), None)


def loaded(monkeypatch, labels):
    """Load a stand-in cross-encoder with these labels."""
    import sys

    made = SimpleNamespace(
        config=SimpleNamespace(id2label=labels),
        predict=lambda pairs, show_progress_bar: Nli()(pairs),
    )
    monkeypatch.setattr(clusters, "find_spec", lambda name: object())
    monkeypatch.setitem(sys.modules, "sentence_transformers", SimpleNamespace(CrossEncoder=lambda name: made))
    return Entailment.load("stand-in")


def test_a_cross_encoder_is_loaded_with_the_column_of_its_entailment_label(monkeypatch):
    judge = loaded(monkeypatch, {0: "CONTRADICTION", 1: "ENTAILMENT", 2: "NEUTRAL"})
    assert judge(("no", "of course", "yes"), None) == [0, 1, 1]
    assert judge.signature == "entailment:stand-in"


@pytest.mark.parametrize("labels", [{0: "LABEL_0", 1: "LABEL_1"}, {}, None, {0: "entailment", 1: "entail"}])
def test_a_cross_encoder_without_an_entailment_label_is_refused(monkeypatch, labels):
    with pytest.raises(InputError, match="of which one must be entailment"):
        loaded(monkeypatch, labels)


def test_a_label_of_no_entailment_is_not_taken_for_it(monkeypatch):
    with pytest.raises(InputError, match="not_entailment"):
        loaded(monkeypatch, {0: "not_entailment", 1: "other"})


def test_a_missing_package_names_the_command_that_installs_it(monkeypatch):
    monkeypatch.setattr(clusters, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra) as caught:
        Entailment.load("any")
    assert str(caught.value) == (
        'an NLI judge needs sentence_transformers and torch, not installed: pip install "diversity-shift[models]"'
    )


class Directions:
    """Stands in for an embedding model: all texts lie in one direction."""

    name, fingerprint, signature = "one", "000000", "emb:one#000000|win:1"

    def encode(self, texts, on_progress=None):
        return np.tile([1.0, 0.0], (len(texts), 1))

    def how_read(self, texts):
        return np.array([2 if "long" in t else 1 for t in texts]), np.full(len(texts), 0.25)


def samples(outputs, **columns):
    frame = pl.DataFrame(
        {
            "checkpoint": "a",
            "domain": "story",
            "prompt_id": "p",
            "prompt": PROMPT,
            "sample_index": range(len(outputs)),
            "output": outputs,
        }
    )
    return frame.with_columns(**{name: pl.Series(name, values) for name, values in columns.items()})


def found(scores, metric, condition="all"):
    rows = scores.frame.filter(
        (pl.col("metric") == metric) & (pl.col("condition") == condition) & (pl.col("prompt_id") == "p")
    )
    assert rows.height == 1
    return rows.row(0, named=True)


def test_a_judge_given_to_score_is_asked_with_the_prompt_and_once():
    asked = []

    def judge(texts, prompt):
        asked.append(texts)
        return by_colour(texts, prompt)

    names = ["meanings", "semantic_entropy", "same_meaning", "utility_k"]
    scores = score(
        samples(COLOURS, quality=[1.0] * 6, valid=[True] * 6),
        metrics=names,
        embedder=Directions(),
        judge=judge,
        conditions=["all", "valid"],
    )
    assert found(scores, "meanings")["value"] == 3
    assert found(scores, "utility_k")["value"] is not None
    assert found(scores, "meanings", "valid")["value"] == 3
    assert len(asked) == 1
    assert scores.provenance["judge"].endswith("judge")


def test_the_provenance_says_which_judge_or_none():
    judge = Entailment(Nli(prefix=f"{PROMPT} "), entails=1, name="stub")
    assert (
        score(samples(["yes", "no"]), metrics=["meanings"], embedder=Directions(), judge=judge).provenance["judge"]
        == "entailment:stub"
    )
    scores = score(samples(["yes", "no"]), metrics=["meanings"], embedder=Directions())
    assert scores.provenance["judge"] == ""
    assert found(scores, "meanings")["value"] == 1


def test_answers_without_a_quality_have_no_utility():
    scores = score(samples(["yes", "no"], quality=[1.0, None]), metrics=["utility_k"], embedder=Directions())
    assert found(scores, "utility_k")["value"] is None


def test_windows_and_unknown_tokens_are_counted_where_a_model_reads():
    scores = score(samples(["a long one", "short"]), metrics=["guard", "vendi"], embedder=Directions())
    assert found(scores, "windowed")["value"] == 0.5
    assert found(scores, "unknown_tokens")["value"] == 0.25
    without = score(samples(["a long one", "short"]), metrics=["guard"])
    assert found(without, "windowed")["value"] is None


def test_what_the_length_matched_condition_cuts_and_leaves_out_is_counted():
    # 20 words, 40 words and an empty output: a fifth of the way from 20 to 40 is a window of 24.
    short, long = "word " * 20, "word " * 40
    scores = score(samples([short, long, ""]), metrics=["guard"])
    assert found(scores, "cut")["value"] == pytest.approx(1 / 3)
    assert found(scores, "left_out")["value"] == pytest.approx(1 / 3)
    equal = score(samples([short, short]), metrics=["guard"])
    assert found(equal, "cut")["value"] == found(equal, "left_out")["value"] == 0
    tiny = score(samples(["one two", "three"]), metrics=["guard"])
    assert found(tiny, "cut")["value"] is None
