"""Nothing appears or disappears: identities in whole numbers that hold on every plant at every tick."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sim import kernel
from sim.compile import Compiled, compile_plant
from sim.plant import SCRAP, UNLIMITED, Calendar, Plant, Station
from sim.state import BLOCKED, DOWN, FREE, IN_SETUP, IN_WORK, INFINITY, State
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
    held = [part for head in state.unit_part for part in chain(state.part_next, head)]
    assert [len(chain(state.part_next, head)) for head in state.unit_part] == state.unit_count.tolist()
    parts = queued + held
    assert len(set(parts)) == len(parts)
    assert [len(chain(state.part_next, head)) for head in state.q_head] == state.q_len.tolist()
    free = chain(state.part_next, state.part_free)
    assert sorted(parts + free) == list(range(state.part_used))
    transfer = np.array([product.transfer for product in compiled.plant.products])
    of_product = np.bincount(state.part_product[parts], minlength=len(transfer)) * transfer
    assert of_product.tolist() == state.wip.tolist()
    assert (state.released == state.finished + state.scrapped + state.wip).all()
    for i, product in enumerate(compiled.plant.products):
        if all(target != SCRAP for step in product.steps for target, _ in step.next):
            ages = sum(state.now - int(state.part_release[part]) for part in parts if state.part_product[part] == i)
            ages *= product.transfer
            if state.scrapped[i]:
                continue  # worn machines spoil parts, whose time is in no flow time
            assert state.wip_area[i] == state.flow_sum[i] + ages  # Little's law, exactly


def check_stations(state: State, compiled: Compiled) -> None:
    """Units are in one state each; a buffer is never overfull; no part waits before a free unit."""
    at = 0
    for s, station in enumerate(compiled.plant.stations):
        states = state.unit_state[at : at + station.units]
        here = slice(at, at + station.units)
        phases, downs, counts = state.unit_phase[here], state.unit_mode[here] >= 0, state.unit_count[here]
        at += station.units
        assert np.bincount(states, minlength=7).tolist() == state.n_state[s].tolist()
        assert state.st_ticks[s].sum() == station.units * state.now
        open_ = station.calendar is None or state.cal_open[compiled.plant.calendars.index(_calendar(compiled, station))]
        assert state.st_free[s] == (((phases == FREE) & ~downs).sum() if open_ else 0)
        assert station.capacity == UNLIMITED or state.q_len[s] <= station.capacity + state.st_free[s]
        assert ((phases == FREE) == (counts == 0)).all()
        assert ((states == DOWN) == downs).all()
        scrapping = any(m.part == "scrapped" for m in station.modes)
        begun = counts[np.isin(phases, (IN_SETUP, IN_WORK))].sum()
        assert scrapping or state.started[s] - state.ended[s] == begun
    for head in state.blocked_head:
        assert all(state.unit_state[unit] == BLOCKED for unit in chain(state.unit_link, head))
    for c, crew in enumerate(compiled.plant.crews):
        modes = {(s.id, m.id): m for s in compiled.plant.stations for m in s.modes}
        down = sum(
            modes[compiled.clocks[k][0], compiled.clocks[k][2]].crew == crew.id for k in state.unit_mode if k >= 0
        )
        waiting = len(chain(state.unit_link, state.crew_head[c]))
        assert state.crew_free[c] + down - waiting == crew.size
        assert state.crew_free[c] == 0 or waiting == 0


def _calendar(compiled: Compiled, station: Station) -> Calendar:
    return next(c for c in compiled.plant.calendars if c.id == station.calendar)


def check_stocks(state: State, compiled: Compiled) -> None:
    """Stock came from somewhere and went somewhere; customers wait only for what is not there."""
    for k, stock in enumerate(compiled.plant.stocks):
        consumed = sum(
            int(state.released[i]) * quantity
            for i, product in enumerate(compiled.plant.products)
            for name, quantity in product.release.consumes
            if name == stock.id
        )
        sent = sum(
            int(state.lane_order[i] - state.owed[i] - state.transit_qty[i].sum()) for i in range(len(compiled.lanes))
        )
        assert sent == 0
        left = stock.initial + state.received[k] - state.shipped[k] - consumed - state.on_hand[k]
        feeds = any(other.source == stock.id or (other.express and other.express.source == stock.id)
                    for other in compiled.plant.stocks)  # fmt: skip
        needed = any(name == stock.id for p in compiled.plant.products for step in p.steps for name, _ in step.needs)
        assert left >= 0 if feeds or needed else left == 0
        assert state.demanded[k] - state.shipped[k] - state.lost[k] == state.backorders[k]
        assert min(state.on_hand[k], state.backorders[k]) == 0
        lanes = [i for i, (name, _) in enumerate(compiled.lanes) if name == stock.id]
        ordered = state.ordered[lanes].sum()
        assert ordered - (0 if stock.source == "line" else state.received[k]) == state.on_order[k]
        for i in lanes:
            assert ((state.transit_due[i] == INFINITY) == (state.transit_qty[i] == 0)).all()
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
