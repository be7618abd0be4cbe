"""Random whole numbers of the plant file: `3`, `{1: 60 %, 2: 40 %}`, `poisson(5)`, `geometric(2.5)`.

They reach the kernel as cumulative thresholds of 32 bits, so tails below 2^-32 are cut off and the rest is scaled up.
"""

from __future__ import annotations

import math
import re
from fractions import Fraction

from sim.plant import Quantity
from sim.units import QuantityError, number, probability, suggestion, whole
from sim.yamlfile import Item

_CALL = re.compile(r"^([A-Za-z_]\w*)\s*\((.*)\)$")
_TAIL = 2.0**-32
_MOST_MEAN = 10_000.0
_FORM = "a whole number, {1: 60 %, 2: 40 %}, poisson(5) or geometric(2.5)"
_SUM_TOLERANCE = Fraction(1, 10**9)


def read_quantity(item: Item, low: int = 1) -> Quantity:
    """(value, probability) pairs of an item; values of `low` or more. Raises `QuantityError`, `WrongKindError`."""
    if item.is_mapping:
        return _table(item, low)
    text = item.text()
    call = _CALL.match(text)
    if call is None:
        return ((whole(text, low, "a whole number"), 1.0),)
    kind, inner = call.group(1), call.group(2).split("=")[-1].strip()
    if kind not in ("poisson", "geometric"):
        raise QuantityError(_FORM, text, suggestion(kind, ("poisson", "geometric")))
    mean = number(inner, f"a mean such as {kind}(5)")
    least = 1.0 if kind == "geometric" else 0.0
    if not least < mean <= _MOST_MEAN:
        raise QuantityError(f"{kind} with a mean above {least:g}, at most {_MOST_MEAN:g}", text, "correct the mean")
    return _cut(geometric(mean) if kind == "geometric" else poisson(mean), low)


def poisson(mean: float) -> Quantity:
    """Poisson(mean), values 0, 1, ...; both tails below 2^-32 cut off."""
    first, last = max(0, int(mean - 8 * math.sqrt(mean) - 10)), int(mean + 9 * math.sqrt(mean) + 20)
    return tuple((n, math.exp(n * math.log(mean) - mean - math.lgamma(n + 1))) for n in range(first, last + 1))


def geometric(mean: float) -> Quantity:
    """Geometric on 1, 2, ... with that mean: P(n) = (1 - 1/mean)^(n-1) / mean."""
    success = 1.0 / mean
    last = max(1, math.ceil(math.log(_TAIL) / math.log1p(-success)))
    return tuple((n, success * (1 - success) ** (n - 1)) for n in range(1, last + 1))


def mean(quantity: Quantity) -> float:
    return math.fsum(n * p for n, p in quantity)


def _cut(pairs: Quantity, low: int) -> Quantity:
    """The pairs without what is below `low` or in a tail of less than 2^-32, probabilities adding up to one."""
    kept: list[tuple[int, float]] = []
    below = 0.0
    for n, p in pairs:
        below += p
        if n >= low and below > _TAIL and (p > 0 and (1.0 - below > -_TAIL)):
            kept.append((n, p))
        if 1.0 - below < _TAIL:
            break
    total = math.fsum(p for _, p in kept)
    return tuple((n, p / total) for n, p in kept)


def _table(item: Item, low: int) -> Quantity:
    shares: dict[int, Fraction] = {}
    for name, entry in item.entries().items():
        shares[whole(name, low, "a quantity")] = probability(entry.text())
    total = sum(shares.values(), Fraction(0))
    if abs(total - 1) > _SUM_TOLERANCE:
        found = f"{float(total) * 100:g} %"
        raise QuantityError("probabilities that sum to 100 %", found, "correct them")
    return tuple((n, float(p)) for n, p in sorted(shares.items()) if p > 0)
