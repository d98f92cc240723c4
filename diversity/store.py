"""A folder of finished samples: parts written whole or not at all, one writer, settings that cannot drift."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import polars as pl

from diversity.errors import InputError
from diversity.tables import Samples

MANIFEST = "manifest.json"


class Store:
    """A sample store.

    Use `Store.create` to fill one (as a context manager: it holds the writer's lock) and `Store.open` to read one.
    """

    def __init__(self, folder: Path, provenance: Mapping[str, Any]) -> None:
        self.folder = folder
        self.provenance = provenance
        self._lock: IO[bytes] | None = None

    @classmethod
    def open(cls, folder: str | Path) -> Self:
        """Open a store to read; raises `InputError` where the folder is none."""
        folder = Path(folder)
        try:
            return cls(folder, json.loads((folder / MANIFEST).read_text(encoding="utf-8")))
        except (OSError, ValueError):
            raise InputError(f"{folder}: not a sample store: `diversity sample … --out {folder}` makes one") from None

    @classmethod
    def create(cls, folder: str | Path, provenance: Mapping[str, Any]) -> Self:
        """Open a store to write, new or half full.

        Raises
        ------
        InputError
            The folder holds samples drawn with other settings, another process writes to it, or it cannot be
            written.
        """
        folder = Path(folder)
        provenance = json.loads(json.dumps(provenance))
        try:
            (folder / "parts").mkdir(parents=True, exist_ok=True)
            store = cls(folder, provenance)
            store._lock = (folder / ".lock").open("wb")
            fcntl.flock(store._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if (folder / MANIFEST).exists():
                differing = _difference(cls.open(folder).provenance, provenance)
                if differing:
                    store.close()
                    raise InputError(f"{folder}: was sampled with other settings ({differing}): give another --out")
            else:
                _write_whole(folder / MANIFEST, json.dumps(provenance, indent=1, sort_keys=True).encode())
        except BlockingIOError:
            raise InputError(f"{folder}: another process is sampling into it: wait, or give another --out") from None
        except OSError as error:
            raise InputError(f"{folder}: cannot be written ({error.strerror}): check space and permissions") from None
        return store

    def has(self, number: int) -> bool:
        """Whether a part is there and readable; one that is not is drawn again."""
        path = self._part(number)
        if not path.exists():
            return False
        try:
            pl.read_parquet_schema(path)
        except (pl.exceptions.PolarsError, OSError):
            return False
        return True

    def add(self, number: int, rows: pl.DataFrame) -> None:
        """Write a part: it is on disk when this returns."""
        import io

        buffer = io.BytesIO()
        rows.write_parquet(buffer, compression="zstd")
        try:
            _write_whole(self._part(number), buffer.getvalue())
        except OSError as error:
            raise InputError(
                f"{self.folder}: cannot be written ({error.strerror}): mend that and run again; what is sampled is kept"
            ) from None

    def samples(self) -> Samples:
        """All finished parts as one Samples table; raises `InputError` when there are none."""
        parts = sorted((self.folder / "parts").glob("part-*.parquet"))
        if not parts:
            raise InputError(f"{self.folder}: no samples are finished yet: run `diversity sample` again")
        frames = []
        for part in parts:
            try:
                frames.append(pl.read_parquet(part))
            except (pl.exceptions.PolarsError, OSError):
                raise InputError(f"{part}: is damaged: delete it and run `diversity sample` again") from None
        return Samples.of(pl.concat(frames), self.provenance, where=str(self.folder))

    def close(self) -> None:
        """Give up the writer's lock."""
        if self._lock:
            self._lock.close()
            self._lock = None

    def _part(self, number: int) -> Path:
        return self.folder / "parts" / f"part-{number:06d}.parquet"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _write_whole(path: Path, content: bytes) -> None:
    """Write a file so that after a kill or a power cut it is there whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    with part.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    part.replace(path)
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
