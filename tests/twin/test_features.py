"""Ovens, setups, components, echelons and crews by hand: a few journal rows, and what must be believed then."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer import Exit

from sim.compile import compile_plant
from sim.facts import Facts, OrderFacts
from sim.plant import DONE, Demand, Plant, Release, Sensor, Station, Step, Stock
from sim.plantfile import load
from sim.state import DOWN as IS_DOWN
from tests.sim.small_plants import const, conwip, product
from tests.sim.small_plants import plant as small
from tests.twin.journals import T0, Writer
from tests.twin.motors import motors
from twin.commands import twin
from twin.estimate import ensemble, to_facts, to_tick
from twin.limits import TwinLimitError
from twin.model import BLOCKED, DOWN, IDLE, SETUP, STARVED, WORK, TwinState, held
from twin.tracker import Tracker

HOUR = 3_600_000
NO_TAGS = """
  - {thing: stock_s, property: on_hand, tag: stock_s/on_hand}
  - {thing: assembly, unit: 1, property: state, tag: assembly/1/state, type: enum}
"""


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Plant:
    return motors(tmp_path_factory.mktemp("motors"))


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Plant:
    """The same plant, with next to no sensors: events and documents say all."""
    return motors(tmp_path_factory.mktemp("bare"), NO_TAGS)


def begin(plant: Plant) -> Writer:
    """Everything empty and known to be, a full working day before it."""
    w = Writer(plant)
    values = {tag: STARVED if tag.endswith("/state") else 0 for tag in w.index if "/" in tag and tag[:4] != "set/"}
    stocks = {k.id: k.initial for k in plant.stocks}
    values |= {tag: stocks[tag.split("/")[0]] for tag in w.index if tag.endswith("/on_hand")}
    w.data(0, **values)
    return w


def state_of(w: Writer) -> TwinState:
    return tracked(w).state


def tracked(w: Writer) -> Tracker:
    tracker = Tracker(w.plant)
    for row in w.rows:
        tracker.apply(row)
    return tracker


def facts_of(w: Writer) -> Facts:
    return to_facts(compile_plant(w.plant), state_of(w))


def until(w: Writer, second: float) -> None:
    """Time goes on in ticks of ten seconds."""
    while w.ticked + 10 < second:
        w.tick(w.ticked + 10)


class Shop:
    """Writes what a shop floor tells: each event with the count it leads to."""

    def __init__(self, w: Writer) -> None:
        self.w, self.counts = w, dict[tuple[str, str, str], int]()

    def __call__(self, at: float, kind: str, thing: str, product: str = "", unit: int = 1, **more: Any) -> None:
        """An event; starts, ends and scrap count."""
        if kind in ("work_start", "work_end", "scrap"):
            by_product = kind != "work_start"
            key = (thing, kind, product if by_product and len(self.w.index) > 20 else "")
            self.counts[key] = self.counts.get(key, 0) + 1
            more["count"] = self.counts[key]
        if product:
            more["product"] = product
        until(self.w, at)
        self.w.event(at, kind, thing, unit=unit, **more)

    def lose(self, kind: str, thing: str, product: str = "") -> None:
        """An event that happens and never comes: only its count goes on."""
        key = (thing, kind, product if kind != "work_start" and len(self.w.index) > 20 else "")
        self.counts[key] = self.counts.get(key, 0) + 1
        self.w.skip()


def to_paint(w: Writer, products: str, at: float = 1.0) -> Shop:
    """Motors (s or l) stand before the oven, in this order; each has come through the whole line."""
    shop, names = Shop(w), {"s": "small", "l": "large"}
    released: dict[str, int] = {}
    for i, letter in enumerate(products):
        name = names[letter]
        released[name] = released.get(name, 0) + 1
        w.data(at + i, **{f"release__{name}": released[name]})
        for j, station in enumerate(("turn", "assembly", "test")):
            shop(at + i + 0.2 * j, "work_start", station, name, step=station)
            shop(at + i + 0.2 * j + 0.1, "work_end", station, name, step=station)
    return shop


def at(state: TwinState, plant: Plant, station: str) -> list[Any]:
    """[parts in the queue, parts in each unit] of a station, by product."""
    s = [x.id for x in plant.stations].index(station)
    names = [p.id for p in plant.products]
    found = state.stations[s]
    return [[names[p.product] for p in found.queue], *([names[p.product] for p in u.parts] for u in found.units)]


# --- ovens -----------------------------------------------------------------------------------------------------------


def test_an_oven_takes_several_and_lets_them_out_in_their_order(plant: Plant) -> None:
    w = begin(plant)
    shop = to_paint(w, "slss")
    for name in ("small", "large", "small"):
        shop(20, "work_start", "paint", name, step="paint")
    w.data(20, paint__1__state=WORK, paint__queue=1)
    assert at(state_of(w), plant, "paint") == [["small"], ["small", "large", "small"]]
    assert sum(map(held, state_of(w).stations)) == sum(state_of(w).wip) == 4
    w.tick(260)
    oven = facts_of(w).units["paint", 1]
    compiled = compile_plant(plant)
    assert (oven.state, oven.worked, len(oven.parts)) == ("work", compiled.ticks(240), 2)
    rows = ensemble(compiled, state_of(w), 1, 4)
    assert (compiled.layout.view(rows, "unit_count")[:, compiled.unit_index["paint", 1]] == 3).all()
    for name in ("small", "large", "small"):
        shop(860, "work_end", "paint", name, step="paint")
    w.tick(861)
    assert at(state_of(w), plant, "paint") == [["small"], []]
    assert at(state_of(w), plant, "pack")[0] == ["small", "large", "small"]
    assert state_of(w).counts == {}


def test_parts_that_wait_for_companions_are_no_ghosts(plant: Plant) -> None:
    """One part waits before an idle oven that takes two; after 25 minutes alone it would have been taken."""
    w = begin(plant)
    to_paint(w, "s")
    w.ticks(3, 1400)
    state = state_of(w)
    assert (at(state, plant, "paint")[0], state.contradictions, state.counts) == (["small"], {}, {})
    w.ticks(1400, 1540)
    state = state_of(w)
    assert at(state, plant, "paint")[0] == []
    assert state.counts["vanished"] == 1
    assert "a unit is free and would take a part" in next(iter(state.contradictions.values())).what


def test_a_lost_end_of_a_batch_is_healed_by_the_counter(plant: Plant) -> None:
    w = begin(plant)
    shop = to_paint(w, "sss")
    for _ in range(3):
        shop(20, "work_start", "paint", "small", step="paint")
    shop(860, "work_end", "paint", "small", step="paint")
    shop.lose("work_end", "paint", "small")
    shop(860, "work_end", "paint", "small", step="paint")
    w.data(860, paint__out__small=3)
    w.tick(861)
    assert at(state_of(w), plant, "paint") == [[], []]
    assert at(state_of(w), plant, "pack")[0] == ["small"] * 3


def test_what_did_not_end_with_its_batch_was_never_in_it(plant: Plant) -> None:
    """The oven was thought to hold three, two came out: the third still waits before it."""
    w = begin(plant)
    shop = to_paint(w, "sss")
    for _ in range(3):
        shop(20, "work_start", "paint", "small", step="paint")
    for _ in range(2):
        shop(860, "work_end", "paint", "small", step="paint")
    w.tick(861)
    state = state_of(w)
    assert at(state, plant, "paint") == [["small"], []]
    assert state.counts == {"not_in_batch": 1}


def test_a_full_rack_keeps_the_rest_of_a_batch_in_the_oven(plant: Plant) -> None:
    w = begin(plant)
    shop = to_paint(w, "ssssssss")
    for first in (20, 900):
        for _ in range(4):
            shop(first, "work_start", "paint", "small", step="paint")
        for _ in range(4):
            shop(first + 840, "work_end", "paint", "small", step="paint")
        shop(first + 840, "work_start", "pack", "small", step="pack") if first == 20 else None
    w.data(1740, paint__1__state=BLOCKED)
    w.tick(1741)
    state = state_of(w)
    assert at(state, plant, "pack") == [["small"] * 3, ["small"]]  # three places
    assert at(state, plant, "paint") == [[], ["small"] * 4]
    oven = facts_of(w).units["paint", 1]
    assert (oven.state, len(oven.parts), {p.step for p in (oven.part, *oven.parts) if p}) == ("blocked", 3, {"pack"})
    shop(1800, "work_end", "pack", "small", step="pack")
    shop(1800, "work_start", "pack", "small", step="pack")
    assert at(state_of(w), plant, "paint") == [[], ["small"] * 3]  # one moves up


# --- setups ----------------------------------------------------------------------------------------------------------


def test_a_setup_lasts_while_the_part_is_in_the_unit(plant: Plant) -> None:
    w, compiled = begin(plant), compile_plant(plant)
    shop = Shop(w)
    w.data(1, release__housing_s=1, release__housing_l=1)
    shop(1, "work_start", "mill", "housing_s", step="mill")
    shop(301, "work_end", "mill", "housing_s", step="mill")
    assert facts_of(w).units["mill", 1].family == "housing_s"
    shop(310, "work_start", "mill", "housing_l", step="mill")
    shop(310, "setup", "mill", "housing_l", step="mill", state="setup")
    w.data(312, mill__1__state=SETUP)
    w.tick(430)
    found = facts_of(w).units["mill", 1]
    assert (found.state, found.worked, found.family) == ("setup", compiled.ticks(120), "housing_s")
    left = compiled.layout.view(ensemble(compiled, state_of(w), 1, 400), "next_time")[:, compiled.unit_index["mill", 1]]
    assert (left - to_tick(compiled, T0 + 430_000)).mean() / compiled.ticks(60) == pytest.approx(10.0, rel=0.15)
    shop(1010, "setup_end", "mill", "housing_l", step="mill", state="work")
    w.tick(1040)
    found = facts_of(w).units["mill", 1]
    assert (found.state, found.worked, found.family) == ("work", compiled.ticks(30), None)
    rows = ensemble(compiled, state_of(w), 1, 2)
    family = compiled.layout.view(rows, "unit_family")[:, compiled.unit_index["mill", 1]]
    assert (family == compiled.families.index("housing_l")).all()
    assert state_of(w).stations[0].set_ups == 1


def test_a_unit_never_seen_at_work_is_set_up_for_what_its_station_makes(plant: Plant) -> None:
    w = begin(plant)
    assert facts_of(w).units["mill", 2].family is None  # as at the start of the plant
    shop = Shop(w)
    w.data(1, release__housing_l=1)
    shop(1, "work_start", "mill", "housing_l", step="mill")
    shop(301, "work_end", "mill", "housing_l", step="mill")
    assert facts_of(w).units["mill", 2].family == "housing_l"


# --- components ------------------------------------------------------------------------------------------------------


def test_components_leave_their_stocks_when_the_operation_starts(bare: Plant) -> None:
    w, shop = Writer(bare), None
    w.data(0, stock_s__on_hand=10)
    shop = Shop(w)
    k = {x.id: i for i, x in enumerate(bare.stocks)}

    def on_hand(*names: str) -> list[int]:
        return [state_of(w).stocks[k[name]].on_hand for name in names]

    shop(1, "work_start", "turn", "large", step="turn")
    shop(500, "work_end", "turn", "large", step="turn")
    assert on_hand("housings_l", "coils") == [3, 130]
    shop(510, "work_start", "assembly", "large", step="assembly")
    assert on_hand("housings_s", "housings_l", "coils") == [4, 2, 128]
    shop(520, "work_start", "mill", "housing_s", step="mill")
    assert on_hand("castings") == [149]  # at release, which nobody counts
    shop(820, "work_end", "mill", "housing_s", step="mill")
    assert on_hand("housings_s") == [5]


def test_parts_that_wait_for_components_are_no_ghosts(plant: Plant) -> None:
    """Assembly is idle beside a motor as long as it has no housing; then it should have begun."""
    w = begin(plant)
    shop = Shop(w)
    w.data(1, housings_s__on_hand=0, release__small=1)
    shop(1, "work_start", "turn", "small", step="turn")
    shop(300, "work_end", "turn", "small", step="turn")
    w.ticks(301, 600)
    assert at(state_of(w), plant, "assembly")[0] == ["small"]
    assert state_of(w).contradictions == {}
    w.data(600, housings_s__on_hand=1)
    w.ticks(601, 650)
    assert at(state_of(w), plant, "assembly")[0] == []
    assert state_of(w).counts["vanished"] == 1


# --- rework and scrap ------------------------------------------------------------------------------------------------


def test_rework_and_scrap_take_their_part_back_from_where_it_was_thought_to_be(plant: Plant) -> None:
    w = begin(plant)
    shop = to_paint(w, "sl")
    shop(20, "work_start", "rework", "large", step="rework")
    assert (at(state_of(w), plant, "paint")[0], at(state_of(w), plant, "rework")[1]) == (["small"], ["large"])
    shop(700, "work_end", "rework", "large", step="rework")
    assert at(state_of(w), plant, "test")[0] == ["large"]
    shop(710, "work_start", "test", "large", step="test")
    shop(800, "work_end", "test", "large", step="test")
    shop(800, "scrap", "test", "large", step="test")
    state = state_of(w)
    assert at(state, plant, "paint")[0] == ["small"]
    assert (sum(state.meters.scrapped), sum(state.wip), state.counts) == (1, 1, {})


# --- crews and calendars ---------------------------------------------------------------------------------------------


def test_the_crew_goes_to_the_most_urgent_unit_that_waits(plant: Plant) -> None:
    """One fitter: paint (priority 2) fails first and has him; then mill (1) and turn (0) wait, turn goes first."""
    w, compiled = begin(plant), compile_plant(plant)
    shop = to_paint(w, "ss")
    w.data(5, release__housing_s=1, release__small=3)
    shop(6, "work_start", "mill", "housing_s", step="mill")
    shop(6, "work_start", "turn", "small", step="turn")
    for _ in range(2):
        shop(6, "work_start", "paint", "small", step="paint")
    for second, station, name in ((60, "paint", "small"), (120, "mill", "housing_s"), (180, "turn", "small")):
        shop(second, "down", station, name, state="down", text="failure")
        w.data(second, **{f"{station}__1__state": DOWN})
    w.tick(300)

    def repaired() -> dict[str, int | None]:
        units = facts_of(w).units
        return {s: units[s, 1].repaired for s in ("paint", "mill", "turn")}

    assert repaired() == {"paint": compiled.ticks(240), "mill": None, "turn": None}
    view = compiled.layout.view
    rows = ensemble(compiled, state_of(w), 1, 3)
    assert (view(rows, "unit_state")[:, compiled.unit_index["turn", 1]] == IS_DOWN).all()
    assert (view(rows, "crew_head") == compiled.unit_index["turn", 1]).all()
    shop(400, "up", "paint", "small", state="work", text="failure")
    w.tick(460)
    assert repaired() == {"paint": None, "mill": None, "turn": compiled.ticks(60)}
    shop(500, "up", "mill", "housing_s", state="work", text="failure")  # so he was there, and only now is at turn
    w.tick(530)
    assert repaired() == {"paint": None, "mill": None, "turn": compiled.ticks(30)}


def test_parts_beside_a_unit_that_closes_stay_where_they_are(plant: Plant) -> None:
    """Six places before assembly and two free units' places; the day ends while parts wait for housings."""
    w = begin(plant)
    w.data(1, housings_s__on_hand=0)
    shop = Shop(w)
    for i in range(8):
        w.data(10 * i + 2, release__small=i + 1)
        shop(10 * i + 2, "work_start", "turn", "small", step="turn")
        shop(10 * i + 9, "work_end", "turn", "small", step="turn")
    w.data(100, assembly__1__state=6, assembly__2__state=6, assembly__queue=8)
    w.ticks(101, 130)
    state = state_of(w)
    assert (len(at(state, plant, "assembly")[0]), state.counts) == (8, {})
    assert len(facts_of(w).queues["assembly"]) == 8


