"""The page in a real browser: nothing runs, nothing reaches out, nothing is lost."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

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
    chromium = shutil.which("chromium") or "/usr/bin/chromium"
    if not Path(chromium).exists():
        pytest.skip("chromium is not installed: apt-get install chromium")
    with playwright.sync_playwright() as driver:
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
        page.on("request", lambda request: happened.append(request.url) if request.url != path.as_uri() else None)
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
    for term in page.query_selector_all(".term"):
        term.focus()
    for search in page.query_selector_all("input[type=search]"):
        search.fill("<img src=x onerror=alert(1)>")
    page.mouse.move(300, 300)
    page.wait_for_timeout(200)

    assert page.locator("img, iframe, link, object, form").count() == 0
    assert page.evaluate("document.scripts.length") == 1


@pytest.mark.parametrize("width", [375, 800, 1440])
@pytest.mark.parametrize("kind", ["made", "hostile"])
def test_the_page_never_scrolls_sideways(
    opened: Callable[..., Any], make_shift: Callable[..., Shift], hostile_shift: Shift, width: int, kind: str
) -> None:
    page = opened(make_shift() if kind == "made" else hostile_shift, width=width)

    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_contrast(opened: Callable[..., Any], make_shift: Callable[..., Shift], scheme: str) -> None:
    page = opened(make_shift(), scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")

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
