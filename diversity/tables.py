"""The three tables: Samples, Scores, Shift. Fixed columns, parquet on disk, provenance in its metadata."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import polars as pl

from diversity.errors import InputError

SAMPLES_REQUIRED: dict[str, pl.DataType] = {
    "checkpoint": pl.String(),
    "domain": pl.String(),
    "prompt_id": pl.String(),
    "sample_index": pl.Int32(),
    "output": pl.String(),
}
SAMPLES_OPTIONAL: dict[str, pl.DataType] = {
    "prompt": pl.String(),
    "stage": pl.String(),
    "seed": pl.Int64(),
    "temperature": pl.Float64(),
    "top_p": pl.Float64(),
    "max_tokens": pl.Int32(),
    "output_tokens": pl.Int32(),
    "finish_reason": pl.String(),
    "quality": pl.Float64(),
    "valid": pl.Boolean(),
}
KEY = ["checkpoint", "domain", "prompt_id", "sample_index"]

SCORES: dict[str, pl.DataType] = {
    "checkpoint": pl.String(),
    "domain": pl.String(),
    "prompt_id": pl.String(),
    "metric": pl.String(),
    "facet": pl.String(),
    "condition": pl.String(),
    "value": pl.Float64(),
    "se": pl.Float64(),
    "n": pl.Int32(),
    "note": pl.String(),
}
SCORES_KEY = ["checkpoint", "domain", "prompt_id", "metric", "condition"]

SHIFT: dict[str, pl.DataType] = {
    "domain": pl.String(),
    "metric": pl.String(),
    "facet": pl.String(),
    "condition": pl.String(),
    "n_prompts": pl.Int32(),
    "n_outputs": pl.Int32(),
    "pre": pl.Float64(),
    "post": pl.Float64(),
    "shift": pl.Float64(),
    "relative": pl.Float64(),
    "ci_low": pl.Float64(),
    "ci_high": pl.Float64(),
    "p": pl.Float64(),
    "p_adjusted": pl.Float64(),
    "margin": pl.Float64(),
    "verdict": pl.String(),
    "share_narrowed": pl.Float64(),
    "heterogeneity": pl.Float64(),
    "signature": pl.String(),
}

PROVENANCE = "diversity"  # the one key of the parquet metadata that is ours


@dataclass(frozen=True, slots=True)
class Table:
    """A polars frame with a fixed schema, and where it came from."""

    frame: pl.DataFrame
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def write(self, path: str | Path) -> Path:
        """Write parquet atomically: a killed run leaves the old file or the new one, never half of one."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.part")
        try:
            self.frame.write_parquet(
                part, compression="zstd", metadata={PROVENANCE: json.dumps(dict(self.provenance), sort_keys=True)}
            )
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        return path

    def __len__(self) -> int:
        return self.frame.height


class Samples(Table):
    """One row an output; see `SAMPLES_REQUIRED` and `SAMPLES_OPTIONAL` for the columns."""

    __slots__ = ()

    @classmethod
    def of(cls, frame: pl.DataFrame, provenance: Mapping[str, Any] | None = None, *, where: str = "samples") -> Self:
        """Check a frame and put its columns into the schema.

        Parameters
        ----------
        frame : polars.DataFrame, one row an output
            Unknown columns are kept.
        where : str
            The file or object that an error names.

        Raises
        ------
        InputError
            A required column is missing, a type is wrong, a value is null, or the key is not unique.
        """
        missing = [c for c in SAMPLES_REQUIRED if c not in frame.columns]
        if missing:
            raise InputError(
                f"{where}: column '{missing[0]}' is missing (it has: {', '.join(frame.columns)}): "
                f"a Samples table needs {', '.join(SAMPLES_REQUIRED)}"
            )
        if frame.is_empty():
            raise InputError(f"{where}: there are no rows: sample first, or check the path")
        frame = _cast(frame, SAMPLES_REQUIRED | SAMPLES_OPTIONAL, where)
        for name in SAMPLES_REQUIRED:
            if frame[name].null_count():
                row = frame[name].is_null().arg_max()
                raise InputError(f"{where}, row {row}: '{name}' is null: fill it, or drop the row")
        doubled = frame.select(KEY).is_duplicated()
        if doubled.any():
            row = int(doubled.arg_max() or 0)
            key = ", ".join(f"{c}={frame[c][row]!r}" for c in KEY)
            raise InputError(
                f"{where}, row {row}: the key ({key}) occurs {_times(frame, row)} times: "
                "give each output of a prompt its own sample_index"
            )
        known = [*SAMPLES_REQUIRED, *(c for c in SAMPLES_OPTIONAL if c in frame.columns)]
        rest = [c for c in frame.columns if c not in known]
        return cls(frame.select(known + rest).sort(KEY), provenance or {})


