"""Posteriors of one parameter each: a factor on the plant file's value, from spans (some censored) or counts.

Prior: "the file is about right" (log standard deviation `Prior.spread`), with a weight of one in a thousand for "it is
not" (`WIDE`): a robust mixture (Schmidli et al. 2014, Biometrics 70), so that a strong contradiction is believed.
(Every prior of a factor has mean 1.)
- Exponential times, and rates of counts: gamma, conjugate (Gelman et al. 2013, section 2.6); censored spans add their
  exposure. The factor on times is one over the factor on the rate.
- Shares of scrap: beta, conjugate.
- All other times: the likelihood of a gamma, lognormal or Weibull distribution (as the file's, others as a gamma) of
  unknown mean and coefficient of variation, on a grid; a censored span adds log P(X > x). Normal-inverse-gamma is the
  same without censoring, which has no conjugate form.
Forgetting: a span of age a counts as 2^(-a / half-life) of one (power likelihood).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import special

Values = NDArray[np.float64]

WIDE = 0.7
"""Log standard deviation of the factor where the file is wrong, and its prior weight."""
WIDE_WEIGHT = 1e-3
CV_SPREAD = 0.5
"""Log standard deviation of the prior of a coefficient of variation."""
LEAST_CV = 0.02
POINTS = 161
CVS = 31
MOST = 8.0
"""A factor lies between 1 / 8 and 8: the kernel's limits."""
LEVELS = np.concatenate(([0.0005], np.linspace(0.005, 0.995, 199), [0.9995]))
LO, HI = 0.05, 0.95


@dataclass(frozen=True, slots=True)
class Prior:
    """What is believed before: the factor is near 1 with log standard deviation `spread`. `kind` of the distribution
    ("exponential", "gamma", "lognormal", "weibull"), `cv` its coefficient of variation. `robust` adds `WIDE`.
    """

    spread: float
    kind: str = "gamma"
    cv: float = 1.0
    robust: bool = True

    @property
    def parts(self) -> tuple[tuple[float, float], ...]:
        """(weight, log standard deviation) of the mixture."""
        if not self.robust or self.spread >= WIDE:
            return ((1.0, self.spread),)
        return ((1.0 - WIDE_WEIGHT, self.spread), (WIDE_WEIGHT, WIDE))


@dataclass(frozen=True, slots=True)
class Data:
    """Spans in units of the file's mean `x`, their weights `w`, `cut` where the end was not seen."""

    x: tuple[float, ...]
    w: tuple[float, ...]
    cut: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class Belief:
    """A posterior of a factor: its mean, 90 % interval, quantiles at `LEVELS`; `n` spans (weighted) that ended; `cv` as
    believed with its 90 % interval (0 where it is not estimated).
    """

    mean: float
    lo: float
    hi: float
    quantiles: tuple[float, ...]
    n: float
    cv: float = 0.0
    cv_lo: float = 0.0
    cv_hi: float = 0.0

    def draw(self, rng: np.random.Generator, size: int) -> Values:
        """Factors float64[size] from the posterior, one in each of `size` equally likely strata, in random order."""
        return np.interp((rng.permutation(size) + rng.random(size)) / size, LEVELS, self.quantiles)


@lru_cache(maxsize=4096)
def spans(prior: Prior, data: Data) -> Belief:
    """The factor on times after `data`."""
    x, w, cut = np.array(data.x), np.array(data.w), np.array(data.cut, dtype=np.bool_)
    n = float(w[~cut].sum()) if len(x) else 0.0
    if prior.kind == "exponential":
        return rate(prior, n, float((w * x).sum()) if len(x) else 0.0)
    return _grid(prior, np.maximum(x, 1e-6), w, cut, n)


@lru_cache(maxsize=4096)
def rate(prior: Prior, n: float, exposure: float) -> Belief:
    """The factor on times between events after `n` events in `exposure`, in units of the file's mean time between."""
    shapes = np.array([1 / s**2 for _, s in prior.parts])
    weights = np.log([weight for weight, _ in prior.parts])
    # marginal likelihood of Poisson counts under each part of the mixture
    rates = shapes - 1  # so that the factor on times has mean 1
    weights = weights + shapes * np.log(rates) - special.gammaln(shapes)
    weights = weights + special.gammaln(shapes + n) - (shapes + n) * np.log(rates + exposure)
    weights = np.exp(weights - weights.max())
    factor = np.exp(np.linspace(-math.log(MOST), math.log(MOST), 1201))
    cdf = (weights[:, None] * special.gammaincc(shapes[:, None] + n, (rates[:, None] + exposure) / factor)).sum(axis=0)
    return _belief(factor, cdf / weights.sum(), n)


@lru_cache(maxsize=1024)
def share(p: float, spread: float, hit: float, of: float) -> Belief:
    """The share itself (not a factor) after `hit` of `of`; a priori near `p`, relative standard deviation `spread`."""
    p = min(max(p, 1e-4), 1 - 1e-4)
    found = []
    for weight, sd in Prior(spread).parts:
        size = max((1 - p) / (p * sd * sd) - 1, 1.0)
        a, b = p * size, (1 - p) * size
        found.append((math.log(weight) + special.betaln(a + hit, b + of - hit) - special.betaln(a, b), a, b))
    top = max(one[0] for one in found)
    grid = np.linspace(0, 1, 4001)[1:-1]
    cdf = sum(math.exp(v - top) * special.betainc(a + hit, b + of - hit, grid) for v, a, b in found)
    return _belief(grid, np.asarray(cdf) / sum(math.exp(v - top) for v, _, _ in found), of)


