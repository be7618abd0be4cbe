"""A small Sparkplug edge node for the tests: its messages, its session, and (with a port) its MQTT client."""

from __future__ import annotations

import json
import threading
import uuid
from dataclasses import dataclass, field
from typing import Any, Self

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from ingest.readings import wall_ms
from ingest.sparkplug import BOOLEAN, REBIRTH
from ingest.sparkplug_pb import Payload
from tests.ingest.kit import until

FIELDS = {
    1: "int_value", 2: "int_value", 3: "int_value", 4: "long_value", 5: "int_value", 6: "int_value", 7: "long_value",
    8: "long_value", 9: "float_value", 10: "double_value", 11: "boolean_value", 12: "string_value", 13: "long_value",
    14: "string_value", 15: "string_value", 17: "bytes_value", 18: "bytes_value",
}  # fmt: skip
T = 1_767_592_800_000
STATE = "spBv1.0/STATE/twin1"

Said = tuple[str, bytes]


def put(payload: Any, name: str, kind: int, value: Any, **more: Any) -> Any:
    """Add a metric; a negative integer goes out in two's complement of the field's width, as C and Java write it."""
    metric = payload.metrics.add(**more)
    if name:
        metric.name = name
    if value is None:
        metric.is_null = True
        return metric
    if kind <= 8 and value < 0:
        value += 1 << (32 if FIELDS[kind] == "int_value" else 64)
    setattr(metric, FIELDS[kind], value)
    return metric


@dataclass
class Edge:
    """What an edge node says. `metrics` are (data type, value) by name, under "" those of the node itself."""

    node: str = "edge1"
    group: str = "plant1"
    alias: bool = False
    bd: int = 0
    seq: int = 0
    counts: bool = True
    """Whether the births raise seq and the connections bdSeq (the JavaScript client never raises bdSeq)."""
    metrics: dict[str, dict[str, tuple[int, Any]]] = field(
        default_factory=lambda: {"": {"load": (10, 0.5)}, "press": {"count": (4, 7), "temp": (9, 20.5)}}
    )

    def topic(self, verb: str, device: str = "") -> str:
        return f"spBv1.0/{self.group}/{verb}/{self.node}" + (f"/{device}" if device else "")

    def aliases(self) -> dict[tuple[str, str], int]:
        names = [(device, name) for device, metrics in self.metrics.items() for name in metrics]
        return {name: 100 + k for k, name in enumerate(names)}

    def nbirth(self, t: int = T) -> Said:
        self.seq = 0
        return self._birth("NBIRTH", "", t)

    def dbirth(self, device: str = "press", t: int = T) -> Said:
        return self._birth("DBIRTH", device, t)

    def births(self, t: int = T) -> list[Said]:
        return [self.nbirth(t), *(self.dbirth(device, t) for device in self.metrics if device)]

    def _birth(self, verb: str, device: str, t: int) -> Said:
        payload = Payload(timestamp=t, seq=self._next())
        if verb == "NBIRTH":
            put(payload, "bdSeq", 4, self.bd, datatype=4, timestamp=t)
            put(payload, REBIRTH, BOOLEAN, False, datatype=BOOLEAN, timestamp=t)
        for name, (datatype, value) in self.metrics[device].items():
            more = {"alias": self.aliases()[device, name]} if self.alias else {}
            put(payload, name, datatype, value, datatype=datatype, timestamp=t, **more)
        return self.topic(verb, device), payload.SerializeToString()

    def data(self, device: str = "press", t: int = T, *, historical: bool = False, **values: Any) -> Said:
        payload = Payload(timestamp=t, seq=self._next())
        for name, value in values.items():
            datatype = self.metrics[device][name][0]
            more: dict[str, Any] = {"is_historical": True} if historical else {}
            if self.alias:
                more["alias"] = self.aliases()[device, name]
            put(payload, "" if self.alias else name, datatype, value, timestamp=t, **more)
        return self.topic("DDATA" if device else "NDATA", device), payload.SerializeToString()

    def ddeath(self, device: str = "press", t: int = T) -> Said:
        return self.topic("DDEATH", device), Payload(timestamp=t, seq=self._next()).SerializeToString()

    def ndeath(self, t: int = T) -> Said:
        payload = Payload(timestamp=t)
        put(payload, "bdSeq", 4, self.bd, datatype=4, timestamp=t)
        return self.topic("NDEATH"), payload.SerializeToString()

    def _next(self) -> int:
        seq = self.seq
        self.seq = (seq + 1) % 256
        return seq


