"""Random small plants that combine every feature of the plant file, with many ties.

`random_plant(seed)` is a plain function of the seed; `plants()` is a hypothesis strategy over the same space, whose
choices shrink towards few stations, constant times and no extras.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import datetime
from typing import Protocol, TypeVar

from hypothesis import strategies as st

from sim.plant import (
    DONE,
    SCRAP,
    UNLIMITED,
    Calendar,
    Control,
    Crew,
    Demand,
    Dist,
    Failure,
    Plant,
    Product,
    Release,
    Station,
    Step,
    Stock,
    Supplier,
)

T = TypeVar("T")

TIMES = (
    Dist("constant", (2.0,)),
    Dist("constant", (5.0,)),
    Dist("constant", (10.0,)),
    Dist("discrete", (2.0, 0.5, 10.0, 0.5)),
    Dist("exponential", (6.0,)),
    Dist("exponential", (25.0,)),
    Dist("uniform", (3.0, 9.0)),
    Dist("gamma", (12.0, 0.4)),
    Dist("erlang", (8.0, 3.0)),
    Dist("lognormal", (9.0, 0.8)),
    Dist("weibull", (7.0, 1.5)),
    Dist("normal", (10.0, 4.0)),
    Dist("triangular", (2.0, 4.0, 11.0)),
    Dist("empirical", (4.0, 4.0, 5.0, 9.0)),
)
ZERO = Dist("constant", (0.0,))
UPTIMES = (
    Dist("constant", (10.0,)),
    Dist("constant", (50.0,)),
    Dist("exponential", (60.0,)),
    Dist("weibull", (80.0, 1.5)),
)
GAPS = (
    Dist("constant", (10.0,)),
    Dist("constant", (30.0,)),
    Dist("exponential", (20.0,)),
    Dist("exponential", (45.0,)),
)
LEADS = (ZERO, Dist("constant", (20.0,)), Dist("constant", (60.0,)), Dist("exponential", (40.0,)))


class Chooser(Protocol):
    """Where choices come from; each prefers its first or lowest value when hypothesis shrinks."""

    def integer(self, low: int, high: int) -> int: ...


class RandomChooser:
    """Choices from a seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def integer(self, low: int, high: int) -> int:
        return self._random.randint(low, high)


