"""The report as one self-contained HTML page: no request leaves it, and it reads whole without its script."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import zlib
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.machinery import SourceFileLoader
from importlib.resources import files
from types import CodeType
from typing import TYPE_CHECKING, Any

import jinja2
from markupsafe import Markup

from diversity.drilldown import chosen
from diversity.errors import UnknownName
from diversity.registry import find_metric
from diversity.reports import figures, methods, notation, sentences, svg
from diversity.reports.outline import DomainOutline, Outline, Row, outline, title
from diversity.reports.plaintext import cut, one_line, visible

if TYPE_CHECKING:
    from diversity.gate import Gate
    from diversity.shift import Shift

OUTPUT_LIMIT = 4_200  # characters of one output; `compare` keeps 4,000 and says what it cut
PROMPT_LIMIT = 600
JSON_LIMIT = 200_000
PREVIEW = 360  # characters of an output that are read before it has to be opened
SHOWN = 4  # outputs a side before the rest has to be opened


def render(shift: Shift, *, outputs: str = "all", gate: Gate | None = None) -> str:
    """Return the report as one HTML page.

    Equal shifts give equal bytes. Whatever comes from data is escaped, and control, direction and surrogate
    characters are shown as signs. The page allows itself no request, no inline style and no script but its own.
    The verdicts, their plots and the examples are read without the script; single prompts, the measures under other
    conditions and the data lie deflated in the page, and the script unpacks them when they are asked for.

    Parameters
    ----------
    shift : Shift
    outputs : "all", "top" or "none"
        Of which prompts the page carries the outputs, among those that the shift holds.
    gate : Gate, optional
        What a policy makes of the shift; its table then stands first.
    """
    # What few pages have is read for those alone.
    if gate:
        from diversity.reports import gate as gates
    if shift.probes:
        from diversity.reports import audit as audits
    held = chosen(shift.drilldown, outputs)  # type: ignore[arg-type]  # entries are dicts
    if outputs == "none":
        shift = replace(shift, examples=[])
    told = outline(shift)
    numbers = {(e["domain"], e["prompt_id"]): i for i, e in enumerate(held, 1)}
    domains = [_Domain.of(i, domain, told, shift, numbers) for i, domain in enumerate(told.domains, 1)]
    style, script = _resource("report.css"), _resource("report.js")
    page = _environment().get_template("report.html")
    return page.render(
        told=told,
        gate=gates.page(gate) if gate else None,
        hidden=audits.section(shift) if shift.probes else None,
        title=title(told),
        csp=_policy(style, script),
        style=Markup(style),  # noqa: S704 - package data
        script=Markup(script),  # noqa: S704 - package data
        domains=domains,
        held=held,
        outputs_left_out=outputs == "none",
        stages=told.stage_words,
        share_narrowed=_share_narrowed,
        forest=_packed(figures.forest(shift)) if domains else "",
        drill=_drill_index(shift, held, domains),
        packs=_packs(shift, held, domains),
        facets=_facets(told),
        scale=svg.change_scale(_ends(told), told.margin),
        definitions=_definitions(told),
        settings=_settings(shift),
        arms=_arms(shift),
        package=shift.provenance.get("package"),
        provenance=_json(shift.provenance),
        methods=methods.paragraphs(shift),
        bibliography=methods.bibtex(shift),
    )


def sheet(template: str, **given: Any) -> str:
    """Render another template in the style of the report: a page without any script."""
    style = _resource("report.css")
    return (
        _environment()
        .get_template(template)
        .render(
            csp=_policy(style, ""),
            style=Markup(style),  # noqa: S704 - package data
            **given,
        )
    )


def _resource(name: str) -> str:
    return files("diversity.reports.templates").joinpath(name).read_text(encoding="utf-8").replace("\r\n", "\n")


def _policy(style: str, script: str) -> str:
    """The Content-Security-Policy: nothing but the one style and the one script, known by their hashes."""
    hashes = [base64.b64encode(hashlib.sha256(part.encode()).digest()).decode() for part in (style, script)]
    return (
        f"default-src 'none'; style-src 'sha256-{hashes[0]}'; script-src 'sha256-{hashes[1]}'; "
        # A figure becomes a PNG by way of an image that the page itself makes.
        "img-src blob:; base-uri 'none'; form-action 'none'"
    )


class _Compiled(SourceFileLoader):
    """A template as Python keeps modules: compiled once, into the `__pycache__` beside it, for that takes 0.2 s."""

    def path_stats(self, path: str) -> dict[str, int]:
        """Return what the compiled template must agree with: all that it follows from, in place of a time."""
        text = self.get_data(path)
        made_by = jinja2.__version__.encode() + self.get_data(__file__)
        return {"mtime": zlib.crc32(made_by + text), "size": len(text)}

    def source_to_code(self, data: Any, path: Any, *, _optimization: int = -1) -> CodeType:  # type: ignore[override]
        """Compile the template."""
        return _environment().compile(data.decode().replace("\r\n", "\n"), self.name, path)


class _Templates(jinja2.BaseLoader):
    def load(
        self,
        environment: jinja2.Environment,
        name: str,
        globals: MutableMapping[str, Any] | None = None,  # noqa: A002 - as in jinja2
    ) -> jinja2.Template:
        code = _Compiled(name, str(files("diversity.reports.templates").joinpath(name))).get_code(name)
        assert code is not None  # there is a source
        return environment.template_class.from_code(environment, code, environment.make_globals(globals))


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=_Templates(),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # Every expression passes here, so no text from data can reach the page unseen.
        finalize=_shown,
    )
    environment.globals |= {"svg": svg, "say": sentences, "write": notation, "one_line": one_line}
    environment.filters |= {"keep": _keep}
    return environment


def _shown(value: object) -> object:
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _keep(text: str) -> str:
    """Keep a number and its unit on one line."""
    return text.replace(" %", "\u00a0%")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Text:
    """An output as it is shown: folded with its equals, cut, and previewed when long."""

    index: int
    text: str
    count: int
    characters: int

    @property
    def preview(self) -> str | None:
        if len(self.text) <= PREVIEW * 1.4 and self.text.count("\n") < 14:
            return None
        lines = self.text[:PREVIEW].split("\n")[:10]
        return "\n".join(lines).rstrip() + " …"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Example:
    ident: str
    prompt: str
    prompt_id: str
    pre: float | None
    post: float | None
    facet: str
    sides: tuple[tuple[str, list[_Text]], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Prompt:
    prompt: str
    prompt_id: str
    pre: float
    post: float
    words: tuple[float | None, float | None]
    valid: tuple[float | None, float | None]
    example: str | None
    number: int | None

    @property
    def ratio(self) -> float:
        return math.log(self.post / self.pre)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Facet:
    """Per-prompt values of one facet, for its slopes."""

    row: Row
    ident: str
    pairs: list[tuple[str, float, float]]

    @property
    def ratios(self) -> list[float]:
        return [math.log(post / pre) for _, pre, post in self.pairs]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Measure:
    """One row of the descriptive panel, written out; `keys` are what its columns sort by."""

    name: str
    anchor: str | None
    facet: str
    condition: str
    higher: str
    unit: str
    pre: str
    post: str
    shift: str
    interval: str
    p: str
    verdict: str
    keys: tuple[str, ...]
    is_effective: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Domain:
    ident: str
    outline: DomainOutline
    is_code: bool
    facets: list[_Facet]
    prompts: list[_Prompt]
    examples: list[_Example]
    measures: list[_Measure]
    conditions: list[str]
    frontier: list[_Frontier]
    numbers: Mapping[str, int]

    @classmethod
    def of(
        cls, number: int, domain: DomainOutline, told: Outline, shift: Shift, numbers: Mapping[tuple[str, str], int]
    ) -> _Domain:
        ident = f"d{number}"
        examples = [_example(f"{ident}-e{i}", e, domain, told) for i, e in enumerate(domain.examples, 1)]
        known = {e.prompt_id: e.ident for e in examples}
        own = {prompt_id: n for (name, prompt_id), n in numbers.items() if name == domain.name}
        languages = shift.provenance.get("languages") or {}
        return cls(
            ident=ident,
            outline=domain,
            is_code=bool(languages.get(domain.name)),
            facets=[
                _Facet(row=row, ident=f"{ident}-f{i}", pairs=_pairs(domain, str(row["facet"])))
                for i, row in enumerate(domain.facets, 1)
            ],
            prompts=_prompts(domain, known, own),
            examples=examples,
            measures=[_measure(r, _definition(r["metric"])) for r in sorted(domain.metrics, key=_reading_order)],
            conditions=_conditions(domain),
            frontier=_frontiers(ident, domain.name, shift),
            numbers=own,
        )

    def number_of(self, prompt_id: str) -> int | None:
        """The number of a prompt whose outputs the page carries."""
        return self.numbers.get(prompt_id)

    @property
    def measured_facets(self) -> list[str]:
        """The words for the facets that anything was measured in."""
        return list(dict.fromkeys(m.facet for m in self.measures))

    @property
    def units(self) -> list[str]:
        """The units of what was measured."""
        return list(dict.fromkeys(m.unit for m in self.measures if m.unit))

    @property
    def plain_measures(self) -> list[_Measure]:
        """The measures over all answers: those that stand in the page; the script adds the other conditions."""
        return [m for m in self.measures if m.condition == "all"]

    def points(self, what: str) -> list[tuple[str, list[svg.Point]]]:
        """Effective number of the leading facet against length or validity, a point a prompt and side."""
        found: list[tuple[str, list[svg.Point]]] = []
        for k, side in enumerate(("pre", "post")):
            points = [
                (f"{side}: {one_line(p.prompt, 50)}", x, (p.pre, p.post)[k])
                for p in self.prompts
                if (x := (p.words if what == "words" else p.valid)[k]) is not None
            ]
            found.append((side, points))
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Frontier:
    """Validity against diversity over temperatures, for one facet, and which temperature equals the other side's."""

    facet: str
    ident: str
    sides: list[tuple[str, list[svg.Point]]]
    rows: list[Row]
    equivalents: list[Row]


