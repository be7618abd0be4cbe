"""Historians to import from: InfluxDB (InfluxQL), VictoriaMetrics (export), CSV files, OPC UA servers with history.

Their names, the keys of the map:

    influx          reading,tag=turn/temp value     measurement and tags as in line protocol, then the field
    influx (export) reading_value{tag="turn/temp"}  a metric selector, where the address ends in /api/v1/export
    csv             the head of a column, or what stands in the column `name` (or `tag`)
    opcua-history   ns=2;s=Turn.Temp                a node id
"""

from __future__ import annotations

import asyncio
import csv
import hashlib
import http.client
import json
import urllib.error
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from ingest.backfill import Chunk, MapError, Plan, Value, marked, quality_of
from ingest.codes import GOOD, QUALITIES
from ingest.manifest import DAY_MS, HistoryError

BLOCK_LINES = 50_000
"""Lines of a CSV file in a chunk."""
TIMEOUT_S = 60.0


def chunks(plan: Plan) -> Iterator[Chunk]:
    """The chunks of a plan, in order of time (of lines, for a CSV file)."""
    if plan.kind == "csv":
        yield from _csv(plan)
        return
    assert plan.low is not None
    assert plan.high is not None
    if plan.kind == "influx":
        export = plan.origin.rstrip("/").endswith("/api/v1/export")
        names = {name: (name if export else _series(name)) for name in plan.mapping}
        read = _exported if export else _influxql
    for day in range(plan.low // DAY_MS, -(-plan.high // DAY_MS)):
        low, high = max(plan.low, day * DAY_MS), min(plan.high, (day + 1) * DAY_MS)
        bad: Counter[str] = Counter()
        if plan.kind == "influx":
            values: Iterator[Value] = (
                value for name in names for value in read(plan, name, names[name], (low, high), bad)
            )
        else:
            values = _opcua(plan, low, high, bad)
        yield Chunk(f"day {day}", marked(plan, low, high), values, bad)


# -- InfluxDB -------------------------------------------------------------------------------------------------


def _series(name: str) -> str:
    """The InfluxQL that reads a series: `SELECT "value" FROM "reading" WHERE "tag"='turn/temp'`."""
    key, _, wanted = name.rpartition(" ")
    measurement, *tags = key.split(",")
    if not measurement or not wanted or any("=" not in tag for tag in tags):
        raise MapError(f"{name}: expected MEASUREMENT,TAG=VALUE FIELD, such as 'reading,tag=turn/temp value'")

    def ident(text: str) -> str:
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

    def text(value: str) -> str:
        return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"

    where = "".join(f" AND {ident(k)}={text(v)}" for k, _, v in (tag.partition("=") for tag in tags))
    return f"SELECT {ident(wanted)} FROM {ident(measurement)} WHERE time >= %dms AND time < %dms{where}"  # noqa: S608


def _influxql(plan: Plan, name: str, query: str, span: tuple[int, int], bad: Counter[str]) -> Iterator[Value]:
    asked = urllib.parse.urlencode(
        {"db": plan.database, "q": query.replace("%dms", f"{span[0]}ms", 1).replace("%dms", f"{span[1]}ms", 1),
         "epoch": "ms", "chunked": "true", "chunk_size": "10000"}
    )  # fmt: skip
    for line in _lines(f"{plan.origin.rstrip('/')}/query?{asked}", plan.token):
        for result in json.loads(line).get("results", []):
            if "error" in result:
                raise HistoryError(f"{plan.origin}: {name}: {result['error']}")
            for series in result.get("series", []):
                if series["columns"][0] != "time":
                    raise HistoryError(
                        f"{plan.origin}: expected points, found {series['columns']}: this server has no InfluxQL; "
                        "where it is VictoriaMetrics, give its address with /api/v1/export"
                    )
                for t, value, *_ in series["values"]:
                    yield from _value(name, t, value, span, bad)


def _exported(plan: Plan, name: str, _query: str, span: tuple[int, int], bad: Counter[str]) -> Iterator[Value]:
    asked = urllib.parse.urlencode(
        {"match[]": name, "start": f"{span[0] / 1000:.3f}", "end": f"{(span[1] - 1) / 1000:.3f}"}
    )
    for line in _lines(f"{plan.origin.rstrip('/')}?{asked}", plan.token):
        series = json.loads(line)
        for t, value in zip(series["timestamps"], series["values"], strict=True):
            yield from _value(name, t, value, span, bad)


def _lines(url: str, token: str) -> Iterator[bytes]:
    if not url.startswith(("http://", "https://")):
        raise MapError(f"{url[:80]}: expected an address that begins with http:// or https://")
    headers = {"Authorization": f"Token {token}"} if token else {}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT_S) as answer:  # noqa: S310
            yield from (line for line in answer if line.strip())
    except urllib.error.HTTPError as error:
        with error:
            told = error.read(300).decode("utf-8", "replace")
        raise HistoryError(f"{url.partition('?')[0]}: {error.code} {told}") from None
    except (OSError, http.client.HTTPException) as error:
        raise HistoryError(f"{url.partition('?')[0]}: {error}") from None


