"""Run one plant through the kernel and the SimPy reference and say where they first differ."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np

import sim.plantfile
from sim import kernel
from sim.compile import Compiled, compile_plant
from sim.reference import Reference
from sim.state import ERROR, ERRORS, EVENTS, FIELDS, KINDS, NOW, Array, State
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
        n = kernel.drive(row[None], compiled.params, kernel.TRACE, end, none, none[None], out)
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
            for of in ("stations", "products", "stocks", "demands", "crews", "pools", "calendars", "groups", "suppliers")
        },
    }
    if of not in things:
        return name
    return f"{name} ({things[of][int(place.rstrip(']').split(',')[0])]})"


def advance(model: Reference, until: int) -> bool:
    """Run the reference; whether it got to `until` without an error."""
    try:
        model.run(until)
    except OverflowError:
        return False
    return True


def assert_same_from(model: Reference, row: Array, compiled: Compiled, until: int) -> int:
    """Both engines go on to `until` (the row in place); all must be equal, and if one stops with an error, the other
    must stop at the same event. Returns the number of events.
    """
    before = len(model.trace)
    begin = row_difference(compiled, row, model.to_row())
    assert not begin, begin
    whole = advance(model, until)
    found, expected = kernel_events(row, compiled, until), model.trace[before:]
    difference = event_difference(compiled, found, expected)
    assert not difference, difference
    error = int(row[ERROR])
    assert whole == (error == 0), f"plant {compiled.plant.id}: kernel's error {ERRORS.get(error)}, reference's: {not whole}"
    if whole:
        final = row_difference(compiled, row, model.to_row())
        assert not final, final
    return len(expected)


def overflows(compiled: Compiled, until: int, replica: int = 0) -> bool:
    """Does the kernel stop with an error before `until`?"""
    rows = kernel.new_rows(compiled, SEED, 1, replica)
    kernel_events(rows[0], compiled, until)
    return bool(rows[0, ERROR])


def middle(compiled: Compiled, until: int, choice: int, replica: int = 0) -> Array:
    """The kernel's row at some tick before `until`: often the very tick of an event, or the one after it."""
    first = kernel.new_rows(compiled, SEED, 1, replica)[0]
    events = kernel_events(first, compiled, until)
    if first[ERROR]:
        events = events[: len(events) // 2]
    tick = (events[choice % len(events)][0] + choice % 2) if events else until // 2
    rows = kernel.new_rows(compiled, SEED, 1, replica)
    kernel.run(rows, compiled, tick)
    row: Array = rows[0]
    return row


def set_random_controls(compiled: Compiled, row: Array, model: Reference, chooser: random.Random) -> None:
    """Set all controls in both engines, often to the ends of their ranges."""
    values = [
        chooser.choice((c.low, c.high, chooser.randint(c.low, c.high))) for c in compiled.plant.controls
    ]  # fmt: skip
    model.set_controls(values)
    kernel.set_controls(row[None], compiled, np.array(values, dtype=np.int64))


SCALES = ("work_scale", "fail_scale", "repair_scale", "arrival_scale", "demand_scale", "lead_scale")


def change_scales(compiled: Compiled, row: Array, chooser: random.Random) -> None:
    """Other factors on times, as a posterior draws them, and statistics begun anew, both written into the row."""
    kernel.clear_stats(row[None], compiled)
    for name in SCALES:
        scale = getattr(State(row, compiled.layout), name)
        scale[...] = [chooser.choice((30_000, 65_536, 100_000)) for _ in scale]


def check_all_ways(compiled: Compiled, until: int, replica: int) -> int:
    """From empty; from a random moment; after a control change there; and from a moment with other scales and new
    statistics. Returns the number of events compared.
    """
    chooser = random.Random(replica)
    row = kernel.new_rows(compiled, SEED, 1, replica)[0]
    count = assert_same_from(Reference(compiled, SEED, replica), row, compiled, until)
    row = middle(compiled, until, replica * 31 + 5, replica)
    count += assert_same_from(Reference.from_row(compiled, row), row, compiled, until)
    row = middle(compiled, until, replica * 17 + 2, replica)
    model = Reference.from_row(compiled, row)
    set_random_controls(compiled, row, model, chooser)
    count += assert_same_from(model, row, compiled, until)
    row = middle(compiled, until, replica * 13 + 4, replica)
    change_scales(compiled, row, chooser)
    return count + assert_same_from(Reference.from_row(compiled, row), row, compiled, until)
