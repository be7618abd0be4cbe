"""The plant file's own reference as the plant: what every tag would say, and the truth, for `plantwin observe`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from sim.compile import Compiled
from sim.plant import Plant, Sensor, Station
from sim.reference import Reference
from sim.reference_unit import WorkUnit
from sim.state import IN_WORK, KINDS

WORK_END = KINDS.index("work_end")
SEVERITY = (5, 2, 4, 1, 0, 3, 6)
"""Which state a station with several units shows when one tag speaks for all of them (work, if any works)."""
Change = tuple[int, dict[str, int]]


@dataclass(slots=True)
class Seen:
    """A simulated stretch: plant ms and the values that changed; the truth by quantity at each whole minute."""

    first: dict[str, int]
    begin: int
    changes: list[Change] = field(default_factory=list)
    truth: list[tuple[int, dict[str, float]]] = field(default_factory=list)


def candidates(plant: Plant) -> list[Sensor]:
    """Tags that such a plant can have and the file does not list: states, counts, levels, releases, stocks."""
    have = {(s.thing, s.property, s.unit, s.product) for s in plant.sensors}
    whole = {(s.thing, s.property) for s in plant.sensors}
    return [s for s in _possible(plant) if (s.thing, s.property, s.unit, s.product) not in have and (
        s.property == "state" or (s.thing, s.property) not in whole)]  # fmt: skip


def _possible(plant: Plant) -> Iterator[Sensor]:
    for s in plant.stations:
        yield from _of_station(s)
    for p in plant.products:
        yield Sensor(p.id, "in", f"{p.id}/released", "counter", resets="never")
    for k in plant.stocks:
        yield Sensor(k.id, "on_hand", f"{k.id}/on_hand", "int")


def _of_station(s: Station) -> Iterator[Sensor]:
    for u in range(1, s.units + 1):
        unit = u if s.units > 1 else None
        yield Sensor(s.id, "state", f"{s.id}/{u}/state" if unit else f"{s.id}/state", "enum", unit=unit)
    yield Sensor(s.id, "out", f"{s.id}/out", "counter", resets="never")
    yield Sensor(s.buffer or s.id, "level", f"{s.buffer or s.id}/level", "int")


class Watched:
    """A running reference and the counts that no row keeps: ended operations by station, unit and product."""

    def __init__(self, compiled: Compiled, seed: int) -> None:
        self.compiled, self.plant = compiled, compiled.plant
        self.model = Reference(compiled, seed)
        self.unit_of = {
            slot: u
            for slot, (kind, owner) in enumerate(compiled.slots)
            if kind == "work_end"
            for u in self.model.units
            if u.name == owner
        }
        self.ended: Counter[tuple[str, int, str]] = Counter()
        self.on_moment: Callable[[], None] | None = None

    def run(self, tick: int) -> None:
        """Everything before `tick`, event by event, so that each end of work is counted for its unit and product."""
        trace = self.model.trace
        while (due := min(self.model.clock.next_times())) < tick:
            before = {u.rank: (u.phase, [p.product.spec.id for p in u.parts]) for u in self.model.units}
            seen = len(trace)
            self.model.run(due + 1)
            for _, slot, kind in trace[seen:]:
                unit = self.unit_of.get(slot) if kind == WORK_END else None
                if unit is not None and before[unit.rank][0] == IN_WORK:
                    for product in before[unit.rank][1]:
                        self.ended[unit.center.spec.id, unit.rank - unit.center.units[0].rank + 1, product] += 1
            if self.on_moment is not None:
                self.on_moment()
        self.model.run(tick)

    @property
    def ms(self) -> int:
        return self.compiled.start_ms + round(self.model.now * self.compiled.tick_ms)

    def truth(self) -> dict[str, float]:
        """The truth by quantity, as `twin.track` names them, and the parts ended at each station."""
        found: dict[str, float] = {}
        for center in self.model.centers:
            name = center.spec.id
            found[f"wip/{name}"] = float(len(center.queue) + sum(len(u.parts) for u in center.units))
            found[f"flow/{name}"] = float(center.ended)
            for u, unit in enumerate(center.units, 1):
                found[f"state/{name}/{u}"] = float(3 if unit.state == 0 else unit.state)
        for stock in self.model.stocks:
            found[f"on_hand/{stock.spec.id}"] = float(stock.on_hand.value)
        return found

    def reader(self, s: Sensor) -> Callable[[], int] | None:
        """The true value behind a tag; None where the reference has no such thing."""
        for find in (self._of_station, self._of_product, self._of_stock, self._of_customer, self._of_control):
            found = find(s)
            if found is not None:
                return found
        return None

    def _of_station(self, s: Sensor) -> Callable[[], int] | None:
        center = next((c for c in self.model.centers if s.thing in (c.spec.id, c.spec.buffer)), None)
        if center is None:
            return None
        name = center.spec.id
        return {
            "state": lambda: station_state(center.units, s.unit),
            "in": lambda: center.started,
            "out": lambda: sum(
                n for (c, u, p), n in self.ended.items()
                if c == name and s.unit in (None, u) and s.product in (None, p)
            ),
            "level": lambda: len(center.queue),
            "wip": lambda: len(center.queue) + sum(len(u.parts) for u in center.units),
            "scrap": lambda: self._scrapped(name, s.product) if s.product else center.spoilt,
        }.get(s.property)  # fmt: skip

    def _scrapped(self, station: str, product: str) -> int:
        """By product only where this station alone scraps it: the reference counts scrap by product and by station."""
        line = next(p for p in self.model.products if p.spec.id == product)
        return line.scrapped if any(step.station == station for step in line.spec.steps) else 0

    def _of_product(self, s: Sensor) -> Callable[[], int] | None:
        line = next((p for p in self.model.products if p.spec.id == s.thing), None)
        if line is None:
            return None
        return {
            "in": lambda: line.released,
            "out": lambda: line.finished,
            "scrap": lambda: line.scrapped,
            "wip": lambda: line.wip.value,
        }.get(s.property)

    def _of_stock(self, s: Sensor) -> Callable[[], int] | None:
        stock = next((k for k in self.model.stocks if k.spec.id == s.thing), None)
        if stock is None:
            return None
        return {
            "on_hand": lambda: stock.on_hand.value,
            "level": lambda: stock.on_hand.value,
            "on_order": lambda: stock.on_order,
            "backorder": lambda: stock.backorders.value,
            "demand": lambda: stock.demanded,
            "shipped": lambda: stock.shipped,
            "in": lambda: stock.received,
        }.get(s.property)

    def _of_customer(self, s: Sensor) -> Callable[[], int] | None:
        customer = next((c for c in self.model.supply.customers if c.spec.id == s.thing), None)
        if customer is None:
            return None
        return {"demand": lambda: customer.asked, "backorder": lambda: customer.waiting.value}.get(s.property)

    def _of_control(self, s: Sensor) -> Callable[[], int] | None:
        return (lambda: 0) if s.property == "set" else None


def station_state(units: list[WorkUnit], unit: int | None) -> int:
    """State code of one unit or, for the whole station, work if any works, else the gravest."""
    states = [u.state for n, u in enumerate(units, 1) if unit in (None, n)]
    return 1 if 1 in states else min(states, key=SEVERITY.index)


def watch(compiled: Compiled, sensors: list[Sensor], seed: int, warmup: int, ticks: int) -> Seen:
    """Run the reference for `warmup` ticks, then watch `sensors` for `ticks`: every change at the moment it happens."""
    watched = Watched(compiled, seed)
    watched.model.run(warmup)  # nobody counts yet
    readers = {s.tag: read for s in sensors if (read := watched.reader(s)) is not None}
    last = {tag: read() for tag, read in readers.items()}
    seen = Seen(dict(last), watched.ms)

    def moment() -> None:
        now = {tag: read() for tag, read in readers.items()}
        new = {tag: value for tag, value in now.items() if value != last[tag]}
        if new:
            last.update(new)
            seen.changes.append((watched.ms, new))

    watched.on_moment = moment
    minute = max(compiled.ticks(60), 1)
    for tick in range(warmup + minute, warmup + ticks + 1, minute):
        watched.run(tick)
        seen.truth.append((watched.ms, watched.truth()))
    return seen
