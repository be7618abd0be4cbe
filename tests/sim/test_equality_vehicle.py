"""Vehicles and constant orders: the kernel and the SimPy reference agree, and what they do is what was meant."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sim import kernel
from sim.compile import Compiled, compile_plant
from sim.facts import rows_from_facts
from sim.factsheet import Facts, FactsError, StockFacts
from sim.plant import Express, Plant, Stock, Supplier
from sim.plantfile import load
from sim.state import State
from tests.sim.engines import SEED
from tests.sim.supply_plants import REVIEW_ORDERS, constant, controls, customers, lumpy, plant, supplied
from tests.sim.ways import check_all_ways
from twin.limits import beyond

DAY = 86_400


def chain(order: str = REVIEW_ORDERS[2], **terms: Any) -> Plant:
    """Shop from depot from supplier, each by vehicle, with ties of review, delivery and demand."""
    stocks = (
        supplied("depot", lead=constant(6), review=3, vehicle=4, item="raw", level=2, policy="constant_order"),
        Stock("shop", "raw", "depot", 3, lead=lumpy(3, 0.5, 6, 0.5), review=3, vehicle=3, level=6, **terms),
    )
    return plant(
        f"vehicles-{order}",
        stocks=stocks,
        demands=(customers("shop", every=constant(3), quantity=((0, 0.3), (2, 0.4), (5, 0.3))),),
        controls=controls(("stocks.depot.level", 0, 8), ("stocks.shop.level", 0, 9)),
        conventions={"review_order": order},
    )


def busy() -> Plant:
    """Supplier with a capacity and late orders; a depot that two shops draw on, one of them by vehicle and express."""
    stocks = (
        supplied("depot", lead=constant(6), item="raw", level=25, initial=9),
        Stock(
            "shop", "raw", "depot", 3, lead=constant(7), review=5, vehicle=3, level=14,
            express=Express("depot", constant(2), 3),
        ),
        Stock("kiosk", "raw", "depot", 3, lead=constant(3), level=6, priority=1),
        supplied("far", source="slow", item="raw", lead=constant(4), review=4, vehicle=5, level=20),
    )  # fmt: skip
    demands = (customers("shop"), customers("kiosk", "passers"), customers("far", "others"))
    slow = Supplier("slow", unit_ticks=2, reliability=0.6, late=constant(9))
    return plant("vehicles-busy", stocks=stocks, demands=demands, suppliers=(Supplier("acme"), slow))


def echelon() -> Plant:
    stocks = (
        supplied("depot", lead=constant(6), item="raw", level=30, echelon=True, initial=4, review=2, vehicle=3),
        Stock("shop", "raw", "depot", 3, lead=constant(7), review=5, vehicle=4, level=14, echelon=True),
    )
    charged = {"pipeline_holding": "charged"}
    return plant("vehicles-echelon", stocks=stocks, demands=(customers("shop"),), conventions=charged)


PLANTS = {made.id: made for made in [*(chain(order) for order in REVIEW_ORDERS), busy(), echelon()]}


@pytest.mark.parametrize("name", PLANTS)
def test_kernel_is_the_reference(name: str) -> None:
    assert check_all_ways(compile_plant(PLANTS[name]), 200, 2, extremes=True) > 20


def test_the_plants_meet_the_rules() -> None:
    """Both suppliers and stocks leave units waiting for a vehicle while there would be some, and for lack of any."""
    met = set()
    for made in PLANTS.values():
        compiled = compile_plant(made)
        row = kernel.new_rows(compiled, SEED, 1, 2)[0]
        for tick in range(10, 200, 10):
            kernel.run(row[None], compiled, tick)
            state = State(row, compiled.layout)
            for lane, (name, _) in enumerate(compiled.lanes):
                stock = made.stocks[compiled.stock_index[name]]
                if stock.vehicle and state.owed[lane]:
                    source = compiled.stock_index.get(stock.source)
                    met.add("supplier" if source is None else "some" if state.on_hand[source] else "none")
    assert met == {"supplier", "some", "none"}


@pytest.fixture(scope="module")
def serial() -> Compiled:
    return compile_plant(load("serial_backlog4"))


def test_a_vehicle_takes_what_fits_and_the_rest_waits(serial: Compiled) -> None:
    """By hand: 170 and 30 are ordered of 100 on hand; the vehicle holds 100, then nothing is there to take."""
    row = kernel.new_rows(serial, 1, 1)[0]
    ids = [k.id for k in serial.plant.stocks]
    shop, depot = ids.index("retailer"), ids.index("wholesaler")
    seen = []
    for day, ordered in enumerate([170, 30, 0, 0, 0, 0, 0]):
        wanted = [ordered if "retailer" in c.sets else 60 if day == 0 and "wholesaler" in c.sets else 0
                  for c in serial.plant.controls]  # fmt: skip
        kernel.set_controls(row[None], serial, np.array(wanted))
        kernel.run(row[None], serial, (day + 1) * DAY)
        state = State(row, serial.layout)
        lane = serial.lane_index["retailer", "regular"]
        seen.append((int(state.owed[lane]), int(state.on_hand[depot]), int(state.on_order[shop])))
    # day 5: 60 arrive after the retailer's vehicle has left empty; day 6: it takes them
    assert seen == [
        (70, 0, 170),
        (100, 0, 200),
        (100, 0, 200),
        (100, 0, 100),
        (100, 0, 100),
        (100, 60, 100),
        (40, 0, 100),
    ]


def test_few_places_for_what_is_on_its_way(serial: Compiled) -> None:
    assert serial.layout.sizes["transit"] == 22  # twice ten days, and two


def test_what_waits_for_a_vehicle_may_be_told_and_nothing_else_of_a_supplier(serial: Compiled) -> None:
    """A supplier without a vehicle ships at once: it cannot owe anything."""
    told = Facts(10, stocks={"factory": StockFacts(10, owed=7)})
    row = rows_from_facts(serial, told, 1, 1)[0]
    assert State(row, serial.layout).owed[serial.lane_index["factory", "regular"]] == 7
    plain = compile_plant(load("lost_sales"))
    with pytest.raises(FactsError, match="7 units owed to it, but it is not supplied by another stock or by a vehicle"):
        rows_from_facts(plain, Facts(10, stocks={"shelf": StockFacts(10, owed=7)}), 1, 1)


def test_the_twin_does_not_pretend_to_track_vehicles(serial: Compiled) -> None:
    found = beyond(serial.plant)
    assert [line.split(":")[0] for line in found] == ["stock factory", "stock wholesaler", "stock retailer"]
    assert all("a vehicle" in line for line in found)
