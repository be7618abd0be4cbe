"""A recording of the virtual plant: journal and truth log as fast as it runs, without a clock and without sockets.

The fieldbus's lines go through the gateway's `Readout` (unwrapped counters, announced states) into messages of the
wire, and these through ingest's `Intake` into a journal: what a twin reads from it is what it would have read live.
The plant keeps real time (its birth declares no plant time), so the wall time of a row is plant time.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from hardware.erp import CELL, Erp
from hardware.gateway_config import birth_tags, cells_of
from hardware.plant_service import PlantOptions, warmup_of
from hardware.readout import Readout
from hardware.service import say, seconds_of
from hardware.twist import Twist
from hardware.virtual_plant import Options, VirtualPlant, script_of
from ingest.counters import Counter
from ingest.intake import Intake
from ingest.journal import Batch, Journal
from ingest.message import Line, Message
from ingest.topicmap import TopicMap
from ingest.wire import Birth, Data, Event, Tag, encode, root
from sim.plant import Plant
from sim.plantfile import load

TICK_S = 10.0
"""Plant seconds between two ticks of the journal."""
SNAPSHOT_S = 60.0
"""Plant seconds after which a gateway asserts all its values again."""
GROUP = 2000
"""Rows in one commit."""


@dataclass(slots=True)
class _Source:
    """One cell's source: the alias of each tag, the newest value of each, the next number."""

    root: str
    alias: dict[str, int]
    values: dict[str, tuple[float, int]]
    s: int = 1


