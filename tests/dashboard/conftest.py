"""A scripted twin and a real dashboard process in front of it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.dashboard.fake_twin import FakeTwin, Running

ROOT = Path(__file__).resolve().parents[2]


def wait(what: str, check: Callable[[], bool], seconds: float = 15.0) -> None:
    """Poll until `check` holds; fails with `what`."""
    deadline = time.monotonic() + seconds
    while not check():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {seconds:g} s: {what}")
        time.sleep(0.03)


@dataclass
class Page:
    """A running dashboard."""

    url: str
    data: Path
    process: subprocess.Popen[bytes]

    def get(self, path: str) -> httpx.Response:
        return httpx.get(self.url + path, timeout=10, trust_env=False)

    def post(self, path: str, body: object, **headers: str) -> httpx.Response:
        return httpx.post(
            self.url + path, json=body, headers={"origin": self.url} | headers, timeout=10, trust_env=False
        )

    def metric(self, name: str) -> float:
        for line in self.get("/metrics").text.splitlines():
            if line.startswith(f"plantwin_dashboard_{name} "):
                return float(line.split()[-1])
        raise AssertionError(f"no metric {name}")


@contextlib.contextmanager
def dashboard(twin_url: str, data: Path) -> Iterator[Page]:
    """`plantwin dashboard` on a free port, ended by SIGTERM."""
    command = [sys.executable, "-m", "plantwin", "dashboard", "--data", str(data), "--twin", twin_url, "--port", "0"]
    log = (data / "out.txt").open("wb")
    process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, env=os.environ | {"LANG": "C"})
    announced = data / "run" / "dashboard.json"
    try:
        wait(f"dashboard announced in {announced}", lambda: announced.exists() or process.poll() is not None, 40)
        assert process.poll() is None, (data / "out.txt").read_text()
        yield Page(json.loads(announced.read_text())["url"], data, process)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        log.close()


@pytest.fixture(scope="session")
def running() -> Iterator[Running]:
    found = Running(FakeTwin())
    yield found
    found.stop()


@pytest.fixture(scope="session")
def page_server(running: Running, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with dashboard(running.url, tmp_path_factory.mktemp("dashboard")) as page:
        yield page


@pytest.fixture
def twin(running: Running) -> FakeTwin:
    """The script at its beginning, but later in time and number than whatever ran before."""
    running.twin.begin_again()
    return running.twin


@pytest.fixture
def served(page_server: Page, twin: FakeTwin) -> Page:
    """The dashboard, with the newest frame of the script already taken over."""
    wait("the dashboard has the newest frame", lambda: page_server.get("/api/frame").json().get("seq") == twin.seq)
    return page_server
