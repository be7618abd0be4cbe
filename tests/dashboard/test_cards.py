"""The cards' words, without a browser."""

from __future__ import annotations

from dashboard import cards, words


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
