"""Several runs of one recipe: what can be said of the recipe, and not of one checkpoint."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import polars as pl

from diversity.contrasts import influences
from diversity.designs import Design, Side, Together, head, interval_columns, signatures, signed_as, statistical
from diversity.errors import InputError
from diversity.pooling import Method, Pooled, random_effects
from diversity.registry import domain_of
from diversity.scoring import CONDITIONS, Progress
from diversity.shift import Shift, amended
from diversity.stats import MARGIN, PROVISIONAL, Array, Estimate, holm, log_ratio, verdict

if TYPE_CHECKING:
    from diversity.embedding import Embedder

FEWEST_RUNS = 4  # with three the interval of a random-effects mean is so wide that it says nothing

POOLED: dict[str, pl.DataType] = {
    "domain": pl.String(),
    "noun": pl.String(),
    "facet": pl.String(),
    "primary": pl.Boolean(),
    "k": pl.Int32(),
    "n_prompts": pl.Int32(),
    "shift": pl.Float64(),
    "ci_low": pl.Float64(),
    "ci_high": pl.Float64(),
    "relative": pl.Float64(),
    "relative_low": pl.Float64(),
    "relative_high": pl.Float64(),
    "predicted_low": pl.Float64(),
    "predicted_high": pl.Float64(),
    "between_runs": pl.Float64(),
    "i2": pl.Float64(),
    "p": pl.Float64(),
    "p_adjusted": pl.Float64(),
    "verdict": pl.String(),
    "provisional": pl.Boolean(),
    "note": pl.String(),
    "signature": pl.String(),
}
FOREST: dict[str, pl.DataType] = {
    "domain": pl.String(),
    "facet": pl.String(),
    "pre_name": pl.String(),
    "post_name": pl.String(),
    "n_prompts": pl.Int32(),
    "pre": pl.Float64(),
    "post": pl.Float64(),
    "relative": pl.Float64(),
    "relative_low": pl.Float64(),
    "relative_high": pl.Float64(),
    "weight": pl.Float64(),
    "verdict": pl.String(),
    "signature": pl.String(),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe(Design):
    """The shifts of several runs of one recipe, and their random-effects summary.

    Attributes
    ----------
    shifts : list of Shift
        One a run. Their own verdicts are about that run only, each adjusted for its own family.
    pooled : polars.DataFrame
        One row a domain x facet, about the recipe: `shift` is the mean log ratio with its 95 % interval, over prompts
        and runs; `relative` the same as a fraction; `predicted_low` and `predicted_high` bound the relative shift of
        one further run; `between_runs` is the standard deviation of the true log ratios. Below 4 runs `verdict` is
        null and `note` says why.
    forest : polars.DataFrame
        One row a domain x facet x run.
    settings : dict
        What the figures depend on.
    """

    kind: ClassVar[str] = "recipe"

    shifts: list[Shift]
    pooled: pl.DataFrame
    forest: pl.DataFrame
    settings: Mapping[str, Any]

    def verdicts(self) -> pl.DataFrame:
        """Return one row a domain x facet about the recipe; see `pooled`."""
        return self.pooled

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values; `Recipe.from_dict` is the way back."""
        return head(self) | {
            "shifts": [s.to_dict() for s in self.shifts],
            "pooled": self.pooled.to_dicts(),
            "forest": self.forest.to_dicts(),
            "settings": dict(self.settings),
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Self:
        """Make a Recipe of what `to_dict` gave; raises `InputError` for another kind or schema."""
        cls._check(record)
        return cls(
            shifts=[Shift.from_dict(s) for s in record["shifts"]],
            pooled=pl.DataFrame(record["pooled"], schema=pl.Schema(POOLED)),
            forest=pl.DataFrame(record["forest"], schema=pl.Schema(FOREST)),
            settings=record["settings"],
        )


def recipe(
    pairs: Sequence[tuple[Side, Side]],
    *,
    method: Method = "PM",
    metrics: str | Sequence[str] = "default",
    conditions: Sequence[str] = CONDITIONS,
    embedder: Embedder | str | None = None,
    margin: float = MARGIN,
    seed: int = 0,
    allow_settings_differ: bool = False,
    execute: bool | str = False,
    progress: Progress | None = None,
) -> Recipe:
    """Summarise the shifts of several runs of one recipe: seeds of training, or checkpoints tuned the same way.

    Parameters
    ----------
    pairs : sequence of (pre, post)
        Two or more, each as `compare` takes it, all on the same prompts. A table that stands in several pairs is one
        checkpoint: give the same pre to all where the runs began from one. Further seeds of sampling are no runs: put
        their outputs into one table.
    method : "PM", "REML" or "DL"
        How the variance between runs is estimated; see `diversity.pooling.random_effects`.
    metrics, conditions, embedder, margin, seed, allow_settings_differ, execute, progress
        As in `compare`.

    Returns
    -------
    Recipe
        The verdict is about runs that were not made and prompts that were not asked. Runs share their prompts, and
        mostly their pre: that error moves all of them alike and the spread between runs does not show it, so it is
        estimated from the prompts and added.

    Raises
    ------
    InputError, NotComparable, UnknownName
        As `compare`; fewer than two pairs.
    """
    if len(pairs) < 2:
        raise InputError(f"a recipe needs two runs or more, and {len(pairs)} is given: give more, or compare the one")
    sides: list[Side] = []
    places: list[tuple[int, int]] = []
    for pair in pairs:
        for side in pair:
            if not any(side is known for known in sides):
                sides.append(side)
        one, other = (next(i for i, known in enumerate(sides) if known is side) for side in pair)
        places.append((one, other))
    if len({post for _, post in places}) < len(places):
        raise InputError("two pairs of the recipe have the same post: give each run once")
    together = Together.of(
        sides,
        places,
        metrics=metrics,
        conditions=conditions,
        embedder=embedder,
        execute=execute,
        progress=progress,
    )
    of = f"recipe.{method}.{'+'.join(f'{i}-{j}' for i, j in places)}"
    shifts = [
        signed_as(
            together.shift(i, j, margin=margin, seed=seed, allow_settings_differ=allow_settings_differ),
            of=of,
            row=f"run.{run}",
        )
        for run, (i, j) in enumerate(places)
    ]
    settings = {**shifts[0].settings, "pooling": method}
    signed = signatures(shifts[0])
    own = {(k, r["domain"], r["facet"]): r for k, s in enumerate(shifts) for r in s.judged.iter_rows(named=True)}
    rows: list[dict[str, Any]] = []
    forest: list[dict[str, Any]] = []
    for (domain, facet), similarities in together.similarities():
        estimates = [log_ratio(similarities[:, i], similarities[:, j], **statistical(settings)) for i, j in places]
        found = pool(similarities, places, [e.estimate for e in estimates], method=method, m=settings["m"])
        spec = domain_of(domain)
        few = len(pairs) < FEWEST_RUNS
        rows.append(
            {
                "domain": domain,
                "noun": spec.noun,
                "facet": facet,
                "primary": facet == spec.primary,
                "k": found.k,
                "n_prompts": len(similarities),
                **interval_columns(_estimate(found, len(similarities)), "shift"),
                "predicted_low": math.expm1(found.prediction[0]),
                "predicted_high": math.expm1(found.prediction[1]),
                "between_runs": math.sqrt(found.tau2),
                "i2": found.i2,
                "p": found.p,
                "provisional": len(similarities) < PROVISIONAL,
                "note": f"{found.k} runs are too few for a verdict about the recipe, {FEWEST_RUNS} the least"
                if few
                else None,
                "signature": amended(signed[domain, facet], ci="hksj+shared.t.95", row="pooled"),
                "estimate": None if few else _estimate(found, len(similarities)),
            }
        )
        for run, (estimate, weight) in enumerate(zip(estimates, found.weights, strict=True)):
            forest.append(
                {
                    "domain": domain,
                    "facet": facet,
                    "pre_name": shifts[run].pre,
                    "post_name": shifts[run].post,
                    "n_prompts": estimate.n,
                    "pre": estimate.pre,
                    "post": estimate.post,
                    **{k: v for k, v in interval_columns(estimate, "shift").items() if k in FOREST},
                    "weight": float(weight),
                    "verdict": own[run, domain, facet]["verdict"],
                    "signature": amended(own[run, domain, facet]["signature"], row=f"forest.{run}"),
                }
            )
    claims = [r for r in rows if r["estimate"] is not None]
    for row, p in zip(claims, holm(np.array([r["p"] for r in claims])) if claims else (), strict=True):
        row["p_adjusted"] = float(p)
        row["verdict"] = verdict(row["estimate"], margin=math.log1p(margin), p_adjusted=float(p))
    return Recipe(
        shifts=shifts,
        pooled=pl.DataFrame([{k: r.get(k) for k in POOLED} for r in rows], schema=pl.Schema(POOLED)),
        forest=pl.DataFrame(forest, schema=pl.Schema(FOREST)),
        settings={**settings, "family": len(claims)},
    )


def pool(
    similarities: Array,
    places: Sequence[tuple[int, int]],
    effects: Sequence[float],
    *,
    method: Method = "PM",
    m: int = 16,
) -> Pooled:
    """Summarise runs that were measured on the same prompts.

    Parameters
    ----------
    similarities : array of shape (prompts, checkpoints)
    places : sequence of (int, int)
        Columns of pre and post of each run.
    effects : sequence of floats
        Each run's log ratio.

    Returns
    -------
    Pooled
        The covariance of the runs' sampling errors is that of the prompts' influence on them; its mean over pairs of
        runs, if above 0, is what they share.
    """
    prompts = len(similarities)
    influence = np.column_stack([influences(similarities[:, i], similarities[:, j], m=m) for i, j in places])
    covariance = influence.T @ influence / (prompts - 1) / prompts
    k = len(places)
    shared = float(covariance.sum() - np.trace(covariance)) / (k * (k - 1))
    return random_effects(
        np.array(effects), np.diag(covariance), method=method, shared=max(0.0, shared), shared_df=prompts - 1
    )


def _estimate(found: Pooled, prompts: int) -> Estimate:
    return Estimate(
        n=prompts,
        pre=math.nan,
        post=math.nan,
        estimate=found.mean,
        se=found.se,
        interval=found.interval,
        interval90=found.interval90,
        p=found.p,
    )
