"""How far an observation lies from those that a policy was trained on, as a percentile: numbers in its bundle.

The distance is Mahalanobis': in units of the spread that training showed in each direction, so that a combination that
never occurred is far out although each number alone is usual. The covariance is shrunk towards a multiple of the
identity (Ledoit and Wolf 2004, Journal of Multivariate Analysis 88) and kept as its `DIRECTIONS` widest directions and
one variance for all others. What a distance means is told by observations that were held out: no distribution is
assumed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

DIRECTIONS = 32
LEVELS = (0.0, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999, 1.0)
"""Levels of the held-out distances that are kept."""
OUTSIDE = 99.0
"""An observation further out than so many per cent of what was held out lies outside what the policy has seen."""
FEWEST = 256
"""Observations from which nothing is said about others."""
BLOCK = 64
"""Observations that were collected together; whole blocks are held out, one in four."""
FLOOR = 0.02
"""Least spread of a number: one that never changed in training is not infinitely strange when it does."""


@dataclass(frozen=True, slots=True)
class Familiar:
    """`mean`, `scale` [D] of the observations; `vectors` [R, D] and `values` [R]: widest directions of what is left
    after both, and their variances; `rest`: variance of all others; `quantiles`: held-out distances at `LEVELS`;
    `count`: observations that this was made of.
    """

    mean: Floats
    scale: Floats
    vectors: Floats
    values: Floats
    rest: float
    quantiles: Floats
    count: int

    def parts(self, observation: NDArray[Any]) -> Floats:
        """What each number [N, D] adds to the squared distance of its observation."""
        z = (np.asarray(observation, dtype=np.float64) - self.mean) / self.scale
        along = z @ self.vectors.T
        inverse = (along * (1.0 / self.values - 1.0 / self.rest)) @ self.vectors + z / self.rest
        return z * inverse

    def distance(self, observation: NDArray[Any]) -> Floats:
        """Mahalanobis distance [N] of observations [N, D]."""
        return np.sqrt(np.maximum(self.parts(observation).sum(axis=1), 0.0))

    def percentile(self, observation: NDArray[Any]) -> Floats:
        """How many per cent of the held-out observations lie nearer, [N]; 100 beyond them all."""
        return np.interp(self.distance(observation), self.quantiles, 100.0 * np.array(LEVELS))

    def as_json(self) -> dict[str, Any]:
        """What policy.json keeps, to six digits."""
        return {
            "mean": _digits(self.mean),
            "scale": _digits(self.scale),
            "vectors": [_digits(v) for v in self.vectors],
            "values": _digits(self.values),
            "rest": _digits(np.array([self.rest]))[0],
            "quantiles": _digits(self.quantiles),
            "count": self.count,
        }


def _digits(values: Floats) -> list[float]:
    return [float(f"{x:.6g}") for x in values.tolist()]


def read(found: dict[str, Any] | None) -> Familiar | None:
    """What a bundle says (checked by `agents.bundles.policyspec`); None for one that says nothing."""
    if found is None:
        return None
    mean, scale, vectors, values, quantiles = (
        np.array(found[k], dtype=np.float64) for k in ("mean", "scale", "vectors", "values", "quantiles")
    )
    return Familiar(mean, scale, vectors, values, float(found["rest"]), quantiles, int(found["count"]))


def fit(observations: NDArray[Any]) -> Familiar | None:
    """From observations [N, D] in the order in which they were collected; None where there are too few."""
    x = np.asarray(observations, dtype=np.float64)
    if len(x) < FEWEST:
        return None
    held = np.arange(len(x)) // (BLOCK if len(x) >= 16 * BLOCK else 1) % 4 == 3
    used = x[~held]
    mean, scale = used.mean(axis=0), np.maximum(used.std(axis=0), FLOOR)
    values, vectors = np.linalg.eigh(shrunk((used - mean) / scale))
    kept = min(DIRECTIONS, len(values))
    rest = float(values[:-kept].mean()) if kept < len(values) else 1.0
    made = Familiar(mean, scale, vectors.T[-kept:], values[-kept:], rest, np.zeros(0), len(x))
    # what is kept to six digits must mean to the reader what it means here
    rounded = read({**made.as_json(), "quantiles": []})
    assert rounded is not None
    distances = np.quantile(rounded.distance(x[held]), LEVELS)
    return Familiar(
        rounded.mean, rounded.scale, rounded.vectors, rounded.values, rounded.rest, _rising(distances), len(x)
    )


def _rising(quantiles: Floats) -> Floats:
    """The same, each a little above the one before it, to six digits: what is interpolated must rise."""
    out = np.maximum.accumulate(quantiles) + 1e-5 * max(float(quantiles[-1]), 1e-9) * np.arange(len(quantiles))
    return np.array(_digits(out))


def shrunk(z: Floats) -> Floats:
    """Covariance [D, D] of centred observations [N, D], shrunk towards its mean variance times the identity by Ledoit
    and Wolf's optimal intensity; never singular.
    """
    n, d = z.shape
    sample = z.T @ z / n
    level = float(np.trace(sample)) / d
    distance = float(((sample - level * np.eye(d)) ** 2).sum())
    # sum over observations of |z z' - S|^2 = sum of |z|^4 - n |S|^2
    noise = (float(((z**2).sum(axis=1) ** 2).sum()) / n - float((sample**2).sum())) / n
    share = 1.0 if distance <= 0.0 else min(max(noise / distance, 0.0), 1.0)
    share = max(share, 1e-3)
    return (1.0 - share) * sample + share * max(level, 1e-6) * np.eye(d)


def nearer(percentile: float) -> str:
    """How many of the held-out observations lie nearer, in words: `63 %`, `99.7 %`, `all`; never `100 %` for less."""
    if percentile >= 100.0:
        return "all"
    return f"{percentile:.4g} %" if percentile >= 99.0 else f"{percentile:.0f} %"
