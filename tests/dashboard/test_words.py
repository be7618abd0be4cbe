"""What is said about a recommendation is what the twin promised, in plain words."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dashboard import cards, words
from tests.dashboard.fake_twin import ORIGIN, plant, recommendation

KEY = "0123456789"
calm = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""A shared machine may be slow; that is no finding here."""


def text_of(component: Any) -> str:
    """All text of a Dash component tree, in order."""
    if component is None or isinstance(component, (str, int, float)):
        return "" if component is None else str(component)
    if isinstance(component, (list, tuple)):
        return " ".join(text_of(child) for child in component)
    return text_of(getattr(component, "children", None))


def test_the_action_is_one_plain_sentence() -> None:
    rec = recommendation(41, ORIGIN)
    assert words.action(rec, plant()) == "Raise WIP cap of motor_s from 6 to 8 parts for the next 8 h"
    lower = rec | {"control": "steel_level", "from": 60, "to": 40, "horizon_s": 7 * 86400}
    assert words.action(lower, plant()) == "Lower order-up-to level of bar_steel from 60 to 40 parts for the next 7 d"
    assert words.action({"control": "cap_x", "from": 2, "to": 2}, {}) == "Keep cap x from 2 to 2"


def test_every_kind_of_control_has_a_name() -> None:
    sets = {"a": "buffers.wash.kanban", "b": "stations.mill.dispatch.steps_left", "c": "calendars.day.overtime"}
    known = {"controls": [{"id": name, "sets": path} for name, path in sets.items()]}
    said = [words.control_words(name, known) for name in sets]
    assert said == ["kanban of wash", "dispatching weight of steps left at mill", "overtime of day"]


@pytest.mark.parametrize(
    ("seconds", "said"), [(600, "10 min"), (5399, "90 min"), (28800, "8 h"), (9000, "2.5 h"), (604800, "7 d")]
)
def test_lengths_of_time(seconds: float, said: str) -> None:
    assert words.hours(seconds) == said


def test_the_gain_carries_its_interval_and_the_chance_of_being_worse() -> None:
    gain = recommendation(41, ORIGIN)["gain"]
    assert words.gain(gain) == "+41 EUR (90 %: 6.2 to 79.5)"
    assert words.chance(gain["worse"]) == "3 %"
    assert words.chance(0.0) == "less than 1 %"
    assert words.gain(None) == "not known"
    assert words.gain({"mean": -3.0, "lo": -9, "hi": 2.0, "unit": "EUR"}) == "-3 EUR (90 %: -9 to 2)"


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"id": ""}, "id"),
        ({"version": "1"}, "version"),
        ({"version": True}, "version"),
        ({"decision": "do"}, "decision"),
        ({"key": "short"}, "key"),
        ({"decision": "reject", "reason": "because"}, "reason"),
        ({"decision": "reject", "reason": None}, "reason"),
    ],
)
def test_a_malformed_decision_is_named(change: dict[str, Any], names: str) -> None:
    good = {"id": "r-1", "version": 1, "decision": "accept", "key": KEY}
    assert words.decision_problem(good) is None
    problem = words.decision_problem(good | change)
    assert problem
    assert problem.startswith(f"{names}: expected" if names != "key" else "key:")


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@calm
@given(st.fixed_dictionaries({}, optional=dict.fromkeys(["id", "version", "decision", "reason", "key"], anything)))
def test_only_whole_decisions_pass(body: dict[str, Any]) -> None:
    if words.decision_problem(body) is None:
        assert body["decision"] in words.DECISIONS
        assert isinstance(body["version"], int)
        assert body["id"]


def test_six_reasons_of_one_tap() -> None:
    assert len(words.REASONS) == 6
    rec = recommendation(41, ORIGIN)
    said = text_of(cards.build([rec], plant(), None))
    for label in words.REASONS.values():
        assert label in said


