"""From journal rows to what we believe: one fold, the same live, in replay and in tests.

Observations are applied in the order of the time they carry. Inside the lateness window a late one
rewinds to the state before the window and everything since is applied again; one that is later still
is applied now if nothing newer is known of its tag, else it only counts. No wall clock, no batch
size: the state is a function of the rows alone, and inside the window not even of their order.
"""

from __future__ import annotations

import bisect
import time
from pathlib import Path
from typing import Any

import msgspec

from ingest.wire import UNIT_STATES, Aliases, Gap, PlantClock, Reading, Row, WireError, decode, parse
from sim.plant import Plant
from twin.learn import Learner
from twin.learned import Learned
from twin.limits import refuse
from twin.machines import Kept, Machines
from twin.model import TwinState, count
from twin.observe import (
    COMMAND,
    COUNTER,
    END,
    EVENTS,
    MANUAL,
    RELEASE,
    SCRAPPED,
    START,
    SUPPLY,
    TICK,
    VALUE,
    Obs,
    apply_observation,
)
from twin.settling import Settling, step_back
from twin.topology import Topology, build, empty_state

WINDOW_MS = 300_000
"""Lateness window in plant ms."""
SETTLE_MS = WINDOW_MS // 2
"""What has left the window is settled at whole multiples of this: when does not depend on the order of the rows."""
NEAR, FAR = 64, 4096
"""Least and most observations between the newest and the copy at which most rewinds begin (64 cost about a copy)."""
LOOK_S = 0.02
"""Longest time that a glance gives to a rewind."""
QUIET_S = 0.5
MOST_BEHIND_S = 30.0
"""A glance begins a whole rewind when nothing late has come for so long, or at the latest so long after the first."""
SNAPSHOT_VERSION = 6
READINGS = (RELEASE, COUNTER, VALUE)
RANKS = {"work_start": START, "setup": START, "setup_end": START, "scrap": SCRAPPED}
"""What happens at one moment: a setup follows the start it is made for, the rest is an end or like one."""


class Source(msgspec.Struct):
    """One gateway: how much of its sequence has come. `t` plant ms and `recv` wall ms of its newest row."""

    e: str = ""
    first: int = -1
    newest: int = -1
    seen: int = 0
    gap: int = 0
    t: int = 0
    recv: int = 0
    online: bool = True

    @property
    def holes(self) -> int:
        """Numbers up to the newest that neither came nor were given up."""
        return max(self.newest - self.first + 1 - self.seen - self.gap, 0) if self.first >= 0 else 0


class _Head(msgspec.Struct):
    """What is looked at before anything else of a snapshot: another version may hold anything else."""

    version: int
    plant: str


class Snapshot(msgspec.Struct):
    """Everything a tracker needs to go on after journal position `pos`."""

    version: int
    plant: str
    pos: int
    now: int
    base: TwinState
    recent: list[Obs]
    births: dict[str, bytes]
    sources: dict[str, Source]
    speed: float
    wall: int
    origin: int
    learned: Learned
    settled: int
    machines: Kept = {}


