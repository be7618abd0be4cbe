"""A work center of the virtual plant: its queue, its units, and what starts when."""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING

from hardware.openings import Opening
from hardware.sampling import Sampler, mean_of, stream
from hardware.shop_dispatch import Dispatcher
from hardware.shop_part import Part, Ticket
from hardware.shop_unit import Steps, WorkUnit
from sim.plant import UNLIMITED
from sim.plant import Station as StationSpec

if TYPE_CHECKING:
    from simpy import Event

    from hardware.shop import Shop

SOON_S = 1e-6
"""A wait that lacks less than this is over (plant seconds are floats)."""


class Station:
    """A queue and its units. `started`, `ended_`, `scrap` count parts by (unit number, product id)."""

    def __init__(self, shop: Shop, spec: StationSpec) -> None:
        self.shop, self.spec = shop, spec
        self.queue: list[Part] = []
        self.waiting: deque[Ticket] = deque()
        self.units: list[WorkUnit] = []
        self.opening: Opening | None = shop.openings.get(spec.calendar) if spec.calendar else None
        self.started: Counter[tuple[int, str]] = Counter()
        self.ended_: Counter[tuple[int, str]] = Counter()
        self.scrap: Counter[tuple[int, str]] = Counter()
        self.failures = self.setups = self.operations = 0
        self._dispatcher = Dispatcher(shop, self)
        self._means = {(a, b): mean_of(time) * shop.plant.tick_s for a, b, time in spec.setups}
        self._setup: dict[tuple[int, str, str], Sampler] = {}
        self._kanban = f"buffers.{spec.buffer}.kanban"

    @property
    def open(self) -> bool:
        return self.opening is None or self.opening.open

    @property
    def wip(self) -> int:
        """Parts at the station: queue and units."""
        return len(self.queue) + sum(len(u.parts) for u in self.units)

    def room(self, giver: WorkUnit | None = None) -> bool:
        """May one more part join the queue? Free open units count as places; a kanban counts their parts as well,
        but not the one that comes from a unit of this very station (`giver`).
        """
        kanban = self.shop.settings.get(self._kanban)
        if kanban is not None and self.wip - (giver in self.units) >= kanban:
            return False
        if self.spec.capacity == UNLIMITED:
            return True
        free = sum(u.free for u in self.units) if self.open else 0
        return len(self.queue) < self.spec.capacity + free

    def freezing(self) -> tuple[bool, Event | None]:
        """Does the work in hand stand still now, and the event that may change it (None: nothing ever does)?"""
        calendar, opening = self.shop.calendars.get(self.spec.calendar or ""), self.opening
        if calendar is None or opening is None or calendar.at_close != "freeze" or self.spec.batch is not None:
            return False, None
        return not opening.open, opening.changed

    def free_state(self) -> str:
        """State of a unit that is free: off, or idle where a release decision holds parts back, or starved."""
        if not self.open:
            return "off"
        return "idle" if self.shop.desk.waits_for_release(self) else "starved"

    def append(self, part: Part) -> None:
        """A part joins the tail of the queue; the shop is not yet settled."""
        part.queued = self.shop.env.now
        self.queue.append(part)
        batch = self.spec.batch
        if batch is not None and batch.wait is not None:
            self.shop.env.process(self._remind(batch.wait * self.shop.plant.tick_s))

    def _remind(self, seconds: float) -> Steps:
        yield self.shop.env.timeout(seconds)
        self.shop.settle(self)

    # what can be done now ----------------------------------------------------------------------

    def move(self) -> None:
        """Start what can start and let in what waits at the door, until nothing more can."""
        while self._start() or self._let_in():
            pass

    def _start(self) -> bool:
        if not self.queue or not self.open:
            return False
        free = [u for u in self.units if u.free]
        parts = self._candidates() if free else []
        if not parts:
            return False
        family = parts[0].family
        unit = min(free, key=lambda u: self.mean_setup(u.family, family))  # the first of the best
        for part in parts:
            self.queue.remove(part)
        needs = [(self.shop.rooms[stock], n) for stock, n in parts[0].operation.needs]
        setup = self._setup_time(unit, family)
        unit.start(parts, setup)
        self._begun(unit, setup is not None)
        for room, n in needs:  # first all leave, lest an order of one takes what another needs here
            room.on_hand -= n
        for room, _ in needs:
            room.withdrawn()
        return True

    def _candidates(self) -> list[Part]:
        """The parts that would start next: the first that is ready and, in an oven, those that go with it."""
        order = self._dispatcher.ordered(self.queue)
        batch = self.spec.batch
        if batch is None:
            return next(([part] for part in order if not part.operation.needs or self._supplied(part)), [])
        for i, part in enumerate(order):
            key = self._key(part)
            fellows = sum(self._key(p) == key for p in order)
            waited = self.shop.env.now - part.queued
            if fellows < batch.least and (batch.wait is None or waited < batch.wait * self.shop.plant.tick_s - SOON_S):
                continue
            return [p for p in order[i:] if self._key(p) == key][: batch.most]
        return []

    def _supplied(self, part: Part) -> bool:
        return all(self.shop.rooms[stock].on_hand >= n for stock, n in part.operation.needs)

    def _key(self, part: Part) -> str:
        by = self.spec.batch.by if self.spec.batch is not None else "any"
        return {"family": part.family, "product": part.product.id}.get(by, "")

    def _let_in(self) -> bool:
        ticket = self.waiting[0] if self.waiting else None
        if ticket is None or not self.room(ticket.unit):
            return False
        ticket.withdraw()
        self.append(ticket.unit.parts.pop(0))
        ticket.through.succeed()
        self.shop.settle(ticket.unit.station)
        return True

    # setups ------------------------------------------------------------------------------------

    def mean_setup(self, before: str | None, after: str) -> float:
        """Mean seconds of the setup from one family to another; 0 where there is none."""
        return self._means.get((before, after), 0.0) if before is not None else 0.0

    def _setup_time(self, unit: WorkUnit, family: str) -> float | None:
        before = unit.family
        if before is None or (before, family) not in self._means:
            return None
        key = (unit.number, before, family)
        if key not in self._setup:
            time = next(t for a, b, t in self.spec.setups if (a, b) == (before, family))
            rng = stream(self.shop.seed, f"setup {unit.name} {before} {family}")
            scale = self.shop.twist.setup_scale
            self._setup[key] = Sampler(rng, time, self.shop.plant.tick_s, scale, self.shop.twist.work_cv)
        return self._setup[key]()

    # what is counted and told ------------------------------------------------------------------

    def _begun(self, unit: WorkUnit, set_up: bool) -> None:
        self.operations += 1
        for part in unit.parts:
            self.started[(unit.number, part.product.id)] += 1
            self.shop.tell("work_start", unit, part, count=self.started.total())
        if set_up:
            self.setups += 1
            self.shop.tell("setup", unit, state="setup")

    def ended(self, unit: WorkUnit) -> None:
        """The operation of a unit is over."""
        for part in unit.parts:
            self.ended_[(unit.number, part.product.id)] += 1
            self.shop.tell("work_end", unit, part, count=self.ended_.total())
