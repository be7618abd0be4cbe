"""Coordinate search on common random numbers that is a race: few replicas for far moves, ever more for near ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.int64]
Costs = NDArray[np.float64]
Price = Callable[[Values, int, int], Costs]
"""Costs [K, n] of points [K, D] on the replicas `first` to `first + n`, the same luck for all points."""

FINAL = 3
"""How many moves of a number get to its final."""


@dataclass(frozen=True, slots=True)
class Course:
    """Where to search: numbers between `low` and `high` [D], in steps of 1. `replicas` of the first heats; the final
    of a number has three times as many. `most` replicas of a heat. `first`: where unused luck begins.
    """

    low: Values
    high: Values
    replicas: int = 16
    most: int = 4096
    first: int = 0


def race(price: Price, start: Values, course: Course, going: Callable[[], bool]) -> Values:
    """The point [D] that nothing found was better than, while there is budget: `going()` says so before each number.

    One number at a time, all moves of 1, 2, 4, ... up or down and to the ends run a heat beside the present point; the
    best of them run a final on fresh luck; the best of these is the present point from then on where it is better by
    more than the standard error of that. A pass over all numbers that moves none doubles the replicas and halves the
    longest move; luck is never used twice, so that no point is the best of the luck that it was chosen on.
    """
    best, replicas, first = start.copy(), course.replicas, course.first
    stride = int((course.high - course.low).max(initial=0))
    free = np.flatnonzero(course.high > course.low)
    while free.size and replicas <= course.most:
        moved = False
        for d in free:
            if not going():
                return best
            points = _moves(best, int(d), stride, course)
            if len(points) < 2:
                continue
            heat = price(points, first, replicas)
            order = 1 + np.argsort(heat[1:].mean(axis=1), kind="stable")[:FINAL]
            final = price(points[[0, *order]], first + replicas, 3 * replicas)
            first += 4 * replicas
            gain = final[0] - final[1:]
            k = int(gain.mean(axis=1).argmax())
            if gain[k].mean() > gain[k].std(ddof=1) / np.sqrt(3 * replicas):
                best, moved = points[order[k]], True
        if not moved:
            replicas, stride = 2 * replicas, max(stride // 2, 2)
    return best


def _moves(best: Values, d: int, stride: int, course: Course) -> Values:
    """Points [K, D]: the present one, and it with number d moved by 1, 2, 4, ... up to `stride`, and to the ends where
    moves are still as long.
    """
    low, high, here = int(course.low[d]), int(course.high[d]), int(best[d])
    steps = [1 << i for i in range(stride.bit_length()) if 1 << i <= stride]
    wanted = {here + sign * step for step in steps for sign in (-1, 1)}
    if stride >= high - low:
        wanted |= {low, high}
    tried = sorted(v for v in wanted if low <= v <= high and v != here)
    points = np.repeat(best[None, :], len(tried) + 1, axis=0)
    points[1:, d] = tried
    return points
