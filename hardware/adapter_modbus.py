"""Modbus TCP: a device is polled with few block reads. The one module that knows pymodbus.

An exception code makes what it concerns bad and names it; one unanswered poll makes its values stale, several in a
row end the connection. Modbus carries no time: a value's time is that of its answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from hardware.adapter import Clock, Deliver, FieldbusError, Sample
from hardware.registers import Block, Point, decode, encode, parse, plan
from ingest.wire import BAD, STALE

if TYPE_CHECKING:
    from pymodbus.client import AsyncModbusTcpClient

PATIENCE = 3
"""Polls without any answer after which the connection is made anew."""
EXCEPTIONS = {
    1: "illegal function", 2: "illegal data address", 3: "illegal data value", 4: "device failure", 5: "acknowledge",
    6: "device busy", 8: "memory parity error", 10: "gateway path unavailable", 11: "gateway target does not respond",
}  # fmt: skip
"""Exception codes (MODBUS Application Protocol V1.1b3, 7)."""


@dataclass(frozen=True, slots=True)
class ModbusOptions:
    """`poll_s` between two polls, `timeout_s` for an answer; `order` of numbers that name none."""

    poll_s: float = 1.0
    timeout_s: float = 2.0
    order: str = "abcd"
    max_gap: int = 8
    max_registers: int = 120


class _DeviceError(Exception):
    """The device answered with an exception code."""

    def __init__(self, code: int) -> None:
        self.code = code
        super().__init__(f"Modbus exception {code} ({EXCEPTIONS.get(code, 'unknown')})")


class ModbusAdapter:
    """One device (`unit`) behind `host:port`."""

    timed = False
    clock: Clock | None = None

    def __init__(self, address: tuple[str, int], unit: int, raws: Sequence[str], options: ModbusOptions) -> None:
        self._address, self._unit, self._options = address, unit, options
        self._points = {raw: parse(raw, options.order) for raw in raws}
        self.blocks = self._plan(self._points.values(), options.max_gap)
        self._client: AsyncModbusTcpClient | None = None
        self._known: dict[str, Sample] = {}
        self.requests = 0
        self.overruns = 0

    def _plan(self, points: Any, max_gap: int) -> list[Block]:
        return plan(list(points), max_gap, self._options.max_registers)

    @property
    def connected(self) -> bool:
        return self._client is not None and bool(self._client.connected)

    @property
    def _where(self) -> str:
        return f"modbus://{self._address[0]}:{self._address[1]}"

    async def run_once(self, deliver: Deliver) -> None:
        from pymodbus.client import AsyncModbusTcpClient

        host, port = self._address
        wait = self._options.timeout_s
        # retries 0, no reconnecting: both are done here and by the gateway, with jitter
        client = AsyncModbusTcpClient(host, port=port, timeout=wait, retries=0, reconnect_delay=0)
        if not await client.connect():
            raise FieldbusError(f"{self._where}: nobody answers there")
        self._client = client
        try:
            await self._poll(deliver)
        finally:
            self._client = None
            client.close()

    async def _poll(self, deliver: Deliver) -> None:
        loop = asyncio.get_running_loop()
        first, silent = True, 0
        while True:
            began = loop.time()
            found, answered = await self._image()
            if _ending():  # Python 3.11's wait_for loses a cancellation that comes together with an answer
                raise asyncio.CancelledError
            silent = 0 if answered else silent + 1
            if silent >= PATIENCE or not self.connected:
                raise FieldbusError(f"{self._where}: no answer to {silent} polls of {self._options.timeout_s:g} s")
            if first and not answered:
                continue
            news = found if first else {raw: s for raw, s in found.items() if self._known.get(raw) != s}
            self._known.update(found)
            if news:
                deliver(news, first)
            first = False
            rest = began + self._options.poll_s - loop.time()
            self.overruns += rest < 0
            await asyncio.sleep(max(0.0, rest))

    async def _image(self) -> tuple[dict[str, Sample], bool]:
        """Every point's sample, and whether anybody answered at all."""
        found: dict[str, Sample] = {}
        answered = not self.blocks
        for block in list(self.blocks):
            try:
                found |= await self._block(block)
                answered = True
            except FieldbusError as error:
                for point in block.points:
                    known = self._known.get(point.raw)
                    found[point.raw] = Sample(known.value if known else None, STALE if known else BAD, None, str(error))
                if not self.connected:
                    break
        return found, answered

    async def _block(self, block: Block) -> dict[str, Sample]:
        """One block; one that the device refuses is asked for in smaller pieces, from then on always."""
        try:
            values = await self._ask(block)
        except _DeviceError as error:
            if len(block.points) == 1 or error.code != 2:
                return {p.raw: Sample(None, BAD, None, str(error)) for p in block.points}
            pieces = self._plan(block.points, 0)
            if len(pieces) == 1:
                pieces = [b for p in block.points for b in self._plan([p], 0)]
            at = self.blocks.index(block) if block in self.blocks else None
            if at is not None:
                self.blocks[at : at + 1] = pieces
            found: dict[str, Sample] = {}
            for piece in pieces:
                found |= await self._block(piece)
            return found
        return {p.raw: Sample(decode(p, block, values)) for p in block.points}

    async def _ask(self, block: Block) -> Sequence[int | bool]:
        client = self._connection()
        read = {
            "coil": client.read_coils,
            "discrete": client.read_discrete_inputs,
            "holding": client.read_holding_registers,
            "input": client.read_input_registers,
        }[block.table]
        answer = await self._answer(partial(read, block.address, count=block.count, device_id=self._unit))
        values: Sequence[int | bool] = answer.bits if block.table in ("coil", "discrete") else answer.registers
        if len(values) < block.count:
            raise FieldbusError(f"{self._where}: expected {block.count} values, found {len(values)}")
        return values

    async def _answer(self, request: Callable[[], Any]) -> Any:
        """The answer to a request; FieldbusError without one, _DeviceError for an exception code."""
        from pymodbus.exceptions import ModbusException

        self.requests += 1
        try:
            answer = await request()
        except (ModbusException, OSError, asyncio.CancelledError) as error:
            if isinstance(error, asyncio.CancelledError) and _ending():
                raise
            raise FieldbusError(f"{self._where}: no answer in {self._options.timeout_s:g} s") from error
        if answer.isError():
            raise _DeviceError(int(answer.exception_code))
        return answer

    def _connection(self) -> AsyncModbusTcpClient:
        if self._client is None:
            raise FieldbusError(f"{self._where} is not connected")
        return self._client

    async def read(self, raws: Sequence[str]) -> dict[str, Sample]:
        points = [self._points.get(raw) or parse(raw, self._options.order) for raw in raws]
        found: dict[str, Sample] = {}
        for block in self._plan(points, self._options.max_gap):
            found |= await self._block(block)
        return found

    async def write(self, items: Sequence[tuple[str, int]]) -> None:
        """Neighbouring registers go in one request, which a PLC sees at once; else one after the other."""
        client = self._connection()
        for table, address, values in _runs([(parse(raw, self._options.order), value) for raw, value in items]):
            if table == "coil":
                request: Any = partial(client.write_coil, address, bool(values[0]), device_id=self._unit)
            else:
                request = partial(client.write_registers, address, values, device_id=self._unit)
            try:
                await self._answer(request)
            except _DeviceError as error:
                raise FieldbusError(f"{table}/{address}: not written, {error}") from error


def _ending() -> bool:
    """Is it we who are being cancelled? (pymodbus cancels its own futures when a connection breaks.)"""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _runs(items: Sequence[tuple[Point, int]]) -> list[tuple[str, int, list[int]]]:
    """(table, address, values) of the writes; consecutive items with consecutive registers become one."""
    runs: list[tuple[str, int, list[int]]] = []
    for point, value in items:
        if point.table in ("discrete", "input"):
            raise FieldbusError(f"{point.raw}: cannot be written by its nature; use a holding register or a coil")
        try:
            words = [int(bool(value))] if point.is_bit else encode(point, value)
        except ValueError as error:
            raise FieldbusError(str(error)) from error
        if runs and point.table == "holding":
            table, address, values = runs[-1]
            if table == "holding" and address + len(values) == point.address:
                values += words
                continue
        runs.append((point.table, point.address, words))
    return runs
