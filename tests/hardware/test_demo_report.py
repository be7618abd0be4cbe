"""The report's figures on inputs made by hand."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from hardware.demo_report import (
    Observed,
    StateSample,
    commands,
    lost,
    percentile,
    recommendation,
    report,
    wip_error,
)

G = ("ptw/v1/demo/machining/line3/cell1", "e1")


def test_a_number_that_is_missing_is_lost() -> None:
    assert lost({G: {1, 2, 4}}, {G: 5}, []) == 2


def test_numbers_beyond_the_newest_issued_do_not_offset_losses() -> None:
    assert lost({G: {1, 2, 9}}, {G: 3}, []) == 1


def test_numbers_covered_by_a_gap_record_are_lost() -> None:
    # the gap record itself is number 6
    assert lost({G: {1, 2, 6}}, {G: 6}, [(G, 3, 5)]) == 3
    assert lost({G: {1, 2, 4, 6}}, {G: 6}, [(G, 3, 5)]) == 3


def test_a_source_that_never_reached_the_journal_is_lost_whole() -> None:
    assert lost({}, {G: 7}, []) == 7


@given(st.sets(st.integers(1, 60)), st.integers(0, 60))
def test_lost_and_present_make_up_the_issued(present: set[int], newest: int) -> None:
    assert lost({G: present}, {G: newest}, []) + len([n for n in present if n <= newest]) == newest


def test_percentile_is_a_value_of_the_sample() -> None:
    assert percentile([], 0.5) is None
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert percentile(list(map(float, range(1, 101))), 0.99) == 99.0
    assert percentile([7.0], 0.99) == 7.0


def test_wip_error_uses_the_truth_nearest_in_time() -> None:
    truth = [{"t": 1000, "wip": {"a": 1, "b": 0}}, {"t": 2000, "wip": {"a": 3, "b": 1}}]
    samples = [
        StateSample(999, 0.1, {"a": 9.0, "b": 9.0}),  # before the first row: not counted
        StateSample(1500, 0.1, {"a": 1.5, "b": 0.0}),
        StateSample(1501, 0.1, {"a": 3.0, "b": 1.0}),
        StateSample(2000, 0.1, {"a": 3.0, "b": 3.0}),
        StateSample(2001, 0.1, {"a": 9.0}),  # after the last row: not counted
    ]
    assert wip_error(samples, truth) == (0.5 + 0 + 0 + 0 + 0 + 2) / 6
    assert wip_error([], truth) is None


def test_a_command_is_confirmed_once_however_often_it_is_acknowledged() -> None:
    steps = [("c1", "received"), ("c1", "executed"), ("c1", "executed"), ("c2", "rejected"), ("other", "executed")]
    assert commands(["c1", "c2", "c3"], steps) == {"sent": 3, "confirmed": 1, "rejected": 1}


def row(**more: Any) -> dict[str, Any]:
    gain = {"mean": 5.0, "lo": 1.0, "hi": 9.0, "unit": "EUR", "worse": 0.02}
    return {"id": "r-1", "control": "cap", "from": 6, "to": 8, "gain": gain, "status": "proposed", **more}


def test_a_recommendation_tells_its_effect_or_why_there_is_none() -> None:
    told = recommendation(row(status="evaluated", realised={"value": 4.0, "counterfactual": 1.0}))
    assert told["realised"]["value"] == 4.0
    assert "reason" not in told
    assert told["action"] == {"control": "cap", "from": 6, "to": 8}
    assert "worse" not in told["gain"]
    timeline = [{"status": "rejected", "note": "maintenance"}, {"status": "rejected", "note": ""}]
    assert recommendation(row(status="rejected", timeline=timeline))["reason"] == "maintenance"
    assert recommendation(row())["reason"] == "nobody has decided yet"
    assert "horizon" in recommendation(row(status="confirmed", reason="looks right"))["reason"]


def test_a_recommendation_of_several_setpoints_tells_all_and_what_stands() -> None:
    moves = [{"control": "cap", "from": 6, "to": 8}, {"control": "level", "from": 60, "to": 80}]
    reason = "level: too_soon; set already, and stands until its lease ends: cap 6 to 8"
    told = recommendation(row(status="failed", moves=moves, reason=reason))
    assert (told["action"], told["moves"], told["reason"]) == (moves[0], moves, reason)
    assert "moves" not in recommendation(row(moves=moves[:1]))
    assert recommendation(row(status="sent"))["reason"] == "its commands are not all confirmed yet"


def test_report_has_the_agreed_fields() -> None:
    seen = Observed(
        plant="line3",
        samples=[StateSample(1500, 0.2, {"a": 1.0})],
        truth=[{"t": 1000, "wip": {"a": 2}}, {"t": 2000, "wip": {"a": 2}}],
        scores={"n": 3, "coverage90": 0.9},
        evaluated=4,
        recommendations=[row()],
        journal={G: {1, 2}},
        issued={G: 2},
        commands=["c1"],
        steps=[("c1", "executed")],
    )
    told = report(seen)
    assert told["readings"] == {"received": 2, "duplicate": 0, "lost": 0}
    assert told["twin_age_s"] == {"p50": 0.2, "p99": 0.2}
    assert told["wip_error_mean"] == 1.0
    assert told["forecast"] == {"n": 3, "coverage90": 0.9}
    assert told["advice"] == {"evaluated": 4, "recommended": 1}
    assert told["commands"] == {"sent": 1, "confirmed": 1, "rejected": 0}
    assert told["restarts"] == 0
    assert set(told) == set(
        "plant readings twin_age_s wip_error_mean forecast advice recommendations commands restarts".split()
    )
