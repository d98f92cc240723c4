"""The three tables: Samples, Scores, Shift. Fixed columns, parquet on disk, provenance in its metadata."""

from __future__ import annotations

import json
import os
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Self

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
    "log_probability": pl.Float64(),
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
    "unit": pl.String(),
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
    "difference": pl.Float64(),
    "difference_low": pl.Float64(),
    "difference_high": pl.Float64(),
    "effect_size": pl.Float64(),
    "share_narrowed": pl.Float64(),
    "share_low": pl.Float64(),
    "share_high": pl.Float64(),
    "clearly_narrowed": pl.Float64(),
    "clearly_widened": pl.Float64(),
    "heterogeneity": pl.Float64(),
    "heterogeneity_p": pl.Float64(),
    "signature": pl.String(),
}

PROVENANCE = "diversity"  # the one key of the parquet metadata that is ours
LINE = "\0line"  # the line of each row while a JSON lines file is read, for errors; no user's column has this name
WORDS_FOR_TRUTH = {"true": True, "false": False, "1": True, "0": False}


@dataclass(frozen=True, slots=True)
class Table:
    """A polars frame with a fixed schema, and where it came from."""

    frame: pl.DataFrame
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def write(self, path: str | Path) -> Path:
        """Write parquet atomically: a killed run leaves the old file or the new one, never half of one."""
        path = Path(path)
        part = path.with_name(f".{path.name}.part")
        provenance = json.dumps(dict(self.provenance), sort_keys=True)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                self.frame.write_parquet(part, compression="zstd", metadata={PROVENANCE: provenance})
                part.replace(path)
            finally:
                part.unlink(missing_ok=True)
        except OSError as error:
            reason = error.strerror or str(error).splitlines()[0][:120]
            raise InputError(f"{path}: cannot be written ({reason}): check space and permissions") from None
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
        frame = _checked(frame, SAMPLES_REQUIRED, SAMPLES_REQUIRED | SAMPLES_OPTIONAL, where, "Samples")
        in_order = frame.sort(KEY)
        if _is_doubled(in_order, KEY):
            row, key = _first_doubled(frame, KEY)
            raise InputError(
                f"{where}, {_place(frame, row)}: the key ({key}) occurs {_times(frame, row)} times: "
                "give each output of a prompt its own sample_index"
            )
        if "quality" in frame.columns:
            outside = frame["quality"].is_not_null() & ~frame["quality"].is_between(0, 1)
            if outside.any():
                row = int(outside.arg_max() or 0)
                found = frame["quality"][row]
                raise InputError(f"{where}, {_place(frame, row)}: 'quality' is {found:g}, not from 0 to 1: rescale it")
        known = [*SAMPLES_REQUIRED, *(c for c in SAMPLES_OPTIONAL if c in frame.columns)]
        rest = [c for c in frame.columns if c not in {*known, LINE}]
        return cls(in_order.select(known + rest), provenance or {})


class Scores(Table):
    """One row a prompt x checkpoint x metric x condition.

    `value` is null where the metric is not defined, and `note` then says why. `se` is the standard error
    of a mean over pairs within the prompt (delete-one jackknife), null for other metrics.
    """

    __slots__ = ()

    @classmethod
    def of(cls, frame: pl.DataFrame, provenance: Mapping[str, Any] | None = None, *, where: str = "scores") -> Self:
        """Check a frame and put its columns into the schema; raises `InputError`.

        A value that is not finite becomes null, and the note says so: nothing can be compared with it.
        """
        frame = _checked(frame, SCORES, SCORES, where, "Scores", filled=[*SCORES_KEY, "facet"])
        in_order = frame.sort(SCORES_KEY)
        if _is_doubled(in_order, SCORES_KEY):
            row, key = _first_doubled(frame, SCORES_KEY)
            raise InputError(f"{where}, row {row}: ({key}) is scored twice: drop one of the rows")
        finite = pl.col("value").is_finite()
        told = in_order.with_columns(
            value=pl.when(finite).then("value"),
            se=pl.when(finite & pl.col("se").is_finite()).then("se"),
            note=pl.when(~finite & pl.col("note").is_null()).then(pl.lit("not a number")).otherwise("note"),
        )
        return cls(told.select(list(SCORES)), provenance or {})


