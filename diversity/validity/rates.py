"""Error rates: false alarms, coverage, equivalence and power, of the very functions that `compare` calls.

The interval is the envelope of two and holds the t interval, which is quick to compute for thousands of experiments at
once. Where the t interval holds 0 there is no alarm, and where it holds the truth there is no miss; the rest, some
one in twenty, go through `stats.log_ratio` and `stats.verdict` themselves.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diversity.stats import FLOOR, MARGIN, Estimate, holm, log_ratio, verdict
from diversity.validity.worlds import (
    COLLAPSES,
    HOPELESS,
    KINDS,
    MADE_UP,
    Array,
    Generator,
    World,
    estimated,
    scaled_to,
    shape_of_shift,
)

LEVEL = 0.05  # nominal rate of false alarms
PROMPT_COUNTS, OUTPUT_COUNTS = (8, 12, 25, 50, 100), (4, 8, 16)
COVERED_COUNTS = (12, 20, 50, 100)
DEFAULT_BUDGET = 100, 16  # prompts a domain holds, outputs a prompt


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One row of the suite: what was asked, what was found, and whether that is as promised.

    Attributes
    ----------
    group, name : str
    cell : mapping
        What was varied: prompts, outputs, world.
    nominal : float or str
        The promised rate or direction. `at` says on which side of it the found rate must lie: "most", "least", "equal".
    found : float, str or None
    low, high : float or None
        95 % interval of what was found (Clopper and Pearson 1934 for a rate).
    runs : int
        Experiments, or prompts for a direction.
    passed : bool or None
        None where nothing is promised.
    note : str
    """

    group: str
    name: str
    cell: Mapping[str, Any] = field(default_factory=dict)
    nominal: float | str | None = None
    at: str = "most"
    found: float | str | None = None
    low: float | None = None
    high: float | None = None
    runs: int = 0
    passed: bool | None = None
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self) | {"cell": dict(self.cell)}


def stream(seed: int, purpose: int, name: str) -> Generator:
    """Random numbers of one check's own, whatever other checks are run."""
    return np.random.default_rng([seed, purpose, *name.encode()])


def binomial(hits: int, runs: int) -> tuple[float, float]:
    """Exact 95 % interval of a rate (Clopper and Pearson 1934)."""
    from scipy.special import betaincinv

    low = float(betaincinv(hits, runs - hits + 1, 0.025)) if hits else 0.0
    high = float(betaincinv(hits + 1, runs - hits, 0.975)) if hits < runs else 1.0
    return low, high


def rate_check(group: str, name: str, hits: int, runs: int, nominal: float, at: str, **details: Any) -> Check:
    """A rate held to its nominal value.

    It fails where the whole binomial interval lies on the wrong side: a finite number of runs puts half of all
    methods that are exactly as good as promised on the wrong side by a little.
    """
    low, high = binomial(hits, runs)
    passed = low <= nominal if at == "most" else high >= nominal
    return Check(
        group=group,
        name=name,
        nominal=nominal,
        at=at,
        found=hits / runs,
        low=low,
        high=high,
        runs=runs,
        passed=passed,
        **details,
    )


@dataclass(frozen=True, slots=True)
class Screened:
    """Estimates of many experiments with their t intervals, which the interval of `stats` always holds."""

    pre: Array
    post: Array
    estimate: Array
    low: Array
    high: Array
    low90: Array
    high90: Array

    @classmethod
    def of(cls, pre: Array, post: Array, m: int = 16) -> Screened:
        """Screen experiments: arrays of shape (runs, prompts)."""
        from scipy.special import stdtrit

        n = pre.shape[1]
        mean_pre, mean_post = pre.mean(axis=1).clip(0), post.mean(axis=1).clip(0)
        estimate = np.log1p((m - 1) * mean_pre) - np.log1p((m - 1) * mean_post)
        a, b = (m - 1) / (1 + (m - 1) * mean_pre), (m - 1) / (1 + (m - 1) * mean_post)
        # Made a hair narrower than it is, so that rounding never hides an experiment from the real thing.
        se = (a[:, None] * pre - b[:, None] * post).std(axis=1, ddof=1) / math.sqrt(n) * (1 - 1e-9)
        t95, t90 = (float(stdtrit(n - 1, 1 - tail)) for tail in (0.025, 0.05))
        ends = (estimate - t95 * se, estimate + t95 * se, estimate - t90 * se, estimate + t90 * se)
        return cls(pre, post, estimate, *ends)

    def real(self, run: int) -> Estimate:
        """What `compare` computes of this experiment."""
        return log_ratio(self.pre[run], self.post[run])


