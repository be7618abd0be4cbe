"""The whole loop for real: every process, real messages, a scripted operator, and kills.

Each demo runs in a folder of its own on free ports. These are the slowest tests of the project.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

ROOT = Path(__file__).resolve().parents[1]
SERVICES = ("broker", "ingest", "plant", "gateway", "twin", "advise", "dashboard")
KILLS = 10


def argv(folder: Path, seconds: int, *more: str) -> tuple[str, ...]:
    return (
        *(sys.executable, "-m", "plantwin", "demo", "--headless", "--for", str(seconds)),
        *("--data", str(folder / "data"), "--report", str(folder / "report.json"), *more),
    )


@contextmanager
def demo(folder: Path, seconds: int, *more: str) -> Iterator[subprocess.Popen[str]]:
    """A running demo whose output goes to `demo.log` of the folder."""
    with (folder / "demo.log").open("w") as output:
        process = subprocess.Popen(
            argv(folder, seconds, *more), cwd=ROOT, stdout=output, stderr=subprocess.STDOUT, text=True
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.wait(timeout=60)


def info(folder: Path, name: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((folder / "data" / "run" / f"{name}.json").read_text())
    except (OSError, ValueError):
        return {}
    return found


def wait_for(process: subprocess.Popen[str], folder: Path, text: str, seconds: float, times: int = 1) -> None:
    """Until the demo's output has this text so many times."""
    end = time.monotonic() + seconds
    while (folder / "demo.log").read_text().count(text) < times:
        assert process.poll() is None, (folder / "demo.log").read_text()
        assert time.monotonic() < end, (folder / "demo.log").read_text()
        time.sleep(0.1)


def get(url: str) -> Any:
    with urlopen(url, timeout=10) as answer:
        return json.load(answer)


def alive(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_loop_runs_loses_nothing_and_is_advised(tmp_path: Path) -> None:
    pids = []
    with demo(tmp_path, 150, "--approve", "auto") as process:  # a moment of advice takes 10 s alone, longer beside
        wait_for(process, tmp_path, "advise is ready", 300)
        pids = [int(info(tmp_path, name)["pid"]) for name in SERVICES]
        assert process.wait(timeout=200) == 0, (tmp_path / "demo.log").read_text()
    told = json.loads((tmp_path / "report.json").read_text())
    assert told["plant"] == "gearmotor"
    assert told["readings"]["received"] > 100
    assert told["readings"]["lost"] == 0
    assert told["restarts"] == 0
    assert told["advice"]["evaluated"] > 0
    assert told["advice"]["recommended"] == len(told["recommendations"])
    assert told["twin_age_s"]["p50"] < 5
    assert told["wip_error_mean"] < 2
    assert told["commands"]["sent"] >= told["commands"]["confirmed"]
    assert not any(alive(number) for number in pids)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_killed_parts_come_back_and_the_state_is_that_of_one_replay(tmp_path: Path) -> None:
    from sim import plantfile
    from twin.engine import replay

    luck = random.Random(20260105)
    kills = [luck.choice(("ingest", "twin")) for _ in range(KILLS)]
    with demo(tmp_path, 600) as process:
        wait_for(process, tmp_path, "parts are running", 240)
        for number, name in enumerate(kills):
            time.sleep(luck.uniform(0.5, 3.0))
            os.kill(int(info(tmp_path, name)["pid"]), signal.SIGKILL)
            wait_for(process, tmp_path, f"{name} is back", 60, kills[: number + 1].count(name))
        time.sleep(3)
        url = str(info(tmp_path, "twin")["url"])
        state = get(f"{url}/state")
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=120) == 0
    told = json.loads((tmp_path / "report.json").read_text())
    assert told["restarts"] == KILLS, (tmp_path / "demo.log").read_text()
    assert told["readings"]["lost"] == 0
    _, uninterrupted = replay(tmp_path / "data" / "journal.db", plantfile.load("gearmotor"), state["pos"])
    assert uninterrupted == state["hash"]


def test_a_taken_port_ends_the_demo_with_a_sentence(tmp_path: Path) -> None:
    import socket

    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        port = str(held.getsockname()[1])
        done = subprocess.run(
            argv(tmp_path, 5, "--port", port), cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
        )
    assert done.returncode == 2
    assert f"port {port} is taken" in done.stderr
    assert not (tmp_path / "data").exists()


def test_a_wrong_plant_ends_the_demo_with_a_sentence(tmp_path: Path) -> None:
    more = ("--plant", "nowhere", "--port", "0")
    done = subprocess.run(argv(tmp_path, 5, *more), cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert "nowhere" in done.stderr
    assert "Traceback" not in done.stderr
