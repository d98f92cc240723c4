"""Lost calibration and the capability cliff: confidence against correctness, over a domain's prompts.

A prompt is one point: a confidence, and whether the answer that it is about is right. Confidence is told by
agreement, by semantic entropy, or by the probability of the outputs; see `KINDS`. What a checkpoint loses outside the
domain it was tuned on is read from the same figures on other domains, and along a graded distance from the tuned one.
Definitions and traps: docs/probes.md.

References
----------
Xiao et al. 2025, arXiv:2505.01997 (calibration after preference tuning).
Kumar, Liang and Ma 2019, arXiv:1909.10155 (equal-mass bins, debiasing).
Murphy 1973, A new vector partition of the probability score.
Geifman and El-Yaniv 2017, arXiv:1705.08500 (risk against coverage).
Kuhn, Gal and Farquhar 2023, arXiv:2302.09664; Farquhar et al. 2024, Nature 630 (semantic entropy).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from diversity.corpus import ALL_PROMPTS, groups_of
from diversity.errors import InputError
from diversity.registry import domain_of
from diversity.scoring import ALL
from diversity.stats import FLOOR, Estimate, jackknife, mean_difference
from diversity.tails import t_quantile, t_tail
from diversity.views import NO_BEHAVIOUR

if TYPE_CHECKING:
    from diversity.embedding import Embedder
    from diversity.tables import Scores

Array = NDArray[np.float64]
Integers = NDArray[np.int64]
Figure = Callable[[Array, Array, Integers], float]

METRICS = (
    *("confidence", "modal_share", "accuracy", "modal_accuracy", "overconfidence", "brier", "confidently_wrong"),
    "entropy_confidence",
)
# Beside these, where the samples hold log-probabilities.
LIKELIHOOD = ("sequence_confidence", "sequence_accuracy", "token_confidence", "token_accuracy")
BINS, FEWEST_IN_BIN = 10, 5
CHANCE, CEILING = 0.05, 0.95  # accuracy this near to a guess, or from this on, says nothing of a shift
MATERIAL = 0.05  # over-confidence, in shares of the outputs, that matters


@dataclass(frozen=True, slots=True)
class Kind:
    """A way to tell a checkpoint's confidence in a prompt.

    Attributes
    ----------
    confidence, right : str
        The metrics of a prompt's confidence, and of whether the answer that it is about is right.
    says : str
        Where it is from, in words.
    is_share : bool
        Whether it can be held against a share of right answers; else it only ranks prompts.
    """

    confidence: str
    right: str
    says: str
    is_share: bool = True


AGREEMENT = "agreement"
KINDS = {
    AGREEMENT: Kind("modal_share", "modal_accuracy", "by agreement"),
    "entropy": Kind("entropy_confidence", "modal_accuracy", "by semantic entropy"),
    "token": Kind("token_confidence", "token_accuracy", "by probability a token"),
    "sequence": Kind("sequence_confidence", "sequence_accuracy", "by probability of the output", is_share=False),
}


# Figures over prompts: confidence and outcome of each prompt -> a number


def bins_of(confidence: Array) -> Integers:
    """Return the bin of each prompt: equal in mass as far as ties allow, 5 prompts a bin or more, 10 bins at most.

    Equal confidences share a bin, so that the order of the prompts does not count.
    """
    count = max(1, min(BINS, len(confidence) // FEWEST_IN_BIN))
    edges = np.quantile(confidence, np.arange(1, count) / count) if count > 1 else np.empty(0)
    found: Integers = np.unique(np.searchsorted(edges, confidence, side="left"), return_inverse=True)[1]
    return found


def ece(confidence: Array, right: Array, bins: Integers) -> float:
    """Expected calibration error: mean distance of confidence from accuracy over bins, without its bias.

    Parameters
    ----------
    confidence, right : arrays of shape (prompts,), in [0, 1]
    bins : array of shape (prompts,)
        As `bins_of` all prompts gave them.

    Returns
    -------
    float
        At most 1, lower is better; near 0 by chance below 0, since the bias of a finite bin is taken off: the mean of
        |N(gap, s)| less the gap, with s the standard error of the bin's gap (Kumar, Liang and Ma 2019, section 5).

    Examples
    --------
    >>> sure = np.full(20, 0.9)
    >>> round(ece(sure, np.zeros(20), bins_of(sure)), 6)
    0.9
    """
    total = 0.0
    for each in np.unique(bins):
        gaps = (confidence - right)[bins == each]
        gap = abs(float(gaps.mean()))
        se = float(gaps.std(ddof=1)) / math.sqrt(len(gaps)) if len(gaps) > 1 else 0.0
        total += len(gaps) * (2 * gap - _folded(gap, se))
    return total / len(confidence)


def _folded(mean: float, sd: float) -> float:
    """Mean of the absolute value of a normal variable."""
    if sd <= 1e-12:
        return abs(mean)
    z = mean / sd
    return sd * math.sqrt(2 / math.pi) * math.exp(-z * z / 2) + mean * math.erf(z / math.sqrt(2))


def brier(confidence: Array, right: Array, _: Integers) -> float:
    """Mean squared distance of confidence from the outcome; 0 is best."""
    return float((right * (1 - confidence) ** 2 + (1 - right) * confidence**2).mean())


def reliability(confidence: Array, right: Array, bins: Integers) -> float:
    """Part of the Brier score that is miscalibration: squared gaps of the bins; 0 is best (Murphy 1973)."""
    return sum(
        float((bins == b).mean()) * float((confidence[bins == b].mean() - right[bins == b].mean()) ** 2)
        for b in np.unique(bins)
    )


def resolution(confidence: Array, right: Array, bins: Integers) -> float:
    """Part of the Brier score that confidence earns by telling right from wrong; higher is better (Murphy 1973)."""
    return sum(
        float((bins == b).mean()) * float((right[bins == b].mean() - right.mean()) ** 2) for b in np.unique(bins)
    )


def uncertainty(confidence: Array, right: Array, _: Integers) -> float:
    """Part of the Brier score that lies in the prompts: a(1 - a), with a the accuracy (Murphy 1973).

    Brier = reliability - resolution + uncertainty, up to what confidences differ within a bin.
    """
    return float(right.mean() * (1 - right.mean()))


def auroc(confidence: Array, right: Array, _: Integers) -> float:
    """Chance that a prompt answered right has the higher confidence of two, ties counted half; nan if all are alike.

    Examples
    --------
    >>> shares = np.array([0.9, 0.8, 0.4])
    >>> auroc(shares, np.array([1.0, 0.0, 0.0]), bins_of(shares))
    1.0
    """
    _, at = np.unique(confidence, return_inverse=True)
    hits, misses = (np.bincount(at, weights=w) for w in (right, 1 - right))
    # Of one confidence and another prompt: half. No prompt is its own other, though an outcome may be half right.
    level = hits * misses - np.bincount(at, weights=right * (1 - right))
    below = np.cumsum(misses) - misses
    total = float(hits.sum() * misses.sum() - (right * (1 - right)).sum())
    return float((hits * below + level / 2).sum()) / total if total > 1e-12 else math.nan


def risk_coverage(confidence: Array, right: Array, _: Integers) -> float:
    """Area under the curve of risk over coverage: mean error among the k most confident prompts, over all k.

    In [0, 1], lower is better; prompts of one confidence are taken in random order, by expectation (Geifman and
    El-Yaniv 2017).
    """
    order = np.argsort(-confidence, kind="stable")
    _, tied = np.unique(-confidence[order], return_inverse=True)
    errors = np.bincount(tied, weights=1 - right[order]) / np.bincount(tied)
    return float((np.cumsum(errors[tied]) / np.arange(1, len(order) + 1)).mean())


def gap(confidence: Array, right: Array, _: Integers) -> float:
    """Mean confidence less the share that is right: over-confidence above 0."""
    return float((confidence - right).mean())


FIGURES: dict[str, Figure] = {
    "gap": gap,
    "ece": ece,
    "brier": brier,
    "reliability": reliability,
    "resolution": resolution,
    "uncertainty": uncertainty,
    "auroc": auroc,
    "risk_coverage": risk_coverage,
}

# Shifts


@dataclass(frozen=True, slots=True, kw_only=True)
class Points:
    """The paired per-prompt values of one domain.

    Attributes
    ----------
    domain : str
    prompts : tuple of str
        Prompts with every value on both sides.
    pre, post : mapping of metric to array of shape (prompts,)
    """

    domain: str
    prompts: tuple[str, ...]
    pre: Mapping[str, Array]
    post: Mapping[str, Array]

    @classmethod
    def of(
        cls,
        scores: Scores | pl.DataFrame,
        names: tuple[str, str],
        domain: str,
        metrics: Sequence[str] = METRICS,
        prompts: Sequence[str] | None = None,
    ) -> Points:
        """Pair the scores of two checkpoints by prompt; prompts that lack a value on a side are left out."""
        frame = scores if isinstance(scores, pl.DataFrame) else scores.frame
        own = frame.filter(
            (pl.col("domain") == domain)
            & (pl.col("condition") == ALL)
            & pl.col("metric").is_in(list(metrics))
            & ~pl.col("prompt_id").str.starts_with(ALL_PROMPTS)
        )
        if prompts is not None:
            own = own.filter(pl.col("prompt_id").is_in(list(prompts)))
        # Outputs of which none has a final answer agree on nothing and are not right: such a prompt must not drop out.
        silent = pl.col("value").is_null() & pl.col("note").str.starts_with(NO_BEHAVIOUR).fill_null(value=False)
        own = own.with_columns(pl.when(silent).then(0.0).otherwise(pl.col("value")).alias("value"))
        wide = own.pivot("metric", index=["checkpoint", "prompt_id"], values="value")
        wide = wide.with_columns(pl.lit(None, pl.Float64).alias(m) for m in metrics if m not in wide.columns)
        sides = [wide.filter(pl.col("checkpoint") == n).drop_nulls(list(metrics)).sort("prompt_id") for n in names]
        shared = sorted(set(sides[0]["prompt_id"]) & set(sides[1]["prompt_id"]))
        kept = [side.filter(pl.col("prompt_id").is_in(shared)) for side in sides]
        pre, post = ({m: side[m].to_numpy() for m in metrics} for side in kept)
        return cls(domain=domain, prompts=tuple(shared), pre=pre, post=post)

    def figure(self, figure: Figure, kind: str = AGREEMENT, *, level: bool = False) -> Estimate:
        """Post minus pre of a figure over all prompts, by the delete-group jackknife over prompts.

        The bins stay those of all prompts: bins drawn anew without a group would add their own leaps to the interval.

        Parameters
        ----------
        figure : one of `FIGURES`
        kind : a key of `KINDS`
        level : bool
            Estimate the figure after tuning in place of its shift.
        """
        of = KINDS[kind]
        before, after = (bins_of(side[of.confidence]) for side in (self.pre, self.post))
        pre, post = (
            lambda kept, side=side, bins=bins: figure(side[of.confidence][kept], side[of.right][kept], bins[kept])
            for side, bins in ((self.pre, before), (self.post, after))
        )
        return paired(self.prompts, (lambda _: 0.0) if level else pre, post)

    def overconfidence(self, kind: str = AGREEMENT, *, level: bool = False) -> Estimate:
        """Post minus pre of the over-confidence, or its level; by agreement the one that does not depend on n."""
        if kind != AGREEMENT:
            return self.figure(gap, kind, level=level)
        return self.level("overconfidence") if level else self.mean("overconfidence")

    def mean(self, metric: str) -> Estimate:
        """Post minus pre of the mean of a metric, by the same jackknife."""
        return paired(
            self.prompts,
            lambda kept: float(self.pre[metric][kept].mean()),
            lambda kept: float(self.post[metric][kept].mean()),
        )

    def level(self, metric: str, side: Literal["pre", "post"] = "post") -> Estimate:
        """Mean of a metric on one side, by the same jackknife; `estimate` is that mean."""
        values = getattr(self, side)[metric]
        return paired(self.prompts, lambda _: 0.0, lambda kept: float(values[kept].mean()))


def paired(
    prompts: Sequence[str],
    pre: Callable[[Integers], float],
    post: Callable[[Integers], float],
) -> Estimate:
    """Post minus pre of two figures over the same prompts: delete-group jackknife, up to 20 groups by prompt_id.

    The figures are handed the places of the prompts that are kept. An undefined figure (nan) gives an estimate of nan
    with a boundless interval.
    """
    n = len(prompts)
    if n == 0:
        return undefined()
    groups = groups_of(prompts)
    count = int(groups.max()) + 1
    everything = np.arange(n)
    before, after = pre(everything), post(everything)
    without = np.array(
        [
            math.nan if len(kept) == 0 else post(kept) - pre(kept)
            for kept in (everything[groups != group] for group in range(count))
        ]
    )
    shares = np.bincount(groups, minlength=count) / n
    if not math.isfinite(after - before):
        return undefined(n, before, after)
    return jackknife(after - before, without, shares, n=n, pre=before, post=after)


def undefined(n: int = 0, pre: float = math.nan, post: float = math.nan) -> Estimate:
    """An estimate of which nothing is known."""
    everywhere = -math.inf, math.inf
    return Estimate(
        n=n, pre=pre, post=post, estimate=math.nan, se=math.nan, interval=everywhere, interval90=everywhere, p=1.0
    )


def shift_of(pre: Array, post: Array) -> Estimate:
    """Mean of post minus pre where both are known, one value a prompt; undefined below two."""
    known = np.isfinite(pre) & np.isfinite(post)
    return mean_difference(pre[known], post[known]) if known.sum() > 1 else undefined(int(known.sum()))


def beyond(inside: Estimate, outside: Estimate) -> Estimate:
    """How much further a figure shifts outside the tuned domain than inside: their difference.

    The two are over different prompts, so their variances add; Student's t with the fewer degrees of freedom.
    """
    value = outside.estimate - inside.estimate
    se = math.hypot(inside.se, outside.se)
    n = min(inside.n, outside.n)
    if not (math.isfinite(value) and math.isfinite(se)) or n < 2:
        return undefined(n)
    df = max(1, min(n, 20) - 1)
    t95, t90 = (t_quantile(tail, df) for tail in (0.025, 0.05))
    return Estimate(
        n=n,
        pre=inside.estimate,
        post=outside.estimate,
        estimate=value,
        se=se,
        interval=(value - t95 * se, value + t95 * se),
        interval90=(value - t90 * se, value + t90 * se),
        p=2 * t_tail(abs(value) / se, df) if se else float(value == 0),
    )


def guard(points: Points) -> str:
    """Why the correctness of a domain's answers can tell nothing of a shift; empty where it can.

    Fewer than 10 prompts; or both sides within 0.05 of what a guess scores (the floor), or both at 0.95 and above
    (the ceiling).
    """
    n = len(points.prompts)
    if n < FLOOR:
        return f"{n} prompts with a right answer known, {FLOOR} are needed"
    pre, post = (float(side["accuracy"].mean()) for side in (points.pre, points.post))
    chance = domain_of(points.domain).chance
    if max(pre, post) <= chance + CHANCE:
        return f"floor: accuracy {pre:.2f} and {post:.2f} is near chance ({chance:.2f})"
    if min(pre, post) >= CEILING:
        return f"ceiling: accuracy {pre:.2f} and {post:.2f}"
    return ""


CANNOT = "cannot tell"
WRONG, BETTER, SAME, OPEN = "confidently wrong", "better calibrated", "calibration kept", "undecided"


def judge(points: Points, kind: str = AGREEMENT) -> tuple[str, str]:
    """Judge what tuning did to a domain's calibration: a verdict, and why where there is none.

    Parameters
    ----------
    points : Points
    kind : a key of `KINDS`
        How confidence is told; semantic entropy never overstates it, a probability a token may.

    Returns
    -------
    (str, str)
        "confidently wrong": over-confidence after tuning is above 0 and higher than before, both by the 95 % interval.
        "better calibrated": it is lower than before. "calibration kept": the 90 % interval of its shift lies within
        0.05 either way. "cannot tell" at floor and ceiling, else "undecided".
    """
    why = guard(points)
    if why:
        return CANNOT, why
    shift, level = points.overconfidence(kind), points.overconfidence(kind, level=True)
    if shift.se == 0 and shift.estimate:
        return OPEN, "no spread over prompts"
    if shift.interval[0] > 0 and level.interval[0] > 0:
        return WRONG, ""
    if shift.interval[1] < 0:
        return BETTER, ""
    if shift.interval90[0] > -MATERIAL and shift.interval90[1] < MATERIAL:
        return SAME, ""
    if shift.interval[0] > 0:
        return OPEN, "it rose, and is not above 0 after tuning"
    return OPEN, f"the interval of the shift holds 0 and {MATERIAL} on one side at least"


# The cliff


def slope(values: Array, distances: Array) -> float:
    """Change of a value per unit of distance, by least squares; nan where all distances are equal."""
    centred = distances - distances.mean()
    total = float(centred @ centred)
    return float(centred @ values) / total if total > 1e-12 else math.nan


def cliff(points: Points, distances: Mapping[str, float], metric: str = "accuracy", *, level: bool = False) -> Estimate:
    """Slope of a metric over the distance of its prompts from the tuned domain: pre, post, and their difference.

    Parameters
    ----------
    points : Points
        Of prompts at several distances; see `joined`.
    distances : mapping of prompt_id to float
        As graded by a user, or by `embedding_distances`.
    metric : str
        "accuracy" (a cliff is a slope that got steeper downwards) or "overconfidence" (upwards).
    level : bool
        Estimate the slope after tuning in place of its shift.

    Raises
    ------
    InputError
        A prompt has no distance.
    """
    missing = [p for p in points.prompts if p not in distances]
    if missing:
        raise InputError(f"prompt '{missing[0][:80]}' has no distance: grade it, or leave distances out")
    far = np.array([distances[p] for p in points.prompts], dtype=float)
    return paired(
        points.prompts,
        (lambda _: 0.0) if level else lambda kept: slope(points.pre[metric][kept], far[kept]),
        lambda kept: slope(points.post[metric][kept], far[kept]),
    )


def joined(parts: Sequence[Points]) -> Points:
    """Put the prompts of several domains into one, named DOMAIN/PROMPT."""
    metrics = [m for m in METRICS if all(m in part.pre for part in parts)]
    return Points(
        domain=" + ".join(part.domain for part in parts),
        prompts=tuple(f"{part.domain}/{p}" for part in parts for p in part.prompts),
        pre={m: np.concatenate([part.pre[m] for part in parts]) for m in metrics},
        post={m: np.concatenate([part.post[m] for part in parts]) for m in metrics},
    )


def graded_distances(domains: Sequence[str]) -> dict[str, float]:
    """Return the distances that prompts bring as their detail `distance`, by DOMAIN/PROMPT."""
    return {
        f"{name}/{prompt.prompt_id}": float(prompt.details["distance"])
        for name in domains
        for prompt in domain_of(name).prompts
        if "distance" in prompt.details
    }


def embedding_distances(texts: Mapping[str, str], tuned: Sequence[str], embedder: Embedder) -> dict[str, float]:
    """Distance of each prompt from the tuned domain: 1 less the cosine with the nearest of its other prompts.

    Parameters
    ----------
    texts : mapping of prompt name to its text
    tuned : sequence of str
        Texts of the tuned domain's prompts.
    """
    if not tuned:
        raise InputError("the tuned domain has no prompts to measure the distance from: give another as tuned")
    names = list(texts)
    near = embedder.encode(list(tuned)).astype(float)
    far = embedder.encode([texts[n] for n in names]).astype(float)
    cosines = far @ near.T
    for row, name in enumerate(names):
        for column, text in enumerate(tuned):
            if texts[name] == text and len(tuned) > 1:
                cosines[row, column] = -1
    return dict(zip(names, (1 - cosines.max(axis=1)).tolist(), strict=True))
