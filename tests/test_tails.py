"""Tails of t, F and a coin against scipy.special, from three prompts to a hundred thousand."""

import math

import numpy as np
import pytest
from scipy import special

from diversity.tails import coin_tail, f_tail, t_quantile, t_tail

SIZES = [1, 2, 3, 9, 24.5, 99, 999, 9_999, 99_999]


@pytest.mark.parametrize("df", SIZES)
def test_students_t(df):
    for t in (0, 0.01, 0.3, 1, 1.96, 5, 38.0):
        assert t_tail(t, df) == pytest.approx(special.stdtr(df, -t), rel=1e-13)
    for tail in (0.4, 0.05, 0.025, 0.005, 1e-6, 1e-9):
        assert t_quantile(tail, df) == pytest.approx(-special.stdtrit(df, tail), rel=2e-14)
    assert t_tail(math.inf, df) == 0
    assert t_quantile(0, df) == math.inf


@pytest.mark.parametrize("above", SIZES[1:])
@pytest.mark.parametrize("below", [2, 3.7, 60, 1_234.5, 1e5, 1e9])
def test_f(above, below):
    spread = math.sqrt(2 / above + 2 / below)
    for f in (0, *np.exp(spread * np.array([-5, -2, -0.5, 0, 0.1, 1, 2, 5]))):
        assert f_tail(float(f), above, below) == pytest.approx(special.fdtrc(above, below, f), rel=2e-13)
    assert f_tail(math.inf, above, below) == 0


def test_a_fair_coin():
    for tosses in (1, 2, 3, 20, 101, 600):
        for heads in {0, 1, tosses // 3, tosses // 2, tosses - 1, tosses}:
            expected = sum(math.comb(tosses, k) for k in range(heads + 1)) / 2**tosses
            assert coin_tail(heads, tosses) == pytest.approx(expected, rel=1e-12)
