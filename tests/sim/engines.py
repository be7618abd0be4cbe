"""Run one plant through the kernel and the SimPy reference and say where they first differ."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np

import sim.plantfile
from sim import kernel
from sim.compile import Compiled, compile_plant
from sim.reference import Reference
from sim.state import ERROR, ERRORS, EVENTS, FIELDS, KINDS, NOW, Array
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
    """Advance a row in place; its events, also of a row that stops with an error."""
    found: list[Event] = []
    out = np.empty((4096, 3), dtype=np.int64)
    none, end = np.zeros(0, dtype=np.int64), np.array([until], dtype=np.int64)
    while True:
        n = kernel.drive(row[None], compiled.params, kernel.TRACE, end, none, none[None], out, *kernel.NOT_SEEN)
        found += [(int(t), int(slot), int(kind)) for t, slot, kind in out[:n]]
        if n < len(out):
            return found


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
    """The fields in which two rows differ, by name and thing; empty when they are equal."""
    where = [int(i) for i in np.flatnonzero(found != expected)]
    named = [f"  {field_name(compiled, i)}: kernel {found[i]}, reference {expected[i]}" for i in where[:20]]
    named += [f"  and {len(where) - 20} more"] if len(where) > 20 else []
    header = f"plant {compiled.plant.id}: {len(where)} numbers of the row differ at tick {expected[NOW]}"
    return "\n".join([header, *named]) if where else ""


def field_name(compiled: Compiled, position: int) -> str:
    """A position in the row in words: `unit_left[2] (st1/1)`."""
    name = compiled.layout.name_at(position)
    record, _, place = name.partition("[")
    of = next((f.of for f in FIELDS if f.name == record), "")
    plant = compiled.plant
    things: dict[str, Sequence[object]] = {
        "slots": [" ".join(slot) for slot in compiled.slots],
        "units": [f"{s}/{u}" for s, u in compiled.units],
        "clocks": [f"{s}/{u} {mode}" for s, u, mode in compiled.clocks],
        "lanes": ["/".join(lane) for lane in compiled.lanes],
        "doors": [" ".join(plant.stations[s].id for s in door) for door in compiled.doors],
        "entities": [*(s.id for s in plant.stations), *(p.id for p in plant.products)],
        **{
            of: [thing.id for thing in getattr(plant, of)]
            for of in (
                *("stations", "products", "stocks", "demands", "crews", "pools", "calendars", "groups", "suppliers"),
            )
        },
    }
    if of not in things:
        return name
    number = int(place.rstrip("]").split(",")[0])
    return f"{name} ({things[of][number]})" if number < len(things[of]) else f"{name} (no slot: fills the block up)"


def advance(model: Reference, until: int) -> bool:
    """Run the reference; whether it got to `until` without an error."""
    try:
        model.run(until)
    except OverflowError:
        return False
    return True


Advance = Callable[[Array, Compiled, int], list[Event]]
"""Advances a row in place to a tick and returns its events: `kernel_events` or `device_events`."""


def device_events(row: Array, compiled: Compiled, until: int) -> list[Event]:
    """As `kernel_events`, by the CUDA kernel on a device or in numba's simulator of one."""
    from sim.cuda import trace_device

    try:
        rows, (trace,) = trace_device(row[None], compiled, until, 16384)
    except kernel.KernelError:  # it says so, and keeps the row: events up to the error from the same rules, then
        return kernel_events(row, compiled, until)
    row[:] = rows[0]
    return [(int(t), int(slot), int(kind)) for t, slot, kind in trace]


def assert_same_from(
    model: Reference, row: Array, compiled: Compiled, until: int, advance_row: Advance = kernel_events
) -> int:
    """Both engines go on to `until` (the row in place); all must be equal, and if one stops with an error, the other
    must stop at the same event. Returns the number of events.
    """
    before = len(model.trace)
    begin = row_difference(compiled, row, model.to_row())
    assert not begin, begin
    whole = advance(model, until)
    found, expected = advance_row(row, compiled, until), model.trace[before:]
    difference = event_difference(compiled, found, expected)
    assert not difference, difference
    error = int(row[ERROR])
    errors = f"plant {compiled.plant.id}: error of the kernel {ERRORS.get(error)}, of the reference {not whole}"
    assert whole == (error == 0), errors
    if whole:
        final = row_difference(compiled, row, model.to_row())
        assert not final, final
    return len(expected)


def overflows(compiled: Compiled, until: int, replica: int = 0) -> bool:
    """Does the kernel stop with an error before `until`?"""
    rows = kernel.new_rows(compiled, SEED, 1, replica)
    kernel_events(rows[0], compiled, until)
    return bool(rows[0, ERROR])
