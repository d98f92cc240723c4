"""Several results set side by side: which recipe moved which domain, each line a comparison of its own."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import polars as pl

from diversity.designs import Design, Trajectory, head
from diversity.errors import InputError
from diversity.recipes import Recipe
from diversity.shift import Shift

ROWS: dict[str, pl.DataType] = {
    "name": pl.String(),
    "kind": pl.String(),
    "pre_name": pl.String(),
    "post_name": pl.String(),
    "domain": pl.String(),
    "facet": pl.String(),
    "primary": pl.Boolean(),
    "n_prompts": pl.Int32(),
    "prompts": pl.String(),
    "relative": pl.Float64(),
    "relative_low": pl.Float64(),
    "relative_high": pl.Float64(),
    "p_adjusted": pl.Float64(),
    "verdict": pl.String(),
}
# How a signature names the prompts it is over.
PROMPTS = re.compile(r"\|prompts:([^|]*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class SideBySide(Design):
    """Verdicts of several results, one row a result x domain x facet.

    Attributes
    ----------
    rows : polars.DataFrame
        `name` is what the result is called here; `prompts` names the prompts it is over, so that rows over other
        prompts can be told. Every p is adjusted in the family of its own result.
    settings : dict
        `m` and `margin`, the same in all of them.
    """

    kind: ClassVar[str] = "side by side"

    rows: pl.DataFrame
    settings: Mapping[str, Any]

    @classmethod
    def of(cls, results: Sequence[tuple[str, Shift | Design]]) -> Self:
        """Set results side by side: shifts, recipes, and of a trajectory its last checkpoint against its first.

        Raises
        ------
        InputError
            Fewer than two, another kind of result, or other margins or reference sizes.
        """
        if len(results) < 2:
            raise InputError("one result stands beside no other: give two or more")
        rows: list[dict[str, Any]] = []
        settings: dict[str, Any] = {}
        for name, result in _named_apart(results):
            shown = result.against_first[-1] if isinstance(result, Trajectory) else result
            if not isinstance(shown, Shift | Recipe):
                raise InputError(f"{name}: a {shown.kind} cannot stand beside others: give shifts and recipes")
            own = {key: shown.settings.get(key) for key in ("m", "margin")}
            if settings and own != settings:
                raise InputError(f"{name}: was compared with {own}, the others with {settings}: compare again")
            settings = own
            rows += _rows(name, shown)
        return cls(rows=pl.DataFrame(rows, schema=pl.Schema(ROWS)), settings=settings)

    def verdicts(self) -> pl.DataFrame:
        """Return the rows."""
        return self.rows

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values; `SideBySide.from_dict` is the way back."""
        return head(self) | {"rows": self.rows.to_dicts(), "settings": dict(self.settings)}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Self:
        """Make the result of what `to_dict` gave; raises `InputError` for another kind or schema."""
        cls._check(record)
        return cls(rows=pl.DataFrame(record["rows"], schema=pl.Schema(ROWS)), settings=record["settings"])


def _named_apart(results: Sequence[tuple[str, Shift | Design]]) -> list[tuple[str, Shift | Design]]:
    """Results of one name get their number in the order given."""
    names = [name for name, _ in results]
    return [
        (f"{name} ({place})" if names.count(name) > 1 else name, result)
        for place, (name, result) in enumerate(results, 1)
    ]


def _rows(name: str, shown: Shift | Recipe) -> list[dict[str, Any]]:
    if isinstance(shown, Shift):
        sides = shown.pre, shown.post
        kind = "shift"
    else:
        pres = dict.fromkeys(shift.pre for shift in shown.shifts)
        sides = ", ".join(pres), f"{len(shown.shifts)} runs"
        kind = Recipe.kind
    rows = []
    for row in shown.verdicts().to_dicts():
        found = PROMPTS.search(row["signature"] or "")
        rows.append(
            {key: row.get(key) for key in ROWS}
            | {"name": name, "kind": kind, "pre_name": sides[0], "post_name": sides[1]}
            | {"prompts": found[1] if found else None}
        )
    return rows
