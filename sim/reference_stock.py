"""Stock points of the SimPy reference model, and the lanes that fill them from suppliers and from other stocks.

Section "Stocks" of docs/kernel.md: claims, withdrawals that go upwards, what is ordered, and what is on its way.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import index
from typing import TYPE_CHECKING, Protocol

from sim import distributions
from sim.draws import ONE
from sim.plant import Dist, Express, Stock, Supplier
from sim.reference_clock import LATE, LATENESS, LEAD, Level, Life, Shared, Wakeable, known
from sim.state import K_DELIVERY, K_REVIEW, NOBODY

if TYPE_CHECKING:
    from sim.reference_floor import WorkCenter
    from sim.reference_release import ProductLine


class Claim(Protocol):
    """Someone whom a stock owes units: a customer, or a lane to another stock."""

    def serve(self, available: int) -> int:
        """Take up to `available` units of what is owed; returns how many."""
        ...


class Vendor:
    """A supplier: it makes one order after the other where its capacity is limited, and some it delivers late."""

    def __init__(self, shared: Shared, spec: Supplier) -> None:
        self.shared = shared
        self.spec = spec
        self.busy_until = 0

    def ready(self, quantity: int) -> int:
        """Tick at which an order of `quantity` units placed now is made and leaves."""
        now = self.shared.clock.now
        if self.spec.unit_ticks == 0:
            return now
        self.busy_until = max(now, self.busy_until) + quantity * self.spec.unit_ticks
        return self.busy_until

    def lateness(self, lane: Lane) -> int:
        """Ticks by which an order in this lane is late."""
        if self.spec.reliability >= 1:
            return 0
        number = self.shared.luck.word(lane.name, LATE) >> 32
        if number < round(self.spec.reliability * 2**32):
            return 0
        return self.shared.luck.duration(known(self.spec.late), lane.name, LATENESS, lane.stock.lead_scale)


@dataclass(slots=True)
class Order:
    """Units on their way."""

    quantity: int
    due: int


class Lane:
    """One way of supply to a stock. Its source, a supplier or a stock, may owe units that it has not yet shipped."""

    def __init__(self, shared: Shared, stock: StockPoint, terms: Stock | Express, places: int) -> None:
        self.shared = shared
        self.stock = stock
        self.name = stock.spec.id if isinstance(terms, Stock) else f"{stock.spec.id}/express"
        self.slot = shared.slots[K_DELIVERY, self.name]
        self.lead: Dist = known(terms.lead)
        self.least, self.multiple = terms.least, terms.multiple
        self.vehicle = terms.vehicle if isinstance(terms, Stock) else 0
        self.source_id = terms.source
        self.source: Vendor | StockPoint | None = None
        """Who supplies it (set when all stocks and suppliers are there)."""
        self.on_order = 0
        self.owed = 0
        self.orders = self.ordered = 0
        self.transit: list[Order | None] = [None] * places

    @property
    def mean_lead(self) -> int:
        """Mean lead time in whole ticks."""
        return round(distributions.mean(self.lead))

    def begin(self) -> None:
        """Start the deliveries of what is on its way."""
        for place, order in enumerate(self.transit):
            if order is not None:
                self.shared.clock.env.process(self.deliver(place, order))

    def order(self, wanted: int) -> bool:
        """Order `wanted` units, in the lane's lots; says whether there was anything to order."""
        if wanted <= 0:
            return False
        quantity = max(wanted, self.least)
        quantity = -(-quantity // self.multiple) * self.multiple
        self.orders += 1
        self.ordered += quantity
        self.on_order += quantity
        if self.vehicle:
            self.owed += quantity
        elif isinstance(source := self.source, Vendor):
            ready = source.ready(quantity)
            due = ready + self._draw_lead() + source.lateness(self)
            self._dispatch(Order(quantity, due))
        elif source is not None:
            sent = min(source.on_hand.value, quantity)
            self.owed += quantity - sent
            source.on_hand.add(-sent)
            self._ship(sent)
        return True

    def serve(self, available: int) -> int:
        """Ship what is owed, as far as there is something (no vehicle comes for that); returns how many units."""
        if self.vehicle:
            return 0
        sent = min(self.owed, available)
        self.owed -= sent
        self._ship(sent)
        return sent

    def load_vehicle(self) -> bool:
        """The vehicle leaves the source with as much as is owed, on hand there, and fits in; was that anything?"""
        sent = min(self.owed, self.vehicle)
        if isinstance(source := self.source, StockPoint):
            sent = min(sent, source.on_hand.value)
            source.on_hand.add(-sent)
        if sent == 0:
            return False
        self.owed -= sent
        if isinstance(source, Vendor):
            self._dispatch(Order(sent, source.ready(sent) + self._draw_lead() + source.lateness(self)))
        else:
            self._ship(sent)
        return True

    def due_by(self, tick: int) -> int:
        """Units on their way that arrive at `tick` or before."""
        return sum(order.quantity for order in self.transit if order is not None and order.due <= tick)

    def _draw_lead(self) -> int:
        return self.shared.luck.duration(self.lead, self.name, LEAD, self.stock.lead_scale)

    def _ship(self, quantity: int) -> None:
        """The source stock sends units (none: nothing happens)."""
        if quantity:
            self._dispatch(Order(quantity, self.shared.clock.now + self._draw_lead()))

    def _dispatch(self, order: Order) -> None:
        """Put an order on its way, at the first empty place of the table."""
        place = next((i for i, other in enumerate(self.transit) if other is None), None)
        if place is None:
            raise OverflowError(f"lane {self.name}: more than {len(self.transit)} orders in transit")
        self.transit[place] = order
        self.stock.in_transit.add(order.quantity)
        self.shared.clock.env.process(self.deliver(place, order))

    def deliver(self, place: int, order: Order) -> Life:
        """Bring an order when it is due; of those due at the same tick, the one at the lowest place comes first."""
        clock = self.shared.clock
        yield clock.timer(self.slot, order.due - clock.now, place / len(self.transit))
        self.transit[place] = None
        self.on_order -= order.quantity
        self.stock.in_transit.add(-order.quantity)
        self.shared.settle(self.stock.receive(order.quantity))


class StockPoint:
    """A stock: filled by the line or through lanes, drawn on by releases, operations, customers and lanes."""

    def __init__(self, shared: Shared, spec: Stock, places: int, periods: int) -> None:
        self.shared = shared
        self.spec = spec
        now = shared.clock.now
        self.on_hand = Level(shared.clock, spec.initial, since=now)
        self.backorders = Level(shared.clock, since=now)
        self.in_transit = Level(shared.clock, since=now)
        self.level = spec.level or 0
        self.reorder = spec.reorder or 0
        self.express_level = spec.express.level if spec.express else 0
        self.lead_scale = ONE
        self.regular = Lane(shared, self, spec, places) if spec.source != "line" else None
        self.express = Lane(shared, self, spec.express, places) if spec.express else None
        self.filler: ProductLine | None = None
        self.users: list[ProductLine] = []
        """Products that consume it when they are released."""
        self.needers: list[WorkCenter] = []
        """Stations with an operation that needs it."""
        self.claims: list[Claim] = []
        """All who may be owed units, in the order in which they are served."""
        self.lanes_out: list[Lane] = []
        """The lanes that it is the source of."""
        self.downstream: list[StockPoint] = []
        """The stocks that are supplied from here, directly or through others, by their regular lanes."""
        self.next_review = 0
        self.seen = 0
        self.past = [0] * periods
        self.demanded = self.met = self.shipped = self.lost = self.received = 0

    @property
    def lanes(self) -> list[Lane]:
        """The ways in which it is supplied, in the order of decisions."""
        return [lane for lane in (self.express, self.regular) if lane is not None]

    @property
    def is_continuous(self) -> bool:
        """Is an order decided on at every withdrawal?"""
        return self.regular is not None and self.spec.review is None

    @property
    def on_order(self) -> int:
        """Units ordered and not yet received, in all lanes."""
        return sum(lane.on_order for lane in self.lanes)

    @property
    def owed(self) -> int:
        """Units that it owes to other stocks."""
        return sum(lane.owed for lane in self.lanes_out)

    def begin(self) -> None:
        """Start deliveries and reviews."""
        for lane in self.lanes:
            lane.begin()
        if self.regular is not None and self.spec.review is not None:
            self.shared.clock.env.process(self.review(self.spec.review))

    # --- goods in and out

    def receive(self, quantity: int) -> set[Wakeable]:
        """Goods come in and those who wait are served. Returns whom that wakes."""
        self.received += quantity
        self.on_hand.add(quantity)
        for claim in self.claims:
            self.on_hand.add(-claim.serve(self.on_hand.value))
        woken: set[Wakeable] = {*self.users, *self.needers}
        return woken if self.filler is None else woken | {self.filler}

    def drawn_on(self) -> set[Wakeable]:
        """Less is on hand, or more is owed: order, here and upwards. Returns whom that wakes."""
        woken = self.misled() if self.filler is None else {self.filler, *self.misled()}
        asked = self.replenish() if self.is_continuous else []
        source = None if self.regular is None else self.regular.source
        if isinstance(source, StockPoint) and source.spec.echelon and source not in asked:
            asked.append(source)
        return woken | draw_on(asked)

    def misled(self) -> set[Wakeable]:
        """Those who count on units that may be gone: they must look again at what holds them back."""
        woken = {one for product in self.users for one in product.who_may_be_misled()}
        return woken | {center for center in self.needers if center.asked != NOBODY or center.is_barred}

    # --- decisions

    def review(self, period: int) -> Life:
        """Look at the stock at `next_review` and then every period."""
        clock = self.shared.clock
        while True:
            yield clock.timer(self.shared.slots[K_REVIEW, self.spec.id], self.next_review - clock.now)
            self.next_review = clock.now + period
            if self.spec.policy == "forecast":
                self.forecast()
            self.shared.settle(draw_on(self.replenish()))

    def forecast(self) -> None:
        """Set the level from the mean demand of the last periods."""
        window = self.spec.window
        self.past[:window] = [self.demanded - self.seen, *self.past[: window - 1]]
        self.seen = self.demanded
        mean = sum(self.past) * round(self.spec.cover * 2**16) // window
        self.level = ((mean + 2**15) >> 16) + self.spec.safety

    def replenish(self) -> list[StockPoint]:
        """Decide for the express lane, then for the regular one, and let the vehicle leave. Returns the stocks that
        something was ordered or taken from.
        """
        asked: list[StockPoint] = []
        if self.express is not None and self.express.order(self.express_wish()):
            asked += _stocks(self.express)
        if self.regular is not None:
            moved = self.regular.order(index(self.shared.rules.order_quantity(self)))
            if self.regular.load_vehicle() or moved:
                asked += [stock for stock in _stocks(self.regular) if stock not in asked]
        return asked

    def net(self) -> int:
        """What is on hand beyond what is owed to customers and to other stocks."""
        return self.on_hand.value - self.backorders.value - self.owed

    def position(self) -> int:
        """Inventory position: of the stock itself, or of everything from here downwards."""
        if not self.spec.echelon:
            return self.net() + self.on_order
        total = self.on_order + self.on_hand.value - self.backorders.value
        for stock in self.downstream:
            coming = stock.on_order - sum(lane.owed for lane in stock.lanes)
            total += stock.on_hand.value + coming - stock.backorders.value
        return total

    def policy_wish(self) -> int:
        """Units that the policy wants to order in the regular lane (none where 0 or below)."""
        if self.spec.policy == "constant_order":
            return self.level
        position = self.position()
        if self.spec.policy == "s_S":
            return self.level - position if position <= self.reorder else 0
        if self.spec.policy == "r_Q":
            lot = known(self.spec.quantity)
            return ((self.reorder - position) // lot + 1) * lot if position <= self.reorder else 0
        return self.level - position

    def express_wish(self) -> int:
        """Units that the express lane should bring, given what will be there within its own lead time."""
        express = known(self.express)
        soon = known(self.regular).due_by(self.shared.clock.now + express.mean_lead)
        return self.express_level - (self.net() + express.on_order + soon)


def _stocks(lane: Lane) -> list[StockPoint]:
    """The stock that supplies a lane, where it is one."""
    return [lane.source] if isinstance(lane.source, StockPoint) else []


def withdraw(taken: Sequence[tuple[StockPoint, int]]) -> set[Wakeable]:
    """A release or an operation takes units that are on hand: all of them before any stock orders, lest that order
    take what is needed from another one. Returns whom that wakes.
    """
    for stock, quantity in taken:
        stock.on_hand.add(-quantity)
    return draw_on(stock for stock, _ in taken)


def draw_on(stocks: Iterable[StockPoint]) -> set[Wakeable]:
    """Something was ordered from these stocks, or their position fell. Returns whom that wakes."""
    woken: set[Wakeable] = set()
    for stock in stocks:
        woken |= stock.drawn_on()
    return woken
