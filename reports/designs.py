"""Trajectories, recipes, factorials and sequential runs in words and tables: one outline, written three ways."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import polars as pl
from markupsafe import Markup

from diversity.reports import svg
from diversity.reports.markdown import escape, folded
from diversity.reports.notation import change, p_value, percent, plural
from diversity.reports.plaintext import one_line
from diversity.reports.sentences import facet_word, symbol

if TYPE_CHECKING:
    from rich.console import RenderableType

    from diversity.designs import Design

Row = Mapping[str, Any]
COLOURS = {"narrowed": "yellow", "widened": "cyan", "no material change": "green", "inconclusive": "dim"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table of words; columns named in `right` hold numbers."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    right: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What is said of one design: sentences first, tables below, small print last."""

    title: str
    said: list[str] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def page(design: Design) -> Page:
    """Lay a design out."""
    found: Page = {
        "trajectory": _trajectory,
        "recipe": _recipe,
        "factorial": _factorial,
        "sequential": _sequential,
        "side by side": _side_by_side,
    }[design.kind](design)
    return found


def _change(row: Row, name: str = "relative") -> str:
    return change(row[name], row[f"{name}_low"], row[f"{name}_high"])


def _verdict(row: Row) -> str:
    if row["verdict"] is None:
        return "none"
    against = [f"confounded by {c}" for c in row.get("confounded_by") or []]
    against += [f"lost under {c}" for c in row.get("lost_under") or []]
    against += ["provisional"] if row.get("provisional") else []
    return f"{symbol(row['verdict'])} {row['verdict']}" + (f" ({', '.join(against)})" if against else "")


def _pair(row: Row) -> str:
    return f"{row['pre']:.1f} → {row['post']:.1f}"


def _of_primary(rows: Sequence[Row]) -> list[Row]:
    """The rows of each domain's primary facet, or of its first where that was not measured."""
    leads = {r["domain"]: r["facet"] for r in reversed(rows)} | {r["domain"]: r["facet"] for r in rows if r["primary"]}
    return [r for r in rows if leads[r["domain"]] == r["facet"]]


def _trajectory(design: Any) -> Page:
    verdicts = design.verdicts().to_dicts()
    trends = {(t["domain"], t["facet"]): t for t in design.trend.to_dicts()}
    said, tables = [], []
    for row in _of_primary([v for v in verdicts if v["stage"] == design.stages[-1] and v["reference"] == "first"]):
        own = [v for v in verdicts if (v["domain"], v["facet"]) == (row["domain"], row["facet"])]
        steps = [f"{v['reference_stage']} → {v['stage']} {_change(v)}" for v in own if v["reference"] == "previous"]
        trend = trends[row["domain"], row["facet"]]
        steady = ", in every step" if trend["monotone"] else ", not in every step"
        told = (
            f"{trend['direction']} by {_change(trend)} a stage{steady}" if trend["direction"] else "no trend is shown"
        )
        said.append(
            f"{row['domain']}, {facet_word(row['facet'])}: {row['reference_stage']} → {row['stage']} "
            f"{row['verdict']}, {_change(row)}. Step by step: {'; '.join(steps)}. Over the stages: {told}."
        )
    for reference in ("first", "previous"):
        rows = [
            [
                v["domain"],
                facet_word(v["facet"]) + (" *" if v["primary"] else ""),
                f"{v['reference_stage']} → {v['stage']}",
                _pair(v),
                _change(v),
                p_value(v["p_adjusted"]),
                _verdict(v),
            ]
            for v in verdicts
            if v["reference"] == reference
        ]
        what = "Against the first checkpoint" if reference == "first" else "Against the checkpoint before"
        columns: tuple[str, ...] = ("domain", "facet", "stages", "of 16", "shift (95 %)", "p adjusted", "verdict")
        tables.append(Table(title=what, columns=columns, rows=rows, right=frozenset(columns[3:6])))
    rows = [
        [
            t["domain"],
            facet_word(t["facet"]),
            _change(t),
            p_value(t["p_adjusted"]),
            p_value(t["page_p"]),
            f"{t['spearman']:+.2f}",
            t["direction"] or "none shown",
        ]
        for t in trends.values()
    ]
    columns = ("domain", "facet", "a stage (95 %)", "p adjusted", "Page's p", "Spearman", "trend")
    tables.append(Table(title="Trend", columns=columns, rows=rows, right=frozenset(columns[2:6])))
    return Page(
        title=f"Trajectory of diversity: {' → '.join(design.stages)}",
        said=said,
        tables=tables,
        notes=[
            f"All comparisons are over the same prompts; p is adjusted by Holm over all {design.settings['family']} "
            "comparisons and trends. The sign of a shift depends on its reference: both are shown.",
            _legend(design.settings),
        ],
    )