# --- supply ----------------------------------------------------------------------------------------------------------


def paper(w: Writer, second: float, doc: str, kind: str, stock: str, quantity: int, **more: Any) -> None:
    item = next(k.item for k in w.plant.stocks if k.id == stock)
    body = {"doc": doc, "version": 1, "kind": kind, "item": item, "stock": stock, "quantity": quantity}
    until(w, second)
    w.put("supply", second, json.dumps(body | {"issued": T0 + round(second * 1000)} | more).encode())


def test_an_order_at_another_stock_is_owed_until_it_is_sent(bare: Plant) -> None:
    w, compiled = Writer(bare), compile_plant(bare)
    w.data(0, stock_s__on_hand=3)
    paper(w, 10, "TO-export_s-1", "purchase_order", "export_s", 7, supplier="stock_s")
    paper(w, 10, "SN-TO-export_s-1-1", "shipment_notice", "export_s", 3, supplier="stock_s", ref="TO-export_s-1")
    w.data(11, stock_s__on_hand=0)
    found = facts_of(w).stocks["export_s"]
    assert (found.owed, found.orders) == (4, (OrderFacts(3, placed=to_tick(compiled, T0 + 10_000)),))
    lane = compiled.lane_index["export_s", "regular"]
    due = compiled.layout.view(ensemble(compiled, state_of(w), 1, 200), "transit_due")[:, lane, 0]
    assert (due - found.orders[0].placed).mean() == pytest.approx(compiled.ticks(5 * 3600), rel=0.03)  # type: ignore[operator]
    paper(w, 900, "SN-TO-export_s-1-2", "shipment_notice", "export_s", 2, supplier="stock_s", ref="TO-export_s-1")
    paper(w, 18_010, "GR-TO-export_s-1-1", "goods_receipt", "export_s", 3, supplier="stock_s", ref="TO-export_s-1")
    found = facts_of(w).stocks["export_s"]
    assert (found.on_hand, found.owed) == (17, 2)
    assert found.orders == (OrderFacts(2, placed=to_tick(compiled, T0 + 900_000)),)
    rows = ensemble(compiled, state_of(w), 1, 2)
    assert (compiled.layout.view(rows, "owed")[:, lane] == 2).all()


