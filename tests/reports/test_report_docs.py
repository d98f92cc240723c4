"""docs/report.md says what is so."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

import diversity
from diversity import drilldown
from diversity.metrics import clusters
from diversity.shift import Shift

PAGE = (Path(__file__).parents[2] / "docs" / "report.md").read_text(encoding="utf-8")


def test_its_example_runs(make_shift: Callable[..., Shift], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_shift().to_json("shift.json")
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(code, {"diversity": diversity})

    assert {p.name for p in tmp_path.iterdir()} == {"shift.json", "forest.svg", "comment.md", "card.md", "report.html"}


def test_its_numbers_are_those_of_the_library() -> None:
    for said, held in (
        ("alike to 0.5 or more", clusters.SAME == 0.5),
        ("is 0.8 or more", drilldown.NEAR == 0.8),
        ("runs of 3 to 8 words", (drilldown.SHORTEST_PHRASE, drilldown.LONGEST_PHRASE) == (3, 8)),
        ("the ten most shifted prompts", drilldown.TOP == 10),
        ("32 million characters", drilldown.ROOM == 32_000_000),
    ):
        assert said in " ".join(PAGE.split())
        assert held