def _recipe(design: Any) -> Page:
    pooled = design.pooled.to_dicts()
    said = []
    for row in _of_primary(pooled):
        words = (
            f"{row['domain']}, {facet_word(row['facet'])}: the recipe {_change(row)} over {plural(row['k'], 'run')} "
            f"and {plural(row['n_prompts'], 'prompt')}"
        )
        if row["verdict"] is None:
            said.append(f"{row['domain']}, {facet_word(row['facet'])}: {row['note']}. The runs are below.")
        else:
            low, high = percent(row["predicted_low"]), percent(row["predicted_high"])
            said.append(f"{words}: {row['verdict']}. A further run would lie between {low} and {high} %.")
    columns: tuple[str, ...] = (
        "domain",
        "facet",
        "runs",
        "shift (95 %)",
        "a further run",
        "spread of runs",
        "p adjusted",
        "verdict",
    )
    rows = [
        [
            r["domain"],
            facet_word(r["facet"]) + (" *" if r["primary"] else ""),
            str(r["k"]),
            _change(r),
            f"{percent(r['predicted_low'])} to {percent(r['predicted_high'])} %",
            f"{percent(r['between_runs'], signed=False)} %",
            p_value(r["p_adjusted"]) if r["p_adjusted"] is not None else "–",
            _verdict(r),
        ]
        for r in pooled
    ]
    tables = [Table(title="The recipe", columns=columns, rows=rows, right=frozenset(columns[2:7]))]
    columns = ("domain", "facet", "run", "of 16", "shift (95 %)", "weight", "verdict on this run")
    rows = [
        [
            r["domain"],
            facet_word(r["facet"]),
            f"{r['pre_name']} → {r['post_name']}",
            _pair(r),
            _change(r),
            f"{100 * r['weight']:.0f} %",
            _verdict(r),
        ]
        for r in design.forest.to_dicts()
    ]
    tables.append(Table(title="Its runs", columns=columns, rows=rows, right=frozenset(columns[3:6])))
    return Page(
        title="Shift in diversity by a recipe",
        said=said,
        tables=tables,
        notes=[
            f"Random effects over runs ({design.settings['pooling']}, Hartung-Knapp-Sidik-Jonkman), with the error "
            "that runs share through their prompts. Verdicts on single runs are about these checkpoints only.",
            _legend(design.settings),
        ],
    )


def _side_by_side(design: Any) -> Page:
    rows = design.rows.to_dicts()
    names = list(dict.fromkeys(r["name"] for r in rows))
    said = []
    for domain in dict.fromkeys(r["domain"] for r in rows):
        lead = [r for r in _of_primary(rows) if r["domain"] == domain]
        told = [f"{r['name']} {r['verdict'] or 'no verdict'}, {_change(r)}" for r in lead]
        if lead:
            said.append(f"{domain}, {facet_word(lead[0]['facet'])}: {'; '.join(told)}.")
    columns: tuple[str, ...] = ("domain", "facet", "result", "checkpoints", "prompts", "shift (95 %)", "p adjusted")
    columns = (*columns, "verdict")
    cells = [
        [
            r["domain"],
            facet_word(r["facet"]) + (" *" if r["primary"] else ""),
            r["name"],
            f"{r['pre_name']} → {r['post_name']}",
            str(r["n_prompts"]),
            _change(r),
            p_value(r["p_adjusted"]),
            _verdict(r),
        ]
        for r in sorted(rows, key=lambda r: (r["domain"], not r["primary"], r["facet"], names.index(r["name"])))
    ]
    notes = ["Each line is a comparison of its own, and its p is adjusted in its own family."]
    apart = [d for d in dict.fromkeys(r["domain"] for r in rows) if _over_other_prompts(rows, d)]
    if apart:
        notes.append(f"Not over the same prompts, so not to be set against each other: {', '.join(apart)}.")
    if len({r["pre_name"] for r in rows}) > 1:
        notes.append("The lines begin from different checkpoints: the sign of a shift depends on its reference.")
    return Page(
        title=f"{len(names)} results side by side",
        said=said,
        tables=[Table(title="Verdicts", columns=columns, rows=cells, right=frozenset(columns[4:7]))],
        notes=[*notes, _legend(design.settings)],
    )