def false_alarms(family: Sequence[tuple[Array, Array]]) -> int:
    """How many experiments call any facet of a family narrowed or widened, as `compare` does: with Holm."""
    screened = [Screened.of(*sides) for sides in family]
    outside = np.stack([(s.low > 0) | (s.high < 0) for s in screened]).any(axis=0)
    if screened[0].pre.shape[1] < FLOOR:
        return 0  # `verdict` is never a direction there
    alarms = 0
    for run in np.flatnonzero(outside):
        estimates = [s.real(int(run)) for s in screened]
        adjusted = holm(np.array([e.p for e in estimates]))
        called = [
            verdict(e, margin=math.log1p(MARGIN), p_adjusted=float(p)) for e, p in zip(estimates, adjusted, strict=True)
        ]
        alarms += any(v in {"narrowed", "widened"} for v in called)
    return alarms


@dataclass(frozen=True, slots=True)
class Pool:
    """Recorded outputs of one checkpoint as kernel matrices, by facet: a list of (N, N) matrices, a prompt each."""

    name: str
    kernels: Mapping[str, Sequence[Array]]

    def stacked(self, n: int) -> dict[str, Array]:
        """Kernels of the prompts with 2 n outputs or more, shape (prompts, outputs, outputs)."""
        sizes = [len(k) for k in next(iter(self.kernels.values()))]
        kept = [i for i, size in enumerate(sizes) if size >= 2 * n]
        if not kept:
            return {}
        least = min(sizes[i] for i in kept)
        return {facet: np.stack([own[i][:least, :least] for i in kept]) for facet, own in self.kernels.items()}


def halves(rng: Generator, kernels: Mapping[str, Array], n: int, splits: int) -> dict[str, tuple[Array, Array]]:
    """Split each prompt's outputs at random into two disjoint sets of n; similarities of shape (splits, prompts)."""
    prompts, size, _ = next(iter(kernels.values())).shape
    found = {facet: (np.empty((splits, prompts)), np.empty((splits, prompts))) for facet in kernels}
    for prompt in range(prompts):
        ranks = rng.random((splits, size)).argsort(axis=1).argsort(axis=1)
        for side, members in enumerate(((ranks < n), (ranks >= n) & (ranks < 2 * n))):
            chosen = members.astype(float)
            for facet, matrices in kernels.items():
                matrix = matrices[prompt] - np.diag(np.diag(matrices[prompt]))
                found[facet][side][:, prompt] = ((chosen @ matrix) * chosen).sum(axis=1) / (n * (n - 1))
    return found


def recorded_false_alarms(
    pools: Sequence[Pool],
    *,
    splits: int,
    seed: int,
    prompts: Sequence[int] = PROMPT_COUNTS,
    outputs: Sequence[int] = OUTPUT_COUNTS,
) -> Iterator[Check]:
    """A/A over recorded outputs: both sides are halves of one checkpoint's outputs to some of the prompts."""
    for pool in pools:
        rng = stream(seed, 1, pool.name)
        for n in outputs:
            kernels = pool.stacked(n)
            if not kernels:
                continue
            sides = halves(rng, kernels, n, splits)
            known = next(iter(kernels.values())).shape[0]
            for count in prompts:
                if count > known:
                    continue
                chosen = rng.random((splits, known)).argsort(axis=1)[:, :count]
                family = [
                    (np.take_along_axis(a, chosen, axis=1), np.take_along_axis(b, chosen, axis=1))
                    for a, b in sides.values()
                ]
                yield rate_check(
                    "false alarms",
                    pool.name,
                    false_alarms(family),
                    splits,
                    LEVEL,
                    "most",
                    cell={"prompts": count, "outputs": n, "facets": len(family)},
                )


def made_up_false_alarms(
    *,
    runs: int,
    seed: int,
    worlds: Sequence[Callable[[Generator], World]] = MADE_UP,
    prompts: Sequence[int] = PROMPT_COUNTS,
    outputs: Sequence[int] = OUTPUT_COUNTS,
) -> Iterator[Check]:
    """A/A over made-up prompts, skewed and heavy-tailed ones among them: both sides drawn from the same law."""
    for make in worlds:
        rng = stream(seed, 2, make.__name__)
        world = make(rng)
        for n in outputs:
            for count in prompts:
                alarms = false_alarms([world.draw(rng, runs, count, n)]) if count >= FLOOR else 0
                yield rate_check(
                    "false alarms",
                    world.name,
                    alarms,
                    runs,
                    LEVEL,
                    "most",
                    cell={"prompts": count, "outputs": n, "facets": 1},
                )


# True log ratios of the effective numbers. A minority of prompts alone cannot carry the larger ones.
SHIFTS = {"one in five": -0.12, "one in twenty": -0.05, "widened": 0.15}
SHIFT = -0.25


