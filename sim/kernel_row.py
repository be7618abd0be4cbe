"""Running one row, as a thread of a device does: `sim.kernel.drive` without what a batch on a processor needs."""

from __future__ import annotations

from sim import state as st
from sim.jit import rule
from sim.kernel import asks, flush, next_slot, note
from sim.rules_event import fire
from sim.state import ERROR, NOW, Array


@rule
def run_row(row: Array, p: Array, until: int) -> None:
    """Execute the events with t < until; then the clock stands at `until`."""
    while row[ERROR] == 0:
        slot = next_slot(row, p)
        if row[p[st.AT_SLOTS] + slot] >= until:
            break
        fire(row, p, slot)
    if row[ERROR] == 0:
        row[NOW] = until
    flush(row, p)


@rule
def step_row(row: Array, p: Array, last: int, kinds: int) -> None:
    """Execute all events up to that of the first tick, later than now, with an event of `kinds`, or up to tick `last`;
    the clock stands there.
    """
    began = row[NOW]
    end = last + 1
    while row[ERROR] == 0:
        slot = next_slot(row, p)
        if row[p[st.AT_SLOTS] + slot] >= end:
            break
        fire(row, p, slot)
        if row[NOW] > began and asks(p, slot, kinds):
            end = row[NOW] + 1
    if row[ERROR] == 0:
        row[NOW] = end - 1
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
