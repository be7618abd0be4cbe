"""The virtual plant's shop floor in SimPy: people, machines and parts, written from the plant file alone.

It shares no code with the twin's kernel nor with its SimPy reference: processes, real distributions,
numpy generators, and whatever the twist adds. Time is seconds since the plant's start.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import simpy

from hardware.market import Market
from hardware.openings import Opening
from hardware.sampling import Sampler, stream
from hardware.shop_dispatch import Outlook
from hardware.shop_limits import refuse
from hardware.shop_part import Part
from hardware.shop_release import ReleaseDesk
from hardware.shop_settings import first_settings
from hardware.shop_station import Station
from hardware.shop_unit import Steps, WorkUnit
from hardware.trade import StockRoom
from hardware.twist import Twist
from sim.plant import Plant, Product

_TURNS = {
    "receive_satisfy_review_order": ("receive", "satisfy", "review"),
    "receive_review_order_satisfy": ("receive", "review", "satisfy"),
    "review_order_receive_satisfy": ("review", "receive", "satisfy"),
}
"""Who comes first at a stock point when several things happen at one moment, by the convention `review_order`."""

__all__ = ["Part", "Shop", "Station", "WorkUnit"]


class Shop:
    """A running plant. `settings`: what MES and ERP enforce, by the paths that controls set.

    `ValueError` for a plant file with features that the virtual plant does not run.
    """

    def __init__(self, plant: Plant, seed: int, twist: Twist | None = None) -> None:
        refuse(plant)
        self.plant, self.seed, self.twist = plant, seed, twist or Twist()
        self.env = simpy.Environment()
        self.news: list[dict[str, Any]] = []  # happenings on the floor not yet read
        self.papers: list[dict[str, Any]] = []  # orders, shipments and receipts the ERP has not yet sent
        self.shifts = 0
        self._settling = self._unsettled = False
        self._stirred: dict[Station, None] = {}  # in the order in which something happened to them
        self._turns = _TURNS[plant.conventions.get("review_order", "receive_satisfy_review_order")]
        self.settings = first_settings(plant)
        self.outlook = Outlook(plant)
        self.calendars = {c.id: c for c in plant.calendars}
        self.openings = {c.id: Opening(self.env, c, plant, self._calendar, self._overtime) for c in plant.calendars}
        self.crews = {c.id: simpy.PriorityResource(self.env, capacity=c.size) for c in plant.crews}
        self.busy = dict.fromkeys((s.id for s in plant.suppliers), 0.0)  # until when a supplier's capacity is taken
        self.wip = {p.id: 0 for p in plant.products}
        self.released: Counter[str] = Counter()
        self.finished: Counter[str] = Counter()
        self.scrapped: Counter[str] = Counter()
        self.flow_s = {p.id: 0.0 for p in plant.products}
        self.stations = {s.id: Station(self, s) for s in plant.stations}
        self.doors = {
            (p.id, i): [self.stations[s] for s, _ in step.eligible]
            for p in plant.products
            for i, step in enumerate(p.steps)
        }
        self._stock()
        self.work: dict[tuple[str, str, int], Sampler] = {}
        for station in self.stations.values():
            station.units = [WorkUnit(station, n) for n in range(1, station.spec.units + 1)]
        self._prepare_work()
        self.markets = {d.id: Market(self, d) for d in plant.demands}
        for room in self.rooms.values():
            room.rank_claims()
        self.desk = ReleaseDesk(self)
        if not plant.calendars:
            self.env.process(self._eight_hours())

    def _stock(self) -> None:
        self.rooms = {s.id: StockRoom(self, s) for s in self.plant.stocks}
        for room in self.rooms.values():
            room.connect()
        self.fills = {p.id: self._filled_by(p) for p in self.plant.products}

    def _filled_by(self, product: Product) -> StockRoom | None:
        return next((r for r in self.rooms.values() if r.spec.source == "line" and r.spec.item == product.id), None)

    def _prepare_work(self) -> None:
        for product in self.plant.products:
            for i, step in enumerate(product.steps):
                for name, work in step.eligible:
                    scale = self.twist.slow_scale if name == self.twist.slow_station else 1.0
                    for unit in self.stations[name].units:
                        rng = stream(self.seed, f"work {unit.name} {product.id} {i}")
                        sampler = Sampler(rng, work, self.plant.tick_s, scale, self.twist.work_cv)
                        self.work[(unit.name, product.id, i)] = sampler

    def _eight_hours(self) -> Steps:
        while True:
            yield self.env.timeout(8 * 3600)
            self.shifts += 1

    def _calendar(self, opening: Opening) -> None:
        self.shifts += opening.begins_shift
        self.settle(*(s for s in self.stations.values() if s.opening is opening))

    def shift_of(self, thing: str) -> int:
        """Number of the shift a thing is in: of its station's calendar, else of all calendars together."""
        station = next((s for s in self.stations.values() if thing in (s.spec.id, s.spec.buffer)), None)
        opening = station.opening if station is not None else None
        return opening.shifts if opening is not None else self.shifts

    def _overtime(self, calendar: str) -> float:
        return self.settings[f"calendars.{calendar}.overtime"] * self.plant.tick_s

    def settle(self, *stirred: Station) -> None:
        """Start and let in at these stations, and release, whatever may be, and so on until nothing more may.

        A call within it is folded into it.
        """
        self._stirred.update(dict.fromkeys(stirred))
        self._unsettled = True
        if self._settling:
            return
        self._settling = True
        while self._unsettled:
            self._unsettled = False
            while self._stirred:
                station = next(iter(self._stirred))
                del self._stirred[station]
                station.move()
            for product in self.plant.products:
                self._unsettled |= self.desk.release(product)
        self._settling = False

    def shortest(self, doors: list[Station], giver: WorkUnit | None = None) -> Station | None:
        """Of the stations that have room for a part (of the unit `giver`) the one with the fewest parts per unit."""
        fits = [s for s in doors if s.room(giver)]
        return min(fits, key=lambda s: s.wip / s.spec.units) if fits else None

    def tell(self, kind: str, unit: WorkUnit, part: Part | None = None, **leads_to: int | str | None) -> None:
        """Note one happening on the floor, with the count or state it leads to, for whoever reads the news.

        It is told of `part`, else of the first part in the unit, else of no product.
        """
        event: dict[str, Any] = {"kind": kind, "thing": unit.station.spec.id, "unit": unit.number}
        about = part or (unit.parts[0] if unit.parts else None)
        if about is not None:
            event["product"] = about.product.id
            if about.step >= 0:
                event["step"] = about.operation.id
        self.news.append(event | {k: v for k, v in leads_to.items() if v is not None})

    def leave(self, part: Part, unit: WorkUnit, *, scrapped: bool) -> None:
        """A part, taken out of the unit, is finished or scrapped."""
        name = part.product.id
        self.wip[name] -= 1
        if scrapped:
            self.scrapped[name] += 1
            unit.station.scrap[(unit.number, name)] += 1
            self.tell("scrap", unit, part, count=unit.station.scrap.total())
        else:
            self.finished[name] += 1
            self.flow_s[name] += self.env.now - part.born
            room = self.fills[name]
            if room is not None:
                room.receive(1)
        self.settle(unit.station)

    def turn(self, what: str) -> Steps:
        """Let those go first who come first at this very moment; `what` is receive, satisfy or review."""
        for _ in range(self._turns.index(what)):
            yield self.env.timeout(0)

    def set(self, path: str, value: int) -> None:
        """Change what MES or ERP enforces, effective now."""
        if path not in self.settings:
            raise KeyError(f"{path}: not a setting of this plant; it has {', '.join(sorted(self.settings))}")
        self.settings[path] = value
        self.settle(*self.stations.values())

    def run(self, until: float) -> None:
        """Run to `until` seconds after the plant's start."""
        if until > self.env.now:
            self.env.run(until=until)
