"""One MQTT connection of the edge: MQTT 5 without properties, resubscribing on every connect.

paho's own thread runs the network; the one crossing to the program's loop is `Link._cross`, which
hands every happening over with `call_soon_threadsafe`.
"""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.subscribeoptions import SubscribeOptions

from ingest.tls import EARLY, REFUSED, Tls, Watch, connect_trouble

MAX_INFLIGHT = 20
"""Unacknowledged messages at a time: the default of the strictest broker we support."""
KEEPALIVE_S = 10


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message as it came."""

    topic: str
    payload: bytes
    retained: bool


@dataclass(slots=True)
class Hooks:
    """What the program wants to be told, always on its own loop."""

    on_message: Callable[[Arrival], None] = lambda _: None
    on_connect: Callable[[], None] = lambda: None
    on_disconnect: Callable[[str], None] = lambda _: None
    on_trouble: Callable[[str], None] = lambda why: print(f"mqtt: {why}", flush=True)


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker says for us when we vanish (retained)."""

    topic: str
    payload: bytes


@dataclass(slots=True)
class Link:
    """`link.start()` inside a running asyncio loop; `await link.stop()`.

    `subscriptions` are taken anew on each connect: a session is never trusted to survive.
    """

    host: str
    port: int
    name: str
    subscriptions: list[str] = field(default_factory=list)
    hooks: Hooks = field(default_factory=Hooks)
    will: Will | None = None
    tls: Tls | None = None
    connected: bool = field(default=False, init=False)
    connects: int = field(default=0, init=False)
    in_flight: int = field(default=0, init=False)
    _client: mqtt.Client = field(init=False)
    _loop: asyncio.AbstractEventLoop = field(init=False)
    _mids: dict[int, str] = field(default_factory=dict, init=False)
    _watch: Watch | None = field(default=None, init=False)
    _said: str = field(default="", init=False)

    def start(self) -> None:
        """Begin to connect; goes on trying, with jitter, until `stop`. TlsError where TLS cannot even begin."""
        self._loop = asyncio.get_running_loop()
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"{self.name}-{uuid.uuid4().hex[:8]}",
            protocol=MQTTProtocolVersion.MQTTv5,
        )
        client.max_inflight_messages_set(MAX_INFLIGHT)
        jitter = random.uniform(0.0, 0.5)  # noqa: S311 - so that gateways do not come back all at once
        client.reconnect_delay_set(min_delay=0.3 + jitter, max_delay=5.0 + 4 * jitter)  # type: ignore[arg-type]
        if self.will is not None:
            client.will_set(self.will.topic, self.will.payload, qos=1, retain=True)
        client.on_connect = lambda *a: self._cross(self._up, a[3])
        client.on_disconnect = lambda *a: self._cross(self._down, str(a[3]))
        client.on_message = lambda _c, _u, m: self._cross(
            self.hooks.on_message, Arrival(m.topic, bytes(m.payload), bool(m.retain))
        )
        client.on_publish = lambda *a: self._cross(self._published, a[2], a[3].is_failure)
        client.on_connect_fail = lambda *_: self._cross(self._trouble, connect_trouble(f"{self.host}:{self.port}"))
        if self.tls is not None:
            client.tls_set_context(self.tls.context())
            self._watch = Watch(self.tls)
        self._client = client
        client.connect_async(self.host, self.port, keepalive=KEEPALIVE_S, clean_start=True)
        client.loop_start()

    def _cross(self, call: Callable[..., None], *args: Any) -> None:
        """The thread crossing: from paho's thread to the program's loop."""
        try:
            self._loop.call_soon_threadsafe(call, *args)
        except RuntimeError:
            pass  # the loop is closed: the program is ending

    def _up(self, reason: Any) -> None:
        if reason.is_failure:
            self._trouble(f"{self.host}:{self.port}: refused: {reason}")
            return
        self._said = ""
        if self.subscriptions:
            self._client.subscribe([(s, SubscribeOptions(qos=1)) for s in self.subscriptions])
        self.connected = True
        self.connects += 1
        self.hooks.on_connect()

    def _down(self, reason: str) -> None:
        was, self.connected = self.connected, False
        self._mids.clear()
        self.in_flight = 0
        if was:
            self.hooks.on_disconnect(reason)
        elif self.tls is not None and reason != "Normal disconnection":
            self._trouble(f"{self.host}:{self.port}: {EARLY} ({reason})")

    def _published(self, mid: int, refused: bool) -> None:
        topic = self._mids.pop(mid, "")
        self.in_flight = len(self._mids)
        if refused:
            self._trouble(f"{topic}: {REFUSED}")

    def _trouble(self, why: str) -> None:
        """Tell why there is no connection, or no right, once until it changes."""
        if why != self._said:
            self._said = why
            self.hooks.on_trouble(why)

    async def renew(self) -> bool:
        """Connect anew where the certificate's files were replaced; True when so. The outbox sends again what was
        under way.
        """
        if self._watch is None or not self._watch.changed():
            return False
        await self.stop()
        self._down("new certificate")
        self.start()
        return True

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> bool:
        """Hand a message to the connection at QoS 1; False when there is none (it is not queued then)."""
        if not self.connected:
            return False
        info = self._client.publish(topic, payload, qos=1, retain=retain)
        if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            return False
        self._mids[info.mid] = topic
        self.in_flight = len(self._mids)
        return True

    async def stop(self, farewell: Callable[[], None] | None = None) -> None:
        """Say goodbye where there is someone to say it to, and end the connection."""
        if farewell is not None and self.connected:
            farewell()
        for _ in range(50):
            if not self.connected or not self._mids:
                break
            await asyncio.sleep(0.02)
        self._client.disconnect()
        await asyncio.to_thread(self._client.loop_stop)


def host_port(text: str, what: str) -> tuple[str, int]:
    """`host:port` taken apart; ValueError names the option."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError(f"{what} {text!r}: expected HOST:PORT, for example 127.0.0.1:1883")
    return host, int(port)
