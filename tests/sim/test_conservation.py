"""Nothing appears or disappears: identities in whole numbers that hold on every plant at every tick."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sim import kernel
from sim.compile import Compiled, compile_plant
from sim.plant import SCRAP, UNLIMITED, Plant
from sim.state import BLOCKED, DOWN, INFINITY, OFF, WORKING, State
from tests.sim.engines import BUNDLED, SEED, compiled_bundled, horizon
from tests.sim.random_plants import plants


def chain(links: np.ndarray, head: int) -> list[int]:
    members = []
    while head >= 0:
        members.append(int(head))
        head = links[head]
    return members


def check_parts(state: State, compiled: Compiled) -> None:
    """Parts are in a queue or in a unit, and each product's were released and have not left."""
    queued = [part for head in state.q_head for part in chain(state.part_next, head)]
    held = [int(part) for part in state.unit_part if part >= 0]
    parts = queued + held
    assert len(set(parts)) == len(parts)
    assert [len(chain(state.part_next, head)) for head in state.q_head] == state.q_len.tolist()
    free = chain(state.part_next, state.part_free)
    assert sorted(parts + free) == list(range(state.part_used))
    of_product = np.bincount(state.part_product[parts], minlength=len(compiled.plant.products))
    assert of_product.tolist() == state.wip.tolist()
    assert (state.released == state.finished + state.scrapped + state.wip).all()
    for i, product in enumerate(compiled.plant.products):
        if all(target != SCRAP for step in product.steps for target, _ in step.next):
            ages = sum(state.now - int(state.part_release[part]) for part in parts if state.part_product[part] == i)
            assert state.wip_area[i] == state.flow_sum[i] + ages  # Little's law, exactly


def check_stations(state: State, compiled: Compiled) -> None:
    """Units are in one state each; a buffer is never overfull; no part waits before a free unit."""
    at = 0
    for s, station in enumerate(compiled.plant.stations):
        states = state.unit_state[at : at + station.units]
        parts = state.unit_part[at : at + station.units]
        at += station.units
        assert np.bincount(states, minlength=7).tolist() == state.n_state[s].tolist()
        assert state.st_ticks[s].sum() == station.units * state.now
        assert station.capacity == UNLIMITED or state.q_len[s] <= station.capacity
        busy = np.isin(states, (WORKING, BLOCKED, DOWN))
        assert (busy == (parts >= 0)).all()
        assert state.q_len[s] == 0 or busy.all() or (states[~busy] == OFF).all()
        assert state.started[s] - state.ended[s] == np.isin(states, (WORKING, DOWN)).sum()
        blockers = chain(state.unit_link, state.blocked_head[s])
        assert all(state.unit_state[unit] == BLOCKED for unit in blockers)
    for c, crew in enumerate(compiled.plant.crews):
        served = [
            s.fails is not None and s.fails.crew == crew.id for s in compiled.plant.stations for _ in range(s.units)
        ]
        down = int((state.unit_state[np.array(served)] == DOWN).sum()) if any(served) else 0
        waiting = len(chain(state.unit_link, state.crew_head[c]))
        assert state.crew_free[c] + down - waiting == crew.size
        assert state.crew_free[c] == 0 or waiting == 0


def check_stocks(state: State, compiled: Compiled) -> None:
    """Stock came from somewhere and went somewhere; customers wait only for what is not there."""
    for k, stock in enumerate(compiled.plant.stocks):
        consumed = sum(
            int(state.released[i]) * quantity
            for i, product in enumerate(compiled.plant.products)
            for name, quantity in product.release.consumes
            if name == stock.id
        )
        assert stock.initial + state.received[k] - state.shipped[k] - consumed == state.on_hand[k]
        assert state.demanded[k] - state.shipped[k] == state.backorders[k]
        assert min(state.on_hand[k], state.backorders[k]) == 0
        assert state.ordered[k] - (0 if stock.source == "line" else state.received[k]) == state.on_order[k]
        assert state.transit_qty[k].sum() == state.on_order[k]
        assert ((state.transit_due[k] == INFINITY) == (state.transit_qty[k] == 0)).all()
        if stock.source == "line":
            assert state.received[k] == state.finished[compiled.product_index[stock.item]]


def check_all(compiled: Compiled, until: int, replica: int) -> None:
    """Every identity at eight moments of a run."""
    rows = kernel.new_rows(compiled, SEED, 1, replica)
    for tick in np.linspace(0, until, 9).astype(int):
        try:
            kernel.run(rows, compiled, int(tick))
        except kernel.KernelError:
            return  # overflow ends a run; nothing is promised after it
        state = State(rows[0], compiled.layout)
        assert (state.next_time >= tick).all()
        assert not state.work_flag.any()
        check_parts(state, compiled)
        check_stations(state, compiled)
        check_stocks(state, compiled)


@given(plants(), st.integers(0, 1000))
@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
def test_nothing_is_lost(plant: Plant, replica: int) -> None:
    check_all(compile_plant(plant), 800, replica)


@pytest.mark.parametrize("name", BUNDLED)
def test_nothing_is_lost_in_bundled_plants(name: str) -> None:
    compiled = compiled_bundled(name)
    check_all(compiled, horizon(compiled, 5000), 1)
