"""The process: where it listens, whom it answers, how it ends."""

from __future__ import annotations

import asyncio
import inspect
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from dashboard.feed import Feed
from dashboard.service import Settings, SettingsError, build, listen
from tests.dashboard.conftest import ROOT, Page, dashboard, wait
from tests.dashboard.fake_twin import FakeTwin, Running

KEY = "key-0123456789"


def test_another_address_needs_an_explicit_flag(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="--allow-remote") as caught:
        listen(Settings(tmp_path, host="0.0.0.0"))
    assert caught.value.code == 2


def test_a_taken_port_is_one_sentence_and_exit_code_1(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "plantwin", "dashboard", "--data", str(tmp_path), "--port", port]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert port in done.stderr
    assert "--port" in done.stderr
    assert "Traceback" not in done.stderr


def test_every_callback_is_a_coroutine(tmp_path: Path) -> None:
    async def callbacks() -> dict[str, Any]:
        _, dash = build(Settings(tmp_path), Feed(None, tmp_path))
        return dict(dash.callback_map)

    found = asyncio.run(callbacks())
    assert len(found) >= 2
    for name, entry in found.items():
        assert inspect.iscoroutinefunction(entry["callback"]), name


def test_bodies_of_the_twin_come_through(served: Page, twin: FakeTwin) -> None:
    twin.propose()
    assert served.get("/api/state").json()["hash"].startswith("sha256:")
    assert "sources" in served.get("/api/ledger").json()
    assert served.get("/api/scores").json()["coverage90"] == 0.88
    assert served.get("/api/log?after=1&limit=1").json()["rows"][0]["seq"] == 2
    assert served.get("/api/log?limit=1").json()["rows"][0]["seq"] == len(twin.log)
    assert served.get("/api/forecast").json()["series"]["wip"]["t"]
    rec = served.get("/api/recommendations").json()[0]
    assert rec["words"] == "Raise WIP cap of motor_s from 6 to 8 parts for the next 8 h"
    plant = served.get("/api/plant?aspect=2").json()
    assert len(plant["map"]["nodes"]) == 7 + 4 + 2 + 2


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": ""}, 403),
        ({"host": "evil.example"}, 421),
        ({"content-type": "text/plain"}, 415),
    ],
)
@pytest.mark.parametrize("path", ["/api/decisions", "/api/pause", "/_dash-update-component"])
def test_foreign_requests_change_nothing_and_are_counted(
    served: Page, twin: FakeTwin, path: str, headers: dict[str, str], status: int
) -> None:
    rec = twin.propose()
    before = served.metric("requests_refused_total")
    body = {"id": rec["id"], "version": 1, "decision": "accept", "key": KEY, "on": True}
    answer = served.post(path, body, **headers)
    assert answer.status_code == status, answer.text
    assert "expected" in answer.json()["detail"]
    assert (rec["status"], twin.paused, twin.decisions) == ("proposed", False, [])
    assert served.metric("requests_refused_total") == before + 1


def test_a_decision_is_passed_on_once_however_often_it_is_sent(served: Page, twin: FakeTwin) -> None:
    rec = twin.propose()
    body = {"id": rec["id"], "version": 1, "decision": "accept", "key": KEY, "extra": "dropped"}
    first, second = served.post("/api/decisions", body), served.post("/api/decisions", body)
    assert (first.status_code, second.status_code) == (200, 200)
    assert len(twin.decisions) == 1
    assert twin.decisions[0] == {"id": rec["id"], "version": 1, "decision": "accept", "reason": None, "key": KEY}


def test_what_the_twin_refuses_is_refused_with_its_reason(served: Page, twin: FakeTwin) -> None:
    rec = twin.propose(expires=twin.t - 1)
    answer = served.post("/api/decisions", {"id": rec["id"], "version": 1, "decision": "accept", "key": KEY})
    assert answer.status_code == 409
    assert "expired" in answer.json()["detail"]


def test_a_malformed_decision_never_reaches_the_twin(served: Page, twin: FakeTwin) -> None:
    rec = twin.propose()
    wrong: tuple[object, ...] = (
        [],
        {"id": rec["id"]},
        {"id": rec["id"], "version": 1, "decision": "reject", "key": KEY},
    )
    for body in wrong:
        assert served.post("/api/decisions", body).status_code == 422
    assert twin.decisions == []


