"""Reading the history: the 1-h mean of 50 signals over 7 days (row 17).

`plantwin bench history [--json] [--runs N] [--signals S] [--days D] [--hz R] [--folder DIR]`. Signals of `hz` readings
a second, the same on every side, made by the databases themselves from one formula of whole numbers. Ours: the history
as the compactor keeps it (closed Parquet by day, rollups). The peers: an SQLite table clustered on (tag, t), which is
the index that helps it most, and a plain DuckDB table in a file of its own. All three give the same means, which is
checked. Sides are taken in turn; the ratios are of CPU time (all threads), the stretch is of wall time.
"""

# ruff: noqa: S608 - numbers and names of this file only

from __future__ import annotations

import argparse
import json
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from statistics import median

import duckdb

from benchmarks import _record
from benchmarks._record import Figure
from ingest.compactor import Compactor
from ingest.history import History
from ingest.manifest import DAY_MS, HOUR_MS, Change
from ingest.segments import connect, write_readings

START = 20_000 * DAY_MS
SOURCE = "ptw/v1/bench/area/line/cell1"
STRETCH_MS = 10.0
Means = dict[tuple[str, int], float]


def value(t: str, k: str) -> str:
    """SQL that SQLite and DuckDB understand alike: the value of signal `k` at plant ms `t`, in tenths."""
    return f"((({t} / 1000) * (7 + {k}) + {k} * {k}) % 1000) * 1e-1"


def tag(k: int) -> str:
    return f"m{k:02d}/temp"


def ours(folder: Path, signals: int, days: int, hz: float) -> History:
    """The history of that plant, with its rollups; each day as one closed segment."""
    compactor = Compactor(folder)
    step = round(1000 / hz)
    with connect(2, 4096) as db, compactor.manifest.writing():
        for day in range(days):
            low = START + day * DAY_MS
            db.execute(f"""CREATE OR REPLACE TEMP TABLE day AS
                SELECT t, t AS recv, '{SOURCE}' AS source, 'e1' AS e, 0::BIGINT AS s, 0::BIGINT AS pos, k AS k,
                  printf('m%02d/temp', k) AS tag, {value("t // 1000 * 1000", "k").replace(" / ", " // ")} AS value,
                  0::UTINYINT AS quality, 'data' AS kind, 'exactly_once' AS lineage
                FROM range({low}, {low + DAY_MS}, {step}) AS times(t), range({signals}) AS signals(k)""")
            closed = write_readings(db, compactor.manifest.folder, "day", f"bench-{day:03d}", 0)
            compactor.manifest.apply(Change(add=closed.files, dirty=closed.hours, tags=closed.tags))
    while compactor.step():
        pass
    compactor.close()
    return History(folder)


def sqlite_table(path: Path, signals: int, days: int, hz: float) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None)
    db.executescript("PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-262144;")
    db.execute("CREATE TABLE reading(tag TEXT, t INTEGER, value REAL, PRIMARY KEY(tag, t)) WITHOUT ROWID")
    step, high = round(1000 / hz), START + days * DAY_MS
    for k in range(signals):
        db.execute(
            "WITH RECURSIVE times(t) AS (SELECT ? UNION ALL SELECT t + ? FROM times WHERE t + ? < ?)"
            f" INSERT INTO reading SELECT ?, t, {value('t', str(k))} FROM times",
            (START, step, step, high, tag(k)),
        )
    return db


def duckdb_table(path: Path, signals: int, days: int, hz: float) -> duckdb.DuckDBPyConnection:
    db = duckdb.connect(str(path), config={"threads": 2, "memory_limit": "4096MB"})
    db.execute(f"""CREATE TABLE reading AS SELECT printf('m%02d/temp', k) AS tag, t,
        {value("t", "k").replace(" / ", " // ")} AS value
        FROM range({signals}) AS signals(k), range({START}, {START + days * DAY_MS}, {round(1000 / hz)}) AS times(t)""")
    return db


