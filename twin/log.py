"""The evidence log: append-only SQLite with a hash chain.

Each row is one canonical JSON text; its hash covers the text, and the text names the hash of the row
before it (`prev`). So an edited, reordered or inserted row breaks the chain, and a cut tail (or a
whole chain computed anew) is found against one checkpoint kept elsewhere.
"""

from __future__ import annotations

import hashlib
import sqlite3
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

GENESIS = "sha256:" + "0" * 64
TYPES = frozenset(
    (
        "start state forecast score recommendation decision command outcome advice pause contradiction manual drift "
        "refit shift"
    ).split()
)
_FIELDS = frozenset("seq t wall mono site type actor journal state posterior seeds body prev".split())


class LogError(Exception):
    """The log refused something or is damaged; the message names the row, what was expected and what to do."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What a caller writes; `t` is plant time in ms, `journal` the journal position it rests on."""

    t: int
    type: str
    actor: str
    body: dict[str, Any]
    journal: int = 0
    state: str = ""
    posterior: str = ""
    seeds: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The newest row at some moment, kept outside the log."""

    seq: int
    hash: str


@dataclass(frozen=True, slots=True)
class Clocks:
    """Wall time (ms) and monotonic time (s); a test puts its own in."""

    wall: Callable[[], int] = field(default=lambda: time.time_ns() // 1_000_000)
    mono: Callable[[], float] = field(default=time.monotonic)


def digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def canonical(row: dict[str, Any]) -> bytes:
    """UTF-8 JSON with sorted keys and no spaces: the bytes that are hashed."""
    return msgspec.json.encode(row, order="sorted")


class EvidenceLog:
    """The log at `path`; one process writes it, any number read it.

    `append` is on disk when it returns. `buffer` waits for the next `append` or `flush` (group
    commit for rows that may be recomputed, such as forecasts). Thread-safe.
    """

    def __init__(self, path: Path, site: str, clocks: Clocks | None = None) -> None:
        self.path, self.site = Path(path), site
        self._clocks = clocks or Clocks()
        self._lock = threading.RLock()
        self._pending: list[tuple[int, bytes, str]] = []
        self._db = sqlite3.connect(self.path, check_same_thread=False, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS log(seq INTEGER PRIMARY KEY, row BLOB NOT NULL, hash TEXT NOT NULL)"
        )
        self._db.execute("CREATE TABLE IF NOT EXISTS blobs(hash TEXT PRIMARY KEY, data BLOB NOT NULL)")
        newest = self._db.execute("SELECT seq, hash FROM log ORDER BY seq DESC LIMIT 1").fetchone()
        self._seq: int = newest[0] if newest else 0
        self._hash: str = newest[1] if newest else GENESIS

    def append(self, entry: Entry) -> dict[str, Any]:
        """Write one row durably and return it; raises LogError for an unknown type."""
        with self._lock:
            row = self.buffer(entry)
            self.flush()
            return row

    def buffer(self, entry: Entry) -> dict[str, Any]:
        """As `append`, but on disk only after the next `append` or `flush`."""
        if entry.type not in TYPES:
            raise LogError(f"log: unknown row type {entry.type!r}, expected one of {', '.join(sorted(TYPES))}")
        with self._lock:
            row: dict[str, Any] = {
                "seq": self._seq + 1,
                "t": entry.t,
                "wall": self._clocks.wall(),
                "mono": round(self._clocks.mono(), 3),
                "site": self.site,
                "type": entry.type,
                "actor": entry.actor,
                "journal": entry.journal,
                "state": entry.state,
                "posterior": entry.posterior,
                "seeds": list(entry.seeds),
                "body": entry.body,
                "prev": self._hash,
            }
            data = canonical(row)
            self._seq, self._hash = row["seq"], digest(data)
            self._pending.append((self._seq, data, self._hash))
            return row

    def flush(self) -> None:
        """Commit what is buffered, in one transaction; on failure nothing is written and it stays buffered."""
        with self._lock:
            if not self._pending:
                return
            self._db.execute("BEGIN IMMEDIATE")
            try:
                self._db.executemany("INSERT INTO log(seq, row, hash) VALUES (?, ?, ?)", self._pending)
                self._db.execute("COMMIT")
            except sqlite3.Error:
                self._db.execute("ROLLBACK")
                raise
            self._pending.clear()

    def put_blob(self, data: bytes) -> str:
        """Keep bytes (ensemble rows) under their hash; a row of the log names the hash."""
        name = digest(data)
        with self._lock:
            self._db.execute("INSERT OR IGNORE INTO blobs(hash, data) VALUES (?, ?)", (name, zlib.compress(data, 1)))
        return name

    def get_blob(self, name: str) -> bytes:
        with self._lock:
            found = self._db.execute("SELECT data FROM blobs WHERE hash = ?", (name,)).fetchone()
        if found is None:
            raise LogError(f"log {self.path}: no stored bytes {name}; the evidence they belong to cannot be recomputed")
        data = zlib.decompress(found[0])
        if digest(data) != name:
            raise LogError(f"log {self.path}: stored bytes {name} were changed (they now hash to {digest(data)})")
        return data

    def read(self, after: int = 0, limit: int = 1000) -> list[dict[str, Any]]:
        """Rows with seq > `after`, oldest first, at most `limit`, buffered ones included."""
        self.flush()
        with self._lock:
            found = self._db.execute(
                "SELECT row FROM log WHERE seq > ? ORDER BY seq LIMIT ?", (after, limit)
            ).fetchall()
        return [msgspec.json.decode(row) for (row,) in found]

    def of_type(self, *types: str) -> Iterator[dict[str, Any]]:
        """All rows of these types, oldest first."""
        after = 0
        while rows := self.read(after, 2000):
            after = rows[-1]["seq"]
            yield from (row for row in rows if row["type"] in types)

    def checkpoint(self) -> Checkpoint:
        self.flush()
        return Checkpoint(self._seq, self._hash)

    def close(self) -> None:
        self.flush()
        self._db.close()


def verify(path: Path, checkpoint: Checkpoint | None = None) -> list[str]:
    """Problems found in the log at `path`, in order (empty: none); `checkpoint` also reveals a cut tail or a new
    chain.
    """
    problems: list[str] = []
    expected, prev, at_checkpoint = 1, GENESIS, None
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        for seq, data, stored in db.execute("SELECT seq, row, hash FROM log ORDER BY seq"):
            problems += _row_problems(seq, data.encode() if isinstance(data, str) else data, stored, prev)
            if seq != expected:
                problems.append(f"log {path}: row {expected} expected, found row {seq}: rows are missing")
            prev, expected = stored, seq + 1
            if checkpoint is not None and seq == checkpoint.seq:
                at_checkpoint = stored
    finally:
        db.close()
    if checkpoint is not None and checkpoint.seq > 0 and at_checkpoint != checkpoint.hash:
        what = "is missing: the tail was cut" if at_checkpoint is None else "differs: the chain was written anew"
        problems.append(f"log {path}: row {checkpoint.seq} of the checkpoint {what}; restore the log from a copy")
    return problems


def _row_problems(seq: int, data: bytes, stored: str, prev: str) -> list[str]:
    problems = []
    if digest(data) != stored:
        problems.append(f"log row {seq}: its bytes hash to {digest(data)}, stored is {stored}: it was edited")
    try:
        row = msgspec.json.decode(data)
    except msgspec.DecodeError as error:
        return [*problems, f"log row {seq}: not JSON ({error}): it was edited"]
    if not isinstance(row, dict) or set(row) != _FIELDS:
        return [*problems, f"log row {seq}: expected the fields {sorted(_FIELDS)}"]
    if row["seq"] != seq:
        problems.append(f"log row {seq}: says it is row {row['seq']}: rows were moved or inserted")
    if row["prev"] != prev:
        problems.append(f"log row {seq}: follows {row['prev']}, the row before it is {prev}: the chain is broken")
    return problems
