# mypy: ignore-errors
# (cimba is no dependency, so its types are not there)
"""`line10` in cimba: a process for each machine and a store for the buffer behind it.

A machine's clock to failure runs with its work. The model counts its ends of timed delays. It runs in a process of its
own, `python -m benchmarks._cimba_line10`, because cimba and our kernel extend numba in ways that depend on their order:
a line `SEED SECONDS` in, a line `EVENTS PARTS CPU_SECONDS` out.
"""

from __future__ import annotations

import sys
import time

import cimba as cb
from cimba import random

STATIONS, PLACES = 10, 10
WORK, UP, REPAIR = 1.0, 100.0, 10.0


class First(cb.Model):
    """The first machine: raw parts never run out."""

    buffer: cb.Store[int] = cb.Store(capacity=PLACES)
    events: cb.Output[int]

    @cb.process
    def run(self) -> None:
        up = random.exponential(UP)
        while True:
            left = random.exponential(WORK)
            while up < left:
                cb.hold(up)
                left -= up
                cb.hold(random.exponential(REPAIR))
                up = random.exponential(UP)
                self.events += 2
            cb.hold(left)
            up -= left
            self.events += 1
            self.buffer.put(1)


class Machine(cb.Model):
    """A machine between two buffers."""

    source: cb.Ref[cb.Store[int]]
    buffer: cb.Store[int] = cb.Store(capacity=PLACES)
    events: cb.Output[int]

    @cb.process
    def run(self) -> None:
        up = random.exponential(UP)
        while True:
            part = self.source.get()
            left = random.exponential(WORK)
            while up < left:
                cb.hold(up)
                left -= up
                cb.hold(random.exponential(REPAIR))
                up = random.exponential(UP)
                self.events += 2
            cb.hold(left)
            up -= left
            self.events += 1
            self.buffer.put(part)


class Last(cb.Model):
    """The last machine: it counts the finished parts."""

    source: cb.Ref[cb.Store[int]]
    events: cb.Output[int]
    finished: cb.Output[int]

    @cb.process
    def run(self) -> None:
        up = random.exponential(UP)
        while True:
            self.source.get()
            left = random.exponential(WORK)
            while up < left:
                cb.hold(up)
                left -= up
                cb.hold(random.exponential(REPAIR))
                up = random.exponential(UP)
                self.events += 2
            cb.hold(left)
            up -= left
            self.events += 1
            self.finished += 1


class Line(cb.Model):
    """Ten machines in a row."""

    first: First
    machines: list[Machine]
    last: Last

    def __init__(self) -> None:
        self.first = First()
        self.machines = [Machine() for _ in range(STATIONS - 2)]
        self.last = Last()
        before = [self.first, *self.machines]
        for giver, taker in zip(before, [*self.machines, self.last], strict=True):
            taker.source = giver.buffer


LINE = Line()


def run_line(seed: int, seconds: float) -> tuple[int, int, float]:
    """Events, parts and CPU seconds of one replication from empty."""
    experiment = cb.Experiment(LINE, replications=1, window=cb.Window(warmup=0, duration=seconds), seed=seed)
    start = time.process_time()
    results = experiment.run()
    spent = time.process_time() - start
    machines = [LINE.first, *LINE.machines, LINE.last]
    events = sum(int(results[machine].events.values.sum()) for machine in machines)
    return events, int(results[LINE.last].finished.values.sum()), spent


if __name__ == "__main__":
    for request in sys.stdin:
        asked_seed, asked_seconds = request.split()
        print(*run_line(int(asked_seed), float(asked_seconds)), flush=True)
