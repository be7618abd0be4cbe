"""Stations of the SimPy reference model: parallel units behind one queue, and the operators they need."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sim import distributions
from sim.draws import ONE
from sim.plant import DONE, SCRAP, UNLIMITED, Dist, Pool, Station
from sim.reference_calendar import WorkCalendar
from sim.reference_clock import Countdown, Level, Part, Shared, Wakeable
from sim.reference_energy import Meter
from sim.reference_queue import Dispatch, Door
from sim.reference_stock import withdraw
from sim.reference_unit import WorkUnit
from sim.state import BLOCKED, IDLE, INFINITY, K_WAIT, NO_LIMIT, NOBODY, STARVED

if TYPE_CHECKING:
    from sim.reference_release import ProductLine


class OperatorPool:
    """Operators who work wherever a unit needs them; stations that must wait for some are served in turn."""

    def __init__(self, spec: Pool) -> None:
        self.free = spec.size
        self.centers: list[WorkCenter] = []

    def asking(self) -> list[WorkCenter]:
        """The stations that wait for operators, the next one first."""
        return sorted((center for center in self.centers if center.asked != NOBODY), key=WorkCenter.turn)

    def may_take(self, center: WorkCenter) -> bool:
        """Are enough people free, and does no other station that waits come before this one?"""
        others = [other for other in self.asking() if other is not center]
        return self.free >= center.people and (not others or center.turn() < others[0].turn())

    def first_asking(self) -> set[Wakeable]:
        """The station to wake where somebody is free."""
        return set(self.asking()[:1]) if self.free > 0 else set()


class WorkCenter(Wakeable):
    """A station: parallel units behind one queue of limited capacity."""

    def __init__(self, shared: Shared, spec: Station, rank: int, calendar: WorkCalendar | None, meter: Meter) -> None:
        self.shared = shared
        self.spec = spec
        self.rank = rank
        self.calendar = calendar
        self.pool: OperatorPool | None = None
        self.meter = meter
        if calendar is not None:
            calendar.centers.append(self)
        self.people = spec.operators[1] if spec.operators else 0
        self.energy_of_part = 0
        """Watt-ticks that each ended part uses."""
        self.units: list[WorkUnit] = []
        self.queue: list[Part] = []
        self.reserved = 0
        """Places promised to parts in work elsewhere."""
        self.is_barred = False
        """Could a free unit start but for room behind it?"""
        self.asked = NOBODY
        """Since when it waits for operators."""
        self.doors: list[Door] = []
        self.starters: list[ProductLine] = []
        """Products whose first operation can be done here."""
        self.feeders: list[WorkCenter] = []
        """Stations from which parts come here."""
        self.kanban = NO_LIMIT if spec.kanban is None else spec.kanban
        self.at_level = next((mode.at_level for mode in spec.modes if mode.at_level is not None), NO_LIMIT)
        self.dispatch = Dispatch(self)
        self.eager = False
        """Does every handling let products look whether they can enter?"""
        now = shared.clock.now
        self.in_state = [Level(shared.clock, since=now) for _ in range(7)]
        self.queued = Level(shared.clock, since=now)
        self.started = self.ended = self.failures = self.maintained = self.set_ups = 0
        self.in_maintenance = Level(shared.clock, since=now)
        """Units that are down for planned modes."""
        self.varies = False
        """Are its operations planned to take different times?"""
        self.planned_work = self.spoilt = 0
        self.work_scale = self.fail_scale = self.repair_scale = ONE
        has_wait = spec.batch is not None and spec.batch.wait is not None
        self.longest_wait: Countdown | None = shared.countdown(K_WAIT, spec.id) if has_wait else None

    def join_pool(self, pool: OperatorPool) -> None:
        """Its units need operators of a pool."""
        self.pool = pool
        pool.centers.append(self)

    def begin(self) -> None:
        """Start the processes of the station and its units."""
        for unit in self.units:
            unit.begin()
        if self.longest_wait is not None:
            self.shared.whenever(self.longest_wait, lambda: {self})

    # --- what is the case

    @property
    def is_open(self) -> bool:
        """Do the units accept work now?"""
        return self.calendar is None or self.calendar.is_open

    @property
    def freezes(self) -> bool:
        """Does work stand still while the station is closed? (An oven cannot be stopped.)"""
        return self.calendar is not None and self.calendar.freezes and self.spec.batch is None

    @property
    def load(self) -> int:
        """Parts in the queue and in the units."""
        return len(self.queue) + sum(len(unit.parts) for unit in self.units)

    def free_units(self) -> list[WorkUnit]:
        """Units without a part that are up and open, in order."""
        return [unit for unit in self.units if unit.is_free]

    def has_room(self, parts: int = 1, giver: WorkUnit | None = None, starting: bool = False) -> bool:
        """May so many more parts join the queue?

        A part that comes from a unit here (`giver`), or that is about to start here and to come back (`starting`), does
        not stand in its own way.
        """
        waiting, free = len(self.queue) + self.reserved + parts - 1, len(self.free_units())
        if starting:
            waiting, free = waiting - 1, free - 1
        if self.spec.capacity != UNLIMITED and waiting >= self.spec.capacity + free:
            return False
        inside = waiting + sum(len(unit.parts) for unit in self.units)
        if giver is not None and giver.center is self:
            inside -= 1
        return inside < self.kanban

    def watts(self, state: int) -> int:
        """Power of a unit in a state."""
        return self.spec.power[state] if self.spec.power else 0

    def setup_time(self, unit: WorkUnit, part: Part) -> Dist | None:
        """The time it takes to set a unit up for a part, None where it needs none."""
        wanted = (unit.family or "", part.family)
        return next((time for one, other, time in self.spec.setups if (one, other) == wanted), None)

    def mean_setup(self, unit: WorkUnit, part: Part) -> int:
        """Mean ticks of that time."""
        time = self.setup_time(unit, part)
        return 0 if time is None else round(distributions.mean(time))

    def free_state(self) -> int:
        """State of the units that have no part and are up and open."""
        if self.is_barred:
            return BLOCKED
        return IDLE if any(product.held for product in self.starters) else STARVED

    def turn(self) -> tuple[int, int, int]:
        """Order among stations that want operators, for one that waits or would begin to."""
        asked = self.shared.clock.now if self.asked == NOBODY else self.asked
        return self.spec.priority, asked, self.rank

    # --- what others tell it

    def join(self, part: Part) -> None:
        """Put a part at the tail of the queue, in the place kept for it, if any."""
        if part.dest is not None:
            part.dest.reserved -= 1
        part.dest = part.target = None
        part.queued = self.shared.clock.now
        self.queue.append(part)
        self.queued.add(1)

    def refresh_units(self) -> None:
        """The station has opened or closed."""
        for unit in self.units:
            unit.refresh()

    def review_free_units(self) -> None:
        """Derive the state of the units without a part again."""
        for unit in self.units:
            if not unit.parts:
                unit.refresh()

    def room_appeared(self) -> set[Wakeable]:
        """Whom to wake where a unit is free, or a place given back: the station, and who starts only if it has room."""
        return {self, *self.feeders} if self.shared.before_service else {self}

    def unit_gone(self) -> set[Wakeable]:
        """Whom to wake where a free unit is down or off now: the station, if others look when it does, and those who
        count on its room.
        """
        return {self, *self.room_gone()} if self.eager else self.room_gone()

    def room_gone(self) -> set[Wakeable]:
        """Whom to wake where room here is gone: feeders that wait for operators, where that takes room behind."""
        if not self.shared.before_service:
            return set()
        return {feeder for feeder in self.feeders if feeder.asked != NOBODY}

    def give_back_operators(self) -> set[Wakeable]:
        """A unit needs its operators no more. Returns whom that wakes."""
        if self.pool is None:
            return set()
        self.pool.free += self.people
        return {self}

    # --- handling

    def handle(self) -> set[Wakeable]:
        """Start what can start, let blocked units hand over, and so on until neither applies."""
        woken: set[Wakeable] = set()
        for unit in self.units:
            woken |= unit.upkeep.maintain()
        any_started = False
        while True:
            while (starting := self.try_to_start()) is not None:
                any_started = True
                woken |= starting
            giver = self.next_giver()
            if giver is None or not self.has_room(giver=giver):
                break
            woken |= giver.hand_over(self)
        self.review_free_units()
        if any_started or self.eager:
            woken.update(self.starters)
        if any_started and self.shared.before_service:
            woken.update(self.feeders)
        woken |= self.leave_operators()
        if self.longest_wait is not None:
            until = self.dispatch.next_wait()
            self.longest_wait.reset(0)
            if until != INFINITY:
                self.longest_wait.start(until - self.shared.clock.now)
        return woken

    def next_giver(self) -> WorkUnit | None:
        """Of the units first in line before the doors of this station the one that has asked earliest."""
        first = [door.waiting[0] for door in self.doors if door.waiting]
        return min(first, key=lambda unit: (unit.asked, unit.rank), default=None)

    def try_to_start(self) -> set[Wakeable] | None:
        """Start one operation, if that is possible. Returns whom that wakes, None where nothing starts."""
        self.is_barred = False
        free = self.free_units()
        parts = self.dispatch.candidates() if free else []
        if not parts:
            return None
        unit = min(free, key=lambda one: self.mean_setup(one, parts[0]))
        if self.shared.before_service and not self.finds_room_behind(unit, parts[0]):
            self.is_barred = True
            return None
        if self.pool is not None and not self.pool.may_take(self):
            if self.asked == NOBODY:
                self.asked = self.shared.clock.now
            return None
        return self.start(unit, parts)

    def finds_room_behind(self, unit: WorkUnit, part: Part) -> bool:
        """Will the part have a place after its operation?"""
        if part.target is None:
            part.target = unit.draw_step(part)
        if part.target in (DONE, SCRAP):
            return True
        centers = self.shared.routes[part.product.spec.id].centers[part.target]
        return any(center.has_room(starting=center is self) for center in centers)

    def start(self, unit: WorkUnit, parts: list[Part]) -> set[Wakeable]:
        """Start an operation on a unit. Returns whom that wakes."""
        woken: set[Wakeable] = set()
        for part in parts:
            self.queue.remove(part)
            part.queued = 0
        self.queued.add(-len(parts))
        woken |= withdraw(self.dispatch.needs(parts[0]))
        if self.pool is not None:
            self.pool.free -= self.people
            self.asked = NOBODY
        if self.shared.before_service and parts[0].target not in (None, DONE, SCRAP):
            woken |= self.keep_place(parts[0])
        unit.start(parts)
        return woken

    def keep_place(self, part: Part) -> set[Wakeable]:
        """Reserve the place that the part will need after its operation. Returns whom that wakes."""
        part.dest = self.shared.routes[part.product.spec.id].centers[part.target or 0][0]
        part.dest.reserved += 1
        return part.dest.room_gone()

    def leave_operators(self) -> set[Wakeable]:
        """Ask for operators no more where no unit is free, no part ready or no room behind; whoever waits first for
        those who are free looks next. Returns whom that wakes.
        """
        if self.pool is None:
            return set()
        if self.is_barred or not self.free_units() or not self.dispatch.candidates():
            self.asked = NOBODY
        return self.pool.first_asking() - {self}
