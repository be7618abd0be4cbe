"""Dispatching rules on classical job shops: known makespans, possible schedules, never below the optimum."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest

from tests.oracles.jobshop import (
    HERE,
    RULES,
    Jobs,
    Schedule,
    Waiting,
    dispatch,
    dispatch_by_event,
    faults,
    load,
    lower_bound,
    makespan,
)

NAMES = sorted(path.stem for path in HERE.glob("*.txt"))
KNOWN = {
    "ft06": {"SPT": 88, "MWKR": 61, "MOR": 59, "FIFO": 65},
    "ft10": {"SPT": 1074, "MWKR": 1108, "MOR": 1163, "FIFO": 1184},
    "ft20": {"SPT": 1267, "MWKR": 1501, "MOR": 1601, "FIFO": 1645},
    "la01": {"SPT": 751, "MWKR": 735, "MOR": 763, "FIFO": 772},
    "la02": {"SPT": 821, "MWKR": 817, "MOR": 812, "FIFO": 830},
    "la05": {"SPT": 610, "MWKR": 593, "MOR": 593, "FIFO": 610},
    "la16": {"SPT": 1156, "MWKR": 1054, "MOR": 1108, "FIFO": 1180},
    "abz5": {"SPT": 1352, "MWKR": 1369, "MOR": 1336, "FIFO": 1467},
}
"""SPT, MWKR and MOR are those of job-shop-lib 1.7.2's dispatching rules too (its FCFS counts operations, not time);
la16 and abz5 were not looked up there."""


@pytest.mark.parametrize("name", NAMES)
def test_rules_make_possible_schedules_with_their_known_makespans(name: str) -> None:
    instance = load(name)
    assert lower_bound(instance.jobs) <= instance.optimum
    for rule in RULES:
        schedule = dispatch(instance.jobs, rule)
        assert faults(instance.jobs, schedule) == []
        assert makespan(instance.jobs, schedule) >= instance.optimum
    found = {rule: makespan(instance.jobs, dispatch(instance.jobs, rule)) for rule in KNOWN[name]}
    assert found == KNOWN[name]


def random_jobs(seed: int, size: int = 3) -> Jobs:
    generator = np.random.default_rng(seed)
    return tuple(
        tuple(
            (int(m), int(t)) for m, t in zip(generator.permutation(size), generator.integers(1, 9, size), strict=True)
        )
        for _ in range(size)
    )


def least_makespan(jobs: Jobs) -> int:
    """By trying every order of the jobs on every machine; orders that wait in a circle have no schedule."""
    best = 10**9
    machines = range(len(jobs[0]))
    for orders in product(permutations(range(len(jobs))), repeat=len(machines)):
        at, ready, free, served = [0] * len(jobs), [0] * len(jobs), [0] * len(machines), [0] * len(machines)
        moved = True
        while moved:
            moved = False
            for m in machines:
                j = orders[m][served[m]] if served[m] < len(jobs) else -1
                if j >= 0 and at[j] < len(jobs[j]) and jobs[j][at[j]][0] == m:
                    ready[j] = free[m] = max(ready[j], free[m]) + jobs[j][at[j]][1]
                    at[j], served[m], moved = at[j] + 1, served[m] + 1, True
        if all(done == len(job) for done, job in zip(at, jobs, strict=True)):
            best = min(best, max(ready))
    return best


@pytest.mark.parametrize("seed", range(8))
def test_no_rule_beats_the_enumerated_optimum(seed: int) -> None:
    jobs = random_jobs(seed)
    optimum = least_makespan(jobs)
    made = [makespan(jobs, dispatch(jobs, rule)) for rule in RULES]
    assert lower_bound(jobs) <= optimum <= min(made)


def clockwise(jobs: Jobs, rule: str) -> Schedule:
    """The same shop run tick by tick: at every tick each idle machine looks at the jobs that stand before it."""
    starts: list[list[int]] = [[] for _ in jobs]
    here, busy, tick = [0] * len(jobs), dict.fromkeys(range(len(jobs[0])), 0), 0
    while any(len(row) < len(job) for row, job in zip(starts, jobs, strict=True)):
        for machine, until in list(busy.items()):
            queue = []
            for j, job in enumerate(jobs):
                done = len(starts[j])
                if done < len(job) and job[done][0] == machine and here[j] <= tick >= until:
                    rest = [t for _, t in job[done:]]
                    queue.append(Waiting(j, rest[0], sum(rest), len(rest), here[j]))
            if queue:
                first = min(queue, key=lambda w: (RULES[rule](w), w.job))
                starts[first.job].append(tick)
                here[first.job] = busy[machine] = tick + first.time
        tick += 1
    return tuple(tuple(row) for row in starts)


@pytest.mark.parametrize("rule", RULES)
def test_dispatching_is_what_a_clock_would_see(rule: str) -> None:
    for jobs in [load("ft06").jobs, *(random_jobs(seed, 5) for seed in range(5))]:
        assert dispatch(jobs, rule) == clockwise(jobs, rule)


@pytest.mark.parametrize("rule", RULES)
def test_event_by_event_differs_only_where_ends_coincide(rule: str) -> None:
    for seed in range(5):
        jobs = tuple(tuple((m, t * 10_007 + 31 * j + m) for m, t in job) for j, job in enumerate(random_jobs(seed, 6)))
        if rule != "MOR":  # there equal priorities remain, which go by joining here and by number there
            assert dispatch_by_event(jobs, rule) == dispatch(jobs, rule)
    for name in NAMES:
        instance = load(name)
        schedule = dispatch_by_event(instance.jobs, rule)
        assert faults(instance.jobs, schedule) == []
        assert makespan(instance.jobs, schedule) >= instance.optimum


def test_a_machine_does_not_wait_for_the_other_end_of_the_same_time() -> None:
    """Machines 0 and 1 end at 4; job 0 comes to machine 2 first and starts, though job 1 is shorter there."""
    jobs = (((0, 4), (2, 5)), ((1, 4), (2, 1)))
    assert dispatch(jobs, "SPT") == ((0, 5), (0, 4))
    assert dispatch_by_event(jobs, "SPT") == ((0, 4), (0, 9))


def test_faults_are_found() -> None:
    jobs = (((0, 3), (1, 2)), ((1, 2), (0, 2)))
    assert faults(jobs, ((0, 3), (0, 3))) == []
    assert faults(jobs, ((0, 2), (0, 3))) == ["job 0: operation 1 starts at 2, before 3"]
    assert faults(jobs, ((0, 3), (0, 2))) == ["machine 0: job 1 starts at 2, job 0 ends at 3"]
    assert faults(jobs, ((0, 3), (4, 6))) == ["machine 1: job 1 starts at 4, job 0 ends at 5"]
