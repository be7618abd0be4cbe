"""A refit from the evidence to its effect: proposed, refused or approved, journaled, in force; and the command."""

from __future__ import annotations

import asyncio
import json
import shlex
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

import plantwin
from sim.compile import compile_plant
from sim.plant import Plant
from sim.plantfile import load
from tests.twin.journals import Writer, line, write_journal
from twin.api import build
from twin.believe import draw_scales, posterior
from twin.calibrate import table
from twin.courier import Courier
from twin.engine import Engine, Settings
from twin.refits import Refits

TAGS = "  - {thing: fa, property: on_hand, tag: fa/on_hand, type: int}\n"
REPAIR_S = 1500.0
"""True mean repair time; the plant file says 600 s."""


def broken_rows(where: Plant, n: int = 40) -> Writer:
    """A machine that works 630 s between failures, at parts of 60 s, and is long under repair."""
    w, rng, t = Writer(where), np.random.default_rng(4), 0.0
    for _ in range(n):
        for _ in range(10):
            w.event(t, "work_start", "cut", product="a", unit=1)
            w.event(t + 60, "work_end", "cut", product="a", unit=1)
            t += 60
        w.event(t, "work_start", "cut", product="a", unit=1)
        w.event(t + 30, "down", "cut", unit=1, state="down", text="failure")
        repair = float(rng.exponential(REPAIR_S))
        w.event(t + 30 + repair, "up", "cut", unit=1, state="work", text="failure")
        w.event(t + 60 + repair, "work_end", "cut", product="a", unit=1)
        t += 60 + repair
        while w.ticked < t - 30:
            w.tick(w.ticked + 30)
    w.rows.sort(key=lambda row: row.t)
    w.ticks(int(t) + 1, int(t) + 700)
    return w


@pytest.fixture
def twin(tmp_path: Path) -> tuple[Engine, Writer]:
    where = line(tmp_path, TAGS)
    w = broken_rows(where)
    w.rows = [type(r)(i + 1, r.recv, r.t, r.kind, r.source, r.e, r.s, r.body) for i, r in enumerate(w.rows)]
    write_journal(tmp_path / "journal.db", w.rows)
    engine = Engine(Settings(tmp_path, where))
    engine.poll()
    state, pos = engine.copy_state()
    engine.look_at_parameters(state, pos)
    return engine, w


class Desk:
    """The application called in this process."""

    def __init__(self, app: Any) -> None:
        self.app = app

    def _call(self, method: str, path: str, body: Any = None) -> httpx.Response:
        async def call() -> httpx.Response:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
                return await client.request(method, path, json=body)

        return asyncio.run(call())

    def get(self, path: str) -> httpx.Response:
        return self._call("GET", path)

    def post(self, path: str, json: Any) -> httpx.Response:
        return self._call("POST", path, json)


def desk(engine: Engine, sent: list[dict[str, Any]], status: int = 200) -> Desk:
    """The twin's API with an ingest that keeps what it is given."""

    def ingest(request: httpx.Request) -> httpx.Response:
        sent.append({"path": request.url.path, **json.loads(request.content)})
        return httpx.Response(status, json={"t": 1} if status == 200 else {"error": "the disk is full"})

    client = httpx.Client(transport=httpx.MockTransport(ingest))
    return Desk(build(engine, Courier(engine, "http://ingest", engine.settings.data, client)))


def test_from_proposal_to_effect(twin: tuple[Engine, Writer]) -> None:
    engine, w = twin
    sent: list[dict[str, Any]] = []
    http = desk(engine, sent)
    open_ = {r["name"]: r for r in http.get("/refits").json() if r["status"] == "proposed"}
    row = open_["repair/cut"]
    assert 1.8 < row["factor"] < 3.5
    assert row["says"].startswith("repair of cut: file 10 min, seen ")
    assert row["score"]["after"] < row["score"]["before"]
    before, after = row["effect"]["output"]
    assert after < before  # longer repairs, less output promised
    state, _ = engine.copy_state()
    old = posterior(engine.compiled, state)

    said = {"id": row["id"], "decision": "approve", "role": "engineer", "reason": "the crew confirms"}
    answer = http.post("/refits", json=said)
    assert (answer.status_code, answer.json()["status"]) == (200, "approved")
    assert http.post("/refits", json=said).status_code == 409
    (manual,) = sent
    assert (manual["path"], manual["thing"], manual["property"]) == ("/manual", "repair/cut", "refit")
    # not in force before the journal has it
    assert posterior(engine.compiled, engine.copy_state()[0]).id == old.id

    w.json("manual", w.ticked + 1, t=w.rows[-1].t + 1000, **{k: v for k, v in manual.items() if k != "path"})
    w.ticks(int(w.ticked) + 1, int(w.ticked) + 3)
    write_journal(engine.settings.data / "journal.db", w.rows[engine.tracker.pos :])
    engine.poll()
    state, pos = engine.copy_state()
    new = posterior(engine.compiled, state)
    assert state.refits["repair/cut"].role == "engineer"
    assert new.id != old.id
    assert new.factor("repair/cut")[0] == pytest.approx(row["factor"], rel=0.05)
    assert new.groups["repair/cut"][1].n == 0  # what was seen before is in the refit, and is not counted twice
    drawn = draw_scales(engine.compiled, new, 1, 4000)["repair_scale"][:, 0] / 65536
    assert drawn.mean() == pytest.approx(new.factor("repair/cut")[0], rel=0.02)
    # a plant file that has changed since is taken to contain it
    source = engine.settings.data / "test.yaml"
    changed = source.read_text().replace("exponential(10 min)", "exponential(25 min)")
    (engine.settings.data / "changed.yaml").write_text(changed)
    newer = compile_plant(load(str(engine.settings.data / "changed.yaml")))
    assert posterior(newer, state).groups["repair/cut"][0] == 1.0
    by_name = {r.name: r for r in table(engine.plant, state.learned, state.refits)}
    assert by_name["repair/cut/failure"].refit.startswith("exponential(")  # still to be written into the file
    engine.look_at_parameters(state, pos)
    assert not [r for r in engine.refits.newest_first() if r["name"] == "repair/cut" and r["status"] == "proposed"]


