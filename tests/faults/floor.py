"""A plant whose content is known: every reading tells its tag and number, so that none is lost or altered unseen."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hardware.fieldbus import FieldbusServer
from hardware.pace import wall_ms

CELLS = 4
STOCKS = 40
PROPERTIES = ("on_hand", "backorder")
WIDTH = STOCKS * len(PROPERTIES)
"""Tags, and so readings a step."""
EVENT_EVERY = 10
SPEED = 60.0
ORIGIN = 1_767_592_800_000
MAX_UNREAD = 128 * 1024


def tag_name(k: int) -> str:
    """Tag k of the plant."""
    return f"s{k // len(PROPERTIES)}/{PROPERTIES[k % len(PROPERTIES)]}"


def cell_of(k: int) -> str:
    """The cell of tag k."""
    return f"cell{k // len(PROPERTIES) % CELLS + 1}"


def plant_text() -> str:
    """The plant file: stocks with two tags each, spread over the cells."""
    stock = "{{item: i{k}, from: maker, lead: constant(2 d), policy: {{kind: base_stock, level: 9}}, initial: 5}}"
    lines = ["plantwin: 1", "site: demo", "area: machining", "line: faults", "tick: 1 s", "time_unit: d"]
    lines += ["products: {}", "stations: {}", "suppliers:", "  maker: {lead: constant(2 d)}", "stocks:"]
    lines += [f"  s{k}: " + stock.format(k=k) for k in range(STOCKS)]
    lines += ["demand:"]
    lines += [f"  d{k}: {{stock: s{k}, arrivals: poisson(5/d), backlog: 2 EUR/d}}" for k in range(STOCKS)]
    lines += ["sensors:"]
    for k in range(WIDTH):
        thing, name = tag_name(k).split("/")
        lines.append(f"  - {{thing: {thing}, property: {name}, tag: {tag_name(k)}, type: int, cell: {cell_of(k)}}}")
    return "\n".join(lines) + "\n"


@dataclass
class Floor:
    """What the fieldbus server asks. Step n gives tag k the value n * WIDTH + k at plant ms `times[n]`."""

    wall: int = field(default_factory=wall_ms)
    times: list[int] = field(default_factory=list)
    events: list[int] = field(default_factory=list)  # plant ms of event m
    _from: float = field(default_factory=time.monotonic)

    def hello(self) -> dict[str, Any]:
        tags = [{"name": tag_name(k), "type": "int"} for k in range(WIDTH)]
        return {"origin": ORIGIN, "speed": SPEED, "wall": self.wall, "tags": tags}

    def values(self) -> dict[str, Any]:
        if not self.times:
            return {"t": ORIGIN, "v": {}, "all": True}
        return {"t": self.times[-1], "v": self._of(len(self.times) - 1), "all": True}

    def write(self, request: Mapping[str, Any]) -> dict[str, Any]:
        return {"refused": f"read only: {request.get('tag')}"}

    def heartbeat(self, n: int) -> None:
        pass

    @staticmethod
    def _of(step: int) -> dict[str, int]:
        return {tag_name(k): step * WIDTH + k for k in range(WIDTH)}

    def step(self) -> list[dict[str, Any]]:
        """The next step's messages."""
        now = ORIGIN + int((time.monotonic() - self._from) * 1000 * SPEED)
        t = max(now, self.times[-1] + 1 if self.times else 0)
        self.times.append(t)
        messages: list[dict[str, Any]] = [{"t": t, "v": self._of(len(self.times) - 1)}]
        if len(self.times) % EVENT_EVERY == 0:
            thing = f"s{len(self.events) % CELLS}"
            messages.append({"t": t, "event": {"kind": "alarm", "thing": thing, "text": str(len(self.events))}})
            self.events.append(t)
        return messages


class Bus(FieldbusServer):
    """The fieldbus; it holds its breath while nobody listens or a listener is behind."""

    def __init__(self, floor: Floor) -> None:
        super().__init__(floor)
        self.floor = floor
        self.asleep = False  # set from outside: the line behind is full

    @property
    def heard(self) -> bool:
        """Is there a listener that keeps up?"""
        sizes = [writer.transport.get_write_buffer_size() for writer in self._clients]
        return bool(sizes) and max(sizes) < MAX_UNREAD

    async def reach(self, step: float) -> None:
        """Return when that step has been given."""
        while True:
            if len(self.floor.times) >= step:
                return
            await asyncio.sleep(0.01)

    async def run(self, steps: int, readings_per_s: float) -> None:
        """Give `steps` steps at that rate at most."""
        due = time.monotonic()
        while len(self.floor.times) < steps:
            if self.asleep or not self.heard:
                await asyncio.sleep(0.02)
                due = time.monotonic()
                continue
            for message in self.floor.step():
                self.send(message)
            due += WIDTH / readings_per_s
            await asyncio.sleep(max(0.0, due - time.monotonic()))
