"""Plots as SVG: a few shapes on two scales. Colours come from the page's style sheet, through classes.

Places across are percentages of the width and places down are pixels, so that a plot fills any width and its text
and points keep their size. Nothing here needs a script.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup, escape

from diversity.reports.notation import MINUS, effective
from diversity.reports.plaintext import visible

NAMED = 60  # prompts whose names a pointer can tell apart; in larger plots the names would be most of the page
LARGEST_SHIFT = math.log(8)  # beyond a factor of eight an interval ends in an arrow
CHANGES = (-0.8, -0.7, -0.5, -0.3, -0.2, -0.1, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 6.0)

# Around (0, 0). The shape says the verdict without its colour.
MARKS = {
    "narrowed": "M-7 0 5 -6.5V6.5Z",
    "widened": "M7 0 -5 -6.5V6.5Z",
    "no material change": "M-5 -5H5V5H-5Z",
    "inconclusive": "M-5 0A5 5 0 1 0 5 0A5 5 0 1 0 -5 0Z",
}


def slug(verdict: str) -> str:
    """Return the class name of a verdict."""
    known = {"narrowed": "narrowed", "widened": "widened", "no material change": "same"}
    return known.get(verdict, "unsure")


def tag(name: str, *children: Markup | str, **attributes: str | float | None) -> Markup:
    """Return one element; text and attribute values are escaped, `class_` is written class, `_` as a hyphen.

    Examples
    --------
    >>> tag("text", "a < b", x=1.50, class_="label")
    Markup('<text x="1.5" class="label">a &lt; b</text>')
    """
    # Each part is escaped here: Markup's own formatting takes ten times as long, over thousands of elements.
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_number(value) if isinstance(value, float) else escape(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    inner = "".join(c if isinstance(c, Markup) else escape(visible(c)) for c in children)
    return Markup(f"<{name}{given}>{inner}</{name}>" if inner else f"<{name}{given}/>")  # noqa: S704


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _across(share: float) -> str:
    return f"{_number(100 * share)}%"


def picture(
    *children: Markup, height: float, title: str = "", text: str = "", ident: str = "", class_: str = "plot"
) -> Markup:
    """Return an svg element as wide as its place; with a title it is an image with a name, else decoration."""
    size: dict[str, str | float] = {"width": "100%", "height": height, "class_": class_}
    if not title:
        return tag("svg", *children, aria_hidden="true", **size)
    named = [tag("title", title, id=f"{ident}-title"), tag("desc", text, id=f"{ident}-desc")]
    return tag(
        "svg", *named, *children, role="img", aria_labelledby=f"{ident}-title", aria_describedby=f"{ident}-desc", **size
    )


@dataclass(frozen=True, slots=True)
class Scale:
    """A stretch of numbers on a stretch of the plot, straight in the logarithm."""

    low: float
    high: float
    left: float = 0.0
    right: float = 1.0

    def __call__(self, value: float) -> float:
        """Return the place of a number as a share of the width; what lies beyond an end is put there."""
        share = (math.log(value) - math.log(self.low)) / (math.log(self.high) - math.log(self.low))
        return self.left + (self.right - self.left) * min(max(share, 0.0), 1.0)


def count_scale(m: int) -> Scale:
    """The scale of effective numbers, 1 to m."""
    return Scale(1, max(m, 2), 0.03, 0.97)


def count_ticks(m: int) -> list[int]:
    """Ticks of effective numbers: powers of two below m, and m."""
    most = max(m, 2)
    return [2**i for i in range(most.bit_length()) if 1.5 * 2**i < most] + [most]


def change_scale(relatives: Iterable[float | None], margin: float) -> Scale:
    """The scale of relative changes, as far to the left as to the right in the logarithm, 1 being no change."""
    ends = [abs(math.log1p(max(r, -0.99))) for r in relatives if r is not None]
    reach = min(max([*ends, 2 * math.log1p(margin), math.log(1.25)]) * 1.08, LARGEST_SHIFT)
    return Scale(math.exp(-reach), math.exp(reach), 0.02, 0.98)


def change_ticks(scale: Scale, room: float = 0.12) -> list[float]:
    """Ticks of relative changes: 0, and outwards the round ones that leave room for their labels."""
    chosen = [0.0]
    for side in (sorted(c for c in CHANGES if c > 0), sorted((c for c in CHANGES if c < 0), reverse=True)):
        last = scale(1.0)
        for change in side:
            place = scale(1 + change)
            if scale.low < 1 + change < scale.high and abs(place - last) > room:
                chosen.append(change)
                last = place
    return sorted(chosen)


def change_axis(scale: Scale) -> Markup:
    """The labels above a forest plot; those of class `fine` are for wide pages."""
    coarse = set(change_ticks(scale, 0.26))
    labels = [
        tag(
            "text",
            "0" if c == 0 else f"{MINUS if c < 0 else '+'}{abs(c):.0%}".replace("%", " %"),
            x=_across(scale(1 + c)),
            y=14.0,
            class_="tick" if c in coarse else "tick fine",
            text_anchor="middle",
        )
        for c in change_ticks(scale)
    ]
    return picture(*labels, height=20.0, class_="plot axis")


def interval(
    scale: Scale,
    *,
    relative: float,
    low: float | None,
    high: float | None,
    margin: float,
    verdict: str,
    title: str,
    text: str,
    ident: str,
    is_primary: bool = False,
) -> Markup:
    """One row of a forest plot: the margin band, the zero line, the interval and the verdict's mark."""
    height, middle = 44.0, 22.0
    # Lines and band go beyond the row; its cell cuts them, so that rows of any height join into one plot.
    top, bottom = -200.0, height + 200
    # The verdict takes the margin in the logarithm: as far down as up.
    left, right = scale(1 / (1 + margin)), scale(1 + margin)
    shapes = [
        tag("rect", x=_across(left), y=top, width=_across(right - left), height=bottom - top, class_="band"),
        *(
            tag("line", x1=_across(scale(1 + c)), x2=_across(scale(1 + c)), y1=top, y2=bottom, class_="grid")
            for c in change_ticks(scale)
            if c
        ),
        tag("line", x1=_across(scale(1)), x2=_across(scale(1)), y1=top, y2=bottom, class_="zero"),
    ]
    kind = slug(verdict)
    if low is not None and high is not None:
        start, end = scale(max(1 + low, 1e-3)), scale(1 + high)
        shapes.append(tag("line", x1=_across(start), x2=_across(end), y1=middle, y2=middle, class_=f"interval {kind}"))
        for place, value, path in ((start, low, "M0 -5 -8 0 0 5Z"), (end, high, "M0 -5 8 0 0 5Z")):
            if scale.low <= 1 + value <= scale.high:
                x = _across(place)
                shapes.append(tag("line", x1=x, x2=x, y1=middle - 5, y2=middle + 5, class_=f"interval {kind}"))
            else:
                shapes.append(_at(place, middle, path, f"mark {kind}"))
    size = " primary" if is_primary else ""
    shapes.append(_at(scale(1 + relative), middle, MARKS.get(verdict, MARKS["inconclusive"]), f"mark {kind}{size}"))
    return picture(*shapes, height=height, title=title, text=text, ident=ident, class_="plot forest")


