"""Stock points whose answers are known: EOQ, newsvendor, base-stock and (r, Q).

Sources: Harris (1913) for the EOQ; Arrow, Harris and Marschak (1951) for the newsvendor; Hadley and Whitin, Analysis
of Inventory Systems (1963), chapter 4, and Zipkin, Foundations of Inventory Management (2000), chapters 3 and 6.

With unmet demand backordered and a constant lead time L, whatever is on order at t has arrived at t + L and nothing
ordered later has. So IL(t + L) = IP(t) - D(t, t + L]: net stock is the inventory position less an independent demand.
A policy is therefore a law of the inventory position; under (r, Q) with single units it is uniform on r+1 .. r+Q.
Under periodic review every T the position is that after the last review and the window is L + a uniform part of T.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, poisson

Values = NDArray[np.float64]
TAIL = 1e-13
"""Probability that is left out at the upper end of a demand's law."""


@dataclass(frozen=True)
class Figures:
    """Long-run figures of one stock point; stock in units, `order_rate` in orders for each unit of time.

    `fill_rate` is the share of units met at once, `no_backorder` the share of time with none waiting.
    """

    on_hand: float
    backorders: float
    fill_rate: float
    no_backorder: float
    order_rate: float


def eoq(demand_rate: float, order_cost: float, holding: float) -> tuple[float, float]:
    """Economic order quantity sqrt(2 K D / h) and its cost per time sqrt(2 K D h) (orders and holding)."""
    return sqrt(2 * order_cost * demand_rate / holding), sqrt(2 * order_cost * demand_rate * holding)


def newsvendor_poisson(mean: float, under: float, over: float) -> tuple[int, float]:
    """Smallest level S with P(D <= S) >= under / (under + over), and its expected cost, by summing the law."""
    law = poisson_law(mean)
    level = int(np.argmax(np.cumsum(law) >= under / (under + over)))
    left = level - np.arange(len(law))
    return level, float(law @ (over * np.maximum(left, 0) + under * np.maximum(-left, 0)))


def newsvendor_normal(mean: float, sd: float, under: float, over: float) -> tuple[float, float]:
    """S = mean + z sd with z the under / (under + over) quantile; cost (under + over) sd phi(z)."""
    z = float(norm.ppf(under / (under + over)))
    return mean + z * sd, (under + over) * sd * float(norm.pdf(z))


def poisson_law(mean: float) -> Values:
    """P(D = 0), P(D = 1), ... of a Poisson demand, up to a tail of `TAIL`."""
    return np.asarray(poisson.pmf(np.arange(int(poisson.isf(TAIL, mean)) + 2), mean))


def compound_law(mean_orders: float, size: Values) -> Values:
    """Law of a Poisson number of orders with independent sizes, P(size = i) = size[i], size[0] = 0.

    Panjer's recursion (1981): P(D = n) = mean / n * sum_j j size[j] P(D = n - j).
    """
    sizes = np.arange(len(size))
    far = float(mean_orders * (size @ sizes)), float(mean_orders * (size @ sizes**2))
    law = np.zeros(ceil(far[0] + 12 * sqrt(far[1]) + 20 * len(size)))
    law[0] = np.exp(-mean_orders)
    weight = sizes * size
    for n in range(1, len(law)):
        reach = min(n, len(size) - 1)
        law[n] = mean_orders / n * float(weight[1 : reach + 1] @ law[n - reach : n][::-1])
    return law


def mixed_law(rate: float, lead: float, period: float) -> Values:
    """Law of a Poisson demand over a window uniform between `lead` and `lead + period` (Gauss-Legendre)."""
    nodes, weights = np.polynomial.legendre.leggauss(80)
    widest = len(poisson_law(rate * (lead + period)))
    windows = rate * (lead + period * (nodes + 1) / 2)
    return np.asarray(poisson.pmf(np.arange(widest), windows[:, None])).T @ (weights / 2)


