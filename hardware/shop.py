"""The virtual plant's shop floor in SimPy: people, machines and parts, written from the plant file alone.

It shares no code with the twin's kernel nor with its SimPy reference: processes, real distributions,
numpy generators, and whatever the twist adds. Time is seconds since the plant's start.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import simpy

from hardware.openings import Opening, open_time
from hardware.sampling import Sampler, stream
from hardware.shop_limits import refuse
from hardware.trade import Market, StockRoom, first_settings
from hardware.twist import Twist
from sim.plant import DONE, SCRAP, UNLIMITED, Plant, Product
from sim.plant import Station as StationSpec

Steps = Generator[simpy.Event, Any, None]


@dataclass(slots=True)
class Part:
    """One part on its way; `step` is the operation it waits for or undergoes."""

    product: Product
    step: int
    born: float


class WorkUnit:
    """One machine. Its whole life is one SimPy process."""

    def __init__(self, station: Station, number: int) -> None:
        shop = station.shop
        self.station, self.number, self.env = station, number, shop.env
        self.name = f"{station.spec.id}/{number}"
        self.part: Part | None = None
        self.free = False
        self.doing = "starved"
        self.faults = 0
        self._wake = shop.env.event()
        self._interruptible = False
        self._forced: float | None = None
        fails = station.spec.fails
        self._routes = stream(shop.seed, f"route {self.name}")
        self._minor = stream(shop.seed, f"minor {self.name}")
        tick, twist = shop.plant.tick_s, shop.twist
        self._repair: Sampler | None = None
        self._to_failure: Sampler | None = None
        if fails is not None and fails.after is not None:
            self._repair = Sampler(stream(shop.seed, f"repair {self.name}"), fails.repair, tick, twist.repair_scale)
            self._to_failure = Sampler(stream(shop.seed, f"fail {self.name}"), fails.after, tick)
        self._ttf = self._to_failure() if self._to_failure else float("inf")
        self._process = shop.env.process(self._life())

    @property
    def state(self) -> str:
        """One of sim.plant.STATES."""
        if not self.free:
            return self.doing
        if not self.station.open:
            return "off"
        return "idle" if self.station.shop.waits_for_release(self.station) else "starved"

    def start(self, part: Part) -> None:
        """Take a part; the unit must be free."""
        self.part, self.free, self.doing = part, False, "work"
        self._wake.succeed()

    def break_down(self, seconds: float) -> None:
        """A breakdown of a given length, now or at the next start of work (a script's doing)."""
        if self._interruptible:
            self._interruptible = False
            self._process.interrupt(seconds)
        else:
            self._forced = seconds

    def _life(self) -> Steps:
        while True:
            self._wake = self.env.event()
            self.free = True
            self.station.kick()
            yield self._wake
            part = self.part
            assert part is not None
            yield from self._work(part)
            yield from self._hand_over(part)
            self.part = None

    def _work_time(self, part: Part) -> float:
        shop, twist = self.station.shop, self.station.shop.twist
        seconds = shop.work[(self.name, part.product.id, part.step)]()
        opening = self.station.opening
        if opening is not None and self.env.now - opening.opened_at < twist.slow_start_s:
            seconds *= twist.slow_start_scale
        if twist.micro_station == self.station.spec.id and twist.micro_every_s > 0:
            stops = int(self._minor.poisson(seconds / twist.micro_every_s))
            seconds += float(self._minor.uniform(*twist.micro_s, size=stops).sum())
        return seconds

    def _work(self, part: Part) -> Steps:
        self.station.begun(self, part)
        left = self._work_time(part)
        if self._forced is not None:
            forced, self._forced = self._forced, None
            yield from self._down(part, forced)
        while True:
            run, since = min(left, self._ttf), self.env.now
            try:
                self._interruptible = True
                yield self.env.timeout(run)
                self._interruptible = False
            except simpy.Interrupt as stop:
                self._interruptible = False
                left -= self.env.now - since
                yield from self._down(part, float(stop.cause or 0.0))
                continue
            left -= run
            self._ttf -= run
            if left <= 0:
                break
            yield from self._down(part, None)
        self.station.ended(self, part)

    def _down(self, part: Part, forced: float | None) -> Steps:
        shop, self.doing = self.station.shop, "down"
        self.faults += 1
        self.station.failures += 1
        shop.tell("down", self, part, state="down")
        fails = self.station.spec.fails
        crew = shop.crews[fails.crew] if fails is not None and fails.crew else None
        request = crew.request() if crew is not None else None
        if request is not None:
            yield request
        walk = float(self._minor.uniform(*shop.twist.walk_s)) if shop.twist.walk_s[1] > 0 else 0.0
        repair = forced if forced is not None else self._repair() if self._repair else 0.0
        yield self.env.timeout(walk + repair)
        if crew is not None and request is not None:
            crew.release(request)
        if self._to_failure is not None:
            self._ttf = self._to_failure()
        self.doing = "work"
        shop.tell("up", self, part, state="work")

    def _next(self, part: Part) -> int:
        choices = part.product.steps[part.step].next
        if len(choices) == 1:
            return choices[0][0]
        u = float(self._routes.random())
        for target, p in choices:
            u -= p
            if u < 0:
                return target
        return choices[-1][0]

    def _hand_over(self, part: Part) -> Steps:
        shop, target = self.station.shop, self._next(part)
        if target in (DONE, SCRAP):
            shop.leave(part, self, scrapped=target == SCRAP)
            return
        part.step = target
        following = shop.stations[part.product.steps[target].station]
        if following.room():
            following.receive(part)
            return
        self.doing = "blocked"
        through = self.env.event()
        following.waiting.append((self, through))
        yield through


class Station:
    """A queue and its units. `started`, `ended`, `scrap` count parts by (unit number, product id)."""

    def __init__(self, shop: Shop, spec: StationSpec) -> None:
        self.shop, self.spec = shop, spec
        self.queue: deque[Part] = deque()
        self.waiting: deque[tuple[WorkUnit, simpy.Event]] = deque()
        self.units: list[WorkUnit] = []
        self.opening: Opening | None = shop.openings.get(spec.calendar) if spec.calendar else None
        self.started: Counter[tuple[int, str]] = Counter()
        self.ended_: Counter[tuple[int, str]] = Counter()
        self.scrap: Counter[tuple[int, str]] = Counter()
        self.failures = 0

    @property
    def open(self) -> bool:
        return self.opening is None or self.opening.open

    @property
    def wip(self) -> int:
        """Parts at the station: queue and units."""
        return len(self.queue) + sum(u.part is not None for u in self.units)

    def room(self) -> bool:
        """May one more part join the queue? Free open units count as places."""
        if self.spec.capacity == UNLIMITED:
            return True
        free = sum(u.free for u in self.units) if self.open else 0
        return len(self.queue) < self.spec.capacity + free

    def receive(self, part: Part) -> None:
        self.queue.append(part)
        self.kick()

    def kick(self) -> None:
        """Start what can start, let in what waits, and pull new parts where that made room."""
        started = False
        while True:
            unit = next((u for u in self.units if u.free), None) if self.open and self.queue else None
            if unit is not None:
                unit.start(self.queue.popleft())
                started = True
            elif self.waiting and self.room():
                giver, through = self.waiting.popleft()
                assert giver.part is not None
                self.queue.append(giver.part)
                giver.part = None
                through.succeed()
            else:
                break
        if started or self.open:
            self.shop.pull()

    def begun(self, unit: WorkUnit, part: Part) -> None:
        self.started[(unit.number, part.product.id)] += 1
        self.shop.tell("work_start", unit, part, self.started.total())

    def ended(self, unit: WorkUnit, part: Part) -> None:
        self.ended_[(unit.number, part.product.id)] += 1
        self.shop.tell("work_end", unit, part, self.ended_.total())


class Shop:
    """A running plant. `settings`: what MES and ERP enforce, by the paths that controls set.

    `ValueError` for a plant file with features that the virtual plant does not run.
    """

    def __init__(self, plant: Plant, seed: int, twist: Twist | None = None) -> None:
        refuse(plant)
        self.plant, self.seed, self.twist = plant, seed, twist or Twist()
        self.env = simpy.Environment()
        self.news: list[dict[str, Any]] = []  # happenings on the floor not yet read
        self.papers: list[dict[str, Any]] = []  # orders and receipts the ERP has not yet sent
        self.shifts = 0
        self.settings = first_settings(plant)
        self.openings = {c.id: Opening(self.env, c, plant, self._calendar) for c in plant.calendars}
        self.crews = {c.id: simpy.Resource(self.env, capacity=c.size) for c in plant.crews}
        self.wip = {p.id: 0 for p in plant.products}
        self.released: Counter[str] = Counter()
        self.finished: Counter[str] = Counter()
        self.scrapped: Counter[str] = Counter()
        self.flow_s = {p.id: 0.0 for p in plant.products}
        self.pending: Counter[str] = Counter()
        self._pulling = False
        self.stations = {s.id: Station(self, s) for s in plant.stations}
        self.first = {p.id: self.stations[p.steps[0].station] for p in plant.products}
        self.rooms = {s.id: StockRoom(self, s) for s in plant.stocks}
        self.fills = {p.id: self._filled_by(p) for p in plant.products}
        self.work: dict[tuple[str, str, int], Sampler] = {}
        for station in self.stations.values():
            station.units = [WorkUnit(station, n) for n in range(1, station.spec.units + 1)]
        self._prepare_work()
        self.markets = {d.id: Market(self, d) for d in plant.demands}
        for product in plant.products:
            if product.release.policy == "push":
                self.env.process(self._arrivals(product))
        if not plant.calendars:
            self.env.process(self._eight_hours())

    def _filled_by(self, product: Product) -> StockRoom | None:
        return next((r for r in self.rooms.values() if r.spec.source == "line" and r.spec.item == product.id), None)

    def _prepare_work(self) -> None:
        for product in self.plant.products:
            for i, step in enumerate(product.steps):
                scale = self.twist.slow_scale if step.station == self.twist.slow_station else 1.0
                for unit in self.stations[step.station].units:
                    rng = stream(self.seed, f"work {unit.name} {product.id} {i}")
                    sampler = Sampler(rng, step.work, self.plant.tick_s, scale, self.twist.work_cv)
                    self.work[(unit.name, product.id, i)] = sampler

    def _eight_hours(self) -> Steps:
        while True:
            yield self.env.timeout(8 * 3600)
            self.shifts += 1

    def _calendar(self, opening: Opening) -> None:
        self.shifts += opening.open
        for station in self.stations.values():
            if station.opening is opening:
                station.kick()
        self.pull()

    def _arrivals(self, product: Product) -> Steps:
        assert product.release.arrivals is not None
        rng = stream(self.seed, f"arrival {product.id}")
        gap = Sampler(rng, product.release.arrivals, self.plant.tick_s, 1 / self.twist.demand_scale)
        opening = self.openings.get(product.release.calendar) if product.release.calendar else None
        while True:
            yield from open_time(self.env, gap(), opening)
            self.pending[product.id] += 1
            self.pull()

    def tell(self, kind: str, unit: WorkUnit, part: Part, count: int | None = None, state: str | None = None) -> None:
        """Note one happening on the floor, with what it leads to, for whoever reads the news (the fieldbus)."""
        event = {"kind": kind, "thing": unit.station.spec.id, "unit": unit.number, "product": part.product.id}
        self.news.append(event | ({"count": count} if count is not None else {"state": state}))

    def leave(self, part: Part, unit: WorkUnit, *, scrapped: bool) -> None:
        """A part is finished or scrapped."""
        name = part.product.id
        self.wip[name] -= 1
        if scrapped:
            self.scrapped[name] += 1
            unit.station.scrap[(unit.number, name)] += 1
            self.tell("scrap", unit, part, unit.station.scrap.total())
        else:
            self.finished[name] += 1
            self.flow_s[name] += self.env.now - part.born
            room = self.fills[name]
            if room is not None:
                room.receive(1)
        unit.part = None
        self.pull()

    def _asked(self, product: Product) -> bool:
        """Does the release decision (cap, base stock, arrivals) want one more part?"""
        name, release = product.id, product.release
        if release.policy == "push":
            return self.pending[name] > 0
        if release.policy == "saturated":
            return not self.first[name].queue
        cap = self.settings.get(f"release.{name}.cap")
        level = self.settings.get(f"release.{name}.base_stock")
        room = self.fills[name]
        if level is not None and room is not None and room.on_hand - room.backorders + self.wip[name] >= level:
            return False
        return cap is None or self.wip[name] < cap

    def _able(self, product: Product) -> bool:
        """Is everything but the decision and the room there?"""
        calendar = product.release.calendar
        if calendar and product.release.policy != "push" and not self.openings[calendar].open:
            return False
        return all(self.rooms[stock].on_hand >= n for stock, n in product.release.consumes)

    def waits_for_release(self, station: Station) -> bool:
        """Is a free unit of this station idle because somebody decided not to release?"""
        return any(self.first[p.id] is station and self._able(p) and not self._asked(p) for p in self.plant.products)

    def pull(self) -> None:
        """Release whatever may be released. Re-entrant calls are folded into the one under way."""
        if self._pulling:
            return
        self._pulling = True
        while any(self._release(p) for p in self.plant.products):
            pass
        self._pulling = False

    def _release(self, product: Product) -> bool:
        station = self.first[product.id]
        if not (station.room() and self._able(product) and self._asked(product)):
            return False
        for stock, n in product.release.consumes:
            self.rooms[stock].take(n)
        if product.release.policy == "push":
            self.pending[product.id] -= 1
        self.wip[product.id] += 1
        self.released[product.id] += 1
        station.receive(Part(product, 0, self.env.now))
        return True

    def set(self, path: str, value: int) -> None:
        """Change what MES or ERP enforces, effective now."""
        if path not in self.settings:
            raise KeyError(f"{path}: not a setting of this plant; it has {', '.join(sorted(self.settings))}")
        self.settings[path] = value
        self.pull()

    def run(self, until: float) -> None:
        """Run to `until` seconds after the plant's start."""
        if until > self.env.now:
            self.env.run(until=until)
