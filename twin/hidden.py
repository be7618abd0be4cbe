"""The ensemble for what no sensor sees: a pure, seeded fold over what the tracker has settled at each moment.

Of a stretch of stations without sensors everything at its ends is seen: parts come (counted ends before it, counted
releases), parts go (starts behind it, or counted ends), the unit behind it is free or not, the units before it are
blocked or not. That is imposed on every member; between two such moments the members go on by themselves and their
weights take the probability that nothing was seen (`twin.hidden_kernel`). The state is a plain struct of bytes and
numbers in the twin's state: copied, kept and replayed with it.
"""

from __future__ import annotations

import math
import zlib

import msgspec
import numpy as np

from sim.plant import Plant
from twin import hidden_kernel as kernel
from twin.floor import Floor
from twin.hidden_kernel import DELTA, HEAD, HELD, LEAST, LEVEL, LOGW, MOST, QUEUES, REACTED, SPARE, STATION, WILLING
from twin.hidden_look import channels_of, look
from twin.hidden_model import Floats, Stretch, events_of, new_members, settings, shortest, stretches, tables
from twin.hidden_parts import follow
from twin.hidden_state import Hidden, Seen
from twin.topology import Topology

MEMBERS = 400
"""Members of one stretch."""
LAG_MS = 10_000
"""The members follow the state at least so often, also when nothing is seen."""
MOMENT_MS = 10.0
"""Two things seen within so much time count as one moment."""
MOST_REACTS = 2_500.0
"""Longest time (ms) a free unit is taken to need for a part that waits, where it never starts at once."""
SLOW, SLOW_MS = 1e-3, 20_000.0
"""Share of the starts behind a stretch that a free unit delays although a part waits, and how long it does."""
LONG_MS = 600_000.0
"""A free unit that waits longer tells no more."""
IMPOSSIBLE = -14.0
"""Log probability of silence (1e-6) below which what is believed must be wrong in all members."""
SURPRISE = -13.0
"""Log weight of one moment below which hardly a member could have shown what was seen."""
FEW = 0.05
"""Share of effective members below which the last observations are taken in again."""
MORE, MARK_EVERY = 8, 8
"""With how many times as many members then, and after how many observations a copy is kept for that (two are)."""
DOUBTERS, DOUBT = 4, 3.0
"""So many members go on with a part less whenever a copy is kept, where the beginning was guessed, and the log weight
that each of them loses."""
MOST_PLACES, FEW_PARTS = 50, 4
"""Of a queue with more places than these nobody knows how full it may be: at the beginning so many are taken for it."""
WRONG_STATE = 3.0
"""Log weight lost, once, for each unit before the stretch that is blocked in a member and not seen to be, or the other
way round."""
WRONG_LEVEL = 2.0
"""Log weight lost for each part by which a queue inside the stretch differs from its level sensor."""


def observe(f: Floor) -> None:
    """Impose what this moment has shown; called once at the end of each moment."""
    found = stretches(f.topology, events_of(f.state))
    if not found:
        if f.state.hidden:
            f.state.hidden.clear()
        return
    kept = f.state.hidden
    for key in [key for key in kept if all(key != stretch.key for stretch in found)]:
        del kept[key]
    for stretch in found:
        hidden = kept.get(stretch.key)
        if hidden is None:
            hidden = _begin(f, stretch)
            if hidden is None:
                continue
            kept[stretch.key] = hidden
        if update(f, stretch, hidden) or hidden.left < 0:
            follow(f, stretch, hidden)


def update(f: Floor, stretch: Stretch, hidden: Hidden) -> bool:
    """Impose what the ends of a stretch show at `f.t`, where that is news; whether the members have gone on."""
    seen = look(f, stretch, hidden)
    before = (hidden.entered, hidden.served, hidden.willing, hidden.least, hidden.most)
    news = before != (seen.entered, seen.served, seen.willing, seen.least, seen.most) or bool(seen.levels)
    if not news and f.state.t - hidden.t < LAG_MS:
        return False
    run = Run(f.topology, stretch, hidden)
    run.go(f.state.t)
    if news:
        run.impose(seen)
    return True


