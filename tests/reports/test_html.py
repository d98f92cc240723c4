"""The page, read as a browser's parser would."""

import base64
import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

import pytest

from diversity.registry import find_metric
from diversity.reports import html as pages
from diversity.reports.html import render
from diversity.shift import Shift

MakeShift = Callable[..., Shift]
VOID = {"meta", "input", "link", "br", "img", "hr"}


@dataclass
class Page(HTMLParser):
    """Tags, text and the contents of style and script of a page."""

    tags: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    text: list[str] = field(default_factory=list)
    raw: dict[str, list[str]] = field(default_factory=dict)
    stack: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)

    @classmethod
    def of(cls, html: str) -> "Page":
        page = cls()
        page.feed(html)
        page.close()
        assert page.stack == [], "every element is closed"
        return page

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        assert len(attrs) == len(dict(attrs))
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.stack and self.stack[-1] in {"style", "script"}:
            self.raw.setdefault(self.stack[-1], []).append(data)
        else:
            self.text.append(data)

    @property
    def words(self) -> str:
        return " ".join("".join(self.text).replace("\u00a0", " ").split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


PAGES: dict[str, Page] = {}  # read by several tests, changed by none


@pytest.fixture(params=["made", "hostile"])
def page(request: pytest.FixtureRequest, make_shift: MakeShift, hostile_shift: Shift) -> Page:
    if request.param not in PAGES:
        PAGES[request.param] = Page.of(render(make_shift() if request.param == "made" else hostile_shift))
    return PAGES[request.param]


def test_it_says_what_happened_first(make_shift: MakeShift) -> None:
    words = Page.of(render(make_shift())).words
    title = words.index("Programs undecided, stories narrowed")
    story = words.index("Of 16 stories, effectively 6.1 differed in meaning before tuning and 4.2 after: narrowed,")
    order = [words.index(head, story) for head in ("How sure Shift of", "Where it happened Each", "In the outputs The")]

    assert title < story < order[0] < order[1] < order[2]
    assert "−31 % (−38 to −23)" in words


def test_reservations_stand_in_the_open(make_shift: MakeShift) -> None:
    html = render(make_shift())
    opening = Page.of(html.split('id="sure"')[0].rsplit("<section", 1)[0] + "</main></body></html>").words

    for said in (
        "Provisional: 12 prompts, fewer than 20.",
        "lost at equal length",
        "confounded by validity",
        "It runs against what the domain rewards in meaning: answers that differ.",
        "length 84 → 97 words clear shift",
        "truncated not recorded",
        "prompts lost 2",
    ):
        assert said in opening


def test_ids_are_unique_and_references_lead_somewhere(page: Page) -> None:
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]

    assert len(ids) == len(set(ids))
    for _, attributes in page.tags:
        for name in ("aria-labelledby", "aria-describedby", "data-table"):
            assert set((attributes.get(name) or "").split()) <= set(ids)
        if (attributes.get("href") or "").startswith("#"):
            assert str(attributes["href"])[1:] in ids


def test_no_attribute_reaches_out_or_runs(page: Page) -> None:
    for tag, attributes in page.tags:
        assert tag not in {"img", "iframe", "object", "embed", "base", "form", "link", "video", "audio", "a:href"}
        for name, value in attributes.items():
            assert not name.startswith("on")
            assert name not in {"style", "src", "srcset", "action", "formaction", "xlink:href", "background"}
            if name == "href":
                assert (value or "").startswith("#")
    assert not re.search(r"url\(|@import", page.raw["style"][0])


def test_the_policy_knows_the_one_style_and_the_one_script_by_their_hashes(page: Page) -> None:
    (policy,) = (m["content"] for m in page.all("meta") if m.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert len(page.raw["style"]) == len(page.raw["script"]) == 1
    for what in ("style", "script"):
        digest = base64.b64encode(hashlib.sha256(page.raw[what][0].encode()).digest()).decode()
        assert f"{what}-src 'sha256-{digest}';" in policy

    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy


def test_it_is_ordered_for_a_screen_reader(page: Page) -> None:
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]

    assert page.all("html") == [{"lang": "en"}]
    assert levels.count(1) == 1
    assert all(b - a <= 1 for a, b in pairwise(levels))
    assert [len(page.all(tag)) for tag in ("main", "header", "footer", "nav")] == [1, 1, 1, 1]
    assert len(page.all("caption")) == len(page.all("table"))
    assert all(th.get("scope") in {"row", "col", "rowgroup"} for th in page.all("th"))
    assert all(region.get("aria-label") or region.get("aria-labelledby") for region in page.all("nav"))


def test_a_plot_has_a_name_or_is_decoration(page: Page) -> None:
    plots = [svg for svg in page.all("svg") if "x" not in svg]  # a nested svg only carries a mark to its place
    named = [svg for svg in plots if svg.get("role") == "img"]

    assert named
    assert all(svg.get("aria-labelledby") and svg.get("aria-describedby") for svg in named)
    assert all(svg.get("aria-hidden") == "true" for svg in plots if svg not in named)


def test_every_hostile_output_is_shown_as_text(hostile_shift: Shift, hostile: list[str]) -> None:
    page = Page.of(render(hostile_shift))
    text = "".join(page.text)

    assert len(page.raw["script"]) == 1
    for harmless in (hostile[0], hostile[1], hostile[2], hostile[3], hostile[4], hostile[5], hostile[10]):
        assert harmless in text
    assert "left ⟨U+202E⟩ turned round ⟨U+2066⟩ isolated" in text
    assert "nul ␀ bell ␇ erase ␡ c1 ⟨U+009B⟩31m" in text
    assert "␛[31mred" in text
    assert "lone ⟨U+D800⟩ surrogate ⟨U+DFFF⟩" in text
    assert "(995,800 more characters)" in text


