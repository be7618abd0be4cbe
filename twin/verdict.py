"""What a record of forecasts allows to be said: of a line that is judged alone, and of one among many on a page.

A forecast that is right misses its 90 % band one time in ten, and since epochs do not overlap its misses are
independent: of n forecasts the number inside is binomial. Of sixty series some look bad by chance alone, so that a line
**among many** is judged by exact tails at a level divided by how many there are (Bonferroni): a twin that keeps its
promise is called doubtful anywhere on one look in twenty at most, broken on one in a hundred. The gap between what is
promised (90 %) and what is tested (85, 75 %) pays for looking again at every forecast. A good word needs a record in
which a bad one could have shown: before `needed` forecasts it is *too early* for it.

The three series of the whole plant switch advice off, so they are judged **alone**, from ten forecasts on (`ALONE`): a
false alarm costs less there than one that does not come.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import erfc
from statistics import NormalDist, fmean, stdev

from scipy.special import bdtr, stdtrit

ALONE = 10
"""Forecasts below which nothing is said of any line, and from which on one that is judged alone is."""
RED_COVER, AMBER_COVER = 0.75, 0.85
"""Coverage of the 90 % bands which the record must not rule out."""
RED_LEVEL, AMBER_LEVEL = 0.01, 0.05
"""Chances of one wrong word of the kind among all lines of a page, at one look; red shares its between coverage and
bias, amber between coverage and skill."""
HALF, SEEN = 0.5, 0.8
"""`needed`: a line that is inside its band only half of the time is found by now in four cases of five."""
MOST = 1000


def fewest(n: int, cover: float, level: float) -> int:
    """The most hits of n which still rule a coverage of `cover` out: P(X <= hits; n, cover) <= level. -1: none does."""
    hits = -1
    while hits < n and float(bdtr(hits + 1, n, cover)) <= level:
        hits += 1
    return hits


@lru_cache(maxsize=4096)
def limits(n: int, lines: int) -> tuple[int, int]:
    """Hits of n up to which a line among `lines` is red, and amber; -1 where no number is."""
    red, amber = RED_LEVEL / 2 / lines, AMBER_LEVEL / 2 / lines
    return fewest(n, RED_COVER, red), fewest(n, AMBER_COVER, amber)


@lru_cache(maxsize=256)
def needed(lines: int) -> int:
    """Forecasts from which on silence about a line among `lines` means something (see `HALF`)."""
    for n in range(ALONE, MOST):
        most = max(limits(n, lines))
        if most >= 0 and float(bdtr(most, n, HALF)) >= SEEN:
            return n
    return MOST


def wilson(hits: int, n: int, level: float) -> tuple[float, float]:
    """Two-sided interval of a share at confidence `level` (Wilson 1927)."""
    z = NormalDist().inv_cdf((1 + level) / 2)
    middle, room = hits / n + z * z / (2 * n), z * (hits / n * (1 - hits / n) / n + z * z / (4 * n * n)) ** 0.5
    scale = 1 + z * z / n
    return max((middle - room) / scale, 0.0), min((middle + room) / scale, 1.0)


def interval(values: Sequence[float], level: float) -> tuple[float, float]:
    """Student's interval of a mean at confidence `level`."""
    n = len(values)
    mean, room = fmean(values), stdev(values) / n**0.5 * float(stdtrit(n - 1, (1 + level) / 2))
    return mean - room, mean + room


def aside(shares: Sequence[float]) -> float:
    """p-value of ranks whose mean is the middle: two-sided, normal with variance 1 / (12 n).

    Ranks of a right forecast are uniform whatever its distribution, so that rare bursts, which deceive Student, do not
    show here; the sum of uniforms has lighter tails than the normal (ten of them and more), so p is not too small.
    """
    n = len(shares)
    return erfc(abs(fmean(shares) - 0.5) * (12 * n) ** 0.5 / 2**0.5) if n >= ALONE else 1.0


def inside(hits: int, n: int, lines: int | None) -> str:
    """`red`, `amber` or nothing by the coverage of a line among `lines` (None: judged alone, by Wilson's interval)."""
    if lines is None:
        red, amber = wilson(hits, n, 0.99)[1] < RED_COVER, wilson(hits, n, 0.95)[1] < AMBER_COVER
        return "red" if red else "amber" if amber else ""
    red_most, amber_most = limits(n, lines)
    return "red" if hits <= red_most else "amber" if hits <= amber_most else ""


def biased(errors: Sequence[float], shares: Sequence[float], allowed: float, lines: int | None) -> bool:
    """Is the mean error beyond what is allowed? Student's 99.9 % interval; among many the ranks must say so too."""
    low, high = interval(errors, 0.999)
    beyond = low > allowed or high < -allowed
    return beyond and (lines is None or aside(shares) <= RED_LEVEL / 2 / lines)


def worse(ours: Sequence[float], theirs: Sequence[float], lines: int | None) -> bool:
    """Do forecasts of a model score worse than such without? Alone: on the mean; among many: told from chance."""
    apart = [a - b for a, b in zip(ours, theirs, strict=True)]
    if len(apart) < ALONE or not any(theirs):
        return False
    return fmean(apart) > 0 if lines is None else interval(apart, 1 - AMBER_LEVEL / lines)[0] > 0
