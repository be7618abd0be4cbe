"""Supply and demand of the SimPy reference by hand-computed stories, without a floor."""

from __future__ import annotations

from datetime import datetime
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from sim.compile import RING, TRANSIT_CONTINUOUS, compile_plant
from sim.plant import Demand, Dist, Express, Order, Plant, Stock, Supplier
from sim.reference_clock import Clock, Luck, Shared, Worklist
from sim.reference_demand import Customer, Season
from sim.reference_stock import StockPoint
from sim.reference_supply import Supply
from sim.state import KINDS, State


def constant(ticks: float) -> Dist:
    return Dist("constant", (float(ticks),))


class Bench:
    """Stocks, suppliers and customers alone, with their SimPy clock."""

    def __init__(self, stocks: list[Stock], demands: list[Demand], suppliers: list[Supplier] | None = None) -> None:
        self.plant = Plant(
            "bench", "site", "area", "line", "UTC", 1.0, "s", "EUR", datetime(2026, 1, 5),
            products=(), stations=(), stocks=tuple(stocks), demands=tuple(demands),
            suppliers=tuple(suppliers or [Supplier("acme")]),
        )  # fmt: skip
        self.compiled = compile_plant(self.plant)
        self._build(0)
        self.supply.draw_first()
        self.supply.begin()

    def _build(self, now: int) -> None:
        keys = [(KINDS.index(kind), owner) for kind, owner in self.compiled.slots]
        self.clock = Clock([kind for kind, _ in keys], now)
        self.shared = Shared(self.clock, Luck(7, 0), Worklist(), {key: at for at, key in enumerate(keys)})
        model: Any = SimpleNamespace(compiled=self.compiled, shared=self.shared, parts=None, calendar={})
        self.supply = Supply(model)
        self.supply.connect({})

    def write(self) -> State:
        """The supply half of the row, and the slots."""
        row = State(self.compiled.layout.blank_row(), self.compiled.layout)
        row.now = self.clock.now
        row.next_time = self.clock.next_times()
        self.supply.write(row)
        return row

    def interrupt(self) -> Bench:
        """Write the row, forget everything, and go on from the row."""
        row, before = self.write(), self.clock.trace
        self._build(row.now)
        self.supply.read(row)
        self.supply.begin()
        self.clock.flush()
        self.clock.trace[:0] = before
        return self

    def run(self, until: int) -> Bench:
        self.clock.run(until)
        return self

    def stock(self, name: str) -> StockPoint:
        return self.supply.stock[name]

    def customer(self, name: str) -> Customer:
        return next(c for c in self.supply.customers if c.spec.id == name)

    def now(self, *names: str) -> list[tuple[int, int, int]]:
        """(on hand, backorders, on order) of stocks."""
        stocks = [self.stock(name) for name in names]
        return [(stock.on_hand.value, stock.backorders.value, stock.on_order) for stock in stocks]

    def kinds(self) -> list[tuple[int, str]]:
        return [(tick, KINDS[kind]) for tick, _, kind in self.clock.trace]


def supplied(name: str = "raw", **terms: Any) -> Stock:
    """A stock of 5 from acme, 10 ticks away, unless said otherwise."""
    terms = {"source": "acme", "initial": 5, "lead": constant(10), "level": 5, **terms}
    return Stock(name, "thing", **terms)


def steady(stock: str = "raw", every: float = 4, name: str = "customers", **terms: Any) -> Demand:
    return Demand(name, stock, constant(every), **terms)


def orders(*lines: tuple[int, int], stock: str = "raw", name: str = "customers", **terms: Any) -> Demand:
    """A customer with a book of (tick, quantity)."""
    book = tuple(Order(at, quantity) for at, quantity in lines)
    return Demand(name, stock, None, book=book, **terms)


