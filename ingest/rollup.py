"""Rollups: what is kept of a tag for every minute and hour, so that years can be looked at.

A bucket holds only what its own readings say: count, sum, least and greatest value, first and last reading with their
times, bad readings, and the area under the values held from the first reading to the last (value x ms). So late data
change their own bucket and no other, and buckets can be put together: the mean over time of any longer span follows
from the areas, the last value of the bucket before, and the times. Readings of quality *bad* count as bad and as
nothing else.
"""

# ruff: noqa: S608 - relations and numbers of our own; text from outside goes through `quoted`

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ingest.codes import BAD

NO_READINGS = (
    "SELECT ''::VARCHAR AS source, ''::VARCHAR AS tag, ''::VARCHAR AS lineage, 0::BIGINT AS t, 0::BIGINT AS pos,"
    " 0::INTEGER AS k, 0::DOUBLE AS value, 0::UTINYINT AS quality WHERE false"
)
"""SQL: the relation of readings that holds none."""
COLUMNS = "source, tag, lineage, b, n, bad, total, low, high, t_first, v_first, t_last, v_last, area"
"""Of a rollup file, in order. `b` plant ms of the bucket's begin; `total` sum of values; `area` value x ms."""


def begin(t: str, grain_ms: int) -> str:
    """SQL: where the bucket of a time begins (also before 1970, where division rounds the other way)."""
    return f"({t} - (({t} % {grain_ms}) + {grain_ms}) % {grain_ms})"


def local(readings: str, grain_ms: int) -> str:
    """SQL: rollup rows of `grain_ms` from a relation of readings (source, tag, lineage, t, pos, k, value, quality)."""
    b = begin("t", grain_ms)
    return f"""
    SELECT source, tag, lineage, b,
      count(*) FILTER (quality <> {BAD}) AS n, count(*) FILTER (quality = {BAD}) AS bad,
      coalesce(sum(value) FILTER (quality <> {BAD}), 0) AS total,
      min(value) FILTER (quality <> {BAD}) AS low, max(value) FILTER (quality <> {BAD}) AS high,
      min(t) FILTER (quality <> {BAD}) AS t_first, max(value) FILTER (quality <> {BAD} AND before IS NULL) AS v_first,
      max(t) FILTER (quality <> {BAD}) AS t_last, max(value) FILTER (quality <> {BAD} AND after IS NULL) AS v_last,
      coalesce(sum(value * (after - t)) FILTER (quality <> {BAD}), 0) AS area
    FROM (
      SELECT *, {b} AS b, lead(t) OVER one AS after, lag(t) OVER one AS before FROM ({readings})
      WINDOW one AS (PARTITION BY source, tag, lineage, {b}, quality = {BAD} ORDER BY t, pos, k)
    ) GROUP BY source, tag, lineage, b"""


def coarser(rollups: str, grain_ms: int) -> str:
    """SQL: longer buckets from shorter ones; the value held between two of them belongs to the area."""
    b = begin("b", grain_ms)
    return f"""
    SELECT source, tag, lineage, c AS b, sum(n)::BIGINT AS n, sum(bad)::BIGINT AS bad, sum(total) AS total,
      min(low) AS low, max(high) AS high,
      min(t_first) AS t_first, arg_min(v_first, t_first) AS v_first,
      max(t_last) AS t_last, arg_max(v_last, t_last) AS v_last, sum(area + coalesce(bridge, 0)) AS area
    FROM (
      SELECT *, {b} AS c, v_last * (lead(t_first IGNORE NULLS) OVER (
        PARTITION BY source, tag, lineage, {b} ORDER BY b) - t_last) AS bridge
      FROM ({rollups})
    ) GROUP BY source, tag, lineage, c"""


@dataclass(frozen=True)
class Scan:
    """Parquet files as a relation."""

    paths: tuple[str, ...]

    def sql(self, columns: str, where: str) -> str:
        """A SELECT over the files."""
        listed = ", ".join(quoted(path) for path in self.paths)
        return f"SELECT {columns} FROM read_parquet([{listed}], hive_partitioning=false) WHERE {where}"


def quoted(text: str) -> str:
    """Text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def numbers(values: Iterable[int]) -> str:
    """Whole numbers as the inside of an SQL IN list; never empty."""
    return ", ".join(str(int(value)) for value in values) or "NULL"
