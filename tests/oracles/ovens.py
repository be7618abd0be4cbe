"""Ovens: a single server that takes a batch of parts at once (bulk service).

Sources: Neuts, "A general class of bulk queues with Poisson input", Annals of Mathematical Statistics 38 (1967), for
the rule (least, most); Chaudhry and Templeton, "A First Course in Bulk Queues" (1983). Figures by renewal reward over
the time from one end of service to the next: the long run is the mean area of a cycle over its mean length. Parts
arrive singly at a Poisson rate; the service time does not depend on the batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammainc
from scipy.stats import nbinom, poisson

Values = NDArray[np.float64]
FAR = 400
"""Parts at which the queue is cut off."""


@dataclass(frozen=True, slots=True)
class Oven:
    """Mean parts waiting and in the system, mean flow time, share of time at work, parts in a batch."""

    queue: float
    wip: float
    flow_time: float
    work: float
    batch: float


def arrivals(rate: float, mean: float, phases: int | None) -> Values:
    """P(0), P(1), ... parts arrive during a service of that mean: constant (`phases` None) or Erlang of k phases.

    During an Erlang time the number is negative binomial: each phase ends before the next arrival with
    probability (k / mean) / (k / mean + rate).
    """
    n = np.arange(FAR)
    if phases is None:
        return np.asarray(poisson.pmf(n, rate * mean))
    pace = phases / mean
    return np.asarray(nbinom.pmf(n, phases, pace / (pace + rate)))


def bulk(rate: float, least: int, most: int, mean: float, phases: int | None = None) -> Oven:
    """The oven starts as soon as `least` parts wait, with at most `most` of them (Neuts' rule)."""
    come = arrivals(rate, mean, phases)
    steps = np.zeros((FAR, FAR))
    for found in range(FAR):
        after = max(found - most, 0)
        steps[found, after:] = come[: FAR - after]
        steps[found, -1] += 1 - steps[found].sum()
    system = steps.T - np.eye(FAR)
    system[0] = 1.0  # one of the balance equations follows from the others: the sum takes its place
    chance = np.linalg.solve(system, np.eye(FAR)[0])
    if chance[-20:].sum() > 1e-9:
        raise ValueError("the oven is overloaded, or nearly")
    n = np.arange(FAR)
    idle = np.maximum(least - n, 0) / rate
    idle_area = np.array([sum(range(k, least)) / rate for k in n])
    second = mean**2 * (1 + (0 if phases is None else 1 / phases))  # E[S^2]
    left = np.maximum(np.maximum(n, least) - most, 0)
    area = float(chance @ (idle_area + left * mean)) + rate * second / 2
    return _oven(rate, float(chance @ idle) + mean, area, mean)


def patient(rate: float, least: int, wait: float, mean: float) -> Oven:
    """The oven takes all that wait, as soon as there are `least` or the first has waited so long (constant service).

    Nothing is left behind, so the n parts found at an end of service came during it, independently of all before:
    Poisson, the oldest of them an age of mean * max(U1 .. Un) ago.
    """
    come = arrivals(rate, mean, None)
    idle = area = 0.0
    for n in range(least):
        if n == 0:
            longer, more = _delay(rate, 1, least, wait)
            longer += 1 / rate
        else:
            nodes, weights = np.polynomial.legendre.leggauss(40)
            old = min(wait, mean) * (nodes + 1) / 2  # ages of the oldest that is not yet impatient
            density = weights * min(wait, mean) / 2 * n * old ** (n - 1) / mean**n
            delays = [_delay(rate, n, least, wait - age) for age in old]
            longer, more = (float(density @ np.array(part)) for part in zip(*delays, strict=True))
        idle += float(come[n]) * longer
        area += float(come[n]) * more
    return _oven(rate, idle + mean, area + rate * mean**2 / 2, mean)


def _delay(rate: float, n: int, least: int, wait: float) -> tuple[float, float]:
    """(Mean time, mean part-time in the queue) until `least` parts wait, `n` doing so now, or `wait` is over."""
    time = area = 0.0
    for k in range(n, least):
        # the time with k parts: the (k-n+1)th arrival later than the (k-n)th, both cut off at `wait`
        spell = _cut(rate, k - n + 1, wait) - _cut(rate, k - n, wait)
        time += spell
        area += k * spell
    return time, area


def _cut(rate: float, k: int, wait: float) -> float:
    """E[min(time of the k-th arrival, wait)]."""
    if k == 0:
        return 0.0
    early = float(gammainc(k, rate * wait))  # the k-th arrival is Erlang
    return k / rate * float(gammainc(k + 1, rate * wait)) + wait * (1 - early)


def _oven(rate: float, cycle: float, area: float, mean: float) -> Oven:
    batch = rate * cycle
    wip = area / cycle + batch * mean / cycle
    return Oven(area / cycle, wip, wip / rate, mean / cycle, batch)
