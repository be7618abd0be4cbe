"""The journal: one durable SQLite file that ingest alone writes and everything else reads by cursor.

WAL with full sync; one transaction holds a batch of rows, the watermarks they move and the ledger
they change, so that after a kill either all of it happened or none. Readers open the file read-only
and never block the writer.
"""

from __future__ import annotations

import fcntl
import json
import secrets
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING

import msgspec

from ingest.files import write_atomic as write_atomic  # noqa: PLC0414 - others take it from here
from ingest.readings import Row
from ingest.watermark import Mark

if TYPE_CHECKING:
    from ingest.archive import Archive

VERSION = 2
"""Version 2 knows its own id and up to where rows were removed; a journal of version 1 is brought to it when opened."""
_APPLICATION = 0x70747731  # "ptw1"

_SCHEMA = """
CREATE TABLE rows(pos INTEGER PRIMARY KEY, recv INTEGER NOT NULL, t INTEGER NOT NULL, kind TEXT NOT NULL,
                  source TEXT NOT NULL, e TEXT, s INTEGER, body BLOB NOT NULL);
CREATE INDEX births ON rows(pos) WHERE kind='birth';
CREATE TABLE marks(source TEXT NOT NULL, e TEXT NOT NULL, first INTEGER NOT NULL, hw INTEGER NOT NULL,
                   runs TEXT NOT NULL, PRIMARY KEY(source, e)) WITHOUT ROWID;
CREATE TABLE ledger(source TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE keyed(kind TEXT NOT NULL, key TEXT NOT NULL, pos INTEGER NOT NULL, PRIMARY KEY(kind, key)) WITHOUT ROWID;
"""
_META = "CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;"
# `meta`: `id` names this journal, `trim` is the position up to which rows are in the history's archive and only
# what is still needed is left here.
# `keyed` holds what is unique by something else than a number: supply (doc, version), cmd (id), and
# the newest birth of each source and epoch, so that a restart need not read the whole journal.

_COLUMNS = "pos, recv, t, kind, source, e, s, body"


class JournalError(RuntimeError):
    """The journal cannot be opened or written. Nothing of the refused batch is in it.

    JournalError
      JournalFull    no space left (or the size limit is reached); recovers by itself when there is
      JournalBusy    another process writes it
    """


class JournalFull(JournalError):  # noqa: N818 - the name of a state
    """No space is left."""


class JournalBusy(JournalError):  # noqa: N818 - the name of a state
    """Another process holds the journal."""


@dataclass(slots=True)
class Batch:
    """What one transaction writes. `rows` are without positions: (recv, t, kind, source, e, s, body)."""

    rows: list[tuple[int, int, str, str, str | None, int | None, bytes]] = field(default_factory=list)
    marks: dict[tuple[str, str], Mark] = field(default_factory=dict)
    ledger: dict[str, bytes] = field(default_factory=dict)
    keyed: list[tuple[str, str, int]] = field(default_factory=list)  # kind, key, index into `rows`
    memory: dict[str, bytes] = field(default_factory=dict)  # what the rules of a mapping know, by rule

    def __bool__(self) -> bool:
        """Whether there is anything to write."""
        return bool(self.rows or self.marks or self.ledger or self.memory)


