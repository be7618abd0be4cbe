"""The journal: all or nothing, one writer, many readers, loud when full."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from ingest.journal import Batch, Cursor, Journal, JournalBusy, JournalError, JournalFull
from ingest.watermark import Mark

KEY = ("ptw/v1/a/b/c/d", "e1")


def rows(first: int, count: int, size: int = 10) -> Batch:
    batch = Batch()
    for s in range(first, first + count):
        batch.rows.append((100 + s, 200 + s, "data", KEY[0], KEY[1], s, b"x" * size))
    batch.marks[KEY] = Mark(1, first + count - 1)
    batch.ledger[KEY[0]] = b"{}"
    return batch


def test_rows_and_marks_come_back_after_reopening(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.db")
    assert (journal.last(), journal.read(0, 10)) == (0, [])
    assert journal.commit(rows(1, 3)) == 1
    assert journal.commit(rows(4, 2)) == 4
    journal.close()
    again = Journal(tmp_path / "j.db")
    assert [(r.pos, r.s, r.recv, r.t, r.body) for r in again.read(2, 2)] == [
        (3, 3, 103, 203, b"x" * 10),
        (4, 4, 104, 204, b"x" * 10),
    ]
    assert again.marks() == {KEY: Mark(1, 5)}
    assert again.last() == 5
    again.close()


def test_sparse_marks_survive(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.db")
    batch = rows(1, 1)
    batch.marks[KEY] = Mark(1, 1, ((3, 4), (9, 9)))
    journal.commit(batch)
    assert Journal.open_reader(tmp_path / "j.db").marks() == {KEY: Mark(1, 1, ((3, 4), (9, 9)))}
    journal.close()


def test_full_sync_and_wal_are_on(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.db")
    db = journal._db
    assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert db.execute("PRAGMA synchronous").fetchone() == (2,)
    journal.close()


def test_a_second_writer_is_refused_even_from_another_process(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.db")
    with pytest.raises(JournalBusy, match="another `plantwin ingest`"):
        Journal(tmp_path / "j.db")
    code = f"from pathlib import Path; from ingest.journal import Journal; Journal(Path({str(tmp_path / 'j.db')!r}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "JournalBusy" in done.stderr
    journal.close()
    Journal(tmp_path / "j.db").close()


def test_a_full_disk_refuses_whole_batches_and_recovers(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.db")
    journal.commit(rows(1, 3))
    journal.limit_pages(1)
    with pytest.raises(JournalFull, match="no space left"):
        journal.commit(rows(4, 500, size=2000))
    assert journal.last() == 3
    assert [r.s for r in journal.read(0, 100)] == [1, 2, 3]
    assert journal.marks() == {KEY: Mark(1, 3)}
    journal.limit_pages(100_000)
    assert journal.commit(rows(4, 500, size=2000)) == 4
    assert journal.last() == 503
    journal.close()


def test_a_database_held_by_someone_else_is_busy_not_broken(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.db", busy_s=0.05)
    other = sqlite3.connect(tmp_path / "j.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(JournalBusy, match="held by another process"):
        journal.commit(rows(1, 1))
    other.execute("ROLLBACK")
    other.close()
    assert journal.commit(rows(1, 1)) == 1
    journal.close()


def test_a_foreign_or_newer_file_is_refused_in_one_sentence(tmp_path: Path) -> None:
    db = sqlite3.connect(tmp_path / "j.db")
    db.execute("PRAGMA user_version=7")
    db.execute("CREATE TABLE t(x)")
    db.close()
    with pytest.raises(JournalError, match=r"expected a plantwin journal of version 2, found version 7"):
        Journal(tmp_path / "j.db")
    with pytest.raises(JournalError, match="expected journal version 2, found 7"):
        Journal.open_reader(tmp_path / "j.db")
    with pytest.raises(JournalError, match=r"has `plantwin ingest` run"):
        Journal.open_reader(tmp_path / "none.db")


def test_readers_cannot_write_and_see_only_whole_batches(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.db")
    reader = Journal.open_reader(tmp_path / "j.db")
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader._db.execute("DELETE FROM rows")
    journal.commit(rows(1, 7))
    assert [[r.pos for r in part] for part in reader.follow(2, limit=3)] == [[3, 4, 5], [6, 7]]
    assert reader.last() == 7
    reader.close()
    journal.close()


def test_cursor_survives_and_damage_is_named(tmp_path: Path) -> None:
    cursor = Cursor(tmp_path / "c" / "x.json")
    assert cursor.load() == 0
    cursor.store(41)
    assert Cursor(cursor.path).load() == 41
    assert [p.name for p in cursor.path.parent.iterdir()] == ["x.json"]
    cursor.path.write_text("{")
    with pytest.raises(JournalError, match=r"x\.json: expected"):
        cursor.load()
