"""Can the interval of a mean be trusted? What heavy tails of paired differences say about it."""

from __future__ import annotations

from math import ceil, sqrt

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

FEWEST = 30
"""Pairs below which nobody can tell what the tails are like."""
FINITE = 2.0
"""Tail index below which the variance is infinite: an interval from the standard deviation then means nothing."""
MUCH = 0.5
"""Share of the variance that the largest hundredth of the pairs may have (8 % where differences are normal)."""
SURE = 2.0
"""Standard errors that the mean of the other pairs must be from 0 for its sign to count."""


def tail_index(x: Values) -> float | None:
    """Hill's estimate (Hill 1975, Annals of Statistics 3) from the sqrt(n) largest distances from the median: P(|X| >
    t) falls as t to the power of minus this. None below 50 numbers, or where most of them are the same.
    """
    if len(x) < 50:
        return None
    away = np.sort(np.abs(x - np.median(x)))[::-1]
    k = ceil(sqrt(len(x)))
    if away[k] <= 0.0:
        return None
    mean = float(np.log(away[:k] / away[k]).mean())
    return 1.0 / mean if mean > 0.0 else None


def largest(x: Values) -> NDArray[np.intp]:
    """Positions of the hundredth of the numbers (one at least) that lie furthest from the mean."""
    return np.argsort(-np.abs(x - x.mean()), kind="stable")[: max(len(x) // 100, 1)]


def largest_share(x: Values) -> float:
    """Share of the sum of squares about the mean that the numbers at `largest` make."""
    square = (x - x.mean()) ** 2
    total = float(square.sum())
    return float(square[largest(x)].sum()) / total if total > 0.0 else 0.0


def needed(x: Values) -> int:
    """Pairs for which a 95 % interval from the normal distribution is about right: 28 + 25 times the squared skewness
    (Cochran's rule as amended by Sugden, Smith and Jones 2000, Journal of the Royal Statistical Society B 62).
    """
    spread = float(x.std())
    if spread <= 0.0:
        return 28
    skewness = float(((x - x.mean()) ** 3).mean()) / spread**3
    return ceil(28.0 + 25.0 * skewness**2)


def doubts(x: Values, what: str = "pairs") -> tuple[str, ...]:
    """Why the interval of the mean of these differences, one of each of `what`, cannot be trusted; empty where nothing
    speaks against it.
    """
    found = []
    if len(x) < FEWEST:
        found.append(f"{len(x)} {what} say little about the tails: expected {FEWEST} at least")
    index = tail_index(x)
    if index is not None and index < FINITE:
        found.append(f"the tail index is {index:.1f}, below {FINITE:g}: the differences may have no variance")
    least = needed(x)
    if len(x) < least:
        found.append(f"the differences are skewed: about {least} {what} would be needed, these are {len(x)}")
    share, few = largest_share(x), largest(x)
    if share > MUCH and len(x) >= FEWEST:
        found.append(f"the largest {len(few)} of {len(x)} {what} make {100 * share:.0f} % of the variance")
    rest = np.delete(x, few)
    if len(rest) and x.mean() * rest.mean() < 0.0 and abs(rest.mean()) > SURE * rest.std() / sqrt(len(rest)):
        found.append(f"without the largest {len(few)} {what} the mean has the other sign")
    return tuple(found)
