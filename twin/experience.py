"""What earlier forecasts of the same kind were off by, put right in the next one.

Where half of the stations tell nothing, some parameters are never seen and the model stays off by some per cent in the
same direction, and what it believes to stand in the line is partly made up. Output statistics (Glahn and Lowry 1972)
put that right from outside: a ratio of what came to what was forecast, common to all with what one kind (the night
shift) has beyond it, each shrunk by how much it varies; a slope between 0 and 1 on what a forecast says of *this* time,
for where the believed state is noise it is better to say the usual; and the spread, by how far off forecasts were in
units of their own. It is a correction, no explanation: the model's own forecast is shown beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import sqrt
from statistics import fmean, pstdev, pvariance

RIGHT_SD = 0.2
"""A priori the ratio of all forecasts together is 1 with this standard deviation: what an unseen bottleneck does."""
USUAL_CV, USUAL_APART = 0.05, 0.02
"""A priori: standard deviation of the ratio from time to time, and between kinds."""
SLOPE_SD = 0.5
"""A priori the slope is 1 with this standard deviation."""
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


@dataclass(frozen=True, slots=True)
class Fit:
    """`whole` the ratio of all, `factors` by kind; `level` the usual forecast, `slope` on what one says beyond it."""

    whole: float
    factors: dict[str, float]
    level: float
    slope: float

    def factor(self, kind: str) -> float:
        return self.factors.get(kind, self.whole)

    def expected(self, kind: str, mean: float) -> float:
        return self.level + self.slope * (self.factor(kind) * mean - self.level)


@dataclass(slots=True)
class Experience:
    """The forecasts of one series that have ended, oldest first."""

    past: list[Past] = field(default_factory=list)
    _fit: Fit | None = None

    def add(self, kind: str, values: Sequence[float], came: float) -> None:
        """A forecast has ended; one of nothing (mean 0) says nothing."""
        mean = fmean(values)
        if mean > 0:
            self.past.append(Past(kind, mean, pstdev(values), came))
            self._fit = None

    def fit(self) -> Fit:
        """What is to be put right, as far as is known."""
        if self._fit is None:
            self._fit = fitted(self.past)
        return self._fit

    def widen(self) -> float:
        """Factor on the spread after the correction of the mean."""
        n, total, fit = len(self.past), 0.0, self.fit()
        for p in self.past:
            factor = fit.factor(p.kind)
            own = max(factor * p.sd, LEAST_SD * factor * p.mean, 0.5)
            total += ((p.came - fit.expected(p.kind, p.mean)) / own) ** 2
        total *= n / max(n - 2, 1)  # two numbers were fitted to them
        return min(max(sqrt((total + SPREAD_WEIGHT) / (n + SPREAD_WEIGHT)), NARROW), WIDE)

    def corrected(self, kind: str, values: Sequence[float]) -> list[float]:
        """The replicas of a new forecast as experience has them, in the order given; never below 0."""
        if not self.past:
            return list(values)
        mean, sd = fmean(values), pstdev(values)
        apart = self.fit().factor(kind) * self.widen()
        if 0 < sd < LEAST_SD * mean:
            apart *= LEAST_SD * mean / sd
        middle = self.fit().expected(kind, mean)
        return [max(middle + apart * (v - mean), 0.0) for v in values]


def fitted(past: Sequence[Past]) -> Fit:
    """The corrections that follow from forecasts that have ended."""
    if not past:
        return Fit(1.0, {}, 0.0, 1.0)
    within, between = _variances(past)
    one = within / RIGHT_SD**2 * fmean(p.mean for p in past)
    whole = (sum(p.came for p in past) + one) / (sum(p.mean for p in past) + one)
    factors = {}
    for kind in {p.kind for p in past}:
        same = [p for p in past if p.kind == kind]
        weight = within / between * fmean(p.mean for p in same)
        factors[kind] = (sum(p.came for p in same) + whole * weight) / (sum(p.mean for p in same) + weight)
    told = [factors[p.kind] * p.mean for p in past]
    level = fmean(told)
    apart, came = [x - level for x in told], [p.came - level for p in past]
    noise = max(fmean(y * y for y in came), 0.25) / SLOPE_SD**2
    slope = (sum(x * y for x, y in zip(apart, came, strict=True)) + noise) / (sum(x * x for x in apart) + noise)
    return Fit(whole, factors, level, min(max(slope, 0.0), 1.0))


def _variances(past: Sequence[Past]) -> tuple[float, float]:
    """Variance of the ratio within a kind and between kinds (method of moments, each with its prior)."""
    kinds = {p.kind: [q.came / q.mean for q in past if q.kind == p.kind] for p in past}
    squares = sum(len(r) * pvariance(r) for r in kinds.values())
    within = (squares + 2 * USUAL_CV**2) / (max(len(past) - len(kinds), 0) + 2)
    prior = USUAL_APART**2
    if len(kinds) < 2:
        return within, prior
    apart = pvariance([fmean(r) for r in kinds.values()]) * len(kinds) / (len(kinds) - 1)
    between = max(apart - within * fmean(1 / len(r) for r in kinds.values()), 0.0)
    return within, (len(kinds) * between + prior) / (len(kinds) + 1)
