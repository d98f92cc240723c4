"""What a comparison costs, in counts; see benchmarks/regression.py."""

import json
import runpy
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[1] / "benchmarks" / "regression.py"


@pytest.fixture(scope="module")
def regression():
    return runpy.run_path(str(BENCHMARK))


def test_a_comparison_costs_what_it_did(regression):
    stored = json.loads(regression["STORED"].read_text())
    if stored["versions"] != regression["versions"]():
        pytest.skip(f"counted with {stored['versions']}; here {regression['versions']()}")
    now = regression["in_a_process"](is_counted=True)
    # An output has one answer and a program one tree, in all conditions together.
    outputs = 2 * len(regression["rows"]("pre", 180, regression["PROMPTS"], 0))
    assert now["compare"]["embedded"] == outputs
    assert now["compare"]["parsed"] == outputs // 2
    changed = regression["changes"](now, stored["counts"])
    assert not changed, "\n".join([*changed, f"if the change was meant: {regression['RENEW']}"])


def test_a_change_is_told_with_the_modules_it_is_in(regression):
    stored = {"compare": {"instructions": 1000, "parsed": 4, "a.py": 600, "b.py": 400}}
    dearer = {"compare": {"instructions": 1150, "parsed": 8, "a.py": 600, "b.py": 550}}
    assert regression["changes"](stored, stored) == []
    assert regression["changes"]({"compare": {**stored["compare"], "instructions": 1090}}, stored) == []
    assert regression["changes"](dearer, stored) == [
        "compare: instructions 1,000 -> 1,150 (+15%): b.py +150, a.py +0",
        "compare: parsed 4 -> 8 (+100%)",
    ]
    assert regression["changes"](stored, dearer)[0].startswith("compare: instructions 1,150 -> 1,000 (-13%)")
    assert regression["changes"]({"compare": {"instructions": 1000}}, stored) == ["compare: parsed 4 -> 0 (-100%)"]