class Tracker:
    """The fold over journal rows. `state` is what is believed at `now` (plant ms of the newest tick or reading).

    `forget_ms`: half-life (plant ms) of what parameters are learned from, 0 for ever.
    `TwinLimitError` (a `ValueError`) for a plant with features whose state cannot be tracked.
    """

    def __init__(self, plant: Plant, forget_ms: int = 0) -> None:
        refuse(plant)
        self.topology: Topology = build(plant)
        self.pos = 0
        self.now = 0
        self.clock = PlantClock()
        self.sources: dict[str, Source] = {}
        self._births: dict[str, bytes] = {}
        self._aliases = Aliases()
        self._enums: dict[tuple[str, str], tuple[int, ...]] = {}
        self._base = empty_state(self.topology)
        self._head = _copy(self._base)
        self._recent: list[Obs] = []
        self._newest: dict[str, int] = {}  # when the newest reading of each tag held
        self._dirty = False
        self._near: TwinState | None = None  # what was believed after the first `_near_at` of the recent observations
        self._near_at = 0
        self._redone: TwinState | None = None  # a rewind under way: what was believed after the first `_redone_at`
        self._redone_at = 0
        self._depth = 0  # how many observations had overtaken what came late lately
        self._late = self._late_since = 0.0  # monotonic: when the newest and the first of what is not in its place came
        self._learner = Learner(self.topology)
        self._learner.learned.forget_ms = forget_ms
        self.machines, self._settled, self._settling = Machines(plant), 0, Settling()

    @property
    def learned(self) -> Learned:
        """What calibration rests on; not to be changed by the caller."""
        self._settle()
        return self._learner.learned

    @property
    def state(self) -> TwinState:
        """What is believed now; not to be changed by the caller."""
        self._settle()
        if self._dirty:
            self._rewind()
        self._head.learned = self._learner.learned  # one object, so that a rewind need not copy it
        return self._head

    def _rewind(self, until: float | None = None) -> None:
        """Put what came late in its place: in a copy that begins near the end where it can, else at the base, and
        becomes the head when it has caught up. `until` (monotonic): stop there, and go on at the next call.

        Most of what is late is so by a moment (a tick or another source has overtaken it): then the near copy, a little
        further back than such things have come lately, saves going through the whole window again.
        """
        if self._redone is None:
            near = self._near
            if near is None and not self._settle(until):
                return
            self._redone, self._redone_at = (_copy(near), self._near_at) if near else (_copy(self._base), 0)
        last = len(self._recent)
        mark = last - min(self._depth + NEAR, FAR)
        mark = mark if self._near is None or mark - self._near_at > NEAR else -1
        while self._redone_at < last:
            if self._redone_at == mark:
                self._near, self._near_at = _copy(self._redone), mark
            apply_observation(self.topology, self._redone, self._recent[self._redone_at])
            self._redone_at += 1
            if until is not None and self._redone_at % 32 == 0 and time.monotonic() > until:
                return
        self._head, self._redone, self._dirty = self._redone, None, False

    def catch_up(self, seconds: float) -> bool:
        """Give so long (wall) to what came late and to what is to be settled; is everything in its place?"""
        until = time.monotonic() + seconds
        if self._dirty:
            self._rewind(until)
        return not self._dirty and self._settle(until)

    def _settle(self, until: float | None = None) -> bool:
        """Go on with what has left the window, at most until `until` (monotonic); is all of it settled?"""
        return self._settling.go_on(self._learner, self._base, until)

    def settle(self, seconds: float) -> bool:
        """Give so long (wall) to what has left the window; is all of it settled? `snapshot` needs that."""
        return self._settle(time.monotonic() + seconds)

    @property
    def behind(self) -> bool:
        """Have late readings come that are not in their place yet?"""
        return self._dirty

    @property
    def glance(self) -> TwinState:
        """What is believed now, for a look: late readings may be missing from it while they come in and for a moment
        after, so that a backlog does not hold up the present (a look gives `LOOK_S` to them). `state` has all.
        """
        if self._dirty:
            now = time.monotonic()
            quiet = now - self._late >= QUIET_S or now - self._late_since >= MOST_BEHIND_S
            if quiet or self._near is not None:
                self._rewind(now + LOOK_S)
        self._settling.look(self._learner, self._base)
        self._head.learned = self._learner.learned
        return self._head

    @property
    def holes(self) -> int:
        return sum(source.holes for source in self.sources.values())

    def apply(self, row: Row) -> Tracker:
        """Take the next journal row; a row that cannot be understood is counted and changes nothing else."""
        if row.pos <= self.pos:
            return self
        self.pos = row.pos
        try:
            self._source(row)
            observations = self._observations(row)
        except (WireError, msgspec.DecodeError, msgspec.ValidationError, KeyError, TypeError, ValueError):
            self._counted("rows_not_understood")
            return self
        if row.kind == "tick" and self.now and row.t < self.now - WINDOW_MS:
            self._step_back(row.t)
        for obs in observations:
            self._insert(obs)
        if row.kind == "tick":
            self.now = max(self.now, row.t)
            self._promote()
        return self

    def _begin_anew(self) -> None:
        """Nothing that was believed is true any more; only the counters of the journal go on."""
        self._settle()
        self._base, self._recent, self.now, self._newest = empty_state(self.topology), [], 0, {}
        self._head, self._dirty, self._settled = _copy(self._base), False, 0
        self._near, self._redone, self.machines = None, None, Machines(self.topology.plant)
        self._learner.begin_anew()

    def _step_back(self, t: int) -> None:
        """The clock went back to `t`: what is believed stays, the order of time begins again there."""
        self._settling.begin(self._learner, self._base, self._recent, [])
        self._settle()
        self._learner.step_back()
        self.machines.step_back()
        self._recent, self.now, self._newest, self._settled = [], t, {}, 0
        self._near, self._redone = None, None
        step_back(self._base, t)
        self._rewind()

    def _source(self, row: Row) -> None:
        if row.kind in ("tick", "manual", "cmd", "supply"):
            return
        source = self.sources.setdefault(row.source, Source())
        source.t, source.recv = max(source.t, row.t), max(source.recv, row.recv)
        if row.kind == "status":
            source.online = parse("status", row.body).online
        elif row.kind == "birth":
            birth = self._aliases.feed_row(row)
            self._births[f"{row.source} {birth.e}"] = row.body
            self._learn_enums(row.source, birth.e)
            source.online = True
            if source.e and birth.e != source.e and row.t < self.now - WINDOW_MS:
                self._begin_anew()  # another (simulated) plant, whose time begins again
            if birth.e != source.e:
                source.e, source.first, source.newest, source.seen, source.gap = birth.e, birth.s, birth.s - 1, 0, 0
            if birth.plant_time is not None:
                self.clock = PlantClock.of(birth.plant_time, row.recv)
        elif row.s is not None and row.e == source.e:
            source.online = True
            source.seen += 1
            source.newest = max(source.newest, row.s)
            source.first = row.s if source.first < 0 else min(source.first, row.s)
            if row.kind == "gap":
                gap: Gap = parse("gap", row.body)
                source.gap += 0 if gap.from_ == gap.s else gap.to - gap.from_ + 1

    def _learn_enums(self, source: str, epoch: str) -> None:
        for tag in (self._aliases.table(source, epoch) or {}).values():
            if tag.enum is not None and set(tag.enum) <= set(UNIT_STATES):
                self._enums[source, tag.name] = tuple(UNIT_STATES.index(name) for name in tag.enum)

    def _observations(self, row: Row) -> list[Obs]:
        if row.kind == "tick":
            return [Obs(t=row.t, rank=TICK, source="", s=0, k=0, stamped=row.t)]
        if row.kind in ("data", "hist", "plain", "spb"):
            rest = self.machines.sieve(decode(row, self._aliases), self.now, self._learner.learned)
            return [self._reading(k, reading) for k, reading in rest]
        if row.kind == "event":
            body = msgspec.to_builtins(parse("event", row.body))
            rank = RANKS.get(body["kind"], END)
            return [self._obs(row, rank, f"{body['thing']}/{body['kind']}", body, body["t"])]
        if row.kind == "supply":
            body = msgspec.to_builtins(parse("supply", row.body))
            return [self._obs(row, SUPPLY, f"{body['doc']}/{body['version']}", body, row.t)]
        if row.kind == "manual":
            (reading,) = decode(row, self._aliases)
            body = msgspec.json.decode(row.body)
            more = {name: body.get(name, "") for name in ("role", "to", "text")} | {"sd": body.get("sd", 0)}
            found = self._obs(row, MANUAL, reading.name, more, reading.t)
            found.value = reading.value
            return [found]
        if row.kind in ("cmd", "cmdack"):
            body = msgspec.to_builtins(parse(row.kind, row.body))
            return [self._obs(row, COMMAND, row.kind, body, body.get("t", row.t))]
        return []

    def _obs(self, row: Row, rank: int, name: str, body: Any, t: int) -> Obs:
        s = row.s if row.s is not None else row.pos if rank != SUPPLY else 0
        return Obs(t, rank, row.source, s, 0, t, name, body=body, e=row.e or "")

    def _reading(self, k: int, reading: Reading) -> Obs:
        sensor = self.topology.tags.get(reading.name)
        rank = COUNTER if sensor is not None and sensor.type == "counter" else VALUE
        if sensor is not None and sensor.property == "in" and sensor.thing in self.topology.product:
            rank = RELEASE
        value, codes = reading.value, self._enums.get((reading.source, reading.name))
        if codes is not None and 0 <= int(value) < len(codes):
            value = float(codes[int(value)])
        s = reading.s if reading.kind not in ("plain", "spb") else reading.pos
        name, quality = reading.name, reading.quality
        return Obs(reading.t, rank, reading.source, s, k, reading.t, name, value, quality, e=reading.e)

    def _insert(self, obs: Obs) -> None:
        """Put an observation in its place; behind the window it takes the first moment that is still open."""
        if self.now and obs.t > self.now + 60_000 and obs.rank != TICK:
            obs.t = self.now  # a clock that runs ahead: the check flags it by its stamp
        settled = max(self._base.t, self._settling.t)
        if obs.t <= settled:
            self._counted("late")
            if obs.rank in EVENTS or obs.rank == TICK:
                return  # what it counted is asserted by the next counter
            if obs.rank in READINGS and obs.stamped < self._newest.get(obs.name, 0):
                self._counted("history_only")
                return  # the newest value of the tag has come before it, as after an outage: live before history
            obs.t = settled + 1
        if obs.rank in READINGS:
            self._newest[obs.name] = max(self._newest.get(obs.name, 0), obs.stamped)
        if not self._recent or obs.key > self._recent[-1].key:
            self._recent.append(obs)
            apply_observation(self.topology, self._head, obs)  # also before a rewind that is due: see `glance`
        else:
            self._put(obs)

    def _put(self, obs: Obs) -> None:
        """Insert what others have overtaken; copies of later moments are worth nothing then."""
        at, now = bisect.bisect_right(self._recent, obs.key, key=lambda o: o.key), time.monotonic()
        depth = len(self._recent) - at
        self._depth = max(depth if depth <= FAR else 0, self._depth - self._depth // 8)
        self._recent.insert(at, obs)
        self._late, self._late_since = now, self._late_since if self._dirty else now
        self._dirty = True
        if at < self._near_at:
            self._near = None
        if at < self._redone_at:
            self._redone = None

    def _counted(self, what: str) -> None:
        """Something that moves nothing was seen: no rewind for a count."""
        for state in (self._base, self._head, self._near, self._redone):
            if state is not None:
                count(state, what)

    def _promote(self) -> None:
        """Observations older than the window can no longer be preceded by others: they go into the base."""
        until = (self.now - WINDOW_MS) // SETTLE_MS * SETTLE_MS
        if until <= self._settled:
            return
        self._settled = until
        cut = next((i for i, obs in enumerate(self._recent) if obs.t > until), len(self._recent))
        self._settling.begin(self._learner, self._base, self._recent[:cut], self._recent[cut:])
        del self._recent[:cut]
        self._near_at, self._redone_at = self._near_at - cut, self._redone_at - cut
        self._near = self._near if self._near_at >= 0 else None
        self._redone = self._redone if self._redone_at >= 0 else None

    def snapshot(self) -> bytes:
        """Everything needed to go on, as bytes (msgpack)."""
        self._settle()
        return msgspec.msgpack.encode(
            Snapshot(
                SNAPSHOT_VERSION,
                plant_key(self.topology.plant),
                self.pos,
                self.now,
                self._base,
                self._recent,
                self._births,
                self.sources,
                self.clock.speed,
                self.clock.wall,
                self.clock.origin,
                self.learned,
                self._settled,
                self.machines.keep(),
            )
        )

    @classmethod
    def restore(cls, plant: Plant, data: bytes, forget_ms: int = 0) -> Tracker:
        """A tracker from `snapshot`; ValueError when it is of another plant file or version."""
        try:
            head = msgspec.msgpack.decode(data, type=_Head)
            if head.version != SNAPSHOT_VERSION or head.plant != plant_key(plant):
                raise ValueError(
                    "tracker snapshot is of another plant file or version; the journal is replayed instead"
                )
            kept = msgspec.msgpack.decode(data, type=Snapshot)
        except msgspec.DecodeError as error:
            raise ValueError(
                f"tracker snapshot cannot be read ({error}); delete it, the journal is replayed instead"
            ) from error
        tracker = cls(plant, forget_ms)
        kept.learned.forget_ms = forget_ms
        tracker.pos, tracker.now, tracker._base, tracker._recent = kept.pos, kept.now, kept.base, kept.recent
        tracker._births, tracker.sources = kept.births, kept.sources
        tracker.machines = Machines(plant, kept.machines)
        tracker._learner, tracker._settled = Learner(tracker.topology, kept.learned), kept.settled
        tracker.clock = PlantClock(kept.origin, kept.wall, kept.speed)
        for key, body in kept.births.items():
            source, _, epoch = key.partition(" ")
            tracker._aliases.feed(source, parse("birth", body))
            tracker._learn_enums(source, epoch)
        tracker._newest = {name: tag.t for name, tag in kept.base.tags.items()}
        for obs in kept.recent:
            if obs.rank in READINGS:
                tracker._newest[obs.name] = max(tracker._newest.get(obs.name, 0), obs.stamped)
        tracker._rewind()
        return tracker


def plant_key(plant: Plant) -> str:
    """Names a plant file by its content."""
    from twin.log import digest

    return digest(repr(plant).encode())


def _copy(state: TwinState) -> TwinState:
    return msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=TwinState)


def write_snapshot(data: bytes, path: Path) -> None:
    """Write a snapshot in one step (a kill leaves the old one)."""
    part = path.with_suffix(".part")
    part.write_bytes(data)
    part.replace(path)
