"""Worked values of the metrics, each checked by hand or by an independent implementation named beside it."""

import numpy as np
import pytest

from diversity.registry import find_metric
from diversity.stats import effective, pair_mean
from diversity.views import Answers

FOUR = ("the cat sat on the mat", "the cat sat on a mat", "a dog ran in the park", "the cat sat on the mat")
FIVE = (
    "the cat sat on the mat",
    "the cat sat on a mat",
    "a dog ran in the park",
    "two birds sang in the old park",
    "the dog sat on a mat in the park",
)
PROGRAMS = (
    "def add(a, b):\n    return a + b\n",
    "def f(x, y):\n    # sum\n    return x + y\n",
    "def f(x, y):\n    return x - y\n",
    "def f(xs):\n    t = 0\n    for x in xs:\n        t += x\n    return t\n",
)
VECTORS = np.array([[1.0, 0, 0], [0.8, 0.6, 0], [0, 1.0, 0], [0.6, 0, 0.8], [0, 0.6, 0.8]])


def value(name: str, answers: Answers) -> float:
    result = find_metric(name).function(answers)
    return pair_mean(result)[0] if isinstance(result, np.ndarray) else result


@pytest.mark.parametrize(("order", "unique", "total"), [(1, 10, 24), (2, 12, 20), (3, 10, 16), (4, 8, 12)])
def test_distinct_n_counts_unique_over_all(order, unique, total):
    assert value(f"distinct_{order}", Answers(FOUR)) == pytest.approx(unique / total, abs=1e-12)


def test_self_bleu_equals_nltk_sentence_bleu_with_method_1():
    # nltk 3.10.4: mean sentence_bleu, smoothing method1, closest reference length
    assert value("self_bleu", Answers(FIVE)) == pytest.approx(0.44649701772963823, abs=1e-12)


def test_self_bleu_agrees_with_nltk_on_random_sets():
    from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu

    rng = np.random.default_rng(0)
    smooth = SmoothingFunction().method1
    for _ in range(25):
        words = [list(rng.choice(list("abcdefgh"), rng.integers(1, 14))) for _ in range(rng.integers(2, 7))]
        expected = np.mean(
            [sentence_bleu(words[:i] + words[i + 1 :], w, smoothing_function=smooth) for i, w in enumerate(words)]
        )
        assert value("self_bleu", Answers([" ".join(w) for w in words])) == pytest.approx(expected, abs=1e-12)


def test_compression_ratio_is_bytes_over_raw_deflated_bytes():
    # zlib 1.2.13 gives 1039/84 bytes for another order of the texts; codecs differ by a few per cent
    assert value("compression_ratio", Answers(FIVE * 8)) == pytest.approx(12.37, rel=0.1)


@pytest.mark.parametrize(
    ("order", "expected"), [(1, 0.3413131313131313), (2, 0.11706460206460205), (3, 0.06555555555555556)]
)
def test_jaccard_of_shingles(order, expected):
    similarity, _ = Answers(FIVE).words.overlap(order)
    assert pair_mean(similarity)[0] == pytest.approx(expected, abs=1e-12)


def test_lexical_similarity_is_the_mean_of_jaccard_over_orders_1_to_3():
    expected = (0.3413131313131313 + 0.11706460206460205 + 0.06555555555555556) / 3
    assert value("lexical.similarity", Answers(FIVE)) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("levels", "expected"), [(2, 17 / 29), (3, 12 / 19), (4, 10 / 14), (5, 8 / 10)])
def test_distinct_subtrees_of_four_programs(levels, expected):
    assert value(f"distinct_subtrees_{levels}", Answers(PROGRAMS, language="python")) == pytest.approx(expected)


def test_renamed_and_commented_programs_are_one_program():
    assert value("distinct_programs", Answers(PROGRAMS, language="python")) == 3 / 4


def test_tree_similarity_is_the_mean_ruzicka_of_cut_subtrees():
    # x + y and x - y have 11 nodes each; 10 of them, 9 of their subtrees of two levels and 8 of three are shared
    matrix = find_metric("syntactic.similarity").function(Answers(PROGRAMS, language="python"))
    assert matrix[0, 1] == 1
    assert matrix[0, 2] == pytest.approx((10 / 12 + 9 / 13 + 8 / 14) / 3, abs=1e-12)


def test_tree_cosine_is_that_of_subtree_counts():
    # 87/93 and 0.878…: counts of subtrees cut to 1, 2 and 3 levels, worked by hand for the first two programs
    matrix = find_metric("wl_similarity").function(Answers(PROGRAMS, language="python"))
    assert matrix[0, 1] == pytest.approx(1, abs=1e-12)
    assert matrix[0, 2] == pytest.approx(87 / 93, abs=1e-12)
    assert matrix[0, 3] == pytest.approx(0.8782218611346799, abs=1e-12)


def test_pairwise_cosine_distance_of_five_vectors():
    answers = Answers(FIVE, encode=lambda _: VECTORS)
    assert value("pairwise_cosine_distance", answers) == pytest.approx(0.592, abs=1e-12)


def test_vendi_score_of_five_vectors():
    # vendi-score 0.0.3, score_K at q = 1
    assert value("vendi", Answers(FIVE, encode=lambda _: VECTORS)) == pytest.approx(2.7273467657347803, abs=1e-9)


def test_functional_similarity_is_the_unbiased_collision_probability():
    answers = Answers(("w", "x", "y", "z"), behaviours=("a", "a", "b", "c"))
    assert value("functional.similarity", answers) == pytest.approx(1 / 6, abs=1e-12)


@pytest.mark.parametrize(("m", "expected"), [(4, 2.6666666666666665), (16, 4.571428571428571)])
def test_effective_number_of_one_sixth(m, expected):
    assert effective(1 / 6, m) == pytest.approx(expected, abs=1e-12)


def test_shape_similarity_by_hand():
    # shapes: "the WORD of WORD ." twice, and "the NUM of Cap ."; of 3-, 4-, 5-grams none is shared with the third
    answers = Answers(("the cat of straw.", "the dog of hay.", "the 7 of Rome."))
    matrix = find_metric("syntactic.similarity").function(answers)
    assert matrix[0, 1] == 1
    assert matrix[0, 2] == 0
