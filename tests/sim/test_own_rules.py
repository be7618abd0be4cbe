"""Rules of a plant's own, in SimPy: equal to the kernel where they change nothing, forked without a trace, refused
unless the user allows them.
"""

from __future__ import annotations

import json
import random
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer import Exit

from sim import commands_experiment, engine, kernel
from sim.commands_run import _ticks, simulate, trace
from sim.compile import CompileError, compile_plant
from sim.facts import rows_from_facts
from sim.factsheet import Facts
from sim.ownrules import Loaded, allow
from sim.plantfile import PlantError, load, validate
from sim.reference import Reference
from sim.state import EVENTS, K_OWN, NOW
from sim.study import Spec, Study, StudyError
from sim.work import Source, Unit, compute
from tests.sim.own_rules import CODE, PLANT, drum, rules, write

HOUR = 3_600_000


class Nothing(Reference):
    """Rules that decide nothing."""


@pytest.mark.parametrize(("name", "hours"), [("gearmotor", 2), ("line3", 2), ("serial_supply3", 24 * 7)])
def test_rules_that_change_nothing_give_the_rows_of_the_kernel(name: str, hours: int) -> None:
    known = compile_plant(load(name))
    own = replace(known, own=Loaded(Nothing, Path("nothing.py"), ""))
    one, two = kernel.new_rows(known, 7, 3), engine.new_rows(own, 7, 3)
    assert np.array_equal(one, two)
    tick = known.ticks(hours * 3600)
    ends = np.array([tick, 2 * tick + 1, 3 * tick], dtype=np.int64)
    for advance, set_controls, react, rows, compiled in (
        (kernel.run, kernel.set_controls, kernel.react, one, known),
        (engine.run, engine.set_controls, engine.react, two, own),
    ):
        advance(rows, compiled, ends)
        if known.plant.controls:
            set_controls(rows, compiled, np.array([c.low for c in known.plant.controls]))
        react(rows, compiled)
        advance(rows, compiled, 6 * tick)
    assert np.array_equal(one, two)
    assert (one[:, EVENTS] > 20).all()


