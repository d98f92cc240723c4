"""Statistics of the shift. The unit is the prompt; outputs of one prompt are never resampled.

Formulas and measured coverage: `docs/statistics.md`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from diversity.tails import coin_tail, f_tail, t_quantile, t_tail

Array = NDArray[np.float64]

MARGIN = 0.10  # of the effective number
FLOOR, PROVISIONAL = 10, 20  # prompts below which there is no verdict, and below which it is provisional
BALANCE = 1.9  # standard deviations from a candidate to its pseudo-prompt, at least (Emerson and Owen 2009)


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
    # The methods of arrays take several times as long as these on the few answers of a prompt.
    total_of = np.add.reduce
    rows = total_of(matrix, axis=1, dtype=float) - matrix.diagonal()
    total = float(total_of(rows))
    mean = total / (n * (n - 1))
    if n < 3:
        return mean, math.nan
    # Without an answer the mean is (total - 2 row) / ((n - 1) (n - 2)).
    rows -= total / n
    return mean, 2 * math.sqrt((n - 1) / n * float(total_of(rows * rows))) / ((n - 1) * (n - 2))


def stream_of(purpose: str) -> int:
    """Return the number of a purpose's own stream of random numbers, beside the seed."""
    return int.from_bytes(blake2b(purpose.encode(), digest_size=4).digest(), "little")


def log_ratio(similarity_pre: Array, similarity_post: Array, *, m: int = 16, seed: int = 0) -> Estimate:
    """Log ratio of the effective numbers, post over pre, paired by prompt.

    Parameters
    ----------
    similarity_pre, similarity_post : arrays of shape (prompts,)
        Each prompt's unbiased mean similarity, in the same order of prompts.
    m : int
        Reference number of answers of the effective number.
    seed : int
        Of the sign flips that p comes from. The interval draws nothing.

    Returns
    -------
    Estimate
        `pre` and `post` are effective numbers. The interval is the envelope of Student's t on the influence values
        and of balanced empirical likelihood: see `envelope`.
    """
    return log_ratios([(similarity_pre, similarity_post)], m=m, seed=seed)[0]


def log_ratios(
    pairs: Sequence[tuple[Array, Array]], *, m: int = 16, seed: int = 0, p: Sequence[float] | None = None
) -> list[Estimate]:
    """`log_ratio` of many shifts at once; `p` are those of `sign_flips` where they are known."""
    if p is None:
        p = sign_flips([pre - post for pre, post in pairs], seed=seed)
    return _estimated(
        [_of_logs(np.column_stack(pair), (-1, 1), m=m, p=each) for pair, each in zip(pairs, p, strict=True)]
    )


def of_logs(
    similarities: Array,
    weights: Sequence[float] | Array,
    *,
    m: int = 16,
    p: float = math.nan,
    levels: tuple[float, float] = (0.95, 0.90),
) -> Estimate:
    """Weighted sum of the logarithms of checkpoints' effective numbers; see `diversity.contrasts.contrast`.

    Of a candidate value the likelihood asks whether the influence values have a mean of zero once the mean
    similarities are moved to that value, each by its share of the weights. Of a pair this is the mean of
    (1 + (m - 1) s_pre) - ratio (1 + (m - 1) s_post), whatever the shares: linear, as in Fieller (1954).
    """
    return _estimated([_of_logs(similarities, weights, m=m, p=p)], levels)[0]


def _of_logs(similarities: Array, weights: Sequence[float] | Array, *, m: int, p: float) -> _Asked:
    c = np.asarray(weights, dtype=float)
    inner = 1 + (m - 1) * similarities.mean(axis=0).clip(0)
    log_effective = math.log(m) - np.log(inner)
    estimate = float((c * log_effective).sum())
    # Each prompt's part of each mean, in units of that mean; a mean below zero counts as zero, by moving all.
    parts = (m - 1) * (similarities - similarities.mean(axis=0)) / inner
    steps = c / (c**2).sum()

    def at(shifts: Array) -> Array:
        moved = np.exp(np.multiply.outer(shifts, steps))
        centred: Array = -(moved * c) @ parts.T - ((moved - 1) * c).sum(axis=1)[:, None]
        return centred

    within = np.minimum(c, 0).sum() * math.log(m) - estimate, np.maximum(c, 0).sum() * math.log(m) - estimate
    is_pair = c.tolist() == [-1, 1]
    return _Asked(
        n=len(similarities),
        pre=math.exp(log_effective[0]) if is_pair else math.nan,
        post=math.exp(log_effective[1]) if is_pair else math.nan,
        estimate=estimate,
        se=standard_error(-(parts * c).sum(axis=1)),
        at=at,
        within=within,
        p=p,
    )


