"""The function block of docs/plc.md by itself: heartbeat, clamp, rate, fallback, the hand at the machine."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from tests.hardware.structured_text import Block

SCAN = 20


def block() -> Block:
    """A block in automatic, at 6 of 2..11, one unit a second, 3 s without a heartbeat."""
    b = Block(xAuto=True, diPanel=6, diLow=2, diHigh=11, diRate=60, diTimeout=3000, diScan=SCAN)
    b.scan()
    return b


def beat(b: Block) -> None:
    b.scan(uiHeartbeat=b["uiHeartbeat"] + 1)


def ask(b: Block, value: int, fallback: int = 6, expected: int | None = None) -> None:
    seen = b["diSetpoint"] if expected is None else expected
    b.scan(diRequest=value, diFallback=fallback, diExpected=seen, uiSerial=b["uiSerial"] + 1)


def wait(b: Block, ms: int, *, beating: bool) -> list[int]:
    """Scans for `ms`; the values that the machine worked with."""
    values = []
    for k in range(ms // SCAN):
        if beating and k % 50 == 0:
            b.scan(uiHeartbeat=(b["uiHeartbeat"] + 1) % 65536)
        else:
            b.scan()
        values.append(b["diValue"])
    return values


def test_a_request_is_taken_at_the_rate_and_held_while_the_heart_beats() -> None:
    b = block()
    beat(b)
    ask(b, 9)
    assert (b["diSetpoint"], b["diValue"], b["xLeased"], b["uiState"]) == (9, 6, 1, 1)
    values = wait(b, 20_000, beating=True)
    assert values[-1] == 9
    assert max(abs(y - x) for x, y in pairwise(values)) == 1
    assert values.index(9) * SCAN == pytest.approx(3000, abs=1000)  # three units at one a second


def test_silence_brings_the_fallback_without_a_bump_and_once() -> None:
    b = block()
    beat(b)
    ask(b, 11)
    assert wait(b, 2900, beating=False)[-1] > 6
    assert b["xLeased"]
    values = wait(b, 300, beating=False)
    assert (b["diSetpoint"], b["xLeased"], b["uiState"]) == (6, 0, 2)
    values += wait(b, 10_000, beating=False)
    assert max(abs(y - x) for x, y in pairwise(values)) == 1
    assert values[-1] == 6
    beat(b)  # the gateway is back: the old request is not taken again
    assert (b["diSetpoint"], b["uiState"]) == (6, 2)


def test_requests_are_clamped_and_so_is_the_fallback() -> None:
    b = block()
    beat(b)
    ask(b, 99, fallback=-5)
    assert b["diSetpoint"] == 11
    wait(b, 4000, beating=False)
    assert b["diSetpoint"] == 2


def test_no_request_is_taken_without_a_heartbeat_in_manual_or_over_an_unseen_change() -> None:
    b = block()
    ask(b, 9)
    assert (b["diSetpoint"], b["uiState"]) == (6, 4)  # nobody was heard yet
    beat(b)
    b.scan(xAuto=False)
    ask(b, 9)
    assert (b["diSetpoint"], b["uiState"]) == (6, 4)
    b.scan(xAuto=True)
    b.scan(xPanel=True, diPanel=7)
    b.scan(xPanel=False)
    ask(b, 9, expected=6)
    assert (b["diSetpoint"], b["uiState"]) == (7, 4)
    ask(b, 9, expected=7)
    assert (b["diSetpoint"], b["uiState"]) == (9, 1)


@pytest.mark.parametrize("how", ["panel", "switch"])
def test_a_hand_at_the_machine_ends_the_lease_and_silence_changes_nothing_then(how: str) -> None:
    b = block()
    beat(b)
    ask(b, 9)
    b.scan(xPanel=True, diPanel=4) if how == "panel" else b.scan(xAuto=False)
    b.scan(xPanel=False)
    kept = 4 if how == "panel" else 9
    assert (b["diSetpoint"], b["xLeased"], b["uiState"]) == (kept, 0, 3)
    wait(b, 10_000, beating=False)
    assert (b["diSetpoint"], b["diValue"]) == (kept, kept)


def test_a_lease_is_given_back_by_a_request_that_is_its_own_fallback() -> None:
    b = block()
    beat(b)
    ask(b, 9)
    ask(b, 6, fallback=6)
    assert (b["diSetpoint"], b["xLeased"], b["uiState"]) == (6, 0, 0)


def test_a_restarted_plc_ignores_what_still_stands_in_the_words() -> None:
    b = Block(xAuto=True, diPanel=5, diLow=2, diHigh=11, diRate=60, diTimeout=3000, diScan=SCAN, uiHeartbeat=812)
    b.scan(diRequest=11, diFallback=6, diExpected=5, uiSerial=77)
    assert (b["diSetpoint"], b["diValue"], b["xLeased"]) == (5, 5, 0)


def test_whatever_happens_the_value_stays_in_its_range_and_moves_at_its_rate() -> None:
    rng = random.Random(4)
    b = block()
    before, budget = b["diValue"], SCAN  # ms at one unit a second
    for _ in range(20_000):
        words = {
            "uiHeartbeat": rng.choice([b["uiHeartbeat"], rng.randrange(65536)]),
            "uiSerial": rng.choice([b["uiSerial"]] * 20 + [rng.randrange(65536)]),
            "diRequest": rng.randrange(-(2**31), 2**31),
            "diFallback": rng.randrange(-(2**31), 2**31),
            "diExpected": b["diSetpoint"],
            "xAuto": rng.random() < 0.9,
            "xPanel": rng.random() < 0.01,
            "diPanel": rng.randrange(-(2**31), 2**31),
            "diScan": rng.randrange(1, 200),
        }
        b.scan(**words)
        budget += int(words["diScan"])
        assert abs(b["diValue"] - before) <= budget // 1000
        budget %= 1000
        before = b["diValue"]
        assert 2 <= before <= 11
        assert 2 <= b["diSetpoint"] <= 11
