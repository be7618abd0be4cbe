"""Orders, shipments, express lanes, late suppliers and customers by hand; and what no twin is started for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer import Exit

from sim.compile import compile_plant
from sim.facts import OrderFacts
from sim.plant import DONE, Demand, Plant, Release, Sensor, Station, Step, Stock
from sim.plantfile import load
from tests.sim.small_plants import const, conwip, product
from tests.sim.small_plants import plant as small
from tests.twin.journals import T0, Writer
from tests.twin.motor_rows import Shop, begin, facts_of, paper, state_of, to_paint
from twin.commands import twin
from twin.estimate import ensemble
from twin.facts import to_tick
from twin.limits import TwinLimitError, beyond
from twin.tracker import Tracker


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


def test_customers_wait_up_to_a_bound_and_what_they_ask_beyond_is_lost(plant: Plant) -> None:
    bounded = replace(plant, demands=tuple(replace(d, most=3 if d.id == "south_s" else None) for d in plant.demands))
    w = begin(bounded)
    w.data(1, export_s__on_hand=0)
    w.data(2, south_s__count=2)
    w.data(3, south_s__count=7)
    state = state_of(w)
    customer = state.demands[compile_plant(bounded).demand_index["south_s"]]
    assert (customer.demanded, customer.waiting, customer.lost) == (7, 3, 4)
    assert facts_of(w).waiting["south_s"] == 3


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
    bounded = (Demand("a", "raw", const(3)), Demand("b", "raw", const(3), most=2))
    with pytest.raises(TwinLimitError, match="several demands behind one counter, of which only so many units wait"):
        Tracker(small([], [], **(both | {"demands": bounded})))
    assert beyond(small([], [], **(both | {"demands": bounded[1:]}))) == []
    made = product("p", [("m", 1)], conwip(1, base_stock=1, stops=True))
    assert "surplus work that is scrapped" in " ".join(beyond(small([Station("m")], [made])))
