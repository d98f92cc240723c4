"""A folder of finished samples: parts written whole or not at all, settings that cannot drift.

One process writes, or several, each its own shard of the parts (i of k: those whose number leaves i - 1 when divided
by k). The parts are numbered by what they hold and not by who drew them, so there is nothing to merge.
"""

from __future__ import annotations

import fcntl
import io
import json
import os
import warnings
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import polars as pl

from diversity.errors import InputError
from diversity.tables import SAMPLES_REQUIRED, Samples, read_parquet

MANIFEST = "manifest.json"


class Store:
    """A sample store.

    Use `Store.create` to fill one (as a context manager: it holds the writer's lock) and `Store.open` to read one.
    """

    def __init__(self, folder: Path, provenance: Mapping[str, Any], shard: tuple[int, int] = (1, 1)) -> None:
        self.folder = folder
        self.provenance = provenance
        self.shard = shard
        self._locks: list[IO[bytes]] = []

    @classmethod
    def open(cls, folder: str | Path) -> Self:
        """Open a store to read; raises `InputError` where the folder is none."""
        folder = Path(folder)
        manifest = folder / MANIFEST
        try:
            provenance = json.loads(manifest.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise InputError(f"{folder}: not a sample store: `diversity sample … --out {folder}` makes one") from None
        except (OSError, ValueError, RecursionError):
            provenance = None
        if not isinstance(provenance, dict):
            raise InputError(f"{manifest}: is damaged: delete the folder and run `diversity sample` again")
        return cls(folder, provenance)

    @classmethod
    def create(cls, folder: str | Path, provenance: Mapping[str, Any], *, shard: tuple[int, int] = (1, 1)) -> Self:
        """Open a store to write, new or half full.

        Parameters
        ----------
        folder : str or Path
        provenance : mapping
            What is sampled and how.
        shard : (int, int)
            Which of how many shards this process fills; others may fill the other ones at the same time.

        Raises
        ------
        InputError
            The folder holds samples drawn with other settings, another process writes the same parts, or it cannot
            be written.
        """
        folder = Path(folder)
        store = cls(folder, json.loads(json.dumps(provenance)), shard)
        try:
            store._begin()
        except BaseException as error:
            store.close()
            if isinstance(error, BlockingIOError):
                raise InputError(
                    f"{folder}: another process is sampling into it: wait, or give another --out"
                ) from None
            if isinstance(error, OSError):
                reason = error.strerror or error
                raise InputError(f"{folder}: cannot be written ({reason}): check space and permissions") from None
            raise
        return store

    def _begin(self) -> None:
        """Take the writer's lock and see that the folder is new or was filled with the same settings."""
        (self.folder / "parts").mkdir(parents=True, exist_ok=True)
        # One at a time: of shards that start together one writes the manifest and the others compare.
        with (self.folder / ".begin").open("wb") as begin:
            fcntl.flock(begin, fcntl.LOCK_EX)
            self._take_locks()
            manifest = self.folder / MANIFEST
            if manifest.exists():
                differing = _difference(self.open(self.folder).provenance, self.provenance)
                if differing:
                    raise InputError(
                        f"{self.folder}: was sampled with other settings ({differing}): give another --out"
                    )
            elif self._parts():
                raise InputError(f"{self.folder}: holds samples but no {MANIFEST} to say of what: give another --out")
            else:
                _write_whole(manifest, json.dumps(self.provenance, indent=1, sort_keys=True).encode())

    def _take_locks(self) -> None:
        """Lock the whole store, or one shard of it; raises `BlockingIOError` where another process writes it."""
        number, count = self.shard
        self._lock(".lock", fcntl.LOCK_EX if count == 1 else fcntl.LOCK_SH)
        if count == 1:
            return
        self._lock(f".shard-{number}-of-{count}", fcntl.LOCK_EX)
        # Shards of another division overlap with this one.
        for other in self.folder.glob(".shard-*-of-*"):
            if not other.name.endswith(f"-of-{count}"):
                with other.open("ab") as stream:
                    fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _lock(self, name: str, kind: int) -> None:
        stream = (self.folder / name).open("wb")
        self._locks.append(stream)
        fcntl.flock(stream, kind | fcntl.LOCK_NB)

    def owns(self, number: int) -> bool:
        """Whether a part belongs to this writer's shard."""
        return number % self.shard[1] == self.shard[0] - 1

    def has(self, number: int) -> bool:
        """Whether a part is there and whole; one that is not is drawn again."""
        return any(_is_whole(part) for part in self._parts(number))

    def part(self, number: int) -> pl.DataFrame | None:
        """Read one part; None where it is not there or not whole."""
        whole = next(filter(_is_whole, self._parts(number)), None)
        return None if whole is None else read_parquet(whole)[0]

    def add(self, number: int, rows: pl.DataFrame) -> None:
        """Write a part: it is on disk when this returns."""
        buffer = io.BytesIO()
        rows.write_parquet(buffer, compression="zstd")
        content = buffer.getvalue()
        name = f"part-{number:06d}-{_digest(content)}.parquet"
        try:
            # Damaged, or what a kill left half written.
            for old in [*self._parts(number), *(self.folder / "parts").glob(f".part-{number:06d}-*")]:
                old.unlink()
            _write_whole(self.folder / "parts" / name, content)
        except OSError as error:
            raise InputError(
                f"{self.folder}: cannot be written ({error.strerror}): mend that and run again; what is sampled is kept"
            ) from None

    def samples(self, *, is_last: bool = True) -> Samples:
        """All finished parts as one Samples table; raises `InputError` when there are none.

        What is missing is warned of, unless other shards are still at it (`is_last` is False): a shard that has no
        batch may be done before any of them, and then the table is empty.
        """
        parts = self._parts()
        if not parts and not is_last:
            return Samples(pl.DataFrame(schema=SAMPLES_REQUIRED), self.provenance)
        if not parts:
            raise InputError(f"{self.folder}: no samples are finished yet: run `diversity sample` again")
        for part in parts:
            if not _is_whole(part):
                raise InputError(f"{part}: is damaged: run `diversity sample` again, which draws it anew")
        frame = pl.concat([read_parquet(part)[0] for part in parts])
        asked = self._asked()
        # A run that stops when it has decided has all that it wanted.
        if is_last and frame.height < asked and "looks" not in self.provenance:
            warnings.warn(
                f"{self.folder}: holds {frame.height} of {asked} outputs: run `diversity sample` again to finish it",
                UserWarning,
                stacklevel=3,
            )
        return Samples.of(frame, self.provenance, where=str(self.folder))

    def _asked(self) -> int:
        """How many outputs a finished run holds, as far as the manifest says."""
        try:
            prompts = sum(int(d["prompts"]) for d in self.provenance["domains"].values())
            settings = self.provenance["settings"]
            swept = settings.get("temperature")
            return prompts * int(settings["n"]) * (len(swept) if isinstance(swept, list) else 1)
        except (KeyError, TypeError, AttributeError):
            return 0

    def close(self) -> None:
        """Give up the writer's lock."""
        while self._locks:
            self._locks.pop().close()

    def _parts(self, number: int | None = None) -> list[Path]:
        which = "*" if number is None else f"{number:06d}"
        return sorted((self.folder / "parts").glob(f"part-{which}-*.parquet"))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _digest(content: bytes) -> str:
    return blake2b(content, digest_size=8).hexdigest()


def _is_whole(part: Path) -> bool:
    """Whether a part still is what was written: its name carries the hash of its content.

    Parquet has no checksum: of files with one flipped byte a few are read as other values, and some bring down
    the process that reads them.
    """
    try:
        return part.stem.endswith(f"-{_digest(part.read_bytes())}")
    except OSError:
        return False


def _write_whole(path: Path, content: bytes) -> None:
    """Write a file so that after a kill or a power cut it is there whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(path)
    except OSError:
        # What was written of it would take the space that the disk lacks.
        part.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _difference(old: Mapping[str, Any], new: Mapping[str, Any], at: str = "") -> str:
    """What differs between two settings, as 'key: old, not new'."""
    found = []
    for key in sorted({*old, *new}):
        a, b = old.get(key), new.get(key)
        if isinstance(a, dict) and isinstance(b, dict):
            found.append(_difference(a, b, f"{at}{key}."))
        elif a != b:
            found.append(f"{at}{key}: {a!r}, not {b!r}")
    return "; ".join(f for f in found if f)
