"""Run a plant under a controller and add up what it cost."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from agents.control.controllers import Controller
from agents.envs.epochs import Moves, usual_epoch
from agents.envs.grid import Grid
from sim.value import operating_cost

if TYPE_CHECKING:
    from sim.compile import Compiled

Rows = NDArray[np.int64]
Costs = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Span:
    """How long to run: decisions every `epoch` ticks (unless the controller has its own interval, or decides at
    events), `warmup` ticks that are not counted, then `length` ticks that are.
    """

    epoch: int
    warmup: int
    length: int


def ticks(compiled: Compiled, seconds: float) -> int:
    """A duration in ticks of this plant."""
    return round(seconds / compiled.plant.tick_s)


def default_epoch(compiled: Compiled) -> int:
    """Ticks between decisions where nothing else is said: an hour, or the shortest `every` of the controls if
    longer.
    """
    return usual_epoch(compiled.plant)


@dataclass(slots=True)
class Operation:
    """A controller at work on the replicas of a plant: it is asked every `epoch` ticks (or its own interval) from its
    first question on, or, where it decides at events, at each of them, and then at least so often.

    What it may do is what `agents.envs.env.PlantVectorEnv` lets an agent do: a control whose `every` is longer than the
    interval moves at whole multiples of it only (at events: when its `every` has passed), and limits move setpoints.
    A controller that never changes its mind is asked once a run, unless a limit that holds in some states only may
    move what it sets.
    """

    compiled: Compiled
    who: Controller
    epoch: int
    threads: int = 1
    grid: Grid = field(init=False)
    kinds: int = field(init=False)
    moves: Moves | None = field(init=False, default=None)
    ratio: NDArray[np.int64] = field(init=False)
    due: int | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.grid = Grid(self.compiled.plant)
        self.kinds = 0 if self.who.static else int(getattr(self.who, "kinds", 0))
        if self.who.epoch_s is not None:
            self.epoch = ticks(self.compiled, self.who.epoch_s)
        every = np.array([c.every for c in self.grid.controls], dtype=np.int64)
        self.ratio = np.maximum(-(-every // max(self.epoch, 1)), 1)

    def run(self, rows: Rows, until: int) -> None:
        """Run rows [R, W], which stand at one common time, to tick `until` in place, asking at the start and then
        whenever an interval has passed, also when the run before ended inside one.
        """
        from sim.engine import run

        if self.kinds:
            self._at_events(rows, until - 1)
            run(rows, self.compiled, until, self.threads)
            return
        now = int(rows[0, self.compiled.layout.at("now")])
        while now < until:
            if self.due is None or now >= self.due:
                again = self._ask(rows, now)
                self.due = now + self.epoch if again else until
            now = min(self.due, until)
            run(rows, self.compiled, now, self.threads)

    def _ask(self, rows: Rows, now: int) -> bool:
        """Set what the controller wants in rows [R, W] at tick `now`; must it be asked again in this run?"""
        from sim.engine import set_controls
        from sim.kernel import get_controls

        values = self.who.act(rows)
        if values is None:
            return not self.who.static
        wanted = values
        if self.due is not None:  # at first whatever there is may move at once
            wanted = np.where(now // self.epoch % self.ratio != 0, get_controls(rows, self.compiled), values)
        set_controls(rows, self.compiled, self.grid.limit(wanted, rows, self.compiled.layout))
        return not self.who.static or self.grid.depends(values)

    def _at_events(self, rows: Rows, last: int) -> None:
        """Run rows through tick `last`, asking at each event of theirs; one that has arrived is asked no more.

        No control moves again before its `every` has passed.
        """
        from sim.batch import Turn
        from sim.engine import play
        from sim.kernel import get_controls

        if self.moves is None:
            self.moves = Moves(self.grid, len(rows))
        clock = self.compiled.layout.at("now")
        while True:
            now = rows[:, clock].copy()
            going = now < last
            if not going.any():
                return
            present = get_controls(rows, self.compiled)
            wanted = self.who.act(rows)
            values = present
            if wanted is not None:
                wanted = np.where(self.moves.kept(now, wanted, present), present, wanted)
                admitted = self.grid.limit(wanted, rows, self.compiled.layout)
                values = np.where(going[:, None], admitted, present)
                self.moves.note(now, values, present)
            until = np.where(going, np.minimum(now + self.epoch, last), now)
            play(rows, self.compiled, Turn(until, self.kinds, values, threads=self.threads))


def cost_of(who: Controller, compiled: Compiled, span: Span, seed: int, replicas: int, threads: int = 1) -> Costs:
    """Operating cost [replicas] of `span.length` ticks after the warm-up, from an empty plant, at addresses (seed,
    0...).
    """
    from sim.engine import new_rows

    rows = new_rows(compiled, seed, replicas)
    return cost_over(rows, compiled, who, span, threads)


def cost_over(rows: Rows, compiled: Compiled, who: Controller, span: Span, threads: int = 1) -> Costs:
    """Operating cost [R] of `span.length` ticks after the warm-up; rows [R, W], which stand at tick 0, are advanced."""
    operation = Operation(compiled, who, span.epoch, threads)
    operation.run(rows, span.warmup)
    before = rows.copy()
    operation.run(rows, span.warmup + span.length)
    return operating_cost(before, rows, compiled)
