"""The virtual plant's floor, feature by feature, against cases worked out by hand. Ticks are seconds."""

from __future__ import annotations

from datetime import date

import pytest

from hardware.shop import Shop
from sim.plant import (
    DONE,
    SCRAP,
    Batch,
    Calendar,
    Crew,
    Group,
    Mode,
    Order,
    Release,
    Station,
    Step,
    Stock,
)
from sim.plant import Product as ProductSpec
from tests.hardware.shops import ACME, const, only, plant, product, supplied, timed


def orders(*at: int) -> Release:
    """One part at each of these seconds."""
    return Release("orders", orders=tuple(Order(t) for t in at))


def setups(seconds: float, *families: str) -> tuple[tuple[str, str, object], ...]:
    return tuple((a, b, const(seconds)) for a in families for b in families if a != b)


def test_a_change_of_family_is_set_up_the_first_part_and_the_same_family_are_not() -> None:
    a, b = product("a", ("m", 10), release=orders(0, 1, 3)), product("b", ("m", 10), release=orders(2))
    shop = Shop(plant((a, b), (Station("m", setups=setups(5, "a", "b")),)), 1)  # type: ignore[arg-type]
    log = timed(shop, 100.0)
    assert [(t, kind, p) for t, kind, _, p in log] == [
        (0, "work_start", "a"),
        (10, "work_end", "a"),
        (10, "work_start", "a"),
        (20, "work_end", "a"),
        (20, "work_start", "b"),  # the part is in the unit, which is set up for it first
        (20, "setup", "b"),
        (25, "setup_end", "b"),
        (35, "work_end", "b"),
        (35, "work_start", "a"),
        (35, "setup", "a"),
        (40, "setup_end", "a"),
        (50, "work_end", "a"),
    ]
    assert shop.stations["m"].setups == 2
    assert [e["state"] for e in only(shop, "setup", "setup_end")] == ["setup", "work"] * 2


def test_the_state_is_setup_while_it_is_set_up_and_the_family_is_kept_while_idle() -> None:
    a, b = product("a", ("m", 10), release=orders(0)), product("b", ("m", 10), release=orders(100))
    shop = Shop(plant((a, b), (Station("m", setups=setups(5, "a", "b")),)), 1)  # type: ignore[arg-type]
    unit = shop.stations["m"].units[0]
    shop.run(50)
    assert (unit.state, unit.family) == ("starved", "a")
    shop.run(104)
    assert unit.state == "setup"
    shop.run(106)
    assert (unit.state, unit.family) == ("work", "b")


def test_products_of_one_family_need_no_setup_and_the_unit_that_needs_none_is_chosen() -> None:
    a = product("a", ("m", 10), release=orders(0), family="f")
    b = product("b", ("m", 30), release=orders(0), family="g")
    c = product("c", ("m", 10), release=orders(50), family="g")
    shop = Shop(plant((a, b, c), (Station("m", units=2, setups=setups(5, "f", "g")),)), 1)  # type: ignore[arg-type]
    shop.run(100)
    assert shop.stations["m"].setups == 0
    assert only(shop, "work_start")[-1]["unit"] == 2  # unit 1 is free as well, but was set up for f


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ((), "baca"),
        ((("setup", 1),), "bcaa"),  # c is of b's family
        ((("work", 1),), "bcaa"),
        ((("work", -1),), "baac"),
        ((("priority", 1),), "baac"),
        ((("due", 1),), "bcaa"),
        ((("slack", 1),), "bcaa"),
        ((("ratio", -1),), "baac"),
        ((("work_left", 1),), "baac"),  # what c has still before it behind this machine is long
        ((("steps_left", -1),), "bcaa"),
        ((("cmu", -1),), "bcaa"),
        ((("setup", 1), ("waited", -6)), "baca"),  # a: 5 - 6 * 9, c: 0 - 6 * 8
    ],
)
def test_the_part_with_the_least_weighted_sum_goes_first(weights: tuple[tuple[str, int], ...], expected: str) -> None:
    b = product("b", ("m", 10), release=orders(0), family="g")
    a = product("a", ("m", 10), release=orders(1, 3), priority=1, holding=1e-4)
    c = product("c", ("m", 8), ("n", 100), release=orders(2), family="g", priority=2, holding=1e-2, due=const(50))
    station = Station("m", setups=setups(5, "a", "g"), dispatch=weights)  # type: ignore[arg-type]
    shop = Shop(plant((b, a, c), (station, Station("n"))), 1)
    shop.run(200)
    assert "".join(e["product"] for e in only(shop, "work_start") if e["thing"] == "m") == expected


