"""Importing from a historian: once however often it is run, labelled, bad rows counted, never in the live state."""

from __future__ import annotations

import asyncio
import json
import re
import threading
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from ingest import backfill_sources
from ingest.backfill import MapError, Plan, Target, load_map, run
from ingest.broker import free_port
from ingest.history import History
from ingest.journal import Journal
from ingest.manifest import DAY_MS, HistoryError
from tests.ingest.history_kit import T0, born, compact, minutes, tell
from tests.ingest.kit import until
from tests.ingest.test_influx import Victoria

HOUR = 3_600_000
SITE = "demo/machining/line3"
DAY = T0 // DAY_MS * DAY_MS


def imported(data: Path, tag: str = "turn/temp") -> list[tuple[int, float | None, int]]:
    with History(data) as history:
        return [(t, v, q) for t, _, v, q, _, _ in history.query([tag], 0, 2**52).rows]


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def csv_plan(data: Path, path: Path, names: dict[str, Target] | None = None) -> Plan:
    return Plan(data, "csv", str(path), names or {"T1": Target("turn/temp", 0.1, -5.0)}, SITE)


def test_a_csv_is_imported_once_and_again_when_it_grew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backfill_sources, "BLOCK_LINES", 3)
    rows = [f"{datetime.fromtimestamp((T0 + k * 1000) / 1000, UTC).isoformat()},T1,{k * 10}" for k in range(8)]
    path = write(tmp_path / "old.csv", "\n".join(["time,name,value", *rows]) + "\n")
    plan = csv_plan(tmp_path, path)
    first = run(plan)
    assert (first.rows, first.days, first.skipped, first.bad) == (8, 3, 0, Counter())
    assert imported(tmp_path) == [(T0 + k * 1000, k - 5.0, 0) for k in range(8)]
    again = run(plan)
    assert (again.rows, again.days, again.skipped) == (0, 0, 3)
    path.write_text(
        "\n".join(["time,name,value", *rows, f"{T0 + 8000},T1,80", f"{T0 + 9000},T1,90"]) + "\n", encoding="utf-8"
    )
    grown = run(plan)
    assert (grown.days, grown.skipped) == (2, 2)
    assert imported(tmp_path) == [(T0 + k * 1000, k - 5.0, 0) for k in range(10)]
    path.write_text("\n".join(["time,name,value", *rows[:3]]) + "\n", encoding="utf-8")
    run(plan)
    assert imported(tmp_path) == [(T0 + k * 1000, k - 5.0, 0) for k in range(3)]
    with History(tmp_path) as history:  # rollups too
        assert [row[2] for row in history.query(["turn/temp"], T0, T0 + HOUR, HOUR, "count").rows] == [3.0]
    assert len(list((tmp_path / "history" / "readings").rglob("*.parquet"))) == 1


def test_bad_rows_are_counted_by_reason(tmp_path: Path) -> None:
    rows = (f"{T0},T1,7,bad", "soon,T1,1,good", f"{T0},T1", f"{T0},T1,x,good", f"{T0},T9,1,good", f"{T0},T1,nan,good")
    text = "\n".join(("time,name,value,quality", *rows, "", ""))
    report = run(csv_plan(tmp_path, write(tmp_path / "a.csv", text)))
    assert report.rows == 1
    assert report.bad == {"bad_time": 1, "columns": 1, "bad_number": 2, "unmapped": 1}
    assert imported(tmp_path) == [(T0, 7 * 0.1 - 5.0, 3)]


