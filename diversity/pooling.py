"""Random-effects summary of several shifts: what is true of a recipe, and not of one run of it.

Formulas and measured coverage: `docs/designs.md`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from diversity.stats import Array

Method = Literal["PM", "REML", "DL"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pooled:
    """A random-effects mean of several effects.

    `se` is Hartung and Knapp's, together with the error that all effects share. `interval` (95 %) and `interval90` are
    of the mean over all runs that the recipe could make, `prediction` (95 %) of one further run. `i2` is the share of
    the variance between effects that is not sampling error, in [0, 1].
    """

    k: int
    mean: float
    se: float
    tau2: float
    i2: float
    interval: tuple[float, float]
    interval90: tuple[float, float]
    prediction: tuple[float, float]
    p: float
    weights: Array


def random_effects(
    effects: Array, variances: Array, *, method: Method = "PM", shared: float = 0.0, shared_df: float = math.inf
) -> Pooled:
    """Summarise k effects whose truths differ.

    Parameters
    ----------
    effects, variances : arrays of shape (k,)
        Estimates and their sampling variances; k is 2 or more.
    method : "PM", "REML" or "DL"
        How the variance between the true effects is estimated: Paule and Mandel (1982), restricted maximum
        likelihood, or DerSimonian and Laird (1986).
    shared : float
        Covariance of the sampling errors of any two effects: it moves all of them alike, so that the spread between
        them does not show it. 0 for effects from separate prompts.
    shared_df : float
        Degrees of freedom that the shared covariance was estimated with.

    Returns
    -------
    Pooled
        The interval is that of Hartung, Knapp, Sidik and Jonkman, Student's t with k - 1 degrees of freedom. Where
        there is a shared error, its own half width is added in squares, each part with its own t (as in the method of
        variance estimates recovery, Zou and Donner 2008). The prediction interval has k - 2 degrees (Higgins, Thompson
        and Spiegelhalter 2009).

    Examples
    --------
    >>> found = random_effects(
    ...     np.array([-0.12, -0.05, -0.2, 0.02]), np.array([0.0016, 0.0025, 0.0036, 0.0009]), method="DL"
    ... )
    >>> round(found.mean, 10), round(found.tau2, 10), round(found.i2, 10)
    (-0.0804619464, 0.0071437914, 0.796372315)
    """
    from scipy.special import stdtrit

    k = len(effects)
    own = np.maximum(variances - shared, 1e-12)
    tau2 = {"DL": _dersimonian_laird, "PM": _paule_mandel, "REML": _restricted}[method](effects, own)
    weights = 1 / (own + tau2)
    mean = float((weights * effects).sum() / weights.sum())
    between = float((weights * (effects - mean) ** 2).sum() / ((k - 1) * weights.sum()))
    squared = between + shared
    se = math.sqrt(squared)

    def half(tail: float) -> float:
        return math.hypot(
            float(stdtrit(k - 1, 1 - tail)) * math.sqrt(between),
            float(stdtrit(shared_df, 1 - tail)) * math.sqrt(shared),
        )

    fixed = 1 / own
    q = float((fixed * (effects - (fixed * effects).sum() / fixed.sum()) ** 2).sum())
    reach = float(stdtrit(max(k - 2, 1), 0.975)) * math.sqrt(tau2 + squared)
    return Pooled(
        k=k,
        mean=mean,
        se=se,
        tau2=tau2,
        i2=max(0.0, (q - (k - 1)) / q) if q > 0 else 0.0,
        interval=(mean - half(0.025), mean + half(0.025)),
        interval90=(mean - half(0.05), mean + half(0.05)),
        prediction=(mean - reach, mean + reach),
        p=_p_value(mean, half) if se else float(mean == 0),
        weights=weights / weights.sum(),
    )


def _p_value(mean: float, half: Callable[[float], float]) -> float:
    """Twice the tail at which the interval reaches to 0."""
    from scipy.optimize import brentq

    if half(0.4999) >= abs(mean):
        return 1.0
    if half(1e-12) <= abs(mean):
        return 2e-12
    return 2 * math.exp(brentq(lambda log: half(math.exp(log)) - abs(mean), math.log(1e-12), math.log(0.4999)))


def _dersimonian_laird(effects: Array, variances: Array) -> float:
    w = 1 / variances
    mean = (w * effects).sum() / w.sum()
    q = (w * (effects - mean) ** 2).sum()
    return max(0.0, float((q - (len(effects) - 1)) / (w.sum() - (w**2).sum() / w.sum())))


def _paule_mandel(effects: Array, variances: Array) -> float:
    """The tau2 at which the weighted squares about the mean are what k - 1 degrees of freedom lead one to expect."""
    from scipy.optimize import brentq

    def excess(tau2: float) -> float:
        w = 1 / (variances + tau2)
        mean = (w * effects).sum() / w.sum()
        return float((w * (effects - mean) ** 2).sum() - (len(effects) - 1))

    if excess(0.0) <= 0:
        return 0.0
    # At the plain variance of the effects over k - 1 the squares are below what is expected.
    high = float(((effects - effects.mean()) ** 2).sum())
    return float(brentq(excess, 0.0, high, xtol=1e-16, rtol=1e-14))


def _restricted(effects: Array, variances: Array) -> float:
    from scipy.optimize import minimize_scalar

    def loss(tau2: float) -> float:
        w = 1 / (variances + tau2)
        mean = (w * effects).sum() / w.sum()
        return float((np.log(variances + tau2).sum() + math.log(w.sum()) + (w * (effects - mean) ** 2).sum()) / 2)

    high = 10 * float(effects.var(ddof=1)) + 1e-12
    found = minimize_scalar(loss, bounds=(0.0, high), method="bounded", options={"xatol": 1e-12 * high})
    return float(found.x) if loss(float(found.x)) < loss(0.0) else 0.0
