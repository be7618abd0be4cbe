"""The kernel and the SimPy reference do the same things at the same ticks in the same order, from any moment."""

from __future__ import annotations

import random
from itertools import combinations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sim import kernel
from sim.compile import Compiled, compile_plant
from sim.plant import Plant
from sim.reference import Reference
from sim.state import ERROR, EVENTS, INFINITY, KINDS, NOW, State
from tests.sim import equality, happenings, plant_design
from tests.sim.engines import (
    BUNDLED,
    SEED,
    advance,
    assert_same_from,
    compiled_bundled,
    compiled_random,
    event_difference,
    field_name,
    horizon,
    kernel_events,
    overflows,
    row_difference,
)
from tests.sim.plant_features import features_of, pairs_of
from tests.sim.random_plants import plants, random_plant
from tests.sim.ways import check_all_ways, ways

RANDOM = range(120)
"""Seeds of the plants compared here; `make equality` compares those of `equality.SEEDS`."""
UNTIL = 400


@pytest.mark.parametrize("seed", RANDOM)
def test_random_plant(seed: int) -> None:
    check_all_ways(compiled_random(seed), UNTIL, seed)


@pytest.mark.parametrize("name", BUNDLED)
def test_bundled_plant(name: str) -> None:
    compiled = compiled_bundled(name)
    until = horizon(compiled, 1500)
    runs_dry = until == 1 << 40  # a job shop whose last job is done
    assert check_all_ways(compiled, until, 3) > (60 if runs_dry else 1500)


@given(plants(), st.integers(0, 1000))
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_plant(plant: Plant, replica: int) -> None:
    check_all_ways(compile_plant(plant), 200, replica)


# --- the plants are worth comparing


def test_every_feature_is_in_some_plant() -> None:
    found: set[str] = set()
    for seed in RANDOM:
        found |= features_of(random_plant(seed))
    assert found == set(plant_design.ALL)


def test_every_pair_of_features_is_in_some_plant_of_the_thousand() -> None:
    """Pairs of a station's features at one station, all others in one plant; those that the rules exclude in none."""
    stations = set(plant_design.OF_STATION)
    wanted = {
        frozenset(pair)
        for pair in combinations(plant_design.ALL, 2)
        if not plant_design.excluded(*pair, station=stations.issuperset(pair))
    }
    found = set().union(*(pairs_of(random_plant(seed)) for seed in equality.SEEDS))
    assert [sorted(pair) for pair in wanted - found] == []
    assert [sorted(pair) for pair in found - wanted] == []


def test_everything_happens_in_some_plant() -> None:
    """The comparison above is worth something only if what it compares happens."""
    met: set[str] = set()
    for seed in RANDOM:
        compiled = compiled_random(seed)
        row = kernel.new_rows(compiled, SEED, 1, seed)[0]
        for tick in range(10, UNTIL, 10):
            events = kernel_events(row, compiled, tick)
            met |= {f"event {KINDS[kind]}" for _, _, kind in events}
            met |= {"ties"} if len({tick for tick, _, _ in events}) < len(events) else set()
            met |= happenings.happened(State(row, compiled.layout), compiled)
            if row[ERROR]:
                met.add("overflow")
                break
    assert met == {*happenings.ALL, *(f"event {kind}" for kind in KINDS), "ties", "overflow"}


# --- the comparison itself


def test_both_engines_stop_at_the_same_overflow() -> None:
    seed = next(seed for seed in RANDOM if overflows(compiled_random(seed), UNTIL, seed))
    compiled = compiled_random(seed)
    rows = kernel.new_rows(compiled, SEED, 1, seed)
    with pytest.raises(kernel.KernelError, match=r"parts in the system|orders in transit"):
        kernel.run(rows, compiled, UNTIL)
    model = Reference(compiled, SEED, seed)
    with pytest.raises(OverflowError, match=r"parts in the system|orders in transit"):
        model.run(UNTIL)
    assert (model.now, len(model.trace)) == (rows[0, NOW], rows[0, EVENTS])


def first_with(what: str) -> Compiled:
    """A random plant that has some of `what` (an attribute of a plant) and stays small."""
    return compiled_random(next(s for s in RANDOM if getattr(random_plant(s), what)))


def test_calendar_repeats_beyond_its_table() -> None:
    """Fifty-four weeks of changes are explicit; later ones repeat the last week."""
    compiled = first_with("calendars")
    late = kernel.new_rows(compiled, SEED, 1)
    state = State(late[0], compiled.layout)
    week = round(7 * 86400 / compiled.plant.tick_s)
    for slot, (kind, _) in enumerate(compiled.slots):
        if kind != "calendar":
            state.next_time[slot] = INFINITY
    state.pending, state.cap, state.arrival_left, state.demand_left = 0, 0, -1, -1
    for p in range(len(compiled.plant.products)):  # nothing moves but the calendars
        state.base_stock[p] = -1
    model = Reference.from_row(compiled, late[0])
    assert assert_same_from(model, late[0], compiled, 56 * week) > 54


def test_controls_are_counted() -> None:
    compiled = first_with("controls")
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
    other[compiled.layout.at("q_len", 1)] += 1
    shown = row_difference(compiled, other, row)
    assert f"q_len[1] (st1): kernel {row[compiled.layout.at('q_len', 1)] + 1}, reference" in shown


def test_every_position_of_a_row_has_a_name() -> None:
    compiled = compiled_random(5)
    names = [field_name(compiled, position) for position in range(compiled.layout.width)]
    assert len(set(names)) == len(names)
    assert f"next_time[0] ({' '.join(compiled.slots[0])})" in names


def test_the_comparison_finds_where_engines_part() -> None:
    """An engine that loses a tick in the middle is caught, at the tick where it does."""
    compiled = compiled_random(3)
    at = random.Random(1).randrange(100, 200)

    def wrong(row: np.ndarray, compiled: Compiled, until: int) -> list[tuple[int, int, int]]:
        passed = row[NOW] <= at < until
        events = kernel_events(row, compiled, until)
        if passed:
            row[compiled.layout.at("st_ticks", 0, 1)] += 1
        return events

    with pytest.raises(AssertionError, match="from empty, replica 3") as caught:
        check_all_ways(compiled, 300, 3, wrong)
    assert "st_ticks[0, 1] (st0)" in str(caught.value)
    parted = int(str(caught.value).split("they part by tick ")[1].split(":")[0])
    model, row = ways(compiled, 300, 3)["from empty"]()
    assert advance(model, parted - 1)
    assert not row_difference(compiled, _run(row, compiled, parted - 1), model.to_row())
    assert parted > at


def _run(row: np.ndarray, compiled: Compiled, until: int) -> np.ndarray:
    kernel_events(row, compiled, until)
    return row


def test_a_range_of_seeds_is_compared_and_summed_up(capsys: pytest.CaptureFixture[str]) -> None:
    assert equality.main(["--seeds", "0:2", "--until", "60", "--processes", "1", "--quiet"]) == 0
    assert "2 plants" in capsys.readouterr().out
