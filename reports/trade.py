"""A trade surface in charts and tables: visible gain against each hidden cost."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from diversity.reports import svg
from diversity.reports.designs import Page, Table, written
from diversity.reports.notation import MISSING, number, percent, plural
from diversity.reports.plaintext import one_line

if TYPE_CHECKING:
    from markupsafe import Markup
    from rich.console import RenderableType

    from diversity.trade import Price, Trade


def page(found: Trade) -> Page:
    """Lay a trade surface out: what costs least first, every price below."""
    told = Page(title=f"What each way of tuning gains and costs, from {found.base}")
    for domain in found.domains:
        kept = found.undominated(domain)
        gaining = {p.way for p in found.prices if p.domain == domain and p.gains}
        told.said.append(
            f"{domain}: {len(gaining)} of {plural(len(found.ways), 'way')} gain. "
            + (f"No other way beats {', '.join(kept)}." if kept else "None can be said to be worth its price.")
        )
        surely = found.surely(domain)
        rows = [
            [cost, way or MISSING, _against_others(found, domain, cost, is_sure=surely[cost])]
            for cost, way in found.cheapest(domain).items()
        ]
        told.tables.append(
            Table(
                title=f"Which way costs least for its gain in {domain}",
                columns=["cost", "way", "against the others"],
                rows=rows,
            )
        )
    told.tables.append(
        Table(
            title="Every price",
            columns=["domain", "way", "gain, points", "cost", "loss, points or %", "told"],
            rows=[
                [
                    p.domain,
                    p.way,
                    _ends(p.gain, p.gain_low, p.gain_high),
                    p.cost,
                    _ends(p.loss, p.loss_low, p.loss_high),
                    "yes" if p.told else "cannot tell",
                ]
                for p in found.prices
            ],
        )
    )
    columns = list(dict.fromkeys(name for own in found.spent.values() for name in own))
    if columns:
        told.tables.append(
            Table(
                title="What each way spends",
                columns=["way", *columns],
                rows=[[way, *(_amount(own.get(name)) for name in columns)] for way, own in found.spent.items()],
                right=frozenset(columns),
            )
        )
    told.notes.append(
        "A loss is positive, a gain in the same figure negative; intervals are 95 %. Costs are not added up. "
        "A way is cheaper where its dearest price a point, by both intervals, lies below the lowest of every other way "
        "that gains; else the order may be chance, and is undecided."
    )
    return told


def _amount(value: float | str | None) -> str:
    return value if isinstance(value, str) else number(value)


def _against_others(found: Trade, domain: str, cost: str, *, is_sure: bool) -> str:
    ranked = [
        p for p in found.prices if (p.domain, p.cost) == (domain, cost) and p.gains and p.told and p.loss is not None
    ]
    if len(ranked) < 2:
        return "the only one that gains, as far as told" if ranked else "none gains, or none can be told"
    return "cheaper by the intervals" if is_sure else "undecided"


def _ends(value: float | None, low: float | None, high: float | None) -> str:
    if value is None:
        return MISSING
    return percent(value) + ("" if low is None or high is None else f" ({percent(low)} to {percent(high)})")


def charts(found: Trade) -> list[tuple[str, Markup]]:
    """Return one chart a tuned domain and cost, with what it shows: the gain to the right, the loss upwards."""
    drawn: list[tuple[str, Markup]] = []
    for domain in found.domains:
        for cost in found.cheapest(domain):
            own = [p for p in found.prices if p.domain == domain and p.cost == cost and p.told]
            points = [p for p in own if p.gain is not None and p.loss is not None]
            if points:
                drawn.append((one_line(f"{domain}: {cost}", 120), chart(points, ident=f"trade-{len(drawn)}")))
    return drawn


HEIGHT, TOP, BOTTOM = 220.0, 12.0, 44.0


def chart(points: Sequence[Price], *, ident: str) -> Markup:
    """Draw gain against loss, a point a way with the intervals of both, and both axes through 0."""
    gains, losses = [p.gain or 0.0 for p in points], [p.loss or 0.0 for p in points]
    wide = [(_known(p.gain_low, g), _known(p.gain_high, g)) for p, g in zip(points, gains, strict=True)]
    tall = [(_known(p.loss_low, v), _known(p.loss_high, v)) for p, v in zip(points, losses, strict=True)]
    across = svg.Straight(min(0.0, *(a for a, _ in wide)) - 0.05, max(0.0, *(b for _, b in wide)) + 0.05, 0.13, 0.85)
    low, high = min(0.0, *(a for a, _ in tall)) - 0.05, max(0.0, *(b for _, b in tall)) + 0.05

    def down(value: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (high - value) / (high - low)

    def place(value: float) -> str:
        return f"{100 * across(value):.2f}%"

    shapes = [
        svg.tag("line", x1="12%", x2="96%", y1=down(0), y2=down(0), class_="grid"),
        svg.tag("line", x1=place(0), x2=place(0), y1=TOP, y2=HEIGHT - BOTTOM, class_="grid"),
    ]
    shapes += [
        svg.tag("text", percent(value), x="10%", y=down(value) + 4, class_="tick", text_anchor="end")
        for value in _apart({0.0, min(losses), max(losses)}, down, 14.0)
    ]
    shapes += [
        svg.tag("text", percent(value), x=place(value), y=HEIGHT - 26, class_="tick", text_anchor="middle")
        for value in _apart({0.0, min(gains), max(gains)}, across, 0.06)
    ]
    shapes.append(svg.tag("text", "gain, points", x="54%", y=HEIGHT - 7, class_="tick", text_anchor="middle"))
    for p, gain, loss, ends, heights in zip(points, gains, losses, wide, tall, strict=True):
        name = one_line(p.way, 40)
        shapes += [
            svg.tag("line", x1=place(ends[0]), x2=place(ends[1]), y1=down(loss), y2=down(loss), class_="whisker"),
            svg.tag("line", x1=place(gain), x2=place(gain), y1=down(heights[0]), y2=down(heights[1]), class_="whisker"),
        ]
        shapes.append(
            svg.tag(
                "g", svg.tag("circle", svg.tag("title", name), cx=place(gain), cy=down(loss), r=5.0), class_="dots post"
            )
        )
        shapes.append(svg.tag("text", name, x=f"{100 * across(gain) + 2:.2f}%", y=down(loss) - 8, class_="tick"))
    text = "; ".join(
        f"{one_line(p.way, 40)}: gain {percent(g)}, loss {percent(v)}"
        for p, g, v in zip(points, gains, losses, strict=True)
    )
    return svg.picture(*shapes, height=HEIGHT, title="Gain against loss", text=text, ident=ident, class_="plot scatter")


def _apart(values: Iterable[float], place: Callable[[float], float], room: float) -> list[float]:
    """The values whose labels do not lie on each other, 0 first."""
    kept: list[float] = []
    for value in sorted(values, key=lambda v: (v != 0, -abs(v))):
        if all(abs(place(value) - place(other)) >= room for other in kept):
            kept.append(value)
    return kept


def _known(end: float | None, value: float) -> float:
    """The end of an interval; the value itself where it is not known."""
    return value if end is None else end


def markdown(found: Trade) -> str:
    """Write a trade surface as Markdown; names from data are escaped."""
    return written(page(found))


def html(found: Trade) -> str:
    """Write a trade surface as one self-contained page without scripts; everything is escaped."""
    from diversity.reports.html import sheet

    return sheet("design.html", page=page(found), kind="trade", levels=[], forests=[], axis="", charts=charts(found))


def terminal(found: Trade) -> RenderableType:
    """Return a rich renderable of the sentences and tables."""
    from diversity.reports.designs import shown

    return shown(page(found))
