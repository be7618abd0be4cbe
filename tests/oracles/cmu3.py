"""Classes of parts at one machine, served without interruption: the least holding cost by value iteration on arrays.

Poisson arrivals, exponential service, `cost` a part and time unit in the system. When a service ends, any class that
waits may be served next, or none. State: (numbers waiting of each class, class in service or none). At most `most`
parts of a class wait; one that finds no place is turned away at no cost, so `most` is to be so large that it does not
matter.

Method: value iteration of the chain made uniform, all states at once by shifted arrays; nothing here knows a formula.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
Choices = NDArray[np.int64]
"""Class that is served next (or -1) when the machine is free, by numbers waiting."""


@dataclass(frozen=True)
class Shop:
    """Arrival and service rates, cost a part and time unit, by class."""

    arrivals: tuple[float, ...]
    rates: tuple[float, ...]
    cost: tuple[float, ...]
    most: int

    @property
    def classes(self) -> int:
        return len(self.rates)


def _arrive(shop: Shop, v: Values) -> Values:
    """Sum over classes of arrival rate x value after an arrival."""
    total = np.zeros_like(v)
    for i, rate in enumerate(shop.arrivals):
        after = np.concatenate([np.delete(v, 0, axis=i), np.take(v, [shop.most], axis=i)], axis=i)
        total += rate * after
    return total


def iterate(shop: Shop, order: tuple[int, ...] | None = None, precision: float = 1e-5) -> tuple[float, Choices]:
    """Cost of a time unit and the choices: of the best policy, or of a fixed order of priority."""
    shape = (shop.most + 1,) * shop.classes
    waiting = np.indices(shape)
    held = sum(c * w for c, w in zip(shop.cost, waiting, strict=True))
    top = sum(shop.arrivals) + max(shop.rates)
    free, busy = np.zeros(shape), np.zeros((shop.classes, *shape))
    while True:
        changes, new_busy = [], np.empty_like(busy)
        for i, rate in enumerate(shop.rates):
            stay = top - sum(shop.arrivals) - rate
            new_busy[i] = (held + shop.cost[i] + _arrive(shop, busy[i]) + rate * free + stay * busy[i]) / top
            changes.append(new_busy[i] - busy[i])
        idle = (held + _arrive(shop, free) + (top - sum(shop.arrivals)) * free) / top
        new, chosen = _serve(shop, idle, new_busy, order)
        changes.append(new - free)
        change = np.stack(changes)
        if np.ptp(change) * top < precision:
            return float(change.max() + change.min()) / 2 * top, chosen
        base = new.flat[0]
        free, busy = new - base, new_busy - base


def _serve(shop: Shop, idle: Values, busy: Values, order: tuple[int, ...] | None) -> tuple[Values, Choices]:
    """Value of a free machine and what it does: serving takes one from the queue, and no time to begin."""
    value, chosen = idle.copy(), np.full(idle.shape, -1, dtype=np.int64)
    for i in reversed(order) if order is not None else range(shop.classes):
        started = np.full(idle.shape, np.inf)
        there = [slice(None)] * shop.classes
        before = list(there)
        there[i], before[i] = slice(1, None), slice(None, -1)
        started[tuple(there)] = busy[i][tuple(before)]
        takes = np.isfinite(started) if order is not None else started < value - 1e-12
        value, chosen = np.where(takes, started, value), np.where(takes, i, chosen)
    return value, chosen
