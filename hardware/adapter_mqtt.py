"""MQTT passthrough: topics of a local broker as raw names, `shop/turn/count` or `shop/turn#state.code` for a field.

`#` cannot be part of a topic, so it separates the topic from the path of a field in a JSON payload. A topic tells
something when it is published and cannot be asked: a read gives what was heard last.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from hardware.adapter import Clock, Deliver, FieldbusError, Sample
from hardware.link import Arrival, Hooks, Link
from ingest.wire import BAD

MAX_QUEUE = 10_000
MAX_PAYLOAD = 64 * 1024
MAX_TEXT = 256


@dataclass(frozen=True, slots=True)
class MqttOptions:
    """`time`: path of the field that holds the device's time (ms, s or ISO 8601); `settle_s`: wait for retained."""

    time: str | None = None
    settle_s: float = 1.0


class MqttAdapter:
    """The broker at `address`; its connection is `hardware.link`, whose callback only queues."""

    clock: Clock | None = None

    def __init__(self, address: tuple[str, int], raws: Sequence[str], options: MqttOptions) -> None:
        self._address, self._options = address, options
        self.timed = options.time is not None
        self._topics: dict[str, list[str]] = {}
        for raw in raws:
            self._topics.setdefault(raw.partition("#")[0], []).append(raw)
        self._raws = list(raws)
        self._link: Link | None = None
        self._last: dict[str, Sample] = {}
        self.dropped = 0

    @property
    def connected(self) -> bool:
        return self._link is not None and self._link.connected

    async def run_once(self, deliver: Deliver) -> None:
        queue: asyncio.Queue[Arrival | str] = asyncio.Queue(MAX_QUEUE)
        up = asyncio.Event()
        hooks = Hooks(lambda m: self._put(queue, m), up.set, lambda why: self._put(queue, why))
        link = Link(*self._address, "gw-fieldbus", sorted(self._topics), hooks)
        self._last.clear()
        link.start()
        try:
            await asyncio.wait_for(up.wait(), 10.0)
            self._link = link
            await self._serve(queue, deliver)
        except TimeoutError as error:
            raise FieldbusError(f"mqtt://{self._address[0]}:{self._address[1]}: no broker answers there") from error
        finally:
            self._link = None
            await link.stop()

    def _put(self, queue: asyncio.Queue[Arrival | str], item: Arrival | str) -> None:
        try:
            queue.put_nowait(item)
        except asyncio.QueueFull:
            queue.get_nowait()  # the oldest: what comes later says more
            queue.put_nowait(item)
            self.dropped += 1

    async def _serve(self, queue: asyncio.Queue[Arrival | str], deliver: Deliver) -> None:
        loop = asyncio.get_running_loop()
        settled = loop.time() + self._options.settle_s
        first = True
        while True:
            try:
                rest = max(0.05, settled - loop.time()) if first else None
                item: Arrival | str | None = await asyncio.wait_for(queue.get(), rest)
            except TimeoutError:
                item = None
            if isinstance(item, str):
                raise FieldbusError(f"the local broker is away ({item})")
            found = self._samples(item) if item is not None else {}
            self._last |= found
            if first and loop.time() >= settled:
                first = False
                deliver(dict(self._last), True)
            elif found and not first:
                deliver(found, False)

    def _samples(self, arrival: Arrival) -> dict[str, Sample]:
        raws = self._topics.get(arrival.topic, ())
        return {raw: read_payload(arrival.payload, raw.partition("#")[2], self._options.time) for raw in raws}

    async def read(self, raws: Sequence[str]) -> dict[str, Sample]:
        if not self.connected:
            raise FieldbusError(f"mqtt://{self._address[0]}:{self._address[1]} is not connected")
        return {raw: self._last[raw] for raw in raws if raw in self._last}

    async def write(self, items: Sequence[tuple[str, int]]) -> None:
        for raw, value in items:
            topic, _, path = raw.partition("#")
            if path:
                raise FieldbusError(f"{raw}: one field of a payload cannot be written; use a topic of its own")
            if self._link is None or not self._link.publish(topic, str(value).encode()):
                raise FieldbusError(f"{topic}: not written, the local broker is away")


def read_payload(payload: bytes, path: str, time_path: str | None) -> Sample:
    """The sample in a payload: a bare number or text, or the field `path` of a JSON object."""
    if len(payload) > MAX_PAYLOAD:
        return Sample(None, BAD, None, f"a payload of {len(payload)} bytes, expected at most {MAX_PAYLOAD}")
    try:
        text = payload.decode()
        found: Any = json.loads(text)
    except UnicodeDecodeError:
        return Sample(None, BAD, None, "the payload is no UTF-8 text")
    except (ValueError, RecursionError):
        found = text.strip() if not path else None
    value = _field(found, path) if path else found
    t = time_of(_field(found, time_path)) if time_path else None
    if isinstance(value, bool):
        value = int(value)
    if not isinstance(value, int | float | str) or (isinstance(value, str) and len(value) > MAX_TEXT):
        what = f"field {path}" if path else "a number or a text"
        return Sample(None, BAD, t, f"expected {what}, found {text[:40]!r}")
    return Sample(value, t=t)


def _field(found: Any, path: str) -> Any:
    for key in path.split("."):
        if isinstance(found, list) and key.isdigit() and int(key) < len(found):
            found = found[int(key)]
        elif isinstance(found, dict):
            found = found.get(key)
        else:
            return None
    return found


def time_of(found: Any) -> int | None:
    """A device's time as ms UTC: ms or s since 1970, or ISO 8601 (UTC where it names no zone); None: it is no time."""
    if isinstance(found, str):
        try:
            stamp = datetime.fromisoformat(found)
        except ValueError:
            try:
                found = float(found)
            except ValueError:
                return None
        else:
            return round((stamp if stamp.tzinfo else stamp.replace(tzinfo=UTC)).timestamp() * 1000)
    if isinstance(found, bool) or not isinstance(found, int | float) or not math.isfinite(found) or found < 0:
        return None
    return round(found if found > 1e11 else found * 1000)
