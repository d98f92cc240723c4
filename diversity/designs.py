"""Comparisons of more than two checkpoints: scored together, on the same prompts; and the trajectory."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import polars as pl

from diversity import __version__
from diversity.contrasts import contrast, trend
from diversity.corpus import ALL_PROMPTS
from diversity.errors import InputError, NotComparable
from diversity.files import written
from diversity.registry import domain_of
from diversity.scoring import ALL, ARROW, CONDITIONS, Progress, score
from diversity.shift import REFERENCE_SIZE, Shift, amended, compare, how_sampled, illustrated
from diversity.stats import MARGIN, Array, Estimate, holm, log_ratio, prompts_to_decide, verdict
from diversity.tables import Samples, Scores

if TYPE_CHECKING:
    from diversity.embedding import Embedder

Side = Samples | Scores | pl.DataFrame
DESIGN_SCHEMA = 1
SIMILARITY = ".similarity"

TREND: dict[str, pl.DataType] = {
    "domain": pl.String(),
    "facet": pl.String(),
    "n_prompts": pl.Int32(),
    "slope": pl.Float64(),
    "ci_low": pl.Float64(),
    "ci_high": pl.Float64(),
    "relative": pl.Float64(),
    "relative_low": pl.Float64(),
    "relative_high": pl.Float64(),
    "p": pl.Float64(),
    "p_adjusted": pl.Float64(),
    "page_l": pl.Float64(),
    "page_p": pl.Float64(),
    "spearman": pl.Float64(),
    "monotone": pl.Boolean(),
    "direction": pl.String(),
    "signature": pl.String(),
}
LEVELS: dict[str, pl.DataType] = {
    "domain": pl.String(),
    "facet": pl.String(),
    "place": pl.Int32(),
    "name": pl.String(),
    "stage": pl.String(),
    "n_prompts": pl.Int32(),
    "effective": pl.Float64(),
    "ci_low": pl.Float64(),
    "ci_high": pl.Float64(),
    "signature": pl.String(),
}


@dataclass(frozen=True, slots=True)
class Together:
    """Several checkpoints scored once, on the prompts that all of them answered.

    Attributes
    ----------
    names : list of str
        Of the checkpoints, in order; unlike each other.
    scores : list of Scores
        One a checkpoint. A prompt that one of them has no score for has none in the others either.
    between : polars.DataFrame
        Scores between two of them.
    samples : polars.DataFrame or None
        The outputs, where samples were given.
    """

    names: list[str]
    scores: list[Scores]
    between: pl.DataFrame
    samples: pl.DataFrame | None

    @classmethod
    def of(
        cls,
        sides: Sequence[Side],
        pairs: Sequence[tuple[int, int]],
        *,
        metrics: str | Sequence[str] = "default",
        conditions: Sequence[str] = CONDITIONS,
        embedder: Embedder | str | None = None,
        execute: bool | str = False,
        progress: Progress | None = None,
    ) -> Together:
        """Score the sides, and the pairs of them one against the other; raises as `compare` does."""
        if all(isinstance(side, Scores) for side in sides):
            if execute:
                raise InputError("scores hold no programs to execute: give samples, or execute when you score them")
            return cls._of_scores([side for side in sides if isinstance(side, Scores)])
        tables: list[Samples] = []
        for side in sides:
            if isinstance(side, Scores):
                raise InputError("some sides are Samples and others Scores: give all of a kind")
            tables.append(side if isinstance(side, Samples) else Samples.of(side))
        frames = _named_apart([t.frame for t in tables])
        names = [str(f["checkpoint"][0]) for f in frames]
        samples = _on_shared_prompts(frames)
        executed = dict.fromkeys(str(t.provenance["execution"]) for t in tables if t.provenance.get("execution"))
        scored = score(
            Samples.of(samples, {"execution": " > ".join(executed)} if executed else {}),
            metrics=metrics,
            conditions=conditions,
            pairs=[(names[i], names[j]) for i, j in dict.fromkeys(pairs)],
            embedder=embedder,
            execute=execute,
            progress=progress,
        )
        everywhere = _where_all_have_one(scored.frame, len(names))
        scores = [
            Scores.of(
                everywhere.filter(pl.col("checkpoint") == name),
                {**scored.provenance, "samples": dict(table.provenance)},
            )
            for name, table in zip(names, tables, strict=True)
        ]
        between = everywhere.filter(pl.col("checkpoint").str.contains(ARROW, literal=True))
        return cls(names, scores, between, samples)

    @classmethod
    def _of_scores(cls, tables: Sequence[Scores]) -> Together:
        is_between = pl.col("checkpoint").str.contains(ARROW, literal=True)
        frames = _named_apart([t.frame.filter(~is_between) for t in tables])
        names = [str(f["checkpoint"][0]) for f in frames]
        everywhere = _where_all_have_one(pl.concat(frames), len(names))
        scores = [
            Scores.of(everywhere.filter(pl.col("checkpoint") == name), _told_of(table.provenance, table.frame, name))
            for name, table in zip(names, tables, strict=True)
        ]
        between = pl.concat([t.frame.filter(is_between) for t in tables]).unique(maintain_order=True)
        return cls(names, scores, between, None)

    def shift(self, i: int, j: int, **options: Any) -> Shift:
        """Compare checkpoint j with checkpoint i."""
        pair = self.between.filter(pl.col("checkpoint") == ARROW.join((self.names[i], self.names[j])))
        before = Scores.of(pl.concat([self.scores[i].frame, pair]), self.scores[i].provenance)
        found = compare(before, self.scores[j], **options)
        return found if self.samples is None else illustrated(found, self.samples)

    @property
    def sampling(self) -> list[dict[str, Any]]:
        """What was recorded of the sampling of each checkpoint."""
        return [
            (s.provenance.get("sampling") or {}).get(name) or {}
            for s, name in zip(self.scores, self.names, strict=True)
        ]

    @property
    def stages(self) -> list[str]:
        """The stage of each checkpoint: what was recorded of it, else its name; unlike each other."""
        known = self.sampling
        stages = [str(own.get("stage") or name) for own, name in zip(known, self.names, strict=True)]
        return [f"{s} ({name})" if stages.count(s) > 1 else s for s, name in zip(stages, self.names, strict=True)]

    def similarities(self, condition: str = ALL) -> Iterator[tuple[tuple[str, str], Array]]:
        """Give (domain, facet) and the similarities, of shape (prompts, checkpoints); two prompts or more."""
        frame = pl.concat([s.frame for s in self.scores]).filter(
            (pl.col("condition") == condition) & pl.col("metric").str.ends_with(SIMILARITY)
        )
        order = {f: i for i, f in enumerate(("lexical", "syntactic", "semantic", "functional"))}
        groups = sorted(
            frame.drop_nulls("value").group_by(["domain", "facet"]), key=lambda g: (g[0][0], order[str(g[0][1])])
        )
        for (domain, facet), group in groups:
            wide = group.pivot(on="checkpoint", index="prompt_id", values="value").sort("prompt_id")
            if len(wide) >= 2:
                yield (str(domain), str(facet)), wide.select(self.names).to_numpy()


def _named_apart(frames: Sequence[pl.DataFrame]) -> list[pl.DataFrame]:
    """One checkpoint a frame; those that are called alike get their number in the order given."""
    for place, frame in enumerate(frames, 1):
        names = frame["checkpoint"].unique().sort()
        if len(names) != 1:
            raise InputError(
                f"checkpoint {place} of {len(frames)}: the table holds {len(names)} ({', '.join(names[:4])}): give "
                "one, or name it as FILE:CHECKPOINT"
            )
    called = [str(f["checkpoint"][0]) for f in frames]
    return [
        f.with_columns(pl.col("checkpoint") + f" ({place})") if called.count(name) > 1 else f
        for place, (name, f) in enumerate(zip(called, frames, strict=True), 1)
    ]


def _told_of(provenance: Mapping[str, Any], frame: pl.DataFrame, name: str) -> dict[str, Any]:
    """Provenance of scores whose checkpoint may have got a number to its name."""
    known = provenance.get("sampling") or {}
    first = str(frame["checkpoint"][0])
    return {**provenance, "sampling": {**known, name: known.get(name, known.get(first, {}))}}


def _on_shared_prompts(frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    key = ["domain", "prompt_id"]
    shared = frames[0].select(key).unique()
    for frame in frames:
        for domain in frame["domain"].unique().sort():
            domain_of(domain)
        shared = shared.join(frame.select(key).unique(), on=key, how="semi")
    if shared.is_empty():
        raise NotComparable("the checkpoints share no prompt: sample all of them on the same prompts")
    return pl.concat(frames, how="diagonal").join(shared, on=key, how="semi", maintain_order="left")


def _where_all_have_one(scores: pl.DataFrame, count: int) -> pl.DataFrame:
    """Make a score null where another checkpoint has none: all comparisons are then over the same prompts."""
    key = ["domain", "prompt_id", "metric", "condition"]
    is_between = pl.col("checkpoint").str.contains(ARROW, literal=True)
    complete = (
        scores.filter(~is_between & pl.col("value").is_not_null())
        .group_by(key)
        .agg(pl.col("checkpoint").n_unique() == count)
        .rename({"checkpoint": "complete"})
    )
    # Of guards each tells of its own checkpoint; scores over all prompts are over shared ones already.
    is_free = is_between | (pl.col("facet") == "guard") | pl.col("prompt_id").str.starts_with(ALL_PROMPTS)
    is_kept = is_free | pl.col("complete").fill_null(value=False)
    dropped = ~is_kept & pl.col("value").is_not_null()
    return (
        scores.join(complete, on=key, how="left", maintain_order="left")
        .with_columns(
            pl.when(dropped)
            .then(pl.coalesce("note", pl.lit("another checkpoint has no score")))
            .otherwise("note")
            .alias("note"),
            pl.when(is_kept).then("value").alias("value"),
        )
        .drop("complete")
    )


Claim = tuple[Shift, Mapping[tuple[str, str], Estimate]]


def claimed(claims: Sequence[Claim], more: Sequence[float] = ()) -> tuple[list[Shift], list[float]]:
    """Adjust the p of several comparisons as one family, and judge again by it.

    Parameters
    ----------
    claims : sequence of (Shift, estimates by domain and facet)
        What is claimed together. A Shift that stands there twice counts once.
    more : sequence of floats
        Further p values of the family.

    Returns
    -------
    list of Shift, list of float
        The same Shifts with p adjusted by Holm over all of their headlines and `more`; and the adjusted `more`.
    """
    unique = {id(shift): (shift, estimates) for shift, estimates in claims}
    places = [(k, key) for k, (_, estimates) in unique.items() for key in estimates]
    p = [unique[k][1][key].p for k, key in places] + list(more)
    adjusted = holm(np.array(p)) if p else np.array([])
    by_shift: dict[int, dict[tuple[str, str], float]] = {}
    for (k, key), value in zip(places, adjusted, strict=False):
        by_shift.setdefault(k, {})[key] = float(value)
    again = {k: _judged_again(s, e, by_shift.get(k, {})) for k, (s, e) in unique.items()}
    return [again[id(shift)] for shift, _ in claims], [float(v) for v in adjusted[len(places) :]]


def _judged_again(
    shift: Shift, estimates: Mapping[tuple[str, str], Estimate], adjusted: Mapping[tuple[str, str], float]
) -> Shift:
    margin = math.log1p(shift.settings["margin"])
    frame, judged = shift.frame.to_dicts(), shift.judged.to_dicts()
    for row in judged:
        key = row["domain"], row["facet"]
        if key not in adjusted:
            continue
        row["p_adjusted"] = adjusted[key]
        found = verdict(estimates[key], margin=margin, p_adjusted=adjusted[key])
        if found == row["verdict"]:
            continue
        # The larger family takes a direction back: what stood beside the direction goes with it.
        row |= {"verdict": found, "runs": "", "confounded_by": [], "lost_under": [], "untested_under": []}
        if found == "inconclusive":
            row["prompts_to_decide"] = prompts_to_decide(estimates[key], margin=margin)
    verdicts = {(r["domain"], r["facet"]): r["verdict"] for r in judged}
    for row in frame:
        key = row["domain"], row["facet"]
        if key in adjusted and row["condition"] == ALL and row["metric"] == f"{row['facet']}.effective":
            row |= {"p_adjusted": adjusted[key], "verdict": verdicts[key]}
    return replace(
        shift,
        frame=pl.DataFrame(frame, schema=shift.frame.schema),
        judged=pl.DataFrame(judged, schema=shift.judged.schema),
    )


class Design:
    """What the results of all designs can do: go to JSON and back, and be shown."""

    __slots__ = ()
    kind: ClassVar[str]

    def verdicts(self) -> pl.DataFrame:
        """Return what is claimed, a row each."""
        raise NotImplementedError

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values, `kind` among them; `from_dict` is the way back."""
        raise NotImplementedError

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Self:
        """Make the result of what `to_dict` gave; raises `InputError` for another kind or schema."""
        raise NotImplementedError

    @classmethod
    def _check(cls, record: Mapping[str, Any]) -> None:
        if record.get("kind") != cls.kind or record.get("schema") != DESIGN_SCHEMA:
            raise InputError(
                f"this is {record.get('kind') or 'no design'!s:.40} of schema {record.get('schema')!r:.20}, not a "
                f"{cls.kind} of schema {DESIGN_SCHEMA}: compare again"
            )

    def to_json(self, path: str | Path | None = None) -> str:
        """Return the result as JSON, and write it where a path is given. Equal inputs give equal bytes."""
        text = json.dumps(self.to_dict(), sort_keys=True, indent=1, ensure_ascii=True, allow_nan=False) + "\n"
        return written(text, path)

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read what `to_json` wrote; raises `InputError`."""
        try:
            return cls.from_dict(json.loads(Path(path).read_text(encoding="utf-8")))
        except FileNotFoundError:
            raise InputError(f"{path}: no such file: check the path") from None
        except InputError as error:
            raise InputError(f"{path}: {error}") from None
        except (ValueError, KeyError, TypeError, AttributeError, pl.exceptions.PolarsError):
            raise InputError(f"{path}: not a {cls.kind} that `diversity` wrote: compare again") from None

    def to_markdown(self, path: str | Path | None = None) -> str:
        """Return the verdicts as Markdown, and write them where a path is given."""
        from diversity.reports.designs import markdown

        return written(markdown(self), path)

    def to_html(self, path: str | Path | None = None) -> str:
        """Return the result as one self-contained page, and write it where a path is given."""
        from diversity.reports.designs import html

        return written(html(self), path)


def head(design: Design) -> dict[str, Any]:
    """The fields that the record of every design begins with."""
    return {"kind": design.kind, "schema": DESIGN_SCHEMA, "package": __version__}


@dataclass(frozen=True, slots=True, kw_only=True)
class Trajectory(Design):
    """An ordered list of checkpoints, each compared with the first and with the one before, on the same prompts.

    Attributes
    ----------
    names, stages : list of str
        Of the checkpoints in order: what they are called, and their stage (the name, where none is recorded).
    against_first, against_previous : list of Shift
        One a checkpoint from the second on. The second's is the same in both.
    trend : polars.DataFrame
        One row a domain x facet: `slope` of the log effective number a stage with its 95 % interval over prompts,
        `relative` the same as a fraction a stage, Page's trend test, Spearman's correlation of stage and effective
        number, and `direction`: "narrowing", "widening" or "" where none is shown at adjusted p of 0.05 or less.
    levels : polars.DataFrame
        One row a domain x facet x checkpoint: its effective number with a 95 % interval over prompts.
    settings : dict
        What the figures depend on.
    """

    kind: ClassVar[str] = "trajectory"

    names: list[str]
    stages: list[str]
    against_first: list[Shift]
    against_previous: list[Shift]
    trend: pl.DataFrame
    levels: pl.DataFrame
    settings: Mapping[str, Any]

    def verdicts(self) -> pl.DataFrame:
        """Return the rows of `Shift.verdicts` of all comparisons, which of them each row is of before them.

        `reference` is "first" or "previous"; `reference_stage` and `stage` are those of the two sides.
        """
        parts = []
        for reference, shifts in (("first", self.against_first), ("previous", self.against_previous)):
            for place, shift in enumerate(shifts):
                known = (
                    ("reference", reference),
                    ("reference_stage", self.stages[0 if reference == "first" else place]),
                    ("stage", self.stages[place + 1]),
                )
                parts.append(shift.judged.select(*(pl.lit(v).alias(k) for k, v in known), pl.all()))
        return pl.concat(parts)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values; `Trajectory.from_dict` is the way back."""
        return head(self) | {
            "names": list(self.names),
            "stages": list(self.stages),
            "against_first": [s.to_dict() for s in self.against_first],
            # The second checkpoint's reference is the first in both.
            "against_previous": [s.to_dict() for s in self.against_previous[1:]],
            "trend": self.trend.to_dicts(),
            "levels": self.levels.to_dicts(),
            "settings": dict(self.settings),
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Self:
        """Make a Trajectory of what `to_dict` gave; raises `InputError` for another kind or schema."""
        cls._check(record)
        first = [Shift.from_dict(s) for s in record["against_first"]]
        return cls(
            names=list(record["names"]),
            stages=list(record["stages"]),
            against_first=first,
            against_previous=[first[0], *map(Shift.from_dict, record["against_previous"])],
            trend=pl.DataFrame(record["trend"], schema=pl.Schema(TREND)),
            levels=pl.DataFrame(record["levels"], schema=pl.Schema(LEVELS)),
            settings=record["settings"],
        )


def trajectory(
    checkpoints: Sequence[Side],
    *,
    metrics: str | Sequence[str] = "default",
    conditions: Sequence[str] = CONDITIONS,
    embedder: Embedder | str | None = None,
    margin: float = MARGIN,
    seed: int = 0,
    allow_settings_differ: bool = False,
    execute: bool | str = False,
    progress: Progress | None = None,
) -> Trajectory:
    """Compare each checkpoint of an ordered list with the first and with the one before.

    Parameters
    ----------
    checkpoints : sequence of Samples, Scores or polars.DataFrame
        Three or more, one checkpoint each, in the order of training: base, SFT, DPO, merged. Samples are scored once,
        all together.
    metrics, conditions, embedder, margin, seed, allow_settings_differ, execute, progress
        As in `compare`.

    Returns
    -------
    Trajectory
        Only prompts that every checkpoint has a score for count, so that all comparisons are over the same ones. p is
        adjusted by Holm over all headlines of all comparisons and the trends: one family, since all are shown.

    Raises
    ------
    InputError, NotComparable, UnknownName
        As `compare`; fewer than three checkpoints.
    """
    if len(checkpoints) < 3:
        raise InputError(f"a trajectory of {len(checkpoints)} checkpoints: give three or more, or compare two")
    stages = len(checkpoints)
    pairs = [*((0, k) for k in range(1, stages)), *((k - 1, k) for k in range(2, stages))]
    together = Together.of(
        checkpoints,
        pairs,
        metrics=metrics,
        conditions=conditions,
        embedder=embedder,
        execute=execute,
        progress=progress,
    )
    options: dict[str, Any] = {"margin": margin, "seed": seed, "allow_settings_differ": allow_settings_differ}
    shifts = {pair: together.shift(*pair, **options) for pair in pairs}
    labels = together.stages
    settings = shifts[0, 1].settings
    measured = dict(together.similarities())
    claims = [
        (shifts[i, j], {key: log_ratio(s[:, i], s[:, j], **statistical(settings)) for key, s in measured.items()})
        for i, j in pairs
    ]
    trends = {key: trend(s, **statistical(settings)) for key, s in measured.items()}
    again, adjusted = claimed(claims, [t.slope.p for t in trends.values()])
    of = f"trajectory.{stages}"
    judged = {(i, j): signed_as(s, of=of, row=f"pair.{i}-{j}") for (i, j), s in zip(pairs, again, strict=True)}
    signed = signatures(judged[0, stages - 1])
    rows = []
    for ((domain, facet), found), p in zip(trends.items(), adjusted, strict=True):
        slope = found.slope
        is_shown = p <= 0.05 and (slope.interval[0] > 0 or slope.interval[1] < 0)
        rows.append(
            {
                "domain": domain,
                "facet": facet,
                "n_prompts": slope.n,
                **interval_columns(slope, "slope"),
                "p": slope.p,
                "p_adjusted": p,
                "page_l": found.page_l,
                "page_p": found.page_p,
                "spearman": found.spearman,
                "monotone": found.is_monotone,
                "direction": ("narrowing" if slope.estimate < 0 else "widening") if is_shown else "",
                "signature": amended(signed[domain, facet], row="trend"),
            }
        )
    return Trajectory(
        names=together.names,
        stages=labels,
        against_first=[judged[0, k] for k in range(1, stages)],
        against_previous=[judged[k - 1, k] for k in range(1, stages)],
        trend=pl.DataFrame(rows, schema=pl.Schema(TREND)),
        levels=levels_of(together, measured, settings, signed),
        settings={**settings, "family": len(again) * len(measured) + len(trends)},
    )


def statistical(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that an interval depends on."""
    return {"m": settings["m"], "seed": settings["seed"]}


def signatures(shift: Shift) -> dict[tuple[str, str], str]:
    """The signature of each headline, by domain and facet."""
    return {(r["domain"], r["facet"]): r["signature"] for r in shift.judged.iter_rows(named=True)}


def signed_as(shift: Shift, **parts: str) -> Shift:
    """The shift as a part of a design: its rows say of which design they are, and which rows of it."""
    frames = [
        frame.with_columns(signature=pl.Series([amended(own, **parts) for own in frame["signature"]], dtype=pl.String))
        for frame in (shift.frame, shift.judged)
    ]
    return replace(shift, frame=frames[0], judged=frames[1])


def interval_columns(estimate: Estimate, name: str) -> dict[str, float | None]:
    """An estimate on the log scale and as a relative change; without an interval where it has none."""
    low, high = (end if math.isfinite(end) else None for end in estimate.interval)
    return {
        name: estimate.estimate,
        "ci_low": low,
        "ci_high": high,
        "relative": math.expm1(estimate.estimate),
        "relative_low": None if low is None else math.expm1(low),
        "relative_high": None if high is None else math.expm1(high),
    }


def levels_of(
    together: Together,
    measured: Mapping[tuple[str, str], Array],
    settings: Mapping[str, Any],
    signed: Mapping[tuple[str, str], str],
) -> pl.DataFrame:
    """The effective number of each checkpoint with its interval over prompts; `signed` are rows of the design."""
    rows = []
    m, stages, sampling = settings.get("m", REFERENCE_SIZE), together.stages, together.sampling
    for (domain, facet), similarities in measured.items():
        for place, name in enumerate(together.names):
            found = contrast(similarities[:, [place]], (1.0,), **statistical(settings))
            low, high = (float(np.clip(np.exp(end), 1, m)) for end in found.interval)
            rows.append(
                {
                    "domain": domain,
                    "facet": facet,
                    "place": place,
                    "name": name,
                    "stage": stages[place],
                    "n_prompts": found.n,
                    "effective": math.exp(found.estimate),
                    "ci_low": low,
                    "ci_high": high,
                    "signature": amended(
                        signed[domain, facet], **how_sampled(sampling[place], sampling[place]), row=f"level.{place}"
                    )
                    if (domain, facet) in signed
                    else None,
                }
            )
    return pl.DataFrame(rows, schema=pl.Schema(LEVELS))
