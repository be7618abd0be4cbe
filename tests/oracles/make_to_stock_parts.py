"""The make-to-stock machine of `tests.oracles.make_to_stock` where a part in work is not dropped at will.

There a machine that produces may be told to rest or be maintained at every event; a shop that finishes the part in hand
decides only between parts. `Shop` says what may interrupt a part and what becomes of it; `best` is the exact optimum of
that shop and its policy by (stock, condition) of a free machine, by the same policy iteration.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tests.oracles.make_to_stock import IDLE, PM, PRODUCE, MakeToStock, Moves, Policy, rule


@dataclass(frozen=True)
class Shop:
    """`at_once`: maintenance may interrupt a part. `resumes`: a part that was interrupted, also by a failure, is still
    in the machine afterwards and must be finished; else it is gone. Work is never stopped to rest.
    """

    m: MakeToStock
    at_once: bool
    resumes: bool

    @property
    def modes(self) -> int:
        """Free in each condition, busy in each condition, maintenance and repair without a part, and with one."""
        return 2 * self.m.conditions + 4

    @property
    def size(self) -> int:
        return len(self.m.stocks) * self.modes

    def state(self, x: int, mode: int) -> int:
        return (x - self.m.low) * self.modes + mode

    def down(self, mode: int, *, repair: bool) -> int:
        """The mode of maintenance or repair that follows on a free or busy one."""
        n = self.m.conditions
        return 2 * n + int(repair) + (2 if mode >= n and self.resumes else 0)

    def actions(self, x: int, mode: int) -> tuple[int, ...]:
        """What may be chosen; a busy machine that is left alone (IDLE) goes on."""
        if mode < self.m.conditions:
            return (IDLE, PRODUCE, PM) if x < self.m.high else (IDLE, PM)
        return (IDLE, PM) if self.at_once and mode < 2 * self.m.conditions else (IDLE,)

    def moves(self, x: int, mode: int) -> tuple[float, Moves]:
        """Cost rate and moves while time passes."""
        m, n = self.m, self.m.conditions
        rate = m.holding * max(x, 0) + m.backlog * max(-x, 0)
        found: Moves = [(m.demand, self.state(max(x - 1, m.low), mode), m.lost if x == m.low else 0.0)]
        if mode >= 2 * n:
            repair, with_part = (mode - 2 * n) % 2, mode >= 2 * n + 2
            found.append((m.corrective if repair else m.preventive, self.state(x, n if with_part else 0), 0.0))
        elif mode >= n:
            k, broken = mode - n, (self.state(x, self.down(mode, repair=True)), m.corrective_cost)
            found.append((m.mu[k], self.state(min(x + 1, m.high), k), 0.0))
            found.append((m.wear[k], *((self.state(x, mode + 1), 0.0) if k + 1 < n else broken)))
            found.append((m.fail[k], *broken))
        return rate, found

    def at_once_to(self, x: int, mode: int, action: int) -> tuple[int, float]:
        """State and cost that an action leads to in no time."""
        if action == PRODUCE:
            return self.state(x, mode + self.m.conditions), 0.0
        return self.state(x, self.down(mode, repair=False)), self.m.preventive_cost


def evaluate(shop: Shop, policy: Policy) -> tuple[float, NDArray[np.float64]]:
    """Cost of a time unit, and relative values by state, of a policy by (stock - low, mode)."""
    size = shop.size
    a, r = np.zeros((size + 1, size + 1)), np.zeros(size + 1)
    for x in shop.m.stocks:
        for mode in range(shop.modes):
            i, action = shop.state(x, mode), int(policy[x - shop.m.low, mode])
            if action != IDLE:
                to, r[i] = shop.at_once_to(x, mode, action)
                a[i, i], a[i, to] = 1.0, -1.0
                continue
            r[i], found = shop.moves(x, mode)
            a[i, size] = 1.0
            for rate, to, cost in found:
                a[i, i] += rate
                a[i, to] -= rate
                r[i] += rate * cost
    a[size, shop.state(0, 0)] = 1.0
    values = np.linalg.solve(a, r)
    return float(values[size]), np.asarray(values[:size], dtype=np.float64)


def worth(shop: Shop, gain: float, value: NDArray[np.float64], at: tuple[int, int], action: int) -> float:
    """Value of an action in a state (stock, mode)."""
    if action != IDLE:
        to, cost = shop.at_once_to(*at, action)
        return cost + float(value[to])
    rate, found = shop.moves(*at)
    return float((rate - gain + sum(q * (c + value[to]) for q, to, c in found)) / sum(q for q, _, _ in found))


def best(shop: Shop) -> tuple[float, Policy]:
    """The least cost of a time unit, and the policy of a free machine by (stock - low, condition)."""
    m, n = shop.m, shop.m.conditions
    policy = np.full((len(m.stocks), shop.modes), IDLE, dtype=np.int64)
    policy[:, :n] = rule(m, [5] * n, [m.high + 1] * n)
    while True:
        gain, value = evaluate(shop, policy)
        better = policy.copy()
        for x in m.stocks:
            for mode in range(2 * n):
                now = int(policy[x - m.low, mode])
                found = {action: worth(shop, gain, value, (x, mode), action) for action in shop.actions(x, mode)}
                first = min(found, key=lambda action: found[action])
                if found[first] < found[now] - 1e-9:
                    better[x - m.low, mode] = first
        if np.array_equal(better, policy):
            return gain, policy[:, :n]
        policy = better
