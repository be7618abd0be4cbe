"""The gateway's one durable file: SQLite in WAL mode with full sync, written in groups.

It holds, for every source (topic root): its epoch and next number, the messages not yet confirmed by
the twin, unwrapped counters, and what has been done with commands and leases. One transaction covers
whatever belongs together, so that a kill leaves either all of it or nothing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from ingest.counters import Counter

SCHEMA_VERSION = 1

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS sources (
    source TEXT PRIMARY KEY, epoch TEXT NOT NULL, first INTEGER NOT NULL, next INTEGER NOT NULL,
    hw INTEGER NOT NULL, dropped INTEGER NOT NULL DEFAULT 0, abandoned INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS messages (
    source TEXT NOT NULL, s INTEGER NOT NULL, kind TEXT NOT NULL, suffix TEXT NOT NULL, body BLOB NOT NULL,
    wall INTEGER NOT NULL, low INTEGER, high INTEGER, PRIMARY KEY (source, s)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS messages_by_kind ON messages (source, kind, s);
CREATE TABLE IF NOT EXISTS counters (
    source TEXT NOT NULL, tag TEXT NOT NULL, raw INTEGER NOT NULL, total INTEGER NOT NULL, t INTEGER NOT NULL,
    PRIMARY KEY (source, tag)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS commands (
    id TEXT PRIMARY KEY, source TEXT NOT NULL, control TEXT NOT NULL, value INTEGER NOT NULL, before INTEGER NOT NULL,
    ends INTEGER NOT NULL, state TEXT NOT NULL, expires INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS commands_by_expiry ON commands (expires);
CREATE TABLE IF NOT EXISTS changes (control TEXT PRIMARY KEY, t INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS leases (
    control TEXT PRIMARY KEY, id TEXT NOT NULL, source TEXT NOT NULL, value INTEGER NOT NULL, before INTEGER NOT NULL,
    ends INTEGER NOT NULL) WITHOUT ROWID;
"""


class StoreError(RuntimeError):
    """The file cannot be used; the sentence says why and what to do."""


class Store:
    """`with Store(path) as store: with store.transaction(): store.db.execute(...)`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.db = sqlite3.connect(path, isolation_level=None, timeout=5.0)
            self.db.execute("PRAGMA journal_mode=WAL")
            self.db.execute("PRAGMA synchronous=FULL")
            self._check_version()
        except sqlite3.DatabaseError as error:
            raise StoreError(
                f"{path}: expected the gateway's outbox, found something unreadable ({error}); move it away"
            ) from error
        self._depth = 0
        self.commits = 0

    def _check_version(self) -> None:
        (version,) = self.db.execute("PRAGMA user_version").fetchone()
        if version not in (0, SCHEMA_VERSION):
            raise StoreError(
                f"{self.path}: outbox of layout {version}, this program knows {SCHEMA_VERSION}; "
                "let the older program drain it, then move it away"
            )
        self.db.executescript(_SCHEMA)
        self.db.execute(f"PRAGMA user_version={SCHEMA_VERSION}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing, on disk when the outermost block ends (one sync for the group)."""
        if self._depth == 0:
            self.db.execute("BEGIN IMMEDIATE")
        self._depth += 1
        try:
            yield
        except BaseException:
            self._depth -= 1
            if self._depth == 0:
                self.db.execute("ROLLBACK")
            raise
        self._depth -= 1
        if self._depth == 0:
            self.db.execute("COMMIT")
            self.commits += 1

    def get(self, key: str) -> str | None:
        row = self.db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def counters(self) -> dict[str, Counter]:
        """The unwrapped counters as they were last kept, by tag."""
        found = {}
        for _, tag, raw, total, t in self.db.execute("SELECT source, tag, raw, total, t FROM counters"):
            found[str(tag)] = Counter(raw=int(raw), total=int(total), t=int(t))
        return found

    def put(self, key: str, value: str) -> None:
        with self.transaction():
            self.db.execute(
                "INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value", (key, value)
            )
