"""Thinning keeps what a person would have seen; the ring forgets what belongs to an earlier life of the twin."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dashboard.history import History, Point, thin

values = st.one_of(st.none(), st.floats(-1e6, 1e6))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(values, max_size=400), st.integers(4, 120))
def test_thinning_keeps_ends_extremes_and_order(series: list[float | None], most: int) -> None:
    points: list[Point] = list(enumerate(series))
    kept = thin(points, most)
    assert set(kept) <= set(points)
    assert [t for t, _ in kept] == sorted({t for t, _ in kept})
    if points:
        assert kept[0] == points[0]
        assert kept[-1] == points[-1]
    numbers = [v for v in series if v is not None]
    if numbers:
        left = [v for _, v in kept if v is not None]
        assert min(left) == min(numbers)
        assert max(left) == max(numbers)
    # A bucket gives at most its two extremes and one gap.
    assert len(kept) <= max(most * 1.5 + 3, min(len(points), most))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(values, min_size=50, max_size=400))
def test_a_gap_stays_a_gap(series: list[float | None]) -> None:
    kept = thin(list(enumerate(series)), 20)
    assert any(v is None for v in series) == any(v is None for _, v in kept)


def frame(seq: int, t: int, value: float) -> dict[str, Any]:
    return {"seq": seq, "t": t, "kpi": {"wip": [value, 0, 9]}, "buf": [[value, 8]], "stk": [[value, 0, 0]]}


def test_series_name_indicators_buffers_and_stocks() -> None:
    history = History()
    for k in range(5):
        history.add(frame(k, 1000 * k, float(k)))  # the first, at time 0, is of a twin that knows nothing yet
    series = history.series()
    assert set(series) == {"wip", "buf.0", "stk.0"}
    assert series["wip"] == {"t": [1000, 2000, 3000, 4000], "v": [1.0, 2.0, 3.0, 4.0]}
    assert series["buf.0"]["v"] == [1.0, 2.0, 3.0, 4.0]
    assert history.series(after_t=2500)["stk.0"]["t"] == [3000, 4000]


def test_a_lost_twin_leaves_one_gap_and_a_twin_that_begins_anew_leaves_nothing() -> None:
    history = History()
    history.add(frame(1, 1000, 1.0))
    history.gap()
    history.gap()
    history.add(frame(2, 2000, 2.0))
    assert history.series()["wip"]["v"] == [1.0, None, 2.0]
    history.add(frame(1, 500, 5.0))
    assert history.series()["wip"]["v"] == [5.0]


def test_what_a_stale_twin_says_is_no_past() -> None:
    """A twin that waits for its first readings counts 0 parts: the trend must not rise from there."""
    history = History()
    history.add(frame(1, 1000, 0.0) | {"mode": "stale"})
    history.add(frame(2, 2000, 140.0))
    assert history.series()["wip"] == {"t": [2000], "v": [140.0]}
    history.add(frame(3, 2500, 140.0) | {"mode": "stale"})
    history.add(frame(4, 9000, 150.0))
    assert history.series()["wip"]["v"] == [140.0, None, 150.0]


def test_the_ring_is_bounded() -> None:
    history = History(most=10)
    for k in range(25):
        history.add(frame(k, k + 1, float(k)))
    assert len(history) == 10
    assert history.series()["wip"]["v"][0] == 15.0
