"""Loads from the traffic equations, loops that can lock, and what `validate` and `init` print."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sim.deadlock import deadlocks, most_parts_at
from sim.plant import Plant
from sim.plantexamples import examples
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


def noted(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "loop.yaml"
    path.write_text(text, encoding="utf-8")
    return validate(path)[2]


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


def test_what_stretches_work_and_what_takes_time_away(tmp_path: Path) -> None:
    """odf stretches, parts add to each operation, tdf takes a share of the time, planned maintenance counts as well."""
    modes = """
      - {name: a, after: exponential(100 min), repair: 10 min}
      - {name: b, clock: parts, life: 60, repair: 3 min}
      - {name: c, clock: tdf, after: exponential(95 h), repair: 5 h}"""
    text = LOOP.replace("fails: {after: exponential(90 min), repair: exponential(10 min)}", "XX")
    text = text.replace(
        "prep: {work: 30 s, XX}", f"prep:\n    work: 30 s\n    fails:{modes}\n    tool: {{life: 50, change: 1 min}}"
    )
    loads = {load.station: load.utilisation for load in traffic(made(tmp_path, text)).loads}
    assert loads["prep"] == pytest.approx(60 * 1.25 / 3600 * (30 * 1.1 + 180 / 60 + 60 / 50) / 0.95)


def test_a_condition_stretches_work_by_its_cycle(tmp_path: Path) -> None:
    """Two levels of 10 h and 5 h, the second at half speed and with a sudden end every 15 h; then 3 h of repair."""
    station = """prep:
    work: 30 s
    condition:
      {levels: 2, wear: [exponential(10 h), exponential(5 h)], fails: [never, exponential(15 h)], speed: [1, 50 %]}
    maintenance: {corrective: 3 h}"""
    text = LOOP.replace("prep: {work: 30 s, fails: {after: exponential(90 min), repair: exponential(10 min)}}", station)
    second = 1 / (1 / 5 + 1 / 15)
    stretch = (10 + second + 3) / (10 + second / 2)
    loads = {load.station: load.utilisation for load in traffic(made(tmp_path, text)).loads}
    assert loads["prep"] == pytest.approx(60 * 1.25 * 30 / 3600 * stretch)
    planned = text.replace("corrective: 3 h", "corrective: 3 h, preventive: 1 h, at_level: 1")
    loads = {load.station: load.utilisation for load in traffic(made(tmp_path, planned)).loads}
    assert loads["prep"] == pytest.approx(60 * 1.25 * 30 / 3600 * 11 / 10)


def test_a_break_shortens_the_week(tmp_path: Path) -> None:
    text = LOOP.replace("prep: {work", "prep: {calendar: day, work")
    text += 'calendars: {day: {open: "Mon-Fri 00:00-12:00", breaks: "Mon-Fri 06:00-07:00"}}\n'
    text = text.replace("arrivals: poisson(60/h)", "arrivals: poisson(10/h), calendar: always")
    loads = {load.station: load.utilisation for load in traffic(made(tmp_path, text)).loads}
    assert loads["prep"] == pytest.approx(10 * 1.25 * 30 / 3600 * (10 / 9) / (55 / 168))


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
    assert most_parts_at(plant, [s.id for s in plant.stations]) is None
    assert deadlocks(plant) == [["prep", "test"]]
    assert any(n.startswith("warning: loop.yaml:13: buffers.to_prep: parts go round") for n in noted(tmp_path, LOOP))
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
    narrow = os.environ | {"COLUMNS": "80"}
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=narrow)


def test_validate_answers_on_one_screen() -> None:
    done = run("validate", "gearmotor")
    assert done.returncode == 0, done.stderr
    assert "blocking after_service" in done.stdout
    assert "bottleneck" in done.stdout
    assert len(done.stdout.splitlines()) <= 40
    assert "…" not in done.stdout, "nothing is cut at 80 columns"


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


def test_validate_answers_programs(tmp_path: Path) -> None:
    done = run("validate", "line3", "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["valid"]
    assert said["problems"] == []
    assert said["conventions"]["blocking"] == "after_service"
    assert said["settings"]["release.housing.cap"] == 6
    assert [s["station"] for s in said["stations"] if s["bottleneck"]] == ["turn"]
    assert said["stations"][0]["technical_availability"] == pytest.approx(100 / 110)
    path = tmp_path / "wrong.yaml"
    path.write_text(LOOP.replace("20 s", "20"), encoding="utf-8")
    done = run("validate", str(path), "--json")
    assert done.returncode == 2
    assert json.loads(done.stdout)["problems"][0].startswith("wrong.yaml:11: ")


def test_init_writes_the_example_of_a_feature(tmp_path: Path) -> None:
    path = tmp_path / "oven.yaml"
    assert run("init", str(path), "--feature", "batch").returncode == 0
    assert path.read_text(encoding="utf-8") == examples()["batch"]
    again = run("init", str(tmp_path / "x.yaml"), "--feature", "bacth")
    assert again.returncode == 2
    assert "did you mean 'batch'?" in again.stderr


def test_validate_prints_all_problems_and_exits_with_2(tmp_path: Path) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(LOOP.replace("20 s", "20").replace("30 s", "30 m"), encoding="utf-8")
    done = run("validate", str(path))
    assert done.returncode == 2
    assert [line.split(" ")[0] for line in done.stderr.splitlines()[:2]] == ["wrong.yaml:10:", "wrong.yaml:11:"]
    assert run("validate", str(tmp_path / "absent.yaml")).returncode == 2


def test_setups_of_a_free_line_weigh_as_much_as_they_take(tmp_path: Path) -> None:
    text = (
        "plantwin: 1\nsite: s\narea: a\nline: t\n"
        "products: {a: {routing: [m, n]}, b: {routing: [m, n]}}\n"
        "stations: {m: {work: 15 min, setup: {default: 6 min}}, n: {work: 15 min}}\n"
        "release: {a: {policy: saturated}, b: {policy: saturated}}\n"
    )
    loads = {load.station: load for load in traffic(made(tmp_path, text)).loads}
    # a random order changes the family every second time: 3 min a part
    assert loads["m"].utilisation == pytest.approx(1.0)
    assert loads["n"].utilisation == pytest.approx(15 / 18)
    assert loads["m"].setups == pytest.approx(3 / 18)
