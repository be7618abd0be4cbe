"""The kernel and the SimPy reference agree on every rule of the floor, from any moment."""

from __future__ import annotations

from functools import cache

import pytest

from sim import kernel
from sim.compile import Compiled, compile_plant
from sim.plant import STATES
from sim.state import FREE, HOLDS, State
from tests.sim.engines import SEED
from tests.sim.floor_plants import PLANTS
from tests.sim.ways import check_all_ways

UNTIL = 600


@cache
def compiled_floor(name: str) -> Compiled:
    return compile_plant(PLANTS[name])


@pytest.mark.parametrize("name", PLANTS)
def test_floor_plant(name: str) -> None:
    assert check_all_ways(compiled_floor(name), UNTIL, 2, extremes=True) > 20


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
