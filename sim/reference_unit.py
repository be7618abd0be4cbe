"""A work unit of the SimPy reference model: it is set up, works on parts, and sends them on or is blocked with them."""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from typing import TYPE_CHECKING

from sim.plant import DONE, SCRAP, Condition
from sim.reference_clock import ROUTE, SCRAPS, SETUP, WORK, Part, Wakeable, known
from sim.reference_queue import Door, choose
from sim.reference_repair import Crew, Upkeep
from sim.state import (
    BLOCKED,
    DOWN,
    FREE,
    HOLDS,
    IN_SETUP,
    IN_WORK,
    K_WORK_END,
    OFF,
    WORKING,
)
from sim.state import SETUP as SETTING_UP

if TYPE_CHECKING:
    from sim.reference_floor import WorkCenter
    from sim.reference_release import ProductLine


class WorkUnit:
    """One machine of a station. `task` is the setup or the work in hand, `parts` what is in the unit."""

    def __init__(self, center: WorkCenter, number: int, rank: int, crews: dict[str, Crew]) -> None:
        self.center = center
        self.shared = center.shared
        self.name = f"{center.spec.id}/{number}"
        self.rank = rank
        self.phase = FREE
        self.parts: list[Part] = []
        self.family: str | None = None
        """What it is set up for."""
        self.asked = 0
        """Tick at which it joined the list of blocked units, or of units waiting for a crew, in which it is."""
        self.door: Door | None = None
        """Where it waits for room."""
        self.task = self.shared.countdown(K_WORK_END, self.name)
        self.upkeep = Upkeep(self, crews)
        center.units.append(self)
        self.state = self.derived_state()
        center.in_state[self.state].add(1)
        center.meter.add_power(center.watts(self.state))

    def begin(self) -> None:
        """Start the processes of the unit."""
        self.shared.whenever(self.task, self.task_over)
        self.upkeep.begin()
        self.refresh()

    # --- state

    @property
    def is_down(self) -> bool:
        """Is it failed or under maintenance?"""
        return self.upkeep.mode is not None

    @property
    def is_free(self) -> bool:
        """Can it take a part?"""
        return self.phase == FREE and not self.is_down and self.center.is_open

    @property
    def is_frozen(self) -> bool:
        """Does its work stand still because the station is closed?"""
        return self.phase in (IN_SETUP, IN_WORK) and self.center.freezes and not self.center.is_open

    @property
    def runs(self) -> bool:
        """Is it being set up or does it work?"""
        return self.phase in (IN_SETUP, IN_WORK) and not self.is_down and not self.is_frozen

    def derived_state(self) -> int:
        """The state that follows from what is the case."""
        if self.is_down:
            return DOWN
        if self.phase == FREE:
            return self.center.free_state() if self.center.is_open else OFF
        if self.phase == HOLDS:
            return BLOCKED
        if self.is_frozen:
            return OFF
        return SETTING_UP if self.phase == IN_SETUP else WORKING

    def refresh(self) -> None:
        """Let work, clocks and state follow from what is the case."""
        self.task.run(self.runs)
        self.upkeep.run(working=self.runs and self.phase == IN_WORK)
        self.enter(self.derived_state())

    def enter(self, state: int) -> None:
        """Change state."""
        center = self.center
        center.in_state[self.state].add(-1)
        center.in_state[state].add(1)
        center.meter.add_power(center.watts(state) - center.watts(self.state))
        self.state = state

    # --- work

    def start(self, parts: Sequence[Part]) -> None:
        """Take parts out of the queue and begin to be set up for them or to work on them."""
        center, first = self.center, parts[0]
        self.parts = list(parts)
        center.started += len(parts)
        setup = center.setup_time(self, first)
        if center.spec.setups:
            self.family = first.family
        if setup is None:
            self.begin_work()
            return
        center.set_ups += 1
        self.phase = IN_SETUP
        self.task.reset(self.shared.luck.duration(setup, self.name, SETUP))
        self.refresh()

    def begin_work(self) -> None:
        """Begin the work on the parts in the unit."""
        self.phase = IN_WORK
        self.task.reset(self.draw_work())
        self.refresh()

    def draw_work(self) -> int:
        """Draw the time of the operation: that of the first part, for each of the units that move as one."""
        part, condition = self.parts[0], self.upkeep.condition
        work = dict(part.operation.eligible)[self.center.spec.id]
        luck, scale = self.shared.luck, self.center.work_scale
        ticks = sum(luck.duration(work, self.name, WORK, scale) for _ in range(part.quantity))
        if condition is not None:
            ticks = (ticks * round(condition.slow[self.upkeep.level] * 2**16) + (1 << 15)) >> 16
        chosen = index(self.shared.rules.work_ticks(self, self.parts, ticks))
        if chosen < 0:
            raise ValueError(f"work_ticks: expected 0 ticks or more on {self.name}, found {chosen}")
        return chosen

    def task_over(self) -> set[Wakeable]:
        """The setup or the operation has ended. Returns whom that wakes."""
        if self.phase == IN_SETUP:
            self.begin_work()
            return set()
        center = self.center
        center.ended += len(self.parts)
        woken = center.give_back_operators()
        if center.varies:
            center.planned_work += sum(part.planned_at(center.spec.id) for part in self.parts)
        for part in self.parts:
            part.step = self.next_step(part)
            center.meter.add(center.energy_of_part)
        self.upkeep.lower_counts()
        self.phase = HOLDS
        self.refresh()
        woken |= self.unload()
        return woken | self.upkeep.count_operation()

    def next_step(self, part: Part) -> int:
        """What follows for a part whose operation has ended: a step, DONE or SCRAP."""
        condition: Condition | None = self.upkeep.condition
        scrap = 0.0 if condition is None else condition.scrap[self.upkeep.level]
        if scrap > 0 and self.shared.luck.happens(scrap, self.name, SCRAPS):
            return SCRAP
        return self.draw_step(part) if part.target is None else part.target

    def draw_step(self, part: Part) -> int:
        """Draw what follows after the part's operation."""
        return self.shared.luck.choice(part.operation.next, self.name, ROUTE)

    # --- ended parts

    def unload(self) -> set[Wakeable]:
        """Send ended parts on, in their order, as far as there is room. Returns whom that wakes."""
        woken: set[Wakeable] = set()
        while self.parts:
            part = self.parts[0]
            if part.step in (DONE, SCRAP):
                self.center.spoilt += part.step == SCRAP
                woken |= {self.center, *self.leave_plant(self.parts.pop(0))}
                continue
            route = self.shared.routes[part.product.spec.id]
            place = choose(part, route.centers[part.step], giver=self) if part.dest is None else part.dest
            if place is None:
                route.doors[part.step].ask(self)
                self.refresh()
                return woken
            place.join(self.parts.pop(0))
            woken |= {self.center, place}
        self.phase = FREE
        self.refresh()
        return woken | self.center.room_appeared()

    def hand_over(self, center: WorkCenter) -> set[Wakeable]:
        """Give the first part, which waited, to a station that has room now, and go on unloading."""
        woken = known(self.door).leave(self) - {center}
        center.join(self.parts.pop(0))
        return {self.center, *woken, *self.unload()}

    def leave_plant(self, part: Part) -> set[Wakeable]:
        """A part is done or scrapped. Returns whom that wakes."""
        woken: set[Wakeable] = set()
        if part.dest is not None:  # a place is kept for it that it does not need any more
            part.dest.reserved -= 1
            woken = part.dest.room_appeared()
            part.dest = None
        if part.step == DONE:
            return woken | part.product.finish(part)
        return woken | part.product.scrap(part)

    # --- interruptions

    def interrupted(self, part: str) -> set[Wakeable]:
        """The unit has gone down; what becomes of its parts. Returns whom that wakes."""
        if self.door is not None:
            return self.door.leave(self)
        if self.phase == FREE:
            return self.center.unit_gone() if self.center.is_open else set()
        if self.phase != IN_WORK or part == "resumes":
            return set()
        if part == "repeats":
            self.task.reset(self.draw_work())
            return set()
        return self.scrap_parts()

    def scrap_parts(self) -> set[Wakeable]:
        """The work in hand is lost. Returns whom that wakes."""
        woken = self.center.give_back_operators()
        while self.parts:
            lost = self.parts.pop(0)
            lost.step = SCRAP
            woken |= self.leave_plant(lost)
        self.phase = FREE
        self.task.reset(0)
        return woken | self.center.room_appeared()

    def is_stoppable(self, product: ProductLine) -> bool:
        """Is it up, and set up for or at work on one part, which is of the product?"""
        busy = self.phase in (IN_SETUP, IN_WORK) and not self.is_down
        return busy and [part.product for part in self.parts] == [product]

    def stop(self) -> set[Wakeable]:
        """Stop the work in hand; its part is lost. Returns whom that wakes."""
        self.upkeep.run(working=False)
        woken = self.scrap_parts()
        self.refresh()
        return woken

    def go_on(self) -> set[Wakeable]:
        """The unit is up again. Returns whom that wakes."""
        self.refresh()
        if self.phase == HOLDS:
            return self.unload() | self.center.room_appeared()
        return self.center.room_appeared()
