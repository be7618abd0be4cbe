"""Bullwhip ratios against the exact variance of the order as a linear filter of the demand."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.oracles import bullwhip

Values = NDArray[np.float64]


def followed(forecast_weights: Values, lead: float) -> Values:
    """Weights of the demands of periods t-1, t-2, .. in the order q_t = L (f_t - f_{t-1}) + D_{t-1}."""
    longer = np.append(forecast_weights, 0.0)
    weights: Values = lead * (longer - np.append(0.0, forecast_weights))
    weights[0] += 1.0
    return weights


def ratio(weights: Values, rho: float) -> float:
    """Variance of a weighted sum of AR(1) demands over that of one of them."""
    lags = np.abs(np.subtract.outer(np.arange(len(weights)), np.arange(len(weights))))
    return float(weights @ (rho**lags) @ weights)


@pytest.mark.parametrize(("lead", "window", "rho"), [(1, 5, 0.0), (3, 4, 0.0), (2, 6, 0.5), (4, 5, -0.4)])
def test_moving_average(lead: int, window: int, rho: float) -> None:
    exact = ratio(followed(np.full(window, 1 / window), lead), rho)
    assert bullwhip.moving_average(lead, window, rho) == pytest.approx(exact, rel=1e-12)


def test_smoothing() -> None:
    weights = 0.2 * 0.8 ** np.arange(400.0)
    assert bullwhip.smoothing(3, 0.2) == pytest.approx(ratio(followed(weights, 3), 0.0), rel=1e-12)


def test_known_mean_is_a_window_without_end() -> None:
    assert bullwhip.moving_average(3, 10**9) == pytest.approx(bullwhip.known_mean(), abs=1e-7)


def test_chains() -> None:
    """Seeing only orders is worse; the true chain is no better than the bound."""
    assert bullwhip.shared_demand((2, 2), 5) < bullwhip.orders_only((2, 2), 5)
    once = followed(np.full(5, 0.2), 2)
    twice = np.convolve(once, once)
    assert ratio(twice, 0.0) >= bullwhip.orders_only((2, 2), 5)


def test_followed_period_by_period() -> None:
    """An order-up-to stock with a 4-period average, lead time 2 and review period 1 (L = 3), independent demands."""
    demand = np.random.default_rng(20260105).poisson(20.0, 400_000).astype(float)
    sums = np.convolve(demand, np.ones(4), mode="valid")
    level = 3 * sums / 4
    order = level[1:] - level[:-1] + demand[4:]
    assert order.var() / demand.var() == pytest.approx(bullwhip.moving_average(3, 4), rel=0.02)
