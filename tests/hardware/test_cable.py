"""The cable between gateway and broker: bytes cross unchanged, a pull ends all connections, nothing is lost by it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from hardware.cable import CALM, Cable, CableError, of_folder
from hardware.cable_service import build
from hardware.gateway import Gateway
from hardware.gateway_config import GatewayConfig
from hardware.outbox import pending
from hardware.store import Store
from sim.plantfile import load
from tests.hardware.fakes import FakeTwin, Running
from tests.hardware.test_gateway_inside import HELLO, TAGS

BEGAN = 1_767_592_800.0


class Clock:
    """Wall time as the test sets it."""

    def __init__(self) -> None:
        self.now = BEGAN

    def __call__(self) -> float:
        return self.now


async def until(true: Callable[[], bool], what: str, seconds: float = 20.0) -> None:
    """Wait on the running loop; fails with `what`."""
    end = asyncio.get_running_loop().time() + seconds
    while not true():
        assert asyncio.get_running_loop().time() < end, f"not within {seconds:g} s: {what}"
        await asyncio.sleep(0.02)


def with_echo(story: Callable[[Cable, Clock, int], Awaitable[None]]) -> None:
    """Run a story with a cable to a server that says everything twice."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1000):
            writer.write(data + data)
        writer.close()

    async def run() -> None:
        clock, server = Clock(), await asyncio.start_server(echo, "127.0.0.1", 0)
        cable = Cable(("127.0.0.1", server.sockets[0].getsockname()[1]), lambda: (0, 0), clock)
        await story(cable, clock, await cable.start())
        await cable.stop()
        server.close()

    asyncio.run(run())


async def said(port: int, text: bytes, size: int) -> bytes:
    """What comes back through the cable; b"" when the connection is ended."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(text)
        return await asyncio.wait_for(reader.readexactly(size), 5)
    except (OSError, asyncio.IncompleteReadError):
        return b""
    finally:
        writer.transport.abort()


def test_bytes_cross_unchanged_and_a_pull_ends_what_is_connected() -> None:
    async def story(cable: Cable, clock: Clock, port: int) -> None:
        blob = bytes(range(256)) * 2000
        assert await said(port, blob[:900], 1800) == blob[:900] * 2
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"hello")
        assert await reader.readexactly(10) == b"hellohello"
        cable.pull(30)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await asyncio.wait_for(reader.readexactly(1), 5)
        writer.transport.abort()
        assert await said(port, b"x", 2) == b"", "nobody gets through while it is out"
        with pytest.raises(CableError, match="out already"):
            cable.pull(60)
        clock.now += 29.9
        cable.look(CALM, 0)
        assert cable.view()["left_s"] == pytest.approx(0.1)
        clock.now += 0.2
        cable.look(CALM, 0)
        assert not cable.out, "it comes back by itself"
        assert await said(port, b"x", 2) == b"xx"

    with_echo(story)


def test_the_story_of_a_pull_is_told_with_its_times_and_the_most_that_waited() -> None:
    async def story(cable: Cable, clock: Clock, port: int) -> None:
        assert cable.view()["story"] is None
        cable.look(3, 5)  # five were given up long before
        cable.pull(60)
        for waiting in (100, 900, 700):
            clock.now += 10
            cable.look(waiting, 5)
        cable.plug()
        clock.now += 2
        assert await said(port, b"x", 2) == b"xx"
        cable.look(CALM, 7)
        assert cable.story is not None
        assert not cable.story.drained
        clock.now += 1
        cable.look(CALM - 1, 7)
        clock.now += 100
        cable.look(2000, 7)
        told, began = cable.view()["story"], round(BEGAN * 1000)
        assert told == {
            "pulled": began,
            "seconds": 60,
            "plugged": began + 30_000,
            "connected": began + 32_000,
            "drained": began + 33_000,
            "most": 900,
            "abandoned": 2,
        }

    with_echo(story)


@pytest.mark.parametrize("seconds", [0, 29, 3600, True, "30", None])
def test_other_spans_are_refused(seconds: Any) -> None:
    cable = Cable(("127.0.0.1", 1), lambda: (0, 0))
    with pytest.raises(CableError, match="30, 60, 120"):
        cable.pull(seconds)
    assert not cable.out


def test_the_interface_is_for_this_machine_only() -> None:
    cable = Cable(("127.0.0.1", 1), lambda: (0, 0))

    async def run() -> None:
        transport = httpx.ASGITransport(app=build(cable))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            foreign = {"origin": "http://evil.example"}
            assert (await client.post("/pull", json={"seconds": 30}, headers=foreign)).status_code == 403
            assert (await client.get("/", headers={"host": "evil.example"})).status_code == 400
            assert (await client.post("/pull", json={"seconds": 31})).status_code == 409
            assert (await client.post("/pull", content=b"{")).status_code == 422
            assert not cable.out
            assert (await client.post("/pull", json={"seconds": 30})).json()["out"]
            assert "out already" in (await client.post("/pull", json={"seconds": 30})).json()["error"]
            assert (await client.post("/plug", headers=foreign)).status_code == 403
            assert not (await client.post("/plug", headers={"origin": "http://127.0.0.1:8050"})).json()["out"]

    asyncio.run(run())


def test_a_gateway_behind_a_pulled_cable_loses_nothing(tmp_path: Path, broker: Running, twin: FakeTwin) -> None:
    clock = Clock()

    async def run() -> None:
        cable = of_folder(("127.0.0.1", broker.port), tmp_path)
        cable.clock = clock
        port, stop = await cable.start(), asyncio.Event()
        with Store(tmp_path / "outbox.db") as store:
            config = GatewayConfig("line3", "127.0.0.1:1", f"127.0.0.1:{port}", tmp_path)
            gateway = Gateway(config, load("line3"), store)
            running = asyncio.create_task(gateway.run(stop))
            root, outbox = gateway.home.root, gateway.home.outbox

            def hear(first: int, n: int) -> None:
                gateway._heard_bus({"hello": {**HELLO, "tags": TAGS}})
                for t in range(first, first + n):
                    gateway._heard_bus({"t": t, "v": {"turn/count": t}})
                    gateway.home._since = -1e9  # the group is due
                    gateway.flush()

            def got() -> set[int]:
                return set(twin.got.get((root, outbox.epoch), {}))

            hear(1, 20)
            await until(lambda: gateway.home.link.connected, "connected across the cable")
            await until(lambda: bool(got()) and got() >= set(range(1, outbox.next)), "all is there")
            before = outbox.next
            cable.pull(30)
            await until(lambda: not gateway.home.link.connected, "the gateway notices")
            hear(1000, 50)
            cable.look(*cable.count())
            assert cable.story is not None
            assert cable.story.most == pending(tmp_path / "outbox.db") >= outbox.next - before
            assert max(got()) < before, "nothing crosses"
            clock.now += 31
            cable.look(*cable.count())
            await until(lambda: got() >= set(range(1, outbox.next)), "what waited is there")
            await until(lambda: pending(tmp_path / "outbox.db") < CALM, "and is confirmed")
            cable.look(*cable.count())
            assert cable.story.drained
            assert cable.story.abandoned == 0
            assert twin.covered((root, outbox.epoch)) == set(), "no number was given up"
            stop.set()
            await running
        await cable.stop()

    asyncio.run(run())
