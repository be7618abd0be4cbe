"""Advance a batch whose replicas stand at different times, as environments with their own episode clocks do."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from sim.compile import Compiled
from sim.jit import entry
from sim.kernel import check, run_row
from sim.state import Array


@entry
def advance_rows(rows: Array, p: Array, until: Array) -> None:
    """`run_row` of each row to its own tick."""
    for i in range(rows.shape[0]):
        run_row(rows[i], p, until[i])


def advance(rows: Array, compiled: Compiled, until: Array, threads: int = 1) -> None:
    """Advance rows [R, W] in place, each to its own tick `until` [R]. Raises `KernelError` on overflow."""
    if threads <= 1 or len(rows) < 2 * threads:
        advance_rows(rows, compiled.params, until)
    else:
        parts = zip(np.array_split(rows, threads), np.array_split(until, threads), strict=True)
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(lambda part: advance_rows(part[0], compiled.params, part[1]), parts))
    check(rows, compiled)
