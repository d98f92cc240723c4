"""docs/extending.md as a stranger would follow it: the example as it stands, by decorator and by entry point."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
(EXAMPLE,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
(ENTRY_POINT,) = re.findall(r'```toml\n\[project\.entry-points\."(.*?)"\]\n(.*?)```', PAGE, re.DOTALL)
USE = """
import polars as pl
told = [("p", 0, "Why?"), ("p", 1, "So."), ("q", 0, "Who?"), ("q", 1, "You?")]
rows = [("a", "text", *each) for each in told]
columns = ["checkpoint", "domain", "prompt_id", "sample_index", "output"]
samples = pl.DataFrame(rows, schema=columns, orient="row")
scores = diversity.score(samples, metrics=["question_share"], conditions=["all"]).frame
print(scores.sort("prompt_id")["value"].to_list())
"""


def python(folder, *arguments):
    path = os.pathsep.join([str(ROOT), str(folder)])
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": path, "COLUMNS": "200"},
    )


@pytest.fixture
def installed(tmp_path):
    """A folder that holds the example as an installed package, with the entry point of the page."""
    (tmp_path / "my_metrics.py").write_text(EXAMPLE, encoding="utf-8")
    about = tmp_path / "my_metrics-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: my-metrics\nVersion: 1\n", encoding="utf-8")
    group, entry = ENTRY_POINT
    (about / "entry_points.txt").write_text(f"[{group}]\n{entry.replace(chr(34), '')}", encoding="utf-8")
    return tmp_path


def test_the_example_is_ten_lines():
    assert len([line for line in EXAMPLE.splitlines() if line.strip()]) <= 10


def test_a_metric_by_decorator_is_scored(tmp_path):
    done = python(tmp_path, "-c", f"{EXAMPLE}\n{USE}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[0.5, 1.0]"


def test_a_metric_by_entry_point_is_found_and_explained_with_a_worked_example(installed):
    done = python(installed, "-m", "diversity", "metrics", "question_share")
    assert done.returncode == 0, done.stderr
    assert "Share of answers that end in a question" in done.stdout
    assert "question_share = 0.0000000000" in done.stdout


def test_a_plugin_that_fails_to_load_is_named_and_breaks_nothing(installed):
    (installed / "my_metrics.py").write_text("raise RuntimeError('no such luck')", encoding="utf-8")
    done = python(installed, "-m", "diversity", "metrics", "distinct_2")
    assert done.returncode == 0
    assert "my_metrics" in done.stderr
    assert "no such luck" in done.stderr


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)#]+\.md)\)", PAGE))
def test_links_lead_somewhere(link):
    assert (ROOT / "docs" / link).exists()


@pytest.mark.parametrize("view", re.findall(r"`answers\.(\w+)`", PAGE))
def test_views_named_are_there(view):
    from diversity.views import Answers

    assert view in {*dir(Answers), *vars(Answers([]))}
