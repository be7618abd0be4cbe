"""Every kind of money in a run, each against a story worked out by hand. A tick is a minute."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sim.compile import Compiled, compile_plant
from sim.kernel import new_rows, run
from sim.kpi import kpis, money, product_kpis, stock_kpis
from sim.plant import Demand, Express, Failure, Plant, Stock, Tariff
from sim.state import Array
from sim.value import operating_cost
from tests.sim.small_plants import SATURATED, const, conwip, plant, product, push, shift, station


def after(described: Plant, until: int) -> tuple[Compiled, Array, Array]:
    """The compiled plant, its row at the start and at `until`."""
    compiled = compile_plant(described)
    rows = new_rows(compiled, 1, 1)
    before = rows.copy()
    run(rows, compiled, until)
    return compiled, before, rows


def cash(described: Plant, until: int) -> float:
    compiled, _, rows = after(described, until)
    return float(money(rows, compiled)[0])


def operating(described: Plant, until: int) -> float:
    compiled, before, rows = after(described, until)
    return float(operating_cost(before, rows, compiled)[0])


def test_parts_cost_while_they_are_in_the_plant_and_when_they_are_late() -> None:
    # three parts arrive at 10, 20, 30, each takes 4 and is due after 3
    made = replace(product("p", [("m", 4)], push(10)), due=const(3), holding=0.5, tardiness=2.0)
    story = plant([station("m")], [made])
    assert cash(story, 35) == operating(story, 35) == 0.5 * 12 + 2.0 * 3
    compiled, _, rows = after(story, 35)
    found = product_kpis(rows, compiled)["p"]
    assert (found["tardiness"][0], found["tardy"][0], found["flow_time"][0]) == (1.0, 1.0, 4.0)


def test_each_setup_costs() -> None:
    # both arrive at 10 and 20: b is set up for at 11, a again at 20, b at 23
    setups = (("a", "b", const(2)), ("b", "a", const(2)))
    story = plant(
        [station("m", setups=setups, setup_cost=7.0)],
        [product("a", [("m", 1)], push(10)), product("b", [("m", 1)], push(10))],
    )
    assert [cash(story, until) for until in (11, 19, 22, 24)] == [0.0, 7.0, 14.0, 21.0]


def test_each_repair_costs_what_its_mode_says() -> None:
    # it has worked 4 at 14, so it fails at 21
    mode = replace(Failure("odf", const(5), const(3)), cost=11.0)
    story = plant([station("m", modes=(mode,))], [product("p", [("m", 4)], push(10))])
    assert [cash(story, until) for until in (21, 23)] == [0.0, 11.0]


def test_overtime_costs_by_the_minute() -> None:
    hours = replace(shift((0, 60)), overtime=15, overtime_cost=2.0)
    story = plant([station("m", calendar="shift")], [product("p", [("m", 4)], SATURATED)], calendars=(hours,))
    assert cash(story, 100) == 30.0


def test_energy_costs_the_price_of_its_hour() -> None:
    # the first hour starved at 0.6 kW; then half an hour of work at 6 kW with 0.5 kWh for the part, and starved again
    power = (0, 6000, 0, 600, 0, 0, 0)
    tariff = Tariff((0.1, 0.2), (0, *[1] * 167), co2=0.4)
    made = product("p", [("m", 30)], push(60))
    story = plant([station("m", power=power, part_energy=500.0)], [made], tariff=tariff)
    assert cash(story, 120) == pytest.approx(0.1 * 0.6 + 0.2 * (3.0 + 0.5 + 0.3))
    compiled, _, rows = after(story, 120)
    found = kpis(rows, compiled)
    assert found["energy"][0] * 120 == pytest.approx(4.4)
    assert found["co2"][0] * 120 == pytest.approx(1.76)


def test_a_lost_order_costs_its_penalty_and_its_margin() -> None:
    # two of the orders at 10, 20, 30, 40 are met
    made = replace(product("p", [("m", 4)], conwip(1, base_stock=0)), revenue=8.0)
    lost = Demand("d", "goods", const(10), unmet="lost", lost_cost=5.0)
    story = plant([station("m")], [made], stocks=(Stock("goods", "p", "line", 2),), demands=(lost,))
    assert cash(story, 45) == 2 * 5.0 - 2 * 8.0
    assert operating(story, 45) == 2 * (5.0 + 8.0)
    compiled, _, rows = after(story, 45)
    assert kpis(rows, compiled)["lost"][0] == stock_kpis(rows, compiled)["goods"]["lost"][0] == 0.5


def test_an_order_lost_beyond_what_may_be_owed_costs_its_penalty_and_its_margin() -> None:
    # one unit on hand; orders of two at 10, 20, 30: one met and one owed, then nothing but losses, as two may be owed
    made = replace(product("p", [("m", 4)], conwip(1, base_stock=0)), revenue=8.0)
    bounded = Demand("d", "goods", const(10), quantity=((2, 1.0),), most=2, lost_cost=5.0, backlog=0.25)
    made = replace(made, release=replace(made.release, policy="push", cap=None, base_stock=None, arrivals=const(1000)))
    story = plant([station("m")], [made], stocks=(Stock("goods", "p", "line", 1),), demands=(bounded,))
    assert operating(story, 35) == 3 * (5.0 + 8.0) + 0.25 * (10 + 2 * 15)
    assert cash(story, 35) == 3 * 5.0 - 8.0 + 0.25 * (10 + 2 * 15)
    compiled, _, rows = after(story, 35)
    assert kpis(rows, compiled)["lost"][0] == stock_kpis(rows, compiled)["goods"]["lost"][0] == 3 / 6
    assert stock_kpis(rows, compiled)["goods"]["fill_rate"][0] == 1 / 6


def test_each_customer_waits_at_his_own_price() -> None:
    # one unit waits from 10, a second from 20, for each of the two
    dear, cheap = (Demand(name, "goods", const(10), backlog=cost) for name, cost in (("dear", 3.0), ("cheap", 1.0)))
    made = product("p", [("m", 4)], push(1000))
    goods = Stock("goods", "p", "line", 0)
    story = plant([station("m")], [made], stocks=(goods,), demands=(dear, cheap))
    assert cash(story, 30) == operating(story, 30) == 30 * 3.0 + 30 * 1.0


def test_an_order_shipped_late_costs_from_its_date_on() -> None:
    # ordered at 10 for 15, made from 30 to 34
    late = Demand("d", "goods", const(10), due=5, tardiness=2.0)
    made = product("p", [("m", 4)], push(30))
    story = plant([station("m")], [made], stocks=(Stock("goods", "p", "line", 0),), demands=(late,))
    assert cash(story, 35) == 19 * 2.0


def test_an_express_order_costs_its_own_price_and_what_is_on_its_way_is_held() -> None:
    # at 10 a unit is taken and ordered by the express lane, which is 3 dearer; it is on its way for 5
    fast = Express("acme", const(5), 10, price=5.0, order_cost=4.0)
    steel = Stock("steel", "steel", "acme", 10, holding=0.1, level=10, lead=const(20), price=2.0, express=fast)
    made = product("p", [("m", 1)], push(1000))
    story = plant(
        [station("m")],
        [made],
        stocks=(steel,),
        demands=(Demand("d", "steel", const(10)),),
        conventions={"pipeline_holding": "charged"},
    )
    held = 0.1 * (100 + 45 + 5)
    assert cash(story, 15) == pytest.approx(4.0 + 5.0 + held)
    assert operating(story, 15) == pytest.approx(4.0 + 3.0 + held)
    free = replace(story, conventions={})
    assert cash(free, 15) == pytest.approx(4.0 + 5.0 + held - 0.5)


def test_what_a_stock_still_owes_another_is_not_on_its_way() -> None:
    # at 10 two units are asked of north, which asks them of south: one is sent and on its way for 20, one is owed
    south = Stock("south", "nut", "acme", 1, level=1, lead=const(1000), holding=0.01)
    north = Stock("north", "nut", "south", 2, level=2, lead=const(20), holding=0.1)
    asks = Demand("d", "north", const(10), quantity=((2, 1.0),))
    story = plant([station("m")], [product("p", [("m", 1)], push(1000))], stocks=(south, north), demands=(asks,))
    held = 0.01 * 10 + 0.1 * 2 * 10
    assert cash(story, 15) == pytest.approx(held)
    charged = replace(story, conventions={"pipeline_holding": "charged"})
    assert cash(charged, 15) == pytest.approx(held + 0.1 * 5 + 0.01 * 5 * 2), "acme has sent south two of its own"


def test_material_of_assembled_parts_is_worth_its_price() -> None:
    # 2 bolts at 3 each go into a part that sells at 20: a margin of 14
    made = product("p", [("m", 4)], push(10))
    made = replace(made, revenue=20.0, steps=(replace(made.steps[0], needs=(("bolts", 2),)),))
    bolts = Stock("bolts", "bolt", "acme", 10, level=10, lead=const(5), price=3.0)
    story = plant([station("m")], [made], stocks=(bolts,))
    assert operating(story, 15) == -14.0
    assert cash(story, 15) == -20.0 + 2 * 3.0
    assert np.isclose(cash(story, 15) - operating(story, 15), 0.0)
