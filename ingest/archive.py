"""Journal rows that were removed from the journal, read back as they were: a replay from empty goes through here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ingest.manifest import HistoryError, Manifest
from ingest.readings import Row
from ingest.rollup import Scan


class Archive:
    """The archived rows of one journal (known by its id), by position; holds one file's rows in memory at a time."""

    def __init__(self, data: Path, journal: str) -> None:
        self._data, self._journal = data, journal
        self._manifest: Manifest | None = None
        self._path = ""
        self._rows: list[Row] = []

    def read(self, after: int, limit: int, upto: int) -> list[Row]:
        """Up to `limit` archived rows with positions above `after` and up to `upto`, in order; [] when there are none.

        Raises JournalError when the archive is there and cannot be read.
        """
        from ingest.journal import JournalError

        try:
            rows = self._holding(after)
        except HistoryError as error:
            raise JournalError(f"rows after {after} are in the archive, which cannot be read: {error}") from None
        return [row for row in rows if after < row.pos <= upto][:limit]

    def _holding(self, after: int) -> list[Row]:
        """The rows of the file that holds the row after `after`, or of the next file there is."""
        if self._rows and self._rows[0].pos <= after + 1 <= self._rows[-1].pos:
            return self._rows
        self._manifest = self._manifest or Manifest.there(self._data)
        if self._manifest is None:
            return []
        gen, _ = self._manifest.position(self._journal)
        file = self._manifest.archive(gen, after) if gen else None
        if file is None:
            return []
        if file.path != self._path:
            self._rows = self._load(str(self._manifest.folder / file.path))
            self._path = file.path
        return self._rows

    def _load(self, path: str) -> list[Row]:
        try:
            import duckdb
        except ModuleNotFoundError:
            raise HistoryError("it needs duckdb, which is not installed: pip install 'plantwin[ingest]'") from None
        with duckdb.connect() as db:
            try:
                sql = Scan((path,)).sql("pos, recv, t, kind, source, e, s, body", "true")
                found: list[tuple[Any, ...]] = db.execute(f"{sql} ORDER BY pos").fetchall()
            except duckdb.Error as error:
                raise HistoryError(f"{path}: {error}") from None
        return [Row(*row) for row in found]

    def close(self) -> None:
        """Close the manifest."""
        if self._manifest is not None:
            self._manifest.close()
            self._manifest = None
