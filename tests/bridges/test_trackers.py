"""A shift in the tracker's own storage: a local MLflow, and Weights & Biases offline."""

import random
from pathlib import Path

import polars as pl
import pytest

import diversity
from diversity.bridges.trackers import figures

TEXTS = ["The cat sat on a mat.", "A dog ran off.", "It rained.", "Who goes there?"]


@pytest.fixture(scope="module")
def shift():
    def side(name, texts, seed):
        rng = random.Random(seed)
        return pl.DataFrame(
            [
                {
                    "checkpoint": name,
                    "domain": "story",
                    "prompt_id": f"p{p}",
                    "sample_index": k,
                    "output": rng.choice(texts),
                }
                for p in range(10)
                for k in range(4)
            ]
        )

    pre, post = side("sft", TEXTS, 1), side("dpo", TEXTS[:2], 2)
    return diversity.compare(pre, post, metrics=["lexical.similarity"], conditions=["all"])


def test_no_figure_is_the_folder_of_another(shift):
    names = set(figures(shift))
    assert names == {f"diversity/story/lexical{s}" for s in ("", "_pre", "_shift", "_shift_low", "_shift_high")}
    assert not {n for n in names if any(other.startswith(f"{n}/") for other in names)}
    assert figures(shift)["diversity/story/lexical_shift"] < 0


def test_mlflow_keeps_figures_and_files(shift, tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    from diversity.bridges.mlflow import log_shift

    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow.set_tracking_uri((tmp_path / "runs").as_uri())
    samples = diversity.Samples.of(
        pl.DataFrame(
            {"checkpoint": ["a/b"], "domain": ["story"], "prompt_id": ["p"], "sample_index": [0], "output": ["x"]}
        )
    )
    with mlflow.start_run() as run:
        log_shift(shift, samples, step=3)
    kept = mlflow.MlflowClient().get_run(run.info.run_id)
    assert kept.data.metrics == pytest.approx(figures(shift))
    files = {f.path for f in mlflow.MlflowClient().list_artifacts(run.info.run_id, "diversity")}
    assert files == {f"diversity/{name}" for name in ("report.html", "shift.json", "samples-0-a_b.parquet")}


def test_wandb_keeps_figures_page_and_artefact(shift, tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb")
    from diversity.bridges.wandb import log_shift
    from diversity.errors import InputError

    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"call wandb.init\(\) first"):
        log_shift(shift)
    with wandb.init(mode="offline", dir=str(tmp_path), project="p", settings=wandb.Settings(silent=True)) as run:
        kept, log_artifact = [], run.log_artifact
        monkeypatch.setattr(run, "log_artifact", lambda artifact: (kept.append(artifact), log_artifact(artifact)))
        log_shift(shift)
        summary = {k: run.summary[k] for k in figures(shift)}
        folder = Path(run.dir).parent
    assert summary == pytest.approx(figures(shift))
    page = next(folder.rglob("*report*.html"))
    assert "diversity" in page.read_text(encoding="utf-8").lower()
    (artifact,) = kept
    assert set(artifact.manifest.entries) == {"report.html", "shift.json"}
    assert artifact.metadata == {"pre": "sft", "post": "dpo"}
