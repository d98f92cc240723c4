"""Statistics over more than two checkpoints on the same prompts; measured error rates: `docs/designs.md`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from diversity.stats import Array, Estimate, of_logs, sign_flip

LEVELS = (0.95, 0.90)


def contrast(
    similarities: Array,
    weights: Sequence[float] | Array,
    *,
    m: int = 16,
    seed: int = 0,
    levels: tuple[float, float] = LEVELS,
    test: bool = True,
) -> Estimate:
    """Weighted sum of the logarithms of several checkpoints' effective numbers, on the same prompts.

    Parameters
    ----------
    similarities : array of shape (prompts, checkpoints)
        Each prompt's unbiased mean similarity under each checkpoint.
    weights : sequence of floats
        One a checkpoint. ``(-1, 1)`` is the log ratio of a pair, ``(1, -1, -1, 1)`` an interaction, ``(1,)`` the log
        of one effective number.
    m : int
        Reference number of answers of the effective number.
    levels : (float, float)
        Of the two intervals of the result.
    test : bool
        Whether to find p, by sign flips; nan otherwise.

    Returns
    -------
    Estimate
        `pre` and `post` are nan where the weights are not those of a pair. The interval is the envelope of Student's
        t and of balanced empirical likelihood, as in `diversity.stats.log_ratio`.

    Examples
    --------
    >>> s = np.array([[0.4, 0.5], [0.3, 0.5], [0.2, 0.3]])
    >>> round(contrast(s, (-1, 1)).estimate, 6)
    -0.310155
    """
    found = of_logs(similarities, weights, m=m, levels=levels)
    if not test:
        return found
    # The derivative of log D by the mean similarity is minus the scale.
    scale = _mapped(similarities.mean(axis=0), m)[1]
    influence = -(similarities * (np.asarray(weights, dtype=float) * scale)).sum(axis=1)
    return replace(found, p=sign_flip(influence - influence.mean() + found.estimate, seed=seed))


def _mapped(means: Array, m: int) -> tuple[Array, Array]:
    """The log of the effective number of a mean similarity, and minus its derivative."""
    inner = 1 + (m - 1) * means.clip(0)
    return math.log(m) - np.log(inner), (m - 1) / inner


def influences(pre: Array, post: Array, *, m: int = 16) -> Array:
    """Each prompt's centred influence on the log ratio of the effective numbers; shape (prompts,), mean 0."""
    _, (a, b) = _mapped(np.array([pre.mean(), post.mean()]), m)
    influence: Array = a * pre - b * post
    centred: Array = influence - influence.mean()
    return centred


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend:
    """How the effective number moves over ordered stages.

    `slope` is of its logarithm, a stage. `page_p` is of Page's trend test of the prompts' ranks, two-sided; `spearman`
    is of the stages' effective numbers with their order. `is_monotone` says that they only rise or only fall.
    """

    slope: Estimate
    page_l: float
    page_p: float
    spearman: float
    is_monotone: bool


def trend(similarities: Array, *, m: int = 16, seed: int = 0) -> Trend:
    """Trend of the effective number over stages, on the same prompts.

    Parameters
    ----------
    similarities : array of shape (prompts, stages)
        Each prompt's unbiased mean similarity at each stage, stages in order; 3 or more.

    Returns
    -------
    Trend
        The slope is the least-squares one of log D over the number of the stage; its interval is over prompts. Page's
        test is of the ranks within each prompt (Page 1963); it needs no scale, and asks whether single prompts follow
        the order.
    """
    from scipy.stats import page_trend_test, spearmanr

    stages = similarities.shape[1]
    place = np.arange(stages) - (stages - 1) / 2
    slope = contrast(similarities, place / (place**2).sum(), m=m, seed=seed)
    diversity = -similarities
    # Few prompts without ties have an exact distribution; with ties, and for many prompts, the normal one is used.
    tied = any(len(np.unique(row)) < stages for row in diversity)
    method = "asymptotic" if tied or len(diversity) > 12 else "auto"
    rising = page_trend_test(diversity, method=method)
    falling = page_trend_test(diversity[:, ::-1], method=method)
    level = diversity.mean(axis=0)
    steps = np.diff(level)
    constant = bool((steps == 0).all())
    return Trend(
        slope=slope,
        page_l=float(rising.statistic),
        page_p=1.0 if constant else min(1.0, 2 * min(float(rising.pvalue), float(falling.pvalue))),
        spearman=0.0 if constant else float(spearmanr(np.arange(stages), level).statistic),
        is_monotone=bool((steps <= 0).all() or (steps >= 0).all()),
    )