class Recorder:
    """Runs `plant` and writes `folder/journal.db` and `folder/truth.jsonl`; `FileExistsError` where they exist.

    `options.speed` is ignored: a recording runs as fast as it can. A station without any sensor has no controller that
    could tell what happens there; without `events` nobody does.
    """

    def __init__(self, plant: Plant, options: Options, folder: Path, *, events: bool = True) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("journal.db", "truth.jsonl"):
            if (folder / name).exists():
                raise FileExistsError(f"{folder / name} exists: record into another folder, or delete it")
        self.virtual = VirtualPlant(plant, replace(options, speed=1.0))
        self.readout = Readout(plant, {}, dict[str, Counter]())
        self.journal = Journal(folder / "journal.db")
        self.truth = (folder / "truth.jsonl").open("w", encoding="utf-8")
        self.virtual.truth = self.truth
        self.line = Line(plant.site, plant.area, plant.line)
        self.intake = Intake(self.line, TopicMap())
        self.epoch = f"{options.seed & 0xFFFFFFFF:08x}"
        self.sources: dict[str, _Source] = {}
        self.written = 0
        buffers = {s.buffer: s.id for s in plant.stations if s.buffer}
        heard = (s.thing for s in plant.sensors if s.signal is None)
        self.tells = {buffers.get(thing, thing) for thing in heard} if events else set[str]()
        self._messages: list[Message] = []
        self._batch = Batch()
        self._ms = self.virtual.ms(self.virtual.live_s)

    def run(self, hours: float) -> int:
        """Record `hours` of plant time; returns how many rows were written. The files are closed after it."""
        plant, virtual = self.virtual.plant, self.virtual
        self.truth.write(json.dumps({"header": virtual.header()}) + "\n")
        for cell in cells_of(plant):
            self._birth(cell)
        self.readout.announced(virtual.image.tags)
        virtual.emit = self._heard
        virtual.shop.papers.clear()  # of the time before; the ERP tells what is open
        erp = Erp(virtual, "r", self._document)
        virtual.erp = erp.paper
        self._values(self._ms, virtual.values()["v"])
        now, end, told = virtual.live_s, virtual.live_s + hours * 3600, virtual.live_s
        while now < end:
            now = min(now + TICK_S, end)
            virtual.run_to(now)
            erp.tick()
            self._ms = virtual.ms(now)
            if now - told >= SNAPSHOT_S:
                told = now
                self._snapshot()
            self._tick()
        self._commit()
        self.journal.close()
        self.truth.close()
        return self.written

    def _birth(self, cell: str) -> None:
        tags = [msgspec.convert({"i": i, **tag}, Tag) for i, tag in enumerate(birth_tags(self.virtual.plant, cell))]
        source = _Source(self.line.cell(cell), {tag.name: tag.i for tag in tags}, {})
        self.sources[source.root] = source
        body = encode(Birth(v=1, e=self.epoch + cell, s=1, sw="plantwin recorder", tags=tags))
        self._send(source.root, "birth", body, retain=True)

    def _heard(self, message: dict[str, Any]) -> None:
        self._ms = max(self._ms, int(message["t"]))
        if "v" in message:
            self._values(message["t"], message["v"])
            return
        if message["event"]["thing"] not in self.tells:
            return
        payload = self.readout.event(message["t"], message["event"])
        source = self._source(self.readout.cell_of_thing(str(payload["thing"])))
        self._send(source.root, "event", encode(Event(e=self._e(source), s=self._next(source), **payload)))

    def _values(self, t: int, values: dict[str, Any]) -> None:
        found: dict[str, dict[str, tuple[float, int]]] = {}
        for name, raw in values.items():
            cell = self.readout.cell_of(name)
            if cell is not None:
                found.setdefault(cell, {})[name] = self.readout.take(name, raw, t, watched=True)
        for cell, taken in found.items():
            source = self._source(cell)
            source.values |= taken
            self._data(source, t, taken)

    def _data(self, source: _Source, t: int, values: dict[str, tuple[float, int]]) -> None:
        body = encode(
            Data(
                e=self._e(source),
                s=self._next(source),
                t0=t,
                i=[source.alias[name] for name in values],
                dt=[0] * len(values),
                v=[value for value, _ in values.values()],
                q=[quality for _, quality in values.values()],
            )
        )
        self._send(source.root, "data", body)

    def _snapshot(self) -> None:
        for source in self.sources.values():
            if source.values:
                self._data(source, self._ms, source.values)

    def _source(self, cell: str) -> _Source:
        return self.sources[self.line.cell(cell)]

    def _e(self, source: _Source) -> str:
        return self.epoch + source.root.rpartition("/")[2]

    def _next(self, source: _Source) -> int:
        source.s += 1
        return source.s - 1

    def _document(self, body: bytes) -> None:
        self._send(root(self.line.site, self.line.area, self.line.line, CELL), "supply", body)

    def _send(self, source: str, kind: str, body: bytes, *, retain: bool = False) -> None:
        self._messages.append(Message(f"{source}/{kind}", body, retain, self._ms))

    def _tick(self) -> None:
        """A tick row behind everything that came before it; batches are committed in groups."""
        batch = self.intake.take(self._messages)
        self.intake.tick(self._ms, self._ms, b'{"t":%d}' % self._ms)
        self._messages = []
        kept, first = self._batch, len(self._batch.rows)
        kept.rows += batch.rows
        kept.marks |= batch.marks
        kept.ledger |= batch.ledger
        kept.keyed += [(kind, key, first + n) for kind, key, n in batch.keyed]
        if len(kept.rows) >= GROUP:
            self._commit()

    def _commit(self) -> None:
        if self.intake.ledger.rejected:
            raise RuntimeError(f"the recording would lose messages: {dict(self.intake.ledger.rejected)}")
        self.journal.commit(self._batch)
        self.written += len(self._batch.rows)
        self._batch = Batch()


async def record_plant(options: PlantOptions, duration: str) -> None:
    """`plantwin plant PLANT --record 24h --data DIR`. OSError and ValueError are one sentence."""
    plant = load(options.plant)
    chosen = Options(
        seed=options.seed,
        warmup_s=warmup_of(options.warmup, plant),
        twist=None if options.twist else Twist(),
        script=script_of(options.disturb, plant),
    )
    hours = seconds_of(duration) / 3600
    if hours <= 0:
        raise ValueError(f"--record {duration}: expected some time, for example 24h")
    rows = Recorder(plant, chosen, options.data).run(hours)
    say("plant", f"{plant.id}: {rows} rows of {hours:g} h in {options.data / 'journal.db'}, the truth beside it")
