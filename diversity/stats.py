"""Statistics of the shift. The unit is the prompt; outputs of one prompt are never resampled.

Formulas and measured coverage: `docs/statistics.md`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

REPLICATES = 4000
MARGIN = 0.10  # of the effective number
FLOOR, PROVISIONAL = 10, 20  # prompts below which there is no verdict, and below which it is provisional


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """One estimated shift over prompts.

    `estimate` is negative where the answers became more alike. `interval` is the 95 % interval, `interval90`
    the one that equivalence is read from. `n` counts prompts.
    """

    n: int
    pre: float
    post: float
    estimate: float
    se: float
    interval: tuple[float, float]
    interval90: tuple[float, float]
    p: float


def effective(similarity: float | Array, m: int = 16) -> float | Array:
    """Map mean similarity to the effective number of distinct answers among m.

    Parameters
    ----------
    similarity : float or array
        Mean similarity s over pairs of different answers. Values below 0, which a raw cosine can have, count as 0.
    m : int
        Reference number of answers.

    Returns
    -------
    float or array in [1, m]
        ``m / (1 + (m - 1) s)``, the order-2 similarity-sensitive Hill number (Leinster and Cobbold 2012).
        Map once, after averaging s over prompts: the map is convex.

    Examples
    --------
    >>> round(float(effective(1 / 6)), 10)
    4.5714285714
    """
    return m / (1 + (m - 1) * np.clip(similarity, 0, 1))


def pair_mean(matrix: Array) -> tuple[float, float]:
    """Mean of an n x n matrix off its diagonal, and its jackknife standard error (nan below 3 answers).

    The mean is a U-statistic: its expectation does not depend on n.
    """
    n = len(matrix)
    rows = (matrix.sum(axis=1) - np.diag(matrix)).astype(float)
    total = rows.sum()
    mean = total / (n * (n - 1))
    if n < 3:
        return float(mean), math.nan
    without = (total - 2 * rows) / ((n - 1) * (n - 2))
    return float(mean), float(np.sqrt((n - 1) / n * ((without - without.mean()) ** 2).sum()))


@lru_cache(maxsize=8)
def prompt_weights(n: int, replicates: int, seed: int) -> Array:
    """How often each prompt is drawn in each bootstrap replicate, shape (replicates, n), summing to 1 a row."""
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, stream_of("bootstrap"), n])))
    return rng.multinomial(n, np.full(n, 1 / n), size=replicates) / n


def stream_of(purpose: str) -> int:
    """Return the number of a purpose's own stream of random numbers, beside the seed."""
    return int.from_bytes(blake2b(purpose.encode(), digest_size=4).digest(), "little")


def log_ratio(
    similarity_pre: Array, similarity_post: Array, *, m: int = 16, replicates: int = REPLICATES, seed: int = 0
) -> Estimate:
    """Log ratio of the effective numbers, post over pre, paired by prompt.

    Parameters
    ----------
    similarity_pre, similarity_post : arrays of shape (prompts,)
        Each prompt's unbiased mean similarity, in the same order of prompts.
    m : int
        Reference number of answers of the effective number.

    Returns
    -------
    Estimate
        `pre` and `post` are effective numbers. The interval is the envelope of Student's t on the influence
        values and of the percentile-t bootstrap over prompts: t alone under-covers skewed shifts,
        percentile-t alone alarms on symmetric heavy tails.
    """
    return both_scales(similarity_pre, similarity_post, m=m, replicates=replicates, seed=seed)[0]