class DrawnChooser:
    """Choices that hypothesis makes and can shrink."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw

    def integer(self, low: int, high: int) -> int:
        return self._draw(st.integers(low, high))


class Builder:
    """Makes one plant out of choices."""

    def __init__(self, chooser: Chooser) -> None:
        self.chooser = chooser
        self.ties = self.chance(50)
        """Only constant times: nearly every event meets another."""

    def chance(self, percent: int) -> bool:
        return self.chooser.integer(1, 100) > 100 - percent

    def one(self, values: Sequence[T]) -> T:
        return values[self.chooser.integer(0, len(values) - 1)]

    def time(self, values: Sequence[Dist]) -> Dist:
        constant = [dist for dist in values if dist.kind == "constant"]
        return self.one(constant if self.ties else values)

    def calendar(self, name: str) -> Calendar:
        """Some openings in the first hours and two more days; the first may begin at tick 0, or later."""
        minute, hours = self.chooser.integer(0, 1) * 3, []
        for day in (0, 1, 3):
            for _ in range(self.chooser.integer(1, 4)):
                end = minute + self.chooser.integer(1, 8)
                hours.append((day, minute, end))
                minute = end + self.chooser.integer(1, 6)
            minute = 0
        return Calendar(name, tuple(hours))

    def station(self, name: str, crews: Sequence[str], calendars: Sequence[str]) -> Station:
        fails = None
        if self.chance(45):
            crew = self.one(crews) if crews and self.chance(75) else None
            fails = Failure("odf", self.time(UPTIMES), self.time((*TIMES[:6], ZERO)), crew)
        return Station(
            id=name,
            units=self.one((1, 1, 2, 3)),
            fails=fails,
            calendar=self.one(calendars) if calendars and self.chance(40) else None,
            capacity=self.one((UNLIMITED, 0, 1, 2, 4)),
        )

    def steps(self, stations: Sequence[str]) -> tuple[Step, ...]:
        count = self.chooser.integer(1, 5)
        steps = []
        for i in range(count):
            onward = i + 1 if i + 1 < count else DONE
            targets: list[tuple[int, float]] = [(onward, 1.0)]
            if self.chance(40):
                others = [SCRAP, i, self.chooser.integer(0, i), DONE]  # scrap, self-loop, rework, early end
                other = self.one([target for target in others if target != onward])
                probability = self.one((0.1, 0.25, 0.5))
                targets = [(onward, 1.0 - probability), (other, probability)]
                if self.chance(30) and SCRAP not in (onward, other):
                    targets = [(SCRAP, 0.125), (onward, 0.875 - probability), (other, probability)]
            work = ZERO if i > 0 and self.chance(8) else self.time(TIMES)
            steps.append(Step(f"op{i}", self.one(stations), work, tuple(targets)))
        return tuple(steps)

    def release(self, supplied: Sequence[str], has_stock: bool, calendars: Sequence[str]) -> Release:
        policy = self.one(("push", "conwip", "conwip", "saturated"))
        consumes = tuple((name, self.chooser.integer(1, 2)) for name in supplied if self.chance(50))
        calendar = self.one(calendars) if calendars and self.chance(35) else None
        if policy == "push":
            return Release("push", arrivals=self.time(GAPS), calendar=calendar, consumes=consumes)
        if policy == "saturated":
            return Release("saturated", calendar=calendar, consumes=consumes)
        base_stock = self.chooser.integer(1, 6) if has_stock and self.chance(60) else None
        cap = self.chooser.integer(1, 8)
        return Release("conwip", cap=cap, base_stock=base_stock, calendar=calendar, consumes=consumes)

    def plant(self, name: str) -> Plant:
        crews = tuple(Crew(f"crew{i}", self.chooser.integer(1, 2)) for i in range(self.chooser.integer(0, 2)))
        calendars = tuple(self.calendar(f"cal{i}") for i in range(self.chooser.integer(0, 2)))
        hours, people = [c.id for c in calendars], [c.id for c in crews]
        stations = tuple(self.station(f"st{i}", people, hours) for i in range(self.chooser.integer(1, 6)))
        supplied = tuple(self.supplied_stock(f"raw{i}") for i in range(self.chooser.integer(0, 2)))
        products, filled = [], []
        for i in range(self.chooser.integer(1, 3)):
            item, has_stock = f"item{i}", self.chance(50)
            if has_stock:
                filled.append(Stock(f"ready{i}", item, "line", initial=self.chooser.integer(0, 3)))
            steps = self.steps([s.id for s in stations])
            made = [k for k in filled if k.item != item] if self.chance(40) else []  # parts of this plant's own making
            products.append(Product(item, steps, self.release([k.id for k in (*supplied, *made)], has_stock, hours)))
        stocks = (*filled, *supplied)
        return Plant(
            id=name,
            site="test",
            area="random",
            line=name,
            timezone=self.one(("UTC", "Europe/Berlin")),
            tick_s=self.one((1.0, 10.0)),
            time_unit="min",
            currency="EUR",
            start=datetime(2026, 1, 5),  # local time, as in a plant file
            products=tuple(products),
            stations=stations,
            crews=crews,
            calendars=calendars,
            stocks=stocks,
            suppliers=(Supplier("acme"),) if supplied else (),
            demands=self.demands(stocks, hours),
            controls=controls(products, supplied),
            unlimited=2000,
        )

    def supplied_stock(self, name: str) -> Stock:
        review = self.one((None, 50, 120))
        initial, level, lead = self.chooser.integer(0, 4), self.chooser.integer(2, 9), self.time(LEADS)
        return Stock(name, "stuff", "acme", initial, level=level, review=review, lead=lead)

    def demands(self, stocks: Sequence[Stock], calendars: Sequence[str]) -> tuple[Demand, ...]:
        found = []
        for stock in stocks:
            for n in range(self.chooser.integer(0, 2)):
                calendar = self.one(calendars) if calendars and self.chance(40) else None
                found.append(Demand(f"to-{stock.id}-{n}", stock.id, self.time(GAPS), calendar))
        return tuple(found)


def controls(products: Sequence[Product], supplied: Sequence[Stock]) -> tuple[Control, ...]:
    """A control for everything that can have one."""
    sets = []
    for product in products:
        if product.release.policy == "conwip":
            sets.append((f"release.{product.id}.cap", 1, 12))
        if product.release.base_stock is not None:
            sets.append((f"release.{product.id}.base_stock", 0, 10))
    sets += [(f"stocks.{stock.id}.level", 0, 15) for stock in supplied]
    return tuple(
        Control(f"control{i}", name, low, high, 1, 10, "release", 0.0, "operator")
        for i, (name, low, high) in enumerate(sets)
    )


def random_plant(seed: int) -> Plant:
    """The random plant of a seed."""
    return Builder(RandomChooser(seed)).plant(f"random{seed}")


@st.composite
def plants(draw: st.DrawFn) -> Plant:
    """Strategy of random plants."""
    return Builder(DrawnChooser(draw)).plant("random")
