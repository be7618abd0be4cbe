"""Classical job shops in the kernel: the schedules of the oracle, operation by operation, under six rules."""

from __future__ import annotations

import numpy as np
import pytest

from sim import jobshop, kernel
from sim.compile import Compiled
from sim.state import KINDS
from tests.oracles.jobshop import HERE, RULES, Instance, Jobs, Schedule, dispatch_by_event, faults, load, makespan
from tests.theory.cases_supply import bundled
from tests.theory.compare import compiled

NAMES = sorted(path.stem for path in HERE.glob("*.txt"))
WORK_END = KINDS.index("work_end")
MINUTE = 60


def schedule(built: Compiled, jobs: Jobs) -> Schedule:
    """Start times in minutes. The trace says which machine ends when; whose operation it is follows from the times: a
    machine's ends come in the order in which its operations began, and a job's part is known by where it stands.
    """
    rows = kernel.new_rows(built, 1, 1)
    view, starts = built.layout.view, [[-1] * len(job) for job in jobs]
    horizon = sum(time for job in jobs for _, time in job) * MINUTE + 1
    before = np.zeros(len(jobs), dtype=int)
    note(view, rows, starts, 0)
    while True:
        events = kernel.trace(rows[0].copy(), built, horizon)
        if not events:
            return tuple(tuple(row) for row in starts)
        now = int(events[0][0])
        kernel.run(rows, built, now + 1)
        note(view, rows, starts, now // MINUTE)
