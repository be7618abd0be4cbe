"""The end of the journal that is not compacted yet, decoded once and kept as a DuckDB table beside the closed files."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ingest.journal import Journal, JournalError, JournalReader
from ingest.manifest import HOUR_MS, HistoryError, Tag
from ingest.readings import Aliases
from ingest.segments import Placed, load_readings, understood

if TYPE_CHECKING:
    import duckdb

MAX_TAIL = 2_000_000
"""Readings at most; more than this means that nobody compacts."""
BATCH = 2_000


@dataclass
class Tail:
    """Readings above a journal position. `follow` brings the table `tail` of `db` up to the end of the journal."""

    data: Path
    db: duckdb.DuckDBPyConnection
    last: dict[tuple[str, str], Tag] = field(default_factory=dict)  # newest reading by source and tag
    hours: dict[int, int] = field(default_factory=dict)  # plant hour -> newest position of a reading in it
    size: int = 0
    _reader: JournalReader | None = None
    _file: int = 0
    _aliases: Aliases = field(default_factory=Aliases)
    _pos: int = -1

    def open(self) -> JournalReader | None:
        """The journal, None where there is none; another journal in its place is another tail."""
        path = self.data / "journal.db"
        try:
            inode = path.stat().st_ino
        except OSError:
            return None
        if self._reader is None or inode != self._file:
            self.close()
            try:
                self._reader = Journal.open_reader(path)
            except JournalError as error:
                raise HistoryError(str(error)) from None
            self._file = inode
        return self._reader

    def follow(self, after: int) -> None:
        """Hold exactly the readings of rows above `after`; raises HistoryError when there are too many."""
        reader = self.open()
        if reader is None:
            return
        if self._pos < after:
            self._begin(reader, after)
        elif self.size:
            self.db.execute("DELETE FROM tail WHERE pos<=$1", [after])
            self.hours = {hour: pos for hour, pos in self.hours.items() if pos > after}
            self._count()
        once = {root for root, body in reader.ledgers().items() if root and b'"at_most_once":true' in body}
        fresh: list[Placed] = []
        while rows := reader.read(self._pos, BATCH):
            for row in rows:
                fresh += understood(row, self._aliases, once) or []
            self._pos = rows[-1].pos
            if self.size + len(fresh) > MAX_TAIL:
                self._pos = -1
                raise HistoryError(
                    f"{self.data}: more than {MAX_TAIL} readings wait to be compacted (position {after} of "
                    f"{reader.last()}); does the compactor run? `plantwin compact` does it once"
                )
        if fresh:
            self._take(fresh)

    def _begin(self, reader: JournalReader, after: int) -> None:
        self._aliases, self._pos, self.size = Aliases(), after, 0
        for row in reader.births(after):
            self._aliases.feed_row(row)
        self.last.clear()
        self.hours.clear()
        load_readings(self.db, "tail", [])

    def _take(self, fresh: list[Placed]) -> None:
        load_readings(self.db, "fresh", fresh)
        self.db.execute("INSERT INTO tail SELECT * FROM fresh")
        for r, _, _, lineage in fresh:
            self.hours[r.t // HOUR_MS] = r.pos
            key = (r.source, r.name)
            old = self.last.get(key)
            if old is None or r.t >= old.t:
                first = r.t if old is None else min(old.t_first, r.t)
                self.last[key] = Tag(r.source, r.name, "", "", lineage, first, r.t, r.value, r.quality)
        self._count()

    def _count(self) -> None:
        self.size = int(self.db.execute("SELECT count(*) FROM tail").fetchall()[0][0])

    def kind(self, source: str, tag: str) -> tuple[str, str]:
        """(type, unit) of a tag by its source's newest birth, ("", "") where none says it."""
        epoch = self._aliases.epoch(source)
        table = self._aliases.table(source, epoch) if epoch else None
        found = next((one for one in (table or {}).values() if one.name == tag), None)
        return (found.type, found.unit or "") if found else ("", "")

    def close(self) -> None:
        """Close the journal."""
        if self._reader is not None:
            self._reader.close()
        self._reader, self._pos = None, -1
