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
from sim.plant import Plant
from sim.reference import Reference
from sim.state import EVERY_KIND, NOW
from tests.sim.engines import BUNDLED, SEED, compiled_bundled, compiled_random, horizon, row_difference
from tests.sim.random_plants import plants

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
def test_in_any_plant(plant: Plant, replica: int) -> None:
    stands_still(compile_plant(plant), 200, Random(replica), replica)