def test_a_weight_is_set_while_the_plant_runs() -> None:
    a, b = (
        product("a", ("m", 10), release=orders(*[0] * 9)),
        product("b", ("m", 10), release=orders(*[0] * 9), priority=1),
    )
    shop = Shop(plant((a, b), (Station("m", dispatch=(("priority", 1),), setups=setups(5, "a", "b")),)), 1)  # type: ignore[arg-type]
    shop.run(35)
    shop.set("stations.m.dispatch.setup", -1)  # away from the present family, whatever it costs
    shop.run(90)
    assert "".join(e["product"] for e in only(shop, "work_start")) == "aaaababa"


def oven(**batch: object) -> Station:
    return Station("oven", batch=Batch(**batch))  # type: ignore[arg-type]


def test_an_oven_waits_for_its_least_and_takes_its_most() -> None:
    a = product("a", ("oven", 10), release=orders(0, 4, 5, 6, 7, 8, 30))
    shop = Shop(plant((a,), (oven(least=2, most=3),)), 1)
    log = timed(shop, 100)
    assert [(t, kind) for t, kind, _, _ in log] == [
        *[(4, "work_start")] * 2,
        *[(14, "work_end")] * 2,
        *[(14, "work_start")] * 3,
        *[(24, "work_end")] * 3,
        *[(30, "work_start")] * 2,
        *[(40, "work_end")] * 2,
    ]
    assert [e["count"] for e in only(shop, "work_end")] == [1, 2, 3, 4, 5, 6, 7]
    assert shop.stations["oven"].operations == 3


@pytest.mark.parametrize(("by", "starts"), [("family", "abb"), ("product", "bba"), ("any", "abb")])
def test_what_the_parts_of_a_batch_have_in_common(by: str, starts: str) -> None:
    a = product("a", ("oven", 10), release=orders(0), family="f")
    b = product("b", ("oven", 10), release=orders(1, 2), family="f")
    shop = Shop(plant((a, b), (oven(least=2, most=3, wait=15, by=by),)), 1)
    shop.run(12.5)
    assert "".join(e["product"] for e in only(shop, "work_start")) == {"family": "ab", "product": "bb", "any": "ab"}[by]
    shop.run(60)
    assert "".join(e["product"] for e in only(shop, "work_start")) == starts


def test_a_part_that_has_waited_longest_allowed_starts_alone() -> None:
    a = product("a", ("oven", 10), release=orders(3))
    shop = Shop(plant((a,), (oven(least=2, most=3, wait=20),)), 1)
    log = timed(shop, 60)
    assert [(t, kind) for t, kind, _, _ in log] == [(23, "work_start"), (33, "work_end")]


def test_a_batch_blocks_the_oven_until_its_last_part_has_room() -> None:
    a = product("a", ("oven", 10), ("m", 20), release=orders(0, 0, 0))
    shop = Shop(plant((a,), (oven(least=3, most=3), Station("m", capacity=1))), 1)
    unit = shop.stations["oven"].units[0]
    shop.run(11)
    assert (unit.state, len(unit.parts), shop.stations["m"].wip, shop.stations["oven"].wip) == ("blocked", 1, 2, 1)
    shop.run(31)
    assert (unit.state, shop.stations["m"].wip) == ("starved", 2)


def test_components_are_taken_at_the_start_and_the_first_ready_part_starts() -> None:
    b = product("b", ("m", 10), release=orders(1))
    gear = product("gear", ("g", 30), release=Release("base_stock", base_stock=2))
    stocks = (Stock("gear_s", "gear", "line", 0),)
    a = product("a", ("m", 10), release=orders(0), needs=(("gear_s", 2),))
    shop = Shop(plant((a, b, gear), (Station("m"), Station("g")), stocks=stocks), 1)
    log = [entry for entry in timed(shop, 75) if entry[3] != "gear"]
    assert [(t, kind, p) for t, kind, _, p in log] == [
        (1, "work_start", "b"),
        (11, "work_end", "b"),
        (60, "work_start", "a"),  # the second gear is finished
        (70, "work_end", "a"),
    ]
    assert shop.rooms["gear_s"].on_hand == 0
    assert shop.wip["gear"] == 2  # both are being replaced
    shop.run(130)
    assert shop.rooms["gear_s"].on_hand == 2
    assert shop.wip["gear"] == 0