def test_documents_may_come_in_any_order_and_twice(bare: Plant) -> None:
    w = Writer(bare)
    w.data(0, stock_s__on_hand=0)
    papers: list[tuple[str, str, int, dict[str, Any]]] = [
        ("GR-TO-export_s-1-1", "goods_receipt", 3, {"ref": "TO-export_s-1"}),
        ("SN-TO-export_s-1-2", "shipment_notice", 2, {"ref": "TO-export_s-1"}),
        ("SN-TO-export_s-1-1", "shipment_notice", 3, {"ref": "TO-export_s-1"}),
        ("TO-export_s-1", "purchase_order", 7, {}),
    ]
    for _ in range(2):
        for doc, kind, n, more in papers:
            paper(w, 60, doc, kind, "export_s", n, supplier="stock_s", **more)
    found = facts_of(w).stocks["export_s"]
    assert (found.on_hand, found.owed, [o.quantity for o in found.orders]) == (17, 2, [2])
    assert state_of(w).stocks[6].on_order == 4


def test_what_the_line_makes_is_sent_on_at_once_where_it_is_owed(bare: Plant) -> None:
    """Home customers come first, then the debt to the export warehouse; the notice comes later and changes nothing."""
    w = Writer(bare)
    w.data(0, stock_s__on_hand=0)
    paper(w, 10, "TO-export_s-1", "purchase_order", "export_s", 2, supplier="stock_s")
    shop = Shop(w)
    for i in range(3):
        shop(100 + i, "work_start", "pack", "small", step="pack")
        shop(200 + i, "work_end", "pack", "small", step="pack")
    facts = facts_of(w)
    assert (facts.stocks["stock_s"].on_hand, facts.stocks["export_s"].owed) == (1, 0)
    assert sum(o.quantity for o in facts.stocks["export_s"].orders) == 2
    for i in (1, 2):
        notice = {"supplier": "stock_s", "ref": "TO-export_s-1"}
        paper(w, 300, f"SN-TO-export_s-1-{i}", "shipment_notice", "export_s", 1, **notice)
    facts = facts_of(w)
    assert (facts.stocks["stock_s"].on_hand, facts.stocks["export_s"].owed) == (1, 0)
    assert [o.quantity for o in facts.stocks["export_s"].orders] == [1, 1]


