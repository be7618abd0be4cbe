"""The outbox of one source: one sequence over data, events, gaps and command acknowledgements.

A message is on disk before it is sent and stays until the twin says that it is committed (`hw`).
The outbox is bounded: what does not fit, or is too old, is dropped by rule (telemetry first, oldest
first; events and acknowledgements last) and every dropped number is covered by a gap record of the
same sequence. So each number below `next` is confirmed, stored, or covered by a gap record that is.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hardware.pace import wall_ms
from hardware.store import Store

KINDS = ("data", "event", "gap", "cmdack")
OVERHEAD = 64
"""Bytes counted for each message beside its body."""
AGE_CHECK_MS = 1000
"Looking for messages that are too old reads all of them: at most this often."
GAP_BYTES = 200
"""Bytes set aside for one gap record."""


@dataclass(frozen=True, slots=True)
class Message:
    """One numbered message: topic suffix (for example `data`, `cmdack/c-1`) and the payload's bytes."""

    s: int
    kind: str
    suffix: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Pending:
    """A message without its number: `payload` lacks `e` and `s`."""

    kind: str
    suffix: str
    payload: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of an outbox. Telemetry older than `max_age_s` (wall time) goes first, events after `event_age_s`."""

    max_bytes: int = 256 * 1024 * 1024
    max_age_s: float = 24 * 3600.0
    event_age_s: float = 7 * 24 * 3600.0


def spans(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """Contiguous ranges of ascending numbers."""
    found: list[tuple[int, int]] = []
    for n in numbers:
        if found and n <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(found[-1][1], n))
        else:
            found.append((n, n))
    return found


def merged(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Ranges joined where they touch or overlap, ascending."""
    found: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if found and low <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(found[-1][1], high))
        else:
            found.append((low, high))
    return found


