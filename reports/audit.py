"""An audit in words and tables: what tuning gave and what it took."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from diversity.reports.designs import Page, Table, written
from diversity.reports.notation import MISSING, change, number, percent, plural

if TYPE_CHECKING:
    from rich.console import RenderableType

    from diversity.audit import Audit, Cell

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
# Which measure of a probe stands for it in the first table.
LEADS = {
    "quality": "valid outputs",
    "diversity": "(primary)",
    "calibration": "over-confidence",
    "cliff": "slope of accuracy",
    "transfer": "drop from familiar to variant",
    "formats": "compliance with the form asked for",
    "faithfulness": "answers that hang on the chain of thought",
}


def page(found: Audit) -> Page:
    """Lay an audit out."""
    leading = [c for c in found.cells if c.probe in LEADS and LEADS[c.probe] in c.measure]
    told = Page(
        title=f"{TITLE}: {found.pre} → {found.post}", said=_said(found, leading), tables=[_first(found, leading)]
    )
    for probe, question in QUESTIONS.items():
        cells = [c for c in found.cells if c.probe == probe]
        if cells:
            told.tables.append(_detail(question, cells))
    told.notes.append(
        "Intervals are 95 %, over prompts; of transfer over families of problems, of prompting over items. A "
        "direction needs an interval without 0, and every cell is judged on its own: of twenty cells without a "
        "shift one may show one. 'cannot tell' is said where accuracy is near chance or near 1, or where there are "
        "too few prompts, and is no sign that nothing was lost. Definitions: docs/probes.md."
    )
    return told


def _said(found: Audit, leading: Sequence[Cell]) -> list[str]:
    gains, costs = ([c for c in leading if c.cost is want] for want in (False, True))
    open_cells = [c for c in leading if c.verdict in {"cannot tell", "undecided", "inconclusive"}]
    return [
        "It gave: " + (_list(gains) or "nothing that this audit can show") + ".",
        "It took: " + (_list(costs) or "nothing that this audit can show") + ".",
        f"Tuned for {', '.join(found.tuned)}. Of {plural(len(leading), 'cell')} {len(open_cells)} cannot be told or "
        "are undecided.",
    ]


def _list(cells: Sequence[Cell]) -> str:
    return "; ".join(f"{c.domain}, {c.probe}: {c.verdict} ({_size(c)})" for c in cells)


def _first(found: Audit, leading: Sequence[Cell]) -> Table:
    """Probe x domain, the tuned domains before the others."""
    domains = list(dict.fromkeys(c.domain for c in leading if c.place != "tuned against outside"))
    domains.sort(key=lambda d: (d not in found.tuned, d))
    columns = ["probe", *(f"{d} ({'tuned' if d in found.tuned else 'outside'})" for d in domains), "across"]
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
    return f"{percent(value, signed=value < 0)} %" if cell.unit == "share" else f"{value:.2f}"


def _detail(question: str, cells: Sequence[Cell]) -> Table:
    return Table(
        title=question,
        columns=["domain", "place", "measure", "n", "pre", "post", "shift (95 %)", "verdict", "why"],
        rows=[
            [
                c.domain,
                c.place,
                c.measure,
                str(c.n),
                _level(c, c.pre),
                _level(c, c.post),
                _size(c),
                c.verdict,
                c.why or MISSING,
            ]
            for c in cells
        ],
        right=frozenset({"n", "pre", "post"}),
    )


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
