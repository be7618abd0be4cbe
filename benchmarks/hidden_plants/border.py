"""From registers to journal rows, without a clock: the mapping at work in a gateway, or in ingest for plain MQTT.

A gateway numbers what it sends, keeps what a network outage holds up and sends it afterwards; while it is down itself
nobody sees the registers. A plain client says a changed register at most once, and one register again every two
minutes, in turn; a gateway asserts all its values every five minutes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np

from benchmarks.hidden_plants.field import Change, Wiring
from ingest.intake import Intake
from ingest.mapping import Mapping, Output, Value
from ingest.mapping_rows import MappedRows
from ingest.message import Line, Message
from ingest.topicmap import TopicMap
from ingest.wire import UNIT_STATES, Birth, Data, Event, Row, Tag, encode
from sim.plant import Plant

MONDAY_MS = 1_767_571_200_000
"""2026-01-05 00:00 UTC: second 0 of a hidden plant."""
TICK_S = 30.0
AGAIN_S = 300.0
TURN_S = 120.0
QUIET_S = 300.0
"""Where nothing changes a tick comes this often only."""
Raw = tuple[int, int, str, str, str | None, int | None, bytes]


def ms(t: float) -> int:
    """Plant ms of a hidden plant's seconds."""
    return MONDAY_MS + round(t * 1000)


@dataclass
class Border:
    """Turns a stream into rows. `heard` are the raw names that have come, `told` counts outputs by rule."""

    plant: Plant
    mapping: Mapping
    wiring: Wiring
    seed: int
    heard: set[str] = field(default_factory=set)
    dropped: int = 0

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng([self.seed, 0xB0D3])
        self.line = Line(self.plant.site, self.plant.area, self.plant.line)
        self.tick_source = self.line.cell("_twin")
        self.now: dict[str, int] = {}

    def rows(self, stream: list[Change], begin: float, end: float) -> Iterator[Row]:
        """Journal rows of the time between `begin` and `end` (seconds), positions from 1, in the order of arrival."""
        link: _Gateway | _Plain = (_Plain if self.wiring.transport == "plain" else _Gateway)(self)
        pos = 0
        for t, batch in self._moments(stream, begin, end):
            raw = [] if batch is None else link.take(t, batch)
            raw.append((ms(t), ms(t), "tick", self.tick_source, None, None, b'{"t":%d}' % ms(t)))
            for row in raw:
                pos += 1
                yield Row(pos, *row)

    def _moments(self, stream: list[Change], begin: float, end: float) -> Iterator[tuple[float, list[Change] | None]]:
        """The changes up to each tick (None: only time goes on); what came before `begin` the registers show then."""
        k = 0
        while k < len(stream) and stream[k][0] < begin:
            self.now[stream[k][1]] = stream[k][2]
            k += 1
        t = told = begin
        while t < end:
            t += TICK_S
            first = k
            while k < len(stream) and stream[k][0] <= t:
                k += 1
            if k > first or t % QUIET_S == 0:
                if t - told > TICK_S:
                    yield t - TICK_S, None  # time goes on first, or what is said would be of the future
                told = t
                yield t, stream[first:k]

    def away(self, t: float) -> str:
        """The outage that lasts at a time, "" for none."""
        return next((kind for a, b, kind in self.wiring.outages if a <= t < b), "")

    def stamp(self, t: float) -> int:
        """What the gateway's clock says."""
        return ms(t + self.wiring.skew)


