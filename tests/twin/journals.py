"""Hand-made journal rows, and rows made by running the kernel as if it were the plant."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ingest.journal import Batch, Journal
from ingest.wire import Birth, Row, Tag, encode
from sim.plant import Plant
from sim.plantfile import load
from twin.tracker import Tracker

T0 = 1_767_600_000_000
"""Monday 2026-01-05 08:00 UTC."""
ROOT = "ptw/v1/demo/machining/test/cell1"
STATES = ["idle", "work", "blocked", "starved", "setup", "down", "off"]

LINE = """
plantwin: 1
site: demo
area: machining
line: test
timezone: UTC
tick: 1 ms
time_unit: h
unlimited: 200
products:
  a: {routing: [cut, mill, wash], revenue: 42 EUR}
  b: {routing: [cut, mill, wash], revenue: 60 EUR}
stations:
  cut:
    units: 1
    work: {a: 60 s, b: 90 s}
    fails: {clock: odf, after: exponential(100 min), repair: exponential(10 min)}
  mill: {units: 2, work: {a: 100 s, b: 110 s}}
  wash: {units: 1, work: {a: 50 s, b: 50 s}}
buffers:
  b1: {before: mill, capacity: 4, holding: 0.2 EUR/h}
  b2: {before: wash, capacity: 4, holding: 0.2 EUR/h}
release:
  a: {policy: conwip, cap: 6, base_stock: 12}
  b: {policy: conwip, cap: 4, base_stock: 8}
stocks:
  fa: {item: a, from: line, initial: 5, holding: 0.2 EUR/h}
  fb: {item: b, from: line, initial: 5, holding: 0.2 EUR/h}
demand:
  da: {stock: fa, arrivals: poisson(20/h), unmet: backorder, backlog: 3 EUR/h}
  db: {stock: fb, arrivals: poisson(10/h), unmet: backorder, backlog: 3 EUR/h}
controls:
  cap: {sets: release.a.cap, from: 2, to: 11, step: 1, every: 10 min, class: release, worth: 5 EUR, approve: operator}
limits:
  - {if: cut.down, then: cap <= 8}
sensors:
"""
SENSORS = """
  - {thing: cut, property: state, tag: cut/state, type: enum}
  - {thing: cut, property: out, product: a, tag: cut/a, type: counter}
  - {thing: cut, property: out, product: b, tag: cut/b, type: counter}
  - {thing: mill, property: out, product: a, tag: mill/a, type: counter}
  - {thing: mill, property: out, product: b, tag: mill/b, type: counter}
  - {thing: wash, property: state, tag: wash/state, type: enum}
  - {thing: wash, property: out, product: a, tag: wash/a, type: counter}
  - {thing: wash, property: out, product: b, tag: wash/b, type: counter}
  - {thing: b1, property: level, tag: b1/level, type: int, range: [0, 4]}
  - {thing: b2, property: level, tag: b2/level, type: int, range: [0, 4]}
  - {thing: a, property: in, tag: in/a, type: counter}
  - {thing: b, property: in, tag: in/b, type: counter}
  - {thing: fa, property: on_hand, tag: fa/on_hand, type: int}
"""


def written(folder: Path, text: str, name: str = "test") -> Plant:
    """The plant of a file with this text, which is put into `folder`."""
    path = folder / f"{name}.yaml"
    path.write_text("\n".join(row for row in text.splitlines() if row) + "\n")
    return load(str(path))


def line(folder: Path, sensors: str = SENSORS) -> Plant:
    """A line of three stations with two products; `sensors` says which tags it has."""
    return written(folder, LINE + sensors)


def fold(plant: Plant, rows: list[Row]) -> Tracker:
    """A tracker that has taken these rows."""
    tracker = Tracker(plant)
    for row in rows:
        tracker.apply(row)
    return tracker


@dataclass
class Writer:
    """Writes journal rows one after another. Times are seconds after `T0`."""

    plant: Plant
    rows: list[Row] = field(default_factory=list)
    s: int = 0
    ticked: float = 0.0

    def __post_init__(self) -> None:
        names = [sensor.tag for sensor in self.plant.sensors]
        names += [f"set/{c.id}" for c in self.plant.controls] + ["mode"]
        self.index = {name: i for i, name in enumerate(names)}
        kinds = {sensor.tag: sensor.type for sensor in self.plant.sensors}
        tags = [
            Tag(i=i, name=n, type=kinds.get(n, "int"), enum=STATES if kinds.get(n) == "enum" else None)  # type: ignore[arg-type]
            for n, i in self.index.items()
        ]
        body = encode(Birth(v=1, e="e1", s=1, sw="test", tags=tags))
        self.put("birth", 0, body)

    def put(self, kind: str, t: float, body: bytes, *, numbered: bool = False) -> Row:
        source = "" if kind in ("tick", "supply", "manual", "cmd") else ROOT
        ms = T0 + round(t * 1000)
        e, s = ("e1", self.s) if numbered else (None, None)
        row = Row(len(self.rows) + 1, ms, ms, kind, source, e, s, body)
        self.rows.append(row)
        return row

    def json(self, kind: str, at: float, **body: Any) -> Row:
        return self.put(kind, at, json.dumps(body).encode())

    def data(self, t: float, q: int = 0, **values: float) -> Row:
        """Readings by tag; write `b1__level` for the tag `b1/level`. Time goes on in ticks of 10 s before it."""
        while self.ticked + 10 < t:
            self.tick(self.ticked + 10)
        self.s += 1
        named = {k.replace("__", "/"): v for k, v in values.items()}
        n = len(named)
        body = {"e": "e1", "s": self.s, "t0": T0 + round(t * 1000), "i": [self.index[k] for k in named]}
        body |= {"dt": [0] * n, "v": list(named.values()), "q": [q] * n}
        return self.put("data", t, json.dumps(body).encode(), numbered=True)

    def event(self, t: float, kind: str, thing: str, **more: Any) -> Row:
        self.s += 1
        body = {"e": "e1", "s": self.s, "t": T0 + round(t * 1000), "kind": kind, "thing": thing, **more}
        return self.put("event", t, json.dumps(body).encode(), numbered=True)

    def skip(self) -> None:
        """A message that was lost on the way: its number is used, its row never comes."""
        self.s += 1

    def tick(self, t: float) -> Row:
        self.ticked = max(self.ticked, t)
        return self.json("tick", t, t=T0 + round(t * 1000))

    def ticks(self, a: int, b: int) -> None:
        for t in range(a, b):
            self.tick(t)


def renumber(rows: list[Row]) -> list[Row]:
    """The rows in this order, as a journal would hold them."""
    import msgspec

    return [msgspec.structs.replace(row, pos=i + 1) for i, row in enumerate(rows)]


def write_journal(path: Path, rows: list[Row]) -> None:
    """Put rows into a journal file (appends)."""
    journal = Journal(path)
    journal.commit(Batch(rows=[(r.recv, r.t, r.kind, r.source, r.e, r.s, r.body) for r in rows]))
    journal.close()
