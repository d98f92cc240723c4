"""Results that can be made again, kept by the hash of what they follow from.

The folder is that of the environment variable DIVERSITY_CACHE, else `$XDG_CACHE_HOME/diversity-shift`, else
`~/.cache/diversity-shift`; it may be deleted at any time. DIVERSITY_CACHE_GB limits each table (2 by default); what was
not used for longest goes first. DIVERSITY_NO_CACHE=1 (or `diversity --no-cache`) neither reads nor writes.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterable, Mapping
from functools import cache
from hashlib import blake2b
from pathlib import Path
from types import TracebackType
from typing import Self

import diversity

LIMIT_GB = 2.0
DAY = 86_400
SUM = 8  # bytes of a value's own hash, before the value
AT_A_TIME = 500  # keys of one question; SQLite takes no more than some thousands


def folder() -> Path:
    """Return the folder under which the package keeps what can be made again."""
    if own := os.environ.get("DIVERSITY_CACHE"):
        return Path(own).expanduser()
    if xdg := os.environ.get("XDG_CACHE_HOME"):
        return Path(xdg).expanduser() / "diversity-shift"
    return Path.home() / ".cache" / "diversity-shift"


@cache
def code_version() -> str:
    """Return a hash of this package's code: what another version made is never taken for what this one would make."""
    root = Path(diversity.__file__).parent
    rooms = [root, *(root.parent / room for room in ("metrics", "domains") if not (root / room).is_dir())]
    whole = blake2b(digest_size=8)
    for path in sorted(path for room in rooms for path in room.rglob("*.py")):
        whole.update(path.read_bytes())
    return whole.hexdigest()


def key_of(*parts: str | bytes) -> bytes:
    """Return the key of what follows from the parts."""
    whole = blake2b(digest_size=16)
    for part in parts:
        content = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        whole.update(len(content).to_bytes(8, "little") + content)
    return whole.digest()


class Cache:
    """One table of results: bytes by key.

    Several processes may use it at once. A cache that is damaged, full, locked or cannot be written is none: it never
    stops a run, and a value whose hash does not fit is made again.

    Parameters
    ----------
    name : str
        The file under the cache's folder.
    version : str
        What every key depends on beside its own parts.
    is_used : bool
        False makes a cache that holds nothing, whatever is put there.
    """

    def __init__(self, name: str, version: str = "", *, is_used: bool = True) -> None:
        self._version = version
        self._table: sqlite3.Connection | None = None
        if not is_used or os.environ.get("DIVERSITY_NO_CACHE", "0") not in {"", "0"}:
            return
        try:
            place = folder()
            place.mkdir(parents=True, exist_ok=True)
            table = sqlite3.connect(place / f"{name}.sqlite", timeout=10, isolation_level=None)
            table.execute("PRAGMA journal_mode=WAL")
            table.execute("PRAGMA synchronous=NORMAL")
            table.execute("CREATE TABLE IF NOT EXISTS kept (key BLOB PRIMARY KEY, used INTEGER, value BLOB)")
            table.execute("CREATE INDEX IF NOT EXISTS by_use ON kept (used)")
        except (OSError, RuntimeError, sqlite3.Error):
            return
        self._table = table

    @property
    def is_used(self) -> bool:
        """Whether anything is kept."""
        return self._table is not None

    def get(self, keys: Iterable[bytes]) -> dict[bytes, bytes]:
        """Return what is kept under the keys."""
        if self._table is None:
            return {}
        own = {key_of(self._version, key): key for key in keys}
        asked, found = list(own), {}
        with contextlib.suppress(sqlite3.Error):
            now = int(time.time())
            for start in range(0, len(asked), AT_A_TIME):
                some = asked[start : start + AT_A_TIME]
                marks = ",".join("?" * len(some))
                query = f"SELECT key, used, CAST(value AS BLOB) FROM kept WHERE key IN ({marks})"  # noqa: S608 - ? only
                rows = self._table.execute(query, some)
                stale = []
                for key, used, value in rows:
                    if value[:SUM] == blake2b(value[SUM:], digest_size=SUM).digest():
                        found[own[key]] = value[SUM:]
                    if abs(now - used) > DAY:
                        stale.append((now, key))
                self._table.executemany("UPDATE kept SET used = ? WHERE key = ?", stale)
        return found

    def put(self, values: Mapping[bytes, bytes]) -> None:
        """Keep values; what is not used for longest makes room."""
        if self._table is None or not values:
            return
        now = int(time.time())
        rows = [
            (key_of(self._version, key), now, blake2b(value, digest_size=SUM).digest() + value)
            for key, value in values.items()
        ]
        with contextlib.suppress(sqlite3.Error):
            self._table.execute("BEGIN IMMEDIATE")
            try:
                self._table.executemany("INSERT OR REPLACE INTO kept VALUES (?, ?, ?)", rows)
                self._make_room()
            except sqlite3.Error:
                self._table.execute("ROLLBACK")
                raise
            self._table.execute("COMMIT")

    def _make_room(self) -> None:
        assert self._table is not None
        limit = float(os.environ.get("DIVERSITY_CACHE_GB") or LIMIT_GB) * 1e9
        size, pages, free = (
            self._table.execute(f"PRAGMA {what}").fetchone()[0]
            for what in ("page_size", "page_count", "freelist_count")
        )
        over = size * (pages - free) - limit
        if over <= 0:
            return
        # A fifth more than must go, so that not every further value has to look for room.
        over += limit / 5
        for key, length in self._table.execute("SELECT key, length(value) FROM kept ORDER BY used").fetchall():
            self._table.execute("DELETE FROM kept WHERE key = ?", [key])
            over -= length
            if over <= 0:
                break

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the table."""
        if self._table is not None:
            with contextlib.suppress(sqlite3.Error):
                self._table.close()
            self._table = None
