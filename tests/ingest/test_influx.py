"""The InfluxDB sink: an outage loses nothing, poison is isolated, the cursor never runs ahead."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from ingest.api import sinks
from ingest.broker import free_port
from ingest.influx import OutageError, Sink, Target, child, follow, line, writer
from ingest.intake import Intake
from ingest.journal import Cursor, Journal
from ingest.wire import Reading, topic
from tests.ingest.kit import CELL1, LINE, birth, data, said, until


class Server(ThreadingHTTPServer):
    """Takes the v2 write API; `status` says with what it answers, `poison` which text it will never take."""

    daemon_threads = True
    status = 204
    poison = "~"

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.lines: list[str] = []
        self.requests: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        self.server.requests.append(self.path)
        status = 400 if self.server.poison in body else self.server.status
        if status == 204:
            self.server.lines += body.splitlines()
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    found = Server()
    thread = threading.Thread(target=found.serve_forever, daemon=True)
    thread.start()
    yield found
    found.shutdown()
    found.server_close()


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    found = Journal(tmp_path / "journal.db")
    yield found
    found.close()


def fill(journal: Journal, first: int, last: int, value: float = 0.0) -> None:
    intake = Intake.restore(LINE, Intake(LINE).topics, journal)
    messages = [said(topic(CELL1, "data"), data(n, value=value)) for n in range(first, last + 1)]
    journal.commit(intake.take([said(topic(CELL1, "birth"), FIRST, retain=True), *messages]))


FIRST = birth()


def sink(journal: Journal, server: Server) -> Sink:
    cursor = Cursor(journal.path.parent / "cursors" / "influx.json")
    return Sink(Journal.open_reader(journal.path), cursor, writer(Target(server.url, "t", "o", "b"), 2.0))


def values(server: Server) -> list[float]:
    return [float(text.split(" value=")[1].split(",")[0]) for text in server.lines]


def test_line_protocol_by_hand() -> None:
    reading = Reading(1767600000000, "b 1/le,v=l", 3.5, 5, CELL1, "e1", 4, 9)
    assert line(reading) == (
        r"reading,site=demo,area=machining,line=line3,cell=cell1,tag=b\ 1/le\,v\=l,kind=data "
        'value=3.5,q="estimated" 1767600000000'
    )


def test_everything_is_written_once_and_a_restart_goes_on(journal: Journal, server: Server) -> None:
    fill(journal, 1, 1500)
    one = sink(journal, server)
    assert one.step()
    two = sink(journal, server)  # a restart in the middle: it must know the birth that came before its cursor
    while two.step():
        pass
    assert values(server) == [float(n) for n in range(1, 1501)]
    assert two.cursor.load() == journal.last()
    assert "bucket=b" in server.requests[0]
    assert "precision=ms" in server.requests[0]


@pytest.mark.parametrize("status", [500, 503, 429, 401])
def test_an_outage_moves_nothing_and_loses_nothing(journal: Journal, server: Server, status: int) -> None:
    fill(journal, 1, 50)
    one = sink(journal, server)
    server.status = status
    for _ in range(3):
        with pytest.raises(OutageError, match=str(status)):
            one.step()
        assert one.cursor.load() == 0
    fill(journal, 51, 90)
    server.status = 204
    while one.step():
        pass
    assert values(server) == [float(n) for n in range(1, 91)]


def test_no_server_at_all_is_an_outage(journal: Journal) -> None:
    fill(journal, 1, 3)
    write = writer(Target(f"http://127.0.0.1:{free_port()}"), 0.5)
    with pytest.raises(OutageError):
        Sink(Journal.open_reader(journal.path), Cursor(journal.path.parent / "c.json"), write).step()


def test_poison_is_isolated_counted_and_passed_over(journal: Journal, server: Server) -> None:
    fill(journal, 1, 40)
    fill(journal, 41, 41, value=666.5)
    fill(journal, 42, 60)
    server.poison = "666.5"
    one = sink(journal, server)
    while one.step():
        pass
    assert values(server) == [float(n) for n in range(1, 61) if n != 41]
    assert one.stats.poison == 1
    assert one.stats.samples[0].startswith("row 42: 400")
    assert one.cursor.load() == journal.last()
    assert len(server.requests) < 20


def test_following_survives_an_outage(journal: Journal, server: Server) -> None:
    fill(journal, 1, 10)
    server.status = 503
    stop = threading.Event()
    target = Target(server.url)
    thread = threading.Thread(target=follow, args=(journal.path.parent, writer(target, 1.0), stop))
    thread.start()
    try:
        until(lambda: server.requests)
        server.status = 204
        until(lambda: len(values(server)) == 10, what="the backlog")
        fill(journal, 11, 12)
        until(lambda: len(values(server)) == 12, what="what came after")
    finally:
        stop.set()
        thread.join(5)
    assert '"state":"ok"' in (journal.path.parent / "run" / "sink-influx.json").read_text()


def test_the_sink_is_a_process_of_its_own_and_comes_back(journal: Journal, server: Server) -> None:
    fill(journal, 1, 5)
    process = child(journal.path.parent, Target(server.url, "secret"))
    try:
        until(lambda: len(values(server)) == 5, 20)
        assert "secret" not in " ".join(str(part) for part in process._process.args)  # type: ignore[union-attr]
        process._process.kill()
        process._process.wait()
        fill(journal, 6, 7)
        process.keep_up()
        # killed between the write and its cursor it writes again, which the server's keys make one point
        until(lambda: set(values(server)) == {float(n) for n in range(1, 8)}, 20)
    finally:
        process.stop()


FAULTS = ("503", "refuse", "slow", "401", "cut", "429", "half")
"""What the proxy does to a request. After slow, cut and half the server has the points and the sink does not know."""


class Proxy(ThreadingHTTPServer):
    """Between the sink and a real server: meets each request with the next fault, hands on the rest."""

    daemon_threads = True

    def __init__(self, target: str) -> None:
        super().__init__(("127.0.0.1", 0), Between)
        self.target = target
        self.faults: list[str] = []
        self.met: list[str] = []
        self.largest = 0

    def handle_error(self, request: object, client_address: object) -> None:
        """A connection that we cut complains here."""


class Between(BaseHTTPRequestHandler):
    server: Proxy

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.largest = max(self.server.largest, len(body))
        fault = self.server.faults.pop(0) if self.server.faults else ""
        self.server.met.append(fault)
        if fault == "refuse":
            self.connection.close()
            return
        if fault.isdigit():
            self.send_response(int(fault))
            self.send_header("content-length", "0")
            self.end_headers()
            return
        if fault == "half":  # half of the lines reach the server, then it fails
            body = b"\n".join(body.splitlines()[: body.count(b"\n") // 2])
        request = urllib.request.Request(self.server.target + self.path, data=body, method="POST")
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                status = answer.status
        except OSError:
            status = 502
        if fault == "slow":
            time.sleep(1.5)
        if fault == "cut":
            self.wfile.write(b"HTTP/1.1 2")
            self.connection.close()
            return
        self.send_response(500 if fault == "half" else status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@dataclass
class Victoria:
    """A victoria-metrics of this machine that sees points with one key and time as one point, as InfluxDB does."""

    folder: Path
    port: int = field(default_factory=free_port)
    _process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        program = shutil.which("victoria-metrics")
        if program is None:
            pytest.skip("victoria-metrics is not installed on this machine (apt-get install victoria-metrics)")
        call = [
            program, f"-httpListenAddr=127.0.0.1:{self.port}", "-retentionPeriod=100y", "-dedup.minScrapeInterval=1ms",
            f"-storageDataPath={self.folder / 'vm'}", "-memory.allowedBytes=256MB",
        ]  # fmt: skip
        with (self.folder / "vm.log").open("ab") as log:
            self._process = subprocess.Popen(call, stdout=log, stderr=log)
        until(lambda: _answers(f"{self.url}/health"), 20, "victoria-metrics")

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(20)
            self._process = None

    def values(self, tag: str = "turn/count") -> list[float]:
        query = urllib.parse.urlencode(
            {"match[]": f'{{__name__="reading_value",tag="{tag}"}}', "max_rows_per_line": "10000"}
        )
        _get(f"{self.url}/internal/force_flush")
        points = [json.loads(text) for text in _get(f"{self.url}/api/v1/export?{query}").splitlines()]
        return sorted(v for p in points for v in p["values"])


@pytest.fixture
def victoria(tmp_path: Path) -> Iterator[Victoria]:
    found = Victoria(tmp_path)
    found.start()
    yield found
    found.stop()


def test_a_real_server_takes_and_returns_the_points(journal: Journal, tmp_path: Path, victoria: Victoria) -> None:
    fill(journal, 1, 20)
    write = writer(Target(f"{victoria.url}/influx"))
    one = Sink(Journal.open_reader(journal.path), Cursor(tmp_path / "c.json"), write)
    while one.step():
        pass
    assert (one.stats.points, one.stats.poison) == (20, 0)
    until(lambda: victoria.values() == [float(n) for n in range(1, 21)], 15, "the points to be searchable")


def test_a_real_server_behind_every_fault_has_every_point_once(
    journal: Journal, tmp_path: Path, victoria: Victoria
) -> None:
    """Refused, failed, half written, cut in the answer, too slow, away and started again: what is sent twice is one."""
    proxy = Proxy(f"{victoria.url}/influx")
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    target = Target(f"http://127.0.0.1:{proxy.server_address[1]}")
    rnd = random.Random(9)
    behind = []
    total = 0
    try:
        for turn in range(3):
            fill(journal, total + 1, total + 2_500)
            total += 2_500
            proxy.faults = rnd.sample(FAULTS, len(FAULTS))
            if turn == 1:
                victoria.stop()
                proxy.faults = []
            one = Sink(Journal.open_reader(journal.path), Cursor(tmp_path / "c.json"), writer(target, 1.0))
            failures = 0
            while True:
                try:
                    if not one.step():
                        break
                except OutageError:
                    failures += 1
                    behind.append(one.reader.last() - one.cursor.load())
                    if turn == 1 and failures == 3:
                        assert one.cursor.load() == 2_501  # the cursor waits where the server went away
                        victoria.start()
            assert failures >= (3 if turn == 1 else len(FAULTS))
            assert one.stats.poison == 0
            assert one.cursor.load() == journal.last()
        until(lambda: victoria.values() == [float(n) for n in range(1, total + 1)], 15, "the points to be searchable")
    finally:
        proxy.shutdown()
        proxy.server_close()
    assert set(FAULTS) <= set(proxy.met)
    assert max(behind) > 2_000
    assert proxy.largest < 200 * 1_000  # a request holds one batch, however long the outage was


def test_the_ledger_shows_how_far_a_sink_is_behind(journal: Journal, server: Server) -> None:
    fill(journal, 1, 1_200)
    server.status = 503
    stop = threading.Event()
    thread = threading.Thread(target=follow, args=(journal.path.parent, writer(Target(server.url), 1.0), stop))
    thread.start()

    def told() -> dict[str, Any]:
        found: dict[str, Any] = sinks(journal.path.parent).get("influx", {})
        return found

    try:
        until(lambda: told().get("behind") == 1_201 and str(told()["state"]).startswith("waiting: 503"), 10, "the lag")
        server.status = 204
        until(lambda: told().get("behind") == 0, 15)
    finally:
        stop.set()
        thread.join(5)
    assert told()["points"] == 1_200


def _get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=5) as answer:
        body: bytes = answer.read()
    return body


def _answers(url: str) -> bool:
    try:
        _get(url)
        return True
    except OSError:
        time.sleep(0.1)
        return False
