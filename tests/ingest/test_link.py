"""The short way in of `ingest.mqtt.Client` tells the same as paho's own, packet by packet and through both brokers."""

from __future__ import annotations

import struct
import time

import paho.mqtt.client as mqtt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.exception import MalformedPacket
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from ingest.message import Message
from ingest.mqtt import Client, Link
from tests.ingest.kit import Running, until

Told = tuple[str, bytes, bool, int, int]


def publish(topic: bytes, body: bytes, qos: int, retain: bool, mid: int, properties: bytes) -> tuple[int, bytearray]:
    """First byte and rest of a PUBLISH of MQTT 5 (3.3)."""
    rest = struct.pack("!H", len(topic)) + topic + (struct.pack("!H", mid) if qos else b"")
    return 0x30 | qos << 1 | retain, bytearray(rest + bytes([len(properties)]) + properties + body)


class Ear:
    """A client that is given packets without a connection. `short`: with the short way in."""

    def __init__(self, short: bool) -> None:
        self.told: list[Told] = []
        self.client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5, manual_ack=True)
        self.client.on_message = self.slow
        if short:
            self.client.take = self.quick
        self.quickly = 0

    def slow(self, _client: mqtt.Client, _user: object, message: mqtt.MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = "?"
        self.told.append((topic, bytes(message.payload), message.retain, message.mid, message.qos))

    def quick(self, topic: str, body: bytes, retain: bool, mid: int, qos: int) -> None:
        self.quickly += 1
        self.told.append((topic, body, retain, mid, qos))

    def hear(self, command: int, packet: bytearray) -> MQTTErrorCode:
        self.client._in_packet = {**self.client._in_packet, "command": command, "packet": packet}
        return self.client._handle_publish()


CONTENT_TYPE = b"\x03\x00\x01j"


@given(
    st.one_of(st.text(min_size=1, max_size=40).map(str.encode), st.binary(min_size=1, max_size=40)),
    st.binary(max_size=60),
    st.integers(0, 1),
    st.booleans(),
    st.integers(1, 65_535),
    st.sampled_from([b"", b"", CONTENT_TYPE]),
)
def test_a_packet_is_the_same_either_way(
    topic: bytes, body: bytes, qos: int, retain: bool, mid: int, properties: bytes
) -> None:
    short, long = Ear(True), Ear(False)
    packet = publish(topic, body, qos, retain, mid, properties)
    assert short.hear(*packet) == long.hear(*packet) == MQTTErrorCode.MQTT_ERR_SUCCESS
    assert short.told == long.told
    try:
        topic.decode()
    except UnicodeDecodeError:
        assert short.quickly == 0
    else:
        assert short.quickly == (not properties)


@pytest.mark.parametrize("packet", [b"", b"\x00", b"\x00\x05abc", b"\x00\x01a", b"\x00\x01a\x00"])
def test_a_packet_that_ends_too_early_is_left_to_paho(packet: bytes) -> None:
    for ear in (Ear(True), Ear(False)):
        with pytest.raises(MalformedPacket):
            ear.hear(0x32, bytearray(packet))
        assert ear.told == []


def test_through_a_broker_with_and_without_properties(broker: Running) -> None:
    heard: list[Message] = []
    link = Link("127.0.0.1", broker.port, ["way/#"], heard.append)
    link.start()
    sender = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    sender.connect("127.0.0.1", broker.port)
    sender.loop_start()
    try:
        until(lambda: link.connected, what="connected")
        time.sleep(0.2)  # subscribed as well
        kind = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        kind.ContentType = "application/json"
        sender.publish("way/a", b"plain", qos=1)
        sender.publish("way/b/\u00fc", b"", qos=0)
        sender.publish("way/c", b"x" * 20_000, qos=1, properties=kind)
        until(lambda: len(heard) == 3, what="three messages")
    finally:
        sender.disconnect()
        sender.loop_stop()
        link.stop()
    assert {m.topic: m.body for m in heard} == {"way/a": b"plain", "way/b/\u00fc": b"", "way/c": b"x" * 20_000}
    assert len({m.mid for m in heard if m.qos}) == sum(m.qos for m in heard)  # each to be acknowledged by its own id
