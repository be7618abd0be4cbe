"""What the tests of the wire share: a publisher with an outbox, and a service in a thread."""

from __future__ import annotations

import socket
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.subscribeoptions import SubscribeOptions

from ingest.broker import Broker
from ingest.message import Line, Message
from ingest.readings import wall_ms
from ingest.service import Service, Settings
from ingest.topicmap import TopicMap
from ingest.wire import Birth, Data, PlantTime, Tag, encode, parse, root, topic

LINE = Line("demo", "machining", "line3")
CELL1 = root("demo", "machining", "line3", "cell1")
CELL2 = root("demo", "machining", "line3", "cell2")
ORIGIN = 1_767_592_800_000
TAGS = [
    Tag(i=0, name="turn/state", type="enum", enum=["idle", "work"]),
    Tag(i=1, name="turn/count", type="counter"),
    Tag(i=2, name="set/cap", type="int"),
]


@dataclass(frozen=True)
class Running:
    """A broker that a test may use."""

    kind: str
    port: int
    port_311: int
    broker: Broker


def birth(epoch: str = "e1", first: int = 1, *, speed: float | None = 60.0) -> bytes:
    plant_time = PlantTime(origin=ORIGIN, speed=speed, wall=wall_ms()) if speed else None
    return encode(Birth(v=1, e=epoch, s=first, sw="test 1", tags=TAGS, plant_time=plant_time))


def data(number: int, epoch: str = "e1", value: float = 0.0) -> bytes:
    return encode(Data(e=epoch, s=number, t0=ORIGIN + number, i=[1], dt=[0], v=[value or number], q=[0]))


def said(where: str, body: bytes, *, retain: bool = False) -> Message:
    """A message as the service would get it."""
    return Message(where, body, retain, wall_ms())


def until(condition: Callable[[], Any], seconds: float = 10.0, what: str = "") -> None:
    """Wait for a condition; fails with what was waited for."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds} s for {what or condition}"
        time.sleep(0.01)


def _open(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 0.2):
            return True
    except OSError:
        return False


def numbers(path: Path, source: str = CELL1) -> list[int]:
    """All journaled numbers of a source, in the order of the journal, replaying nothing."""
    db = sqlite3.connect(path)
    try:
        return [s for (s,) in db.execute("SELECT s FROM rows WHERE source=? AND s IS NOT NULL ORDER BY pos", (source,))]
    finally:
        db.close()


@dataclass
class Publisher:
    """A gateway as the contract wants it: every message stays in the outbox until a watermark covers it."""

    port: int
    source: str = CELL1
    epoch: str = "e1"
    lose: Callable[[int], bool] = lambda _: False  # on first sending only
    obedient: bool = True
    outbox: dict[int, tuple[str, bytes]] = field(default_factory=dict)
    heard: list[tuple[str, Any]] = field(default_factory=list)
    stored: list[str] = field(default_factory=list)  # topics of what the broker handed out as retained
    hw: int = 0
    _next: int = 1
    _client: mqtt.Client = field(init=False)
    _born: threading.Event = field(default_factory=threading.Event)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def __enter__(self) -> Self:
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id=f"test-{uuid.uuid4().hex[:8]}", protocol=MQTTProtocolVersion.MQTTv5
        )
        self._client.on_connect = self._up
        self._client.on_message = self._message
        self._client.max_inflight_messages_set(20)
        self._client.connect("127.0.0.1", self.port, clean_start=True)
        self._client.loop_start()
        until(self._born.is_set, what="the connection of a test client")
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _up(self, client: mqtt.Client, *_: Any) -> None:
        kinds = ("ack", "req", "cmd/+")
        client.subscribe([(f"{self.source}/{kind}", SubscribeOptions(1)) for kind in kinds])
        client.subscribe(f"{self.source.rsplit('/', 1)[0]}/_twin/#", qos=1)
        self.born()
        self._born.set()

    def born(self) -> None:
        """Publish the birth (retained)."""
        self._client.publish(topic(self.source, "birth"), birth(self.epoch), qos=1, retain=True)

    def _message(self, _c: mqtt.Client, _u: object, message: mqtt.MQTTMessage) -> None:
        kind = message.topic.split("/")[6]
        payload = parse(kind, bytes(message.payload)) if message.payload else None
        self.heard.append((message.topic, payload))
        if message.retain:
            self.stored.append(message.topic)
        if payload is None or not self.obedient:
            return
        with self._lock:
            if kind == "ack" and payload.e == self.epoch and payload.hw > self.hw:
                self.hw = payload.hw
                for number in [n for n in self.outbox if n <= payload.hw]:
                    del self.outbox[number]
            elif kind == "state" and payload.online:
                self.again()
            elif kind == "req" and payload.want == "rebirth":
                self.born()
            elif kind == "req" and payload.want == "replay":
                for number in sorted(n for n in self.outbox if payload.from_ <= n <= payload.to):
                    self.raw(*self.outbox[number])

    def send(self, body: Callable[[int], bytes] | None = None, kind: str = "data", ident: str = "") -> int:
        """Put the next message into the outbox and send it (unless `lose` says otherwise); its number."""
        with self._lock:
            number = self._next
            self._next += 1
            message = (body or (lambda n: data(n, self.epoch)))(number)
            self.outbox[number] = (topic(self.source, kind, ident), message)
            if not self.lose(number):
                self.raw(*self.outbox[number])
        return number

    def again(self) -> None:
        """Send everything that is not confirmed once more (what a gateway does when the twin comes back)."""
        with self._lock:
            for number in sorted(self.outbox):
                self.raw(*self.outbox[number])

    def raw(self, where: str, body: bytes, *, retain: bool = False) -> None:
        """Publish anything."""
        self._client.publish(where, body, qos=1, retain=retain)


@dataclass
class Live:
    """A service in this process."""

    service: Service

    @property
    def path(self) -> Path:
        return self.service.settings.data / "journal.db"

    def entry(self, source: str = CELL1) -> Any:
        return self.service.intake.ledger.source(source)


def serve(folder: Path, port: int, topics: TopicMap | None = None, wait_s: float = 0.3) -> Live:
    """Start a service on a broker; the caller stops it."""
    service = Service(Settings(folder, "127.0.0.1", port, LINE, topics or TopicMap(), wait_s=wait_s))
    service.start()
    until(lambda: service.link.granted, what="the subscriptions")
    return Live(service)
