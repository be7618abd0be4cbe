"""`line10` as a SimPy user would write it: a process a machine, a Store a buffer, breakdowns that interrupt.

Ten machines with exponential work (mean 1), buffers of ten places between them; a machine breaks down after an
exponential time of work (mean 100) and is repaired in an exponential time (mean 10); raw parts never run out. The
breakdown process runs on calendar time and looks whether the machine is at work, as in SimPy's own machine shop
example: for exponential times that is the same as a clock that runs only while the machine works.
"""

from __future__ import annotations

import random
from collections.abc import Generator
from typing import Any

import simpy

STATIONS = 10
PLACES = 10
WORK, UP, REPAIR = 1.0, 100.0, 10.0

Process = Generator[simpy.Event, Any, None]


class Machine:
    """One machine between two stores (None: raw parts on one end, finished parts on the other)."""

    def __init__(self, line: Line, source: simpy.Store | None, target: simpy.Store | None) -> None:
        self.line = line
        self.source = source
        self.target = target
        self.working = False
        self.process = line.env.process(self.run())
        line.env.process(self.break_down())

    def run(self) -> Process:
        env, line = self.line.env, self.line
        expovariate = line.random.expovariate
        while True:
            part = "part" if self.source is None else (yield self.source.get())
            left = expovariate(1 / WORK)
            while left:
                start = env.now
                try:
                    self.working = True
                    yield env.timeout(left)
                    left = 0.0
                    line.events += 1
                except simpy.Interrupt:
                    self.working = False
                    left -= env.now - start
                    yield env.timeout(expovariate(1 / REPAIR))
                    line.events += 1
            self.working = False
            if self.target is None:
                line.finished += 1
            else:
                yield self.target.put(part)

    def break_down(self) -> Process:
        while True:
            yield self.line.env.timeout(self.line.random.expovariate(1 / UP))
            self.line.events += 1
            if self.working:
                self.process.interrupt()


class Line:
    """The whole line; `events` counts the ends of timed delays, `finished` the parts made."""

    def __init__(self, seed: int) -> None:
        self.env = simpy.Environment()
        self.random = random.Random(seed)
        self.events = 0
        self.finished = 0
        self.buffers = [simpy.Store(self.env, PLACES) for _ in range(STATIONS - 1)]
        ends = [None, *self.buffers, None]
        self.machines = [Machine(self, ends[i], ends[i + 1]) for i in range(STATIONS)]

    def observe(self) -> list[float]:
        """What an agent would see: fill of each buffer, and whether each machine works."""
        return [len(buffer.items) / PLACES for buffer in self.buffers] + [float(m.working) for m in self.machines]
