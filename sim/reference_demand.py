"""Customers of the SimPy reference model: when they order, how much, and what happens to what cannot be met at once.

Section "Demand event" and "Season" of docs/kernel.md.
"""

from __future__ import annotations

from dataclasses import dataclass

from sim.draws import ONE
from sim.plant import Demand
from sim.plant import Order as Line
from sim.reference_clock import DEMAND, QUANTITY, Level, Shared, Wakeable
from sim.reference_stock import StockPoint
from sim.state import INFINITY


class Season:
    """Demand that is faster in some hours of the local week than in others.

    `factors`: rate in each of the 168 hours over the stated rate; `hour`: its ticks; `start`: ticks of the week that
    had passed at tick 0.
    """

    def __init__(self, factors: tuple[float, ...], hour: int, start: int) -> None:
        self.factors = [round(factor * 2**16) for factor in factors]
        self.hour = hour
        self.start = start

    def after(self, now: int, worth: int) -> int:
        """The tick at which `worth` ticks at the stated rate have passed since `now`."""
        while True:
            hours, into = divmod(self.start + now, self.hour)
            factor = self.factors[hours % 168]
            left = self.hour - into
            rest_of_hour = (left * factor) >> 16
            if worth < rest_of_hour:
                return now - (-worth << 16) // factor  # rounded up
            worth -= rest_of_hour
            now += left


@dataclass(slots=True)
class Promise:
    """Units of one order that wait, and the tick by which they were promised (INFINITY: no date)."""

    due: int
    quantity: int


class Customer:
    """Orders on one stock, from a distribution or from a book."""

    def __init__(self, shared: Shared, spec: Demand, stock: StockPoint, places: int) -> None:
        self.shared = shared
        self.spec = spec
        self.stock = stock
        self.places = places
        self.season: Season | None = None
        self.book_at = 0
        self.scale = ONE
        self.waiting = Level(shared.clock, since=shared.clock.now)
        self.promises: list[Promise] = []
        """What waits with a date, the oldest order first (where the customer is promised dates)."""
        self.asked = self.served = self.lost_units = self.late_units = self.late_sum = 0

    @property
    def is_promised(self) -> bool:
        """Is the customer promised dates?"""
        return self.spec.due is not None or any(line.due is not None for line in self.spec.book)

    def following(self) -> int | None:
        """Ticks until the next order; None where there is none any more."""
        now = self.shared.clock.now
        if self.spec.arrivals is None:
            return next_line(self.spec.book, self.book_at, now)
        worth = self.shared.luck.duration(self.spec.arrivals, self.spec.id, DEMAND, self.scale)
        return worth if self.season is None else self.season.after(now, worth) - now

    def order(self) -> set[Wakeable]:
        """One order. Returns whom that wakes."""
        line: Line | None = None
        if self.spec.arrivals is None:
            line = self.spec.book[self.book_at]
            self.book_at += 1
            quantity = line.quantity
        else:
            quantity = self.shared.luck.choice(self.spec.quantity, self.spec.id, QUANTITY)
        stock = self.stock
        stock.demanded += quantity
        self.asked += quantity
        met = min(stock.on_hand.value, quantity)
        stock.on_hand.add(-met)
        stock.met += met
        stock.shipped += met
        self.served += met
        self._leave_unmet(quantity - met, line)
        return stock.drawn_on()

    def _leave_unmet(self, rest: int, line: Line | None) -> None:
        """What is not there is lost or waits: of an order that finds too few places the units that fit."""
        if self.spec.unmet == "lost":
            places = 0
        elif self.spec.most is None:
            places = rest
        else:
            places = max(self.spec.most - self.waiting.value, 0)
        lost = max(rest - places, 0)
        self.stock.lost += lost
        self.lost_units += lost
        rest -= lost
        if rest == 0:
            return
        self.stock.backorders.add(rest)
        self.waiting.add(rest)
        if self.is_promised:
            if len(self.promises) == self.places:
                raise OverflowError(f"demand {self.spec.id}: more than {self.places} late customer orders")
            self.promises.append(Promise(self._date(line), rest))

    def _date(self, line: Line | None) -> int:
        if line is not None and line.due is not None:
            return line.due
        return INFINITY if self.spec.due is None else self.shared.clock.now + self.spec.due

    def serve(self, available: int) -> int:
        """Take what waits, as far as there is something; returns how many units were shipped."""
        sent = min(self.waiting.value, available)
        self.waiting.add(-sent)
        self.stock.backorders.add(-sent)
        self.stock.shipped += sent
        self._settle(sent)
        return sent

    def _settle(self, sent: int) -> None:
        """Shipped units come off the oldest orders; those after their date are late."""
        now = self.shared.clock.now
        while sent and self.promises:
            oldest = self.promises[0]
            units = min(sent, oldest.quantity)
            sent -= units
            oldest.quantity -= units
            if now > oldest.due:
                self.late_units += units
                self.late_sum += units * (now - oldest.due)
            if oldest.quantity == 0:
                self.promises.pop(0)


def next_line(lines: tuple[Line, ...], at: int, now: int) -> int | None:
    """Ticks until line `at` of an order list or book becomes known; None after the last."""
    return None if at == len(lines) else max(lines[at].at - now, 0)
