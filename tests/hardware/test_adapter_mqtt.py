"""MQTT passthrough on a local broker: payloads, fields, device times, a broker that goes away, writes."""

from __future__ import annotations

import asyncio

import pytest

from hardware.adapter import FieldbusError, Sample
from hardware.adapter_mqtt import MqttAdapter, MqttOptions, read_payload
from hardware.link import Link
from ingest.broker import free_port
from ingest.wire import BAD
from tests.hardware.fakes import Running
from tests.hardware.test_adapter_opcua import Heard

RAWS = ["shop/turn/count", "shop/turn#state.code", "shop/turn#levels.1", "shop/echo"]


@pytest.mark.parametrize(
    ("payload", "path", "expected"),
    [
        (b"41", "", Sample(41)),
        (b"4.5", "", Sample(4.5)),
        (b"true", "", Sample(1)),
        (b'"EXECUTE"', "", Sample("EXECUTE")),
        (b"EXECUTE", "", Sample("EXECUTE")),
        (b'{"a":{"b":7}}', "a.b", Sample(7)),
        (b'{"a":[1,2]}', "a.1", Sample(2)),
        (b'{"a":{"b":7}}', "a.c", Sample(None, BAD, None, 'expected field a.c, found \'{"a":{"b":7}}\'')),
        (b"[1]", "", Sample(None, BAD, None, "expected a number or a text, found '[1]'")),
        (b"41", "a", Sample(None, BAD, None, "expected field a, found '41'")),
        (b"\xff\xfe", "", Sample(None, BAD, None, "the payload is no UTF-8 text")),
        (b"[" * 60_000, "", Sample(None, BAD, None, f"expected a number or a text, found {'[' * 40!r}")),
    ],
)
def test_payloads(payload: bytes, path: str, expected: Sample) -> None:
    assert read_payload(payload, path, None) == expected


def test_the_devices_time_is_a_field() -> None:
    assert read_payload(b'{"v":1,"ts":1767600000.5}', "v", "ts") == Sample(1, t=1_767_600_000_500)
    assert read_payload(b'{"v":1}', "v", "ts") == Sample(1)


@pytest.mark.parametrize("broker", ["embedded", "mosquitto"], indirect=True)
def test_topics_of_a_local_broker_and_its_end(broker: Running) -> None:
    async def story() -> None:
        hand = Link("127.0.0.1", broker.port, "hand")
        hand.start()
        while not hand.connected:  # noqa: ASYNC110 - a test may poll
            await asyncio.sleep(0.02)
        hand.publish("shop/turn/count", b"40", retain=True)
        adapter, heard = MqttAdapter(("127.0.0.1", broker.port), RAWS, MqttOptions(settle_s=0.5)), Heard()
        task = asyncio.get_running_loop().create_task(adapter.run_once(heard))
        await heard.until(lambda h: bool(h.images), "the image")
        assert heard.images == [{"shop/turn/count": Sample(40)}]
        hand.publish("shop/turn", b'{"state":{"code":3},"levels":[8,9]}')
        hand.publish("shop/elsewhere", b"1")
        await heard.until(lambda h: len(h.news) == 2, "two fields")
        assert dict(heard.news) == {"shop/turn#state.code": Sample(3), "shop/turn#levels.1": Sample(9)}
        await adapter.write([("shop/echo", 12)])
        await heard.until(lambda h: ("shop/echo", Sample(12)) in h.news, "the echo")
        assert (await adapter.read(RAWS))["shop/echo"].value == 12
        with pytest.raises(FieldbusError, match="one field of a payload cannot be written"):
            await adapter.write([("shop/turn#state.code", 1)])
        await asyncio.gather(hand.stop(), asyncio.to_thread(broker.broker.stop))
        with pytest.raises(FieldbusError, match="the local broker is away"):
            await asyncio.wait_for(task, 10)
        with pytest.raises(FieldbusError):
            await adapter.read(RAWS)

    asyncio.run(story())
    broker.start()  # for the fixture to stop


def test_a_full_queue_drops_the_oldest_and_counts_it() -> None:
    async def story() -> None:
        adapter = MqttAdapter(("127.0.0.1", free_port()), RAWS, MqttOptions())
        queue: asyncio.Queue[object] = asyncio.Queue(2)
        for item in ("a", "b", "c"):
            adapter._put(queue, item)  # type: ignore[arg-type]
        assert [queue.get_nowait(), queue.get_nowait(), adapter.dropped] == ["b", "c", 1]

    asyncio.run(story())
