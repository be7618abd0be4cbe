"""The virtual plant's trade: stock rooms, suppliers' lead times and customers.

Orders and receipts are also told to the plant's ERP (`shop.papers`), which sends supply documents.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from hardware.openings import open_time
from hardware.sampling import Sampler, mean_of, stream
from sim.plant import Demand, Plant, Stock

if TYPE_CHECKING:
    import simpy

    from hardware.shop import Shop


class StockRoom:
    """A stock point: filled by the line or by a supplier; what cannot be shipped waits."""

    def __init__(self, shop: Shop, spec: Stock) -> None:
        self.shop, self.spec = shop, spec
        self.on_hand, self.backorders, self.on_order = spec.initial, 0, 0
        self.demanded = self.shipped = self.received = self.ordered = 0
        self.orders = 0
        self.open_orders: dict[str, dict[str, Any]] = {}
        tick, twist = shop.plant.tick_s, shop.twist
        self._lead: Sampler | None = None
        if spec.lead is not None:
            rng = stream(shop.seed, f"lead {spec.id}")
            self._lead = Sampler(rng, spec.lead, tick, twist.lead_scale, twist.lead_cv)
            self._promised = mean_of(spec.lead) * tick
            if spec.review is not None:
                shop.env.process(self._reviews(spec.review * tick))

    def receive(self, n: int) -> None:
        """`n` units come in; waiting customers are served first."""
        self.received += n
        self.on_hand += n
        served = min(self.on_hand, self.backorders)
        self.on_hand -= served
        self.backorders -= served
        self.shipped += served
        self.shop.pull()

    def take(self, n: int) -> None:
        """Withdraw for production."""
        self.on_hand -= n
        self._continuous()

    def demand(self) -> None:
        """One customer order of one unit."""
        self.demanded += 1
        if self.on_hand > 0:
            self.on_hand -= 1
            self.shipped += 1
        else:
            self.backorders += 1
        self._continuous()
        self.shop.pull()

    def _reviews(self, period: float) -> Generator[simpy.Event, Any, None]:
        while True:
            self.order()
            yield self.shop.env.timeout(period)

    def _continuous(self) -> None:
        if self._lead is not None and self.spec.review is None:
            self.order()

    def order(self) -> None:
        """Order up to the level in force, where the position is below it."""
        level = self.shop.settings.get(f"stocks.{self.spec.id}.level")
        if level is None or self._lead is None:
            return
        quantity = level - (self.on_hand + self.on_order - self.backorders)
        if quantity > 0:
            self.orders += 1
            self.ordered += quantity
            self.on_order += quantity
            self.shop.env.process(self._deliver(quantity, f"PO-{self.spec.id}-{self.orders}"))

    def _deliver(self, quantity: int, number: str) -> Generator[simpy.Event, Any, None]:
        assert self._lead is not None
        now = self.shop.env.now
        order = {"doc": number, "item": self.spec.item, "stock": self.spec.id, "quantity": quantity}
        order |= {"supplier": self.spec.source, "issued_s": now, "due_s": now + self._promised}
        self.open_orders[number] = order
        self.shop.papers.append({"kind": "purchase_order", **order})
        yield self.shop.env.timeout(self._lead())
        self.on_order -= quantity
        del self.open_orders[number]
        self.shop.papers.append({"kind": "goods_receipt", **order, "received_s": self.shop.env.now})
        self.receive(quantity)


class Market:
    """Customers of one stock point."""

    def __init__(self, shop: Shop, spec: Demand) -> None:
        self.shop, self.spec = shop, spec
        self.count = 0
        shop.env.process(self._life())

    def _life(self) -> Generator[simpy.Event, Any, None]:
        shop, spec = self.shop, self.spec
        assert spec.arrivals is not None  # a book of orders was refused
        rng = stream(shop.seed, f"demand {spec.id}")
        gap = Sampler(rng, spec.arrivals, shop.plant.tick_s, 1 / shop.twist.demand_scale)
        opening = shop.openings.get(spec.calendar) if spec.calendar else None
        while True:
            yield from open_time(shop.env, gap(), opening)
            self.count += 1
            shop.rooms[spec.stock].demand()


def first_settings(plant: Plant) -> dict[str, int]:
    """What the plant file says for every number a control may set."""
    found: dict[str, int | None] = {}
    for p in plant.products:
        found[f"release.{p.id}.cap"] = p.release.cap
        found[f"release.{p.id}.base_stock"] = p.release.base_stock
    for s in plant.stocks:
        found[f"stocks.{s.id}.level"] = s.level
    return {k: v for k, v in found.items() if v is not None}
