"""The gate as tests: `pytest examples/ci --diversity-post=examples/ci/good.parquet`."""

from pathlib import Path

POLICY = Path(__file__).parent / "diversity.toml"


def test_stories(diversity_gate):
    diversity_gate(policy=POLICY, domains="story")


def test_short_answers(diversity_gate):
    diversity_gate(policy=POLICY, domains="factual")
