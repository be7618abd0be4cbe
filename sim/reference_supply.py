"""What comes in and goes out in the SimPy reference model: releases, stocks, suppliers, arrivals and demands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sim.draws import LEAD, ONE
from sim.plant import Product, Stock
from sim.reference_clock import Level, Life, Part, Parts, Shared, Wakeable, known
from sim.state import K_DELIVERY, K_REVIEW, NOBODY

if TYPE_CHECKING:
    from sim.reference_floor import WorkCalendar, WorkCenter


class ProductLine(Wakeable):
    """A product: it decides when its next part enters the line, and counts what leaves it."""

    def __init__(self, shared: Shared, spec: Product, rank: int, parts: Parts) -> None:
        self.shared = shared
        self.spec = spec
        self.rank = rank
        self.parts = parts
        self.route: list[WorkCenter] = []
        self.fills: StockPoint | None = None
        self.consumes: list[tuple[StockPoint, int]] = []
        self.calendar: WorkCalendar | None = None
        self.cap = 0
        self.base_stock = NOBODY
        """Base stock of the release, NOBODY where there is none."""
        self.arrival_scale = ONE
        self.pending = 0
        self.held = False
        self.wip = Level(shared.clock, since=shared.clock.now)
        self.released = self.finished = self.scrapped = self.flow_sum = 0

    def is_open(self) -> bool:
        """May parts be released at this time of the day? (A push product's clock pauses instead.)"""
        return self.spec.release.policy == "push" or self.calendar is None or self.calendar.is_open

    def is_supplied(self) -> bool:
        """Is everything on hand that a release consumes?"""
        return all(stock.on_hand.value >= quantity for stock, quantity in self.consumes)

    def decision_allows(self) -> bool:
        """Do cap and base stock allow one more part?"""
        if self.spec.release.policy != "conwip":
            return True
        if self.wip.value >= self.cap:
            return False
        if self.base_stock == NOBODY or self.fills is None:
            return True
        return self.fills.on_hand.value - self.fills.backorders.value + self.wip.value < self.base_stock

    def may_release(self) -> bool:
        """Does everything allow the release of a part now?"""
        first = self.route[0]
        if not (self.is_open() and first.has_room() and self.is_supplied() and self.decision_allows()):
            return False
        policy = self.spec.release.policy
        return (policy != "push" or self.pending > 0) and (policy != "saturated" or not first.queue)

    def release(self) -> set[Wakeable]:
        """Put one new part before the first station. Returns whom that wakes."""
        if self.spec.release.policy == "push":
            self.pending -= 1
        for stock, quantity in self.consumes:
            stock.withdraw(quantity)
        self.wip.add(1)
        self.released += 1
        self.route[0].join(self.parts.create(self))
        fillers = {stock.filler for stock, _ in self.consumes if stock.filler is not None}
        return {self, self.route[0], *fillers}

    def handle(self) -> set[Wakeable]:
        """Release one part if that is allowed, then see whether the decision alone holds the next one back."""
        woken: set[Wakeable] = set()
        if self.may_release():
            woken = self.release()
        held = self.is_open() and self.is_supplied() and not self.decision_allows()
        if held != self.held:
            self.held = held
            self.route[0].review_free_units()
        return woken

    def arrive(self) -> set[Wakeable]:
        """One more part waits to be released."""
        self.pending += 1
        return {self}

    def finish(self, part: Part) -> set[Wakeable]:
        """A part is ready: it leaves the line, into stock where there is one. Returns whom that wakes."""
        self.finished += 1
        self.flow_sum += self.shared.clock.now - part.released
        self.wip.add(-1)
        self.parts.free(part)
        woken: set[Wakeable] = {self}
        return woken if self.fills is None else woken | self.fills.receive(1)

    def scrap(self, part: Part) -> set[Wakeable]:
        """A part is lost. Returns whom that wakes."""
        self.scrapped += 1
        self.wip.add(-1)
        self.parts.free(part)
        return {self}


@dataclass(slots=True)
class Order:
    """A supplier order in transit."""

    quantity: int
    due: int


class StockPoint:
    """A stock: filled by the line or by a supplier, drawn on by releases and customers."""

    def __init__(self, shared: Shared, spec: Stock, places: int) -> None:
        self.shared = shared
        self.spec = spec
        now = shared.clock.now
        self.on_hand = Level(shared.clock, spec.initial, since=now)
        self.backorders = Level(shared.clock, since=now)
        self.on_order = 0
        self.level = 0 if spec.level is None else spec.level
        self.filler: ProductLine | None = None
        self.users: list[ProductLine] = []
        self.transit: list[Order | None] = [None] * places
        self.lead_scale = ONE
        self.demanded = self.met = self.shipped = self.orders = self.ordered = self.received = 0

    @property
    def is_continuous(self) -> bool:
        """Does every withdrawal place an order?"""
        return self.spec.source != "line" and self.spec.review is None

    def receive(self, quantity: int) -> set[Wakeable]:
        """Goods come in and waiting customers are served. Returns whom that wakes."""
        self.received += quantity
        self.on_hand.add(quantity)
        while self.on_hand.value and self.backorders.value:
            self.on_hand.add(-1)
            self.backorders.add(-1)
            self.shipped += 1
        return {*self.users} if self.filler is None else {*self.users, self.filler}

    def demand(self) -> set[Wakeable]:
        """A customer wants one unit. Returns whom that wakes."""
        self.demanded += 1
        if self.on_hand.value:
            self.on_hand.add(-1)
            self.met += 1
            self.shipped += 1
        else:
            self.backorders.add(1)
        if self.is_continuous:
            self.order_up_to_level()
        return set() if self.filler is None else {self.filler}

    def withdraw(self, quantity: int) -> None:
        """A release takes units that are on hand."""
        self.on_hand.add(-quantity)
        if self.is_continuous:
            self.order_up_to_level()

    def order_up_to_level(self) -> None:
        """Order what brings the inventory position to the level, if anything."""
        quantity = self.level - (self.on_hand.value + self.on_order - self.backorders.value)
        if quantity <= 0:
            return
        lead = self.shared.luck.duration(known(self.spec.lead), self.spec.id, LEAD, self.lead_scale)
        place = next((i for i, order in enumerate(self.transit) if order is None), None)
        if place is None:
            raise OverflowError(f"stock {self.spec.id}: more than {len(self.transit)} orders in transit")
        self.on_order += quantity
        self.orders += 1
        self.ordered += quantity
        self.expect(place, Order(quantity, self.shared.clock.now + lead))

    def expect(self, place: int, order: Order) -> None:
        """An order is on its way, at a place of the table."""
        self.transit[place] = order
        self.shared.clock.env.process(self.deliver(place, order))

    def deliver(self, place: int, order: Order) -> Life:
        """Bring an order when it is due."""
        clock = self.shared.clock
        slot = self.shared.slots[K_DELIVERY, self.spec.id]
        yield clock.timer(slot, order.due - clock.now, place / len(self.transit))
        self.transit[place] = None
        self.on_order -= order.quantity
        self.shared.worklist.settle(self.receive(order.quantity))

    def review(self, first: int) -> Life:
        """Order up to the level at tick `first` and then every review period."""
        clock = self.shared.clock
        slot = self.shared.slots[K_REVIEW, self.spec.id]
        period = known(self.spec.review)
        yield clock.timer(slot, first - clock.now)
        while True:
            self.order_up_to_level()
            yield clock.timer(slot, period)


class Stream:
    """Arrivals or demands: something that happens again and again, but not while its calendar is closed."""

    def __init__(self, shared: Shared, key: tuple[int, str], calendar: WorkCalendar | None) -> None:
        self.shared = shared
        self.slot = shared.slots[key]
        self.calendar = calendar
        self.scale = ONE
        self.left = 0
        """Ticks to go when the clock was last started or paused."""

    @property
    def is_paused(self) -> bool:
        """Does the clock stand still?"""
        return self.calendar is not None and not self.calendar.is_open

    def live(self, draw: Callable[[], int], happen: Callable[[], set[Wakeable]]) -> Life:
        """Wait, paused while closed; draw the next time; let it happen; and again."""
        while True:
            yield from self.wait()
            self.left = draw()
            self.shared.worklist.settle(happen())

    def wait(self) -> Life:
        """Let the time left run out."""
        while True:
            if self.calendar is not None and not self.calendar.is_open:
                yield self.calendar.opening
            timer = self.shared.clock.timer(self.slot, self.left)
            if self.calendar is None:
                yield timer
                return
            yield timer | self.calendar.closing
            if timer.processed:
                return
            self.left = timer.cancel()
