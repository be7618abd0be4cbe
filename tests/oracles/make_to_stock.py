"""One machine that wears makes one product to stock: the best policy of all, and the exact cost of any other.

The model: condition k = 0 .. n-1 or failed; stock x from `low` (backorders; demand beyond is lost) to `high`. Demand at
rate `demand`. While producing at rate mu[k] the machine wears k -> k + 1 at w[k] (from the last condition it fails) and
fails suddenly at f[k]. Preventive maintenance (rate rp, cost cp at its start) may begin at any k, corrective (rate rc,
cost cf) begins by itself; neither can be interrupted, after both k = 0. All clocks are exponential; at every event one
chooses idle, produce or pm. Cost: h a unit held and b a unit owed, a time unit; lost a unit of demand that is lost.

Method: policy iteration for the long-run average cost (Puterman 1994, Markov Decision Processes, 8.6, in continuous
time 11.4): the values solve the linear equations of the policy's own chain exactly, so nothing depends on a step size.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

IDLE, PRODUCE, PM = 0, 1, 2
ACTIONS = ("idle", "produce", "pm")
Policy = NDArray[np.int64]
"""Action by (stock - low, condition)."""


@dataclass(frozen=True)
class MakeToStock:
    """The parameters above; rates a time unit."""

    demand: float = 0.7
    mu: tuple[float, ...] = (1.1, 1.1, 1.0, 0.9, 0.7)
    wear: tuple[float, ...] = (0.08, 0.1, 0.12, 0.15, 0.22)
    fail: tuple[float, ...] = (0.0, 0.003, 0.01, 0.03, 0.09)
    preventive: float = 0.22
    corrective: float = 0.07
    holding: float = 1.0
    backlog: float = 5.0
    lost: float = 35.0
    preventive_cost: float = 7.0
    corrective_cost: float = 55.0
    low: int = -12
    high: int = 25

    @property
    def conditions(self) -> int:
        return len(self.mu)

    @property
    def stocks(self) -> range:
        return range(self.low, self.high + 1)

    def state(self, x: int, mode: int) -> int:
        """Number of a state; `mode` is the condition, or one more in maintenance, two more in repair."""
        return (x - self.low) * (self.conditions + 2) + mode

    @property
    def size(self) -> int:
        return len(self.stocks) * (self.conditions + 2)


Moves = list[tuple[float, int, float]]
"""(rate, next state, cost of the jump)."""


def moves(m: MakeToStock, x: int, mode: int, action: int) -> tuple[float, Moves]:
    """Cost rate and moves of a state in which time passes (all but one where maintenance is chosen)."""
    n = m.conditions
    rate = m.holding * max(x, 0) + m.backlog * max(-x, 0)
    found: Moves = [(m.demand, m.state(x - 1, mode), 0.0) if x > m.low else (m.demand, m.state(x, mode), m.lost)]
    if mode >= n:
        found.append((m.preventive if mode == n else m.corrective, m.state(x, 0), 0.0))
    elif action == PRODUCE:
        worn = (m.state(x, mode + 1), 0.0) if mode + 1 < n else (m.state(x, n + 1), m.corrective_cost)
        found += [(m.mu[mode], m.state(x + 1, mode), 0.0), (m.wear[mode], *worn)]
        found.append((m.fail[mode], m.state(x, n + 1), m.corrective_cost))
    return rate, found


def evaluate(m: MakeToStock, policy: Policy) -> tuple[float, NDArray[np.float64]]:
    """Cost of a time unit under a policy, and its relative values by state."""
    size, n = m.size, m.conditions
    a, r = np.zeros((size + 1, size + 1)), np.zeros(size + 1)
    for x in m.stocks:
        for mode in range(n + 2):
            i = m.state(x, mode)
            action = int(policy[x - m.low, mode]) if mode < n else IDLE
            if action == PM:
                a[i, i], r[i] = 1.0, m.preventive_cost
                a[i, m.state(x, n)] -= 1.0
                continue
            r[i], found = moves(m, x, mode, action)
            a[i, size] = 1.0
            for rate, to, cost in found:
                a[i, i] += rate
                a[i, to] -= rate
                r[i] += rate * cost
    a[size, m.state(0, 0)] = 1.0
    values = np.linalg.solve(a, r)
    return float(values[size]), np.asarray(values[:size], dtype=np.float64)


def improve(m: MakeToStock, policy: Policy) -> Policy:
    """One step of policy iteration; the policy itself where it is the best of all."""
    gain, value = evaluate(m, policy)
    better = policy.copy()
    for x in m.stocks:
        for k in range(m.conditions):
            worth = {PM: m.preventive_cost + value[m.state(x, m.conditions)]}
            for action in (IDLE, PRODUCE) if x < m.high else (IDLE,):
                rate, found = moves(m, x, k, action)
                total = sum(q for q, _, _ in found)
                worth[action] = (rate - gain + sum(q * (c + value[to]) for q, to, c in found)) / total
            first = min(worth, key=lambda action: worth[action])
            if worth[first] < worth[int(policy[x - m.low, k])] - 1e-9:
                better[x - m.low, k] = first
    return better


def best(m: MakeToStock) -> tuple[float, Policy]:
    """The least cost of a time unit of all policies, and one that has it."""
    policy = rule(m, [5] * m.conditions, [m.high + 1] * m.conditions)
    while True:
        better = improve(m, policy)
        if np.array_equal(better, policy):
            return evaluate(m, policy)[0], policy
        policy = better


def rule(m: MakeToStock, levels: list[int], care: list[int]) -> Policy:
    """In condition k: maintain where the stock is at least care[k], else produce below levels[k], else idle."""
    x = np.array(m.stocks)[:, None]
    policy = np.where(x < np.minimum(levels, m.high), PRODUCE, IDLE)
    return np.where(x >= np.array(care), PM, policy).astype(np.int64)


def base_stock_and_threshold(m: MakeToStock, level: int, at: int) -> Policy:
    """Two numbers: produce up to `level`; maintain from condition `at` on (as many as there are: never)."""
    return rule(m, [level] * m.conditions, [m.low if k >= at else m.high + 1 for k in range(m.conditions)])


def best_two_numbers(m: MakeToStock) -> tuple[float, int, int]:
    """Cost, level and threshold of the best of those rules."""
    found = [
        (evaluate(m, base_stock_and_threshold(m, level, at))[0], level, at)
        for level in range(1, m.high + 1)
        for at in range(1, m.conditions + 1)
    ]
    return min(found)


def best_ten_numbers(m: MakeToStock) -> tuple[float, list[int], list[int]]:
    """Cost, levels and maintenance stocks of a rule with two numbers for each condition, by coordinate search."""
    _, level, at = best_two_numbers(m)
    levels = [level] * m.conditions
    care = [m.low if k >= at else m.high + 1 for k in range(m.conditions)]
    cost = evaluate(m, rule(m, levels, care))[0]
    while True:
        before = cost
        for k in range(m.conditions):
            for numbers in (levels, care):
                for tried in range(m.low, m.high + 2):
                    kept, numbers[k] = numbers[k], tried
                    new = evaluate(m, rule(m, levels, care))[0]
                    if new < cost - 1e-12:
                        cost = new
                    else:
                        numbers[k] = kept
        if cost > before - 1e-9:
            return cost, levels, care
