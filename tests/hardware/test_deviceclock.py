"""Device clocks that are off, jump, and devices that deliver late."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from hardware.deviceclock import ENOUGH, DeviceClock
from ingest.wire import GOOD, UNCERTAIN

NOW = 1_767_600_000_000


def feed(clock: DeviceClock, n: int, skew_ms: int, start: int = NOW, seed: int = 1) -> list[tuple[int, int, int]]:
    """n readings, one a second, of a device whose clock is behind by `skew_ms`: (true time, placed, quality)."""
    rng = random.Random(seed)
    found = []
    for k in range(n):
        true = start + 1000 * k
        arrival = true + rng.randrange(20, 600)
        at, quality = clock.place("x", true - skew_ms, arrival)
        found.append((true, at, quality))
    return found


def test_a_clock_that_is_right_is_taken_as_it_is() -> None:
    clock = DeviceClock()
    assert all((at, q) == (true, GOOD) for true, at, q in feed(clock, 100, 0))
    assert clock.skew_ms is not None
    assert 0 <= clock.skew_ms < 100
    assert clock.flagged == 0


def test_a_clock_hours_behind_or_ahead_is_estimated_corrected_and_flagged() -> None:
    for skew in (3 * 3_600_000, -3 * 3_600_000):
        clock = DeviceClock()
        found = feed(clock, 100, skew)
        assert clock.skew_ms is not None
        assert abs(clock.skew_ms - skew) < 100  # the quickest ways carry 20 ms
        assert all(abs(at - true) <= 600 for true, at, _ in found)
        assert all(q == UNCERTAIN for _, _, q in found)
        assert set(clock.counts) <= {"unplaced", "skewed", "backward"}
        assert sum(clock.counts.values()) == 100


def test_a_reading_from_the_future_is_bounded_and_a_late_one_keeps_its_time() -> None:
    clock = DeviceClock()
    feed(clock, 50, 0)
    arrival = NOW + 100_000
    assert clock.place("y", arrival + 60_000, arrival) == (arrival, UNCERTAIN)
    assert clock.place("z", arrival + 500, arrival) == (arrival, GOOD)  # within the tolerance, and still bounded
    assert clock.place("w", arrival - 90_000, arrival) == (arrival - 90_000, UNCERTAIN)
    assert clock.counts == {"future": 1, "late": 1}


def test_one_tags_readings_never_go_back_and_another_tags_are_its_own() -> None:
    clock = DeviceClock()
    feed(clock, 50, 0)
    arrival = NOW + 100_000
    assert clock.place("y", arrival - 100, arrival) == (arrival - 100, GOOD)
    assert clock.place("y", arrival - 900, arrival + 10) == (arrival - 100, UNCERTAIN)
    assert clock.place("z", arrival - 900, arrival + 20) == (arrival - 900, GOOD)
    clock.seen("v", arrival)
    assert clock.place("v", arrival - 1, arrival + 30) == (arrival, UNCERTAIN)
    assert clock.counts["backward"] == 2


def test_a_clock_that_is_set_is_followed_and_a_burst_of_old_readings_is_no_step() -> None:
    clock = DeviceClock()
    feed(clock, 300, 0)
    burst = NOW + 700_000
    for k in range(60):  # five minutes of readings, kept back and delivered within a second
        clock.place("b", burst - 300_000 + 5000 * k, burst + 10 * k)
    assert clock.steps == 0
    assert clock.skew_ms is not None
    assert abs(clock.skew_ms) < 1000
    feed(clock, 40, 3_600_000, burst + 400_000)
    assert clock.steps == 1
    assert abs(clock.skew_ms - 3_600_000) < 1000


@given(
    st.lists(
        st.tuples(st.sampled_from("ab"), st.integers(-10_000_000, 10_000_000), st.integers(0, 60_000)), max_size=200
    )
)
def test_whatever_a_device_says_times_are_bounded_and_in_order(rows: list[tuple[str, int, int]]) -> None:
    clock, arrival, last = DeviceClock(), NOW, {"a": 0, "b": 0}
    for name, off, pause in rows:
        arrival += pause
        at, quality = clock.place(name, arrival + off, arrival)
        assert last[name] <= at <= arrival
        assert (quality == GOOD) == (at == arrival + off or (0 < off <= clock.tolerance_ms and at == arrival))
        last[name] = at
    assert (clock.skew_ms is None) == (len(rows) < ENOUGH)
