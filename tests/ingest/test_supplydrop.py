"""Supply documents by CSV drop and by REST: complete files, all or nothing, once, with lines named."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import httpx
import pytest

from ingest import supplydrop
from ingest.broker import free_port
from ingest.journal import Journal, JournalError
from ingest.message import Line
from ingest.payloads import Supply, WireError
from ingest.run import Web, drop_of, listen
from ingest.service import Service, Settings
from ingest.supplydrop import Drop, Rejected, read_rows
from tests.ingest.kit import until

HEAD = "doc,version,kind,item,quantity,issued,due\n"
GOOD = (
    HEAD
    + "PO-1,1,purchase_order,coil,400,2026-01-05T08:00Z,2026-01-09T08:00+01:00\n"
    + "PO-2,1,purchase_order,coil,10.5,1767600000000,\n"
)


class Taker:
    """Stands for the service: knows documents by id and version."""

    def __init__(self) -> None:
        self.docs: dict[tuple[str, int], Supply] = {}
        self.trouble: Exception | None = None

    def __call__(self, doc: Supply, _body: bytes) -> Future[dict[str, Any]]:
        done: Future[dict[str, Any]] = Future()
        if self.trouble is not None:
            done.set_exception(self.trouble)
        else:
            done.set_result({"duplicate": (doc.doc, doc.version) in self.docs})
            self.docs[doc.doc, doc.version] = doc
        return done


@pytest.fixture
def drop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Drop:
    monkeypatch.setattr(supplydrop, "STILL_S", 0.0)
    return Drop(tmp_path, Taker(), lambda _: None)


def scan(drop: Drop) -> int:
    return drop.scan() + drop.scan()  # the first look only notes how a file stands


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_file())


def test_a_file_is_taken_and_moved(drop: Drop) -> None:
    (drop.folder / "orders.csv").write_text(GOOD)
    assert scan(drop) == 1
    taker = drop._submit
    assert isinstance(taker, Taker)
    first, second = taker.docs.values()
    assert (first.due, first.issued) == (1_767_942_000_000, 1_767_600_000_000)
    assert (second.quantity, second.due) == (10.5, None)
    assert names(drop.folder) == []
    assert names(drop.folder / "done") == ["orders.csv"]


def test_a_file_that_still_grows_or_is_not_ready_waits(drop: Drop, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (".hidden.csv", "a.csv.part", "b.tmp"):
        (drop.folder / name).write_text(GOOD)
    monkeypatch.setattr(supplydrop, "STILL_S", 3600.0)
    (drop.folder / "c.csv").write_text(GOOD)
    assert scan(drop) == 0
    assert len(names(drop.folder)) == 4


def test_one_wrong_line_and_nothing_of_the_file_is_taken(drop: Drop) -> None:
    bad = GOOD + "PO-3,x,purchase_order,coil,1,2026-01-05T08:00Z,\nPO-4,1,gift,coil,1,2026-01-05T08:00Z,\n"
    (drop.folder / "orders.csv").write_text(bad + "PO-5,1,purchase_order,coil,1,2026-01-05,\nPO-6,1\n")
    assert scan(drop) == 1
    assert names(drop.folder / "rejected") == ["orders.csv", "orders.csv.why.txt"]
    why = (drop.folder / "rejected" / "orders.csv.why.txt").read_text().splitlines()
    assert [line.split(":")[0] for line in why] == ["line 4", "line 5", "line 6", "line 7"]
    assert "whole number, found 'x'" in why[0]
    assert "names no zone" in why[2]
    taker = drop._submit
    assert isinstance(taker, Taker)
    assert taker.docs == {}
    (drop.folder / "orders.csv").write_text(GOOD)  # corrected, under the same name
    assert scan(drop) == 1
    assert len(taker.docs) == 2


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"\xff\xfe", "expected UTF-8"),
        (b"", "expected a head"),
        (b"doc,version,kind,issued,colour\n", "expected a head"),
        (b'"doc,version\n', "the head cannot be read"),
        (HEAD.encode() + b'"PO-1,1\n', "line"),
    ],
)
def test_files_that_are_none(tmp_path: Path, body: bytes, told: str) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(body)
    with pytest.raises(Rejected, match=told):
        read_rows(path)


def test_semicolons_and_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("\ufeffdoc;version;kind;issued;quantity\nPO-1;1;purchase_order;1767600000000;4\n")
    assert [(line, d.doc, d.quantity) for line, d in read_rows(path)] == [(2, "PO-1", 4.0)]


def test_while_nothing_can_be_written_the_file_stays(drop: Drop) -> None:
    (drop.folder / "orders.csv").write_text(GOOD)
    taker = drop._submit
    assert isinstance(taker, Taker)
    taker.trouble = JournalError("no space left")
    assert scan(drop) == 0
    assert names(drop.folder) == ["orders.csv"]
    taker.trouble = None
    assert scan(drop) == 1
    taker.trouble = WireError("overflow", "too many sources")
    (drop.folder / "more.csv").write_text(GOOD)
    assert scan(drop) == 1
    assert "too many sources" in (drop.folder / "rejected" / "more.csv.why.txt").read_text()


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    """A service without a broker: papers come over HTTP and by files all the same."""
    monkeypatch.setattr(supplydrop, "STILL_S", 0.0)
    settings = Settings(
        tmp_path / "d", "127.0.0.1", free_port(), Line("demo", "machining", "line3"), drop=tmp_path / "in"
    )
    found = Service(settings)
    found.start()
    yield found
    found.stop()


def rows(service: Service) -> list[dict[str, Any]]:
    reader = Journal.open_reader(service.settings.data / "journal.db")
    try:
        return [json.loads(row.body) for row in reader.read(0, 10_000) if row.kind == "supply"]
    finally:
        reader.close()


def test_a_kill_between_the_journal_and_the_move_doubles_nothing(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop = drop_of(service)
    assert drop is not None
    (drop.folder / "orders.csv").write_text(GOOD)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(drop, "_move", killed)
        with pytest.raises(KeyboardInterrupt):
            scan(drop)
    assert len(rows(service)) == 2
    again = drop_of(service)
    assert again is not None
    assert scan(again) == 1
    assert len(rows(service)) == 2
    assert names(again.folder / "done") == ["orders.csv"]


def test_the_rest_interface_takes_one_or_many_once_each(service: Service) -> None:
    listener = listen(0)
    web = Web(service, listener)
    web.start()
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}") as http:
            until(lambda: web.server.started)
            one = {"doc": "PO-1", "version": 1, "kind": "purchase_order", "issued": 1_767_600_000_000, "quantity": 4}
            assert http.post("/api/supply", json=one).json()["results"][0]["duplicate"] is False
            many = [one, one | {"version": 2}, one | {"kind": "gift", "doc": "X"}]
            answer = http.post("/api/supply", json=many)
            assert answer.status_code == 422
            results = answer.json()["results"]
            assert [r.get("duplicate") for r in results] == [True, False, None]
            assert "gift" in results[2]["error"] or "wrong_type" in results[2]["error"]
            assert len(rows(service)) == 2
            assert http.post("/api/supply", json=many[:2]).json() == {
                "results": [{"doc": "PO-1", "version": n, "duplicate": True} for n in (1, 2)], "wrong": 0,
            }  # fmt: skip
            assert http.post("/api/supply", json=[]).status_code == 422
            assert http.post("/api/supply", content=b"x").status_code == 422
            age = http.get("/ledger").json()["supply"]
            assert age["documents"] == 2
            assert age["age_s"] > 0
            assert age["kinds"]["purchase_order"] == pytest.approx(age["age_s"], abs=2)
            moved = {"thing": "b1", "property": "moved", "value": 2, "to": "b2", "role": "foreman"}
            assert http.post("/manual", json=moved).status_code == 200
            assert http.post("/manual", json=moved | {"to": ""}).status_code == 422
            assert http.post("/manual", json=moved | {"property": "level"}).status_code == 422
    finally:
        web.stop()
        listener.close()
