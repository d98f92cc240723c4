"""Results set side by side: names, prompts, and what cannot be."""

from dataclasses import replace

import polars as pl
import pytest

from diversity.errors import InputError
from diversity.results import read
from diversity.shift import JUDGED, Shift
from diversity.side_by_side import SideBySide


def shift(relative, *, post, prompts="30#1a2b", margin=0.1):
    row = dict.fromkeys(JUDGED) | {
        "domain": "story", "noun": "stories", "facet": "semantic", "primary": True, "n_prompts": 30,
        "relative": relative, "relative_low": relative - 0.05, "relative_high": relative + 0.05,
        "p_adjusted": 0.01, "verdict": "narrowed",
        "signature": f"semantic.effective@16|prompts:{prompts}|n:16",
    }  # fmt: skip
    return Shift(
        frame=pl.DataFrame(),
        judged=pl.DataFrame([row], schema=pl.Schema(JUDGED)),
        pre="sft",
        post=post,
        settings={"m": 16, "margin": margin},
        provenance={},
    )


@pytest.fixture
def found():
    return SideBySide.of([("dpo", shift(-0.3, post="dpo")), ("grpo", shift(-0.1, post="grpo"))])


def test_each_result_has_a_line_and_json_brings_them_back(found, tmp_path):
    assert found.verdicts().select("name", "relative", "prompts").rows() == [
        ("dpo", -0.3, "30#1a2b"),
        ("grpo", -0.1, "30#1a2b"),
    ]
    found.to_json(tmp_path / "side.json")
    again = read(tmp_path / "side.json")
    assert again.rows.equals(found.rows)


def test_the_page_draws_every_line(found):
    page = found.to_html()
    assert "story, meaning: dpo narrowed, −30\u00a0% (−35 to −25); grpo narrowed, −10\u00a0% (−15 to −5)." in page
    assert page.count('class="plot forest"') == 2
    assert "Not over the same prompts" not in page
    assert "| story | meaning &#42; | dpo | sft → dpo | 30 |" in found.to_markdown()


def test_other_prompts_are_said_to_be_other_prompts():
    two = SideBySide.of([("a", shift(-0.3, post="a")), ("b", shift(-0.1, post="b", prompts="30#ffff"))])
    assert "Not over the same prompts, so not to be set against each other: story." in two.to_html()


def test_names_are_told_apart_and_other_margins_refused():
    one = shift(-0.3, post="dpo")
    assert SideBySide.of([("x", one), ("x", one)]).rows["name"].to_list() == ["x (1)", "x (2)"]
    with pytest.raises(InputError, match="give two or more"):
        SideBySide.of([("x", one)])
    with pytest.raises(InputError, match="y: was compared with"):
        SideBySide.of([("x", one), ("y", replace(one, settings={"m": 16, "margin": 0.2}))])
