"""`plantwin experiment`: the same numbers from everyone who computes them, however often it is interrupted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer import Exit

from sim import commands_experiment, plots
from sim.commands_run import _ticks
from sim.experiment import Run, simulate
from sim.factors import Factor
from sim.plantfile import resolve
from sim.results import ResultError, Store, write_parquet
from sim.sensitivity import Responses, main_effects, one_at_a_time
from sim.study import Spec, Study, StudyError
from sim.work import Processes, Serial, Source, Unit, WorkError, compiled_of, compute, executor

ROOT = Path(__file__).parents[2]
LINE3 = Source.of(resolve("line3"))
HOUR = 3_600_000


def unit(first: int = 0, count: int = 4, **other: Any) -> Unit:
    values: dict[str, Any] = {"overrides": (), "seed": 7, "warmup": 6 * HOUR, "until": 24 * HOUR, **other}
    return Unit(LINE3, first=first, count=count, **values)


def same(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[k], b[k], equal_nan=True) for k in a)


def run(*arguments: str) -> dict[str, Any]:
    """The report of `plantwin experiment ... --json` in a process of its own."""
    command = [sys.executable, "-m", "plantwin", "experiment", *arguments, "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def inside(capsys: pytest.CaptureFixture[str], plant: str, *settings: str, **options: Any) -> dict[str, Any]:
    """The report of the command called in this process."""
    given = {"executor": "serial", "as_json": True, **options}
    commands_experiment.experiment(plant, list(settings), **given)
    return dict(json.loads(capsys.readouterr().out))


# --- units of work -----------------------------------------------------------------------------------------------


def test_a_unit_says_what_simulate_says() -> None:
    compiled = compiled_of(LINE3, ())
    expected = simulate(compiled, Run(24 * HOUR, 6 * HOUR, 4, 7))
    found = compute(unit())
    for name, figure in expected["kpis"].items():
        assert float(found[name].mean()) == pytest.approx(figure["mean"], rel=1e-12)
    assert float(found["stations.turn.work"].mean()) == pytest.approx(expected["stations"]["turn"]["work"]["mean"])


def test_blocks_do_not_matter_and_looks_add_up() -> None:
    whole, parts = compute(unit()), [compute(unit(first, 2)) for first in (0, 2)]
    for name in whole:
        assert np.array_equal(whole[name], np.concatenate([p[name] for p in parts]), equal_nan=True)
    looks = compute(unit(looks=6))
    assert looks["throughput"].shape == (4, 6)
    assert looks["throughput"].mean(axis=1) == pytest.approx(whole["throughput"][:, 0])


def test_the_reference_gives_the_same_numbers_as_the_kernel() -> None:
    assert same(compute(unit(count=2, looks=3)), compute(unit(count=2, looks=3, engine="simpy")))


def test_a_plant_that_is_not_where_it_was_comes_from_its_text(tmp_path: Path) -> None:
    moved = replace(LINE3, path=str(tmp_path / "line3.yaml"))
    assert same(compute(unit()), compute(replace(unit(), source=moved)))
    edited = tmp_path / "line3.yaml"
    edited.write_text(LINE3.text.replace("cap: 6", "cap: 3"), encoding="utf-8")
    assert same(compute(unit()), compute(replace(unit(), source=replace(LINE3, path=str(edited)))))


def test_a_replica_that_stops_names_its_scenario() -> None:
    source = Source.of(resolve("mm1"))
    fast = Unit(source, (("unlimited", "5"),), 7, 0, 2, 0, 100 * HOUR)
    with pytest.raises(WorkError, match=r"scenario unlimited=5: plant .* stopped at tick"):
        compute(fast)


def test_processes_give_the_bits_of_serial() -> None:
    units = [unit(first, 3, overrides=o) for o in ((), (("release.housing.cap", "4"),)) for first in (0, 3, 6)]
    pool = Processes(2)
    try:
        for one, other in zip(Serial().map(units), pool.map(units), strict=True):
            assert same(one, other)
    finally:
        pool.close()
    with pytest.raises(WorkError, match="expected serial, processes or ray"):
        executor("threads", 2)


# --- the result file ---------------------------------------------------------------------------------------------


def test_a_torn_or_damaged_line_is_computed_again(tmp_path: Path) -> None:
    units = [unit(first, 2) for first in (0, 2, 4)]

    def filled(path: Path) -> bytes:
        store = Store(path)
        assert list(store.fill(units, Serial())) == units
        store.close()
        return path.read_bytes()

    whole = filled(tmp_path / "whole.jsonl")
    lines = whole.splitlines(keepends=True)
    assert len(lines) == 4
    for n, rest in enumerate((whole[:10], whole[:-40], lines[0], whole[:-200] + b"x" + whole[-199:], b"")):
        path = tmp_path / f"{n}.jsonl"
        path.write_bytes(rest)
        assert filled(path) == whole


def test_a_file_of_others_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "units.jsonl"
    path.write_text('{"notes": 1}\n', encoding="utf-8")
    with pytest.raises(ResultError, match="found something else"):
        Store(path)
    assert path.read_text(encoding="utf-8") == '{"notes": 1}\n'
    mine = Store(tmp_path / "mine.jsonl")
    with pytest.raises(ResultError, match="another experiment writes"):
        Store(tmp_path / "mine.jsonl")
    mine.close()


def test_results_of_other_code_are_not_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Store(tmp_path / "units.jsonl").close()
    monkeypatch.setattr("sim.results.fingerprint", lambda: "another")
    with pytest.raises(ResultError, match="--fresh"):
        Store(tmp_path / "units.jsonl")


ASK = (
    *("line3", "--set", "release.housing.cap=3,5,7", "--until", "60d", "--warmup", "5d", "--replications", "30"),
    *("--output", "throughput", "--output", "wip", "--minimise", "wip", "--delta", "0.1"),
)


@pytest.mark.slow
def test_an_experiment_killed_midway_resumes_to_the_same_bytes(tmp_path: Path) -> None:
    expected = run(*ASK, "--out", str(tmp_path / "whole"), "--executor", "serial")
    folder = tmp_path / "killed"
    command = [sys.executable, "-m", "plantwin", "experiment", *ASK, "--out", str(folder), "--workers", "2"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    file = folder / "units.jsonl"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and (not file.exists() or file.read_bytes().count(b"\n") < 3):
        time.sleep(0.01)
    workers = children(process.pid)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = file.read_bytes().count(b"\n")
    assert 3 <= done < (tmp_path / "whole" / "units.jsonl").read_bytes().count(b"\n"), "killed midway"
    assert run(*ASK, "--out", str(folder), "--workers", "2") == expected
    for name in ("units.jsonl", "report.json"):
        assert (folder / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert workers
    assert not [w for w in workers if alive(w)], "the pool of a killed experiment ends too"


def children(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(word) for word in listed.read_text().split()] if listed.exists() else []


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


# --- what is found -------------------------------------------------------------------------------------------------


def test_common_random_numbers_pair_the_scenarios(capsys: pytest.CaptureFixture[str]) -> None:
    report = inside(capsys, "line3", "release.housing.cap=4,6", until="30 d", warmup="2 d", outputs=["wip"])
    base, four = report["scenarios"]
    assert (base["name"], four["name"]) == ("base", "cap=4")
    against = four["against"]["wip"]
    assert against["significant"]
    assert against["hi"] < 0
    assert against["correlation"] > 0.5
    assert against["variance_ratio"] > 2
    assert four["kpis"]["wip"]["mean"] - base["kpis"]["wip"]["mean"] == pytest.approx(against["mean"])
    assert report["comparison_level"] == 0.95


def test_simultaneous_intervals_are_wider(capsys: pytest.CaptureFixture[str]) -> None:
    options: dict[str, Any] = {"until": "10 d", "outputs": ["wip"], "replications": 5}
    plain = inside(capsys, "line3", "release.housing.cap=4,8", **options)
    all_hold = inside(capsys, "line3", "release.housing.cap=4,8", simultaneous=True, **options)
    assert all_hold["comparison_level"] == pytest.approx(0.975)
    one, other = (r["scenarios"][1]["against"]["wip"] for r in (plain, all_hold))
    assert other["lo"] < one["lo"] < one["mean"] == other["mean"] < one["hi"] < other["hi"]


def test_selection_takes_the_best_and_says_what_it_cost(capsys: pytest.CaptureFixture[str]) -> None:
    report = inside(
        capsys, "line3", "release.housing.cap=3,6,9", until="20 d", warmup="2 d", outputs=["wip"],
        minimise="wip", delta=0.1, replications=10,
    )  # fmt: skip
    chosen = report["selection"]
    assert (chosen["best"], chosen["decided"], chosen["rivals"]) == ("cap=3", True, [])
    assert min(chosen["replications"].values()) >= 10
    short = inside(
        capsys, "line3", "release.housing.cap=5,6", until="2 d", outputs=["wip"], minimise="wip", delta=0.0001,
        replications=3, most=12,
    )  # fmt: skip
    assert not short["selection"]["decided"] or short["selection"]["rivals"] == []


def test_the_mean_of_mm1_moves_as_theory_says(capsys: pytest.CaptureFixture[str]) -> None:
    """M/M/1: W = 1 / (mu - lambda), so at lambda 0.8, mu 1 the difference quotient over +-2 % is 5.03 for the mean work
    time and 4.03 for the arrival rate.
    """
    settings = ("stations.server.work.mean=+-2 %", "release.part.arrivals.rate=+-2 %")
    report = inside(
        capsys, "mm1", *settings, design="oat", until="8 h", warmup="1 h", outputs=["flow_time"], replications=60,
        level=0.998,
    )  # fmt: skip
    effects = {e["path"]: e for e in report["sensitivity"][0]["effects"]}
    work = effects["stations.server.work.mean"]["elasticity"]
    assert work["lo"] < 5.03 < work["hi"]
    assert work["hi"] - work["lo"] < 2, "common random numbers make the difference sharp"
    rate = effects["release.part.arrivals.rate"]["elasticity"]
    assert rate["lo"] < 4.03 < rate["hi"]


def test_main_effects_are_those_of_the_plane() -> None:
    factors = [Factor("a", ("0", "10")), Factor("b", ("x", "y", "z")), Factor("c", ("1 s", "3 s"))]
    runs = [(a, b, c) for a in ("0", "10") for b in ("x", "y", "z") for c in ("1 s", "3 s")]
    rng = np.random.default_rng(1)
    truth = np.array([0.5 * int(a) + {"x": 0, "y": 1, "z": -2}[b] + 3 * int(c[0]) for a, b, c in runs])
    values = truth[:, None] + rng.standard_normal(30)  # a shift common to all runs moves no effect
    found = main_effects(Responses("f", factors, runs, values))
    assert {(e.path, e.low, e.high): round(e.effect.mean or 0, 9) for e in found.effects} == {
        ("c", "1 s", "3 s"): 6, ("a", "0", "10"): 5, ("b", "x", "z"): -2, ("b", "x", "y"): 1,
    }  # fmt: skip
    assert found.r2 == pytest.approx(1)
    bent = values + 10.0 * np.array([a == "10" and b == "x" for a, b, _ in runs])[:, None]
    assert (main_effects(Responses("f", factors, runs, bent)).r2 or 1) < 0.9
    assert "do not tell" in main_effects(Responses("f", factors, runs[:3], values[:3])).note


def test_elasticity_is_a_ratio_at_the_file_s_value() -> None:
    rng = np.random.default_rng(2)
    factor = Factor("a", ("9 s", "11 s"))
    noise = rng.normal(0, 0.01, 40)
    values = np.stack([100 + noise, 81 + noise, 121 + noise])  # y = x^2
    (effect,) = one_at_a_time(Responses("f", [factor], [(None,), ("9 s",), ("11 s",)], values), ["10 s"]).effects
    assert effect.elasticity is not None
    assert effect.elasticity.mean == pytest.approx(2, abs=1e-3)
    assert effect.effect.mean == pytest.approx(40)


def test_warm_up_is_found_and_said(capsys: pytest.CaptureFixture[str]) -> None:
    report = inside(capsys, "mm1", until="20 h", warmup="auto", outputs=["wip"], replications=5)
    warmup = report["warmup"]
    assert warmup["enough"]
    assert 0 <= warmup["seconds"] < 10 * 3600
    assert report["warmup_s"] == warmup["seconds"]
    assert len(warmup["series"]["values"]) == 300
    commands_experiment.experiment("mm1", until="2 min", warmup="auto", outputs=["wip"], executor="serial")
    assert "MSER-5" in capsys.readouterr().out


def test_a_run_that_is_too_short_to_tell_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    overload = "stations.server.work.mean=1.3 s"  # the queue grows for ever: no end of the transient
    commands_experiment.experiment(
        "mm1", [overload], until="1 h", warmup="auto", outputs=["wip"], executor="serial", replications=2
    )
    assert "too short to tell" in capsys.readouterr().out
    with pytest.raises(Exit) as caught:
        commands_experiment.experiment("line3", until="7 d", warmup="auto", executor="serial")
    assert caught.value.exit_code == 2
    assert "at least four weeks" in capsys.readouterr().err


def test_batch_means_of_one_long_run(capsys: pytest.CaptureFixture[str]) -> None:
    report = inside(capsys, "mm1", until="200 h", warmup="1 h", outputs=["wip"], method="batch", batches=256)
    (base,) = report["scenarios"]
    (check,) = report["batches"]
    assert check["enough"]
    assert check["batches"] == 256 // check["size"]
    assert base["kpis"]["wip"]["lo"] < 4 < base["kpis"]["wip"]["hi"]
    assert base["kpis"]["wip"]["n"] == check["batches"]


def test_what_cannot_be_is_refused_before_anything_runs(capsys: pytest.CaptureFixture[str]) -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"outputs": ["thoughput"]}, "did you mean 'throughput'"),
        ({"baseline": "cap=7"}, "expected the name of a scenario"),
        ({"settings": ["release.housing.cap"]}, "expected PATH=VALUES"),
        ({"settings": ["relase.housing.cap=4"]}, "did you mean 'release'"),
        ({"design": "lsh"}, "did you mean 'lhs'"),
        ({"maximise": "wip"}, "expected '--delta'"),
        ({"delta": 1.0}, "beside it"),
        ({"warmup": "3 d", "until": "2 d"}, "before the run does"),
        ({"method": "batch", "until": "20 d"}, "at least ten weeks"),
        ({"plots": "png"}, "expected '--out FOLDER'"),
        ({"plots": "gif", "out": Path("x")}, "found 'gif'"),
        ({"level": 95.0}, "between 0 and 1"),
    ]
    for options, said in wrong:
        with pytest.raises(Exit) as caught:
            commands_experiment.experiment("line3", **{"executor": "serial", **options})
        assert caught.value.exit_code == 2, options
        assert said in capsys.readouterr().err


# --- pictures and Parquet ------------------------------------------------------------------------------------------

EFFECT = {"path": "a.b", "low": "1", "high": "2", "effect": {"mean": 1.0, "lo": 0.5, "hi": 1.5}}
REPORT = {
    "plant": "p", "baseline": "base",
    "scenarios": [
        {"name": "base", "kpis": {"wip": {"unit": "parts"}}, "against": {}},
        {"name": "more", "kpis": {"wip": {"unit": "parts"}}, "against": {"wip": {"mean": 1.0, "lo": 0.0, "hi": 2.0}}},
    ],
    "sensitivity": [{"figure": "wip", "effects": [EFFECT]}],
    "warmup": {"seconds": 7200.0, "series": {"figure": "wip", "scenario": "base", "every_s": 60.0, "values": [1, 2]}},
}  # fmt: skip


@pytest.mark.parametrize("kind", plots.KINDS)
def test_pictures(tmp_path: Path, kind: str) -> None:
    pytest.importorskip("plotly" if kind == "html" else "matplotlib", reason="extra [experiment] is not installed")
    plots.require((kind,))
    first, again = ([f.read_bytes() for f in plots.draw(REPORT, tmp_path, (kind,))] for _ in range(2))
    assert [f.stem for f in sorted(tmp_path.iterdir())] == ["difference-wip", "tornado-wip", "warm-up"]
    assert first == again
    marks = {"html": b"what moves wip", "png": b"\x89PNG", "svg": b"<svg"}
    assert marks[kind] in first[1]


def test_parquet_holds_every_value(tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb", reason="extra [experiment] is not installed")
    columns = {
        "figure": np.array(["wip", "wait"] * 50, dtype=object), "replica": np.arange(100),
        "value": np.r_[np.nan, np.arange(99) / 3],
    }  # fmt: skip
    write_parquet(tmp_path / "a.parquet", columns)
    write_parquet(tmp_path / "b.parquet", columns)
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    rows = duckdb.sql(f"select figure, replica, value from '{tmp_path / 'a.parquet'}'").fetchall()
    assert rows[1:] == [(f, r, v) for f, r, v in zip(*columns.values(), strict=True)][1:]
    assert not list(tmp_path.glob("*.partial"))


def test_a_study_names_the_figures_it_knows() -> None:
    study = Study(Spec("line3", until="1 d"), _ticks)
    assert study.outputs == ("throughput", "wip", "flow_time", "wait", "cost_rate", "fill_rate", "backorders")
    assert "stations.turn.down" in study.known
    assert "stocks.finished.on_hand" in study.known
    with pytest.raises(StudyError, match="at least 2"):
        Spec("line3", replications=1)