def _over_other_prompts(rows: Sequence[Row], domain: str) -> bool:
    own = [r for r in rows if r["domain"] == domain]
    return any(len({r["prompts"] for r in own if r["facet"] == f}) > 1 for f in {r["facet"] for r in own})


def _factorial(design: Any) -> Page:
    verdicts = design.verdicts().to_dicts()
    one, other = design.factors
    first, last = ("/".join(levels[i] for levels in design.factors.values()) for i in (0, -1))
    said = []
    for row in (r for r in _of_primary(verdicts) if r["kind"] == "total"):
        own = [r for r in verdicts if (r["domain"], r["facet"]) == (row["domain"], row["facet"])]
        mains = [r for r in own if r["kind"] == "main"]
        parts = [f"{_change(r)} comes with {r['factor']}" for r in mains if len(mains) == 2]
        parts = parts or [f"{r['effect']} {_change(r)}" for r in mains]
        crossed = [f"{r['effect']} {_change(r)}, {r['verdict']}" for r in own if r["kind"] == "interaction"]
        said.append(
            f"{row['domain']}, {facet_word(row['facet'])}: of the {percent(row['relative'])} % from {first} to {last}, "
            f"{', '.join(parts)}; interaction {'; '.join(crossed)}."
        )
    columns: tuple[str, ...] = ("domain", "facet", "effect", "shift (95 %)", "of total", "p adjusted", "verdict")
    rows = [
        [
            r["domain"],
            facet_word(r["facet"]) + (" *" if r["primary"] else ""),
            r["effect"],
            _change(r),
            "–" if r["share"] is None else f"{percent(r['share'], signed=False)} %",
            "–" if r["p_adjusted"] is None else p_value(r["p_adjusted"]),
            _verdict(r) if r["verdict"] else "",
        ]
        for r in verdicts
    ]
    tables = [Table(title="Effects", columns=columns, rows=rows, right=frozenset(columns[3:6]))]
    columns = ("domain", "facet", "effect at one level of the other factor", "shift (95 %)")
    rows = [
        [r["domain"], facet_word(r["facet"]) + (" *" if r["primary"] else ""), r["effect"], _change(r)]
        for r in design.effects.to_dicts()
        if r["condition"] == "all" and r["kind"] == "simple"
    ]
    tables.append(Table(title="Simple effects", columns=columns, rows=rows, right=frozenset(columns[3:])))
    columns = ("domain", "facet", "cell", "of 16", "95 %")
    cells = ["/".join((a, b)) for a in design.factors[one] for b in design.factors[other]]
    rows = [
        [
            r["domain"],
            facet_word(r["facet"]),
            f"{cells[r['place']]} ({r['name']})",
            f"{r['effective']:.1f}",
            f"{r['ci_low']:.1f} to {r['ci_high']:.1f}",
        ]
        for r in design.levels.to_dicts()
    ]
    tables.append(Table(title="Cells", columns=columns, rows=rows, right=frozenset(columns[3:])))
    return Page(
        title=f"Shift in diversity by {one} and {other}",
        said=said,
        tables=tables,
        notes=[
            "Main effects are averaged over the other factor; on the log scale the two of a 2 x 2 design add up to the "
            "total. An interaction is how much one factor's effect differs at the other's last level.",
            f"p is adjusted by Holm over {design.settings['family']} totals, main effects and interactions.",
            _legend(design.settings),
        ],
    )