def _degrees(temperature: float | None) -> str:
    """Write a temperature; that of samples that record none is unknown."""
    return "unknown" if temperature is None else f"{temperature:g}"


def _frontiers(ident: str, domain: str, shift: Shift) -> list[_Frontier]:
    rows = [r for r in shift.frontier if r["domain"] == domain]
    equivalents = [r for r in shift.equivalents if r["domain"] == domain]
    found = []
    for i, facet in enumerate(dict.fromkeys(r["facet"] for r in rows), 1):
        own = sorted(
            (r for r in rows if r["facet"] == facet), key=lambda r: (r["side"] != "pre", r["temperature"] or 0)
        )
        sides: list[tuple[str, list[svg.Point]]] = [
            (
                side,
                [
                    (
                        f"{(at := _degrees(r['temperature']))}: {side} at temperature {at}, effectively "
                        f"{r['effective']:.1f}, {notation.share(r['validity'])} valid",
                        r["validity"],
                        r["effective"],
                    )
                    for r in own
                    if r["side"] == side and r["validity"] is not None and r["effective"] is not None
                ],
            )
            for side in ("pre", "post")
        ]
        equal = [r for r in equivalents if r["facet"] == facet]
        found.append(_Frontier(facet=facet, ident=f"{ident}-t{i}", sides=sides, rows=own, equivalents=equal))
    return found


