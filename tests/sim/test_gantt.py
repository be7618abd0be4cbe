"""The state chart tells what the kernel did: its bars add up to the kernel's own unit-ticks."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from plantwin import main
from sim import experiment, gantt, gantt_draw
from sim.compile import Compiled, compile_plant
from sim.kernel import clear_stats, new_rows, run
from sim.plant import STATES
from sim.plantfile import load

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "pictures.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(("name", "start_s", "end_s"), [("gearmotor", 25 * 3600, 33 * 3600), ("line10", 50, 170)])
def test_bars_add_up_to_what_the_kernel_counted(name: str, start_s: float, end_s: float) -> None:
    compiled = compile_plant(load(name))
    start, end = compiled.ticks(start_s), compiled.ticks(end_s)
    chart = gantt.collect(compiled, 3, start, end)
    rows = new_rows(compiled, 3, 1)
    run(rows, compiled, start)
    clear_stats(rows, compiled)
    run(rows, compiled, end)
    wanted = compiled.layout.view(rows, "st_ticks")[0]
    found = np.zeros_like(wanted)
    for bar in chart.bars:
        found[chart.station[bar.unit], STATES.index(bar.state)] += bar.end - bar.start
    assert (found == wanted).all()
    for _, group in groupby(chart.bars, key=lambda bar: bar.unit):
        bars = list(group)
        assert (bars[0].start, bars[-1].end) == (start, end)
        assert all(a.end == b.start for a, b in pairwise(bars))
    # an operation that a failure interrupts is drawn in more than one piece; an oven's bar is a whole batch
    for place, (station, ended) in enumerate(
        zip(compiled.plant.stations, compiled.layout.view(rows, "ended")[0], strict=True)
    ):
        drawn = sum(b.state == "work" and b.end < end and chart.station[b.unit] == place for b in chart.bars)
        assert drawn * (station.batch.most if station.batch else 1) >= ended, station.id
    products = {p.id for p in compiled.plant.products}
    assert {bar.product for bar in chart.bars if bar.state == "work"} <= products


def test_two_parts_one_after_the_other_are_two_bars() -> None:
    compiled = compile_plant(load("mm1"))
    chart = gantt.collect(compiled, 7, 0, compiled.ticks(600))
    rows = new_rows(compiled, 7, 1)
    run(rows, compiled, compiled.ticks(600))
    worked = [bar for bar in chart.bars if bar.state == "work" and bar.end < chart.end]
    assert len(worked) >= int(compiled.layout.view(rows, "ended").sum()) > 100
    assert any(a.end == b.start for a, b in pairwise(worked))


def test_the_chart_is_the_same_each_time_and_readable_without_colour() -> None:
    compiled = compile_plant(load("gearmotor"))
    chart = gantt.collect(compiled, 7, compiled.ticks(30 * 3600), compiled.ticks(36 * 3600))
    picture = gantt_draw.svg(chart, compiled)
    assert picture == gantt_draw.svg(gantt.collect(compiled, 7, chart.start, chart.end), compiled)
    page = ET.fromstring(picture)
    space = "{http://www.w3.org/2000/svg}"
    patterns = {p.get("id") for p in page.iter(f"{space}pattern")}
    assert patterns == {"p-blocked", "p-starved", "p-setup", "p-down"}
    assert len({p.find(f"{space}path").get("d") for p in page.iter(f"{space}pattern")}) == 4  # type: ignore[union-attr]
    used = set(re.findall(r"url\(#([a-z-]+)\)", picture))
    assert used <= patterns
    assert {"gm40", "gm80"} <= {text.text for text in page.iter(f"{space}text")}
    table = gantt_draw.html(chart, compiled)
    assert table.count("<tr>") == len(chart.units) + 1


def test_a_window_with_too_many_bars_is_refused_with_what_to_do() -> None:
    compiled = compile_plant(load("mm1"))
    with pytest.raises(ValueError, match=r"expected at most .* found .* end it earlier, such as --gantt-until '\d+ s'"):
        gantt.collect(compiled, 7, 0, compiled.ticks(30 * 86_400))
    with pytest.raises(ValueError, match="expected an end after the beginning"):
        gantt.collect(compiled, 7, 5, 5)


BLOCKS = re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
COMMANDS = [line for block in BLOCKS for line in block.splitlines()]


def plantwin(line: str, where: Path) -> subprocess.CompletedProcess[str]:
    arguments = line.split()
    assert arguments[0] == "plantwin"
    command = (sys.executable, "-m", "plantwin", *arguments[1:])
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=where, env=environment, capture_output=True, text=True, timeout=200, check=False)


@pytest.mark.parametrize("line", COMMANDS)
def test_the_commands_of_the_page_write_what_they_name(line: str, tmp_path: Path) -> None:
    done = plantwin(line, tmp_path)
    assert done.returncode == 0, done.stderr
    [written] = tmp_path.iterdir()
    assert written.name in line or written.name == "line10.svg"
    root = written.read_text(encoding="utf-8")
    assert root.startswith(("<svg", "<!doctype html>"))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("plantwin show mm1 --out mm1.png", "ends in .svg, found .png"),
        ("plantwin show mm1 --theme pink", "expected one of dark, light"),
        ("plantwin show mm1 --out no/where.svg", "cannot be written"),
        ("plantwin show nothing", "nothing"),
    ],
)
def test_wrong_use_says_what_was_expected(line: str, said: str, tmp_path: Path) -> None:
    done = plantwin(line, tmp_path)
    assert done.returncode == 2
    assert said in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("asked", "until", "figures"),
    [("--until 0.5", 1800, False), ("--warmup 0.1 --until 0.5", 1800, False), ("--gantt-until 0.2", 720, False),
     ("--until 0.5 --replications 2", None, True), ("--gantt-until 0.2 --until 1 --json --replications 2", 720, True)],
)  # fmt: skip
def test_only_what_is_drawn_is_run(
    asked: str, until: int | None, figures: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    charts, plans = list[gantt.Chart](), list[experiment.Run]()
    whole = experiment.simulate

    def drawn(chart: gantt.Chart, _: Compiled) -> str:
        charts.append(chart)
        return "<svg/>"

    def simulated(compiled: Compiled, plan: experiment.Run, told: Callable[[int], None]) -> dict[str, Any]:
        plans.append(plan)
        return whole(compiled, plan, told)

    monkeypatch.setattr(gantt_draw, "svg", drawn)
    monkeypatch.setattr(experiment, "simulate", simulated)
    path = tmp_path / "chart.svg"
    with pytest.raises(SystemExit, match="0"):
        main(["simulate", "line3", "--gantt", str(path), *asked.split()])
    [chart] = charts
    assert chart.start == (360_000 if "--warmup" in asked else 0), "in ticks of a millisecond"
    assert until is None or chart.end == until * 1000
    assert bool(capsys.readouterr().out) == bool(plans) == figures
    assert all(plan.replications == 2 for plan in plans)
