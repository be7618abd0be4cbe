"""The short way in of `ingest.mqtt.Client` tells the same as paho's own, packet by packet and through both brokers."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

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

ROOT = Path(__file__).resolve().parents[2]
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
        until(lambda: link.granted, what="subscribed")
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


def test_ingest_is_ready_when_its_subscriptions_are_granted(tmp_path: Path) -> None:
    """Plain topics are told once: what is published between CONNACK and SUBACK is lost, so that is not yet ready."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(30)
        program = [sys.executable, str(ROOT / "plantwin.py"), "ingest", "line3", "--data", str(tmp_path), "--port", "0"]
        program += ["--broker", f"127.0.0.1:{listener.getsockname()[1]}"]
        ready = tmp_path / "run" / "ingest.json"
        with (tmp_path / "log").open("wb") as log:
            process = subprocess.Popen(program, stdout=log, stderr=log, env=os.environ | {"PYTHONPATH": str(ROOT)})
        try:
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(10)
                assert connection.recv(4096)[0] >> 4 == PacketTypes.CONNECT
                connection.sendall(b"\x20\x03\x00\x00\x00")
                subscribe = connection.recv(4096)
                assert subscribe[0] >> 4 == PacketTypes.SUBSCRIBE
                time.sleep(1.0)
                assert not ready.exists()
                asked, number = subscribe.count(b"ptw/"), subscribe[2:4]  # the length takes one byte below 128
                connection.sendall(b"\x90" + bytes([3 + asked]) + number + b"\x00" + b"\x01" * asked)
                until(ready.exists, 2, "ingest to be ready")  # well before it would give up waiting
        finally:
            process.kill()
            process.wait(10)
