"""The commands from the command line: exit codes and what a wrong call is told."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

import plantwin
from ingest.broker import free_port
from tests.ingest.kit import until

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments: str) -> int:
    """The exit code of `plantwin ARGUMENTS`."""
    try:
        return plantwin.main(list(arguments))
    except SystemExit as ended:
        return int(ended.code or 0)


def test_keys(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("keys", "--data", str(tmp_path)) == 0
    assert "copy it to every gateway" in capsys.readouterr().out
    assert run("keys", "--data", str(tmp_path)) == 1
    assert "a key exists" in capsys.readouterr().err


def test_map(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text("shop/n: {tag: turn/count, scale: 2}\n")
    bad.write_text("shop/n: {tga: turn/count}\n")
    assert run("map", str(good), "--check") == 0
    monkeypatch.setattr(sys, "stdin", io.StringIO("shop/n 4\nshop/x 4\nshop/n abc\n"))
    assert run("map", str(good)) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[2] == "shop/n: turn/count = 8"
    assert "unmapped" in out[3]
    assert "not_json" in out[4]
    assert run("map", str(bad), "--check") == 2
    assert f"{bad}:1: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["--broker", "nowhere"], 2, "expected HOST:PORT"),
        ([], 2, "--site, --area and --line"),
        (["--site", "Bad!", "--area", "a", "--line", "l"], 2, "site 'Bad!'"),
        (["no_such_plant"], 2, "no_such_plant"),
    ],
)
def test_ingest_says_what_is_missing(
    arguments: list[str], code: int, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("ingest", *arguments, "--data", str(tmp_path)) == code
    assert told in capsys.readouterr().err
    assert not (tmp_path / "journal.db").exists()


def test_a_taken_http_port_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        line = ["--site", "s", "--area", "a", "--line", "l", "--data", str(tmp_path)]
        keep = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
        assert run("ingest", *line, "--http-port", str(port)) == 1
        for number, handler in keep.items():
            signal.signal(number, handler)
    assert f"HTTP port {port}" in capsys.readouterr().err


def test_without_a_broker_it_serves_and_says_so(tmp_path: Path) -> None:
    call = [sys.executable, str(ROOT / "plantwin.py"), "ingest", "--site", "s", "--area", "a", "--line", "l"]
    call += ["--broker", f"127.0.0.1:{free_port()}", "--data", str(tmp_path)]
    process = subprocess.Popen(call, stderr=subprocess.DEVNULL, env=os.environ | {"PYTHONPATH": str(ROOT)})
    try:
        ready = tmp_path / "run" / "ingest.json"
        until(ready.exists, 30, "the ready file")
        told = json.loads(ready.read_text())
        assert told["pid"] == process.pid
        with urllib.request.urlopen(told["url"] + "/healthz", timeout=5) as answer:
            health = json.load(answer)
        assert (health["ok"], health["broker"]) == (True, "down")
    finally:
        process.terminate()
        process.wait(15)
    assert process.returncode == 0
