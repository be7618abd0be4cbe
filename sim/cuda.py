"""The kernel on a CUDA device (or in numba's simulator of one): one thread a replica.

On the device the rows are field-contiguous, int64[W, R], so that neighbouring threads touch neighbouring words; each
thread sees its replica as a strided view, and runs the very functions that run on the CPU. numba compiles those for
the device itself. This module imports numba's CUDA target, so import it only where a device is wanted.
"""

from __future__ import annotations

import os
import warnings
from typing import Any

import numba
import numba.cuda
import numpy as np
from numba.core.errors import NumbaPerformanceWarning

from sim.compile import Compiled
from sim.kernel import KernelError, check, run_row, trace_row
from sim.state import Array

cuda: Any = numba.cuda  # its types are incomplete
THREADS = 32
"""Threads in a block: a warp. Replicas differ in what they do next, so bigger blocks gain nothing."""


class NoDeviceError(KernelError):
    """There is no CUDA device; says what to do instead."""


def advance_replica(rows: Any, params: Any, until: int) -> None:
    """One thread advances one replica; rows int64[W, R], params int64[]."""
    replica = cuda.grid(1)
    if replica < rows.shape[1]:
        run_row(rows[:, replica], params, until)


def record_replica(rows: Any, params: Any, until: int, events: Any) -> None:
    """As `advance_replica`, with (tick, slot, kind) of each event in events int64[R, N, 3]; tick -1 ends them."""
    replica = cuda.grid(1)
    if replica < rows.shape[1]:
        n = trace_row(rows[:, replica], params, until, events[replica])
        if n < events.shape[1]:
            events[replica, n, 0] = -1


advance = cuda.jit(advance_replica)
record = cuda.jit(record_replica)


def available() -> bool:
    """Is there a device, or is numba's simulator of one switched on (NUMBA_ENABLE_CUDASIM=1)?"""
    return bool(cuda.is_available())


def simulated() -> bool:
    """Is the device numba's simulator? Then kernels are Python, and slow."""
    config: Any = numba.config
    return bool(config.ENABLE_CUDASIM)


def run_device(rows: Array, compiled: Compiled, until: int) -> Array:
    """The rows [R, W] advanced to tick `until` on the device, as new rows on the host.

    Raises NoDeviceError where there is none, ValueError for the simulator without NUMBA_DISABLE_JIT=1 (it cannot call
    compiled functions), KernelError as `sim.kernel.run`.
    """
    _require()
    on_device = cuda.to_device(np.ascontiguousarray(rows.T))
    params = cuda.to_device(np.array(compiled.params))
    _launch(advance, len(rows), on_device, params, np.int64(until))
    result = np.ascontiguousarray(on_device.copy_to_host().T)
    check(result, compiled)
    return result


def trace_device(rows: Array, compiled: Compiled, until: int, limit: int = 65_536) -> tuple[Array, list[Array]]:
    """As `run_device`, with the events of every replica, int64[n, 3] of tick, slot, kind.

    Raises OverflowError where a replica has `limit` events or more.
    """
    _require()
    on_device = cuda.to_device(np.ascontiguousarray(rows.T))
    params = cuda.to_device(np.array(compiled.params))
    events = cuda.to_device(np.zeros((len(rows), limit, 3), dtype=np.int64))
    _launch(record, len(rows), on_device, params, np.int64(until), events)
    found = events.copy_to_host()
    result = np.ascontiguousarray(on_device.copy_to_host().T)
    check(result, compiled)
    ends = [np.flatnonzero(one[:, 0] < 0) for one in found]
    if any(len(end) == 0 for end in ends):
        raise OverflowError(
            f"plant {compiled.plant.id}: {limit} events or more before tick {until}; allow more of them or run less far"
        )
    return result, [one[: end[0]] for one, end in zip(found, ends, strict=True)]


def _launch(kernel: Any, replicas: int, *arguments: Any) -> None:
    with warnings.catch_warnings():
        # a few replicas leave most of a device idle; that is the caller's business
        warnings.simplefilter("ignore", NumbaPerformanceWarning)
        kernel[-(-replicas // THREADS), min(THREADS, replicas)](*arguments)
        cuda.synchronize()


def _require() -> None:
    if not available():
        raise NoDeviceError("no CUDA device was found; use --engine kernel, or see what `plantwin doctor` says")
    if simulated() and os.environ.get("NUMBA_DISABLE_JIT") != "1":
        raise ValueError("NUMBA_ENABLE_CUDASIM=1 works only with NUMBA_DISABLE_JIT=1; set both, or neither")
