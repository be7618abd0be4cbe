"""Loads worked out by hand: what the virtual plant's twist and its scripted breakdowns take for the bottleneck."""

from __future__ import annotations

import pytest

from hardware.load import bottleneck, loads, operation_s, setup_s, shares, visits
from hardware.twist import Twist, draw_twist
from sim.plant import DONE, Batch, Calendar, Demand, Dist, Product, Release, Station, Step, Stock
from sim.plantfile import load
from tests.hardware.shops import SATURATED, const, exp, plant, product, supplied


def test_an_oven_counts_full_batches_and_a_short_shift_weighs_more() -> None:
    a = product("a", ("oven", 60), ("m", 20), ("n", 15))
    shift = Calendar("half", tuple((d, 0, 720) for d in range(7)))
    stations = (Station("oven", batch=Batch(2, 6)), Station("m"), Station("n", calendar="half"))
    described = plant((a,), stations, calendars=(shift,))
    assert visits(described) == pytest.approx({"oven": 10, "m": 20, "n": 15})
    assert loads(described) == pytest.approx({"oven": 10, "m": 20, "n": 30})
    assert bottleneck(described) == "n"


def test_components_count_as_often_as_they_go_in() -> None:
    a = product("a", ("join", 10), needs=(("gear", 3),))
    gear = product("gear_", ("cut", 5))
    described = plant((a, gear), (Station("join"), Station("cut")), stocks=(Stock("gear", "gear_", "line", 0),))
    assert shares(described) == pytest.approx({"a": 1, "gear_": 3})
    assert visits(described) == pytest.approx({"join": 10, "cut": 15})


def test_products_count_as_customers_ask_for_them_through_all_warehouses() -> None:
    a, b = product("a", ("m", 10)), product("b", ("m", 10))
    stocks = (Stock("ka", "a", "line", 0), Stock("kb", "b", "line", 0), supplied("far", "kb", 9, 5, 0, item="b"))
    demands = (
        Demand("da", "ka", exp(30)),
        Demand("db", "far", exp(40), quantity=((1, 0.5), (3, 0.5))),
        Demand("dc", "kb", exp(60)),
    )
    described = plant((a, b), (Station("m"),), stocks=stocks, demands=demands)
    assert shares(described) == pytest.approx({"a": 2 / 3, "b": 4 / 3})  # 2 and 3 + 1 a minute


def test_setups_in_random_order_and_half_of_them_where_they_are_avoided() -> None:
    a, b = product("a", ("m", 10)), product("b", ("m", 20))
    setups = (("a", "b", const(8)), ("b", "a", const(4)))
    described = plant((a, b), (Station("m", units=2, setups=setups),))
    # one of two operations changes the family, every second change takes 8 and every other 4 seconds; two units
    assert setup_s(described, described.stations[0]) == pytest.approx(2 * 0.5 * 6 / 2)
    avoiding = plant((a, b), (Station("m", units=2, setups=setups, dispatch=(("setup", 1),)),))
    assert setup_s(avoiding, avoiding.stations[0]) == pytest.approx(1.5)
    assert operation_s(described, "m") == pytest.approx(15)


def test_rework_and_alternatives_share_the_work() -> None:
    steps = (
        Step("s", "m", const(12), ((1, 1.0),), others=(("n", const(20)),)),
        Step("t", "test", const(5), ((0, 0.2), (DONE, 0.8))),
    )
    described = plant((Product("a", steps, SATURATED),), (Station("m"), Station("n"), Station("test")))
    assert visits(described) == pytest.approx({"m": 7.5, "n": 12.5, "test": 6.25})


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
