"""Student's t and the normal distribution, as far as intervals need them: with `math` only.

`scipy.stats` has them too, but its import takes longer than most simulations. The tail is the regularised incomplete
beta function by its continued fraction (Abramowitz and Stegun, 26.5.8 and 26.7.1; Lentz's way of summing it), the
quantile is Newton's method on it. Agrees with scipy to 1e-9 (tests/sim/test_student.py).
"""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist

_TINY = 1e-300
_ENOUGH = 1e-15
_MOST_TERMS = 10_000


def upper_normal(z: float) -> float:
    """Probability that a standard normal exceeds z."""
    return math.erfc(z / math.sqrt(2.0)) / 2


def upper_tail(t: float, df: float) -> float:
    """Probability that Student's t with `df` degrees of freedom exceeds t >= 0."""
    return _beta(df / (df + t * t), df / 2, 0.5) / 2


@lru_cache(maxsize=1024)
def quantile(probability: float, df: float) -> float:
    """The value below which Student's t with `df` > 0 degrees of freedom lies with `probability` (0.5 to 1).

    Raises ValueError for other probabilities and degrees.
    """
    if not 0.5 <= probability < 1 or not df > 0:
        raise ValueError(
            f"quantile of Student's t: expected a probability from 0.5 to 1 and degrees of freedom above 0, found "
            f"{probability} and {df}"
        )
    tail = 1 - probability
    low, high = 0.0, 1.0
    while upper_tail(high, df) > tail:
        low, high = high, 2 * high
    t = min(max(NormalDist().inv_cdf(probability), low), high)
    log_scale = math.lgamma((df + 1) / 2) - math.lgamma(df / 2) - math.log(df * math.pi) / 2
    for _ in range(200):
        excess = upper_tail(t, df) - tail
        low, high = (t, high) if excess > 0 else (low, t)
        step = excess / math.exp(log_scale - (df + 1) / 2 * math.log1p(t * t / df))
        # Newton's step, or half the bracket where that would leave it
        further = t + step if low < t + step < high else (low + high) / 2
        if abs(further - t) <= _ENOUGH * max(t, 1e-3):
            return further
        t = further
    return t


def _beta(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function I_x(a, b), 0 <= x <= 1."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - _beta(1 - x, b, a)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x))
    return front / a * _fraction(x, a, b)


def _fraction(x: float, a: float, b: float) -> float:
    c, d = 1.0, 1 - (a + b) * x / (a + 1)
    d = 1 / (d if abs(d) > _TINY else _TINY)
    result = d
    for m in range(1, _MOST_TERMS):
        for term in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d, c = 1 + term * d, 1 + term / c
            d, c = 1 / (d if abs(d) > _TINY else _TINY), c if abs(c) > _TINY else _TINY
            result *= c * d
        if abs(c * d - 1) < _ENOUGH:
            break
    return result
