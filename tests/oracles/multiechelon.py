"""Stocks in series: the best echelon base-stock levels and the exact cost of any levels.

Source: Clark and Scarf, Management Science 6 (1960), in the form of Chen and Zheng (1994) and of Snyder and Shen,
Fundamentals of Supply Chain Theory, chapter 6. Stage 1 meets the customers, stage N orders from a source without limit.
Stage j waits a constant lead time for what stage j + 1 sends; D_j is the demand in it. The demands of successive lead
times are independent, so with y the echelon position of stage j

    C_j(y) = E[h_j (y - D_j) + F_{j-1}(y - D_j)],  F_0(x) = (b + h_1 + .. + h_N) max(-x, 0),
    F_j(x) = C_j(min(S_j, x)),  S_j = argmin C_j,  least cost = C_N(S_N).

h_j are echelon holding costs (what holding at j costs more than at j + 1), b is backlog. Units on their way to stage j
are charged what they cost at j + 1. Under continuous review D_j is the demand of the lead time; under review in every
period, costs counted at its end, it is that of L_j periods, one more at stage 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from tests.oracles.inventory import poisson_law

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Serial:
    """Laws of the lead-time demands D_1 .. D_N on the whole numbers, echelon holding costs h_1 .. h_N, backlog cost."""

    laws: tuple[Values, ...]
    holding: tuple[float, ...]
    backlog: float


@dataclass(frozen=True)
class Stage:
    """Long-run means at one stage: units on hand there, units it owes its customer, share of orders it meets at once.

    `fill_rate` is of single-unit orders that come at random (Poisson, passed on one for one).
    """

    on_hand: float
    backorders: float
    fill_rate: float


def poisson_serial(means: tuple[float, ...], holding: tuple[float, ...], backlog: float) -> Serial:
    """Poisson demand; `means` of the lead-time demands, the stage at the customers first."""
    return Serial(tuple(poisson_law(m) for m in means), holding, backlog)


def normal_serial(
    demand: tuple[float, float], leads: tuple[float, ...], holding: tuple[float, ...], backlog: float, step: float
) -> Serial:
    """Normal demand with (mean, sd) a period, on a lattice of `step`: levels and costs come out in steps."""
    laws = []
    for lead in leads:
        mean, sd = demand[0] * lead / step, demand[1] * lead**0.5 / step
        points = np.arange(max(0, int(mean - 8 * sd)), int(mean + 8 * sd) + 1)
        law = np.zeros(points[-1] + 1)
        law[points] = norm.cdf(points + 0.5, mean, sd) - norm.cdf(points - 0.5, mean, sd)
        laws.append(law / law.sum())
    return Serial(tuple(laws), tuple(h * step for h in holding), backlog * step)


def best_levels(system: Serial) -> tuple[tuple[int, ...], float]:
    """(S_1 .. S_N) and the least cost for each unit of time, by the decomposition."""
    low, high = -sum(len(law) for law in system.laws), sum(len(law) for law in system.laws)
    x = np.arange(low, high + 1)
    below = (system.backlog + sum(system.holding)) * np.maximum(-x, 0.0)  # F_{j-1}
    levels = []
    for law, held in zip(system.laws, system.holding, strict=True):
        stage = held * x + below
        # left of the lattice F is a line: its slope goes on
        slope = stage[1] - stage[0]
        padded = np.concatenate([stage[0] + slope * np.arange(1 - len(law), 0), stage])
        cost = np.convolve(padded, law, mode="valid")
        levels.append(int(x[np.argmin(cost)]))
        below = np.where(x <= levels[-1], cost, cost.min())
    return tuple(levels), float(cost.min())


def stages(system: Serial, levels: tuple[int, ...]) -> tuple[Stage, ...]:
    """Figures of every stage, the customers' first, under echelon base-stock levels S_1 .. S_N.

    Written forwards, from the source to the customers, without the cost recursion: an echelon's stock is the position
    a lead time ago less the demand since; the next echelon's position is the smaller of its level and that stock.
    """
    low = -sum(len(law) for law in system.laws)
    size = max(levels) - low + 1
    chance = np.zeros(size)  # law of the position of the echelon, on low .. max(levels)
    chance[levels[-1] - low] = 1.0
    found = []
    for j in reversed(range(len(levels))):
        stock = np.correlate(np.concatenate([chance, np.zeros(len(system.laws[j]) - 1)]), system.laws[j], "valid")
        x = np.arange(low, low + size)
        owed_from = levels[j - 1] if j else 0  # what the next stage cannot get is owed to it
        extra = x - owed_from
        found.append(
            Stage(
                float(stock @ np.maximum(extra, 0)),
                float(stock @ np.maximum(-extra, 0)),
                float(stock[extra > 0].sum()),
            )
        )
        if j:
            chance = np.where(extra < 0, stock, 0.0)
            chance[owed_from - low] = stock[extra >= 0].sum()
    return tuple(reversed(found))


def cost(system: Serial, levels: tuple[int, ...]) -> float:
    """Exact cost of given levels: local stock at the local holding cost, transit at that of where it comes from."""
    figures = stages(system, levels)
    local = [sum(system.holding[j:]) for j in range(len(levels))]
    total = system.backlog * figures[0].backorders
    for j, stage in enumerate(figures):
        transit = float(system.laws[j] @ np.arange(len(system.laws[j])))
        total += local[j] * stage.on_hand + (local[j + 1] * transit if j + 1 < len(local) else 0.0)
    return total