def test_base_stock_orders_what_was_taken() -> None:
    bench = Bench([supplied()], [steady()]).run(13)
    assert bench.now("raw") == [(2, 0, 3)]
    assert [(order.due, order.quantity) for order in bench.stock("raw").regular.transit if order] == [  # type: ignore[union-attr]
        (14, 1), (18, 1), (22, 1),
    ]  # fmt: skip
    bench.run(100)
    assert bench.now("raw") == [(3, 0, 2)]
    assert bench.stock("raw").in_transit.integral() == 22 * 10 + 8 + 4


def test_s_S_orders_up_to_the_level_at_the_reorder_point() -> None:  # noqa: N802 - the policy's name
    bench = Bench([supplied(policy="s_S", reorder=3, level=9)], [steady()]).run(9)
    assert bench.now("raw") == [(3, 0, 6)]
    assert bench.run(13).now("raw") == [(2, 0, 6)]


def test_r_q_lifts_the_position_above_the_reorder_point() -> None:
    stock = supplied(policy="r_Q", reorder=4, quantity=3, level=None)
    bench = Bench([stock], [orders((1, 8))]).run(2)
    assert bench.now("raw") == [(0, 3, 9)]  # position -3: 3, 6, 9 - and 6 would give 3, not above 4


def test_least_and_multiple() -> None:
    bench = Bench([supplied(least=3, multiple=4)], [orders((1, 1), (2, 5))]).run(2)
    assert bench.now("raw") == [(4, 0, 4)]  # 1 wanted, at least 3, in fours
    assert bench.run(3).now("raw") == [(0, 1, 8)]  # position 3: 2 wanted


def test_periodic_review_waits_for_its_tick() -> None:
    bench = Bench([supplied(review=20, initial=4)], [steady(every=7)]).run(30)
    others = [event for event in bench.kinds() if event[1] != "demand"]
    assert others == [(0, "review"), (10, "delivery"), (20, "review")]
    assert bench.now("raw") == [(1, 0, 2)]


def test_forecast_follows_mean_demand() -> None:
    stock = supplied(policy="forecast", review=10, window=2, cover=1.5, safety=1, level=None, initial=0)
    bench = Bench([stock], [orders((5, 4), (15, 6))]).run(21)
    raw = bench.stock("raw")
    assert raw.past == [6, 4]
    assert raw.level == 9  # 1.5 periods of 5, rounded half up, and 1
    assert raw.seen == 10


def test_forecast_at_the_start_orders_the_safety_stock() -> None:
    stock = supplied(policy="forecast", review=10, window=2, cover=1.5, safety=3, level=None, initial=1)
    assert Bench([stock], []).run(1).now("raw") == [(1, 0, 2)]


def test_supplier_capacity_queues_orders() -> None:
    bench = Bench([supplied()], [orders((1, 2), (2, 1))], [Supplier("acme", unit_ticks=6)]).run(3)
    lane = bench.supply.lanes[0]
    assert [order.due for order in lane.transit if order] == [1 + 12 + 10, 13 + 6 + 10]
    assert bench.supply.vendors[0].busy_until == 19


def test_a_supplier_that_is_never_in_time() -> None:
    late = Supplier("acme", reliability=0.0, late=constant(7))
    bench = Bench([supplied()], [orders((1, 1))], [late]).run(2)
    assert [order.due for order in bench.supply.lanes[0].transit if order] == [1 + 10 + 7]


def test_reliability_is_a_share_of_orders() -> None:
    late = Supplier("acme", reliability=0.75, late=constant(3))
    bench = Bench([supplied(lead=constant(1))], [steady(every=9)], [late]).run(9001)
    deliveries = [tick % 9 for tick, kind in bench.kinds() if kind == "delivery"]
    assert set(deliveries) == {1, 4}
    assert 0.21 < deliveries.count(4) / len(deliveries) < 0.29  # 1,000 orders: three standard errors


