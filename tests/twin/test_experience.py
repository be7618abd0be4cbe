"""Forecasts that are always off in one direction, put right by those that have ended."""

from __future__ import annotations

import numpy as np
import pytest

from twin.experience import Experience
from twin.scores import crps


def sample(rng: np.random.Generator, mean: float, sd: float, n: int = 99) -> list[float]:
    return sorted(float(v) for v in rng.normal(mean, sd, n))


def test_without_experience_nothing_changes() -> None:
    values = [90.0, 100.0, 110.0]
    assert Experience().corrected("early", values) == values


def test_a_steady_error_goes_away_and_the_kind_has_its_own() -> None:
    """The model says 100; early shifts make 120, night shifts 80."""
    rng, found = np.random.default_rng(1), Experience()
    for _ in range(30):
        found.add("early", sample(rng, 100, 5), 120 + rng.normal(0, 5))
        found.add("night", sample(rng, 100, 5), 80 + rng.normal(0, 5))
    assert found.fit().factor("early") == pytest.approx(1.2, abs=0.02)
    assert found.fit().factor("night") == pytest.approx(0.8, abs=0.02)
    assert 0.95 < found.fit().factor("weekend") < 1.05
    assert np.mean(found.corrected("early", sample(rng, 100, 5))) == pytest.approx(120, abs=3)


def test_few_forecasts_are_believed_in_part() -> None:
    """One that was 10 % off counts 0.2^2 / (0.2^2 + 0.05^2); what holds for one kind is expected of others."""
    found = Experience()
    found.add("early", [100.0] * 10, 110.0)
    assert found.fit().factor("late") == pytest.approx(1 + 0.1 * 0.04 / (0.04 + 0.0025))


def test_a_forecast_that_says_nothing_of_this_time_is_drawn_to_the_usual() -> None:
    """Forecasts jump by 10 and what comes does not follow; and where it follows, nothing is drawn."""
    rng, noise, skill = np.random.default_rng(4), Experience(), Experience()
    for _ in range(40):
        says = 100 + 10 * rng.normal()
        noise.add("early", sample(rng, says, 5), 100 + rng.normal(0, 5))
        skill.add("early", sample(rng, says, 5), says + rng.normal(0, 5))
    assert abs(noise.fit().expected("early", 120) - 100) < 5
    assert skill.fit().expected("early", 120) == pytest.approx(120, abs=4)


def test_kinds_that_differ_by_luck_only_are_alike() -> None:
    rng, apart = np.random.default_rng(5), []
    for _ in range(30):
        found = Experience()
        for kind in ["early", "late"] * 4:
            found.add(kind, sample(rng, 100, 5), 110 + rng.normal(0, 8))
        apart.append(abs(found.fit().factor("early") - found.fit().factor("late")))
    assert np.mean(apart) < 0.025  # of plain means it would be 0.045


def test_a_spread_too_small_is_widened_and_one_too_large_narrowed() -> None:
    rng = np.random.default_rng(2)
    for told, real in ((4.0, 16.0), (16.0, 4.0)):
        found = Experience()
        for _ in range(40):
            found.add("early", sample(rng, 200, told), 200 + rng.normal(0, real))
        right = found.corrected("early", sample(rng, 200, told, 999))
        assert np.std(right) == pytest.approx(max(real, 0.5 * told), rel=0.35)


def test_corrected_forecasts_score_better_and_never_fall_below_nothing() -> None:
    rng, found = np.random.default_rng(3), Experience()
    before = after = 0.0
    for k in range(60):
        values, came = sample(rng, 100, 8), 85 + rng.normal(0, 8)
        if k >= 10:
            before += crps(values, came)
            after += crps(sorted(found.corrected("early", values)), came)
        found.add("early", values, came)
    assert after < 0.7 * before
    assert min(found.corrected("early", [0.0, 1.0, 40.0])) >= 0.0
