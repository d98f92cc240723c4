"""A shift as a Weights & Biases run's figures, page and artefact."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from diversity.bridges.trackers import figures, written
from diversity.errors import InputError, MissingExtra
from diversity.shift import Shift
from diversity.tables import Samples


def log_shift(shift: Shift, *samples: Samples, run: Any = None, name: str = "diversity-shift") -> None:
    """Log a shift to a run: its figures, the report as a page, and all of it as an artefact.

    Parameters
    ----------
    shift : Shift
    *samples : Samples
        Further tables to keep in the artefact.
    run : wandb.Run, optional
        By default the active one.
    name : str
        Of the artefact.

    Raises
    ------
    MissingExtra
        wandb is not installed.
    InputError
        There is no active run.
    """
    try:
        import wandb
    except ImportError:
        raise MissingExtra("wandb is not installed: pip install wandb") from None
    run = run or wandb.run
    if run is None:
        raise InputError("there is no active run: call wandb.init() first, or give run=")
    artifact = wandb.Artifact(name, type="diversity", metadata={"pre": shift.pre, "post": shift.post})
    with TemporaryDirectory() as folder:
        report, _ = written(shift, Path(folder), samples)
        run.log({**figures(shift), "diversity/report": wandb.Html(report.read_text(encoding="utf-8"), inject=False)})
        artifact.add_dir(folder)  # copied to wandb's own staging folder at once
        run.log_artifact(artifact)
