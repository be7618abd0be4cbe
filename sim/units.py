"""Quantities with their units: `45 s`, `30/h`, `42 EUR`, `0.2 EUR/h`, `8 %`, and expressions of distributions.

Everything a plant file measures carries its unit, because a bare number is the commonest way to be wrong
by a factor of 60. `Scale` knows the tick and the currency and turns texts into base units: times in ticks,
money in the currency, money rates in money per tick, probabilities as fractions of one.

A text that cannot be understood raises `QuantityError`, which keeps apart what was expected, what was found
and what to do, so that the reader of a file can put the place in front.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction

from sim.plant import Dist

TIME_UNITS: dict[str, Fraction] = {
    "us": Fraction(1, 1_000_000),
    "ms": Fraction(1, 1000),
    "s": Fraction(1),
    "min": Fraction(60),
    "h": Fraction(3600),
    "d": Fraction(86_400),
    "w": Fraction(604_800),
}
"""Seconds in each unit of time a file may use."""

POWER_UNITS: dict[str, Fraction] = {"W": Fraction(1), "kW": Fraction(1000), "MW": Fraction(1_000_000)}
"""Watts in each unit of power a file may use."""
ENERGY_UNITS: dict[str, Fraction] = {"Wh": Fraction(1), "kWh": Fraction(1000), "MWh": Fraction(1_000_000)}
"""Watt-hours in each unit of energy a file may use."""
MASS_UNITS: dict[str, Fraction] = {"g": Fraction(1, 1000), "kg": Fraction(1), "t": Fraction(1000)}
"""Kilograms in each unit of mass a file may use."""
_SLIPS = {
    "sec": "s",
    "secs": "s",
    "second": "s",
    "seconds": "s",
    "m": "min",
    "mins": "min",
    "minute": "min",
    "minutes": "min",
    "hr": "h",
    "hrs": "h",
    "hour": "h",
    "hours": "h",
    "day": "d",
    "days": "d",
    "week": "w",
    "weeks": "w",
}
_NUMBER = re.compile(r"[+-]?(?:\d{1,30}(?:\.\d{0,30})?|\.\d{1,30})(?:[eE][+-]?\d{1,2})?")
_MAX_TICKS = Fraction(2**55)


class QuantityError(ValueError):
    """A text that is no such quantity. `expected`, `found` and `todo` are the three parts of the message."""

    def __init__(self, expected: str, found: str, todo: str) -> None:
        self.expected = expected
        self.found = found
        self.todo = todo
        super().__init__(f"expected {expected}, found {found!r}; {todo}")


def suggestion(word: str, known: Iterable[str]) -> str:
    """'did you mean X?' for the nearest of `known`, else the list of them, to end an error message with."""
    names = sorted(known)
    near = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    if near:
        return f"did you mean '{near[0]}'?"
    return "use one of: " + ", ".join(names) if names else "there is none to choose from"


def split_number(text: str, expected: str) -> tuple[Fraction, str]:
    """The exact number a text starts with, and the rest of it (its unit, stripped)."""
    stripped = text.strip()
    match = _NUMBER.match(stripped)
    if match is None:
        raise QuantityError(expected, stripped, "start with a number")
    return Fraction(match.group()), stripped[match.end() :].strip()


def number(text: str, expected: str = "a number") -> float:
    """A bare number (dimensionless)."""
    value, unit = split_number(text, expected)
    if unit:
        hint = f"write {value / 100:g}" if unit == "%" else "leave the unit out"
        raise QuantityError(expected, text.strip(), f"this is a pure number: {hint}")
    return float(value)


def whole(text: str, low: int, expected: str = "a whole number") -> int:
    """A bare whole number of `low` or more."""
    expected = f"{expected} of {low} or more"
    value, unit = split_number(text, expected)
    if unit or value.denominator != 1 or value < low or abs(value) > 10**15:
        raise QuantityError(expected, text.strip(), "write digits only, without a unit")
    return int(value)


def probability(text: str) -> Fraction:
    """`8 %` or `0.08` as an exact fraction in 0..1."""
    value, unit = split_number(text, "a probability such as '8 %'")
    if unit == "%":
        value /= 100
    elif unit:
        raise QuantityError("a probability such as '8 %'", text.strip(), "use % or a number between 0 and 1")
    if not 0 <= value <= 1:
        raise QuantityError("a probability between 0 % and 100 %", text.strip(), "correct the number")
    return value


def _time_unit(unit: str, expected: str, found: str) -> Fraction:
    if unit in TIME_UNITS:
        return TIME_UNITS[unit]
    if not unit:
        raise QuantityError(expected, found, "write the unit: one of " + ", ".join(TIME_UNITS))
    if unit in POWER_UNITS or unit in ENERGY_UNITS:
        raise QuantityError(expected, found, f"'{unit}' measures power or energy; write a time")
    hint = f"did you mean '{_SLIPS[unit]}'?" if unit in _SLIPS else suggestion(unit, TIME_UNITS)
    raise QuantityError(expected, found, f"'{unit}' is no unit of time; {hint}")


def seconds(text: str) -> Fraction:
    """A duration in seconds, exactly."""
    expected = "a duration such as '45 s'"
    value, unit = split_number(text, expected)
    factor = _time_unit(unit, expected, text.strip())
    if value < 0:
        raise QuantityError("a duration of 0 or more", text.strip(), "times are never negative")
    return value * factor


def per_second(text: str) -> Fraction:
    """A rate such as `30/h`, per second, exactly."""
    expected = "a rate such as '30/h'"
    value, unit = split_number(text, expected)
    if not unit.startswith("/"):
        raise QuantityError(expected, text.strip(), "write '/' and a unit of time after the number")
    factor = _time_unit(unit[1:].strip(), expected, text.strip())
    if value <= 0:
        raise QuantityError("a rate above 0", text.strip(), "correct the number")
    return value / factor


def _measure(text: str, expected: str, units: Mapping[str, Fraction]) -> Fraction:
    """A number of 0 or more with one of some units, in the base unit."""
    value, unit = split_number(text, expected)
    if unit not in units:
        raise QuantityError(expected, text.strip(), "write the unit: one of " + ", ".join(units))
    if value < 0:
        raise QuantityError(expected, text.strip(), "it is never negative")
    return value * units[unit]


def watts(text: str) -> int:
    """A power such as `12 kW` in whole watts."""
    return round(_measure(text, "a power such as '12 kW'", POWER_UNITS))


def watt_hours(text: str) -> float:
    """An energy such as `0.4 kWh` in watt-hours."""
    return float(_measure(text, "an energy such as '0.4 kWh'", ENERGY_UNITS))


def kilograms_per_kwh(text: str) -> float:
    """A CO2 factor such as `0.38 kg/kWh` in kilograms per kWh."""
    expected = "a CO2 factor such as '0.38 kg/kWh'"
    amount, slash, per = text.partition("/")
    if not slash or per.strip() not in ENERGY_UNITS:
        raise QuantityError(expected, text.strip(), "write '/kWh' after the mass")
    return float(_measure(amount, expected, MASS_UNITS) / (ENERGY_UNITS[per.strip()] / 1000))


def factor(text: str) -> float:
    """A factor of 0 or more: `0.9` or `90 %`."""
    expected = "a factor such as '0.9' or '90 %'"
    value, unit = split_number(text, expected)
    if unit not in ("", "%"):
        raise QuantityError(expected, text.strip(), "use % or a bare number")
    if value < 0:
        raise QuantityError(expected, text.strip(), "it is never negative")
    return float(value / 100 if unit else value)


@dataclass(frozen=True, slots=True)
class Scale:
    """Base units of one plant: the length of a tick in seconds (exact) and the name of the currency."""

    tick_s: Fraction
    currency: str = "EUR"

    def duration(self, text: str) -> float:
        """A duration in ticks, not rounded (a parameter of a distribution)."""
        return float(self._ticks(text))

    def ticks(self, text: str) -> int:
        """A duration in whole ticks; a positive one shorter than half a tick is refused."""
        exact = self._ticks(text)
        rounded = round(exact)
        if rounded == 0 and exact > 0:
            raise QuantityError("a duration of at least a tick", text.strip(), f"a tick is {float(self.tick_s)} s")
        return rounded

    def _ticks(self, text: str) -> Fraction:
        exact = seconds(text) / self.tick_s
        if exact > _MAX_TICKS:
            raise QuantityError("a duration the clock can hold", text.strip(), "use a longer tick")
        return exact

    def mean_between(self, text: str) -> float:
        """A rate as the mean time between two, in ticks."""
        mean = 1 / per_second(text) / self.tick_s
        if mean > _MAX_TICKS:
            raise QuantityError("a rate the clock can hold", text.strip(), "use a longer tick")
        return float(mean)

    def money(self, text: str) -> float:
        """An amount of money of 0 or more in the plant's currency."""
        value, unit = self._amount(text, f"an amount such as '42 {self.currency}'")
        if unit:
            raise QuantityError(f"an amount such as '42 {self.currency}'", text.strip(), "leave the '/' part out")
        return float(value)

    def money_rate(self, text: str) -> float:
        """Money per tick, from `0.2 EUR/h`."""
        expected = f"money per time such as '0.2 {self.currency}/h'"
        value, unit = self._amount(text, expected)
        if not unit:
            raise QuantityError(expected, text.strip(), "write '/' and a unit of time after the currency")
        return float(value / _time_unit(unit, expected, text.strip()) * self.tick_s)

    def money_per_kwh(self, text: str) -> float:
        """Money per kWh, from `0.31 EUR/kWh`."""
        expected = f"a price such as '0.31 {self.currency}/kWh'"
        value, unit = self._amount(text, expected)
        if unit not in ENERGY_UNITS:
            raise QuantityError(expected, text.strip(), "write '/kWh' after the currency")
        return float(value / (ENERGY_UNITS[unit] / 1000))

    def _amount(self, text: str, expected: str) -> tuple[Fraction, str]:
        value, unit = split_number(text, expected)
        name, _, per = unit.partition("/")
        if name.strip() != self.currency:
            todo = f"write the currency '{self.currency}' after the number"
            if name.strip():
                todo += " (or set 'currency:' at the top of the file)"
            raise QuantityError(expected, text.strip(), todo)
        if value < 0:
            raise QuantityError("an amount of 0 or more", text.strip(), "costs and revenues are written positive")
        if "/" in unit and not per.strip():
            raise QuantityError(expected, text.strip(), "write a unit of time after '/'")
        return value, per.strip()

    def dist(self, text: str) -> Dist:
        """A distribution of a duration; see `sim.distributions`."""
        from sim.distributions import parse  # it needs Scale: a cycle otherwise

        return parse(text, self)
