"""Thin adapters to tools that people use already: one file a tool, each importing it when it is first used."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from diversity.formats import _filled, _named, _numbered
from diversity.tables import Samples


def from_frame(
    frame: pl.DataFrame,
    *,
    domain: str | None = None,
    checkpoint: str | None = None,
    columns: Mapping[str, str] | None = None,
    where: str = "frame",
) -> Samples:
    """Make Samples of a frame whose columns have other names, as `diversity import table` does of a file.

    Parameters
    ----------
    frame : polars.DataFrame
        A row an output, or a row a prompt with a list of outputs.
    domain, checkpoint : str, optional
        What to write for all rows; by default its own column, or `text` and `where`.
    columns : mapping, optional
        The frame's column -> ours, before the known names are tried.

    Raises
    ------
    InputError
    """
    named = _named(frame, dict(columns or {}), where)
    filled = _filled(named, domain or "text", domain, checkpoint or where, checkpoint, where)
    return Samples.of(_numbered(filled), {"imported": {"format": where}}, where=where)
