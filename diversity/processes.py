"""Other processes of this machine that measure; they can be started before this one has read a line."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

BYTES = 200_000  # of a file of samples that keep one more process busy for longer than it takes to start


class Processes:
    """Several processes, an `Engine`; none of them reads the running script again.

    Parameters
    ----------
    workers : int
        Processes that measure.
    helps : bool
        This process is one of them: where it would wait, it does what no other has begun. Such a run ends where a block
        is more than this process's memory holds, or kills it; the others are replaced.
    """

    def __init__(self, workers: int, *, helps: bool = False) -> None:
        from loky.process_executor import BrokenProcessPool

        self.workers = workers
        self.lost: tuple[type[BaseException], ...] = (BrokenProcessPool,)
        self._others = workers - helps
        self._helps = helps
        self._pool: Any = None

    def start(self) -> None:
        """Start the processes, which import what they need at once."""
        from loky import ProcessPoolExecutor

        env = {"OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}
        self._pool = ProcessPoolExecutor(self._others, initializer=_import, env=env)
        self._pool.submit(os.getpid)
        # A task that a pool of processes holds cannot be called back: each process is given one at a time.
        self._threads = ThreadPoolExecutor(self._others)
        self._not_begun: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._done_here: dict[Future[Any], Any] = {}

    def submit(self, task: Callable[..., Any], *details: Any) -> Future[Any]:
        """Give a task to the next process that is free."""
        if self._pool is None:
            self.start()
        future = self._threads.submit(lambda pool: pool.submit(task, *details).result(), self._pool)
        if self._helps:
            self._not_begun.append((future, partial(task, *details)))
        return future

    def result(self, future: Future[Any]) -> Any:
        """Wait for a task."""
        while self._not_begun and not future.done():
            other, do = self._not_begun.popleft()
            if other.cancel():
                self._done_here[other] = do()
        return self._done_here.pop(future) if future in self._done_here else future.result()

    def restart(self) -> None:
        """Start other processes."""
        self.close()

    def close(self) -> None:
        """End the processes."""
        if self._pool is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)
            self._pool.shutdown(wait=True, kill_workers=True)
            self._threads.shutdown()
            self._pool = None


def _import() -> None:
    import_module("diversity.blocks")
    import_module("diversity.metrics").load()


def processors() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_expected: list[Processes] = []


def expect(paths: Iterable[str]) -> None:
    """Start processes for the samples that are about to be read from these paths, as many as their size asks for."""
    files = (
        file for path in map(Path, paths) for file in (path, *path.glob("*.parquet"), *path.glob("parts/*.parquet"))
    )
    others = min(processors() - 1, sum(file.stat().st_size for file in files if file.is_file()) // BYTES)
    if others > 0:
        _expected.append(Processes(others + 1, helps=True))
        _expected[0].start()


def expected() -> Processes | None:
    """Return the processes that were started."""
    return _expected.pop() if _expected else None
