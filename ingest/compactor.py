"""The compactor: a process that follows the journal and turns what is closed into Parquet and rollups.

A segment is closed when enough rows have come or the oldest has waited long enough. Its files are written under
names of their own and belong to the history only from the commit of the manifest, which also moves the position: a
kill before it leaves files that nobody knows (removed at the next start), a kill after it loses nothing. Rollups of
the hours a segment touches are marked in the same commit and computed after it, always from all readings of the hour.

Run it alone with `plantwin compact`; `plantwin ingest` starts it beside itself as `python -m ingest.compactor DATA`.
"""

# ruff: noqa: S608 - relations and numbers of our own; text from outside goes through `quoted`

from __future__ import annotations

import logging
import os
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from ingest.child import Child, follow_parent, say
from ingest.journal import Journal, JournalError, JournalReader
from ingest.manifest import (
    ARCHIVE,
    DAY_MS,
    HOUR,
    HOUR_MS,
    MINUTE,
    MINUTE_MS,
    READINGS,
    Change,
    File,
    HistoryError,
    Manifest,
    Tag,
    day_name,
)  # fmt: skip
from ingest.readings import Aliases, Row, wall_ms
from ingest.retention import Limits
from ingest.rollup import COLUMNS, NO_READINGS, Scan, begin, coarser, local, numbers, quoted
from ingest.segments import (
    MIXED,
    Placed,
    connect,
    load_readings,
    site_name,
    understood,
    write,
    write_archive,
    write_readings,
)

log = logging.getLogger("ingest.compactor")

BATCH = 1_000
IDLE_S = 1.0
MAX_WAIT_S = 60.0
MERGE_FROM = 8
"""A day with this many readings files gets one instead."""


SETTINGS = "PLANTWIN_HISTORY_LIMITS"
"""Environment variable that carries the limits (JSON) to the process."""


class Stats(msgspec.Struct):
    """What the compactor says about itself in `run/sink-history.json`."""

    pos: int = 0
    behind: int = 0
    segments: int = 0
    readings: int = 0
    skipped: int = 0
    failures: int = 0
    removed: int = 0
    bytes: int = 0
    state: str = "starting"