def _begin(f: Floor, stretch: Stretch) -> Hidden | None:
    """The ensemble when something at its ends is first seen: empty where the counts have begun with it."""
    plant = f.topology.plant
    shown = known = 0
    for s in stretch.before or ((stretch.next,) if stretch.saturated and stretch.next >= 0 else ()):
        own = [f.state.channels[key].last for key in channels_of(f, plant.stations[s].id, "out")]
        if not own:
            return None
        shown, known = shown + sum(own), known + f.state.stations[s].ended
    for p in stretch.enter:
        own = [f.state.channels[key].last for key in channels_of(f, plant.products[p].id, "in")]
        if not own:
            return None
        shown, known = shown + sum(own), known + f.state.meters.released[p]
    cfg = settings(f.topology, stretch)
    hidden = Hidden(key=stretch.key, n=MEMBERS, members=bytearray(new_members(cfg, MEMBERS).tobytes()), t=f.state.t)
    hidden.empty = shown == known and not (stretch.saturated and stretch.next < 0)
    if not hidden.empty:
        seen = look(f, stretch, hidden)
        hidden.entered, hidden.served, hidden.willing = seen.entered, seen.served, seen.willing
        Run(f.topology, stretch, hidden).scatter(_levels(f, stretch))
    elif stretch.stock >= 0:
        look(f, stretch, hidden)
    run = Run(f.topology, stretch, hidden)
    kernel.settle_all(run.mem, run.cfg)
    return hidden


def _levels(f: Floor, stretch: Stretch) -> dict[int, int]:
    """The queues of a stretch that have a level sensor, as it last said, by place."""
    stations = [f.state.stations[s] for s in stretch.places]
    return {k: max(x.level - x.bias, 0) for k, x in enumerate(stations) if x.level is not None}


