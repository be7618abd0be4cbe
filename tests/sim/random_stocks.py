"""Random supply and demand: order policies, lanes, suppliers and customers, as a design wishes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sim.plant import Demand, Express, Quantity, Stock, Supplier
from tests.sim.random_choices import GAPS, LEADS, TIMES, Choices, lines

LUMPS: tuple[Quantity, ...] = (((2, 1.0),), ((1, 0.5), (3, 0.5)), ((1, 0.7), (2, 0.2), (5, 0.1)))
POLICIES = ("base_stock", "s_S", "r_Q", "forecast")


class TradeMaker:
    """Makes the supply side of one plant."""

    def __init__(self, choices: Choices, hours: Sequence[str]) -> None:
        self.choices = choices
        self.hours = hours
        self.wanted = any(choices.has(word) for word in (*POLICIES, "stock from stock", "express", "review", "needs"))

    def suppliers(self) -> tuple[Supplier, ...]:
        """The two that all stocks order from."""
        return tuple(self._supplier(name) for name in ("acme", "dear"))

    def _supplier(self, name: str) -> Supplier:
        c = self.choices
        ticks = c.pick(1, 3) if c.rather("supplier capacity") else 0
        if not c.rather("unreliable"):
            return Supplier(name, unit_ticks=ticks)
        return Supplier(name, unit_ticks=ticks, reliability=c.pick(0.0, 0.5, 0.9), late=c.time(LEADS))

    def stocks(self) -> list[Stock]:
        """Supplied stocks in a tree below the suppliers, in any order."""
        c = self.choices
        made: list[Stock] = []
        for i in range(c.random.randint(1, 3) if self.wanted else c.pick(0, 1)):
            above = [k.id for k in made]
            source = c.pick(*above) if above and c.rather("stock from stock", 0.7) else "acme"
            made.append(self._supplied(f"raw{i}", source, above))
        c.random.shuffle(made)
        return made

    def order_from(self, stocks: list[Stock]) -> tuple[Stock, ...]:
        """All stocks, and perhaps a shop that orders finished goods."""
        goods = next((k for k in stocks if k.source == "line"), None)
        if goods is None or not self.choices.has("stock from goods"):
            return tuple(stocks)
        shop = self._supplied("shop", goods.id, [])
        return (*stocks, replace(shop, item=goods.item, express=None))

    def _supplied(self, name: str, source: str, above: Sequence[str]) -> Stock:
        c = self.choices
        review = c.pick(20, 50, 60) if c.rather("review") else None
        policies = [p for p in POLICIES if c.has(p) and (p != "forecast" or review)] or ["base_stock"]
        policy = c.pick(*policies)
        express = None
        if c.rather("express", 0.7):
            fast = c.pick(*above) if above and c.has("express from stock") else c.pick("dear", "acme")
            multiple = c.pick(2, 3) if c.has("multiple") else 1
            express = Express(fast, c.time(LEADS), c.pick(1, 4), least=self._least(), multiple=multiple)
        forecast = policy == "forecast"
        return Stock(
            name,
            "stuff",
            source,
            c.pick(0, 4, 9),
            level=None if policy in ("r_Q", "forecast") else c.pick(5, 8, 15),
            review=review,
            lead=c.time(LEADS),
            policy=policy,
            reorder=c.pick(1, 4) if policy in ("s_S", "r_Q") else None,
            quantity=c.pick(2, 5) if policy == "r_Q" else None,
            echelon=c.rather("echelon"),
            least=self._least(),
            multiple=c.pick(2, 3) if c.rather("multiple") else 1,
            window=c.pick(1, 3) if forecast else 0,
            cover=c.pick(1.0, 1.3) if forecast else 0.0,
            safety=c.pick(2, 5) if forecast else 0,
            express=express,
            priority=c.pick(-1, 1) if c.has("rank of stock") else 0,
        )

    def _least(self) -> int:
        return self.choices.pick(2, 4) if self.choices.rather("least") else 1

    def demands(self, stocks: Sequence[Stock]) -> tuple[Demand, ...]:
        """Up to three customers of the stocks."""
        c = self.choices
        wanted = any(c.has(word) for word in ("backorder", "lost", "book", "season", "lumpy", "demand hours"))
        if not stocks or not (wanted or c.maybe(0.5)):
            return ()
        return tuple(self._demand(f"d{i}", c.pick(*stocks).id) for i in range(c.random.randint(1, 3)))

    def _demand(self, name: str, stock: str) -> Demand:
        c = self.choices
        unmet = c.pick(*([word for word in ("backorder", "lost") if c.has(word)] or ["backorder"]))
        most = c.pick(1, 2, 5) if unmet == "backorder" and c.rather("limited") else None
        rank = c.pick(-1, 1, 2) if c.has("rank of demand") else 0
        if c.rather("book", 0.5):
            book = lines(c.random, 40, 1200, c.has("dates of book") and unmet == "backorder", (1, 1, 2, 4))
            return Demand(name, stock, None, unmet=unmet, priority=rank, book=book, most=most)
        dated = unmet == "backorder" and c.rather("promises")
        nobody = ((0, 0.4), (2, 0.6))
        quantity: Quantity = c.pick(*LUMPS) if c.rather("lumpy") else ((1, 1.0),)
        season = c.rather("season")
        return Demand(
            name,
            stock,
            c.time((*GAPS, *TIMES[1:3])),
            calendar=c.pick(*self.hours) if self.hours and not season and c.rather("demand hours") else None,
            unmet=unmet,
            quantity=nobody if not dated and c.rather("nobody") else quantity,
            priority=rank,
            due=c.pick(0, 8, 30) if dated else None,
            season=(*(c.pick(0.0, 0.5, 1.0, 2.5) for _ in range(167)), 1.0) if season else (),
            most=most,
        )