def test_express_lane_looks_as_far_as_its_own_lead() -> None:
    express = Express("acme", constant(3), 4)
    bench = Bench([supplied(level=8, initial=8, express=express)], [orders((1, 5), (9, 1), (10, 1))])
    assert bench.run(2).now("raw") == [(3, 0, 5)]  # express: 4 - 3 = 1; regular: 8 - 4 = 4
    express_lane = bench.supply.lanes[1]
    assert express_lane.ordered == 1
    bench.run(10)  # at 9: on hand 3 + 1 - 1 = 3, and the 4 regular ones come at 11, within 3 ticks
    assert express_lane.ordered == 1
    assert bench.run(12).now("raw") == [(3 + 1 - 2 + 4, 0, 2)]


def test_a_stock_owes_what_it_has_not() -> None:
    stocks = [supplied("top", initial=2, level=2), supplied("shop", source="top", initial=3, level=3, lead=constant(1))]
    bench = Bench(stocks, [orders((1, 3), stock="shop")]).run(2)
    assert bench.now("top", "shop") == [(0, 0, 3), (0, 0, 3)]
    lane = bench.stock("shop").regular
    assert lane is not None
    assert lane.owed == 1
    assert bench.run(3).now("shop") == [(2, 0, 1)]
    bench.run(12)  # the supplier's 3 come at 11: 1 is sent on, 2 stay
    assert bench.now("top", "shop") == [(2, 0, 0), (2, 0, 1)]
    assert bench.run(13).now("shop") == [(3, 0, 0)]


def test_three_echelons_pass_the_withdrawal_up() -> None:
    stocks = [
        supplied("top", initial=9, level=9),
        supplied("mid", source="top", initial=9, level=9),
        supplied("shop", source="mid", initial=9, level=9),
    ]
    bench = Bench(stocks, [orders((1, 4), stock="shop")]).run(2)
    assert bench.now("top", "mid", "shop") == [(5, 0, 4), (5, 0, 4), (5, 0, 4)]


def test_echelon_position_counts_everything_below() -> None:
    stocks = [
        supplied("top", initial=6, level=20, echelon=True),
        supplied("shop", source="top", initial=9, level=5, review=1000, lead=constant(1)),
    ]
    bench = Bench(stocks, [orders((1, 2), stock="shop")]).run(2)
    assert bench.now("top", "shop") == [(6, 0, 20 - 6 - 7), (7, 0, 0)]  # seen at the top though nothing was ordered


def test_claims_by_priority_then_customers_then_file_order() -> None:
    stocks = [
        supplied("top", initial=0, level=0, review=1000),
        supplied("one", source="top", initial=0, level=1, priority=1, review=1000),
        supplied("two", source="top", initial=0, level=1, priority=0, review=1000),
    ]
    demands = [
        orders((1, 1), stock="top", name="late", priority=1),
        orders((1, 1), stock="top", name="soon", priority=0),
    ]
    bench = Bench(stocks, demands).run(2)
    served = []
    for _ in range(4):
        before = [bench.customer(name).waiting.value for name in ("soon", "late")] + [
            lane.owed for lane in bench.stock("top").lanes_out
        ]
        bench.stock("top").receive(1)
        after = [bench.customer(name).waiting.value for name in ("soon", "late")] + [
            lane.owed for lane in bench.stock("top").lanes_out
        ]
        served += [name for name, a, b in zip(("soon", "late", "one", "two"), before, after, strict=True) if a != b]
    assert served == ["soon", "two", "late", "one"]


def test_lost_sales_are_counted_and_do_not_wait() -> None:
    bench = Bench([supplied(initial=2, level=2)], [orders((1, 5), unmet="lost")]).run(2)
    assert bench.now("raw") == [(0, 0, 2)]
    stock, customer = bench.stock("raw"), bench.customer("customers")
    assert (stock.demanded, stock.met, stock.shipped, stock.lost) == (5, 2, 2, 3)
    assert (customer.asked, customer.served, customer.lost_units) == (5, 2, 3)