def _sequential(design: Any) -> Page:
    rows = design.verdicts().to_dicts()
    said = [
        f"{r['domain']}, {facet_word(r['facet'])}: {r['verdict']}, {_change(r)}, after {r['n_prompts']} of "
        f"{r['prompts_at_most']} prompts (look {r['look']} of {r['looks']})."
        for r in rows
        if r["asked"]
    ]
    columns: tuple[str, ...] = ("domain", "facet", "look", "prompts", "of 16", "shift (95 %, at any look)", "verdict")
    table = [
        [
            r["domain"],
            facet_word(r["facet"]) + (" *" if r["asked"] else ""),
            f"{r['look']} of {r['looks']}",
            f"{r['n_prompts']} of {r['prompts_at_most']}",
            _pair(r),
            _change(r),
            _verdict(r),
        ]
        for r in rows
    ]
    return Page(
        title=f"Shift in diversity, sampled until decided: {design.pre} → {design.post}",
        said=said,
        tables=[Table(title="At the last look", columns=columns, rows=table, right=frozenset(columns[2:6]))],
        notes=[
            "Intervals hold at every declared look, so that stopping early does not make them too narrow; they are "
            "wider than those of `compare`. Sampling stopped by the facet marked *.",
            f"Material margin ±{percent(design.settings['margin'], signed=False)} %.",
        ],
    )


def _legend(settings: Mapping[str, Any]) -> str:
    return (
        f"* primary facet. of 16: effective number of different outputs within a prompt. Material margin "
        f"±{percent(settings['margin'], signed=False)} %."
    )


def signatures(design: Any) -> list[tuple[str, str]]:
    """The signatures of the rows that the page shows, each with what it is of."""
    tables = [design.verdicts()]
    tables += [frame for name in ("trend", "levels", "forest") if (frame := getattr(design, name, None)) is not None]
    if design.kind == "factorial":
        tables.append(design.effects.filter((pl.col("condition") == "all") & (pl.col("kind") == "simple")))
    found = []
    for row in (row for table in tables for row in table.iter_rows(named=True) if row.get("signature")):
        stages = [f"{row['reference_stage']} → {row['stage']}"] if "reference" in row else []
        about = [str(row[c]) for c in ("effect", "name", "post_name") if row.get(c)]
        about = stages or about or (["over the stages"] if "slope" in row else [])
        found.append((", ".join([row["domain"], facet_word(row["facet"]), *about]), row["signature"]))
    return list(dict.fromkeys(found))


def markdown(design: Design) -> str:
    """Write a design as Markdown, its signatures last; names from data are escaped."""
    lines = [signature for _, signature in signatures(design)]
    return written(page(design)) + (f"\n{folded(lines)}" if lines else "")


def written(told: Page) -> str:
    """Write a page as Markdown; names from data are escaped."""
    lines = [f"## {_plain(told.title)}", ""]
    for each in told.said:
        lines += [_plain(each), ""]
    for table in told.tables:
        lines += [f"### {table.title}", "", f"| {' | '.join(table.columns)} |"]
        lines.append(f"| {' | '.join('--:' if c in table.right else ':--' for c in table.columns)} |")
        lines += [f"| {' | '.join(map(_plain, row))} |" for row in table.rows]
        lines.append("")
    lines += [f"<sub>{_plain(' '.join(told.notes))}</sub>", ""]
    return "\n".join(lines)


def _plain(text: str) -> str:
    return escape(one_line(text, 2000))


def html(design: Design) -> str:
    """Write a design as one self-contained page without scripts; everything is escaped.

    It wears the style of the report of two checkpoints. A trajectory has a plot of its levels for every domain and
    facet, a recipe the forest of its runs.
    """
    from diversity.reports.html import sheet

    axis, forests = _forests(design)
    drawn = {"levels": _levels(design), "forests": forests, "axis": axis, "signatures": signatures(design)}
    return sheet("design.html", page=page(design), kind=design.kind, **drawn)


