"""What a decision at an event costs is measured on decisions at events."""

from __future__ import annotations

from benchmarks.agents import at_events


def test_events_happen_in_both_ways_of_going_there() -> None:
    found = at_events(1, lanes=8, steps=12)
    assert found["ns_a_decision"] > found["ns_bare"] > 0.0
    assert found["events_per_s_bare"] > found["events_per_s"] > 0.0
