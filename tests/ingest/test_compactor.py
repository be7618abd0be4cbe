"""The compactor and the journal's retention: killed anywhere, short of disk, late; no row lost and none twice."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from ingest import segments
from ingest.compactor import Compactor, child, follow
from ingest.history import History
from ingest.intake import Intake
from ingest.journal import Cursor, Journal, JournalFull
from ingest.manifest import ARCHIVE, HOUR, MINUTE, READINGS, HistoryError, Manifest
from ingest.manifest import publish as manifest_publish
from ingest.readings import Aliases, decode
from ingest.retention import Keep, Storage
from ingest.service import Job, Service, Settings
from ingest.topicmap import Rule, TopicMap
from ingest.wire import Supply, encode, topic
from tests.ingest.history_kit import SMALL, T0, born, compact, message, minutes, stored, tell
from tests.ingest.kit import CELL1, LINE, Publisher, Running, numbers, said, until

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    found = Journal(tmp_path / "journal.db")
    born(found)
    yield found
    found.close()


def expected(data: Path) -> list[tuple[int, float]]:
    """(plant ms, value) of everything ever journaled, archive included, through the journal's own cursor."""
    reader, aliases = Journal.open_reader(data / "journal.db"), Aliases()
    found = [(r.t, r.value) for rows in reader.follow(0, 37) for row in rows for r in decode(row, aliases)]
    reader.close()
    return found


def journal_trim(storage: Storage) -> int:
    """One turn; how many rows it removed."""
    before = len(storage.journal.read(0, 10**6))
    storage._trim()
    return before - len(storage.journal.read(0, 10**6))


def finish(compactor: Compactor) -> None:
    while compactor.step(close_all=True):
        pass


def rollup_counts(data: Path) -> tuple[int, int]:
    with History(data) as history, history.connect() as db:
        ((minutes_, hours),) = db.execute(
            "SELECT (SELECT sum(n) FROM rollup_1m), (SELECT sum(n) FROM rollup_1h)"
        ).fetchall()
    return int(minutes_), int(hours)


def test_kills_at_every_kind_of_step_lose_nothing_and_double_nothing(journal: Journal, tmp_path: Path) -> None:
    rnd = random.Random(3)
    number, kills = 1, 0
    for nth in (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 16, 20, 25, 31):
        number = tell(journal, number, minutes(rnd.randrange(15, 30), T0 + number * 60_000))
        if rnd.random() < 0.4:  # an hour long rolled up is touched again
            number = tell(journal, number, minutes(1, T0 + rnd.randrange(number) * 30_000 + 1))
        done = subprocess.run(
            [sys.executable, "-m", "tests.ingest.doomed_compactor", str(tmp_path), str(nth)],
            env=os.environ | {"PYTHONPATH": str(ROOT)}, check=False, cwd=ROOT,
        )  # fmt: skip
        kills += done.returncode == -signal.SIGKILL
        assert done.returncode in (0, -signal.SIGKILL)
        # whatever is in the manifest is whole, and there once, at every moment
        found = [(pos, tag) for pos, _, tag, _, _ in stored(tmp_path)]
        assert len(found) == len(set(found))
        upto = max((pos for pos, _ in found), default=1)
        assert {pos for pos, _ in found} == set(range(2, upto + 1))
        with History(tmp_path) as history:
            assert len(history.query(["turn/temp"], T0, T0 + 10**9).rows) == number - 1
        Storage(tmp_path, journal, SMALL)._trim()
    assert kills >= 12
    compact(tmp_path).close()
    assert [(t, v) for _, t, _, v, _ in stored(tmp_path)] == expected(tmp_path)
    assert len(expected(tmp_path)) == 2 * (number - 1)
    assert rollup_counts(tmp_path) == (2 * (number - 1), 2 * (number - 1))
    manifest = Manifest(tmp_path)
    known = {
        str(manifest.folder / file.path) for kind in (READINGS, ARCHIVE, MINUTE, HOUR) for file in manifest.files(kind)
    }
    manifest.close()
    assert known == {str(path) for path in (tmp_path / "history").rglob("*.*") if path.suffix in {".parquet", ".tmp"}}


def test_a_segment_is_closed_by_rows_or_by_age_and_not_before(journal: Journal, tmp_path: Path) -> None:
    tell(journal, 1, minutes(18))
    compactor = Compactor(tmp_path, SMALL)
    assert not compactor.step()
    assert compactor.stats.behind == 19
    tell(journal, 19, minutes(1))
    assert compactor.step()
    tell(journal, 20, minutes(1))
    while compactor.step():
        pass
    assert compactor.stats.behind == 1
    compactor.limits = msgspec.structs.replace(SMALL, segment_s=0.0)
    assert compactor.step()
    assert compactor.manifest.counts()["segments"] == 2
    compactor.close()


