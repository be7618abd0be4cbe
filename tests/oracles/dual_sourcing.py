"""Two sources, one dear and at once, one cheap and late: the exact cost of dual-index base-stock levels.

Source: Veeraraghavan and Scheller-Wolf, "Now or later: a simple policy for effective dual sourcing in capacitated
systems", Operations Research 56 (2008). In a period: order at once what lifts net stock and what comes now to the
express level, order from the cheap source (here two periods late) what lifts everything ordered to the regular level,
receive, meet the demand; h a unit left, b a unit owed. The chain of (net stock, due now, due next) is finite.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
State = tuple[int, int, int]


@dataclass(frozen=True)
class DualSourcing:
    """P(demand = i) = demand[i], h, b, and what a unit costs more when it comes at once."""

    demand: tuple[float, ...]
    holding: float
    backlog: float
    dearer: float


@dataclass(frozen=True)
class Dual:
    """Means of a period: units left, units owed, units bought at once, cost beside the cheap source's material."""

    on_hand: float
    backorders: float
    at_once: float
    cost: float


def figures(model: DualSourcing, express: int, regular: int) -> Dual:
    """Long-run means under the two levels."""
    index: dict[State, int] = {(express, 0, 0): 0}
    queue, moves = [(express, 0, 0)], []
    seen: list[tuple[int, int]] = []  # stock after receiving, bought at once
    for net, now, then in queue:
        bought = max(express - net - now, 0)
        late = max(regular - net - now - then - bought, 0)
        seen.append((net + now + bought, bought))
        for units, chance in enumerate(model.demand):
            after = (net + now + bought - units, then, late)
            if after not in index:
                index[after] = len(index)
                queue.append(after)
            moves.append((len(seen) - 1, index[after], chance))
    size = len(index)
    chain = np.zeros((size, size))
    for here, there, chance in moves:
        chain[here, there] += chance
    system = np.vstack([chain.T - np.eye(size), np.ones(size)])
    law = np.linalg.lstsq(system, np.append(np.zeros(size), 1.0), rcond=None)[0]
    stock, extra = np.array(seen).T
    left = stock[:, None] - np.arange(len(model.demand))
    on_hand = float(law @ np.maximum(left, 0) @ np.array(model.demand))
    owed = float(law @ np.maximum(-left, 0) @ np.array(model.demand))
    at_once = float(law @ extra)
    return Dual(on_hand, owed, at_once, model.holding * on_hand + model.backlog * owed + model.dearer * at_once)


def best(model: DualSourcing, express: range, regular: range) -> tuple[int, int, float]:
    """Cheapest pair of levels among those given, and its cost."""
    tried = {(e, r): figures(model, e, r).cost for e in express for r in regular if r >= e}
    levels = min(tried, key=lambda pair: tried[pair])
    return *levels, tried[levels]


def optimum(model: DualSourcing, most: int, precision: float = 1e-8) -> float:
    """Least cost of all policies that order up to at most `most` units in all, by value iteration on arrays.

    The decision is split: how far to lift the net stock at once, then what to order that comes two periods later. At
    once it is lifted to 0 at least, as the dear source's level cannot be negative.
    """
    demand = np.array(model.demand)
    units, largest = np.arange(len(demand)), len(demand) - 1
    x = np.arange(-largest, 2 * most + 1)  # net stock with what comes now
    z = np.arange(most + 1)
    gap = x[:, None] - units
    stage = (model.holding * np.maximum(gap, 0) + model.backlog * np.maximum(-gap, 0)) @ demand
    value = np.zeros((len(x), len(z)))
    while True:
        # [y, coming next, ordered]: after the demand, what comes next is there
        after = np.clip(x[:, None, None] - units + z[None, :, None], x[0], x[-1]) - x[0]
        expected = np.einsum("ynuz,u->ynz", value[after], demand)
        lifted = x[:, None, None] + z[None, :, None] + z[None, None, :]
        allowed = (lifted <= most) | (z == 0)
        later = stage[:, None] + np.where(allowed, expected, np.inf).min(axis=2)
        dear = np.where(x[None, :] >= np.maximum(x, 0)[:, None], model.dearer * (x[None, :] - x[:, None]), np.inf)
        new = np.minimum.reduce([dear[:, k, None] + later[k][None, :] for k in range(len(x))])
        change = (new - value)[: most + largest + 1]
        if np.ptp(change) < precision:
            return float(change.max() + change.min()) / 2
        value = new - new[largest, 0]
