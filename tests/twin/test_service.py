"""The running twin over a journal file, with an ingest that is not there or is faked."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from ingest.journal import Cursor
from ingest.keys import load_public, verify
from sim.plant import Plant
from tests.twin.journals import T0, line
from tests.twin.rig import Rig
from twin.engine import replay
from twin.log import verify as verify_log
from twin.observe import apply_observation


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Plant:
    return line(tmp_path_factory.mktemp("plant"))


def test_the_shapes_of_the_contract(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("twin.engine.STALE_S", 60.0)  # a first forecast may compile for longer than data stay fresh
    rig.engine.look_ahead()
    frame, state = rig.client.get("/frame").json(), rig.client.get("/state").json()
    assert set(frame) >= {
        "v",
        "seq",
        "t",
        "mode",
        "st",
        "q",
        "buf",
        "stk",
        "kpi",
        "sync",
        "ctl",
        "notices",
        "rec_v",
        "fc_v",
        "lead",
    }
    assert (frame["t"], frame["mode"], frame["ctl"]) == (T0 + 4000, "live", {"cap": 6})
    assert frame["buf"] == [[0, None], [0, 4], [0, 4]]
    assert frame["stk"] == [[5, 0, 0], [5, 0, 0]]
    assert state["hash"].startswith("sha256:")
    marks = {(v["thing"], v["property"]): v["mark"] for v in state["values"]}
    assert marks["cut", "state"] == marks["b1", "queue"] == marks["fa", "on_hand"] == "measured"
    assert marks["mill/1", "state"] == marks["fb", "on_hand"] == "estimated"
    assert state["wip"]["mill"][0] == 0
    found = rig.client.get("/forecast").json()
    assert found["v"] == 1
    assert {"wip", "output", "backlog", "stock/fa", "stock/fb"} == set(found["series"])
    assert all(len(s["t"]) == len(s["lo"]) for s in found["series"].values())
    assert rig.client.get("/plant").json()["stations"][1]["next"] == ["wash"]
    assert rig.client.get("/scores").json()["n"] == 0
    assert "plantwin_twin_journal_position" in rig.client.get("/metrics").text


def test_the_snapshot_is_the_present_state(rig: Rig) -> None:
    with np.load(io.BytesIO(rig.client.get("/snapshot?n=16").content), allow_pickle=False) as found:
        assert found["rows"].shape == (16, rig.engine.compiled.layout.width)
        assert (int(found["t"]), int(found["pos"])) == (T0 + 4000, rig.engine.tracker.pos)
        assert str(found["params_hash"]) == rig.engine.compiled.hash
        assert found["controls"].tolist() == [6]
    assert rig.client.get("/snapshot?n=0").status_code == 422


def test_approved_signed_sent_confirmed_and_its_effect_measured(rig: Rig) -> None:
    assert rig.propose(lease_s=300).status_code == 200
    rig.courier.work()
    assert json.loads(rig.fake.shown[-1])["id"] == "r-1"
    assert rig.post("/decisions", id="r-1", version=1, decision="accept", reason="", key="k").status_code == 200
    rig.courier.work()
    rig.courier.work()
    (cmd,) = rig.fake.commands
    assert verify(cmd, load_public(rig.data))
    assert (cmd.target, cmd.value, cmd.rec) == ("cap", 8, "r-1")
    assert cmd.lease_s == 300  # then the setpoint before returns; the effect is judged over the longer horizon
    assert cmd.not_before <= T0 + 4000 < cmd.expires
    ack = {"e": "e1", "s": 90, "id": cmd.id, "step": "executed", "read_back": 8, "t": T0 + 6000}
    rig.w.json("cmdack", 6, **ack)
    rig.w.data(6, set__cap=8)
    rig.go(8)
    (found,) = rig.client.get("/recommendations").json()
    assert found["status"] == "confirmed"
    rig.go(610)
    (found,) = rig.client.get("/recommendations").json()
    assert [step["status"] for step in found["timeline"]] == ["proposed", "accepted", "sent", "confirmed", "evaluated"]
    assert found["realised"]["label"] == "model-based"
    # nothing was made in reality: ten minutes of holding 5 + 5 finished parts at 0.2 EUR/h each
    assert found["realised"]["cost"] == pytest.approx(10 * 0.2 * 606 / 3600, abs=0.01)
    assert rig.fake.shown[-1] == b"null"


def test_what_ingest_refuses_fails_with_its_reason(rig: Rig) -> None:
    rig.propose()
    rig.post("/decisions", id="r-1", version=1, decision="accept", reason="", key="k")
    rig.fake.refuse = "no gateway has control cap"
    rig.courier.work()
    (found,) = rig.client.get("/recommendations").json()
    assert (found["status"], found["reason"]) == ("failed", "no gateway has control cap")


def test_refusals_say_why(rig: Rig) -> None:
    rig.propose()
    for body, status, says in (
        ({"id": "r-9", "version": 1, "decision": "accept"}, 409, "not known"),
        ({"id": "r-1", "version": 4, "decision": "accept"}, 409, "version 1, yours is 4"),
        ({"id": "r-1", "version": 1, "decision": "maybe"}, 409, "expected accept, reject or defer"),
    ):
        answer = rig.post("/decisions", **body)
        assert answer.status_code == status
        assert says in answer.json()["error"]
    assert rig.client.post("/decisions", content=b"{").status_code == 422
    assert rig.client.post("/pause", json={"on": 1}).status_code == 422
    assert rig.client.post("/pause", json={"on": True}, headers={"origin": "http://evil.example"}).status_code == 422
    assert rig.client.get("/frame", headers={"host": "evil.example"}).status_code == 400


def test_advice_is_suspended_on_stale_data_and_when_paused(rig: Rig) -> None:
    rig.w.json("status", 4, online=False, e="e1", ts=T0)
    rig.go(6)
    answer = rig.propose()
    assert answer.status_code == 409
    assert "stale (cell1 offline)" in answer.json()["error"]
    assert rig.engine.make_frame()["mode"] == "stale"
    rig.engine.look_ahead()
    assert rig.engine.forecast == {}
    rig.w.json("status", 6, online=True, e="e1", ts=T0)
    rig.go(8)
    rig.post("/pause", on=True)
    assert "paused" in rig.propose().json()["error"]
    rig.post("/pause", on=False)
    assert rig.propose().status_code == 200


def test_a_killed_twin_goes_on_with_the_same_state_and_book(rig: Rig, plant: Plant) -> None:
    rig.propose()
    rig.post("/decisions", id="r-1", version=1, decision="accept", reason="", key="k")
    rig.engine.look_ahead()
    rig.engine.save()
    assert Cursor(rig.data / "cursors" / "twin.json").load() == rig.engine.tracker.pos  # holds the journal's rows above
    rig.w.data(10, in__a=2)
    rig.w.data(80, cut__a=1)
    rig.go(100)
    book, scores = rig.engine.book.recs, rig.engine.scores.waiting
    rig.engine.log.close()  # no orderly end: the snapshot is older than the journal
    rig.engine = rig.start(plant)
    tracker, expected = replay(rig.data / "journal.db", plant)
    assert rig.engine.replay_hash() == expected
    assert tracker.pos == rig.engine.tracker.pos == len(rig.w.rows)
    assert rig.engine.book.recs == book
    assert rig.engine.scores.waiting == scores
    assert verify_log(rig.data / "log.db") == []


def test_replay_up_to_a_position_is_the_state_of_then(rig: Rig, plant: Plant) -> None:
    then, pos = rig.engine.replay_hash(), rig.engine.tracker.pos
    rig.w.data(10, in__a=2)
    rig.go(20)
    assert rig.engine.replay_hash() != then
    assert replay(rig.data / "journal.db", plant, pos)[1] == then


def test_log_gives_the_newest_rows_unless_asked(rig: Rig) -> None:
    for n in range(5):
        rig.post("/advice", evaluated=1, why=f"moment {n}")
    rows = rig.client.get("/log?limit=2").json()["rows"]
    assert [row["body"]["why"] for row in rows] == ["moment 3", "moment 4"]
    assert rig.client.get("/log?after=0&limit=1").json()["rows"][0]["body"]["why"] == "moment 0"
    assert rig.engine.make_frame()["advice"]["evaluated"] == 5


def wait_for(path: Path, seconds: float = 60.0) -> dict[str, Any]:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if path.exists():
            found: dict[str, Any] = json.loads(path.read_text())
            return found
        time.sleep(0.05)
    raise AssertionError(f"{path} did not appear")


def test_the_process_survives_kill_9_and_stops_cleanly(rig: Rig, plant: Plant) -> None:
    assert plant.path is not None
    command = [sys.executable, "-m", "plantwin", "twin", str(plant.path), "--port", "0", "--data", str(rig.data)]
    rig.engine.log.close()
    run = rig.data / "run" / "twin.json"
    for end in (signal.SIGKILL, signal.SIGTERM):
        run.unlink(missing_ok=True)
        with subprocess.Popen(command, cwd=Path(__file__).parents[2], stdout=subprocess.DEVNULL) as process:
            url = wait_for(run)["url"]
            state = httpx.get(f"{url}/state", trust_env=False).json()
            os.kill(process.pid, end)
            assert process.wait(timeout=30) == (-signal.SIGKILL if end == signal.SIGKILL else 0)
        assert state["hash"] == replay(rig.data / "journal.db", plant)[1]
    assert not run.exists()
    rig.engine = rig.start(plant)


def test_frames_go_on_while_a_look_waits_for_what_came_late(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backlog is put in its place in pieces: the lock is free between them, and the look sees all of it."""
    rig.go(280)
    rig.w.data(10, fa__on_hand=9)
    rig.flush()
    rig.engine.poll()
    assert rig.engine.tracker.behind

    def slowly(*given: Any) -> None:
        time.sleep(0.004)
        apply_observation(*given)

    monkeypatch.setattr("twin.tracker.apply_observation", slowly)
    seen: list[dict[str, Any]] = []
    look = threading.Thread(target=lambda: seen.append(rig.engine.state_view()))
    look.start()
    frames = 0
    while look.is_alive():
        rig.engine.make_frame()
        frames += 1
        time.sleep(0.01)
    assert frames >= 3  # it takes over a second: held all that time, the lock would have let one or two through
    found = {(v["thing"], v["property"]): v["value"] for v in seen[0]["values"]}
    assert found["fa", "on_hand"] == 9
    assert not rig.engine.tracker.behind
