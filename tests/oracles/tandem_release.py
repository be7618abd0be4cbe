"""Two machines in line that make to stock: the least cost by value iteration on arrays, and constant setpoints' cost.

State (first busy, n parts at the second in queue and work, net stock x). Exponential clocks at rates `demand`, `first`,
`second`; a part once begun is finished. When the first machine is free it may start another as long as fewer than `cap`
parts are unfinished and these and the net stock are fewer than `base`. Cost a time unit: `between` for each part in the
queue of the second (not for the one in work), `holding` a unit on hand, `backlog` a unit owed. Demand that finds
`-low` units owed is turned away at no cost; `low` is to be so low that no lower one changes anything.

Method: value iteration of the chain made uniform, all states at once by shifted arrays; the cost of a time unit lies
between the least and the largest change of a sweep (Odoni 1969).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
Starts = NDArray[np.bool_]
"""Whether the free first machine starts, by (n, x - low)."""


@dataclass(frozen=True)
class Tandem:
    """The parameters above."""

    demand: float = 0.7
    first: float = 1.0
    second: float = 1 / 1.1
    between: float = 1.0
    holding: float = 2.0
    backlog: float = 10.0
    cap: int = 20
    base: int = 20
    low: int = -100


def _cost_rate(m: Tandem) -> Values:
    """Cost a time unit by (n, x - low)."""
    n, x = np.arange(m.cap + 1)[:, None], np.arange(m.low, m.base + 1)[None, :]
    return np.asarray(m.between * np.maximum(n - 1, 0) + m.holding * np.maximum(x, 0) + m.backlog * np.maximum(-x, 0))


def _may_start(m: Tandem) -> Starts:
    n, x = np.arange(m.cap + 1)[:, None], np.arange(m.low, m.base + 1)[None, :]
    return np.asarray((n < m.cap) & (x + n < m.base))


def _passes(m: Tandem, cost: Values, value: Values) -> tuple[Values, Values]:
    """Values of (first free and waiting, first busy) after one uniform step."""
    top = m.demand + m.first + m.second
    after = []
    for busy in (0, 1):
        v = value[busy]
        asked = np.concatenate([v[:, :1], v[:, :-1]], axis=1)
        done = v.copy()
        done[1:, :-1] = v[:-1, 1:]
        begun = value[0].copy() if busy else v
        if busy:
            begun[:-1] = value[0][1:]
        after.append((cost + m.demand * asked + m.second * done + m.first * begun) / top)
    return after[0], after[1]


def iterate(m: Tandem, starts: Starts | None = None, precision: float = 1e-7) -> tuple[float, Starts]:
    """Cost of a time unit and the starts: of the best policy, or of the one given."""
    cost, may, top = _cost_rate(m), _may_start(m), m.demand + m.first + m.second
    value = np.zeros((2, *cost.shape))
    inside = np.ones(value.shape, dtype=bool)
    n, x = np.arange(m.cap + 1)[:, None], np.arange(m.low, m.base + 1)[None, :]
    inside[0], inside[1] = n + x <= m.base, (n + x + 1 <= m.base) & (n < m.cap)
    while True:
        wait, busy = _passes(m, cost, value)
        chosen = may & (busy < wait) if starts is None else may & starts
        new = np.stack([np.where(chosen, busy, wait), busy])
        change = (new - value)[inside]
        if np.ptp(change) * top < precision:
            return float(change.max() + change.min()) / 2 * top, chosen
        value = new - new[0, 0, -m.low]


def constant(m: Tandem, cap: int, base: int) -> Starts:
    """Start while fewer than `cap` parts are unfinished and these and the net stock are fewer than `base`."""
    n, x = np.arange(m.cap + 1)[:, None], np.arange(m.low, m.base + 1)[None, :]
    return np.asarray((n < cap) & (x + n < base))
