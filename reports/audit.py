"""An audit in words and tables: what tuning gave and what it took."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from diversity.reports.designs import Page, Table, written
from diversity.reports.notation import MISSING, change, number, percent, plural

if TYPE_CHECKING:
    from rich.console import RenderableType

    from diversity.audit import Audit
    from diversity.probes import Cell
    from diversity.shift import Shift

TITLE = "What tuning gave and what it took"
QUESTIONS = {
    "quality": "Do more outputs pass the domain's check?",
    "diversity": "Are the outputs more alike?",
    "calibration": "Is it as sure as it is right?",
    "cliff": "Does it fall off outside its domain?",
    "prompting": "Do prompting variants help?",
    "transfer": "Does it solve changed problems as well as familiar ones?",
    "formats": "Does it still answer in the form asked for?",
    "faithfulness": "Do its answers follow from its chains of thought?",
}
# Which measures of a probe stand for it in the first table: those that begin so.
LEADS = {
    "quality": ("valid outputs",),
    "diversity": tuple(f"{facet}, of 16 (primary)" for facet in ("lexical", "syntactic", "semantic", "functional")),
    "calibration": ("over-confidence", "shift of over-confidence"),
    "cliff": ("slope of accuracy",),
    "transfer": ("drop from familiar to variant",),
    "formats": ("compliance with the form asked for",),
    "faithfulness": ("answers that hang on the chain of thought",),
}
OPEN = {"cannot tell", "undecided", "inconclusive"}
NOTE = (
    "Intervals are 95 %, over prompts; of transfer over families of problems, of prompting over items. A "
    "direction needs an interval without 0, and every cell is judged on its own: of twenty cells without a "
    "shift one may show one. 'cannot tell' is said where accuracy is near chance or near 1, or where there are "
    "too few prompts, and is no sign that nothing was lost. Definitions: docs/probes.md."
)


def page(found: Audit) -> Page:
    """Lay an audit out."""
    return _laid_out(f"{TITLE}: {found.pre} → {found.post}", found.cells, found.tuned)


def section(shift: Shift) -> Page | None:
    """Lay out what the probes say of a comparison, as a part of its report; None where they say nothing."""
    from diversity.probes import Cell

    cells = [Cell(**cell) for cell in shift.probes]
    return _laid_out("What else tuning gave and took", cells, shift.settings.get("tuned", ())) if cells else None


def _laid_out(title: str, cells: Sequence[Cell], tuned: Sequence[str]) -> Page:
    leading = [c for c in cells if c.measure.startswith(LEADS.get(c.probe, ()))]
    told = Page(title=title, said=_said(leading, tuned), tables=[_first(leading, tuned)])
    for probe, question in QUESTIONS.items():
        own = [c for c in cells if c.probe == probe]
        if own:
            told.tables.append(_detail(question, own))
    told.notes.append(NOTE)
    return told


def _said(leading: Sequence[Cell], tuned: Sequence[str]) -> list[str]:
    gains, costs = ([c for c in leading if c.cost is want] for want in (False, True))
    unknown = sum(c.verdict in OPEN for c in leading)
    what = f"Tuned for {', '.join(tuned)}. " if tuned else ""
    return [
        "It gave: " + (_list(gains) or "nothing that this comparison can show") + ".",
        "It took: " + (_list(costs) or "nothing that this comparison can show") + ".",
        f"{what}Of {plural(len(leading), 'cell')} {unknown} cannot be told or {'is' if unknown == 1 else 'are'} "
        "undecided.",
    ]


def _list(cells: Sequence[Cell]) -> str:
    return "; ".join(f"{c.domain}, {c.probe}: {c.verdict}, {_size(c)}" for c in cells)


def _first(leading: Sequence[Cell], tuned: Sequence[str]) -> Table:
    """Probe x domain, the tuned domains before the others."""
    domains = list(dict.fromkeys(c.domain for c in leading if c.place != "tuned against outside"))
    domains.sort(key=lambda d: (d not in tuned, d))
    places = [f" ({'tuned' if d in tuned else 'outside'})" if tuned else "" for d in domains]
    columns = ["probe", *(f"{d}{place}" for d, place in zip(domains, places, strict=True)), "across"]
    rows = []
    for probe, question in QUESTIONS.items():
        own = [c for c in leading if c.probe == probe]
        if own:
            by_domain = {c.domain: c for c in own if c.domain in domains}
            rest = [c for c in own if c.domain not in domains]
            rows.append([question, *(_mark(by_domain.get(d)) for d in domains), _mark(rest[0] if rest else None)])
    if all(row[-1] == MISSING for row in rows):
        columns, rows = columns[:-1], [row[:-1] for row in rows]
    return Table(title="Probe by domain", columns=columns, rows=rows)


def _mark(cell: Cell | None) -> str:
    if cell is None:
        return MISSING
    sign = {True: "▼ took: ", False: "▲ gave: ", None: ""}[cell.cost]
    return f"{sign}{cell.verdict}" if cell.verdict == "cannot tell" else f"{sign}{cell.verdict}, {_size(cell)}"


def _size(cell: Cell) -> str:
    if cell.unit == "relative":
        return change(cell.shift, cell.low, cell.high)
    if cell.shift is None:
        return MISSING
    if cell.unit == "share":
        ends = MISSING if cell.low is None or cell.high is None else f"{percent(cell.low)} to {percent(cell.high)}"
        return f"{percent(cell.shift)} points ({ends})"
    return f"{number(cell.shift, signed=True)} ({number(cell.low, signed=True)} to {number(cell.high, signed=True)})"


def _level(cell: Cell, value: float | None) -> str:
    if value is None:
        return MISSING
    return f"{percent(value, signed=value < 0)} %" if cell.unit == "share" else number(value)


LAST = ("shift (95 %)", "verdict", "why")


def _detail(question: str, cells: Sequence[Cell]) -> Table:
    # Where no domain is told as the tuned one, none has a place.
    placed = any(c.place for c in cells)
    rows = []
    for c, more in _without_echoes(cells):
        measure = f"{c.measure}, and {plural(more, 'further measure')}" if more else c.measure
        figures = [str(c.n), _level(c, c.pre), _level(c, c.post), _size(c)]
        rows.append([c.domain, *([c.place] if placed else []), measure, *figures, c.verdict, c.why or MISSING])
    return Table(
        title=question,
        columns=["domain", *(["place"] if placed else []), "measure", "n", "pre", "post", *LAST],
        rows=rows,
        right=frozenset({"n", "pre", "post"}),
    )


def _without_echoes(cells: Sequence[Cell]) -> list[tuple[Cell, int]]:
    """The cells, each with how many follow that cannot be told for the same reason: it is said once a domain."""
    kept: list[tuple[Cell, int]] = []
    for c in cells:
        if kept and c.verdict == "cannot tell":
            last, more = kept[-1]
            if (last.domain, last.verdict, last.why) == (c.domain, c.verdict, c.why):
                kept[-1] = last, more + 1
                continue
        kept.append((c, 0))
    return kept


def markdown(found: Audit) -> str:
    """Write an audit as Markdown; names from data are escaped."""
    return written(page(found))


def html(found: Audit) -> str:
    """Write an audit as one self-contained page without scripts; everything is escaped."""
    from diversity.reports.html import sheet

    return sheet("design.html", page=page(found), kind="audit", levels=[], forests=[], axis="")


def terminal(found: Audit) -> RenderableType:
    """Return a rich renderable: the sentences and the first table."""
    from diversity.reports.designs import shown

    told = page(found)
    return shown(Page(title=told.title, said=told.said, tables=told.tables[:1], notes=told.notes))
