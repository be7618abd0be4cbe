"""Supply documents in any order, in parts, without orders; the order book's age; bills of material; by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.papers import Papers
from ingest.payloads import Supply
from sim.plantfile import load
from tests.twin.journals import T0, Writer, line
from twin import papers, transit
from twin.model import TwinState, done, held
from twin.topology import Topology, build, empty_state
from twin.tracker import Tracker
from twin.views import Around, frame, state_view

PLANT = load("gearmotor")
TOPOLOGY: Topology = build(PLANT)
BLANKS, WIRE, DAY = TOPOLOGY.stock["blanks"], TOPOLOGY.stock["wire"], 86_400_000


def fresh() -> TwinState:
    state = empty_state(TOPOLOGY)
    state.t = state.started = T0
    return state


def tell(state: TwinState, *documents: Supply) -> TwinState:
    for doc in documents:
        transit.document(TOPOLOGY, state, doc, state.t)
    return state


def doc(name: str, kind: str, quantity: float, version: int = 1, **more: Any) -> Supply:
    fields = {"stock": "blanks", "item": "blank", "issued": T0 - 1000} | more
    return Supply(doc=name, version=version, kind=kind, quantity=quantity, **fields)  # type: ignore[arg-type]


def order(quantity: float, version: int = 1, **more: Any) -> Supply:
    return doc("PO-1", "purchase_order", quantity, version, due=T0 + DAY, **more)


def receipt(name: str, quantity: float, version: int = 1, ref: str | None = "PO-1") -> Supply:
    return doc(name, "goods_receipt", quantity, version, ref=ref)


def believed(state: TwinState, k: int = BLANKS) -> dict[str, Any]:
    """All that a stock's documents lead to."""
    stock = state.stocks[k]
    table = {name: msgspec.to_builtins(o) for name, o in sorted((stock.orders | stock.closed).items())}
    tables = {"ordered": stock.ordered, "placed": stock.placed}
    sums = {name: {lane: n for lane, n in by_lane.items() if n} for name, by_lane in tables.items()}
    return {
        "on_hand": stock.on_hand, "on_order": stock.on_order, "received": stock.received, "open": sorted(stock.orders),
        "orders": table, **sums,
    }  # fmt: skip


def test_an_order_that_comes_in_parts_stays_open_for_the_rest() -> None:
    state = tell(fresh(), order(400), receipt("GR-1", 150))
    stock, before = state.stocks[BLANKS], fresh().stocks[BLANKS].on_hand
    assert (stock.on_order, stock.on_hand - before, list(stock.orders)) == (250, 150, ["PO-1"])
    tell(state, receipt("GR-2", 250))
    assert (stock.on_order, stock.on_hand - before, list(stock.orders)) == (0, 400, [])
    tell(state, receipt("GR-2", 250))  # told again
    assert stock.on_hand - before == 400
    tell(state, receipt("GR-2", 240, version=2))  # ten were missing after all
    assert (stock.on_order, stock.on_hand - before) == (10, 390)


def test_a_cancellation_and_a_late_change() -> None:
    state = tell(fresh(), order(400), order(0, version=3), order(500, version=2))
    assert (state.stocks[BLANKS].on_order, list(state.stocks[BLANKS].orders)) == (0, [])
    tell(state, doc("PO-1", "order_change", 60, version=4))
    assert state.stocks[BLANKS].on_order == 60


def test_a_receipt_without_an_order_is_goods_and_its_order_may_follow() -> None:
    state = tell(fresh(), receipt("GR-9", 30))
    before = fresh().stocks[BLANKS].on_hand
    assert (state.stocks[BLANKS].on_hand - before, state.stocks[BLANKS].on_order) == (30, 0)
    tell(state, order(100))
    assert (state.stocks[BLANKS].on_hand - before, state.stocks[BLANKS].on_order) == (30, 70)


def test_a_count_does_not_stop_deliveries_from_counting_and_an_old_one_is_no_news() -> None:
    state = tell(fresh(), doc("SC-1", "stock_count", 77, issued=T0 - 500), order(50), receipt("GR-1", 50))
    assert state.stocks[BLANKS].on_hand == 127
    tell(state, doc("SC-0", "stock_count", 5, issued=T0 - 900_000))
    assert state.stocks[BLANKS].on_hand == 127
    assert state.counts["stock_count_old"] == 1


def test_a_booking_says_nothing_of_orders_and_the_oldest_are_let_go() -> None:
    state = tell(fresh(), doc("PP", "production_performance", 3, item="gm40", stock=None, issued=T0 + DAY))
    assert state.booked["PP"].quantity == 3
    assert (state.papers, state.counts) == ({"production_performance": T0 + DAY}, {})
    assert Papers(newest=dict(state.papers)).view(T0 + DAY)["age_s"] is None, "the order book is no younger"
    tell(state, *(doc(f"P{k}", "production_performance", 1, item=None, stock=None, issued=T0 + k) for k in range(250)))
    assert len(state.booked) == papers.MOST
    assert "PP" in state.booked
    assert min(one.issued for one in state.booked.values()) == T0 + 51


