"""kill -9 of the ingest process at seeded points while a gateway goes on: nothing lost, nothing twice."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from ingest.journal import Journal
from ingest.ledger import SourceLedger
from ingest.readings import Aliases, decode
from tests.ingest.kit import CELL1, Publisher, Running, numbers, until

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
POINTS = ("before", "inside", "after", "acknowledged")


def start(folder: Path, port: int, doom: tuple[str, int] | None) -> subprocess.Popen[bytes]:
    """The ingest process; with `doom` it kills itself at that point of that batch."""
    (folder / "run" / "ingest.json").unlink(missing_ok=True)
    if doom:
        program = [str(HERE / "doomed.py"), doom[0], str(doom[1]), str(folder), str(port)]
    else:
        line = ["--site", "demo", "--area", "machining", "--line", "line3"]
        program = [str(ROOT / "plantwin.py"), "ingest", "--broker", f"127.0.0.1:{port}", *line, "--data", str(folder)]
    log = (folder / "ingest.log").open("ab")
    with log:
        return subprocess.Popen(
            [sys.executable, *program],
            stdout=log, stderr=log, env=os.environ | {"PYTHONPATH": str(ROOT)},
        )  # fmt: skip


def test_ten_seeded_kills_lose_nothing_and_double_nothing(fresh_broker: Running, tmp_path: Path) -> None:
    rnd = random.Random(11)
    kills = 10 if fresh_broker.kind == "embedded" else 4
    folder = tmp_path / "d"
    folder.mkdir()
    confirmed = 0
    with Publisher(fresh_broker.port, lose=lambda _: rnd.random() < 0.02) as gateway:
        for turn in range(kills):
            doom = (POINTS[turn % 4], rnd.choice((1, 3, 40, 80)))
            process = start(folder, fresh_broker.port, doom)
            deadline = time.monotonic() + 20
            while process.poll() is None:
                assert time.monotonic() < deadline, f"{doom}: {(folder / 'ingest.log').read_text()[-2000:]}"
                gateway.send()
                time.sleep(0.005)
            assert process.returncode == -signal.SIGKILL
            # what was confirmed to the gateway must be in the journal that the dead process left
            confirmed = max(confirmed, gateway.hw)
            assert set(range(1, confirmed + 1)) <= set(numbers(folder / "journal.db"))
        process = start(folder, fresh_broker.port, None)
        try:
            until((folder / "run" / "ingest.json").exists, 20, "the last start")
            gateway.again()
            last = gateway.send()
            until(lambda: not gateway.outbox, 30, "the outbox to drain")
            assert process.poll() is None
        finally:
            process.terminate()
            process.wait(10)
    assert process.returncode == 0
    found = numbers(folder / "journal.db")
    assert sorted(found) == list(range(1, last + 1))  # each once: nothing lost, nothing twice
    check_consistency(folder, last)
    assert confirmed > 0


def check_consistency(folder: Path, last: int) -> None:
    """Rows, marks and ledger tell one story, and every row decodes."""
    reader = Journal.open_reader(folder / "journal.db")
    assert reader.marks()[CELL1, "e1"].hw == last
    rows = [row for part in reader.follow(0) for row in part]
    assert [row.pos for row in rows] == list(range(1, len(rows) + 1))
    aliases = Aliases()
    values = [r.value for row in rows if row.source == CELL1 for r in decode(row, aliases)]
    assert sorted(values) == list(range(1, last + 1))
    ledger = dict(reader._db.execute("SELECT source, body FROM ledger"))
    entry = SourceLedger(**json.loads(ledger[CELL1]))
    of_source = [row for row in rows if row.source == CELL1]
    assert entry.accepted == len(of_source)
    assert (entry.hw, entry.hole) == (last, 0)
    reader.close()
