"""Stories worked by hand: tiny plants with constant times, and every event that must happen, on both engines."""

from __future__ import annotations

from sim import draws, kernel
from sim.compile import compile_plant
from sim.plant import DONE, SCRAP, Crew, Demand, Plant, Product, Release, Step, Stock
from sim.reference import Reference
from sim.state import BLOCKED, DOWN, IDLE, OFF, STARVED, WORKING, State
from tests.sim.engines import SEED, assert_same_from
from tests.sim.small_plants import SATURATED, const, conwip, failing, plant, product, push, shift, station


def play(told: Plant, until: int) -> tuple[list[str], State]:
    """The events as `tick kind owner`, and the final row, which both engines agree on."""
    compiled = compile_plant(told)
    row = kernel.new_rows(compiled, SEED, 1)[0]
    model = Reference(compiled, SEED)
    assert_same_from(model, row, compiled, until)
    events = [f"{tick} {' '.join(compiled.slots[slot])}" for tick, slot, _ in model.trace]
    return events, State(row, compiled.layout)


def test_a_finished_part_blocks_its_machine_until_there_is_room() -> None:
    told = plant([station("a"), station("b", 0)], [product("x", [("a", 2), ("b", 5)], conwip(3))])
    events, state = play(told, 15)
    assert events == [
        "2 work_end a/1",  # to b, which is free
        "4 work_end a/1",  # b is busy: blocked
        "7 work_end b/1",  # takes the part of a, which goes on with the third
        "9 work_end a/1",
        "12 work_end b/1",
        "14 work_end a/1",
    ]
    assert state.st_ticks[0].tolist() == [0, 8, 7, 0, 0, 0, 0]
    assert (state.st_ticks[0, BLOCKED], state.st_ticks[1, STARVED], state.finished[0]) == (7, 2, 2)
    assert state.flow_sum[0] == 7 + 12
    assert state.wip_area[0] == 3 * 15


def test_a_place_in_front_of_the_machine_takes_the_first_part() -> None:
    told = plant([station("a"), station("b", 1)], [product("x", [("a", 2), ("b", 5)], conwip(4))])
    events, state = play(told, 10)
    assert events == ["2 work_end a/1", "4 work_end a/1", "6 work_end a/1", "7 work_end b/1", "9 work_end a/1"]
    assert state.st_ticks[0, BLOCKED] == (7 - 6) + (10 - 9)
    assert state.q_area[1] == 10 - 4


def test_a_first_machine_without_a_queue_is_fed_again() -> None:
    told = plant([station("a", 0), station("b", 0)], [product("x", [("a", 2), ("b", 3)], SATURATED)])
    events, _ = play(told, 9)
    assert events == ["2 work_end a/1", "4 work_end a/1", "5 work_end b/1", "7 work_end a/1", "8 work_end b/1"]


def test_the_longest_blocked_goes_first() -> None:
    lines = [product("x", [("a", 2), ("c", 10)], conwip(2)), product("y", [("b", 2), ("c", 10)], conwip(2))]
    events, state = play(plant([station("a"), station("b"), station("c", 0)], lines), 23)
    assert events == [
        "2 work_end a/1",  # c is free and takes it
        "2 work_end b/1",  # blocked since 2
        "4 work_end a/1",  # blocked since 4
        "12 work_end c/1",  # takes the part of b
        "14 work_end b/1",
        "22 work_end c/1",  # takes the part of a
    ]
    assert state.st_ticks[:2, BLOCKED].tolist() == [22 - 4, (12 - 2) + (23 - 14)]
    assert state.finished.tolist() == [1, 1]


def test_at_a_tie_the_first_declared_goes_first() -> None:
    lines = [product("z", [("c", 5)], conwip(1)), product("y", [("b", 2), ("c", 3)], conwip(1))]
    lines.append(product("x", [("a", 2), ("c", 3)], conwip(1)))
    events, state = play(plant([station("a"), station("b"), station("c", 0)], lines), 11)
    assert events == [
        "2 work_end a/1",  # c is busy with z: blocked
        "2 work_end b/1",  # blocked at the same tick
        "5 work_end c/1",  # takes the part of a
        "8 work_end c/1",  # takes the part of b; x starts anew
        "10 work_end a/1",
    ]
    assert state.st_ticks[:2, BLOCKED].tolist() == [3 + 1, 6]
    assert state.finished.tolist() == [1, 0, 1]


