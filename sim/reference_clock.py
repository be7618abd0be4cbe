"""Time, luck and bookkeeping of the SimPy reference model: what every process of it shares."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
import simpy
from numpy.typing import NDArray
from simpy.events import EventPriority

from sim import distributions, draws, quantile
from sim.draws import ONE
from sim.plant import Dist, Step
from sim.reference_rules import Rules
from sim.state import INFINITY, K_OWN

if TYPE_CHECKING:
    from sim.reference_floor import WorkCenter
    from sim.reference_queue import Route
    from sim.reference_release import ProductLine

T = TypeVar("T")
Life = Generator[simpy.Event, Any, None]
"""The generator of a SimPy process."""

(
    WORK, ROUTE, FAIL, REPAIR, ARRIVAL, DEMAND, LEAD, SETUP, WEAR, SCRAPS, DUE, QUANTITY, LATE, LATENESS,
) = range(14)  # fmt: skip
"""Purposes of draws, in the order of docs/kernel.md."""
MOST_CONSEQUENCES = 1_000_000
"""Consequences of one event, beyond which the model must be going round in circles."""


def known(value: T | None) -> T:
    """The value, which the model's own logic says is there."""
    if value is None:
        raise RuntimeError("the reference model contradicts itself: a value it relies on is missing")
    return value


class Timer(simpy.Event):
    """A timed event of one slot. SimPy's priority is 2 + slot, so that ties go to the lowest slot.

    Several timers of one slot (orders in transit) are told apart by `place`, a fraction in [0, 1).
    Priorities 0 and 1 stay with SimPy for its zero-time events, which therefore always come first.
    """

    def __init__(self, clock: Clock, slot: int, delay: int, place: float = 0.0) -> None:
        super().__init__(clock.env)
        self._ok = True
        self._value = None
        self.slot = slot
        self.at: int = clock.now + delay
        self.cancelled = False
        self._clock = clock
        known(self.callbacks).append(self._fire)
        clock.running.add(self)
        clock.env.schedule(self, priority=cast("EventPriority", 2 + slot + place), delay=delay)

    def _fire(self, _: simpy.Event) -> None:
        if not self.cancelled:
            self._clock.running.discard(self)
            self._clock.trace.append((self.at, self.slot, self._clock.kind(self.slot)))

    def cancel(self) -> int:
        """Stop the timer and return the ticks it had left. SimPy still pops it, to no effect."""
        self.cancelled = True
        self._clock.running.discard(self)
        return self.at - self._clock.now


class Clock:
    """A SimPy environment in whole ticks, the timers that run in it and the trace of those that fired."""

    def __init__(self, kinds: list[int], now: int = 0) -> None:
        self.env = simpy.Environment(initial_time=now)
        self.kinds = kinds
        self.running: set[Timer] = set()
        self.trace: list[tuple[int, int, int]] = []

    @property
    def now(self) -> int:
        """Present tick."""
        return int(self.env.now)

    def kind(self, slot: int) -> int:
        """Kind of a slot; behind the last one stands that of own rules' timers, which the row does not have."""
        return self.kinds[slot] if slot < len(self.kinds) else K_OWN

    def timer(self, slot: int, delay: int, place: float = 0.0) -> Timer:
        """Start a timer of `slot` that fires in `delay` ticks."""
        return Timer(self, slot, delay, place)

    def next_times(self) -> list[int]:
        """Next tick of every slot (INFINITY where nothing is due)."""
        times = [INFINITY] * len(self.kinds)
        for timer in (timer for timer in self.running if timer.slot < len(times)):
            times[timer.slot] = min(times[timer.slot], timer.at)
        return times

    def flush(self) -> None:
        """Let processes take the zero-time steps that are pending now, and no timed event."""
        self.env.run(until=self.env.timeout(0))

    def run(self, until: int) -> None:
        """Run the events before tick `until`."""
        if until > self.now:
            self.env.run(until=until)

    def step(self, last: int, kinds: int) -> None:
        """Run to the first tick after this one with an event whose kind is a bit of `kinds`, at most to tick `last`,
        and through all events of the tick it stops at.
        """
        began, looked, end = self.now, len(self.trace), last
        while self.env.peek() <= end:
            self.env.step()
            for at, _, kind in self.trace[looked:]:
                if at > began and kinds >> kind & 1:
                    end = at
            looked = len(self.trace)
        if end > self.now:
            self.env.run(until=end)


