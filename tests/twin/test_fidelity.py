"""The certificate: intervals by tables; lights of records that are good, biased, too narrow or no better than none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from twin.fidelity import certify, uniform, worst
from twin.scores import DAY_MS, Scores, share_below, widened
from twin.verdict import interval, wilson
from twin.watch import Watch

NAMES = ["wip", "output", "backlog", "at/cut", "out/cut"]
STEP = 900_000


def record(shift: float = 0.0, narrow: float = 1.0, n: int = 60, seed: int = 1, still: float = 8.0) -> Scores:
    """Scores of `n` epochs: truth N(20, 4), replicas N(20 + shift, 4 narrow); now lies `still` away from the truth."""
    rng = np.random.default_rng(seed)
    scores = Scores(list(NAMES))
    for i in range(n):
        values = {name: round(float(rng.normal(20, 4))) for name in NAMES}
        made = STEP * i
        checks: list[dict[str, Any]] = [
            {
                "name": name, "ahead_s": 900, "made": made, "t": made + STEP, "now": values[name] + still,
                "mean": 20 + shift, "r": sorted(round(float(v)) for v in rng.normal(20 + shift, 4 * narrow, 99)),
                "base": 0, "widen": scores.widen(name, 900),
            }
            for name in NAMES
        ]  # fmt: skip
        scores.take(checks)
        scores.settle([[made + STEP, *values.values()]])
    return scores


def light(scores: Scores, now: int = 61 * STEP, notices: tuple[str, ...] = ()) -> dict[str, Any]:
    return certify(scores, now, {"wip": 20.0, "at/cut": 20.0}, notices)


def test_intervals_from_tables() -> None:
    low, high = wilson(8, 10, 0.95)
    assert (round(low, 4), round(high, 4)) == (0.4902, 0.9433)
    assert interval([1.0, 2.0, 3.0, 4.0], 0.95) == pytest.approx((0.4457, 4.5543), abs=1e-3)
    assert uniform([0.5] * 24) is None
    assert uniform([(i + 0.5) / 100 for i in range(100)]) == pytest.approx(1.0)
    assert uniform([0.05] * 30) == pytest.approx(0.0, abs=1e-9)
    assert worst(["unknown", "green", "amber"]) == "amber"
    assert worst(["unknown"]) == "unknown"


def test_a_good_record_is_green_and_a_short_one_unknown() -> None:
    found = light(record())
    assert found["light"] == "green", found["why"]
    assert found["stations"] == {"cut": "green"}
    assert found["n"] == 60 * len(NAMES)
    assert found["outside"] == []
    line = found["lines"][0]
    assert 0.8 < line["coverage90"] <= 1.0
    assert line["skill"]["persistence"] > 0.5
    assert abs(line["skill"]["ever"]) < 0.15, "as it ever was is exactly as good here, and must not count as worse"
    assert light(record(n=9))["light"] == "unknown"


def test_bias_beyond_tolerance_and_bands_too_narrow_are_red() -> None:
    found = light(record(shift=5.0))
    assert found["light"] == "red"
    assert "too high on the mean" in found["why"][0]
    found = light(record(narrow=0.4))
    assert found["light"] == "red"
    assert "inside the 90 % band" in found["why"][0]


def test_bias_inside_the_tolerance_and_slightly_narrow_bands_are_no_fault_yet() -> None:
    assert light(record(shift=1.0))["light"] in ("green", "amber")
    assert light(record(shift=1.0))["lines"][0]["tolerance"] == pytest.approx(2.0, rel=0.1)


def test_no_better_than_standing_still_is_amber() -> None:
    found = light(record(still=0.1))
    assert found["light"] == "amber"
    assert "stays as it is" in found["why"][0]


def test_an_open_notice_and_age_take_the_green_away() -> None:
    assert light(record(), notices=("cut",))["stations"] == {"cut": "amber"}
    found = light(record(), now=61 * STEP + 2 * DAY_MS)
    assert (found["light"], found["why"]) == ("unknown", ["expired: no forecast has come due for a day"])
    assert certify(record(), 61 * STEP, {"wip": 99.0})["outside"] == ["wip"]


def test_adjusted_bands_reach_their_promise_where_the_model_is_too_narrow() -> None:
    scores = record(narrow=0.3, n=400)
    rows = list(scores.groups["wip", 900].rows)[-150:]
    raw, adjusted = np.mean([r["covered"] for r in rows]), np.mean([r["held"] for r in rows])
    assert raw < 0.6
    assert 0.85 <= adjusted <= 0.95
    assert scores.widen("wip", 900) > 1.5
    assert widened(10.0, 10.0, 10.0, 3.0) == (9.0, 11.0)
    assert widened(10.0, 8.0, 14.0, 1.0) == (8.0, 14.0)


def test_ranks_of_equal_values_are_spread_over_their_places() -> None:
    shares = [share_below([5.0] * 99, 5.0, f"k{i}") for i in range(400)]
    p = uniform(shares)
    assert p is not None
    assert p > 0.001
    assert share_below([5.0] * 99, 4.0, "k") == 0.005
    assert share_below([5.0] * 99, 6.0, "k") == 0.995


def test_the_record_rebuilt_from_the_log_is_the_same() -> None:
    watch, again = Watch(list(NAMES)), Watch(list(NAMES))
    rng = np.random.default_rng(2)
    log: list[dict[str, Any]] = []
    for i in range(80):
        made = STEP * i
        checks = [
            {"name": name, "ahead_s": 900, "made": made, "t": made + STEP, "now": 20.0, "mean": 20.0, "base": 0,
             "r": sorted(int(v) for v in rng.normal(20, 4, 99))}
            for name in NAMES
        ]  # fmt: skip
        log.append({"type": "forecast", "body": {"checks": watch.take(checks)}})
        value = 20 if i < 40 else 27
        rows = watch.scores.settle([[made + STEP, *(value + int(rng.integers(-4, 5)) for _ in NAMES)]])
        for row in rows:
            log.append({"type": "score", "body": row})
            watch._rank(row)
    for entry in log:
        again.remember(entry)
    assert again.scores.groups == watch.scores.groups
    assert again.drift == watch.drift
    assert {n.place for n in watch.drift.notices} == {"wip", "output", "backlog", "out/cut"}
    assert all(n.up and n.t > 40 * STEP for n in watch.drift.notices)
    assert len(watch.drift.notices) == 4, "an open notice is not repeated"


def test_the_newest_rows_of_a_series_and_the_tenths_of_all_ranks() -> None:
    scores = record(n=60)
    rows = scores.newest(["wip", "nobody"], 7)
    assert [row["t"] for row in rows] == [STEP * (54 + i) for i in range(7)]
    assert {row["name"] for row in rows} == {"wip"}
    found = scores.summary()["ranks"]
    assert sum(found) == 60 * len(NAMES)
    assert uniform([(i + 0.5) / 10 for i, k in enumerate(found) for _ in range(k)]) > 0.01  # type: ignore[operator]
    assert record(shift=8.0).ranks()[0] > 60 * len(NAMES) / 2, "forecasts that are far too high"
