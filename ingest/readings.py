"""From journal rows to readings: the pure arrow between the wire and the tracker."""

from __future__ import annotations

import time
from dataclasses import dataclass

import msgspec

from ingest.codes import GOOD, MANUAL, UNIT_STATES
from ingest.payloads import MAX_BYTES, Birth, Data, Event, PlantTime, Tag, WireError, parse

ROW_KINDS = (
    "birth", "status", "data", "event", "gap", "hist", "supply", "cmd", "cmdack", "manual", "tick", "plain", "spb",
)  # fmt: skip
"""Kinds of journal rows. All but manual, tick, plain and spb hold the wire payload as received."""


class Row(msgspec.Struct, frozen=True, gc=False):
    """A row of the journal.

    `recv` is wall ms of arrival, `t` plant ms, `source` the topic root, `e` and `s` epoch and number
    (None for kinds that take none), `body` the payload as received.
    """

    pos: int
    recv: int
    t: int
    kind: str
    source: str
    e: str | None
    s: int | None
    body: bytes


class Reading(msgspec.Struct, frozen=True, gc=False):
    """One value of one tag at plant time `t` (ms).

    `name` is the tag's name as in the birth; of an event it is `THING/KIND`. `value` is the number, of an
    enum its position in the tag's `enum`, of a state event the state's code. `kind` is the row's kind.
    """

    t: int
    name: str
    value: float
    quality: int
    source: str
    e: str
    s: int
    pos: int
    kind: str = "data"


class Plain(msgspec.Struct, frozen=True, omit_defaults=True):
    """Body of a `plain` row: a mapped number from a client that knows nothing of this contract (at most once)."""

    t: int
    tag: str
    value: float
    topic: str = ""
    quality: int = GOOD  # absent in rows of older programs


class Spb(msgspec.Struct, frozen=True):
    """Body of a `spb` row: values of a Sparkplug message, or of its sender's death, in columns (at most once).

    `node` is GROUP/NODE, `device` "" for the node itself, `verb` the message's, or `lost` where a death was
    concluded; `t` plant ms, `q` qualities, `h` the positions of historical values.
    """

    node: str
    device: str
    verb: str
    t: list[int]
    tag: list[str]
    v: list[float]
    q: list[int]
    h: list[int] = []


class Manual(msgspec.Struct, frozen=True):
    """Body of a `manual` row: a count made by a person (known by role only), with its standard deviation.

    `property` is a quantity of the thing (`level`, `on_hand`, ...), what was done by hand: `moved` (`value` parts
    went on to the queue `to`) or `quarantined` (`value` parts or units were taken out), or `refit`: one that was
    approved (`text` says of what and why).
    """

    t: int
    thing: str
    property: str
    value: float
    sd: float = 0.0
    role: str = "operator"
    to: str = ""
    text: str = ""


class Tick(msgspec.Struct, frozen=True):
    """Body of a `tick` row: plant time goes on."""

    t: int


class Aliases:
    """What alias i means, per source and epoch; fed by the birth rows in journal order."""

    def __init__(self) -> None:
        self._tables: dict[tuple[str, str], dict[int, Tag]] = {}
        self._current: dict[str, str] = {}

    def feed(self, source: str, birth: Birth) -> None:
        """Take a birth: a new epoch, or the same one with its tags said again, replaces the table."""
        self._tables[source, birth.e] = {tag.i: tag for tag in birth.tags}
        self._current[source] = birth.e

    def feed_row(self, row: Row) -> Birth:
        """Take a birth row (raises WireError when it is none)."""
        birth: Birth = parse("birth", row.body)
        self.feed(row.source, birth)
        return birth

    def table(self, source: str, epoch: str) -> dict[int, Tag] | None:
        """Alias -> tag of one epoch of a source, None when its birth was never seen."""
        return self._tables.get((source, epoch))

    def epoch(self, source: str) -> str | None:
        """The newest epoch of a source."""
        return self._current.get(source)

    def sources(self) -> list[str]:
        """All sources that have had a birth."""
        return list(self._current)

    def holder(self, tag: str) -> list[str]:
        """The sources whose newest epoch has a tag of this name."""
        found = []
        for source, epoch in self._current.items():
            if any(t.name == tag for t in self._tables[source, epoch].values()):
                found.append(source)
        return found