def _share_narrowed(row: Row) -> str:
    """The share of prompts that narrowed, with its interval where there is one."""
    low, high = row.get("share_low"), row.get("share_high")
    said = notation.share(row["share_narrowed"])
    if low is None or high is None:
        return said
    return f"{said} ({notation.percent(low, signed=False)} to {notation.percent(high, signed=False)})"


def _conditions(domain: DomainOutline) -> list[str]:
    """The conditions under which something was measured, those that are known first."""
    found = dict.fromkeys(r["condition"] for r in domain.metrics)
    return [c for c in sentences.CONDITIONS if c in found] + sorted(set(found) - set(sentences.CONDITIONS))


UNMARKED = str.maketrans("&<>", ",./")  # no letter of base 85 may mean anything to a parser of HTML


def _packed(value: Any) -> str:
    """A value as JSON, deflated, in 85 printable characters of which none is markup: it takes a third of the room."""
    text = json.dumps(_clean(value), separators=(",", ":"), ensure_ascii=False, default=str, sort_keys=True)
    deflated = zlib.compress(text.encode())  # the highest level takes thrice as long for one per cent
    return base64.b85encode(deflated).decode().translate(UNMARKED)


def _clean(value: Any) -> Any:
    """The value with every text made visible, and numbers with as many digits as a reader can use."""
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    if isinstance(value, int):
        return value
    if isinstance(value, list | tuple):
        return [_clean(v) for v in value]
    if isinstance(value, Mapping):
        return {visible(str(k)): _clean(v) for k, v in value.items()}
    return value


