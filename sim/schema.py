"""How a plant file is declared: kinds of values, keys with default and meaning, sections.

The readers take every value through `Reader`, which knows only declared keys, and the reference in docs/plant-file.md
is written from the same declarations (`sim.sections`): neither can say what the other does not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sim import distributions
from sim.calendars import parse as parse_hours
from sim.plant import UNLIMITED, Dist
from sim.plantdraft import Draft, identifier
from sim.quantities import read_quantity
from sim.units import (
    QuantityError,
    factor,
    kilograms_per_kwh,
    number,
    probability,
    watt_hours,
    watts,
    whole,
)
from sim.yamlfile import Fields, Item, WrongKindError, one_of

ONE = Dist("constant", (1.0,))
"""Stands in for a distribution that could not be read."""


@dataclass(frozen=True)
class Kind:
    """A kind of value: what the reference says about it, and how an item of it is read.

    `read` raises `QuantityError` or `WrongKindError`.
    """

    says: str
    read: Callable[[Draft, Item], Any]


@dataclass(frozen=True)
class Key:
    """One key of a section. With an `example` it is required, and `default` only stands in after an error.

    `shown`: the default in words, where its value says too little.
    """

    name: str
    kind: Kind
    meaning: str
    default: Any = None
    shown: str = ""
    example: str = ""


@dataclass(frozen=True)
class Section:
    """A mapping of the plant file. `later`: features that are refused by name until they exist. `instead`: keys that
    other tools have, with what to write here.
    """

    path: str
    intro: str
    keys: tuple[Key, ...]
    later: Mapping[str, str] = field(default_factory=dict)
    instead: Mapping[str, str] = field(default_factory=dict)

    @property
    def by_name(self) -> dict[str, Key]:
        return {key.name: key for key in self.keys}


PERSONAL = dict.fromkeys(
    (
        *("person", "persons", "people", "staff", "worker", "workers", "employee", "employees", "badge", "badges"),
        *("names", "operator_name", "operator_id", "personnel", "email", "phone", "shift_leader", "salary", "wage"),
    ),
    "people are pool sizes (operators: {POOL: {size: 3}}), never persons: take it out",
)
"""Keys that would bring personal data into a plant file."""


class Reader(Fields):
    """The values of one mapping, by the declaration of its section: `reader["units"]`."""

    def __init__(self, draft: Draft, item: Item, section: Section) -> None:
        self.draft = draft
        self.keys = section.by_name
        refused = {name: why for name, why in PERSONAL.items() if name not in self.keys}
        super().__init__(item, self.keys, section.later, refused | dict(section.instead))

    def __getitem__(self, name: str) -> Any:
        key = self.keys[name]
        if not self.has(name):
            if key.example:
                self.need(name, str, "", key.example)
            return key.default
        return self.read(self.entries[name], key.kind, key.default)

    def read(self, entry: Item, kind: Kind, default: Any) -> Any:
        """An item of a kind; `default`, and a problem, when it is none."""
        return read_item(self.draft, entry, kind, default)

    def block(self, name: str, section: Section) -> Reader | None:
        """The mapping under a key, None when it is absent (a problem where it is required)."""
        if not self.has(name):
            if self.keys[name].example:
                self.need(name, str, "", self.keys[name].example)
            return None
        return Reader(self.draft, self.entries[name], section)

    def forbid(self, names: tuple[str, ...], where: str, todo: str) -> None:
        """Problems for keys that have no meaning here."""
        for name in names:
            if self.has(name):
                self.entries[name].fail(f"no '{name}' {where}", todo)


def read_item(draft: Draft, entry: Item, kind: Kind, default: Any) -> Any:
    """An item of a kind; `default`, and a problem recorded, when it is none."""
    try:
        return kind.read(draft, entry)
    except QuantityError as err:
        entry.fail(err.expected, err.todo, f"'{err.found[:80]}'")
    except WrongKindError as err:
        entry.problems.error(entry.line, str(err))
    return default


def read_dist(draft: Draft, item: Item) -> Dist:
    """A distribution: an expression, or a table `{empirical: [..], unit: min}` (with `counts:`) of observations."""
    if not item.is_mapping:
        return draft.scale.dist(item.text())
    f = Fields(item, ("empirical", "counts", "unit"))
    unit = f.need("unit", lambda text: draft.scale.duration(f"1 {text}"), 1.0, "min")
    values = [_observation(e.text()) * unit for e in f.sequence("empirical")]
    counts = [whole(e.text(), 1, "a count") for e in f.sequence("counts")]
    if not values or (counts and len(counts) != len(values)):
        form = "{empirical: [..], unit: ..} with as many counts as values (or none)"
        raise QuantityError(form, "a mapping", "list the values")
    if counts:
        return distributions.discrete(values, counts)
    return Dist("empirical", tuple(sorted(values)))


def _observation(text: str) -> float:
    value = number(text, "an observed time")
    if value < 0:
        raise QuantityError("an observed time of 0 or more", text, "take it out")
    return value


def _positive(draft: Draft, item: Item) -> Dist:
    dist = read_dist(draft, item)
    if distributions.mean(dist) <= 0:
        todo = "a clock that never advances would stop the simulation"
        raise QuantityError("a distribution with a mean above 0", item.shown().strip("'"), todo)
    return dist


def _never_or(draft: Draft, item: Item) -> Dist | None:
    if not item.is_mapping and item.text() == "never":
        return None
    return _positive(draft, item)


def is_dist(item: Item) -> bool:
    """Whether an item is one distribution rather than a mapping of several things."""
    return not item.is_mapping or "empirical" in item.entries()


def _text(read: Callable[[str], Any]) -> Callable[[Draft, Item], Any]:
    return lambda _draft, item: read(item.text())


def whole_of(low: int, high: int | None = None) -> Kind:
    """Whole numbers from `low` on, or in `low..high`."""

    def read(text: str) -> int:
        value = whole(text, low)
        if high is not None and value > high:
            raise QuantityError(f"a whole number in {low}..{high}", text, "correct it")
        return value

    if high is None and low < 0:
        return Kind("whole number, also below 0", _text(read))
    return Kind(f"whole number of {low} or more" if high is None else f"whole number {low}..{high}", _text(read))


def word(*choices: str, later: Mapping[str, str] | None = None) -> Kind:
    """One of some words."""
    return Kind(" or ".join(f"`{choice}`" for choice in choices), _text(one_of(*choices, later=later)))


def words(item: Item) -> list[str]:
    """The texts of a list, or of one text alone."""
    return [e.text() for e in item.elements()] if item.is_list else [item.text()]


def _yes(text: str) -> bool:
    if text in ("yes", "true"):
        return True
    if text in ("no", "false"):
        return False
    raise QuantityError("yes or no", text, "write one of the two")


def _ids(_draft: Draft, item: Item) -> tuple[str, ...]:
    return tuple(identifier(text) for text in words(item))


def _shares(_draft: Draft, item: Item) -> tuple[tuple[str, int], ...]:
    return tuple((identifier(k), whole(v.text(), 1)) for k, v in item.entries().items())


def _hours(_draft: Draft, item: Item) -> tuple[tuple[int, int, int], ...]:
    return parse_hours(", ".join(words(item)))


def _duration_above(draft: Draft, item: Item) -> int:
    ticks = draft.scale.ticks(item.text())
    if ticks == 0:
        raise QuantityError("a time above 0", item.text(), "leave it out where nothing is to wait")
    return ticks


def _capacity(text: str) -> int:
    return UNLIMITED if text == "unlimited" else whole(text, 0, "'unlimited' or a whole number of places")


def _rate_ticks(draft: Draft, item: Item) -> int:
    exact = draft.scale.mean_between(item.text())
    if exact < 0.5:
        raise QuantityError("a rate of at most one a tick", item.text(), "leave it out: it never binds")
    if abs(round(exact) - exact) > 0.01 * exact:
        expected = "a rate whose time for a unit is known to 1 % in whole ticks"
        raise QuantityError(expected, item.text(), f"set a 'tick:' below {float(draft.scale.tick_s):g} s")
    return round(exact)


ID = Kind("id", _text(identifier))
IDS = Kind("id or list of ids", _ids)
TEXT = Kind("text", _text(str))
INTEGER = whole_of(-1000, 1000)
FACTOR = Kind("factor", _text(factor))
PERCENT = Kind("probability", _text(lambda t: float(probability(t))))
YES_NO = Kind("`yes` or `no`", _text(_yes))
DURATION = Kind("time", lambda draft, item: draft.scale.ticks(item.text()))
PERIOD = Kind("time above 0", _duration_above)
DIST = Kind("distribution", read_dist)
POSITIVE = Kind("distribution, mean above 0", _positive)
NEVER = Kind("distribution or `never`", _never_or)
MONEY = Kind("money", lambda draft, item: draft.scale.money(item.text()))
MONEY_RATE = Kind("money / time", lambda draft, item: draft.scale.money_rate(item.text()))
PRICE_KWH = Kind("money / kWh", lambda draft, item: draft.scale.money_per_kwh(item.text()))
POWER = Kind("power", _text(watts))
ENERGY = Kind("energy", _text(watt_hours))
CO2 = Kind("mass / kWh", _text(kilograms_per_kwh))
QUANTITY = Kind("quantity", lambda _draft, item: read_quantity(item, 1))
QUANTITY_0 = Kind("quantity", lambda _draft, item: read_quantity(item, 0))
RATE = Kind("rate", _rate_ticks)
PLACES = Kind("whole number or `unlimited`", _text(_capacity))
SHARES = Kind("mapping id: whole number", _shares)
HOURS = Kind("opening hours", _hours)


def inner(says: str) -> Kind:
    """A mapping or list that has a section or a form of its own; it reaches the reader as it is."""
    return Kind(says, lambda _draft, item: item)


def default_shown(key: Key) -> str:
    """The default of a key in the reference."""
    if key.example:
        return "required"
    if key.shown:
        return key.shown
    if key.default is None:
        return "none"
    if isinstance(key.default, bool):
        return "`yes`" if key.default else "`no`"
    if isinstance(key.default, float):
        return f"`{key.default:g}`"
    return f"`{key.default}`" if str(key.default) else "none"
