"""What an experiment varies: factors, each a path of the plant file with the values it takes.

`4,6,8` lists values; `2..8 step 2` and `40 s..80 s in 5` are evenly spaced lists; `40 s..80 s` is a range (its two ends
where a design needs a list, anything between for a Latin hypercube); `+-10 %` is the file's own value less and more.
Numbers are exact fractions until they are written, so a level reads the same on every machine.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from sim.units import QuantityError, split_number

_RANGE = re.compile(r"^(?P<low>.+?)\.\.(?P<high>.+?)(?:\s+step\s+(?P<step>.+?)|\s+in\s+(?P<count>\d+))?$")
_RELATIVE = re.compile(r"^(?:\+-|\+/-|±)\s*(?P<share>.+)$")
_FORMS = "values such as '4,6,8', '2..8 step 2', '40 s..80 s' or '+-10 %'"
MOST_LEVELS = 1000


@dataclass(frozen=True, slots=True)
class Factor:
    """One thing that varies: `path` in the plant file, `levels` as they would be written there.

    `low`, `high` are the ends of a range that takes anything between, in `unit`; `whole` when only whole numbers do.
    """

    path: str
    levels: tuple[str, ...]
    low: Fraction | None = None
    high: Fraction | None = None
    unit: str = ""
    whole: bool = False

    def between(self, share: float) -> str:
        """The value at `share` (0 <= share < 1) of the range; of a list, the level at that share of it."""
        if self.low is None or self.high is None:
            return self.levels[int(share * len(self.levels))]
        if self.whole:
            places = int(self.high - self.low) + 1
            return shown(self.low + int(share * places), self.unit)
        return shown(self.low + Fraction(f"{share:.9f}") * (self.high - self.low), self.unit)

    def number(self, text: str) -> float | None:
        """The level as a number in the unit of the first level; None for words and whole distributions."""
        try:
            value, unit = split_number(text, "")
            _, first = split_number(self.levels[0], "")
        except QuantityError:
            return None
        factor = _ratio(unit, first)
        return None if factor is None else float(value * factor)

    @property
    def numeric(self) -> bool:
        return all(self.number(level) is not None for level in self.levels)


def parse(path: str, text: str, current: str | None) -> Factor:
    """The factor that `path=text` describes; `current` is what the plant file says there (None: nothing).

    Raises `QuantityError` for a text that is none of the forms.
    """
    text = text.strip()
    relative = _RELATIVE.match(text)
    if relative:
        return _around(path, relative["share"], current)
    match = _RANGE.match(text) if "(" not in text else None
    if match:
        return _spaced(path, match)
    levels = tuple(part.strip() for part in re.split(r",(?![^()]*\))", text))
    if not all(levels):
        raise QuantityError(_FORMS, text, f"{path}: take the empty value out")
    if len(set(levels)) < len(levels):
        raise QuantityError("each value once", text, f"{path}: take the repeated value out")
    return Factor(path, levels)


def shown(value: Fraction, unit: str) -> str:
    """A number as a plant file writes it: whole, or decimal to twelve digits."""
    digits = str(value.numerator) if value.denominator == 1 else f"{float(value):.12g}"
    return f"{digits}{unit}" if unit.startswith("/") else f"{digits} {unit}".strip()


def _spaced(path: str, match: re.Match[str]) -> Factor:
    """A range, or the list of a range with `step` or `in`."""
    high, unit = split_number(match["high"], _FORMS)
    low, low_unit = split_number(match["low"], _FORMS)
    if low_unit and low_unit != unit:
        factor = _ratio(low_unit, unit)
        if factor is None:
            raise QuantityError("both ends in one unit", match.group(), f"{path}: write the same unit twice")
        low *= factor
    if not low < high:
        raise QuantityError("a range that rises", match.group(), f"{path}: exchange its ends")
    if match["step"] is None and match["count"] is None:
        whole = not unit and low.denominator == high.denominator == 1 and "." not in match["low"] + match["high"]
        return Factor(path, (shown(low, unit), shown(high, unit)), low, high, unit, whole)
    if match["count"] is not None:
        count = int(match["count"])
        if not 2 <= count <= MOST_LEVELS:
            raise QuantityError(f"2 to {MOST_LEVELS} values", match.group(), f"{path}: correct the number after 'in'")
        step = (high - low) / (count - 1)
    else:
        step, step_unit = split_number(match["step"], _FORMS)
        step *= (_ratio(step_unit, unit) if step_unit else 1) or 0
        if step <= 0 or (high - low) / step > MOST_LEVELS:
            raise QuantityError("a step above 0 in the unit of the range", match.group(), f"{path}: correct the step")
        count = int((high - low) / step) + 1
    return Factor(path, tuple(shown(low + i * step, unit) for i in range(count)))


def _around(path: str, share_text: str, current: str | None) -> Factor:
    """The file's value less and more a share of it; a whole number moves by at least one."""
    share, unit = split_number(share_text, _FORMS)
    share = share / 100 if unit == "%" else share
    if unit not in ("", "%") or not 0 < share < 1:
        raise QuantityError("a share between 0 % and 100 %", share_text, f"{path}: write for example '+-10 %'")
    if current is None:
        raise QuantityError("a value in the plant file to move", "none", f"{path}: list the values instead")
    value, unit = split_number(current, f"a number at {path} to move by a share of it")
    whole = value.denominator == 1 and not unit and "." not in current
    move = max(Fraction(1), Fraction(round(value * share))) if whole else value * share
    if value <= 0:
        raise QuantityError("a number above 0 to move by a share of it", current, f"{path}: list the values instead")
    return Factor(path, (shown(value - move, unit), shown(value + move, unit)), value - move, value + move, unit, whole)


def _ratio(unit: str, other: str) -> Fraction | None:
    """How many of `other` are one `unit`; None when they measure different things."""
    from sim.units import TIME_UNITS

    if unit == other:
        return Fraction(1)
    if unit in TIME_UNITS and other in TIME_UNITS:
        return TIME_UNITS[unit] / TIME_UNITS[other]
    if unit[:1] == other[:1] == "/" and unit[1:] in TIME_UNITS and other[1:] in TIME_UNITS:
        return TIME_UNITS[other[1:]] / TIME_UNITS[unit[1:]]
    if {unit, other} == {"", "%"}:
        return Fraction(100) if unit == "" else Fraction(1, 100)
    return None