def test_express_orders_stand_in_their_own_lane(bare: Plant) -> None:
    w, compiled = Writer(bare), compile_plant(bare)
    w.data(0, stock_s__on_hand=10)
    paper(w, 10, "PO-coils-1", "purchase_order", "coils", 60, supplier="copper")
    paper(w, 20, "PX-coils-1", "purchase_order", "coils", 20, supplier="courier")
    found = facts_of(w).stocks["coils"]
    assert ([o.quantity for o in found.orders], [o.quantity for o in found.express]) == ([60], [20])
    rows = ensemble(compiled, state_of(w), 1, 200)
    lane = compiled.lane_index["coils", "express"]
    due = compiled.layout.view(rows, "transit_due")[:, lane, 0] - to_tick(compiled, T0 + 20_000)
    assert due.mean() == pytest.approx(compiled.ticks(2 * 3600), rel=0.05)
    paper(w, 7220, "GR-PX-coils-1", "goods_receipt", "coils", 20, supplier="courier", ref="PX-coils-1")
    found = facts_of(w).stocks["coils"]
    assert (found.on_hand, [o.quantity for o in found.orders], found.express) == (150, [60], ())


def test_an_order_that_should_long_be_there_is_late(bare: Plant) -> None:
    """Copper is late three times in ten, by ten hours; after 25 h an order of 8 h must be late."""
    w, compiled = Writer(bare), compile_plant(bare)
    w.data(0, stock_s__on_hand=10)
    paper(w, 10, "PO-coils-1", "purchase_order", "coils", 60, supplier="copper")
    mean = {}
    for hours in (0, 25):
        w.tick(11 + hours * 3600)
        rows = ensemble(compiled, state_of(w), 1, 400)
        lane = compiled.lane_index["coils", "regular"]
        left = compiled.layout.view(rows, "transit_due")[:, lane, 0] - rows[:, 0]
        mean[hours] = float(left.mean()) / compiled.ticks(3600)
    assert mean[0] == pytest.approx(8 + 0.3 * 10, rel=0.1)
    assert 2.0 < mean[25] < 6.0  # what remains of a lateness that has lasted about 17 h; never "at once"