class Countdown:
    """Something that takes a known time, but may be interrupted and go on later.

    `over` succeeds when the time has run out, and is then replaced: a process yields it again and again. INFINITY left
    never runs out.
    """

    def __init__(self, clock: Clock, slot: int) -> None:
        self.clock = clock
        self.slot = slot
        self.left = 0
        """Ticks left while it does not run, else 0."""
        self.timer: Timer | None = None
        self.over = clock.env.event()

    @property
    def running(self) -> bool:
        """Does the time run?"""
        return self.timer is not None

    @property
    def to_go(self) -> int:
        """Ticks left, running or not."""
        return self.left if self.timer is None else self.timer.at - self.clock.now

    def reset(self, left: int) -> None:
        """Stop, with so many ticks left."""
        self.stop()
        self.left = left

    def start(self, ticks: int | None = None) -> None:
        """Let the time run: what is left, or `ticks` from now."""
        if ticks is not None:
            self.reset(ticks)
        if self.timer is None and self.left < INFINITY:
            self.timer = self.clock.timer(self.slot, self.left)
            self.left = 0
            known(self.timer.callbacks).append(self._end)

    def stop(self) -> int:
        """Interrupt; returns the ticks left."""
        if self.timer is not None:
            self.left = self.timer.cancel()
            self.timer = None
        return self.left

    def run(self, on: bool) -> None:
        """Start or stop."""
        if on:
            self.start()
        else:
            self.stop()

    def _end(self, timer: simpy.Event) -> None:
        if timer is self.timer:
            self.timer = None
            over, self.over = self.over, self.clock.env.event()
            over.succeed()


@dataclass(slots=True)
class Level:
    """A whole number over time and its exact integral in unit-ticks."""

    clock: Clock
    value: int = 0
    since: int = 0
    total: int = 0

    def add(self, amount: int) -> None:
        """Change the number by `amount` from now on."""
        self.total += self.value * (self.clock.now - self.since)
        self.since = self.clock.now
        self.value += amount

    def integral(self) -> int:
        """Unit-ticks up to now."""
        self.add(0)
        return self.total


class Worklist:
    """Entities whose situation changed and who must look at it, first in first out, each at most once."""

    def __init__(self) -> None:
        self._waiting: list[Wakeable] = []

    def settle(self, woken: Iterable[Wakeable]) -> None:
        """Wake entities and handle, one after the other, them and all whom that wakes."""
        self._enter(woken)
        handled = 0
        while self._waiting:
            handled += 1
            if handled > MOST_CONSEQUENCES:
                raise OverflowError(f"a zero-time loop: more than {MOST_CONSEQUENCES} consequences of one event")
            entity = self._waiting.pop(0)
            self._enter(entity.handle())

    def _enter(self, woken: Iterable[Wakeable]) -> None:
        for entity in sorted(set(woken), key=lambda one: one.rank):
            if entity not in self._waiting:
                self._waiting.append(entity)


class Wakeable(ABC):
    """A station or a product: it has a rank, and handling it returns whom that wakes."""

    rank: int

    @abstractmethod
    def handle(self) -> set[Wakeable]:
        """Do what can be done now in zero time; return the entities to wake."""


@lru_cache(maxsize=4096)
def _table(dist: Dist) -> NDArray[np.int64]:
    table: NDArray[np.int64] = quantile.table(dist)
    return table


@lru_cache(maxsize=4096)
def _entity(name: str) -> int:
    return draws.entity_number(name)