@dataclass
class Compactor:
    """`step` does one piece of work and says whether there was any; HistoryError or JournalError, and nothing moved."""

    data: Path
    limits: Limits = field(default_factory=Limits)
    stats: Stats = field(default_factory=Stats)

    def __post_init__(self) -> None:
        self.manifest = Manifest(self.data, write=True)
        self._db = connect()
        self._reader: JournalReader | None = None
        self._aliases: Aliases | None = None
        self._pos = -1
        with self.manifest.writing():
            self.manifest.sweep()

    def close(self) -> None:
        """Close everything."""
        self.manifest.close()
        self._db.close()
        if self._reader is not None:
            self._reader.close()

    def step(self, *, close_all: bool = False) -> bool:
        """One segment, one day of rollups, one merge or one removal. `close_all` closes a segment of any size."""
        with self.manifest.writing():
            return self.segment(close_all=close_all) or self.roll() or self.merge() or self.remove()

    # -- segments ---------------------------------------------------------------------------------------

    def segment(self, *, close_all: bool = False) -> bool:
        """Close the next segment if it is due."""
        reader = self._open()
        if reader is None:
            return False
        gen, pos = self.manifest.generation(reader.id())
        if self._aliases is None or pos != self._pos:
            self._aliases, self._pos = Aliases(), pos
            for row in reader.births(pos):
                self._aliases.feed_row(row)
        self.stats.pos, self.stats.behind = pos, max(0, reader.last() - pos)
        if not self._due(reader, pos, close_all=close_all):
            return False
        try:
            self._close(reader, gen, pos)
        except BaseException:
            self._aliases = None  # they may know births that come after where we are
            raise
        return True

    def _open(self) -> JournalReader | None:
        if self._reader is None:
            path = self.data / "journal.db"
            if not path.exists():
                return None
            reader = Journal.open_reader(path)
            if not reader.id():
                reader.close()
                return None  # ingest brings it to this version when it opens it
            self._reader = reader
        return self._reader

    def _due(self, reader: JournalReader, pos: int, *, close_all: bool) -> bool:
        waiting = reader.last() - pos
        if waiting <= 0:
            return False
        if close_all or waiting >= self.limits.segment_rows:
            return True
        oldest = reader.read(pos, 1)
        return bool(oldest) and wall_ms() - oldest[0].recv >= self.limits.segment_s * 1000

    def _close(self, reader: JournalReader, gen: int, pos: int) -> None:
        assert self._aliases is not None
        once = {root for root, body in reader.ledgers().items() if root and b'"at_most_once":true' in body}
        rows: list[Row] = []
        readings: list[Placed] = []
        skipped = 0
        while len(rows) < self.limits.segment_rows and len(readings) < self.limits.segment_readings:
            part = reader.read(rows[-1].pos if rows else pos, BATCH)
            if not part:
                break
            rows += part
            for row in part:
                found = understood(row, self._aliases, once)
                skipped += found is None
                readings += found or []
        stem = f"g{gen:02d}-{rows[0].pos:012d}-{rows[-1].pos:012d}"
        change = Change(pos=(gen, rows[-1].pos), counts={"segments": 1, "skipped": skipped, "readings": len(readings)})
        if readings:
            load_readings(self._db, "segment", readings)
            closed = write_readings(self._db, self.manifest.folder, "segment", stem, gen)
            change.add, change.dirty = closed.files, closed.hours
            change.tags = [self._described(tag) for tag in closed.tags]
        change.add.append(write_archive(self._db, self.manifest.folder, rows, stem, gen))
        self.manifest.apply(change)
        self._pos = rows[-1].pos
        self.stats.pos, self.stats.behind = self._pos, max(0, reader.last() - self._pos)
        self.stats.segments += 1
        self.stats.readings += len(readings)
        self.stats.skipped += skipped

    def _described(self, tag: Tag) -> Tag:
        """A tag with what its source's newest birth says of it."""
        assert self._aliases is not None
        epoch = self._aliases.epoch(tag.source)
        table = self._aliases.table(tag.source, epoch) if epoch else None
        known = next((one for one in (table or {}).values() if one.name == tag.tag), None)
        return tag if known is None else msgspec.structs.replace(tag, type=known.type, unit=known.unit or "")

    # -- rollups ----------------------------------------------------------------------------------------

    def roll(self) -> bool:
        """Bring the rollups of one site and day up to date with its readings."""
        dirty = sorted(self.manifest.dirty())
        if not dirty:
            return False
        site, day = dirty[0][0], dirty[0][1] * HOUR_MS // DAY_MS
        hours = {hour for other, hour in dirty if other == site and hour * HOUR_MS // DAY_MS == day}
        clean = {(site, hour) for hour in hours}
        if (site, day) in self.manifest.dropped():  # its readings are gone: the rollup knows more than what came late
            self.manifest.apply(Change(clean=clean, counts={"late_after_removal": len(hours)}))
            return True
        self._swap(self._rolled(site, day, hours, clean))
        return True

    def _rolled(self, site: str, day: int, hours: set[int], clean: set[tuple[str, int]]) -> Change:
        t0, t1 = day * DAY_MS, (day + 1) * DAY_MS - 1
        folder = self.manifest.folder
        files = [file for file in self.manifest.files(READINGS, t0, t1) if file.site == site]
        old = [file for file in self.manifest.files(MINUTE, t0, t1) if file.site == site]
        older = [file for file in self.manifest.files(HOUR, t0, t1) if file.site == site]
        columns = "source, tag, lineage, t, pos, k, value, quality"
        touched = f"{begin('t', HOUR_MS)} // {HOUR_MS} IN ({numbers(sorted(hours))})"
        readings = (
            Scan(tuple(str(folder / file.path) for file in files)).sql(columns, touched) if files else NO_READINGS
        )
        minutes = local(readings, MINUTE_MS)
        if old:
            kept = f"{begin('b', HOUR_MS)} // {HOUR_MS} NOT IN ({numbers(sorted(hours))})"
            minutes = f"{Scan(tuple(str(folder / file.path) for file in old)).sql(COLUMNS, kept)} UNION ALL {minutes}"
        self._db.execute(f"CREATE OR REPLACE TEMP TABLE minutes AS {minutes}")
        change = Change(clean=clean, remove=[file.path for file in (*old, *older)])
        change.add = [
            self._rollup_file(MINUTE, site, day, f"SELECT {COLUMNS} FROM minutes ORDER BY tag, source, b"),
            self._rollup_file(
                HOUR, site, day, f"SELECT {COLUMNS} FROM ({coarser('FROM minutes', HOUR_MS)}) ORDER BY tag, source, b"
            ),
        ]
        return change

    def _rollup_file(self, kind: str, site: str, day: int, sql: str) -> File:
        folder = self.manifest.folder
        path = folder / kind / site_name(site) / day_name(day) / f"{wall_ms():014d}.parquet"
        while path.exists():
            path = path.with_name(f"{int(path.stem) + 1:014d}.parquet")
        size = write(self._db, sql, path)
        rows = self._db.execute("SELECT count(*) FROM read_parquet($1)", [str(path)]).fetchone()
        assert rows is not None
        t0 = day * DAY_MS
        return File(
            str(path.relative_to(folder)), kind, site, day, 0, 0, 0, t0, t0 + DAY_MS - 1, rows[0], size, wall_ms()
        )

    # -- keeping few files, and not for ever --------------------------------------------------------------

    def merge(self) -> bool:
        """Put the many small readings files of one day into one."""
        days: dict[tuple[str, int, int], list[File]] = {}
        for file in self.manifest.files(READINGS):
            if file.gen and file.bytes < self.limits.merge_bytes and file.day != MIXED:
                days.setdefault((file.site, file.day, file.gen), []).append(file)
        found = next((files for files in days.values() if len(files) >= MERGE_FROM), None)
        if found is None:
            return False
        files = sorted(found, key=lambda file: file.first)
        site, day, gen = files[0].site, files[0].day, files[0].gen
        folder = self.manifest.folder
        first, last = files[0].first, max(file.last for file in files)
        name = f"g{gen:02d}-{first:012d}-{last:012d}-m{wall_ms():014d}.parquet"
        path = (folder / files[0].path).parent / name
        listed = ", ".join(quoted(str(folder / file.path)) for file in files)
        size = write(self._db, f"FROM read_parquet([{listed}], hive_partitioning=false) ORDER BY tag, t, pos, k", path)
        t0, t1, rows = min(f.t0 for f in files), max(f.t1 for f in files), sum(f.rows for f in files)
        merged = File(
            str(path.relative_to(folder)), READINGS, site, day, gen, first, last, t0, t1, rows, size,
            max(f.made for f in files),
        )  # fmt: skip
        self._swap(Change(add=[merged], remove=[file.path for file in files]))
        return True

    def remove(self) -> bool:
        """Remove what is older than its limit or beyond its size, whole days at a time; rollups outlive readings."""
        now = wall_ms()
        for kind, keep in self.limits.kept().items():
            files = self.manifest.files(kind)
            days: dict[tuple[str, int], list[File]] = {}
            for file in files:
                days.setdefault((file.site, file.day), []).append(file)
            if kind in {READINGS, ARCHIVE}:
                self.stats.bytes = sum(file.bytes for file in files)
            oldest = sorted(days.items(), key=lambda item: max(file.made for file in item[1]))
            total = sum(file.bytes for file in files)
            for (site, day), found in oldest:
                age = now - max(file.made for file in found)
                if age < keep.days * DAY_MS and (total <= keep.bytes or len(days) == 1):
                    break
                dropped = [(site, day)] if kind == READINGS else []
                self._swap(Change(remove=[file.path for file in found], dropped=dropped, counts={f"removed {kind}": 1}))
                self.stats.removed += len(found)
                return True
        return False

    def _swap(self, change: Change) -> None:
        self.manifest.apply(change)
        self.manifest.unlink(change.remove)


def follow(compactor: Compactor, stop: threading.Event) -> None:
    """Work until `stop`; what cannot be written now is tried again, waiting longer each time."""
    failures = 0
    while not stop.is_set():
        wait = 0.0
        try:
            if not compactor.step():
                wait = IDLE_S
            failures, compactor.stats.state = 0, "ok"
        except (HistoryError, JournalError, OSError) as error:
            failures += 1
            compactor.stats.failures += 1
            if failures == 1:
                log.warning("the history waits: %s", error)
            compactor.stats.state = f"waiting: {error}"
            wait = min(MAX_WAIT_S, 0.5 * 2 ** min(failures, 10))
        say(compactor.data, "history", compactor.stats)
        stop.wait(wait)


def child(data: Path, limits: Limits) -> Child:
    """The compactor as a child process of ingest."""
    return Child("ingest.compactor", [str(data)], {SETTINGS: msgspec.json.encode(limits).decode()})


def main(arguments: list[str]) -> int:
    """`python -m ingest.compactor DATA`, limits in the environment."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    limits = msgspec.json.decode(os.environ.get(SETTINGS, "{}"), type=Limits)
    stop = follow_parent()
    compactor = Compactor(Path(arguments[0]), limits)
    follow(compactor, stop)
    compactor.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
