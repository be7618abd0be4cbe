"""Reading a plant as one of the small exact kinds: what fits is taken, anything else is named and refused."""

from __future__ import annotations

from dataclasses import MISSING, Field, fields
from typing import Any

from agents.errors import NotExactError
from sim.plant import Control, Dist, Plant
from sim.value import operating_terms

UNIT_S = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}


def plain(thing: object, what: str, known: set[str]) -> None:
    """`NotExactError` unless every field of `thing` (a frozen type of `sim.plant`) outside `known` has its default."""
    for f in fields(thing):  # type: ignore[arg-type]
        if f.name in known:
            continue
        default, found = _default(f), getattr(thing, f.name)
        if found != default:
            raise NotExactError(f"{what}: {f.name} is {found!r}, expected {default!r}")


def _default(f: Field[Any]) -> Any:
    return f.default_factory() if f.default_factory is not MISSING else f.default


def exactly(found: object, expected: object, what: str) -> None:
    """`NotExactError` unless equal."""
    if found != expected:
        raise NotExactError(f"{what}: expected {expected!r}, found {found!r}")


class Scale:
    """Ticks, time units and money of a plant."""

    def __init__(self, plant: Plant) -> None:
        self.unit = f"{plant.currency}/{plant.time_unit}"
        self.ticks = UNIT_S[plant.time_unit] / plant.tick_s
        """Ticks in a time unit."""
        self._terms = {(t.field, t.index): t for t in operating_terms(plant)}

    def rate(self, dist: Dist | None, what: str) -> float:
        """Events a time unit of an exponential clock; 0 for one that never strikes."""
        if dist is None:
            return 0.0
        exactly(dist.kind, "exponential", f"{what}, the distribution")
        return self.ticks / dist.args[0]

    def money(self, field: str, index: int = 0) -> float:
        """Money for each unit of an accumulator of the row, a time unit where that is an area; 0 where it is free."""
        term = self._terms.pop((field, index), None)
        if term is None:
            return 0.0
        return term.coefficient * (self.ticks if field.endswith("_area") else 1.0)

    def settled(self) -> None:
        """`NotExactError` where the plant pays for something that no call of `money` asked for."""
        for term in self._terms.values():
            raise NotExactError(f"{term.thing}: {term.kind} costs money, expected none in a plant of this kind")


def whole_plant(plant: Plant) -> None:
    """`NotExactError` where the plant has something that no small kind has."""
    empty = ("calendars", "groups", "pools", "crews", "limits")
    for name in empty:
        if getattr(plant, name):
            raise NotExactError(f"{name}: found {len(getattr(plant, name))}, expected none")
    if plant.tariff is not None:
        raise NotExactError("energy: found a tariff, expected none")
    if plant.rules is not None:
        raise NotExactError(f"engine: found rules of the plant's own ({plant.rules.name}), expected none")


def control(plant: Plant, sets: str) -> Control:
    """The control that sets a path; `NotExactError` where there is none, because its range bounds what can happen."""
    for c in plant.controls:
        if c.sets == sets:
            return c
    raise NotExactError(f"controls: expected one that sets {sets} (its range bounds the policies), found none")
