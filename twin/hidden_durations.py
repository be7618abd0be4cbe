"""Durations in the ensemble: survival, hazard rate and residual life of a tabulated distribution, compiled.

A duration is a row of `tab`: the share that is exponential, the mean (ms), `POINTS` times (ms), and the distribution
function at these, straight between them. A share of 1 is the exponential itself.
"""

from __future__ import annotations

import math
from typing import Any

from sim.draws import block
from sim.jit import rule

POINTS = 224
"""Points of a distribution function (made by `twin.hidden_model.table`)."""
FAR = 1e300


@rule
def uniform(rng: Any) -> float:
    """The next number in (0, 1) of the stream rng = (seed, member, step, count)."""
    n = rng[3]
    rng[3] = n + 1
    a, b = block(rng[0], rng[1], rng[2], n >> 1)
    w = b if n & 1 else a
    return (((w >> 11) & 0x1FFFFFFFFFFFFF) + 0.5) * 2.0**-53


@rule
def below(tab: Any, j: int, x: float) -> float:
    """Distribution function of the tabulated part of duration `j`."""
    lo, hi = 0, POINTS - 1
    if x <= tab[j, 2]:
        return 0.0
    if x >= tab[j, 2 + hi]:
        return 1.0
    while hi - lo > 1:
        mid = (lo + hi) >> 1
        if tab[j, 2 + mid] <= x:
            lo = mid
        else:
            hi = mid
    a, b = tab[j, 2 + lo], tab[j, 2 + hi]
    p, q = tab[j, 2 + POINTS + lo], tab[j, 2 + POINTS + hi]
    return p + (q - p) * (x - a) / (b - a)


@rule
def slope(tab: Any, j: int, x: float) -> float:
    """Density of the tabulated part of duration `j`."""
    lo, hi = 0, POINTS - 1
    if x < tab[j, 2] or x >= tab[j, 2 + hi]:
        return 0.0
    while hi - lo > 1:
        mid = (lo + hi) >> 1
        if tab[j, 2 + mid] <= x:
            lo = mid
        else:
            hi = mid
    return (tab[j, 2 + POINTS + hi] - tab[j, 2 + POINTS + lo]) / (tab[j, 2 + hi] - tab[j, 2 + lo])


@rule
def longer(tab: Any, j: int, x: float) -> float:
    """Log probability that duration `j` takes longer than `x` ms."""
    eps, m = tab[j, 0], tab[j, 1]
    if eps >= 1.0:
        return -x / m
    return math.log(max((1.0 - eps) * (1.0 - below(tab, j, x)) + eps * math.exp(-x / m), FAR**-1))


@rule
def hazard(tab: Any, j: int, x: float) -> float:
    """Rate per ms at which duration `j` ends when it has lasted `x` ms."""
    eps, m = tab[j, 0], tab[j, 1]
    if eps >= 1.0:
        return 1.0 / m
    density = (1.0 - eps) * slope(tab, j, x) + eps * math.exp(-x / m) / m
    return density / math.exp(longer(tab, j, x))


@rule
def residual(tab: Any, j: int, age: float, rng: Any) -> float:
    """What remains of duration `j` after `age` ms, drawn."""
    eps, m = tab[j, 0], tab[j, 1]
    if eps < 1.0:
        gone = below(tab, j, age)
        near, far = (1.0 - eps) * (1.0 - gone), eps * math.exp(-age / m)
        u = uniform(rng) * (near + far)
        if u < near:
            p = gone + u / (1.0 - eps)
            lo, hi = 0, POINTS - 1
            while hi - lo > 1:
                mid = (lo + hi) >> 1
                if tab[j, 2 + POINTS + mid] <= p:
                    lo = mid
                else:
                    hi = mid
            a, b = tab[j, 2 + POINTS + lo], tab[j, 2 + POINTS + hi]
            x = tab[j, 2 + lo] + (tab[j, 2 + hi] - tab[j, 2 + lo]) * (p - a) / (b - a)
            return max(x - age, 0.0)
    return -m * math.log(uniform(rng))
