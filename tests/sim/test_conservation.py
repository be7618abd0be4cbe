"""Nothing appears or disappears: identities in whole numbers that hold on every plant at every tick."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sim import kernel
from sim.compile import Compiled, compile_plant
from sim.plant import UNLIMITED, Plant, Station
from sim.state import DOWN, FREE, HOLDS, IN_SETUP, IN_WORK, INFINITY, State
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
    parts = queued + held
    assert len(set(parts)) == len(parts)
    assert [len(chain(state.part_next, head)) for head in state.q_head] == state.q_len.tolist()
    assert [len(chain(state.part_next, head)) for head in state.unit_part] == state.unit_count.tolist()
    free = chain(state.part_next, state.part_free)
    assert sorted(parts + free) == list(range(state.part_used))
    transfer = np.array([product.transfer for product in compiled.plant.products])
    of_product = np.bincount(state.part_product[parts], minlength=len(transfer))
    assert (of_product * transfer).tolist() == state.wip.tolist()
    assert (state.released == state.finished + state.scrapped + state.wip).all()
    for i, units in enumerate(transfer):
        if state.scrapped[i] == 0:
            ages = sum(state.now - int(state.part_release[part]) for part in parts if state.part_product[part] == i)
            assert state.wip_area[i] == state.flow_sum[i] + units * ages  # Little's law, exactly
    for g, group in enumerate(compiled.plant.groups):
        assert state.group_wip[g] == sum(state.wip[compiled.product_index[name]] for name, _ in group.mix)


def check_stations(state: State, compiled: Compiled) -> None:
    """Units are in one state each; a queue is never overfull; no part waits before a unit that could take it."""
    of_station = units_of(compiled)
    assert ((state.unit_phase == FREE) == (state.unit_part < 0)).all()
    assert ((state.unit_mode >= 0) == (state.unit_state == DOWN)).all()
    waiting = [unit for head in state.blocked_head for unit in chain(state.unit_link, head)]
    assert sorted(waiting) == np.flatnonzero((state.unit_phase == HOLDS) & (state.unit_mode < 0)).tolist()
    for s, station in enumerate(compiled.plant.stations):
        states, phases = state.unit_state[of_station[s]], state.unit_phase[of_station[s]]
        assert np.bincount(states, minlength=7).tolist() == state.n_state[s].tolist()
        assert state.st_ticks[s].sum() == station.units * state.now
        assert station.capacity == UNLIMITED or state.q_len[s] <= station.capacity + station.units
        in_hand = int(state.unit_count[of_station[s]][(phases == IN_SETUP) | (phases == IN_WORK)].sum())
        lost = int(state.started[s] - state.ended[s]) - in_hand
        stops = any(p.release.stops for p in compiled.plant.products)
        assert lost == 0 or (lost > 0 and (stops or any(mode.part == "scrapped" for mode in station.modes)))
        if is_plain(station, compiled.plant):
            assert state.q_len[s] == 0 or state.st_free[s] == 0


def units_of(compiled: Compiled) -> list[list[int]]:
    """The units of each station."""
    names = [name for name, _ in compiled.units]
    return [[u for u, name in enumerate(names) if name == s.id] for s in compiled.plant.stations]


def is_plain(station: Station, plant: Plant) -> bool:
    """Does a free unit start whatever waits?"""
    needs = any(step.needs and station.id in dict(step.eligible) for p in plant.products for step in p.steps)
    asks = needs or station.batch is not None or station.operators is not None
    return not asks and plant.conventions.get("blocking") != "before_service"


def check_people(state: State, compiled: Compiled) -> None:
    """Repairers and operators are free or with a unit, and never free while a unit waits for them."""
    modes = {s.id: {m.id: m for m in s.modes} for s in compiled.plant.stations}
    crews = [modes[name][mode].crew for name, _, mode in compiled.clocks]
    for c, crew in enumerate(compiled.plant.crews):
        down = sum(crews[clock] == crew.id for clock in state.unit_mode if clock >= 0)
        waiting = len(chain(state.unit_link, state.crew_head[c]))
        assert state.crew_free[c] + down - waiting == crew.size
        assert state.crew_free[c] == 0 or waiting == 0
    busy = (state.unit_phase == IN_SETUP) | (state.unit_phase == IN_WORK)
    for i, pool in enumerate(compiled.plant.pools):
        taken = sum(
            s.operators[1] * int(busy[units].sum())
            for s, units in zip(compiled.plant.stations, units_of(compiled), strict=True)
            if s.operators is not None and s.operators[0] == pool.id
        )
        assert state.pool_free[i] + taken == pool.size


def check_stocks(state: State, compiled: Compiled) -> None:
    """Stock came from somewhere and went somewhere; whoever is owed something waits only for what is not there, or
    for a vehicle.
    """
    plant = compiled.plant
    needed = {name for p in plant.products for step in p.steps for name, _ in step.needs}
    sources = [source_of(plant, *lane) for lane in compiled.lanes]
    for k, stock in enumerate(plant.stocks):
        consumed = sum(
            int(state.released[i]) * quantity
            for i, product in enumerate(plant.products)
            for name, quantity in product.release.consumes
            if name == stock.id
        )
        served = [i for i, source in enumerate(sources) if source == stock.id]
        owed = int(state.owed[served].sum())
        sent = int(state.ordered[served].sum()) - owed
        left = stock.initial + state.received[k] - state.shipped[k] - consumed - sent - state.on_hand[k]
        assert left == 0 or (left > 0 and stock.id in needed)
        assert state.demanded[k] - state.shipped[k] - state.lost[k] == state.backorders[k]
        assert state.on_hand[k] >= 0 <= owed
        vehicles = [i for i in served if goes_by_vehicle(plant, *compiled.lanes[i])]
        assert min(state.on_hand[k], state.backorders[k] + owed - state.owed[vehicles].sum()) == 0
        lanes = [i for i, (name, _) in enumerate(compiled.lanes) if name == stock.id]
        assert state.on_order[k] == state.lane_order[lanes].sum()
        if stock.source == "line":
            assert state.received[k] == state.finished[compiled.product_index[stock.item]]
        else:
            assert state.ordered[lanes].sum() - state.received[k] == state.on_order[k]
    assert (state.transit_qty.sum(axis=-1) == state.lane_order - state.owed).all()
    assert ((state.transit_due == INFINITY) == (state.transit_qty == 0)).all()
    assert (state.ring_qty.sum(axis=-1) <= state.waiting).all()


def source_of(plant: Plant, name: str, which: str) -> str:
    """The supplier or stock that a lane comes from."""
    stock = next(k for k in plant.stocks if k.id == name)
    return stock.express.source if which == "express" and stock.express is not None else stock.source


def goes_by_vehicle(plant: Plant, name: str, which: str) -> bool:
    """Does what was ordered in a lane wait for a vehicle?"""
    return which == "regular" and next(k for k in plant.stocks if k.id == name).vehicle > 0


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
        check_people(state, compiled)
        check_stocks(state, compiled)


@given(plants(), st.integers(0, 1000))
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_nothing_is_lost(plant: Plant, replica: int) -> None:
    check_all(compile_plant(plant), 500, replica)


@pytest.mark.parametrize("name", BUNDLED)
def test_nothing_is_lost_in_bundled_plants(name: str) -> None:
    compiled = compiled_bundled(name)
    check_all(compiled, horizon(compiled, 5000), 1)
