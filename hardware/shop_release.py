"""The virtual plant's release desk: which product may enter the line, and who holds it back."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from hardware.openings import open_time
from hardware.sampling import Sampler, stream
from hardware.shop_part import Part
from hardware.shop_unit import Steps
from sim.plant import Group, Product

if TYPE_CHECKING:
    from hardware.shop import Shop
    from hardware.shop_station import Station


class ReleaseDesk:
    """Releases single parts. `pending`: due dates (None: no date) of what has arrived and is not released."""

    def __init__(self, shop: Shop) -> None:
        self._shop, self._plant = shop, shop.plant
        self.pending: dict[str, deque[float | None]] = {p.id: deque() for p in shop.plant.products}
        self._group: dict[str, Group] = {name: g for g in shop.plant.groups for name, _ in g.mix}
        self._products = {p.id: p for p in shop.plant.products}
        self._due: dict[str, Sampler] = {}
        for product in shop.plant.products:
            if product.due is not None:
                rng = stream(shop.seed, f"due {product.id}")
                self._due[product.id] = Sampler(rng, product.due, shop.plant.tick_s)
            if product.release.policy == "push":
                shop.env.process(self._arrivals(product))
            elif product.release.policy == "orders":
                shop.env.process(self._order_list(product))

    # what arrives ------------------------------------------------------------------------------

    def _arrivals(self, product: Product) -> Steps:
        shop, release = self._shop, product.release
        assert release.arrivals is not None
        rng = stream(shop.seed, f"arrival {product.id}")
        gap = Sampler(rng, release.arrivals, shop.plant.tick_s, 1 / shop.twist.demand_scale)
        opening = shop.openings.get(release.calendar) if release.calendar else None
        while True:
            yield from open_time(shop.env, gap(), opening)
            self.pending[product.id].append(None)
            shop.settle()

    def _order_list(self, product: Product) -> Steps:
        tick = self._plant.tick_s
        for order in product.release.orders:
            yield self._shop.env.timeout(max(order.at * tick - self._shop.env.now, 0.0))
            due = None if order.due is None else order.due * tick
            self.pending[product.id].extend([due] * order.quantity)
            self._shop.settle()

    # what may be released ----------------------------------------------------------------------

    def _able(self, product: Product) -> bool:
        """Is everything but the decision and the room there?"""
        calendar = product.release.calendar
        bound = product.release.policy not in ("push", "orders")
        if calendar and bound and not self._shop.openings[calendar].open:
            return False
        return all(self._shop.rooms[stock].on_hand >= n for stock, n in product.release.consumes)

    def _wanted(self, product: Product) -> bool:
        """Does the product's own decision (cap, base stock, arrivals, first queue) want one more part?"""
        shop, name, policy = self._shop, product.id, product.release.policy
        if policy in ("push", "orders"):
            return bool(self.pending[name])
        if policy == "saturated":
            return any(not s.queue for s in shop.doors[name, 0])
        cap = shop.settings.get(f"release.{name}.cap")
        level = shop.settings.get(f"release.{name}.base_stock")
        room = shop.fills[name]
        if level is not None and room is not None and room.on_hand - room.backorders + shop.wip[name] >= level:
            return False
        return cap is None or shop.wip[name] < cap

    def _full(self, product: Product) -> bool:
        """Has the product's group as many parts in the line as it may have?"""
        group = self._group.get(product.id)
        if group is None:
            return False
        return sum(self._shop.wip[name] for name, _ in group.mix) >= self._shop.settings[f"groups.{group.id}.cap"]

    def _turn(self, product: Product) -> bool:
        """Is no other product of the group, that could be released, further behind its share of the mix?"""
        group = self._group.get(product.id)
        if group is None:
            return True
        shares, released = dict(group.mix), self._shop.released
        order = list(self._products)

        def before(other: str) -> bool:
            theirs, mine = released[other] * shares[product.id], released[product.id] * shares[other]
            return theirs < mine or (theirs == mine and order.index(other) < order.index(product.id))

        others = (self._products[name] for name in shares if name != product.id)
        return not any(before(p.id) and self._able(p) and self._wanted(p) for p in others)

    def waits_for_release(self, station: Station) -> bool:
        """Is a free unit of this station idle because somebody decided not to release?"""
        return any(
            p.release.policy in ("conwip", "base_stock")
            and self._shop.doors[p.id, 0][0] is station
            and self._able(p)
            and (not self._wanted(p) or self._full(p))
            for p in self._plant.products
        )

    def release(self, product: Product) -> bool:
        """Release one part of the product if everything allows it."""
        shop = self._shop
        if not self._wanted(product) or self._full(product) or not self._able(product):
            return False
        doors = shop.doors[product.id, 0]
        if product.release.policy == "saturated":
            doors = [s for s in doors if not s.queue]
        station = shop.shortest(doors)
        if station is None or not self._turn(product):
            return False
        rooms = [(shop.rooms[stock], n) for stock, n in product.release.consumes]
        for room, n in rooms:
            room.on_hand -= n
        for room, _ in rooms:
            room.withdrawn()
        due = self.pending[product.id].popleft() if self.pending[product.id] else None
        if product.id in self._due:
            due = shop.env.now + self._due[product.id]()
        shop.wip[product.id] += 1
        shop.released[product.id] += 1
        station.append(Part(product, 0, shop.env.now, due))
        shop.settle(station)
        return True
