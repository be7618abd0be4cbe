"""What takes work units out of work in the SimPy reference model: failures, wear, maintenance, and the crews."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sim.draws import ONE
from sim.plant import Condition, Mode
from sim.reference_clock import FAIL, REPAIR, WEAR, Countdown, Shared, Wakeable, known
from sim.state import INFINITY, K_FAILURE, K_REPAIR_END, K_WEAR

if TYPE_CHECKING:
    from sim.reference_unit import WorkUnit


class Crew:
    """Repairers who each serve one unit at a time; by priority of what it waits for, then the longest-waiting first."""

    def __init__(self, size: int) -> None:
        self.free = size
        self.waiting: list[Upkeep] = []

    def request(self, upkeep: Upkeep) -> bool:
        """Take a repairer if one is free, else join those waiting."""
        if self.free:
            self.free -= 1
            return True
        upkeep.unit.asked = upkeep.unit.shared.clock.now
        self.waiting.append(upkeep)
        self.waiting.sort(key=lambda one: (known(one.mode).spec.priority, one.unit.asked, one.unit.rank))
        return False

    def release(self) -> None:
        """A repair is over: the repairer goes to the next unit or is free."""
        if not self.waiting:
            self.free += 1
            return
        following = self.waiting.pop(0)
        following.unit.asked = 0
        following.start_repair()


class ModeClock:
    """One mode of one unit, and the clock that leads to it.

    `odf` and `condition` clocks run while the unit works, `tdf` clocks while it is not down; `parts` clocks count
    operations down in `left`; `none` has no clock.
    """

    def __init__(self, shared: Shared, spec: Mode, unit: str, number: int, crew: Crew | None) -> None:
        self.spec = spec
        self.number = number
        self.name = unit if spec.id == "failure" else f"{unit}/{spec.id}"
        self.crew = crew
        self.begun = 0
        in_time = spec.clock in ("odf", "tdf", "condition")
        self.time: Countdown | None = shared.countdown(K_FAILURE, self.name) if in_time else None
        self.operations = INFINITY
        """Operations left (clock `parts`), 0 while the unit is down for it, INFINITY for never."""

    @property
    def left(self) -> int:
        """Ticks left while it does not run, or operations left."""
        return self.operations if self.time is None else self.time.left

    def reset(self, left: int) -> None:
        """Set what is left; a clock in time stands still then."""
        if self.time is None:
            self.operations = left
        else:
            self.time.reset(left)

    def run(self, working: bool, is_up: bool) -> None:
        """Let the time run, or not."""
        if self.time is not None:
            self.time.run(is_up if self.spec.clock == "tdf" else working)


class Upkeep:
    """The health of one unit: its modes, its condition, and its repair."""

    def __init__(self, unit: WorkUnit, crews: dict[str, Crew]) -> None:
        spec, shared = unit.center.spec, unit.shared
        self.unit = unit
        self.shared = shared
        self.condition: Condition | None = spec.condition
        self.clocks = [
            ModeClock(shared, mode, unit.name, m, crews[mode.crew] if mode.crew else None)
            for m, mode in enumerate(spec.modes)
        ]
        self.mode: ModeClock | None = None
        """What the unit is down for."""
        self.due: set[int] = set()
        """Planned modes that wait for the unit to be free."""
        self.level = 0
        self.wear: Countdown | None = shared.countdown(K_WEAR, unit.name) if spec.condition else None
        self.repair: Countdown | None = shared.countdown(K_REPAIR_END, unit.name) if spec.modes else None

    # --- clocks

    def begin(self) -> None:
        """Start the processes of the clocks and of the repair."""
        for clock in self.clocks:
            if clock.time is not None:
                self.shared.whenever(clock.time, lambda clock=clock: self.strike(clock))  # type: ignore[misc]
        if self.wear is not None:
            self.shared.whenever(self.wear, self.worsen)
        if self.repair is not None:
            self.shared.whenever(self.repair, self.repaired)

    def run(self, working: bool) -> None:
        """Let the clocks run that should, and no other."""
        for clock in self.clocks:
            clock.run(working, self.mode is None)
        if self.wear is not None:
            self.wear.run(working)

    def draw_all(self) -> None:
        """Draw the time to every failure, and to the next level of wear."""
        for clock in self.clocks:
            self.draw(clock)
        self.draw_wear()

    def draw(self, clock: ModeClock) -> None:
        """Draw the time, or the number of operations, until the clock strikes next."""
        self.due.discard(clock.number)
        spec, luck = clock.spec, self.shared.luck
        scale = ONE if spec.planned else self.unit.center.fail_scale
        after = known(self.condition).fails[self.level] if spec.clock == "condition" else spec.after
        left = INFINITY
        if spec.clock == "parts":
            left = luck.choice(spec.life, clock.name, FAIL)
        elif spec.clock != "none" and after is not None:
            left = max(luck.duration(after, clock.name, FAIL, scale), 1)
        clock.reset(left)

    def draw_wear(self) -> None:
        """Draw the working time until the next level of wear."""
        if self.wear is not None:
            time = known(self.condition).wear[self.level]
            self.wear.reset(max(self.shared.luck.duration(time, self.unit.name, WEAR, self.unit.center.fail_scale), 1))

    # --- going down

    def strike(self, clock: ModeClock) -> set[Wakeable]:
        """A clock has run out. Returns whom that wakes."""
        if clock.spec.planned and clock.spec.finish and self.unit.parts:
            self.wait_until_free(clock)
            return set()
        return self.go_down(clock)

    def wait_until_free(self, clock: ModeClock) -> None:
        """Planned work waits until the unit has no part."""
        self.due.add(clock.number)
        clock.reset(INFINITY)

    def go_down(self, clock: ModeClock) -> set[Wakeable]:
        """Take the unit out of work. Returns whom that wakes."""
        center = self.unit.center
        clock.begun += 1
        if clock.spec.planned:
            center.maintained += 1
            center.in_maintenance.add(1)
        else:
            center.failures += 1
        self.mode = clock
        self.due.discard(clock.number)
        self.unit.refresh()  # stops work and clocks
        if clock.spec.clock != "none":
            clock.reset(0)
        woken = self.unit.interrupted(clock.spec.part)
        if clock.crew is None or clock.crew.request(self):
            self.start_repair()
        return woken

    def maintain(self) -> set[Wakeable]:
        """Begin planned work, due or called for by condition, where the unit has no part, or where it does not wait for
        that. Returns whom that wakes.
        """
        if self.mode is not None:
            return set()
        if self.due and not self.unit.parts:
            return self.go_down(self.clocks[min(self.due)])
        called = self.called_for
        if called is not None and not (self.unit.parts and called.spec.finish):
            return self.go_down(called)
        return set()

    @property
    def called_for(self) -> ModeClock | None:
        """The mode that the condition calls for."""
        if self.unit.center.at_level > self.level:
            return None
        return next((clock for clock in self.clocks if clock.spec.at_level is not None), None)

    def count_operation(self) -> set[Wakeable]:
        """An operation has ended and its parts were sent on: clocks that count may strike. Returns whom that wakes."""
        woken: set[Wakeable] = set()
        for clock in self.clocks:
            if clock.spec.clock != "parts" or clock.operations > 0:
                continue
            if clock.spec.planned and (self.unit.parts or self.mode is not None):
                self.wait_until_free(clock)
            elif self.mode is None:
                woken |= self.go_down(clock)
        return woken

    def lower_counts(self) -> None:
        """An operation has ended: clocks that count come one nearer."""
        for clock in self.clocks:
            if clock.spec.clock == "parts" and 0 < clock.operations < INFINITY:
                clock.operations -= 1

    def worsen(self) -> set[Wakeable]:
        """The condition goes down one level, after the last the unit fails. Returns whom that wakes."""
        condition, wear = known(self.condition), known(self.wear)
        if self.level + 1 == len(condition.wear):
            return self.go_down(next(clock for clock in self.clocks if clock.spec.clock == "condition"))
        slow = [round(factor * 2**16) for factor in condition.slow]
        task = self.unit.task
        if task.running:
            task.start(task.to_go * slow[self.level + 1] // slow[self.level])
        self.level += 1
        self.draw_wear()
        wear.start()
        for clock in self.clocks:
            if clock.spec.clock == "condition":
                self.draw(clock)
        self.unit.refresh()
        called = self.called_for
        return set() if called is None or called.spec.finish else {self.unit.center}

    # --- repair

    def start_repair(self) -> None:
        """A repairer (or nobody, where no crew is needed) begins."""
        clock = known(self.mode)
        scale = ONE if clock.spec.planned else self.unit.center.repair_scale
        known(self.repair).start(self.shared.luck.duration(clock.spec.repair, clock.name, REPAIR, scale))

    def repaired(self) -> set[Wakeable]:
        """The repair is over: the unit goes on. Returns whom that wakes."""
        clock = known(self.mode)
        if clock.spec.planned:
            self.unit.center.in_maintenance.add(-1)
        if clock.crew is not None:
            clock.crew.release()
        if clock.spec.restores:
            self.level = 0
            self.draw_wear()
        self.mode = None
        for other in self.clocks:
            restored = clock.spec.restores and other.spec.clock == "condition"
            if other is clock or other.spec.id in clock.spec.renews or restored:
                self.draw(other)
        return self.unit.go_on()
