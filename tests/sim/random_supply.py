"""Random small plants that combine every rule of supply, demand and release, with many ties."""

from __future__ import annotations

import random
from datetime import datetime
from typing import Any

from sim.plant import (
    DONE,
    SCRAP,
    UNLIMITED,
    Calendar,
    Control,
    Demand,
    Dist,
    Express,
    Group,
    Order,
    Plant,
    Product,
    Release,
    Station,
    Step,
    Stock,
    Supplier,
)
from tests.sim.supply_plants import HOURS, REVIEW_ORDERS

TIMES = (
    Dist("constant", (3.0,)),
    Dist("constant", (6.0,)),
    Dist("discrete", (2.0, 0.5, 6.0, 0.5)),
    Dist("exponential", (5.0,)),
    Dist("uniform", (1.0, 9.0)),
)
LEADS = (
    Dist("constant", (0.0,)),
    Dist("constant", (6.0,)),
    Dist("exponential", (9.0,)),
    Dist("discrete", (3.0, 0.6, 18.0, 0.4)),
)
QUANTITIES = (((1, 1.0),), ((2, 1.0),), ((1, 0.5), (3, 0.5)), ((1, 0.7), (2, 0.2), (5, 0.1)))
SEASONS = ((0.5, 2.0, 0.0, 1.5) * 42, (3.0, 0.1) * 84)