def test_a_rejected_refit_does_not_come_back_and_survives_a_restart(twin: tuple[Engine, Writer]) -> None:
    engine, _ = twin
    sent: list[dict[str, Any]] = []
    http = desk(engine, sent)
    row = next(r for r in http.get("/refits").json() if r["name"] == "repair/cut")
    said = {"id": row["id"], "decision": "reject", "role": "engineer", "reason": "a lorry was in the way"}
    assert http.post("/refits", json=said).json()["status"] == "rejected"
    assert sent == []
    again = Refits.replay(engine.log)
    assert again.rows[row["id"]]["reason"] == "a lorry was in the way"
    state, _ = engine.copy_state()
    assert [b for b in again.look(engine.compiled, state) if b["name"] == "repair/cut"] == []


def test_what_is_refused(twin: tuple[Engine, Writer]) -> None:
    engine, _ = twin
    http = desk(engine, [], status=507)
    row = next(r for r in http.get("/refits").json() if r["name"] == "repair/cut")
    said = {"id": row["id"], "decision": "approve", "role": "engineer", "reason": "yes"}
    assert "the disk is full" in http.post("/refits", json=said).json()["error"]
    assert engine.refits.rows[row["id"]]["status"] == "proposed"
    assert "approve or reject" in http.post("/refits", json=said | {"decision": "maybe"}).json()["error"]
    assert "there is no refit" in http.post("/refits", json=said | {"id": "c-99"}).json()["error"]
    assert "reason" in http.post("/refits", json={"id": row["id"]}).json()["error"]


def calibrate(arguments: list[str]) -> int:
    with pytest.raises(SystemExit) as stop:
        plantwin.main(["calibrate", *arguments])
    return int(stop.value.code or 0)


def test_the_pages_commands(
    twin: tuple[Engine, Writer], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commands that docs/twin.md gives, where its file names are."""
    folder = twin[0].settings.data
    page = (Path(plantwin.__file__).parent / "docs" / "twin.md").read_text()
    block = page[page.index("## Calibration") :].split("```")[1]
    lines = [shlex.split(row.split("#")[0]) for row in block.splitlines() if row.startswith("plantwin calibrate")]
    assert len(lines) >= 3
    (folder / "my-plant.yaml").write_text((folder / "test.yaml").read_text())
    (folder / "plantwin-data").mkdir()
    (folder / "plantwin-data" / "journal.db").write_bytes((folder / "journal.db").read_bytes())
    monkeypatch.chdir(folder)
    for program, command, *arguments in lines:
        assert (program, command) == ("plantwin", "calibrate")
        assert calibrate(arguments) == 0
        assert capsys.readouterr().out
    assert (folder / "plant2.yaml").exists()


def test_the_command(twin: tuple[Engine, Writer], capsys: pytest.CaptureFixture[str]) -> None:
    engine, _ = twin
    folder = engine.settings.data
    source = folder / "test.yaml"
    source.write_text(source.read_text().replace("stations:", "stations:   # three of them"))
    out, plot = folder / "plant2.yaml", folder / "factors.svg"
    arguments = [str(source), "--data", str(folder), "--out", str(out), "--plot", str(plot)]
    assert calibrate(arguments) == 0
    text = capsys.readouterr().out
    assert "repair of cut" in text
    assert "proposed: repair of cut: exponential(" in text
    fails = load(str(out)).stations[0].fails
    assert fails is not None
    assert 1.8 < fails.repair.args[0] / 600_000 < 3.5
    assert "# three of them" in out.read_text()
    assert plot.read_text().startswith("<svg")
    assert calibrate([str(source), str(folder / "journal.db"), "--json", "--forget", "2 h"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)["rows"]}
    assert rows["repair/cut/failure"]["n"] < 15  # weighted: most of it is long ago
    assert calibrate([str(source), str(folder / "journal.db"), "--forget", "soon"]) == 2
    assert calibrate([str(source), "--data", str(folder / "none")]) == 2
