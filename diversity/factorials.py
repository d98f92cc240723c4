"""Two factors at once: which share of a shift comes with the template or temperature, which with the weights."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any, ClassVar, Self
from urllib.parse import quote

import numpy as np
import polars as pl

from diversity.contrasts import contrast
from diversity.designs import (
    LEVELS,
    Design,
    Side,
    Together,
    head,
    interval_columns,
    levels_of,
    signed_as,
    statistical,
)
from diversity.errors import InputError, NotComparable
from diversity.registry import domain_of
from diversity.scoring import ALL, CONDITIONS, Progress
from diversity.shift import amended
from diversity.stats import MARGIN, PROVISIONAL, Array, holm, verdict

if TYPE_CHECKING:
    from diversity.embedding import Embedder

EFFECTS: dict[str, pl.DataType] = {
    "domain": pl.String(),
    "noun": pl.String(),
    "facet": pl.String(),
    "primary": pl.Boolean(),
    "condition": pl.String(),
    "kind": pl.String(),
    "factor": pl.String(),
    "effect": pl.String(),
    "n_prompts": pl.Int32(),
    "shift": pl.Float64(),
    "ci_low": pl.Float64(),
    "ci_high": pl.Float64(),
    "relative": pl.Float64(),
    "relative_low": pl.Float64(),
    "relative_high": pl.Float64(),
    "share": pl.Float64(),
    "p": pl.Float64(),
    "p_adjusted": pl.Float64(),
    "verdict": pl.String(),
    "provisional": pl.Boolean(),
    "confounded_by": pl.List(pl.String()),
    "signature": pl.String(),
}
CLAIMED = ("total", "main", "interaction")
MUST_AGREE = ("top_p", "max_tokens")


@dataclass(frozen=True, slots=True, kw_only=True)
class Factorial(Design):
    """The effects of two factors on the effective number, and of their coming together.

    Attributes
    ----------
    factors : dict of str to list of str
        The two factors with their levels; the first level of each is what the others are compared with.
    names : list of str
        Checkpoints of the cells, the second factor changing fastest.
    effects : polars.DataFrame
        One row a domain x facet x condition x effect. `kind` is "total" (last cell against first), "main" (of one
        factor, averaged over the other), "simple" (of one factor at one level of the other) or "interaction" (how much
        a simple effect differs from one at the first level). `shift` is on the scale of the log effective number,
        where the main effects of a 2 x 2 design add up to the total; `share` is the part of the total, null where the
        two run against each other or the interval of the total holds 0. p is adjusted over totals, main effects and
        interactions of all answers.
    levels : polars.DataFrame
        One row a domain x facet x cell: its effective number with a 95 % interval over prompts.
    settings : dict
        What the figures depend on.
    """

    kind: ClassVar[str] = "factorial"

    factors: Mapping[str, list[str]]
    names: list[str]
    effects: pl.DataFrame
    levels: pl.DataFrame
    settings: Mapping[str, Any]

    def verdicts(self) -> pl.DataFrame:
        """Return totals, main effects and interactions of all answers, one row a domain x facet x effect."""
        return self.effects.filter((pl.col("condition") == ALL) & pl.col("kind").is_in(CLAIMED))

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values; `Factorial.from_dict` is the way back."""
        return head(self) | {
            # As a list: keys are sorted where JSON is written, and the order of the factors says what the cells are.
            "factors": [[name, list(levels)] for name, levels in self.factors.items()],
            "names": list(self.names),
            "effects": self.effects.to_dicts(),
            "levels": self.levels.to_dicts(),
            "settings": dict(self.settings),
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Self:
        """Make a Factorial of what `to_dict` gave; raises `InputError` for another kind or schema."""
        cls._check(record)
        return cls(
            factors={name: list(levels) for name, levels in record["factors"]},
            names=list(record["names"]),
            effects=pl.DataFrame(record["effects"], schema=pl.Schema(EFFECTS)),
            levels=pl.DataFrame(record["levels"], schema=pl.Schema(LEVELS)),
            settings=record["settings"],
        )


@dataclass(frozen=True, slots=True)
class _Effect:
    kind: str
    factor: str
    label: str
    weights: Array  # one a cell


def factorial(
    cells: Mapping[tuple[str, str], Side],
    *,
    factors: tuple[str, str] = ("checkpoint", "template"),
    metrics: str | Sequence[str] = "default",
    conditions: Sequence[str] = CONDITIONS,
    embedder: Embedder | str | None = None,
    margin: float = MARGIN,
    seed: int = 0,
    allow_settings_differ: bool = False,
    execute: bool | str = False,
    progress: Progress | None = None,
) -> Factorial:
    """Tell the effects of two factors apart.

    Parameters
    ----------
    cells : mapping of (level, level) to Samples, Scores or polars.DataFrame
        One checkpoint a cell, every combination of levels, all on the same prompts. The levels of a factor are
        compared with the one that is named first.
    factors : (str, str)
        What the two are called.
    metrics, conditions, embedder, margin, seed, execute, progress
        As in `compare`.
    allow_settings_differ : bool
        Let top-p and the token limit differ between cells. Temperature may: it can be a factor.

    Returns
    -------
    Factorial

    Raises
    ------
    InputError, NotComparable, UnknownName
        As `compare`; a cell is missing, or a factor has one level.

    Examples
    --------
    >>> diversity.factorial(
    ...     {
    ...         ("pre", "plain"): diversity.read_samples("runs/pre-plain"),
    ...         ("pre", "chat"): diversity.read_samples("runs/pre-chat"),
    ...         ("post", "plain"): diversity.read_samples("runs/post-plain"),
    ...         ("post", "chat"): diversity.read_samples("runs/post-chat"),
    ...     }
    ... )  # doctest: +SKIP
    """
    levels = [list(dict.fromkeys(cell[i] for cell in cells)) for i in (0, 1)]
    for name, own in zip(factors, levels, strict=True):
        if len(own) < 2:
            raise InputError(f"the factor '{name[:40]}' has one level: give two or more")
    grid = list(product(levels[0], levels[1]))
    if missing := [cell for cell in grid if cell not in cells]:
        raise InputError(f"there is no cell {' x '.join(missing[0])[:80]}: give every combination of levels")
    last = len(grid) - 1
    together = Together.of(
        [cells[cell] for cell in grid],
        [(0, last)],
        metrics=metrics,
        conditions=conditions,
        embedder=embedder,
        execute=execute,
        progress=progress,
    )
    if not allow_settings_differ:
        _check_settings(together)
    of = "factorial." + "*".join(
        f"{quote(name, safe='')}={'+'.join(quote(level, safe='') for level in own)}"
        for name, own in zip(factors, levels, strict=True)
    )
    total = signed_as(together.shift(0, last, margin=margin, seed=seed, allow_settings_differ=True), of=of)
    settings = total.settings
    signed = {
        (r["domain"], r["facet"], r["condition"]): r["signature"]
        for r in total.frame.iter_rows(named=True)
        if r["metric"].endswith(".effective")
    }
    judged = set(total.judged.select("domain", "facet").iter_rows())
    design = list(_effects(factors, levels, grid))
    rows: list[dict[str, Any]] = []
    for condition in conditions:
        for (domain, facet), similarities in together.similarities(condition):
            if (domain, facet) not in judged:
                continue
            spec = domain_of(domain)
            found = {e.label: contrast(similarities, e.weights, **statistical(settings)) for e in design}
            whole = found["total"]
            # Effects that run against each other are no parts of what is left of them.
            mains = [found[e.label].estimate * whole.estimate for e in design if e.kind == "main"]
            is_known = len(grid) == 4 and min(mains) >= 0 and not whole.interval[0] <= 0 <= whole.interval[1]
            for effect in design:
                estimate = found[effect.label]
                rows.append(
                    {
                        "domain": domain,
                        "noun": spec.noun,
                        "facet": facet,
                        "primary": facet == spec.primary,
                        "condition": condition,
                        "kind": effect.kind,
                        "factor": effect.factor,
                        "effect": effect.label,
                        "n_prompts": estimate.n,
                        **interval_columns(estimate, "shift"),
                        "share": estimate.estimate / whole.estimate if is_known and effect.kind == "main" else None,
                        "p": estimate.p,
                        "provisional": estimate.n < PROVISIONAL,
                        "confounded_by": [],
                        "signature": amended(
                            signed[domain, facet, condition], row=f"effect.{quote(effect.label, safe='')}"
                        ),
                        "estimate": estimate,
                    }
                )
    claims = [r for r in rows if r["condition"] == ALL and r["kind"] in CLAIMED]
    if not claims:
        raise NotComparable("no facet has two prompts with a score in every cell: sample all cells on the same prompts")
    shifts = {(r["domain"], r["facet"], r["effect"], r["condition"]): r["shift"] for r in rows}
    for row, p in zip(claims, holm(np.array([r["p"] for r in claims])), strict=True):
        row["p_adjusted"] = float(p)
        found_verdict = verdict(row["estimate"], margin=math.log1p(margin), p_adjusted=float(p))
        is_clear = found_verdict in {"narrowed", "widened"}
        row["verdict"] = "interaction" if is_clear and row["kind"] == "interaction" else found_verdict
        if is_clear:
            others = {c: shifts.get((row["domain"], row["facet"], row["effect"], c), 0.0) for c in conditions}
            row["confounded_by"] = [c for c, other in others.items() if other * row["shift"] < 0]
    return Factorial(
        factors=dict(zip(factors, levels, strict=True)),
        names=together.names,
        effects=pl.DataFrame([{k: r.get(k) for k in EFFECTS} for r in rows], schema=pl.Schema(EFFECTS)),
        levels=levels_of(
            together,
            dict(together.similarities()),
            settings,
            {(d, f): s for (d, f, c), s in signed.items() if c == ALL},
        ),
        settings={**settings, "family": len(claims)},
    )


def _effects(
    factors: tuple[str, str], levels: Sequence[Sequence[str]], grid: Sequence[tuple[str, str]]
) -> Iterator[_Effect]:
    """All contrasts of a two-factor design with the first level of each factor."""
    cell = {key: np.eye(len(grid))[i] for i, key in enumerate(grid)}
    rows, columns = levels
    yield _Effect("total", "", "total", cell[grid[-1]] - cell[grid[0]])
    simple: dict[tuple[int, str, str], Array] = {}
    for axis, (name, own, other) in enumerate(((factors[0], rows, columns), (factors[1], columns, rows))):
        for level in own[1:]:
            for at in other:
                here, first = ((level, at), (own[0], at)) if axis == 0 else ((at, level), (at, own[0]))
                simple[axis, level, at] = cell[here] - cell[first]
            mean = np.mean([simple[axis, level, at] for at in other], axis=0)
            yield _Effect("main", name, f"{name}: {own[0]} → {level}", mean)
        for level, at in product(own[1:], other):
            label = f"{name}: {own[0]} → {level} | {factors[1 - axis]}: {at}"
            yield _Effect("simple", name, label, simple[axis, level, at])
    is_square = len(grid) == 4
    for row, column in product(rows[1:], columns[1:]):
        label = " × ".join(factors) + ("" if is_square else f": {row} × {column}")
        yield _Effect("interaction", " × ".join(factors), label, simple[0, row, column] - simple[0, row, columns[0]])


def _check_settings(together: Together) -> None:
    for setting in MUST_AGREE:
        known: dict[Any, str] = {}
        for name, scores in zip(together.names, together.scores, strict=True):
            value = ((scores.provenance.get("sampling") or {}).get(name) or {}).get(setting)
            if value is not None:
                known.setdefault(value, name)
        if len(known) > 1:
            (a, one), (b, other) = list(known.items())[:2]
            raise NotComparable(
                f"{one[:40]} was sampled at {setting} {a}, {other[:40]} at {b}: sample one of them again, or pass "
                "--allow-settings-differ"
            )
