"""Classical job shops in the kernel: the schedules of the oracle, operation by operation, under six rules."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from sim import gantt, jobshop, kernel
from sim.compile import Compiled
from sim.distributions import mean
from sim.experiment import Run
from tests.oracles.jobshop import HERE, RULES, Jobs, Schedule, dispatch_by_event, faults, load, makespan
from tests.theory.cases_supply import bundled
from tests.theory.compare import assert_agrees, compiled, estimate, figures

NAMES = sorted(path.stem for path in HERE.glob("*.txt"))
MINUTE = 60


def schedule(built: Compiled, jobs: Jobs) -> Schedule:
    """Start times in minutes, from the state chart of the run."""
    end = sum(time for job in jobs for _, time in job) * MINUTE + 1
    starts = [[-1] * len(job) for job in jobs]
    for bar in gantt.collect(built, 1, 0, end).bars:
        if bar.state == "work":
            job, op = int(bar.product.removeprefix("job")) - 1, int(bar.step.removeprefix("op")) - 1
            assert starts[job][op] == -1, f"{bar.product} {bar.step} is done twice"
            assert bar.end - bar.start == jobs[job][op][1] * MINUTE
            starts[job][op] = bar.start // MINUTE
    return tuple(tuple(row) for row in starts)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", NAMES)
def test_the_kernel_makes_the_schedule_of_the_rule(name: str, rule: str) -> None:
    instance = load(name)
    built = compiled(jobshop.plant_text((HERE / f"{name}.txt").read_text(), rule))
    found = schedule(built, instance.jobs)
    assert faults(instance.jobs, found) == []
    assert makespan(instance.jobs, found) >= instance.optimum
    assert found == dispatch_by_event(instance.jobs, rule)


def test_the_bundled_ft06_is_the_instance() -> None:
    """And its first comment states the makespans of the rules as the kernel has them."""
    instance, text = load("ft06"), bundled("ft06")
    comment = text.replace("\n# ", " ")
    words = {
        "FIFO": "served takes", "SPT": "the shortest operation first", "MWKR": "most work left",
        "MOR": "operations left",
    }  # fmt: skip
    head, _, _ = text.partition("controls:")
    for rule, said in words.items():
        built = compiled(head.replace("dispatch: fifo", f"dispatch: {jobshop.RULES[rule]}"))
        found = schedule(built, instance.jobs)
        assert found == dispatch_by_event(instance.jobs, rule)
        assert f"{said} {makespan(instance.jobs, found)}" in comment
    assert f"the best schedule of all takes {instance.optimum} minutes" in text


def test_no_weights_of_ft06_beat_the_optimum() -> None:
    """A thousand random settings of its twelve controls at tick 0: the last job is never done before minute 55."""
    built, settings = compiled(bundled("ft06")), np.random.default_rng(20260105).integers(-1, 2, (1000, 12))
    rows = kernel.new_rows(built, 1, len(settings))
    kernel.set_controls(rows, built, settings.astype(np.int64))
    finished, done = [], built.layout.view(rows, "finished")
    for minute in range(50, 90):
        kernel.run(rows, built, minute * MINUTE + 1)
        finished.append(int((done.sum(axis=1) == 6).sum()))
    assert sum(finished[:5]) == 0
    assert finished[-1] == len(settings)
    assert len(set(finished)) > 10, "the weights change hardly anything"


def test_jobshop10_is_loaded_as_it_says_and_its_rules_differ_as_it_says() -> None:
    """Work of every machine as its load, 75 to 90 %; late orders and cost by rule on the same random numbers."""
    text = bundled("jobshop10")
    head, _, _ = text.partition("controls:")
    found = {}
    for rule, said in (("fifo", "served"), ("spt", "shortest operation first"), ("slack", "least slack first")):
        built = compiled(head.replace("dispatch: slack", f"dispatch: {rule}"))
        hour = built.ticks(3600.0)
        found[rule] = figures(built, Run(4200 * hour, 200 * hour, 10, 7))
        late, cost = float(found[rule]["tardy"].mean()), float(found[rule]["cost_rate"].mean())
        assert f"{said} {100 * late:.0f} % and {cost:.0f} EUR" in text
    assert (found["slack"]["cost_rate"] < found["spt"]["cost_rate"]).all()
    for station in built.plant.stations:
        load_ = sum(
            mean(step.work) / mean(product.release.arrivals)
            for product in built.plant.products
            for step in product.steps
            if step.station == station.id and product.release.arrivals is not None
        )
        assert 0.75 <= load_ <= 0.90
        assert_agrees(estimate(found["slack"][f"{station.id}.work"]), load_, 0.02)
    assert all(len({step.station for step in p.steps}) < len(p.steps) for p in built.plant.products), "no way back"


def test_instances_that_are_none_are_refused_with_their_line() -> None:
    for text, said in (
        ("2 2\n0 3 1 x\n", "line 2: expected whole numbers"),
        ("", "first line `jobs machines`"),
        ("2 2\n0 3 1 4\n", "expected 2 jobs"),
        ("1 2\n0 3 1\n", "line 2: expected pairs"),
        ("# a remark\n1 2\n0 3 2 1\n", "line 3: machine 2, expected 0 to 1"),
    ):
        with pytest.raises(ValueError, match=said):
            jobshop.plant_text(text)


def test_the_module_prints_the_plant_of_an_instance() -> None:
    made = subprocess.run(
        [sys.executable, "-m", "sim.jobshop", str(HERE / "la01.txt"), "MWKR"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert made.stdout == jobshop.plant_text((HERE / "la01.txt").read_text(), "MWKR", "la01")
    wrong = subprocess.run([sys.executable, "-m", "sim.jobshop", "no.txt"], capture_output=True, text=True, check=False)
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "no.txt" in wrong.stderr