def test_the_files_say_what_kind_of_data_they_hold(journal: Journal, tmp_path: Path) -> None:
    tell(journal, 1, minutes(2))
    plain = Intake.restore(LINE, TopicMap((Rule("shop/level", "b1/level"),)), journal)
    journal.commit(plain.take([said("shop/level", b"3.5")]))
    compact(tmp_path).close()
    with History(tmp_path) as history, history.connect() as db:
        rows = db.execute("SELECT kind, lineage, count(*) FROM readings GROUP BY ALL ORDER BY ALL").fetchall()
        columns = [name for name, *_ in db.execute("DESCRIBE readings").fetchall()]
    assert rows == [("data", "exactly_once", 4), ("plain", "at_most_once", 1)]
    assert columns == "t recv source e s pos k tag value quality kind lineage".split()


# -- the journal lets go --------------------------------------------------------------------------------


def test_rows_are_removed_only_when_everyone_is_past_them_and_they_are_old(journal: Journal, tmp_path: Path) -> None:
    tell(journal, 1, minutes(40))
    storage = Storage(tmp_path, journal, SMALL)
    assert storage.turn() == 0  # nothing is compacted
    compact(tmp_path).close()
    tell(journal, 41, minutes(5))
    cursor = Cursor(tmp_path / "cursors" / "influx.json")
    cursor.store(10)
    assert journal_trim(storage) == 9  # rows 2..10: the birth stays
    assert storage.view.held_by == "influx"
    cursor.store(30)
    old = msgspec.structs.replace(SMALL, journal_hours=1.0)
    storage.limits = old
    assert journal_trim(storage) == 0  # young
    storage.limits = SMALL
    assert journal_trim(storage) == 20
    cursor.store(1000)
    assert journal_trim(storage) == 11
    assert journal_trim(storage) == 0
    assert storage.view.held_by == "compactor"
    assert [row.pos for row in journal.read(0, 100)] == [1, *range(42, 47)]


def test_a_twin_that_registers_nothing_holds_everything(journal: Journal, tmp_path: Path) -> None:
    tell(journal, 1, minutes(40))
    compact(tmp_path).close()
    (tmp_path / "tracker.snapshot").write_bytes(b"x")
    storage = Storage(tmp_path, journal, SMALL)
    assert storage._trim() == 0
    assert storage.view.held_by == "twin"


def test_duplicates_of_removed_rows_are_known_and_births_still_name_the_tags(journal: Journal, tmp_path: Path) -> None:
    order = Supply(doc="PO-1", version=1, kind="purchase_order", item="coil", quantity=4, issued=T0)
    first = Intake.restore(LINE, Intake(LINE).topics, journal)
    journal.commit(first.take([said(topic(LINE.cell("_erp"), "supply"), encode(order))]))
    number = tell(journal, 1, minutes(40))
    compact(tmp_path).close()
    assert Storage(tmp_path, journal, SMALL)._trim() > 0
    journal.close()
    again = Journal(tmp_path / "journal.db")  # a restart
    intake = Intake.restore(LINE, Intake(LINE).topics, again)
    late = [said(topic(CELL1, "data"), message(n, minutes(40)[n - 1])) for n in (1, 7, 39)]
    batch = intake.take([*late, said(topic(LINE.cell("_erp"), "supply"), encode(order))])
    assert batch.rows == []
    assert intake.ledger.source(CELL1).duplicate == 3
    assert tell(again, number, minutes(1, T0 + 10**7)) == number + 1
    with History(tmp_path) as history:
        assert history.last(["turn/temp"])[0].t == T0 + 10**7
    again.close()


def test_a_replay_from_empty_reads_the_archive_and_then_the_journal(journal: Journal, tmp_path: Path) -> None:
    tell(journal, 1, minutes(90))
    reader = Journal.open_reader(tmp_path / "journal.db")
    before = [row for rows in reader.follow(0, 13) for row in rows]
    compact(tmp_path).close()
    storage = Storage(tmp_path, journal, SMALL)
    while storage._trim():
        pass
    assert len(journal.read(0, 1000)) < 5
    assert [row for rows in reader.follow(0, 13) for row in rows] == before
    assert reader.read(50, 3) == before[50:53]
    assert reader.read(before[-2].pos, 9) == before[-1:]
    reader.close()


def test_without_its_archive_a_replay_begins_with_what_is_left(journal: Journal, tmp_path: Path) -> None:
    tell(journal, 1, minutes(90))
    compact(tmp_path, msgspec.structs.replace(SMALL, archive=Keep(0.0, 0))).close()
    storage = Storage(tmp_path, journal, SMALL)
    while storage._trim():
        pass
    reader = Journal.open_reader(tmp_path / "journal.db")
    assert [row.pos for rows in reader.follow(0) for row in rows] == [1, 91]  # the birth, and the newest row
    reader.close()