def test_a_wide_csv_has_a_column_a_tag(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", f"t,T1,level,junk\n{T0 // 1000},1,2,3\n{T0 // 1000 + 60},,4,5\n")
    report = run(csv_plan(tmp_path, path, {"T1": Target("turn/temp"), "level": Target("b1/level")}))
    assert (report.rows, report.bad["unmapped_columns"]) == (3, 1)
    assert imported(tmp_path, "b1/level") == [(T0, 2.0, 0), (T0 + 60_000, 4.0, 0)]


def test_an_import_cut_short_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backfill_sources, "BLOCK_LINES", 2)
    path = write(tmp_path / "a.csv", "time,name,value\n" + "".join(f"{T0 + k},T1,{k}\n" for k in range(10)))
    plan = csv_plan(tmp_path, path, {"T1": Target("turn/temp")})
    values = backfill_sources._csv_values
    left = 3

    def cut(*arguments: object) -> Iterator[object]:
        nonlocal left
        left -= 1
        if left < 0:
            raise KeyboardInterrupt
        return values(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(backfill_sources, "_csv_values", cut)
    with pytest.raises(KeyboardInterrupt):
        run(plan)
    monkeypatch.setattr(backfill_sources, "_csv_values", values)
    report = run(plan)
    assert (report.skipped, report.days) == (3, 2)
    assert [v for _, v, _ in imported(tmp_path)] == [float(k) for k in range(10)]


def test_the_journal_and_the_last_values_know_nothing_of_it_and_live_readings_come_first(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")
    born(journal)
    tell(journal, 1, minutes(60, T0 + HOUR))
    before = journal.last()
    text = "time,name,value\n" + "".join(f"{T0 + k * 60_000},T1,{k}\n" for k in range(180))
    run(csv_plan(tmp_path, write(tmp_path / "a.csv", text), {"T1": Target("turn/temp")}))
    compact(tmp_path).close()
    assert journal.last() == before
    journal.close()
    with History(tmp_path) as history:
        assert {tag.source.rsplit("/", 1)[1] for tag in history.last()} == {"cell1"}
        raw = history.query(["turn/temp"], T0, T0 + 3 * HOUR)
        assert Counter(row[5] for row in raw.rows) == {"import": 60, "exactly_once": 60}
        hours = history.query(["turn/temp"], T0, T0 + 3 * HOUR, HOUR, "mean")
        assert [(t, value) for t, _, value, *_ in hours.rows] == [(T0, 29.5), (T0 + HOUR, 49.5)]


def test_a_map_says_what_is_wrong_with_it(tmp_path: Path) -> None:
    good = write(tmp_path / "m.yaml", "ns=2;s=T: turn/temp\n'a b': {tag: b1/level, scale: 0.1, offset: 2}\n")
    assert load_map(good) == {"ns=2;s=T": Target("turn/temp"), "a b": Target("b1/level", 0.1, 2.0)}
    with pytest.raises(MapError, match=r"bad.yaml:1: .*scale"):
        load_map(write(tmp_path / "bad.yaml", "a: {tag: b, scale: much}\n"))
    with pytest.raises(MapError, match="found none"):
        load_map(write(tmp_path / "empty.yaml", "{}\n"))
    with pytest.raises(MapError, match="SITE/AREA/LINE"):
        run(Plan(tmp_path, "csv", "x", {}, "demo"))
    with pytest.raises(MapError, match="--from, --to"):
        run(Plan(tmp_path, "influx", "http://x", {}, SITE, 5, None))


# -- InfluxDB ---------------------------------------------------------------------------------------------------


class Influx(BaseHTTPRequestHandler):
    """Answers the one kind of InfluxQL that is asked, chunked, from points in memory, as InfluxDB 1.8 and 2 do."""

    points: dict[tuple[str, str, str], list[tuple[int, object]]] = {}  # noqa: RUF012 - one server a test
    asked: list[str] = []  # noqa: RUF012
    fail = 0

    def do_GET(self) -> None:
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
        type(self).asked.append(query["q"][0])
        if type(self).fail:
            type(self).fail -= 1
            self.send_error(503, "busy")
            return
        assert self.headers["authorization"] == "Token secret"
        assert (query["db"], query["epoch"], query["chunked"]) == (["plant"], ["ms"], ["true"])
        form = r"""SELECT "(\w+)" FROM "(\w+)" WHERE time >= (\d+)ms AND time < (\d+)ms AND "tag"='((?:\\'|[^'])*)'"""
        found = re.fullmatch(form, query["q"][0])
        assert found, query["q"][0]
        name, measurement, low, high, tag = found.groups()
        points = self.points.get((measurement, tag.replace("\\'", "'"), name), [])
        inside = [[t, v] for t, v in points if int(low) <= t < int(high)]
        self.send_response(200)
        self.end_headers()
        for k in range(0, len(inside) + 1, 7):
            series = [{"name": measurement, "columns": ["time", name], "values": inside[k : k + 7]}]
            body = {"results": [{"statement_id": 0, "series": series if inside[k : k + 7] else []}]}
            self.wfile.write(json.dumps(body).encode() + b"\n")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def influx() -> Iterator[tuple[type[Influx], str]]:
    kind = type("OneInflux", (Influx,), {"points": {}, "asked": [], "fail": 0})
    server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield kind, f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_influxql_is_read_day_by_day_and_only_what_is_missing_again(
    tmp_path: Path, influx: tuple[type[Influx], str]
) -> None:
    kind, url = influx
    kind.points["reading", "o'k", "value"] = [(DAY + k * HOUR, float(k)) for k in range(60)]
    kind.points["reading", "other", "value"] = [(DAY, None), (DAY, 4)]
    mapping = {"reading,tag=o'k value": Target("turn/temp"), "reading,tag=other value": Target("b1/level")}
    plan = Plan(tmp_path, "influx", url, mapping, SITE, DAY, DAY + 2 * DAY_MS, "plant", "secret")
    kind.fail = 1
    with pytest.raises(HistoryError, match="503"):
        run(plan)
    report = run(plan)
    assert (report.rows, report.days, report.bad) == (49, 2, {"bad_number": 1})
    assert [v for _, v, _ in imported(tmp_path)] == [float(k) for k in range(48)]
    kind.asked.clear()
    longer = Plan(tmp_path, "influx", url, mapping, SITE, DAY, DAY + 3 * DAY_MS, "plant", "secret")
    assert (run(longer).skipped, len(kind.asked)) == (2, 2)
    assert [v for _, v, _ in imported(tmp_path)] == [float(k) for k in range(60)]


def test_what_victoria_metrics_holds_is_read_through_its_export(tmp_path: Path) -> None:
    server = Victoria(tmp_path)
    server.start()
    try:
        lines = "\n".join(f"reading,tag=turn/temp value={k} {DAY + k * HOUR}" for k in range(30))
        _post(f"{server.url}/influx/api/v2/write?precision=ms", lines)
        until(lambda: len(server.values("turn/temp")) == 30, 15)
        mapping = {'reading_value{tag="turn/temp"}': Target("turn/temp", 2.0)}
        plan = Plan(tmp_path / "d", "influx", f"{server.url}/api/v1/export", mapping, SITE, DAY, DAY + 2 * DAY_MS)
        report = run(plan)
        assert (report.rows, report.days, report.bad) == (30, 2, Counter())
        assert imported(tmp_path / "d") == [(DAY + k * HOUR, 2.0 * k, 0) for k in range(30)]
        wrong = Plan(tmp_path / "d", "influx", server.url, {"reading,tag=a value": Target("a")}, SITE, DAY, DAY + 1)
        with pytest.raises(HistoryError, match="has no InfluxQL"):
            run(wrong)
    finally:
        server.stop()


def _post(url: str, body: str) -> None:
    with urllib.request.urlopen(urllib.request.Request(url, data=body.encode(), method="POST"), timeout=5):
        pass


# -- OPC UA -----------------------------------------------------------------------------------------------------


async def _serve(port: int, ready: threading.Event, stop: threading.Event) -> None:
    """A server that remembers 300 values, ten minutes apart, and hands out 100 an answer."""
    from asyncua import ua
    from asyncua.server.history import HistoryDict
    from asyncua.server.server import Server
    from asyncua.ua.status_codes import StatusCodes

    server = Server()
    await server.init()
    storage = HistoryDict(100)
    server.iserver.history_manager.set_storage(storage)
    server.set_endpoint(f"opc.tcp://127.0.0.1:{port}/")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    space = await server.register_namespace("plant")
    node = await server.nodes.objects.add_variable(ua.NodeId.from_string(f"ns={space};s=Turn.Temp"), "Turn.Temp", 0.0)
    await server.start()
    try:
        await server.historize_node_data_change(node, period=timedelta(days=9_999), count=10_000)
        begin = datetime.fromtimestamp(DAY / 1000, UTC)
        for k in range(300):
            code = {7: StatusCodes.Bad, 8: StatusCodes.Uncertain}.get(k, StatusCodes.Good)
            stamp = begin + timedelta(minutes=10 * k)
            value = ua.Variant(float(k), ua.VariantType.Double)
            at = ua.DateTime.fromtimestamp(stamp.timestamp(), UTC)
            told = ua.DataValue(value, ua.StatusCode(ua.UInt32(code)), SourceTimestamp=at, ServerTimestamp=at)
            await storage.save_node_value(node.nodeid, told)
        ready.set()
        await asyncio.to_thread(stop.wait)
    finally:
        await server.stop()


@pytest.mark.slow  # the server itself takes seconds to build its address space
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_an_opc_ua_server_with_history_is_read_with_its_qualities(tmp_path: Path) -> None:
    pytest.importorskip("asyncua", reason="asyncua is not installed: pip install 'plantwin[edge]'")
    port, ready, stop = free_port(), threading.Event(), threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(_serve(port, ready, stop)))
    thread.start()
    try:
        assert ready.wait(120)
        mapping = {"ns=2;s=Turn.Temp": Target("turn/temp")}
        plan = Plan(tmp_path, "opcua-history", f"opc.tcp://127.0.0.1:{port}/", mapping, SITE, DAY, DAY + 2 * DAY_MS)
        report = run(plan)
        assert report.days == 2
        found = imported(tmp_path)
        assert [t for t, _, _ in found] == [DAY + k * 600_000 for k in range(288)]
        assert [q for _, _, q in found[6:10]] == [0, 3, 1, 0]
        assert [v for _, v, _ in found[:7]] == [float(k) for k in range(7)]
        assert run(plan).skipped == 2
        nowhere = f"opc.tcp://127.0.0.1:{free_port()}/"
        with pytest.raises(HistoryError, match="Connect"):
            run(Plan(tmp_path, "opcua-history", nowhere, mapping, SITE, DAY, DAY + 1))
        other = Plan(tmp_path, "opcua-history", plan.origin, {"ns=2;s=none": Target("x")}, SITE, DAY, DAY + DAY_MS)
        assert run(other).rows == 0  # what is no longer in the map is no longer there
        assert [t for t, _, _ in imported(tmp_path)] == [DAY + k * 600_000 for k in range(144, 288)]
    finally:
        stop.set()
        thread.join(10)
