"""A Shift laid out by domain: what every form of report reads. Nothing is computed but the order of things."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from diversity.errors import UnknownName
from diversity.registry import find_metric
from diversity.reports.notation import MISSING, number, percent, share
from diversity.reports.plaintext import one_line
from diversity.reports.sentences import BEFORE_AND_AFTER, sides

if TYPE_CHECKING:
    from diversity.shift import Shift

Row = Mapping[str, Any]

# These stand beside every verdict, and say it when they were not recorded; any other guard stands there when its own
# shift is clear, and in the table of guards always.
GUARDS = {
    "words": "length",
    "valid": "valid",
    "refused": "refusals",
    "duplicates": "duplicates",
    "truncated": "truncated",
    "markdown": "markdown",
    "parse_failures": "do not parse",
}
LOST = "prompts lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """One guard of one domain. `is_clear` says that the 95 % interval of its shift leaves out zero."""

    name: str
    label: str
    pre: str
    post: str
    change: str
    is_clear: bool
    is_recorded: bool = True

    def __str__(self) -> str:
        if not self.pre:
            return f"{self.label} {self.post}"
        if not self.is_recorded:
            return f"{self.label} not recorded"
        return f"{self.label} {self.pre} → {self.post}" + (f" ({self.change})" if self.change else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainOutline:
    """All that a report says of one domain; `facets` has the primary one first."""

    name: str
    noun: str
    facets: list[Row]
    has_primary: bool
    guards: list[Guard]
    conditions: dict[str, list[Row]]
    metrics: list[Row]
    prompts: list[Row]
    examples: list[Row]

    @property
    def beside(self) -> list[Guard]:
        """The guards that stand beside the verdict."""
        return [g for g in self.guards if g.name in GUARDS or g.name == LOST or g.is_clear]

    @property
    def lead(self) -> Row:
        """The row that carries the domain's verdict: the primary facet's, else the first there is."""
        return self.facets[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """A Shift in the order in which a report tells it. `unjudged` names domains without any verdict."""

    pre: str
    post: str
    stages: tuple[str | None, str | None]
    m: int
    margin: float
    between: tuple[str, str]
    domains: list[DomainOutline]
    unjudged: list[str]

    @property
    def n_prompts(self) -> int:
        """Prompts of all domains."""
        return sum(len(domain.prompts) for domain in self.domains)

    @property
    def stage_words(self) -> str:
        """The stages of both checkpoints in words: the sign of a shift depends on them."""
        if self.stages == (None, None):
            return "stages not recorded"
        said = [one_line(str(stage), 30) if stage else "not recorded" for stage in self.stages]
        return f"stage {said[0]} before, {said[1]} after"


def outline(shift: Shift) -> Outline:
    """Lay a Shift out by domain."""
    verdicts = shift.verdicts().to_dicts()
    rows = shift.table().to_dicts()
    sampling = shift.provenance.get("sampling") or {}
    domains = [
        _domain(
            name,
            [v for v in verdicts if v["domain"] == name],
            [r for r in rows if r["domain"] == name],
            [p for p in shift.prompts if p["domain"] == name],
            [e for e in shift.examples if e["domain"] == name],
        )
        for name in dict.fromkeys(v["domain"] for v in verdicts)
    ]
    return Outline(
        pre=shift.pre,
        post=shift.post,
        stages=tuple((sampling.get(n) or {}).get("stage") for n in (shift.pre, shift.post)),  # type: ignore[arg-type]  # two names, two stages
        m=int(shift.settings.get("m", 16)),
        margin=float(shift.settings.get("margin", 0.1)),
        between=sides(shift) if domains else BEFORE_AND_AFTER,
        domains=domains,
        unjudged=sorted({r["domain"] for r in rows} - {d.name for d in domains}),
    )


def _domain(name: str, verdicts: list[Row], rows: list[Row], prompts: list[Row], examples: list[Row]) -> DomainOutline:
    facets = sorted(verdicts, key=lambda v: not v["primary"])
    conditions = {
        v["facet"]: [r for r in rows if r["metric"] == f"{v['facet']}.effective" and r["pre"] is not None]
        for v in facets
    }
    order = {c: i for i, c in enumerate(("all", "valid", "length-matched"))}
    for held in conditions.values():
        held.sort(key=lambda r: order.get(r["condition"], len(order)))
    return DomainOutline(
        name=name,
        noun=facets[0]["noun"],
        facets=facets,
        has_primary=bool(facets[0]["primary"]),
        guards=_guards([r for r in rows if r["facet"] == "guard" and r["condition"] == "all"], facets),
        conditions=conditions,
        metrics=rows,
        prompts=prompts,
        examples=examples,
    )


def _guards(rows: list[Row], facets: list[Row]) -> list[Guard]:
    known = {r["metric"]: r for r in rows if r["pre"] is not None}
    # Programs alone can fail to parse.
    named = [n for n in GUARDS if n in known or n != "parse_failures"]
    guards = [_guard(n, known.get(n)) for n in [*named, *sorted(set(known) - set(GUARDS))]]
    lost = max(f["prompts_lost"] or 0 for f in facets)
    return [
        *guards,
        Guard(name=LOST, label=LOST, pre="", post=str(lost), change="", is_clear=lost > 0),
    ]


def _guard(name: str, row: Row | None) -> Guard:
    label = GUARDS.get(name, name.replace("_", " "))
    if row is None:
        return Guard(name=name, label=label, pre=MISSING, post=MISSING, change="", is_clear=False, is_recorded=False)
    low, high = row["ci_low"], row["ci_high"]
    is_clear = low is not None and high is not None and (low > 0 or high < 0)
    if _is_share(name):
        size = f"{percent(row['shift'])} points" if row["shift"] else ""
        return Guard(
            name=name, label=label, pre=share(row["pre"]), post=share(row["post"]), change=size, is_clear=is_clear
        )
    unit = " words" if name == "words" else ""
    relative = row["relative"]
    return Guard(
        name=name,
        label=label,
        pre=_count(row["pre"]),
        post=_count(row["post"]) + unit,
        change=f"{percent(relative)} %" if relative and math.isfinite(relative) else "",
        is_clear=is_clear,
    )


def _is_share(name: str) -> bool:
    try:
        return find_metric(name).range == (0, 1)
    except UnknownName:
        return False


def _count(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 10 else number(value)


def title(told: Outline) -> str:
    """Say the verdicts of all domains in one line: 'Programs narrowed, stories widened'.

    A verdict that does not stand as it is carries its mark; beyond three domains they are counted.
    """
    if not told.domains:
        return "Nothing to compare"
    if len(told.domains) > 3:
        counts = Counter(d.lead["verdict"] for d in told.domains)
        said = [
            f"{verdict} in {counts[verdict]}"
            for verdict in ("narrowed", "widened", "no material change", "inconclusive")
            if counts[verdict]
        ]
        line = f"Of {len(told.domains)} domains: {', '.join(said)}"
    else:
        line = ", ".join(_clause(d) for d in told.domains)
    return line[:1].upper() + line[1:]


def _clause(domain: DomainOutline) -> str:
    verdict = domain.lead["verdict"]
    said = {
        "no material change": f"{domain.noun} not materially changed",
        "inconclusive": f"{domain.noun} undecided",
    }.get(verdict, f"{domain.noun} {verdict}")
    return f"{said} (confounded)" if domain.lead["confounded_by"] else said
