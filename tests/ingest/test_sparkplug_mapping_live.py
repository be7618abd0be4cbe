"""A mapping of Sparkplug metrics on a broker: kill -9 with history on its way, and the preview."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest

import plantwin
from ingest.journal import Journal
from ingest.payloads import Event
from ingest.readings import Aliases, Row, Spb, decode, wall_ms
from tests.ingest.kit import Running, until
from tests.ingest.sparkplug_kit import Player, Spectator
from tests.ingest.test_sparkplug_mapping import TEXT, M, edge

ROOT = Path(__file__).resolve().parents[2]


class Process:
    """The command as a person starts it."""

    def __init__(self, folder: Path, port: int) -> None:
        self.data = folder / "data"
        (folder / "mapping.yaml").write_text(TEXT)
        ready = self.data / "run" / "ingest.json"
        ready.unlink(missing_ok=True)
        args = ["ingest", "line3", "--broker", f"127.0.0.1:{port}", "--topics", str(folder / "mapping.yaml")]
        args += ["--data", str(self.data), "--port", "0", "--sparkplug", "twin1", "--sparkplug-nodes", "plant1"]
        with (folder / "log").open("ab") as log:
            env = os.environ | {"PYTHONPATH": str(ROOT)}
            program = [sys.executable, str(ROOT / "plantwin.py"), *args]
            self.child = subprocess.Popen(program, stdout=log, stderr=log, env=env)
        until(ready.exists, 30, "ingest to start")

    def end(self, how: signal.Signals) -> None:
        if self.child.poll() is None:
            self.child.send_signal(how)
            self.child.wait(20)

    def rows(self) -> list[Row]:
        reader = Journal.open_reader(self.data / "journal.db")
        try:
            return reader.read(0, 10_000)
        finally:
            reader.close()

    def counts(self) -> list[float]:
        return [r.value for row in self.rows() if row.kind == "spb" for r in decode(row, Aliases()) if r.name == COUNT]

    def held(self) -> int:
        """Historical values on disk that their rules have not been told."""
        db = sqlite3.connect(f"file:{self.data / 'journal.db'}?mode=ro", uri=True)
        try:
            found = db.execute("SELECT body FROM memory WHERE name='~held plant1/edge1'").fetchone()
        finally:
            db.close()
        return len(json.loads(found[0])) if found else 0


COUNT = "turn/count"


def test_a_kill_with_history_on_its_way_loses_and_doubles_nothing(fresh_broker: Running, tmp_path: Path) -> None:
    spectator = Spectator(fresh_broker.port)
    process = Process(tmp_path, fresh_broker.port)
    try:
        with Player(edge(alias=True), fresh_broker.port) as node:
            until(lambda: process.counts() == [65530], what="the birth")
            node.send(n=65535)
            until(lambda: process.counts() == [65530, 65535], what="the data")
            node.vanish()
        until(lambda: len(process.counts()) == 3, 25, "the death")
        t = wall_ms()
        made = edge(alias=True)
        made.bd = 1
        made.metrics["press"]["n"] = (4, 4)  # five more, over the wrap
        with Player(made, fresh_broker.port) as node:
            until(lambda: process.counts()[-1] == 65540, what="the next birth")
            for k, n in enumerate((65535, 1, 3)):  # the last two are of the outage
                node.say(made.data(t=t - 300 + k, historical=True, n=n))
            until(lambda: process.held() == 3, what="the history on disk")
            process.end(signal.SIGKILL)
            process = Process(tmp_path, fresh_broker.port)
            assert process.held() in (0, 3)
            until(lambda: process.held() == 0, 15, "the history told")
            until(lambda: process.counts().count(65540) == 2, 15, "the birth that was asked for")
            node.send(n=6)
            until(lambda: process.counts()[-1] == 65542, what="the data after it")
        assert spectator.asked() == ["spBv1.0/plant1/NCMD/edge1"]
        told = [msgspec.json.decode(row.body, type=Spb) for row in process.rows() if row.kind == "spb"]
        (history,) = [body for body in told if body.verb == "history"]
        assert [v for tag, v in zip(history.tag, history.v, strict=True) if tag == COUNT][-2:] == [65537, 65539]
        events = [msgspec.json.decode(row.body, type=Event) for row in process.rows() if row.kind == "event"]
        ends = [(one.t, one.count) for one in events if one.thing == "turn"]
        assert len(ends) == len(set(ends))
        assert {n for _, n in ends} == set(range(65531, 65543))
    finally:
        process.end(signal.SIGKILL)
        spectator.stop()


def run(*args: str) -> int:
    try:
        return plantwin.main(list(args))
    except SystemExit as ended:
        return int(ended.code or 0)


def preview(folder: Path, port: int, capsys: pytest.CaptureFixture[str], *more: str) -> dict[str, Any]:
    path = folder / "mapping.yaml"
    path.write_text(TEXT)
    args = ["map", str(path), "--plant", "line3", "--broker", f"127.0.0.1:{port}", "--json", "--seconds", "2", *more]
    assert run(*args) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_the_preview_listens_and_asks_for_births_only_where_told_to(
    fresh_broker: Running, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spectator = Spectator(fresh_broker.port)
    made = edge(alias=True)
    made.metrics["wash"] = {"Count": (4, 12), "State": (4, 6)}
    stop = threading.Event()
    with Player(made, fresh_broker.port) as node:

        def speak() -> None:
            n = 0
            while not stop.wait(0.1):
                n += 1
                node.send(n=(65530 + n) % 65536)

        thread = threading.Thread(target=speak)
        thread.start()
        try:
            found = preview(tmp_path, fresh_broker.port, capsys)
            assert spectator.asked() == []
            assert found["raw"] == []
            notes = str(found["notes"])
            assert "births came before we listened: plant1/edge1" in notes
            assert "refused: no_birth" in notes
            found = preview(tmp_path, fresh_broker.port, capsys, "--rebirth")
            assert spectator.asked() == ["spBv1.0/plant1/NCMD/edge1"]
        finally:
            stop.set()
            thread.join()
            spectator.stop()
    raw = {entry["name"]: entry for entry in found["raw"]}
    assert raw[f"{M}/press/n"]["heard"] > 3
    assert any(text.startswith("turn/count = ") for text in raw[f"{M}/press/n"]["led_to"])
    assert raw[f"{M}/press/mode"]["led_to"] == ["turn/state = work"]
    assert found["unheard"] == []
    unmapped = {entry["name"] for entry in found["unmapped"]}
    assert f"{M}/wash/Count" in unmapped
    lines = [one["line"] for one in found["proposals"]]
    assert f"wash/count: {{from: {M}/wash/Count, counter: 16}}" in lines


def test_metrics_in_a_recording_are_previewed_as_other_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, recording = tmp_path / "mapping.yaml", tmp_path / "r.csv"
    path.write_text(TEXT)
    recording.write_text(f"t,name,value\n1000,{M}/press/n,65535\n2000,{M}/press/n,2\n3000,{M}/wash/Count,4\n")
    assert run("map", str(path), "--plant", "line3", "--history", str(recording), "--json") == 0
    found = json.loads(capsys.readouterr().out)
    (rule,) = [one for one in found["rules"] if one["rule"] == COUNT]
    assert (rule["outputs"], rule["newest"]) == (2, "turn/count = 65538")
    assert [one["tag"] for one in found["proposals"]] == ["wash/count"]
