"""Reading what a run left on disk, from files made by hand."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

from hardware.demo_evidence import read_journal, read_outbox, read_truth, undelivered
from hardware.outbox import Outbox, Pending
from hardware.store import Store

ROOT = "ptw/v1/demo/machining/line3/cell1"
TABLE = (
    "CREATE TABLE rows (pos INTEGER PRIMARY KEY, recv INTEGER, t INTEGER,"
    " kind TEXT, source TEXT, e TEXT, s INTEGER, body BLOB)"
)
INSERT = "INSERT INTO rows (recv, t, kind, source, e, s, body) VALUES (0, 0, ?, ?, ?, ?, ?)"


def test_journal_numbers_gaps_and_commands(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "journal.db") as database:
        database.execute(TABLE)
        rows = [
            ("birth", "e1", 1, {}),
            ("data", "e1", 1, {}),
            ("data", "e1", 2, {}),
            ("gap", "e1", 5, {"from": 3, "to": 4}),
            ("data", "e2", 1, {}),
            ("cmd", None, None, {"id": "c1"}),
            ("cmdack", "e2", 2, {"id": "c1", "step": "executed"}),
            ("tick", None, None, {"t": 5}),
        ]
        for kind, epoch, number, body in rows:
            values = (kind, ROOT, epoch, number, json.dumps(body).encode())
            database.execute(INSERT, values)
    database.close()
    facts = read_journal(tmp_path)
    assert facts.numbers == {(ROOT, "e1"): {1, 2, 5}, (ROOT, "e2"): {1, 2}}
    assert facts.gaps == [((ROOT, "e1"), 3, 4)]
    assert facts.commands == ["c1"]
    assert facts.steps == [("c1", "executed")]


def test_outbox_issued_waiting_and_abandoned(tmp_path: Path) -> None:
    store = Store(tmp_path / "outbox.db")
    outbox = Outbox(store, ROOT)
    for _ in range(3):
        outbox.append([Pending("data", "data", {"v": [1]})])
    outbox.confirm(1)
    assert undelivered(tmp_path) == 2
    assert read_outbox(tmp_path) == ({(ROOT, outbox.epoch): 3}, 0)
    outbox.new_epoch()
    outbox.append([Pending("data", "data", {"v": [1]})])
    assert read_outbox(tmp_path) == ({(ROOT, outbox.epoch): 1}, 2)
    store.close()


def test_truth_leaves_out_a_torn_line(tmp_path: Path) -> None:
    (tmp_path / "truth.jsonl").write_text('{"t": 1, "wip": {"a": 2}}\n{"t": 2, "wi')
    assert read_truth(tmp_path) == [{"t": 1, "wip": {"a": 2}}]


def test_nothing_there_is_nothing(tmp_path: Path) -> None:
    assert read_journal(tmp_path).numbers == {}
    assert read_outbox(tmp_path) == ({}, 0)
    assert read_truth(tmp_path) == []
    assert undelivered(tmp_path) == 0
