"""Scoring on a Ray cluster; where ray is installed (it is large, and not a part of `dev`)."""

import os
import signal
import sys
from pathlib import Path

import pytest

from diversity import blocks, streaming
from diversity.cluster import Ray
from diversity.errors import MissingExtra

from .test_blocks import PAIR, _table


def test_without_ray_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(MissingExtra, match=r"pip install \"diversity-shift\[cluster\]\""):
        Ray()


@pytest.mark.slow
def test_a_cluster_that_loses_a_worker_gives_the_same_bytes(tmp_path, monkeypatch):
    ray = pytest.importorskip("ray")
    monkeypatch.setattr(blocks, "BLOCK", 40)
    monkeypatch.setattr(blocks, "FEW", 1)
    monkeypatch.setattr(streaming, "FROM", 10)
    _table().write_parquet(tmp_path / "samples.parquet")
    options = {"metrics": ["words", "lexical.similarity", "ttr", "vendi.across"], "pairs": [PAIR]}
    streaming.score_file(tmp_path / "samples.parquet", tmp_path / "here", workers=1, **options)

    ray.init(num_cpus=3, include_dashboard=False, logging_level="error", log_to_driver=False)
    try:
        engine, submit = Ray(), Ray.submit
        mark = tmp_path / "mark"
        measure = blocks.measure_block

        def dies(*details):
            if not Path(mark).exists():
                Path(mark).touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return measure(*details)

        monkeypatch.setattr(
            Ray, "submit", lambda self, task, *rest: submit(self, dies if task is measure else task, *rest)
        )
        streaming.score_file(tmp_path / "samples.parquet", tmp_path / "there", engine=engine, **options)
        engine.close()
    finally:
        ray.shutdown()
    assert mark.exists()
    assert (tmp_path / "there").read_bytes() == (tmp_path / "here").read_bytes()
    assert len(list(tmp_path.iterdir())) == 4


@pytest.mark.slow
@pytest.mark.model
def test_the_page_s_script_draws_all_shares_into_one_store(tmp_path, tiny_model, monkeypatch):
    ray = pytest.importorskip("ray")
    from diversity.store import Store

    page = (Path(__file__).parents[1] / "docs" / "scale.md").read_text()
    script = page.split("```python\n")[1].split("```")[0]
    # A small model of transformers stands for vLLM's, and a processor for a GPU.
    for said, here in {
        "vllm:MODEL": str(tiny_model),
        "num_gpus=1": "num_cpus=1",
        "/shared/runs/post": str(tmp_path / "post"),
        '"100"': '"6", "--prompts", "3", "--max-tokens", "8", "--batch", "4"',
        "SHARDS = 64": "SHARDS = 3",
        'ray.init("auto")': "ray.init(num_cpus=2, include_dashboard=False, logging_level='error')",
        '["diversity"': f'["{sys.executable}", "-m", "diversity"',
    }.items():
        assert said in script
        script = script.replace(said, here)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    try:
        exec(compile(script, "scale.md", "exec"), {})
    finally:
        ray.shutdown()
    found = Store.open(tmp_path / "post").samples().frame
    assert found.group_by("prompt_id").len()["len"].to_list() == [6, 6, 6]
