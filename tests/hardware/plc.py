"""A controller with the function block of `docs/plc.md` behind an OPC UA or a Modbus server, in a thread of the test.

Beside the words of the control `cap` it offers the tags of the bundled plant `line3`.
`python -m tests.hardware.plc PORT` runs the OPC UA one as a process of its own, which a test can freeze and kill.
"""

from __future__ import annotations

import asyncio
import logging
import struct
import sys
import threading
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from asyncua import ua
from asyncua.server.server import Server
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from ingest.broker import free_port
from sim.plantfile import load
from tests.hardware.structured_text import Block

T = TypeVar("T")

SCAN_MS = 20
WRITTEN = {"uiHeartbeat": "Twin.Heartbeat", "diRequest": "Cap.Request", "diFallback": "Cap.Fallback"}
WRITTEN |= {"diExpected": "Cap.Expected", "uiSerial": "Cap.Serial"}
SHOWN = {"diSetpoint": "Cap.Setpoint", "diValue": "Cap.Value", "uiState": "Cap.State", "uiTaken": "Cap.Taken"}
REGISTERS = {
    "Twin.Heartbeat": "holding/100:uint16", "Cap.Request": "holding/101:int32", "Cap.Fallback": "holding/103:int32",
    "Cap.Expected": "holding/105:int32", "Cap.Serial": "holding/107:uint16", "Cap.Setpoint": "input/0:int32",
    "Cap.Value": "input/2:int32", "Cap.State": "input/4:uint16", "Mode": "input/5:uint16",
    "Cap.Taken": "input/6:uint16",
}  # fmt: skip
"""The table of docs/plc.md."""
TAGS = [s.tag for s in load("line3").sensors]


