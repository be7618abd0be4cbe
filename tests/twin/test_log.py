"""The evidence log: each way to falsify it is found."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from twin.log import Checkpoint, Entry, EvidenceLog, LogError, digest, verify


def filled(path: Path, rows: int = 6) -> Checkpoint:
    log = EvidenceLog(path, "demo")
    for number in range(rows):
        log.append(Entry(t=1000 * number, type="decision", actor="operator:1", body={"n": number}, journal=number))
    checkpoint = log.checkpoint()
    log.close()
    return checkpoint


def change(path: Path, *statements: str) -> None:
    db = sqlite3.connect(path)
    for statement in statements:
        db.execute(statement)
    db.commit()
    db.close()


def test_an_untouched_log_has_no_problems(tmp_path: Path) -> None:
    checkpoint = filled(tmp_path / "log.db")
    assert verify(tmp_path / "log.db", checkpoint) == []
    assert checkpoint.seq == 6


def test_rows_have_the_named_fields_and_chain(tmp_path: Path) -> None:
    log = EvidenceLog(tmp_path / "log.db", "demo")
    first = log.append(Entry(t=1, type="start", actor="service:twin", body={}, seeds=(7, 11)))
    second = log.append(Entry(t=2, type="decision", actor="operator:1", body={"id": "r-1"}, state="sha256:ab"))
    assert list(log.read()) == [first, second]
    assert second["prev"] != first["prev"]
    assert first["seeds"] == [7, 11]
    log.close()


@pytest.mark.parametrize(
    ("statements", "says"),
    [
        (["UPDATE log SET row = replace(CAST(row AS TEXT), '\"n\":3', '\"n\":9') WHERE seq = 4"], "edited"),
        (
            [
                "UPDATE log SET seq = 99 WHERE seq = 3",
                "UPDATE log SET seq = 3 WHERE seq = 4",
                "UPDATE log SET seq = 4 WHERE seq = 99",
            ],
            "moved or inserted",
        ),
        (
            [
                "UPDATE log SET seq = 106 WHERE seq = 6",
                "UPDATE log SET seq = 7 WHERE seq = 106",
                "INSERT INTO log SELECT 6, row, hash FROM log WHERE seq = 5",
            ],
            "moved or inserted",
        ),
        (["DELETE FROM log WHERE seq = 2"], "missing"),
        (["DELETE FROM log WHERE seq >= 5"], "tail was cut"),
        (["DELETE FROM log"], "tail was cut"),
    ],
)
def test_each_falsification_is_found(tmp_path: Path, statements: list[str], says: str) -> None:
    checkpoint = filled(tmp_path / "log.db")
    change(tmp_path / "log.db", *statements)
    assert any(says in problem for problem in verify(tmp_path / "log.db", checkpoint))


def test_a_chain_written_anew_is_found_only_by_the_checkpoint(tmp_path: Path) -> None:
    checkpoint = filled(tmp_path / "log.db")
    (tmp_path / "log.db").unlink()
    filled(tmp_path / "other.db", rows=7)
    assert verify(tmp_path / "other.db") == []
    assert any("anew" in problem for problem in verify(tmp_path / "other.db", checkpoint))


def test_a_reopened_log_goes_on_with_the_chain(tmp_path: Path) -> None:
    filled(tmp_path / "log.db", rows=2)
    log = EvidenceLog(tmp_path / "log.db", "demo")
    assert log.append(Entry(t=9, type="pause", actor="operator:1", body={"on": True}))["seq"] == 3
    log.close()
    assert verify(tmp_path / "log.db") == []


def test_buffered_rows_are_lost_whole_or_kept_whole(tmp_path: Path) -> None:
    log = EvidenceLog(tmp_path / "log.db", "demo")
    log.append(Entry(t=1, type="start", actor="service:twin", body={}))
    log.buffer(Entry(t=2, type="forecast", actor="service:twin", body={"n": 1}))
    reader = sqlite3.connect(tmp_path / "log.db")
    assert reader.execute("SELECT count(*) FROM log").fetchone() == (1,)
    log.flush()
    assert reader.execute("SELECT count(*) FROM log").fetchone() == (2,)
    reader.close()
    log.close()
    assert verify(tmp_path / "log.db") == []


def test_an_unknown_type_changes_nothing(tmp_path: Path) -> None:
    log = EvidenceLog(tmp_path / "log.db", "demo")
    with pytest.raises(LogError, match="gossip"):
        log.append(Entry(t=1, type="gossip", actor="x", body={}))
    assert log.checkpoint().seq == 0
    log.close()


def test_blobs_are_kept_under_their_hash(tmp_path: Path) -> None:
    log = EvidenceLog(tmp_path / "log.db", "demo")
    name = log.put_blob(b"rows")
    assert name == digest(b"rows")
    assert log.get_blob(name) == b"rows"
    with pytest.raises(LogError, match="cannot be recomputed"):
        log.get_blob(digest(b"other"))
    log.close()