def test_customers_of_one_stock_are_served_by_priority(plant: Plant) -> None:
    w = begin(plant)
    w.data(1, export_s__on_hand=0)
    w.data(2, south_s__count=2)
    w.data(3, north_s__count=1)
    w.data(4, export_s__backorder=3)
    assert {d: n for d, n in facts_of(w).waiting.items() if n} == {"south_s": 2, "north_s": 1}
    paper(w, 5, "GR-TO-export_s-1-1", "goods_receipt", "export_s", 2, supplier="stock_s", ref="TO-export_s-1")
    w.data(6, export_s__backorder=1)
    facts = facts_of(w)
    assert {d: n for d, n in facts.waiting.items() if n} == {"south_s": 1}  # north first
    compiled = compile_plant(plant)
    rows = ensemble(compiled, state_of(w), 1, 2)
    assert (compiled.layout.view(rows, "waiting")[:, compiled.demand_index["south_s"]] == 1).all()


def test_the_group_and_the_controls_are_told(plant: Plant) -> None:
    w, compiled = begin(plant), compile_plant(plant)
    to_paint(w, "ssl")
    w.data(30, release__small=4, release__large=2, set__cap=9, set__setup=5)
    facts = facts_of(w)
    assert (facts.released["small"], facts.released["large"], facts.controls["cap"]) == (4, 2, 9)
    rows = ensemble(compiled, state_of(w), 1, 2)
    assert (compiled.layout.view(rows, "group_wip") >= 5).all()
    assert (compiled.layout.view(rows, "group_cap") == 9).all()


