"""The validity suite: whether the verdicts keep the error rates and the metrics the directions that they promise.

    diversity validate --fast
    diversity validate --full --data FOLDER --out validity.json

What was found in a full run: docs/validity.md, written from the JSON of that run.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from diversity import __version__
from diversity.embedding import Embedder
from diversity.errors import MissingExtra, UnknownName
from diversity.files import written
from diversity.registry import Metric, find_metric
from diversity.validity import directions, rates, recorded
from diversity.validity.rates import Check, Progress
from diversity.validity.worlds import KINDS, MADE_UP, recorded_world

__all__ = ["PARTS", "Check", "Validity", "validate"]

PARTS = ("false-alarms", "coverage", "equivalence", "power", "real-law", "direction", "people", "replication")
EMBEDS = {"false-alarms", "real-law", "direction", "people", "replication"}
# Too slow for a sweep of this size, and references only: each has a fast sibling in the table.
SLOW = ("tree_edit_similarity", "ncd", "self_chrf", "edit_distance_characters")


@dataclass(frozen=True, slots=True, kw_only=True)
class Validity:
    """What the suite found.

    Attributes
    ----------
    checks : sequence of Check
    settings : mapping
        Size, seed, data, version: what the figures depend on.
    """

    checks: Sequence[Check]
    settings: Mapping[str, Any]

    @property
    def failures(self) -> list[Check]:
        """Checks that missed what was promised."""
        return [check for check in self.checks if check.passed is False]

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"settings": dict(self.settings), "checks": [check.to_dict() for check in self.checks]}

    def to_json(self, path: str | Path | None = None) -> str:
        """Return the findings as JSON, and write it where a path is given. Equal inputs give equal bytes."""
        text = json.dumps(self.to_dict(), sort_keys=True, indent=1, ensure_ascii=True, allow_nan=False) + "\n"
        return written(text, path)

    def table(self) -> pl.DataFrame:
        """One row a check: group, name, what was varied, nominal, found, interval, runs, passed, note."""
        rows = [
            {
                "group": c.group,
                "check": c.name,
                "cell": ", ".join(f"{k} {_shown(v)}" for k, v in c.cell.items() if k not in {"means", "levels"}),
                "nominal": _promise(c),
                "found": _shown(c.found),
                "low": c.low,
                "high": c.high,
                "runs": c.runs,
                "passed": c.passed,
                "note": c.note,
            }
            for c in self.checks
        ]
        return pl.DataFrame(rows, infer_schema_length=None)


def _promise(check: Check) -> str:
    if check.nominal is None:
        return ""
    if isinstance(check.nominal, str):
        return check.nominal
    sign = {"most": "at most ", "least": "at least ", "equal": ""}[check.at]
    return f"{sign}{check.nominal:g}"


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, (list, tuple)):
        return " -> ".join(_shown(v) for v in value)
    return "" if value is None else str(value)


def validate(
    *,
    full: bool = False,
    data: str | Path | None = None,
    only: Sequence[str] = (),
    seed: int = 0,
    embedder: Embedder | str | None = None,
    progress: Progress | None = None,
) -> Validity:
    """Run the validity suite.

    Parameters
    ----------
    full : bool
        A thousand runs a cell; some 25 minutes on one core. Else a slice of a minute or two, whose intervals are wide:
        it finds what is broken, not what is a little off.
    data : str or Path, optional
        A folder of recorded outputs (.parquet with columns of samples). Without it the outputs stored with the package
        stand for all real ones, and the checks against people and published figures are left out.
    only : subset of `PARTS`
        Run these parts alone.
    seed : int
        Equal seeds give equal bits.
    embedder : Embedder or str, optional
        As in `score`. Where none is installed the semantic facet is left out.
    progress : callable, optional
        Called with (what, done, total).

    Raises
    ------
    InputError, UnknownName
        The folder holds no table of outputs; a part nobody knows.
    """
    for name in only:
        if name not in PARTS:
            raise UnknownName("part of the suite", name, PARTS)
    tables = recorded.read_folder(data) if data else {}
    wanted = set(only or PARTS)
    if "short_texts_gpt35" not in tables:
        wanted.discard("replication")  # there is nothing to embed then
    if EMBEDS.isdisjoint(wanted):
        embedder = None
    elif embedder is None or isinstance(embedder, str):
        try:
            embedder = Embedder.load(embedder)
        except MissingExtra:
            embedder = None
    suite = _Suite(full, tables, seed, embedder, progress)
    checks: list[Check] = []
    for part in PARTS:
        if not only or part in only:
            checks += getattr(suite, part.replace("-", "_"))()
    settings = {
        "size": "full" if full else "fast",
        "seed": seed,
        "data": sorted(suite.data),
        "package": __version__,
        "embedding": embedder.signature if embedder else "",
        "parts": list(only) or list(PARTS),
    }
    return Validity(checks=checks, settings=settings)


@dataclass(slots=True)
class _Suite:
    full: bool
    data: Mapping[str, pl.DataFrame]
    seed: int
    embedder: Embedder | None
    progress: Progress | None
    _pools: list[rates.Pool] | None = None

    def pools(self) -> list[rates.Pool]:
        """Kernels of the stored outputs and of all recorded ones; scored once for every check that splits them."""
        if self._pools is None:
            own = recorded.stored().filter(pl.col("temperature") == 1.0)
            tables = {name: table for name, table in self.data.items() if _has_samples(table)}
            # Embedding some ten thousand recorded answers takes an hour; the stored ones stand for the semantic facet.
            self._pools = recorded.pools(tables, None, progress=self.progress)
            # The stored stories come last, and are what is taken as a law.
            self._pools += recorded.pools({"stored": own}, self.embedder, progress=self.progress)
        return self._pools

    def false_alarms(self) -> Iterator[Check]:
        """A/A on real and on made-up outputs."""
        options: dict[str, Any] = {"seed": self.seed, "progress": self.progress}
        if self.full:
            yield from rates.recorded_false_alarms(self.pools(), splits=1000, **options)
            yield from rates.made_up_false_alarms(runs=1000, **options)
            yield from rates.unbiased(runs=20_000, seed=self.seed)
        else:
            yield from rates.recorded_false_alarms(
                self.pools(), splits=400, prompts=(8, 12, 50), outputs=(4, 8), **options
            )
            yield from rates.made_up_false_alarms(runs=400, prompts=(8, 12, 25), outputs=(8,), **options)
            yield from rates.unbiased(runs=4000, seed=self.seed)

    def coverage(self) -> Iterator[Check]:
        """Intervals of known shifts."""
        options: dict[str, Any] = {"seed": self.seed, "progress": self.progress}
        if self.full:
            yield from rates.coverage(runs=1000, **options)
        else:
            yield from rates.coverage(runs=300, worlds=MADE_UP[:2], kinds=KINDS[2:3], prompts=(12, 20, 50), **options)

    def equivalence(self) -> Iterator[Check]:
        """No material change where there is one."""
        options: dict[str, Any] = {"seed": self.seed, "progress": self.progress}
        if self.full:
            yield from rates.equivalence_errors(runs=1000, **options)
        else:
            yield from rates.equivalence_errors(runs=400, worlds=MADE_UP[:2], prompts=(12, 50), **options)

    def power(self) -> Iterator[Check]:
        """Power curves."""
        options: dict[str, Any] = {"seed": self.seed, "progress": self.progress}
        if self.full:
            yield from rates.power(runs=100, prompts=(50, 100), outputs=(16,), **options)
        else:
            yield from rates.power(
                runs=100, worlds=MADE_UP[:1], effects=(0.1, 0.2), prompts=(50,), outputs=(16,), **options
            )

    def real_law(self) -> Iterator[Check]:
        """Coverage and power where the stored outputs are taken as all that a checkpoint can say."""
        options: dict[str, Any] = {"seed": self.seed, "progress": self.progress, "worlds": ()}
        facets = ("lexical", "semantic") if self.full and self.embedder is not None else ("lexical",)
        kernels = {facet: self.pools()[-1].stacked(4)[facet] for facet in facets}
        real = [recorded_world(f"{self.pools()[-1].name}, {facet}", own) for facet, own in kernels.items()]
        if self.full:
            yield from rates.coverage(runs=1000, recorded=real, **options)
            yield from rates.power(runs=100, recorded=real[:1], prompts=(50, 100), outputs=(16,), **options)
        else:
            yield from rates.coverage(runs=200, recorded=real, kinds=("skewed",), prompts=(20, 50), **options)

    def metrics(self) -> list[Metric]:
        """The metrics that claim a direction; all of them in a full run."""
        chosen = [m for m in directions.measured() if m.name not in SLOW]
        if self.embedder is None:
            chosen = [m for m in chosen if m.needs != "vectors"]
        return chosen if self.full else [m for m in chosen if m.default]

    def direction(self) -> Iterator[Check]:
        """The table of metrics and manipulations."""
        sweep = recorded.stored().filter(pl.col("temperature") != 1.0)
        sweeps = [
            directions.of_recorded(f"temperature, SmolLM2 {domain}", own)
            for (domain,), own in sorted(sweep.group_by(["domain"]), key=lambda g: g[0])
        ]
        todo = [*directions.MANIPULATIONS, *sweeps]
        n = 8 if self.full else 4
        table = list(
            directions.directions(
                todo, seed=self.seed, n=n, wanted=self.metrics(), embedder=self.embedder, progress=self.progress
            )
        )
        yield from table
        yield from directions.seen_somewhere(table)
        if self.embedder is not None:
            yield from directions.paraphrase_against_content(seed=self.seed, embedder=self.embedder)

    def people(self) -> Iterator[Check]:
        """Agreement with people, where their labels are at hand."""
        pairs = self.data.get("noveltybench_pairs")
        if pairs is not None:
            names = [
                "lexical.similarity",
                "syntactic.similarity",
                "self_bleu",
                "pair_bleu",
                "self_rouge_l",
                "jaccard_1",
            ]
            names += ["ncd", "edit_distance_words", "compression_ratio", "distinct_2"]
            if self.embedder is not None:
                names += ["semantic.similarity", "pairwise_cosine_distance", "vendi"]
            chosen = [find_metric(name) for name in names]
            yield from recorded.human_pairs(
                pairs, chosen, self.embedder, train=100 if self.full else 50, progress=self.progress
            )
        if "noveltybench" in self.data:
            table = self.data["noveltybench"]
            kept = table if self.full else table.filter(pl.col("checkpoint").is_in(["human"]))
            yield from recorded.human_classes(kept, self.embedder, progress=self.progress)

    def replication(self) -> Iterator[Check]:
        """Figures and directions that others reported."""
        if "noveltybench" in self.data:
            yield from recorded.contrasts(self.data["noveltybench"], progress=self.progress)
        for name in recorded.ACROSS:
            if name in self.data:
                yield from recorded.across_prompts(name, self.data[name])
        if "short_texts_gpt35" in self.data:
            yield from recorded.group_texts(self.data["short_texts_gpt35"], self.embedder, progress=self.progress)
        for target, reason in recorded.OUT_OF_REACH:
            yield Check(group="replication, out of reach", name=target, note=reason)


def _has_samples(table: pl.DataFrame) -> bool:
    if not {"checkpoint", "output"} <= set(table.columns):
        return False
    counts = table.group_by("checkpoint", "domain", "prompt_id").len()["len"]
    return bool((counts >= recorded.FEWEST_OUTPUTS).sum() >= recorded.FEWEST_PROMPTS)
