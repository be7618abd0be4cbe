"""Distribution expressions of the plant file and their closed-form means.

`exponential(60 s)`, `erlang(mean=2 min, k=3)`, `gamma(mean=55 s, cv=0.4)`, `lognormal(mean=55 s, cv=0.4)`,
`weibull(scale=2 h, shape=1.5)`, `normal(mean=50 s, sd=5 s)` (truncated at 0; mean and sd are those before
truncation), `uniform(40 s, 60 s)`, `triangular(40 s, 50 s, 70 s)`, `discrete(40 s: 30 %, 60 s: 70 %)`,
`empirical([41 s, 44 s, 44 s])`, `poisson(36/h)` (exponential time between arrivals), `constant(50 s)` or `50 s`.
Arguments go by place or by name.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from itertools import pairwise

from sim.plant import Dist
from sim.units import QuantityError, Scale, number, probability, suggestion, whole

_CALL = re.compile(r"^([A-Za-z_]\w*)\s*\((.*)\)$", re.DOTALL)
_NAMES: dict[str, tuple[str, ...]] = {
    "constant": ("value",),
    "exponential": ("mean",),
    "erlang": ("mean", "k"),
    "gamma": ("mean", "cv"),
    "lognormal": ("mean", "cv"),
    "weibull": ("scale", "shape"),
    "normal": ("mean", "sd"),
    "uniform": ("low", "high"),
    "triangular": ("low", "mode", "high"),
    "poisson": ("rate",),
}
_PURE = {"cv", "shape"}
PARAMETERS = _NAMES
"""Names of the arguments of each kind that has some, in their order."""
KINDS = (*_NAMES, "discrete", "empirical")
"""Every name a distribution expression may start with."""
_SUM_TOLERANCE = 1e-9
_CV_RANGES = {"gamma": (0.01, 20.0), "lognormal": (0.01, 4.0)}
_SHAPE_RANGE = (0.3, 100.0)
_MOST_STAGES = 10_000


def parse(text: str, scale: Scale) -> Dist:
    """The distribution an expression describes, times in ticks. Raises `QuantityError`."""
    stripped = text.strip()
    call = _CALL.match(stripped)
    if call is None:
        if stripped[:1].isalpha():
            word = stripped.split("(")[0].strip()
            raise QuantityError("a distribution or a duration", stripped, _call_hint(word))
        return Dist("constant", (scale.duration(stripped),))
    kind, inner = call.group(1), call.group(2)
    if kind == "discrete":
        return _discrete(_split(inner), stripped, scale)
    if kind == "empirical":
        return _empirical(_split(inner.strip().removeprefix("[").removesuffix("]")), stripped, scale)
    if kind not in _NAMES:
        raise QuantityError("a distribution", stripped, f"'{kind}' is unknown; {suggestion(kind, KINDS)}")
    values = _arguments(kind, _split(inner), stripped, scale)
    _check(kind, values, stripped)
    if kind == "poisson":
        return Dist("exponential", values)
    return Dist(kind, values)


def _call_hint(word: str) -> str:
    if word in KINDS:
        return f"write the arguments of {word} in parentheses, closed on the same line"
    return suggestion(word, KINDS)


def _split(inner: str) -> list[str]:
    return [part.strip() for part in inner.split(",")] if inner.strip() else []


def _arguments(kind: str, parts: list[str], text: str, scale: Scale) -> tuple[float, ...]:
    names = _NAMES[kind]
    usage = f"{kind}({', '.join(names)})"
    given: dict[str, str] = {}
    for place, part in enumerate(parts):
        key, equals, value = part.partition("=")
        if equals:
            name, value = key.strip(), value.strip()
        else:
            name, value = names[place] if place < len(names) else "", part
        if name not in names or name in given:
            raise QuantityError(usage, text, "give each argument once, by place or by name")
        given[name] = value
    missing = [name for name in names if name not in given]
    if missing:
        raise QuantityError(usage, text, "add " + " and ".join(missing))
    return tuple(_argument(name, given[name], scale) for name in names)


def _argument(name: str, text: str, scale: Scale) -> float:
    if name == "rate":
        return scale.mean_between(text)
    if name == "k":
        return float(whole(text, 1, "a whole number k"))
    if name in _PURE:
        return number(text, f"a number {name}")
    return scale.duration(text)


def _check(kind: str, values: tuple[float, ...], text: str) -> None:
    """Refuse parameters for which the distribution does not exist or degenerates."""
    if kind in ("uniform", "triangular"):
        if any(b < a for a, b in pairwise(values)) or values[0] == values[-1]:
            raise QuantityError(f"{kind} with rising bounds", text, "order them, or write a constant")
        return
    if kind == "constant":
        return
    if kind == "normal":
        if values[1] <= 0:
            raise QuantityError("normal with an sd above 0", text, "write a constant instead")
        return
    if values[0] <= 0:
        raise QuantityError(f"{kind} with a time above 0", text, "correct the number")
    if kind in _CV_RANGES and not _CV_RANGES[kind][0] <= values[1] <= _CV_RANGES[kind][1]:
        low, high = _CV_RANGES[kind]
        raise QuantityError(f"{kind} with cv between {low} and {high}", text, "correct cv")
    if kind == "weibull" and not _SHAPE_RANGE[0] <= values[1] <= _SHAPE_RANGE[1]:
        raise QuantityError(f"weibull with shape between {_SHAPE_RANGE[0]} and {_SHAPE_RANGE[1]}", text, "correct it")
    if kind == "erlang" and values[1] > _MOST_STAGES:
        raise QuantityError(f"erlang with k up to {_MOST_STAGES}", text, "write a constant instead")


def _discrete(parts: list[str], text: str, scale: Scale) -> Dist:
    usage = "discrete(40 s: 30 %, 60 s: 70 %)"
    if parts and ":" not in parts[0]:
        if len(parts) % 2:
            raise QuantityError(usage, text, "give a probability for each value")
        pairs = list(zip(parts[::2], parts[1::2], strict=True))
    else:
        if any(part.count(":") != 1 for part in parts):
            raise QuantityError(usage, text, "write 'value: probability', separated by commas")
        pairs = [(part.split(":")[0], part.split(":")[1]) for part in parts]
    if not pairs:
        raise QuantityError(usage, text, "list at least one value")
    weights = [probability(p) for _, p in pairs]
    total = float(sum(weights))
    if abs(total - 1) > _SUM_TOLERANCE:
        raise QuantityError("probabilities that sum to 100 %", text, f"they sum to {total * 100:g} %")
    return discrete([scale.duration(v) for v, _ in pairs], [float(w) for w in weights])


def discrete(values: Sequence[float], weights: Sequence[float]) -> Dist:
    """A discrete distribution from values (ticks) and weights of any positive sum; values need not be sorted."""
    total = math.fsum(weights)
    merged: dict[float, float] = {}
    for value, weight in sorted(zip(values, weights, strict=True)):
        if weight > 0:
            merged[value] = merged.get(value, 0.0) + weight / total
    return Dist("discrete", tuple(x for pair in merged.items() for x in pair))


def _empirical(parts: list[str], text: str, scale: Scale) -> Dist:
    if not parts:
        raise QuantityError("empirical([41 s, 44 s, ...])", text, "list at least one value")
    return Dist("empirical", tuple(sorted(scale.duration(part) for part in parts)))


def _normal_mean(mean: float, sd: float) -> float:
    z = mean / sd
    tail = 0.5 * math.erfc(-z / math.sqrt(2))
    return mean + sd * math.exp(-z * z / 2) / math.sqrt(2 * math.pi) / tail


_MEANS: dict[str, Callable[[tuple[float, ...]], float]] = {
    "weibull": lambda a: a[0] * math.gamma(1 + 1 / a[1]),
    "normal": lambda a: _normal_mean(a[0], a[1]),
    "uniform": lambda a: (a[0] + a[1]) / 2,
    "triangular": lambda a: math.fsum(a) / 3,
    "discrete": lambda a: math.fsum(v * p for v, p in zip(a[::2], a[1::2], strict=True)),
    "empirical": lambda a: math.fsum(a) / len(a),
}


def mean(dist: Dist) -> float:
    """Exact mean in ticks (of the truncated distribution where it is truncated)."""
    if dist.kind in _MEANS:
        return _MEANS[dist.kind](dist.args)
    return dist.args[0]


def _normal_variance(mean: float, sd: float) -> float:
    z = mean / sd
    ratio = math.exp(-z * z / 2) / math.sqrt(2 * math.pi) / (0.5 * math.erfc(-z / math.sqrt(2)))
    return sd * sd * (1 - z * ratio - ratio * ratio)


def _triangular_variance(a: tuple[float, ...]) -> float:
    low, mode, high = a
    return ((high - low) ** 2 - (mode - low) * (high - mode)) / 18


def _weibull_variance(scale: float, shape: float) -> float:
    return scale * scale * (math.gamma(1 + 2 / shape) - math.gamma(1 + 1 / shape) ** 2)


_VARIANCES: dict[str, Callable[[tuple[float, ...]], float]] = {
    "constant": lambda a: 0.0,
    "exponential": lambda a: a[0] ** 2,
    "erlang": lambda a: a[0] ** 2 / a[1],
    "gamma": lambda a: (a[0] * a[1]) ** 2,
    "lognormal": lambda a: (a[0] * a[1]) ** 2,
    "weibull": lambda a: _weibull_variance(a[0], a[1]),
    "normal": lambda a: _normal_variance(a[0], a[1]),
    "uniform": lambda a: (a[1] - a[0]) ** 2 / 12,
    "triangular": _triangular_variance,
}


def variance(dist: Dist) -> float:
    """Exact variance in ticks^2 (of the truncated distribution where it is truncated)."""
    if dist.kind in _VARIANCES:
        return _VARIANCES[dist.kind](dist.args)
    centre = mean(dist)
    if dist.kind == "empirical":
        return math.fsum((v - centre) ** 2 for v in dist.args) / len(dist.args)
    return math.fsum(p * (v - centre) ** 2 for v, p in zip(dist.args[::2], dist.args[1::2], strict=True))
