"""Running one row, as a thread of a device does: `sim.kernel.drive` without what a batch on a processor needs."""

from __future__ import annotations

from sim import state as st
from sim.jit import rule
from sim.kernel import asks, flush, next_slot, note
from sim.rules_event import fire
from sim.state import ERROR, INFINITY, NOW, Array


@rule
def run_row(row: Array, p: Array, until: int, kinds: int) -> None:
    """Execute the events with t < until; then the clock stands at `until`. With `kinds`, run to the next decision: all
    events up to those of the first tick, later than now, with an event of these kinds, or to tick `until` with its own.
    """
    began = INFINITY  # an event after which a decision is due comes later than this
    end = until
    if kinds != 0:
        began = row[NOW]
        end += 1
    while row[ERROR] == 0:
        slot = next_slot(row, p)
        if row[p[st.AT_SLOTS] + slot] >= end:
            break
        fire(row, p, slot)
        if row[NOW] > began and asks(p, slot, kinds):
            end = row[NOW] + 1
    if row[ERROR] == 0:
        row[NOW] = end - 1 if kinds != 0 else end
    flush(row, p)


@rule
def trace_row(row: Array, p: Array, until: int, out: Array) -> int:
    """As `run_row`, writing (tick, slot, kind) of each event into `out`; stops early when it is full."""
    n = 0
    while row[ERROR] == 0:
        slot = next_slot(row, p)
        if row[p[st.AT_SLOTS] + slot] >= until or n == out.shape[0]:
            break
        fire(row, p, slot)
        note(row, p, slot, out, n)
        n += 1
    if n < out.shape[0] and row[ERROR] == 0:
        row[NOW] = until
        flush(row, p)
    return n