class Journal:
    """The one writer. `Journal(path)` creates the file where it is missing; raises JournalError.

    A lock file beside it (`NAME.lock`) keeps a second writer out even while this one is idle.
    """

    def __init__(self, path: Path, busy_s: float = 2.0) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._lock = _take_lock(path)
        try:
            self._db = sqlite3.connect(path, timeout=busy_s, isolation_level=None, check_same_thread=False)
            self._prepare()
        except sqlite3.Error as error:
            self._lock.close()
            raise _translate(error, path) from None
        except JournalError:
            self._lock.close()
            raise
        self._last = _last(self._db)

    def _prepare(self) -> None:
        db = self._db
        db.execute("PRAGMA auto_vacuum=INCREMENTAL")  # of a new file: room that was freed can be given back
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        version = int(db.execute("PRAGMA user_version").fetchone()[0])
        meta = f"{_META}INSERT INTO meta VALUES('id','{secrets.token_hex(8)}');PRAGMA user_version={VERSION};"
        if version == 0 and not db.execute("SELECT 1 FROM sqlite_master").fetchone():
            db.executescript(f"BEGIN;{_SCHEMA}{meta}PRAGMA application_id={_APPLICATION};COMMIT;")
        elif version == 1 and int(db.execute("PRAGMA application_id").fetchone()[0]) == _APPLICATION:
            db.executescript(f"BEGIN;{meta}COMMIT;")
        elif version != VERSION or int(db.execute("PRAGMA application_id").fetchone()[0]) != _APPLICATION:
            raise JournalError(
                f"{self.path}: expected a plantwin journal of version {VERSION}, found version {version}; "
                "move it away or use the plantwin that wrote it"
            )
        # an addition that a program without it neither sees nor needs: the version stays
        db.execute("CREATE TABLE IF NOT EXISTS memory(name TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID")

    def commit(self, batch: Batch) -> int:
        """Write a batch durably, all or nothing; returns the position of its first row.

        Raises JournalFull, JournalBusy or JournalError, and then nothing has changed.
        """
        first = self._last + 1
        db = self._db
        try:
            db.execute("BEGIN IMMEDIATE")
            db.executemany(
                "INSERT INTO rows VALUES(?,?,?,?,?,?,?,?)", [(first + k, *row) for k, row in enumerate(batch.rows)]
            )
            if batch.marks:
                db.executemany(
                    "INSERT INTO marks VALUES(?,?,?,?,?) ON CONFLICT DO UPDATE SET hw=excluded.hw, runs=excluded.runs",
                    [(s, e, m.first, m.hw, json.dumps(m.runs) if m.runs else "") for (s, e), m in batch.marks.items()],
                )
            if batch.ledger:
                db.executemany("INSERT OR REPLACE INTO ledger VALUES(?,?)", list(batch.ledger.items()))
            if batch.memory:
                db.executemany("INSERT OR REPLACE INTO memory VALUES(?,?)", list(batch.memory.items()))
            if batch.keyed:
                db.executemany(
                    "INSERT OR REPLACE INTO keyed VALUES(?,?,?)", [(k, y, first + n) for k, y, n in batch.keyed]
                )
            db.execute("COMMIT")
        except sqlite3.Error as error:
            if db.in_transaction:
                try:
                    db.execute("ROLLBACK")
                except sqlite3.Error:  # a full disk can roll back by itself
                    pass
            raise _translate(error, self.path) from None
        self._last += len(batch.rows)
        return first

    def last(self) -> int:
        """The position of the newest row, 0 when there is none."""
        return self._last

    def read(self, after: int, limit: int) -> list[Row]:
        """Up to `limit` rows with positions above `after`, in order."""
        return _read(self._db, after, limit)

    def marks(self) -> dict[tuple[str, str], Mark]:
        """The watermark of every (source, epoch)."""
        return _marks(self._db)

    def ledgers(self) -> dict[str, bytes]:
        """The ledger of every source, as JSON."""
        return dict(self._db.execute("SELECT source, body FROM ledger"))

    def memory(self) -> dict[str, bytes]:
        """What the rules of a mapping knew at the last commit, by rule."""
        return dict(self._db.execute("SELECT name, body FROM memory"))

    def keyed(self, kind: str, key: str) -> Row | None:
        """The newest row of a kind that is known by a key, for example supply by `doc:version`."""
        found = self._db.execute("SELECT pos FROM keyed WHERE kind=? AND key=?", (kind, key)).fetchone()
        if found is None:
            return None
        rows = _read(self._db, found[0] - 1, 1)
        return rows[0] if rows else None

    def keyed_rows(self, kind: str) -> list[Row]:
        """All rows of a keyed kind, in the order of their positions."""
        sql = f"SELECT {_COLUMNS} FROM rows WHERE pos IN (SELECT pos FROM keyed WHERE kind=?) ORDER BY pos"  # noqa: S608
        return [Row(*row) for row in self._db.execute(sql, (kind,))]

    def keys(self, kind: str) -> set[str]:
        """All keys of a keyed kind."""
        return {key for (key,) in self._db.execute("SELECT key FROM keyed WHERE kind=?", (kind,))}

    def trim(self, upto: int) -> int:
        """Remove rows up to a position, but for births, keyed rows and the newest; returns how many were removed.

        Watermarks, keys and the ledger stay, so a duplicate of a removed row is still known. Raises JournalError.
        """
        upto = min(upto, self._last - 1)
        try:
            self._db.execute("BEGIN IMMEDIATE")
            removed = self._db.execute(
                "DELETE FROM rows WHERE pos>?1 AND pos<=?2 AND kind<>'birth'"
                " AND pos NOT IN (SELECT pos FROM keyed WHERE pos>?1 AND pos<=?2)",
                (_trimmed(self._db), upto),
            ).rowcount
            self._db.execute("INSERT OR REPLACE INTO meta VALUES('trim', ?)", (str(upto),))
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise _translate(error, self.path) from None
        return removed

    def give_back(self, slack: int, pages: int) -> int:
        """Give up to `pages` free database pages beyond `slack` back to the disk; how many there were.

        Without slack the write-ahead log is emptied as well.
        """
        try:
            free = int(self._db.execute("PRAGMA freelist_count").fetchone()[0])
            if free > slack:
                self._db.execute(f"PRAGMA incremental_vacuum({min(pages, free - slack)})").fetchall()
            if not slack:
                self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        except sqlite3.Error as error:
            raise _translate(error, self.path) from None
        return max(0, free - slack)

    def trimmed(self) -> int:
        """The position up to which rows were removed, 0 when none were."""
        return _trimmed(self._db)

    def newest_before(self, after: int, upto: int, recv: int) -> int:
        """The last position from `after` to `upto` before which every row came before `recv` (wall ms)."""
        sql = "SELECT min(pos) FROM rows WHERE pos>? AND pos<=? AND recv>=?"
        found = self._db.execute(sql, (after, upto, recv)).fetchone()[0]
        return upto if found is None else int(found) - 1

    def id(self) -> str:
        """What names this journal."""
        return str(_meta(self._db, "id"))

    def limit_bytes(self, size: int) -> None:
        """Cap the file at a size in bytes; a file that is larger already stays as it is."""
        self.limit_pages(max(16, size // int(self._db.execute("PRAGMA page_size").fetchone()[0])))

    def limit_pages(self, pages: int) -> None:
        """Cap the file at `pages` database pages (a size limit, and how a full disk is tested)."""
        self._db.execute(f"PRAGMA max_page_count={int(pages)}")

    def close(self) -> None:
        """Close the file and give the writer's lock back."""
        self._db.close()
        self._lock.close()

    @staticmethod
    def open_reader(path: Path) -> JournalReader:
        """Open the journal read-only, from any process."""
        return JournalReader(path)


class JournalReader:
    """A read-only view of a journal; raises JournalError where there is none yet."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._archive: Archive | None = None
        try:
            self._db = sqlite3.connect(
                f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=2.0, check_same_thread=False
            )
            version = int(self._db.execute("PRAGMA user_version").fetchone()[0])
        except sqlite3.Error as error:
            raise JournalError(f"{path}: no journal can be read ({error}); has `plantwin ingest` run?") from None
        if version not in (1, VERSION):
            self._db.close()
            raise JournalError(f"{path}: expected journal version {VERSION}, found {version}")
        self.version = version

    def read(self, after: int, limit: int) -> list[Row]:
        """Up to `limit` rows with positions above `after`, in order.

        Rows that were removed from the journal come from the history's archive, as long as that is kept; after
        that only births, commands and documents are left of them.
        """
        rows = _read(self._db, after, limit)
        if rows and rows[0].pos == after + 1 and rows[-1].pos - after == len(rows):
            return rows  # nothing is missing: the case of every day
        trimmed = self.trimmed()
        if after >= trimmed:
            return rows
        from ingest.archive import Archive

        if self._archive is None:
            self._archive = Archive(self.path.parent, self.id())
        archived = self._archive.read(after, limit, trimmed)
        begin = archived[0].pos if archived else self.last() + 1
        return [row for row in rows if row.pos < begin] or archived

    def id(self) -> str:
        """What names this journal, "" for one that a writer of this version never opened."""
        return str(_meta(self._db, "id") or "")

    def trimmed(self) -> int:
        """The position up to which rows were removed, 0 when none were."""
        return _trimmed(self._db)

    def ledgers(self) -> dict[str, bytes]:
        """The ledger of every source, as JSON."""
        return dict(self._db.execute("SELECT source, body FROM ledger"))

    def last(self) -> int:
        """The position of the newest committed row, 0 when there is none."""
        return _last(self._db)

    def marks(self) -> dict[tuple[str, str], Mark]:
        """The watermark of every (source, epoch)."""
        return _marks(self._db)

    def births(self, upto: int) -> list[Row]:
        """Every birth up to a position, in order: what gives the tags of later rows their names."""
        sql = f"SELECT {_COLUMNS} FROM rows WHERE kind='birth' AND pos<=? ORDER BY pos"  # noqa: S608
        return [Row(*row) for row in self._db.execute(sql, (upto,))]

    def follow(self, after: int, limit: int = 1000) -> Iterator[list[Row]]:
        """Batches of rows from `after` on until the present end of the journal."""
        while rows := self.read(after, limit):
            yield rows
            after = rows[-1].pos

    def close(self) -> None:
        """Close the file."""
        self._db.close()


class Cursor:
    """How far a reader of the journal has come: a small file, replaced atomically and synced."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)

    def load(self) -> int:
        """The stored position, 0 when there is none; raises JournalError on a damaged file."""
        try:
            return int(msgspec.json.decode(self.path.read_bytes(), type=dict[str, int])["pos"])
        except FileNotFoundError:
            return 0
        except (msgspec.MsgspecError, KeyError, OSError) as error:
            raise JournalError(
                f'{self.path}: expected {{"pos": n}}, found damage ({error}); remove it to start over'
            ) from None

    def store(self, pos: int) -> None:
        """Remember `pos` durably."""
        write_atomic(self.path, msgspec.json.encode({"pos": pos}))


def _take_lock(path: Path) -> IO[bytes]:
    lock = path.with_name(path.name + ".lock").open("ab")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise JournalBusy(
            f"{path}: another `plantwin ingest` is writing this journal; stop it or use another --data"
        ) from None
    return lock


def _translate(error: sqlite3.Error, path: Path) -> JournalError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return JournalFull(f"{path}: no space left ({error}); free some: nothing is taken until then")
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return JournalBusy(f"{path}: held by another process ({error})")
    return JournalError(f"{path}: {error}")


def _read(db: sqlite3.Connection, after: int, limit: int) -> list[Row]:
    sql = f"SELECT {_COLUMNS} FROM rows WHERE pos>? ORDER BY pos LIMIT ?"  # noqa: S608
    return [Row(*row) for row in db.execute(sql, (after, limit))]


def _meta(db: sqlite3.Connection, key: str) -> str | None:
    try:
        found = db.execute("SELECT value FROM meta WHERE key=?", (key,)).fetchone()
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):  # version 1
            return None
        raise
    return found[0] if found else None


def _trimmed(db: sqlite3.Connection) -> int:
    return int(_meta(db, "trim") or 0)


def _last(db: sqlite3.Connection) -> int:
    return int(db.execute("SELECT coalesce(max(pos), 0) FROM rows").fetchone()[0])


def _marks(db: sqlite3.Connection) -> dict[tuple[str, str], Mark]:
    rows: Iterable[tuple[str, str, int, int, str]] = db.execute("SELECT source, e, first, hw, runs FROM marks")
    return {(s, e): Mark(f, hw, tuple((a, b) for a, b in json.loads(runs or "[]"))) for s, e, f, hw, runs in rows}
