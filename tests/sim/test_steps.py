"""Running from decision to decision: the same rows as one run, and a decision after every tick with an event."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim import kernel
from sim.batch import Prices, Turn, kinds_of, play
from sim.compile import Compiled, compile_plant
from sim.engine import play as play_any
from sim.reference import Reference
from sim.state import ERROR, EVERY_KIND, K_DEMAND, K_WORK_END, KINDS, NOW, Array
from tests.sim.engines import BUNDLED, SEED, compiled_bundled, horizon, row_difference
from tests.sim.random_plants import plants

MOST = 2_000
"""Decisions in a test's run, at most."""


def stepped(compiled: Compiled, rows: Array, last: int, kinds: int, longest: int) -> list[list[int]]:
    """Rows taken from decision to decision through tick `last`; the ticks at which each stood."""
    ticks: list[list[int]] = [[] for _ in rows]
    for _ in range(MOST):
        before = rows[:, NOW].copy()
        going = before < last
        play(rows, compiled, Turn(np.minimum(before + longest, last), kinds))
        assert (rows[going, NOW] > before[going]).all(), "a step takes at least a tick"
        for i in np.flatnonzero(going):
            ticks[i].append(int(rows[i, NOW]))
        if not (rows[:, NOW] < last).any():
            return ticks
    raise AssertionError(f"{compiled.plant.id}: more than {MOST} decisions before tick {last}")


def decided(events: Array, last: int, kinds: int, longest: int) -> list[int]:
    """Where decisions must fall, from the events of one run, int64[n, 3] of (tick, slot, kind)."""
    wanted = sorted({int(t) for t, _, kind in events if kinds >> kind & 1 and t > 0})
    found, now = [], 0
    while now < last:
        following = next((t for t in wanted if t > now), last + 1)
        now = min(following, now + longest, last)
        found.append(now)
    return found


