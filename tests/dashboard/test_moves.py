"""Several setpoints with one click: what is said before, on the way and afterwards."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard import cards, moves, words
from tests.dashboard.fake_twin import ORIGIN, plant, recommendation
from tests.dashboard.test_words import anything, calm, text_of

HOUR = 3_600_000
MOVES = [
    {"control": "cap_s", "from": 6, "to": 8},
    {"control": "steel_level", "from": 60, "to": 40},
    {"control": "wire_level", "from": 40, "to": 45},
]


def known() -> dict[str, Any]:
    """The scripted plant with a third control, which wants an engineer."""
    found = plant()
    third = found["controls"][1] | {"id": "wire_level", "sets": "stocks.wire.level", "approve": "engineer"}
    return found | {"controls": [*found["controls"], third]}


def joint(**changes: Any) -> dict[str, Any]:
    return recommendation(41, ORIGIN, moves=MOVES, then="rule:setpoint before") | changes


def one(state: str, note: str = "", until: int = 0) -> dict[str, Any]:
    return {"state": state, "note": note, "by": "gateway", "t": ORIGIN, "until": until}


HALF = {
    "cap_s": one("set", "read back 8", ORIGIN + 8 * HOUR),
    "steel_level": one("failed", "too_soon: 60 s after the last change"),
    "wire_level": one("waiting"),
}


def test_the_sentence_counts_and_the_table_names() -> None:
    rec = joint()
    assert words.action(rec, known()) == "Set 3 setpoints for the next 8 h"
    said = " ".join(text_of(cards.build([rec], known(), None)).split())
    for part in (
        "Setpoint From To WIP cap of motor_s The WIP cap is how many parts may be in the line at once. 6 8 parts (+2)",
        "order-up-to level of bar_steel The order-up-to level is how much",
        "60 40 parts (-20)",
        "order-up-to level of wire 40 45 parts (+5)",
        "Accept and send 3 setpoints",
        "Afterwards the setpoints before them return.",
    ):
        assert part in said, part
    assert said.count("The order-up-to level is how much") == 1  # once for both
    assert "At the plant" not in said  # nothing was sent yet


def test_a_single_move_in_a_list_is_said_as_it_always_was() -> None:
    rec = recommendation(41, ORIGIN)
    alone = text_of(cards.build([rec | {"moves": MOVES[:1]}], known(), None))
    assert alone == text_of(cards.build([rec], known(), None))
    assert "Accept and send" in alone
    assert "setpoints" not in alone.partition("Reject")[0].replace("all setpoints that tuning", "")


def test_whoever_must_approve_any_of_them_is_named_with_what() -> None:
    said = text_of(cards.build([joint()], known(), None))
    assert "Needs the approval of: engineer (for order-up-to level of wire)." in said
    assert moves.approval(joint(moves=MOVES[:2]), known()) == ""


def test_a_rule_that_gains_more_is_compared_with_what_this_sets() -> None:
    better = {"mean": -434.0, "lo": -6732, "hi": 3339, "unit": "EUR"}
    said = text_of(cards.build([joint(vs={"rule": better})], known(), None))
    assert "Setting them all is expected to gain 434 EUR more than this, which sets 3 setpoints." in said


def test_lists_name_the_first_and_count_the_others() -> None:
    assert moves.short(joint(), known()) == "Set 3 setpoints: WIP cap of motor_s to 8 parts and 2 more"
    assert moves.short(recommendation(41, ORIGIN), known()) == "Raise WIP cap of motor_s from 6 to 8 parts"
    assert moves.named(joint(), known()) == (
        "WIP cap of motor_s to 8 parts, order-up-to level of bar_steel to 40 parts and 1 more"
    )
    assert moves.named(recommendation(41, ORIGIN), known()) == ""


@pytest.mark.parametrize(
    ("status", "progress", "says"),
    [
        ("accepted", {}, "Accepted"),
        ("accepted", HALF | {"steel_level": one("under way")}, "Accepted: 1 of 3 set, waiting for the plant"),
        ("accepted", HALF | {"wire_level": one("under way")}, "Accepted: 1 of 3 set, 1 failed, waiting for the plant"),
        ("sent", HALF | {"steel_level": one("set")}, "Command sent: 2 of 3 set, waiting for the plant"),
        ("confirmed", dict.fromkeys(HALF, one("set")), "Confirmed: the plant read all 3 new values back"),
        ("failed", HALF, "Failed: 1 of 3 setpoints were set"),
        ("failed", HALF | {"cap_s": one("failed")}, "Failed: no setpoint was set"),
        ("rejected", {}, "Rejected"),
    ],
)
def test_how_it_stands_counts_the_setpoints(status: str, progress: dict[str, Any], says: str) -> None:
    assert moves.status(joint(status=status, progress=progress)) == says


def test_a_part_that_stands_is_told_with_what_failed_and_until_when() -> None:
    rec = joint(status="failed", progress=HALF, reason="steel_level: too_soon")
    why = "order-up-to level of bar_steel: too_soon: 60 s after the last change"
    assert moves.standing(rec, known()) == {"set": 1, "of": 3, "until": ORIGIN + 8 * HOUR, "why": why}
    assert moves.standing(rec | {"status": "confirmed"}, known()) is None
    assert moves.standing(joint(status="failed", progress=HALF | {"cap_s": one("failed")}), known()) is None
    assert moves.standing(recommendation(41, ORIGIN, status="failed"), known()) is None


def test_a_part_that_stands_is_open_and_before_what_is_over() -> None:
    """Whoever looks at Decide finds it without a click, until its lease has ended."""
    done, half = recommendation(42, ORIGIN, status="evaluated"), joint(status="failed", progress=HALF)
    section = cards.build([done, half], known(), {"t": ORIGIN + HOUR})[-1]
    first, second = section.children[1:]
    assert ("r-41" in text_of(first), first.open) == (True, True)
    said = " ".join(text_of(first).split())
    assert "✕ failed: too_soon: 60 s after the last change" in said
    assert "✓ set, until" in said
    assert "· not sent" in said
    assert "r-42" in text_of(second)
    later = cards.build([done, half], known(), {"t": ORIGIN + 9 * HOUR})[-1]
    assert ["r-42" in text_of(row) for row in later.children[1:]] == [True, False]


def test_what_is_under_way_is_not_called_done_or_refused() -> None:
    said = text_of(moves.table(joint(status="accepted", progress=HALF | {"steel_level": one("under way")}), known()))
    assert "waits for the one before" in said
    assert "sent" in said
    over = HALF | {"cap_s": one("under way")}
    assert "sent, not known whether it was done" in text_of(moves.table(joint(status="failed", progress=over), known()))


def test_a_joint_alternative_lists_its_setpoints() -> None:
    gain = {"mean": 22.0, "lo": -3.0, "hi": 48.0, "unit": "EUR"}
    other = {"control": "cap_s", "from": 6, "to": 8, "moves": MOVES[:2]}
    listed = "WIP cap of motor_s to 8 parts, order-up-to level of bar_steel to 40 parts: "
    said = text_of(cards.build([joint(alternatives=[other | {"gain": gain}])], known(), None))
    assert f"{listed}+22 EUR (90 %: -3 to 48)" in said
    told = other | {"words": "cap_s to 8, steel_level to 40: +4.0 EUR over 8 h at a first look"}
    said = text_of(cards.build([joint(alternatives=[told])], known(), None))
    assert f"{listed}+4.0 EUR over 8 h at a first look" in said


@calm
@given(
    st.fixed_dictionaries({}, optional=dict.fromkeys(("moves", "progress", "from", "to"), anything)),
    st.sampled_from(["proposed", "accepted", "failed", "confirmed"]),
)
def test_no_list_of_moves_breaks_the_page(given: dict[str, Any], status: str) -> None:
    rec = recommendation(41, ORIGIN, status=status) | given
    assert cards.build([rec], known(), {"t": ORIGIN})
    assert words.action(rec, known())
    assert moves.short(rec, known())


@calm
@given(st.lists(st.fixed_dictionaries({}, optional=dict.fromkeys(("control", "from", "to"), anything)), min_size=2))
def test_no_move_breaks_the_table(rows: list[dict[str, Any]]) -> None:
    progress = {"None": anything}
    assert moves.table(joint(moves=rows, progress=progress), known()) is not None
    assert moves.named(joint(moves=rows), known())