def _at(across: float, down: float, path: str, class_: str) -> Markup:
    """A shape at a place: paths know no percentages, so a nested svg carries it there."""
    return tag("svg", tag("path", d=path, class_=class_), x=_across(across), y=down, overflow="visible")


def gauge(value: float, m: int, *, side: str) -> Markup:
    """The effective number as so many filled cells of m."""
    height = 16.0
    share = min(max(value / m, 0), 1)
    cells = [
        tag("rect", x=0.0, y=0.0, width="100%", height=height, class_="track"),
        tag("rect", x=0.0, y=0.0, width=_across(share), height=height, class_=f"fill {side}"),
    ]
    if m <= 64:
        cells += [
            tag("line", x1=_across(i / m), x2=_across(i / m), y1=0.0, y2=height, class_="cut") for i in range(1, m)
        ]
    return picture(*cells, height=height, class_="plot gauge")


def count_axis(m: int) -> Markup:
    """The labels above a column of dumbbells."""
    scale = count_scale(m)
    labels = [
        tag("text", str(t), x=_across(scale(t)), y=14.0, class_="tick", text_anchor="middle") for t in count_ticks(m)
    ]
    return picture(*labels, height=20.0, class_="plot axis")


def dumbbell(pre: float, post: float, m: int) -> Markup:
    """One prompt: an open circle before, a filled one after, the line between them."""
    scale = count_scale(m)
    a, b = _across(scale(pre)), _across(scale(post))
    way = direction(pre, post)
    return picture(
        tag("line", x1=a, x2=b, y1=12.0, y2=12.0, class_=f"reach {way}"),
        tag("circle", cx=a, cy=12.0, r=4.5, class_="dot pre"),
        tag("circle", cx=b, cy=12.0, r=4.5, class_=f"dot post {way}"),
        height=24.0,
        class_="plot dumbbell",
    )