def test_an_open_card_shows_promise_alternatives_checks_and_evidence() -> None:
    said = text_of(cards.build([recommendation(41, ORIGIN)], plant(), None))
    for part in (
        "Raise WIP cap of motor_s from 6 to 8 parts for the next 8 h",
        "doing nothing",
        "the rule",
        "+41 EUR (90 %: 6.2 to 79.5)",
        "18 %",
        "grind starves 18 % of the time",
        "WIP cap of motor_s to 7 parts: +22 EUR",
        "data age: 0.4 s",
        "512 paired replicas",
    ):
        assert part in said
    assert "Doing nothing is best" not in said


def test_doing_nothing_is_an_answer_and_no_check_is_not() -> None:
    checked = cards.build([], plant(), {"advice": {"evaluated": 7, "t": ORIGIN, "why": "No candidate gained 5 EUR."}})
    assert "Doing nothing is best" in text_of(checked)
    assert "No candidate gained 5 EUR." in text_of(checked)
    assert "checked so far: 7." in text_of(checked)
    repeated = {"advice": {"evaluated": 1, "t": ORIGIN, "why": "doing nothing is best: of 20 candidates, none"}}
    assert text_of(cards.build([], plant(), repeated)).lower().count("doing nothing is best") == 1
    fresh = text_of(cards.build([], plant(), {"advice": {"evaluated": 0, "t": None, "why": ""}}))
    assert "Doing nothing is best" not in fresh
    assert "No advice yet" in fresh
    assert "paused" in text_of(cards.build([], plant(), {"paused": True}))


def test_the_realised_effect_is_labelled_model_based() -> None:
    found = {
        "value": 44.0, "lo": -12.5, "hi": 103.0, "counterfactual": 512.0, "cost": 468.0, "unit": "EUR", "hours": 45.5,
        "label": "model-based", "beside": ["r-42"], "not_measured": ["energy", "repair"],
    }  # fmt: skip
    said = text_of(cards.build([recommendation(41, ORIGIN, status="evaluated", realised=found)], plant(), None))
    assert (
        "Realised gain +44 EUR (90 %: -12.5 to 103): it cost 468 EUR in 45.5 h, doing nothing would have cost 512 EUR. "
        "Together with r-42, carried out in the same time. Without energy, repair, which nobody measures yet."
    ) in said
    assert "model-based" in said
    unknown = recommendation(41, ORIGIN, status="evaluated", realised={"value": None, "why": "the rows are gone"})
    assert "What it gained is not known: the rows are gone." in text_of(cards.build([unknown], plant(), None))


def test_what_acts_afterwards_and_over_what_time_the_gain_counts() -> None:
    rec = recommendation(41, ORIGIN, lease_s=28800.0, horizon_s=351000.0, then="rule:setpoint before")
    said = text_of(cards.build([rec], plant(), None))
    assert "for the next 8 h" in said
    assert "counted over 4.1 d" in said
    assert "Afterwards the setpoint before it returns." in said
    assert "Afterwards: conwip." in text_of(cards.build([rec | {"then": "rule:conwip"}], plant(), None))


def test_a_reason_is_told_for_what_was_ended_and_not_for_what_was_done() -> None:
    rec = recommendation(41, ORIGIN, status="withdrawn", reason="it would gain 3 EUR only")
    assert "the situation changed: it would gain 3 EUR only" in text_of(cards.build([rec], plant(), None))
    assert "3 EUR only" not in text_of(cards.build([rec | {"status": "confirmed"}], plant(), None))


@calm
@given(st.fixed_dictionaries({}, optional=dict.fromkeys(("from", "to", "control", "horizon_s", "then"), anything)))
def test_the_sentence_never_fails(rec: dict[str, Any]) -> None:
    assert words.action(rec, plant())


def test_gains_are_said_in_plain_digits() -> None:
    assert [words.signed(v) for v in (1434.4, -109.2, 0.34, 0.0)] == ["+1,434", "-109", "+0.34", "0"]
