"""Releases of the SimPy reference by stories: what enters when, in what order, and what leaving it counts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sim.compile import Compiled, compile_plant
from sim.plant import DONE, Calendar, Control, Demand, Dist, Group, Order, Product, Release, Station, Step, Stock
from sim.reference import Reference
from sim.state import IDLE, INFINITY, KINDS, STARVED, State
from tests.sim.supply_plants import PLANTS, plant, supplied


def constant(ticks: float) -> Dist:
    return Dist("constant", (float(ticks),))


def gear(release: Release, name: str = "gear", work: float = 10, station: str = "mill", **terms: Any) -> Product:
    return Product(name, (Step("cut", station, constant(work), ((DONE, 1.0),)),), release, **terms)


def model(*products: Product, stations: tuple[Station, ...] = (Station("mill"),), **parts: Any) -> Reference:
    return Reference(compile_plant(plant("story", products=products, stations=stations, **parts)), 7)


def state(one: Reference) -> State:
    return State(one.to_row(), one.compiled.layout)


def ended(one: Reference) -> list[int]:
    return [tick for tick, _, kind in one.trace if KINDS[kind] == "work_end"]


def test_a_lot_enters_whole_or_not_at_all() -> None:
    push = Release("push", arrivals=constant(25))
    one = model(gear(push, lot=4, transfer=2), stations=(Station("mill", capacity=1),))
    one.run(26)  # room for 1 in the queue and 1 in the free unit: both transfer batches of 2
    now = state(one)
    assert (now.released[0], now.wip[0], now.q_len[0], now.pending[0]) == (4, 4, 1, 0)
    one.run(51)  # the first batch took 20: the second is in work, the unit not free, room for one batch only
    now = state(one)
    assert (now.released[0], now.finished[0], now.pending[0]) == (4, 2, 1)
    one.run(66)
    now = state(one)
    assert (now.released[0], now.finished[0], now.pending[0]) == (8, 4, 0)
    assert ended(one) == [45, 65]


def test_flow_and_tardiness_count_units() -> None:
    push = Release("push", arrivals=constant(100))
    one = model(gear(push, lot=4, transfer=2, due=constant(25)))
    one.run(199)
    now = state(one)
    assert now.flow_sum[0] == 2 * 20 + 2 * 40
    assert (now.tardy[0], now.tardy_sum[0]) == (2, 2 * 15)


def test_conwip_keeps_its_cap_with_whole_lots() -> None:
    one = model(gear(Release("conwip", cap=5), lot=2))
    one.run(1)
    assert state(one).wip[0] == 4
    assert state(one).held[0] == 1
    one.run(15)  # one of the first lot is done: 3 + 2 is within the cap
    assert state(one).wip[0] == 5


def test_held_back_stations_are_idle_and_not_starved() -> None:
    base = Release("conwip", base_stock=1)
    goods = Stock("goods", "gear", "line", 1)
    one = model(gear(base), stocks=(goods,), demands=(Demand("want", "goods", None, book=(Order(5),)),))
    assert state(one).unit_state[0] == IDLE
    one.run(30)
    assert state(one).n_state[0, IDLE] == 1
    assert state(one).st_ticks[0, IDLE] == 5 + 15
    assert state(one).st_ticks[0, STARVED] == 0


def test_a_product_without_components_is_starved() -> None:
    base = Release("conwip", cap=3, consumes=(("raw", 2),))
    one = model(gear(base, lot=2), stocks=(supplied(initial=3, level=8, lead=constant(7), review=1000),))
    assert state(one).n_state[0, STARVED] == 1
    one.run(8)  # 5 came at 7: 8 on hand, a lot takes 4
    now = state(one)
    assert (now.on_hand[0], now.released[0]) == (4, 2)


def test_components_are_reordered_at_the_release() -> None:
    one = model(gear(Release("conwip", cap=1, consumes=(("raw", 2),))), stocks=(supplied(initial=5, level=5),))
    now = state(one)
    assert (now.on_hand[0], now.on_order[0], now.orders[0]) == (3, 2, 1)


def test_saturated_keeps_one_lot_before_the_station() -> None:
    one = model(gear(Release("saturated"), lot=3))
    one.run(1)
    assert (state(one).q_len[0], state(one).released[0]) == (2, 3)
    one.run(21)
    assert (state(one).q_len[0], state(one).released[0]) == (3, 6)


def test_order_list_in_its_order_with_its_dates() -> None:
    lines = (Order(5, 2, 28), Order(3, 1, None), Order(40, 1, 40))
    one = model(gear(Release("orders", orders=lines), due=constant(1)))
    one.run(6)  # the second line is known at 5 only: it stands behind the first
    now = state(one)
    assert (now.released[0], now.pending[0], now.order_at[0], now.order_taken[0]) == (3, 0, 2, 2)
    assert [part.due for part in one.parts.records] == [28, 28, INFINITY]
    one.run(100)
    now = state(one)
    assert ended(one) == [15, 25, 35, 50]
    assert (now.finished[0], now.tardy[0], now.tardy_sum[0]) == (4, 1, 10)
    assert now.next_time[one.compiled.slot_index["arrival", "gear"]] == INFINITY


def test_order_list_waits_for_room() -> None:
    one = model(gear(Release("orders", orders=(Order(0, 3),))), stations=(Station("mill", capacity=0),))
    one.run(5)
    assert (state(one).pending[0], state(one).order_done[0]) == (2, 1)
    one.run(31)
    assert (state(one).pending[0], state(one).order_done[0], state(one).order_taken[0]) == (0, 0, 1)


def test_a_group_takes_turns_by_its_mix() -> None:
    products = (gear(Release("conwip"), "a"), gear(Release("conwip"), "b"), gear(Release("conwip"), "c"))
    one = model(*products, groups=(Group("all", 4, (("c", 1), ("b", 2), ("a", 1))),))
    now = state(one)
    assert list(now.released) == [1, 2, 1]  # turns a, b, c, b
    assert now.group_wip[0] == 4
    assert list(now.held) == [1, 1, 1]
    one.run(401)
    assert list(state(one).released) == [11, 22, 11]


def test_a_member_that_cannot_be_released_gives_its_turn_away() -> None:
    dry = gear(Release("conwip", consumes=(("raw", 1),)), "a")
    stocks = (supplied(initial=2, level=2, review=1000, lead=constant(1000)),)
    one = model(dry, gear(Release("conwip"), "b"), groups=(Group("all", 5, (("a", 1), ("b", 1))),), stocks=stocks)
    assert list(state(one).released) == [2, 3]
    one.run(31)
    assert list(state(one).released) == [2, 6]


def test_hours_of_release() -> None:
    shift = (Calendar("shift", ((2, 0, 335),)),)  # Wednesday until 05:35: five ticks after the start
    push = gear(Release("push", arrivals=constant(3), calendar="shift"))
    one = model(push, calendars=shift)
    one.run(1000)
    assert [tick for tick, _, kind in one.trace if KINDS[kind] == "arrival"] == [3]
    assert state(one).arrival_left[0] == 1
    cap = model(gear(Release("conwip", cap=1, calendar="shift"), work=2), calendars=shift)
    cap.run(1000)
    assert state(cap).finished[0] == 3  # released at 0, 2 and 4


def test_a_lot_goes_to_the_least_loaded_of_several_stations() -> None:
    step = Step("cut", "old", constant(10), ((DONE, 1.0),), others=(("new", constant(4)),))
    one = model(
        Product("gear", (step,), Release("conwip", cap=4)), stations=(Station("old"), Station("new", units=2)),
    )  # fmt: skip
    now = state(one)
    assert list(now.n_state[:, 1] + now.q_len) == [2, 2]  # old, new, new, and old again: 1 a unit at both
    assert list(now.st_held) == [1, 1]


def test_controls_of_release_and_supply() -> None:
    sets = ("release.gear.cap", "stocks.raw.level", "stocks.raw.reorder", "groups.all.cap")
    controls = tuple(Control(f"c{i}", s, 0, 99, 1, 1, "release", 0.0, "none") for i, s in enumerate(sets))
    one = model(
        gear(Release("conwip", cap=1)), stocks=(supplied(policy="s_S", reorder=2),), controls=controls,
        groups=(Group("all", 9, (("gear", 1),)),),
    )  # fmt: skip
    one.run(3)
    one.set_controls([3, 20, 7, 2])
    now = state(one)
    assert (now.cap[0], now.level[0], now.reorder[0], now.group_cap[0]) == (3, 20, 7, 2)
    assert now.wip[0] == 2
    assert now.on_order[0] == 0  # a changed level orders at the next withdrawal


@pytest.mark.parametrize("name", PLANTS)
def test_any_moment_is_a_beginning(name: str) -> None:
    """Stopped, written, read and continued is the same as never stopped."""
    compiled = compile_plant(PLANTS[name])
    straight, other = Reference(compiled, 7), Reference(compiled, 7)
    events = []
    for tick in (1, 53, 150):
        other.run(tick)
        events += other.trace
        row = other.to_row()
        other = Reference.from_row(compiled, row)
        assert names(compiled, row, other.to_row()) == []
    for one in (straight, other):
        one.run(200)
    assert straight.trace == events + other.trace
    assert names(compiled, straight.to_row(), other.to_row()) == []


def names(compiled: Compiled, one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> list[str]:
    """The fields in which two rows differ (but for the count of events)."""
    return [compiled.layout.name_at(int(i)) for i in np.flatnonzero(one != other)]
