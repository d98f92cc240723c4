"""The policy that docs/probes.md shows is one that the gate reads, and it is broken where a probe says so."""

import re
from pathlib import Path

import polars as pl

from diversity import check, compare
from diversity.policy import Policy
from diversity.tables import Samples

PAGE = (Path(__file__).parents[1] / "docs" / "probes.md").read_text(encoding="utf-8")


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
    rules = {"factual": {"metrics": {"overconfidence": {"max_rise": 0.05}}}}
    measured = Policy.of({"domains": rules}).metrics
    shift = compare(side("pre", 15, False), side("post", 15, True), metrics=measured)

    assert {(r.domain, r.name) for r in policy.rules} >= {("factual", "overconfidence"), ("formats", "valid")}
    assert check(shift, {"domains": rules}).failures
    same = compare(side("pre", 15, False), side("post", 15, False), metrics=measured)
    assert not [f for f in check(same, {"domains": rules}).failures if f.outcome == "fail"]