def direction(pre: float, post: float) -> str:
    """Return the class of a change of one prompt, judged by its numbers as written."""
    before, after = effective(pre, post)
    return "level" if before == after else "narrowed" if post < pre else "widened"


def slopes(
    pairs: Sequence[tuple[str, float, float]],
    mean: tuple[float, float],
    *,
    m: int,
    title: str,
    text: str,
    ident: str,
) -> Markup:
    """Every prompt as a line from pre (left) to post (right), the effective number over all of them in bold."""
    height, top, bottom = 236.0, 14.0, 30.0
    scale = count_scale(m)
    left, right = 0.26, 0.8

    def down(value: float) -> float:
        return top + (height - top - bottom) * (1 - (scale(value) - scale.left) / (scale.right - scale.left))

    shapes = []
    for tick in count_ticks(m):
        y = down(tick)
        shapes.append(tag("line", x1=_across(0.1), x2=_across(right), y1=y, y2=y, class_="grid"))
        shapes.append(tag("text", str(tick), x=_across(0.08), y=y + 4, class_="tick", text_anchor="end"))
    for name, pre, post in pairs:
        before, after = effective(pre, post)
        named = [tag("title", f"{name}: {before} → {after}")] if len(pairs) <= NAMED else []
        shapes.append(
            tag(
                "line",
                *named,
                x1=_across(left),
                x2=_across(right),
                y1=down(pre),
                y2=down(post),
                class_=f"slope {direction(pre, post)}",
            )
        )
    pre, post = mean
    before, after = effective(pre, post)
    ends: dict[str, str | float] = {"x1": _across(left), "x2": _across(right), "y1": down(pre), "y2": down(post)}
    shapes += [
        tag("line", class_="mean halo", **ends),
        tag("line", class_="mean", **ends),
        tag("circle", cx=_across(left), cy=down(pre), r=5.0, class_="dot pre"),
        tag("circle", cx=_across(right), cy=down(post), r=5.0, class_="dot post"),
        tag("text", before, x=_across(left - 0.04), y=down(pre) + 5, class_="value", text_anchor="end"),
        tag("text", after, x=_across(right + 0.04), y=down(post) + 5, class_="value"),
        tag("text", "pre", x=_across(left), y=height - 8, class_="tick", text_anchor="middle"),
        tag("text", "post", x=_across(right), y=height - 8, class_="tick", text_anchor="middle"),
    ]
    return picture(*shapes, height=height, title=title, text=text, ident=ident, class_="plot slopes")


BINS = 24


