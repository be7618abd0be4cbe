"""The kernel and the SimPy reference agree on every rule of supply, demand and release, from any moment."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from sim import kernel
from sim.compile import Compiled, compile_plant
from sim.state import State
from tests.sim.engines import SEED
from tests.sim.random_supply import random_supply
from tests.sim.supply_plants import PLANTS
from tests.sim.ways import check_all_ways

UNTIL = 400
RANDOM = range(25)


@cache
def compiled_supply(name: str) -> Compiled:
    return compile_plant(PLANTS[name])


@pytest.mark.parametrize("name", PLANTS)
def test_supply_plant(name: str) -> None:
    assert check_all_ways(compiled_supply(name), UNTIL, 2, extremes=True) > 20


@pytest.mark.parametrize("seed", RANDOM)
def test_random_supply_plant(seed: int) -> None:
    check_all_ways(compile_plant(random_supply(seed)), 200, 2, extremes=True)


def test_supply_plants_meet_every_rule() -> None:
    """The comparison above is worth something only if what it compares happens."""
    met: set[str] = set()
    for name in PLANTS:
        compiled = compiled_supply(name)
        row = kernel.new_rows(compiled, SEED, 1, 2)[0]
        for tick in range(20, UNTIL, 20):
            kernel.run(row[None], compiled, tick)
            met |= rules_met(State(row, compiled.layout))
    assert met == {
        *("owed", "several in transit", "late orders", "late units", "ring", "lost", "backorders", "served at once"),
        *("busy supplier", "forecast", "paused arrivals", "paused demands", "order list", "pending", "held", "tardy"),
        *("scrapped", "group full", "compound", "book", "express"),
    }


def rules_met(state: State) -> set[str]:
    """What a row shows to have happened."""
    lanes = len(state.owed)
    express = state.orders[len(state.on_hand) :] if lanes > len(state.on_hand) else np.zeros(0)
    facts = {
        "owed": state.owed.any(),
        "several in transit": ((state.transit_qty > 0).sum(axis=-1) > 1).any(),
        "late orders": state.late_draws[:, 1, 0].any(),
        "late units": state.late_units.any(),
        "ring": (state.ring_len > 1).any(),
        "lost": state.lost_units.any() and state.lost.any(),
        "backorders": state.waiting.any() and state.backorders.any(),
        "served at once": state.served.any(),
        "busy supplier": (state.busy_until > state.now).any(),
        "forecast": state.past.any(),
        "paused arrivals": (state.arrival_left >= 0).any(),
        "paused demands": (state.demand_left >= 0).any(),
        "order list": state.order_taken.any(),
        "pending": state.pending.any(),
        "held": state.held.any(),
        "tardy": state.tardy_sum.any(),
        "scrapped": state.scrapped.any(),
        "group full": (state.group_wip == state.group_cap).any(),
        "compound": state.quantity_draws.any(),
        "book": state.book_at.any(),
        "express": express.any(),
    }
    return {name for name, true in facts.items() if true}
