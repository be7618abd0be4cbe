"""Orders on a shop floor that reports work, not parts: what is open, where it is, and the twin state this makes.

A cursor over the journal's `/event` rows of kinds `report_start` and `report_complete` (see `plantwin replay`); both
assert, so a repeated one changes nothing, and the completion of a report whose start was lost implies the start.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from sim.compile import Compiled
from sim.facts import Facts, PartFacts, UnitFacts

DAY_MS = 86_400_000


@dataclass(slots=True)
class Order:
    """One order: first report (plant ms), reports running (activity -> start), the last completed report."""

    first: int
    running: dict[str, int] = field(default_factory=dict)
    last_activity: str = ""
    last_time: int = 0
    finished: int | None = None


@dataclass(slots=True)
class OrderBook:
    """Open and finished orders. `last` is the activity whose first completed report finishes an order."""

    last: str = "packing"
    abandoned_ms: int = 14 * DAY_MS
    orders: dict[str, Order] = field(default_factory=dict)
    now: int = 0
    late: int = 0

    def apply(self, t: int, kind: str, order: str, activity: str) -> None:
        """Take in one report event at plant time `t` (ms). Events of one order may come out of order; those before its state only count."""
        self.now = max(self.now, t)
        entry = self.orders.setdefault(order, Order(first=t))
        entry.first = min(entry.first, t)
        if kind == "report_start":
            if t >= entry.last_time or activity != entry.last_activity:
                entry.running[activity] = t
            else:
                self.late += 1
        elif kind == "report_complete":
            entry.running.pop(activity, None)
            if t >= entry.last_time:
                entry.last_time, entry.last_activity = t, activity
            else:
                self.late += 1
            if activity == self.last and (entry.finished is None or t < entry.finished):
                entry.finished = t

    def open(self, now: int) -> dict[str, Order]:
        """Orders neither finished nor without any report for so long that they count as gone."""
        return {
            name: o
            for name, o in self.orders.items()
            if o.finished is None and (o.running or now - o.last_time < self.abandoned_ms)
        }

    def at(self, order: Order) -> str:
        """The work center an open order is at: where it is worked on, else where it was last."""
        return max(order.running, key=lambda a: order.running[a]) if order.running else order.last_activity

    def wip(self, now: int) -> Counter[str]:
        """Open orders per work center."""
        return Counter(self.at(o) for o in self.open(now).values())

    def completions(self, begin: int, end: int) -> int:
        """Orders finished in [begin, end) plant ms."""
        return sum(o.finished is not None and begin <= o.finished < end for o in self.orders.values())


def facts(book: OrderBook, compiled: Compiled, now: int, aliases: dict[str, str], other: str = "other") -> Facts:
    """The open orders as parts of a drafted plant: worked on at CENTER, or in the delay `after-CENTER`.

    An activity the draft has never seen stands at `other`, or at its most common center where it has no such one.
    """
    stations = {s.id: s for s in compiled.plant.stations}
    tick = round((now - compiled.start_ms) / compiled.tick_ms)
    units: dict[tuple[str, int], UnitFacts] = {}
    queues: dict[str, list[PartFacts]] = {}
    used: Counter[str] = Counter()
    product = compiled.plant.products[0].id
    fallback = other if other in stations else next(s for s in stations if f"after-{s}" in stations)
    for name, order in sorted(book.open(now).items()):
        at = aliases.get(book.at(order), fallback)
        if not order.running and f"after-{at}" in stations:
            at = f"after-{at}"
        began = max(order.running.values()) if order.running else order.last_time
        part = PartFacts(product, at, round((order.first - compiled.start_ms) / compiled.tick_ms))
        used[at] += 1
        if used[at] <= stations[at].units:
            worked = round((now - began) / compiled.tick_ms)
            units[(at, used[at])] = UnitFacts("work", part, worked=worked, since=tick - worked)
        else:
            queues.setdefault(at, []).append(part)
        del name
    return Facts(tick=tick, units=units, queues={s: tuple(q) for s, q in queues.items()})