# --- what is not tracked ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "words"),
    [("make_to_stock", "station machine: a condition"), ("jobshop10", "product shaft: dates that are drawn")],
)
def test_what_cannot_be_tracked_is_refused_by_name(
    name: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(TwinLimitError, match=words):
        Tracker(load(name))
    with pytest.raises(Exit):
        twin(name, data=tmp_path)
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"transfer": 2, "lot": 2}, "product a: transfer batches"),
        ({"release": Release("orders")}, "product a: a list of orders"),
        ({"steps": (Step("x", "one", const(1), ((DONE, 1.0),), others=(("two", const(1)),)),)}, "step a/x: a choice"),
    ],
)
def test_every_limit_is_named(change: dict[str, Any], words: str) -> None:
    one = replace(product("a", [("one", 1)], conwip(2)), **change)
    with pytest.raises(TwinLimitError, match=words):
        Tracker(small([Station("one"), Station("two")], [one]))


def test_limits_of_supply_are_named() -> None:
    stock = Stock("raw", "ore", "acme", 5, level=9, review=10, lead=const(2), policy="forecast")
    with pytest.raises(TwinLimitError, match="stock raw: policy forecast"):
        Tracker(small([], [], stocks=(stock,)))
    with pytest.raises(TwinLimitError, match="blocking before_service"):
        Tracker(small([], [], conventions={"blocking": "before_service"}))
    demands = (Demand("a", "raw", const(3)), Demand("b", "raw", const(3), unmet="lost"))
    counter = Sensor("raw", "demand", "raw/count", "counter")
    both = {"stocks": (replace(stock, policy="base_stock"),), "demands": demands, "sensors": (counter,)}
    with pytest.raises(TwinLimitError, match="demands that wait and demands that are lost behind one counter"):
        Tracker(small([], [], **both))


def test_states_alone_move_a_batch(plant: Plant) -> None:
    """Without events: the oven's state says that it has begun (with all four that waited, as the rules would have it),
    the queue's level that it took only three, the counter that they have come out.
    """
    w = begin(plant)
    w.json("manual", 1, t=T0 + 1000, thing="to_paint", property="level", value=4, sd=0.1, role="operator")
    w.data(5, paint__1__state=WORK)
    assert [len(x) for x in at(state_of(w), plant, "paint")] == [0, 4]
    w.data(6, paint__queue=1)
    w.data(845, paint__1__state=IDLE, paint__out__small=3)
    w.tick(846)
    found = at(state_of(w), plant, "paint")
    assert [len(x) for x in found] == [1, 0]
    assert len(at(state_of(w), plant, "pack")[0]) == 3
