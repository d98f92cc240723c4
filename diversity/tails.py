"""Tails of Student's t, of F and of a fair coin: all are the incomplete beta function.

They agree with scipy.special to 1e-13 (tests/test_tails.py), whose import takes as long as all of the statistics.
"""

from __future__ import annotations

import math
from functools import lru_cache


def t_tail(t: float, df: float) -> float:
    """Chance that Student's t is above a value of 0 or more.

    Examples
    --------
    >>> round(t_tail(2.2621571628, 9), 10)
    0.025
    """
    return _beta(df / 2, 0.5, df / (df + t * t), t * t / (df + t * t)) / 2


@lru_cache(maxsize=4096)
def t_quantile(tail: float, df: float) -> float:
    """Value that Student's t is above with a chance of `tail`, below one half; infinite where that is 0.

    Examples
    --------
    >>> round(t_quantile(0.025, 9), 10)
    2.2621571628
    """
    if tail == 0:
        return math.inf
    # The tail is convex, and the tangent at 0 meets it below the root: Newton's steps go up to that.
    t = (0.5 - tail) * math.sqrt(2 * math.pi)
    for _ in range(1000):
        x, y = df / (df + t * t), t * t / (df + t * t)
        step = (t_tail(t, df) - tail) * t / _power(df / 2, 0.5, x, y)
        t += step
        if abs(step) <= 1e-15 * t:
            break
    return t


def f_tail(f: float, above: float, below: float) -> float:
    """Chance that F with so many degrees of freedom is above a value of 0 or more."""
    whole = below + above * f
    return _beta(below / 2, above / 2, below / whole, above * f / whole)


def coin_tail(heads: int, tosses: int) -> float:
    """Chance of so many heads or fewer.

    Examples
    --------
    >>> round(coin_tail(1, 2), 12)
    0.75
    """
    return _beta(tosses - heads, heads + 1, 0.5, 0.5) if heads < tosses else 1.0


def _beta(a: float, b: float, x: float, y: float) -> float:
    """The regularised incomplete beta function; y is 1 - x, to its own precision.

    By the continued fraction of DiDonato and Morris 1992, "Significant digit computation of the incomplete beta
    function ratios", ACM TOMS 18, eq. 9.
    """
    if x <= 0 or y <= 0:
        return float(y <= 0)
    gap = (a + b) * y - b if y < x else a - (a + b) * x
    if gap < 0:
        return 1 - _beta(b, a, y, x)
    first = 1 + 1 / a
    numerator, denominator, last_numerator, last_denominator = 1.0, (1 + gap) / first, 0.0, 1.0
    found = numerator / denominator
    for n in range(1, 100_000):
        share, odd = n / a, a + 2 * n - 1
        w = n * (b - n) * x
        alpha = (1 + (n - 1) / a) * (1 + (n - 1) / a + b / a) * (a / odd) ** 2 * w * x
        beta = n + w / odd + (1 + share) / (first + 2 * share) * (1 + gap + n * (1 + y))
        numerator, last_numerator = alpha * last_numerator + beta * numerator, numerator
        denominator, last_denominator = alpha * last_denominator + beta * denominator, denominator
        before, found = found, numerator / denominator
        if abs(found - before) <= 1e-15 * found:
            break
        # Only their ratio counts, and they grow.
        last_numerator, last_denominator = last_numerator / denominator, last_denominator / denominator
        numerator, denominator = found, 1.0
    return _power(a, b, x, y) * found


def _power(a: float, b: float, x: float, y: float) -> float:
    """x^a y^b over the beta function of a and b.

    By the saddle point of Loader 2000, "Fast and accurate computation of binomial probabilities": no digits cancel.
    """
    n = a + b
    exponent = _stirling(n) - _stirling(a) - _stirling(b) - _deviance(a, n * x) - _deviance(b, n * y)
    return math.sqrt(a * b / (2 * math.pi * n)) * math.exp(exponent)


def _stirling(z: float) -> float:
    """What the logarithm of gamma(z + 1) is above Stirling's formula."""
    if z < 15:
        return math.lgamma(z + 1) - (z + 0.5) * math.log(z) + z - 0.5 * math.log(2 * math.pi)
    w = 1 / (z * z)
    return (1 / 12 - (1 / 360 - (1 / 1260 - (1 / 1680 - (1 / 1188 - 691 / 360360 * w) * w) * w) * w) * w) / z


def _deviance(z: float, mean: float) -> float:
    """How far z lies from a mean: z log(z / mean) + mean - z."""
    gap = z - mean
    if abs(gap) >= 0.1 * (z + mean):
        return z * math.log(z / mean) - gap
    ratio = gap / (z + mean)
    found, term, k = gap * ratio, 2 * z * ratio, 1
    while True:
        term, k = term * ratio * ratio, k + 2
        before, found = found, found + term / k
        if found == before:
            return found
