"""The history: rollups, closed Parquet and the journal's end as one, for every process that may read the data folder.

`History(data).query(tags, start, end, step, aggregate)` looks at the hour or minute rollups where the step allows it,
at the readings themselves in hours whose rollups are behind, and at what is not compacted yet. Nothing is locked: the
files are closed, the manifest says which belong, and DuckDB runs in this process only.
"""

# ruff: noqa: S608 - relations and numbers of our own; text from outside goes through `quoted`

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import msgspec

from ingest.manifest import DAY_MS, HOUR, HOUR_MS, MINUTE, MINUTE_MS, READINGS, File, HistoryError, Manifest, Tag
from ingest.rollup import COLUMNS, Scan, begin, coarser, local, numbers, quoted
from ingest.segments import READING_COLUMNS, connect, load_readings
from ingest.tail import Tail

if TYPE_CHECKING:
    import duckdb

AGGREGATES = ("auto", "mean", "twmean", "min", "max", "first", "last", "sum", "count", "bad")
"""`mean` is over the readings, `twmean` over time (each value held until the next), `bad` counts bad readings.
`auto` is `twmean` for states and whole numbers (enum, int: levels, told when they change), `last` for counters, else
`mean`."""
LOOKBACK_MS = 31 * DAY_MS
"""How far before `start` the value that is held at `start` is looked for."""
MAX_POINTS = 2_000_000
MAX_TAGS = 2_000
_RAW = "source, tag, lineage, t, pos, k, value, quality"


class Answer(msgspec.Struct, frozen=True):
    """Rows (t plant ms, tag, value or None, n readings, source, lineage), in order of tag and time.

    Without a step a row is a reading and `n` its quality code; with a step `t` is where the bucket begins.
    """

    step: int | None
    aggregate: str
    rows: list[tuple[int, str, float | None, int, str, str]]

    def series(self) -> dict[str, dict[str, list[Any]]]:
        """By tag: columns t, v, n (or q without a step), in order of time."""
        third = "q" if self.step is None else "n"
        found: dict[str, dict[str, list[Any]]] = {}
        for t, tag, value, n, _, _ in self.rows:
            columns = found.setdefault(tag, {"t": [], "v": [], third: []})
            columns["t"].append(t)
            columns["v"].append(value)
            columns[third].append(n)
        return found


class Ask(msgspec.Struct, frozen=True):
    """A checked question; `low`..`high` are `start`..`end` widened to whole steps."""

    tags: tuple[str, ...]
    low: int
    high: int
    step: int | None
    aggregate: str

    @property
    def grain(self) -> int:
        """The buckets that can answer it: hours, minutes, or 0 for the readings themselves."""
        if self.step is None or self.step % MINUTE_MS:
            return 0
        return MINUTE_MS if self.step % HOUR_MS else HOUR_MS


@dataclass
class _View:
    """The manifest at one moment."""

    pos: int = 0
    files: dict[str, list[File]] = field(default_factory=dict)
    dirty: set[int] = field(default_factory=set)
    gone: set[int] = field(default_factory=set)
    tags: list[Tag] = field(default_factory=list)

    def paths(self, folder: Path, kind: str, low: int, high: int) -> tuple[str, ...]:
        """Files that may hold times from `low` up to `high`."""
        found = self.files.get(kind, ())
        return tuple(str(folder / file.path) for file in found if file.t1 >= low and file.t0 < high)


