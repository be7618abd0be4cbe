"""Replacement policies against closed forms."""

from __future__ import annotations

from math import erf, exp, inf, pi, sqrt

import numpy as np
import pytest
from scipy.stats import expon, gamma, uniform, weibull_min

from tests.oracles.maintenance import (
    Upkeep,
    age_replacement,
    best_age,
    block_replacement,
    block_replacement_by_calendar,
    mean_up,
    renewals,
)

UPKEEP = Upkeep(preventive=1.0, corrective=5.0, preventive_cost=20.0, corrective_cost=150.0)


def test_run_to_failure_is_technical_availability() -> None:
    found = age_replacement(weibull_min(2.0, scale=100.0), inf, UPKEEP)
    up = 100.0 * sqrt(pi) / 2
    assert found.availability == pytest.approx(up / (up + 5.0))
    assert found.preventive_rate == 0.0


def test_age_replacement_by_hand() -> None:
    """Weibull of shape 2 (Rayleigh), replaced at 60: mean time up = scale sqrt(pi) / 2 erf(0.6), F = 1 - exp(-0.36)."""
    found = age_replacement(weibull_min(2.0, scale=100.0), 60.0, UPKEEP)
    up, failed = 100.0 * sqrt(pi) / 2 * erf(0.6), 1 - exp(-0.36)
    length = up + failed * 5.0 + (1 - failed) * 1.0
    assert mean_up(weibull_min(2.0, scale=100.0), 60.0) == pytest.approx(up, rel=1e-10)
    assert found.availability == pytest.approx(up / length, rel=1e-10)
    assert found.cost_rate == pytest.approx((150.0 * failed + 20.0 * (1 - failed)) / length, rel=1e-10)
    assert found.availability + found.in_preventive + found.in_corrective == pytest.approx(1.0)


def test_the_best_age_of_a_uniform_lifetime() -> None:
    """Availability: h(t) mean_up(t) - F(t) = Dp / (Dc - Dp) = r gives t = a (sqrt(r^2 + 2 r) - r) on (0, a)."""
    ratio = 1.0 / (5.0 - 1.0)
    assert best_age(uniform(0, 80.0), UPKEEP, 80.0) == pytest.approx(
        80.0 * (sqrt(ratio**2 + 2 * ratio) - ratio), rel=1e-6
    )


def test_the_best_age_meets_the_first_order_condition_of_cost() -> None:
    """d/dt of cost over length vanishes: cost'(t) length(t) = cost(t) length'(t), with failure rate h = f / R."""
    life = weibull_min(3.0, scale=100.0)
    t = best_age(life, UPKEEP, 200.0, cost=True)
    density, left, failed = float(life.pdf(t)), float(life.sf(t)), float(life.cdf(t))
    length = mean_up(life, t) + 5.0 * failed + 1.0 * left
    cost = 150.0 * failed + 20.0 * left
    assert (150.0 - 20.0) * density * length == pytest.approx(cost * (left + (5.0 - 1.0) * density), rel=1e-5)


def test_what_does_not_age_is_never_replaced_early() -> None:
    outcomes = [age_replacement(expon(scale=50.0), age, UPKEEP) for age in (10.0, 30.0, 100.0, inf)]
    assert [o.availability for o in outcomes] == sorted(o.availability for o in outcomes)


def test_renewals_of_an_erlang_lifetime() -> None:
    """Two phases of rate 1: M(t) = t / 2 - (1 - exp(-2 t)) / 4; exponential: M(t) = t."""
    times, found = renewals(gamma(2.0), 6.0)
    assert found == pytest.approx(times / 2 - (1 - np.exp(-2 * times)) / 4, abs=5e-6)
    times, found = renewals(expon(), 6.0)
    assert found == pytest.approx(times, abs=5e-6)


def test_block_replacement_by_hand() -> None:
    failures = 3.0 - (1 - exp(-12.0)) / 4
    found = block_replacement(gamma(2.0), 6.0, UPKEEP)
    assert found.availability == pytest.approx(6.0 / (6.0 + 5.0 * failures + 1.0), rel=1e-6)
    assert found.corrective_rate / found.preventive_rate == pytest.approx(failures, rel=1e-6)


def test_blocks_waste_new_units_that_age_replacement_spares() -> None:
    """Barlow and Proschan: fewer failures in operation, more replacements in all."""
    life = weibull_min(3.0, scale=100.0)
    by_age, by_block = age_replacement(life, 80.0, UPKEEP), block_replacement(life, 80.0, UPKEEP)
    assert by_block.corrective_rate < by_age.corrective_rate
    assert by_block.corrective_rate + by_block.preventive_rate > by_age.corrective_rate + by_age.preventive_rate


def test_both_block_clocks_agree_when_repairs_take_no_time() -> None:
    upkeep = Upkeep(preventive=2.0, corrective=0.0)
    for life in (weibull_min(2.0, scale=40.0), gamma(2.0, scale=15.0)):
        one, other = block_replacement(life, 100.0, upkeep), block_replacement_by_calendar(life, 100.0, upkeep)
        assert other.availability == pytest.approx(one.availability, rel=1e-6)
        assert other.corrective_rate == pytest.approx(one.corrective_rate, rel=1e-5)


def test_the_calendar_block_of_an_exponential_lifetime() -> None:
    """Renewal epochs by hand: life exponential(1), repair 2, block 3: at most two failures begin before 3.

    Failures: F(3) + P(X1 + 2 + X2 <= 3) = 1 - e^-3 + (1 - 2 e^-1) and time up E[min(X1, 3)] + E[min(X2, 1 - X1)+].
    """
    upkeep = Upkeep(preventive=0.5, corrective=2.0)
    found = block_replacement_by_calendar(expon(), 3.0, upkeep)
    failures = 1 - exp(-3.0) + 1 - 2 * exp(-1.0)
    up = 1 - exp(-3.0) + (1 - 2 * exp(-1.0))  # a unit of rate 1 fails as often as it is up
    length = up + 2.0 * failures + 0.5
    assert found.corrective_rate == pytest.approx(failures / length, rel=1e-5)
    assert found.availability == pytest.approx(up / length, rel=1e-5)