def _belief(factor: Values, cdf: Values, n: float, cv: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> Belief:
    cdf, first = np.unique(np.clip(cdf, 0.0, 1.0), return_index=True)
    at = factor[first]
    quantiles = np.interp([*LEVELS, LO, HI], cdf, at)
    middle, mass = (at[1:] + at[:-1]) / 2, np.diff(cdf)
    mean = float((middle * mass).sum() / max(mass.sum(), 1e-12))
    table = tuple(float(q) for q in quantiles[: len(LEVELS)])
    return Belief(mean, float(quantiles[-2]), float(quantiles[-1]), table, n, *cv)


def _grid(prior: Prior, x: Values, w: Values, cut: NDArray[np.bool_], n: float) -> Belief:
    """Mean and cv on a grid that is laid around the mass it finds."""
    low, high = -math.log(MOST), math.log(MOST)
    cv_low = math.log(max(prior.cv, LEAST_CV)) - 4 * CV_SPREAD
    cv_high = min(math.log(max(prior.cv, LEAST_CV)) + 4 * CV_SPREAD, math.log(4.0))
    for _ in range(3):
        logs = np.linspace(low, high, POINTS)
        cvs = np.linspace(cv_low, cv_high, CVS)
        value = _prior(prior, logs)[:, None] - ((cvs - math.log(max(prior.cv, LEAST_CV))) / CV_SPREAD) ** 2 / 2
        value = value + _likelihood(prior.kind, np.exp(logs), np.exp(cvs), (x, w, cut))
        value = np.exp(value - value.max())
        ours, theirs = value.sum(axis=1), value.sum(axis=0)
        low, high = _around(logs, ours)
        cv_low, cv_high = _around(cvs, theirs)
    cdf = np.cumsum((ours[1:] + ours[:-1]) / 2)
    spread = np.interp([LO, HI], np.cumsum(theirs) / theirs.sum(), np.exp(cvs))
    cv = float((np.exp(cvs) * theirs).sum() / theirs.sum())
    return _belief(np.exp(logs), np.concatenate(([0.0], cdf / cdf[-1])), n, (cv, float(spread[0]), float(spread[1])))


def _around(points: Values, weights: Values) -> tuple[float, float]:
    inside = points[weights > weights.max() * 1e-7]
    step = points[1] - points[0]
    return float(max(inside[0] - step, points[0])), float(min(inside[-1] + step, points[-1]))


def _prior(prior: Prior, logs: Values) -> Values:
    return np.log(sum(weight / s * np.exp(-(((logs + s * s / 2) / s) ** 2) / 2) for weight, s in prior.parts) + 1e-300)


def _likelihood(kind: str, means: Values, cvs: Values, data: tuple[Values, Values, NDArray[np.bool_]]) -> Values:
    """Log likelihood [means, cvs] of spans; sums over those that ended, one term for each that did not."""
    x, w, cut = data
    m, v = means[:, None], cvs[None, :]
    full = np.logical_not(cut)
    n, sum_x, logs = w[full].sum(), (w * x)[full].sum(), (w * np.log(x))[full].sum()
    if kind == "lognormal":
        var = np.log1p(v * v)
        mu = np.log(m) - var / 2
        squares = (w * np.log(x) ** 2)[full].sum()
        total = -(squares - 2 * mu * logs + n * mu * mu) / (2 * var) - n * np.log(var) / 2
        for one, weight in zip(x[cut], w[cut], strict=True):
            total = total + weight * special.log_ndtr((mu - np.log(one)) / np.sqrt(var))
        return total
    if kind == "weibull":
        shape = _weibull_shape(cvs)[None, :]
        scale = m / special.gamma(1 + 1 / shape)
        total = n * (np.log(shape) - shape * np.log(scale)) + (shape - 1) * logs
        for one, weight in zip(x, w, strict=True):  # f and S share the term of the hazard
            total = total - weight * (one / scale) ** shape
        return total
    k = 1 / (v * v)
    total = n * (k * np.log(k / m) - special.gammaln(k)) + (k - 1) * logs - k * sum_x / m
    for one, weight in zip(x[cut], w[cut], strict=True):
        total = total + weight * np.log(special.gammaincc(k, k * one / m) + 1e-300)
    return total


def _weibull_shape(cvs: Values) -> Values:
    """The shape that has each coefficient of variation."""
    shapes = np.exp(np.linspace(math.log(0.3), math.log(60.0), 400))
    moments = special.gamma(1 + 2 / shapes) / special.gamma(1 + 1 / shapes) ** 2 - 1
    return np.interp(-cvs, -np.sqrt(np.maximum(moments, 1e-12)), shapes)


def weibull_shape(cv: float) -> float:
    """The shape of the Weibull distribution that has the coefficient of variation `cv`."""
    return float(_weibull_shape(np.array([cv]))[0])


def kolmogorov(x: Values, cdf: Values) -> tuple[float, float]:
    """(distance, asymptotic p) of sorted observations whose probabilities under the distribution are `cdf`."""
    n = len(x)
    if n == 0:
        return 0.0, 1.0
    steps = np.arange(1, n + 1) / n
    distance = float(max(np.max(steps - cdf), np.max(cdf - steps + 1 / n)))
    return distance, float(special.kolmogorov(distance * (math.sqrt(n) + 0.12 + 0.11 / math.sqrt(n))))
