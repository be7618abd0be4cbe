"""What the history consists of: an SQLite file that names every closed Parquet file, and how far it all goes.

A Parquet file belongs to the history from the moment its row stands here, never before: a file without a row is what
a kill left behind, and is removed. Writers (the compactor, an import) take turns by a lock file; readers read.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

VERSION = 1
DAY_MS = 86_400_000
HOUR_MS = 3_600_000
MINUTE_MS = 60_000
READINGS, ARCHIVE, MINUTE, HOUR = "readings", "archive", "rollup-1m", "rollup-1h"
KINDS = (READINGS, ARCHIVE, MINUTE, HOUR)
"""Kinds of files, and the names of their folders."""

_SCHEMA = """
CREATE TABLE files(path TEXT PRIMARY KEY, kind TEXT NOT NULL, site TEXT NOT NULL, day INTEGER NOT NULL,
  gen INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL, t0 INTEGER NOT NULL, t1 INTEGER NOT NULL,
  rows INTEGER NOT NULL, bytes INTEGER NOT NULL, made INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX by_kind ON files(kind, t0);
CREATE TABLE journals(gen INTEGER PRIMARY KEY, id TEXT NOT NULL, pos INTEGER NOT NULL);
CREATE TABLE dirty(site TEXT NOT NULL, hour INTEGER NOT NULL, PRIMARY KEY(site, hour)) WITHOUT ROWID;
CREATE TABLE dropped(site TEXT NOT NULL, day INTEGER NOT NULL, PRIMARY KEY(site, day)) WITHOUT ROWID;
CREATE TABLE tags(source TEXT NOT NULL, tag TEXT NOT NULL, type TEXT NOT NULL, unit TEXT NOT NULL,
  lineage TEXT NOT NULL,  t_first INTEGER NOT NULL, t INTEGER NOT NULL, value REAL NOT NULL, quality INTEGER NOT NULL,
  PRIMARY KEY(source, tag)) WITHOUT ROWID;
CREATE TABLE chunks(origin TEXT NOT NULL, chunk TEXT NOT NULL, body BLOB NOT NULL,
  PRIMARY KEY(origin, chunk)) WITHOUT ROWID;
CREATE TABLE counts(name TEXT PRIMARY KEY, n INTEGER NOT NULL) WITHOUT ROWID;
"""
# `day` is plant ms // DAY_MS, `hour` plant ms // HOUR_MS; `gen` counts the journals this history has been fed from
# (0: imported); `dirty` are hours whose rollups are older than their readings; `dropped` days whose readings are gone.


class HistoryError(RuntimeError):
    """The history cannot be read or written; what was in it is still in it."""


class File(msgspec.Struct, frozen=True):
    """A closed Parquet file: journal positions `first`..`last` (0: none) and plant ms `t0`..`t1`, both ends in."""

    path: str
    kind: str
    site: str
    day: int
    gen: int
    first: int
    last: int
    t0: int
    t1: int
    rows: int
    bytes: int
    made: int


class Tag(msgspec.Struct, frozen=True):
    """A tag of a source: what its birth says of it, its first reading's time and its newest reading."""

    source: str
    tag: str
    type: str
    unit: str
    lineage: str
    t_first: int
    t: int
    value: float
    quality: int


@dataclass
class Change:
    """What one transaction changes."""

    add: list[File] = field(default_factory=list)
    remove: list[str] = field(default_factory=list)
    dirty: set[tuple[str, int]] = field(default_factory=set)  # site, hour
    clean: set[tuple[str, int]] = field(default_factory=set)
    dropped: list[tuple[str, int]] = field(default_factory=list)  # site, day
    tags: list[Tag] = field(default_factory=list)
    pos: tuple[int, int] | None = None  # gen, position
    chunk: tuple[str, str, bytes] | None = None
    counts: dict[str, int] = field(default_factory=dict)


def day_name(day: int) -> str:
    """The folder of a day: `day=2026-01-05`; a day that no calendar has keeps its number."""
    if not 0 <= day < 2_932_897:
        return f"day=n{day}"
    return f"day={datetime.fromtimestamp(day * 86_400, UTC):%Y-%m-%d}"


class Manifest:
    """The manifest of `DATA/history`. `write=False` opens what is there read-only (HistoryError where nothing is)."""

    def __init__(self, data: Path, *, write: bool = False) -> None:
        self.folder = data / "history"
        path = self.folder / "manifest.db"
        try:
            if write:
                self.folder.mkdir(parents=True, exist_ok=True)
                self._db = sqlite3.connect(path, timeout=30.0, isolation_level=None, check_same_thread=False)
                self._prepare()
            else:
                uri = f"{path.resolve().as_uri()}?mode=ro"
                self._db = sqlite3.connect(uri, uri=True, timeout=5.0, isolation_level=None, check_same_thread=False)
            version = int(self._db.execute("PRAGMA user_version").fetchone()[0])
        except sqlite3.Error as error:
            raise HistoryError(f"{path}: no history can be read ({error}); has `plantwin ingest` run?") from None
        if version != VERSION:
            self._db.close()
            raise HistoryError(f"{path}: expected a history of version {VERSION}, found version {version}")

    @classmethod
    def there(cls, data: Path) -> Manifest | None:
        """The manifest read-only, None where there is none, or it is just being made."""
        path = data / "history" / "manifest.db"
        if not path.exists():
            return None
        try:
            return cls(data)
        except HistoryError:
            # Being made between two looks is no fault either: a second refusal is a true one.
            return None if _version(path) == 0 else cls(data)

    def _rows(self, sql: str, values: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
        try:
            return self._db.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise HistoryError(f"{self.folder}: the manifest cannot be used ({error})") from None

    def _prepare(self) -> None:
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        if not self._db.execute("SELECT 1 FROM sqlite_master").fetchone():
            self._db.executescript(f"BEGIN IMMEDIATE;{_SCHEMA}PRAGMA user_version={VERSION};COMMIT;")

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the turn to write files: waits for another process that has it."""
        with (self.folder / "write.lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def generation(self, journal: str) -> tuple[int, int]:
        """(generation, position up to which it is compacted) of a journal; one not seen before begins the next."""
        found = self.position(journal)
        if found[0]:
            return found
        newest = self._rows("SELECT coalesce(max(gen), 0) FROM journals")[0][0]
        self._rows("INSERT INTO journals VALUES(?,?,0)", (newest + 1, journal))
        return newest + 1, 0

    def position(self, journal: str) -> tuple[int, int]:
        """As `generation`, without beginning one: (0, 0) for a journal that was never compacted."""
        found = self._rows("SELECT gen, pos FROM journals WHERE id=?", (journal,))
        return (int(found[0][0]), int(found[0][1])) if found else (0, 0)

    def apply(self, change: Change) -> None:
        """Commit a change, all or nothing; raises HistoryError and then nothing has changed."""
        db = self._db
        try:
            db.execute("BEGIN IMMEDIATE")
            self._write(change)
            db.execute("COMMIT")
        except sqlite3.Error as error:
            if db.in_transaction:
                try:
                    db.execute("ROLLBACK")
                except sqlite3.Error:  # a full disk can roll back by itself
                    pass
            raise HistoryError(f"{self.folder}: the manifest cannot be written ({error})") from None

    def _write(self, change: Change) -> None:
        db = self._db
        db.executemany("DELETE FROM files WHERE path=?", [(path,) for path in change.remove])
        rows = [msgspec.structs.astuple(file) for file in change.add]
        db.executemany("INSERT OR REPLACE INTO files VALUES(?,?,?,?,?,?,?,?,?,?,?,?)", rows)
        db.executemany("DELETE FROM dirty WHERE site=? AND hour=?", list(change.clean))
        db.executemany("INSERT OR IGNORE INTO dirty VALUES(?,?)", list(change.dirty))
        db.executemany("INSERT OR IGNORE INTO dropped VALUES(?,?)", change.dropped)
        db.executemany(
            "INSERT INTO tags VALUES(?,?,?,?,?,?,?,?,?) ON CONFLICT DO UPDATE SET type=excluded.type,"
            " unit=excluded.unit, t_first=min(t_first, excluded.t_first),"
            " value=iif(excluded.t >= t, excluded.value, value),"
            " quality=iif(excluded.t >= t, excluded.quality, quality),"
            " t=max(t, excluded.t)",
            [msgspec.structs.astuple(tag) for tag in change.tags],
        )
        if change.pos is not None:
            db.execute("UPDATE journals SET pos=? WHERE gen=?", (change.pos[1], change.pos[0]))
        if change.chunk is not None:
            db.execute("INSERT OR REPLACE INTO chunks VALUES(?,?,?)", change.chunk)
        db.executemany(
            "INSERT INTO counts VALUES(?,?) ON CONFLICT DO UPDATE SET n=n+excluded.n", list(change.counts.items())
        )

    def files(self, kind: str, t0: int | None = None, t1: int | None = None) -> list[File]:
        """Files of a kind that may hold times from `t0` to `t1` (plant ms, closed), oldest first."""
        low, high = t0 if t0 is not None else -(2**62), t1 if t1 is not None else 2**62
        sql = "SELECT * FROM files WHERE kind=? AND t1>=? AND t0<=? ORDER BY t0, path"
        return [File(*row) for row in self._rows(sql, (kind, low, high))]

    def archive(self, gen: int, after: int) -> File | None:
        """The archive file that holds the row after a position, or the next one there is."""
        sql = "SELECT * FROM files WHERE kind=? AND gen=? AND last>? ORDER BY first LIMIT 1"
        found = self._rows(sql, (ARCHIVE, gen, after))
        return File(*found[0]) if found else None

    def dirty(self) -> set[tuple[str, int]]:
        """(site, hour) whose rollups are behind their readings."""
        return {(site, int(hour)) for site, hour in self._rows("SELECT site, hour FROM dirty")}

    def dropped(self) -> set[tuple[str, int]]:
        """(site, day) whose readings are gone: their rollups stand as they are."""
        return {(site, int(day)) for site, day in self._rows("SELECT site, day FROM dropped")}

    def tags(self) -> list[Tag]:
        """Every tag of every source."""
        return [Tag(*row) for row in self._rows("SELECT * FROM tags ORDER BY tag, source")]

    def chunk(self, origin: str, chunk: str) -> bytes | None:
        """What is known of an imported chunk, None when it was never imported."""
        found = self._rows("SELECT body FROM chunks WHERE origin=? AND chunk=?", (origin, chunk))
        return found[0][0] if found else None

    def counts(self) -> dict[str, int]:
        """What was counted, by name."""
        return {name: int(n) for name, n in self._rows("SELECT name, n FROM counts")}

    def stamp(self) -> int:
        """A number that changes with every change made by another connection."""
        return int(self._rows("PRAGMA data_version")[0][0])

    @contextmanager
    def reading(self) -> Iterator[None]:
        """One consistent view over several reads."""
        self._rows("BEGIN")
        try:
            yield
        finally:
            self._rows("COMMIT")

    def sweep(self) -> int:
        """Remove files that stand in no row (left by a kill, or by a deletion that was cut short); how many."""
        known = {path for (path,) in self._rows("SELECT path FROM files")}
        found = 0
        for kind in KINDS:
            for path in (self.folder / kind).rglob("*"):
                if path.is_file() and str(path.relative_to(self.folder)) not in known:
                    path.unlink(missing_ok=True)
                    found += 1
        return found

    def unlink(self, paths: Iterable[str]) -> None:
        """Remove files that no longer stand in the manifest."""
        for path in paths:
            (self.folder / path).unlink(missing_ok=True)

    def close(self) -> None:
        """Close the file."""
        self._db.close()


def _version(path: Path) -> int:
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as db:
            return int(db.execute("PRAGMA user_version").fetchone()[0])
    except sqlite3.Error:
        return -1


def publish(temporary: Path, path: Path) -> None:
    """Give a finished file its name, durably: its bytes first, then the name."""
    with temporary.open("rb") as written:
        os.fsync(written.fileno())
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
