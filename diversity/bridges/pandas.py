"""Samples to and from pandas."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from diversity.bridges import from_frame
from diversity.errors import MissingExtra
from diversity.tables import Samples, Table


def from_pandas(
    frame: Any, *, domain: str | None = None, checkpoint: str | None = None, columns: Mapping[str, str] | None = None
) -> Samples:
    """Make Samples of a pandas frame, its index left out.

    Parameters
    ----------
    frame : pandas.DataFrame
    domain, checkpoint, columns
        As in `diversity.bridges.from_frame`.

    Raises
    ------
    InputError, MissingExtra
    """
    try:
        told = pl.from_pandas(frame)
    except ImportError as error:
        raise MissingExtra(f"{error.name or 'pyarrow'} is not installed: pip install pandas pyarrow") from None
    return from_frame(told, domain=domain, checkpoint=checkpoint, columns=columns, where="pandas frame")


def to_pandas(table: Table) -> Any:
    """Make a `pandas.DataFrame` of Samples or Scores.

    Raises
    ------
    MissingExtra
        pandas or pyarrow is not installed.
    """
    try:
        return table.frame.to_pandas()
    except ImportError as error:
        raise MissingExtra(f"{error.name or 'pandas'} is not installed: pip install pandas pyarrow") from None
