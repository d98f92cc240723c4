"""The policy that docs/probes.md shows is one that the gate reads, and it is broken where a probe says so."""

import re
from dataclasses import replace
from pathlib import Path

import polars as pl

from diversity import check, compare
from diversity.policy import Policy
from diversity.tables import Samples

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "probes.md").read_text(encoding="utf-8")
EXAMPLE = ROOT / "examples" / "probes" / "diversity.toml"


def side(name, right, sure):
    """Thirty prompts with four answers each; a sure checkpoint gives one wrong answer four times."""
    rows = [
        (name, "factual", f"p{i:02}", k, "Oslo", "oslo" if i < right else "x" if sure else str(k), float(i < right))
        for i in range(30)
        for k in range(4)
    ]
    columns = ["checkpoint", "domain", "prompt_id", "sample_index", "output", "behaviour", "quality"]
    frame = pl.DataFrame(rows, schema=columns, orient="row").with_columns(
        pl.col("sample_index").cast(pl.Int32), valid=pl.col("quality") == 1
    )
    return Samples.of(frame)


def test_the_policy_of_the_page_catches_a_checkpoint_that_got_surely_wrong(tmp_path):
    (toml,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    path = tmp_path / "diversity.toml"
    path.write_text(toml)
    policy = Policy.read(path)
    assert {(r.domain, r.name) for r in policy.rules} >= {("factual", "accuracy"), ("formats", "compliance")}

    own = replace(policy, rules=tuple(r for r in policy.rules if r.domain == "factual"))
    shift = compare(side("pre", 15, False), side("post", 15, True), metrics=own.metrics)
    assert {f.rule.name for f in check(shift, own).failures if f.outcome == "fail"} >= {"overconfidence", "ece"}
    same = compare(side("pre", 15, False), side("post", 15, False), metrics=own.metrics)
    assert not [f for f in check(same, own).findings if f.outcome == "fail" and f.rule.kind != "max"]


def test_the_example_of_the_page_runs():
    (example,) = [text for text in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if "Points" in text]
    given = pl.concat([side("base", 15, False).frame, side("tuned", 15, True).frame])
    names = {"both": Samples.of(given)}
    exec(compile(example, "docs/probes.md", "exec"), names)

    assert names["confidence"].judge(names["points"]) == ("confidently wrong", "")


def test_the_example_policy_is_one():
    policy = Policy.read(EXAMPLE)

    assert policy.tuned == ("code",)
    assert {r.name for r in policy.rules} >= {"cliff_accuracy", "ece", "auroc", "transfer_drop", "compliance"}
    # All that its rules need is scored with them.
    assert {"modal_share", "entropy_confidence", "accuracy", "syntactic.similarity"} <= set(policy.metrics)
