"""Customers of the virtual plant: they ask a stock room for goods, and wait or go where there are none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hardware.openings import open_time
from hardware.sampling import Sampler, chooser, stream
from hardware.shop_unit import Steps
from sim.plant import Demand

if TYPE_CHECKING:
    from hardware.shop import Shop


class Market:
    """Customers of one stock point. Units: `count` asked for, `shipped`, `waiting`, `lost`."""

    def __init__(self, shop: Shop, spec: Demand) -> None:
        self.shop, self.spec = shop, spec
        self.room = shop.rooms[spec.stock]
        self.count = self.shipped = self.waiting = self.lost = 0
        self.room.markets.append(self)
        shop.env.process(self._book() if spec.book else self._life())

    @property
    def priority(self) -> int:
        return self.spec.priority

    def _life(self) -> Steps:
        shop, spec = self.shop, self.spec
        assert spec.arrivals is not None  # else there is a book
        rng = stream(shop.seed, f"demand {spec.id}")
        gap = Sampler(rng, spec.arrivals, shop.plant.tick_s, 1 / shop.twist.demand_scale)
        quantity = chooser(stream(shop.seed, f"quantity {spec.id}"), spec.quantity)
        opening = shop.openings.get(spec.calendar) if spec.calendar else None
        while True:
            yield from open_time(shop.env, gap(), opening)
            yield from shop.turn("satisfy")
            self.ask(quantity())

    def _book(self) -> Steps:
        for order in self.spec.book:
            yield self.shop.env.timeout(max(order.at * self.shop.plant.tick_s - self.shop.env.now, 0.0))
            yield from self.shop.turn("satisfy")
            self.ask(order.quantity)

    def ask(self, n: int) -> None:
        """An order of `n` units: what is there is shipped, the rest waits (as far as that many may) or is lost."""
        self.count += n
        self.waiting += n
        self.serve()
        most = 0 if self.spec.unmet == "lost" else self.spec.most
        if most is not None:
            self.lost += max(self.waiting - most, 0)
            self.waiting = min(self.waiting, most)
        self.room.withdrawn()
        self.shop.settle()

    def serve(self) -> None:
        """Ship what waits, as far as there is stock."""
        n = min(self.waiting, self.room.on_hand)
        self.room.on_hand -= n
        self.waiting -= n
        self.shipped += n