def test_what_an_assembly_takes_is_ordered_again_at_once() -> None:
    a = product("a", ("m", 10), release=orders(5), needs=(("nut", 3), ("bolt", 1)))
    stocks = (supplied("nut", "acme", 7, 4, 4), supplied("bolt", "acme", 7, 2, 2))
    shop = Shop(plant((a,), (Station("m"),), stocks=stocks, suppliers=(ACME,)), 1)
    shop.run(6)
    assert [(r.on_hand, r.on_order) for r in shop.rooms.values()] == [(1, 3), (1, 1)]
    shop.run(13)
    assert [(r.on_hand, r.on_order) for r in shop.rooms.values()] == [(4, 0), (2, 0)]


def test_a_group_has_one_cap_and_releases_by_its_mix() -> None:
    a = product("a", ("m", 10), release=Release("conwip"))
    b = product("b", ("m", 10), release=Release("conwip", cap=3))
    shop = Shop(plant((a, b), (Station("m"),), groups=(Group("both", 4, (("a", 2), ("b", 1))),)), 1)
    shop.run(600)
    assert sum(shop.wip.values()) == 4
    assert shop.released["a"] == pytest.approx(2 * shop.released["b"], abs=2)
    shop.set("groups.both.cap", 2)
    shop.run(700)
    assert sum(shop.wip.values()) == 2
    assert shop.stations["m"].free_state() == "idle"


def test_two_fitters_repair_two_and_the_urgent_mode_comes_next() -> None:
    def failing(priority: int) -> Mode:
        return Mode("failure", "odf", const(50), after=const(10), crew="fitters", priority=priority)

    names = ("m0", "m1", "m2", "m3")
    products = tuple(product(f"p{i}", (m, 100), release=orders(0)) for i, m in enumerate(names))
    stations = tuple(Station(m, modes=(failing(9 - i),)) for i, m in enumerate(names))
    shop = Shop(plant(products, stations, crews=(Crew("fitters", 2),)), 1)
    log = [(t, p) for t, kind, _, p in timed(shop, 111) if kind == "up"]
    # all go down at 10: m0 and m1 come first and find the two fitters, then m3 is more urgent than m2
    assert log == [(60, "p0"), (60, "p1"), (110, "p3"), (110, "p2")]


def test_a_clock_in_time_strikes_free_blocked_and_working_units() -> None:
    mode = Mode("failure", "tdf", const(5), after=const(20))
    a = product("a", ("m", 10), ("n", 100), release=orders(28, 29))
    stations = (Station("m", modes=(mode,)), Station("n", capacity=0))
    shop = Shop(plant((a,), stations), 1)
    log = [(t, kind, p) for t, kind, _, p in timed(shop, 145) if kind in ("down", "up")]
    # it ages while it is not down: free at 20, at work at 45, blocked (from 53 on) at 70
    assert [t for t, _, _ in log] == [20, 25, 45, 50, 70, 75, 95, 100, 120, 125]
    assert [p for _, _, p in log] == ["-", "-", *["a"] * 8]
    assert [e["state"] for e in only(shop, "up")][:3] == ["starved", "work", "blocked"]
    assert shop.stations["n"].wip == 1
    shop.run(146)
    assert shop.stations["m"].units[0].state == "down"  # from 145 on
    assert shop.stations["m"].wip == 0  # the blocked part had left at 138


def test_a_tool_is_changed_after_its_operations_when_the_unit_is_free() -> None:
    tool = Mode("tool", "parts", const(7), life=((2, 1.0),), planned=True, finish=True)
    a = product("a", ("m", 10), release=orders(*[0] * 5))
    shop = Shop(plant((a,), (Station("m", modes=(tool,)),)), 1)
    log = [(t, kind) for t, kind, _, _ in timed(shop, 100) if kind in ("down", "up", "work_end")]
    assert log == [
        (10, "work_end"), (20, "work_end"), (20, "down"), (27, "up"), (37, "work_end"), (47, "work_end"), (47, "down"),
        (54, "up"), (64, "work_end"),
    ]  # fmt: skip
    assert only(shop, "down")[0]["text"] == "tool"


@pytest.mark.parametrize(("part", "ends", "failures"), [("resumes", [33.0], 1), ("repeats", [], 5)])
def test_a_failure_resumes_the_work_or_begins_it_anew(part: str, ends: list[float], failures: int) -> None:
    mode = Mode("failure", "odf", const(3), after=const(25), part=part)
    a = product("a", ("m", 30), release=orders(0))
    shop = Shop(plant((a,), (Station("m", modes=(mode,)),)), 1)
    log = [t for t, kind, _, _ in timed(shop, 150) if kind == "work_end"]
    assert log == ends  # 25 s of work never suffice for 30
    assert shop.stations["m"].failures == failures


