"""Lost sales with a lead time: the best policy by value iteration, and simple policies' exact costs.

Source and conventions: Zipkin, "Old and new methods for lost-sales inventory systems", Operations Research 56 (2008).
In a period: order (it comes L periods later), receive what is due, meet the demand; h a unit left, p a unit lost. The
state after receiving is (x_0 on hand, x_1 .. x_{L-1} coming); with order z and demand D the next one is
(max(x_0 - D, 0) + x_1, x_2, .., z), for L = 1 (max(x_0 - D, 0) + z). Demands are independent Poisson.

The lattice ends at `most` on hand and `largest` units an order; both are to be so large that no more changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tests.oracles.inventory import mixed_law, poisson_law

Values = NDArray[np.float64]
Orders = NDArray[np.int64]
PRECISION = 1e-6


@dataclass(frozen=True)
class LostSales:
    """Poisson mean of a period, lead time in periods (>= 1), h, p, and where the lattice ends."""

    mean: float
    lead: int
    holding: float
    lost: float
    most: int
    largest: int

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.most + 1, *[self.largest + 1] * (self.lead - 1))


def _left(model: LostSales) -> Values:
    """P(y left | x on hand) [x, y]."""
    law, size = poisson_law(model.mean), model.most + 1
    move = np.zeros((size, size))
    for x in range(size):
        for demand, chance in enumerate(law):
            move[x, max(x - demand, 0)] += chance
    return move


def _period_cost(model: LostSales) -> Values:
    """Expected cost of a period by stock on hand after receiving [x]."""
    law, x = poisson_law(model.mean), np.arange(model.most + 1)[:, None]
    gap = x - np.arange(len(law))
    return np.asarray((model.holding * np.maximum(gap, 0) + model.lost * np.maximum(-gap, 0)) @ law)


def _look_ahead(model: LostSales, move: Values, value: Values) -> Values:
    """Expected value of the next state by (x_0, x_1, .., x_{L-1}, z)."""
    size, orders = model.most + 1, model.largest + 1
    arrived = np.minimum(np.arange(size)[:, None] + np.arange(orders), model.most)  # [y, x_1 or z]
    after = value[arrived].reshape(size, -1)  # [y, (x_1, x_2, .., z)]
    return np.asarray((move @ after).reshape((*model.shape, orders)))


def best(model: LostSales) -> tuple[float, Orders]:
    """Least cost of a period, and the best order in each state, by relative value iteration."""
    move, value = _left(model), np.zeros(model.shape)
    stage = _period_cost(model).reshape((-1,) + (1,) * (model.lead - 1))
    while True:
        choices = _look_ahead(model, move, value)
        new = stage + choices.min(axis=-1)
        step = new - value
        if np.ptp(step) < PRECISION:
            return float(step.max() + step.min()) / 2, np.argmin(choices, axis=-1)
        value = new - new.flat[0]


def cost(model: LostSales, orders: Orders) -> float:
    """Exact cost of a period under any stationary policy, orders[x_0, x_1, ..] = z."""
    return period_mean(model, orders, _period_cost(model))


def lost(model: LostSales, orders: Orders) -> float:
    """Units lost in a period."""
    return period_mean(model, orders, _period_cost(replace(model, holding=0.0, lost=1.0)))


def time_on_hand(model: LostSales, orders: Orders) -> float:
    """Mean stock on hand over time when demand comes in single units at a constant rate within the period."""
    law = mixed_law(model.mean, 0.0, 1.0)
    gap = np.arange(model.most + 1)[:, None] - np.arange(len(law))
    return period_mean(model, orders, np.maximum(gap, 0) @ law)


def period_mean(model: LostSales, orders: Orders, of_stock: Values) -> float:
    """Mean over periods of a figure that depends on the stock on hand after receiving, of_stock[x_0]."""
    move, value = _left(model), np.zeros(model.shape)
    stage = of_stock.reshape((-1,) + (1,) * (model.lead - 1))
    while True:
        follow = np.take_along_axis(_look_ahead(model, move, value), orders[..., None], axis=-1)[..., 0]
        step = stage + follow - value
        if np.ptp(step) < PRECISION:
            return float(step.max() + step.min()) / 2
        value = value + step - step.flat[0]


def capped_base_stock(model: LostSales, level: int, cap: int) -> Orders:
    """Orders up to a position of `level`, at most `cap` units (a cap no demand reaches: plain base-stock)."""
    position = np.indices(model.shape).sum(axis=0)
    return np.asarray(np.clip(level - position, 0, min(cap, model.largest)))


def best_base_stock(model: LostSales) -> tuple[int, float]:
    """Level and cost of the best base-stock policy; its cost is convex in the level (Janakiraman and Roundy 2004)."""
    level = int(model.mean * (model.lead + 1) * 0.9)
    known: dict[int, float] = {}

    def of(tried: int) -> float:
        if tried not in known:
            known[tried] = cost(model, capped_base_stock(model, tried, model.largest))
        return known[tried]

    while of(level + 1) < of(level):
        level += 1
    while of(level - 1) <= of(level):
        level -= 1
    return level, of(level)


def best_capped(model: LostSales, levels: range, caps: range) -> tuple[int, int, float]:
    """Level, cap and cost of the best capped base-stock policy among those given (Xin 2021)."""
    tried = {(s, r): cost(model, capped_base_stock(model, s, r)) for s in levels for r in caps}
    level, cap = min(tried, key=lambda pair: tried[pair])
    return level, cap, tried[level, cap]
