"""Stories worked by hand of those who may act because another one no longer can; a tick is a minute.

In each of them something ends that stood in the way (a turn, a promise, a place in a line), by an event that gives
nobody anything: a closing, a failure, a part that goes elsewhere. Who is set free must act at that tick.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sim.plant import Batch, Demand, Dist, Group, Mode, Order, Plant, Pool, Product, Release, Station, Stock
from sim.state import BLOCKED
from tests.sim.small_plants import const, conwip, plant, product, shift, station
from tests.sim.test_stories import play


def ordered(name: str, at: int, *steps: tuple[str, float], quantity: int = 1) -> Product:
    """Parts that are released at a tick."""
    return product(name, list(steps), Release("orders", orders=(Order(at, quantity),)))


def stopping(name: str, after: Dist, repair: float, **more: Any) -> Station:
    """A station that stops by the clock on the wall."""
    return station(name, modes=(Mode("stop", "tdf", const(repair), after=after),), **more)


def by_turns(release: Release, **more: Any) -> Plant:
    """x and y are released by turns. One x is at a until 100, where there is no room for the next, whose turn it is."""
    return plant(
        [station("a", capacity=0), station("b")],
        [product("x", [("a", 100)], release), product("y", [("b", 10)], conwip(1))],
        groups=(Group("all", 10, (("x", 1), ("y", 1))),),
        **more,
    )


BOLTS = Stock("bolts", "bolt", "acme", 2, level=2, lead=const(1000))
SALE = Demand("sale", "bolts", None, unmet="lost", book=(Order(30),))
TURNS = {
    "calendar shift": by_turns(conwip(2, calendar="shift"), calendars=(shift((0, 30)),)),
    "demand sale": by_turns(conwip(2, consumes=(("bolts", 1),)), stocks=(BOLTS,), demands=(SALE,)),
}


@pytest.mark.parametrize("event", TURNS)
def test_a_turn_passes_on_when_the_hours_or_the_components_of_the_product_end(event: str) -> None:
    # x cannot be released any more from 30 on: until then it is its turn, and y waits
    events, state = play(TURNS[event], 45)
    assert events == ["10 work_end b/1", f"30 {event}", "40 work_end b/1"]
    assert state.released.tolist() == [1, 3]


def test_a_lot_goes_to_its_other_station_when_the_less_loaded_one_stops() -> None:
    # x, a lot of two, goes to a, which is empty and has room for one only, not to b, at work, with room for both
    lot = replace(ordered("x", 5, ("a", 4), quantity=1), lot=2)
    lot = replace(lot, steps=(replace(lot.steps[0], others=(("b", const(4)),)),))
    told = plant(
        [stopping("a", const(20), 5, capacity=0), station("b", capacity=3)],
        [lot, ordered("y", 1, ("b", 29))],
    )
    events, state = play(told, 39)
    assert events == [
        "1 arrival y",
        "5 arrival x",
        "20 failure a/1/stop",  # b is the only one with room
        "25 repair_end a/1",
        "30 work_end b/1",
        "34 work_end b/1",
        "38 work_end b/1",
    ]
    assert state.finished.tolist() == [2, 1]


def test_who_has_lost_the_room_behind_leaves_the_operator_to_the_next_at_once() -> None:
    # f asks at 1 for two people, one of whom is at h, while g has room; k asks at 2 for one; at 3 y is promised it
    told = plant(
        [
            station("h", operators=("staff", 1)),
            station("f", operators=("staff", 2)),
            station("e"),
            station("g", capacity=0),
            station("k", operators=("staff", 1)),
        ],
        [
            ordered("w", 0, ("h", 100)),
            ordered("x", 1, ("f", 5), ("g", 5)),
            ordered("v", 2, ("k", 5)),
            ordered("y", 3, ("e", 20), ("g", 30)),
        ],
        pools=(Pool("staff", 2),),
        conventions={"blocking": "before_service"},
    )
    events, state = play(told, 10)
    assert events == ["0 arrival w", "1 arrival x", "2 arrival v", "3 arrival y", "8 work_end k/1"]
    assert state.st_barred.tolist() == [0, 1, 0, 0, 0]


D = station("d", 0, units=3, kanban=2, modes=(Mode("tool", "parts", const(20), life=((2, 1.0),)),))
BEFORE_D = [
    ordered("p", 0, ("d", 2)),
    ordered("q", 3, ("d", 2)),  # the tool of d/1 is worn then, from 5 to 25
    ordered("x", 6, ("d", 10), ("d", 5)),
    ordered("z", 7, ("d", 60)),
]
"""Two kanbans at d: x and z have them. Who comes to d may not come in; x, which needs d again, needs a free unit."""


def test_a_unit_behind_a_blocked_one_goes_on_when_that_one_stops() -> None:
    told = plant([D, stopping("e", const(30), 100)], [*BEFORE_D, ordered("y", 8, ("e", 2), ("d", 5))])
    events, state = play(told, 36)
    assert events[6:] == [
        "8 arrival y",
        "10 work_end e/1",  # no kanban: blocked
        "16 work_end d/2",  # no free unit: blocked behind y
        "25 repair_end d/1",
        "30 failure e/1/stop",  # x is the first now
        "35 work_end d/1",
    ]
    assert state.finished.tolist() == [1, 1, 1, 0, 0]


def test_a_unit_behind_a_blocked_one_goes_on_when_that_one_goes_elsewhere() -> None:
    y = ordered("y", 8, ("e", 2), ("d", 5))
    y = replace(y, steps=(y.steps[0], replace(y.steps[1], others=(("m", const(50)),))))
    told = plant([D, station("e"), station("m", 0)], [*BEFORE_D, y, ordered("v", 9, ("m", 21))])
    events, state = play(told, 36)
    assert events[6:] == [
        "8 arrival y",
        "9 arrival v",
        "10 work_end e/1",  # no kanban at d, and m is at work: blocked
        "16 work_end d/2",  # no free unit: blocked behind y
        "25 repair_end d/1",
        "30 work_end m/1",  # y goes to m, x is the first now
        "35 work_end d/1",
    ]
    assert state.finished.tolist() == [1, 1, 1, 0, 0, 1]


def test_each_part_that_an_oven_sends_on_gives_its_kanban_back() -> None:
    # two kanbans at the oven; the machine behind it takes one part of the two, the other is blocked in the oven
    told = plant(
        [station("oven", batch=Batch(2, 2), kanban=2), station("n", capacity=0), station("e")],
        [ordered("x", 0, ("oven", 10), ("n", 50), quantity=2), ordered("y", 1, ("e", 2), ("oven", 10), quantity=2)],
    )
    events, state = play(told, 20)
    assert events == [
        "0 arrival x",
        "1 arrival y",
        "3 work_end e/1",  # blocked
        "10 work_end oven/1",  # y goes before the oven, and e takes the next one
        "12 work_end e/1",
    ]
    assert state.unit_state[[0, 2]].tolist() == [BLOCKED, BLOCKED]
    assert state.q_len.tolist() == [1, 0, 0]
