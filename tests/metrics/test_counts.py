"""Statistics of counts: values worked to 80 digits, and the examples of the docstrings."""

import doctest
from fractions import Fraction
from importlib import import_module
from math import comb

import numpy as np
import pytest

from diversity import counts, registry

MODULES = ("diversity.counts", "diversity.stats", "diversity.registry", "diversity.metrics.semantic")


@pytest.mark.parametrize("name", [*MODULES, "diversity.metrics.clusters", "diversity.metrics.prose"])
def test_the_examples_of_the_docstrings_hold(name, monkeypatch):
    # An example may register a metric, which the tests after it must not meet.
    registry.metrics()
    monkeypatch.setattr(registry, "_metrics", dict(registry._metrics))
    failed, tried = doctest.testmod(import_module(name))
    assert tried > 0
    assert failed == 0


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        # By Python's decimal from the formula of the paper; the tail as a difference, and term by term.
        ([1] * 50, 7.242162810101839),
        ([1] * 50 + [2], 7.154645687780252),
        ([1] * 300 + [2] * 5, 9.13699070089018),
        ([2, 2, 1], 1.318070977791825),
        ([1, 1], 1.2163953243244932),
        ([30, 20, 2, 2, 2, 2, 1], 1.2955137382130195),
        ([3] * 40 + [2] * 20 + [1], 4.289202276906345),
        ([1] + [2] * 60, 4.377200500551501),
        ([1], 0),
        ([5], 0),
    ],
)
def test_entropy_of_chao_wang_and_jost(found, expected):
    assert counts.entropy_chao_wang_jost(np.array(found)) == pytest.approx(expected, abs=1e-9)


def test_entropy_of_grassberger_corrects_even_and_odd_counts_by_hand():
    # psi(1) = -0.5772156649, psi(1/2) = -1.9635100260, psi(3/2) = 0.0364899740, psi(2) = 0.4227843351
    one = -0.5772156649 - (-0.5772156649 + 1.9635100260) / 2
    two = 0.4227843351 + (0.0364899740 + 0.5772156649) / 2
    expected = np.log(3) - (one + 2 * two) / 3
    assert counts.entropy_grassberger(np.array([1, 2])) == pytest.approx(expected, abs=1e-9)
    assert counts.entropy_grassberger(np.array([2])) == 0  # log 2 - 0.7296 is below 0


@pytest.mark.parametrize(
    "statistic",
    [
        counts.entropy,
        counts.entropy_grassberger,
        counts.entropy_chao_wang_jost,
        lambda c, kinds=1: counts.hill(c, 0, kinds),
        lambda c, kinds=1: counts.hill(c, 1, kinds),
        lambda c, kinds=1: counts.hill(c, 2, kinds),
        lambda c, kinds=1: counts.hill(c, np.inf, kinds),
        lambda c, kinds=1: counts.rarefied(c, 7, kinds),
    ],
)
def test_counts_that_recur_may_be_given_once(statistic):
    found = np.random.default_rng(0).geometric(0.4, 200)
    sizes, kinds = np.unique(found, return_counts=True)
    assert statistic(sizes, kinds=kinds) == pytest.approx(statistic(found), rel=1e-12)


@pytest.mark.parametrize("draws", [1, 2, 5, 12])
def test_rarefied_kinds_are_the_mean_over_all_draws(draws):
    from itertools import combinations

    individuals = [kind for kind, count in enumerate([4, 3, 2, 1, 1, 1]) for _ in range(count)]
    each = [len(set(drawn)) for drawn in combinations(individuals, draws)]
    assert counts.rarefied(np.array([4, 3, 2, 1, 1, 1]), draws) == pytest.approx(np.mean(each), abs=1e-9)


def test_chances_of_a_large_set_keep_their_digits():
    # By whole numbers: differences of logarithms of factorials lose four digits here.
    total, draws = 20_000, 100
    missed = comb(total, draws)
    chances = counts.chances_drawn(np.arange(4), np.full(4, total), draws)
    for count in range(4):
        exact = 1 - Fraction(comb(total - count, draws), missed)
        assert chances[count] == pytest.approx(float(exact), rel=1e-13)
    few = counts.chances_drawn(np.arange(5), np.full(5, 5), 3)
    assert few == pytest.approx([0, 0.6, 0.9, 1, 1], abs=1e-15)
