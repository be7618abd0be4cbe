"""The virtual plant's stocks and supply, feature by feature, against cases worked out by hand. Ticks are seconds."""

from __future__ import annotations

from typing import Any

import pytest

from hardware.shop import Shop
from sim.plant import Demand, Express, Order, Station, Stock, Supplier
from tests.hardware.shops import ACME, const, plant, product, supplied

IDLE = (product("p", ("m", 1e9)),)
FLOOR = (Station("m"),)


def book(name: str, stock: str, *asked: tuple[int, int], **more: Any) -> Demand:
    """Orders of (second, units)."""
    return Demand(name, stock, None, book=tuple(Order(t, n) for t, n in asked), **more)


def shop_of(
    *stocks: Stock, demands: tuple[Demand, ...], suppliers: tuple[Supplier, ...] = (ACME,), **more: Any
) -> Shop:
    return Shop(plant(IDLE, FLOOR, stocks=stocks, demands=demands, suppliers=suppliers, **more), 1)


def papers(shop: Shop) -> list[tuple[float, str, str, int]]:
    """(plant seconds, kind, document, units) of all that was told to the ERP."""
    return [(p.get("received_s", p["issued_s"]), p["kind"], p["doc"], p["quantity"]) for p in shop.papers]


def stand(shop: Shop, name: str) -> tuple[int, int, int]:
    room = shop.rooms[name]
    return room.on_hand, room.backorders, room.on_order


@pytest.mark.parametrize(
    ("policy", "ordered"),
    [
        ({"policy": "base_stock", "level": 10}, [(1, 3), (2, 4), (3, 1)]),
        ({"policy": "s_S", "level": 10, "reorder": 3}, [(2, 7)]),
        ({"policy": "s_S", "level": 10, "reorder": 2}, [(3, 8)]),
        ({"policy": "r_Q", "level": None, "reorder": 3, "quantity": 4}, [(2, 4)]),
        ({"policy": "r_Q", "level": None, "reorder": 8, "quantity": 3}, [(1, 3), (2, 3), (3, 3)]),
        ({"policy": "r_Q", "level": None, "reorder": 12, "quantity": 2}, [(1, 6), (2, 4), (3, 2)]),
        ({"policy": "base_stock", "level": 10, "least": 4}, [(1, 4), (2, 4)]),
        ({"policy": "base_stock", "level": 10, "multiple": 5}, [(1, 5), (2, 5)]),
        ({"policy": "base_stock", "level": 10, "review": 2}, [(2, 7)]),
    ],
)
def test_each_policy_orders_when_and_what_it_should(policy: dict[str, Any], ordered: list[tuple[float, int]]) -> None:
    customers = book("c", "k", (1, 3), (2, 4), (3, 1))
    shop = shop_of(supplied("k", "acme", 100, policy.pop("level"), 10, **policy), demands=(customers,))
    shop.run(3.5)
    assert [(t, n) for t, kind, _, n in papers(shop) if kind == "purchase_order"] == ordered


@pytest.mark.parametrize(
    ("convention", "ordered"),
    [
        ("receive_satisfy_review_order", [(0, 2), (10, 4)]),  # the four asked for at 10 are seen by the review at 10
        ("receive_review_order_satisfy", [(0, 2), (20, 4)]),
        ("review_order_receive_satisfy", [(0, 2), (20, 4)]),
    ],
)
def test_what_comes_first_at_one_moment(convention: str, ordered: list[tuple[float, int]]) -> None:
    stock = supplied("k", "acme", 10, 4, 2, review=10)
    customers = book("c", "k", (10, 4), unmet="lost")
    shop = shop_of(stock, demands=(customers,), conventions={"review_order": convention})
    shop.run(20.5)
    assert [(t, n) for t, kind, _, n in papers(shop) if kind == "purchase_order"] == ordered
    assert shop.markets["c"].lost == 0  # the two delivered at 10 are there


def test_a_changed_reorder_point_counts_at_the_next_withdrawal() -> None:
    stock = supplied("k", "acme", 100, 10, 10, policy="s_S", reorder=2)
    shop = shop_of(stock, demands=(book("c", "k", (1, 3), (4, 1)),))
    shop.run(2)
    shop.set("stocks.k.reorder", 7)
    shop.run(3)
    assert shop.rooms["k"].on_order == 0
    shop.run(5)
    assert stand(shop, "k") == (6, 0, 4)


