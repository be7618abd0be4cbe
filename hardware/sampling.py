"""Durations of the virtual plant: real distributions on numpy generators, in seconds.

Nothing here knows the twin's quantile tables: a plant does not draw from its model. Each entity
has its own generator, so a command that changes one machine does not reshuffle the luck of another.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable

import numpy as np

from sim.plant import Dist, Quantity

Draw = Callable[[np.random.Generator], float]


def stream(seed: int, name: str) -> np.random.Generator:
    """A generator of its own for the entity `name` of the plant with this seed."""
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


def mean_of(dist: Dist) -> float:
    """Mean of a distribution, in the unit of its arguments."""
    a = dist.args
    if dist.kind == "uniform":
        return (a[0] + a[1]) / 2
    if dist.kind == "triangular":
        return sum(a) / 3
    if dist.kind == "discrete":
        return sum(v * p for v, p in zip(a[::2], a[1::2], strict=True)) / sum(a[1::2])
    if dist.kind == "empirical":
        return sum(a) / len(a)
    if dist.kind == "weibull":
        from math import gamma

        return a[0] * gamma(1 + 1 / a[1])
    return a[0]


def _gamma(mean: float, cv: float) -> Draw:
    if cv <= 0 or mean <= 0:
        return lambda rng: mean
    shape = 1 / (cv * cv)
    return lambda rng: float(rng.gamma(shape, mean / shape))


def _lognormal(mean: float, cv: float) -> Draw:
    var = np.log1p(cv * cv)
    mu, sigma = np.log(mean) - var / 2, np.sqrt(var)
    return lambda rng: float(rng.lognormal(mu, sigma))


def _normal(mean: float, sd: float) -> Draw:
    def draw(rng: np.random.Generator) -> float:
        for _ in range(1000):
            value = float(rng.normal(mean, sd))
            if value >= 0:
                return value
        return 0.0

    return draw


def _triangular(low: float, mode: float, high: float) -> Draw:
    if high <= low:
        return lambda rng: low
    return lambda rng: float(rng.triangular(low, mode, high))


def _choice(values: tuple[float, ...], weights: tuple[float, ...] | None) -> Draw:
    v = np.asarray(values)
    if weights is None:
        return lambda rng: float(v[rng.integers(len(v))])
    edges = np.cumsum(np.asarray(weights) / sum(weights))
    return lambda rng: float(v[min(int(np.searchsorted(edges, rng.random(), side="right")), len(v) - 1)])


def _plain(dist: Dist, cv: float) -> Draw:
    """`dist` with its coefficient of variation multiplied by `cv` where the kind has one."""
    kind, a = dist.kind, dist.args
    makers: dict[str, Callable[[], Draw]] = {
        "constant": lambda: _gamma(a[0], 0.04 * cv if cv != 1 else 0.0),
        "exponential": lambda: _gamma(a[0], cv),
        "erlang": lambda: _gamma(a[0], cv / np.sqrt(a[1])),
        "gamma": lambda: _gamma(a[0], cv * a[1]),
        "lognormal": lambda: _lognormal(a[0], cv * a[1]),
        "weibull": lambda: lambda rng: float(a[0] * rng.weibull(a[1])),
        "normal": lambda: _normal(a[0], cv * a[1]),
        "uniform": lambda: lambda rng: float(rng.uniform(a[0], a[1])),
        "triangular": lambda: _triangular(a[0], a[1], a[2]),
        "discrete": lambda: _choice(a[::2], a[1::2]),
        "empirical": lambda: _choice(a, None),
    }
    if kind not in makers:
        raise ValueError(f"distribution {kind!r}: the virtual plant knows {', '.join(sorted(makers))}; use one of them")
    return makers[kind]()


def chooser(rng: np.random.Generator, quantity: Quantity) -> Callable[[], int]:
    """Draws a whole number with the probabilities of `quantity`."""
    if len(quantity) == 1:
        return lambda: quantity[0][0]
    values, weights = zip(*quantity, strict=True)
    draw = _choice(values, weights)
    return lambda: int(draw(rng))


class Sampler:
    """Draws one duration after another, in seconds; `scale` stretches it, `cv` makes it more or less regular."""

    def __init__(
        self, rng: np.random.Generator, dist: Dist, tick_s: float, scale: float = 1.0, cv: float = 1.0
    ) -> None:
        self._rng = rng
        self._draw = _plain(dist, cv)
        self._factor = tick_s * scale
        self.mean = mean_of(dist) * self._factor

    def __call__(self) -> float:
        return self._draw(self._rng) * self._factor