def shifted(rng: Generator, base: World, kind: str) -> World | None:
    """A world under one shape of a shift of known size, None where it has none of that shape."""
    is_uniform = bool(np.allclose(base.pre, base.pre[:, :1]))
    if is_uniform and kind in {"widened", "exponential of skewed"}:
        return None  # equal chances cannot be made more equal, nor sharper
    how = "collapsed" if is_uniform or kind in COLLAPSES else "sharpened"
    return scaled_to(base, shape_of_shift(kind, rng, len(base.pre)), SHIFTS.get(kind, SHIFT), how)


def coverage(
    *,
    runs: int,
    seed: int,
    worlds: Sequence[Callable[[Generator], World]] = MADE_UP,
    recorded: Sequence[World] = (),
    kinds: Sequence[str] = (*KINDS, *HOPELESS),
    prompts: Sequence[int] = COVERED_COUNTS,
    outputs: int = 16,
) -> Iterator[Check]:
    """How often the 95 % interval holds a known truth, and how wide it is beside the oracle's.

    The oracle knows the law of the estimate: its interval reaches from the 2.5 % to the 97.5 % point of the estimates
    of all runs. No method that has to estimate its spread is narrower on average.
    """
    bases = [*(make(stream(seed, 3, make.__name__)) for make in worlds), *recorded]
    cases = [(base, kind) for base in bases for kind in kinds]
    for base, kind in cases:
        rng = stream(seed, 3, f"{base.name} {kind}")
        world = shifted(rng, base, kind)
        if world is None:
            continue
        truth = world.truth()
        for count in prompts:
            screened = Screened.of(*world.draw(rng, runs, count, outputs))
            missed = 0
            for run in np.flatnonzero((screened.low > truth) | (screened.high < truth)):
                low, high = screened.real(int(run)).interval
                missed += not low <= truth <= high
            cell = {"prompts": count, "outputs": outputs, "shift": kind, "truth": round(truth, 4)}
            if kind in HOPELESS:
                low, high = binomial(runs - missed, runs)
                yield Check(
                    group="coverage, nothing promised",
                    name=world.name,
                    cell=cell,
                    found=1 - missed / runs,
                    low=low,
                    high=high,
                    runs=runs,
                )
                continue
            nominal = 0.94 if count >= 20 else 0.92
            check = rate_check("coverage", world.name, runs - missed, runs, nominal, "least", cell=cell)
            yield check
            if not check.passed:
                yield ceiling(world, cell, runs=2 * runs, seed=seed)
            oracle = float(np.diff(np.quantile(screened.estimate, [0.025, 0.975]))[0])
            widths = np.array([np.diff(screened.real(run).interval)[0] for run in range(min(runs, 100))]) / oracle
            error = 1.96 * float(widths.std(ddof=1)) / math.sqrt(len(widths))
            # The oracle's own ends come from a finite number of runs: by the normal law some 2.7 / root(runs) of width.
            error = math.hypot(error, 1.96 * 1.34 / math.sqrt(runs))
            mean = float(widths.mean())
            yield Check(
                group="width",
                name=world.name,
                cell=cell,
                nominal=WIDEST if count >= 50 else None,
                found=mean,
                low=mean - error,
                high=mean + error,
                runs=len(widths),
                passed=mean - error <= WIDEST if count >= 50 else None,
            )


WIDEST = 1.15  # of the oracle's width, from 50 prompts up


def ceiling(world: World, cell: Mapping[str, Any], *, runs: int, seed: int) -> Check:
    """Find what coverage is to be had at all where a few prompts carry the shift.

    Take those prompts of the population that hold the most of the variance of the influence values. A sample without
    any of them is a sample of the world without them, and no method can tell. Grant it that it covers the truth in all
    other samples; in those without, let it be as wide as `WIDEST` times the oracle's of the world without them. Of the
    sets of prompts that hold 50, 60, ... 90 % of the variance the one is told that leaves the least coverage.
    """
    count, outputs = int(cell["prompts"]), int(cell["outputs"])
    order, held = world.by_influence()
    found: list[tuple[float, dict[str, float]]] = []
    for share in (0.5, 0.6, 0.7, 0.8, 0.9):
        few = int((held < share).sum()) + 1
        rest = world.only(np.sort(order[few:]))
        without = Screened.of(*rest.draw(np.random.default_rng([seed, 7]), runs, count, outputs)).estimate
        low, high = WIDEST * (np.quantile(without, [0.025, 0.975]) - rest.truth())
        distance = world.truth() - without
        covered = float(((-high <= distance) & (distance <= -low)).mean())
        chance = few / len(world.pre)
        none = (1 - chance) ** count
        seen = {"variance": share, "prompts_of": chance, "none": none}
        seen["at_most_one"] = none + count * chance * (1 - chance) ** (count - 1)
        found.append((1 - none * (1 - covered), seen))
    least, seen = min(found, key=lambda f: f[0])
    return Check(group="coverage, ceiling", name=world.name, cell={**cell, **seen}, found=least, runs=runs)


