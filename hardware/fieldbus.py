"""The virtual plant's fieldbus: a tag server on loopback TCP, one JSON object a line.

The server announces itself (`hello`), gives all values, then changes and events; a client writes
setpoints, reads tags and sends a heartbeat. A client that does not read is cut off, the plant never waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Mapping
from typing import Any, Protocol, Self

MAX_LINE = 256 * 1024
MAX_BACKLOG = 8 * 1024 * 1024
MAX_CLIENTS = 16


class Floor(Protocol):
    """What the server needs from the plant."""

    def hello(self) -> dict[str, Any]: ...

    def values(self) -> dict[str, Any]:
        """`{"t": plant ms, "v": {tag: value}}` of everything."""

    def write(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out a write; the answer without its number."""

    def heartbeat(self, n: int) -> None: ...


def line_of(message: Mapping[str, Any]) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


class FieldbusServer:
    """`async with FieldbusServer(floor, port) as bus: bus.port; bus.send(message)`."""

    def __init__(self, floor: Floor, port: int = 0) -> None:
        self._floor, self.port = floor, port
        self._clients: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self.cut_off = 0
        self.refused = 0

    async def __aenter__(self) -> Self:
        try:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, limit=MAX_LINE)
        except OSError as error:
            raise OSError(
                f"fieldbus port {self.port} cannot be opened ({error.strerror}); choose another with --port"
            ) from error
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for writer in list(self._clients):
            writer.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._server.wait_closed(), 2)

    def send(self, message: Mapping[str, Any]) -> None:
        """One line to every client; a client with too much unread is cut off."""
        line = line_of(message)
        for writer in list(self._clients):
            if writer.transport.get_write_buffer_size() > MAX_BACKLOG:
                self.cut_off += 1
                self._clients.discard(writer)
                writer.transport.abort()
            else:
                writer.write(line)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._clients) >= MAX_CLIENTS:
            writer.close()
            return
        try:
            writer.write(line_of({"hello": self._floor.hello()}) + line_of(self._floor.values()))
            self._clients.add(writer)
            while line := await reader.readline():
                self._answer(line, writer)
                await writer.drain()
        except (ConnectionError, ValueError, asyncio.LimitOverrunError):
            pass  # a client that goes away or sends an endless line is only dropped
        finally:
            self._clients.discard(writer)
            writer.close()

    def _answer(self, line: bytes, writer: asyncio.StreamWriter) -> None:
        try:
            message = json.loads(line)
            number = message.get("id")
            if "write" in message:
                writer.write(line_of({"written": number, **self._floor.write(message["write"])}))
            elif "read" in message:
                values = self._floor.values()
                found = {tag: values["v"][tag] for tag in message["read"] if tag in values["v"]}
                writer.write(line_of({"reading": number, "t": values["t"], "v": found}))
            elif "heartbeat" in message:
                self._floor.heartbeat(int(message["heartbeat"]))
            else:
                self.refused += 1
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            self.refused += 1
            writer.write(line_of({"error": f"not understood: {error}"}))


class FieldbusError(OSError):
    """The fieldbus is away or did not answer in time."""


class FieldbusClient:
    """The gateway's end. `listen` is called with each message that is not an answer, in order."""

    def __init__(self, host: str, port: int, listen: Callable[[dict[str, Any]], None]) -> None:
        self._host, self._port, self._listen = host, port, listen
        self._writer: asyncio.StreamWriter | None = None
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._number = 0
        self.advisory: Mapping[str, str] = {}  # the virtual plant's controller holds leases of every control

    @property
    def connected(self) -> bool:
        return self._writer is not None and not self._writer.is_closing()

    async def run_once(self) -> None:
        """Connect and hand out messages until the connection ends; raises OSError when there is none."""
        reader, self._writer = await asyncio.open_connection(self._host, self._port, limit=MAX_BACKLOG)
        try:
            while line := await reader.readline():
                message = json.loads(line)
                number = message.get("written", message.get("reading"))
                future = self._waiting.pop(number, None) if number is not None else None
                if future is not None and not future.done():
                    future.set_result(message)
                elif number is None:
                    self._listen(message)
        finally:
            self._writer.close()
            self._writer = None
            for future in self._waiting.values():
                if not future.done():
                    future.set_exception(
                        FieldbusError(f"fieldbus {self._host}:{self._port} went away before it answered")
                    )
            self._waiting.clear()

    async def _ask(self, message: dict[str, Any], timeout_s: float = 5.0) -> dict[str, Any]:
        if self._writer is None:
            raise FieldbusError(f"fieldbus {self._host}:{self._port} is not connected")
        self._number += 1
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[self._number] = future
        self._writer.write(line_of({**message, "id": self._number}))
        try:
            return await asyncio.wait_for(future, timeout_s)
        except TimeoutError as error:
            raise FieldbusError(f"fieldbus {self._host}:{self._port} did not answer in {timeout_s:g} s") from error

    async def write(self, tag: str, value: int, fallback: int | None = None, *, local: bool = False) -> dict[str, Any]:
        """Write a tag; `fallback` is what the PLC returns to when the heartbeat stops.

        `local` stands for a hand at the machine's own panel (tests, demonstrations): it also works in manual mode.
        """
        body: dict[str, Any] = {"tag": tag, "value": value}
        if fallback is not None:
            body["fallback"] = fallback
        if local:
            body["local"] = True
        return await self._ask({"write": body})

    async def read(self, *tags: str) -> dict[str, Any]:
        """Values of tags, {tag: value}."""
        return dict((await self._ask({"read": list(tags)}))["v"])

    def heartbeat(self, n: int) -> None:
        if self._writer is not None:
            self._writer.write(line_of({"heartbeat": n}))
