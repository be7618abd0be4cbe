"""What can go wrong between a machine and the journal, done to a recorded log: a pure seeded function over its rows.

Faults act in the order in which they happen. **Sensors**: a tag sticks, is biased, counters start again at 0.
**The gateway's clock** is ahead or behind. **The channel** loses, doubles, delays and swaps messages, and is away.

Two channels. `wire` is the contract of `docs/wire.md`: numbered messages from an outbox, so what is lost is asked for
and comes `heal_s` after the gap shows; after an outage the newest values come first and the backlog at `hist_rate`
messages a second; ingest drops what comes twice. `plain` is any client without numbers: at most once, what is lost is
lost, what is doubled comes twice. Ticks are the twin's own clock, documents of an ERP are sent until they are taken:
neither is lost; in an outage documents wait for its end.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np

from ingest.wire import Aliases, Birth, Data, Event, PlantClock, Row, encode, parse
from twin.topology import Topology, counter_key

NUMBERED = ("data", "event", "hist", "plain")
"""Kinds of rows that a channel can lose."""
AGAIN_S = 60.0
"""A doubled message comes again within this time."""
OVERTAKEN = 5
"""A reordered message is overtaken by at most so many of its source."""


@dataclass(frozen=True, slots=True)
class Bad:
    """A tag that is wrong from `a` to `b` (plant seconds after the log begins): stuck, or off by `by`."""

    tag: str
    by: float | None = None
    a: float = 0.0
    b: float = float("inf")


@dataclass(frozen=True, slots=True)
class Faults:
    """Shares are probabilities per message; times are plant seconds after the log begins."""

    loss: float = 0.0
    duplicates: float = 0.0
    late: float = 0.0
    late_s: float = 120.0
    reorder: float = 0.0
    outages: tuple[tuple[float, float], ...] = ()
    skew_s: float = 0.0
    sensors: tuple[Bad, ...] = ()
    resets: tuple[float, ...] = ()
    channel: str = "wire"
    seed: int = 1
    heal_s: float = 5.0
    hist_rate: float = 200.0


@dataclass(slots=True)
class _Sent:
    """A row under way: `at` plant ms of arrival, `order` among those of one moment."""

    at: float
    order: float
    row: Row
    gone: bool = False


@dataclass(slots=True)
class Channelled:
    """The rows as they arrive, the plant ms at which each does, and what was done to how many messages."""

    rows: list[Row]
    at: list[int]
    counts: dict[str, int] = field(default_factory=dict)


def arrivals(rows: Sequence[Row]) -> list[int]:
    """The plant ms at which each row of a journal arrived, by the clock of the newest birth."""
    clock, found, newest = PlantClock(), [], 0
    for row in rows:
        if row.kind == "birth":
            birth: Birth = parse("birth", row.body)
            clock = PlantClock.of(birth.plant_time, row.recv) if birth.plant_time is not None else clock
        newest = max(newest, clock.at(row.recv))
        found.append(newest)
    return found


def inject(topology: Topology, rows: Sequence[Row], faults: Faults) -> Channelled:
    """The rows of a complete journal after the faults; without any, the same rows in the same order."""
    if not rows:
        return Channelled([], [])
    at = arrivals(rows)
    begin = next((t for t, row in zip(at, rows, strict=True) if row.kind == "tick"), at[0])
    sick = _Sensors(topology, faults, begin)
    sent = [_Sent(t, float(i), sick.read(row, t)) for i, (t, row) in enumerate(zip(at, rows, strict=True))]
    if faults.skew_s:
        for one in sent:
            one.row = _skewed(one.row, round(faults.skew_s * 1000))
    return _Channel(faults, begin).carry(sent)


class _Sensors:
    """Faults of tags and of the registers behind counts."""

    def __init__(self, topology: Topology, faults: Faults, begin: int) -> None:
        self.topology, self.faults, self.begin = topology, faults, begin
        self.aliases = Aliases()
        self.bad: dict[str, list[Bad]] = {}
        for one in faults.sensors:
            self.bad.setdefault(one.tag, []).append(one)
        self.true: dict[str, float] = {}
        self.base: dict[str, float] = {}
        self.held: dict[str, float] = {}
        self.resets = sorted(begin + round(s * 1000) for s in faults.resets)
        self.counts = {s.tag for s in topology.plant.sensors if s.type == "counter"}

    def read(self, row: Row, at: int) -> Row:
        """The row as these sensors would have it."""
        if row.kind == "birth":
            self.aliases.feed_row(row)
        if not self.bad and not self.resets and not self.base:
            return row
        while self.resets and at >= self.resets[0]:
            self.resets.pop(0)
            self.base = {key: value for key, value in self.true.items() if key in self.counts or key[0] == "@"}
        if row.kind in ("data", "hist"):
            data: Data = parse(row.kind, row.body)
            table = self.aliases.table(row.source, data.e) or {}
            values = [
                self._value(table[i].name, v, at) if i in table else v for i, v in zip(data.i, data.v, strict=True)
            ]
            return row if values == data.v else _with(row, msgspec.structs.replace(data, v=values))
        if row.kind == "event":
            event: Event = parse("event", row.body)
            if event.count is None:
                return row
            key = counter_key(self.topology, event.thing, event.kind, event.unit, event.product)
            own = key if key[0] != "@" else f"{key}/{event.unit}/{event.product}"
            count = max(int(self._value(own, event.count, at)), 0)
            return row if count == event.count else _with(row, msgspec.structs.replace(event, count=count))
        return row

    def _value(self, key: str, value: float, at: int) -> float:
        self.true[key] = value
        value -= self.base.get(key, 0)
        for bad in self.bad.get(key, ()):
            if not bad.a * 1000 <= at - self.begin < bad.b * 1000:
                continue
            value = self.held.get(key, value) if bad.by is None else value + bad.by
        self.held[key] = value
        return value


def _with(row: Row, payload: Data | Event) -> Row:
    return msgspec.structs.replace(row, body=encode(payload))


def _skewed(row: Row, ms: int) -> Row:
    if row.kind in ("data", "hist"):
        data: Data = parse(row.kind, row.body)
        return msgspec.structs.replace(_with(row, msgspec.structs.replace(data, t0=data.t0 + ms)), t=row.t + ms)
    if row.kind == "event":
        event: Event = parse("event", row.body)
        return msgspec.structs.replace(_with(row, msgspec.structs.replace(event, t=event.t + ms)), t=row.t + ms)
    return row


class _Channel:
    """Loss, doubles, lateness, order and outages, drawn from the seed message by message: more loss loses the same
    messages and others.
    """

    def __init__(self, faults: Faults, begin: int) -> None:
        self.f, self.wire = faults, faults.channel == "wire"
        self.outages = [(begin + round(a * 1000), begin + round(b * 1000)) for a, b in faults.outages]
        self.counts: dict[str, int] = {}

    def carry(self, sent: list[_Sent]) -> Channelled:
        """Everything in the order in which it arrives."""
        if self.wire:
            sent = self._snapshots(sent)
        mine = [one for one in sent if one.row.kind in NUMBERED]
        extra = list(self._disturb(mine))
        self._away(sent)
        self._lose(mine)
        kept = sorted((one for one in [*sent, *extra] if not one.gone), key=lambda one: (one.at, one.order))
        rows = [msgspec.structs.replace(one.row, pos=i + 1) for i, one in enumerate(kept)]
        return Channelled(rows, [round(one.at) for one in kept], dict(sorted(self.counts.items())))

    def _count(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1

    def _chance(self, what: str, n: int) -> np.ndarray:
        return np.random.default_rng([self.f.seed, zlib.crc32(what.encode())]).random((n, 2))

    def _disturb(self, mine: list[_Sent]) -> Iterator[_Sent]:
        """Late and reordered messages are moved; doubles are yielded."""
        late, order, twice = (self._chance(what, len(mine)) for what in ("late", "reorder", "duplicates"))
        by_source: dict[str, list[int]] = {}
        for i, one in enumerate(mine):
            by_source.setdefault(one.row.source, []).append(i)
        place = {i: (source, k) for source, at in by_source.items() for k, i in enumerate(at)}
        before = [(one.at, one.order) for one in mine]
        for i, one in enumerate(mine):
            if twice[i, 0] < self.f.duplicates:
                self._count("duplicates dropped by ingest" if self.wire else "duplicates")
                if not self.wire:
                    yield _Sent(one.at + AGAIN_S * 1000 * twice[i, 1], one.order + 0.25, one.row)
            if order[i, 0] < self.f.reorder:
                source, k = place[i]
                later = by_source[source][min(k + 1 + int(OVERTAKEN * order[i, 1]), len(by_source[source]) - 1)]
                one.at, one.order = before[later][0], before[later][1] + 0.5
                self._count("overtaken")
            if late[i, 0] < self.f.late:
                one.at += 1000 * self.f.late_s * (1 - late[i, 1])
                self._count("late")

    def _away(self, sent: list[_Sent]) -> None:
        """In an outage the outbox fills (wire) or what is said is not heard (plain); documents wait."""
        for a, b in self.outages:
            k = 0
            for one in sent:
                if not a <= one.at < b or one.row.kind == "tick":
                    continue
                if one.row.kind in NUMBERED and not self.wire:
                    one.gone = True
                    self._count("lost in an outage")
                else:
                    k += 1
                    one.at = b + 1000 * k / self.f.hist_rate
                    self._count("delayed by an outage")

    def _lose(self, mine: list[_Sent]) -> None:
        chance = self._chance("loss", len(mine))[:, 0]
        lost = [i for i in range(len(mine)) if chance[i] < self.f.loss and not mine[i].gone]
        if not self.wire:
            for i in lost:
                mine[i].gone = True
                self._count("lost")
            return
        gone, heard = set(lost), dict[str, float]()
        for i in range(len(mine) - 1, -1, -1):
            one = mine[i]
            if i not in gone:
                heard[one.row.source] = one.at
                continue
            self._count("sent again")
            one.at = max(heard.get(one.row.source, one.at), one.at) + self.f.heal_s * 1000

    def _snapshots(self, sent: list[_Sent]) -> list[_Sent]:
        """At the end of an outage each source asserts all its values as they stand; numbers behind it move up."""
        ends = sorted(b for _, b in self.outages)
        if not ends:
            return sent
        values: dict[str, dict[int, tuple[float, int]]] = {}
        newest: dict[str, tuple[str, int]] = {}  # epoch and number
        shift: dict[str, int] = {}
        found: list[_Sent] = []
        for one in sent:
            while ends and one.at >= ends[0]:
                b = ends.pop(0)
                for source, known in values.items():
                    shift[source] = shift.get(source, 0) + 1
                    found.append(
                        _Sent(b, one.order - 0.5, self._snapshot(source, newest[source], known, b, shift[source]))
                    )
            row = one.row
            if row.kind == "birth":
                values.pop(row.source, None)
            if row.kind in ("data", "event") and row.s is not None:
                payload = parse(row.kind, row.body)
                newest[row.source] = payload.e, payload.s
                if row.kind == "data":
                    known = values.setdefault(row.source, {})
                    known.update({i: (v, q) for i, v, q in zip(payload.i, payload.v, payload.q, strict=True)})
                if up := shift.get(row.source, 0):
                    moved = msgspec.structs.replace(payload, s=payload.s + up)
                    one.row = msgspec.structs.replace(_with(row, moved), s=moved.s)
            found.append(one)
        return found

    def _snapshot(
        self, source: str, newest: tuple[str, int], known: dict[int, tuple[float, int]], t: int, shift: int
    ) -> Row:
        """The number behind that of the newest message; all that follow move up."""
        (epoch, last), n = newest, len(known)
        values, qualities = [v for v, _ in known.values()], [q for _, q in known.values()]
        data = Data(e=epoch, s=last + shift, t0=t, i=list(known), dt=[0] * n, v=values, q=qualities)
        self._count("snapshots after an outage")
        return Row(0, t, t, "data", source, epoch, data.s, encode(data))
