"""`plantwin simulate` as a person types it."""

from __future__ import annotations

import json

import pytest

from sim.commands_run import simulate
from sim.compile import compile_plant
from sim.experiment import EVENT_BUDGET, Run, usual_end
from sim.plantfile import load

DAY_MS = 86_400_000


def test_the_usual_end_follows_the_plant_not_the_machine() -> None:
    line10, gearmotor = (compile_plant(load(name)) for name in ("line10", "gearmotor"))
    few, many = Run(DAY_MS, replications=4), Run(DAY_MS, replications=100)
    assert usual_end(line10, many, DAY_MS) == DAY_MS, "a busy plant: a day of 100 replications is enough"
    assert DAY_MS < usual_end(line10, few, DAY_MS) <= 30 * DAY_MS
    assert usual_end(gearmotor, many, DAY_MS) == 30 * DAY_MS
    assert usual_end(gearmotor, Run(DAY_MS, replications=100, engine="simpy"), DAY_MS) < 30 * DAY_MS
    assert EVENT_BUDGET["simpy"] < EVENT_BUDGET["kernel"]


def test_the_report_says_what_was_simulated(capsys: pytest.CaptureFixture[str]) -> None:
    simulate("mm1", "10 min", "1 min", 2, 7, "kernel", as_json=True)
    report = json.loads(capsys.readouterr().out)
    assert (report["until_s"], report["warmup_s"], report["replications"]) == (600, 60, 2)
    simulate("line3", "36 h", "0 s", 2, 7, "kernel", as_json=False)
    assert "2 replications until 36 h" in " ".join(capsys.readouterr().out.split())


def test_no_name_is_cut_on_eighty_columns(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    simulate("gearmotor", "8 h", "0 s", 2, 7, "kernel", as_json=False)
    out = capsys.readouterr().out
    assert "…" not in out
    assert all(name in out for name in ("machining", "starved", "blocked", "queue", "export80"))
    assert max(len(line) for line in out.splitlines()) <= 80
