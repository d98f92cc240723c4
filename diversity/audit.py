"""What tuning gave and what it took: diversity and the probes on one pair of checkpoints, in one table.

A cell is a probe on a domain, in the domains that the checkpoint was tuned for or outside them. Definitions of the
probes: docs/probes.md.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from diversity import __version__, confidence, probes
from diversity.confidence import CANNOT
from diversity.errors import InputError
from diversity.files import written
from diversity.probes import MATERIAL, OUTSIDE, TUNED, Cell, cell_of, place_of, risen
from diversity.registry import domain_of
from diversity.scoring import ALL, DEDUPLICATED, MATCHED, VALID, Progress
from diversity.shift import Shift, compare
from diversity.stats import FLOOR, Estimate
from diversity.tables import Samples

if TYPE_CHECKING:
    from diversity.embedding import Embedder
    from diversity.faithfulness import Faithfulness

__all__ = ["OUTSIDE", "TUNED", "Audit", "Cell", "audit"]

SCHEMA = 1
FACETS = ("lexical", "syntactic", "semantic", "functional")
CONDITIONS = (ALL, VALID, MATCHED, DEDUPLICATED)
# The domains that the probes bring; `diversity audit` samples them where it samples.
PROBE_DOMAINS = ("factual", "nli", "variants", "formats")


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """Diversity and the probes on one pair.

    Attributes
    ----------
    pre, post : str
    tuned : tuple of str
        Domains that the checkpoint was tuned for.
    cells : tuple of Cell
    settings : dict
    shift : Shift or None
        The comparison that the diversity cells are from; None when read from a file.
    """

    pre: str
    post: str
    tuned: tuple[str, ...]
    cells: tuple[Cell, ...]
    settings: dict[str, Any]
    shift: Shift | None = field(default=None, repr=False)

    def table(self) -> pl.DataFrame:
        """Return one row a cell."""
        return pl.DataFrame([asdict(c) for c in self.cells], infer_schema_length=None)

    def to_dict(self) -> dict[str, Any]:
        """Return all but the shift as plain values."""
        return {
            "schema": SCHEMA,
            "package": __version__,
            "pre": self.pre,
            "post": self.post,
            "tuned": list(self.tuned),
            "settings": self.settings,
            "cells": [asdict(c) for c in self.cells],
        }

    @classmethod
    def read(cls, path: str | Path) -> Audit:
        """Read what `to_json` wrote; raises `InputError`."""
        try:
            record = json.loads(Path(path).read_text(encoding="utf-8"))
            if record["schema"] != SCHEMA:
                raise InputError(f"{path}: has schema {record['schema']!r}, not {SCHEMA}: audit again")
            return cls(
                pre=record["pre"],
                post=record["post"],
                tuned=tuple(record["tuned"]),
                cells=tuple(Cell(**c) for c in record["cells"]),
                settings=record["settings"],
            )
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror or error}): check the path") from None
        except (ValueError, KeyError, TypeError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{path}: not what `diversity audit --out` wrote: audit again") from None

    def to_json(self, path: str | Path | None = None) -> str:
        """Return the audit as JSON, and write it where a path is given."""
        text = json.dumps(self.to_dict(), sort_keys=True, indent=1, ensure_ascii=True, allow_nan=False) + "\n"
        return written(text, path)

    def to_markdown(self, path: str | Path | None = None) -> str:
        """Return the report as Markdown, and write it where a path is given."""
        from diversity.reports.audit import markdown

        return written(markdown(self), path)

    def to_html(self, path: str | Path | None = None) -> str:
        """Return the report as one self-contained page, and write it where a path is given."""
        from diversity.reports.audit import html

        return written(html(self), path)


def audit(
    pre: Samples | pl.DataFrame,
    post: Samples | pl.DataFrame,
    *,
    tuned: str | Sequence[str],
    embedder: Embedder | str | None = None,
    execute: bool | str = False,
    margin: float = 0.10,
    seed: int = 0,
    allow_settings_differ: bool = False,
    faithful: Sequence[Faithfulness | Cell] = (),
    progress: Progress | None = None,
) -> Audit:
    """Run diversity and all probes that the samples allow.

    Parameters
    ----------
    pre, post : Samples or polars.DataFrame
        One checkpoint each, on the same prompts. Which probes are run follows from the domains: calibration from any
        whose quality is correctness, transfer from `variants`, prompting from `nli`, formats from `formats`.
    tuned : str or sequence of str
        Domains that the checkpoint was tuned for; the others are outside.
    embedder, execute, margin, seed, allow_settings_differ, progress
        As in `diversity.compare`. Without an embedding model there are no distances, and so no cliff, unless the
        prompts bring the detail `distance`.
    faithful : sequence of Faithfulness or Cell
        What `diversity.faithfulness.faithfulness` found on the pair, one a domain: it asks the checkpoints themselves.

    Returns
    -------
    Audit

    Raises
    ------
    InputError, NotComparable, UnknownName
        As `diversity.compare` does, and where no domain is told as the tuned one.
    """
    wanted = (tuned,) if isinstance(tuned, str) else tuple(tuned)
    if not wanted:
        raise InputError("no domain is named as the tuned one: say what the checkpoint was tuned for by --tuned")
    for name in wanted:
        domain_of(name)
    sides = [s if isinstance(s, Samples) else Samples.of(s) for s in (pre, post)]
    held = pl.concat([s.frame for s in sides], how="diagonal_relaxed")
    shift = compare(
        *sides,
        metrics=[*(f"{f}.similarity" for f in FACETS), "guard", *probes.metrics_for(held)],
        conditions=CONDITIONS,
        embedder=embedder,
        execute=execute,
        margin=margin,
        seed=seed,
        allow_settings_differ=allow_settings_differ,
        outputs="none",
        tuned=wanted,
        faithful=faithful,
        progress=progress,
    )
    cells = [*_quality(shift, wanted), *_diversity(shift, wanted), *(Cell(**p) for p in shift.probes)]
    return Audit(
        pre=shift.pre,
        post=shift.post,
        tuned=wanted,
        cells=tuple(cells),
        settings={
            "margin": margin,
            "seed": seed,
            "level": 0.95,
            "material_share": MATERIAL,
            "output_tokens": _tokens(sides),
        },
        shift=shift,
    )


def _tokens(sides: Sequence[Samples]) -> dict[str, list[float]]:
    """Mean tokens of an output before and after, by domain; those domains only where every output's are known."""
    found: dict[str, list[float]] = {}
    if all("output_tokens" in side.frame.columns for side in sides):
        means = [
            side.frame.group_by("domain").agg(
                pl.when(pl.col("output_tokens").null_count() == 0).then(pl.col("output_tokens").mean())
            )
            for side in sides
        ]
        both = means[0].join(means[1], on="domain", suffix="_post").drop_nulls().sort("domain")
        found = {domain: [pre, post] for domain, pre, post in both.iter_rows()}
    return found