def test_a_version_1_journal_is_brought_up_and_another_journal_is_another_generation(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    first = Journal(path)
    born(first)
    tell(first, 1, minutes(3))
    first.close()
    db = sqlite3.connect(path)
    db.executescript("DROP TABLE meta; PRAGMA user_version=1;")
    db.close()
    reader = Journal.open_reader(path)
    assert (len(reader.read(0, 9)), reader.id(), reader.trimmed()) == (4, "", 0)
    reader.close()
    compactor = Compactor(tmp_path, SMALL)
    assert not compactor.step(close_all=True)  # not before ingest has opened it
    second = Journal(path)
    assert len(second.id()) == 16
    assert compactor.step(close_all=True)
    compactor.close()
    second.close()
    for name in ("journal.db", "journal.db-wal", "journal.db-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    third = Journal(path)
    born(third)
    tell(third, 1, minutes(2, T0 + 10**7))
    compact(tmp_path).close()
    third.close()
    with History(tmp_path) as history:
        assert len(history.query(["turn/temp"], T0, T0 + 10**8).rows) == 5


# -- retention and size -----------------------------------------------------------------------------------


def test_parquet_is_removed_by_age_and_by_size_oldest_days_first_and_rollups_stay(
    journal: Journal, tmp_path: Path
) -> None:
    day = 86_400_000
    number = 1
    for n in range(4):
        number = tell(journal, number, minutes(30, T0 + n * day))
        compact(tmp_path).close()
    manifest = Manifest(tmp_path)
    sizes = [file.bytes for file in manifest.files(READINGS)]
    compact(tmp_path, msgspec.structs.replace(SMALL, readings=Keep(999.0, sum(sizes[-2:]) + 1))).close()
    left = {file.day for file in manifest.files(READINGS)}
    assert left == {(T0 + n * day) // day for n in (2, 3)}
    assert len(manifest.files(HOUR)) == 4
    compact(tmp_path, msgspec.structs.replace(SMALL, readings=Keep(0.0, 10**9), archive=Keep(0.0, 10**9))).close()
    assert manifest.files(READINGS) == []
    assert not list((tmp_path / "history" / "archive").rglob("*.parquet"))
    with History(tmp_path) as history:
        answer = history.query(["turn/temp"], T0, T0 + 4 * day, day, "count")
        assert [value for _, _, value, _, _, _ in answer.rows] == [30.0] * 4
    manifest.close()


def test_a_storm_of_wrong_clocks_makes_a_bounded_number_of_files(journal: Journal, tmp_path: Path) -> None:
    tell(journal, 1, [[(1, T0 + n * 86_400_000, float(n), 0)] for n in range(200)])
    limits = msgspec.structs.replace(SMALL, segment_rows=1000, segment_readings=1000)
    compact(tmp_path, limits).close()
    manifest = Manifest(tmp_path)
    assert len(manifest.files(READINGS)) == segments.MAX_DAYS + 1
    manifest.close()
    assert len(stored(tmp_path)) == 200


# -- no room ------------------------------------------------------------------------------------------------


def test_a_disk_that_fills_while_a_segment_is_written_costs_nothing(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell(journal, 1, minutes(50))
    compactor = Compactor(tmp_path, SMALL)
    publish = manifest_publish
    left = 1

    def full(temporary: Path, path: Path) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(28, "No space left on device")
        publish(temporary, path)

    monkeypatch.setattr(segments, "publish", full)
    with pytest.raises(HistoryError, match="No space left"):
        compactor.step(close_all=True)
    assert compactor.manifest.files(READINGS) == []
    assert stored(tmp_path) == []
    monkeypatch.setattr(segments, "publish", publish)
    while compactor.step(close_all=True):
        pass
    assert [(t, v) for _, t, _, v, _ in stored(tmp_path)] == expected(tmp_path)
    compactor.close()


def test_following_says_why_it_waits_and_goes_on(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell(journal, 1, minutes(50))
    compactor = Compactor(tmp_path, SMALL)
    step = Compactor.step
    monkeypatch.setattr(Compactor, "step", lambda *_, **__: (_ for _ in ()).throw(HistoryError("no space")))
    stop = threading.Event()
    thread = threading.Thread(target=follow, args=(compactor, stop))
    thread.start()
    said_by = tmp_path / "run" / "sink-history.json"
    try:
        until(lambda: said_by.exists() and json.loads(said_by.read_bytes())["state"] == "waiting: no space")
        monkeypatch.setattr(Compactor, "step", step)
        until(lambda: json.loads(said_by.read_bytes())["state"] == "ok", 15)
        until(lambda: json.loads(said_by.read_bytes())["behind"] < 20)
    finally:
        stop.set()
        thread.join(5)
        compactor.close()


def test_the_compactor_is_a_process_of_its_own_and_comes_back(journal: Journal, tmp_path: Path) -> None:
    tell(journal, 1, minutes(30))
    process = child(tmp_path, msgspec.structs.replace(SMALL, segment_s=0.0))
    try:
        until(lambda: len(stored(tmp_path)) == 60, 20)
        process._process.kill()
        process._process.wait()
        tell(journal, 31, minutes(3, T0 + 10**7))
        process.keep_up()
        until(lambda: len(stored(tmp_path)) == 66, 20)
    finally:
        process.stop()


def test_below_the_reserve_nothing_is_taken_and_nothing_is_lost(fresh_broker: Running, tmp_path: Path) -> None:
    settings = Settings(tmp_path, "127.0.0.1", fresh_broker.port, LINE, wait_s=0.3, limits=SMALL)
    service = Service(settings)
    service.start()
    try:
        with Publisher(fresh_broker.port) as gateway:
            gateway.send()
            until(lambda: not gateway.outbox, what="the first message")
            service.storage.limits = msgspec.structs.replace(SMALL, free_bytes=2**60)
            until(lambda: gateway.send() and service.trouble is not None, 15, "the refusal")
            assert "are free" in service.health()["journal"]
            assert not service.health()["ok"]
            refused = service.submit(Job("manual", b"", None))
            with pytest.raises(Exception, match="reserve"):
                refused.result(5)
            service.storage.limits = SMALL
            until(lambda: not gateway.outbox, 20, "what waited")
            last = gateway.send()
            until(lambda: not gateway.outbox, 20)
            assert service.health()["ok"]
    finally:
        service.stop()
    assert numbers(tmp_path / "journal.db") == list(range(1, last + 1))


def test_a_journal_at_its_size_limit_refuses_and_recovers_when_rows_are_removed(
    journal: Journal, tmp_path: Path
) -> None:
    compactor = Compactor(tmp_path, SMALL)
    storage = Storage(tmp_path, journal, SMALL)
    journal.limit_bytes(200_000)
    number = 1

    def fill() -> None:
        nonlocal number
        while True:
            number = tell(journal, number, minutes(40, T0 + number * 60_000))

    with pytest.raises(JournalFull, match="no space left"):
        fill()
    while compactor.step(close_all=True):
        pass
    while storage._trim():
        pass
    tell(journal, number, minutes(40, T0 + number * 60_000))
    compactor.close()
    with History(tmp_path) as history:
        assert len(history.query(["turn/temp"], T0, T0 + 10**10).rows) == number + 39


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of four megabytes, where this machine lets one be mounted."""
    found = tmp_path / "small"
    found.mkdir()
    call = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(found)]
    mounted = subprocess.run(call, capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip(f"no tmpfs can be mounted here: {mounted.stderr.decode().strip()}")
    yield found
    subprocess.run(["umount", "-l", str(found)], check=True)


def test_a_full_disk_refuses_loses_nothing_and_recovers_without_a_restart(small_disk: Path) -> None:
    journal = Journal(small_disk / "journal.db")
    born(journal)
    limits = msgspec.structs.replace(SMALL, segment_rows=5_000, segment_readings=5_000, free_bytes=1_500_000)
    storage, compactor = Storage(small_disk, journal, limits), Compactor(small_disk, limits)
    number = 1

    def fill(*, reserve: bool) -> None:
        nonlocal number
        while True:
            if reserve:
                storage._looked = -9.0
                storage.check()
            number = tell(journal, number, minutes(50, T0 + number * 60_000))

    with pytest.raises(JournalFull, match="are a reserve"):
        fill(reserve=True)
    ballast = small_disk / "ballast"
    with pytest.raises(OSError, match="No space left"):
        ballast.write_bytes(bytes(4_000_000))  # now nothing at all is free
    with pytest.raises(JournalFull):
        fill(reserve=False)
    with pytest.raises(HistoryError):
        finish(compactor)
    assert (journal.marks()[CELL1, "e1"].hw, len(journal.read(0, 10**6))) == (number - 1, number)
    ballast.unlink()
    finish(compactor)  # the reserve is what it needs
    while storage._trim():
        pass
    storage._looked = -9.0
    storage.check()  # no one restarted anything
    number = tell(journal, number, minutes(50, T0 + number * 60_000))
    with History(small_disk) as history:
        assert len(history.query(["turn/temp"], T0, T0 + 10**10).rows) == number - 1
    compactor.close()
    storage.close()
    journal.close()
