"""The twin's one MQTT connection: paho in a thread of its own, acknowledging only when told to.

MQTT 5 without properties, clean start, resubscription on each connect. The callback only queues
(`on_message`, from paho's thread: the one thread crossing); `acknowledge` comes from the writer.
"""

from __future__ import annotations

import random
import struct
import threading
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from ingest.message import Message
from ingest.readings import wall_ms
from ingest.tls import EARLY, EARLY_PLAIN, REFUSED, Tls, Watch, connect_trouble, refusal

KEEPALIVE_S = 10
READ_AHEAD = 65_536
_PUBACK = struct.Struct("!BBH")


@dataclass(frozen=True)
class Will:
    """The retained message that the broker publishes when we vanish."""

    topic: str
    body: bytes


class _Buffered:
    """A socket that reads ahead: paho asks for a packet in four pieces, each of which would be a system call.

    `pending`, as of a TLS socket, tells paho's loop not to wait while bytes are here.
    """

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self._bytes = b""
        self._at = 0

    def recv(self, size: int) -> bytes:
        """Up to `size` bytes, from what was read ahead where there is some."""
        if self._at >= len(self._bytes):
            self._bytes, self._at = self._inner.recv(READ_AHEAD), 0
        found = self._bytes[self._at : self._at + size]
        self._at += len(found)
        return found

    def pending(self) -> int:
        """How many bytes are here, TLS's own included."""
        below: Callable[[], int] | None = getattr(self._inner, "pending", None)
        return len(self._bytes) - self._at + (below() if below is not None else 0)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class Client(mqtt.Client):
    """paho's client with four short cuts on the way in; measured by `plantwin bench ingest`.

    It reads ahead, handles all packets that are here in one turn of its loop, takes the plain message apart itself, and
    acknowledges a batch in one write. They need paho's inside (`_create_socket`, `_handle_publish` with `_in_packet`,
    `_packet_queue`); the tests on both brokers guard them.
    """

    take: Callable[[str, bytes, bool, int, int], None] | None = None
    """Called with (topic, body, retain, mid, qos) of a message without properties, instead of `on_message`."""

    def _create_socket(self) -> Any:
        return _Buffered(super()._create_socket())

    def loop_read(self, max_packets: int = 1) -> MQTTErrorCode:
        """Handle the packets that have come."""
        while True:
            code = super().loop_read(max_packets)
            inner: Any = self._sock
            if code != MQTTErrorCode.MQTT_ERR_SUCCESS or inner is None or not inner.pending():
                return code

    def _handle_publish(self) -> MQTTErrorCode:
        """Without paho's objects where there is nothing in them: an empty set of properties takes half of its time."""
        header, packet = self._in_packet["command"], self._in_packet["packet"]
        qos, end = header >> 1 & 3, 2 + int.from_bytes(packet[:2])
        at = end + 2 if qos else end  # where the length of the properties stands
        if self.take is None or qos > 1 or end == 2 or len(packet) <= at or packet[at]:
            return super()._handle_publish()
        try:
            topic = packet[2:end].decode()
        except UnicodeDecodeError:
            return super()._handle_publish()
        mid = int.from_bytes(packet[end:at])
        self.take(topic, bytes(packet[at + 1 :]), bool(header & 1), mid, qos)
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def ack_all(self, mids: list[int]) -> None:
        """PUBACK for all of these, in this order."""
        if mids:
            packets = b"".join([_PUBACK.pack(0x40, 2, mid) for mid in mids])
            self._packet_queue(0x40, packets, mids[-1], 1)