@pytest.mark.parametrize("name", BUNDLED)
@pytest.mark.parametrize("kinds", [EVERY_KIND, 1 << K_WORK_END | 1 << K_DEMAND], ids=["every kind", "two kinds"])
def test_from_decision_to_decision_is_one_run(name: str, kinds: int) -> None:
    compiled = compiled_bundled(name)
    last = horizon(compiled, 150)
    longest = max(last // 20, 1)
    rows = kernel.new_rows(compiled, SEED, 3)
    whole = rows.copy()
    ticks = stepped(compiled, rows, last, kinds, longest)
    events = [kernel.trace(row, compiled, last + 1) for row in whole.copy()]
    assert ticks == [decided(one, last, kinds, longest) for one in events]
    kernel.run(whole, compiled, last + 1)
    kernel.run(rows, compiled, last + 1)
    np.testing.assert_array_equal(rows, whole)


@settings(max_examples=25, deadline=None)
@given(plants(), st.integers(1, 40), st.sampled_from([EVERY_KIND, 1 << K_WORK_END, 1 << K_DEMAND | 1]))
def test_on_random_plants_too(plant: object, longest: int, kinds: int) -> None:
    compiled = compile_plant(plant)  # type: ignore[arg-type]
    rows = kernel.new_rows(compiled, SEED, 2)
    whole, last = rows.copy(), 240
    try:
        kernel.run(whole, compiled, last + 1)
    except kernel.KernelError:
        return  # a plant that stops: its rows stop where they stop
    events = [kernel.trace(row, compiled, last + 1) for row in rows.copy()]
    assert stepped(compiled, rows, last, kinds, longest) == [decided(one, last, kinds, longest) for one in events]
    kernel.run(rows, compiled, last + 1)
    np.testing.assert_array_equal(rows, whole)


@settings(max_examples=25, deadline=None)
@given(plants(), st.integers(0, 3))
def test_the_reference_decides_at_the_same_ticks(plant: object, replica: int) -> None:
    compiled = compile_plant(plant)  # type: ignore[arg-type]
    chooser = np.random.Generator(np.random.PCG64(replica))
    row = kernel.new_rows(compiled, SEED, 1, replica)
    model = Reference(compiled, SEED, replica)
    values = kernel.get_controls(row, compiled)[0]
    for _ in range(12):
        kinds = int(chooser.choice([EVERY_KIND, 1 << K_WORK_END, 1 << K_DEMAND]))
        last = int(row[0, NOW]) + int(chooser.integers(0, 30))
        for c, control in enumerate(compiled.plant.controls):
            values[c] = chooser.integers(control.low, control.high + 1)
        try:
            kernel.set_controls(row, compiled, values)
            play(row, compiled, Turn(last, kinds))
        except kernel.KernelError:
            assert row[0, ERROR]
            return
        model.set_controls(values.tolist())
        model.step(last, kinds)
        assert not row_difference(compiled, row[0], model.to_row())


@settings(max_examples=25, deadline=None)
@given(plants(), st.lists(st.integers(1, 60), min_size=1, max_size=4))
def test_setpoints_that_stand_already_change_nothing(plant: object, gaps: list[int]) -> None:
    """A turn with them is the turn without: the rows in which one moves are steered, and no others."""
    compiled = compile_plant(plant)  # type: ignore[arg-type]
    rows = kernel.new_rows(compiled, SEED, 3)
    try:
        for gap in gaps:
            values = kernel.get_controls(rows, compiled).copy()
            for c, control in enumerate(compiled.plant.controls):
                values[1, c] = control.high
            moved = rows[1:2].copy()
            plain = rows[::2].copy()
            until = rows[:, NOW] + gap
            play(rows, compiled, Turn(until, EVERY_KIND, values))
            play(plain, compiled, Turn(until[::2].copy(), EVERY_KIND))
            np.testing.assert_array_equal(rows[::2], plain)
            if (values[1] != kernel.get_controls(moved, compiled)[0]).any():
                kernel.set_controls(moved, compiled, values[1:2])
            play(moved, compiled, Turn(until[1:2], EVERY_KIND))
            np.testing.assert_array_equal(rows[1:2], moved)
    except kernel.KernelError:
        return  # it stops; what then stands in it is not compared


@pytest.mark.parametrize("name", BUNDLED)
def test_on_bundled_plants_setting_what_stands_already_is_no_event(name: str) -> None:
    """So no figure of theirs depends on whether all rows of a batch are steered or those in which something moves."""
    compiled = compiled_bundled(name)
    chooser = np.random.Generator(np.random.PCG64(3))
    rows = kernel.new_rows(compiled, SEED, 4)
    gap = max(horizon(compiled, 150) // 12, 1)
    for _ in range(12):
        values = kernel.get_controls(rows, compiled).copy()
        for c, control in enumerate(compiled.plant.controls):
            values[::2, c] = chooser.integers(control.low, control.high + 1)
        plain = rows.copy()
        kernel.set_controls(plain, compiled, values)
        until = rows[:, NOW] + chooser.integers(1, gap + 1, size=4)
        kernel.run(plain, compiled, until)
        play(rows, compiled, Turn(until, 0, values))
        np.testing.assert_array_equal(rows, plain)


def test_steering_in_a_turn_is_steering_before_it() -> None:
    compiled = compiled_bundled("gearmotor")
    rows = kernel.new_rows(compiled, SEED, 9)
    kernel.run(rows, compiled, 400_000_000)
    held = rows.copy()
    kernel.set_controls(held, compiled, kernel.get_controls(held, compiled))
    np.testing.assert_array_equal(held, rows)
    values = kernel.get_controls(rows, compiled).copy()
    values[::2, 0] -= 20
    values[3, 4] += 10
    positions, weights = np.array([5, 900, 17, 3000]), np.array([0.1, 3.0, 1 / 3, -2.0])
    for threads, kinds in ((1, 0), (2, 0), (1, EVERY_KIND), (3, EVERY_KIND)):
        ours, plain = rows.copy(), rows.copy()
        until = ours[:, NOW] + np.arange(9) * 100_000
        seen, money = np.full((9, 2), np.nan, dtype=np.float32), np.full((9, 2), np.nan)
        look = kernel.Observation(positions[:2], weights[:2], seen)
        play(
            ours,
            compiled,
            Turn(until, kinds, values, look, Prices(positions, weights, np.array([3, 4]), money), threads),
        )
        kernel.set_controls(plain, compiled, values)
        play(plain, compiled, Turn(until, kinds))
        np.testing.assert_array_equal(ours, plain)
        expected, sums = np.empty_like(seen), np.empty(9)
        kernel.gather_rows(plain, positions[:2], weights[:2], expected)
        np.testing.assert_array_equal(seen, expected)
        kernel.linear_rows(plain, positions[:3], weights[:3], sums)
        np.testing.assert_array_equal(money[:, 0], sums)
        np.testing.assert_array_equal(money[:, 1], plain[:, 3000] * -2.0)
    assert len(np.unique(ours[:, NOW])) > 5


def test_all_events_of_a_tick_come_before_the_decision() -> None:
    compiled = compiled_bundled("ft06")  # whole minutes: many events fall on one tick
    rows = kernel.new_rows(compiled, SEED, 1)
    events = kernel.trace(rows[0].copy(), compiled, 1 << 40)
    assert len(np.unique(events[:, 0])) < len(events)
    ticks = stepped(compiled, rows, int(events[-1, 0]), EVERY_KIND, 1 << 40)[0]
    assert ticks == sorted({int(t) for t in events[:, 0] if t > 0})


def test_a_tick_that_has_begun_is_ended_and_asks_for_no_second_decision() -> None:
    compiled = compiled_bundled("ft06")
    rows = kernel.new_rows(compiled, SEED, 1)
    events = kernel.trace(rows[0].copy(), compiled, 1 << 40)
    first, second = np.unique(events[:, 0])[:2].tolist()
    kernel.run(rows, compiled, first)  # stands at the tick, its events are still to come
    again = rows.copy()
    play(rows, compiled, Turn(1 << 40, EVERY_KIND))
    assert rows[0, NOW] == second
    play(again, compiled, Turn(first, EVERY_KIND))
    assert again[0, NOW] == first
    assert again[0, 4] == np.count_nonzero(events[:, 0] <= first)


def test_the_simpy_engine_takes_the_same_turns() -> None:
    """A plant with rules of its own goes through the model; rules that change nothing must give the kernel's rows."""
    from dataclasses import replace
    from pathlib import Path

    from sim.ownrules import Loaded

    compiled = compiled_bundled("line3")
    own = replace(compiled, own=Loaded(Reference, Path(__file__), "0" * 64))
    rows = kernel.new_rows(compiled, SEED, 2)
    theirs = rows.copy()
    for values in (3, 7, 5, 5):
        outcome = []
        for plant, at in ((compiled, rows), (own, theirs)):
            money = np.full((2, 1), np.nan)
            price = Prices(np.array([0, 4]), np.array([0.5, 0.25]), np.array([2]), money)
            play_any(at, plant, Turn(at[:, NOW] + 10_000_000, EVERY_KIND, np.array([values]), None, price))
            outcome.append(money)
        np.testing.assert_array_equal(rows, theirs)
        np.testing.assert_array_equal(outcome[0], outcome[1])


def test_kinds_are_named_and_unknown_ones_refused() -> None:
    assert kinds_of() == EVERY_KIND
    assert kinds_of(("work_end", "demand")) == 1 << K_WORK_END | 1 << KINDS.index("demand")
    assert kinds_of(("own",)) == 1 << len(KINDS)
    for wrong in (("lunch",), ()):
        with pytest.raises(ValueError, match="expected some of work_end, failure"):
            kinds_of(wrong)


def test_time_never_runs_backwards_and_shapes_are_told() -> None:
    compiled = compiled_bundled("line3")
    rows = kernel.new_rows(compiled, SEED, 2)
    play(rows, compiled, Turn(1000, EVERY_KIND))
    with pytest.raises(ValueError, match="stands at tick"):
        play(rows, compiled, Turn(int(rows[:, NOW].max()) - 1, EVERY_KIND))
    look = kernel.Observation(np.array([0]), np.ones(1), np.empty((3, 1), dtype=np.float32))
    with pytest.raises(ValueError, match=r"observations: expected shape \(2, 1\), found \(3, 1\)"):
        play(rows, compiled, Turn(1 << 30, observe=look))