def test_lost_sales_are_lost_and_quantities_are_served_in_part() -> None:
    waits, lost = book("w", "k", (1, 4)), book("l", "k", (2, 3), (12, 3), unmet="lost")
    shop = shop_of(supplied("k", "acme", 10, 5, 5), demands=(waits, lost))
    shop.run(3)
    assert (shop.markets["l"].count, shop.markets["l"].shipped, shop.markets["l"].lost) == (3, 1, 2)
    assert stand(shop, "k") == (0, 0, 5)
    shop.run(12.5)
    assert stand(shop, "k") == (2, 0, 3)
    assert shop.rooms["k"].demanded == shop.rooms["k"].shipped + 2 == 10


def test_customers_wait_up_to_a_bound() -> None:
    shop = shop_of(supplied("k", "acme", 10, 1, 1), demands=(book("w", "k", (1, 4), (2, 1), (12, 3), most=2),))
    shop.run(3)
    market = shop.markets["w"]
    assert (market.count, market.shipped, market.waiting, market.lost) == (5, 1, 2, 2)
    shop.run(12.5)  # the three ordered at 1 came at 11: two for those who waited, one for the order at 12
    assert (market.count, market.shipped, market.waiting, market.lost) == (8, 4, 2, 2)


def test_the_customer_who_matters_more_is_served_first() -> None:
    first, second = book("first", "k", (1, 4), priority=1), book("second", "k", (2, 3))
    shop = shop_of(supplied("k", "acme", 10, 0, 0), demands=(first, second))
    shop.run(12)  # four come at 11, three at 12
    assert (shop.markets["first"].shipped, shop.markets["second"].shipped) == (1, 3)
    shop.run(12.5)
    assert (shop.markets["first"].shipped, shop.markets["second"].shipped) == (4, 3)


def test_a_room_supplied_by_another_waits_for_what_that_has_not() -> None:
    """The transfer is ordered at once, sent in parts, and every part has its notice and its receipt."""
    top, low = supplied("top", "acme", 20, 3, 3), supplied("low", "top", 5, 4, 4)
    shop = shop_of(top, low, demands=(book("c", "low", (1, 4)),))
    shop.run(2)
    assert (stand(shop, "top"), stand(shop, "low")) == ((0, 0, 4), (0, 0, 4))
    assert (shop.rooms["top"].owed, shop.rooms["low"].lanes[0].owed) == (1, 1)
    shop.run(7)
    assert stand(shop, "low") == (3, 0, 1)
    shop.run(30)
    assert (stand(shop, "top"), stand(shop, "low")) == ((3, 0, 0), (4, 0, 0))
    assert papers(shop) == [
        (1, "purchase_order", "TO-low-1", 4),
        (1, "shipment_notice", "TO-low-1-1", 3),
        (1, "purchase_order", "PO-top-1", 4),
        (6, "goods_receipt", "TO-low-1-1", 3),
        (21, "goods_receipt", "PO-top-1", 4),
        (21, "shipment_notice", "TO-low-1-2", 1),
        (26, "goods_receipt", "TO-low-1-2", 1),
    ]
    receipts = [p for p in shop.papers if p["kind"] == "goods_receipt" and p["stock"] == "low"]
    assert [(p["ref"], p["supplier"], p["closes"]) for p in receipts] == [
        ("TO-low-1", "top", False),
        ("TO-low-1", "top", True),
    ]
    assert not shop.rooms["low"].open_orders
    assert not shop.rooms["low"].notices


def test_a_stock_that_serves_others_serves_its_customers_first_then_by_priority() -> None:
    top = supplied("top", "acme", 10, 0, 0)
    east, west = supplied("east", "top", 1, 2, 2), supplied("west", "top", 1, 2, 2, priority=-1)
    demands = (book("ce", "east", (1, 2)), book("cw", "west", (2, 2)), book("ct", "top", (3, 1)))
    shop = shop_of(top, east, west, demands=demands)
    shop.run(10.5)  # nothing there yet; the top has ordered 2, 2 and 1 at 1, 2 and 3
    assert [shop.rooms[k].on_order for k in ("top", "east", "west")] == [5, 2, 2]
    shop.run(11.5)  # two units: for west
    assert [shop.rooms[k].owed for k in ("top",)] == [2]
    assert [shop.rooms[k].lanes[0].owed for k in ("east", "west")] == [2, 0]
    assert shop.markets["ct"].waiting == 1
    shop.run(12.5)  # two: the customer before east
    assert (shop.markets["ct"].waiting, shop.rooms["east"].lanes[0].owed) == (0, 1)


