"""`plantwin replay`: a recorded shop-floor event log as a live source, at speed, through the outbox.

Each report of work becomes two events, `report_start` and `report_complete`: `thing` is the activity's id,
`order` the case, `count` how many reports of this kind the activity has had so far (so that a message asserts),
and a completed one carries its `start`. Counters `ACTIVITY/started` and `ACTIVITY/completed` go along as tags.
Who did the work is in the log's `resource` column; it is never published, kept or looked at here.

With `--table` the file holds sensor readings, a row a moment (`hardware/replay_table.py`): each cell becomes one
reading, published once, and nothing is asserted again.

The source's plant time starts at the log's first event (or `--since`) and runs `speed` times as fast as the
clock. Where it stands is kept with the outbox: started again on the same file it goes on.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from hardware.link import Arrival, Hooks, host_port
from hardware.outbox import Outbox
from hardware.replay_table import TableRow, read_table, table_tags
from hardware.service import announce, retire, say, stop_on_signals
from hardware.store import Store
from hardware.uplink import Uplink, make_link
from ingest.tls import Tls
from ingest.wire import GOOD, PlantClock, PlantTime, Req, Tag, WireError, parse, root, topic, twin_state_topic, wall_ms
from sim.eventlog import Report, read
from sim.plantfile import load

CELL = "log"
MAX_SPEED = 100_000.0
"""A recording may be played faster than a plant that people decide about: a day takes 0.9 s."""
TICK_S = 0.01
SNAPSHOT_MS = 3_600_000
MAX_AHEAD = 2000
"""Events waiting for the twin's confirmation above which the recording waits: a replay need not lose anything."""


@dataclass(frozen=True, slots=True)
class Moment:
    """One event of the recording at plant ms `t`; `start` (plant ms) belongs to a completed report."""

    t: int
    kind: str
    order: str
    activity: str
    start: int | None = None

    @property
    def tag(self) -> str:
        return f"{self.activity}/{'completed' if self.kind == 'report_complete' else 'started'}"


Entry = Moment | TableRow
Kind = TypeVar("Kind", Moment, TableRow)


def moments(reports: list[Report], timezone: str) -> list[Moment]:
    """All events of a log in order of time; starts before completions of the same minute."""
    zone = ZoneInfo(timezone)

    def ms(local: datetime) -> int:
        return int(local.replace(tzinfo=zone).timestamp() * 1000)

    found = []
    for r in reports:
        found.append(Moment(ms(r.start), "report_start", r.order, r.activity))
        found.append(Moment(ms(r.complete), "report_complete", r.order, r.activity, ms(r.start)))
    return sorted(found, key=lambda m: (m.t, m.kind != "report_start"))


def tags_of(events: list[Moment]) -> list[Tag]:
    """Two counters for each activity, in alphabetical order."""
    names = sorted({f"{m.activity}/{end}" for m in events for end in ("started", "completed")})
    return [Tag(i=i, name=name, type="counter") for i, name in enumerate(names)]


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """The command line of `plantwin replay`. `since` and `until` are ISO dates of the log's local time, or empty.

    `table`: the file holds readings; `line`: SITE/AREA/LINE that it belongs to instead of a plant's; `time` and `skip`:
    the column with the time and those that are no readings.
    """

    events: Path
    plant: str
    broker: str
    data: Path
    speed: float
    mapping: Path | None = None
    since: str = ""
    until: str = ""
    tls: Tls | None = None
    table: bool = False
    line: str = ""
    time: str = ""
    skip: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Target:
    """Whose recording it is, and the zone of its local times."""

    site: str
    area: str
    line: str
    timezone: str


class Recording:
    """The source of a recording: what is due goes into the outbox, with the position, in one transaction."""

    def __init__(self, store: Store, events: Sequence[Entry], uplink: Uplink, speed: float, name: str) -> None:
        self.events, self.uplink, self.store = events, uplink, store
        self._counts: Counter[str] = Counter()
        known, _, position = (store.get("recording") or ":0").rpartition(":")
        if known and known != name:
            left = uplink.outbox.new_epoch()
            say("replay", f"another recording than before: new epoch, {left} undelivered messages abandoned")
            position = "0"
        self._name, self.position = name, int(position) if known == name else 0
        for moment in events[: self.position]:
            if isinstance(moment, Moment):
                self._counts[moment.tag] += 1
        first = events[min(self.position, len(events) - 1)].t
        uplink.plant_time = PlantTime(origin=first, speed=speed, wall=wall_ms())
        self.clock = PlantClock.of(uplink.plant_time, 0)
        self._snapshot = first + SNAPSHOT_MS

    @property
    def finished(self) -> bool:
        return self.position >= len(self.events)

    def feed(self) -> int:
        """Take in what is due by now; returns how many events that were."""
        now, begin = self.clock.now(), self.position
        room = MAX_AHEAD - (self.uplink.outbox.next - 1 - self.uplink.outbox.hw)
        while not self.finished and self.position - begin < room and self.events[self.position].t <= now:
            self._take(self.events[self.position])
            self.position += 1
        return self.position - begin

    def _take(self, moment: Entry) -> None:
        if isinstance(moment, TableRow):
            for name, value in moment.values:
                self.uplink.value(moment.t, name, value, GOOD)
            return
        if moment.t >= self._snapshot:
            self._snapshot = moment.t + SNAPSHOT_MS
            self.assert_counts(moment.t)
        self._counts[moment.tag] += 1
        payload: dict[str, Any] = {"t": moment.t, "kind": moment.kind, "thing": moment.activity, "order": moment.order}
        if moment.start is not None:
            payload["start"] = moment.start
        self.uplink.numbered("event", "event", payload | {"count": self._counts[moment.tag]})

    def assert_counts(self, t: int) -> None:
        """All counters as they stand at plant ms `t`; a table has none."""
        for tag in self.uplink.tags if self._counts else ():
            self.uplink.value(t, tag.name, self._counts[tag.name], GOOD)

    def commit(self) -> None:
        """Messages and position to the disk, together."""
        with self.store.transaction():
            self.uplink.store()
            self.store.put("recording", f"{self._name}:{self.position}")
        self.uplink.stored()