documents = st.lists(
    st.one_of(
        st.builds(
            lambda n, q, v, due, lane: doc(
                f"PO-{n}", "purchase_order", q, v, stock="wire", item="wire", due=due, supplier=lane
            ),
            st.integers(1, 3), st.integers(0, 90), st.integers(1, 4), st.none() | st.integers(T0, T0 + DAY),
            st.sampled_from(("copperworks", "wire_trade")),
        ),
        st.builds(
            lambda n, g, q, v: doc(f"GR-{n}-{g}", "goods_receipt", q, v, stock="wire", item="wire", ref=f"PO-{n}"),
            st.integers(1, 3), st.integers(1, 2), st.integers(0, 60), st.integers(1, 2),
        ),
        st.builds(
            lambda n, q, v: doc(
                f"SN-{n}", "shipment_notice", q, v, stock="wire", item="wire", ref=f"PO-{n}", due=T0 + q
            ),
            st.integers(1, 3), st.integers(1, 60), st.integers(1, 2),
        ),
        st.builds(
            lambda item, q, v: doc(f"BOM-{item}", "bom_change", q, v, ref="gm40", stock=None, item=item),
            st.sampled_from(("blank", "stator_s")), st.integers(0, 3), st.integers(1, 3),
        ),
    ),
    max_size=12,
    unique_by=lambda d: (d.doc, d.version),
)  # fmt: skip


@settings(max_examples=120, deadline=None)
@given(documents, st.randoms(use_true_random=False))
def test_any_order_of_delivery_leads_to_the_same_state(given_: list[Supply], rnd: Any) -> None:
    """Each document told once or twice, in any order: what is on hand, on order and still open is the same."""
    one, other = fresh(), fresh()
    for state in (one, other):
        state.stocks[WIRE].on_hand = 10_000  # corrections downwards must not meet the floor of an empty stock
    shuffled = [*given_, *given_[: len(given_) // 2]]
    rnd.shuffle(shuffled)
    tell(one, *given_)
    tell(other, *shuffled)
    assert believed(one, WIRE) == believed(other, WIRE)
    assert (one.differs, one.papers) == (other.differs, other.papers)


# -- the order book and bills of material --------------------------------------------------------------------


def test_a_bill_of_material_that_differs_is_named_and_never_applied() -> None:
    state = fresh()
    before = repr(TOPOLOGY.needs) + repr(TOPOLOGY.consumes)
    bom = doc("ECO-7", "bom_change", 6, ref="stator_l", item="wire", stock=None)
    tell(state, bom)
    (said,) = papers.notices(state)
    assert "ECO-7: 6 wire go into one stator_l, the plant file says 4: plant file differs" in said
    assert repr(TOPOLOGY.needs) + repr(TOPOLOGY.consumes) == before
    tell(state, msgspec.structs.replace(bom, version=2, quantity=4))  # taken back
    assert papers.notices(state) == []
    tell(state, doc("ECO-8", "bom_change", 1, ref="pump", item="wire"))
    assert "product pump is not in the plant file" in papers.notices(state)[0]


def test_an_old_order_book_says_so() -> None:
    state = tell(fresh(), order(10), doc("SC", "stock_count", 9, issued=T0 + 2 * DAY))
    assert papers.notices(state) == []
    state.t = T0 + 2 * DAY
    assert papers.notices(state) == ["order book 2.0 days old"]  # a count of stocks is no order
    assert papers.view(state)["age_s"] == 2 * 86_400 + 1
    shown = state_view(TOPOLOGY, state, stale="")
    assert shown["supply"]["notices"] == ["order book 2.0 days old"]
    assert frame(TOPOLOGY, state, Around())["notices"] == 1 + len(state.contradictions)


# -- by hand ---------------------------------------------------------------------------------------------------


@pytest.fixture
def writer(tmp_path: Path) -> Writer:
    found = Writer(line(tmp_path))
    found.data(1, cut__state=1, wash__state=1, cut__a=0, mill__a=0, wash__a=0, b1__level=3, b2__level=1, in__a=0)
    found.data(2, in__a=6)
    return found


def folded(writer: Writer) -> Tracker:
    tracker = Tracker(writer.plant)
    for row in writer.rows:
        tracker.apply(row)
    return tracker


def parts(state: TwinState) -> int:
    return sum(held(station) for station in state.stations)


def by_hand(writer: Writer, at: float, thing: str, what: str, value: float, to: str = "") -> None:
    body = {"t": T0 + round(at * 1000), "thing": thing, "property": what, "value": value, "sd": 0, "role": "foreman"}
    writer.put("manual", at, json.dumps(body | {"to": to}).encode())


def test_parts_moved_by_hand_are_the_same_parts_elsewhere(writer: Writer) -> None:
    before = folded(writer).state
    queues = [len(s.queue) for s in before.stations]
    assert queues[1] >= 2, queues
    by_hand(writer, 3, "b1", "moved", 2, "b2")
    after = folded(writer).state
    assert [len(s.queue) for s in after.stations] == [queues[0], queues[1] - 2, queues[2] + 2]
    assert (parts(after), after.wip) == (parts(before), before.wip)
    assert after.counts["moved_by_hand"] == 2
    by_hand(writer, 4, "b1", "moved", 50, "b2")
    more = folded(writer).state
    assert more.contradictions["byhand/b1"].by == 50 - (queues[1] - 2)
    assert parts(more) == parts(before)


def test_a_quarantined_lot_is_out_and_booked(writer: Writer) -> None:
    before = folded(writer).state
    by_hand(writer, 3, "b1", "quarantined", 2)
    after = folded(writer).state
    assert parts(after) == parts(before) - 2
    assert sum(after.meters.scrapped) == sum(before.meters.scrapped) + 2
    assert done(after, [0, 1]) == done(before, [0, 1])
    by_hand(writer, 4, "fa", "quarantined", 3)
    stock = folded(writer).state
    assert stock.stocks[0].on_hand == after.stocks[0].on_hand - 3
    assert stock.counts["quarantined"] == 5
    by_hand(writer, 5, "nowhere", "quarantined", 1)
    by_hand(writer, 5, "b1", "moved", 1, "nowhere")
    assert folded(writer).state.counts["manual_unknown"] == 2
