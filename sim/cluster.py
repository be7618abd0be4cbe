"""Units of work on a Ray cluster (extra `[cluster]`).

Units are pure functions of their key, so a unit whose node went away is simply computed again elsewhere and gives the
same numbers. Every node must have the same version of plantwin installed; the first unit's code is compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import ray

from sim.cache import fingerprint
from sim.work import PINNED, Figures, Unit, WorkError, compute


def _remote(unit: Unit, code: str) -> Figures:
    """Runs on a node: the unit, after a look at whether the node runs the same code."""
    if fingerprint() != code:
        raise WorkError("a node of the cluster runs another version of plantwin, numba or Python; install the same")
    return compute(unit)


class Cluster:
    """Ray's tasks, one processor each; results in the order of the units, `2 * workers` in flight.

    `address` of a running cluster; None starts one on this machine with `workers` processors.
    """

    def __init__(self, address: str | None, workers: int) -> None:
        self.workers = workers
        self._started = not ray.is_initialized()
        if self._started:
            here = {"num_cpus": workers} if address is None else {"address": address}
            ray.init(**here, include_dashboard=False, log_to_driver=False, logging_level="error")
        self._task = ray.remote(
            num_cpus=1,
            max_retries=-1,  # node losses only: an exception of the unit is an answer
            retry_exceptions=False,
            runtime_env={"env_vars": dict.fromkeys(PINNED, "1")},
        )(_remote)
        self._code = fingerprint()

    def map(self, units: Iterable[Unit]) -> Iterator[Figures]:
        waiting: list[Any] = []
        source = iter(units)
        try:
            while True:
                waiting += [
                    self._task.remote(unit, self._code) for unit in islice(source, 2 * self.workers - len(waiting))
                ]
                if not waiting:
                    return
                try:
                    yield ray.get(waiting.pop(0))
                except ray.exceptions.RayTaskError as error:
                    cause = getattr(error, "cause", None)
                    raise WorkError(str(cause or error)) from error
                except ray.exceptions.RayError as error:
                    raise WorkError(
                        f"the cluster lost a unit ({type(error).__name__}); see that a node is up and give the "
                        "same command again: with '--out' it goes on where it stopped"
                    ) from error
        finally:
            for task in waiting:
                ray.cancel(task, force=True)

    def close(self) -> None:
        if self._started:
            ray.shutdown()
