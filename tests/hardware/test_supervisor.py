"""The supervisor with small dummy services: they die, hang, refuse to start, are asked to stop."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hardware import supervisor
from hardware.supervisor import Part, StartError, Supervisor, free_ports, port_is_free

SERVICE = """
import json, os, pathlib, signal, sys, time
name, folder, how = sys.argv[1:4]
print(name, "says hello", flush=True)
if how == "refuse":
    print("port 1 is taken", flush=True)
    sys.exit(1)
if how == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
else:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
if how != "never":
    pathlib.Path(folder, "run", name + ".json").write_text(json.dumps({"name": name, "pid": os.getpid()}))
time.sleep(60)
"""


def dummy(folder: Path, name: str, how: str = "well") -> Part:
    return Part(name, (sys.executable, "-c", SERVICE, name, str(folder), how), start_s=5.0)


@contextmanager
def kept(folder: Path, *parts: Part) -> Iterator[tuple[Supervisor, list[str]]]:
    said: list[str] = []
    group = Supervisor(folder, parts, said.append)
    try:
        yield group, said
    finally:
        group.stop()


def wait_for(group: Supervisor, condition: Callable[[], bool], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        group.poll()
        time.sleep(0.02)


def pid(group: Supervisor, name: str) -> int:
    process = group.running[name].process
    assert process is not None
    return process.pid


def exists(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_killed_part_starts_again_and_it_is_said(tmp_path: Path) -> None:
    with kept(tmp_path, dummy(tmp_path, "a"), dummy(tmp_path, "b")) as (group, said):
        group.start()
        first, other = pid(group, "a"), pid(group, "b")
        os.kill(first, signal.SIGKILL)
        wait_for(group, lambda: "a is back" in said)
        assert pid(group, "a") != first
        assert pid(group, "b") == other
        assert group.restarts == 1
        assert said[0] == "a ended (signal SIGKILL); it starts again in 0.5 s"
        assert "a says hello" in said[1]


def test_delays_double_until_the_part_is_steady(tmp_path: Path) -> None:
    now = [0.0]
    group = Supervisor(tmp_path, [Part("bad", (sys.executable, "-c", "raise SystemExit(3)"))], print)
    group.clock = lambda: now[0]
    one = group.running["bad"]
    delays = []
    for _ in range(5):
        group._launch(one)
        assert one.process is not None
        one.process.wait()
        group.poll()
        assert one.again_at is not None
        delays.append(one.again_at - now[0])
    assert delays == [0.5, 1.0, 2.0, 4.0, 5.0]
    group._launch(one)
    assert one.process is not None
    one.process.wait()
    now[0] += supervisor.STEADY_S
    group.poll()
    assert one.again_at == now[0] + 0.5


def test_a_part_that_cannot_start_stops_all_and_shows_its_words(tmp_path: Path) -> None:
    with kept(tmp_path, dummy(tmp_path, "a"), dummy(tmp_path, "b", "refuse")) as (group, _):
        with pytest.raises(StartError, match=r"b ended with code 1 before it was ready(?s:.)*port 1 is taken"):
            group.start()
        assert all(one.process is None for one in group.running.values())


def test_a_part_that_never_gets_ready_is_named(tmp_path: Path) -> None:
    part = Part("slow", dummy(tmp_path, "slow", "never").argv, start_s=0.5)
    with kept(tmp_path, part) as (group, _), pytest.raises(StartError, match="slow was not ready after"):
        group.start()


def test_stop_leaves_no_process_even_a_deaf_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "STOP_S", 0.5)
    with kept(tmp_path, dummy(tmp_path, "a"), dummy(tmp_path, "deaf", "deaf")) as (group, said):
        group.start()
        pids = [pid(group, "a"), pid(group, "deaf")]
        group.stop()
        assert not any(exists(number) for number in pids)
        assert said == ["deaf did not stop within 0 s and was killed"]


@pytest.mark.skipif(sys.platform != "linux", reason="the parent's death is signalled by Linux only")
def test_parts_end_when_the_supervisor_is_killed(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from hardware.supervisor import Part, Supervisor\n"
        "folder = Path(sys.argv[1])\n"
        "part = Part('a', (sys.executable, '-c', sys.argv[2], 'a', str(folder), 'well'))\n"
        "group = Supervisor(folder, [part], print); group.start()\n"
        "print(group.running['a'].process.pid, flush=True); time.sleep(60)"
    )
    argv = (sys.executable, "-c", program, str(tmp_path), SERVICE)
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.kill()
    end = time.monotonic() + 5
    while exists(child) and time.monotonic() < end:
        time.sleep(0.02)
    assert not exists(child)


def test_taken_ports_are_noticed() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        assert not port_is_free(held.getsockname()[1])
    assert port_is_free(0)


def test_free_ports_differ() -> None:
    ports = free_ports(8)
    assert len(set(ports)) == 8
    assert all(port_is_free(port) for port in ports)
