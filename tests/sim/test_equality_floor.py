"""The kernel and the SimPy reference agree on every rule of the floor, from any moment."""

from __future__ import annotations

import random
from functools import cache

import numpy as np
import pytest

from sim import kernel
from sim.compile import Compiled, compile_plant
from sim.plant import STATES
from sim.reference import Reference
from sim.state import FREE, HOLDS, State
from tests.sim.engines import SEED, assert_same_from
from tests.sim.floor_plants import PLANTS
from tests.sim.ways import middle

UNTIL = 600
SCALES = ("work_scale", "fail_scale", "repair_scale", "arrival_scale", "demand_scale", "lead_scale")


@cache
def compiled_floor(name: str) -> Compiled:
    return compile_plant(PLANTS[name])


def set_extremes(compiled: Compiled, row: np.ndarray, model: Reference, place: int) -> None:
    """Set every control in both engines to the lower (0) or upper (1) end of its range."""
    values = [(control.low, control.high)[place] for control in compiled.plant.controls]
    model.set_controls(values)
    kernel.set_controls(row[None], compiled, np.array(values, dtype=np.int64))


@pytest.mark.parametrize("name", PLANTS)
def test_floor_plant(name: str) -> None:
    """From empty; from the middle, with control changes there; and with other scales and new statistics."""
    compiled = compiled_floor(name)
    row = kernel.new_rows(compiled, SEED, 1, 2)[0]
    assert assert_same_from(Reference(compiled, SEED, 2), row, compiled, UNTIL) > 20
    for place in (0, 1):
        row = middle(compiled, UNTIL // 2, 31 * place + 5, 2)
        model = Reference.from_row(compiled, row)
        set_extremes(compiled, row, model, place)
        assert_same_from(model, row, compiled, UNTIL)
    row = middle(compiled, UNTIL // 2, 17, 2)
    kernel.clear_stats(row[None], compiled)
    chooser = random.Random(5)
    for scale in (getattr(State(row, compiled.layout), name) for name in SCALES):
        scale[...] = [chooser.choice((30_000, 65_536, 100_000)) for _ in scale]
    assert_same_from(Reference.from_row(compiled, row), row, compiled, UNTIL)


def test_floor_plants_meet_every_rule() -> None:
    """The comparison above is worth something only if what it compares happens."""
    met: set[str] = set()
    for name in PLANTS:
        compiled = compiled_floor(name)
        row = kernel.new_rows(compiled, SEED, 1, 2)[0]
        for tick in range(5, UNTIL, 5):
            kernel.run(row[None], compiled, tick)
            met |= rules_met(State(row, compiled.layout))
    assert met == {
        *STATES,
        *("down free", "down holding", "due", "worn", "batch", "door", "barred", "reserved", "asking", "crew queue"),
        *("maintained", "overtime", "energy", "held", "tardy", "scrapped", "late work"),
    }


def rules_met(state: State) -> set[str]:
    """What a row shows to have happened."""
    down = state.unit_mode >= 0
    facts = {
        **{name: state.st_ticks[:, code].any() for code, name in enumerate(STATES)},
        "down free": (down & (state.unit_phase == FREE)).any(),
        "down holding": (down & (state.unit_phase == HOLDS)).any(),
        "due": state.unit_due.any(),
        "worn": state.unit_level.any(),
        "batch": (state.unit_count > 1).any(),
        "door": (state.blocked_head[len(state.q_len) :] >= 0).any(),
        "barred": state.st_barred.any(),
        "reserved": state.st_reserved.any(),
        "asking": (state.st_asked >= 0).any(),
        "crew queue": (state.crew_head >= 0).any(),
        "maintained": state.maintained.any(),
        "overtime": state.overtime_ticks.any(),
        "energy": state.energy.all() and len(state.energy) > 1,
        "held": state.held.any(),
        "tardy": state.tardy.any(),
        "scrapped": state.scrapped.any(),
        "late work": (state.unit_left > 0).any(),
    }
    return {name for name, true in facts.items() if true}
