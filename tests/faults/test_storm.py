"""A malformed storm costs nothing but its own time; very many good messages leave nothing behind."""

from __future__ import annotations

from tests.faults.storm import leak, storm


def test_a_malformed_storm_is_counted_by_reason_and_good_messages_go_on() -> None:
    found, reasons = storm(5_000)
    assert found["bad"] == 5_000
    assert found["taken"] == found["good"] == found["hw"] == 1_250
    assert found["grown_kb"] < 8_000
    assert found["sources"] <= 1_001
    assert {"not_json", "not_utf8", "too_big", "bad_number", "wrong_type", "wrong_site", "bad_topic"} <= set(reasons)
    # within twice the calm; half a millisecond is what the scheduler of a busy machine does to CPU time
    assert found["storm_p99_ms"] <= 2 * found["calm_p99_ms"] + 0.5


def test_memory_and_descriptors_stay_flat() -> None:
    found = leak(20_000)
    assert found["readings"] == 400_000
    assert found["grown_kb"] < 4_000
    assert found["more_descriptors"] <= 0
