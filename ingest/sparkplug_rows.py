"""From samples of Sparkplug metrics to journal rows: names mapped to plant tags, one row a message.

`Hook` is all that is asked of a simple topic map: what a metric's raw name, value, time and quality become, in plant
tags. With a mapping (`mapped`) its rules are at work instead, in the intake's own transaction.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec

from ingest.journal import Journal
from ingest.mapping import Output
from ingest.mapping import Value as Told
from ingest.mapping_rows import MappedRows, Row, row_of
from ingest.message import Line, Message, source_of
from ingest.payloads import BIG, WireError
from ingest.readings import Spb
from ingest.sparkplug import Value
from ingest.sparkplug_node import Sample, Taken, count
from ingest.sparkplug_rebirth import Key
from ingest.sparkplug_session import Sessions
from ingest.topicmap import TopicMap, is_tag

KIND = "spb"
MOST_COLUMNS = 500
"""Outputs of history in one row."""
ONLINE = {"NBIRTH": True, "NDEATH": False}
MAX_UNMAPPED = 500


class Mapped(NamedTuple):
    """A value of a plant tag: `t` UTC ms, `quality` a code of `ingest.codes`."""

    tag: str
    value: float
    t: int
    quality: int


Hook = Callable[[str, Value, int, int], list[Mapped]]
"""(raw name, value, UTC ms, quality) -> values of plant tags; raises WireError (`unmapped` where no rule applies)."""


def topic_hook(topics: TopicMap) -> Hook:
    """The rules of a topic map, applied to the virtual topic `spBv1.0/GROUP/NODE/DEVICE/METRIC`."""
    names: dict[str, tuple[str, float, float] | None] = {}

    def rule_of(name: str) -> tuple[str, float, float] | None:
        for rule in topics.rules:
            taken = rule.match(name)
            if taken is not None:
                return rule.named(taken), rule.scale, rule.offset
        return None

    def hook(name: str, value: Value, t: int, quality: int) -> list[Mapped]:
        if name not in names:
            if len(names) > 500_000:
                names.clear()
            names[name] = rule_of(name)
        found = names[name]
        if found is not None and not is_tag(found[0]):
            raise WireError("bad_id", f"{name[:100]!r} leads to the tag {found[0][:100]!r}, which is no tag name")
        if found is None:
            raise WireError("unmapped", f"no rule of the topic map matches {name[:200]!r}")
        if isinstance(value, str):
            raise WireError("wrong_type", f"{name[:200]!r} is text; a topic map takes numbers")
        tag, scale, offset = found
        number = value * scale + offset
        if not math.isfinite(number) or abs(number) > BIG:
            raise WireError("bad_number", f"{number} after scaling")
        return [Mapped(tag, number, t, quality)]

    return hook


class RowOut(NamedTuple):
    """A journal row to be (none where `body` is empty), and `more` rows after it, of other kinds.

    `key` marks a birth, by which a restart knows the tags of a node or device.
    """

    source: str
    t: int
    body: bytes
    key: str
    online: bool | None
    more: tuple[Row, ...] = ()


@dataclass
class SparkplugRows:
    """Sessions, mapping and counters of one life of the intake. `plant` turns UTC ms into plant ms."""

    line: Line
    hook: Hook
    sessions: Sessions
    plant: Callable[[int], int] = lambda wall: wall
    clock: Callable[[], float] = time.monotonic
    unmapped: set[str] = field(default_factory=set)
    mapped: MappedRows | None = None

    def recall(self, journal: Journal) -> SparkplugRows:
        """What the journal knows: no session, but what each node and device gave when last born."""
        if self.mapped is not None:
            self.sessions.expect(self.mapped.metrics.remembered(), self.clock())
            return self
        for row in journal.keyed_rows(KIND):
            body = msgspec.json.decode(row.body, type=Spb)
            group, _, node = body.node.partition("/")
            self.sessions.remember((group, node), body.device, dict(zip(body.tag, body.v, strict=True)), self.clock())
        return self

    def take(self, message: Message) -> list[RowOut]:
        """The rows of a message. Raises WireError when it is rejected."""
        found = self.sessions.take(message.topic, message.body, message.recv, self.clock(), retain=message.retain)
        return [row for taken in found if (row := self._row(taken)) is not None]

    def turn(self, recv: int) -> list[RowOut]:
        """The rows that the passing of time leads to."""
        found = [row for taken in self.sessions.turn(recv, self.clock()) if (row := self._row(taken)) is not None]
        return found if self.mapped is None else [*found, *history_rows(self.line, self.mapped)]

    def requests(self) -> list[Key]:
        """The edge nodes to ask for a rebirth now."""
        return self.sessions.requests(self.clock())

    def _row(self, taken: Taken) -> RowOut | None:
        if self.mapped is not None:
            return self._mapped_row(taken, self.mapped)
        columns: list[Mapped] = []
        historical: list[int] = []
        for one in taken.samples:
            start = len(columns)
            columns += self._map(one)
            if one.historical:
                historical += range(start, len(columns))
        if not columns:
            return None
        plant = self.plant
        body = Spb(
            node=f"{taken.group}/{taken.node}", device=taken.device, verb=taken.verb,
            t=[plant(c.t) for c in columns], tag=[c.tag for c in columns], v=[c.value for c in columns],
            q=[c.quality for c in columns], h=historical,
        )  # fmt: skip
        birth = taken.verb in ("NBIRTH", "DBIRTH")
        return RowOut(
            source_of(self.line, taken.group, taken.node),
            plant(taken.t),
            msgspec.json.encode(body),
            f"{taken.group}/{taken.node}/{taken.device}" if birth else "",
            ONLINE.get(taken.verb),
        )

    def _mapped_row(self, taken: Taken, mapped: MappedRows) -> RowOut | None:
        """What the rules of a mapping make of a message; None where none of them looks at anything in it."""
        counts = self.sessions.counts
        fed = mapped.metrics.take(f"{taken.group}/{taken.node}", taken.samples, self.plant)
        for name in fed.unmapped:
            count(counts, "unmapped")
            if len(self.unmapped) < MAX_UNMAPPED:
                self.unmapped.add(name)
        if not fed.known:
            return None
        count(counts, "mapped", fed.known)
        row = rows_of(self.line, taken, fed.outputs, set())
        return row._replace(t=self.plant(taken.t))

    def _map(self, one: Sample) -> list[Mapped]:
        counts = self.sessions.counts
        if one.mapped:
            return [Mapped(one.name, float(one.value), one.t, one.quality)]
        try:
            found = self.hook(one.name, one.value, one.t, one.quality)
        except WireError as why:
            count(counts, why.reason)
            if why.reason == "unmapped" and len(self.unmapped) < MAX_UNMAPPED:
                self.unmapped.add(one.name)
            return []
        count(counts, "stored", len(found))
        return found

    def view(self) -> dict[str, Any]:
        """What `GET /ledger` says of Sparkplug."""
        sessions = self.sessions
        rules: dict[str, Any] = {}
        if self.mapped is not None:
            refused = {key: {"n": n, "why": why} for key, (n, why) in list(self.mapped.engine.faults.items())}
            rules = {"history": dict(self.mapped.metrics.past.counts), "refused": refused}
        return rules | {
            "nodes": {f"{group}/{node}": _view(sessions, (group, node)) for group, node in list(sessions.nodes)},
            "counts": dict(sessions.counts),
            "rebirths": {"sent": sessions.rebirths.sent, "waiting": sessions.rebirths.waiting()},
            "unmapped": sorted(self.unmapped),
        }


def _view(sessions: Sessions, key: Key) -> dict[str, Any]:
    node = sessions.nodes.get(key)
    if node is None:
        return {}
    return {
        "online": node.born,
        "doubt": node.doubt,
        "devices": sorted(device for device in list(node.devices) if device),
        "metrics": node.size(),
        "last_recv": node.last_recv,
    }


def history_rows(line: Line, mapped: MappedRows) -> list[RowOut]:
    """The rows of history that its node has told all of, marked as historical."""
    found: list[RowOut] = []
    for name, outputs in mapped.metrics.due():
        group, _, node = name.partition("/")
        for k in range(0, len(outputs), MOST_COLUMNS):
            part = outputs[k : k + MOST_COLUMNS]
            taken = Taken(group, node, "", "history", part[-1].t, [])
            found.append(rows_of(line, taken, part, set(range(len(part)))))
    return found


def rows_of(line: Line, taken: Taken, outputs: list[Output], historical: set[int]) -> RowOut:
    """Outputs of rules as one row of values and one for each event; `historical` are positions among the outputs."""
    values = [(k, one) for k, one in enumerate(outputs) if isinstance(one, Told)]
    body = Spb(
        node=f"{taken.group}/{taken.node}", device=taken.device, verb=taken.verb,
        t=[one.t for _, one in values], tag=[one.tag for _, one in values], v=[one.value for _, one in values],
        q=[one.quality for _, one in values], h=[n for n, (k, _) in enumerate(values) if k in historical],
    )  # fmt: skip
    source = source_of(line, taken.group, taken.node)
    events = tuple(row_of(one, "", source) for one in outputs if not isinstance(one, Told))
    packed = msgspec.json.encode(body) if values else b""
    return RowOut(source, taken.t, packed, "", ONLINE.get(taken.verb), events)
