"""What the list of recommendations says about leases that run."""

from __future__ import annotations

from typing import Any

import pytest

from sim.compile import Compiled, compile_plant
from sim.plantfile import load
from tests.plants import TWO_MOTORS
from twin.leases import Lease, beside, held, leases_of

HOUR = 3_600_000


@pytest.fixture(scope="module")
def two_motors() -> Compiled:
    return compile_plant(load(str(TWO_MOTORS)))


def rec(at: int, lease_h: float, moves: dict[str, tuple[int, int]], status: str = "confirmed") -> dict[str, Any]:
    listed = [{"control": control, "from": a, "to": b} for control, (a, b) in moves.items()]
    return {**listed[0], "moves": listed, "created": at - 1000, "confirmed": at, "lease_s": lease_h * 3600.0} | {
        "status": status
    }


def test_a_lease_that_takes_the_place_of_another_leads_back_to_where_that_would_have() -> None:
    first = rec(0, 8, {"cap40": (10, 14), "cap80": (5, 9)})
    second = rec(4 * HOUR, 8, {"cap40": (14, 18)})
    assert leases_of([second, first]) == {
        "cap40": Lease(18, 10, 4 * HOUR, 12 * HOUR),
        "cap80": Lease(9, 5, 0, 8 * HOUR),
    }


def test_one_that_begins_after_another_has_ended_or_after_a_hand_at_the_machine_does_not() -> None:
    first = rec(0, 8, {"cap40": (10, 14)})
    assert leases_of([first, rec(9 * HOUR, 8, {"cap40": (10, 12)})])["cap40"].before == 10
    assert leases_of([first, rec(4 * HOUR, 8, {"cap40": (13, 12)})])["cap40"].before == 13


def test_what_was_set_before_a_joint_move_failed_stands(two_motors: Compiled) -> None:
    progress = {
        "cap40": {"state": "set", "t": HOUR, "until": 9 * HOUR},
        "cap80": {"state": "failed", "t": 2 * HOUR, "until": 0},
    }
    failed = rec(0, 8, {"cap40": (10, 14), "cap80": (5, 9)}, "failed") | {"progress": progress}
    assert leases_of([failed]) == {"cap40": Lease(14, 10, HOUR, 9 * HOUR)}
    locked, running = held([failed], two_motors.plant, HOUR + 1, {"cap40": 14, "cap80": 5})
    assert (locked, set(running)) == ({"cap40"}, {"cap40"})
    assert leases_of([rec(0, 8, {"cap40": (10, 14)}, "failed")]) == {}, "a single move that failed set nothing"


def test_a_lease_is_as_long_as_its_command_says() -> None:
    signed = {"cap40": {"id": "c-r-1", "lease_s": 10 * 3600}}
    found = leases_of([rec(0, 8, {"cap40": (10, 14), "cap80": (5, 9)}) | {"commands": signed}])
    assert (found["cap40"].ends, found["cap80"].ends) == (10 * HOUR, 8 * HOUR)


def test_what_was_carried_out_in_the_same_time() -> None:
    mine = rec(HOUR, 8, {"cap40": (10, 14)}) | {"id": "r-1", "accepted": {"t": HOUR - 1000}}
    known = [
        mine,
        rec(0, 8, {"cap80": (5, 9)}) | {"id": "r-2"},
        rec(3 * HOUR, 8, {"cap80": (9, 11)}, "evaluated") | {"id": "r-3"},
        rec(4 * HOUR, 8, {"cap80": (9, 11)}, "rejected") | {"id": "r-4"},
        rec(20 * HOUR, 8, {"cap80": (9, 11)}) | {"id": "r-5"},
    ]
    assert beside(known, mine, 9 * HOUR) == ["r-3"], "the one before stood already, the last came after"


def test_what_is_held(two_motors: Compiled) -> None:
    plant = two_motors.plant
    known = [
        rec(0, 8, {"cap40": (10, 14), "cap80": (5, 9)}),
        rec(0, 8, {"base40": (20, 30), "base80": (12, 20)}, "accepted"),
        rec(0, 8, {"kit_level": (600, 700)}, "rejected"),
    ]
    locked, running = held(known, plant, 7 * HOUR, {"cap40": 14, "cap80": 8})
    assert locked == {"base40", "base80"}
    assert set(running) == {"cap40"}, "cap80 was changed at the machine"
    assert held(known, plant, 8 * HOUR, {"cap40": 14, "cap80": 9})[1] == {}
    every = {c.id: round(c.every * plant.tick_s * 1000) for c in plant.controls}
    assert every["cap40"] > 1
    assert "cap40" in held(known, plant, every["cap40"] - 1, {})[0]
