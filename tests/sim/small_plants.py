"""Tiny plants with constant times for stories worked by hand. A tick is a minute; tick 0 is Monday midnight, UTC."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sim.plant import DONE, UNLIMITED, Calendar, Dist, Failure, Plant, Product, Release, Station, Step, Supplier

SATURATED = Release("saturated")


def const(ticks: float) -> Dist:
    return Dist("constant", (ticks,))


def conwip(cap: int, **more: Any) -> Release:
    return Release("conwip", cap=cap, **more)


def push(gap: float, **more: Any) -> Release:
    return Release("push", arrivals=const(gap), **more)


def station(name: str, capacity: int = UNLIMITED, **more: Any) -> Station:
    return Station(name, capacity=capacity, **more)


def failing(name: str, up: float, repair: float, crew: str | None = None) -> Station:
    return Station(name, modes=(Failure("odf", const(up), const(repair), crew),))


def product(name: str, steps: list[tuple[str, float]], release: Release) -> Product:
    """A product that visits (station, work) in turn."""
    last = len(steps) - 1
    made = (
        Step(f"op{i}", where, const(work), ((DONE if i == last else i + 1, 1.0),))
        for i, (where, work) in enumerate(steps)
    )
    return Product(name, tuple(made), release)


def shift(*hours: tuple[int, int]) -> Calendar:
    """The calendar `shift`, open from minute to minute of Monday."""
    return Calendar("shift", tuple((0, first, end) for first, end in hours))


def plant(stations: list[Station], products: list[Product], **more: Any) -> Plant:
    return Plant(
        id="story",
        site="test",
        area="test",
        line="story",
        timezone="UTC",
        tick_s=60.0,
        time_unit="min",
        currency="EUR",
        start=datetime(2026, 1, 5),  # local time, as in a plant file
        products=tuple(products),
        stations=tuple(stations),
        suppliers=(Supplier("acme"),),
        unlimited=100,
        **more,
    )