def distribution(
    ratios: Sequence[float],
    *,
    change: tuple[float, float | None, float | None],
    margin: float,
    verdict: str,
    title: str,
    text: str,
    ident: str,
) -> Markup:
    """How many prompts shifted by how much, as bars; above them the shift over all prompts with its interval.

    `ratios` are log ratios of the effective numbers; bars below zero narrowed.
    """
    height, top, bottom = 132.0, 26.0, 24.0
    scale = change_scale([*(math.expm1(r) for r in ratios), *change], margin)
    reach = math.log(scale.high)
    counts = [0] * BINS
    for ratio in ratios:
        share = (min(max(ratio, -reach), reach) + reach) / (2 * reach)
        counts[min(int(share * BINS), BINS - 1)] += 1
    most, width = max([*counts, 1]), (scale.right - scale.left) / BINS
    left, right = scale(1 / (1 + margin)), scale(1 + margin)
    shapes = [
        tag("rect", x=_across(left), y=0.0, width=_across(right - left), height=height - bottom, class_="band"),
        tag("line", x1="2%", x2="98%", y1=height - bottom, y2=height - bottom, class_="grid"),
    ]
    for i, count in enumerate(counts):
        if not count:
            continue
        tall = (height - top - bottom) * count / most
        ends = [math.expm1(-reach + 2 * reach * (i + k) / BINS) for k in (0, 1)]
        shapes.append(
            tag(
                "rect",
                tag("title", f"{count} between {ends[0]:+.0%} and {ends[1]:+.0%}".replace("-", MINUS)),
                x=_across(scale.left + i * width + 0.002),
                y=height - bottom - tall,
                width=_across(width - 0.004),
                height=tall,
                class_=f"bar {'narrowed' if i < BINS / 2 else 'widened'}",
            )
        )
    relative, low, high = change
    kind, above = slug(verdict), 13.0
    shapes.append(tag("line", x1=_across(scale(1)), x2=_across(scale(1)), y1=0.0, y2=height - bottom, class_="zero"))
    if low is not None and high is not None:
        ends_at = _across(scale(max(1 + low, 1e-3))), _across(scale(1 + high))
        shapes.append(tag("line", x1=ends_at[0], x2=ends_at[1], y1=above, y2=above, class_=f"interval {kind}"))
    shapes.append(_at(scale(1 + relative), above, MARKS.get(verdict, MARKS["inconclusive"]), f"mark {kind}"))
    shapes += [
        tag(
            "text",
            "0" if c == 0 else f"{MINUS if c < 0 else '+'}{abs(c):.0%}".replace("%", " %"),
            x=_across(scale(1 + c)),
            y=height - 7,
            class_="tick",
            text_anchor="middle",
        )
        for c in change_ticks(scale, 0.2)
    ]
    return picture(*shapes, height=height, title=title, text=text, ident=ident, class_="plot distribution")


@dataclass(frozen=True, slots=True)
class Straight:
    """A stretch of numbers on a stretch of the plot, straight in the number itself."""

    low: float
    high: float
    left: float = 0.0
    right: float = 1.0

    def __call__(self, value: float) -> float:
        """Return the place of a number as a share of the width; what lies beyond an end is put there."""
        share = (value - self.low) / ((self.high - self.low) or 1.0)
        return self.left + (self.right - self.left) * min(max(share, 0.0), 1.0)


# Name of a point, its place across, its effective number.
Point = tuple[str, float, float]


def scatter(
    sides: Sequence[tuple[str, Sequence[Point]]],
    *,
    m: int,
    across: str,
    is_share: bool,
    title: str,
    text: str,
    ident: str,
    joined: bool = False,
) -> Markup:
    """Effective number against something else: one class of points a side, lines between the points where `joined`."""
    height, top, bottom = 250.0, 12.0, 44.0
    values = [x for _, points in sides for _, x, _ in points]
    counts = count_scale(m)
    scale: Scale | Straight
    if is_share:
        # A frontier lies mostly in one corner: it begins at the tenth below its lowest point.
        low = max(0.0, math.floor(10 * min(values, default=0.0) - 0.5) / 10) if joined else 0.0
        scale = Straight(low, 1, 0.13, 0.95)
        ticks = [low + (1 - low) * i / 4 for i in range(5)]
    else:
        low, high = max(min(values, default=1), 1) / 1.1, max([*values, 2]) * 1.1
        scale = Scale(low, high, 0.13, 0.95)
        ticks = [t for t in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000) if low <= t <= high]
        # A narrow range may hold no round number.
        ticks = ticks if len(ticks) > 1 else [round(low * 1.1), round(high / 1.1)]

    def down(value: float) -> float:
        return top + (height - top - bottom) * (1 - (counts(value) - counts.left) / (counts.right - counts.left))

    shapes = []
    for tick in count_ticks(m):
        shapes.append(tag("line", x1="12%", x2="96%", y1=down(tick), y2=down(tick), class_="grid"))
        shapes.append(tag("text", str(tick), x="10%", y=down(tick) + 4, class_="tick", text_anchor="end"))
    for place in dict.fromkeys(ticks):
        label = f"{place:.0%}".replace("%", " %") if is_share else f"{place:,.0f}"
        shapes.append(tag("text", label, x=_across(scale(place)), y=height - 26, class_="tick", text_anchor="middle"))
    shapes.append(tag("text", across, x="54%", y=height - 7, class_="tick", text_anchor="middle"))
    for side, points in sides:
        if joined:
            for (_, x1, y1), (_, x2, y2) in pairwise(points):
                shapes.append(
                    tag(
                        "line",
                        x1=_across(scale(x1)),
                        x2=_across(scale(x2)),
                        y1=down(y1),
                        y2=down(y2),
                        class_=f"path {side}",
                    )
                )
        dots = [
            tag(
                "circle",
                *([tag("title", name)] if len(points) <= NAMED else []),
                cx=_across(scale(x)),
                cy=down(y),
                r=5.0 if joined else 3.5,
            )
            for name, x, y in points
        ]
        shapes.append(tag("g", *dots, class_=f"dots {side}"))
        if joined:
            shapes += [
                tag("text", name.split(":")[0], x=_across(scale(x) + 0.02), y=down(y) - 8, class_="tick")
                for name, x, y in points
            ]
    return picture(*shapes, height=height, title=title, text=text, ident=ident, class_="plot scatter")


