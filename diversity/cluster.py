"""Scoring on more than one machine: the same blocks as Ray tasks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from diversity.errors import InputError, MissingExtra


class Ray:
    """Measures blocks as tasks of a Ray cluster; an `Engine` for `score_file`.

    Every machine needs this package in the same version. A block goes to the cluster with its outputs and comes back
    with its scores, so that no machine but this one reads the samples; what a lost machine had under way is given to
    another.

    Parameters
    ----------
    address : str, optional
        Of the cluster ("ray://head:10001", or "auto" for the one this machine belongs to). Default: the cluster that
        this process is connected to, else a new one on this machine.

    Raises
    ------
    MissingExtra, InputError
        Ray is not installed; no cluster answers at the address.
    """

    def __init__(self, address: str | None = None) -> None:
        try:
            import ray
        except ImportError:
            raise MissingExtra('scoring on a cluster needs ray: pip install "diversity-shift[cluster]"') from None
        self._ray = ray
        self._is_own = not ray.is_initialized()
        if self._is_own:
            try:
                ray.init(address=address, logging_level="error", log_to_driver=False, include_dashboard=False)
            except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
                reason = str(error).splitlines()[0][:120]
                raise InputError(f"no Ray cluster at '{address}' ({reason}): check the address") from None
        # A worker that dies is another's task again before we hear of it; these are what is left when that failed.
        self.lost: tuple[type[BaseException], ...] = (
            ray.exceptions.WorkerCrashedError,
            ray.exceptions.NodeDiedError,
            ray.exceptions.OutOfMemoryError,
            ray.exceptions.ObjectLostError,
        )
        self.workers = max(1, int(ray.cluster_resources().get("CPU", 1)))
        self._panels: dict[int, Any] = {}

    def submit(self, task: Callable[..., Any], *details: Any) -> Any:
        """Send a task to the cluster."""
        frame, panel, *rest = details
        if id(panel) not in self._panels:
            # One copy a machine, not one a block; held, so that its number is not given to another.
            self._panels[id(panel)] = panel, self._ray.put(panel)
        remote = self._ray.remote(num_cpus=1, max_retries=3)(task)
        return remote.remote(frame, self._panels[id(panel)][1], *rest)

    def result(self, future: Any) -> Any:
        """Wait for a task."""
        try:
            return self._ray.get(future)
        except self._ray.exceptions.RayTaskError as error:
            # The task's own error, as if it had happened here.
            raise error.cause from None

    def restart(self) -> None:
        """Nothing to do: Ray starts other workers by itself."""

    def close(self) -> None:
        """Leave the cluster."""
        self._panels.clear()
        if self._is_own:
            self._ray.shutdown()
