"""Deterministic job shops: the schedule a dispatching rule makes, and whether a schedule is possible at all.

Source: Giffler and Thompson (1960) and Baker, Introduction to Sequencing and Scheduling (1974), for non-delay
schedules: no machine stands idle while an operation waits for it. Of the waiting operations a machine takes that with
the best priority of the rule; equal ones in the order of the jobs. Instances are text files: a line `jobs machines`,
then a line a job of (machine, time) pairs; lines that begin with # say where it is from and its optimum.

SPT shortest operation, LPT longest; MWKR most work left in the job, LWKR least (the operation itself counted); MOR most
operations left; FIFO earliest at the machine.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

HERE = Path(__file__).parent / "jobs"
Jobs = tuple[tuple[tuple[int, int], ...], ...]
"""Operations (machine, time) of every job, in turn."""
Schedule = tuple[tuple[int, ...], ...]
"""Start times, of the same shape."""


@dataclass(frozen=True)
class Instance:
    name: str
    jobs: Jobs
    optimum: int


@dataclass(frozen=True)
class Waiting:
    """An operation that could start: its job, what it and the job still ask, since when it waits."""

    job: int
    time: int
    work_left: int
    operations_left: int
    ready: int


RULES: dict[str, Callable[[Waiting], int]] = {
    "SPT": lambda w: w.time,
    "LPT": lambda w: -w.time,
    "MWKR": lambda w: -w.work_left,
    "LWKR": lambda w: w.work_left,
    "MOR": lambda w: -w.operations_left,
    "FIFO": lambda w: w.ready,
}
"""Rule -> what the chosen operation has least of."""


def load(name: str) -> Instance:
    """An instance of the folder `jobs`."""
    text = (HERE / f"{name}.txt").read_text()
    found = re.search(r"^# optimum (\d+)$", text, re.MULTILINE)
    assert found, f"{name}: no line '# optimum N'"
    rows = [[int(x) for x in line.split()] for line in text.splitlines() if not line.startswith("#")]
    jobs = tuple(tuple(zip(row[::2], row[1::2], strict=True)) for row in rows[1:])
    assert rows[0] == [len(jobs), len({machine for job in jobs for machine, _ in job})]
    return Instance(name, jobs, int(found.group(1)))


def dispatch(jobs: Jobs, rule: str) -> Schedule:
    """Start times of the non-delay schedule a rule makes."""
    ready = [0] * len(jobs)
    free: dict[int, int] = {}
    starts: list[list[int]] = [[] for _ in jobs]
    while any(len(done) < len(job) for done, job in zip(starts, jobs, strict=True)):
        waiting = []
        for j, job in enumerate(jobs):
            at = len(starts[j])
            if at < len(job):
                machine, time = job[at]
                left = sum(t for _, t in job[at:])
                waiting.append((max(ready[j], free.get(machine, 0)), Waiting(j, time, left, len(job) - at, ready[j])))
        now = min(when for when, _ in waiting)
        chosen = min((w for when, w in waiting if when == now), key=lambda w: (RULES[rule](w), w.job))
        machine = jobs[chosen.job][len(starts[chosen.job])][0]
        starts[chosen.job].append(now)
        ready[chosen.job] = free[machine] = now + chosen.time
    return tuple(tuple(row) for row in starts)


def dispatch_by_event(jobs: Jobs, rule: str) -> Schedule:
    """The same shop where every event is dealt with by itself: ends of the same time in the order of the machines.

    A machine that becomes free chooses before it sees what a later end of the same time will bring; equal priorities in
    the order of joining. At the beginning all jobs stand there, in their order. (Without ties in time: `dispatch`.)
    """
    starts: list[list[int]] = [[] for _ in jobs]
    queues: dict[int, list[Waiting]] = {machine: [] for job in jobs for machine, _ in job}
    at_work: dict[int, tuple[int, int]] = {}  # machine -> (end, job)

    def join(j: int, now: int) -> int:
        at = len(starts[j])
        machine, time = jobs[j][at]
        left = sum(t for _, t in jobs[j][at:])
        queues[machine].append(Waiting(j, time, left, len(jobs[j]) - at, now))
        return machine

    def start(machine: int, now: int) -> None:
        if machine not in at_work and queues[machine]:
            chosen = min(queues[machine], key=RULES[rule])  # of equal ones the first
            queues[machine].remove(chosen)
            starts[chosen.job].append(now)
            at_work[machine] = (now + chosen.time, chosen.job)

    for machine in [join(j, 0) for j in range(len(jobs))]:
        start(machine, 0)
    while at_work:
        machine = min(at_work, key=lambda m: (at_work[m][0], m))
        now, j = at_work.pop(machine)
        if len(starts[j]) < len(jobs[j]):
            start(join(j, now), now)
        start(machine, now)
    return tuple(tuple(row) for row in starts)


def makespan(jobs: Jobs, schedule: Schedule) -> int:
    """When the last operation ends."""
    return max(
        start + op[1] for job, row in zip(jobs, schedule, strict=True) for op, start in zip(job, row, strict=True)
    )


def faults(jobs: Jobs, schedule: Schedule) -> list[str]:
    """What makes a schedule impossible; empty when it can be carried out."""
    found, busy = [], []
    for j, (job, row) in enumerate(zip(jobs, schedule, strict=True)):
        before = 0
        for i, ((machine, time), start) in enumerate(zip(job, row, strict=True)):
            if start < before:
                found.append(f"job {j}: operation {i} starts at {start}, before {before}")
            before = start + time
            busy.append((machine, start, before, j))
    busy.sort()
    for one, other in pairwise(busy):
        if one[0] == other[0] and other[1] < one[2]:
            found.append(f"machine {one[0]}: job {other[3]} starts at {other[1]}, job {one[3]} ends at {one[2]}")
    return found


def lower_bound(jobs: Jobs) -> int:
    """No schedule is shorter than the longest job or than the work of the most loaded machine."""
    load: dict[int, int] = {}
    for machine, time in (op for job in jobs for op in job):
        load[machine] = load.get(machine, 0) + time
    return max(*load.values(), *(sum(t for _, t in job) for job in jobs))