def queries(
    history: History, sqlite: sqlite3.Connection, plain: duckdb.DuckDBPyConnection, signals: int, days: int
) -> dict[str, Callable[[], Means]]:
    """The same question to each side."""
    tags = [tag(k) for k in range(signals)]
    low, high = START, START + days * DAY_MS
    listed = ", ".join(f"'{name}'" for name in tags)
    asked = (
        f"SELECT tag, t {{}} {HOUR_MS} AS hour, avg(value) FROM {{}} WHERE tag IN ({listed}) AND t >= {low}"
        f" AND t < {high} GROUP BY tag, hour"
    )
    closed = history.connect()

    def by_history() -> Means:
        rows = history.query(tags, low, high, HOUR_MS, "mean").rows
        return {(row[1], row[0] // HOUR_MS): row[2] for row in rows if row[2] is not None}

    def of(rows: list[tuple[str, int, float]]) -> Means:
        return {(name, hour): mean for name, hour, mean in rows}

    return {
        "ours": by_history,
        "sqlite": lambda: of(sqlite.execute(asked.format("/", "reading")).fetchall()),
        "duckdb": lambda: of(plain.execute(asked.format("//", "reading")).fetchall()),
        "ours, closed files without rollups": lambda: of(closed.execute(asked.format("//", "readings")).fetchall()),
    }


def timed(ask: Callable[[], Means]) -> tuple[float, float]:
    """CPU and wall seconds of one answer."""
    wall, cpu = time.perf_counter(), time.process_time()
    ask()
    return time.process_time() - cpu, time.perf_counter() - wall


def same(answers: dict[str, Means]) -> None:
    """All sides say the same, to what sums of a different order may differ by."""
    first = answers["ours"]
    for name, other in answers.items():
        assert other.keys() == first.keys(), name
        assert all(abs(first[key] - other[key]) < 1e-6 for key in first), name


def measure(folder: Path, signals: int, days: int, hz: float, runs: int) -> tuple[list[Figure], dict[str, object]]:
    """Build the three sides in a folder and compare them."""
    began = time.perf_counter()
    (folder / "ours").mkdir()
    with ours(folder / "ours", signals, days, hz) as history:
        sqlite = sqlite_table(folder / "sqlite.db", signals, days, hz)
        plain = duckdb_table(folder / "plain.duckdb", signals, days, hz)
        built = time.perf_counter() - began
        asks = queries(history, sqlite, plain, signals, days)
        same({name: ask() for name, ask in asks.items()})  # which also warms every side
        taken: dict[str, list[tuple[float, float]]] = {name: [] for name in asks}
        for _ in range(runs):
            for name, ask in asks.items():
                taken[name].append(timed(ask))
        sqlite.close()
        plain.close()
    cpu = {name: [one[0] for one in pairs] for name, pairs in taken.items()}
    wall = {name: [one[1] for one in pairs] for name, pairs in taken.items()}
    what = f"history: 1-h mean of {signals} signals over {days} days at {hz:g} Hz from rollups, CPU"
    to_sqlite, to_duckdb = _record.ratios(cpu["ours"], cpu["sqlite"]), _record.ratios(cpu["ours"], cpu["duckdb"])
    walls = [one * 1000 / STRETCH_MS for one in wall["ours"]]
    figures = [
        Figure(17, what, "SQLite table clustered on (tag, t)", to_sqlite[0], "<= 0.05x", runs, to_sqlite[1]),
        Figure(17, what, "plain DuckDB table", to_duckdb[0], "<= 1x", runs, to_duckdb[1]),
        Figure(
            17, f"the same, wall time ({median(wall['ours']) * 1000:.1f} ms)", f"{STRETCH_MS:g} ms (stretch)",
            median(walls), "<= 1x", runs, (min(walls), max(walls)),
        ),
    ]  # fmt: skip
    size = {
        "ours_bytes": sum(path.stat().st_size for path in (folder / "ours").rglob("*.parquet")),
        "sqlite_bytes": (folder / "sqlite.db").stat().st_size,
        "duckdb_bytes": (folder / "plain.duckdb").stat().st_size,
    }
    readings = round(signals * days * 86_400 * hz)
    return figures, {"readings": readings, "build_s": round(built, 1), "cpu_s": cpu, "wall_s": wall, **size}


def main(argv: list[str]) -> int:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(prog="plantwin bench history", description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--signals", type=int, default=50)
    parser.add_argument("--days", type=int, default=7)
    parser.add_argument("--hz", type=float, default=1.0)
    parser.add_argument("--folder", type=Path, help="where some gigabytes are free (default: a temporary folder)")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        figures, detail = measure(Path(folder), options.signals, options.days, options.hz, options.runs)
    sizes = f"--signals {options.signals} --days {options.days} --hz {options.hz:g} --runs {options.runs}"
    detail |= {"sqlite": sqlite3.sqlite_version, "options": sizes}
    _record.keep("history", figures, _record.versions("duckdb"), detail)
    print(json.dumps([asdict(figure) for figure in figures]) if options.json else _record.show(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
