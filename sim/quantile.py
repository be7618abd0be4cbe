"""Integer quantile tables: the form in which every distribution reaches the kernel.

`table[0]` is the kind: 0 constant, then `table[1]` is its value; 1 a table. Values are in 1/256 ticks.
A table is 5 sub-tables of 256 equally likely bins from index 2 on: main, low1 (inside main bin 0), low2
(inside low1 bin 0), high1 (inside main bin 255), high2 (inside high1 bin 255). A bin is two integers, (low, width):
a uniform with the bin's exact conditional mean and variance; the last bin of high2 carries the whole remaining
tail. A draw takes the top 8 bits of a 64-bit word for main, 8 more for each level it opens, and the 20 bits u
after those: value = low + ((width * u + 2^19) >> 20), ticks = (value + 128) >> 8.

Mean and variance of the whole agree with the distribution to 1e-6 and 1e-5 (rounding to 1/256 tick included when
the standard deviation is above half a tick). No value is negative: a bin whose uniform would start below 0
starts at 0 and hands the variance it cannot hold to the next bin.

Discrete and empirical: a bin that lies inside one value is that value, exactly. A bin in which the value changes
is a uniform with the exact mean and variance of what it covers, so values between two listed ones occur with a
probability of at most 1/128 for each change of value (1/32,768 and less in the outermost 1/256 on both sides;
none where a cumulative probability is a multiple of 1/256); mean and variance stay exact.
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from sim import distributions, shelf
from sim.moments import Floats, continuous, masses, quantiles, stepwise
from sim.plant import Dist

BINS = 256
SUBTABLES = 5
MAIN, LOW1, LOW2, HIGH1, HIGH2 = range(SUBTABLES)
CONSTANT, TABLE = 0, 1
LENGTH = 2 + 2 * SUBTABLES * BINS
"""Length of a table of kind 1; a constant has length 2."""
FINE = 256
"""Table units in a tick."""
MAX_WIDTH = 2**43
"""A width must stay below this, so that width * 2^20 fits into 63 bits."""

_SPAN_BITS = 24
_BIN_WEIGHTS = {MAIN: 1 << 16, LOW1: 1 << 8, HIGH1: 1 << 8, LOW2: 1, HIGH2: 1}
_LOST = 1e-6

Ints = npt.NDArray[np.int64]


def _drawn_bins() -> tuple[npt.NDArray[np.intp], Ints]:
    """Rows (sub-table * 256 + bin) of the bins that draws end in, by rising probability, and their weights / 2^24."""
    order = [(LOW2, 0, BINS), (LOW1, 1, BINS), (MAIN, 1, BINS - 1), (HIGH1, 0, BINS - 1), (HIGH2, 0, BINS)]
    rows = [sub * BINS + n for sub, first, end in order for n in range(first, end)]
    weights = [_BIN_WEIGHTS[row // BINS] for row in rows]
    return np.array(rows, dtype=np.intp), np.array(weights, dtype=np.int64)


_ROWS, _WEIGHTS = _drawn_bins()


def _edges(sub: int) -> Floats:
    """Bin edges of a sub-table: probabilities for main and the low ones, survival probabilities for the high ones."""
    steps = np.arange(BINS + 1) / BINS
    return steps * {MAIN: 1.0, LOW1: 2.0**-8, HIGH1: 2.0**-8, LOW2: 2.0**-16, HIGH2: 2.0**-16}[sub]


def _bins(dist: Dist) -> tuple[Floats, Floats]:
    """Exact conditional mean and variance, in ticks, of all 5 x 256 bins."""
    half = BINS // 2
    parts: list[tuple[Floats, Floats]] = []
    if dist.kind in ("discrete", "empirical"):
        values, weights = masses(dist)
        parts = [stepwise(values, weights, _edges(sub)) for sub in (MAIN, LOW1, LOW2)]
        for sub in (HIGH1, HIGH2):
            means, variances = stepwise(values[::-1], weights[::-1], _edges(sub))
            parts.append((means[::-1], variances[::-1]))
    else:
        q = quantiles(dist)
        mirrored = tuple(1 - b for b in q.breaks)
        left = continuous(q.lower, _edges(MAIN)[: half + 1], q.breaks)
        right = continuous(q.upper, _edges(MAIN)[: half + 1], mirrored)
        parts = [(np.concatenate((left[0], right[0][::-1])), np.concatenate((left[1], right[1][::-1])))]
        parts += [continuous(q.lower, _edges(sub), q.breaks) for sub in (LOW1, LOW2)]
        for sub in (HIGH1, HIGH2):
            means, variances = continuous(q.upper, _edges(sub), mirrored)
            parts.append((means[::-1], variances[::-1]))
    return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])


def _spread(dist: Dist, means: Floats, variances: Floats) -> Floats:
    """Variances that uniforms from 0 upwards can have; what a bin cannot hold goes to the next one."""
    result = np.minimum(variances, means**2 / 3)
    carry = 0.0
    for row, weight in zip(_ROWS, _WEIGHTS, strict=True):
        wanted = variances[row] + carry / weight
        room = means[row] ** 2 / 3
        result[row] = min(wanted, room)
        carry = max(wanted - room, 0.0) * float(weight)
    total = distributions.variance(dist)
    if carry / 2**_SPAN_BITS > _LOST * total:
        raise ValueError(
            f"{shown(dist)}: expected a tail that a quantile table can carry, found one with "
            f"{carry / 2**_SPAN_BITS / total:.1e} of the variance beyond it; use a smaller cv (lognormal: up to 4)"
        )
    return result


def _rounded(dist: Dist, means: Floats, variances: Floats) -> Ints:
    """(low, width) of every bin in 1/256 ticks. Rounding errors of the mean are passed on to the next bin."""
    fine_means = means * FINE
    widths = np.rint(np.sqrt(12 * variances) * FINE)
    if not np.all(widths < MAX_WIDTH) or not np.all(fine_means < 2.0**61):
        seconds = 2 * float(widths.max()) / MAX_WIDTH
        raise ValueError(
            f"{shown(dist)}: expected spreads below 2^35 ticks, found {float(widths.max()) / FINE:.3g}; "
            f"choose a tick at least {math.ceil(seconds)} times as long"
        )
    lows = fine_means - widths / 2
    error = 0.0
    out = np.zeros((SUBTABLES * BINS, 2), dtype=np.int64)
    out[:, 0], out[:, 1] = np.maximum(np.rint(lows), 0), widths
    for row, weight in zip(_ROWS, _WEIGHTS, strict=True):
        shift = 0.0 if widths[row] == 0 else min(max(error / float(weight), -0.5), 0.5)
        low, width = round(lows[row] - shift), int(widths[row])
        if low < 0:
            low, width = 0, round(2 * fine_means[row])
        out[row] = low, width
        error += (low + width / 2 - fine_means[row]) * float(weight)
    return out


def shown(dist: Dist) -> str:
    """The distribution in a few words (ticks), for messages."""
    args = ", ".join(f"{a:g}" for a in dist.args[:6]) + (", ..." if len(dist.args) > 6 else "")
    return f"{dist.kind}({args}) in ticks"


def _built(dist: Dist) -> Ints:
    means, variances = _bins(dist)
    pairs = _rounded(dist, means, _spread(dist, means, variances))
    return np.concatenate((np.array([TABLE, 0], dtype=np.int64), pairs.ravel()))


@lru_cache(maxsize=4096)
def table(dist: Dist) -> Ints:
    """The integer quantile table of a distribution, read-only: 2 values of a constant, else `LENGTH`.

    Raises `ValueError` for spreads above 2^35 ticks and for tails that the form cannot carry.
    """
    values = {dist.args[0]} if dist.kind == "constant" else set[float]()
    if dist.kind in ("discrete", "empirical"):
        values = set(masses(dist)[0].tolist())
    if len(values) == 1:
        value = next(iter(values))
        if not 0 <= value < 2.0**50:
            raise ValueError(f"{shown(dist)}: expected 0 to 2^50 ticks; choose another tick")
        result = np.array([CONSTANT, round(value * FINE)], dtype=np.int64)
    else:
        kept = shelf.get(dist, LENGTH)
        result = _built(dist) if kept is None else kept
        if kept is None:
            shelf.put(dist, result)
    result.flags.writeable = False
    return result


def drawn(quantile_table: Ints) -> tuple[Ints, Ints, Ints]:
    """(low, width, weight) of the bins that draws end in, by rising value; weights sum to 2^24."""
    if quantile_table[0] == CONSTANT:
        return quantile_table[1:2], np.zeros(1, np.int64), np.array([1 << _SPAN_BITS], dtype=np.int64)
    pairs = quantile_table[2:].reshape(SUBTABLES * BINS, 2)
    return pairs[_ROWS, 0], pairs[_ROWS, 1], _WEIGHTS


def mean_variance(quantile_table: Ints) -> tuple[float, float]:
    """Mean (ticks) and variance (ticks^2) of the uniforms of a table, in exact arithmetic until the end."""
    first, second = Fraction(0), Fraction(0)
    for low, width, weight in zip(*(part.tolist() for part in drawn(quantile_table)), strict=True):
        first += weight * (2 * low + width)
        second += weight * (3 * low * (low + width) + width * width)
    mean = first / (2 << _SPAN_BITS)
    variance = second / (3 << _SPAN_BITS) - mean * mean
    return float(mean / FINE), float(variance / FINE**2)


def quantile_rank(quantile_table: Ints, value: float) -> float:
    """Probability that a draw is below `value` ticks (before rounding to whole ticks)."""
    low, width, weight = drawn(quantile_table)
    fine = value * FINE
    share = np.where(width > 0, (fine - low) / np.maximum(width, 1), np.where(low < fine, 1.0, 0.0))
    return float(np.clip(share, 0.0, 1.0) @ weight) / float(1 << _SPAN_BITS)
