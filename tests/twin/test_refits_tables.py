"""Refits of what no factor carries (setup times, shares of scrap, shapes): proposed, in force at once, kept, undone."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from sim.compile import Compiled, compile_plant
from sim.distributions import mean, variance
from sim.engine import new_rows, run
from sim.plant import SCRAP, Dist, Plant
from sim.plantfile import load
from tests.twin.journals import LINE, Writer, write_journal
from tests.twin.test_refits import Desk, calibrate, desk
from twin.engine import Engine, Settings
from twin.estimate import ensemble, posterior, running, state_hash
from twin.forecast import Options
from twin.inforce import as_json, compiled_with, decode, encode, values_of, with_values
from twin.model import Refit
from twin.posterior_file import read_posterior
from twin.refits import Refits

SETUP, SCRAPPED, SPREAD = "setup/cut/a/b", "yield/a/mill", "shape/work/wash/a/wash"
"""Seen: setups of 9 min where the file says 12, a fifth scrapped where it says 5 %, work that varies more."""


def plant(folder: Path) -> Plant:
    text = LINE.replace(
        "a: {routing: [cut, mill, wash], revenue: 42 EUR}",
        "a: {routing: [cut, {step: mill, station: mill, next: {scrap: 5 %, wash: rest}}, wash], revenue: 42 EUR}",
    )
    text = text.replace(
        "work: {a: 60 s, b: 90 s}", 'work: {a: 60 s, b: 90 s}\n    setup: {default: "gamma(12 min, 0.2)"}'
    )
    text = text.replace("work: {a: 50 s, b: 50 s}", 'work: {a: "gamma(mean=50 s, cv=0.1)", b: 50 s}')
    (folder / "tables.yaml").write_text(
        text.strip() + "\n  - {thing: fa, property: on_hand, tag: fa/on_hand, type: int}\n"
    )
    return load(str(folder / "tables.yaml"))


def rows_of(where: Plant, n: int = 60) -> Writer:
    """`n` cycles: a part of each product through the cut with its setup, mill and wash."""
    w, rng, t = Writer(where), np.random.default_rng(8), 0.0
    for k in range(n):
        for product, work in (("a", 60.0), ("b", 90.0)):
            setup = float(rng.gamma(25, 540 / 25))
            w.event(t, "work_start", "cut", product=product, unit=1)
            if k or product == "b":
                w.event(t, "setup", "cut", product=product, unit=1)
                w.event(t + setup, "setup_end", "cut", product=product, unit=1)
            t += setup + work
            w.event(t, "work_end", "cut", product=product, unit=1)
            w.event(t + 1, "work_start", "mill", product=product, unit=1)
            w.event(t + 101, "work_end", "mill", product=product, unit=1)
            if product == "a" and rng.random() < 0.2:
                w.event(t + 101, "scrap", "mill", product=product, unit=1)
            else:
                wash = float(rng.gamma(4, 50 / 4))
                w.event(t + 102, "work_start", "wash", product=product, unit=1)
                w.event(t + 102 + (wash if product == "a" else 50), "work_end", "wash", product=product, unit=1)
            t += 500
            while w.ticked < t - 60:
                w.tick(w.ticked + 60)
    w.rows.sort(key=lambda row: row.t)
    w.ticks(int(t) + 1, int(t) + 700)
    return w


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Plant]:
    """A folder whose journal tells of 80 cycles, and its plant."""
    folder = tmp_path_factory.mktemp("tables")
    where = plant(folder)
    w = rows_of(where, 80)
    rows = [msgspec.structs.replace(row, pos=i + 1) for i, row in enumerate(w.rows)]
    write_journal(folder / "journal.db", rows)
    return folder, where


def started(folder: Path, where: Plant) -> Engine:
    engine = Engine(Settings(folder, where))
    engine.poll()
    return engine


def tell(engine: Engine, sent: list[dict[str, Any]]) -> None:
    """What ingest was given comes back as rows of the journal, with the ticks after it."""
    w = Writer(engine.plant)
    state, _ = engine.copy_state()
    w.rows.clear()
    for manual in sent:
        body = {k: v for k, v in manual.items() if k != "path"} | {"t": state.t + 1000}
        w.put("manual", 0, json.dumps(body).encode())
    sent.clear()
    w.json("tick", 0, t=state.t + 2000)
    at = state.t + 2000
    rows = [msgspec.structs.replace(r, pos=0, t=at, recv=at) for r in w.rows]
    write_journal(engine.settings.data / "journal.db", rows)
    engine.poll()


def decide(http: Desk, name: str, decision: str = "approve") -> Any:
    row = next(r for r in http.get("/refits").json() if r["name"] == name and r["status"] in ("proposed", "approved"))
    return http.post("/refits", json={"id": row["id"], "decision": decision, "role": "engineer", "reason": "seen it"})


@pytest.fixture
def twin(told: tuple[Path, Plant], tmp_path: Path) -> Engine:
    folder, where = told
    (tmp_path / "journal.db").write_bytes((folder / "journal.db").read_bytes())
    engine = started(tmp_path, where)
    state, pos = engine.copy_state()
    engine.look_at_parameters(state, pos)
    return engine


def next_of(live: Compiled) -> float:
    (step,) = [s for p in live.plant.products if p.id == "a" for s in p.steps if s.id == "mill"]
    return sum(p for target, p in step.next if target == SCRAP)


def test_they_take_effect_at_once_stay_after_a_restart_and_are_undone(twin: Engine) -> None:
    sent: list[dict[str, Any]] = []
    http = desk(twin, sent)
    open_ = {r["name"]: r for r in http.get("/refits").json() if r["status"] == "proposed"}
    assert {SETUP, SCRAPPED, SPREAD} <= set(open_)
    for name in (SETUP, SCRAPPED, SPREAD):
        row = open_[name]
        assert row["takes_effect"]
        assert row["score"]["after"] < row["score"]["before"], name
        assert set(row["effect"]) == {"output", "output_5", "backlog"}
    assert open_[SETUP]["words"].startswith("setup of cut: a to b: 12 min -> 9")
    assert open_[SETUP]["words"].endswith("% better")
    assert open_[SCRAPPED]["words"].startswith("share of scrap of a: mill: 5 % -> ")
    before, after = open_[SETUP]["effect"]["output"]
    assert after > before  # shorter setups, more output promised

    state, _ = twin.copy_state()
    old_hash = state_hash(twin.compiled, state)
    for name in (SETUP, SCRAPPED, SPREAD):
        assert decide(http, name).json()["status"] == "approved"
    assert running(twin.compiled, twin.copy_state()[0].refits) is twin.compiled  # not before the journal has it
    tell(twin, sent)
    state, pos = twin.copy_state()
    live = running(twin.compiled, state.refits)
    times = {(a, b): t for a, b, t in live.plant.stations[0].setups}
    assert mean(times["a", "b"]) / 60_000 == pytest.approx(9.0, rel=0.06)
    assert next_of(live) == pytest.approx(open_[SCRAPPED]["factor"])
    (wash,) = [s.work for p in live.plant.products if p.id == "a" for s in p.steps if s.id == "wash"]
    assert mean(wash) == pytest.approx(50_000, rel=1e-9)  # another shape, the same mean
    assert variance(wash) ** 0.5 / mean(wash) == pytest.approx(0.5, rel=0.2)
    assert state_hash(twin.compiled, state) != old_hash
    twin.look_at_parameters(state, pos)
    decided = (SETUP, SCRAPPED, SPREAD)
    assert not [r for r in twin.refits.newest_first() if r["name"] in decided and r["status"] == "proposed"]

    # new environments: what an advisor gets says what is in force, and compiles to the same
    held = np.load(io.BytesIO(twin.snapshot(4, 3)), allow_pickle=False)
    assert str(held["params_hash"]) == live.hash != twin.compiled.hash
    assert compiled_with(compile_plant(twin.plant), str(held["refitted"])).hash == live.hash

    twin.save()
    again = started(twin.settings.data, twin.plant)
    assert encode(values_of(again.plant, again.tracker.state.refits)) == encode(values_of(twin.plant, state.refits))
    assert Refits.replay(again.log).rows == twin.refits.rows

    assert decide(http, SETUP, "withdraw").json()["status"] == "withdrawn"
    tell(twin, sent)
    state, _ = twin.copy_state()
    assert SETUP not in state.refits
    live = running(twin.compiled, state.refits)
    assert [mean(t) / 60_000 for a, b, t in live.plant.stations[0].setups if (a, b) == ("a", "b")] == [12.0]
    assert next_of(live) == pytest.approx(open_[SCRAPPED]["factor"])


def test_a_later_refit_takes_the_place_of_the_one_before(twin: Engine) -> None:
    sent: list[dict[str, Any]] = []
    http = desk(twin, sent)
    first = next(r for r in http.get("/refits").json() if r["name"] == SETUP)
    assert not first["in_force"]
    decide(http, SETUP)
    assert not next(r for r in http.get("/refits").json() if r["name"] == SETUP)["in_force"]  # still to be read back
    tell(twin, sent)
    assert next(r for r in http.get("/refits").json() if r["name"] == SETUP)["in_force"]
    state, pos = twin.copy_state()
    body = {k: v for k, v in twin.refits.rows[first["id"]].items() if k not in ("id", "status", "role", "reason")}
    twin.refits.propose([body | {"factor": 0.5}], state, pos)
    second = next(r for r in http.get("/refits").json() if r["name"] == SETUP)
    assert second["id"] != first["id"]
    said = {"id": second["id"], "decision": "approve", "role": "engineer", "reason": "shorter still"}
    assert http.post("/refits", said).json()["status"] == "approved"
    tell(twin, sent)
    state, _ = twin.copy_state()
    times = {(a, b): t for a, b, t in running(twin.compiled, state.refits).plant.stations[0].setups}
    assert mean(times["a", "b"]) == pytest.approx(360_000)
    standing = {r["id"]: (r["status"], r["in_force"]) for r in http.get("/refits").json() if r["name"] == SETUP}
    assert standing == {first["id"]: ("superseded", False), second["id"]: ("approved", True)}
    answer = http.post("/refits", said | {"id": first["id"], "decision": "withdraw"})
    assert answer.json()["error"] == f"refit {first['id']} is superseded and not in force: there is nothing to withdraw"
    # a plant file that says another value is taken to contain what was learned
    source = Path(str(twin.plant.path))
    changed = twin.settings.data / "changed.yaml"
    changed.write_text(source.read_text().replace("gamma(12 min, 0.2)", "gamma(6 min, 0.2)"))
    newer = compile_plant(load(str(changed)))
    assert running(newer, state.refits) is newer


def test_rows_go_on_as_seen(twin: Engine) -> None:
    """What the kernel then does: setups of nine minutes, a fifth scrapped."""
    state, _ = twin.copy_state()
    members = {p: {"of": 720_000.0, "id": "c"} for p in (SETUP, "setup/cut/b/a")}
    refits = {name: Refit(0.75, 0.05, state.t, "engineer", json.dumps(said)) for name, said in members.items()}
    refits[SCRAPPED] = Refit(0.2, 0.1, state.t, "engineer", json.dumps({"of": 0.05}))
    state.refits = refits
    live = running(twin.compiled, state.refits)
    rows = ensemble(twin.compiled, state, 2, 200)
    assert rows.shape[1] == live.layout.width
    before = {n: live.layout.view(rows, n).copy() for n in ("set_ups", "st_ticks", "scrapped", "ended")}
    run(rows, live, int(rows[0, 0]) + live.ticks(200 * 3600))
    grown = {n: (live.layout.view(rows, n) - v).sum(axis=0) for n, v in before.items()}
    setups = grown["st_ticks"][0, 4] / grown["set_ups"][0] / 60_000
    assert setups == pytest.approx(9.0, rel=0.02)
    fresh = new_rows(live, 1, 2)
    assert fresh.shape[1] == new_rows(twin.compiled, 1, 2).shape[1]


def test_bad_ones_are_refused_with_a_sentence(twin: Engine) -> None:
    http = desk(twin, [])
    row = next(r for r in twin.refits.rows.values() if r["name"] == SETUP)
    bad: list[tuple[dict[str, Any], str]] = [
        ({"factor": 0.05}, "a factor lies between 1/8 and 8"),
        ({"of": 600_000.0}, "proposed on another value of the plant file"),
        ({"score": {"before": 0.1, "after": 0.2}}, "forecast no better"),
        ({"name": "setup/cut/a/c"}, "the plant file has no setup of cut: a to b"),
    ]
    good: dict[str, Any] = dict(row)
    for change, why in bad:
        twin.refits.rows[row["id"]] = good | change
        answer = http.post("/refits", json={"id": row["id"], "decision": "approve", "role": "r", "reason": "x"})
        assert answer.status_code == 409
        assert why in answer.json()["error"]
    twin.refits.rows[row["id"]] = good
    answer = http.post("/refits", json={"id": row["id"], "decision": "withdraw", "role": "r", "reason": "x"})
    assert "not in force: there is nothing to withdraw" in answer.json()["error"]
    # the journal may hold anything: what makes no plant is not in force
    for name, value, text in (
        (SCRAPPED, 1.5, {"of": 0.05}),
        (SETUP, 1e9, {"of": 720_000.0}),
        (SPREAD, 0.5, {"was": ["gamma", [50_000.0, 0.1]], "dist": ["poisson", [3.0]]}),
        (SPREAD, 0.5, {"was": ["gamma", [50_000.0, 0.1]], "dist": ["gamma", [float("nan"), 1.0]]}),
    ):
        made = Refit(value, 0.1, 1, "r", json.dumps(text))
        assert values_of(twin.plant, {name: made}) == {}, name


def test_the_posterior_for_training_is_written_by_the_twin_and_by_the_command(
    told: tuple[Path, Plant], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, where = told
    (tmp_path / "journal.db").write_bytes((folder / "journal.db").read_bytes())
    engine = Engine(Settings(tmp_path, where, forecast=Options(8, 1800)), wall=lambda: 0)
    engine.poll()
    engine.look_ahead()
    found = read_posterior(tmp_path, engine.compiled)
    assert found.id == engine.forecast["posterior"] == posterior(engine.compiled, engine.tracker.state).id
    assert calibrate([str(where.path), "--data", str(folder), "--json"]) == 0
    (tmp_path / "table.json").write_text(capsys.readouterr().out)
    again = read_posterior(tmp_path / "table.json", engine.compiled)
    assert again.id == found.id
    assert np.array_equal(again.quantiles, found.quantiles)


def test_values_survive_json_and_leave_the_rest_alone(told: tuple[Path, Plant]) -> None:
    where = told[1]
    values: dict[str, Dist | float] = {SETUP: Dist("gamma", (500_000.0, 0.3)), SCRAPPED: 0.2}
    assert decode(encode(values)) == values
    assert with_values(where, {}) is where
    changed = with_values(where, values)
    assert changed != where
    back = with_values(changed, {SETUP: Dist("gamma", (720_000.0, 0.2)), SCRAPPED: 0.05})
    assert back.stations == where.stations
    assert [p for _, p in back.products[0].steps[1].next] == pytest.approx([0.05, 0.95])
    assert as_json(Dist("gamma", (1.0, 0.3))) == ["gamma", [1.0, 0.3]]
    with pytest.raises(ValueError, match="setup/cut/a/b: expected a share or"):
        decode('{"setup/cut/a/b": ["gamma", [1.0]]}')
