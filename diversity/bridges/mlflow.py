"""A shift as an MLflow run's metrics and artefacts."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from diversity.bridges.trackers import figures, written
from diversity.errors import MissingExtra
from diversity.shift import Shift
from diversity.tables import Samples


def log_shift(shift: Shift, *samples: Samples, step: int | None = None) -> None:
    """Log a shift to the active MLflow run, or a new one: a metric a figure, and the report as artefacts.

    Parameters
    ----------
    shift : Shift
    *samples : Samples
        Further tables to keep as `samples-NAME.parquet`.
    step : int, optional
        Of the training.

    Raises
    ------
    MissingExtra
        mlflow is not installed.
    """
    try:
        import mlflow
    except ImportError:
        raise MissingExtra("mlflow is not installed: pip install mlflow") from None
    mlflow.log_metrics(figures(shift), step=step)
    with TemporaryDirectory() as folder:
        written(shift, Path(folder), samples)
        mlflow.log_artifacts(folder, "diversity")
