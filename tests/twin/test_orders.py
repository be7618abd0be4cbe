"""The order book: open orders, where they are, and the rows that follow."""

from __future__ import annotations

import itertools

import pytest
from sim.compile import compile_plant
from sim.facts import rows_from_facts
from sim.plantfile import load
from sim.state import State
from twin.orders import DAY_MS, OrderBook, facts

HOUR = 3_600_000
EVENTS = [
    (1 * HOUR, "report_start", "A", "turning"),
    (3 * HOUR, "report_complete", "A", "turning"),
    (4 * HOUR, "report_start", "A", "lapping"),
    (2 * HOUR, "report_start", "B", "lapping"),
    (6 * HOUR, "report_complete", "B", "lapping"),
    (7 * HOUR, "report_start", "B", "packing"),
    (8 * HOUR, "report_complete", "B", "packing"),
]


def book(events: list[tuple[int, str, str, str]]) -> OrderBook:
    result = OrderBook()
    for event in events:
        result.apply(*event)
    return result


def test_open_orders_and_wip_by_work_center() -> None:
    b = book(EVENTS)
    assert dict(b.wip(8 * HOUR)) == {"lapping": 1}
    assert b.completions(0, 8 * HOUR) == 0
    assert b.completions(8 * HOUR, 9 * HOUR) == 1


def test_a_second_packing_report_moves_no_completion() -> None:
    b = book([*EVENTS, (9 * HOUR, "report_start", "B", "packing"), (10 * HOUR, "report_complete", "B", "packing")])
    assert b.orders["B"].finished == 8 * HOUR


def test_repeated_events_change_nothing() -> None:
    once, twice = book(EVENTS), book([e for e in EVENTS for _ in range(2)])
    assert once.wip(8 * HOUR) == twice.wip(8 * HOUR)
    assert {o: v.finished for o, v in once.orders.items()} == {o: v.finished for o, v in twice.orders.items()}


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_the_state_of_an_order_does_not_depend_on_the_order_of_arrival(order: tuple[int, ...]) -> None:
    events = [EVENTS[0], EVENTS[1], EVENTS[2]]
    b = book([events[i] for i in order])
    assert b.at(b.orders["A"]) == "lapping"
    assert set(b.orders["A"].running) == {"lapping"}
    assert b.orders["A"].first == HOUR


def test_an_order_without_reports_for_two_weeks_is_gone() -> None:
    b = book(EVENTS[:2])
    assert set(b.open(10 * DAY_MS)) == {"A"}
    assert not b.open(15 * DAY_MS)


def test_the_book_becomes_a_plant_state() -> None:
    compiled = compile_plant(load("machine_shop"))
    origin = compiled.start_ms
    b = book([(t + origin, kind, order, activity) for t, kind, order, activity in EVENTS[:5]])
    found = facts(b, compiled, origin + 7 * HOUR, {"lapping": "lapping", "packing": "packing"})
    row = rows_from_facts(compiled, found, 1, 4)[0]
    state = State(row, compiled.layout)
    working = {s.id: int(state.n_state[i][1]) for i, s in enumerate(compiled.plant.stations) if state.n_state[i][1]}
    assert working == {"lapping": 1, "after-lapping": 1}
    assert state.now == 7 * 3600
