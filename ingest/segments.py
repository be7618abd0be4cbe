"""Closing a segment: journal rows become Parquet files, of readings by site and day and of the rows themselves.

Nothing here decides when; it only writes files under names that follow from what they hold, so that the same segment
written twice gives the same names. Whoever calls commits the files to the manifest.
"""

# ruff: noqa: S608 - relations and numbers of our own; text from outside goes through `quoted`

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ingest.manifest import ARCHIVE, DAY_MS, HOUR_MS, READINGS, File, HistoryError, Tag, day_name, publish
from ingest.payloads import WireError
from ingest.readings import Aliases, Reading, Row, decode, wall_ms
from ingest.rollup import begin, quoted

if TYPE_CHECKING:
    import duckdb

MAX_DAYS = 62
"""A segment makes files for this many days at most; readings of further days (clocks gone wrong) share one file."""
MIXED = -(2**40)
"""`day` of a file that holds readings of any day."""

READING_COLUMNS = "t, recv, source, e, s, pos, k, tag, value, quality, kind, lineage"
"""Of a readings file: plant ms, wall ms, topic root, epoch, number, journal position, place in the message, ..."""


Placed = tuple[Reading, int, int, str]
"""A reading, its wall ms of arrival, its place in the message, its lineage."""


@dataclass
class Closed:
    """What a segment became: files (on disk, in no manifest yet), hours and tags it touches, rows not understood."""

    files: list[File] = field(default_factory=list)
    hours: set[tuple[str, int]] = field(default_factory=set)
    tags: list[Tag] = field(default_factory=list)
    readings: int = 0
    skipped: int = 0


def connect(threads: int = 1, memory_mb: int = 512) -> duckdb.DuckDBPyConnection:
    """A DuckDB of our own in memory: it locks nothing and installs nothing."""
    import duckdb

    db = duckdb.connect(
        config={
            "threads": threads, "memory_limit": f"{memory_mb}MB", "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "temp_directory": str(Path(tempfile.gettempdir()) / f"plantwin-{os.getpid()}"),
        }
    )  # fmt: skip
    db.execute("SET enable_progress_bar=false")
    db.execute("SET parquet_metadata_cache=true")
    return db


def site_of(source: str) -> str:
    """The site of a topic root."""
    return [*source.split("/"), "", "", ""][2] or "unknown"


def site_name(site: str) -> str:
    """The folder of a site; a name that is no id is spelled so that it stays inside."""
    return "site=" + "".join(c if c.isalnum() or c in "_-" else f"%{ord(c):02x}" for c in site)


def load(db: duckdb.DuckDBPyConnection, name: str, columns: dict[str, tuple[str, list[Any]]]) -> None:
    """Make a temporary table from columns: name -> (SQL type, values)."""
    parts = ", ".join(f"unnest(${k}::{kind}[]) AS {column}" for k, (column, (kind, _)) in enumerate(columns.items(), 1))
    db.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS SELECT {parts}", [values for _, values in columns.values()])


def load_readings(db: duckdb.DuckDBPyConnection, name: str, readings: list[Placed]) -> None:
    """A temporary table of readings, each with its wall ms of arrival, its place in the message and its lineage."""
    load(
        db,
        name,
        {
            "t": ("BIGINT", [r.t for r, _, _, _ in readings]),
            "recv": ("BIGINT", [recv for _, recv, _, _ in readings]),
            "source": ("VARCHAR", [r.source for r, _, _, _ in readings]),
            "e": ("VARCHAR", [r.e for r, _, _, _ in readings]),
            "s": ("BIGINT", [r.s for r, _, _, _ in readings]),
            "pos": ("BIGINT", [r.pos for r, _, _, _ in readings]),
            "k": ("INTEGER", [k for _, _, k, _ in readings]),
            "tag": ("VARCHAR", [r.name for r, _, _, _ in readings]),
            "value": ("DOUBLE", [r.value for r, _, _, _ in readings]),
            "quality": ("UTINYINT", [r.quality for r, _, _, _ in readings]),
            "kind": ("VARCHAR", [r.kind for r, _, _, _ in readings]),
            "lineage": ("VARCHAR", [lineage for _, _, _, lineage in readings]),
        },
    )


def understood(row: Row, aliases: Aliases, at_most_once: set[str]) -> list[Placed] | None:
    """The readings of a row as `load_readings` takes them; None when it is not understood."""
    try:
        found = decode(row, aliases)
    except (WireError, ValueError, KeyError):
        return None
    lineage = "at_most_once" if row.kind == "plain" or row.source in at_most_once else "exactly_once"
    return [(reading, row.recv, k, lineage) for k, reading in enumerate(found)]


