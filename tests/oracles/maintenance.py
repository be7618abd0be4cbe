"""Age and block replacement of one unit with preventive and corrective durations.

Barlow and Proschan, "Mathematical Theory of Reliability" (1965), chapters 3 and 4: renewal-reward over a cycle that
ends with a preventive or a corrective replacement, after which the unit is as good as new. The renewal function is
computed by the midpoint Riemann-Stieltjes scheme of Xie, "On the solution of renewal-type integral equations",
Communications in Statistics - Simulation 18 (1989). Lifetimes are frozen distributions of `scipy.stats`; a unit ages
only while it is up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.integrate import quad
from scipy.optimize import minimize_scalar

Grid = NDArray[np.float64]
STEPS = 2000


class Lifetime(Protocol):
    """What is used of a frozen distribution."""

    def cdf(self, x: ArrayLike) -> Grid: ...

    def sf(self, x: ArrayLike) -> Grid: ...

    def pdf(self, x: ArrayLike) -> Grid: ...

    def mean(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Upkeep:
    """Mean durations and costs of a preventive and of a corrective replacement."""

    preventive: float
    corrective: float
    preventive_cost: float = 0.0
    corrective_cost: float = 0.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """Share of time up; cost, preventive and corrective replacements per unit of calendar time; share of time in each
    kind of replacement.
    """

    availability: float
    cost_rate: float
    preventive_rate: float
    corrective_rate: float
    in_preventive: float
    in_corrective: float


def _cycle(up: float, preventive: float, corrective: float, upkeep: Upkeep) -> Outcome:
    """Renewal-reward: mean time up and mean numbers of replacements in a cycle."""
    spent = (preventive * upkeep.preventive, corrective * upkeep.corrective)
    length = up + sum(spent)
    cost = preventive * upkeep.preventive_cost + corrective * upkeep.corrective_cost
    return Outcome(
        up / length, cost / length, preventive / length, corrective / length, spent[0] / length, spent[1] / length
    )


def mean_up(life: Lifetime, age: float) -> float:
    """Integral of the survival function up to `age`: mean time to the failure or to the age, whichever is first."""
    if np.isinf(age):
        return float(life.mean())
    return float(quad(lambda t: float(life.sf(t)), 0.0, age, epsabs=1e-13, epsrel=1e-12, limit=200)[0])


def age_replacement(life: Lifetime, age: float, upkeep: Upkeep) -> Outcome:
    """Replace at failure or at `age`, whichever comes first; infinite: run to failure."""
    failed = 1.0 if np.isinf(age) else float(life.cdf(age))
    return _cycle(mean_up(life, age), 1 - failed, failed, upkeep)


def best_age(life: Lifetime, upkeep: Upkeep, most: float, cost: bool = False) -> float:
    """The age up to `most` with the highest availability, or with `cost` the lowest cost rate."""

    def loss(age: float) -> float:
        found = age_replacement(life, age, upkeep)
        return found.cost_rate if cost else -found.availability

    ages = np.linspace(most / 200, most, 200)
    near = int(np.argmin([loss(age) for age in ages]))
    bounds = (ages[max(near - 1, 0)], ages[min(near + 1, 199)])
    return float(minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-10 * most}).x)


def renewals(life: Lifetime, horizon: float, steps: int = STEPS) -> tuple[Grid, Grid]:
    """Grid of times and mean number of renewals up to each: M(t) = F(t) + integral of M(t - u) dF(u)."""
    times = np.linspace(0.0, horizon, steps + 1)
    middle = (np.arange(steps) + 0.5) * horizon / steps
    return times, _solve(np.asarray(life.cdf(times)), np.asarray(life.cdf(middle)))


def _solve(at: Grid, between: Grid) -> Grid:
    """Renewal function on a grid from the distribution at the grid points and at the midpoints."""
    found = np.zeros(len(at))
    for i in range(1, len(at)):
        steps = np.diff(found[:i])
        sum_before = float(between[i - 1 : 0 : -1] @ steps) if i > 1 else 0.0
        found[i] = (at[i] + sum_before - between[0] * found[i - 1]) / (1 - between[0])
    return found


def block_replacement(life: Lifetime, interval: float, upkeep: Upkeep) -> Outcome:
    """Replace at failure, and preventively each time the unit has been up for `interval` since the last preventive
    replacement, whatever its age (the block's clock stands still while the unit is down).
    """
    failures = float(renewals(life, interval)[1][-1])
    return _cycle(interval, 1.0, failures, upkeep)


def block_replacement_by_calendar(life: Lifetime, interval: float, upkeep: Upkeep) -> Outcome:
    """The same with a block clock that runs on while the unit is down, corrective durations being constant.

    The preventive replacement is due `interval` after the end of the last one; a unit that is down then is repaired
    first. With H the renewal function of life + repair: failures N(T) = F(T) + integral of F(T - u) dH(u) and time up
    U(T) = integral of A, A(t) = R(t) + integral of R(t - u) dH(u); the cycle lasts U + N corrective + preventive.
    """
    times = np.linspace(0.0, interval, STEPS + 1)
    middle = (np.arange(STEPS) + 0.5) * interval / STEPS
    fixed = upkeep.corrective
    back = _solve(np.asarray(life.cdf(times - fixed)), np.asarray(life.cdf(middle - fixed)))
    steps = np.diff(back)
    to_end = interval - middle
    failures = float(life.cdf(interval)) + float(np.asarray(life.cdf(to_end)) @ steps)
    up = mean_up(life, interval) + float(_mean_up_at(life, to_end) @ steps)
    return _cycle(up, 1.0, failures, upkeep)


def _mean_up_at(life: Lifetime, ages: Grid) -> Grid:
    """`mean_up` at equally spaced, descending ages, by Simpson's rule between neighbours."""
    up = np.concatenate([[0.0], ages[::-1]])
    sums = (life.sf(up[:-1]) + 4 * life.sf((up[:-1] + up[1:]) / 2) + life.sf(up[1:])) * np.diff(up) / 6
    return np.asarray(np.cumsum(sums)[::-1], dtype=float)
