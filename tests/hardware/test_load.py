"""Loads worked out by hand: what the virtual plant's twist and its scripted breakdowns take for the bottleneck."""

from __future__ import annotations

import pytest

from hardware.load import bottleneck, loads, operation_s
from hardware.twist import Twist, draw_twist
from sim.plant import DONE, Batch, Calendar, Demand, Dist, Product, Release, Station, Step, Stock
from sim.plantfile import load
from tests.hardware.shops import SATURATED, const, exp, plant, product, supplied


def test_an_oven_counts_full_batches_and_a_short_shift_weighs_more() -> None:
    a = product("a", ("oven", 60), ("m", 20), ("n", 15))
    shift = Calendar("half", tuple((d, 0, 720) for d in range(7)))
    stations = (Station("oven", batch=Batch(2, 6)), Station("m"), Station("n", calendar="half"))
    described = plant((a,), stations, calendars=(shift,))
    assert loads(described) == pytest.approx({"oven": 10 / 30, "m": 20 / 30, "n": 1.0})
    assert bottleneck(described) == "n"


def test_components_count_as_often_as_they_go_in() -> None:
    a = product("a", ("join", 10), needs=(("gear", 3),))
    gear = product("gear_", ("cut", 5))
    described = plant((a, gear), (Station("join"), Station("cut")), stocks=(Stock("gear", "gear_", "line", 0),))
    assert operation_s(described, "join") == pytest.approx(10)
    assert operation_s(described, "cut") == pytest.approx(5)


def test_products_count_as_customers_ask_for_them_through_all_warehouses() -> None:
    capped = Release("conwip", cap=9)
    a, b = product("a", ("m", 10), release=capped), product("b", ("m", 25), release=capped)
    stocks = (Stock("ka", "a", "line", 0), Stock("kb", "b", "line", 0), supplied("far", "kb", 9, 5, 0, item="b"))
    demands = (
        Demand("da", "ka", exp(30)),
        Demand("db", "far", exp(40), quantity=((1, 0.5), (3, 0.5))),
        Demand("dc", "kb", exp(60)),
    )
    described = plant((a, b), (Station("m"),), stocks=stocks, demands=demands)
    assert operation_s(described, "m") == pytest.approx((2 * 10 + 4 * 25) / 6)  # 2, and 3 + 1, a minute


def test_setups_and_rework_make_a_bottleneck() -> None:
    a, b = product("a", ("m", 10), ("n", 14)), product("b", ("m", 20), ("n", 16))
    setups = (("a", "b", const(8)), ("b", "a", const(4)))
    assert bottleneck(plant((a, b), (Station("m"), Station("n")))) in {"m", "n"}
    described = plant((a, b), (Station("m", setups=setups), Station("n")))
    # one of two operations changes the family, every second change takes 8 and every other 4 seconds
    assert loads(described)["m"] / loads(described)["n"] == pytest.approx((15 + 3) / 15)
    assert bottleneck(described) == "m"
    assert operation_s(described, "m") == pytest.approx(15)
    steps = (Step("s", "m", const(12), ((1, 1.0),)), Step("t", "test", const(10), ((0, 0.2), (DONE, 0.8))))
    again = plant((Product("a", steps, SATURATED),), (Station("m"), Station("test")))
    assert loads(again)["test"] / loads(again)["m"] == pytest.approx(10 / 12)
    assert bottleneck(again) == "m"


def test_the_twist_of_the_bundled_plant_spares_its_bottleneck() -> None:
    described = load("gearmotor")
    for seed in range(20):
        twist = draw_twist(described, seed)
        assert twist.slow_station != bottleneck(described) == "hobbing"
        assert twist.micro_s[1] < operation_s(described, str(twist.micro_station))


def test_a_twist_for_setups_and_for_a_plant_without_stations() -> None:
    a = product("a", ("m", 10), release=Release("push", arrivals=Dist("exponential", (20.0,))))
    with_setups = plant((a,), (Station("m", setups=(("a", "b", const(3)),)),))
    assert draw_twist(with_setups, 1).setup_scale > 1.04
    stocks_only = plant((), (), stocks=(supplied("k", "acme", 5, 9, 9),), demands=(Demand("d", "k", exp(9)),))
    twist = draw_twist(stocks_only, 1)
    assert twist.lead_scale > 1
    assert twist.slow_station is Twist().slow_station
    with pytest.raises(ValueError, match="expected a station"):
        bottleneck(stocks_only)
