"""The figures of docs/scale.md are those of benchmarks/scale.json; the simulation where the answer is known."""

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "benchmarks"))  # last: a file there is named as a module of Python's own


@pytest.fixture(scope="module")
def scale():
    return runpy.run_path(str(ROOT / "benchmarks" / "scale.py"))


def test_the_page_shows_what_is_stored(scale):
    given = {name: value for name, (value, _, _) in scale["GIVEN"].items()}
    made = scale["tables"](json.loads(scale["STORED"].read_text()), given)
    page = scale["PAGE"].read_text()
    assert scale["written"](page, made, "scale.py") == page, "python benchmarks/scale.py --cost --page"
    assert all(table in page for table in made.values())


def test_the_page_of_benchmarks_shows_what_is_stored():
    peers = runpy.run_path(str(ROOT / "benchmarks" / "peers.py"))
    made = peers["tables"](json.loads(peers["RESULTS"].read_text()))
    page = peers["PAGE"].read_text()
    assert peers["written"](page, made, "peers.py") == page, "python benchmarks/peers.py --page"


def test_cost_follows_the_prices(scale):
    found = json.loads(scale["STORED"].read_text())
    given = {name: value for name, (value, _, _) in scale["GIVEN"].items()}

    def money(**changes):
        lines = scale["cost_table"](found, given | changes).splitlines()
        return [float(line.split("$")[1].split(" ")[0].replace(",", "")) for line in lines if "| money |" in line]

    scoring, embedding, sampling = base = money()
    dearer = money(price_core_hour=20 * given["price_core_hour"])
    assert dearer == pytest.approx([20 * scoring, 20 * embedding, sampling], rel=0.05)  # shown in whole dollars
    assert money(gpu_tokens=given["gpu_tokens"] / 2) == pytest.approx([*base[:2], 2 * sampling], rel=1e-3)
    per_output = scale["largest"](found)["cpu"] / scale["largest"](found)["outputs"]
    # Never below what the work alone costs, on workers that never wait.
    assert scoring >= 0.97 * 1e9 * per_output / 3600 * given["price_core_hour"]
    assert sampling == pytest.approx(1e9 * 200 / (12_500 * 0.7) / 3600 * 3.0, rel=1e-3)


def test_the_simulation_where_the_answer_is_known(scale):
    simulate, rng = scale["simulate"], np.random.default_rng(0)
    # A reader that costs nothing and equal blocks: nobody waits. One that takes as long as a block: one works.
    assert simulate(400, 4, [2.0], 0.0, rng) == pytest.approx(1)
    assert simulate(400, 4, [2.0], 2.0, rng) == pytest.approx(1 / 4, rel=0.02)
    # Reading half as long as a block keeps two busy.
    assert simulate(400, 4, [2.0], 1.0, rng) == pytest.approx(2 / 4, rel=0.02)
    # All workers four times slower do a quarter of the work in their time.
    assert simulate(400, 4, [2.0], 0.0, rng, slow=1.0) == pytest.approx(1 / 4)
    # A worker is lost every 100 blocks: what it had done of one, and two minutes.
    lost = simulate(20_000, 4, [2.0], 0.0, rng, lost=3600 / 200)
    assert lost == pytest.approx(1 / (1 + (1 + 120) / 200), rel=0.1)
    # Taken in their order, one block ahead: all wait for the slow one. Four ahead, they do not.
    few, many = (simulate(6400, 64, [2.0], 0.0, np.random.default_rng(1), slow=0.03, ahead=k * 64) for k in (1, 4))
    assert few < 0.6 < 0.85 < many


def test_a_table_is_of_the_shape_that_was_asked_for(scale, tmp_path):
    frame = pl.read_parquet(scale["make"](tmp_path / "t", 400, 10))
    assert len(frame) == 400
    counts = frame.group_by("checkpoint", "domain", "prompt_id").len()["len"]
    assert set(counts) == {10}
    assert len(counts) == 40
    prose = frame.filter(pl.col("domain") == "story")["output"].str.split(" ").list.len()
    assert set(prose) == {scale["WORDS"]}


@pytest.mark.slow
def test_a_run_tells_its_memory_and_its_processors(scale, tmp_path):
    found = scale["run"](scale["make"](tmp_path / "t", 40_000, 100), 2)
    assert found["scores"] > 0
    assert 0 < found["use"] <= 1
    assert found["use"] <= found["busy"] + 0.2
    assert 0.1 < found["peak_pss_gb"] <= found["peak_rss_gb"] < 4
    assert found["peak_disk_gb"] > 0.001
