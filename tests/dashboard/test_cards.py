"""The cards' words, without a browser."""

from __future__ import annotations

import pytest

from dashboard import cards, moves, words
from tests.dashboard.fake_twin import ORIGIN, plant, recommendation
from tests.dashboard.test_words import text_of


def test_an_answer_older_than_the_newest_proposal_is_not_shown_as_todays() -> None:
    frame = {"advice": {"t": 1000, "evaluated": 3, "why": "doing nothing is best: of 20 candidates, none"}}
    decided = {"id": "r-1", "status": "confirmed", "created": 2000}
    assert "Doing nothing is best" in str(cards.build([], {}, frame)[0])
    assert "Doing nothing is best" in str(cards.build([decided | {"created": 500}], {}, frame)[0])
    late = str(cards.build([decided], {}, frame)[0])
    assert "Doing nothing is best" not in late
    assert "no decision moment has been checked since" in late


def test_a_gain_that_is_nearly_a_coin_toss_is_called_so() -> None:
    assert "not surely this time" in words.close_call(0.46)
    assert words.close_call(0.1) == words.close_call(None) == ""


@pytest.mark.parametrize(
    ("why", "says"),
    [
        ("r-41 is open and still pays", "The last proposal (r-41) is decided or over"),
        ("r-41 withdrawn: cap is 7 now, not 6", "The last proposal, r-41 withdrawn: cap is 7 now, not 6."),
        ("cap 6 to 8, +4.0 EUR: refused by the twin: too soon", "The last proposal was not taken: cap 6 to 8"),
    ],
)
def test_what_was_said_of_a_proposal_is_no_advice_to_do_nothing(why: str, says: str) -> None:
    """The answer of the check between the proposal and the click is the newest one for a while after the click."""
    decided = recommendation(41, ORIGIN, status="confirmed")
    said = text_of(cards.build([decided], plant(), {"advice": {"t": ORIGIN + 1, "evaluated": 3, "why": why}})[0])
    assert says in said
    assert "Nothing waits for you" in said
    assert "Doing nothing is best" not in said


def test_what_a_rule_that_gains_more_means_is_said() -> None:
    better = {"mean": -434.0, "lo": -6732, "hi": 3339, "unit": "EUR"}
    said = text_of(cards.build([recommendation(41, ORIGIN, vs={"rule": better})], plant(), None))
    assert "Setting them all is expected to gain 434 EUR more than this, which sets 1 setpoint." in said
    assert "-6,732 to 3,339 EUR" in said
    assert "more than this" not in words.against_rule({"mean": 3.0})
    assert "more than this" not in words.against_rule(None)


def test_a_card_says_what_the_control_does_and_whose_approval_it_needs() -> None:
    mine, theirs = recommendation(41, ORIGIN), recommendation(42, ORIGIN, control="steel_level")
    known = plant()
    known["controls"] = [c | ({"approve": "engineer"} if c["id"] == "steel_level" else {}) for c in known["controls"]]
    said = text_of(cards.build([mine], known, None))
    assert "The WIP cap is how many parts may be in the line at once." in said
    assert "approval" not in said
    said = text_of(cards.build([theirs], known, None))
    assert "The order-up-to level is" in said
    assert "Needs the approval of: engineer." in said
    assert words.meaning("x", {"controls": [{"id": "x", "sets": "stations.hob.dispatch.setup"}]}) == words.WEIGHT
    assert words.meaning("unknown", known) == moves.approval({"control": "unknown"}, known) == ""


def test_effects_say_over_what_time_and_beside_what() -> None:
    said = text_of(cards.build([recommendation(41, ORIGIN)], plant(), None))
    assert "Expected effect over 8 h: mean (90 % of outcomes)" in said
    assert "doing nothing with this" in " ".join(said.split())


def test_alternatives_of_advise_are_said_in_the_plants_words() -> None:
    """`agents.advice.compare` writes the control's id, as who reads the log has no plant at hand."""
    other = {"control": "cap_s", "from": 6, "to": 7, "words": "cap_s to 7: +4.0 EUR over 8 h at a first look"}
    said = text_of(cards.build([recommendation(41, ORIGIN, alternatives=[other])], plant(), None))
    assert "WIP cap of motor_s to 7 parts: +4.0 EUR over 8 h at a first look" in said
    assert "cap_s to" not in said


def test_the_policy_is_named_once() -> None:
    evidence = {"policy": "policy:sha256:536417ab" + "0" * 56, "n": 192}
    assert "policy 536417ab" in text_of(cards.build([recommendation(41, ORIGIN, evidence=evidence)], plant(), None))
