"""Releases in the SimPy reference model: when which product enters the line, and what leaving it counts.

Section "Release" of docs/kernel.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sim.draws import ONE
from sim.plant import Group, Product
from sim.reference_clock import ARRIVAL, DUE, Level, Part, Parts, Shared, Wakeable, known
from sim.reference_demand import next_line
from sim.reference_queue import choose
from sim.reference_stock import withdraw
from sim.state import INFINITY, NO_LIMIT, NOBODY

if TYPE_CHECKING:
    from sim.reference_calendar import WorkCalendar
    from sim.reference_floor import WorkCenter
    from sim.reference_stock import StockPoint
    from sim.reference_unit import WorkUnit


class ProductGroup:
    """Products that share a cap on what is released and unfinished, and take turns by their shares of the mix."""

    def __init__(self, spec: Group) -> None:
        self.spec = spec
        self.cap = spec.cap
        self.wip = 0
        self.members: list[ProductLine] = []
        """Its products, in the order of the plant file."""
        self.share: dict[ProductLine, int] = {}

    def has_room(self, lot: int) -> bool:
        """Does the cap allow a lot more?"""
        return self.wip + lot <= self.cap

    def is_turn(self, product: ProductLine) -> bool:
        """Is no other product that could be released further behind its share (ties: the first in the file)?"""
        own = self.share[product]
        for other in self.members:
            if other is product or not other.could_be_released():
                continue
            done, needed = other.released * own, product.released * self.share[other]
            if done < needed or (done == needed and other.rank < product.rank):
                return False
        return True


class ProductLine(Wakeable):
    """A product: it decides when its next lot enters the line, and counts what leaves it."""

    def __init__(self, shared: Shared, spec: Product, rank: int, parts: Parts) -> None:
        self.shared = shared
        self.spec = spec
        self.rank = rank
        self.parts = parts
        self.first: list[WorkCenter] = []
        """The stations that may do its first operation, in file order."""
        self.fills: StockPoint | None = None
        self.consumes: list[tuple[StockPoint, int]] = []
        self.calendar: WorkCalendar | None = None
        """Where it has one, and is released by cap or into an empty queue, its hours of release."""
        self.group: ProductGroup | None = None
        self.units: Sequence[WorkUnit] = ()
        """All units of the plant, in order."""
        self.cap = NO_LIMIT if spec.release.cap is None else spec.release.cap
        self.base_stock = NOBODY if spec.release.base_stock is None else spec.release.base_stock
        """Base stock of the release, NOBODY where there is none."""
        self.arrival_scale = ONE
        self.pending = 0
        self.held = False
        self.order_at = self.order_taken = self.order_done = 0
        self.wip = Level(shared.clock, since=shared.clock.now)
        self.released = self.finished = self.scrapped = self.flow_sum = self.tardy = self.tardy_sum = 0

    # --- what a release depends on

    def is_open(self) -> bool:
        """May lots be released at this time of the day?"""
        return self.calendar is None or self.calendar.is_open

    def is_supplied(self) -> bool:
        """Is everything on hand that a lot consumes?"""
        return all(stock.on_hand.value >= quantity * self.spec.lot for stock, quantity in self.consumes)

    def is_below_limits(self) -> bool:
        """Do the product's own cap and base stock allow one more lot?"""
        if self.wip.value + self.spec.lot > self.cap:
            return False
        if self.base_stock == NOBODY or self.fills is None:
            return True
        return self.fills.on_hand.value - self.fills.backorders.value + self.wip.value < self.base_stock

    def could_be_released(self) -> bool:
        """Could it be released but for room on the floor and in its group?"""
        return self.is_open() and self.is_supplied() and self.is_below_limits()

    def decision_allows(self) -> bool:
        """Is one more lot allowed by decision: by the plant file's policy, or by rules of the plant's own?"""
        return self.shared.rules.may_release(self)

    def policy_allows(self) -> bool:
        """Do cap and base stock, its own and its group's, allow one more lot?"""
        if self.spec.release.policy != "conwip":
            return True
        return self.is_below_limits() and (self.group is None or self.group.has_room(self.spec.lot))

    def place_for_lot(self) -> WorkCenter | None:
        """The first station of the next lot, if it can take all of it."""
        center = choose(self, self.first)
        return center if center is not None and center.has_room(self.spec.lot // self.spec.transfer) else None

    def may_enter(self, center: WorkCenter) -> bool:
        """Does everything but room allow the release of a lot to this station?"""
        if not (self.is_open() and self.is_supplied() and self.decision_allows()):
            return False
        policy = self.spec.release.policy
        if policy == "saturated":
            return not center.queue
        if policy == "conwip":
            return self.group is None or self.group.is_turn(self)
        return self.pending > 0

    def handle(self) -> set[Wakeable]:
        """Release one lot if that is allowed, then see whether the decision alone holds the next one back."""
        woken: set[Wakeable] = set()
        center = self.place_for_lot()
        if center is not None and self.may_enter(center):
            woken = self.release(center)
        held = self.is_open() and self.is_supplied() and not self.decision_allows()
        if held != self.held:
            self.held = held
            for first in self.first:
                first.review_free_units()
        return woken | self.stop_surplus()

    def stop_surplus(self) -> set[Wakeable]:
        """Stop the work on parts that the base stock does not ask for any more, last unit first. Returns whom that
        wakes.
        """
        woken: set[Wakeable] = set()
        if not self.spec.release.stops or self.fills is None or self.base_stock == NOBODY:
            return woken
        for unit in reversed(self.units):
            position = self.fills.on_hand.value - self.fills.backorders.value + self.wip.value
            if position - self.spec.lot >= self.base_stock and unit.is_stoppable(self):
                woken |= unit.stop()
        return woken

    def release(self, center: WorkCenter) -> set[Wakeable]:
        """Put one lot before its first station. Returns whom that wakes."""
        lot = self.spec.lot
        woken: set[Wakeable] = {center, *center.room_gone(), *self.who_may_follow()}
        woken |= withdraw([(stock, quantity * lot) for stock, quantity in self.consumes])
        self.count(lot)
        self.released += lot
        due = self.due_date()
        for _ in range(lot // self.spec.transfer):
            part = self.parts.create(self)
            part.due = due
            center.join(part)
        return woken

    def due_date(self) -> int:
        """Due date of the lot that is released now (INFINITY: none); a pending one is used up."""
        if self.spec.release.policy in ("push", "orders"):
            self.pending -= 1
        if self.spec.release.policy == "orders":
            line = self.spec.release.orders[self.order_taken]
            self.order_done += 1
            if self.order_done == line.quantity:
                self.order_taken += 1
                self.order_done = 0
            return INFINITY if line.due is None else line.due
        if self.spec.due is None:
            return INFINITY
        return self.shared.clock.now + self.shared.luck.duration(self.spec.due, self.spec.id, DUE, ONE)

    # --- arrivals

    def following(self) -> int | None:
        """Ticks until the next arrival; None where there is none any more."""
        release = self.spec.release
        if release.policy == "orders":
            return next_line(release.orders, self.order_at, self.shared.clock.now)
        return self.shared.luck.duration(known(release.arrivals), self.spec.id, ARRIVAL, self.arrival_scale)

    def arrive(self) -> set[Wakeable]:
        """A lot, or those of a line of the order list, wait to be released."""
        if self.spec.release.policy == "orders":
            self.pending += self.spec.release.orders[self.order_at].quantity
            self.order_at += 1
        else:
            self.pending += 1
        return {self}

    # --- leaving

    def count(self, units: int) -> None:
        """Units enter the system, or leave it."""
        self.wip.add(units)
        if self.group is not None:
            self.group.wip += units

    def finish(self, part: Part) -> set[Wakeable]:
        """A part is ready: it leaves the line, into stock where there is one. Returns whom that wakes."""
        now, units = self.shared.clock.now, self.spec.transfer
        self.finished += units
        self.flow_sum += units * (now - part.released)
        if now > part.due:
            self.tardy += units
            self.tardy_sum += units * (now - part.due)
        woken = self._leave(part)
        return woken if self.fills is None else woken | self.fills.receive(units)

    def scrap(self, part: Part) -> set[Wakeable]:
        """A part is lost. Returns whom that wakes."""
        self.scrapped += self.spec.transfer
        return self._leave(part)

    def _leave(self, part: Part) -> set[Wakeable]:
        self.count(-self.spec.transfer)
        self.parts.free(part)
        return self.who_may_follow()

    def who_may_be_misled(self) -> set[Wakeable]:
        """Whom to wake when something that its release depends on is gone: it may be held back by more than the
        decision now, and in a group it may be another one's turn.
        """
        if self.group is not None:
            return {*self.group.members}
        return {self} if self.held else set()

    def who_may_follow(self) -> set[Wakeable]:
        """The products that may be released when the system or its group has changed: itself and its group."""
        return {self} if self.group is None else {self, *self.group.members}
