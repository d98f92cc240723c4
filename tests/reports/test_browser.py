"""The page in a real browser: nothing runs, nothing reaches out, nothing is lost."""

import csv
import io
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from diversity.reports.html import render
from diversity.shift import Shift

pytestmark = pytest.mark.browser

ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--no-first-run"),
]

# Contrast of every text with the nearest background that is not transparent; WCAG 2.2, 1.4.3.
CONTRAST = """() => {
  const light = (c) => { const v = c / 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; };
  const rgb = (s) => s.match(/[\\d.]+/g).map(Number);
  const luminance = ([r, g, b]) => 0.2126 * light(r) + 0.7152 * light(g) + 0.0722 * light(b);
  const behind = (e) => {
    for (; e; e = e.parentElement) {
      const c = rgb(getComputedStyle(e).backgroundColor);
      if (c.length === 3 || c[3] > 0) return c;
    }
    return [255, 255, 255];
  };
  const low = new Set();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const e = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || /^(script|style|title|desc)$/i.test(e.tagName)) continue;
    const style = getComputedStyle(e);
    const ink = e.closest("svg") ? style.fill : style.color;
    const [a, b] = [luminance(rgb(ink)), luminance(behind(e.closest("svg") ? e.closest("svg").parentElement : e))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) low.add(`${e.tagName}.${e.getAttribute("class")} ${ratio.toFixed(2)}`);
  }
  return [...low];
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: pip install playwright"
    )
    with playwright.sync_playwright() as driver:
        # The machine's own, else the one that playwright fetched.
        chromium = shutil.which("chromium") or driver.chromium.executable_path
        if not Path(chromium).exists():
            pytest.skip("chromium is not installed: apt-get install chromium, or playwright install chromium")
        started = driver.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield started
        started.close()


@pytest.fixture
def opened(browser: Any, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Open a shift's page; the test fails if anything ran, complained or was asked for."""
    happened: list[str] = []
    contexts = []

    def dismiss(dialog: Any) -> None:
        happened.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def visit(shift: Shift, *, width: int = 1280, scheme: str = "light", script: bool = True) -> Any:
        path = tmp_path / "report.html"
        path.write_text(render(shift), encoding="utf-8")
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, java_script_enabled=script
        )
        contexts.append(context)
        page = context.new_page()
        page.on("dialog", dismiss)
        page.on("console", lambda message: happened.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: happened.append(f"error: {error}"))
        page.on("popup", lambda popup: happened.append(f"popup: {popup.url}"))
        # What the page makes of its own data, a figure on its way to a PNG, is no request to anywhere.
        allowed = path.as_uri(), "blob:"
        page.on("request", lambda r: None if r.url.startswith(allowed) else happened.append(r.url))
        page.goto(path.as_uri())
        return page

    yield visit
    for context in contexts:
        context.close()
    assert happened == []


def test_a_hostile_page_does_nothing(opened: Callable[..., Any], hostile_shift: Shift) -> None:
    page = opened(hostile_shift)
    page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    for button in page.query_selector_all("thead button"):
        button.click()
    page.evaluate("document.querySelectorAll('.term').forEach((term) => term.focus())")
    for search in page.query_selector_all("input[type=search]"):
        search.fill("<img src=x onerror=alert(1)>")
    for select in page.query_selector_all("select"):
        select.select_option(index=0)
    page.locator("#all-signatures dd").first.wait_for()
    page.wait_for_timeout(100)

    assert page.locator("img, iframe, link, object, form").count() == 0
    assert page.evaluate("document.scripts.length") == 1


def test_hostile_outputs_are_looked_at_and_searched_and_do_nothing(
    opened: Callable[..., Any], hostile_shift: Shift, hostile: list[str]
) -> None:
    page = opened(hostile_shift)
    page.locator("#find").fill("alert(")
    page.locator("#found a").first.wait_for()
    assert "2 prompts" in page.locator("#find-status").inner_text()
    page.locator("#found a").first.click()
    page.locator("#prompt .output").first.wait_for()
    for label in ("wording", "form", "fold near repeats", "mark what they share"):
        page.get_by_label(label, exact=True).click()
    page.locator("#prompt .spot").last.hover()
    page.locator("#prompt .spot").nth(3).press("Enter")
    shown = "\n".join(page.locator("#prompt .text").all_text_contents())

    for harmless in (hostile[0], hostile[2], hostile[4], hostile[5]):
        assert harmless in shown
    assert "left ⟨U+202E⟩ turned round" in shown
    assert "␛[31mred" in shown
    assert page.locator("#prompt mark", has_text="alert(").count() > 0
    assert page.locator("img, iframe, link, object, form").count() == 0


