"""(s, S): at a position of s or less, order up to S. Exact costs and the best pair.

Source: Zheng and Federgruen, "Finding optimal (s, S) policies is about as simple as evaluating a single policy",
Operations Research 39 (1991). With m(0) = 1 / (1 - p0), m(j) the renewal mass of the demand p of one period (or of one
order's size, p0 = 0, under continuous review) and M(j) = m(0) + ... + m(j - 1), the cost of a period is

    c(s, S) = (K + sum_{j < S - s} m(j) G(S - j)) / M(S - s),

G(y) the expected cost of a period at position y. The position itself is S - j with probability m(j) / M(S - s).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from tests.oracles.inventory import Figures, compound_law, figures, mixed_law, poisson_law

Values = NDArray[np.float64]
Cost = Callable[[int], float]


def renewal_mass(law: Values, count: int) -> Values:
    """m(0) .. m(count - 1): mean number of periods a cycle spends j units below S."""
    mass = np.zeros(count)
    mass[0] = 1 / (1 - law[0])
    for j in range(1, count):
        reach = min(j, len(law) - 1)
        mass[j] = float(law[1 : reach + 1] @ mass[j - reach : j][::-1]) / (1 - law[0])
    return mass


def period_cost(law: Values, holding: float, backlog: float) -> Cost:
    """G(y): holding on what is left and backlog on what is missing after a demand with `law`."""
    demand = np.arange(len(law))

    def cost(position: int) -> float:
        left = position - demand
        return float(law @ (holding * np.maximum(left, 0) + backlog * np.maximum(-left, 0)))

    return cost


def policy_cost(low: int, high: int, law: Values, order_cost: float, cost: Cost) -> float:
    """c(s, S) of a period."""
    mass = renewal_mass(law, high - low)
    total = sum(float(m) * cost(high - j) for j, m in enumerate(mass))
    return (order_cost + total) / float(mass.sum())


def best_policy(law: Values, order_cost: float, cost: Cost) -> tuple[int, int, float]:
    """(s, S, cost) of the cheapest policy, by the algorithm of the paper."""

    def policy(low: int, high: int) -> float:
        return policy_cost(low, high, law, order_cost, cost)

    least = 0
    while cost(least + 1) < cost(least):
        least += 1
    low, high = least - 1, least
    while policy(low, high) > cost(low):
        low -= 1
    best, tried = policy(low, high), high + 1
    while cost(tried) <= best:
        if policy(low, tried) < best:
            high = tried
            while policy(low, high) <= cost(low + 1):
                low += 1
            best = policy(low, high)
        tried += 1
    return low, high, best


def position_law(low: int, high: int, law: Values) -> Values:
    """Probabilities of the positions s+1 .. S after ordering."""
    mass = renewal_mass(law, high - low)
    return np.asarray(mass[::-1] / mass.sum())


def continuous(low: int, high: int, order_rate: float, size: Values, lead: float) -> Figures:
    """Figures under continuous review; customers come at `order_rate` and ask for i units with chance size[i]."""
    mass = renewal_mass(size, high - low)
    window = compound_law(order_rate * lead, size)
    return figures(low + 1, position_law(low, high, size), window, order_rate / float(mass.sum()), size)


def periodic(low: int, high: int, rate: float, lead: float, period: float) -> Figures:
    """Time averages under review every `period`; single units at Poisson `rate`."""
    law = poisson_law(rate * period)
    orders = 1 / (float(renewal_mass(law, high - low).sum()) * period)
    return figures(low + 1, position_law(low, high, law), mixed_law(rate, lead, period), orders)
