"""Plant, gateway and ingest as processes on each broker: every number in the journal, commands there and back."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hardware.outbox import issued, pending
from ingest.journal import Journal
from ingest.keys import load_private, make_keys, sign
from ingest.wire import Cmd, PlantClock, Row, encode
from tests.hardware.fakes import Running, wait_until

PROJECT = Path(__file__).parents[2]
SOURCE = "ptw/v1/demo/machining/line3/cell1"


class Loop:
    """The three processes around one data folder."""

    def __init__(self, data: Path, broker: Running) -> None:
        self.data, self.broker = data, broker
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        make_keys(data)

    def start(self, name: str, *options: str) -> dict[str, Any]:
        """Start a service and wait for its file in run/."""
        where = self.data / "run" / f"{name}.json"
        where.unlink(missing_ok=True)
        command = [
            sys.executable,
            "plantwin.py",
            name,
            "line3",
            "--broker",
            self.broker.address,
            "--data",
            str(self.data),
        ]
        with (self.data / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen([*command, *options], cwd=PROJECT, stdout=log, stderr=log)
        wait_until(where.exists, f"{name} is ready", 40)
        found: dict[str, Any] = json.loads(where.read_text())
        return found

    def end(self, name: str, number: int = signal.SIGTERM) -> int:
        process = self.processes.pop(name)
        process.send_signal(number)
        return process.wait(15)

    def rows(self, *kinds: str) -> list[Row]:
        reader = Journal.open_reader(self.data / "journal.db")
        try:
            return [row for row in reader.read(0, 1_000_000) if row.kind in kinds]
        finally:
            reader.close()


@pytest.fixture
def loop(tmp_path: Path, broker: Running) -> Iterator[Loop]:
    loop = Loop(tmp_path, broker)
    yield loop
    for process in loop.processes.values():
        process.kill()
        process.wait()


def numbered(loop: Loop) -> dict[tuple[str, str], list[int]]:
    found: dict[tuple[str, str], list[int]] = {}
    for row in loop.rows("data", "hist", "event", "gap", "cmdack"):
        assert row.e is not None
        assert row.s is not None
        found.setdefault((row.source, row.e), []).append(row.s)
    return found


def test_kills_on_both_sides_lose_nothing_and_a_command_comes_back(loop: Loop) -> None:
    rng = random.Random(5)
    loop.start("ingest")
    plant = loop.start("plant", "--speed", "120", "--warmup", "1d", "--disturb", "none")
    bus = ("--fieldbus", f"127.0.0.1:{plant['port']}")
    loop.start("gateway", *bus)
    for victim in ("gateway", "ingest", "gateway", "ingest"):
        time.sleep(rng.uniform(0.5, 2.0))
        loop.end(victim, signal.SIGKILL)
        api = loop.start(victim, *(bus if victim == "gateway" else ()))
    truth = json.loads((loop.data / "truth.jsonl").read_text().splitlines()[0])["header"]
    now = PlantClock(truth["origin"], truth["wall"], truth["speed"]).now()
    cmd = Cmd(
        id="c-1", target="cap", value=8, not_before=now, expires=now + 1_200_000, lease_s=7200,
        state="sha256:x", rec="r-1", issuer="twin@demo", sig="",
    )  # fmt: skip
    body = encode(sign(msgspec.structs.replace(cmd), load_private(loop.data)))
    request = urllib.request.Request(f"{api['url']}/command", data=body, headers={"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 200
    steps: list[str] = []

    def executed() -> bool:
        steps[:] = [json.loads(row.body)["step"] for row in loop.rows("cmdack")]
        return "executed" in steps

    wait_until(executed, "the command is executed", 20)
    assert steps == ["received", "accepted", "executed"]
    wait_until(
        lambda: json.loads((loop.data / "truth.jsonl").read_text().splitlines()[-1])["set"]["cap"] == 8, "truth says so"
    )
    assert loop.end("plant") == 0
    assert loop.end("gateway") == 0
    wait_until(
        lambda: {k: max(v) for k, v in numbered(loop).items()} == issued(loop.data / "outbox.db"), "all is journalled"
    )
    assert loop.end("ingest") == 0
    found = numbered(loop)
    assert len(found) == 1
    for numbers in found.values():
        assert sorted(numbers) == list(range(1, max(numbers) + 1))  # each once, none missing
    assert not loop.rows("gap")
    assert pending(loop.data / "outbox.db") == 0
    supply = {json.loads(row.body)["kind"] for row in loop.rows("supply")}
    assert {"stock_count", "customer_order"} <= supply