@dataclass
class Link:
    """`start`, then messages come to `on_message`; `stop`. `number` counts connections."""

    host: str
    port: int
    subscriptions: list[str]
    on_message: Callable[[Message], None]
    on_up: Callable[[], None] = lambda: None
    on_down: Callable[[str], None] = lambda _: None
    will: Will | None = None
    name: str = "ingest"
    qos: int = 1
    make_will: Callable[[], Will] | None = None
    """Makes the will anew before each connection, where it must say when that was made."""
    tls: Tls | None = None
    login: tuple[str, str] | None = None
    """User name and password, for a broker that wants them."""
    on_trouble: Callable[[str], None] = lambda _: None
    granted: bool = field(default=False, init=False)
    """Whether the broker has accepted every subscription of this connection."""
    number: int = field(default=0, init=False)
    connected: bool = field(default=False, init=False)
    _client: Client = field(init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)
    _watch: Watch | None = field(default=None, init=False)
    _said: str = field(default="", init=False)

    def start(self) -> None:
        """Begin to connect, and go on trying with jitter until `stop`; raises TlsError where TLS cannot even begin."""
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"{self.name}-{uuid.uuid4().hex[:8]}",
            protocol=MQTTProtocolVersion.MQTTv5,
            manual_ack=True,
        )
        jitter = random.uniform(0.0, 0.5)  # noqa: S311 - so that clients do not come back all at once
        client.reconnect_delay_set(min_delay=0.2 + jitter, max_delay=4.0 + 4 * jitter)  # type: ignore[arg-type]
        if self.will is not None:
            client.will_set(self.will.topic, self.will.body, qos=1, retain=True)
        client.on_pre_connect = self._before
        client.on_connect = self._up
        client.on_disconnect = self._down
        client.on_message = self._message
        client.on_subscribe = self._subscribed
        if self.login is not None:
            client.username_pw_set(*self.login)
        client.take = self._taken
        client.on_connect_fail = lambda *_: self._trouble(connect_trouble(f"{self.host}:{self.port}"))
        client.on_publish = lambda _c, _u, _mid, reason, _p: self._trouble(REFUSED) if reason.is_failure else None
        if self.tls is not None:
            client.tls_set_context(self.tls.context())
            self._watch = Watch(self.tls)
        self._client = client
        client.connect_async(self.host, self.port, keepalive=KEEPALIVE_S, clean_start=True)
        client.loop_start()

    def _before(self, client: mqtt.Client, _user: object) -> None:
        if self.make_will is not None:
            will = self.make_will()
            client.will_set(will.topic, will.body, qos=1, retain=True)

    def _up(
        self, client: mqtt.Client, _user: object, _flags: mqtt.ConnectFlags, reason: ReasonCode, _p: Properties | None
    ) -> None:
        if reason.is_failure:
            self._trouble(refusal(f"{self.host}:{self.port}", str(reason), self.tls, self.login))
            return
        self._said = ""
        with self._lock:
            self.number += 1
            self.connected = True
        client.subscribe([(topic, SubscribeOptions(qos=self.qos)) for topic in self.subscriptions])
        self.on_up()

    def _subscribed(
        self, _c: mqtt.Client, _user: object, _mid: int, reasons: list[ReasonCode], _p: Properties | None
    ) -> None:
        for topic, reason in zip(self.subscriptions, reasons, strict=False):
            if reason.is_failure:
                self._trouble(
                    f"{self.host}:{self.port}: expected to be allowed to subscribe to {topic}, found {reason}; give us "
                    "an identity that may read it (the certificate of `twin`, or a rule of the broker's ACL)"
                )
                return
        self.granted = True

    def _down(
        self, _c: mqtt.Client, _user: object, _f: mqtt.DisconnectFlags, reason: ReasonCode, _p: Properties | None
    ) -> None:
        with self._lock:
            was, self.connected, self.granted = self.connected, False, False
        if was:
            self.on_down(str(reason))
        elif reason.is_failure and not self._said:
            self._trouble(f"{self.host}:{self.port}: {EARLY if self.tls is not None else EARLY_PLAIN} ({reason})")

    def _trouble(self, why: str) -> None:
        """Tell why there is no connection, or no right, once until it changes."""
        if why != self._said:
            self._said = why
            self.on_trouble(why)

    def renew(self) -> bool:
        """Connect anew where the certificate's files were replaced; True when so. What was under way comes again."""
        if self._watch is None or not self._watch.changed():
            return False
        self._client.disconnect()
        self._client.loop_stop()
        self.connected = self.granted = False
        self.start()
        return True

    def _message(self, _client: mqtt.Client, _user: object, message: mqtt.MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = "ptw/?"
        self._taken(topic, bytes(message.payload), message.retain, message.mid, message.qos)

    def _taken(self, topic: str, body: bytes, retain: bool, mid: int, qos: int) -> None:
        self.on_message(Message(topic, body, retain, wall_ms(), mid, qos, self.number))

    def acknowledge(self, messages: Iterable[Message]) -> None:
        """Acknowledge in the order of delivery; those of a former connection are left out."""
        with self._lock:
            if not self.connected:
                return
            number = self.number
            self._client.ack_all([m.mid for m in messages if m.qos and m.link == number])

    def publish(self, topic: str, body: bytes, *, retain: bool = False, qos: int = 1) -> bool:
        """Publish (at QoS 1 but where told otherwise); False when there is no connection (nothing is queued then)."""
        if not self.connected:
            return False
        return self._client.publish(topic, body, qos=qos, retain=retain).rc == MQTTErrorCode.MQTT_ERR_SUCCESS

    def stop(self, topic: str | None = None, body: bytes = b"") -> None:
        """Say goodbye (a retained message, where one is given) and disconnect."""
        if topic is not None and self.connected:
            info = self._client.publish(topic, body, qos=1, retain=True)
            try:
                info.wait_for_publish(timeout=1.0)
            except (RuntimeError, ValueError):
                pass  # the connection went in between: the will says it
        self._client.disconnect()
        self._client.loop_stop()