def _checked(
    frame: pl.DataFrame,
    required: Mapping[str, pl.DataType],
    schema: Mapping[str, pl.DataType],
    where: str,
    table: str,
    filled: Sequence[str] | None = None,
) -> pl.DataFrame:
    """Refuse a frame that lacks columns, rows or values; give each column its type."""
    missing = [c for c in required if c not in frame.columns]
    if missing:
        present = ", ".join(c for c in frame.columns if c != LINE)
        raise InputError(
            f"{where}: column '{missing[0]}' is missing (it has: {present[:200] or 'none'}): "
            f"a {table} table needs {', '.join(required)}"
        )
    if frame.is_empty():
        raise InputError(f"{where}: there are no rows: sample first, or check the path")
    frame = _cast(frame, schema, where)
    for name in required if filled is None else filled:
        if frame[name].null_count():
            row = int(frame[name].is_null().arg_max() or 0)
            raise InputError(f"{where}, {_place(frame, row)}: '{name}' is null: fill it, or drop the row")
    return frame


def _is_doubled(in_order: pl.DataFrame, key: Sequence[str]) -> bool:
    """Whether two rows of a frame that is sorted by a key have the same one."""
    same = pl.all_horizontal(pl.col(c) == pl.col(c).shift() for c in key)
    return bool(in_order.select(same.any()).item())


def _first_doubled(frame: pl.DataFrame, key: Sequence[str]) -> tuple[int, str]:
    """The first row whose key another has too, and its key in words."""
    row = int(frame.select(key).is_duplicated().arg_max() or 0)
    return row, ", ".join(f"{c}={str(frame[c][row])[:40]!r}" for c in key)


def _place(frame: pl.DataFrame, row: int) -> str:
    """Name a row for an error: its line in a JSON lines file, else its index from 0."""
    return f"line {frame[LINE][row]}" if LINE in frame.columns else f"row {row}"


def _times(frame: pl.DataFrame, row: int) -> int:
    key = frame.select(KEY).row(row)
    return frame.filter(*(pl.col(c) == v for c, v in zip(KEY, key, strict=True))).height


def _cast(frame: pl.DataFrame, schema: Mapping[str, pl.DataType], where: str) -> pl.DataFrame:
    for name, dtype in schema.items():
        if name not in frame.columns or frame.schema[name] == dtype:
            continue
        column = frame[name]
        # A number becomes its text (prompt ids 1, 2, 3 are common); a list or struct has no one text.
        if column.dtype.is_nested() or column.dtype in (pl.Object, pl.Binary):
            kind = str(column.dtype)[:60]
            raise InputError(f"{where}: column '{name}' is {kind}, not {_plain(dtype)}: give one value a row")
        if dtype == pl.Boolean() and column.dtype == pl.String():
            column = column.str.to_lowercase().replace_strict(WORDS_FOR_TRUTH, default=None, return_dtype=pl.Boolean)
        cast = column.cast(dtype, strict=False)
        lost = cast.is_null() & frame[name].is_not_null()
        if column.dtype.is_float() and dtype.is_integer():
            lost |= (cast.cast(pl.Float64) != column).fill_null(value=False)
        if lost.any():
            row = int(lost.arg_max() or 0)
            raise InputError(
                f"{where}, {_place(frame, row)}: '{name}' is {str(frame[name][row])[:40]!r}, not {_plain(dtype)}: "
                "mend it, or drop the row"
            )
        frame = frame.with_columns(cast)
    return frame


def _plain(dtype: pl.DataType) -> str:
    if dtype.is_integer():
        return "a whole number"
    if dtype.is_float():
        return "a number"
    return "true or false" if dtype == pl.Boolean() else "text"


def read_samples(
    path: str | Path,
    format: str | None = None,  # noqa: A002 - the public word for it
    **details: Any,
) -> Samples:
    """Read a Samples table.

    Parameters
    ----------
    path : str or Path
        A `.parquet`, `.jsonl`, `.json` or `.csv` file (the latter three also as .gz or .zst), a pattern of such files,
        a folder that `diversity sample` filled or that `datasets` saved, or `-` for JSON lines on standard input.
    format : str, optional
        The tool that wrote it, or `table` for columns by their known names; by default a table with our columns.
    **details
        domain, checkpoint, columns, prompts_from, drop_empty, where a format is given; see
        `diversity.formats.read_import`.

    Raises
    ------
    InputError
        The file is missing, is not what its name says, or is not a Samples table.
    UnknownName
        There is no such format.
    """
    if format is not None:
        from diversity.formats import read_import

        return read_import(format, path, **details)
    if details:
        raise InputError(f"{', '.join(details)} is for a log of another tool: give its format, or table")
    frame, provenance = _read(Path(path))
    if isinstance(frame, Samples):
        return frame
    return Samples.of(frame, provenance, where=str(path))


