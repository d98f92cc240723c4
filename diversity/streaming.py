"""Scoring of a table that need not fit in memory: from file to file, a block of prompts at a time."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from diversity.blocks import BLOCK, Block, Engine, boundaries, each_block, engine_for, rows_over_prompts
from diversity.errors import InputError
from diversity.scoring import (
    CONDITIONS,
    FAILED,
    Panel,
    Progress,
    Semantics,
    provenance_of,
    sampling_of,
    score,
    warn_of_failures,
)
from diversity.store import MANIFEST, Store
from diversity.tables import KEY, PROVENANCE, SAMPLES_REQUIRED, SCORES, Samples, Scores, read_samples

if TYPE_CHECKING:
    from diversity.embedding import Embedder

FROM = 8 * BLOCK  # outputs from which a table is not read whole
SLICE = 50_000  # rows read at a time
Files = list[str] | list[Path]
TOLD = ("temperature", "top_p", "max_tokens", "seed", "stage", "prompt")  # columns that provenance is taken from


def score_file(
    source: str | Path,
    out: str | Path,
    *,
    metrics: str | Sequence[str] = "default",
    conditions: Sequence[str] = CONDITIONS,
    pairs: Sequence[tuple[str, str]] = (),
    embedder: Embedder | str | None = None,
    execute: bool | str = False,
    workers: int | None = None,
    engine: Engine | None = None,
    progress: Progress | None = None,
) -> int:
    """Score a file of samples into a file of scores, in memory that grows with the prompts and not with the outputs.

    Parameters
    ----------
    source : str or Path
        What `read_samples` reads. Parquet files, patterns of them and stores are read in parts; others whole. Parquet
        may also be named by an address that polars reads (`s3://bucket/run/*.parquet`, `gs://…`, `file://…`), with the
        credentials that it finds in the environment.
    out : str or Path
        The parquet file of scores. Beside it stands, while the run lasts, a folder as large as the samples.
    metrics, conditions, pairs, embedder, execute, workers, progress
        As in `score`.
    engine : Engine, optional
        Who measures, in place of `workers` processes of this machine; see `diversity.cluster`.

    Returns
    -------
    int
        Number of scores. A run that was stopped and is started again takes what was finished from the cache.

    Raises
    ------
    InputError, UnknownName
        As in `score`; a file that changed while it was read, a disk that is full.
    """
    is_remote, out = "://" in str(source), Path(out)
    source = source if is_remote else Path(source)
    files: Files = [str(source)] if is_remote else _files(Path(source))
    if not files or (not is_remote and _height(files) < FROM):
        samples = read_samples(source)
        options: dict[str, Any] = {"embedder": embedder, "execute": execute, "progress": progress}
        scores = score(samples, metrics=metrics, conditions=conditions, pairs=pairs, workers=workers, **options)
        scores.write(out)
        return len(scores)
    before = [_state(file) for file in files]
    table, known = _scanned(files, source)
    keys = _collected(table.select([pl.col(c).cast(pl.String) for c in ("checkpoint", "domain", "prompt_id")]), source)
    panel = Panel.of(keys, metrics, conditions, pairs, None)
    semantics = Semantics.load(embedder) if panel.needs_vectors else Semantics()
    numbers = boundaries(keys)
    count = int(numbers["block"].max()) + 1  # type: ignore[arg-type]  # a table has rows here
    own = engine or engine_for(workers, count)
    told = _collected(table.select(c for c in [*KEY[:3], *TOLD] if c in known).unique(maintain_order=True), source)
    try:
        with _folder(out) as folder:
            _sort_into_blocks(table, numbers, folder, source, len(keys), progress)
            if [_state(file) for file in files] != before:
                raise InputError(f"{source}: changed while it was read: run again")
            frames = _blocks(folder, source, execute)
            light: list[Block] = []
            failed: list[pl.DataFrame] = []
            done = each_block(frames, panel, semantics, prompts=len(numbers), engine=own, progress=progress)
            for number, block in enumerate(done):
                failed.append(block.rows.filter(pl.col("note").str.starts_with(FAILED)).unique("metric"))
                Scores.of(block.rows).frame.write_parquet(folder / f"scores-{number:06}.parquet", compression="zstd")
                # Scores are on disk; what measures over all prompts need is little.
                light.append(Block(block.rows.clear(), block.drawn, block.readings, block.reads))
            over = rows_over_prompts(light, panel, semantics, own, progress)
            warn_of_failures(pl.concat([*failed, over]))
            if len(over):
                Scores.of(over).frame.write_parquet(folder / f"scores-{count:06}.parquet", compression="zstd")
            told = Samples.of(told.with_columns(output=pl.lit(""), sample_index=pl.int_range(pl.len()))).frame
            details = provenance_of(_provenance(files, source), sampling_of(told), panel, semantics, None)
            parts = pl.scan_parquet(sorted(folder.glob("scores-*.parquet")), schema=pl.Schema(SCORES))
            parts.sink_parquet(folder / "all", compression="zstd", metadata={PROVENANCE: json.dumps(details)})
            height: int = parts.select(pl.len()).collect().item()
            (folder / "all").replace(out)
    finally:
        if engine is None:
            own.close()
    return height


def _files(source: Path) -> Files:
    """Return the parquet files that the samples stand in; none where they are something else."""
    if source.is_dir() and (source / MANIFEST).exists():
        return sorted((source / "parts").glob("part-*.parquet"))
    if source.suffix.lower() == ".parquet" and source.exists():
        return [source]
    if source.suffix.lower() == ".parquet":
        return sorted(source.parent.glob(source.name))
    return []


def _height(files: Files) -> int:
    try:
        return int(
            pl.scan_parquet(files, glob=isinstance(files[0], str), missing_columns="insert")
            .select(pl.len())
            .collect()
            .item()
        )
    except (pl.exceptions.PolarsError, OSError):
        return 0  # read whole, and told by its reader what is wrong with it


def _state(file: str | Path) -> tuple[int, int]:
    if isinstance(file, str):
        return 0, 0  # an object in a store is replaced whole, and read as it was
    stat = file.stat()
    return stat.st_size, stat.st_mtime_ns


def _scanned(files: Files, source: str | Path) -> tuple[pl.LazyFrame, list[str]]:
    table = pl.scan_parquet(files, glob=isinstance(files[0], str), missing_columns="insert")
    known = table.collect_schema().names()
    missing = [c for c in SAMPLES_REQUIRED if c not in known]
    if missing:
        raise InputError(f"{source}: column '{missing[0]}' is missing (it has: {', '.join(known)[:200]})")
    return table, known


def _collected(table: pl.LazyFrame, source: str | Path) -> pl.DataFrame:
    try:
        return table.collect(engine="streaming")
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        reason = " ".join(str(error).split())[:120]
        raise InputError(f"{source}: not readable parquet ({reason}): write it again") from None


def _provenance(files: Files, source: str | Path) -> Mapping[str, Any]:
    if isinstance(source, Path) and source.is_dir():
        return Store.open(source).provenance
    if not isinstance(files[0], Path):
        return {}
    try:
        found = json.loads(pl.read_parquet_metadata(files[0]).get(PROVENANCE, "{}"))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


@contextmanager
def _folder(out: Path) -> Iterator[Path]:
    """Stand a folder for parts beside a file, taken away at the end, and tell of a disk that takes no more."""
    folder = out.with_name(f".{out.name}.parts")
    try:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        yield folder
    except (OSError, pl.exceptions.ComputeError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0][:120]
        raise InputError(f"{out}: cannot be written ({reason}): check space and permissions, and run again") from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _sort_into_blocks(
    table: pl.LazyFrame, numbers: pl.DataFrame, folder: Path, source: str | Path, rows: int, progress: Progress | None
) -> None:
    """Write the rows of each block apart, from one reading of the table."""
    keys = [pl.col(c).cast(pl.String) for c in ("domain", "prompt_id")]
    for piece, start in enumerate(range(0, rows, SLICE)):
        part = _collected(table.slice(start, SLICE), source).with_columns(keys)
        told = part.join(numbers, on=["domain", "prompt_id"], how="left", maintain_order="left")
        for (number,), own in told.group_by(["block"], maintain_order=True):
            place = folder / f"block-{number:06}"
            place.mkdir(exist_ok=True)
            own.drop("block").write_parquet(place / f"{piece:06}.parquet", compression="lz4")
        if progress:
            progress("sort by prompt", min(start + SLICE, rows), rows)


def _blocks(folder: Path, source: str | Path, execute: bool | str) -> Iterator[pl.DataFrame]:
    for place in sorted(folder.glob("block-*")):
        frame = pl.read_parquet(sorted(place.glob("*.parquet")))
        samples = Samples.of(frame, where=f"{source} (rows of {place.name})")
        if execute:
            from diversity.execution import execute as run

            samples = run(samples, mode="bubblewrap" if execute is True else execute)
        yield samples.frame
        shutil.rmtree(place)