def test_of_an_order_that_finds_few_places_the_rest_is_lost() -> None:
    """Two may wait: of five units two are met, two wait with their date, one is lost; and then all of the next."""
    bench = Bench([supplied(initial=2, level=2)], [orders((1, 5), (2, 3), most=2, due=5)]).run(3)
    stock, customer = bench.stock("raw"), bench.customer("customers")
    assert (stock.demanded, stock.met, stock.shipped, stock.lost, stock.backorders.value) == (8, 2, 2, 4, 2)
    assert (customer.asked, customer.served, customer.lost_units, customer.waiting.value) == (8, 2, 4, 2)
    assert [(p.due, p.quantity) for p in customer.promises] == [(6, 2)]


def test_promised_dates() -> None:
    bench = Bench([supplied(initial=1, level=1)], [orders((1, 3), (2, 1), due=5)])
    assert [(p.due, p.quantity) for p in bench.run(3).customer("customers").promises] == [(6, 2), (7, 1)]
    bench.run(12)  # 3 arrive at 11, the rest at 12
    customer = bench.customer("customers")
    assert (customer.late_units, customer.late_sum) == (3, 5 + 5 + 4)
    assert customer.promises == []
    assert customer.waiting.integral() == 2 * 10 + 1 * 9


def test_too_many_promises_are_an_error() -> None:
    bench = Bench([supplied(initial=0, level=0, review=10_000)], [steady(every=1, due=5)])
    with pytest.raises(OverflowError, match="late customer orders"):
        bench.run(2 * RING)
    assert bench.clock.now == RING + 1


def test_too_many_orders_in_transit_are_an_error() -> None:
    with pytest.raises(OverflowError, match="orders in transit"):
        Bench([supplied(lead=constant(1000))], [steady(every=1)]).run(TRANSIT_CONTINUOUS + 2)
    Bench([supplied(lead=constant(1000))], [steady(every=1)]).run(TRANSIT_CONTINUOUS + 1)


def test_compound_quantities_have_their_shares() -> None:
    demand = steady(every=1, quantity=((1, 0.5), (4, 0.25), (10, 0.25)))
    bench = Bench([supplied(initial=0, level=0, review=10_000)], [demand]).run(4001)
    assert 3.8 < bench.customer("customers").asked / 4000 < 4.2


@pytest.mark.parametrize(
    ("now", "worth", "due"),
    [(0, 0, 0), (0, 1800, 1800), (0, 3600, 3600), (0, 5400, 4500), (1800, 1800, 3600), (1800, 9000, 7200 + 3600 + 0)],
)
def test_season_is_operational_time(now: int, worth: int, due: int) -> None:
    season = Season((1.0, 2.0, 0.0) + (1.0,) * 165, 3600, 0)
    assert season.after(now, worth) == due


def test_season_begins_in_the_middle_of_the_week() -> None:
    season = Season((3.0,) + (1.0,) * 167, 3600, 167 * 3600)
    assert season.after(0, 3600 + 10_800) == 7200
    assert season.after(0, 3600 + 9) == 3600 + 3


def test_row_and_back() -> None:
    """What is written and read goes on as what was never stopped."""
    stocks = [
        supplied("top", initial=2, level=6, lead=Dist("exponential", (8.0,))),
        supplied("shop", source="top", initial=3, level=5, express=Express("acme", constant(2), 2)),
        supplied("told", review=9, policy="forecast", window=3, cover=1.0),
    ]
    demands = [
        Demand("some", "shop", Dist("exponential", (6.0,)), quantity=((1, 0.5), (2, 0.5)), due=4),
        orders((5, 3), (50, 2), stock="top", name="book"),
        steady("told"),
    ]
    suppliers = [Supplier("acme", unit_ticks=1, reliability=0.5, late=Dist("exponential", (3.0,)))]
    straight, stopped = Bench(stocks, demands, suppliers).run(90), Bench(stocks, demands, suppliers)
    for tick in (1, 7, 30, 31, 55):
        stopped.run(tick).interrupt()
    stopped.run(90)
    assert len(straight.clock.trace) > 60
    assert stopped.clock.trace == straight.clock.trace
    one, other = straight.write().row, stopped.write().row
    different = [straight.compiled.layout.name_at(int(i)) for i in np.flatnonzero(one != other)]
    assert different == []
