"""How much is kept and for how long, and the part of it that the writer of the journal does.

A journal row is removed only when it is in closed Parquet and every registered cursor (`cursors/*.json`: the twin's
snapshot, the sinks) has passed it and it is older than a minimum. A cursor of something that no longer runs holds the
journal: the ledger says which, and removing its file lets go.
"""

from __future__ import annotations

import logging
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from ingest.journal import Cursor, Journal, JournalError, JournalFull
from ingest.manifest import ARCHIVE, HOUR, MINUTE, READINGS, HistoryError, Manifest
from ingest.readings import wall_ms

log = logging.getLogger("ingest")

GB = 1024**3
TRIM_ROWS = 2_000
"""Rows removed in one go: some milliseconds, so that messages do not wait for it."""
SLACK_PAGES = 4_096
"""Free pages that the journal keeps for its next rows, unless room is short."""
GIVE_BACK_PAGES = 256
LOOK_S = 1.0


class Keep(msgspec.Struct, frozen=True):
    """Days since a day's files were last written to, and bytes of all of a kind; whichever is reached first."""

    days: float
    bytes: int


class Limits(msgspec.Struct, frozen=True):
    """Limits of the journal and the history. A segment is closed after that many rows, readings or wall seconds."""

    segment_rows: int = 20_000
    segment_readings: int = 200_000
    segment_s: float = 600.0
    merge_bytes: int = 64 * 1024 * 1024
    journal_hours: float = 24.0
    journal_bytes: int = 8 * GB
    free_bytes: int = 256 * 1024 * 1024
    readings: Keep = Keep(730.0, 50 * GB)
    archive: Keep = Keep(90.0, 20 * GB)
    minutes: Keep = Keep(1_830.0, 10 * GB)
    hours: Keep = Keep(7_320.0, 10 * GB)

    def kept(self) -> dict[str, Keep]:
        """What is kept of each kind of file."""
        return {READINGS: self.readings, ARCHIVE: self.archive, MINUTE: self.minutes, HOUR: self.hours}


def cursors(data: Path) -> dict[str, int]:
    """The position of every registered cursor; a damaged one stands at 0 and so holds everything."""
    found = {}
    for path in sorted((data / "cursors").glob("*.json")):
        try:
            found[path.stem] = Cursor(path).load()
        except JournalError as error:
            log.warning("%s", error)
            found[path.stem] = 0
    if (data / "tracker.snapshot").exists() and "twin" not in found:
        found["twin"] = 0  # a twin of an earlier version, which registers nothing
    return found


class View(msgspec.Struct):
    """What `GET /ledger` says of storage under `storage`."""

    trimmed: int = 0
    held_by: str = ""
    cursors: dict[str, int] = {}
    compacted: int = 0
    free: int = 0
    trouble: str = ""


@dataclass
class Storage:
    """The journal writer's side: `check` before a commit, `turn` now and then. Only the writer's thread calls it."""

    data: Path
    journal: Journal
    limits: Limits = field(default_factory=Limits)
    view: View = field(default_factory=View)
    _next: float = 0.0
    _looked: float = -LOOK_S
    _manifest: Manifest | None = None

    def __post_init__(self) -> None:
        self.journal.limit_bytes(self.limits.journal_bytes)

    def check(self) -> None:
        """Raise JournalFull when less than the reserve is free; looks at most once a second."""
        now = time.monotonic()
        if now - self._looked >= LOOK_S:
            self._looked = now
            self.view.free = shutil.disk_usage(self.data).free
        if self.view.free < self.limits.free_bytes:
            self._looked = -LOOK_S  # look again at the next try
            raise JournalFull(
                f"{self.data}: {self.view.free >> 20} MB are free, {self.limits.free_bytes >> 20} MB are a reserve; "
                "free some: nothing is taken until then"
            )

    def turn(self) -> int:
        """Remove a few rows that nobody needs any more and give room back; how many rows and pages."""
        if time.monotonic() < self._next:
            return 0
        try:
            removed = self._trim()
        except (HistoryError, JournalError, OSError) as error:
            if self.view.trouble != str(error):
                log.warning("nothing is removed from the journal: %s", error)
            self.view.trouble = str(error)
            removed = 0
        self._next = time.monotonic() + (0.05 if removed else 5.0)
        return removed

    def _trim(self) -> int:
        self._manifest = self._manifest or Manifest.there(self.data)
        if self._manifest is None:
            return 0
        view = self.view
        view.compacted = self._manifest.position(self.journal.id())[1]
        view.cursors = cursors(self.data)
        view.trimmed = self.journal.trimmed()
        view.trouble = ""
        holders = view.cursors | {"compactor": view.compacted}
        view.held_by = min(holders, key=lambda name: holders[name])
        upto = min(*holders.values(), view.trimmed + TRIM_ROWS)
        upto = self.journal.newest_before(view.trimmed, upto, wall_ms() - int(self.limits.journal_hours * 3_600_000))
        removed = self.journal.trim(upto) if upto > view.trimmed else 0
        short = view.free < 2 * self.limits.free_bytes
        return removed + self.journal.give_back(0 if short else SLACK_PAGES, GIVE_BACK_PAGES)

    def close(self) -> None:
        """Close the manifest."""
        if self._manifest is not None:
            self._manifest.close()
