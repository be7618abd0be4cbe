"""Ten times more than can be sent: of each tag the newest, events all or as counted gaps, and it is said."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from hardware import uplink as module
from hardware.link import Hooks, Link
from hardware.outbox import Limits, Outbox
from hardware.store import Store
from hardware.uplink import Uplink, load_news
from ingest.journal import Journal
from ingest.message import Message
from ingest.service import Service, Settings
from ingest.wire import GOOD, UNCERTAIN, Data, Tag, parse
from tests.ingest.kit import CELL1, LINE, birth, data

TAGS = [Tag(i=i, name=f"t{i}", type="int") for i in range(5)]


class SlowLink(Link):
    """A connection whose broker confirms only what the test lets it."""

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> bool:  # noqa: ARG002
        self.in_flight += 1
        return True


class Clock:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(module, "time", found)
    monkeypatch.setattr(module, "WINDOW", 20)  # the same with fewer messages
    return found


def overloaded(store: Store, clock: Clock, limits: Limits) -> Uplink:
    """Ten seconds of 100 changes of each tag a second where ten messages a second get away."""
    link = SlowLink("127.0.0.1", 1, "x", hooks=Hooks())
    link.connected = True
    uplink = Uplink(Outbox(store, CELL1, limits), link, TAGS)
    uplink.online = True
    for n in range(1_000):
        clock.now += 0.01
        for tag in TAGS:
            uplink.value(n, tag.name, n, GOOD)
        if n % 2 == 0:
            uplink.numbered("event", "event", {"t": n, "kind": "alarm", "thing": "x", "text": str(n)})
        if uplink.due(0.02):
            with store.transaction():
                uplink.store()
            uplink.stored()
        link.in_flight -= int(n % 10 == 0 and link.in_flight > 0)
        uplink.pump()
    with store.transaction():
        uplink.store()
    uplink.stored()
    return uplink


def readings(uplink: Uplink) -> dict[int, list[float]]:
    """What is in the outbox, by alias."""
    found: dict[int, list[float]] = {}
    for message in uplink.outbox.stored(1, uplink.outbox.next, 1_000_000):
        if message.kind == "data":
            columns: Data = parse("data", message.body)
            for i, v in zip(columns.i, columns.v, strict=True):
                found.setdefault(i, []).append(v)
    return found


def test_telemetry_is_told_newest_first_and_every_event_is_kept(tmp_path: Path, clock: Clock) -> None:
    with Store(tmp_path / "outbox.db") as store:
        uplink = overloaded(store, clock, Limits())
        assert uplink.degraded
        assert uplink.counts.coalesced > 0
        found = readings(uplink)
        assert all(values == sorted(values) and values[-1] == 999 for values in found.values())
        told = sum(map(len, found.values()))
        assert told + uplink.counts.coalesced == 5_000, "each change is told or was replaced by a newer one"
        kept = [m for m in uplink.outbox.stored(1, uplink.outbox.next, 1_000_000) if m.kind == "event"]
        assert [json.loads(m.body)["text"] for m in kept] == [str(n) for n in range(0, 1_000, 2)]
        known: set[str] = set()
        assert "degraded" in next(load_news([uplink], known))
        assert list(load_news([uplink], known)) == []
        clock.now += module.CALM_S
        assert "every change is told again" in next(load_news([uplink], known))
        before = uplink.counts.coalesced
        uplink.value(1, "t0", 1, GOOD)
        uplink.value(2, "t0", 2, GOOD)
        assert uplink.counts.coalesced == before


def test_in_a_full_outbox_telemetry_goes_first_and_what_goes_is_a_counted_gap(tmp_path: Path, clock: Clock) -> None:
    with Store(tmp_path / "outbox.db") as store:
        uplink = overloaded(store, clock, Limits(max_bytes=100_000))
        stored = uplink.outbox.stored(1, uplink.outbox.next, 1_000_000)
        gaps = [json.loads(m.body) for m in stored if m.kind == "gap"]
        dropped = {n for gap in gaps for n in range(gap["from"], gap["to"] + 1)}
        assert dropped
        assert {gap["why"] for gap in gaps} == {"outbox_full"}
        assert {m.s for m in stored} | dropped == set(range(1, uplink.outbox.next))
        assert uplink.outbox.dropped > 0
        assert [m for m in stored if m.kind == "event"], "events outlive telemetry"


def test_a_count_that_may_have_been_reset_stays_so_when_replaced(tmp_path: Path, clock: Clock) -> None:
    with Store(tmp_path / "outbox.db") as store:
        uplink = Uplink(Outbox(store, CELL1), SlowLink("127.0.0.1", 1, "x"), TAGS)
        uplink._degraded_until = clock.now + 1
        uplink.value(1, "t0", 500, UNCERTAIN)
        uplink.value(2, "t0", 501, GOOD)
        uplink.store()
        (message,) = uplink.outbox.stored(1, 9)
        assert msgspec.json.decode(message.body)["v"] == [501]
        assert msgspec.json.decode(message.body)["q"] == [UNCERTAIN]


def test_ingest_says_that_it_is_behind_and_loses_nothing_for_good(tmp_path: Path) -> None:
    service = Service(Settings(tmp_path, "127.0.0.1", 1, LINE, queue=50))
    try:
        assert service.health()["degraded"] == ""
        service._received(Message(f"{CELL1}/birth", birth(), True, 1, qos=1))
        for n in range(1, 501):
            service._received(Message(f"{CELL1}/data", data(n), False, 1, mid=n, qos=1))
        health = service.health()
        assert health["overflow"] > 0
        assert "asked for again" in health["degraded"]
        while service._queue.qsize():
            service._turn()
        taken = service.intake.ledger.source(CELL1).accepted - 1
        assert taken + health["overflow"] == 500
        for n in range(1, 501):  # the gateway's outbox still has all of them
            service._received(Message(f"{CELL1}/data", data(n), False, 1, mid=n, qos=1))
            if n % 50 == 0:
                while service._queue.qsize():
                    service._turn()
        reader = Journal.open_reader(tmp_path / "journal.db")
        numbers = [row.s for rows in reader.follow(0) for row in rows if row.kind == "data"]
        reader.close()
        assert sorted(n for n in numbers if n) == list(range(1, 501))
    finally:
        service.storage.close()
        service.journal.close()
