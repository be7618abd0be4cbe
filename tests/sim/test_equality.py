"""The kernel and the SimPy reference do the same things at the same ticks in the same order, from any moment."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sim import kernel
from sim.compile import Compiled, compile_plant
from sim.plant import Plant
from sim.reference import Reference
from sim.state import EVENTS, INFINITY, NOW, State
from tests.sim.engines import (
    BUNDLED,
    SEED,
    assert_same_from,
    compiled_bundled,
    compiled_random,
    event_difference,
    horizon,
    middle,
    overflows,
    row_difference,
)
from tests.sim.random_plants import plants

RANDOM = range(120)
UNTIL = 1500


def random_values(compiled: Compiled, seed: int) -> list[int]:
    chooser = random.Random(seed)
    return [chooser.randint(control.low, control.high) for control in compiled.plant.controls]


def skip_overflow(compiled: Compiled, until: int, replica: int) -> None:
    if overflows(compiled, until, replica):
        pytest.skip("this plant overflows; test_both_engines_stop_at_the_same_overflow looks at such ones")


def check_all_ways(compiled: Compiled, until: int, replica: int) -> int:
    """From empty; from a random moment; and after a control change there. Returns the number of events compared."""
    row = kernel.new_rows(compiled, SEED, 1, replica)[0]
    count = assert_same_from(Reference(compiled, SEED, replica), row, compiled, until)
    row = middle(compiled, until, replica * 31 + 5, replica)
    count += assert_same_from(Reference.from_row(compiled, row), row, compiled, until)
    row = middle(compiled, until, replica * 17 + 2, replica)
    model = Reference.from_row(compiled, row)
    values = random_values(compiled, replica)
    model.set_controls(values)
    kernel.set_controls(row[None], compiled, np.array(values, dtype=np.int64))
    return count + assert_same_from(model, row, compiled, until)


@pytest.mark.parametrize("seed", RANDOM)
def test_random_plant(seed: int) -> None:
    compiled = compiled_random(seed)
    skip_overflow(compiled, UNTIL, seed)
    check_all_ways(compiled, UNTIL, seed)


@pytest.mark.parametrize("name", BUNDLED)
def test_bundled_plant(name: str) -> None:
    compiled = compiled_bundled(name)
    assert check_all_ways(compiled, horizon(compiled, 1500), 3) > 1500


@given(plants(), st.integers(0, 1000))
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_plant(plant: Plant, replica: int) -> None:
    compiled = compile_plant(plant)
    if not overflows(compiled, 400, replica):
        check_all_ways(compiled, 400, replica)


def test_random_plants_meet_every_feature() -> None:
    """The comparison above is worth something only if what it compares happens."""
    met: set[str] = set()
    for seed in RANDOM:
        compiled = compiled_random(seed)
        row = kernel.new_rows(compiled, SEED, 1, seed)[0]
        for tick in range(100, UNTIL, 100):
            try:
                events = kernel.trace(row, compiled, tick)
            except kernel.KernelError:
                met.add("overflow")
                break
            met |= {compiled.slots[slot][0] for slot in events[:, 1]}
            met |= features(State(row, compiled.layout))
            ticks = events[:, 0]
            met |= {"ties"} if np.any(ticks[1:] == ticks[:-1]) else set()
    assert met == {
        *("work_end", "failure", "repair_end", "calendar", "delivery", "arrival", "demand", "review"),
        *("overflow", "ties"),
        *("idle", "work", "blocked", "starved", "down", "off", "crew queue", "several blocked", "held", "pending"),
        *("backorders", "orders in transit", "paused arrivals", "paused demands", "scrapped", "shipped later"),
    }


def features(state: State) -> set[str]:
    """What a row shows to have happened."""
    ticks = state.st_ticks.sum(axis=0)
    names = ("idle", "work", "blocked", "starved", "setup", "down", "off")
    met = {name for name, total in zip(names, ticks, strict=True) if total}
    facts = {
        "crew queue": (state.crew_head >= 0).any(),
        "several blocked": any(state.unit_link[head] >= 0 for head in state.blocked_head if head >= 0),
        "held": state.held.any(),
        "pending": state.pending.any(),
        "backorders": state.backorders.any(),
        "orders in transit": ((state.transit_qty > 0).sum(axis=1) > 1).any(),
        "paused arrivals": (state.arrival_left >= 0).any(),
        "paused demands": (state.demand_left >= 0).any(),
        "scrapped": state.scrapped.any(),
        "shipped later": (state.shipped > state.met).any(),
    }
    return met | {name for name, true in facts.items() if true}


def test_both_engines_stop_at_the_same_overflow() -> None:
    seed = next(seed for seed in range(200) if overflows(compiled_random(seed), UNTIL, seed))
    compiled = compiled_random(seed)
    rows = kernel.new_rows(compiled, SEED, 1, seed)
    with pytest.raises(kernel.KernelError, match=r"parts in the system|orders in transit"):
        kernel.run(rows, compiled, UNTIL)
    model = Reference(compiled, SEED, seed)
    with pytest.raises(OverflowError, match=r"parts in the system|orders in transit"):
        model.run(UNTIL)
    assert (model.now, len(model.trace)) == (rows[0, NOW], rows[0, EVENTS])


def test_calendar_repeats_beyond_its_table() -> None:
    """Fifty-four weeks of changes are explicit; later ones repeat the last week."""
    compiled = compiled_random(next(s for s in range(100) if compiled_random(s).plant.calendars))
    late = kernel.new_rows(compiled, SEED, 1)
    state = State(late[0], compiled.layout)
    week = round(7 * 86400 / compiled.plant.tick_s)
    for slot, (kind, _) in enumerate(compiled.slots):
        if kind != "calendar":
            state.next_time[slot] = INFINITY
    state.pending, state.cap = 0, 0  # nothing moves but the calendars
    model = Reference.from_row(compiled, late[0])
    assert assert_same_from(model, late[0], compiled, 56 * week) > 54


def test_controls_are_counted() -> None:
    compiled = compiled_random(next(s for s in range(100) if compiled_random(s).plant.controls))
    model = Reference(compiled, SEED)
    before = model.to_row()
    with pytest.raises(ValueError, match=r"expected \d+ control values .* found 0"):
        model.set_controls([])
    assert not row_difference(compiled, before, model.to_row())


def test_a_difference_is_shown_with_its_neighbours() -> None:
    compiled = compiled_random(3)
    model = Reference(compiled, SEED)
    model.run(200)
    events = model.trace
    swapped = [*events[:7], events[8], events[7], *events[9:]]
    text = event_difference(compiled, swapped, events)
    tick, slot, _ = events[7]
    kind, owner = compiled.slots[slot]
    assert "event 7 differs" in text
    assert f"> 7: tick {tick} {kind} {owner} (slot {slot})" in text.split("reference:")[1]
    row = model.to_row()
    other = row.copy()
    other[compiled.layout.offset["q_len"] + 1] += 1
    assert "q_len[1]" in row_difference(compiled, other, row)