def _levels(design: Any) -> list[tuple[str, Markup]]:
    """For each domain and facet of a trajectory its effective number at every stage."""
    if design.kind != "trajectory":
        return []
    drawn = []
    rows = design.levels.to_dicts()
    for number, key in enumerate(dict.fromkeys((r["domain"], r["facet"]) for r in rows), 1):
        own = sorted((r for r in rows if (r["domain"], r["facet"]) == key), key=lambda r: r["place"])
        name = f"{one_line(key[0], 40)}, {facet_word(key[1])}"
        points = [(one_line(r["stage"], 40), r["effective"], r["ci_low"], r["ci_high"]) for r in own]
        told = "; ".join(f"{stage} {value:.1f}" for stage, value, _, _ in points)
        m = int(design.settings.get("m", 16))
        title = f"{name}: effective number at each stage"
        drawn.append((name, svg.levels(points, m=m, title=title, text=told, ident=f"level-{number}")))
    return drawn


def _forests(design: Any) -> tuple[Markup, list[tuple[str, list[tuple[str, str, Markup]]]]]:
    """The axis, and for each domain and facet a row a run, then the recipe and a further run of it."""
    if design.kind not in {"recipe", "side by side"}:
        return Markup(""), []
    margin = float(design.settings.get("margin", 0.1))
    if design.kind == "recipe":
        runs, pooled = design.forest.to_dicts(), design.pooled.to_dicts()
    else:
        runs = design.rows.to_dicts()
        first = {(r["domain"], r["facet"]): r | {"verdict": None} for r in reversed(runs)}
        pooled = sorted(first.values(), key=lambda r: (r["domain"], not r["primary"], r["facet"]))
    ends = [r[k] for r in runs for k in ("relative", "relative_low", "relative_high")]
    ends += [r.get(k) for r in pooled for k in ("relative", "predicted_low", "predicted_high")]
    scale = svg.change_scale(ends, margin)
    drawn = []
    for number, row in enumerate(pooled, 1):
        rows: list[tuple[str, Row, str]] = [
            (
                one_line(r["name"], 60)
                if "name" in r
                else f"{one_line(r['pre_name'], 30)} → {one_line(r['post_name'], 30)}",
                r,
                r["verdict"] or "inconclusive",
            )
            for r in runs
            if (r["domain"], r["facet"]) == (row["domain"], row["facet"])
        ]
        if row["verdict"] is not None:
            rows.append(("the recipe", row, row["verdict"]))
            further = {"relative_low": row["predicted_low"], "relative_high": row["predicted_high"]}
            rows.append(("a further run", row | further, "inconclusive"))
        lines = [
            (
                label,
                _change(r),
                svg.interval(
                    scale,
                    relative=r["relative"],
                    low=r["relative_low"],
                    high=r["relative_high"],
                    margin=margin,
                    verdict=verdict,
                    title=f"{label}: {_change(r)}",
                    text="",
                    ident=f"run-{number}-{i}",
                    is_primary=label == "the recipe",
                ),
            )
            for i, (label, r, verdict) in enumerate(rows, 1)
        ]
        drawn.append((f"{one_line(row['domain'], 40)}, {facet_word(row['facet'])}", lines))
    return svg.change_axis(scale), drawn


def terminal(design: Design) -> RenderableType:
    """Return a rich renderable; whatever comes from data is plain text in it."""
    return shown(page(design))


def shown(told: Page) -> RenderableType:
    """Return a page as a rich renderable; whatever comes from data is plain text in it."""
    from rich.console import Group
    from rich.padding import Padding
    from rich.table import Table as Grid
    from rich.text import Text

    parts: list[RenderableType] = [Text(one_line(told.title, 200), style="bold")]
    parts += [Padding(Text(one_line(each, 2000)), (1, 0, 0, 0)) for each in told.said]
    for table in told.tables:
        grid = Grid(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", title=table.title)
        grid.title_justify, grid.title_style = "left", "bold"
        for column in table.columns:
            grid.add_column(column, justify="right" if column in table.right else "left", overflow="fold")
        for row in table.rows:
            word = row[-1].partition(" ")[2].partition(" (")[0]
            grid.add_row(
                *(Text(one_line(c, 200)) for c in row[:-1]), Text(one_line(row[-1], 200), COLOURS.get(word, ""))
            )
        parts.append(Padding(grid, (1, 0, 0, 0)))
    parts.append(Padding(Text(" ".join(told.notes), style="dim"), (1, 0, 0, 0)))
    return Group(*parts)
