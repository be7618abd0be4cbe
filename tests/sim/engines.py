"""Run one plant through the kernel and the SimPy reference and say where they first differ."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np

import sim.plantfile
from sim import kernel
from sim.compile import Compiled, compile_plant
from sim.reference import Reference
from sim.state import EVENTS, KINDS, NOW, Array
from tests.sim.random_plants import random_plant

Event = tuple[int, int, int]
SEED = 7
BUNDLED = sorted(path.stem for path in Path(sim.plantfile.__file__).parent.joinpath("plants").glob("*.yaml"))
AROUND = 3
"""Events shown before and after the first differing one."""


@cache
def compiled_random(seed: int) -> Compiled:
    """The compiled random plant of a seed."""
    return compile_plant(random_plant(seed))


@cache
def compiled_bundled(name: str) -> Compiled:
    """A compiled bundled plant."""
    return compile_plant(sim.plantfile.load(name))


def horizon(compiled: Compiled, events: int) -> int:
    """A tick before which replica 0 has at least that many events (or 2^40 where it never has)."""
    until = 64
    while until < 1 << 40:
        rows = kernel.new_rows(compiled, SEED, 1)
        kernel.run(rows, compiled, until)
        if rows[0, EVENTS] >= events:
            break
        until *= 2
    return until


def kernel_events(row: Array, compiled: Compiled, until: int) -> list[Event]:
    """Advance a row in place; its events."""
    return [(int(t), int(slot), int(kind)) for t, slot, kind in kernel.trace(row, compiled, until)]


def event_difference(compiled: Compiled, found: Sequence[Event], expected: Sequence[Event]) -> str:
    """Where two traces first differ, with both neighbourhoods in words; empty when they are equal."""
    if list(found) == list(expected):
        return ""
    pairs = zip(found, expected, strict=False)
    at = next((i for i, (one, other) in enumerate(pairs) if one != other), min(len(found), len(expected)))
    lines = [f"plant {compiled.plant.id}: event {at} differs (kernel has {len(found)}, reference {len(expected)})"]
    for name, events in (("kernel", found), ("reference", expected)):
        lines.append(f"{name}:")
        for i in range(max(at - AROUND, 0), min(at + AROUND + 1, len(events))):
            tick, slot, kind = events[i]
            mark, owner = ">" if i == at else " ", compiled.slots[slot][1]
            lines.append(f"  {mark} {i}: tick {tick} {KINDS[kind]} {owner} (slot {slot})")
    return "\n".join(lines)


def row_difference(compiled: Compiled, found: Array, expected: Array) -> str:
    """The fields in which two rows differ, by name; empty when they are equal."""
    where = np.flatnonzero(found != expected)
    named = [f"  {compiled.layout.name_at(int(i))}: kernel {found[i]}, reference {expected[i]}" for i in where[:20]]
    header = f"plant {compiled.plant.id}: {len(where)} numbers of the row differ at tick {expected[NOW]}"
    return "\n".join([header, *named]) if len(where) else ""


def assert_same_from(model: Reference, row: Array, compiled: Compiled, until: int) -> int:
    """Both engines go on to `until` (the row in place); all must be equal. Returns the number of events."""
    before = len(model.trace)
    begin = row_difference(compiled, row, model.to_row())
    assert not begin, begin
    model.run(until)
    difference = event_difference(compiled, kernel_events(row, compiled, until), model.trace[before:])
    assert not difference, difference
    final = row_difference(compiled, row, model.to_row())
    assert not final, final
    return len(model.trace) - before


def overflows(compiled: Compiled, until: int, replica: int = 0) -> bool:
    """Does the kernel stop with an error before `until`?"""
    rows = kernel.new_rows(compiled, SEED, 1, replica)
    try:
        kernel.run(rows, compiled, until)
    except kernel.KernelError:
        return True
    return False


def middle(compiled: Compiled, until: int, choice: int, replica: int = 0) -> Array:
    """The kernel's row at some tick before `until`: often the very tick of an event, or the one after it."""
    events = kernel_events(kernel.new_rows(compiled, SEED, 1, replica)[0], compiled, until)
    tick = (events[choice % len(events)][0] + choice % 2) if events else until // 2
    rows = kernel.new_rows(compiled, SEED, 1, replica)
    kernel.run(rows, compiled, tick)
    row: Array = rows[0]
    return row
