"""What replications say: intervals, paired differences, what common random numbers gave, batch means.

Values are float64[n], one a replication (or batch); element r of two scenarios has met the same random numbers. NaN
where a figure has no meaning in a replication; a pair counts when both have one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim import student

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean with its two-sided Student interval over `n` values; `lo`, `hi`, `sd` are None for fewer than two."""

    mean: float | None
    lo: float | None
    hi: float | None
    sd: float | None
    n: int


def interval(values: Values, level: float = 0.95) -> Interval:
    """The mean and its interval of confidence `level`."""
    values = values[~np.isnan(values)]
    n = len(values)
    if n == 0:
        return Interval(None, None, None, None, 0)
    mean = float(values.mean())
    if n == 1:
        return Interval(mean, None, None, None, 1)
    sd = float(values.std(ddof=1))
    half = student.quantile((1 + level) / 2, n - 1) * sd / n**0.5
    return Interval(mean, mean - half, mean + half, sd, n)


@dataclass(frozen=True, slots=True)
class Difference:
    """Scenario less baseline. `correlation` is what common random numbers gave (None where a side does not vary);
    `variance_ratio` is Var[a] + Var[b] over Var[a - b]: so many times the replications independent runs would need.
    """

    difference: Interval
    correlation: float | None
    variance_ratio: float | None

    @property
    def significant(self) -> bool:
        """Whether the interval leaves out zero."""
        lo, hi = self.difference.lo, self.difference.hi
        return lo is not None and hi is not None and (lo > 0 or hi < 0)


def paired(values: Values, baseline: Values, level: float = 0.95) -> Difference:
    """Paired-t comparison (Law 2015, section 10.2.1). Two equal scenarios differ by an exact zero."""
    both = ~(np.isnan(values) | np.isnan(baseline))
    a, b = values[both], baseline[both]
    correlation = ratio = None
    if len(a) > 2 and a.std() > 0 and b.std() > 0:
        correlation = float(np.corrcoef(a, b)[0, 1])
        spread = float((a - b).var(ddof=1))
        ratio = float(a.var(ddof=1) + b.var(ddof=1)) / spread if spread > 0 else None
    return Difference(interval(a - b, level), correlation, ratio)


def simultaneous(level: float, comparisons: int) -> float:
    """Bonferroni: the level of each of so many intervals that all hold at once with probability `level` or more."""
    return 1 - (1 - level) / max(1, comparisons)


@dataclass(frozen=True, slots=True)
class Batches:
    """Batch means of one long run: `values` [b], each the mean of `size` of the original batches; `lag1` their
    autocorrelation; `p` the probability of so much of it among independent ones; `enough` when none is to be seen.
    """

    values: Values
    size: int
    lag1: float
    p: float
    enough: bool


def von_neumann(values: Values) -> tuple[float, float]:
    """(lag-1 autocorrelation, one-sided p) of a series.

    The ratio of von Neumann (1941) in the form of Fishman (1978): c = 1 - sum (x[i] - x[i+1])^2 / (2 sum (x[i] - m)^2)
    has mean 0 and variance (b - 2) / (b^2 - 1) for independent normal values. A constant series has p = 1.
    """
    b = len(values)
    centred = values - values.mean()
    total = float((centred**2).sum())
    if b < 3 or total == 0:
        return 0.0, 1.0
    c = 1 - float((np.diff(values) ** 2).sum()) / (2 * total)
    lag1 = float((centred[:-1] * centred[1:]).sum()) / total
    return lag1, student.upper_normal(c / ((b - 2) / (b * b - 1)) ** 0.5)


def batch_means(values: Values, least: int = 10, alpha: float = 0.1) -> Batches:
    """Join neighbouring batches until von Neumann's ratio sees no positive correlation at level `alpha`.

    Never fewer than `least` batches: with those still correlated the run is too short, and `enough` is False.
    """
    size = 1
    while True:
        lag1, p = von_neumann(values)
        if p > alpha:
            return Batches(values, size, lag1, p, enough=True)
        if len(values) // 2 < least:
            return Batches(values, size, lag1, p, enough=False)
        # the odd batch that is left over is the oldest: what remains of the start is in it
        values = values[len(values) % 2 :].reshape(-1, 2).mean(axis=1)
        size *= 2


@dataclass(frozen=True, slots=True)
class WarmUp:
    """MSER-5's finding: forget the first `cut` of `n` observations; `enough` is False when the run is too short to
    tell. `mser` [n / 5] is the statistic at each possible cut, NaN beyond the half.
    """

    cut: int
    n: int
    enough: bool
    mser: Values


def mser5(series: Values, batch: int = 5) -> WarmUp:
    """Marginal standard error rule in batches of five (White 1997; White, Cobb and Spratt 2000).

    Of the batch means z[0..k-1] it forgets the first d that make sum over i >= d of (z[i] - mean)^2 / (k - d)^2 least,
    d up to k / 2. A least value at the end of that range says that the transient has not ended: too short to tell.
    """
    series = series[: len(series) // batch * batch]
    means = series.reshape(-1, batch).mean(axis=1) if len(series) else series
    k = len(means)
    mser = np.full(k, np.nan)
    if k < 4 or np.isnan(means).any():
        return WarmUp(0, len(series), enough=False, mser=mser)
    for d in range(k // 2 + 1):
        rest = means[d:]
        mser[d] = float(((rest - rest.mean()) ** 2).sum()) / len(rest) ** 2
    cut = int(np.nanargmin(mser))
    return WarmUp(cut * batch, len(series), enough=cut < k // 2, mser=mser)
