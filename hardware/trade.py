"""The virtual plant's stock rooms and the lanes that fill them, from suppliers or from other stock rooms.

Orders, shipments and receipts are also told to the plant's ERP (`shop.papers`), which sends supply documents.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hardware.sampling import Sampler, mean_of, stream
from hardware.shop_unit import Steps
from sim.plant import Dist, Stock

if TYPE_CHECKING:
    from hardware.market import Market
    from hardware.shop import Shop

Paper = dict[str, Any]


class StockRoom:
    """A stock point: filled by the line or through lanes; it serves customers (`markets`) and other rooms' `outlets`.

    Units: `on_hand`, and since the start `received` and (ordered by this room) `ordered`. `taken` for production.
    """

    def __init__(self, shop: Shop, spec: Stock) -> None:
        self.shop, self.spec = shop, spec
        self.on_hand = spec.initial
        self.received = self.ordered = self.orders = 0
        self.open_orders: dict[str, Paper] = {}
        self.notices: dict[str, Paper] = {}  # shipments under way, by the number of their receipt
        self.markets: list[Market] = []
        self.outlets: list[Lane] = []
        self.lanes: list[Lane] = []  # of its own, express first
        self._claims: list[Market | Lane] = []
        steps = [step for p in shop.plant.products for step in p.steps if spec.id in dict(step.needs)]
        needing = {name for step in steps for name, _ in step.eligible}
        self._users = [s for s in shop.stations.values() if s.spec.id in needing]

    def connect(self) -> None:
        """Open the lanes of this room, once all rooms are there."""
        spec = self.spec
        if spec.express is not None:
            self.lanes.append(Lane(self, spec.express.source, spec.express.lead, express=True))
        if spec.lead is not None:
            self.lanes.append(Lane(self, spec.source, spec.lead, express=False))
        if spec.review is not None:
            self.shop.env.process(self._reviews(spec.review * self.shop.plant.tick_s))

    def rank_claims(self) -> None:
        """Fix who is served first: by priority, customers before other rooms, else in file order."""
        order = list(self.shop.rooms)
        lanes = sorted(self.outlets, key=lambda lane: (lane.express, order.index(lane.room.spec.id)))
        self._claims = sorted([*self.markets, *lanes], key=lambda claim: claim.priority)

    @property
    def on_order(self) -> int:
        """Units ordered and not received, all lanes together."""
        return sum(lane.on_order for lane in self.lanes)

    @property
    def backorders(self) -> int:
        """Units that customers wait for."""
        return sum(market.waiting for market in self.markets)

    @property
    def owed(self) -> int:
        """Units that other rooms have ordered here and that have not been sent."""
        return sum(lane.owed for lane in self.outlets)

    @property
    def demanded(self) -> int:
        return sum(market.count for market in self.markets)

    @property
    def shipped(self) -> int:
        return sum(market.shipped for market in self.markets)

    def receive(self, n: int) -> None:
        """`n` units come in; whoever waits is served in order."""
        self.received += n
        self.on_hand += n
        for claim in self._claims:
            claim.serve()
        self.shop.settle(*self._users)

    def _reviews(self, period: float) -> Steps:
        while True:
            yield from self.shop.turn("review")
            self.order()
            yield self.shop.env.timeout(period)

    def withdrawn(self) -> None:
        """Stock has fallen, or more is asked of it: order if that is decided at every withdrawal."""
        if self.lanes and self.spec.review is None:
            self.order()
        self.shop.settle()

    def order(self) -> None:
        """Decide for every lane; what is ordered from another room is a withdrawal there."""
        placed = [lane for lane in self.lanes if lane.decide()]
        sources = [lane.source for lane in placed if lane.source is not None]
        for room in dict.fromkeys(sources):
            room.withdrawn()


class Lane:
    """One way to a stock room. Units: `on_order` (ordered, not received), `owed` (not even sent by a source room)."""

    def __init__(self, room: StockRoom, source: str, lead: Dist, *, express: bool) -> None:
        shop = room.shop
        self.room, self.shop, self.express = room, shop, express
        self.source = shop.rooms.get(source)
        self.priority = room.spec.priority
        self.on_order = self.owed = self._placed = 0
        self._under_way: list[tuple[float, int]] = []  # (when it arrives, units)
        self._unsent: list[tuple[Paper, int]] = []
        tick, twist = shop.plant.tick_s, shop.twist
        name = f"{room.spec.id}/express" if express else room.spec.id
        self._lead = Sampler(stream(shop.seed, f"lead {name}"), lead, tick, twist.lead_scale, twist.lead_cv)
        self.promised_s = mean_of(lead) * tick
        self._supplier = next((s for s in shop.plant.suppliers if s.id == source), None)
        self._late: Sampler | None = None
        self._luck = stream(shop.seed, f"late {name}")
        if self._supplier is not None and self._supplier.late is not None:
            rng = stream(shop.seed, f"lateness {name}")
            self._late = Sampler(rng, self._supplier.late, tick, twist.lead_scale, twist.lead_cv)
        if self.source is not None:
            self.source.outlets.append(self)
        self._prefix = ("PX" if express else "PO") if self.source is None else ("TX" if express else "TO")

    # how much ----------------------------------------------------------------------------------

    def decide(self) -> bool:
        """Order what the policy in force asks for; is there an order?"""
        q = self._express_quantity() if self.express else self._quantity()
        if q <= 0:
            return False
        terms = self.room.spec.express if self.express else self.room.spec
        assert terms is not None  # an express lane has its terms
        q = max(q, terms.least)
        self._order(-(-q // terms.multiple) * terms.multiple)
        return True

    def _setting(self, name: str) -> int:
        return self.shop.settings[f"stocks.{self.room.spec.id}.{name}"]

    def _quantity(self) -> int:
        room, spec = self.room, self.room.spec
        position = room.on_hand - room.backorders - room.owed + room.on_order
        if spec.policy == "base_stock":
            return self._setting("level") - position
        if position > self._setting("reorder"):
            return 0
        if spec.policy == "s_S":
            return self._setting("level") - position
        assert spec.quantity is not None  # r_Q
        return ((self._setting("reorder") - position) // spec.quantity + 1) * spec.quantity

    def _express_quantity(self) -> int:
        """Up to the express level, on what will be there within the express lead time (dates are confirmed)."""
        room = self.room
        horizon = self.shop.env.now + self.promised_s
        soon = sum(n for lane in room.lanes if not lane.express for due, n in lane._under_way if due <= horizon)
        return self._setting("express") - (room.on_hand - room.backorders - room.owed + self.on_order + soon)

    # how it comes ------------------------------------------------------------------------------

    def _order(self, quantity: int) -> None:
        room, now = self.room, self.shop.env.now
        self._placed += 1
        room.orders += 1
        room.ordered += quantity
        self.on_order += quantity
        supplier = self._supplier.id if self._supplier is not None else self.source.spec.id if self.source else ""
        order: Paper = {"doc": f"{self._prefix}-{room.spec.id}-{self._placed}", "item": room.spec.item}
        ready = self._ready(quantity)
        order |= {"stock": room.spec.id, "quantity": quantity, "supplier": supplier, "open": quantity}
        order |= {"issued_s": now, "due_s": ready + self.promised_s}
        room.open_orders[order["doc"]] = order
        self.shop.papers.append({"kind": "purchase_order", **order})
        if self.source is None:
            self._send([(order, quantity)], ready - now + self._travel())
            return
        self._unsent.append((order, quantity))
        self.owed += quantity
        self.serve()

    def _ready(self, quantity: int) -> float:
        """When the supplier has made the quantity."""
        now, supplier = self.shop.env.now, self._supplier
        if supplier is None or not supplier.unit_ticks:
            return now
        self.shop.busy[supplier.id] = max(now, self.shop.busy[supplier.id]) + (
            quantity * supplier.unit_ticks * self.shop.plant.tick_s
        )
        return self.shop.busy[supplier.id]

    def _travel(self) -> float:
        seconds, supplier = self._lead(), self._supplier
        if supplier is not None and self._late is not None and self._luck.random() >= supplier.reliability:
            seconds += self._late()
        return seconds

    def serve(self) -> None:
        """The source room sends what it has of what it owes, as one shipment."""
        assert self.source is not None  # only rooms serve
        n = min(self.owed, self.source.on_hand)
        if n <= 0:
            return
        self.source.on_hand -= n
        self.owed -= n
        sent: list[tuple[Paper, int]] = []
        while n > 0:
            order, left = self._unsent.pop(0)
            part = min(n, left)
            n -= part
            if part < left:
                self._unsent.insert(0, (order, left - part))
            sent.append((self._notice(order, part), part))
        self._send(sent, self._travel())

    def _notice(self, order: Paper, quantity: int) -> Paper:
        """Tell of a shipment that serves an order, wholly or in part."""
        now = self.shop.env.now
        order["shipments"] = order.get("shipments", 0) + 1
        number = f"{order['doc']}-{order['shipments']}"
        notice = {**order, "doc": number, "ref": order["doc"], "quantity": quantity, "issued_s": now}
        notice["due_s"] = now + self.promised_s
        self.room.notices[number] = notice
        self.shop.papers.append({"kind": "shipment_notice", **notice})
        return notice

    def _send(self, goods: list[tuple[Paper, int]], seconds: float) -> None:
        entry = (self.shop.env.now + seconds, sum(quantity for _, quantity in goods))
        self._under_way.append(entry)
        self.shop.env.process(self._deliver(goods, seconds, entry))

    def _deliver(self, goods: list[tuple[Paper, int]], seconds: float, entry: tuple[float, int]) -> Steps:
        yield self.shop.env.timeout(seconds)
        yield from self.shop.turn("receive")
        self._under_way.remove(entry)
        n = entry[1]
        self.on_order -= n
        for paper, quantity in goods:
            self._receipt(paper, quantity)
        self.room.receive(n)

    def _receipt(self, paper: Paper, quantity: int) -> None:
        room = self.room
        number = str(paper.get("ref", paper["doc"]))
        order = room.open_orders[number]
        order["open"] -= quantity
        if order["open"] == 0:
            del room.open_orders[number]
        room.notices.pop(paper["doc"], None)
        receipt = {"kind": "goods_receipt", **paper, "quantity": quantity, "received_s": self.shop.env.now}
        self.shop.papers.append(receipt | {"ref": number, "closes": order["open"] == 0})
