"""Demand over an odd stretch of time: a Poisson process with changing rate, orders of several units; mean and variance.

Orders of a nonhomogeneous Poisson process in an interval are Poisson with the integral of the rate as mean and variance
(Çinlar, "Introduction to Stochastic Processes", 1975, chapter 4); the units of N Poisson orders of independent sizes Q
have mean E[N] E[Q] and variance E[N] E[Q^2].
"""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest

from sim import kernel
from tests.theory.compare import compiled
from tests.theory.plants import HEAD

REPLICAS = 4000
RATE = 3.0
"""Orders an hour where the factor is 1."""
HOURS = (0.0, 0.5, 1.0, 2.0, 1.5, 0.25) * 4
DAYS = (1.0, 1.5, 0.8, 1.0, 0.5, 0.0, 2.0)
SIZES = {1: 0.5, 2: 0.3, 6: 0.2}
SEASON = f"season: {{hours: [{', '.join(map(str, HOURS))}], days: [{', '.join(map(str, DAYS))}]}}"
SEVERAL = "quantity: {1: 50 %, 2: 30 %, 6: 20 %}"


def integral(begin: float, end: float) -> float:
    """Of the season's factor over hours since Monday 00:00."""
    edges = np.unique(np.concatenate([[begin, end], np.arange(np.ceil(begin), np.floor(end) + 1)]))
    middles = (edges[:-1] + edges[1:]) / 2
    factors = [HOURS[int(m) % 24] * DAYS[int(m) // 24 % 7] for m in middles]
    return float(np.diff(edges) @ np.array(factors))


def demanded(more: str, begin: float, end: float, seed: int) -> np.ndarray:
    """Units asked for between two hours, in every replication."""
    head = HEAD.format(tick="1 s", unlimited=100).replace("time_unit: s", "time_unit: h")
    plant = compiled(
        head + "suppliers: {maker: {lead: constant(1 h)}}\n"
        "stocks: {shelf: {item: unit, from: maker, policy: {level: 40}, initial: 40}}\n"
        f"demand: {{customer: {{stock: shelf, arrivals: poisson({RATE}/h), {more}}}}}\n"
    )
    rows = kernel.new_rows(plant, seed, REPLICAS)
    kernel.run(rows, plant, plant.ticks(3600 * begin))
    kernel.clear_stats(rows, plant)
    kernel.run(rows, plant, plant.ticks(3600 * end))
    return np.asarray(plant.layout.view(rows, "demanded")[:, 0], dtype=float)


@pytest.mark.parametrize(
    ("more", "begin", "end"),
    [(SEASON, 1.3, 9.75), (SEASON, 90.5, 127.2), (SEASON, 160.0, 190.5), (f"{SEASON}, {SEVERAL}", 20.25, 60.0),
     (f"{SEVERAL}", 2.0, 11.5)],
    ids=["morning", "over a day without orders", "over the end of the week", "season and sizes", "sizes"],
)  # fmt: skip
def test_mean_and_variance_of_demand(more: str, begin: float, end: float) -> None:
    seen = demanded(more, begin, end, seed=round(100 * begin))
    orders = RATE * (integral(begin, end) if "season" in more else end - begin)
    moments = [sum(q**k * p for q, p in SIZES.items()) if "quantity" in more else 1.0 for k in range(5)]
    mean, variance = orders * moments[1], orders * moments[2]
    assert abs(seen.mean() - mean) < 3 * sqrt(variance / REPLICAS), f"{seen.mean()} is not {mean}"
    fourth = orders * moments[4] + 3 * variance**2  # central moment of a compound Poisson sum
    error = sqrt((fourth - variance**2) / REPLICAS)
    assert error < 0.05 * variance
    assert abs(seen.var(ddof=1) - variance) < 3 * error, f"{seen.var(ddof=1)} is not {variance}"


def test_nobody_orders_in_an_hour_of_factor_zero() -> None:
    assert demanded(SEASON, 121.0, 143.0, seed=1).sum() == 0, "a Saturday of this season"