def levels(
    points: Sequence[tuple[str, float, float | None, float | None]],
    *,
    m: int,
    title: str,
    text: str,
    ident: str,
) -> Markup:
    """Effective number at each stage of a trajectory, with its interval; steps are coloured by their direction.

    `points` are (stage, effective number, low, high) in order.
    """
    height, top, bottom = 226.0, 22.0, 36.0
    scale = count_scale(m)

    def down(value: float) -> float:
        return top + (height - top - bottom) * (1 - (scale(value) - scale.left) / (scale.right - scale.left))

    def across(place: int) -> str:
        return _across(0.2 + 0.68 * place / max(len(points) - 1, 1))

    shapes = []
    for tick in count_ticks(m):
        shapes.append(tag("line", x1="12%", x2="96%", y1=down(tick), y2=down(tick), class_="grid"))
        shapes.append(tag("text", str(tick), x="9%", y=down(tick) + 4, class_="tick", text_anchor="end"))
    for i, ((_, a, _, _), (_, b, _, _)) in enumerate(pairwise(points)):
        ends: dict[str, str | float] = {"x1": across(i), "x2": across(i + 1), "y1": down(a), "y2": down(b)}
        shapes.append(tag("line", class_=f"reach {direction(a, b)}", **ends))
    for i, (stage, value, low, high) in enumerate(points):
        if low is not None and high is not None:
            shapes.append(tag("line", x1=across(i), x2=across(i), y1=down(low), y2=down(high), class_="whisker"))
        shapes.append(tag("circle", cx=across(i), cy=down(value), r=5.0, class_=f"dot {'post' if i else 'pre'}"))
        told = effective(value, points[i - 1][1] if i else points[1][1] if len(points) > 1 else value)[0]
        shapes.append(tag("text", told, x=across(i), y=down(high or value) - 8, class_="value", text_anchor="middle"))
        # Long names of stages would run into each other.
        shapes.append(tag("text", stage[:14], x=across(i), y=height - 10, class_="tick", text_anchor="middle"))
    return picture(*shapes, height=height, title=title, text=text, ident=ident, class_="plot levels")


def icon(verdict: str) -> Markup:
    """The sign of a verdict: arrows that meet, arrows that part, two lines, a question."""
    paths = {
        "narrowed": "M1 8H6.2M3.8 5.4 6.4 8 3.8 10.6M15 8H9.8M12.2 5.4 9.6 8 12.2 10.6",
        "widened": "M6.4 8H1.2M3.6 5.4 1 8 3.6 10.6M9.6 8H14.8M12.4 5.4 15 8 12.4 10.6",
        "no material change": "M3 6H13M3 10H13",
    }
    path = paths.get(verdict, "M5.6 6A2.5 2.5 0 1 1 8.6 8.1C8.2 8.3 8 8.6 8 9.2V9.6M8 12V12.4")
    return tag(
        "svg", tag("path", d=path), viewBox="0 0 16 16", width=16.0, height=16.0, class_="icon", aria_hidden="true"
    )
