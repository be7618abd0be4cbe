"""A TCP proxy that makes trouble on purpose: cuts, cuts inside a frame, delays, throttles, swallows. Seeded.

All streams through it stay byte streams: what is forwarded is forwarded in order and unchanged, and what cannot be is
followed by the end of the connection, as a network would do it.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Self

CHUNK = 4096


@dataclass(eq=False)
class _Pipe:
    """One client's connection and ours to the target."""

    near: asyncio.StreamWriter
    far: asyncio.StreamWriter
    held: bool = False  # lived through a black hole: ends with it


@dataclass
class FaultProxy:
    """`async with FaultProxy(target) as proxy: proxy.port`; each fault is a method, `trouble` draws from a seed."""

    target: int
    seed: int = 0
    port: int = 0
    delay_s: float = 0.0
    bytes_per_s: float | None = None
    counts: Counter[str] = field(default_factory=Counter)
    _pipes: set[_Pipe] = field(default_factory=set)
    _server: asyncio.Server | None = None
    _rnd: random.Random = field(init=False)
    _open: asyncio.Event = field(default_factory=asyncio.Event)
    _split: bool = False
    _refusing: bool = False

    def __post_init__(self) -> None:
        self._rnd = random.Random(self.seed)
        self._open.set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self._open.set()
        self._abort(list(self._pipes))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._server.wait_closed(), 2)

    @property
    def connections(self) -> int:
        """How many connections go through now."""
        return len(self._pipes)

    # faults ------------------------------------------------------------------------------------

    def cut(self) -> None:
        """Every connection ends with a reset."""
        self.counts["cut"] += 1
        self._abort(list(self._pipes))

    def cut_inside(self) -> None:
        """The next bytes that come are forwarded in part only, then their connection ends."""
        self.counts["cut_inside"] += 1
        self._split = True

    async def refuse(self, seconds: float) -> None:
        """Nobody gets in, and who is in is put out."""
        self.counts["refuse"] += 1
        self._refusing = True
        self._abort(list(self._pipes))
        await asyncio.sleep(seconds)
        self._refusing = False

    async def hole(self, seconds: float) -> None:
        """Nothing passes either way while connections stay; afterwards they are gone."""
        self.counts["hole"] += 1
        self._open.clear()
        for pipe in self._pipes:
            pipe.held = True
        await asyncio.sleep(seconds)
        self._abort([pipe for pipe in self._pipes if pipe.held])
        self._open.set()

    async def slow(self, seconds: float, delay_s: float = 0.05, bytes_per_s: float | None = None) -> None:
        """Each chunk waits; with `bytes_per_s` no more than that passes a connection and direction."""
        self.counts["slow"] += 1
        self.delay_s, self.bytes_per_s = delay_s, bytes_per_s
        await asyncio.sleep(seconds)
        self.delay_s, self.bytes_per_s = 0.0, None

    async def trouble(self, every_s: float, most_s: float = 2.0) -> None:
        """One fault after another, drawn from the seed, until cancelled."""
        try:
            while True:
                await asyncio.sleep(self._rnd.uniform(0.5, 1.5) * every_s)
                kind, length = self._rnd.choice(("cut", "cut_inside", "refuse", "hole", "slow")), self._rnd.random()
                if kind == "cut":
                    self.cut()
                elif kind == "cut_inside":
                    self.cut_inside()
                elif kind == "refuse":
                    await self.refuse(length * most_s)
                elif kind == "hole":
                    await self.hole(length * most_s)
                else:
                    await self.slow(length * most_s, 0.02, 50_000)
        finally:
            self.heal()

    def heal(self) -> None:
        """No fault from now on."""
        self._refusing = self._split = False
        self.delay_s, self.bytes_per_s = 0.0, None
        self._abort([pipe for pipe in self._pipes if pipe.held])
        self._open.set()

    # streams -----------------------------------------------------------------------------------

    def _abort(self, pipes: list[_Pipe]) -> None:
        for pipe in pipes:
            pipe.near.transport.abort()
            pipe.far.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refusing:
            writer.transport.abort()
            return
        try:
            far_reader, far = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        pipe = _Pipe(writer, far)
        self._pipes.add(pipe)
        self.counts["connections"] += 1
        try:
            ways = [asyncio.create_task(self._carry(*way)) for way in ((reader, far), (far_reader, writer))]
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
        finally:
            self._pipes.discard(pipe)
            for end in (writer, far):
                end.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(CHUNK):
                await self._open.wait()
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                if self.bytes_per_s:
                    await asyncio.sleep(len(data) / self.bytes_per_s)
                if self._split and len(data) > 1:
                    self._split = False
                    writer.write(data[: self._rnd.randrange(1, len(data))])
                    await writer.drain()
                    writer.close()  # the part arrives, then the end
                    return
                writer.write(data)
                await writer.drain()
