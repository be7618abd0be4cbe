"""Stories worked by hand on both engines: work that is stopped at once, and customers of whom only so many wait."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sim import kernel
from sim.compile import compile_plant
from sim.plant import UNLIMITED, Condition, Control, Demand, Mode, Plant, Stock
from sim.reference import Reference
from sim.state import STARVED, WORKING, State
from tests.sim.engines import SEED, assert_same_from
from tests.sim.small_plants import const, conwip, plant, product, push, station
from tests.sim.test_stories import play


def worn(part: str, *, finish: bool, at: int = 1) -> Plant:
    """A machine that is worn after 10, 8 and 8 at work, and then greased for 2; work takes 4 (worn: 8)."""
    condition = Condition((const(10), const(8), const(8)), (None,) * 3, (1.0, 2.0, 2.0), (0.0,) * 3)
    broken = Mode("broken", "condition", const(50), restores=True)
    grease = Mode("grease", "none", const(2), part=part, planned=True, finish=finish, restores=True, at_level=at)
    control = Control("care", "stations.a.at_level", 1, 3, 1, 0, "maintenance", 0.0, "operator")
    machine = station("a", modes=(broken, grease), condition=condition)
    return plant([machine], [product("x", [("a", 4)], conwip(1))], controls=(control,))


@pytest.mark.parametrize(
    ("part", "next_end", "scrapped"),
    [
        ("scrapped", 16, 1),  # a new part from 12 on
        ("repeats", 20, 0),  # drawn anew when it stops, worn: 8
        ("resumes", 16, 0),  # 2 were left at full speed, 4 at half speed
    ],
)
def test_maintenance_that_does_not_wait_stops_the_part_in_hand(part: str, next_end: int, scrapped: int) -> None:
    events, state = play(worn(part, finish=False), 21)
    assert events[:5] == [
        "4 work_end a/1",
        "8 work_end a/1",
        "10 wear a/1",
        "12 repair_end a/1",
        f"{next_end} work_end a/1",
    ]
    assert (state.maintained[0], state.failures[0], state.scrapped[0]) == (1, 0, scrapped)


def test_maintenance_that_waits_begins_after_the_part() -> None:
    events, _ = play(worn("scrapped", finish=True), 17)
    assert events == ["4 work_end a/1", "8 work_end a/1", "10 wear a/1", "14 work_end a/1", "16 repair_end a/1"]


def test_a_setpoint_takes_a_working_machine_down_at_once() -> None:
    """Never maintained (level 3), until at 13 the setpoint is lowered to the level it has had since 10."""
    compiled = compile_plant(worn("scrapped", finish=False, at=3))
    row = kernel.new_rows(compiled, SEED, 1)[0]
    kernel.run(row[None], compiled, 13)
    state, model = State(row, compiled.layout), Reference.from_row(compiled, row)
    assert (state.unit_level[0], state.maintained[0]) == (1, 0)
    kernel.set_controls(row[None], compiled, np.array([1]))
    model.set_controls([1])
    assert (state.maintained[0], state.scrapped[0]) == (1, 1)
    assert_same_from(model, row, compiled, 40)


def made_to_stock(stops: bool, units: int = 1) -> Plant:
    """Machines that fill a shelf up to 6, one part in 10; nobody asks."""
    base = Control("base", "release.x.base_stock", 0, 9, 1, 0, "release", 0.0, "operator")
    made = product("x", [("a", 10)], conwip(units, base_stock=6, stops=stops))
    shelf = Stock("shelf", "x", "line", initial=1)
    return plant([station("a", UNLIMITED, units=units)], [made], stocks=(shelf,), controls=(base,))


def lowered(told: Plant, at: int, base: int, until: int) -> State:
    """The plant at `until`, its base stock lowered at a tick, on both engines."""
    compiled = compile_plant(told)
    row = kernel.new_rows(compiled, SEED, 1)[0]
    kernel.run(row[None], compiled, at)
    model = Reference.from_row(compiled, row)
    kernel.set_controls(row[None], compiled, np.array([base]))
    model.set_controls([base])
    assert_same_from(model, row, compiled, until)
    return State(row, compiled.layout)


@pytest.mark.parametrize(("base", "scrapped"), [(3, 0), (2, 0), (1, 1), (0, 1)])
def test_a_lowered_base_stock_stops_what_it_does_not_ask_for(base: int, scrapped: int) -> None:
    """One on the shelf, one in work since 0: with a base stock of 1 the part in work is not wanted any more."""
    state = lowered(made_to_stock(stops=True), 5, base, 8)
    assert (state.scrapped[0], state.wip[0], state.on_hand[0]) == (scrapped, 1 - scrapped, 1)
    worked = 5 if scrapped else 8
    assert (state.st_ticks[0, WORKING], state.st_ticks[0].sum()) == (worked, 8)
    assert state.st_ticks[0, STARVED] == 0  # it is held back by decision: idle


def test_without_the_key_the_part_in_hand_is_finished() -> None:
    state = lowered(made_to_stock(stops=False), 5, 0, 30)
    assert (state.scrapped[0], state.finished[0], state.on_hand[0]) == (0, 1, 2)


def test_of_several_the_last_units_stop() -> None:
    """One on the shelf, three in work: a base stock of 2 wants one of them, that of the first unit."""
    state = lowered(made_to_stock(stops=True, units=3), 5, 2, 8)
    assert (state.scrapped[0], state.wip[0]) == (2, 1)
    assert (state.unit_part >= 0).tolist() == [True, False, False]


def test_a_release_never_stops_itself() -> None:
    """Lots of two overshoot the base stock by one; nothing is scrapped for that."""
    told = made_to_stock(stops=True)
    made = replace(told.products[0], release=conwip(4, base_stock=2, stops=True), lot=2)
    lots = replace(told, products=(made,))
    _, state = play(lots, 45)
    assert (state.scrapped[0], state.on_hand[0]) == (0, 3)


def test_of_an_order_that_finds_few_places_the_rest_is_lost() -> None:
    """One on hand, orders of three at 10, 20, 30, of which four may wait: 2 wait; 2 more and one lost; all lost."""
    demand = Demand("d", "shelf", const(10), quantity=((3, 1.0),), most=4, due=5)
    told = plant(
        [station("a")],
        [product("x", [("a", 1)], push(33))],
        stocks=(Stock("shelf", "x", "line", 1),),
        demands=(demand,),
    )
    _, state = play(told, 32)
    assert (state.asked[0], state.served[0], state.waiting[0], state.lost_units[0]) == (9, 1, 4, 4)
    assert (state.backorders[0], state.lost[0], state.demanded[0], state.shipped[0]) == (4, 4, 9, 1)
    assert (state.ring_len[0], state.ring_qty[0, :2].tolist()) == (
        2,
        [2, 2],
    )  # one order that is lost whole has no date
    _, state = play(told, 35)  # one was made at 33: it goes to the oldest, and one more may wait
    assert (state.waiting[0], state.late_units[0]) == (3, 1)