def _packs(shift: Shift, held: Sequence[Mapping[str, Any]], domains: Sequence[_Domain]) -> list[tuple[str, str]]:
    """What the script unpacks: the data behind the figures, the measures of each domain, the prompts' outputs."""
    frame = shift.table()
    packs: dict[str, Any] = {
        "pack-data": {
            "shift": {"columns": frame.columns, "rows": [list(row) for row in frame.iter_rows()]},
            "verdicts": {
                "columns": shift.verdicts().columns,
                "rows": [list(row) for row in shift.verdicts().iter_rows()],
            },
            "prompts": [{**p, "prompt": one_line(p["prompt"] or "", 200)} for p in shift.prompts],
            "frontier": list(shift.frontier),
            "equivalents": list(shift.equivalents),
            "settings": shift.settings,
            "pre": shift.pre,
            "post": shift.post,
            "names": {d.ident: d.outline.name for d in domains},
        }
    }
    for d in domains:
        # In the order of the table's columns, for the script to fill rows with.
        packs[f"pack-{d.ident}-measures"] = [
            [
                *(m.condition, m.is_effective, m.anchor, m.name, m.pre, m.post, m.shift, m.interval, m.p, m.verdict),
                *(svg.slug(m.verdict) if m.verdict in sentences.SYMBOLS else "", m.facet, m.unit, m.higher),
                *(sentences.CONDITIONS.get(m.condition, m.condition), list(m.keys)),
            ]
            for m in d.measures
            if m.condition != "all"
        ]
    texts = {(p["domain"], p["prompt_id"]): p["prompt"] for p in shift.prompts}
    for number, entry in enumerate(held, 1):
        text = texts.get((entry["domain"], entry["prompt_id"])) or ""
        shown = {side: [cut(o, OUTPUT_LIMIT) for o in entry[side]] for side in ("pre", "post")}
        packs[f"prompt-{number}"] = {**entry, **shown, "prompt": cut(text, 4 * PROMPT_LIMIT)}
    return [(name, _packed(value)) for name, value in packs.items()]


def _drill_index(shift: Shift, held: Sequence[Mapping[str, Any]], domains: Sequence[_Domain]) -> str:
    """What the script needs of every prompt before its outputs are unpacked."""
    prompts = {(p["domain"], p["prompt_id"]): p for p in shift.prompts}
    idents = {d.outline.name: d.ident for d in domains}
    index = []
    for entry in held:
        prompt = prompts.get((entry["domain"], entry["prompt_id"])) or {}
        values = prompt.get("values") or {}
        facets = [
            [sentences.facet_word(name.removesuffix(".effective")), *notation.effective(pair["pre"], pair["post"])]
            for name, pair in sorted(values.items(), key=lambda v: _facet_order(v[0].removesuffix(".effective")))
            if name.endswith(".effective") and pair.get("pre") is not None and pair.get("post") is not None
        ]
        text = prompt.get("prompt") or entry["prompt_id"]
        index.append(
            [idents.get(entry["domain"], ""), entry["domain"], entry["prompt_id"], one_line(text, 160), facets]
        )
    return _packed(index)


def _facets(told: Outline) -> list[str]:
    """The facets of the grid's columns, in the order in which they are named everywhere."""
    found = {row["facet"] for domain in told.domains for row in domain.facets}
    return [f for f in sentences.FACETS if f in found] + sorted(found - set(sentences.FACETS))


def _ends(told: Outline) -> list[float | None]:
    names = ("relative", "relative_low", "relative_high")
    return [row[name] for domain in told.domains for row in domain.facets for name in names]


