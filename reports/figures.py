"""Single figures as files of SVG: the same shapes as in the page, with their style inside and no page around them."""

from __future__ import annotations

import base64
import math
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup

from diversity.errors import UnknownName
from diversity.files import written
from diversity.reports import sentences, svg
from diversity.reports.notation import change, percent
from diversity.reports.outline import DomainOutline, Outline, Row, outline, title
from diversity.reports.plaintext import one_line
from diversity.reports.svg import tag

if TYPE_CHECKING:
    from diversity.shift import Shift

WIDTH = 900.0
LABELS, ROW, GROUP = 330.0, 44.0, 34.0


@dataclass(frozen=True, slots=True)
class Plots:
    """The figures of a Shift, each as SVG text; `shift.plot.forest()`.

    Every method takes `path` to write the file as well. Figures of one domain take its name, by default the first,
    and those of one facet its name, by default the primary one.
    """

    shift: Shift

    def forest(self, path: str | Path | None = None) -> str:
        """Every domain and facet with its interval and the material margin."""
        return written(forest(self.shift), path)

    def slopes(self, domain: str | None = None, facet: str | None = None, path: str | Path | None = None) -> str:
        """Every prompt of a domain as a line from pre to post."""
        told, own, row = self._one(domain, facet)
        drawn = svg.slopes(
            _pairs(own, row), (row["pre"], row["post"]), m=told.m, title=_title(own, row), text="", ident="slopes"
        )
        return written(_framed(_title(own, row), drawn, width=420.0, height=236.0), path)

    def distribution(self, domain: str | None = None, facet: str | None = None, path: str | Path | None = None) -> str:
        """How many prompts of a domain shifted by how much."""
        told, own, row = self._one(domain, facet)
        drawn = svg.distribution(
            [math.log(post / pre) for _, pre, post in _pairs(own, row)],
            change=(row["relative"], row["relative_low"], row["relative_high"]),
            margin=told.margin,
            verdict=row["verdict"],
            title=_title(own, row),
            text="",
            ident="distribution",
        )
        return written(_framed(_title(own, row), drawn, width=520.0, height=132.0), path)

    def length(self, domain: str | None = None, facet: str | None = None, path: str | Path | None = None) -> str:
        """Length in words against the effective number, a point a prompt and checkpoint."""
        return self._scatter("words", "words an output", domain, facet, path)

    def validity(self, domain: str | None = None, facet: str | None = None, path: str | Path | None = None) -> str:
        """Share of valid outputs against the effective number, a point a prompt and checkpoint."""
        return self._scatter("valid", "valid outputs", domain, facet, path)

    def _scatter(self, what: str, label: str, domain: str | None, facet: str | None, path: str | Path | None) -> str:
        told, own, row = self._one(domain, facet)
        sides = []
        for side in ("pre", "post"):
            points = []
            for prompt in own.prompts:
                across = (prompt["values"].get(what) or {}).get(side)
                up = (prompt["values"].get(f"{row['facet']}.effective") or {}).get(side)
                if across is not None and up is not None:
                    points.append((one_line(prompt["prompt"] or prompt["prompt_id"], 50), across, up))
            sides.append((side, points))
        title = f"{_title(own, row)}: {label}"
        drawn = svg.scatter(sides, m=told.m, across=label, is_share=what == "valid", title=title, text="", ident=what)
        return written(_framed(title, drawn, width=520.0, height=250.0), path)

    def _one(self, domain: str | None, facet: str | None) -> tuple[Outline, DomainOutline, Row]:
        told = outline(self.shift)
        own = next((d for d in told.domains if domain in (None, d.name)), None)
        if own is None:
            raise UnknownName("domain of this shift", str(domain), [d.name for d in told.domains])
        row = next((r for r in own.facets if facet in (None, r["facet"])), None)
        if row is None:
            raise UnknownName(f"facet of domain {own.name}", str(facet), [str(r["facet"]) for r in own.facets])
        return told, own, row


def _title(domain: DomainOutline, row: Row) -> str:
    return f"{one_line(domain.name, 40)}, {sentences.facet_word(row['facet'])}"


