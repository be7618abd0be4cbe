"""What one CUDA thread does with one replica: thin wrappers around the functions that run on the CPU.

On the device rows are field-contiguous, int64[W, R], so that neighbouring threads touch neighbouring words; a thread
sees its replica as a strided view. numba compiles the rules for the device itself. The plain functions stand here
beside their compiled forms so that they can be compiled to PTX without a device.
"""

from __future__ import annotations

from typing import Any

import numba
import numba.cuda

from sim.kernel import flush, gather_rows, steer_row
from sim.kernel_row import run_row, step_row, trace_row
from sim.rules_event import settle
from sim.state import NOW

cuda: Any = numba.cuda  # its types are incomplete
_config: Any = numba.config
SIMULATED = bool(_config.ENABLE_CUDASIM)

if SIMULATED:

    def times(a: float, b: float) -> float:
        return a * b

    def plus(a: float, b: float) -> float:
        return a + b

else:
    # a device would fuse a multiply and an add into one rounding; these two round as the CPU does
    from numba.cuda import libdevice

    times, plus = libdevice.dmul_rn, libdevice.dadd_rn


def fill_replica(out: Any, value: int) -> None:
    """out[R] = value."""
    replica = cuda.grid(1)
    if replica < out.shape[0]:
        out[replica] = value


def advance_replica(rows: Any, params: Any, until: Any, behind: Any) -> None:
    """Advance to tick until[R]; a replica that stands past its tick stays and is marked in behind[R]."""
    replica = cuda.grid(1)
    if replica < rows.shape[1]:
        if rows[NOW, replica] > until[replica]:
            behind[replica] = 1
        else:
            run_row(rows[:, replica], params, until[replica])


def step_replica(rows: Any, params: Any, last: Any, kinds: int, behind: Any) -> None:
    """Advance to the next decision, at most to tick last[R] with its events (`sim.kernel_row.step_row`); a replica that
    stands past its tick stays and is marked in behind[R].
    """
    replica = cuda.grid(1)
    if replica < rows.shape[1]:
        if rows[NOW, replica] > last[replica]:
            behind[replica] = 1
        else:
            step_row(rows[:, replica], params, last[replica], kinds)


def record_replica(rows: Any, params: Any, until: int, events: Any) -> None:
    """Advance to `until` with (tick, slot, kind) of each event in events int64[R, N, 3]; tick -1 ends them."""
    replica = cuda.grid(1)
    if replica < rows.shape[1]:
        n = trace_row(rows[:, replica], params, until, events[replica])
        if n < events.shape[1]:
            events[replica, n, 0] = -1


def steer_replica(rows: Any, params: Any, positions: Any, values: Any, always: int) -> None:
    """Set the controls at positions[C] to values[R, C]; the plant reacts, if one of them moves or always (1)."""
    replica = cuda.grid(1)
    if replica < rows.shape[1]:
        row = rows[:, replica]
        moved = always == 1
        for c in range(positions.shape[0]):
            moved = moved or row[positions[c]] != values[replica, c]
        if moved:
            steer_row(row, params, positions, values[replica])
            settle(row, params)
            flush(row, params)


def gather_replica(rows: Any, positions: Any, scales: Any, out: Any) -> None:
    """out[R, J] float32 = rows at positions[J] times scales[J]."""
    replica = cuda.grid(1)
    if replica < rows.shape[1]:
        gather_rows(rows[:, replica : replica + 1].T, positions, scales, out[replica : replica + 1])


def linear_replica(rows: Any, positions: Any, weights: Any, out: Any) -> None:
    """out[R] float64 = sum over j of rows at positions[j] times weights[j], rounded as in `sim.kernel.linear_rows`."""
    replica = cuda.grid(1)
    if replica < rows.shape[1]:
        total = 0.0
        for j in range(positions.shape[0]):
            total = plus(total, times(float(rows[positions[j], replica]), weights[j]))
        out[replica] = total


def clear_replica(rows: Any, zeroed: Any, stamped: Any, lowered: Any) -> None:
    """0 at positions `zeroed`, the present tick at `stamped`; before that, the number at lowered[j, 0] falls by that
    at lowered[j, 1].
    """
    replica = cuda.grid(1)
    if replica < rows.shape[1]:
        for j in range(lowered.shape[0]):
            rows[lowered[j, 0], replica] -= rows[lowered[j, 1], replica]
        for j in range(zeroed.shape[0]):
            rows[zeroed[j], replica] = 0
        for j in range(stamped.shape[0]):
            rows[stamped[j], replica] = rows[NOW, replica]


def restore_replica(rows: Any, behind: Any, source: Any, mask: Any) -> None:
    """Copy replica r from source[W, R] where mask[r]."""
    replica = cuda.grid(1)
    if replica < rows.shape[1] and mask[replica]:
        behind[replica] = 0
        for w in range(rows.shape[0]):
            rows[w, replica] = source[w, replica]


def put_replica(rows: Any, behind: Any, which: Any, given: Any) -> None:
    """Replica which[k] becomes column k of given[W, K]."""
    k = cuda.grid(1)
    if k < which.shape[0]:
        behind[which[k]] = 0
        for w in range(rows.shape[0]):
            rows[w, which[k]] = given[w, k]


def take_replica(rows: Any, which: Any, out: Any) -> None:
    """Column k of out[W, K] becomes replica which[k]."""
    k = cuda.grid(1)
    if k < which.shape[0]:
        for w in range(rows.shape[0]):
            out[w, k] = rows[w, which[k]]


fill = cuda.jit(fill_replica)
advance = cuda.jit(advance_replica)
step = cuda.jit(step_replica)
record = cuda.jit(record_replica)
steer = cuda.jit(steer_replica)
gather = cuda.jit(gather_replica)
linear = cuda.jit(linear_replica)
clear = cuda.jit(clear_replica)
restore = cuda.jit(restore_replica)
put = cuda.jit(put_replica)
take = cuda.jit(take_replica)
