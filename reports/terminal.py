"""The verdicts as a table for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from diversity.reports.notation import change, effective, percent, plural
from diversity.reports.outline import DomainOutline, Outline, outline
from diversity.reports.plaintext import one_line, visible
from diversity.reports.sentences import facet_word, marks, paragraph, symbol, what_would_change

if TYPE_CHECKING:
    from rich.console import RenderableType

    from diversity.shift import Shift

COLOURS = {"narrowed": "yellow", "widened": "cyan", "no material change": "green", "inconclusive": "dim"}


def render(shift: Shift) -> RenderableType:
    """Return a rich renderable: per domain a sentence, a row a facet, and the guards below.

    Whatever comes from data is plain text in it: no markup, no control characters.
    """
    told = outline(shift)
    parts: list[RenderableType] = [_heading(told)]
    for domain in told.domains:
        parts += _domain(domain, told)
    parts.append(Padding(_legend(told), (1, 0, 0, 0)))
    return Group(*parts)


def _heading(told: Outline) -> Text:
    names = [
        one_line(name) + (f" ({one_line(stage, 20)})" if stage else "")
        for name, stage in zip((told.pre, told.post), told.stages, strict=True)
    ]
    return Text.assemble("Shift in diversity: ", (names[0], "bold"), " → ", (names[1], "bold"))


def _domain(domain: DomainOutline, told: Outline) -> list[RenderableType]:
    lead = domain.lead
    size = f"{plural(lead['n_prompts'], 'prompt')}, {plural(lead['n_outputs'], 'output')}"
    rule = Rule(Text.assemble((one_line(domain.name, 40), "bold"), f"  {size} "), align="left", style="dim")
    said = paragraph(lead, m=told.m, margin=told.margin, between=told.between)
    if not domain.has_primary:
        said += " The domain's primary facet was not measured."
    guards = Text("Beside it: ", style="dim")
    for i, guard in enumerate(domain.beside):
        text = one_line(str(guard))
        guards.append(f"{', ' if i else ''}")
        guards.append(f"{text}{' !' if guard.is_clear else ''}", style="bold" if guard.is_clear else "")
    return [
        Padding(rule, (1, 0, 0, 0)),
        Text(visible(said)),
        Text(f"What would change this verdict: {visible(what_would_change(lead))}", style="dim"),
        Padding(_table(domain, told), (1, 0)),
        guards,
    ]


def _table(domain: DomainOutline, told: Outline) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("facet", no_wrap=True)
    table.add_column(f"of {told.m}", justify="right", no_wrap=True)
    table.add_column("shift (95 %)", justify="right", no_wrap=True)
    table.add_column("verdict", overflow="fold", min_width=20)
    table.add_column("reward", overflow="fold")
    lead = domain.lead
    for row in domain.facets:
        pre, post = effective(row["pre"], row["post"])
        verdict = Text(one_line(f"{symbol(row['verdict'])} {row['verdict']}"), style=COLOURS.get(row["verdict"], ""))
        for mark in marks(row):
            if mark == "provisional" and lead["provisional"]:
                continue  # the sentence above the table says it
            verdict.append(f"\n  {one_line(mark)}", style="dim")
        facet = Text(one_line(facet_word(row["facet"])), style="bold" if row["primary"] else "")
        table.add_row(
            facet.append(" *" if row["primary"] else ""),
            f"{pre} → {post}",
            change(row["relative"], row["relative_low"], row["relative_high"]),
            verdict,
            Text(row["runs"] or ("none" if row["rewards"] == "neutral" else "")),
        )
    return table


def _legend(told: Outline) -> Text:
    return Text(
        f"* primary facet. of {told.m}: effective number of different outputs, pre → post, within prompt. "
        f"Material margin ±{percent(told.margin, signed=False)} %. "
        "! marks a guard whose own shift leaves out zero.",
        style="dim",
    )
