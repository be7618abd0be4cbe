"""Selecting the best scenario: the fully sequential procedure KN of Kim and Nelson (ACM TOMACS 11, 2001).

With normal outputs, and correlated or not across scenarios (so common random numbers are welcome), it picks a scenario
within `delta` of the best with probability `level` or more. Scenarios that are clearly worse leave early, so that what
computing there is goes to the rivals. Larger is better here; a caller that minimises changes the sign.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
Sampler = Callable[[list[int], int], Values]
"""(scenarios, n) -> float64[len(scenarios), n]: the outputs of their replications 0 .. n - 1."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Probability of a right choice, the difference worth detecting, replications to begin with and to end with."""

    delta: float
    level: float = 0.95
    first: int = 20
    block: int = 20
    most: int = 10_000

    def __post_init__(self) -> None:
        if not self.delta > 0:
            raise ValueError(f"delta {self.delta}: expected a difference above 0; give the least worth acting on")
        if not 0 < self.level < 1 or self.first < 2 or self.most < self.first:
            raise ValueError(
                f"selection: expected 0 < level < 1 and 2 <= first <= most, found level {self.level}, first "
                f"{self.first}, most {self.most}; correct them"
            )


@dataclass(frozen=True)
class Selection:
    """`best` scenario; whether the guarantee holds (`decided`: it was not cut short by `most`); replications used of
    each; and after how many each of the others `left` (those still in when it was cut short are not in it).
    """

    best: int
    decided: bool
    used: list[int]
    left: dict[int, int] = field(default_factory=dict)


def kim_nelson(scenarios: int, rule: Rule, sample: Sampler) -> Selection:
    """Run KN (c = 1, the authors' recommendation). The result does not depend on `rule.block`, which only says how
    many replications are asked for at once.
    """
    if scenarios == 1:
        return Selection(0, decided=True, used=[0])
    alive = list(range(scenarios))
    first = rule.first
    values = sample(alive, first)
    eta = 0.5 * ((2 * (1 - rule.level) / (scenarios - 1)) ** (-2 / (first - 1)) - 1)
    h2 = 2 * eta * (first - 1)
    spread = np.array([[(values[i] - values[j]).var(ddof=1) for j in alive] for i in alive])
    reach = h2 * spread / rule.delta**2  # [i, j]: replications after which i and j cannot part any more
    left: dict[int, int] = {}
    r = first
    while True:
        if r > values.shape[1]:
            values = sample(alive, min(rule.most, values.shape[1] + rule.block))
        means = values[:, :r].mean(axis=1)
        gone = _beaten(alive, means, reach, r, rule.delta)
        left |= dict.fromkeys(gone, r)
        keep = [n for n, i in enumerate(alive) if i not in gone]
        alive, values, means = [alive[n] for n in keep], values[keep], means[keep]
        last = float(reach[np.ix_(alive, alive)].max())
        if len(alive) == 1 or r > last or r >= rule.most:
            best = alive[int(np.argmax(means))]
            used = [left.get(i, r) for i in range(scenarios)]
            return Selection(best, len(alive) == 1 or r > last, used, left)
        r += 1


def _beaten(alive: list[int], means: Values, reach: Values, r: int, delta: float) -> set[int]:
    """Those whose mean lies below another's by more than the triangle W(r) = max(0, delta / 2r (reach - r))."""
    width = np.maximum(0.0, delta / (2 * r) * (reach[np.ix_(alive, alive)] - r))
    below = np.asarray(means[:, None] < means[None, :] - width).any(axis=1)
    return {alive[n] for n in np.flatnonzero(below)}
