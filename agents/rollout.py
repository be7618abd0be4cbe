"""Run a plant under a controller and add up what it cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from agents.controllers import Controller
from agents.grid import Grid
from sim.value import operating_cost

if TYPE_CHECKING:
    from sim.compile import Compiled

Rows = NDArray[np.int64]
Costs = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Span:
    """How long to run: decisions every `epoch` ticks (unless the controller has its own interval), `warmup` ticks
    that are not counted, then `length` ticks that are.
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
    every = [c.every for c in compiled.plant.controls if c.every > 0]
    return max(ticks(compiled, 3600.0), min(every, default=0))


def operate(rows: Rows, compiled: Compiled, who: Controller, until: int, epoch: int, threads: int = 1) -> None:
    """Run rows [R, W], which stand at one common time, to tick `until` in place, asking `who` at the start and every
    `epoch` ticks.
    """
    from sim.engine import run, set_controls

    grid = Grid(compiled.plant)
    now = int(rows[0, compiled.layout.at("now")])
    step = until - now if who.static else epoch if who.epoch_s is None else ticks(compiled, who.epoch_s)
    while now < until:
        values = who.act(rows)
        if values is not None:
            set_controls(rows, compiled, grid.limit(values, rows, compiled.layout))
        now = min(now + step, until)
        run(rows, compiled, now, threads)


def cost_of(who: Controller, compiled: Compiled, span: Span, seed: int, replicas: int, threads: int = 1) -> Costs:
    """Operating cost [replicas] of `span.length` ticks after the warm-up, from an empty plant, at addresses (seed,
    0...).
    """
    from sim.engine import new_rows

    rows = new_rows(compiled, seed, replicas)
    operate(rows, compiled, who, span.warmup, span.epoch, threads)
    before = rows.copy()
    operate(rows, compiled, who, span.warmup + span.length, span.epoch, threads)
    return operating_cost(before, rows, compiled)