def _value(name: str, t: object, value: object, span: tuple[int, int], bad: Counter[str]) -> Iterator[Value]:
    if isinstance(value, bool):
        value = float(value)
    if not isinstance(t, int):
        bad["bad_time"] += 1
    elif not span[0] <= t < span[1]:
        bad["outside"] += 1
    elif not isinstance(value, (int, float)):
        bad["bad_number"] += 1
    else:
        yield Value(name, t, float(value))


# -- CSV ------------------------------------------------------------------------------------------------------


def _csv(plan: Plan) -> Iterator[Chunk]:
    path = Path(plan.origin)
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        head = [column.strip() for column in next(csv.reader([file.readline()]), [])]
        if len(head) < 2:
            raise MapError(f"{path}:1: expected a head such as 'time,name,value' or 'time,turn temp,...', found {head}")
        number = 0
        while lines := list(islice(file, BLOCK_LINES)):
            bad: Counter[str] = Counter()
            content = hashlib.sha256("".join((*head, *lines)).encode()).hexdigest()
            yield Chunk(
                f"block {number}", marked(plan, plan.low, plan.high, content), _csv_values(plan, head, lines, bad), bad
            )
            number += 1


def _csv_values(plan: Plan, head: list[str], lines: list[str], bad: Counter[str]) -> Iterator[Value]:
    names = {column.lower(): k for k, column in enumerate(head)}
    named = names.get("name", names.get("tag"))
    long = named is not None and "value" in names
    low, high = plan.low if plan.low is not None else 0, plan.high if plan.high is not None else 2**53
    if not long:
        bad.update({"unmapped_columns": sum(column not in plan.mapping for column in head[1:])})
    for row in csv.reader(lines):
        if len(row) != len(head):
            bad["columns"] += bool(row)
            continue
        t = _time(row[names.get("time", 0)])
        if t is None:
            bad["bad_time"] += 1
            continue
        if not low <= t < high:
            bad["outside"] += 1
            continue
        cells = (
            [(row[named], row[names["value"]])] if long and named is not None else zip(head[1:], row[1:], strict=True)
        )
        quality = _quality(row[names["quality"]]) if "quality" in names else GOOD
        for name, text in cells:
            if name not in plan.mapping:
                bad["unmapped"] += long
            elif text.strip():
                try:
                    yield Value(name, t, float(text), quality)
                except ValueError:
                    bad["bad_number"] += 1


def _time(text: str) -> int | None:
    """Plant ms of an ISO time (UTC where it says nothing), of seconds or of milliseconds since 1970."""
    try:
        number = float(text)
        return round(number if abs(number) >= 1e11 else number * 1000)
    except (ValueError, OverflowError):
        pass
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    return round((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1000)


def _quality(text: str) -> int:
    word = text.strip().lower()
    if word in QUALITIES:
        return QUALITIES.index(word)
    return int(word) if word.isdigit() and int(word) < len(QUALITIES) else GOOD


# -- OPC UA ---------------------------------------------------------------------------------------------------


def _opcua(plan: Plan, low: int, high: int, bad: Counter[str]) -> Iterator[Value]:
    for name, found in asyncio.run(_history(plan, low, high)):
        for one in found:
            stamp = one.SourceTimestamp or one.ServerTimestamp
            code = one.StatusCode
            value = one.Value.Value if one.Value is not None else None
            if stamp is None:
                bad["bad_time"] += 1
                continue
            aware = stamp if stamp.tzinfo else stamp.replace(tzinfo=UTC)
            t = round(aware.timestamp() * 1000)
            for told in _value(name, t, value, (low, high), bad):
                yield Value(name, told.t, told.value, quality_of(code.is_good(), code.is_bad()) if code else GOOD)


async def _history(plan: Plan, low: int, high: int) -> list[tuple[str, list[Any]]]:
    from asyncua.client.client import Client
    from asyncua.ua.uaerrors import UaError

    begin, end = (datetime.fromtimestamp(t / 1000, UTC) for t in (low, high))
    found: list[tuple[str, list[Any]]] = []
    try:
        async with Client(plan.origin, timeout=TIMEOUT_S) as client:
            for name in plan.mapping:
                node = client.get_node(name)
                found.append((name, await node.read_raw_history(begin, end, return_bounds=False)))
    except (OSError, UaError, TimeoutError, ValueError) as error:
        raise HistoryError(f"{plan.origin}: {type(error).__name__} {error}") from None
    return found
