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
