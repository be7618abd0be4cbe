"""Stand-ins for the tests of the edge: a broker that can go away, a twin that stores and acknowledges."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from ingest.broker import Broker, Kind, Options, make

STATE = "ptw/v1/demo/machining/line3/_twin/state"
ROOT = "ptw/v1/demo/machining/line3/cell1"


def wait_until(true: Callable[[], bool], what: str, timeout_s: float = 15.0) -> None:
    """Wait for something or fail saying what did not happen."""
    end = time.monotonic() + timeout_s
    while not true():
        if time.monotonic() > end:
            raise AssertionError(f"after {timeout_s:g} s still not so: {what}")
        time.sleep(0.02)


@dataclass
class Running:
    """A broker that can be taken away and brought back on the same port."""

    kind: Kind
    port: int
    folder: Path
    broker: Broker = field(init=False)

    def start(self) -> None:
        self.broker = make(self.kind, Options(self.port, port_311=None, folder=self.folder))
        self.broker.start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"


@dataclass
class FakeTwin:
    """Stores every numbered message by (source, epoch, number) and acknowledges what is contiguous.

    It loses nothing it has acknowledged: its memory stands for the journal.
    """

    port: int
    got: dict[tuple[str, str], dict[int, tuple[str, bytes]]] = field(default_factory=dict)
    first: dict[tuple[str, str], int] = field(default_factory=dict)
    hw: dict[tuple[str, str], int] = field(default_factory=dict)
    births: list[dict[str, Any]] = field(default_factory=list)
    acks: list[dict[str, Any]] = field(default_factory=list)
    supply: list[dict[str, Any]] = field(default_factory=list)
    status: list[dict[str, Any]] = field(default_factory=list)
    state: str = STATE
    duplicates: int = 0
    conflicts: int = 0
    acknowledging: bool = True
    deaf: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self) -> None:
        self.client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id="fake-twin", protocol=MQTTProtocolVersion.MQTTv5
        )
        self.client.reconnect_delay_set(1, 1)
        self.client.on_connect = self._up
        self.client.on_message = self._message
        self.client.connect_async("127.0.0.1", self.port, keepalive=10, clean_start=True)
        self.client.loop_start()

    def _up(self, client: mqtt.Client, *_: Any) -> None:
        client.subscribe("ptw/v1/#", 1)
        self.online(True)

    def online(self, value: bool) -> None:
        self.client.publish(self.state, json.dumps({"online": value, "ts": 1}), 1, retain=True)

    def _message(self, _c: mqtt.Client, _u: Any, m: mqtt.MQTTMessage) -> None:
        if self.deaf:
            return
        root, kind = "/".join(m.topic.split("/")[:6]), m.topic.split("/")[6]
        if kind == "birth" and m.payload:
            birth = json.loads(m.payload)
            with self.lock:
                self.births.append({"root": root, **birth})
                self.first[(root, birth["e"])] = birth["s"]
        elif kind == "status":
            self.status.append(json.loads(m.payload))
        elif kind == "supply":
            self.supply.append(json.loads(m.payload))
        elif kind in ("data", "event", "gap", "hist", "cmdack"):
            self._numbered(root, kind, bytes(m.payload))

    def _numbered(self, root: str, kind: str, body: bytes) -> None:
        found = json.loads(body)
        source = (root, found["e"])
        with self.lock:
            known = self.got.setdefault(source, {})
            if found["s"] in known:
                self.duplicates += 1
                self.conflicts += known[found["s"]][1].replace(b',"h":1', b"") != body.replace(b',"h":1', b"")
            else:
                known[found["s"]] = (kind, body)
                if kind == "cmdack":
                    self.acks.append(found)
            covered = self.covered(source)
            hw = self.hw.get(source, self.first.get(source, 1) - 1)
            while hw + 1 in known or hw + 1 in covered:
                hw += 1
            self.hw[source] = hw
        if self.acknowledging:
            ack = {"e": found["e"], "hw": hw, "holes": [], "ts": 1}
            self.client.publish(f"{root}/ack", json.dumps(ack), 1, retain=True)

    def covered(self, source: tuple[str, str]) -> set[int]:
        found: set[int] = set()
        for kind, body in self.got.get(source, {}).values():
            if kind == "gap":
                gap = json.loads(body)
                found.update(range(gap["from"], gap["to"] + 1))
        return found

    def values(self, root: str, epoch: str) -> dict[str, list[tuple[int, float, int]]]:
        """Readings by tag, in number order: (t, value, quality)."""
        names = {t["i"]: t["name"] for b in self.births if b["root"] == root and b["e"] == epoch for t in b["tags"]}
        found: dict[str, list[tuple[int, float, int]]] = {}
        with self.lock:
            rows = sorted(self.got.get((root, epoch), {}).items())
        for _, (kind, body) in rows:
            if kind in ("data", "hist"):
                d = json.loads(body)
                for i, dt, v, q in zip(d["i"], d["dt"], d["v"], d["q"], strict=True):
                    found.setdefault(names[i], []).append((d["t0"] + dt, v, q))
        return found

    def send(self, topic: str, payload: bytes | dict[str, Any], *, retain: bool = False) -> None:
        body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        self.client.publish(topic, body, 1, retain=retain).wait_for_publish(5)

    def stop(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()
