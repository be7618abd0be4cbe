"""How far a learner must look: the best policy for discounted cost, judged by its average cost, solved exactly."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from agents.advice.horizon import scale_s
from agents.envs.env import compiled_plant
from agents.envs.epochs import HORIZONS
from tests.oracles.make_to_stock import IDLE, PM, PRODUCE, MakeToStock, Policy, best, evaluate, moves, rule


def discounted(m: MakeToStock, policy: Policy, beta: float) -> NDArray[np.float64]:
    """Expected cost from each state on, discounted at rate `beta` (Puterman 1994, 11.3), under a policy."""
    a, r = np.zeros((m.size, m.size)), np.zeros(m.size)
    for x in m.stocks:
        for mode in range(m.conditions + 2):
            i = m.state(x, mode)
            action = int(policy[x - m.low, mode]) if mode < m.conditions else IDLE
            if action == PM:
                a[i, i], r[i] = 1.0, m.preventive_cost
                a[i, m.state(x, m.conditions)] -= 1.0
                continue
            r[i], found = moves(m, x, mode, action)
            a[i, i] += beta
            for rate, to, cost in found:
                a[i, i] += rate
                a[i, to] -= rate
                r[i] += rate * cost
    return np.asarray(np.linalg.solve(a, r), dtype=np.float64)


def best_discounted(m: MakeToStock, beta: float) -> Policy:
    """The policy of least discounted cost, by policy iteration."""
    policy = rule(m, [5] * m.conditions, [m.high + 1] * m.conditions)
    while True:
        value, better = discounted(m, policy, beta), policy.copy()
        for x in m.stocks:
            for k in range(m.conditions):
                worth = {PM: m.preventive_cost + value[m.state(x, m.conditions)]}
                for action in (IDLE, PRODUCE) if x < m.high else (IDLE,):
                    rate, found = moves(m, x, k, action)
                    total = sum(q for q, _, _ in found) + beta
                    worth[action] = (rate + sum(q * (c + value[to]) for q, to, c in found)) / total
                first = min(worth, key=lambda action: worth[action])
                if worth[first] < worth[int(policy[x - m.low, k])] - 1e-9:
                    better[x - m.low, k] = first
        if np.array_equal(better, policy):
            return policy
        policy = better


@pytest.mark.parametrize(("times", "above"), [(1.5, 0.0193), (3.0, 0.0163), (HORIZONS, 0.0)])
def test_five_time_scales_are_enough_and_three_are_not(times: float, above: float) -> None:
    m = MakeToStock()
    hours = times * scale_s(compiled_plant("make_to_stock").plant) / 3600.0
    cost, _ = evaluate(m, best_discounted(m, 1.0 / hours))
    assert cost / best(m)[0] - 1.0 == pytest.approx(above, abs=1e-4)