class Scores(Table):
    """One row a prompt x checkpoint x metric x condition.

    `value` is null where the metric is not defined, and `note` then says why. `se` is the standard error
    of a mean over pairs within the prompt (delete-one jackknife), null for other metrics.
    """

    __slots__ = ()

    @classmethod
    def of(cls, frame: pl.DataFrame, provenance: Mapping[str, Any] | None = None, *, where: str = "scores") -> Self:
        """Check a frame and put its columns into the schema; raises `InputError`."""
        missing = [c for c in SCORES if c not in frame.columns]
        if missing:
            raise InputError(f"{where}: column '{missing[0]}' is missing: a Scores table needs {', '.join(SCORES)}")
        frame = _cast(frame, SCORES, where)
        doubled = frame.select(SCORES_KEY).is_duplicated()
        if doubled.any():
            raise InputError(f"{where}, row {doubled.arg_max()}: the same prompt and metric is scored twice")
        return cls(frame.select(list(SCORES)).sort(SCORES_KEY), provenance or {})


def _times(frame: pl.DataFrame, row: int) -> int:
    key = frame.select(KEY).row(row)
    return frame.filter(*(pl.col(c) == v for c, v in zip(KEY, key, strict=True))).height


def _cast(frame: pl.DataFrame, schema: Mapping[str, pl.DataType], where: str) -> pl.DataFrame:
    for name, dtype in schema.items():
        if name not in frame.columns or frame.schema[name] == dtype:
            continue
        column = frame[name]
        # A number becomes its text (prompt ids 1, 2, 3 are common); a list or struct has no one text.
        if dtype == pl.String() and column.dtype.is_nested():
            raise InputError(f"{where}: column '{name}' is {column.dtype}, not text: give one output a row")
        cast = column.cast(dtype, strict=False)
        lost = cast.is_null() & column.is_not_null()
        if column.dtype.is_float() and dtype.is_integer():
            lost |= (cast.cast(pl.Float64) != column).fill_null(value=False)
        if lost.any():
            row = int(lost.arg_max() or 0)
            raise InputError(f"{where}, row {row}: '{name}' is {str(column[row])[:40]!r}, not {_plain(dtype)}")
        frame = frame.with_columns(cast)
    return frame


def _plain(dtype: pl.DataType) -> str:
    if dtype.is_integer():
        return "a whole number"
    if dtype.is_float():
        return "a number"
    return "true or false" if dtype == pl.Boolean() else "text"


def read_samples(path: str | Path) -> Samples:
    """Read a Samples table from parquet, JSON lines, or a sample store.

    Parameters
    ----------
    path : str or Path
        A `.parquet` or `.jsonl` file, or a folder that `diversity sample` filled.

    Raises
    ------
    InputError
        The file is missing, is not what its name says, or is not a Samples table.
    """
    path = Path(path)
    if path.is_dir():
        from diversity.store import Store

        return Store.open(path).samples()
    frame, provenance = _read(path)
    return Samples.of(frame, provenance, where=str(path))


def read_scores(path: str | Path) -> Scores:
    """Read a Scores table from parquet; raises `InputError`."""
    path = Path(path)
    frame, provenance = _read(path)
    return Scores.of(frame, provenance, where=str(path))


def read_table(path: str | Path) -> Samples | Scores:
    """Read whichever of the two tables the file holds; raises `InputError`."""
    path = Path(path)
    if path.is_dir():
        return read_samples(path)
    frame, provenance = _read(path)
    if {"metric", "value"} <= set(frame.columns):
        return Scores.of(frame, provenance, where=str(path))
    return Samples.of(frame, provenance, where=str(path))


def _read(path: Path) -> tuple[pl.DataFrame, dict[str, Any]]:
    if not path.exists():
        raise InputError(f"{path}: no such file: check the path")
    if path.stat().st_size == 0:
        raise InputError(f"{path}: the file is empty: sample again, or check the export")
    if path.suffix in {".jsonl", ".ndjson"}:
        return _read_json_lines(path), {}
    if path.suffix != ".parquet":
        raise InputError(f"{path}: cannot read '{path.suffix or 'no suffix'}': give .parquet, .jsonl or a store folder")
    try:
        metadata = pl.read_parquet_metadata(path)
        frame = pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = str(error).splitlines()[0][:120]
        raise InputError(f"{path}: not a readable parquet file ({reason}): write it again") from None
    try:
        provenance = json.loads(metadata.get(PROVENANCE, "{}"))
    except ValueError:
        provenance = {}
    return frame, provenance


def _read_json_lines(path: Path) -> pl.DataFrame:
    rows = []
    with path.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise InputError(f"{path}, line {number}: not JSON ({error}): mend or drop the line") from None
            if not isinstance(row, dict):
                raise InputError(f"{path}, line {number}: a {type(row).__name__}, not an object: one object a line")
            rows.append(row)
    if not rows:
        raise InputError(f"{path}: there are no rows: sample first, or check the path")
    try:
        return pl.DataFrame([_utf8(row) for row in rows], infer_schema_length=None, strict=False)
    except (pl.exceptions.PolarsError, TypeError, UnicodeError) as error:
        reason = str(error).splitlines()[0][:120]
        raise InputError(f"{path}: the rows do not form a table ({reason}): use one type a column") from None


def _utf8(value: Any) -> Any:
    """Replace lone surrogates, which JSON can carry and no UTF-8 table can."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, dict):
        return {_utf8(k): _utf8(v) for k, v in value.items()}
    return [_utf8(v) for v in value] if isinstance(value, list) else value