def test_a_line_stock_feeds_a_warehouse() -> None:
    made = product("gear", ("m", 10), release=product("x", ("m", 1)).release)
    stocks = (Stock("out", "gear", "line", 0), supplied("shop", "out", 3, 2, 0, item="gear", review=100))
    shop = Shop(plant((made,), FLOOR, stocks=stocks, demands=(book("c", "shop", (50, 1)),)), 1)
    shop.run(10.5)  # ordered at 0; the first gear is finished at 10 and sent
    assert (stand(shop, "out"), stand(shop, "shop")) == ((0, 0, 0), (0, 0, 2))
    shop.run(13.5)
    assert stand(shop, "shop") == (1, 0, 1)
    shop.run(45)
    assert (stand(shop, "out"), stand(shop, "shop")) == ((2, 0, 0), (2, 0, 0))


def test_an_express_lane_orders_what_the_regular_one_brings_too_late() -> None:
    fast = Express("courier", const(2), 3, least=1)
    stock = supplied("k", "acme", 10, 6, 6, express=fast)
    customers = book("c", "k", (1, 4), (9, 2))
    shop = shop_of(stock, demands=(customers,), suppliers=(ACME, Supplier("courier")))
    shop.run(1.5)  # 2 on hand: one by courier; the position is then 3, three more from acme
    assert [(t, kind, doc, n) for t, kind, doc, n in papers(shop)] == [
        (1, "purchase_order", "PX-k-1", 1),
        (1, "purchase_order", "PO-k-1", 3),
    ]
    assert [p["supplier"] for p in shop.papers] == ["courier", "acme"]
    assert stand(shop, "k") == (2, 0, 4)
    shop.run(8)
    assert stand(shop, "k") == (3, 0, 3)
    shop.run(9.5)  # 1 on hand; acme's three arrive at 11, no later than a courier: none is needed
    assert shop.rooms["k"].lanes[0].on_order == 0
    shop.set("stocks.k.express", 9)
    shop.run(11.5)
    assert papers(shop)[-1] == (11, "goods_receipt", "PO-k-1", 3)


def test_the_express_level_is_a_setting() -> None:
    stock = supplied("k", "acme", 10, 6, 6, express=Express("acme", const(2), 0))
    shop = shop_of(stock, demands=(book("c", "k", (1, 2), (2, 2)),))
    shop.run(1.5)
    assert shop.rooms["k"].lanes[0].on_order == 0
    shop.set("stocks.k.express", 5)
    shop.run(2.5)
    assert shop.rooms["k"].lanes[0].on_order == 3


def test_a_supplier_with_a_capacity_makes_one_order_after_the_other() -> None:
    stocks = (supplied("j", "slow", 5, 4, 4), supplied("k", "slow", 5, 4, 4))
    demands = (book("cj", "j", (1, 2)), book("ck", "k", (2, 3)))
    shop = shop_of(*stocks, demands=demands, suppliers=(Supplier("slow", unit_ticks=10),))
    shop.run(100)
    # j: 1 + 2 * 10 + 5; k: when that is made, 21 + 3 * 10 + 5
    assert [(t, n) for t, kind, _, n in papers(shop) if kind == "goods_receipt"] == [(26, 2), (56, 3)]
    assert [p["due_s"] for p in shop.papers if p["kind"] == "purchase_order"] == [26, 56]


def test_an_unreliable_supplier_is_late_as_often_as_it_should_be() -> None:
    stock = supplied("k", "late", 10, 1000, 1000)
    customers = book("c", "k", *((t * 100, 1) for t in range(1, 1001)))
    shop = shop_of(stock, demands=(customers,), suppliers=(Supplier("late", reliability=0.8, late=const(50)),))
    shop.run(101_000)
    took = [p["received_s"] - p["issued_s"] for p in shop.papers if p["kind"] == "goods_receipt"]
    assert {round(t, 6) for t in took} == {10, 60}
    assert sum(t > 11 for t in took) / len(took) == pytest.approx(0.2, abs=0.04)  # three standard errors


def test_order_quantities_have_their_distribution() -> None:
    customers = Demand("c", "k", const(1), quantity=((0, 0.5), (3, 0.5)), unmet="lost")
    shop = shop_of(supplied("k", "acme", 1, 9, 9), demands=(customers,))
    shop.run(4000.5)
    assert shop.markets["c"].count / 4000 == pytest.approx(1.5, abs=0.08)
    assert shop.markets["c"].lost == 0