def test_one_poll_for_all_clients_and_one_encoding(served: Page, twin: FakeTwin) -> None:
    """Ten open streams get the same bytes and cost the twin no request more than none."""
    got: list[bytes] = []

    def follow() -> None:
        with httpx.stream("GET", served.url + "/stream", timeout=10, trust_env=False) as answer:
            block = b""
            for piece in answer.iter_raw():
                block += piece
                if f"id: {target}\n".encode() in block and block.endswith(b"\n\n"):
                    got.append(block[block.index(f"id: {target}\n".encode()) :])
                    return

    target = twin.seq + 1
    threads = [threading.Thread(target=follow) for _ in range(10)]
    for thread in threads:
        thread.start()
    wait("ten streams are open", lambda: served.metric("stream_clients") >= 10)
    asked, begin = twin.asked, time.monotonic()
    twin.step()
    for thread in threads:
        thread.join(10)
    spent = time.monotonic() - begin
    assert len(got) == 10
    assert len(set(got)) == 1
    assert json.loads(got[0].split(b"data: ")[1])["seq"] == target
    assert twin.asked - asked <= spent / 0.5 + 2
    wait("the streams are closed", lambda: served.metric("stream_clients") == 0)


@pytest.mark.parametrize(
    ("name", "value"), [("kpi", None), ("kpi", {"wip": ["many"]}), ("buf", [[]]), ("stk", [7]), ("st", "1"), ("t", 1.5)]
)
def test_a_bad_frame_changes_nothing_and_is_counted(served: Page, twin: FakeTwin, name: str, value: object) -> None:
    before = served.metric("frames_bad_total")
    good = served.get("/api/frame").json()
    twin.step()
    kept = twin.t
    setattr(twin, name, value)
    wait("the bad frame is counted", lambda: served.metric("frames_bad_total") > before)
    assert served.get("/api/frame").json()["seq"] <= good["seq"] + 1, "at most the good frame before the bad one"
    twin.t = kept


def test_without_the_twin_it_says_so_and_recovers(tmp_path: Path) -> None:
    """The twin's address is read from its announcement, which may come late."""
    feed = Feed(None, tmp_path)

    async def story() -> None:
        await feed.poll()
        assert "start `plantwin twin`" in feed.trouble
        running = Running(FakeTwin())
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "twin.json").write_text(json.dumps({"url": running.url}))
        await feed.poll()
        assert feed.live()
        assert feed.trouble == ""
        running.twin.broken = True
        await feed.poll()
        assert "500" in feed.trouble
        assert feed.counters.poll_errors == 2
        running.stop()
        await feed.close()

    asyncio.run(story())


def test_a_restarted_twin_is_noticed_and_its_plant_read_again(running: Running, tmp_path: Path) -> None:
    twin = running.twin
    twin.begin_again()
    feed = Feed(running.url, tmp_path)

    async def story() -> None:
        await feed.poll()
        first = await feed.plant()
        assert await feed.plant() is first
        newest = (twin.seq, twin.t)
        twin.seq = 1
        await feed.poll()
        assert feed.counters.restarts == 1
        assert await feed.plant() is not first
        twin.seq, twin.t = newest
        await feed.close()

    asyncio.run(story())


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_on_a_signal_with_an_open_stream(running: Running, tmp_path: Path, how: signal.Signals) -> None:
    with dashboard(running.url, tmp_path) as page:
        assert "dash_mantine_components" in page.get("/decide").text, "the first page asked for may be any page"
        with httpx.stream("GET", page.url + "/stream", timeout=10, trust_env=False) as stream:
            assert next(stream.iter_raw())
            begin = time.monotonic()
            page.process.send_signal(how)
            code = page.process.wait(6)
            assert time.monotonic() - begin < 4
        assert code == 0, (tmp_path / "out.txt").read_text()
        assert not (tmp_path / "run" / "dashboard.json").exists()
        assert "Traceback" not in (tmp_path / "out.txt").read_text()
