"""Distributions and durations as a plant file writes them."""

from __future__ import annotations

import math

from sim.distributions import PARAMETERS, mean
from sim.plant import Dist
from twin.fit import weibull_shape

UNITS = ((86_400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"), (0.001, "ms"))
_PLAIN = {"gamma": ("cv",), "lognormal": ("cv",), "weibull": ("shape",), "erlang": ("k",)}


def duration_text(seconds: float) -> str:
    """A duration to four digits in the unit in which it is at least 3, days only from 3 days on."""
    for size, unit in UNITS:
        if abs(seconds) >= 3 * size or unit == "ms":
            return f"{seconds / size:.4g} {unit}"
    raise AssertionError("milliseconds hold every duration")


def scaled(dist: Dist, factor: float, cv: float | None = None) -> Dist:
    """The distribution of `factor` times what `dist` describes; with `cv`, of that coefficient of variation where its
    kind has one of its own.
    """
    a = dist.args
    if dist.kind in ("gamma", "lognormal"):
        return Dist(dist.kind, (a[0] * factor, round(cv if cv is not None else a[1], 3)))
    if dist.kind in ("weibull", "erlang"):
        return Dist(dist.kind, (a[0] * factor, a[1]))
    if dist.kind == "discrete":
        return Dist(dist.kind, tuple(v if i % 2 else v * factor for i, v in enumerate(a)))
    return Dist(dist.kind, tuple(v * factor for v in a))


def with_cv(dist: Dist, cv: float) -> Dist:
    """The distribution with the same mean and the coefficient of variation `cv`: of its kind where that has a shape of
    its own (gamma, lognormal, Weibull), else a gamma distribution.
    """
    if dist.kind in ("gamma", "lognormal"):
        return scaled(dist, 1.0, cv)
    size = mean(dist)
    if dist.kind == "weibull":
        shape = round(weibull_shape(cv), 3)
        return Dist(dist.kind, (size / math.gamma(1 + 1 / shape), shape))
    return Dist("gamma", (size, round(cv, 3)))


def dist_text(dist: Dist, tick_ms: float) -> str:
    """The expression of a plant file; `tick_ms` are the ms of a tick."""
    times = [duration_text(v * tick_ms / 1000) for v in dist.args]
    if dist.kind == "constant":
        return times[0]
    if dist.kind == "empirical":
        return f"empirical([{', '.join(times)}])"
    if dist.kind == "discrete":
        return f"discrete({', '.join(f'{t}: {p:.12g}' for t, p in zip(times[::2], dist.args[1::2], strict=True))})"
    names = PARAMETERS[dist.kind]
    plain = _PLAIN.get(dist.kind, ())
    texts = [f"{v:.4g}" if n in plain else t for n, v, t in zip(names, dist.args, times, strict=True)]
    if dist.kind in ("exponential", "uniform", "triangular"):
        return f"{dist.kind}({', '.join(texts)})"
    return f"{dist.kind}({', '.join(f'{n}={t}' for n, t in zip(names, texts, strict=True))})"