def test_a_part_may_come_back_to_a_machine() -> None:
    told = plant([station("a"), station("b")], [product("x", [("a", 2), ("b", 3), ("a", 4)], conwip(1))])
    events, _ = play(told, 15)
    assert events == ["2 work_end a/1", "5 work_end b/1", "9 work_end a/1", "11 work_end a/1", "14 work_end b/1"]


def test_rework_and_scrap_follow_the_addressed_draws() -> None:
    step = Step("op", "a", const(3), ((0, 0.5), (SCRAP, 0.25), (DONE, 0.25)))
    events, state = play(plant([station("a")], [Product("x", (step,), conwip(1))]), 100)
    assert events == [f"{tick} work_end a/1" for tick in range(3, 100, 3)]
    entity = draws.entity_number("a/1")
    quarters = [draws.word(SEED, 0, entity, draws.ROUTE, n) >> 62 for n in range(len(events))]
    assert (state.scrapped[0], state.finished[0]) == (quarters.count(2), quarters.count(3))
    assert state.scrapped[0] > 0
    assert state.finished[0] > 0


def test_interrupted_work_goes_on_after_the_repair() -> None:
    told = plant([failing("a", up=6, repair=4)], [product("x", [("a", 10)], SATURATED)])
    events, state = play(told, 33)
    assert events == [
        "6 failure a/1",  # four ticks of work to come
        "10 repair_end a/1",
        "14 work_end a/1",  # four of six ticks to the next failure are used up
        "16 failure a/1",
        "20 repair_end a/1",
        "26 failure a/1",
        "30 repair_end a/1",
        "32 work_end a/1",
    ]
    assert state.st_ticks[0, DOWN] == 12
    assert state.failures[0] == 3


def test_a_failure_clock_stands_still_while_there_is_no_work() -> None:
    told = plant([failing("a", up=6, repair=1)], [product("x", [("a", 2)], push(10))])
    assert play(told, 51)[0] == [
        "10 arrival x",
        "12 work_end a/1",
        "20 arrival x",
        "22 work_end a/1",
        "30 arrival x",
        "32 work_end a/1",  # six ticks worked: the failure is due, but ends of work come before failures
        "40 arrival x",
        "40 failure a/1",  # as soon as it works again
        "41 repair_end a/1",
        "43 work_end a/1",
        "50 arrival x",
    ]


def test_one_repairer_serves_two_machines_in_turn() -> None:
    lines = [product("x", [("a", 100)], SATURATED), product("y", [("b", 100)], SATURATED)]
    stations = [failing("a", 5, 4, "fitters"), failing("b", 5, 4, "fitters")]
    events, state = play(plant(stations, lines, crews=(Crew("fitters", 1),)), 23)
    assert events == [
        "5 failure a/1",
        "5 failure b/1",  # waits for the repairer
        "9 repair_end a/1",
        "13 repair_end b/1",
        "14 failure a/1",
        "18 failure b/1",  # at this tick failures come before ends of repair: waits
        "18 repair_end a/1",
        "22 repair_end b/1",
    ]
    assert state.st_ticks[:, DOWN].tolist() == [8, 12]
    assert state.crew_free[0] == 1


def test_the_part_in_hand_is_finished_after_closing_time() -> None:
    told = plant(
        [station("a", calendar="shift")], [product("x", [("a", 4)], SATURATED)], calendars=(shift((0, 10), (20, 30)),)
    )
    events, state = play(told, 35)
    assert events == [
        "4 work_end a/1",
        "8 work_end a/1",
        "10 calendar shift",
        "12 work_end a/1",  # finished, then off
        "20 calendar shift",
        "24 work_end a/1",
        "28 work_end a/1",
        "30 calendar shift",
        "32 work_end a/1",
    ]
    assert (state.st_ticks[0, WORKING], state.st_ticks[0, OFF]) == (24, 11)


