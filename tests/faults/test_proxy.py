"""The proxy does what it says, to bytes that are known."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.faults.proxy import FaultProxy


@asynccontextmanager
async def echo() -> AsyncIterator[int]:
    """A server that says again what it hears."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@asynccontextmanager
async def through(seed: int = 1) -> AsyncIterator[tuple[FaultProxy, asyncio.StreamReader, asyncio.StreamWriter]]:
    """A proxy before an echo, and one client."""
    async with echo() as port, FaultProxy(port, seed) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        yield proxy, reader, writer
        writer.close()


async def ended(reader: asyncio.StreamReader) -> bytes:
    """What still comes until the connection ends, however it ends."""
    found = b""
    try:
        while data := await asyncio.wait_for(reader.read(65_536), 5):
            found += data
    except ConnectionError:
        pass
    return found


def test_without_a_fault_every_byte_passes() -> None:
    async def go() -> None:
        async with through() as (proxy, reader, writer):
            sent = bytes(range(256)) * 400
            writer.write(sent)
            assert await asyncio.wait_for(reader.readexactly(len(sent)), 5) == sent
            assert proxy.connections == 1

    asyncio.run(go())


def test_a_cut_ends_every_connection_and_new_ones_get_through() -> None:
    async def go() -> None:
        async with through() as (proxy, reader, _):
            proxy.cut()
            assert await ended(reader) == b""
            again, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
            writer.write(b"x")
            assert await again.readexactly(1) == b"x"
            writer.close()

    asyncio.run(go())


@pytest.mark.parametrize("seed", range(4))
def test_a_frame_is_cut_inside_a_part_arrives(seed: int) -> None:
    async def go() -> int:
        async with through(seed) as (proxy, reader, writer):
            proxy.cut_inside()
            writer.write(b"0123456789")
            part = await ended(reader)
            assert len(part) < 10
            assert b"0123456789".startswith(part)
            return len(part)

    assert asyncio.run(go()) == asyncio.run(go()), "the same seed cuts at the same place"


def test_a_black_hole_lets_nothing_through_and_ends_who_was_in_it() -> None:
    async def go() -> None:
        async with through() as (proxy, reader, writer):
            hole = asyncio.create_task(proxy.hole(0.4))
            await asyncio.sleep(0.05)
            writer.write(b"lost")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asyncio.shield(asyncio.ensure_future(reader.read(4))), 0.2)
            await hole
            assert writer.transport.get_write_buffer_size() == 0
            again, other = await asyncio.open_connection("127.0.0.1", proxy.port)
            other.write(b"y")
            assert await asyncio.wait_for(again.readexactly(1), 5) == b"y"
            other.close()

    asyncio.run(go())


def test_refusing_slowness_and_healing() -> None:
    async def go() -> None:
        async with through() as (proxy, reader, writer):
            slow = asyncio.create_task(proxy.slow(1.0, 0.1))
            await asyncio.sleep(0)
            begin = time.monotonic()
            writer.write(b"abc")
            assert await asyncio.wait_for(reader.readexactly(3), 5) == b"abc"
            assert time.monotonic() - begin >= 0.2  # there and back
            slow.cancel()
            proxy.heal()
            shut = asyncio.create_task(proxy.refuse(0.3))
            await asyncio.sleep(0.05)
            refused, other = await asyncio.open_connection("127.0.0.1", proxy.port)
            assert await ended(refused) == b""
            other.close()
            await shut

    asyncio.run(go())


def test_trouble_is_drawn_from_the_seed() -> None:
    async def drawn(seed: int) -> dict[str, int]:
        async with echo() as port, FaultProxy(port, seed) as proxy:
            task = asyncio.create_task(proxy.trouble(0.02, 0.02))
            await asyncio.sleep(0.6)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            return dict(proxy.counts)

    found = asyncio.run(drawn(3))
    assert set(found) == {"cut", "cut_inside", "refuse", "hole", "slow"}
