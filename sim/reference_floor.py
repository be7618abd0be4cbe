"""The shop floor of the SimPy reference model: parts, work units, work centers, repair crews and calendars."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import simpy

from sim.draws import FAIL, ONE, REPAIR, ROUTE, WORK
from sim.plant import DONE, SCRAP, UNLIMITED, Station, Step
from sim.reference_clock import Level, Life, Part, Shared, Wakeable, known
from sim.state import BLOCKED, DOWN, IDLE, K_CALENDAR, K_FAILURE, K_REPAIR_END, K_WORK_END, OFF, STARVED, WORKING

if TYPE_CHECKING:
    from sim.reference_supply import ProductLine


class Crew:
    """Repairers who each serve one broken unit at a time; the longest-waiting unit first, ties by unit rank."""

    def __init__(self, size: int) -> None:
        self.free = size
        self.waiting: list[WorkUnit] = []

    def request(self, unit: WorkUnit) -> bool:
        """Take a repairer for `unit` if one is free, else join those waiting."""
        if self.free:
            self.free -= 1
            return True
        unit.asked = unit.shared.clock.now
        self.waiting.append(unit)
        self.waiting.sort(key=WorkUnit.turn)
        return False

    def release(self) -> None:
        """A repair is over: the repairer goes to the next unit or is free."""
        if self.waiting:
            self.waiting.pop(0).start_repair()
        else:
            self.free += 1


class WorkCalendar:
    """Opening hours: a process that opens and closes the things that keep them."""

    def __init__(self, shared: Shared, name: str, is_open: bool, at: Callable[[int], int | None]) -> None:
        self.shared = shared
        self.name = name
        self.is_open = is_open
        self.number = 0
        self.at = at
        """Tick of change `number`, None where there is none."""
        self.centers: list[WorkCenter] = []
        self.products: list[ProductLine] = []
        self.opening = shared.clock.env.event()
        self.closing = shared.clock.env.event()

    def begin(self) -> None:
        """Start the calendar's process."""
        self.shared.clock.env.process(self.live())

    def live(self) -> Life:
        """Change at each tick of the table."""
        clock = self.shared.clock
        slot = self.shared.slots[K_CALENDAR, self.name]
        while (change := self.at(self.number)) is not None:
            yield clock.timer(slot, change - clock.now)
            self.number += 1
            self.is_open = not self.is_open
            for center in self.centers:
                center.review_free_units()
            if self.is_open:
                self.opening.succeed()
                self.opening = clock.env.event()
                self.shared.worklist.settle([*self.centers, *self.products])
            else:
                self.closing.succeed()
                self.closing = clock.env.event()


class WorkCenter(Wakeable):
    """A station: parallel units behind one queue of limited capacity."""

    def __init__(self, shared: Shared, spec: Station, rank: int, calendar: WorkCalendar | None) -> None:
        self.shared = shared
        self.spec = spec
        self.rank = rank
        self.calendar = calendar
        if calendar is not None:
            calendar.centers.append(self)
        self.units: list[WorkUnit] = []
        self.queue: list[Part] = []
        self.waiting_units: list[WorkUnit] = []
        """Units, here or elsewhere, blocked because the queue is full."""
        self.starters: list[ProductLine] = []
        """Products whose first operation is here."""
        self.in_state = [Level(shared.clock, since=shared.clock.now) for _ in range(7)]
        self.queued = Level(shared.clock, since=shared.clock.now)
        self.started = self.ended = self.failures = 0
        self.work_scale = self.fail_scale = self.repair_scale = ONE

    @property
    def is_open(self) -> bool:
        """Do the units accept work now?"""
        return self.calendar is None or self.calendar.is_open

    def free_units(self) -> list[WorkUnit]:
        """Units without a part, in order, while the station is open."""
        return [unit for unit in self.units if unit.part is None] if self.is_open else []

    def has_room(self) -> bool:
        """May one more part join the queue?"""
        capacity = self.spec.capacity
        return capacity == UNLIMITED or len(self.queue) < capacity + len(self.free_units())

    def join(self, part: Part) -> None:
        """Put a part at the tail of the queue."""
        self.queue.append(part)
        self.queued.add(1)

    def free_state(self) -> int:
        """State of the units that have no part."""
        if not self.is_open:
            return OFF
        return IDLE if any(product.held for product in self.starters) else STARVED

    def review_free_units(self) -> None:
        """Derive the state of the free units again."""
        for unit in self.units:
            if unit.part is None:
                unit.enter(self.free_state())

    def handle(self) -> set[Wakeable]:
        """Start what can start, let blocked units hand over, and so on until neither applies."""
        woken: set[Wakeable] = set()
        any_started = False
        while True:
            while self.queue and (free := self.free_units()):
                any_started = True
                self.queued.add(-1)
                free[0].load(self.queue.pop(0))
            if not (self.waiting_units and self.has_room()):
                break
            giver = self.waiting_units.pop(0)
            self.join(giver.unload())
            woken.add(giver.center)
        if any_started or self.spec.capacity == 0:
            woken.update(self.starters)
        return woken


