"""The ways in which two engines are compared on a plant, and where exactly they part if they do."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np

from sim import kernel
from sim.compile import Compiled
from sim.reference import Reference
from sim.state import ERROR, NOW, Array, State
from tests.sim.engines import (
    SEED,
    Advance,
    advance,
    assert_same_from,
    event_difference,
    kernel_events,
    row_difference,
)

Begin = Callable[[], tuple[Reference, Array]]
"""Makes a reference model and a kernel row in the same state."""
SCALES = ("work_scale", "fail_scale", "repair_scale", "arrival_scale", "demand_scale", "lead_scale")


def middle(compiled: Compiled, until: int, choice: int, replica: int = 0) -> Array:
    """The kernel's row at some tick before `until` (and before it stops with an error): often the very tick of an
    event, or the one after it.
    """
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
    values = [chooser.choice((c.low, c.high, chooser.randint(c.low, c.high))) for c in compiled.plant.controls]
    model.set_controls(values)
    kernel.set_controls(row[None], compiled, np.array(values, dtype=np.int64))


def set_extremes(compiled: Compiled, row: Array, model: Reference, place: int) -> None:
    """Set every control in both engines to the lower (0) or upper (1) end of its range."""
    values = [(control.low, control.high)[place] for control in compiled.plant.controls]
    model.set_controls(values)
    kernel.set_controls(row[None], compiled, np.array(values, dtype=np.int64))


def change_scales(compiled: Compiled, row: Array, chooser: random.Random) -> None:
    """Other factors on times, as a posterior draws them, and statistics begun anew, both written into the row."""
    kernel.clear_stats(row[None], compiled)
    for name in SCALES:
        scale = getattr(State(row, compiled.layout), name)
        scale[...] = [chooser.choice((30_000, 65_536, 100_000)) for _ in scale]


def ways(compiled: Compiled, until: int, replica: int, extremes: bool = False) -> dict[str, Begin]:
    """From empty; from a random moment; after a control change at one; from one with other scales and statistics.

    With `extremes` in place of the random moment and change: at one moment all controls at their lower ends, at
    another all at their upper ones.
    """

    def empty() -> tuple[Reference, Array]:
        return Reference(compiled, SEED, replica), kernel.new_rows(compiled, SEED, 1, replica)[0]

    def from_middle() -> tuple[Reference, Array]:
        row = middle(compiled, until, replica * 31 + 5, replica)
        return Reference.from_row(compiled, row), row

    def steered() -> tuple[Reference, Array]:
        row = middle(compiled, until, replica * 17 + 2, replica)
        model = Reference.from_row(compiled, row)
        set_random_controls(compiled, row, model, random.Random(replica))
        return model, row

    def at_end(place: int) -> tuple[Reference, Array]:
        row = middle(compiled, until // 2, 31 * place + 5, replica)
        model = Reference.from_row(compiled, row)
        set_extremes(compiled, row, model, place)
        return model, row

    def rescaled() -> tuple[Reference, Array]:
        row = middle(compiled, until, replica * 13 + 4, replica)
        change_scales(compiled, row, random.Random(replica))
        return Reference.from_row(compiled, row), row

    if extremes:
        return {
            "from empty": empty,
            "all controls low": lambda: at_end(0),
            "all controls high": lambda: at_end(1),
            "with other scales": rescaled,
        }
    return {
        "from empty": empty,
        "from a random moment": from_middle,
        "after a control change": steered,
        "with other scales": rescaled,
    }


def check_all_ways(
    compiled: Compiled, until: int, replica: int, advance_row: Advance = kernel_events, extremes: bool = False
) -> int:
    """Compare in all ways; the number of events compared. Raises AssertionError that says where the engines part."""
    count = 0
    for name, begin in ways(compiled, until, replica, extremes).items():
        try:
            count += assert_same_from(*begin(), compiled, until, advance_row)
        except AssertionError as error:
            where = parting(compiled, begin, until, advance_row)
            raise AssertionError(f"{name}, replica {replica}: {error}\n{where}") from None
    return count


def parting(compiled: Compiled, begin: Begin, until: int, advance_row: Advance = kernel_events) -> str:
    """The first tick by whose end the engines differ, and in what: often well before the first differing event."""
    model, row = begin()
    before, first = len(model.trace), int(row[NOW])
    advance(model, until)
    ticks = {tick + 1 for tick, _, _ in (*advance_row(row, compiled, until), *model.trace[before:])}
    stops = [first, *sorted(tick for tick in ticks if first < tick < until), until]
    low, high = 0, len(stops) - 1
    while low < high:
        place = (low + high) // 2
        if _difference(compiled, begin, stops[place], advance_row):
            high = place
        else:
            low = place + 1
    return f"they part by tick {stops[low]}:\n{_difference(compiled, begin, stops[low], advance_row)}"


def _difference(compiled: Compiled, begin: Begin, until: int, advance_row: Advance) -> str:
    model, row = begin()
    if until <= row[NOW]:
        return row_difference(compiled, row, model.to_row())
    before = len(model.trace)
    whole = advance(model, until)
    events = event_difference(compiled, advance_row(row, compiled, until), model.trace[before:])
    return events or (row_difference(compiled, row, model.to_row()) if whole else "")