def test_work_that_ends_at_closing_time_is_followed_by_another_part() -> None:
    told = plant([station("a", calendar="shift")], [product("x", [("a", 5)], SATURATED)], calendars=(shift((0, 10)),))
    assert play(told, 20)[0] == ["5 work_end a/1", "10 work_end a/1", "10 calendar shift", "15 work_end a/1"]


def test_arrivals_pause_while_closed() -> None:
    told = plant(
        [station("a")], [product("x", [("a", 1)], push(6, calendar="shift"))], calendars=(shift((2, 10), (20, 30)),)
    )
    events, state = play(told, 31)
    assert events == [
        "2 calendar shift",
        "8 arrival x",  # six open ticks
        "9 work_end a/1",
        "10 calendar shift",  # four of them to come
        "20 calendar shift",
        "24 arrival x",
        "25 work_end a/1",
        "30 calendar shift",  # an arrival was due at this tick, but calendars come first
    ]
    assert state.arrival_left[0] == 0


def test_customers_wait_and_are_served_first() -> None:
    told = plant(
        [station("a")],
        [product("x", [("a", 5)], conwip(1, base_stock=1))],
        stocks=(Stock("ready", "x", "line", initial=1),),
        demands=(Demand("shop", "ready", const(3)),),
    )
    events, state = play(told, 16)
    assert events == [
        "3 demand shop",  # met; the base stock calls for another part
        "6 demand shop",  # waits
        "8 work_end a/1",
        "9 demand shop",
        "12 demand shop",
        "13 work_end a/1",
        "15 demand shop",
    ]
    assert (state.demanded[0], state.met[0], state.shipped[0], state.backorders[0]) == (5, 1, 3, 2)
    assert (state.on_hand_area[0], state.backorder_area[0]) == (3, 11)
    assert state.st_ticks[0].tolist() == [3, 13, 0, 0, 0, 0, 0]
    assert state.st_ticks[0, IDLE] == 3


def test_periodic_review_orders_up_to_the_level() -> None:
    told = plant(
        [station("a")],
        [product("x", [("a", 1)], push(3, consumes=(("raw", 1),)))],
        stocks=(Stock("raw", "steel", "acme", initial=5, level=5, review=10, lead=const(4)),),
    )
    events, state = play(told, 21)
    assert events == [
        "0 review raw",  # nothing to order
        "3 arrival x",
        "4 work_end a/1",
        "6 arrival x",
        "7 work_end a/1",
        "9 arrival x",
        "10 work_end a/1",
        "10 review raw",  # three
        "12 arrival x",
        "13 work_end a/1",
        "14 delivery raw",
        "15 arrival x",
        "16 work_end a/1",
        "18 arrival x",
        "19 work_end a/1",
        "20 review raw",  # three: 2 on hand, nothing on order
    ]
    assert (state.orders[0], state.ordered[0], state.received[0], state.on_order[0], state.on_hand[0]) == (
        2,
        6,
        3,
        3,
        2,
    )


def test_continuous_review_orders_at_every_withdrawal_and_a_release_waits_for_goods() -> None:
    told = plant(
        [station("a")],
        [product("x", [("a", 1)], conwip(1, consumes=(("raw", 2),)))],
        stocks=(Stock("raw", "steel", "acme", initial=3, level=3, lead=const(4)),),
    )
    events, state = play(told, 10)
    assert events == ["1 work_end a/1", "4 delivery raw", "5 work_end a/1", "8 delivery raw", "9 work_end a/1"]
    assert (state.orders[0], state.released[0], state.on_hand[0]) == (3, 3, 1)
    assert state.st_ticks[0, STARVED] == 7


def test_a_closed_line_releases_nothing() -> None:
    told = plant(
        [station("a")],
        [product("x", [("a", 3)], Release("conwip", cap=1, calendar="shift"))],
        calendars=(shift((2, 6)),),
    )
    assert play(told, 40)[0] == ["2 calendar shift", "5 work_end a/1", "6 calendar shift", "8 work_end a/1"]