def write(db: duckdb.DuckDBPyConnection, sql: str, path: Path) -> int:
    """Write a query's rows to a Parquet file durably, under its name only when it is whole; its size in bytes."""
    import duckdb

    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        db.execute(
            f"COPY ({sql}) TO {quoted(str(temporary))} (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 122880)"
        )
        publish(temporary, path)
        return path.stat().st_size
    except (duckdb.Error, OSError) as error:
        temporary.unlink(missing_ok=True)
        raise HistoryError(f"{path}: cannot be written ({error})") from None


def write_readings(db: duckdb.DuckDBPyConnection, folder: Path, table: str, stem: str, gen: int) -> Closed:
    """Write the rows of a temporary table of readings, one file a site and day."""
    closed = Closed()
    db.execute("CREATE OR REPLACE MACRO site_of(x) AS coalesce(nullif(split_part(x, '/', 3), ''), 'unknown')")
    day_of, hour_of = f"{begin('t', DAY_MS)} // {DAY_MS}", f"{begin('t', HOUR_MS)} // {HOUR_MS}"
    groups = db.execute(
        f"SELECT site_of(source) AS site, {day_of} AS day, count(*) AS n FROM {table} GROUP BY ALL ORDER BY n DESC"
    ).fetchall()
    named = {(site, day) for site, day, _ in groups[:MAX_DAYS]}
    parts = [(site, day, f"site_of(source)={quoted(site)} AND {day_of} = {day}") for site, day in sorted(named)]
    for site in sorted({site for site, _, _ in groups[MAX_DAYS:]}):
        days = ", ".join(str(day) for other, day in named if other == site) or "NULL"
        rest = f"site_of(source)={quoted(site)} AND {day_of} NOT IN ({days})"
        parts.append((site, MIXED, rest))
    for site, day, where in parts:
        name = "day=mixed" if day == MIXED else day_name(day)
        path = folder / READINGS / site_name(site) / name / f"{stem}.parquet"
        size = write(db, f"SELECT {READING_COLUMNS} FROM {table} WHERE {where} ORDER BY tag, t, pos, k", path)
        facts = db.execute(f"SELECT min(pos), max(pos), min(t), max(t), count(*) FROM {table} WHERE {where}").fetchall()
        first, last, t0, t1, rows = facts[0]
        relative = str(path.relative_to(folder))
        closed.files.append(File(relative, READINGS, site, day, gen, first, last, t0, t1, rows, size, wall_ms()))
    hours = db.execute(f"SELECT DISTINCT site_of(source), {hour_of} FROM {table}").fetchall()
    # hours of days that got no file of their own have no rollup either: a storm of wrong clocks must not make thousands
    closed.hours = {(site, hour) for site, hour in hours if (site, hour * HOUR_MS // DAY_MS) in named}
    closed.readings = sum(file.rows for file in closed.files)
    closed.tags = _tags(db, table)
    return closed


def _tags(db: duckdb.DuckDBPyConnection, table: str) -> list[Tag]:
    rows = db.execute(
        f"SELECT source, tag, last(lineage ORDER BY t, pos, k), min(t), max(t), last(value ORDER BY t, pos, k),"
        f" last(quality ORDER BY t, pos, k) FROM {table} GROUP BY source, tag"
    ).fetchall()
    return [Tag(source, tag, "", "", lineage, first, t, v, q) for source, tag, lineage, first, t, v, q in rows]


def write_archive(db: duckdb.DuckDBPyConnection, folder: Path, rows: list[Row], stem: str, gen: int) -> File:
    """Write journal rows as they are."""
    kinds = {
        "pos": "BIGINT", "recv": "BIGINT", "t": "BIGINT", "kind": "VARCHAR", "source": "VARCHAR", "e": "VARCHAR",
        "s": "BIGINT", "body": "BLOB",
    }  # fmt: skip
    load(db, "rows", {name: (kind, [getattr(row, name) for row in rows]) for name, kind in kinds.items()})
    site = site_of(rows[0].source)
    day = rows[0].recv // DAY_MS
    path = folder / ARCHIVE / site_name(site) / day_name(day) / f"{stem}.parquet"
    size = write(db, "SELECT * FROM rows ORDER BY pos", path)
    t = [row.t for row in rows]
    relative = str(path.relative_to(folder))
    return File(
        relative, ARCHIVE, site, day, gen, rows[0].pos, rows[-1].pos, min(t), max(t), len(rows), size, wall_ms()
    )