def check_tags(source: str, data: Data, aliases: Aliases) -> dict[int, Tag]:
    """The alias table of `data`; raises WireError no_birth or unknown_tag."""
    table = aliases.table(source, data.e)
    if table is None:
        raise WireError("no_birth", f"epoch {data.e} of {source} has had no birth")
    for i in data.i:
        if i not in table:
            raise WireError("unknown_tag", f"alias {i} is not among the {len(table)} tags of epoch {data.e}")
    return table


def decode(row: Row, aliases: Aliases) -> list[Reading]:
    """The readings of a journal row, in the order of the message; feeds births to `aliases`.

    Rows that hold no readings (status, gap, cmd, cmdack, supply, tick) give an empty list.
    Raises WireError when the row is not decodable (ingest lets no such row into the journal).
    """
    if row.kind in ("data", "hist"):
        return _from_data(row, parse(row.kind, row.body, max(len(row.body), MAX_BYTES)), aliases)
    if row.kind == "event":
        return _from_event(row, parse("event", row.body))
    if row.kind == "birth":
        aliases.feed_row(row)
    elif row.kind == "plain":
        plain = msgspec.json.decode(row.body, type=Plain)
        return [Reading(plain.t, plain.tag, plain.value, plain.quality, row.source, "", 0, row.pos, "plain")]
    elif row.kind == "spb":
        spb = msgspec.json.decode(row.body, type=Spb)
        columns = zip(spb.t, spb.tag, spb.v, spb.q, strict=True)
        return [Reading(t, tag, v, q, row.source, "", 0, row.pos, "spb") for t, tag, v, q in columns]
    elif row.kind == "manual":
        manual = msgspec.json.decode(row.body, type=Manual)
        name = f"{manual.thing}/{manual.property}"
        return [Reading(manual.t, name, manual.value, MANUAL, row.source, "", 0, row.pos, "manual")]
    return []


def _from_data(row: Row, data: Data, aliases: Aliases) -> list[Reading]:
    table = check_tags(row.source, data, aliases)
    columns = zip(data.i, data.dt, data.v, data.q, strict=True)
    return [
        Reading(data.t0 + dt, table[i].name, v, q, row.source, data.e, data.s, row.pos, row.kind)
        for i, dt, v, q in columns
    ]


def _from_event(row: Row, event: Event) -> list[Reading]:
    if event.count is not None:
        value = float(event.count)
    elif event.state in UNIT_STATES:
        value = float(UNIT_STATES.index(event.state))
    else:
        return []
    name = f"{event.thing}/{event.kind}"
    return [Reading(event.t, name, value, GOOD, row.source, event.e, event.s, row.pos, "event")]


def wall_ms() -> int:
    """Wall time now in UTC milliseconds."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True)
class PlantClock:
    """Plant time (ms) from wall time (ms): origin + (wall - `wall`) x speed. The default is wall time itself."""

    origin: int = 0
    wall: int = 0
    speed: float = 1.0

    @classmethod
    def of(cls, plant_time: PlantTime | None, recv: int) -> PlantClock:
        """The clock a birth declares; `recv` (wall ms) stands in where it leaves `wall` out."""
        if plant_time is None:
            return cls()
        return cls(plant_time.origin, recv if plant_time.wall is None else plant_time.wall, plant_time.speed)

    def at(self, wall: int) -> int:
        """Plant ms at a wall time in ms."""
        return self.origin + round((wall - self.wall) * self.speed)

    def now(self) -> int:
        """Plant ms now."""
        return self.at(wall_ms())

    def wall_of(self, plant: int) -> int:
        """Wall ms at a plant time in ms."""
        return self.wall + round((plant - self.origin) / self.speed)