def test_a_failure_can_cost_the_part() -> None:
    mode = Mode("failure", "odf", const(3), after=const(25), part="scrapped")
    a = product("a", ("m", 20), release=orders(0, 0, 0))
    shop = Shop(plant((a,), (Station("m", modes=(mode,)),)), 1)
    log = [(t, kind) for t, kind, _, _ in timed(shop, 150)]
    assert log == [
        (0, "work_start"), (20, "work_end"), (20, "work_start"), (25, "down"), (25, "scrap"), (28, "up"),
        (28, "work_start"), (48, "work_end"),
    ]  # fmt: skip
    assert (shop.finished["a"], shop.scrapped["a"], shop.wip["a"]) == (2, 1, 0)


def test_a_repair_renews_the_modes_it_names() -> None:
    big = Mode("failure", "odf", const(0), after=const(25), renews=("small",))
    small = Mode("small", "odf", const(0), after=const(20))
    a = product("a", ("m", 100), release=orders(0))
    shop = Shop(plant((a,), (Station("m", modes=(big, small)),)), 1)
    timed(shop, 90)
    # small at 20; big at 25 renews small: 45; big at 50 renews it: 70, 75
    assert [(e["text"]) for e in only(shop, "down")] == ["small", "failure", "small", "failure", "small", "failure"]


def test_breaks_stops_overtime_and_two_calendars() -> None:
    day = Calendar("day", ((0, 0, 10), (1, 0, 10), (2, 0, 10)), breaks=((0, 4, 5),), closed=((date(2026, 1, 6),) * 2,))
    night = Calendar("night", ((0, 20, 30),))
    a = product("a", ("m", 60), release=orders(*[0] * 40))
    b = product("b", ("n", 60), release=orders(*[0] * 40))
    stations = (Station("m", calendar="day"), Station("n", calendar="night"))
    shop = Shop(plant((a, b), stations, calendars=(day, night)), 1)
    shop.run(3600)
    assert shop.finished == {"a": 9, "b": 10}  # ten minutes without the break; ten minutes
    assert [o.shifts for o in shop.openings.values()] == [1, 1]  # a break begins no shift
    shop.run(2 * 86400)
    assert shop.finished["a"] == 9  # Tuesday is a planned stop
    shop.set("calendars.day.overtime", 180)
    shop.run(3 * 86400)
    assert shop.finished["a"] == 22  # ten minutes and three


def test_a_cell_that_freezes_goes_on_with_its_part_when_it_opens() -> None:
    lab = Calendar("lab", ((0, 0, 1), (0, 10, 20)), at_close="freeze")
    a = product("a", ("m", 100), release=orders(0))
    shop = Shop(plant((a,), (Station("m", calendar="lab"),), calendars=(lab,)), 1)
    shop.run(300)
    assert shop.stations["m"].units[0].state == "off"
    log = timed(shop, 1000)
    assert [(t, kind) for t, kind, _, _ in log] == [(640, "work_end")]  # 60 s before, 40 s from 600 on


def test_a_step_with_alternatives_joins_the_shorter_queue() -> None:
    step = Step("s", "fast", const(10), ((DONE, 0.5), (SCRAP, 0.5)), others=(("slow", const(30)),))
    a = ProductSpec("a", (step,), orders(0, 0, 0, 0))
    shop = Shop(plant((a,), (Station("fast"), Station("slow"))), 1)
    shop.run(25)
    assert [s.started.total() for s in shop.stations.values()] == [2, 1]
    shop.run(100)
    assert [s.ended_.total() for s in shop.stations.values()] == [2, 2]


def test_a_kanban_bounds_queue_and_units_together() -> None:
    a = product("a", ("m", 1), ("n", 100), release=orders(*[0] * 9))
    shop = Shop(plant((a,), (Station("m"), Station("n", buffer="b", kanban=3))), 1)
    shop.run(50)
    assert (shop.stations["n"].wip, shop.stations["m"].units[0].state) == (3, "blocked")
    shop.set("buffers.b.kanban", 5)
    shop.run(60)
    assert shop.stations["n"].wip == 5


def test_released_parts_have_the_dates_of_their_order_list() -> None:
    release = Release("orders", orders=(Order(5, 1, due=50), Order(6, 1)))
    shop = Shop(plant((product("a", ("m", 10), release=release),), (Station("m"),)), 1)
    shop.run(7)
    station = shop.stations["m"]
    assert [station.units[0].parts[0].due, station.queue[0].due] == [50, None]