def both_scales(
    similarity_pre: Array,
    similarity_post: Array,
    *,
    m: int = 16,
    replicates: int = REPLICATES,
    seed: int = 0,
    p: float | None = None,
) -> tuple[Estimate, Estimate]:
    """`log_ratio`, and post minus pre of the mean dissimilarity with the same interval, from one bootstrap.

    `p` is that of `sign_flip` where it is known.
    """
    mean_pre, mean_post = max(similarity_pre.mean(), 0.0), max(similarity_post.mean(), 0.0)
    weights = prompt_weights(len(similarity_pre), replicates, seed)
    moments = weights @ np.column_stack(
        [similarity_pre, similarity_post, similarity_pre**2, similarity_post**2, similarity_pre * similarity_post]
    )
    of_pre, of_post = moments[:, 2] - moments[:, 0] ** 2, moments[:, 3] - moments[:, 1] ** 2
    of_both = moments[:, 4] - moments[:, 0] * moments[:, 1]
    boot_pre, boot_post = moments[:, 0].clip(0), moments[:, 1].clip(0)
    a, b = (m - 1) / (1 + (m - 1) * boot_pre), (m - 1) / (1 + (m - 1) * boot_post)
    deltas = similarity_pre - similarity_post
    p = sign_flip(deltas, seed=seed) if p is None else p
    ratio = _estimate(
        pre=float(effective(mean_pre, m)),
        post=float(effective(mean_post, m)),
        estimate=math.log1p((m - 1) * mean_pre) - math.log1p((m - 1) * mean_post),
        influence=influence(similarity_pre, similarity_post, m=m),
        boot=np.log1p((m - 1) * boot_pre) - np.log1p((m - 1) * boot_post),
        boot_variance=a**2 * of_pre + b**2 * of_post - 2 * a * b * of_both,
        p=p,
    )
    difference = _estimate(
        pre=1 - float(similarity_pre.mean()),
        post=1 - float(similarity_post.mean()),
        estimate=float(deltas.mean()),
        influence=deltas,
        boot=moments[:, 0] - moments[:, 1],
        boot_variance=of_pre + of_post - 2 * of_both,
        p=p,
    )
    return ratio, difference


def influence(similarity_pre: Array, similarity_post: Array, *, m: int = 16) -> Array:
    """Return what each prompt adds to the log ratio: its influence values, up to a constant. Negative narrows."""
    scale_pre, scale_post = ((m - 1) / (1 + (m - 1) * max(s.mean(), 0.0)) for s in (similarity_pre, similarity_post))
    values: Array = scale_pre * similarity_pre - scale_post * similarity_post
    return values


def mean_difference(
    pre: Array, post: Array, *, replicates: int = REPLICATES, seed: int = 0, p: float | None = None
) -> Estimate:
    """Mean of post minus pre, paired by prompt; arrays of shape (prompts,). Interval as in `log_ratio`.

    `p` is that of `sign_flip` where it is known.
    """
    deltas = post - pre
    weights = prompt_weights(len(deltas), replicates, seed)
    boot = weights @ deltas
    variance = weights @ deltas**2 - boot**2
    return _estimate(
        pre=float(pre.mean()),
        post=float(post.mean()),
        estimate=float(deltas.mean()),
        influence=deltas,
        boot=boot,
        boot_variance=variance,
        p=sign_flip(deltas, seed=seed) if p is None else p,
    )


def _estimate(
    *,
    pre: float,
    post: float,
    estimate: float,
    influence: Array,
    boot: Array,
    boot_variance: Array,
    p: float,
) -> Estimate:
    n = len(influence)
    se = standard_error(influence)
    intervals = [envelope(estimate, se, n, boot, boot_variance, level) for level in (0.95, 0.90)]
    return Estimate(
        n=n,
        pre=pre,
        post=post,
        estimate=estimate,
        se=se,
        interval=intervals[0],
        interval90=intervals[1],
        p=p,
    )


def standard_error(influence: Array) -> float:
    """Standard error of the mean of one value a prompt; nan below 2 prompts."""
    n = len(influence)
    if n < 2:
        return math.nan
    spread = float(influence.std(ddof=1))
    # Sums of equal floats differ in their last bits; a spread of that size is none.
    if spread <= 1e-12 * max(1.0, float(np.abs(influence).max())):
        return 0.0
    return spread / math.sqrt(n)