class Outbox:
    """Numbered messages of the source `root` in `store`."""

    def __init__(self, store: Store, root: str, limits: Limits | None = None, now: Callable[[], int] = wall_ms) -> None:
        self._store, self._db, self.root = store, store.db, root
        self.limits, self._now = limits or Limits(), now
        with store.transaction():
            self._db.execute(
                "INSERT OR IGNORE INTO sources (source, epoch, first, next, hw) VALUES (?, ?, 1, 1, 0)",
                (root, secrets.token_hex(6)),
            )
        self._aged = 0
        self.reload()

    def reload(self) -> None:
        """Take the numbers from the file again (after an outer transaction was rolled back)."""
        row = self._db.execute(
            "SELECT epoch, first, next, hw, dropped FROM sources WHERE source = ?", (self.root,)
        ).fetchone()
        self.epoch, self.first, self.next, self.hw, self.dropped = (
            str(row[0]),
            int(row[1]),
            int(row[2]),
            int(row[3]),
            int(row[4]),
        )
        size = self._db.execute(
            f"SELECT COALESCE(SUM(LENGTH(body) + {OVERHEAD}), 0) FROM messages WHERE source = ?",  # noqa: S608 - a constant
            (self.root,),
        ).fetchone()
        self.bytes = int(size[0])

    def new_epoch(self) -> int:
        """Start over under a new epoch (another plant on the fieldbus). Returns how many messages were abandoned."""
        with self._store.transaction():
            left = self.count()
            self._db.execute("DELETE FROM messages WHERE source = ?", (self.root,))
            self._db.execute("DELETE FROM counters WHERE source = ?", (self.root,))
            self._db.execute(
                "UPDATE sources SET epoch = ?, first = 1, next = 1, hw = 0, abandoned = abandoned + ? WHERE source = ?",
                (secrets.token_hex(6), left, self.root),
            )
        self.reload()
        return left

    def count(self) -> int:
        """Messages not yet confirmed."""
        return int(self._db.execute("SELECT COUNT(*) FROM messages WHERE source = ?", (self.root,)).fetchone()[0])

    def append(self, pending: Iterable[Pending]) -> list[Message]:
        """Number and store messages, all or nothing and on disk on return (unless inside an outer transaction)."""
        before = (self.next, self.bytes, self.dropped)
        try:
            with self._store.transaction():
                made = [self._add(p) for p in pending]
                made += self._enforce()
                self._db.execute(
                    "UPDATE sources SET next = ?, dropped = ? WHERE source = ?", (self.next, self.dropped, self.root)
                )
        except BaseException:
            self.next, self.bytes, self.dropped = before
            raise
        return made

    def _add(self, pending: Pending, low: int | None = None, high: int | None = None) -> Message:
        if pending.kind not in KINDS:
            raise ValueError(f"outbox: kind {pending.kind!r} takes no number; expected one of {', '.join(KINDS)}")
        s = self.next
        body = json.dumps({"e": self.epoch, "s": s, **pending.payload}, separators=(",", ":"), allow_nan=False).encode()
        self._db.execute(
            "INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (self.root, s, pending.kind, pending.suffix, body, self._now(), low, high),
        )
        self.next = s + 1
        self.bytes += len(body) + OVERHEAD
        return Message(s, pending.kind, pending.suffix, body)

    # bounds ------------------------------------------------------------------------------------

    def _enforce(self) -> list[Message]:
        """Drop by rule what is too old or too much; returns the gap records made."""
        old = self._too_old() if self._now() - self._aged >= AGE_CHECK_MS else []
        made = self._drop(old, "outbox_age") if old else []
        while self.bytes > self.limits.max_bytes and self.count() > 1:  # gap records need room as well
            made += self._drop(self._too_much(), "outbox_full")
        return made

    def _too_old(self) -> list[tuple[int, int, int | None, int | None]]:
        now = self._aged = self._now()
        data, events = now - int(self.limits.max_age_s * 1000), now - int(self.limits.event_age_s * 1000)
        return self._db.execute(
            "SELECT s, LENGTH(body), low, high FROM messages WHERE source = ? AND"
            " ((kind = 'data' AND wall < ?) OR (kind IN ('event', 'cmdack') AND wall < ?)) ORDER BY s",
            (self.root, data, events),
        ).fetchall()

    def _too_much(self) -> list[tuple[int, int, int | None, int | None]]:
        """The oldest telemetry, then the oldest of anything, until a tenth of the room is free again."""
        goal = self.bytes - int(self.limits.max_bytes * 0.9) + GAP_BYTES
        chosen: list[tuple[int, int, int | None, int | None]] = []
        freed = 0
        for rule in ("kind = 'data'", "kind <> 'data'"):
            last = None
            query = f"SELECT s, LENGTH(body), low, high FROM messages WHERE source = ? AND {rule} ORDER BY s"  # noqa: S608
            for row in self._db.execute(query, (self.root,)):
                if freed >= goal:
                    return chosen
                chosen.append(row)
                freed += row[1] + OVERHEAD
                if row[2] is not None:  # a gap record leaves its range and its own number to be covered
                    goal += GAP_BYTES
                if last is None or row[0] != last + 1:
                    goal += GAP_BYTES
                last = row[0]
        return chosen

    def _drop(self, victims: list[tuple[int, int, int | None, int | None]], why: str) -> list[Message]:
        lost = [(s, s) for s, _, _, _ in victims]
        # a gap record that is dropped hands its range on to the new one
        lost += [(low, high) for _, _, low, high in victims if low is not None and high is not None]
        self._db.executemany("DELETE FROM messages WHERE source = ? AND s = ?", [(self.root, v[0]) for v in victims])
        self.bytes -= sum(v[1] + OVERHEAD for v in victims)
        self.dropped += sum(v[2] is None for v in victims)
        return [
            self._add(Pending("gap", "gap", {"from": low, "to": high, "why": why}), low, high)
            for low, high in merged(lost)
        ]

    # the twin's side ---------------------------------------------------------------------------

    def confirm(self, hw: int) -> int:
        """Everything up to `hw` is committed at the twin: delete it. Returns how many messages went.

        A mark beyond what was ever issued is refused (ValueError): then this file is older than the twin's knowledge.
        """
        if hw >= self.next:
            raise ValueError(
                f"{self.root}: the twin confirms {hw}, but only {self.next - 1} were issued in epoch {self.epoch}"
            )
        if hw <= self.hw:
            return 0
        with self._store.transaction():
            freed = self._db.execute(
                "SELECT COUNT(*), COALESCE(SUM(LENGTH(body) + ?), 0) FROM messages WHERE source = ? AND s <= ?",
                (OVERHEAD, self.root, hw),
            ).fetchone()
            self._db.execute("DELETE FROM messages WHERE source = ? AND s <= ?", (self.root, hw))
            self._db.execute("UPDATE sources SET hw = ? WHERE source = ?", (hw, self.root))
        self.hw = hw
        self.bytes -= int(freed[1])
        return int(freed[0])

    def stored(self, low: int, high: int, limit: int = 100) -> list[Message]:
        """Unconfirmed messages numbered low..high (both included), ascending, at most `limit`."""
        rows = self._db.execute(
            "SELECT s, kind, suffix, body FROM messages WHERE source = ? AND s BETWEEN ? AND ? ORDER BY s LIMIT ?",
            (self.root, low, high, limit),
        )
        return [Message(int(s), str(kind), str(suffix), bytes(body)) for s, kind, suffix, body in rows]

    def covered(self, low: int, high: int) -> list[Message]:
        """Stored gap records that cover a number of low..high (asked for, but dropped)."""
        rows = self._db.execute(
            "SELECT s, kind, suffix, body FROM messages WHERE source = ? AND kind = 'gap'"
            " AND low <= ? AND high >= ? ORDER BY s",
            (self.root, high, low),
        )
        return [Message(int(s), str(kind), str(suffix), bytes(body)) for s, kind, suffix, body in rows]


def issued(path: Path) -> dict[tuple[str, str], int]:
    """The newest number issued for each (source, epoch) of an outbox file; empty where there is none. Read-only."""
    if not path.exists():
        return {}
    db = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=5.0)
    try:
        found = {
            (str(root), str(e)): int(n) - 1 for root, e, n in db.execute("SELECT source, epoch, next FROM sources")
        }
    except sqlite3.OperationalError:  # the gateway is just making it
        found = {}
    finally:
        db.close()
    return found


def pending(path: Path) -> int:
    """How many messages of an outbox file are not yet confirmed (0 where there is none). Read-only."""
    if not path.exists():
        return 0
    db = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=5.0)
    try:
        count = int(db.execute("SELECT COUNT(*) FROM messages").fetchone()[0])
    except sqlite3.OperationalError:
        count = 0
    finally:
        db.close()
    return count
