"""`plantwin ingest --sparkplug` as a process that is killed: the will speaks, and births are asked for once."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest.journal import Journal
from ingest.wire import Aliases, decode
from tests.ingest.kit import Running, until
from tests.ingest.sparkplug_kit import Edge, Player, Spectator

ROOT = Path(__file__).resolve().parents[2]


class Process:
    """The command, run from the options a person would give."""

    def __init__(self, folder: Path, port: int) -> None:
        topics = folder / "topics.yaml"
        topics.write_text('spBv1.0/plant1/+/press/#: "{1}/{2}"\n')
        self.ready = folder / "data" / "run" / "ingest.json"
        self.ready.unlink(missing_ok=True)
        args = ["ingest", "--broker", f"127.0.0.1:{port}", "--site", "demo", "--area", "machining", "--line", "line3"]
        args += ["--port", "0", "--data", str(folder / "data"), "--topics", str(topics)]
        args += ["--sparkplug", "twin1", "--sparkplug-nodes", "plant1"]
        self.child = subprocess.Popen([sys.executable, "-m", "plantwin", *args], cwd=ROOT, stderr=subprocess.DEVNULL)
        until(self.ready.exists, 30, "the process to be ready")

    def end(self, how: signal.Signals) -> int:
        self.child.send_signal(how)
        return self.child.wait(20)


@pytest.fixture
def processes() -> Iterator[list[Process]]:
    found: list[Process] = []
    yield found
    for one in found:
        if one.child.poll() is None:
            one.child.kill()
            one.child.wait(20)


def test_a_killed_process_is_said_to_be_offline_and_comes_back(
    fresh_broker: Running, tmp_path: Path, processes: list[Process]
) -> None:
    spectator = Spectator(fresh_broker.port)
    try:
        processes.append(Process(tmp_path, fresh_broker.port))
        with Player(Edge(alias=True), fresh_broker.port) as edge:
            until(lambda: _counts(tmp_path) == [7.0], what="the birth")
            processes[0].end(signal.SIGKILL)
            until(lambda: spectator.states()[-1]["online"] is False, 25, "the will")
            edge.send(count=8)
            processes.append(Process(tmp_path, fresh_broker.port))
            until(lambda: spectator.states()[-1]["online"] is True, what="STATE")
            until(lambda: _counts(tmp_path) == [7.0, 7.0], 15, "the birth that was asked for")
            edge.send(count=9)
            until(lambda: _counts(tmp_path) == [7.0, 7.0, 9.0], what="data after it")
        assert spectator.asked() == ["spBv1.0/plant1/NCMD/edge1"]
        assert processes[1].end(signal.SIGTERM) == 0
        until(lambda: spectator.states()[-1]["online"] is False, what="our goodbye")
        assert json.loads(processes[1].ready.read_text())["name"] == "ingest"
    finally:
        spectator.stop()


def _counts(folder: Path) -> list[float]:
    reader = Journal.open_reader(folder / "data" / "journal.db")
    try:
        rows = [row for row in reader.read(0, 1000) if row.kind == "spb"]
    finally:
        reader.close()
    return [one.value for row in rows for one in decode(row, Aliases()) if one.name == "edge1/count"]