@dataclass(slots=True)
class Luck:
    """The addressed random numbers of one replica: how many each (entity id, purpose) has used."""

    seed: int
    replica: int
    counts: dict[tuple[str, int], int] = field(default_factory=dict)

    def word(self, entity: str, purpose: int) -> int:
        """The next 64-bit word of a stream."""
        count = self.counts.get((entity, purpose), 0)
        self.counts[entity, purpose] = count + 1
        return draws.word(self.seed, self.replica, _entity(entity), purpose, count)

    def spare(self, entity: str, purpose: int) -> int:
        """The second word of the block that the stream used last (0 before its first draw)."""
        count = self.counts.get((entity, purpose), 0)
        if count == 0:
            return 0
        return draws.signed(draws.word(self.seed, self.replica, _entity(entity), purpose, (count - 1) | 1))

    def pair(self, entity: str, purpose: int) -> tuple[int, int]:
        """(count, spare word) of a stream, as the row has them."""
        return self.counts.get((entity, purpose), 0), self.spare(entity, purpose)

    def duration(self, dist: Dist, entity: str, purpose: int, scale: int = ONE) -> int:
        """Ticks of the next duration, times `scale` / 2^16. A constant uses no random number."""
        table = _table(dist)
        constant = int(table[0]) == 0
        ticks = draws.sample(table, 0 if constant else self.word(entity, purpose))
        return (ticks * scale + (1 << 15)) >> 16

    def happens(self, probability: float, entity: str, purpose: int) -> bool:
        """Draw whether something of that probability happens."""
        return self.word(entity, purpose) >> 32 < round(probability * 2**32)

    def choice(self, weighted: Sequence[tuple[int, float]], entity: str, purpose: int) -> int:
        """One of the values of (value, probability) pairs. A single one uses no random number."""
        if len(weighted) == 1:
            return weighted[0][0]
        number = self.word(entity, purpose) >> 32
        cumulative = 0.0
        for value, probability in weighted[:-1]:
            cumulative += probability
            if number < round(cumulative * 2**32):
                return value
        return weighted[-1][0]


@dataclass(slots=True)
class Shared:
    """What every thing in the model uses."""

    clock: Clock
    luck: Luck
    worklist: Worklist
    slots: dict[tuple[int, str], int]
    """(kind, id) -> slot; the id of a work unit is STATION/UNIT with unit from 1."""
    before_service: bool = False
    """Does a unit start only when there is room for its part behind it?"""
    routes: dict[str, Route] = field(default_factory=dict)
    """Where each product (by id) goes."""
    rules: Rules = field(default_factory=Rules)
    """Who decides where a decision is open."""

    def settle(self, woken: Iterable[Wakeable]) -> None:
        """Let those who are woken by an event react, with all that follows, then whom the plant's own rules wake."""
        self.worklist.settle(woken)
        self.worklist.settle(self.rules.after_event())

    def countdown(self, kind: int, owner: str) -> Countdown:
        """The timer of a slot."""
        return Countdown(self.clock, self.slots[kind, owner])

    def whenever(self, countdown: Countdown, happen: Callable[[], Iterable[Wakeable]]) -> None:
        """Start the process that does `happen` each time the countdown is over, and lets those whom it wakes react."""
        self.clock.env.process(self._live(countdown, happen))

    def _live(self, countdown: Countdown, happen: Callable[[], Iterable[Wakeable]]) -> Life:
        while True:
            yield countdown.over
            self.settle(happen())


@dataclass(slots=True, eq=False)
class Part:
    """A part (or transfer batch that moves as one) on the floor. `record` is its place in the row's table of parts."""

    record: int
    product: ProductLine
    step: int
    """The operation it waits for or undergoes; in a unit that holds it DONE or SCRAP too."""
    released: int
    due: int = INFINITY
    queued: int = 0
    """When it joined its present queue; 0 in a unit."""
    target: int | None = None
    """Its next step, DONE or SCRAP, where it was drawn before the work."""
    dest: WorkCenter | None = None
    """The station that keeps a place for it."""

    @property
    def quantity(self) -> int:
        """Units that move together."""
        return self.product.spec.transfer

    @property
    def family(self) -> str:
        """What decides setups and batches."""
        return self.product.spec.family or self.product.spec.id

    @property
    def operation(self) -> Step:
        """The operation the part waits for or undergoes."""
        return self.product.spec.steps[self.step]

    def planned_at(self, station: str) -> int:
        """Planned ticks of its present operation at a station: the mean."""
        return round(distributions.mean(dict(self.operation.eligible)[station]) * self.quantity)


class Parts:
    """The parts in the system, in numbered records of which the one freed last is used first."""

    def __init__(self, clock: Clock, limit: int) -> None:
        self.clock = clock
        self.limit = limit
        self.records: list[Part] = []
        """The last user of each record used so far."""
        self.freed: list[int] = []
        """Records without a part, the one freed last at the end."""

    def create(self, product: ProductLine) -> Part:
        """A new part at its first step. Raises OverflowError when the system is full."""
        if not self.freed and len(self.records) == self.limit:
            raise OverflowError(f"more than {self.limit} parts in the system")
        record = self.freed.pop() if self.freed else len(self.records)
        part = Part(record, product, 0, self.clock.now)
        self.records[record : record + 1] = [part]
        return part

    def free(self, part: Part) -> None:
        """The part has left the system."""
        self.freed.append(part.record)
