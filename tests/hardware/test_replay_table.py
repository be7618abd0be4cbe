"""A table of sensor readings over the wire into the journal: every cell once, although ingest is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from hardware.replay_table import TableError, TableRow, read_table, table_tags
from ingest.journal import Journal
from ingest.readings import Aliases, decode
from tests.hardware.fakes import Running, wait_until

PROJECT = Path(__file__).parents[2]
LINE = ("demo", "testbed", "pumps")
SKAB = Path(os.environ.get("PLANTWIN_DATA", "../shared/data")) / "skab" / "valve1" / "0.csv"


def write_table(path: Path, rows: int) -> None:
    rng = np.random.default_rng(5)
    lines = ["datetime;Flow Rate;Temp;label"]
    for i, (flow, temp) in enumerate(rng.normal((30.0, 80.0), 1.0, (rows, 2))):
        cell = "" if i % 50 == 7 else f"{temp:.6f}"
        lines.append(f"2020-03-09 {10 + i // 3600}:{i // 60 % 60:02}:{i % 60:02};{flow:.6f};{cell};{i % 2}")
    path.write_text("\n".join(lines) + "\n")


def test_a_table_is_read_with_its_time_and_without_its_labels(tmp_path: Path) -> None:
    write_table(tmp_path / "t.csv", 60)
    rows = read_table(tmp_path / "t.csv", "UTC", skip=("label",))
    assert [t.name for t in table_tags(rows)] == ["flow-rate", "temp"]
    assert len(rows) == 60
    assert rows[0].t == 1_583_748_000_000
    assert [len(r.values) for r in rows] == [1 if i % 50 == 7 else 2 for i in range(60)]
    assert read_table(tmp_path / "t.csv", "Europe/Berlin")[0].t == 1_583_748_000_000 - 3_600_000


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a;b\n2020-01-01 00:00:00;x\n", "t.csv:2: expected a number for b, found 'x'"),
        ("a;b\n2020-01-01 00:00:00;nan\n", "a finite number"),
        ("a;b\nyesterday;1\n", "expected a time"),
        ("a;b\n2020-01-01 00:00:00;1;2\n", "expected 2 cells, found 3"),
        ("a;b\n2020-01-01 00:00:01;1\n2020-01-01 00:00:00;1\n", "t.csv:3: expected rows in order of time"),
        ("a\n2020-01-01 00:00:01\n", "expected columns for a time and signals"),
        ("a;b;B\n2020-01-01 00:00:01;1;2\n", "two columns have the same name"),
    ],
)
def test_what_is_no_table_is_refused_by_line(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(TableError, match=complaint):
        read_table(tmp_path / "t.csv", "UTC")


def replay(table: Path, data: Path, broker: Running, speed: float) -> subprocess.Popen[bytes]:
    """The command on a table."""
    line = [sys.executable, "plantwin.py", "replay", str(table), "--table", "--line", "/".join(LINE)]
    skip = ["--skip", "anomaly", "--skip", "changepoint"] if table == SKAB else ["--skip", "label"]
    options = ["--broker", broker.address, "--data", str(data), "--speed", str(speed), *skip]
    with (data / "replay.log").open("ab") as log:
        return subprocess.Popen([*line, *options], cwd=PROJECT, stdout=log, stderr=log)


def ingest(data: Path, broker: Running) -> subprocess.Popen[bytes]:
    """The real one, with its journal in `data`."""
    where = ["--site", LINE[0], "--area", LINE[1], "--line", LINE[2]]
    command = [sys.executable, "plantwin.py", "ingest", "--broker", broker.address, *where, "--data", str(data)]
    with (data / "ingest.log").open("ab") as log:
        return subprocess.Popen([*command, "--port", "0"], cwd=PROJECT, stdout=log, stderr=log)


def journaled(path: Path) -> Counter[tuple[int, str, float]]:
    """How often each reading is in the journal."""
    if not path.exists():
        return Counter()
    reader, aliases = Journal.open_reader(path), Aliases()
    try:
        rows = [row for part in reader.follow(0) for row in part]
    finally:
        reader.close()
    return Counter((r.t, r.name, r.value) for row in rows for r in decode(row, aliases))


def through_a_kill(table: Path, data: Path, broker: Running, speed: float) -> tuple[int, list[TableRow]]:
    """Replay with ingest killed in the middle; how many readings were journaled at the kill, and the table."""
    skip = ("anomaly", "changepoint") if table == SKAB else ("label",)
    rows = read_table(table, "UTC", skip=skip)
    first = ingest(data, broker)
    wait_until((data / "run" / "ingest.json").exists, "ingest to be ready", 60)
    source = replay(table, data, broker, speed)
    try:
        wait_until(lambda: len(journaled(data / "journal.db")) > len(rows) // 2, "some readings in the journal", 60)
        first.send_signal(signal.SIGKILL)
        first.wait()
        before = len(journaled(data / "journal.db"))
        time.sleep(0.5)
        again = ingest(data, broker)
        try:
            assert source.wait(90) == 0, (data / "replay.log").read_text()[-2000:]
        finally:
            again.terminate()
            again.wait(10)
    finally:
        source.kill()
        first.kill()
        source.wait()
        first.wait()
    return before, rows


def check_once(data: Path, rows: list[TableRow]) -> None:
    """Every reading of the table is in the journal exactly once, and nothing else is."""
    found = journaled(data / "journal.db")
    assert set(found.values()) == {1}
    assert set(found) == {(row.t, name, value) for row in rows for name, value in row.values}


@pytest.mark.parametrize("broker", ["embedded"], indirect=True)  # the broker plays no part in it
def test_every_reading_is_stored_once_through_a_kill_of_ingest(tmp_path: Path, broker: Running) -> None:
    write_table(tmp_path / "t.csv", 3000)
    before, rows = through_a_kill(tmp_path / "t.csv", tmp_path, broker, 1000.0)
    assert 0 < before < 2 * len(rows)
    check_once(tmp_path, rows)


@pytest.mark.slow
@pytest.mark.skipif(not SKAB.exists(), reason="PLANTWIN_DATA has no skab/valve1/0.csv")
@pytest.mark.parametrize("broker", ["mosquitto"], indirect=True)
def test_a_file_of_the_test_bed_at_60x_is_stored_once(tmp_path: Path, broker: Running) -> None:
    before, rows = through_a_kill(SKAB, tmp_path, broker, 60.0)
    assert len(rows) == 1147
    assert 0 < before < 8 * len(rows)
    check_once(tmp_path, rows)