def rebirths(said: list[Said]) -> list[str]:
    """The topics of rebirth requests among messages; anything else that a host must not say fails."""
    found = []
    for topic, body in said:
        if topic.startswith("spBv1.0/STATE/"):
            continue
        (metric,) = Payload.FromString(body).metrics
        assert (topic.split("/")[2], metric.name, metric.boolean_value) == ("NCMD", REBIRTH, True)
        found.append(topic)
    return found


@dataclass
class Player:
    """An edge node on a broker: births on connect and when asked, its death as will (at QoS `will_qos`)."""

    edge: Edge
    port: int
    protocol: MQTTProtocolVersion = MQTTProtocolVersion.MQTTv5
    will_qos: int = 1
    obedient: bool = True
    heard: list[Said] = field(default_factory=list)
    _client: mqtt.Client = field(init=False)
    _up: threading.Event = field(default_factory=threading.Event)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def __enter__(self) -> Self:
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id=f"edge-{uuid.uuid4().hex[:8]}", protocol=self.protocol
        )
        topic, body = self.edge.ndeath(wall_ms())
        client.will_set(topic, body, qos=self.will_qos, retain=False)
        client.on_connect = self._connected
        client.on_message = self._message
        if self.protocol == MQTTProtocolVersion.MQTTv5:
            client.connect("127.0.0.1", self.port, clean_start=True)
        else:
            client.connect("127.0.0.1", self.port)
        client.loop_start()
        self._client = client
        until(self._up.is_set, what="the connection of an edge node")
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _connected(self, client: mqtt.Client, *_: Any) -> None:
        client.subscribe(self.edge.topic("NCMD"), qos=1)
        if self.obedient:
            self.born(client)
        self._up.set()

    def born(self, client: mqtt.Client | None = None) -> None:
        with self._lock:
            for topic, body in self.edge.births(wall_ms()):
                (client or self._client).publish(topic, body, qos=0)

    def _message(self, client: mqtt.Client, _user: object, message: mqtt.MQTTMessage) -> None:
        self.heard.append((message.topic, bytes(message.payload)))
        if self.obedient:
            self.born(client)

    def send(self, device: str = "press", **values: Any) -> None:
        with self._lock:
            self.say(self.edge.data(device, wall_ms(), **values))

    def say(self, said: Said) -> None:
        self._client.publish(*said, qos=0)

    def vanish(self) -> None:
        """Lose the connection without a word: the broker says the will."""
        sock = self._client.socket()
        assert sock is not None
        self._client.loop_stop()
        sock.close()


class Spectator:
    """Hears everything on the Sparkplug namespace; `said` and `kept` (retained, as a latecomer gets it)."""

    def __init__(self, port: int) -> None:
        self.said: list[Said] = []
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self.client.on_message = lambda _c, _u, m: self.said.append((m.topic, bytes(m.payload)))
        self.client.on_connect = lambda c, *_: c.subscribe("spBv1.0/#", qos=1)
        subscribed: list[int] = []
        self.client.on_subscribe = lambda *_: subscribed.append(1)
        self.client.connect("127.0.0.1", port, clean_start=True)
        self.client.loop_start()
        until(lambda: subscribed, what="the subscription of a spectator")

    def states(self, topic: str = STATE) -> list[Any]:
        return [json.loads(body) for where, body in self.said if where == topic and body.startswith(b"{")]

    def asked(self) -> list[str]:
        """The requests for rebirth; fails on any other command."""
        return rebirths([one for one in self.said if one[0].split("/")[2] in ("NCMD", "DCMD")])

    def stop(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()
