"""The cable between gateway and broker, for the demo: it can be pulled for a while and plugged in again by itself.

A small TCP relay. Pulled, it ends every connection at once, as a switch does whose link goes down, and takes no new
one; the gateway then keeps its readings in its outbox and the broker speaks the gateway's last will. Nothing is killed,
and nothing is changed on the way: what crosses are the bytes of MQTT.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hardware.demo_evidence import read_outbox, undelivered

SPANS_S = (30, 60, 120)
"""How long the cable may be out, in seconds of wall time: it always comes back by itself."""
CHUNK = 65_536
LOOK_S = 0.25
CALM = 40
"""Messages on their way at any moment of a healthy connection; with fewer than this the outbox counts as drained."""


class CableError(ValueError):
    """What was asked for cannot be done; the text says why."""


@dataclass(slots=True)
class Story:
    """One pull of the cable, in wall ms since 1970; 0 is not yet. `most`: messages that waited at the same time."""

    pulled: int
    seconds: int
    plugged: int = 0
    connected: int = 0
    drained: int = 0
    most: int = 0
    abandoned: int = 0


@dataclass
class Cable:
    """Relays `port` on loopback to the broker. `await start()`, `pull(seconds)`, `plug()`, `await stop()`.

    `count()` says how many messages wait in the outbox and how many were ever given up; it may be slow.
    """

    broker: tuple[str, int]
    count: Callable[[], tuple[int, int]]
    clock: Callable[[], float] = time.time
    out: bool = field(default=False, init=False)
    story: Story | None = field(default=None, init=False)
    waiting: int = field(default=0, init=False)
    _abandoned: int = field(default=0, init=False)
    _abandoned_before: int = field(default=0, init=False)
    _until: float = field(default=0.0, init=False)
    _ends: set[asyncio.StreamWriter] = field(default_factory=set, init=False)
    _relays: set[asyncio.Task[None]] = field(default_factory=set, init=False)
    _server: asyncio.Server | None = field(default=None, init=False)

    async def start(self, port: int = 0) -> int:
        """Listen on loopback; the port (0 takes a free one). Raises OSError where it is taken."""
        self._server = await asyncio.start_server(self._joined, "127.0.0.1", port)
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """End all connections and listen no longer."""
        if self._server is not None:
            self._server.close()
        self._cut()
        if self._relays:
            await asyncio.wait(self._relays, timeout=2.0)
        await asyncio.sleep(0)  # what was aborted is closed at the next turn of the loop

    def pull(self, seconds: int) -> None:
        """Out for so many seconds of wall time (one of `SPANS_S`). Raises CableError for others and while it is out."""
        if isinstance(seconds, bool) or seconds not in SPANS_S:
            raise CableError(f"seconds: expected one of {', '.join(map(str, SPANS_S))}, found {seconds!r}")
        if self.out:
            raise CableError(f"the cable is out already, for another {self._until - self.clock():.0f} s")
        self._abandoned_before = self._abandoned
        self.story = Story(round(self.clock() * 1000), seconds)
        self._until, self.out = self.clock() + seconds, True
        self._cut()

    def plug(self) -> None:
        """In again, before its time or at it."""
        if self.out and self.story is not None:
            self.out, self.story.plugged = False, round(self.clock() * 1000)

    def look(self, waiting: int, abandoned: int) -> None:
        """One turn with what the outbox says now: plug in when the time is over, note when all has been delivered."""
        self.waiting, self._abandoned = waiting, abandoned
        story = self.story
        if story is None:
            return
        if self.out and self.clock() >= self._until:
            self.plug()
        if story.drained:
            return
        story.most = max(story.most, waiting)
        story.abandoned = abandoned - self._abandoned_before
        if story.connected and waiting < CALM:
            story.drained = round(self.clock() * 1000)

    async def watch(self, stop: asyncio.Event) -> None:
        """Look, again and again, until `stop` is set."""
        while not stop.is_set():
            # the outbox is a file that another process writes: the relay must not wait for it
            self.look(*await asyncio.to_thread(self.count))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), LOOK_S)

    def view(self) -> dict[str, Any]:
        """`{out, left_s, waiting, spans_s, story}`; `story` is the newest pull, null before the first."""
        story = self.story
        told = None if story is None else {name: getattr(story, name) for name in story.__slots__}
        left = round(max(self._until - self.clock(), 0.0), 1) if self.out else 0.0
        return {"out": self.out, "left_s": left, "waiting": self.waiting, "spans_s": list(SPANS_S), "story": told}

    def _cut(self) -> None:
        for end in list(self._ends):
            end.transport.abort()

    async def _joined(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A program has connected."""
        task = asyncio.current_task()
        assert task is not None
        self._relays.add(task)
        task.add_done_callback(self._relays.discard)
        await self._relay(reader, writer)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry both ways until an end closes or the cable is pulled."""
        if self.out:
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection(*self.broker)
        except OSError:
            writer.transport.abort()  # as without the relay: nobody there
            return
        pair = {writer, far_writer}
        self._ends |= pair
        if self.out:  # pulled while the broker was called
            self._cut()
        elif self.story is not None and self.story.plugged and not self.story.connected:
            self.story.connected = round(self.clock() * 1000)
        ways = [asyncio.create_task(_carry(*way)) for way in ((reader, far_writer), (far_reader, writer))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            self._ends -= pair
            for end in pair:
                end.close()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Bytes of one direction, no faster than the receiver takes them."""
    with contextlib.suppress(OSError):
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()


def of_folder(broker: tuple[str, int], data: Path) -> Cable:
    """The cable of a demo whose gateway keeps its outbox in `data`."""
    return Cable(broker, lambda: (undelivered(data), read_outbox(data)[1]))