class SupplyMaker:
    """Choices from a seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def pick(self, *options: Any) -> Any:
        return self.random.choice(options)

    def maybe(self, chance: float) -> bool:
        return self.random.random() < chance

    def plant(self, seed: int) -> Plant:
        """Stocks in a tree below suppliers, products from components to goods, customers everywhere."""
        suppliers = tuple(self.supplier(name) for name in ("acme", "dear"))
        stocks = self.stocks()
        products = self.products([stock.id for stock in stocks])
        stocks += [Stock(f"goods-{p.id}", p.id, "line", self.pick(0, 3)) for p in products if self.maybe(0.7)]
        demands = tuple(self.demand(i, stocks) for i in range(self.pick(1, 2, 3, 4)))
        groups: tuple[Group, ...] = ()
        conwip = [p for p in products if p.release.policy == "conwip"]
        if len(conwip) > 1 and self.maybe(0.8):
            mix = tuple((p.id, self.pick(1, 2, 3)) for p in self.random.sample(conwip, len(conwip)))
            groups = (Group("all", self.pick(4, 5, 8), mix),)
        return Plant(
            f"supply-{seed}", "site", "area", "line", "UTC", 60.0, "h", "EUR", datetime(2026, 1, 7, 5, 30),
            products=tuple(products), stations=self.stations(), suppliers=suppliers, stocks=tuple(stocks),
            demands=demands, groups=groups, controls=self.controls(products, stocks, groups),
            calendars=(Calendar("shift", HOURS),),
            conventions={"review_order": self.pick(*REVIEW_ORDERS)}, unlimited=300,
        )  # fmt: skip

    def supplier(self, name: str) -> Supplier:
        if self.maybe(0.5):
            return Supplier(name, unit_ticks=self.pick(0, 1, 3))
        return Supplier(name, unit_ticks=self.pick(0, 2), reliability=self.pick(0.0, 0.5, 0.9), late=self.pick(*LEADS))

    def stocks(self) -> list[Stock]:
        made: list[Stock] = []
        for i in range(self.pick(1, 2, 3, 4)):
            above = [stock.id for stock in made]
            source = self.pick("acme", *above, *above)
            made.append(self.stock(f"k{i}", source, above))
        self.random.shuffle(made)
        return made

    def stock(self, name: str, source: str, above: list[str]) -> Stock:
        review = self.pick(None, None, 6, 12, 7)
        policy = self.pick("base_stock", "base_stock", "s_S", "r_Q", *(["forecast"] if review else []))
        express = None
        if self.maybe(0.35):
            fast = self.pick("dear", "acme", *above)
            express = Express(fast, self.pick(*LEADS), self.pick(1, 4), least=self.pick(1, 2), multiple=self.pick(1, 3))
        level = self.pick(3, 8, 15)
        return Stock(
            name, name, source, self.pick(0, 4, 9), level=None if policy == "r_Q" else level, review=review,
            lead=self.pick(*LEADS), policy=policy, reorder=self.pick(1, 3) if policy in ("s_S", "r_Q") else None,
            quantity=self.pick(2, 5) if policy == "r_Q" else None, echelon=self.maybe(0.4), least=self.pick(1, 1, 4),
            multiple=self.pick(1, 1, 3), window=self.pick(1, 3) if policy == "forecast" else 0,
            cover=self.pick(1.0, 1.3) if policy == "forecast" else 0.0, safety=self.pick(0, 2), express=express,
            priority=self.pick(0, 0, 1, -1),
        )  # fmt: skip

    def demand(self, number: int, stocks: list[Stock]) -> Demand:
        book: tuple[Order, ...] = ()
        if self.maybe(0.25):
            ticks = sorted(self.random.randrange(0, 150, 3) for _ in range(12))
            book = tuple(Order(t, self.pick(1, 2, 4), self.pick(None, t + self.pick(0, 6, 20))) for t in ticks)
        plain = self.maybe(0.6)
        return Demand(
            f"d{number}", self.pick(*stocks).id, None if book else self.pick(*TIMES),
            calendar="shift" if plain and not book and self.maybe(0.3) else None,
            unmet=self.pick("backorder", "backorder", "lost"),
            quantity=self.pick(*QUANTITIES), priority=self.pick(0, 0, 1, -1), due=self.pick(None, 0, 6, 15),
            season=() if plain or book else self.pick(*SEASONS), book=book, most=self.pick(None, None, 1, 4),
        )  # fmt: skip

    def stations(self) -> tuple[Station, ...]:
        return tuple(
            Station(
                name, units=self.pick(1, 2), capacity=self.pick(UNLIMITED, 0, 1, 3), kanban=self.pick(None, None, 3),
                calendar="shift" if self.maybe(0.2) else None,
            )
            for name in ("saw", "mill", "test")
        )  # fmt: skip

    def products(self, stocks: list[str]) -> list[Product]:
        return [self.product(f"p{i}", stocks) for i in range(self.pick(0, 1, 2, 3))]

    def product(self, name: str, stocks: list[str]) -> Product:
        transfer = self.pick(1, 1, 2)
        lot = transfer * self.pick(1, 1, 2)
        steps = []
        length = self.pick(1, 2, 3)
        for i in range(length):
            onward: tuple[tuple[int, float], ...] = ((i + 1, 1.0),) if i < length - 1 else ((DONE, 0.8), (SCRAP, 0.2))
            station, other = self.random.sample(("saw", "mill", "test"), 2)
            others = ((other, self.pick(*TIMES)),) if self.maybe(0.3) else ()
            needs = ((self.pick(*stocks), self.pick(1, 2)),) if self.maybe(0.3) else ()
            steps.append(Step(f"{name}s{i}", station, self.pick(*TIMES), onward, others, needs))
        due = self.pick(None, *TIMES)
        return Product(name, tuple(steps), self.release(stocks, lot), lot=lot, transfer=transfer, due=due)

    def release(self, stocks: list[str], lot: int) -> Release:
        consumes = tuple((name, self.pick(1, 2)) for name in stocks if self.maybe(0.3))
        calendar = "shift" if self.maybe(0.25) else None
        policy = self.pick("push", "conwip", "conwip", "conwip", "saturated", "orders")
        if policy == "push":
            return Release(
                policy,
                arrivals=self.pick(Dist("constant", (12.0,)), Dist("exponential", (14.0,))),
                calendar=calendar,
                consumes=consumes,
            )
        if policy == "orders":
            lines = tuple(Order(3 * i * i % 140, self.pick(1, 2), self.pick(None, 9 * i)) for i in range(14))
            return Release(policy, orders=lines, consumes=consumes, calendar=calendar)
        if policy == "saturated":
            return Release(policy, consumes=consumes, calendar=calendar)
        base = self.pick(None, 2, 5)
        return Release(
            policy,
            cap=self.pick(lot, lot + 3, 9, None if base else 6),
            base_stock=base,
            calendar=calendar,
            consumes=consumes,
        )

    def controls(self, products: list[Product], stocks: list[Stock], groups: tuple[Group, ...]) -> tuple[Control, ...]:
        sets = [f"stocks.{k.id}.{'reorder' if k.reorder else 'level'}" for k in stocks if k.source != "line"]
        sets += [f"stocks.{k.id}.express" for k in stocks if k.express]
        sets += [f"release.{p.id}.cap" for p in products if p.release.policy == "conwip"]
        sets += [f"groups.{g.id}.cap" for g in groups]
        return tuple(Control(f"c{i}", path, 0, 12, 1, 1, "supply", 0.0, "none") for i, path in enumerate(sets))


def random_supply(seed: int) -> Plant:
    """The plant of a seed."""
    return SupplyMaker(seed).plant(seed)