class WorkUnit:
    """One machine: it works on a part, may fail while working, and may be blocked with a finished part."""

    def __init__(self, center: WorkCenter, number: int, rank: int, crew: Crew | None) -> None:
        self.center = center
        self.shared = center.shared
        self.name = f"{center.spec.id}/{number}"
        self.rank = rank
        self.crew = crew
        self.part: Part | None = None
        self.state = center.free_state()
        self.asked = 0
        """Tick at which it joined, last, a list of blocked units or of units waiting for a crew."""
        self.work_left = 0
        """Ticks of work to come when it last started or stopped."""
        self.until_failure = 0
        """Ticks of work until the next failure, when it last started or stopped."""
        self.repair_left: int | None = None
        """Ticks of repair to come; None while no repairer works on it."""
        self.loaded = self.env.event()
        self.repairing = self.env.event()
        center.units.append(self)
        center.in_state[self.state].add(1)

    @property
    def env(self) -> simpy.Environment:
        """The SimPy environment."""
        return self.shared.clock.env

    @property
    def is_waiting(self) -> bool:
        """Does the unit wait for room or for a repairer?"""
        return self.state == BLOCKED or (self.state == DOWN and self.repair_left is None)

    def turn(self) -> tuple[int, int]:
        """Order among units that wait for the same thing."""
        return self.asked, self.rank

    def begin(self) -> None:
        """Start the unit's life (its part, state and times are set)."""
        self.env.process(self.live())

    def live(self) -> Life:
        """For ever: wait for a part, work on it, pass it on."""
        while True:
            yield self.loaded
            self.loaded = self.env.event()
            yield from self.work()
            self.center.ended += 1
            self.shared.worklist.settle(self.pass_on())

    def work(self) -> Life:
        """Work until the part is ready, through as many failures as it takes."""
        clock, slots = self.shared.clock, self.shared.slots
        while True:
            if self.state == DOWN:
                yield from self.repair()
            ready = clock.timer(slots[K_WORK_END, self.name], self.work_left)
            if self.center.spec.fails is None:
                yield ready
                return
            failure = clock.timer(slots[K_FAILURE, self.name], self.until_failure)
            yield ready | failure
            if ready.processed:
                self.until_failure = failure.cancel()
                return
            self.work_left = ready.cancel()
            self.fail()

    def fail(self) -> None:
        """Stop working and ask for a repairer."""
        self.enter(DOWN)
        self.center.failures += 1
        self.repairing = self.env.event()
        if self.crew is None or self.crew.request(self):
            self.start_repair()

    def start_repair(self) -> None:
        """A repairer (or nobody, where no crew is needed) begins."""
        fails = known(self.center.spec.fails)
        self.repair_left = self.shared.luck.duration(fails.repair, self.name, REPAIR, self.center.repair_scale)
        self.repairing.succeed()

    def repair(self) -> Life:
        """Wait for the repair and its end; then the unit is as new and goes on with its part."""
        if self.repair_left is None:
            yield self.repairing
        yield self.shared.clock.timer(self.shared.slots[K_REPAIR_END, self.name], known(self.repair_left))
        self.repair_left = None
        if self.crew is not None:
            self.crew.release()
        self.draw_failure()
        self.enter(WORKING)

    def draw_failure(self) -> None:
        """Draw the time the unit will work until its next failure."""
        fails = self.center.spec.fails
        if fails is not None:
            self.until_failure = self.shared.luck.duration(fails.after, self.name, FAIL, self.center.fail_scale)

    def enter(self, state: int) -> None:
        """Change state."""
        self.center.in_state[self.state].add(-1)
        self.center.in_state[state].add(1)
        self.state = state

    def load(self, part: Part) -> None:
        """Start work on a part."""
        self.part = part
        self.enter(WORKING)
        self.center.started += 1
        self.work_left = self.shared.luck.duration(part.operation.work, self.name, WORK, self.center.work_scale)
        self.loaded.succeed()

    def unload(self) -> Part:
        """Give the part away and be free, or off where the station is closed."""
        part = known(self.part)
        self.part = None
        self.enter(self.center.free_state())
        return part

    def pass_on(self) -> set[Wakeable]:
        """Send the finished part to its next target, or keep it, blocked; return whom that wakes."""
        part = known(self.part)
        target = self.choose(part.operation)
        if target == DONE:
            self.unload()
            return {self.center} | part.product.finish(part)
        if target == SCRAP:
            self.unload()
            return {self.center} | part.product.scrap(part)
        part.step = target
        onward = part.product.route[target]
        if onward.has_room():
            onward.join(self.unload())
            return {onward, self.center}
        self.enter(BLOCKED)
        self.asked = self.shared.clock.now
        onward.waiting_units.append(self)
        onward.waiting_units.sort(key=WorkUnit.turn)
        return set()

    def choose(self, step: Step) -> int:
        """Draw the next target of a step."""
        if len(step.next) == 1:
            return step.next[0][0]
        number = self.shared.luck.word(self.name, ROUTE) >> 32
        cumulative = 0.0
        for target, probability in step.next[:-1]:
            cumulative += probability
            if number < round(cumulative * 2**32):
                return target
        return step.next[-1][0]
