"""Ovens, setups, components, rework and crews by hand: a few journal rows, and what must be believed then."""

from __future__ import annotations

import pytest

from sim.compile import compile_plant
from sim.plant import Plant
from sim.state import DOWN as IS_DOWN
from tests.twin.journals import T0, Writer
from tests.twin.motor_rows import Shop, at, begin, facts_of, state_of, to_paint
from twin.estimate import ensemble
from twin.facts import to_tick
from twin.model import BLOCKED, DOWN, IDLE, SETUP, WORK, held

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


# --- without events -------------------------------------------------------------------------------------------------


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
