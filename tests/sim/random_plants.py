"""Random small plants that combine every feature of the plant file, with many ties.

`random_plant(seed)` is a plain function of the seed; `plants()` is a hypothesis strategy over the same space, whose
choices shrink towards few features, few stations and constant times. What a plant shall have is a design of
`tests.sim.plant_design`; where and how, is chosen here.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime
from random import Random
from typing import Any

from hypothesis import strategies as st

from sim.plant import (
    DONE,
    SCRAP,
    Calendar,
    Control,
    Crew,
    Dist,
    Group,
    Plant,
    Pool,
    Product,
    Release,
    Step,
    Stock,
    Tariff,
)
from sim.plantroute import zero_batches
from sim.settings import settings
from tests.sim.plant_design import ALL, BLOCKING, REVIEW_ORDERS, close, design
from tests.sim.random_choices import GAPS, TIMES, ZERO, Choices, lines
from tests.sim.random_stations import StationMaker
from tests.sim.random_stocks import TradeMaker


class Maker(Choices):
    """Makes one plant out of wishes and choices."""

    def __init__(self, random: Random, wishes: frozenset[str]) -> None:
        super().__init__(random, wishes)
        self.minutes = 10 if self.has("planned stop") else self.pick(1, 10)
        """Minutes of a tick; long ones where a run shall see several days."""
        self.calendars: tuple[Calendar, ...] = ()

    def plant(self, name: str) -> Plant:
        """The plant."""
        summer = self.has("summer time")
        self.calendars = tuple(self._calendar(f"cal{i}") for i in range(2)) if self._wants_hours() else ()
        hours = [c.id for c in self.calendars]
        crews = tuple(Crew(f"crew{i}", self.pick(1, 1, 2)) for i in range(2))
        pools = tuple(Pool(f"pool{i}", self.pick(2, 3)) for i in range(2))
        maker = StationMaker(self, [c.id for c in crews], pools, self.calendars)
        families = ("red", "blue", "green")
        stations = tuple(maker.station(f"st{i}", families) for i in range(self.random.randint(2, 5)))
        self.stations = [s.id for s in stations]
        self.ovens = {s.id for s in stations if s.batch is not None}
        trade = TradeMaker(self, hours)
        supplied = trade.stocks()
        products, goods = self._products([k.id for k in supplied], families)
        stocks = trade.order_from([*goods, *supplied])
        groups, products = self._groups(products)
        plant = Plant(
            id=name,
            site="test",
            area="random",
            line=name,
            timezone="Europe/Berlin" if summer else "UTC",
            tick_s=60.0 * self.minutes,
            time_unit="min",
            currency="EUR",
            start=datetime(2026, 3, 28, 22) if summer else datetime(2026, 1, 5, self.pick(0, 6)),  # local time
            products=tuple(products),
            stations=stations,
            crews=crews,
            pools=pools,
            groups=groups,
            calendars=self.calendars,
            stocks=stocks,
            suppliers=trade.suppliers(),
            demands=trade.demands(stocks),
            tariff=self._tariff() if self.has("tariff") else None,
            conventions={
                "review_order": next(x for x in REVIEW_ORDERS if x in self.wishes),
                "blocking": next(x for x in BLOCKING if x in self.wishes),
            },
            unlimited=self.pick(40, 300),
        )
        return replace(_moving(plant), controls=self._controls(plant))

    def _wants_hours(self) -> bool:
        return bool(self.wishes & {"finish at close", "freeze", "release hours", "demand hours"})

    def _calendar(self, name: str) -> Calendar:
        """Five or six openings on the days that a run sees most of, one on the others; some over midnight."""
        minute = 0 if self.has("open at start") else self.pick(0, 20, 40)
        spans: list[tuple[int, int]] = []
        while minute < 1400:
            end = minute + 10 * self.random.randint(3, 30)
            spans.append((minute, end))
            minute = end + 10 * self.random.randint(1, 15)
        spans[-1] = (spans[-1][0], min(spans[-1][1], 1440 + spans[0][0]))
        spans = [(first, end) for first, end in spans if end > first]
        breaks = ((9, 10), (10, 30)) if self.has("breaks") else ()
        freezes = self.has("freeze") and (name == "cal0" or not self.has("finish at close"))
        stop = date(2026, 3, 30) if self.has("summer time") else date(2026, 1, 6)
        busy = (5, 6) if self.has("summer time") else (0, 1)
        return Calendar(
            name,
            tuple((day, first, end) for day in range(7) for first, end in (spans if day in busy else spans[:1])),
            at_close="freeze" if freezes else "finish",
            breaks=tuple((day, a + first, a + end) for day in busy for a, b in spans[:3] for first, end in breaks
                         if a + end < b),
            closed=((stop, stop),) if self.has("planned stop") else (),
            overtime=self.pick(0, 2, 9, 60) if self.has("overtime") else 0,
        )  # fmt: skip

    def _tariff(self) -> Tariff:
        count = self.pick(1, 2, 3)
        return Tariff((0.1, 0.25, 0.4)[:count], tuple(self.random.randrange(count) for _ in range(168)), 0.3)

    # --- products

    def _products(self, supplied: list[str], families: tuple[str, ...]) -> tuple[list[Product], list[Stock]]:
        products: list[Product] = []
        goods: list[Stock] = []
        for i in range(self.random.randint(2 if self.has("mix") else 1, 3)):
            name = f"item{i}"
            parts = [*supplied, *(k.id for k in goods)]
            if self.has("surplus") or self.rather("base stock") or self.has("stock from goods") or self.maybe(0.5):
                goods.append(Stock(f"goods{i}", name, "line", initial=self.pick(0, 1, 4)))
            transfer = self.pick(1, 2, 3) if self.has("transfer") else 1
            lot = transfer * (self.pick(1, 2, 2) if self.has("lots") else 1)
            dated = self.rather("due")
            products.append(
                Product(
                    name,
                    self._steps(parts),
                    self._release(lot, parts, name in {k.item for k in goods}, i < 2),
                    family=self.pick("", *families),
                    lot=lot,
                    transfer=transfer,
                    due=self.time(TIMES + GAPS) if dated else None,
                    priority=self.pick(-1, 1, 2) if self.has("priority") else 0,
                    holding=self.pick(0.0, 0.1, 0.37, 2.0) if self.has("holding") else 0.0,
                )
            )
        return products, goods

    def _steps(self, parts: list[str]) -> tuple[Step, ...]:
        count = self.pick(1, 2, 3, 4)
        return tuple(self._step(i, count, parts) for i in range(count))

    def _step(self, i: int, count: int, parts: list[str]) -> Step:
        onward = i + 1 if i + 1 < count else DONE
        others = [self.random.randrange(i)] if i and self.has("rework") else []
        others += [i] if self.has("self loop") else []
        others += [SCRAP] if self.has("scrap") else []
        others += [DONE] if self.has("early end") and onward != DONE else []
        others = [target for target in others if self.maybe(0.5)]
        odds = self.pick(0.1, 0.125, 0.25)
        targets = [(onward, 1.0 - odds * len(others)), *((target, odds) for target in others)]
        self.random.shuffle(targets)
        station = self.pick(*self.stations)
        eligible: tuple[tuple[str, Dist], ...] = ()
        if self.rather("alternatives") and "before_service" not in self.wishes:
            rest = [name for name in self.stations if name != station]
            eligible = tuple((name, self.time(TIMES)) for name in self.random.sample(rest, self.pick(1, len(rest))))
        needs: tuple[tuple[str, int], ...] = ()
        if parts and self.rather("needs") and not self.ovens & {station, *(name for name, _ in eligible)}:
            count_needs = self.pick(1, min(2, len(parts)))
            needs = tuple((name, self.pick(1, 1, 2)) for name in self.random.sample(parts, count_needs))
        work = ZERO if i > 0 and self.rather("no work") else self.time(TIMES)
        return Step(f"op{i}", station, work, tuple(targets), eligible, needs)

    def _release(self, lot: int, parts: list[str], has_goods: bool, first: bool) -> Release:
        policies = [name for name in ("push", "push", "conwip", "saturated", "orders") if self.has(name)] or ["conwip"]
        policy = "conwip" if self.has("mix") and first else self.pick(*policies)
        count = self.pick(1, min(2, len(parts))) if parts and self.rather("consumes") else 0
        common: dict[str, Any] = {
            "policy": policy,
            "consumes": tuple((name, self.pick(1, 1, 2)) for name in self.random.sample(parts, count)),
            "calendar": self.pick(*self.calendars).id if self.calendars and self.rather("release hours") else None,
        }
        if policy == "push":
            return Release(**common, arrivals=self.time(GAPS))
        if policy == "orders":
            return Release(**common, orders=lines(self.random, 25, 1200, self.has("dates of orders"), (1, 1, 2, 3)))
        if policy == "saturated":
            return Release(**common)
        base = self.random.randint(1, 8) if has_goods and (self.has("surplus") or self.rather("base stock")) else None
        free = (base is not None or self.has("group")) and self.rather("no cap")
        return Release(
            **common,
            cap=None if free else lot + self.random.randint(0, 7),
            base_stock=base,
            stops=base is not None and self.has("surplus"),
        )

    def _groups(self, products: list[Product]) -> tuple[tuple[Group, ...], list[Product]]:
        """A group of all CONWIP products; one without any cap gets its own."""
        members = [p for p in products if p.release.policy == "conwip"]
        groups: tuple[Group, ...] = ()
        if members and self.has("group"):
            self.random.shuffle(members)
            shares = self.random.sample((1, 2, 3), 3) if self.has("mix") else (1, 1, 1)
            mix = tuple((p.id, share) for p, share in zip(members, shares, strict=False))
            groups = (Group("all", max(p.lot for p in members) + self.random.randint(0, 6), mix),)
        capless = [p for p in members if p.release.cap is None and p.release.base_stock is None and not groups]
        return groups, [
            replace(p, release=replace(p.release, cap=p.lot + 4)) if p in capless else p for p in products
        ]  # fmt: skip

    # --- controls

    def _controls(self, plant: Plant) -> tuple[Control, ...]:
        """Some settings of each form that is wished."""
        made: list[Control] = []
        for path, value in settings(plant).items():
            form = form_of(path)
            often = 0.05 if "dispatch" in form else 0.6
            if self.has(f"control {form}") and self.maybe(often if made else 1.0):
                low, high = RANGES.get(form.rsplit(".", 1)[1], (0, 12))
                low, high = min(low, value), max(high, value)
                made.append(Control(f"control{len(made)}", path, low, high, 1, 10, "release", 0.0, "operator"))
        return tuple(made)


def _moving(plant: Plant) -> Plant:
    """The plant with a tick of work instead of none where the clock could stand still, which a file may not have."""
    if not any(zero_batches(plant, product) for product in plant.products):
        return plant

    def steps(product: Product) -> tuple[Step, ...]:
        return tuple(replace(s, work=Dist("constant", (1.0,)) if s.work == ZERO else s.work) for s in product.steps)

    return replace(plant, products=tuple(replace(p, steps=steps(p)) for p in plant.products))


RANGES = {"cap": (1, 9), "kanban": (1, 6), "at_level": (1, 4), "FEATURE": (-2, 2), "overtime": (0, 40)}
"""Lowest and highest value of controls, by the end of the path."""


def form_of(path: str) -> str:
    """The form of a setting's path: `stocks.raw0.level` -> `stocks.STOCK.level`."""
    section, _, name = path.split(".", 2)
    word = {"release": "PRODUCT", "buffers": "BUFFER"}.get(section, section.removesuffix("s").upper())
    return f"{section}.{word}.{'dispatch.FEATURE' if name.startswith('dispatch') else name}"


def random_plant(seed: int) -> Plant:
    """The random plant of a seed."""
    return Maker(Random(seed), design(seed)).plant(f"random{seed}")


@st.composite
def plants(draw: st.DrawFn) -> Plant:
    """Strategy of random plants."""
    free = [name for name in ALL if name not in (*REVIEW_ORDERS, *BLOCKING)]
    wishes = draw(st.sets(st.sampled_from(free), max_size=30))
    wishes |= {draw(st.sampled_from(REVIEW_ORDERS)), draw(st.sampled_from(BLOCKING))}
    return Maker(draw(st.randoms(use_true_random=False)), close(wishes)).plant("random")