def read_scores(path: str | Path) -> Scores:
    """Read a Scores table from parquet; raises `InputError`."""
    frame, provenance = _read(Path(path))
    if isinstance(frame, Samples):
        raise InputError(f"{path}: holds samples, not scores: `diversity score` makes them")
    return Scores.of(frame, provenance, where=str(path))


def read_table(path: str | Path) -> Samples | Scores:
    """Read whichever of the two tables the file holds; raises `InputError`."""
    frame, provenance = _read(Path(path))
    if isinstance(frame, Samples):
        return frame
    if {"metric", "value"} <= set(frame.columns):
        return Scores.of(frame, provenance, where=str(path))
    return Samples.of(frame, provenance, where=str(path))


def read_side(given: str) -> Samples | Scores:
    """Read one side of a comparison; FILE:CHECKPOINT picks one checkpoint of several. Raises `InputError`."""
    # Both the path and the name may hold a colon: the shortest path that is there wins, the whole before all.
    cuts = [i for i, sign in enumerate(given) if sign == ":"]
    cut = next((i for i in cuts if os.path.exists(given[:i])), None)  # noqa: PTH110 - Path.exists raises on long names
    if cut is None or os.path.exists(given):  # noqa: PTH110
        return read_table(given)
    path, name = given[:cut], given[cut + 1 :]
    table = read_table(path)
    kept = table.frame.filter(pl.col("checkpoint") == name)
    if kept.is_empty():
        known = ", ".join(table.frame["checkpoint"].unique().sort())
        raise InputError(f"{path}: holds no checkpoint '{name[:80]}': it holds {known}")
    return type(table)(kept, table.provenance)


def _read(path: Path) -> tuple[pl.DataFrame | Samples, dict[str, Any]]:
    """Columns as they are and our provenance; the samples themselves where it is a store."""
    from diversity.formats import read_frame
    from diversity.store import MANIFEST, Store

    try:
        if path.is_dir() and ((path / MANIFEST).exists() or not (list(path.glob("*.json")))):
            return Store.open(path).samples(), {}
        if path.suffix.lower() == ".parquet" and path.exists() and path.stat().st_size:
            return read_parquet(path)
    except OSError as error:
        raise InputError(f"{str(path)[:200]}: cannot be read ({error.strerror or error}): check the path") from None
    return read_frame(path, flat=True), {}


def read_parquet(path: Path) -> tuple[pl.DataFrame, dict[str, Any]]:
    """Read one parquet file and our part of its metadata; raises `InputError` where it is damaged."""
    try:
        metadata = pl.read_parquet_metadata(path)
        frame = pl.read_parquet(path, glob=False)  # a name may hold a * or a [
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        reason = " ".join(str(error).split())[:120]
        raise InputError(f"{path}: not a readable parquet file ({reason}): write it again") from None
    try:
        provenance = json.loads(metadata.get(PROVENANCE, "{}"))
    except ValueError:
        provenance = None
    return frame, provenance if isinstance(provenance, dict) else {}


def read_json_lines(where: str | Path, stream: IO[bytes], *, flat: bool = False) -> pl.DataFrame:
    """Read JSON lines, a block at a time; raises `InputError` with the number of the line that is wrong.

    Flat lines hold no list and no object in a column of Samples.
    """
    frames, line, damaged = [], 1, 0
    while block := stream.read(BLOCK):
        block += stream.readline()
        frame = _plain_lines(block) if len(block) >= LARGE else None
        if frame is None:
            frame, lost = _checked_lines(where, block, line, flat)
            damaged += lost
            lines = block.count(b"\n")
        else:
            lines = frame.height  # such a block has no blank line
            frame = frame.with_columns(pl.int_range(line, line + lines).alias(LINE))
        if not frame.is_empty():
            frames.append(frame)
        line += lines
    if damaged:
        warnings.warn(
            f"{where}: {damaged} lines hold bytes that are not UTF-8, read as \ufffd: convert the file to UTF-8",
            UserWarning,
            stacklevel=6,
        )
    if not frames:
        raise InputError(f"{where}: there are no rows: sample first, or check the path")
    return frames[0] if len(frames) == 1 else pl.concat(frames, how="diagonal_relaxed")


