"""Loads from the traffic equations, loops that can lock, and what `validate` and `init` print."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sim.deadlock import deadlocks, most_parts
from sim.plant import Plant
from sim.plantfile import load, validate
from sim.report import untabled, warnings
from sim.traffic import completed, traffic, visits

ROOT = Path(__file__).parents[2]
LOOP = """\
plantwin: 1
site: demo
area: hall
line: loop
time_unit: h
products:
  a:
    routing: [prep, {station: test, next: {fix: 20 %, scrap: 10 %, done: rest}}, {step: fix, station: prep, next: test}]
stations:
  prep: {work: 30 s, fails: {after: exponential(90 min), repair: exponential(10 min)}}
  test: {work: 20 s}
buffers:
  to_prep: {before: prep, capacity: 3}
  to_test: {before: test, capacity: 3}
release: {a: {policy: push, arrivals: poisson(60/h)}}
"""


def made(tmp_path: Path, text: str) -> Plant:
    path = tmp_path / "loop.yaml"
    path.write_text(text, encoding="utf-8")
    plant, problems, _ = validate(path)
    assert problems == []
    assert plant is not None
    return plant


def test_rework_multiplies_visits(tmp_path: Path) -> None:
    """test is visited 1 + 0.2 + 0.04 + ... = 1.25 times, and 0.7 of these end well."""
    plant = made(tmp_path, LOOP)
    assert visits(plant.products[0]) == pytest.approx([1.0, 1.25, 0.25])
    assert completed(plant.products[0]) == pytest.approx(0.875)
    loads = {load.station: load.utilisation for load in traffic(plant).loads}
    assert loads["prep"] == pytest.approx(60 * 1.25 * 30 / 3600 * (1 + 10 / 90))
    assert loads["test"] == pytest.approx(60 * 1.25 * 20 / 3600)
    assert traffic(plant).bottleneck.station == "prep"


def test_demand_calendars_units_and_scrap_enter_the_load(tmp_path: Path) -> None:
    text = LOOP.replace("policy: push, arrivals: poisson(60/h)", "policy: conwip, cap: 5")
    text = text.replace("prep: {work", "prep: {units: 2, calendar: day, work")
    text += 'calendars: {day: {open: "Mon-Fri 00:00-12:00"}}\n'
    text += "stocks: {out: {item: a, from: line}}\n"
    text += "demand: {d: {stock: out, arrivals: poisson(10/h), calendar: always}}\n"
    loads = {load.station: load.utilisation for load in traffic(made(tmp_path, text)).loads}
    open_share = 60 / 168
    assert loads["prep"] == pytest.approx(10 / 0.875 * 1.25 * 30 / 3600 * (10 / 9) / (2 * open_share))


def test_a_free_running_line_is_as_fast_as_its_bottleneck() -> None:
    line10 = traffic(load("line10"))
    assert line10.free == ("part",)
    assert line10.rates["part"] * 1000 == pytest.approx(10 / 11)  # a tick is a millisecond
    assert traffic(load("mm1")).loads[0].utilisation == pytest.approx(0.8)


def test_gearmotor_is_loaded_as_a_real_plant_is() -> None:
    loads = {load.station: load.utilisation for load in traffic(load("gearmotor")).loads}
    assert all(0.75 <= u <= 0.92 for u in loads.values()), loads


def test_bounded_loops_are_named(tmp_path: Path) -> None:
    plant = made(tmp_path, LOOP)
    assert most_parts(plant) is None
    assert deadlocks(plant) == [["prep", "test"]]
    assert any("block each other for ever" in w for w in warnings(plant, traffic(plant)))
    capped = LOOP.replace("policy: push, arrivals: poisson(60/h)", "policy: conwip, cap: 4")
    assert deadlocks(made(tmp_path, capped)) == []
    steered = capped + "controls: {cap: {sets: release.a.cap, from: 1, to: 9, every: 1 h}}\n"
    assert deadlocks(made(tmp_path, steered)) == [["prep", "test"]]
    assert deadlocks(load("gearmotor")) == []


def test_too_much_demand_and_blind_stations_are_warned_about(tmp_path: Path) -> None:
    text = LOOP.replace("60/h", "120/h") + "sensors: [{thing: prep, property: state, tag: prep/state}]\n"
    plant = made(tmp_path, text)
    said = " | ".join(warnings(plant, traffic(plant)))
    assert "prep is asked for 139 % of what it can do" in said
    assert "no sensor tells the state of test" in said


def test_distributions_that_the_kernel_cannot_carry_are_found_before_a_run(tmp_path: Path) -> None:
    assert untabled(load("gearmotor")) == []
    plant = made(tmp_path, LOOP.replace("exponential(10 min)", "exponential(5000 w)"))
    assert [p.split(":")[0] for p in untabled(plant)] == ["repair of prep"]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "plantwin.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_validate_answers_on_one_screen() -> None:
    done = run("validate", "gearmotor")
    assert done.returncode == 0, done.stderr
    assert "blocking after_service" in done.stdout
    assert "bottleneck" in done.stdout
    assert len(done.stdout.splitlines()) <= 40


def test_init_writes_a_valid_file_and_never_overwrites(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    assert run("init", str(path)).returncode == 0
    written = path.read_text(encoding="utf-8")
    assert validate(path)[1] == []
    assert "warning" not in run("validate", str(path)).stdout, "the starter teaches no deadlock"
    again = run("init", str(path))
    assert again.returncode == 2
    assert "expected a new file" in again.stderr
    assert path.read_text(encoding="utf-8") == written


def test_validate_prints_all_problems_and_exits_with_2(tmp_path: Path) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(LOOP.replace("20 s", "20").replace("30 s", "30 m"), encoding="utf-8")
    done = run("validate", str(path))
    assert done.returncode == 2
    assert [line.split(" ")[0] for line in done.stderr.splitlines()[:2]] == ["wrong.yaml:10:", "wrong.yaml:11:"]
    assert run("validate", str(tmp_path / "absent.yaml")).returncode == 2