@dataclass
class Controller:
    """What both servers share: block, scan, the hand at the panel. `trace` has (monotonic s, setpoint, value)."""

    timeout_ms: int = 1500
    port: int = field(default_factory=free_port)
    trace: list[tuple[float, int, int]] = field(default_factory=list)
    beats: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.block = Block(
            xAuto=True, diPanel=6, diLow=2, diHigh=11, diRate=120, diTimeout=self.timeout_ms, diScan=SCAN_MS
        )
        self._entry: int | None = None
        self._ready = threading.Event()

    def start(self) -> None:
        self._ready.clear()
        self._thread = threading.Thread(target=asyncio.run, args=(self.live(),), daemon=True)
        self._thread.start()
        assert self._ready.wait(20)

    async def live(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        await self.open()
        self._ready.set()
        last = time.monotonic()
        while not self._stop.is_set():
            now = time.monotonic()
            await self.scan(round((now - last) * 1000))
            last = now
            await asyncio.sleep(SCAN_MS / 1000)
        await self.close()

    async def scan(self, elapsed_ms: int) -> None:
        words = {name: await self.get(node) for name, node in WRITTEN.items()}
        entry, self._entry = self._entry, None
        panel = {"xPanel": entry is not None} | ({} if entry is None else {"diPanel": entry})
        before = {name: self.block[name] for name in SHOWN}
        self.block.scan(**words, **panel, diScan=elapsed_ms)
        self.beats.add(words["uiHeartbeat"])
        self.trace.append((time.monotonic(), self.block["diSetpoint"], self.block["diValue"]))
        for name, node in SHOWN.items():
            if self.block[name] != before[name] or len(self.trace) == 1:
                await self.put(node, self.block[name])

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        assert not self._thread.is_alive()

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Something on the controller's own loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    def panel(self, value: int) -> None:
        """A hand at the machine."""
        self._entry = value

    def set(self, name: str, value: Any, **how: Any) -> None:
        self.do(self.put(name, value, **how))

    async def open(self) -> None:
        raise NotImplementedError

    async def close(self) -> None:
        raise NotImplementedError

    async def get(self, name: str) -> int:
        raise NotImplementedError

    async def put(self, name: str, value: Any) -> None:
        raise NotImplementedError


@dataclass
class OpcUaPlc(Controller):
    """Nodes `ns=2;s=NAME`: the words, `Mode` and the tags of line3. `skew_s` is how far its clock is ahead."""

    skew_s: float = 0.0
    security: dict[str, Any] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"opc.tcp://127.0.0.1:{self.port}/plc"

    async def open(self) -> None:
        logging.getLogger("asyncua").setLevel(logging.CRITICAL)
        self.server = Server(user_manager=self.security.get("users"))
        await self.server.init()
        self.server.set_endpoint(self.url)
        policies = self.security.get("policies", [ua.SecurityPolicyType.NoSecurity])
        self.server.set_security_policy(policies)
        if "certificate" in self.security:
            await self.server.load_certificate(str(self.security["certificate"]))
            await self.server.load_private_key(str(self.security["key"]))
        await self.server.register_namespace("urn:plc")
        kinds = dict.fromkeys([*SHOWN.values(), *WRITTEN.values()], ua.VariantType.Int32)
        words = ["Twin.Heartbeat", "Cap.Serial", "Cap.State", "Cap.Taken", "Mode"]
        kinds |= dict.fromkeys(words, ua.VariantType.UInt16)
        kinds |= dict.fromkeys(TAGS, ua.VariantType.Int32) | {"Oven": ua.VariantType.Double}
        self.kinds = kinds
        for name, kind in kinds.items():
            node = await self.server.nodes.objects.add_variable(_node(name), name, 0, kind)
            await node.set_writable(name in WRITTEN.values())
        await self.server.start()

    async def close(self) -> None:
        await self.server.stop()

    async def get(self, name: str) -> int:
        found: Any = self.server.read_attribute_value(_node(name)).Value
        return int(found.Value)

    async def put(self, name: str, value: Any, status: int = 0, at: datetime | None = None) -> None:
        stamp = at or datetime.now(UTC) + timedelta(seconds=self.skew_s)
        parts: list[Any] = [ua.Variant(value, self.kinds[name]), ua.StatusCode(ua.UInt32(status)), stamp, stamp]
        await self.server.write_attribute_value(_node(name), ua.DataValue(*parts))


def _node(name: str) -> ua.NodeId:
    return ua.NodeId.from_string(f"ns=2;s={name}")


@dataclass
class ModbusPlc(Controller):
    """The words at the addresses of docs/plc.md; line3's tags as `input/10`.. of 16 bits; unit 1.

    `holding/200` to `holding/209` exist as well; `coil/0` to `coil/15` and `discrete/0` to `discrete/15`. `asked` lists
    (function, address, count) of each request, those that found no address too.
    """

    asked: list[tuple[int, int, int]] = field(default_factory=list)
    mute: bool = False

    @property
    def url(self) -> str:
        return f"modbus://127.0.0.1:{self.port}?unit=1"

    async def open(self) -> None:
        registers = DataType.REGISTERS
        device = SimDevice(
            1,
            (
                [SimData(0, values=[True, False] * 8, datatype=DataType.BITS)],
                [SimData(0, values=[False, True] * 8, datatype=DataType.BITS)],
                [SimData(100, count=10, datatype=registers), SimData(200, count=10, values=7, datatype=registers)],
                [SimData(0, count=30, datatype=registers)],
            ),
        )
        self.server = ModbusTcpServer(device, address=("127.0.0.1", self.port), trace_pdu=self._trace)
        await self.server.serve_forever(background=True)

    def _trace(self, sending: bool, pdu: Any) -> Any:
        if not sending:
            self.asked.append((pdu.function_code, pdu.address, pdu.count))
            if self.mute:
                time.sleep(0.5)  # it is busy and answers too late
        return pdu

    async def close(self) -> None:
        await self.server.shutdown()  # type: ignore[no-untyped-call]

    async def get(self, name: str) -> int:
        table, address, kind = _where(name)
        words = await self.server.async_getValues(1, 3 if table == "holding" else 4, address, 2 if "32" in kind else 1)
        return int(struct.unpack(">i" if "32" in kind else ">H", struct.pack(f">{len(words)}H", *words))[0])

    async def put(self, name: str, value: Any) -> None:
        table, address, kind = _where(name)
        words = struct.unpack(">2H", struct.pack(">i", value)) if "32" in kind else (value,)
        # the store writes input registers by the function that reads them
        await self.server.async_setValues(1, 16 if table == "holding" else 4, address, list(words))


def _where(name: str) -> tuple[str, int, str]:
    raw = REGISTERS.get(name) or (f"input/{10 + TAGS.index(name)}:uint16" if name in TAGS else name)
    table, _, rest = raw.partition("/")
    address, _, kind = rest.partition(":")
    return table, int(address), kind


def tags_of(plc: Controller) -> dict[str, str]:
    """The table `tag: raw name` of a controller: line3's sensors, the mode and the setpoint."""
    if isinstance(plc, OpcUaPlc):
        raws = {tag: f"ns=2;s={tag}" for tag in TAGS}
        return {**raws, "mode": "ns=2;s=Mode", "set/cap": "ns=2;s=Cap.Setpoint"}
    raws = {tag: f"input/{10 + n}:uint16" for n, tag in enumerate(TAGS)}
    return {**raws, "mode": REGISTERS["Mode"], "set/cap": REGISTERS["Cap.Setpoint"]}


def words_of(plc: Controller) -> dict[str, Any]:
    """Section `plc` of a gateway's configuration."""
    names = {"request": "Cap.Request", "fallback": "Cap.Fallback", "expected": "Cap.Expected", "serial": "Cap.Serial"}
    names["taken"] = "Cap.Taken"
    if isinstance(plc, OpcUaPlc):
        return {
            "heartbeat": "ns=2;s=Twin.Heartbeat",
            "controls": {"cap": {key: f"ns=2;s={name}" for key, name in names.items()}},
        }
    return {
        "heartbeat": REGISTERS["Twin.Heartbeat"],
        "controls": {"cap": {key: REGISTERS[name] for key, name in names.items()}},
    }


if __name__ == "__main__":
    asyncio.run(OpcUaPlc(port=int(sys.argv[1])).live())