def figures(first: int, position: Values, law: Values, orders: float, size: Values | None = None) -> Figures:
    """Figures of a stock point whose inventory position is `first + i` with probability position[i].

    `law` is that of the demand over the lead-time window, `size` that of one order's size (single units when left out).
    """
    net = first + np.arange(len(position))[:, None] - np.arange(len(law))
    chance = position[:, None] * law
    held = np.maximum(net, 0)
    sizes = np.array([0.0, 1.0]) if size is None else size
    units = np.arange(len(sizes))
    met = sum(p * float((chance * np.minimum(held, x)).sum()) for x, p in zip(units, sizes, strict=True))
    return Figures(
        on_hand=float((chance * held).sum()),
        backorders=float((chance * np.maximum(-net, 0)).sum()),
        fill_rate=met / float(sizes @ units),
        no_backorder=float(chance[net >= 0].sum()),
        order_rate=orders,
    )


def base_stock(level: int, rate: float, lead: float) -> Figures:
    """One order for each unit demanded: the position is always `level`. Poisson demand, constant lead time."""
    return figures(level, np.ones(1), poisson_law(rate * lead), rate)


def base_stock_lost(level: int, rate: float, lead: float) -> Figures:
    """One order a unit sold, a customer who finds nothing is lost: the M/G/S/S queue, for any independent lead times.

    Orders outstanding are Poisson(rate * lead) cut off at S; lost is Erlang's B (Karush 1957). No backorders.
    """
    law = poisson_law(rate * lead)[: level + 1]
    law = np.append(law, np.zeros(level + 1 - len(law)))
    law = law / law.sum()
    met = 1 - float(law[level])
    return Figures(float(law @ (level - np.arange(level + 1))), 0.0, met, 1.0, rate * met)


def base_stock_periodic(level: int, rate: float, lead: float, period: float) -> Figures:
    """Order up to `level` every `period`, time averages. A review orders unless nothing was demanded since the last."""
    orders = -np.expm1(-rate * period) / period
    return figures(level, np.ones(1), mixed_law(rate, lead, period), float(orders))


def reorder_point(point: int, lot: int, rate: float, lead: float) -> Figures:
    """(r, Q): at position r an order of Q. Single units, continuous review."""
    return figures(point + 1, np.full(lot, 1 / lot), poisson_law(rate * lead), rate / lot)


def reorder_point_periodic(point: int, lot: int, rate: float, lead: float, period: float) -> Figures:
    """(r, nQ), time averages: a review at position r or less orders as few lots of Q as bring it above r.

    `order_rate` counts one order a review that orders, however many lots it is of.
    """
    reached = 1 - np.cumsum(np.append(0.0, poisson_law(rate * period)))  # P(D >= 0), P(D >= 1), ..
    padded = np.append(reached, np.zeros(lot + 1))[1 : lot + 1]
    orders = float(padded.mean()) / period
    return figures(point + 1, np.full(lot, 1 / lot), mixed_law(rate, lead, period), orders)


def cycle_service(point: int, rate: float, lead: float) -> float:
    """Chance that nobody waits between an order placed at position `point` and its receipt: P(D(L) <= r)."""
    return float(poisson.cdf(point, rate * lead))


def best_reorder_point(
    rate: float, lead: float, order_cost: float, holding: float, backlog: float
) -> tuple[int, int, float]:
    """Cheapest (r, Q) and its cost per time, by trying every pair that can be best.

    A lot Q is best with r where G(r+1 .. r+Q) are the Q smallest costs of the unimodal one-point cost G (Federgruen and
    Zheng 1992); the average grows once the next smallest G exceeds it.
    """
    law, start = poisson_law(rate * lead), 0
    costs = {}

    def cost(position: int) -> float:
        if position not in costs:
            one = figures(position, np.ones(1), law, 0.0)
            costs[position] = holding * one.on_hand + backlog * one.backorders
        return costs[position]

    while cost(start + 1) < cost(start):
        start += 1
    low = high = start
    total = order_cost * rate + cost(start)
    while True:
        grown = (low - 1, high) if cost(low - 1) <= cost(high + 1) else (low, high + 1)
        added = min(cost(low - 1), cost(high + 1))
        if added >= total / (high - low + 1):
            return low - 1, high - low + 1, total / (high - low + 1)
        (low, high), total = grown, total + added
