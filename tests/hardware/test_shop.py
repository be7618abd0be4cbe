"""The virtual plant's floor against theory, conservation and repetition."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hardware.shop import Shop
from hardware.twist import Twist, draw_twist
from sim.plant import (
    DONE,
    UNLIMITED,
    Calendar,
    Control,
    Crew,
    Demand,
    Dist,
    Failure,
    Mode,
    Plant,
    Product,
    Release,
    Station,
    Step,
    Stock,
    Supplier,
)
from tests.hardware.shops import exp, plant


def line(works: list[Dist], release: Release, fails: Mode | None = None, places: int = UNLIMITED) -> Plant:
    """Stations m0, m1, ... in a row for one product."""
    steps = tuple(
        Step(f"op{i}", f"m{i}", w, ((i + 1 if i + 1 < len(works) else DONE, 1.0),)) for i, w in enumerate(works)
    )
    modes = () if fails is None else (fails,)
    stations = tuple(Station(f"m{i}", modes=modes, capacity=UNLIMITED if i == 0 else places) for i in range(len(works)))
    return plant((Product("p", steps, release),), stations)


def rich() -> Plant:
    """Two products, parallel units, rework, scrap, failures with a crew, a shift, supply and demand."""
    a = (
        Step("a1", "cut", exp(50), ((1, 1.0),)),
        Step("a2", "test", Dist("gamma", (40, 0.5)), ((0, 0.1), (DONE, 0.85), (-2, 0.05))),
    )
    b = (Step("b1", "cut", Dist("constant", (30,)), ((1, 1.0),)), Step("b2", "test", exp(60), ((DONE, 1.0),)))
    fails = Failure("odf", exp(3000), exp(400), "fitters")
    stations = (
        Station("cut", units=2, modes=(fails,), calendar="day"),
        Station("test", units=2, calendar="day", buffer="b1", capacity=3),
    )
    day = Calendar("day", tuple((d, 360, 1320) for d in range(5)))
    return plant(
        (
            Product("a", a, Release("conwip", cap=8, base_stock=20, consumes=(("coil", 1),))),
            Product("b", b, Release("push", arrivals=exp(240), calendar="day")),
        ),
        stations,
        crews=(Crew("fitters", 1),),
        calendars=(day,),
        suppliers=(Supplier("acme"),),
        stocks=(
            Stock("coil", "coil", "acme", 300, level=900, review=86400, lead=Dist("constant", (86400,))),
            Stock("ready", "a", "line", 5),
        ),
        demands=(Demand("customer", "ready", exp(120), calendar="day"),),
        controls=(
            Control("cap", "release.a.cap", 2, 20, 1, 600, "release", 1.0, "operator"),
            Control("coils", "stocks.coil.level", 100, 2000, 50, 600, "supply", 1.0, "operator"),
        ),
    )


def check(shop: Shop) -> None:
    """Parts and goods are neither made nor lost."""
    for p in shop.plant.products:
        assert shop.released[p.id] == shop.finished[p.id] + shop.scrapped[p.id] + shop.wip[p.id]
    assert sum(s.wip for s in shop.stations.values()) == sum(shop.wip.values())
    for room in shop.rooms.values():
        used = sum(
            n * shop.released[p.id] for p in shop.plant.products for k, n in p.release.consumes if k == room.spec.id
        )
        assert room.on_hand == room.spec.initial + room.received - room.shipped - used
        assert room.on_hand >= 0
        assert room.on_hand * room.backorders == 0
        if room.spec.source != "line":
            assert room.ordered == room.received + room.on_order
        assert room.demanded == room.shipped + room.backorders
    for s in shop.stations.values():
        if s.spec.capacity != UNLIMITED:
            assert len(s.queue) <= s.spec.capacity


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_parts_and_goods_are_conserved_with_the_twist(seed: int) -> None:
    described = rich()
    shop = Shop(described, seed, draw_twist(described, seed))
    for hour in range(1, 24 * 4):
        shop.run(hour * 3600.0)
        check(shop)
        if hour == 30:
            shop.set("release.a.cap", 3)
    assert shop.finished["a"] > 300
    assert shop.finished["b"] > 300
    assert shop.scrapped["a"] > 5
    assert shop.wip["a"] <= 3


def test_same_seed_same_history_other_seed_another() -> None:
    def history(seed: int) -> list[dict[str, object]]:
        shop = Shop(rich(), seed, draw_twist(rich(), 9))
        shop.run(40 * 3600.0)
        return shop.news

    assert history(4) == history(4)
    assert history(4) != history(5)


def test_closed_means_no_new_work_and_the_part_in_hand_is_finished() -> None:
    shop = Shop(rich(), 1)
    shop.run(22 * 3600.0 + 2 * 3600)
    starts = {s.spec.id: s.started.total() for s in shop.stations.values()}
    assert all(u.state in ("off", "blocked") for s in shop.stations.values() for u in s.units)
    shop.run(30 * 3600.0 - 1)
    assert starts == {s.spec.id: s.started.total() for s in shop.stations.values()}
    shop.run(30 * 3600.0 + 600)
    assert starts != {s.spec.id: s.started.total() for s in shop.stations.values()}


def test_mm1_flow_time_is_five() -> None:
    shop = Shop(line([exp(1.0)], Release("push", arrivals=exp(1.25))), 3)
    shop.run(200_000.0)
    # about 160,000 strongly correlated parts: one standard error is near 0.13
    assert shop.flow_s["p"] / shop.finished["p"] == pytest.approx(5.0, abs=0.4)
    assert shop.finished["p"] / 200_000 == pytest.approx(0.8, abs=0.008)


def test_saturated_balanced_line_reaches_the_known_throughput() -> None:
    shop = Shop(line([exp(1.0)] * 3, Release("saturated"), places=1), 5)
    shop.run(60_000.0)
    # three exponential stations, one place between, blocking after service
    assert shop.finished["p"] / 60_000 == pytest.approx(0.670, abs=0.012)


def test_failures_take_the_share_of_time_they_should() -> None:
    fails = Failure("odf", exp(100.0), exp(25.0))
    shop = Shop(line([exp(1.0)], Release("saturated"), fails), 8)
    shop.run(60_000.0)
    assert shop.finished["p"] / 60_000 == pytest.approx(100 / 125, abs=0.025)


def test_a_scripted_breakdown_stops_the_machine_for_its_length() -> None:
    shop = Shop(line([Dist("constant", (10.0,))], Release("saturated")), 1)
    shop.run(95.0)
    unit = shop.stations["m0"].units[0]
    unit.break_down(600.0)
    shop.run(96.0)
    assert unit.state == "down"
    shop.run(694.0)
    assert unit.state == "down"
    shop.run(701.0)
    # it stood still from 95 to 695 with half of the part's ten seconds left
    assert unit.state == "work"
    assert shop.finished["p"] == 10


def test_the_twist_differs_in_three_parameters_and_a_piece_of_structure() -> None:
    twist = draw_twist(rich(), 1)
    assert twist.parameters() >= 3
    assert twist.structures() >= 1
    assert twist == draw_twist(rich(), 1) != draw_twist(rich(), 2)
    assert Twist().parameters() == Twist().structures() == 0


def test_what_the_virtual_plant_does_not_run_is_refused_thing_by_thing() -> None:
    described = rich()
    worn = Mode("worn", "condition", exp(60.0))
    stations = tuple(replace(s, operators=("hands", 1), modes=(*s.modes, worn)) for s in described.stations)
    products = (replace(described.products[0], lot=4, transfer=2), described.products[1])
    stocks = (replace(described.stocks[0], policy="forecast"), replace(described.stocks[1], echelon=True))
    demands = tuple(replace(d, season=(1.0,) * 168) for d in described.demands)
    level = Control("level", "stations.cut.at_level", 1, 4, 1, 0, "maintenance", 0.0, "engineer")
    other = replace(
        described,
        stations=stations,
        products=products,
        stocks=stocks,
        demands=demands,
        controls=(level,),
        conventions={"blocking": "before_service"},
    )
    with pytest.raises(ValueError, match="plant t: the virtual plant does not run") as refused:
        Shop(other, 1)
    for what in (
        "station cut: operators",
        "station cut: mode worn at a condition",
        "station test: operators",
        "product a: lots and transfer batches",
        "stock coil: policy forecast",
        "stock ready: an echelon policy",
        "demand customer: a season",
        "conventions: blocking before_service",
        "control level: stations.cut.at_level",
    ):
        assert what in str(refused.value)


def test_a_setting_that_does_not_exist_is_refused() -> None:
    with pytest.raises(KeyError, match="not a setting of this plant"):
        Shop(rich(), 1).set("stations.cut.at_level", 2)