def influence(similarity_pre: Array, similarity_post: Array, *, m: int = 16) -> Array:
    """Return what each prompt adds to the log ratio: its influence values, up to a constant. Negative narrows."""
    scale_pre, scale_post = ((m - 1) / (1 + (m - 1) * max(s.mean(), 0.0)) for s in (similarity_pre, similarity_post))
    values: Array = scale_pre * similarity_pre - scale_post * similarity_post
    return values


def mean_difference(pre: Array, post: Array, *, seed: int = 0) -> Estimate:
    """Mean of post minus pre, paired by prompt; arrays of shape (prompts,). Interval and p as in `log_ratio`."""
    return mean_differences([(pre, post)], seed=seed)[0]


def mean_differences(
    pairs: Sequence[tuple[Array, Array]], *, seed: int = 0, p: Sequence[float] | None = None
) -> list[Estimate]:
    """`mean_difference` of many shifts at once; `p` are those of `sign_flips` where they are known."""
    deltas = [post - pre for pre, post in pairs]
    if p is None:
        p = sign_flips(deltas, seed=seed)
    return _estimated(
        [
            _of_deltas(delta, pre=float(pre.mean()), post=float(post.mean()), p=each)
            for delta, (pre, post), each in zip(deltas, pairs, p, strict=True)
        ]
    )


