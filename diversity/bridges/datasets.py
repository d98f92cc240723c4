"""Samples to and from Hugging Face datasets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import polars as pl

from diversity.bridges import from_frame
from diversity.errors import InputError, MissingExtra
from diversity.tables import Samples

if TYPE_CHECKING:
    from datasets import Dataset


def from_dataset(
    dataset: Dataset,
    *,
    domain: str | None = None,
    checkpoint: str | None = None,
    columns: Mapping[str, str] | None = None,
) -> Samples:
    """Make Samples of a `datasets.Dataset`: a row an output, or a row a prompt with a list of outputs.

    Parameters
    ----------
    dataset : datasets.Dataset
        One split. A selection or a shuffle of it is honoured.
    domain, checkpoint, columns
        As in `diversity.bridges.from_frame`.

    Raises
    ------
    InputError

    Examples
    --------
    >>> from datasets import Dataset  # doctest: +SKIP
    >>> told = Dataset.from_dict({"prompt": ["Go."], "completions": [["One.", "Two."]]})  # doctest: +SKIP
    >>> len(from_dataset(told, domain="story"))  # doctest: +SKIP
    2
    """
    if isinstance(dataset, Mapping):
        raise InputError(f"a dataset of {len(dataset)} splits ({', '.join(dataset)}): give one of them")
    # A selection is kept as indices beside the whole table.
    table = dataset.with_format("arrow")[:]
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return from_frame(frame, domain=domain, checkpoint=checkpoint, columns=columns, where="dataset")


def to_dataset(samples: Samples) -> Dataset:
    """Make a `datasets.Dataset` of Samples, a row an output.

    Raises
    ------
    MissingExtra
        datasets is not installed.
    """
    try:
        from datasets import Dataset
    except ImportError:
        raise MissingExtra("datasets is not installed: pip install datasets") from None
    return Dataset(samples.frame.to_arrow(compat_level=pl.CompatLevel.oldest()))