def envelope(
    estimate: float, se: float, n: int, boot: Array, boot_variance: Array, level: float
) -> tuple[float, float]:
    """Return the envelope of Student's t and the percentile-t interval over n prompts.

    `boot` and `boot_variance` hold the estimate and the variance of its influence values in each bootstrap replicate.
    """
    from scipy.special import stdtrit

    if n < 2:
        return -math.inf, math.inf
    if se == 0:
        return estimate, estimate
    tail = (1 - level) / 2
    t = float(stdtrit(n - 1, 1 - tail))
    low, high = estimate - t * se, estimate + t * se
    # A replicate that drew one prompt n times has no spread, and a t of any size.
    kept = boot_variance > 1e-12 * se**2 * n
    if kept.sum() > 100:
        boot_se = np.sqrt(boot_variance[kept] / (n - 1))
        lower, upper = np.quantile((boot[kept] - estimate) / boot_se, [tail, 1 - tail])
        low, high = min(low, estimate - upper * se), max(high, estimate - lower * se)
    return float(low), float(high)


def jackknife(
    value: float, without: Array, shares: Array, *, n: int, pre: float = math.nan, post: float = math.nan
) -> Estimate:
    """Interval of a figure over all prompts at once, by the delete-group jackknife.

    Parameters
    ----------
    value : float
        The figure over all prompts.
    without : array of shape (groups,)
        The figure without each group of prompts.
    shares : array of shape (groups,)
        The share of all prompts that each group holds.
    n : int
        Number of prompts.

    Returns
    -------
    Estimate
        Student's t with one degree of freedom less than groups. For groups of unequal size the jackknife of Busing,
        Meijer and van der Leeden (1999).
    """
    from scipy.special import stdtr, stdtrit

    groups = len(without)
    if groups < 2 or not np.isfinite(without).all():
        everywhere = -math.inf, math.inf
        return Estimate(
            n=n, pre=pre, post=post, estimate=value, se=math.nan, interval=everywhere, interval90=everywhere, p=1.0
        )
    held = 1 / shares
    pseudo = held * value - (held - 1) * without
    centre = groups * value - ((1 - shares) * without).sum()
    se = math.sqrt(float(((pseudo - centre) ** 2 / (held - 1)).mean()))
    if se <= 1e-12 * max(1.0, abs(value)):
        se = 0.0
    t95, t90 = (float(stdtrit(groups - 1, 1 - tail)) for tail in (0.025, 0.05))
    p = float(2 * stdtr(groups - 1, -abs(value) / se)) if se else float(value == 0)
    return Estimate(
        n=n,
        pre=pre,
        post=post,
        estimate=value,
        se=se,
        interval=(value - t95 * se, value + t95 * se),
        interval90=(value - t90 * se, value + t90 * se),
        p=p,
    )


SIGNS_AT_ONCE = 1024


@lru_cache(maxsize=16)
def _signs(n: int, replicates: int, seed: int) -> NDArray[np.int8]:
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, stream_of("sign flip"), n])))
    return rng.integers(0, 2, (replicates, n), dtype=np.int8) * 2 - 1


def sign_flip(deltas: Array, *, replicates: int = 9999, seed: int = 0) -> float:
    """Two-sided p of a zero mean shift: studentised sign-flip permutation over prompts.

    Exact by enumeration up to 14 prompts, else (1 + hits) / (1 + replicates).

    Examples
    --------
    >>> sign_flip(np.array([-0.12, -0.03, -0.11, 0.01, -0.15, -0.12, -0.03, -0.11]))
    0.015625
    """
    return sign_flips([deltas], replicates=replicates, seed=seed)[0]


def sign_flips(deltas: Sequence[Array], *, replicates: int = 9999, seed: int = 0) -> list[float]:
    """`sign_flip` of many shifts; those over as many prompts have their signs flipped together, in one product."""
    found = [1.0] * len(deltas)
    by_size: dict[int, list[int]] = {}
    for place, each in enumerate(deltas):
        by_size.setdefault(len(each), []).append(place)
    for n, places in by_size.items():
        if n < 2:
            continue
        signs = 1 - 2 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1) if n <= 14 else _signs(n, replicates, seed)
        together = np.column_stack([deltas[place] for place in places])
        # With the sum of squares fixed, |t| grows with |mean|: the order of the two is the same.
        least = np.abs(together.sum(axis=0)) * (1 - 1e-12)
        hits = np.zeros(len(places), dtype=np.int64)
        for begin in range(0, len(signs), SIGNS_AT_ONCE):
            # Whole numbers would be multiplied one by one; floats are ten times as fast.
            sums = signs[begin : begin + SIGNS_AT_ONCE].astype(np.float64) @ together
            hits += (np.abs(sums) >= least).sum(axis=0)
        for place, count in zip(places, hits.tolist(), strict=True):
            found[place] = count / len(signs) if n <= 14 else (1 + count) / (1 + replicates)
    return found


