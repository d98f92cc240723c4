"""The headline's estimator does not depend on n: shown by drawing from laws whose true similarity is known.

A law is a set of answers and their chances p. With z the kernel of two of them, the true similarity is s = sum of
p_i p_j z_ij over all i and j, i = j included: two draws are alike by chance when they are the same answer.
"""

import numpy as np
import pytest

from diversity.registry import find_metric
from diversity.stats import effective, pair_mean
from diversity.views import Answers

TEXTS = (
    "The cat sat on the mat and slept.",
    "The cat sat on the mat and purred.",
    "A dog ran through the park at dawn.",
    "A dog ran home.",
    "Nine grey ships sailed at dawn, and nobody waved.",
    "",
    "Rain fell on the park; the cat slept.",
    "She wrote home about the rain.",
)
PROGRAMS = (
    "def f(x):\n    return x",
    "def f(x):\n    return x + 1",
    "f = lambda x: x",
    "def f(xs):\n    out = []\n    for x in xs:\n        out.append(x)\n    return out",
    "def f(xs):\n    return [x for x in xs]",
    "class A:\n    def f(self):\n        return 1",
    "import os\n\nprint(os.name)",
    "while True:\n    break",
)
SKEWED = np.array([0.4, 0.2, 0.1, 0.1, 0.08, 0.06, 0.04, 0.02])
EVEN = np.full(8, 1 / 8)
DRAWS = 10_000


def vectors(texts):
    rng = np.random.default_rng(5)
    rows = dict(zip(TEXTS, rng.normal(size=(8, 3)) + 1, strict=True))
    found = np.array([rows[t] for t in texts])
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def sampled(facet, which):
    """The kernel of the answers at some places, as the package computes it of a set of answers."""
    code = facet == "syntactic, code"
    items = [(PROGRAMS if code else TEXTS)[i] for i in which]
    answers = Answers(
        items, language="python" if code else None, encode=vectors, behaviours=[str(i // 2) for i in which]
    )
    return find_metric(f"{facet.partition(',')[0]}.similarity").function(answers)


def pair_means(z, drawn):
    """`pair_mean` of each row of draws, all at once."""
    picked = z[drawn[:, :, None], drawn[:, None, :]]
    n = drawn.shape[1]
    found = (picked.sum(axis=(1, 2)) - np.trace(picked, axis1=1, axis2=2)) / (n * (n - 1))
    assert found[:9] == pytest.approx([pair_mean(matrix)[0] for matrix in picked[:9]], abs=1e-12)
    return found


FACETS = ("lexical", "syntactic", "syntactic, code", "semantic", "functional")


@pytest.mark.parametrize("facet", FACETS)
def test_the_kernel_of_two_answers_does_not_depend_on_the_other_answers(facet):
    whole = sampled(facet, range(8))
    rng = np.random.default_rng(1)
    for n in (2, 3, 9):
        which = rng.integers(0, 8, n)
        assert sampled(facet, which) == pytest.approx(whole[np.ix_(which, which)], abs=1e-12)


@pytest.mark.parametrize("facet", FACETS)
@pytest.mark.parametrize("law", ["skewed", "even"])
def test_the_mean_over_draws_is_the_true_similarity_at_every_n(facet, law):
    p = SKEWED if law == "skewed" else EVEN
    z = sampled(facet, range(8))
    truth = float(p @ z @ p)
    for n in (2, 4, 8, 16):
        rng = np.random.default_rng([n, len(law)])
        drawn = rng.choice(8, (DRAWS, n), p=p)
        found = pair_means(z, drawn)
        error = found.std(ddof=1) / np.sqrt(DRAWS)
        assert abs(found.mean() - truth) < 4 * error
        # Averaged first and mapped once, the effective number is the true one too.
        slope = 15 / 16 * effective(truth) ** 2
        assert abs(effective(found.mean()) - effective(truth)) < 5 * slope * error


def test_what_is_not_done_would_be_biased():
    """The plug-in form counts each draw's likeness to itself; mapping each prompt and averaging overstates."""
    p, z = SKEWED, np.eye(8)
    truth = float(p @ p)
    drawn = np.random.default_rng(3).choice(8, (DRAWS, 4), p=p)
    plug_in = z[drawn[:, :, None], drawn[:, None, :]].mean(axis=(1, 2))
    unbiased = pair_means(z, drawn)
    assert plug_in.mean() - truth > 20 * plug_in.std() / np.sqrt(DRAWS)
    assert plug_in.mean() == pytest.approx(truth + (1 - truth) / 4, abs=0.01)
    assert effective(unbiased).mean() > 1.3 * effective(truth)
    assert effective(unbiased.mean()) == pytest.approx(effective(truth), rel=0.03)