def _of_deltas(deltas: Array, *, pre: float, post: float, p: float) -> _Asked:
    mean = deltas.mean()
    centred = deltas - mean
    return _Asked(
        n=len(deltas),
        pre=pre,
        post=post,
        estimate=float(mean),
        se=standard_error(deltas),
        at=lambda shifts: centred - shifts[:, None],
        within=(-math.inf, math.inf),
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """An estimate that waits for its interval.

    `at` takes candidates, shape (k,), as their distance from the estimate. It returns one value a prompt, shape (k, n),
    whose mean is zero in expectation where the candidate is the truth, and falls as it rises. `within` are the
    distances from the estimate beyond which no truth can lie.
    """

    n: int
    pre: float
    post: float
    estimate: float
    se: float
    at: Callable[[Array], Array]
    within: tuple[float, float]
    p: float


AT_ONCE = 2**18  # values of a likelihood that are in hand together, in some ten arrays


def _estimated(asked: Sequence[_Asked], levels: Sequence[float] = (0.95, 0.90)) -> list[Estimate]:
    """Return the estimates with their intervals: the envelopes of Student's t and of balanced empirical likelihood.

    Below `FLOOR` prompts, where there is no verdict, t's alone. An interval does not depend on what else is asked.
    """
    ends = np.array([[-math.inf, -math.inf, math.inf, math.inf]] * len(asked)).reshape(len(asked), 4)
    by_size: dict[int, list[int]] = {}
    for place, each in enumerate(asked):
        if each.se == 0:
            ends[place] = 0.0
        elif each.n >= 2:
            by_size.setdefault(each.n, []).append(place)
    for n, places in by_size.items():
        t = np.array([t_quantile((1 - level) / 2, n - 1) for level in levels])
        critical = np.concatenate([t, t])
        step = max(1, AT_ONCE // (len(critical) * n))
        for begin in range(0, len(places), step):
            some = places[begin : begin + step]
            found = np.multiply.outer([asked[place].se for place in some], np.concatenate([-t, t]))
            if n >= FLOOR:
                likely = _likelihood_ends([asked[place] for place in some], found, critical)
                found = np.where(found < 0, np.minimum(found, likely), np.maximum(found, likely))
            ends[some] = found
    return [
        Estimate(
            n=each.n,
            pre=each.pre,
            post=each.post,
            estimate=each.estimate,
            se=each.se,
            interval=(each.estimate + low, each.estimate + high),
            interval90=(each.estimate + low90, each.estimate + high90),
            p=each.p,
        )
        for each, (low, low90, high, high90) in zip(asked, ends.tolist(), strict=True)
    ]


def _likelihood_ends(asked: Sequence[_Asked], guess: Array, critical: Array) -> Array:
    """Where the roots of the likelihood ratios reach their critical values, outward from 0 by the sign of the guess.

    `guess` has the shape (asked, ends), `critical` (ends,).
    """
    low_limit, high_limit = np.array([each.within for each in asked]).T[:, :, None]
    limit = np.where(guess < 0, low_limit, high_limit)
    # Nothing lies beyond an effective number of 1 or m: an estimate at that end has no interval on that side.
    guess = np.where(np.abs(guess) < np.abs(limit), guess, limit)

    def excess(which: NDArray[np.intp], shifts: Array) -> Array:
        values = np.concatenate([asked[i].at(shifts[i]) for i in which])
        return np.sqrt(likelihood_ratio(values)).reshape(len(which), -1) - critical

    which = np.arange(len(asked))
    inside, outside = np.zeros_like(guess), guess
    low, high = np.broadcast_to(-critical, guess.shape), excess(which, guess)
    for _ in range(60):
        short = (high < 0) & (outside != limit)
        which = short.any(axis=1).nonzero()[0]
        if not len(which):
            break
        inside, low = np.where(short, outside, inside), np.where(short, high, low)
        further = np.where(np.abs(2 * outside) < np.abs(limit), 2 * outside, limit)
        outside = np.where(short, further, outside)
        high[which] = np.where(short[which], excess(which, outside), high[which])
    unreached = high < 0
    # The root is nearly linear, so that false position needs few steps; halving the idle end's value keeps it moving.
    side, value, found = np.zeros_like(guess), np.zeros_like(guess), outside.copy()
    which = np.arange(len(asked))
    for _ in range(100):
        middle = outside - high * (outside - inside) / np.where(unreached, 1, high - low)
        middle = np.where(unreached, limit, middle)
        moved = np.any(np.abs(middle - found) > 1e-10 * np.abs(middle), axis=1)
        found[which] = middle[which]
        which = which[moved[which]]
        if not len(which):
            break
        value[which] = excess(which, middle)
        beyond = value >= 0
        low = np.where(beyond & (side > 0), low / 2, np.where(beyond, low, value))
        high = np.where(~beyond & (side < 0), high / 2, np.where(beyond, value, high))
        inside, outside = np.where(beyond, inside, middle), np.where(beyond & ~unreached, middle, outside)
        side = np.where(beyond, 1.0, -1.0)
    return found


def likelihood_ratio(values: Array) -> Array:
    """Twice the log of the balanced empirical likelihood ratio of a zero mean, for each row of values.

    Parameters
    ----------
    values : array of shape (candidates, prompts)

    Returns
    -------
    array of shape (candidates,)
        0 where the mean is zero, else above it. To be held against F with 1 and n - 1 degrees of freedom (Owen 1990).

    Notes
    -----
    Two pseudo-prompts are added that leave the mean as it is (Emerson and Owen 2009): one beyond zero, as far as 1.9
    standard deviations or, if that is further, as the furthest prompt on that side lies from the mean; one that
    balances it. A likelihood has the skewness of the sample; the pseudo-prompts stand for those that a small sample
    does not hold.

    References
    ----------
    Owen 1988, "Empirical likelihood ratio confidence intervals for a single functional", Biometrika 75. Owen 1990,
    "Empirical likelihood ratio confidence regions", Annals of Statistics 18. Emerson and Owen 2009, "Calibration of the
    empirical likelihood method for a vector mean", Electronic Journal of Statistics 3.
    """
    mean = values.mean(axis=1)
    towards = np.where(mean > 0, -1.0, 1.0)  # from the mean to zero
    apart = values - mean[:, None]
    spread = np.sqrt((apart**2).sum(axis=1) / (values.shape[1] - 1))
    reach = towards * np.maximum(BALANCE * spread, (apart * towards[:, None]).max(axis=1))
    z = np.column_stack([values, reach, 2 * mean - reach])
    n = z.shape[1]
    # The multiplier of the mean; no weight is above 1, which bounds it on both sides.
    low, high = (1 / n - 1) / z.max(axis=1), (1 / n - 1) / z.min(axis=1)
    multiplier = np.clip(mean / (z**2).mean(axis=1), low, high)
    rows, left, at = np.arange(len(z)), z, multiplier.copy()
    for _ in range(100):
        shares = left / (1 + at[:, None] * left)
        slope = shares.sum(axis=1)
        low, high = np.where(slope > 0, at, low), np.where(slope > 0, high, at)
        step = at + slope / (shares**2).sum(axis=1)
        multiplier[rows] = step = np.where((low < step) & (step < high), step, (low + high) / 2)
        # Newton's steps square the error: the one that is this short ends below rounding.
        is_open = np.abs(step - at) > 1e-8 * np.abs(step)
        if not is_open.any():
            break
        rows, left, at, low, high = (each[is_open] for each in (rows, left, step, low, high))
    found: Array = 2 * np.log1p(multiplier[:, None] * z).sum(axis=1).clip(0)
    return found


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
    t95, t90 = (t_quantile(tail, groups - 1) for tail in (0.025, 0.05))
    p = 2 * t_tail(abs(value) / se, groups - 1) if se else float(value == 0)
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
    return f_tail(total / mean, above, below)


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
    # The binomial test of one half, whose tails are equal.
    p = 2 * coin_tail(min(lost_pre, lost_post), lost_pre + lost_post)
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