def equivalence_errors(
    *,
    runs: int,
    seed: int,
    worlds: Sequence[Callable[[Generator], World]] = MADE_UP,
    prompts: Sequence[int] = (12, 25, 50, 100),
    outputs: int = 16,
) -> Iterator[Check]:
    """How often "no material change" is said where the true shift is the margin itself."""
    for make in worlds:
        rng = stream(seed, 4, make.__name__)
        base = make(rng)
        margin = math.log1p(MARGIN)
        for kind in ("alike", "skewed"):
            world = scaled_to(base, shape_of_shift(kind, rng, len(base.pre)), -margin, "sharpened")
            for count in prompts:
                screened = Screened.of(*world.draw(rng, runs, count, outputs))
                errors = 0
                for run in np.flatnonzero((screened.low90 > -margin) & (screened.high90 < margin)):
                    errors += verdict(screened.real(int(run)), margin=margin) == "no material change"
                yield rate_check(
                    "equivalence",
                    world.name,
                    errors,
                    runs,
                    LEVEL,
                    "most",
                    cell={"prompts": count, "outputs": outputs, "shift": kind},
                )


EFFECTS = (0.05, 0.10, 0.15, 0.20, 0.30)


def power(
    *,
    runs: int,
    seed: int,
    worlds: Sequence[Callable[[Generator], World]] = MADE_UP,
    recorded: Sequence[World] = (),
    effects: Sequence[float] = EFFECTS,
    prompts: Sequence[int] = (25, 50, 100),
    outputs: Sequence[int] = (8, 16),
) -> Iterator[Check]:
    """Power curves: how often a narrowing of a known size is called one; nothing is promised but the numbers."""
    bases = [*((make, None) for make in worlds), *((None, world) for world in recorded)]
    for make, given in bases:
        rng = stream(seed, 5, make.__name__ if make else given.name if given else "")
        base = make(rng) if make else given
        assert base is not None
        how = "collapsed" if given is not None else "sharpened"
        hits = shape_of_shift("normal", rng, len(base.pre)).clip(0)
        worlds_of = {effect: scaled_to(base, hits, math.log1p(-effect), how) for effect in effects}
        for n in outputs:
            for count in prompts:
                curve = []
                for effect, world in worlds_of.items():
                    screened = Screened.of(*world.draw(rng, runs, count, n))
                    found = 0
                    for run in np.flatnonzero(screened.high < 0):
                        estimate = screened.real(int(run))
                        margin = math.log1p(MARGIN)
                        found += verdict(estimate, margin=margin, p_adjusted=estimate.p) == "narrowed"
                    low, high = binomial(found, runs)
                    curve.append(found / runs)
                    yield Check(
                        group="power",
                        name=world.name,
                        found=found / runs,
                        low=low,
                        high=high,
                        runs=runs,
                        cell={"prompts": count, "outputs": n, "effect": effect},
                    )
                smallest = _crossing(effects, curve, 0.8)
                yield Check(
                    group="smallest shift",
                    name=base.name,
                    found=smallest,
                    runs=runs,
                    cell={"prompts": count, "outputs": n},
                    note="" if smallest is not None else f"above {max(effects):.0%}",
                )


def _crossing(effects: Sequence[float], curve: Sequence[float], wanted: float) -> float | None:
    """Where a power curve reaches the wanted power, between the effects by a straight line."""
    before = (0.0, LEVEL / 2)
    for effect, found in zip(effects, curve, strict=True):
        if found >= wanted:
            slope = (wanted - before[1]) / (found - before[1]) if found > before[1] else 1.0
            return before[0] + slope * (effect - before[0])
        before = (effect, found)
    return None


def unbiased(*, runs: int, seed: int) -> Iterator[Check]:
    """Whether the mean of the estimated similarities is the true one at n = 2, 4, 8 and 16."""
    for make in MADE_UP:
        rng = stream(seed, 6, make.__name__)
        world = make(rng)
        for n in (2, 4, 8, 16):
            chosen: NDArray[np.int64] = rng.integers(len(world.pre), size=(runs, 1))
            found = estimated(rng, world.kernels, world.pre, chosen, n)[:, 0] - world.similarity("pre")[chosen[:, 0]]
            error = 1.96 * float(found.std(ddof=1)) / math.sqrt(runs)
            mean = float(found.mean())
            yield Check(
                group="bias",
                name=world.name,
                cell={"outputs": n},
                nominal=0.0,
                at="equal",
                found=mean,
                low=mean - error,
                high=mean + error,
                runs=runs,
                passed=abs(mean) <= 2 * error,
            )