# What tuning gave


def _quality(shift: Shift, tuned: Sequence[str]) -> list[Cell]:
    """The visible side: the share of outputs that pass the domain's check."""
    cells = []
    for row in shift.frame.filter((pl.col("metric") == "valid") & (pl.col("condition") == ALL)).to_dicts():
        if row["shift"] is None or row["domain"] == "formats":  # its validity is compliance, which has a probe
            continue
        low, high = row["ci_low"], row["ci_high"]
        estimate = Estimate(
            n=row["n_prompts"],
            pre=row["pre"],
            post=row["post"],
            estimate=row["shift"],
            se=math.nan if low is None else (high - low) / 4,
            interval=(-math.inf, math.inf) if low is None else (low, high),
            interval90=(-math.inf, math.inf) if low is None else (low, high),  # the wider one: never unchanged too soon
            p=row["p"],
        )
        judged = risen(estimate, up="better", down="worse", up_is_cost=False)
        # A check that all outputs pass, or none, has no room to move.
        chance = domain_of(row["domain"]).chance
        if max(row["pre"], row["post"]) <= (chance + confidence.CHANCE if chance else 0.02):
            judged = CANNOT, None, "floor: no more outputs pass the domain's check than by chance"
        elif min(row["pre"], row["post"]) >= 0.98:
            judged = "unchanged", None, "ceiling: nearly all outputs pass the domain's check"
        cell = cell_of("quality", "valid outputs", row["domain"], place_of(row["domain"], tuned), estimate, judged)
        cells.append(replace(cell, signature=row["signature"]))
    return cells


# What it took


def _diversity(shift: Shift, tuned: Sequence[str]) -> list[Cell]:
    cells = []
    for row in shift.verdicts().to_dicts():
        against = [*(f"confounded by {c}" for c in row["confounded_by"] or ())]
        against += [f"lost under {c}" for c in row["lost_under"] or ()]
        against += ["provisional"] if row["provisional"] else []
        # Against what the domain rewards is a cost. With it is no gain yet: answers may agree on what is wrong.
        cost = True if row["runs"] == "against" else None
        few = row["n_prompts"] < FLOOR
        why = f"{row['n_prompts']} prompts, {FLOOR} are needed" if few else ", ".join(against)
        cells.append(
            Cell(
                probe="diversity",
                measure=f"{row['facet']}, of 16" + (" (primary)" if row["primary"] else ""),
                domain=row["domain"],
                place=place_of(row["domain"], tuned),
                n=row["n_prompts"],
                unit="relative",
                pre=row["pre"],
                post=row["post"],
                shift=row["relative"],
                # Of a handful of prompts the interval reaches to absurd numbers.
                low=None if few else row["relative_low"],
                high=None if few else row["relative_high"],
                verdict=CANNOT if few else row["verdict"],
                cost=None if few else cost,
                why=why,
                signature=row["signature"],
            )
        )
    return cells
