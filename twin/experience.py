"""What earlier forecasts of the same kind were off by, put right in the next one.

Where half of the stations tell nothing, some parameters are never seen and the model stays off by some per cent in the
same direction. Output statistics (Glahn and Lowry 1972) put that right from outside: the ratio of what came to what was
forecast, shrunk towards 1 over all forecasts and towards that over those of one kind (the night shift), and the spread
by how far off they were in units of their own. It is a correction, no explanation: it is shown beside the model's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import sqrt
from statistics import fmean, pstdev

WEIGHT = 1.0
"""Forecasts that "the model is right" counts for, and that "all kinds are alike" counts for."""
SPREAD_WEIGHT = 3.0
LEAST_SD = 0.02
"""A forecast's own standard deviation is taken as this share of its mean at least."""
NARROW, WIDE = 0.5, 6.0


@dataclass(frozen=True, slots=True)
class Past:
    """A forecast that has ended: its kind, its mean and standard deviation, what came."""

    kind: str
    mean: float
    sd: float
    came: float


@dataclass(slots=True)
class Experience:
    """The forecasts of one series that have ended, oldest first."""

    past: list[Past] = field(default_factory=list)

    def add(self, kind: str, values: Sequence[float], came: float) -> None:
        self.past.append(Past(kind, fmean(values), pstdev(values), came))

    def factor(self, kind: str) -> float:
        """Ratio by which forecasts of a kind are to be multiplied."""
        every = [p for p in self.past if p.mean > 0]
        if not every:
            return 1.0
        one = WEIGHT * fmean(p.mean for p in every)
        whole = (sum(p.came for p in every) + one) / (sum(p.mean for p in every) + one)
        same = [p for p in every if p.kind == kind]
        return (sum(p.came for p in same) + whole * one) / (sum(p.mean for p in same) + one)

    def widen(self) -> float:
        """Factor on the spread after the correction of the mean."""
        total = SPREAD_WEIGHT
        for p in self.past:
            factor = self.factor(p.kind)
            total += ((p.came - factor * p.mean) / max(factor * p.sd, LEAST_SD * factor * p.mean, 0.5)) ** 2
        return min(max(sqrt(total / (SPREAD_WEIGHT + len(self.past))), NARROW), WIDE)

    def corrected(self, kind: str, values: Sequence[float]) -> list[float]:
        """The replicas of a new forecast as experience has them, in the order given; never below 0."""
        if not self.past:
            return list(values)
        factor, widen, mean = self.factor(kind), self.widen(), fmean(values)
        apart = factor * widen
        low = LEAST_SD * mean
        sd = pstdev(values)
        if 0 < sd < low:
            apart *= low / sd
        return [max(factor * mean + apart * (v - mean), 0.0) for v in values]