def test_the_example_decides_what_it_says(tmp_path: Path) -> None:
    compiled = drum(tmp_path)
    model, plain = compiled.own.model(compiled, 7, 0) if compiled.own else None, Reference(compiled, 7, 0)
    assert isinstance(model, Reference)
    highest, colours = {"own": 0, "plain": 0}, {"own": 0, "plain": 0}
    last: dict[str, Any] = {}
    for minute in range(6 * 60):
        for who, one in (("own", model), ("plain", plain)):
            one.run(minute * HOUR // 60)
            working = [part.product.rank for part in one.station("paint").units[0].parts]
            if working and working[0] != last.get(who):
                colours[who], last[who] = colours[who] + 1, working[0]
            highest[who] = max(highest[who], one.station("cut").load + one.station("paint").load)
    assert highest["own"] <= 12 < highest["plain"], "the rope holds work back"
    assert colours["own"] < colours["plain"] / 2, "campaigns of a colour"
    assert [tick for tick, _, kind in model.trace if kind == K_OWN] == [HOUR * n for n in range(1, 6)]
    assert engine_trace(compiled, 2 * HOUR).count(" own\n") == 1


def engine_trace(compiled: Any, until: int) -> str:
    from sim.experiment import trace_lines

    return trace_lines(compiled, engine.engine_of(compiled, None), 7, until)


@pytest.mark.parametrize("seed", range(5))
def test_a_run_interrupted_anywhere_goes_on_as_if_it_had_not_been(tmp_path: Path, seed: int) -> None:
    compiled = drum(tmp_path)
    assert compiled.own is not None
    whole = compiled.own.model(compiled, seed, 0)
    whole.run(8 * HOUR)
    luck = random.Random(seed)
    moments = sorted([*(luck.randrange(8 * HOUR) for _ in range(4)), 3 * HOUR, luck.choice(whole.trace)[0]])
    part, seen = compiled.own.model(compiled, seed, 0), []
    for moment in moments:
        part.run(moment)
        seen += part.trace
        part = compiled.own.model.from_row(compiled, part.to_row())
    part.run(8 * HOUR)
    assert seen + part.trace == whole.trace
    assert np.array_equal(part.to_row(), whole.to_row())
    assert compiled.layout.view(whole.to_row(), "own").tolist() != compiled.initial["own"].tolist()


def test_a_row_made_from_facts_begins_with_the_first_own_state(tmp_path: Path) -> None:
    compiled = drum(tmp_path)
    rows = rows_from_facts(compiled, Facts(tick=5 * HOUR + 7), 3, 2)
    assert compiled.layout.view(rows, "own")[:, 0].tolist() == [6, 6]
    engine.run(rows, compiled, 7 * HOUR)
    assert (rows[:, NOW] == 7 * HOUR).all()
    assert (compiled.layout.view(rows, "own")[:, 2] > 0).all(), "it counts what has been painted since"


def test_other_hooks_decide_too() -> None:
    compiled = compile_plant(load("lost_sales"))

    class Hoarder(Reference):
        def order_quantity(self, stock: Any) -> int:
            return super().order_quantity(stock) + 1000

    own = replace(compiled, own=Loaded(Hoarder, Path("x.py"), ""))
    one, two = kernel.new_rows(compiled, 7, 1), engine.new_rows(own, 7, 1)
    until = compiled.ticks(20 * 86400)
    kernel.run(one, compiled, until)
    engine.run(two, own, until)
    assert compiled.layout.view(two, "ordered").sum() >= compiled.layout.view(one, "ordered").sum() + 1000


# --- who may run them --------------------------------------------------------------------------------------------


def test_nothing_runs_unless_it_is_allowed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ran = tmp_path / "ran"
    path = write(tmp_path, f"open({str(ran)!r}, 'w').close()\n" + CODE)
    plant, problems, _ = validate(path)
    assert plant is not None
    assert problems == []
    with pytest.raises(CompileError, match=r"drum\.py .*class Drum.*'--allow-code'"):
        compile_plant(plant)
    for command in (simulate, trace):
        with pytest.raises(Exit):
            command(str(path), until="1 h")
        assert "--allow-code" in capsys.readouterr().err
    with pytest.raises(Exit):
        commands_experiment.experiment(str(path), until="1 h", executor="serial")
    assert "--allow-code" in capsys.readouterr().err
    assert not ran.exists()
    compile_plant(allow(plant))
    assert ran.exists()


def test_the_command_runs_the_plants_engine_and_refuses_another(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(write(tmp_path))
    simulate(path, "3 h", "1 h", 2, as_json=True, allow_code=True)
    report = json.loads(capsys.readouterr().out)
    assert report["engine"] == "simpy"
    assert report["stations"]["paint"]["work"]["mean"] > 0.5
    assert "analytic" not in report
    for asked in ("kernel", "cuda"):
        with pytest.raises(Exit):
            simulate(path, "3 h", engine=asked, allow_code=True)
        assert f"engine {asked}: expected simpy" in capsys.readouterr().err
    with pytest.raises(Exit):
        simulate(path, "3 h", gantt=tmp_path / "g.svg", allow_code=True)


def test_the_kernel_refuses_rules_it_does_not_know(tmp_path: Path) -> None:
    compiled = drum(tmp_path)
    rows = engine.new_rows(compiled, 7, 1)
    for call in (
        lambda: kernel.new_rows(compiled, 7, 1), lambda: kernel.run(rows, compiled, HOUR),
        lambda: kernel.trace(rows[0], compiled, HOUR), lambda: kernel.react(rows, compiled),
        lambda: kernel.set_controls(rows, compiled, np.array([4])),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=r"drum\.py, which the compiled kernel .* do not know"):
            call()


def test_the_code_counts_in_the_hash(tmp_path: Path) -> None:
    one, two = drum(tmp_path), drum(tmp_path, CODE + "\n# changed\n")
    assert one.hash != two.hash
    (tmp_path / "there").mkdir()
    assert drum(tmp_path / "there").hash == one.hash


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("drum.py", "FILE.py:CLASS"), ("missing.py:Drum", "a file missing.py beside the plant file"),
        ("../drum.py:Drum", "a file in the plant file's folder or below"), ("/etc/passwd.py:Drum", "folder or below"),
    ],
)  # fmt: skip
def test_a_wrong_place_is_found_by_validate(tmp_path: Path, where: str, expected: str) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "drum.py").write_text(CODE, encoding="utf-8")
    with pytest.raises(PlantError, match=rf"drum\.yaml:\d+: .*{re.escape(expected)}"):
        load(write(tmp_path / "in", engine=where))