@pytest.mark.parametrize("kind", ["made", "hostile"])
def test_the_page_never_scrolls_sideways(
    opened: Callable[..., Any], make_shift: Callable[..., Shift], hostile_shift: Shift, kind: str
) -> None:
    page = opened(make_shift() if kind == "made" else hostile_shift)
    for where in ("", "#prompt-1"):
        page.evaluate("(where) => { location.hash = where; }", where)
        page.wait_for_function("(where) => document.body.classList.contains('drilling') === Boolean(where)", arg=where)
        for width in (375, 800, 1440):
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.fixture(scope="module")
def axe() -> str:
    """The script of axe-core, as the package carries it."""
    spec = find_spec("axe_playwright_python")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("axe is not installed: pip install axe-playwright-python")
    return (Path(spec.submodule_search_locations[0]) / "axe.min.js").read_text(encoding="utf-8")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_and_every_text_has_contrast(
    opened: Callable[..., Any], make_shift: Callable[..., Shift], axe: str, scheme: str
) -> None:
    page = opened(make_shift(), scheme=scheme)
    for where in ("", "#prompt-1") if scheme == "light" else ("#prompt-1",):
        page.evaluate("(where) => { location.hash = where; }", where)
        page.wait_for_function("(where) => document.body.classList.contains('drilling') === Boolean(where)", arg=where)
        page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
        # Evaluated from outside the page, whose policy allows no script but its own.
        page.evaluate(axe)
        found = page.evaluate("axe.run({runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa', 'best-practice']})")
        assert [(v["id"], v["nodes"][0]["html"][:200]) for v in found["violations"]] == []
        assert page.evaluate(CONTRAST) == []


def test_without_its_script_the_page_shows_every_row(
    opened: Callable[..., Any], make_shift: Callable[..., Shift]
) -> None:
    page = opened(make_shift(), script=False)

    assert page.locator("table.panel tbody tr:visible").count() == page.locator("table.panel tbody tr").count() > 20
    assert page.locator(".filters:visible").count() == 0


def test_a_table_sorts_by_its_numbers(opened: Callable[..., Any], make_shift: Callable[..., Shift]) -> None:
    page = opened(make_shift())
    table = page.locator("#d2-prompts")
    table.get_by_role("button", name="Shift").click()
    shifts = [float(cell.get_attribute("data-v")) for cell in table.locator("tbody td:nth-child(5)").all()]

    assert shifts == sorted(shifts, reverse=True)
    assert table.locator("th[aria-sort=descending]").inner_text().startswith("Shift")


def test_filters_hide_and_count_rows(opened: Callable[..., Any], make_shift: Callable[..., Shift]) -> None:
    page = opened(make_shift())
    filters = page.locator("[data-table=d2-measures]")

    assert page.locator("#d2-measures tbody tr:visible[data-group=valid]").count() == 0
    filters.get_by_label("Answers").select_option("valid")
    page.locator("#d2-measures tbody tr[data-group=valid]").first.wait_for()
    assert page.locator("#d2-measures tbody tr:visible[data-group=all]").count() == 0
    filters.get_by_label("Answers").select_option("")
    filters.locator("input").fill("self_bleu")
    assert page.locator("#d2-measures tbody tr:visible").count() == 1
    assert filters.locator(".found").inner_text().startswith("1 of ")


def test_a_definition_is_read_by_keyboard_and_closed_by_escape(
    opened: Callable[..., Any], make_shift: Callable[..., Shift]
) -> None:
    page = opened(make_shift())
    term = page.locator(".term", has_text="self_bleu").first
    tip = page.locator("#tip")

    assert not tip.is_visible()
    term.focus()
    assert tip.is_visible()
    assert "Mean BLEU-4" in tip.inner_text()
    page.keyboard.press("Escape")
    assert not tip.is_visible()


