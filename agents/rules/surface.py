"""The lowest point of a noisy cost by response surfaces (Box and Wilson 1951): where a cost is flat, neighbours cannot
be told apart one by one, but every run of random points about the best tells something about every number.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np
from numpy.typing import NDArray

from agents.rules.race import Course, Price, Values

Floats = NDArray[np.float64]

POINTS = 4
"""Points of a batch for each coefficient of a surface."""
CHECK = 10
"""A surface's lowest point is compared with the present one in a tenth of the runs below it."""
RIDGE = 1e-6


@dataclass(frozen=True, slots=True)
class Reach:
    """Surfaces one after the other reach such a part of a number's range to either side of the present point, at least
    1: `parts` 3, 5 means a third, then a fifth. They share the budget evenly. `seed` draws the points. `sure`: the
    lowest point of a surface counts only where it is better on luck of its own (through few runs a surface may mean
    nothing); a wide one leads to another valley even where its lowest point is no better yet.
    """

    parts: tuple[int, ...]
    seed: int
    sure: bool


def coefficients(numbers: int) -> int:
    """How many coefficients the full quadratic of so many numbers has."""
    return (numbers + 1) * (numbers + 2) // 2


def descend(price: Price, start: Values, course: Course, over: Reach, going: Callable[[float], bool]) -> Values:
    """The point [D] at which surfaces, one after the other, end; `going(share)` says whether more than this share of
    the budget is left. Each point of a batch has `course.replicas` runs.

    A surface is the full quadratic through the costs of random points about the present one, runs of earlier surfaces
    that lie there included (least squares; each batch of runs about its own mean, so that its luck counts for nothing).
    Its lowest whole point is the next one. Luck is never used twice.
    """
    rng = np.random.Generator(np.random.PCG64(over.seed))
    free = np.flatnonzero(course.high > course.low)
    low, high = course.low[free], course.high[free]
    terms, replicas = coefficients(free.size), course.replicas
    best, first = start.copy(), course.first
    batches: list[tuple[Values, Floats]] = []
    for k, part in enumerate(over.parts):
        reach = np.maximum((high - low) // part, 1)
        while free.size and going(1.0 - (k + 1) / len(over.parts)):
            here = np.clip(best[free] + rng.integers(-reach, reach + 1, size=(POINTS * terms, free.size)), low, high)
            points = np.repeat(best[None, :], len(here), axis=0)
            points[:, free] = here
            batches.append((here, price(points, first, replicas).mean(axis=1)))
            first += replicas
        if batches:
            both = np.stack([best, best])
            both[1, free] = _lowest(batches, best[free], reach, (low, high))
            runs = max(len(batches) * len(batches[0][0]) * replicas // CHECK, replicas) if over.sure else 0
            costs = price(both, first, runs).mean(axis=1) if runs else np.zeros(2)
            first += runs
            best = both[int(costs[1] <= costs[0])]
    return best


def _features(points: Values, centre: Values, reach: Values) -> Floats:
    """Linear and quadratic terms [N, F] of points [N, D] about a centre."""
    z = (points - centre) / reach
    pairs = [z[:, i] * z[:, j] for i, j in combinations_with_replacement(range(z.shape[1]), 2)]
    return np.column_stack([z, *pairs])


def _lowest(batches: list[tuple[Values, Floats]], centre: Values, reach: Values, ends: tuple[Values, Values]) -> Values:
    """Lowest whole point [D] of the surface through the runs near `centre`, no further than `reach` from it."""
    xs, ys = [], []
    for points, costs in batches:
        near = (np.abs(points - centre) <= 2 * reach).all(axis=1)
        if near.any():
            x = _features(points[near], centre, reach)
            xs.append(x - x.mean(axis=0))
            ys.append(costs[near] - costs[near].mean())
    if not xs:
        return centre
    x, y = np.concatenate(xs), np.concatenate(ys)
    slopes = np.linalg.solve(x.T @ x + RIDGE * len(x) * np.eye(x.shape[1]), x.T @ y)
    best = centre.copy()
    while True:
        before = best.copy()
        for d in range(best.size):
            tried = np.arange(max(centre[d] - reach[d], ends[0][d]), min(centre[d] + reach[d], ends[1][d]) + 1)
            points = np.repeat(best[None, :], len(tried), axis=0)
            points[:, d] = tried
            value = _features(points, centre, reach) @ slopes
            now = float((_features(best[None, :], centre, reach) @ slopes)[0])
            if value.min() < now - 1e-12:
                best[d] = tried[int(value.argmin())]
        if np.array_equal(before, best):
            return best
