"""A recorded log over the wire: every report once, counted, in order, and nobody's name."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.real_data import events_of, events_of_payloads
from hardware.replay import moments, tags_of
from sim.eventlog import read
from tests.hardware.fakes import FakeTwin, Running, wait_until

PROJECT = Path(__file__).parents[2]
SOURCE = "ptw/v1/demo/shop/machine_shop/log"


def write_log(path: Path, days: int) -> int:
    """Some orders over some days; returns how many reports."""
    rows = ["case,activity,resource,start,complete,report_type"]
    for day in range(1, days + 1):
        for n in range(6):
            order = f"Case{day * 10 + n}"
            rows.append(
                f"{order},Turning & Milling,ID4932,2012-01-{day:02} 0{7 + n // 3}:{n}0,2012-01-{day:02} 1{n}:15,D"
            )
            rows.append(f"{order},Packing,ID4820,2012-01-{day:02} 1{n}:20,2012-01-{day:02} 1{n}:45,D")
    path.write_text("\n".join(rows) + "\n")
    return len(rows) - 1


def start(events: Path, data: Path, broker: Running, speed: float) -> subprocess.Popen[bytes]:
    command = [sys.executable, "plantwin.py", "replay", str(events), "--broker", broker.address, "--data", str(data)]
    with (data / "replay.log").open("ab") as log:
        return subprocess.Popen([*command, "--speed", str(speed)], cwd=PROJECT, stdout=log, stderr=log)


def test_events_are_counted_and_in_order(tmp_path: Path) -> None:
    reports = write_log(tmp_path / "log.csv", 3)
    found = moments(read(tmp_path / "log.csv"), "UTC")
    assert len(found) == 2 * reports
    assert [m.t for m in found] == sorted(m.t for m in found)
    assert {m.activity for m in found} == {"turning-milling", "packing"}
    assert [t.name for t in tags_of(found)] == [
        "packing/completed",
        "packing/started",
        "turning-milling/completed",
        "turning-milling/started",
    ]
    assert all(m.start is not None and m.start <= m.t for m in found if m.kind == "report_complete")


@pytest.mark.parametrize("broker", ["embedded"], indirect=True)  # the broker plays no part in it
def test_the_log_arrives_whole_through_a_kill_and_names_nobody(tmp_path: Path, broker: Running) -> None:
    reports = write_log(tmp_path / "log.csv", 8)
    twin = FakeTwin(broker.port, state="ptw/v1/demo/shop/machine_shop/_twin/state")
    twin.start()
    try:
        first = start(tmp_path / "log.csv", tmp_path, broker, 90_000)
        wait_until(lambda: sum(twin.hw.values()) > 20, "twenty messages", 30)
        time.sleep(0.3)
        first.send_signal(signal.SIGKILL)
        first.wait()
        again = start(tmp_path / "log.csv", tmp_path, broker, 90_000)
        assert again.wait(60) == 0
    finally:
        twin.stop()
    ((source, numbers),) = twin.got.items()
    assert source[0] == SOURCE
    assert sorted(numbers) == list(range(1, max(numbers) + 1))
    assert twin.conflicts == 0
    events = [json.loads(body) for _, (kind, body) in sorted(numbers.items()) if kind == "event"]
    assert len(events) == 2 * reports
    sent = events_of_payloads(body for _, (kind, body) in numbers.items() if kind == "event")
    assert sent == events_of(read(tmp_path / "log.csv"))  # so figures from the journal are figures from the file
    for kind, name in (("report_start", "started"), ("report_complete", "completed")):
        mine = [e for e in events if e["kind"] == kind and e["thing"] == "packing"]
        assert [e["count"] for e in mine] == list(range(1, 49))
        assert len({e["order"] for e in mine}) == 48
        assert twin.values(*source)[f"packing/{name}"][-1][1] == 48
    everything = b"".join(body for _, body in numbers.values()) + (tmp_path / "replay.db").read_bytes()
    assert "another recording" not in (tmp_path / "replay.log").read_text()
    assert b"ID4932" not in everything
    assert b"ID4820" not in everything
    assert b"resource" not in everything