def test_outputs_are_grouped_folded_and_shown_as_trees(
    opened: Callable[..., Any], make_shift: Callable[..., Shift]
) -> None:
    page = opened(make_shift())
    page.locator("#d1-prompts a").first.click()
    page.locator("#prompt .output").first.wait_for()
    titles = page.locator("#prompt .group h3")

    assert page.locator("#prompt-title").inner_text() == "Write a short story about a dog."
    page.get_by_label("same tree").click()
    # Two functions that differ in their names, before and after.
    assert titles.first.inner_text() == "Group 1 pre 2 · post 2"
    assert "Left out: does not parse" in titles.last.inner_text()
    page.get_by_label("normalised tree").click()
    assert "binary_operator +: identifier identifier" in page.locator("#prompt .text").first.inner_text()
    page.get_by_label("as written").click()
    page.get_by_role("radio", name="behaviour").click()
    assert page.locator("#prompt .index", has_text="always raised ValueError").count() == 2
    assert page.get_by_role("radio", name="behaviour").evaluate("(e) => e === document.activeElement")
    page.go_back()
    page.locator("#what").wait_for()
    assert page.locator("#prompt").is_hidden()


def test_near_repeats_are_folded_with_their_count(opened: Callable[..., Any], make_shift: Callable[..., Shift]) -> None:
    page = opened(make_shift())
    page.evaluate("location.hash = '#prompt-3'")
    page.locator("#prompt .count").first.wait_for()

    # "The dog  slept." and "The dog slept." on either side.
    assert page.locator("#prompt .count").all_text_contents() == ["×2 nearly equal"] * 2
    before = page.locator("#prompt .group > .pair > .side > ol > .output").count()
    page.get_by_label("fold near repeats").click()
    assert page.locator("#prompt .group > .pair > .side > ol > .output").count() == before + 2


def test_the_data_and_the_figure_can_be_taken_away(
    opened: Callable[..., Any], make_shift: Callable[..., Shift]
) -> None:
    page = opened(make_shift())

    def taken(place: str, what: str) -> bytes:
        tools = page.locator(place)
        tools.locator("summary").click()
        with page.expect_download() as caught:
            tools.get_by_role("button", name=what).click()
        tools.locator("summary").click()
        return Path(caught.value.path()).read_bytes()

    forest = "table.forest + .tools"
    rows = list(csv.DictReader(io.StringIO(taken(forest, "CSV").decode())))
    assert [r["relative"] for r in rows if r["domain"] == "story" and r["facet"] == "semantic"] == ["-0.312"]
    assert b"meaning (primary)" in taken(forest, "SVG")
    assert taken(forest, "PNG").startswith(b"\x89PNG")
    slopes = "#where article:nth-of-type(2) figure.primary .tools"
    prompts = json.loads(taken(slopes, "JSON"))
    assert len(prompts) == 24
    assert prompts[0]["semantic.effective.pre"] > 1
    assert taken(slopes, "SVG").count(b"<svg") > 2


def test_one_domain_is_shown_alone(opened: Callable[..., Any], make_shift: Callable[..., Shift]) -> None:
    page = opened(make_shift())
    page.locator("#domain").select_option(label="code")

    assert page.locator("[data-domain=d2]:visible").count() == 0
    assert page.locator("[data-domain=d1]:visible").count() > 3


def test_a_long_table_shows_so_many_rows_at_once(opened: Callable[..., Any], make_shift: Callable[..., Shift]) -> None:
    made = make_shift()
    rows = made.frame.filter(domain="story", metric="distinct_2")
    more = [rows.with_columns(pl.lit(f"measure_{i:03}").alias("metric")) for i in range(300)]
    page = opened(replace(made, frame=pl.concat([made.frame, *more])))
    shown = page.locator("#d2-measures tbody tr:not([hidden])")

    assert shown.count() == 250
    page.locator("[data-table=d2-measures]").get_by_role("button", name="Show all").click()
    assert shown.count() > 300
    page.locator("[data-table=d2-measures] input").fill("measure_29")
    assert shown.count() == 10