def holm(p: Array) -> Array:
    """Holm's step-down adjusted p values (family-wise)."""
    order = np.argsort(p)
    steps = np.maximum.accumulate((len(p) - np.arange(len(p))) * p[order])
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(steps, 1)
    return adjusted


def benjamini_hochberg(p: Array) -> Array:
    """Adjusted p values of Benjamini and Hochberg (1995), for the false discovery rate."""
    # As scipy.stats.false_discovery_control, whose import takes longer than all else that is done with p values.
    order = np.argsort(-p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum.accumulate(p[order] * len(p) / np.arange(len(p), 0, -1)).clip(max=1)
    return adjusted


def verdict(shift: Estimate, *, margin: float, p_adjusted: float = 0.0) -> str:
    """Judge a shift whose sign is negative for narrowing.

    Parameters
    ----------
    margin : float
        The smallest shift that matters, on the scale of the estimate; above 0.
    p_adjusted : float
        Where the shift is one of a family: its p adjusted for the family; a direction needs 0.05 or less.

    Returns
    -------
    str
        "narrowed", "widened", "no material change" or "inconclusive".
    """
    if shift.n < FLOOR:
        return "inconclusive"
    low, high = shift.interval
    inside = -margin < low and high < margin
    # Without any spread over prompts the interval is a point, and says nothing of the next prompt.
    if shift.se == 0 and shift.estimate != 0:
        return "inconclusive"
    if (high < 0 or low > 0) and not inside and p_adjusted <= 0.05:
        return "narrowed" if high < 0 else "widened"
    if -margin < shift.interval90[0] and shift.interval90[1] < margin:
        return "no material change"
    return "inconclusive"


def prompts_to_decide(shift: Estimate, *, margin: float) -> int | None:
    """Prompts that would decide an inconclusive shift with 80 % power, were the estimate the truth.

    The smaller of what a directional verdict and what equivalence needs; None when neither can be reached.
    """
    spread = shift.se * math.sqrt(shift.n)
    if not math.isfinite(spread) or spread == 0:
        return None
    needs = []
    if shift.estimate:
        needs.append(((1.96 + 0.84) * spread / abs(shift.estimate)) ** 2)
    if abs(shift.estimate) < margin:
        needs.append(((1.645 + 0.84) * spread / (margin - abs(shift.estimate))) ** 2)
    if not needs:
        return None
    return max(FLOOR, shift.n + 1, math.ceil(min(needs)) + 2)


def heterogeneity(deltas: Array, noise_variances: Array) -> float | None:
    """Share of the variance of per-prompt shifts that is not sampling noise, in [0, 1] (as I squared).

    0: all prompts shift alike as far as one can tell. None where the noise is unknown.
    """
    known = np.isfinite(noise_variances)
    if known.sum() < 3:
        return None
    total = float(deltas[known].var(ddof=1))
    return max(0.0, 1 - float(noise_variances[known].mean()) / total) if total > 0 else 0.0


def heterogeneity_p(deltas: Array, noise_variances: Array) -> float | None:
    """Return the p of a common shift: whether prompts differ by more than the noise of finitely many answers.

    Parameters
    ----------
    deltas : array of shape (prompts,)
    noise_variances : array of shape (prompts,)
        Of each prompt's shift, estimated from its own answers; nan where unknown.

    Returns
    -------
    float or None
        One-sided F of the variance over prompts against the mean noise, both degrees of freedom by Satterthwaite.
        None below 3 prompts with known noise. Cochran's Q weights each prompt by its own estimated noise, and calls
        equal prompts unequal in up to 99 % of runs at 4 answers a prompt; this one in at most 3 % at 3 to 16
        (docs/statistics.md). The jackknife overstates noise at few answers, so that little is found at 4.
    """
    from scipy.special import fdtrc

    known = np.isfinite(noise_variances)
    count = int(known.sum())
    if count < 3:
        return None
    total, noise = float(deltas[known].var(ddof=1)), noise_variances[known]
    mean = float(noise.mean())
    if mean == 0:
        return 1.0 if total == 0 else 0.0
    above = (count - 1) / count * float(noise.sum()) ** 2 / float((noise**2).sum())
    spread = float(noise.var(ddof=1)) / count
    below = min(2 * mean**2 / spread, 1e9) if spread > 0 else 1e9
    return float(fdtrc(above, below, total / mean))


def beyond_noise(deltas: Array, noise_variances: Array) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which prompts moved down, and which up, by more than 1.96 standard deviations of their own noise.

    Without any shift some 2.5 % do each way (5 % at 4 answers, 1 to 3 % from 8 on). False where the noise is unknown.
    """
    bound = 1.959963984540054 * np.sqrt(noise_variances)
    return deltas < -bound, deltas > bound


def is_heterogeneous(deltas: Array, noise_variances: Array) -> bool | None:
    """Whether a mean shift hides that prompts differ: some a lot and most not, or some down and some up.

    True where the spread of the prompts' own shifts is larger than the mean shift and more than noise (p of a common
    shift 0.05 or less), or where 20 % and more of the prompts clearly move down and as many up. None where the noise
    is unknown.
    """
    p = heterogeneity_p(deltas, noise_variances)
    if p is None:
        return None
    known = np.isfinite(noise_variances)
    deltas, noise = deltas[known], noise_variances[known]
    down, up = beyond_noise(deltas, noise)
    own = max(0.0, float(deltas.var(ddof=1)) - float(noise.mean()))
    return (p <= 0.05 and math.sqrt(own) > abs(float(deltas.mean()))) or min(down.mean(), up.mean()) >= 0.2


def drop_out(asked: int, lost: int, lost_pre: int, lost_post: int) -> bool:
    """Whether so many prompts are lost that it may matter which.

    More than a tenth of those asked, or more on one side than the other beyond a fair coin (two-sided 5 %). `lost_pre`
    and `lost_post` count the prompts that only that side lacks.
    """
    from scipy.special import bdtr

    # The binomial test of one half, whose tails are equal.
    p = 2 * bdtr(min(lost_pre, lost_post), lost_pre + lost_post, 0.5)
    return bool(lost > 0.1 * asked or (lost_pre != lost_post and p <= 0.05))


def effect_size(deltas: Array) -> float | None:
    """Hedges' g of paired shifts: mean over standard deviation, times 1 - 3 / (4 df - 1). None without spread.

    It depends on how many answers a prompt has, since their noise is part of the spread: not to be compared between
    runs of different n. Hedges (1981).

    Examples
    --------
    >>> round(effect_size(np.array([-0.12, -0.03, -0.11, 0.01, -0.15, -0.12, -0.03, -0.11])), 6)
    -1.280734
    """
    n = len(deltas)
    spread = float(deltas.std(ddof=1)) if n > 1 else 0.0
    if spread <= 1e-12 * max(1.0, float(np.abs(deltas).max(initial=0))):
        return None
    return float(deltas.mean()) / spread * (1 - 3 / (4 * (n - 1) - 1))


def wilson(successes: float, n: int) -> tuple[float, float]:
    """95 % interval of a share, by Wilson's score (1927); ties may be counted half.

    Examples
    --------
    >>> low, high = wilson(7, 8)
    >>> round(low, 4), round(high, 4)
    (0.5291, 0.9776)
    """
    z2 = 1.959963984540054**2
    centre = (successes + z2 / 2) / (n + z2)
    half = math.sqrt(z2 * (successes * (n - successes) / n + z2 / 4)) / (n + z2)
    return max(0.0, centre - half), min(1.0, centre + half)