def _values(prompt: Row, metric: str) -> tuple[float, float] | None:
    pair = prompt["values"].get(metric) or {}
    pre, post = pair.get("pre"), pair.get("post")
    return None if pre is None or post is None else (pre, post)


def _pairs(domain: DomainOutline, facet: str) -> list[tuple[str, float, float]]:
    held = [(p, _values(p, f"{facet}.effective")) for p in domain.prompts]
    return [(one_line(p["prompt"] or p["prompt_id"], 60), *values) for p, values in held if values]


def _prompts(domain: DomainOutline, examples: Mapping[str, str], numbers: Mapping[str, int]) -> list[_Prompt]:
    """The prompts with both values of the leading facet, the most narrowed first."""
    facet = f"{domain.lead['facet']}.effective"
    prompts = []
    for prompt in domain.prompts:
        values = _values(prompt, facet)
        if values is None:
            continue
        words, valid = (prompt["values"].get(name) or {} for name in ("words", "valid"))
        prompts.append(
            _Prompt(
                prompt=one_line(prompt["prompt"] or prompt["prompt_id"], 110),
                prompt_id=one_line(prompt["prompt_id"], 40),
                pre=values[0],
                post=values[1],
                words=(words.get("pre"), words.get("post")),
                valid=(valid.get("pre"), valid.get("post")),
                example=examples.get(prompt["prompt_id"]),
                number=numbers.get(prompt["prompt_id"]),
            )
        )
    return sorted(prompts, key=lambda p: (p.ratio, p.prompt_id))


def _example(ident: str, example: Row, domain: DomainOutline, told: Outline) -> _Example:
    prompt = next((p for p in domain.prompts if p["prompt_id"] == example["prompt_id"]), None)
    values = _values(prompt, example["facet"]) if prompt else None
    return _Example(
        ident=ident,
        prompt=cut(prompt["prompt"], PROMPT_LIMIT) if prompt and prompt["prompt"] else "",
        prompt_id=example["prompt_id"],
        pre=values[0] if values else None,
        post=values[1] if values else None,
        facet=str(example["facet"]).removesuffix(".effective"),
        sides=tuple((side, _folded(example[side])) for side in ("pre", "post")),
    )


