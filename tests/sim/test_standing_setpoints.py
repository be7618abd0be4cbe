"""Setting setpoints to the values they have wakes everybody, and changes nothing: nobody could act who was not told."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sim import kernel
from sim.batch import Turn, play
from sim.compile import Compiled, compile_plant
from sim.plant import Batch, Order, Plant, Product, Release
from sim.reference import Reference
from sim.state import EVERY_KIND, NOW
from tests.sim.engines import BUNDLED, SEED, compiled_bundled, compiled_random, horizon, row_difference
from tests.sim.random_plants import plants
from tests.sim.small_plants import plant, product, station

FORGOTTEN = (284, 23, 89, 182, 260, 419, 461, 518, 578, 611, 701, 740, 744, 1006, 1151, 1181, 1192)
"""Random plants in which somebody was not told once."""
UNTIL = 400
MOMENTS = 150
"""Moments at which a run is looked at, at most."""


def stands_still(compiled: Compiled, until: int, random: Random, replica: int = 0) -> int:
    """Set the standing setpoints after events and in between, over a run that goes on as if they had not been set;
    nothing may differ in the kernel, and at some moments in the reference. Returns the number of moments.
    """
    rows = kernel.new_rows(compiled, SEED, 1, replica)
    longest = max(until // 50, 1)
    looked = 0
    while rows[0, NOW] < until and looked < MOMENTS:
        try:  # all events of the tick at which it stops have happened
            play(rows, compiled, Turn(np.minimum(rows[:, NOW] + random.randint(1, longest), until), EVERY_KIND))
        except kernel.KernelError:
            break
        steered = rows.copy()
        kernel.set_controls(steered, compiled, kernel.get_controls(steered, compiled))
        difference = row_difference(compiled, steered[0], rows[0])
        assert not difference, f"steered (here called kernel) and left alone (reference): {difference}"
        looked += 1
        if looked % 50 == 0:
            model = Reference.from_row(compiled, rows[0])
            model.set_controls(kernel.get_controls(rows, compiled)[0].tolist())
            difference = row_difference(compiled, rows[0], model.to_row())
            assert not difference, difference
    return looked


@pytest.mark.parametrize("name", BUNDLED)
def test_in_a_bundled_plant(name: str) -> None:
    compiled = compiled_bundled(name)
    assert stands_still(compiled, min(horizon(compiled, 200), 1 << 30), Random(1)) > 50


@pytest.mark.parametrize("seed", sorted({*FORGOTTEN, *range(30)}))
def test_in_a_random_plant(seed: int) -> None:
    assert stands_still(compiled_random(seed), UNTIL, Random(seed)) > 10


@given(plants(), st.integers(0, 1000))
@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
def test_in_any_plant(told: Plant, replica: int) -> None:
    stands_still(compile_plant(told), 200, Random(replica), replica)


def started(compiled: Compiled, tick: int) -> tuple[int, int]:
    """Operations started before a tick, and then with the standing setpoints set at it."""
    rows = kernel.new_rows(compiled, SEED, 1)
    kernel.run(rows, compiled, tick)
    model = Reference.from_row(compiled, rows[0])
    counts = compiled.layout.view(rows, "started")
    alone = int(counts.sum())
    kernel.set_controls(rows, compiled, kernel.get_controls(rows, compiled))
    model.set_controls([])
    assert not row_difference(compiled, rows[0], model.to_row())
    return alone, int(counts.sum())


def dated(name: str, at: int, due: int | None, *steps: tuple[str, float]) -> Product:
    """A part that is released at a tick and due at another one."""
    return product(name, list(steps), Release("orders", orders=(Order(at, 1, due),)))


def test_before_the_events_of_a_tick_a_batch_that_has_waited_starts_first() -> None:
    told = plant([station("oven", batch=Batch(2, 2, wait=10))], [dated("x", 0, None, ("oven", 5))])
    compiled = compile_plant(told)
    assert [started(compiled, tick) for tick in (9, 10, 11)] == [(0, 0), (0, 1), (1, 1)]


def test_nobody_is_woken_by_keys_that_change_with_time() -> None:
    # by critical ratio: the slow part is first until about 11 and has no room at h; then the urgent one is, and has
    told = plant(
        [station("a", dispatch=(("ratio", 1),)), station("g"), station("h", capacity=0)],
        [
            dated("z", 0, None, ("h", 100)),
            dated("slow", 1, 1000, ("a", 1), ("h", 99)),
            dated("urgent", 1, 30, ("a", 1), ("g", 1)),
            dated("v", 20, None, ("a", 1), ("g", 1)),
        ],
        conventions={"blocking": "before_service"},
    )
    compiled = compile_plant(told)
    assert [started(compiled, tick) for tick in (8, 15)] == [(1, 1), (1, 2)]
    assert started(compiled, 21) == (2, 2)  # at 20 v came before the station, which was handled