# Bytes read at a time, and those from which on it pays to let polars read a block. Blocks of 32 MB and above are given
# back to the system and cleared anew each time, which costs a tenth of the reading.
BLOCK, LARGE = 1 << 23, 1 << 20
SURROGATE = re.compile(rb"\\u[dD](?:([89abAB])|[c-fC-F])[0-9a-fA-F]{2}")


def _plain_lines(block: bytes) -> pl.DataFrame | None:
    """Read a block by polars, which is ten times as fast; None where it would be read otherwise than line by line.

    It makes U+0000 of a lone surrogate and text of a list beside texts, and counts no blank lines.
    """
    halves = [bool(m[1]) for m in SURROGATE.finditer(block)] if b"\\u" in block else []
    if halves and halves != [True, False] * (len(halves) // 2):
        return None
    try:
        frame = pl.read_ndjson(block, infer_schema_length=None)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return None
    if frame.height != block.count(b"\n") + (not block.endswith(b"\n")) or not frame.width:
        return None
    known = [c for c in SAMPLES_REQUIRED | SAMPLES_OPTIONAL if c in frame.columns]
    if any(frame.schema[c].is_nested() for c in known):
        return None
    texts = [c for c in known if frame.schema[c] == pl.String()]
    mixed = frame.select(pl.any_horizontal(pl.col(texts).str.starts_with(s).any() for s in "[{") if texts else False)
    return None if mixed.item() else frame


def _checked_lines(where: str | Path, block: bytes, first: int, flat: bool) -> tuple[pl.DataFrame, int]:
    """Read a block line by line, and count the lines with bytes that are not UTF-8."""
    rows: list[dict[str, Any]] = []
    damaged = 0
    for number, raw in enumerate(block.split(b"\n"), first):
        line = raw.decode("utf-8-sig" if number == 1 else "utf-8", "replace")
        damaged += "\ufffd" in line and "\ufffd".encode() not in raw
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            reason = str(error)[:80]
            raise InputError(f"{where}, line {number}: not JSON ({reason}): mend or drop the line") from None
        if not isinstance(row, dict):
            raise InputError(f"{where}, line {number}: a {type(row).__name__}, not an object: one object a line")
        for name, dtype in (SAMPLES_REQUIRED | SAMPLES_OPTIONAL).items() if flat else ():
            # Checked here, where the line is known: in a frame one such value spoils the whole column.
            if isinstance(value := row.get(name), list | dict):
                kind = "a list" if isinstance(value, list) else "an object"
                raise InputError(
                    f"{where}, line {number}: '{name}' is {kind}, not {_plain(dtype)}: give one output a row"
                )
        rows.append(row | {LINE: number})
    try:
        return pl.DataFrame([_utf8(row) for row in rows], infer_schema_length=None, strict=False), damaged
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, TypeError, ValueError, OverflowError) as error:
        reason = _mixed(rows) or " ".join(str(error).split())[:120]
        raise InputError(f"{where}: the rows do not form a table ({reason}): use one type a column") from None


def _mixed(rows: Sequence[Mapping[str, Any]]) -> str:
    """Name the first column that holds lists or objects beside other values."""
    kinds: dict[str, set[str]] = {}
    for row in rows:
        for name, value in row.items():
            if value is not None:
                kinds.setdefault(name, set()).add(type(value).__name__ if isinstance(value, list | dict) else "value")
    mixed = [name for name, found in kinds.items() if len(found) > 1]
    return f"column '{mixed[0][:40]}' holds {' and '.join(sorted(kinds[mixed[0]]))}" if mixed else ""


def _utf8(value: Any) -> Any:
    """Replace lone surrogates, which JSON can carry and no UTF-8 table can."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, dict):
        return {_utf8(k): _utf8(v) for k, v in value.items()}
    return [_utf8(v) for v in value] if isinstance(value, list) else value