def test_hostile_text_leaves_no_control_direction_or_surrogate_character(hostile_shift: Shift) -> None:
    html = render(hostile_shift)

    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", html)
    assert len(html.encode()) < 1_000_000


def test_equal_shifts_give_equal_bytes_and_so_does_one_read_again(make_shift: MakeShift) -> None:
    shift = make_shift()

    assert render(shift) == render(make_shift())
    assert render(Shift.from_dict(json.loads(shift.to_json()))) == render(shift)


def test_equal_outputs_are_shown_once_with_their_count(make_shift: MakeShift) -> None:
    words = Page.of(render(make_shift())).words

    assert "#2 ×2 equal The dog slept." in words
    assert "Read all 720 characters" in words


def test_an_empty_output_is_said_to_be_empty(make_shift: MakeShift) -> None:
    assert "#1 empty output" in Page.of(render(make_shift(outputs=["", "a"]))).words


def test_a_metric_says_its_definition_and_one_without_values_that_it_was_not_measured(make_shift: MakeShift) -> None:
    words = Page.of(render(make_shift())).words

    assert find_metric("self_bleu").summary in words
    assert re.search(r"vendi[–\s]+not measured", words)


def test_a_value_between_checkpoints_has_its_unit_and_no_sign(make_shift: MakeShift) -> None:
    words = Page.of(render(make_shift())).words  # cells follow each other without a space

    assert re.search(r"––0\.5450\.340 to 0\.7500\.020–meaningbetween checkpoints", words)


def test_a_guard_that_is_not_always_shown_stands_beside_the_verdict_when_its_shift_is_clear(
    make_shift: MakeShift,
) -> None:
    opening = render(make_shift()).split('id="sure"')[0]

    assert "loops 0\u00a0% → 11\u00a0%" in opening
    assert ">empty" not in opening


def test_a_metric_and_a_facet_that_nobody_registered_are_shown_all_the_same(
    make_shift: MakeShift, make_row: Callable[..., Any]
) -> None:
    words = Page.of(render(make_shift([make_row(facet="rhetorical")]))).words

    assert "effectively 6.1 differed in rhetorical before tuning" in words


def test_a_shift_made_from_scores_has_no_outputs_and_says_so(make_shift: MakeShift) -> None:
    made = make_shift()
    prompts = [{**p, "prompt": None} for p in made.prompts]
    words = Page.of(render(replace(made, examples=[], prompts=prompts))).words

    assert "This shift was made from scores, and carries no outputs." in words
    assert "story-07" in words


def test_a_domain_whose_primary_facet_is_missing_says_so(make_shift: MakeShift, make_row: Callable[..., Any]) -> None:
    shift = make_shift([make_row(facet="lexical", primary=False)])

    assert "The domain’s primary facet was not measured; the first that was is shown." in Page.of(render(shift)).words


def test_a_verdict_without_an_interval_is_drawn(make_shift: MakeShift, make_row: Callable[..., Any]) -> None:
    row = make_row(verdict="inconclusive", relative_low=None, relative_high=None, n_prompts=2)

    assert "−31 % (no interval)" in Page.of(render(make_shift([row]))).words


def test_beyond_three_domains_the_title_counts_verdicts(make_shift: MakeShift, make_row: Callable[..., Any]) -> None:
    shift = make_shift([make_row(domain=f"d{i}", n_prompts=3) for i in range(5)])

    assert "Of 5 domains: narrowed in 5" in render(shift)


def test_a_confounded_verdict_is_confounded_in_the_title(make_shift: MakeShift, make_row: Callable[..., Any]) -> None:
    assert "<h1>Stories narrowed (confounded)</h1>" in render(make_shift([make_row(confounded_by=["valid"])]))


def test_a_sweep_shows_the_frontier_and_the_temperature_that_the_shift_amounts_to(make_shift: MakeShift) -> None:
    words = Page.of(render(make_shift(sweep=True))).words

    assert "Frontier in meaning over temperatures" in words
    assert "post at temperature 1 is as diverse as pre at temperature 0.67 (below 0.6 to 0.79)." in words
    assert re.search(r"post tiny-tuned0\.64\.21|post tiny-tuned0\.6", words)
    assert "0.6: post at temperature 0.6, effectively 2.8, 99 % valid" in words
    assert "Frontier" not in Page.of(render(make_shift())).words


def test_a_template_is_compiled_once_and_again_when_it_or_what_compiles_it_is_another(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.dont_write_bytecode", False)
    monkeypatch.setattr("sys.pycache_prefix", None)
    path = tmp_path / "some.html"
    compiled = []

    class Watched(pages._Compiled):
        def source_to_code(self, data, path, **given):
            compiled.append(data)
            return super().source_to_code(data, path, **given)

    def read() -> None:
        code = Watched("some.html", str(path)).get_code("some.html")
        environment = pages._environment()
        shown.append(environment.template_class.from_code(environment, code, {}).render(name="<b>"))

    shown: list[str] = []
    for text in (b"1 {{ name }}", b"1 {{ name }}", b"2 {{ name }}"):
        path.write_bytes(text)
        read()
    assert shown == ["1 &lt;b&gt;", "1 &lt;b&gt;", "2 &lt;b&gt;"]
    assert compiled == [b"1 {{ name }}", b"2 {{ name }}"]
    monkeypatch.setattr(pages.jinja2, "__version__", "another")
    read()
    assert len(compiled) == 3
