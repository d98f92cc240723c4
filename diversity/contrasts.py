"""Statistics over more than two checkpoints on the same prompts; measured error rates: `docs/designs.md`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from diversity.stats import REPLICATES, Array, Estimate, envelope, prompt_weights, sign_flip, standard_error

LEVELS = (0.95, 0.90)


def contrast(
    similarities: Array,
    weights: Sequence[float] | Array,
    *,
    m: int = 16,
    replicates: int = REPLICATES,
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
        t and of the percentile-t bootstrap over prompts, as in `diversity.stats.log_ratio`.

    Examples
    --------
    >>> s = np.array([[0.4, 0.5], [0.3, 0.5], [0.2, 0.3]])
    >>> round(contrast(s, (-1, 1)).estimate, 6)
    -0.310155
    """
    c = np.asarray(weights, dtype=float)
    n = len(similarities)
    log_effective, scale = _mapped(similarities.mean(axis=0), m)
    estimate = float((c * log_effective).sum())
    # The derivative of log D by the mean similarity is minus the scale.
    influence = -(similarities * (c * scale)).sum(axis=1)
    drawn = prompt_weights(n, replicates, seed)
    boot_log, boot_scale = _mapped(drawn @ similarities, m)
    boot = (boot_log * c).sum(axis=1)
    gradient = boot_scale * c
    products = (similarities[:, :, None] * similarities[:, None, :]).reshape(n, -1)
    means = drawn @ similarities
    second = (drawn @ products).reshape(replicates, len(c), len(c))
    variance = np.einsum("ri,rij,rj->r", gradient, second, gradient) - (gradient * means).sum(axis=1) ** 2
    se = standard_error(influence)
    wide, narrow = (envelope(estimate, se, n, boot, variance, level) for level in levels)
    is_pair = c.tolist() == [-1, 1]
    return Estimate(
        n=n,
        pre=math.exp(log_effective[0]) if is_pair else math.nan,
        post=math.exp(log_effective[1]) if is_pair else math.nan,
        estimate=estimate,
        se=se,
        interval=wide,
        interval90=narrow,
        p=sign_flip(influence - influence.mean() + estimate, seed=seed) if test else math.nan,
    )


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


def trend(similarities: Array, *, m: int = 16, replicates: int = REPLICATES, seed: int = 0) -> Trend:
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
    slope = contrast(similarities, place / (place**2).sum(), m=m, replicates=replicates, seed=seed)
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
