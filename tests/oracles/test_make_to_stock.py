"""The oracle against an M/M/1 make-to-stock queue by formula, against value iteration, and against what is known."""

from __future__ import annotations

import numpy as np
import pytest

from tests.oracles.make_to_stock import (
    IDLE,
    PM,
    PRODUCE,
    MakeToStock,
    base_stock_and_threshold,
    best,
    best_ten_numbers,
    best_two_numbers,
    evaluate,
    improve,
    moves,
)

SMALL = MakeToStock(mu=(1.1, 0.8), wear=(0.1, 0.2), fail=(0.01, 0.05), low=-3, high=6)


def test_without_wear_it_is_a_birth_and_death_chain() -> None:
    """Stock below the base-stock level is the number in an M/M/1/K queue (Zheng and Zipkin 1990)."""
    m = MakeToStock(mu=(1.0,), wear=(0.0,), fail=(0.0,), low=-12, high=25)
    level = 6
    gain, _ = evaluate(m, base_stock_and_threshold(m, level, 1))
    rho = m.demand / 1.0
    weights = rho ** np.arange(level - m.low + 1)
    p = weights / weights.sum()
    x = level - np.arange(len(p))
    cost = p @ (m.holding * np.maximum(x, 0) + m.backlog * np.maximum(-x, 0)) + p[-1] * m.demand * m.lost
    assert gain == pytest.approx(float(cost), rel=1e-10)


def test_value_iteration_finds_the_same_optimum() -> None:
    """Relative value iteration of the chain made uniform: other equations, other code, the same cost."""
    m, n = SMALL, SMALL.conditions
    top = 5.0
    value = np.zeros(m.size)
    for _ in range(20_000):
        new = np.empty(m.size)
        for x in m.stocks:
            for mode in (n, n + 1):
                new[m.state(x, mode)] = step(m, value, x, mode, IDLE, top)
            # maintenance takes no time to begin: from the values of this very step
            pm = m.preventive_cost + new[m.state(x, n)]
            for k in range(n):
                choices = [step(m, value, x, k, a, top) for a in ((IDLE, PRODUCE) if x < m.high else (IDLE,))]
                new[m.state(x, k)] = min(*choices, pm)
        change = new - value
        value = new - new[m.state(0, 0)]
        if np.ptp(change) < 1e-7:
            break
    else:
        pytest.fail("value iteration did not converge")
    assert top * float(change.mean()) == pytest.approx(best(m)[0], rel=1e-6)


def step(m: MakeToStock, value: np.ndarray, x: int, mode: int, action: int, top: float) -> float:
    rate, found = moves(m, x, mode, action)
    stay = 1.0 - sum(q for q, _, _ in found) / top
    return float(
        rate / top + stay * value[m.state(x, mode)] + sum(q / top * (cost + value[to]) for q, to, cost in found)
    )


def test_the_optimum_of_the_shipped_parameters() -> None:
    m = MakeToStock()
    gain, policy = best(m)
    assert gain == pytest.approx(8.628, abs=5e-4)
    assert np.array_equal(improve(m, policy), policy)
    assert policy[m.high - m.low, 0] == IDLE
    assert policy[0, 0] == PRODUCE
    assert (policy[:, 4] == PM).all()  # the worst condition is never worked in


def test_stock_and_maintenance_belong_together() -> None:
    """Two numbers lose 12 %, a number of each kind for each condition a quarter of a per cent."""
    m = MakeToStock()
    optimum = best(m)[0]
    two, level, at = best_two_numbers(m)
    assert (level, at) == (7, 2)
    assert two / optimum - 1 == pytest.approx(0.122, abs=0.001)
    ten = best_ten_numbers(m)[0]
    assert 0 < ten / optimum - 1 < 0.0026


def test_one_step_of_improvement_over_the_two_numbers() -> None:
    """Rollout with exact values: most of the gap is gone."""
    m = MakeToStock()
    optimum = best(m)[0]
    _, level, at = best_two_numbers(m)
    first = improve(m, base_stock_and_threshold(m, level, at))
    second = improve(m, first)
    gaps = [evaluate(m, p)[0] / optimum - 1 for p in (first, second)]
    assert gaps[0] == pytest.approx(0.017, abs=0.003)
    assert gaps[1] == pytest.approx(0.004, abs=0.002)
