"""The comment on a pull request."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from markdown_it import MarkdownIt

from diversity.reports.markdown import code, render
from diversity.shift import Shift

MakeShift = Callable[..., Shift]


def test_a_domain_has_its_sentence_table_guards_and_signature(make_shift: MakeShift) -> None:
    text = render(make_shift())

    assert text.startswith("## Programs undecided, stories narrowed\n")
    assert (
        "Of 16 stories, effectively 6.1 differed in meaning before tuning and 4.2 after: narrowed, −31 % (−38 to −23)."
        in text
    )
    assert "| **meaning** (primary) | 6.1 → 4.2 | −31 % (−38 to −23) | 0.002 | ▼ narrowed | against |" in text
    assert "Beside it: **length 84 → 97 words (+15 %)**, valid 98 % → 96 % (−2 points)," in text
    assert "<details><summary>Signatures</summary>" in text
    assert "semantic.effective@16|v:0.1.0.1|dom:story" in text


def test_it_is_the_same_twice(make_shift: MakeShift) -> None:
    assert render(make_shift()) == render(make_shift())


def test_hostile_names_make_no_html_no_link_and_no_cell(hostile_shift: Shift) -> None:
    html = MarkdownIt("commonmark", {"html": True}).enable("table").render(render(hostile_shift))
    tags = set(re.findall(r"<(/?[a-z][a-z0-9]*)", html))

    assert tags <= {
        *("h2", "/h2", "h3", "/h3", "p", "/p", "table", "/table", "thead", "/thead", "tbody", "/tbody", "tr", "/tr"),
        *("th", "/th", "td", "/td", "strong", "/strong", "code", "/code", "pre", "/pre"),
        *("details", "/details", "summary", "/summary", "sub", "/sub"),
    }
    assert html.count("<td") == 6  # one facet, six columns


def test_hostile_text_is_utf8_and_small(hostile_shift: Shift) -> None:
    assert len(render(hostile_shift).encode()) < 60_000


@pytest.mark.parametrize(("name", "written"), [("a|b", "`a|b`"), ("a`b", "`` a`b ``"), ("", "` `"), ("a\nb", "`a b`")])
def test_a_name_is_a_code_span(name: str, written: str) -> None:
    assert code(name) == written


@pytest.mark.parametrize("domains", [200])
def test_many_domains_stay_below_the_limit_and_say_what_is_missing(
    make_shift: MakeShift, make_row: Callable[..., Any], domains: int
) -> None:
    rows = [make_row(domain=f"domain-{i:04}", n_prompts=2, signature="x" * 400) for i in range(domains)]
    text = render(make_shift(rows))

    assert len(text.encode()) < 60_000
    assert "Signatures are left out" in text
    assert "in the HTML report" in text