class Run:
    """The members of one stretch being moved; changes `hidden` in place."""

    def __init__(self, topology: Topology, stretch: Stretch, hidden: Hidden, *, second: bool = False) -> None:
        self.topology, self.stretch, self.hidden, self.second = topology, stretch, hidden, second
        fixed, self.tab, self.chunk = prepared(topology, stretch)
        self.cfg = fixed.copy()
        self.mem = np.frombuffer(hidden.members, dtype=np.float64).reshape(hidden.n, -1)
        self.rng = np.zeros(4, dtype=np.int64)
        self.rng[0] = zlib.crc32(hidden.key.encode()) + second
        self._tell()

    def _tell(self) -> None:
        cfg, hidden = self.cfg, self.hidden
        cfg[WILLING], cfg[LEAST], cfg[MOST], cfg[LEVEL] = hidden.willing, hidden.least, hidden.most, hidden.level
        cfg[DELTA] = MOMENT_MS

    def _step(self) -> None:
        self.hidden.step += 1
        self.rng[2] = self.hidden.step

    def go(self, to: int) -> None:
        """On to plant time `to` (ms), through time in which nothing was seen."""
        hidden = self.hidden
        while hidden.t < to:
            dt = min(to - hidden.t, self.chunk)
            waited = hidden.t - hidden.since
            self.cfg[REACTED] = self._waits(waited + dt) - self._waits(waited)
            self._step()
            kernel.advance(self.mem, self.cfg, self.tab, self.rng, float(dt))
            hidden.t += dt
            hidden.quiet += self.weigh()
            if hidden.quiet < IMPOSSIBLE and not self.look_again():
                self.resample()
                kernel.rethink(self.mem, self.cfg)
                hidden.quiet, hidden.rethought = 0.0, hidden.rethought + 1

    def impose(self, seen: Seen) -> None:
        """What was seen at this moment happens in every member."""
        hidden, cfg = self.hidden, self.cfg
        gone, come = seen.served - hidden.served, max(seen.entered - hidden.entered, 0)
        freed, opened = seen.willing > hidden.willing, seen.most < hidden.most or seen.least < hidden.least
        if seen.least < hidden.least:
            self.mem[self.mem[:, HELD] < hidden.least, LOGW] -= kernel.FORCED
        cfg[SPARE], waited = hidden.willing, hidden.t - hidden.since
        cfg[REACTED] = self._takes_now(waited)
        if gone > 0:
            hidden.reacts = min(waited if hidden.willing else 0.0, hidden.reacts * 1.05 + 5.0, MOST_REACTS)
        hidden.since = hidden.t if freed else hidden.since
        news = come or opened or (seen.least, seen.most) != (hidden.least, hidden.most)
        hidden.willing, hidden.least, hidden.most = seen.willing, seen.least, seen.most
        hidden.served, hidden.entered = seen.served, max(seen.entered, hidden.entered)
        self._tell()
        self._step()
        kernel.serve(self.mem, cfg, self.tab, self.rng, gone)
        if come:
            kernel.arrive(self.mem, cfg, come)
        if opened:
            self._step()
            kernel.unblock(self.mem, cfg, self.tab, self.rng)
        if news:
            held = self.mem[:, HELD]
            self.mem[:, LOGW] -= WRONG_STATE * (np.maximum(held - seen.most, 0) + np.maximum(seen.least - held, 0))
        self._levels(seen)
        hidden.seen += 1
        odd = self.weigh() < SURPRISE
        hidden.surprises += odd
        if gone or opened or freed or seen.levels:
            hidden.quiet = 0.0
        if not self.second:
            self._remember(seen)
            if odd or hidden.ess < FEW * hidden.n:
                self.look_again()

    def _remember(self, seen: Seen) -> None:
        """Keep what was seen, and from time to time a copy of the members."""
        hidden = self.hidden
        hidden.rest = max(hidden.rest - 1, 0)
        for kept in hidden.since_mark:
            kept.append((hidden.t, seen))
        if not hidden.marks or len(hidden.since_mark[-1]) >= MARK_EVERY:
            bare = msgspec.structs.replace(hidden, marks=[], since_mark=[])
            hidden.marks = [*hidden.marks[-1:], msgspec.msgpack.encode(bare)]
            hidden.since_mark = [*hidden.since_mark[-1:], []]
            if not hidden.empty:
                self._doubt()

    def look_again(self) -> bool:
        """Few members could have shown what was seen: take it in anew with many times as many, from the older copy on.
        Whether that has helped.
        """
        hidden = self.hidden
        if self.second or not hidden.marks or hidden.rest:
            return False
        hidden.again += 1
        old = msgspec.msgpack.decode(hidden.marks[0], type=Hidden)
        old.members = bytearray(np.tile(np.frombuffer(old.members, dtype=np.float64).reshape(old.n, -1), (MORE, 1)))
        old.n *= MORE
        run = Run(self.topology, self.stretch, old, second=True)
        for t, seen in hidden.since_mark[0]:
            run.go(t)
            run.impose(seen)
        run.go(hidden.t)
        helped = old.ess >= FEW * hidden.n and old.quiet >= IMPOSSIBLE
        hidden.rest = 0 if helped else MARK_EVERY
        u = np.random.Generator(np.random.PCG64([int(self.rng[0]), hidden.step, 1])).random()
        self.mem[:] = run.mem[pick(np.exp(run.mem[:, LOGW]), hidden.n, u)]
        self.mem[:, LOGW] = 0.0
        hidden.ess, hidden.quiet = min(old.ess, float(hidden.n)), old.quiet
        return helped

    def _levels(self, seen: Seen) -> None:
        """Level sensors of queues: the one behind is imposed, those inside weigh."""
        for k, level in seen.levels:
            if k < len(self.stretch.stations):
                self.mem[:, LOGW] -= WRONG_LEVEL * np.abs(self.mem[:, QUEUES + k] - level)
            else:
                first, self.hidden.level = self.hidden.level < 0 and not self.hidden.empty, level
                self._tell()
                self._step()
                if first:  # what stands there came before anything was known, not now
                    self.mem[:, QUEUES + k] = level
                kernel.sensed(self.mem, self.cfg, self.tab, self.rng, level)

    def _waits(self, d: float) -> float:
        """Log probability that a free unit leaves a waiting part for `d` ms."""
        d, quick = min(max(d, 0.0), LONG_MS), self._quick()
        return math.log((1.0 - SLOW) * math.exp(-d / quick) + SLOW * math.exp(-d / SLOW_MS))

    def _takes_now(self, d: float) -> float:
        """Log probability that it takes it in this moment, after `d` ms."""
        d, quick = min(max(d, 0.0), LONG_MS), self._quick()
        fast = (1.0 - SLOW) * math.exp(-d / quick) / quick
        slow = SLOW * math.exp(-d / SLOW_MS) / SLOW_MS
        return min(math.log((fast + slow) * MOMENT_MS) - self._waits(d), 0.0)

    def _quick(self) -> float:
        """How fast a free unit takes a part that waits: as the quickest have lately."""
        return max(MOMENT_MS, 2.0 * self.hidden.reacts)

    def weigh(self) -> float:
        """Weights with mean one; their old log mean. Members are drawn anew where too few have all the weight."""
        logw = self.mem[:, LOGW]
        top = float(logw.max())
        w = np.exp(logw - top)
        z = top + math.log(float(w.mean()))
        logw -= z
        self.hidden.ess = float(w.sum()) ** 2 / float(w @ w)
        if self.hidden.ess < self.hidden.n / 2:
            self.resample()
        return z

    def resample(self) -> None:
        """Systematic resampling: all weights one."""
        n = self.hidden.n
        w = np.exp(self.mem[:, LOGW])
        u = np.random.Generator(np.random.PCG64([int(self.rng[0]), self.hidden.step])).random()
        picked = pick(w, n, u)
        self.mem[:] = self.mem[picked]
        self.mem[:, LOGW] = 0.0
        self.hidden.resampled += 1

    def _doubt(self) -> None:
        """How many were inside at the beginning was a guess that all members may come to share: some go on with a part
        less, at a price, so that parts which never were do not stay for ever.
        """
        n = self.hidden.n
        first = self.hidden.seen // MARK_EVERY * 2 * DOUBTERS % n
        some = self.mem[first : first + 2 * DOUBTERS]
        kernel.rethink(some, self.cfg)
        some[1::2, LOGW] -= DOUBT

    def scatter(self, levels: dict[int, int]) -> None:
        """Nothing is known of what was there before the first row but `levels` of queues (by place): members differ in
        the rest as widely as there are places.
        """
        cfg, mem, n = self.cfg, self.mem, self.hidden.n
        stations, units = int(cfg[kernel.STATIONS]), int(cfg[kernel.UNITS])
        rng = np.random.Generator(np.random.PCG64([int(self.rng[0]), 0]))
        for k in range(stations + (self.stretch.behind == STATION and not cfg[WILLING])):
            most = cfg[HEAD + k] if cfg[HEAD + k] <= MOST_PLACES else FEW_PARTS
            mem[:, QUEUES + k] = rng.integers(0, int(most) + 1, n)
        for k, level in levels.items():
            mem[:, QUEUES + k] = level
        for k in range(stations):
            for c in range(units):
                u = QUEUES + stations + 1 + (k * units + c) * kernel.FIELDS
                there = (mem[:, u + kernel.PHASE] >= 0.0) & (rng.random(n) < 0.6)
                mem[there, u + kernel.PHASE] = kernel.WORKS
                mem[there, u + kernel.AGE] = (rng.random(n) * self.tab[3 * k, 1])[there]
                if cfg[HEAD + 2 * stations + 1 + k]:
                    life, repair = self.tab[3 * k + 1, 1], self.tab[3 * k + 2, 1]
                    down = there & (rng.random(n) < repair / (life + repair))
                    mem[down, u + kernel.DOWN] = 1.0
                    mem[:, u + kernel.CLOCK] = rng.random(n) * np.where(down, repair, life)


def pick(w: Floats, n: int, u: float) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    """Systematic sample of `n` positions, by weights `w`, from one uniform number."""
    ends = np.cumsum(w)
    found = np.searchsorted(ends, (np.arange(n) + u) / n * ends[-1], side="right")
    return np.minimum(found, len(w) - 1)


_READY: dict[tuple[int, str], tuple[Plant, tuple[Floats, Floats, int]]] = {}


def prepared(topology: Topology, stretch: Stretch) -> tuple[Floats, Floats, int]:
    """(settings, tables of durations, ms between two looks) of a stretch."""
    key = (id(topology.plant), stretch.key)
    kept = _READY.get(key)
    if kept is None or kept[0] is not topology.plant:
        if len(_READY) > 64:
            _READY.clear()
        chunk = max(int(shortest(topology, stretch)), 1)
        kept = _READY[key] = (topology.plant, (settings(topology, stretch), tables(topology, stretch), chunk))
    return kept[1]