class _Gateway:
    """Numbered messages through ingest's intake; a birth first."""

    def __init__(self, border: Border) -> None:
        self.border, self.engine = border, border.mapping.engine()
        self.intake = Intake(border.line, TopicMap())
        self.source = border.line.cell("cell1")
        self.alias = {s.tag: i for i, s in enumerate(border.plant.sensors)}
        self.s = 1
        self.kept: list[Message] = []
        self.born = False
        self.blind = True
        self.values: dict[int, tuple[float, int]] = {}
        self.again = -1e12

    def take(self, t: float, batch: list[Change]) -> list[Raw]:
        border, out = self.border, []
        if not self.born:
            out.append(self._birth(t))
        for at, name, value in batch:
            border.now[name] = value
            if border.away(at) == "gateway":
                self.blind = True
                continue
            out += self._all(at) if self.blind else []
            border.heard.add(name)
            out += self._messages(at, self.engine.feed(border.stamp(at), name, value))
        if border.away(t) != "gateway":
            out += self._all(t) if self.blind else []
            out += self._messages(t, self.engine.advance(border.stamp(t)))
            if t - self.again >= AGAIN_S and self.values:
                self.again = t
                out.append(self._data(t, border.stamp(t), self.values))
        self.kept += out
        if border.away(t) == "network":
            return []
        out, self.kept = self.kept, []
        return list(self.intake.take([Message(m.topic, m.body, m.retain, ms(t)) for m in out]).rows)

    def _all(self, t: float) -> list[Message]:
        """The gateway has come up: it reads every register, and knows that it has been away."""
        self.blind = False
        self.engine.lost()
        known = {name: (value, 0) for name, value in self.border.now.items() if self.engine.knows(name)}
        self.border.heard |= set(known)
        return self._messages(t, self.engine.feed_all(self.border.stamp(t), known))

    def _birth(self, t: float) -> Message:
        self.born = True
        enum: dict[str, Any] = {"enum": list(UNIT_STATES)}
        sensors = enumerate(self.border.plant.sensors)
        told = [{"i": i, "name": s.tag, "type": s.type} | (enum if s.type == "enum" else {}) for i, s in sensors]
        tags = msgspec.convert(told, list[Tag])
        body = encode(Birth(v=1, e="h1", s=1, sw="a gateway", tags=tags))
        return Message(f"{self.source}/birth", body, True, ms(t))

    def _messages(self, t: float, outputs: list[Output]) -> list[Message]:
        found = []
        for output in outputs:
            if isinstance(output, Value):
                said = {self.alias[output.tag]: (output.value, output.quality)}
                self.values |= said
                found.append(self._data(t, output.t, said))
            else:
                body = encode(Event(e="h1", s=self._next(), **output.payload()))
                found.append(Message(f"{self.source}/event", body, False, ms(t)))
        return found

    def _data(self, t: float, stamp: int, values: dict[int, tuple[float, int]]) -> Message:
        v, q = [value for value, _ in values.values()], [quality for _, quality in values.values()]
        body = encode(Data(e="h1", s=self._next(), t0=stamp, i=list(values), dt=[0] * len(v), v=v, q=q))
        return Message(f"{self.source}/data", body, False, ms(t))

    def _next(self) -> int:
        self.s += 1
        return self.s - 1


class _Plain:
    """Topics that are raw names; the mapping is at work in ingest, stamps are those of arrival."""

    def __init__(self, border: Border) -> None:
        self.border = border
        self.rules = MappedRows(border.mapping, {}, border.line)
        self.again, self.turn = -1e12, 0
        self.source = border.line.plain

    def take(self, t: float, batch: list[Change]) -> list[Raw]:
        border, out = self.border, []
        for at, name, value in batch:
            border.now[name] = value
            out += self._said(at, name, value)
        if t - self.again >= TURN_S and border.now:
            self.again = t
            self.turn = (self.turn + 1) % len(border.now)
            name = list(border.now)[self.turn]
            out += self._said(t, name, border.now[name])
        out += [self._row(t, *row[:3]) for row in self.rules.advance(border.stamp(t))]
        return out

    def _said(self, t: float, name: str, value: int) -> list[Raw]:
        border = self.border
        if not self.rules.engine.knows(name):
            return []
        if border.away(t) or border.rng.random() < border.wiring.loss:
            border.dropped += 1
            return []
        border.heard.add(name)
        rows, _ = self.rules.take(name, msgspec.json.encode(value), border.stamp(t))
        return [self._row(t, *row[:3]) for row in rows]

    def _row(self, t: float, at: int, kind: str, body: bytes) -> Raw:
        return ms(t), at, kind, self.source, None, None, body
