"""When a plant is asked for decisions, how long a step took, and what that discounts.

Decisions fall at equal intervals, or at events: a step then lasts from one decision to the next tick at which
something happens, at most an interval. That is a semi-Markov decision process (Puterman 1994, Markov Decision
Processes, ch. 11): money is discounted at a rate in plant time, so a step of `elapsed` ticks discounts what follows by
exp(-beta * elapsed), and what accrues evenly inside it by the mean of exp(-beta * t) over it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from agents.advice.horizon import scale_s
from agents.envs.grid import Grid
from agents.envs.schema import FREE_S
from agents.errors import SchemaError
from sim.plant import Plant

if TYPE_CHECKING:
    from sim.compile import Compiled

Values = NDArray[np.int64]
Floats = NDArray[np.float64]

INTERVAL, EVENTS = "interval", "events"
HORIZONS = 5.0
"""The time constant of discounting is at least so many times the plant's slowest time scale
(`agents.advice.horizon.scale_s`).

With five, the best policy for discounted cost on make_to_stock is the best for the average cost; with three it costs
1.6 % more than that, with one and a half 1.9 % (`tests/agents/test_epochs.py`). With other parameters five are not
enough (up to 1.7 % too much), but a longer sight costs PPO more in noise; `agents.training.improve` looks further.
"""
LONG_AGO = -(1 << 60)
ENDLESS = 1 << 62
"""Steps of an episode that only its time limit ends."""


def decision_kinds(decide: str, decide_on: tuple[str, ...] | None) -> int:
    """Kinds of events that ask for a decision, as bits; 0 for decisions at equal intervals. Raises SchemaError."""
    if decide not in {INTERVAL, EVENTS}:
        raise SchemaError(f"decide {decide!r}: expected {INTERVAL} or {EVENTS}")
    if decide == INTERVAL:
        if decide_on is not None:
            raise SchemaError(f"decide_on {decide_on!r}: expected decide={EVENTS!r} beside it")
        return 0
    from sim.batch import kinds_of

    try:
        return kinds_of(decide_on)
    except ValueError as e:
        raise SchemaError(f"decide_on: {e}") from e


def automatic(plant: Plant) -> tuple[str, str]:
    """What `--decide auto` chooses on a plant, `interval` or `events`, and why."""
    slow = [c for c in plant.controls if c.every * plant.tick_s >= FREE_S]
    if not slow:
        return EVENTS, (
            f"every control may move again within {FREE_S:g} s, so whatever happens may make another setpoint the "
            f"right one at once, and an interval would only come too late"
        )
    first = min(slow, key=lambda c: c.every)
    others = f" ({len(slow)} of {len(plant.controls)} controls are held like that)" if len(slow) > 1 else ""
    return INTERVAL, (
        f"{first.id} may move once in {span_text(first.every * plant.tick_s)} only{others}: asked at every event, an "
        f"agent would mostly be held"
    )


def usual_epoch(plant: Plant) -> int:
    """Ticks between decisions where nothing else is said: an hour, or the shortest `every` of the controls if it is
    longer.
    """
    every = [c.every for c in plant.controls if c.every > 0]
    return max(round(3600.0 / plant.tick_s), min(every, default=0))


def span_text(seconds: float) -> str:
    """A time in the largest unit of which it is a whole number, such as `10 min`; else in hours."""
    for unit, size in (("d", 86_400.0), ("h", 3600.0), ("min", 60.0), ("s", 1.0)):
        if seconds >= size and abs(seconds / size - round(seconds / size)) < 1e-9:
            return f"{round(seconds / size)} {unit}"
    return f"{seconds / 3600:g} h" if seconds >= 60.0 else f"{seconds:g} s"


def discount_s(compiled: Compiled, epoch_s: float) -> float:
    """The time constant of discounting where nobody states one, seconds: five times the plant's slowest time scale, or
    five intervals where that is longer.
    """
    return HORIZONS * max(scale_s(compiled.plant), epoch_s)


@dataclass(frozen=True, slots=True)
class Pace:
    """In ticks: `epoch`, the interval or the longest time between two decisions; `kinds` of events that ask for one, as
    bits (0: none); an episode ends after `most` steps and, where events ask, after `limit` ticks; `constant`, in which
    the worth of money falls to 1/e.
    """

    epoch: int
    kinds: int
    limit: int
    most: int
    constant: float

    @property
    def by_events(self) -> bool:
        """Do events ask for decisions?"""
        return self.kinds != 0

    def last(self, now: Values, ends: Values) -> Values:
        """Until when [N] a step from `now` [N] may last, of episodes that end at ticks `ends` [N]."""
        if not self.by_events:
            return now + self.epoch
        return np.where(ends > now, np.minimum(now + self.epoch, ends), now + self.epoch)  # it may go on after its end

    def discount(self, elapsed: Values) -> tuple[Floats, Floats]:
        """By what a step of `elapsed` [N] ticks discounts what comes after it, and the mean discount inside it.

        The second is right for cost that accrues evenly in the step, as holding and backlog do between two events;
        money paid at once at its beginning is worth a little more, at its end a little less: never by more than 1 - the
        first.
        """
        x = elapsed / self.constant
        lost = -np.expm1(-x)
        inside = np.ones(x.shape)
        np.divide(lost, x, out=inside, where=x > 0.0)
        return 1.0 - lost, inside


@dataclass(slots=True)
class Moves:
    """When the controls of N replicas moved last, so that none moves twice within its `every`; `last` int64 [N, C]."""

    grid: Grid
    replicas: int
    every: Values = field(init=False)
    last: Values = field(init=False)

    def __post_init__(self) -> None:
        self.every = np.array([c.every for c in self.grid.controls], dtype=np.int64)
        self.last = np.full((self.replicas, self.grid.size), LONG_AGO, dtype=np.int64)

    def of(self, who: NDArray[np.intp]) -> Moves:
        """Of the replicas `who` [K], as a copy."""
        found = Moves(self.grid, 0)
        found.last = self.last[who]
        return found

    def forget(self, who: NDArray[np.intp]) -> None:
        """New episodes of the replicas `who`: whatever there is may move at once."""
        self.last[who] = LONG_AGO

    def kept(self, now: Values, wanted: Values, present: Values) -> NDArray[np.bool_]:
        """Which setpoints [N, C] would move at ticks `now` [N] before their `every` has passed."""
        found = wanted != present
        if found.any():
            r, c = np.nonzero(found)
            found[r, c] = now[r] - self.last[r, c] < self.every[c]
        return found

    def note(self, now: Values, chosen: Values, present: Values) -> None:
        """What is moved now, by an agent or by a limit."""
        r, c = np.nonzero(chosen != present)
        self.last[r, c] = now[r]
