"""Other processes of this machine that measure; they can be started before this one has read a line."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

BYTES = 200_000  # of a file of samples that keep one more process busy for longer than it takes to start
LEAST = 50_000  # from which on there is a second one: short programs take some 50 bytes each
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}  # of a process that measures


class Died(Exception):
    """A process died over a task."""


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

    lost: tuple[type[BaseException], ...] = (Died,)

    def __init__(self, workers: int, *, helps: bool = False) -> None:
        self.workers = workers
        self._others = workers - helps
        self._helps = helps
        self._pool: Copies | Fresh | None = None

    def start(self) -> None:
        """Start the processes, which import what they need at once."""
        # A copy of a process misses the threads that hold its locks: only one that has no others is copied.
        self._pool = Copies(self._others) if _has_one_thread() else Fresh(self._others)
        # A thread that sends or takes a message asks for the interpreter some ten times, and waits as long each time.
        self._patience = sys.getswitchinterval()
        sys.setswitchinterval(2e-4 if self._helps else self._patience)
        # A task that a pool of processes holds cannot be called back: each process is given one at a time.
        self._threads = ThreadPoolExecutor(self._others)
        self._not_begun: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._done_here: dict[Future[Any], Any] = {}

    def submit(self, task: Callable[..., Any], *details: Any) -> Future[Any]:
        """Give a task to the next process that is free."""
        if self._pool is None:
            self.start()
        assert self._pool is not None
        future = self._threads.submit(self._pool.run, task, *details)
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
            self._pool.kill()
            self._threads.shutdown()
            self._pool = None
            sys.setswitchinterval(self._patience)


class Fresh:
    """Processes that begin with an empty interpreter."""

    def __init__(self, count: int) -> None:
        from loky import ProcessPoolExecutor

        self._pool = ProcessPoolExecutor(count, initializer=_import, env=ENVIRONMENT)
        self._pool.submit(os.getpid)

    def run(self, task: Callable[..., Any], *details: Any) -> Any:
        """Do a task; raises `Died`."""
        from loky.process_executor import BrokenProcessPool

        try:
            return self._pool.submit(task, *details).result()
        except BrokenProcessPool as error:
            raise Died(type(error).__name__) from error

    def kill(self) -> None:
        """End the processes, whatever they do."""
        self._pool.shutdown(wait=True, kill_workers=True)


class Copies:
    """Copies of this process, which are there in no time; it must have one thread."""

    def __init__(self, count: int) -> None:
        from multiprocessing import get_context

        context = get_context("fork")
        self._free: SimpleQueue[Connection] = SimpleQueue()
        self._processes, ends = [], []
        for _ in range(count):
            here, there = context.Pipe()
            ends.append(here)
            self._processes.append(context.Process(target=_serve, args=(there, ends), daemon=True))
            self._processes[-1].start()
            there.close()  # so that the copy's death ends the connection
            self._free.put(here)

    def run(self, task: Callable[..., Any], *details: Any) -> Any:
        """Do a task; raises `Died`."""
        import cloudpickle

        connection = self._free.get()
        try:
            connection.send_bytes(cloudpickle.dumps((task, details)))
            result, error = connection.recv()
        except (EOFError, OSError) as lost:
            raise Died("its connection ended") from lost
        finally:
            self._free.put(connection)
        if error is not None:
            raise error
        return result

    def kill(self) -> None:
        """End the processes, whatever they do."""
        for process in self._processes:
            process.kill()
            process.join()


def _serve(connection: Connection, others: Sequence[Connection]) -> None:
    """Do one task after the other, until the process that gives them is gone; `others` are its ends of connections."""
    for each in others:
        each.close()  # else this copy would hold its own connection open
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # that process is told, and ends this one
    os.environ.update(ENVIRONMENT)
    _import()
    with suppress(EOFError, OSError):
        while True:
            task, details = connection.recv()
            try:
                told: tuple[Any, Exception | None] = task(*details), None
            except Exception as error:  # noqa: BLE001 - it is raised where the task came from
                error.add_note(traceback.format_exc())
                told = None, error
            connection.send(told)


def _has_one_thread() -> bool:
    """Whether this process is known to have no other threads, those of libraries included."""
    try:
        return len(list(Path("/proc/self/task").iterdir())) == 1
    except OSError:
        return False


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
    size = sum(file.stat().st_size for file in files if file.is_file())
    others = min(processors() - 1, (size + BYTES - LEAST) // BYTES)
    if others > 0:
        # Where every processor is busy, threads of polars wait for each other: fewer are done sooner.
        os.environ.setdefault("POLARS_MAX_THREADS", str(max(processors() - others, processors() // 2)))
        _expected.append(Processes(others + 1, helps=True))
        _expected[0].start()


def expected() -> Processes | None:
    """Return the processes that were started."""
    return _expected.pop() if _expected else None