def test_bundled_plants_have_no_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sim.plantfile.BUNDLED", tmp_path)
    with pytest.raises(PlantError, match="no rules of its own in a bundled plant"):
        load(write(tmp_path))


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("class Drum: pass\n", r"drum\.py, class Drum: expected a subclass of sim\.reference\.Reference"),
        ("x = 1\n", r"drum\.py, class Drum: expected such a class"),
        ("class Drum(:\n", r"drum\.py, line 1, class Drum: SyntaxError"),
        ("\n\nx = 1 / 0\n", r"drum\.py, line 3, class Drum: ZeroDivisionError"),
        (rules("    def __init__(self): pass\n"), r"drum\.py, class Drum: expected no __init__"),
        (rules("    def prepare(self):\n        self.x = {}['a']\n"), r"drum\.py, line 4, class Drum: KeyError"),
        (rules("    def save(self, own):\n        own[7] = 1\n"), r"drum\.py, line 4, class Drum: IndexError"),
    ],
)
def test_broken_code_is_said_when_it_is_loaded(tmp_path: Path, code: str, expected: str) -> None:
    with pytest.raises(CompileError, match=expected):
        drum(tmp_path, code)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("    def may_release(self, product):\n        return product.nothing\n", r"drum\.py, line 4, class Drum: Att"),
        (
            (
                "    def start_own(self):\n        self.process(self.go())\n"
                "    def go(self):\n        yield self.at(5)\n        raise OSError('gone')\n"
            ),
            r"drum\.py, line 7, class Drum: OSError: gone",
        ),
        ("    def start_own(self):\n        self.at(-1)\n", r"line 4, class Drum: ValueError: at: expected a tick fr"),
        ("    def work_ticks(self, unit, parts, ticks):\n        return -1\n", "work_ticks: expected 0 ticks or more"),
        ("    def work_ticks(self, unit, parts, ticks):\n        return 1.5\n", "TypeError"),
        ("    def order_queue(self, station):\n        return [None]\n", "order_queue: expected parts that wait at"),
        ("    def choose_station(self, part, able):\n        return None\n", r"choose_station: .* \(cut\), found None"),
    ],
)  # fmt: skip
def test_errors_in_a_run_name_replica_file_class_and_line(tmp_path: Path, body: str, expected: str) -> None:
    compiled = drum(tmp_path, rules(body))
    with pytest.raises(kernel.KernelError, match=rf"replica 4 of seed 7.*{expected}"):
        engine.run(engine.new_rows(compiled, 7, 1, first=4), compiled, HOUR)


# --- experiments -------------------------------------------------------------------------------------------------


def test_the_code_goes_with_the_work(tmp_path: Path) -> None:
    path = write(tmp_path)
    source = Source.of(path, allow(load(path)).rules)
    unit = Unit(source, (), 7, 0, 2, HOUR, 3 * HOUR, "simpy")
    here = compute(unit)
    away = replace(unit, source=replace(source, path="/nowhere/drum.yaml"))
    there = compute(away)
    assert here.keys() == there.keys()
    assert all(np.array_equal(here[k], there[k], equal_nan=True) for k in here)
    assert Source.of(write(tmp_path, CODE + "#\n"), allow(load(path)).rules).sha256 != source.sha256
    with pytest.raises(CompileError, match="leave to run"):
        compute(replace(away, source=Source.of(path, load(path).rules)))


def test_an_experiment_runs_the_plants_rules(tmp_path: Path) -> None:
    path = str(write(tmp_path))
    spec = Spec(path, settings={"release.red.cap": "8,20"}, until="2 h", replications=2, allow_code=True)
    study = Study(spec, _ticks)
    assert study.spec.engine == "simpy"
    assert study.units(0, 1)[0].engine == "simpy"
    with pytest.raises(StudyError, match="expected simpy"):
        Study(replace(spec, engine="kernel"), _ticks)
    with pytest.raises(StudyError, match="expected the same rules in all scenarios"):
        Study(replace(spec, settings={"engine.simpy": "drum.py:Drum,other.py:Drum"}), _ticks)
    assert "engine:" in PLANT