def _pairs(domain: DomainOutline, row: Row) -> list[tuple[str, float, float]]:
    found = []
    for prompt in domain.prompts:
        pair = prompt["values"].get(f"{row['facet']}.effective") or {}
        if pair.get("pre") is not None and pair.get("post") is not None:
            found.append((one_line(prompt["prompt"] or prompt["prompt_id"], 60), pair["pre"], pair["post"]))
    return found


def forest(shift: Shift) -> str:
    """Return the forest plot of all verdicts as SVG."""
    told = outline(shift)
    ends = [row[k] for d in told.domains for row in d.facets for k in ("relative", "relative_low", "relative_high")]
    scale = svg.change_scale(ends, told.margin)
    across = WIDTH - LABELS - 20
    shapes: list[Markup] = [_placed(svg.change_axis(scale), LABELS, 34.0, across, 20.0)]
    down = 58.0
    for domain in told.domains:
        shapes.append(tag("text", one_line(domain.name, 40), x=12.0, y=down + 22, class_="head"))
        down += GROUP
        for row in domain.facets:
            word = sentences.facet_word(row["facet"]) + (" (primary)" if row["primary"] else "")
            size = change(row["relative"], row["relative_low"], row["relative_high"])
            marks = ", ".join([row["verdict"], *sentences.marks(row)])
            shapes.append(tag("text", f"{word}  {size}", x=12.0, y=down + 19, class_="value"))
            shapes.append(tag("text", one_line(marks, 60), x=12.0, y=down + 35, class_="tick"))
            plot = svg.interval(
                scale,
                relative=row["relative"],
                low=row["relative_low"],
                high=row["relative_high"],
                margin=told.margin,
                verdict=row["verdict"],
                title="",
                text="",
                ident="",
                is_primary=row["primary"],
            )
            shapes.append(_placed(plot, LABELS, down, across, ROW))
            down += ROW
    margin = f"margin ±{percent(told.margin, signed=False)} %"
    foot = f"within prompt, {told.stage_words}; 95 % intervals over prompts; band: {margin}"
    shapes.append(tag("text", foot, x=12.0, y=down + 24, class_="tick"))
    named = f"Shift in diversity, {one_line(told.pre, 60)} → {one_line(told.post, 60)}"
    return _file(named, shapes, width=WIDTH, height=down + 38)


def _placed(picture: Markup, x: float, y: float, width: float, height: float) -> Markup:
    """A picture of the page at a place of a figure, whose width its percentages then are; what leaves it is cut."""
    text = re.sub(r"^<svg[^>]*>", "", str(picture), count=1).removesuffix("</svg>")
    return tag("svg", Markup(text), x=x, y=y, width=width, height=height, overflow="hidden")  # noqa: S704 - made here


def _framed(title: str, picture: Markup, *, width: float, height: float) -> str:
    # What leaves the picture, such as a number at its edge, must still be seen.
    text = re.sub(r"^<svg[^>]*>", "", str(picture), count=1).removesuffix("</svg>")
    inner = tag("svg", Markup(text), x=10.0, y=34.0, width=width - 20, height=height, overflow="visible")  # noqa: S704
    return _file(title, [inner], width=width, height=height + 44)


def _file(title: str, shapes: list[Markup], *, width: float, height: float) -> str:
    head = [
        tag("title", title),
        tag("style", Markup(_style())),  # noqa: S704 - package data
        tag("rect", width="100%", height="100%", class_="paper"),
        tag("text", title, x=12.0, y=22.0, class_="head"),
    ]
    size = f"0 0 {width:g} {height:g}"
    return str(tag("svg", *head, *shapes, xmlns="http://www.w3.org/2000/svg", width=width, height=height, viewBox=size))


@cache
def _style() -> str:
    return files("diversity.reports.templates").joinpath("figure.css").read_text(encoding="utf-8").replace("\n", "")


def notebook(shift: Shift) -> str:
    """Return a fragment of HTML for a notebook: what happened in each domain, and the forest plot as an image."""
    told = outline(shift)
    said = [
        tag("p", sentences.paragraph(domain.lead, m=told.m, margin=told.margin, between=told.between))
        for domain in told.domains
    ]
    # As an image the figure keeps its style to itself, and no script in it could run.
    picture = base64.b64encode(forest(shift).encode()).decode()
    image = tag("img", src=f"data:image/svg+xml;base64,{picture}", alt=title(told), style="max-width:100%")
    return str(tag("div", tag("h3", title(told)), *said, image))