def _uplink(options: ReplayOptions, store: Store, plant: Target, tags: list[Tag]) -> Uplink:
    source = root(plant.site, plant.area, plant.line, CELL)
    state = twin_state_topic(plant.site, plant.area, plant.line)
    hooks = Hooks()
    tls = None if options.tls is None else options.tls.for_cell(CELL)
    link = make_link(host_port(options.broker, "--broker"), source, state, hooks, tls)
    uplink = Uplink(Outbox(store, source), link, tags, hist_rate=1000.0)

    def connected() -> None:
        uplink.announce(wall_ms())
        uplink.begin()

    def asked(req: Req) -> None:
        now = PlantClock.of(uplink.plant_time, 0).now()
        if uplink.heard_request(req, now) == "rebirth":
            uplink.announce(now)

    def heard(arrival: Arrival) -> None:
        try:
            if arrival.topic == state:
                online = bool(parse("state", arrival.payload).online)
                if online and not uplink.online:
                    uplink.begin()
                uplink.online = online
            elif arrival.topic == topic(source, "ack"):
                complaint = uplink.heard_ack(parse("ack", arrival.payload))
                if complaint is not None:
                    say("replay", complaint)
            elif arrival.topic == topic(source, "req"):
                asked(parse("req", arrival.payload))
        except WireError:
            uplink.counts.bad += 1

    def lost(_: str) -> None:
        uplink.online = False

    hooks.on_connect, hooks.on_message, hooks.on_disconnect = connected, heard, lost
    return uplink


def _between(events: Sequence[Kind], since: str, until: str, timezone: str) -> Iterator[Kind]:
    low, high = (
        int(datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(timezone)).timestamp() * 1000) if day else None
        for day in (since, until)
    )
    for moment in events:
        if (low is None or moment.t >= low) and (high is None or moment.t < high):
            yield moment


def _target(options: ReplayOptions) -> Target:
    parts = options.line.split("/")
    if options.line and (len(parts) != 3 or not all(parts)):
        raise ValueError(f"--line {options.line}: expected SITE/AREA/LINE")
    if options.line:
        return Target(parts[0], parts[1], parts[2], "UTC")
    plant = load(options.plant)
    return Target(plant.site, plant.area, plant.line, plant.timezone)


def _entries(options: ReplayOptions, timezone: str) -> tuple[Sequence[Entry], list[Tag]]:
    """What is played, and its tags."""
    window = (options.since, options.until, timezone)
    if options.table:
        rows = list(_between(read_table(options.events, timezone, options.time, options.skip), *window))
        return rows, table_tags(rows)
    events = list(_between(moments(read(options.events, options.mapping), timezone), *window))
    return events, tags_of(events)


async def serve(options: ReplayOptions) -> None:
    """Publish the recording, wait until the twin has it, end. Errors are OSError and ValueError with one sentence."""
    if not 0.1 <= options.speed <= MAX_SPEED:
        raise ValueError(f"--speed {options.speed:g}: expected 0.1 to {MAX_SPEED:g} recorded seconds per wall second")
    target = _target(options)
    events, tags = _entries(options, target.timezone)
    if not events:
        raise ValueError(
            f"{options.events}: nothing between {options.since or 'the begin'} and {options.until or 'the end'}"
        )
    stop = stop_on_signals()
    options.data.mkdir(parents=True, exist_ok=True)
    window = f"{options.since}..{options.until}".encode()
    name = hashlib.sha256(options.events.read_bytes() + window).hexdigest()[:16]
    with Store(options.data / "replay.db") as store:
        uplink = _uplink(options, store, target, tags)
        recording = Recording(store, events, uplink, options.speed, name)
        uplink.link.will = uplink.will()
        uplink.link.start()
        ready = announce(options.data, "replay", source=uplink.root, events=len(events))
        say(
            "replay",
            f"{len(events) - recording.position} of {len(events)} events, {options.speed:g} times as fast as the clock",
        )
        await _play(recording, stop)
        retire(ready)
        await uplink.link.stop(lambda: uplink.farewell(recording.clock.now()))
        say("replay", f"{recording.position} events published, {uplink.outbox.count()} not yet confirmed by the twin")


async def _play(recording: Recording, stop: asyncio.Event) -> None:
    uplink, told = recording.uplink, time.monotonic()
    ended = False
    while not stop.is_set():
        recording.feed()
        if recording.finished and not ended:
            ended = True
            recording.assert_counts(recording.events[-1].t)
        if uplink.due(0.05):
            recording.commit()
        uplink.pump()
        if ended and uplink.waiting == 0 and uplink.outbox.next == uplink.outbox.hw + 1:
            return
        if time.monotonic() - told > 10:
            told = time.monotonic()
            where = "the twin is not online" if not uplink.online else f"{uplink.outbox.count()} wait for the twin"
            say("replay", f"{recording.position} of {len(recording.events)} events; {where}")
            await uplink.link.renew()
        await asyncio.sleep(TICK_S)
    recording.commit()