def _folded(outputs: Sequence[str]) -> list[_Text]:
    """Outputs that are equal but for white space once, with their count, in the order of their first."""
    held: dict[str, list[int]] = {}
    for index, output in enumerate(outputs):
        held.setdefault(" ".join(output.split()), []).append(index)
    return [
        _Text(
            index=indices[0],
            text=cut(outputs[indices[0]].strip("\n"), OUTPUT_LIMIT),
            count=len(indices),
            characters=len(outputs[indices[0]]),
        )
        for indices in held.values()
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Definition:
    name: str
    anchor: str
    summary: str
    source: str
    higher: str
    unit: str
    confounds: str


HIGHER = {"more diverse": "more diverse", "less diverse": "more alike", "neither": ""}


@cache
def _definition(name: str) -> _Definition | None:
    """What the registry says of a metric; None where the plugin that measured it is not installed."""
    try:
        metric = find_metric(name.replace(".effective", ".similarity"))
    except UnknownName:
        return None
    is_effective = metric.headline and name.endswith(".effective")
    kernel = metric.summary[:1].lower() + metric.summary[1:]
    return _Definition(
        name=name,
        anchor=f"m-{name}",
        summary=f"Effective number of different answers. Two answers are alike by the {kernel}"
        if is_effective
        else metric.summary,
        source=metric.source,
        higher=HIGHER["more diverse"] if is_effective else HIGHER.get(metric.higher_is, ""),
        unit=metric.unit,
        confounds=metric.confounds,
    )


def _definitions(told: Outline) -> list[_Definition]:
    names = dict.fromkeys(r["metric"] for domain in told.domains for r in domain.metrics)
    return [d for d in map(_definition, names) if d]


def _facet_order(facet: str) -> tuple[int, str]:
    known = list(sentences.FACETS)
    return (known.index(facet) if facet in known else len(known)), facet


def _reading_order(row: Row) -> tuple[int, bool, bool, str, int]:
    """Facet by facet as they are named everywhere, its effective number first, what has no value last; then guards."""
    facets, conditions = list(sentences.FACETS), list(sentences.CONDITIONS)
    facet = facets.index(row["facet"]) if row["facet"] in facets else len(facets) + (row["facet"] == "guard")
    condition = conditions.index(row["condition"]) if row["condition"] in conditions else len(conditions)
    return facet, row["shift"] is None, not row["metric"].endswith(".effective"), row["metric"], condition


def _measure(row: Row, known: _Definition | None) -> _Measure:
    is_effective = str(row["metric"]).endswith(".effective")
    if is_effective and row["pre"] is not None:
        pre, post = notation.effective(row["pre"], row["post"])
        ends = [None if row[c] is None else math.expm1(row[c]) for c in ("ci_low", "ci_high")]
        shift = f"{notation.percent(row['relative'])} %"
        interval = notation.MISSING if None in ends else f"{notation.percent(ends[0])} to {notation.percent(ends[1])} %"
    else:
        pre, post = (notation.number(row[c]) for c in ("pre", "post"))
        # Between checkpoints there is one value and no pre, so the sign is not that of a change.
        shift, low, high = (
            notation.number(row[c], signed=row["pre"] is not None) for c in ("shift", "ci_low", "ci_high")
        )
        interval = notation.MISSING if notation.MISSING in (low, high) else f"{low} to {high}"
    p = row["p_adjusted"] if row["p_adjusted"] is not None else row["p"]
    verdict = row["verdict"] or notation.MISSING if row["shift"] is not None else "not measured"
    relative = row["relative"] if is_effective else row["shift"]
    return _Measure(
        name=row["metric"],
        anchor=known.anchor if known else None,
        facet="guard" if row["facet"] == "guard" else sentences.facet_word(row["facet"]),
        condition=row["condition"],
        higher=known.higher if known else "",
        unit=row.get("unit") or (known.unit if known else ""),
        pre=pre,
        post=post,
        shift=shift,
        interval=interval,
        p=notation.p_value(p),
        verdict=verdict,
        keys=tuple("" if v is None else f"{v:.6g}" for v in (row["pre"], row["post"], relative, p)),
        is_effective=is_effective,
    )


SETTINGS = {
    "m": "Reference size of the effective number",
    "margin": "Material margin",
    "level": "Level of the intervals",
    "seed": "Seed",
}
SAMPLING = {
    "stage": "Stage",
    "temperature": "Temperature",
    "top_p": "Top-p",
    "max_tokens": "Token limit",
    "seed": "Sampling seed",
}


def _settings(shift: Shift) -> list[tuple[str, str]]:
    said = []
    # A shift read from a file has its settings in another order.
    for key in [*(k for k in SETTINGS if k in shift.settings), *sorted(set(shift.settings) - set(SETTINGS))]:
        value = shift.settings[key]
        text = f"{notation.percent(value, signed=False)} %" if key in {"margin", "level"} else _plain(value)
        said.append((SETTINGS.get(key, key), text))
    embedding = shift.provenance.get("embedding")
    if embedding:
        said.append(("Embedding and calibration", str(embedding)))
    domains = shift.provenance.get("domains") or {}
    said += [(f"Extraction of {name}", f"version {version}") for name, version in sorted(domains.items())]
    return said


def _arms(shift: Shift) -> list[tuple[str, list[str]]]:
    """Rows of the table of sampling settings: what, pre, post. Where nothing was recorded it says so."""
    sampling = shift.provenance.get("sampling") or {}
    sides = [sampling.get(name) or {} for name in (shift.pre, shift.post)]
    named = [*SAMPLING, *sorted({key for side in sides for key in side} - set(SAMPLING))]
    return [
        (SAMPLING.get(key, key), [_plain(side[key]) if side.get(key) is not None else "not recorded" for side in sides])
        for key in named
        if any(side.get(key) is not None for side in sides) or key in SAMPLING
    ]


def _plain(value: Any) -> str:
    if isinstance(value, bool | str):
        return str(value)
    if isinstance(value, int | float):
        return f"{value:g}" if isinstance(value, float) else str(value)
    return json.dumps(value, sort_keys=True, default=str)


def _json(value: Mapping[str, Any]) -> str:
    return cut(json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, default=str), JSON_LIMIT)
