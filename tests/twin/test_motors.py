"""The plant with everything, run by the virtual plant, which shares no code with the twin: what is believed is so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hardware.shop_station import Station
from hardware.trade import StockRoom
from hardware.twist import Twist
from sim.compile import Compiled, compile_plant
from sim.kernel import run
from sim.plant import STATES, Plant
from sim.state import ERROR
from tests.twin.motors import motors
from tests.twin.shop_rows import ShopRows
from twin.estimate import ensemble
from twin.facts import to_facts
from twin.forecast import Options, forecast
from twin.model import Part, StationState

DAY = 86_400.0


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    return compile_plant(motors(tmp_path_factory.mktemp("motors")))


def same_floor(plant: Plant, true: Station, believed: StationState) -> None:
    """Parts by product and step in every unit and queue, states, families."""

    def told(parts: list[Part]) -> list[tuple[str, int]]:
        return [(plant.products[p.product].id, p.step) for p in parts]

    for unit, found in zip(true.units, believed.units, strict=True):
        assert told(found.parts) == [(p.product.id, p.step) for p in unit.parts], unit.name
        assert STATES[found.state] == unit.state, unit.name
        if true.spec.setups and not unit.parts and found.family:
            assert found.family == unit.family, unit.name
    assert sorted(told(believed.queue)) == sorted((p.product.id, p.step) for p in true.queue), true.spec.id


def same_stock(rows: ShopRows, compiled: Compiled, name: str, room: StockRoom) -> None:
    """On hand, owed to customers and on order; what is on its way and what is owed, by lane."""
    k = compiled.stock_index[name]
    stock = rows.tracker.state.stocks[k]
    assert (stock.on_hand, stock.backorder, stock.on_order) == (room.on_hand, room.backorders, room.on_order), name
    facts = to_facts(compiled, rows.tracker.state).stocks[name]
    for lane in room.lanes:
        owed, orders = (facts.express_owed, facts.express) if lane.express else (facts.owed, facts.orders)
        assert (owed, sum(o.quantity for o in orders)) == (lane.owed, lane.on_order - lane.owed), name


def test_perfect_sensors_give_the_true_state_of_everything(compiled: Compiled) -> None:
    plant = compiled.plant
    rows = ShopRows(plant, Twist(), warmup_s=DAY)
    rows.run(1800.0)  # what was in the ovens on connecting has come out
    seen = dict.fromkeys(("batch", "setup", "down", "rework", "owed", "waits", "express"), False)
    for _ in range(34):
        rows.run(900.0)
        state, shop = rows.tracker.state, rows.plant.shop
        for true, believed in zip(shop.stations.values(), state.stations, strict=True):
            same_floor(plant, true, believed)
        for name, room in shop.rooms.items():
            same_stock(rows, compiled, name, room)
        facts = to_facts(compiled, state)
        assert facts.waiting == {d: m.waiting for d, m in shop.markets.items()}
        assert facts.released == dict(shop.released)
        units = [u for s in state.stations for u in s.units]
        seen["batch"] |= any(len(u.parts) > 1 for u in units)
        seen["setup"] |= any(STATES[u.state] == "setup" for u in units)
        seen["down"] |= any(STATES[u.state] == "down" for u in units)
        seen["rework"] |= bool(state.stations[compiled.station_index["rework"]].units[0].parts)
        seen["owed"] |= any(k.owed for k in facts.stocks.values())
        seen["express"] |= any(k.express for k in facts.stocks.values())
        seen["waits"] |= any(facts.waiting.values())
    assert all(seen.values()), seen


def test_lost_messages_leave_errors_that_do_not_grow(compiled: Compiled) -> None:
    """One message in twenty never comes, for a day: a fraction of a part at each station, not more later; and what is
    believed can be run ahead at any moment.
    """
    rows = ShopRows(compiled.plant, Twist(), loss=0.05, warmup_s=DAY)
    found: list[list[int]] = []
    for i in range(90):
        rows.run(900.0, tick_s=10.0)
        found.append(rows.errors())
        if i % 24 == 0:
            ahead = ensemble(compiled, rows.tracker.state, i, 8)
            run(ahead, compiled, int(ahead[0, 0]) + compiled.ticks(8 * 3600))
            assert not ahead[:, ERROR].any()
    errors = np.array(found).mean(axis=1)
    assert errors.mean() < 0.2
    assert errors[60:].mean() < 2.0 * errors[:30].mean() + 0.1
    state = rows.tracker.state
    assert sum(state.wip) == sum(len(s.queue) + sum(len(u.parts) for u in s.units) for s in state.stations)


def test_noisy_sensors_of_another_plant_than_described(compiled: Compiled) -> None:
    """Other parameters, levels off by one, states some seconds late, duplicates."""
    rows = ShopRows(compiled.plant, None, warmup_s=DAY)
    found = []
    for _ in range(30):
        rows.run(600.0)
        found.append(rows.errors())
    assert np.mean(found) < 0.1


def test_a_forecast_of_everything(compiled: Compiled, tmp_path: Path) -> None:
    """Series of all stocks from the tracked state; the same state and seed give the same forecast."""
    rows = ShopRows(motors(tmp_path), Twist(), warmup_s=DAY)
    rows.run(3600.0)
    made = forecast(compiled, rows.tracker.state, Options(24, 4 * 3600))
    assert set(made["series"]) == {"wip", "output", "backlog", *(f"stock/{k.id}" for k in compiled.plant.stocks)}
    assert made == forecast(compiled, rows.tracker.state, Options(24, 4 * 3600))
