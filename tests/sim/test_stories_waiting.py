"""Stories worked by hand of those who wait for two things at once and lose one of them; a tick is a minute."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sim.plant import Demand, Order, Pool, Product, Release, Stock
from sim.state import BLOCKED, IDLE, STARVED, WORKING
from tests.sim.small_plants import const, conwip, plant, product, shift, station
from tests.sim.test_stories import play

BEFORE = {"blocking": "before_service"}


def ordered(name: str, at: int, *steps: tuple[str, float], **needs: int) -> Product:
    """One part, released at a tick; its first operation needs units of stocks."""
    made = product(name, list(steps), Release("orders", orders=(Order(at),)))
    return replace(made, steps=(replace(made.steps[0], needs=tuple(needs.items())), *made.steps[1:]))


def bolts(initial: int) -> Stock:
    return Stock("bolts", "bolt", "acme", initial, level=initial, lead=const(1000))


def staffed(name: str, people: int = 1, **more: Any) -> Any:
    return station(name, operators=("staff", people), **more)


def test_who_has_no_room_leaves_the_operator_to_those_who_can_make_it() -> None:
    # the operator is at h until 10; f asks at 1 while g has room, which y is promised at 2: f asks no more; g asks at 4
    told = plant(
        [staffed("h"), staffed("f"), station("e"), staffed("g", capacity=0)],
        [ordered("w", 0, ("h", 10)), ordered("x", 1, ("f", 2), ("g", 3)), ordered("y", 2, ("e", 2), ("g", 3))],
        pools=(Pool("staff", 1),),
        conventions=BEFORE,
    )
    events, state = play(told, 20)
    assert events == [
        "0 arrival w",
        "1 arrival x",
        "2 arrival y",  # f has no room any more
        "4 work_end e/1",
        "10 work_end h/1",  # g starts
        "13 work_end g/1",  # g is free: f starts
        "15 work_end f/1",
        "18 work_end g/1",
    ]
    assert state.finished.tolist() == [1, 1, 1]
    assert state.st_ticks[1].tolist() == [0, 2, 13 - 2, 2 + 5, 0, 0, 0]


def test_who_has_lost_its_components_leaves_the_operator_to_the_next() -> None:
    # a asks at 1 for two people, one of whom is at d until 20; c asks at 2 for one; b takes the only bolt at 3
    told = plant(
        [staffed("d"), staffed("a", 2), station("b"), staffed("c")],
        [
            ordered("w", 0, ("d", 20)),
            ordered("x", 1, ("a", 5), bolts=1),
            ordered("z", 3, ("b", 1), bolts=1),
            ordered("y", 2, ("c", 4)),
        ],
        pools=(Pool("staff", 2),),
        stocks=(bolts(1),),
    )
    events, state = play(told, 30)
    assert events == [
        "0 arrival w",
        "1 arrival x",
        "2 arrival y",
        "3 arrival z",
        "4 work_end b/1",
        "7 work_end c/1",  # it began at 3, when a had nothing to ask for any more
        "20 work_end d/1",
    ]
    assert state.st_asked.tolist() == [-1, -1, -1, -1]


def test_a_machine_that_has_lost_its_components_is_starved_and_no_longer_blocked() -> None:
    told = plant(
        [station("a"), station("b"), station("g", 0)],
        [
            ordered("w", 0, ("g", 30)),
            ordered("x", 1, ("a", 5), ("g", 3), bolts=1),
            ordered("z", 4, ("b", 1), bolts=1),
        ],
        stocks=(bolts(1),),
        conventions=BEFORE,
    )
    _, state = play(told, 20)
    assert (state.st_ticks[0, BLOCKED], state.st_ticks[0, STARVED]) == (4 - 1, 1 + 20 - 4)


def test_a_product_without_material_is_not_held_back_by_decision() -> None:
    # the cap of 1 holds the second unit back until a customer takes the last bolt at 4
    told = plant(
        [station("m", units=2)],
        [product("p", [("m", 10)], conwip(1, consumes=(("bolts", 1),)))],
        stocks=(bolts(2),),
        demands=(Demand("d", "bolts", const(4), unmet="lost"),),
    )
    _, state = play(told, 20)
    assert state.held[0] == 0
    assert [state.st_ticks[0, s] for s in (IDLE, WORKING, STARVED)] == [4, 10, 26]


@pytest.mark.parametrize(("closing", "idle"), [(6, 6), (15, 15)])
def test_a_product_out_of_its_hours_is_not_held_back_by_decision(closing: int, idle: int) -> None:
    told = plant(
        [station("m", units=2)],
        [product("p", [("m", 30)], conwip(1, calendar="shift"))],
        calendars=(shift((0, closing)),),
    )
    _, state = play(told, 20)
    assert [state.st_ticks[0, s] for s in (IDLE, WORKING, STARVED)] == [idle, 20, 20 - idle]


@pytest.mark.parametrize("urgent", [0, 1])
def test_an_urgent_station_keeps_its_operator_wherever_it_stands_in_the_file(urgent: int) -> None:
    # both have two parts from 0 on; the urgent one asks anew when the operator comes back, and goes before the other
    stations = [staffed("a", priority=int(urgent != 0)), staffed("b", priority=int(urgent != 1))]
    orders = Release("orders", orders=(Order(0, 2),))
    told = plant(
        stations, [product("x", [("a", 3)], orders), product("y", [("b", 3)], orders)], pools=(Pool("staff", 1),)
    )
    events, _ = play(told, 13)
    ends = [event for event in events if "work_end" in event]
    first, second = ("a", "b") if urgent == 0 else ("b", "a")
    began = ["3 work_end a/1"] if urgent == 1 else []  # a was handled first at 0, when b had not asked yet
    order = [first, first, second, second] if urgent == 0 else [first, first, second]
    assert ends == began + [f"{3 * (n + len(began) + 1)} work_end {name}/1" for n, name in enumerate(order)]
