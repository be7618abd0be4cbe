"""Plant, gateway, ingest and twin as processes: one click sets three controls of the plant, through kills as well."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.hardware.fakes import Running, wait_until
from tests.hardware.test_loop import PROJECT, Loop
from tests.twin.joints import MOVES, body, joint_line


class Whole(Loop):
    """The loop of a plant with three controls, with the twin."""

    def __init__(self, data: Path, broker: Running) -> None:
        super().__init__(data, broker)
        self.plant = str(joint_line(data).path)
        self.twin = ""

    def start(self, name: str, *options: str) -> dict[str, Any]:
        where = self.data / "run" / f"{name}.json"
        where.unlink(missing_ok=True)
        command = [sys.executable, "plantwin.py", name, self.plant, "--data", str(self.data), *options]
        if name != "twin":
            command += ["--broker", self.broker.address]
        with (self.data / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(command, cwd=PROJECT, stdout=log, stderr=log)
        wait_until(where.exists, f"{name} is ready", 240)
        found: dict[str, Any] = json.loads(where.read_text())
        return found

    def ask(self, path: str, sent: dict[str, Any] | None = None) -> tuple[int, Any]:
        data = None if sent is None else json.dumps(sent).encode()
        request = urllib.request.Request(self.twin + path, data=data, headers={"content-type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def rec(self, number: int) -> dict[str, Any]:
        return next(r for r in self.ask("/recommendations")[1] if r["id"] == f"r-{number}")

    def truth(self) -> dict[str, int]:
        last = json.loads((self.data / "truth.jsonl").read_text().splitlines()[-1])
        return dict(last["set"])

    def steps(self, step: str, number: int) -> list[str]:
        """Ids of a recommendation's commands that the gateway told this step of, in order."""
        told = [json.loads(row.body) for row in self.rows("cmdack")]
        return [one["id"] for one in told if one["step"] == step and one["id"].endswith(f"-r-{number}")]

    def accept(self, number: int, moves: list[dict[str, Any]]) -> None:
        status, answer = self.ask("/recommendations", body(number, moves, horizon_s=14_400))
        assert status == 200, answer
        request = {"id": f"r-{number}", "version": 1, "decision": "accept", "reason": "", "key": f"k-{number}"}
        status, answer = self.ask("/decisions", request)
        assert status == 200, answer


@pytest.fixture
def whole(tmp_path: Path, broker: Running) -> Iterator[Whole]:
    made = Whole(tmp_path, broker)
    yield made
    for process in made.processes.values():
        process.kill()
        process.wait()


@pytest.mark.slow
@pytest.mark.parametrize("broker", ["embedded"], indirect=True)
def test_one_click_sets_three_controls_of_a_running_plant(whole: Whole) -> None:
    api = whole.start("ingest")
    plant = whole.start("plant", "--speed", "240", "--warmup", "1d", "--disturb", "none")
    bus, to_ingest = ("--fieldbus", f"127.0.0.1:{plant['port']}"), ("--port", "0", "--ingest", api["url"])
    whole.start("gateway", *bus)
    whole.twin = whole.start("twin", *to_ingest)["url"]
    before, after = ({move["control"]: move[side] for move in MOVES} for side in ("from", "to"))
    wait_until(lambda: whole.ask("/frame")[1].get("ctl") == before, "the twin has heard the setpoints", 60)
    wait_until(lambda: whole.ask("/readyz")[0] == 200, "the data are fresh", 60)

    whole.accept(1, MOVES)
    wait_until(lambda: whole.rec(1)["status"] not in ("accepted", "sent"), "the commands came to an end", 60)
    found = whole.rec(1)
    assert found["status"] in ("confirmed", "evaluated"), found["reason"]
    assert [step["status"] for step in found["timeline"]][:4] == ["proposed", "accepted", "sent", "confirmed"]
    wait_until(lambda: whole.truth() == after, "the plant itself has all three", 20)
    assert whole.steps("executed", 1) == ["c-r-1", "c2-r-1", "c3-r-1"]
    assert len(whole.rows("cmd")) == 3
    wait_until(lambda: whole.rec(1)["status"] == "evaluated", "its effect was measured", 120)
    assert whole.rec(1)["realised"]["value"] is not None
    # the lease is 2 min of wall time at least; then the gateway gives all three back by itself
    wait_until(lambda: whole.truth() == before, "the setpoints before came back", 180)
    assert sorted(whole.steps("lease_ended", 1)) == ["c-r-1", "c2-r-1", "c3-r-1"]

    time.sleep(17)  # an hour of plant time must pass between two changes of base_a
    wait_until(lambda: whole.ask("/readyz")[0] == 200, "the data are fresh", 60)
    whole.accept(2, MOVES)
    for name in ("gateway", "twin"):
        whole.end(name, signal.SIGKILL)
    whole.start("gateway", *bus)
    whole.twin = whole.start("twin", *to_ingest)["url"]
    wait_until(lambda: whole.rec(2)["status"] not in ("accepted", "sent"), "the commands came to an end", 100)
    assert whole.rec(2)["status"] in ("confirmed", "evaluated"), whole.rec(2)["reason"]
    assert whole.steps("executed", 2) == ["c-r-2", "c2-r-2", "c3-r-2"]  # each once, none missing
    assert len(whole.rows("cmd")) == 6
    wait_until(lambda: whole.truth() == after, "the plant itself has all three", 20)