class History:
    """Reads the history of a data folder; safe from several threads, one query at a time. Raises HistoryError."""

    def __init__(self, data: Path | str, threads: int = 2) -> None:
        self.data = data = Path(data)
        self._folder = data / "history"
        self._db = connect(threads)
        self._tail = Tail(data, self._db)
        load_readings(self._db, "tail", [])
        self._manifest: Manifest | None = None
        self._view = _View()
        self._stamp: tuple[int, str] | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close everything."""
        self._tail.close()
        self._db.close()
        if self._manifest is not None:
            self._manifest.close()

    # -- questions --------------------------------------------------------------------------------------

    def query(
        self, tags: Sequence[str], start: int, end: int, step: int | None = None, aggregate: str = "auto"
    ) -> Answer:
        """What `tags` were from `start` to `end` (plant ms, end excluded), in steps of `step` ms or as they came.

        Steps lie on multiples of `step`, and the first and last are whole: the span is widened to them. Raises
        ValueError for a question that makes no sense and HistoryError when the history cannot be read.
        """
        import duckdb

        ask = checked(tags, start, end, step, aggregate)
        with self._lock:
            for attempt in range(3):
                self._refresh()
                try:
                    rows = self._db.execute(self._sql(ask)).fetchmany(MAX_POINTS + 1)
                    break
                except duckdb.Error as error:  # a file may have been merged away after we had read of it
                    self._stamp = None
                    if attempt == 2:
                        raise HistoryError(f"{self._folder}: {error}") from None
        if len(rows) > MAX_POINTS:
            raise ValueError(
                f"expected at most {MAX_POINTS} points, found more; ask for a longer step or a shorter span"
            )
        return Answer(ask.step, ask.aggregate, rows)

    def tags(self) -> list[Tag]:
        """Every tag of every source with its newest reading, the end of the journal included."""
        with self._lock:
            self._refresh()
            found = {(tag.source, tag.tag): tag for tag in self._view.tags}
            for key, tag in self._tail.last.items():
                old = found.get(key)
                if old is None:
                    kind, unit = self._tail.kind(*key)
                    found[key] = msgspec.structs.replace(tag, type=kind, unit=unit)
                elif tag.t >= old.t:
                    found[key] = msgspec.structs.replace(old, t=tag.t, value=tag.value, quality=tag.quality)
        return [found[key] for key in sorted(found, key=lambda key: (key[1], key[0]))]

    def last(self, tags: Sequence[str] = ()) -> list[Tag]:
        """The newest reading of the named tags, of all when none is named; what was imported is not among them."""
        chosen = set(tags)
        return [tag for tag in self.tags() if tag.lineage != "import" and (not chosen or tag.tag in chosen)]

    def connect(self) -> duckdb.DuckDBPyConnection:
        """A DuckDB of the caller's own with the views `readings`, `rollup_1m` and `rollup_1h` over the closed files."""
        with self._lock:
            self._refresh()
            files = self._view.files
        db = connect(2)
        for kind, columns in ((READINGS, READING_COLUMNS), (MINUTE, COLUMNS), (HOUR, COLUMNS)):
            name = kind.replace("-", "_")
            if paths := tuple(str(self._folder / file.path) for file in files.get(kind, ())):
                db.execute(f"CREATE VIEW {name} AS {Scan(paths).sql(columns, 'true')}")
        return db

    # -- how they are answered --------------------------------------------------------------------------

    def _refresh(self) -> None:
        """Bring the view of the manifest and the journal's end up to date."""
        reader = self._tail.open()
        journal = reader.id() if reader else ""
        self._manifest = self._manifest or Manifest.there(self.data)
        if self._manifest is not None:
            stamp = (self._manifest.stamp(), journal)
            if stamp != self._stamp:
                self._view, self._stamp = self._look(self._manifest, journal), stamp
        self._tail.follow(self._view.pos)

    @staticmethod
    def _look(manifest: Manifest, journal: str) -> _View:
        with manifest.reading():
            dropped = manifest.dropped()
            dirty = {(site, hour) for site, hour in manifest.dirty() if (site, hour * HOUR_MS // DAY_MS) not in dropped}
            return _View(
                manifest.position(journal)[1] if journal else 0,
                {kind: manifest.files(kind) for kind in (READINGS, MINUTE, HOUR)},
                {hour for _, hour in dirty},
                {day for _, day in dropped},
                manifest.tags(),
            )

    def _sql(self, ask: Ask) -> str:
        if ask.step is None:
            raw = self._readings(ask, ask.low, ask.high, None)
            return (
                f"SELECT t, tag, value, quality, source, lineage FROM ({raw}) WHERE {self._imports(ask, 't', 1)}"
                " ORDER BY tag, t, pos, k"
            )
        held = self._held(ask)
        buckets = self._buckets(ask, ask.low, ask.high)
        if held:  # from the begin of the hour, and before it the hours that say what was held
            hour = ask.low // HOUR_MS * HOUR_MS
            before = msgspec.structs.replace(ask, step=HOUR_MS)
            buckets = (
                f"{self._buckets(before, hour - LOOKBACK_MS, hour)} UNION ALL {self._buckets(ask, hour, ask.high)}"
            )
        # buckets of the step's own length need no putting together
        steps = coarser(buckets, ask.step) if held or ask.grain not in {0, ask.step} else buckets
        steps = f"SELECT * FROM ({steps}) WHERE {self._imports(ask, 'b', ask.step)}"
        if held:
            steps = self._over_time(ask, steps, held)
        value = self._value(ask, held)
        n = "bad" if ask.aggregate == "bad" else "n"
        return (
            f"SELECT b, tag, {value} AS value, coalesce({n}, 0)::BIGINT, source, lineage FROM ({steps})"
            f" WHERE b >= {ask.low} ORDER BY tag, b"
        )

    def _buckets(self, ask: Ask, low: int, high: int) -> str:
        """Rollup rows of the tags, from the rollups where they are up to date and else from the readings."""
        if not ask.grain:
            assert ask.step is not None
            return f"SELECT {COLUMNS} FROM ({local(self._readings(ask, low, high, None), ask.step)})"
        behind = self._view.dirty | {
            hour for hour in self._tail.hours if hour * HOUR_MS // DAY_MS not in self._view.gone
        }
        behind = {hour for hour in behind if low // HOUR_MS <= hour < -(-high // HOUR_MS)}
        parts = []
        kind = HOUR if ask.grain == HOUR_MS else MINUTE
        if paths := self._view.paths(self._folder, kind, low, high):
            fresh = f"{begin('b', HOUR_MS)} // {HOUR_MS} NOT IN ({numbers(sorted(behind))})" if behind else "true"
            parts.append(Scan(paths).sql(COLUMNS, f"{_among(ask)} AND b >= {low} AND b < {high} AND {fresh}"))
        if behind or not parts:
            parts.append(f"SELECT {COLUMNS} FROM ({local(self._readings(ask, low, high, behind), ask.grain)})")
        return " UNION ALL ".join(parts)

    def _readings(self, ask: Ask, low: int, high: int, hours: set[int] | None) -> str:
        """Readings of the tags from `low` up to `high`, of these hours only (None: all), closed files and tail."""
        where = f"{_among(ask)} AND t >= {low} AND t < {high}"
        paths = self._view.paths(self._folder, READINGS, low, high)
        if hours is not None:
            where += f" AND {begin('t', HOUR_MS)} // {HOUR_MS} IN ({numbers(sorted(hours))})"
            first, last = (min(hours) * HOUR_MS, (max(hours) + 1) * HOUR_MS) if hours else (0, 0)
            paths = self._view.paths(self._folder, READINGS, max(low, first), min(high, last)) if hours else ()
        tail = f"SELECT {_RAW} FROM tail WHERE {where}"
        return f"{Scan(paths).sql(_RAW, where)} UNION ALL {tail}" if paths else tail

    def _imports(self, ask: Ask, column: str, grain: int) -> str:
        """What was imported counts only up to the first bucket in which the plant itself has told us anything."""
        live: dict[str, int] = {}
        for tag in (*self._view.tags, *self._tail.last.values()):
            if tag.lineage != "import" and tag.tag in ask.tags:
                live[tag.tag] = min(tag.t_first, live.get(tag.tag, tag.t_first))
        if not live or not any(tag.lineage == "import" for tag in self._view.tags):
            return "true"
        cases = " ".join(f"WHEN {quoted(tag)} THEN {t // grain * grain}" for tag, t in live.items())
        return f"(lineage <> 'import' OR {column} < CASE tag {cases} ELSE {2**62} END)"

    def _held(self, ask: Ask) -> list[str]:
        """The tags whose mean is one over time."""
        if ask.aggregate == "twmean":
            return list(ask.tags)
        return [tag for tag, kind in self._types(ask).items() if kind in {"enum", "int"}]

    def _types(self, ask: Ask) -> dict[str, str]:
        if ask.aggregate != "auto":
            return {}
        found = {tag.tag: tag.type for tag in self._view.tags if tag.type}
        for source, tag in self._tail.last:
            if tag not in found:
                found[tag] = self._tail.kind(source, tag)[0]
        return {tag: found.get(tag, "") for tag in ask.tags}

    def _over_time(self, ask: Ask, steps: str, held: list[str]) -> str:
        """Step rows with the value held before each, and rows for steps in which nothing was told."""
        assert ask.step is not None
        newest = max((tag.t for tag in (*self._view.tags, *self._tail.last.values())), default=ask.high)
        chosen = f"tag IN ({', '.join(quoted(tag) for tag in held)})"
        known = f"least(b + {ask.step}, greatest({newest}, coalesce(t_last, b)))"
        return f"""
        WITH steps AS MATERIALIZED ({steps}),
        grid AS (SELECT source, tag, lineage, unnest(range({ask.low}, {min(ask.high, newest + 1)}, {ask.step})) AS b
                 FROM (SELECT DISTINCT source, tag, lineage FROM steps WHERE {chosen})),
        filled AS (SELECT * FROM steps UNION ALL BY NAME
                   SELECT * FROM grid ANTI JOIN steps USING (source, tag, lineage, b))
        SELECT *, {known} AS until, last_value(v_last IGNORE NULLS) OVER (
          PARTITION BY source, tag, lineage ORDER BY b ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS carried
        FROM filled QUALIFY {self._imports(ask, "b", ask.step)}"""

    def _value(self, ask: Ask, held: list[str]) -> str:
        area = (
            "coalesce(area, 0) + coalesce(carried * (coalesce(t_first, until) - b), 0)"
            " + coalesce(v_last * (until - t_last), 0)"
        )
        over = "until - CASE WHEN carried IS NULL THEN t_first ELSE b END"
        whole = f"CASE WHEN ({over}) > 0 THEN ({area}) / ({over}) ELSE coalesce(v_last, carried) END"
        named = {
            "mean": "CASE WHEN n > 0 THEN total / n END", "min": "low", "max": "high", "first": "v_first",
            "last": "v_last", "sum": "total", "count": "n::DOUBLE", "bad": "bad::DOUBLE", "twmean": whole,
        }  # fmt: skip
        if ask.aggregate != "auto":
            return named[ask.aggregate]
        cases = [(held, whole), ([tag for tag, kind in self._types(ask).items() if kind == "counter"], "v_last")]
        whens = [f"WHEN tag IN ({', '.join(map(quoted, tags))}) THEN {sql}" for tags, sql in cases if tags]
        return f"CASE {' '.join(whens)} ELSE {named['mean']} END" if whens else named["mean"]


def checked(tags: Sequence[str], start: int, end: int, step: int | None, aggregate: str) -> Ask:
    """The question, or ValueError with what is wrong with it."""
    if not 0 < len(tags) <= MAX_TAGS:
        raise ValueError(f"tags: expected 1 to {MAX_TAGS}, found {len(tags)}")
    if not -(2**53) < start < end < 2**53:
        raise ValueError(f"from, to: expected from before to (plant ms), found {start} and {end}")
    if aggregate not in AGGREGATES:
        raise ValueError(f"aggregate: expected one of {', '.join(AGGREGATES)}, found {aggregate}")
    if step is None:
        return Ask(tuple(dict.fromkeys(tags)), start, end, None, aggregate)
    if step < 1 or (end - start) / step * len(tags) > MAX_POINTS:
        raise ValueError(
            f"step: expected at most {MAX_POINTS} points in all, found a step of {step} ms; make it longer"
        )
    low, high = start // step * step, -(-end // step) * step
    return Ask(tuple(dict.fromkeys(tags)), low, high, step, aggregate)


def _among(ask: Ask) -> str:
    return f"tag IN ({', '.join(quoted(tag) for tag in ask.tags)})"
