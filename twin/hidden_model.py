"""Which stations no sensor sees, joined to stretches between two places where parts are seen; durations as tables.

A stretch is a chain of stations of which each hands to the next one only. What is seen at its ends is imposed on the
members of its ensemble (`twin.hidden`). Where the rules of a station are richer than `twin.hidden_kernel` knows, there
is no stretch, and the station keeps the rule of thumb (`why_not` says which).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from sim.distributions import mean
from sim.plant import DONE, SCRAP, UNLIMITED, Dist, Mode, Plant, Station
from sim.quantile import FINE, drawn
from sim.quantile import table as quantile_table
from twin.hidden_durations import POINTS
from twin.hidden_kernel import (
    COUNTED,
    ENTRY,
    EXIT,
    FIELDS,
    HEAD,
    LEVEL,
    NO_CLOCK,
    ODF,
    PHASE,
    QUEUES,
    SATURATED,
    STATION,
    STATIONS,
    TDF,
    UNITS,
    UNSEEN,
)  # fmt: skip
from twin.model import TwinState
from twin.topology import Topology

Floats = NDArray[np.float64]

ODD = 0.02
"""Share of every tabulated duration that is taken to be exponential with the same mean: the plant file is a
description, and no duration is impossible."""
PLAY = 0.03
"""Half width of what is taken for a fixed time, as a share of it: the prior spread of work times."""
MANY = 1_000.0
"""Places of a queue without limit."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Stations (positions) in the order of flow. `before`: the stations whose ends are seen and that hand to the first
    one; `enter`: products that begin there, by their release counters; `saturated`: there is always one more.

    `behind`: `UNSEEN`, `STATION` (then `next` is the station whose starts are seen) or `COUNTED` (then the ends of
    the last station of the stretch are: by its own counter, by the stock `stock`, whose sensor shows receipts, or by
    the releases of the products `pulled`, of which one more comes in for each that has gone).
    """

    stations: tuple[int, ...]
    before: tuple[int, ...] = ()
    enter: tuple[int, ...] = ()
    saturated: bool = False
    behind: int = UNSEEN
    next: int = -1
    stock: int = -1
    pulled: tuple[int, ...] = ()

    @property
    def places(self) -> tuple[int, ...]:
        """Stations whose WIP the members hold: with the queue of the one behind."""
        return (*self.stations, self.next) if self.behind == STATION else self.stations

    @property
    def key(self) -> str:
        """Names the stretch by what it is."""
        ends = (self.behind, self.next, self.stock, *([self.pulled] if self.pulled else []))
        return repr((self.stations, self.before, self.enter, self.saturated, *ends))

    @property
    def told(self) -> bool:
        """Is every part that goes counted by something that does not move the tracker's own parts?"""
        return self.stock >= 0 or bool(self.pulled)


NOBODY: frozenset[int] = frozenset()


def events_of(state: TwinState) -> tuple[bool, ...]:
    """Of which stations events are received."""
    return tuple([station.events for station in state.stations])


def led(topology: Topology, state: TwinState) -> frozenset[int]:
    """Stations whose parts follow an ensemble."""
    if not state.hidden:
        return NOBODY
    found = stretches(topology, events_of(state))
    return frozenset(s for stretch in found if stretch.key in state.hidden for s in stretch.stations)


def onward(topology: Topology, state: TwinState, s: int) -> int:
    """The first station of the stretch that follows an ensemble and to which `s` hands its parts, -1 without one."""
    for stretch in stretches(topology, events_of(state)) if state.hidden else ():
        if s in stretch.before and stretch.key in state.hidden:
            return stretch.stations[0]
    return -1


def stretches(topology: Topology, events: tuple[bool, ...]) -> tuple[Stretch, ...]:
    """The stretches of a plant; `events`: of which stations work_start and work_end events are received."""
    return _found(topology, events)[0]


def why_not(topology: Topology, events: tuple[bool, ...]) -> dict[str, str]:
    """The stations that no sensor sees and that are in no stretch, with the reason."""
    return dict(_found(topology, events)[1])


_FOUND: dict[tuple[int, tuple[bool, ...]], tuple[Plant, tuple[tuple[Stretch, ...], dict[str, str]]]] = {}


def _found(topology: Topology, events: tuple[bool, ...]) -> tuple[tuple[Stretch, ...], dict[str, str]]:
    key = (id(topology.plant), events)
    kept = _FOUND.get(key)
    if kept is None or kept[0] is not topology.plant:
        if len(_FOUND) > 64:
            _FOUND.clear()
        kept = _FOUND[key] = (topology.plant, _Finder(topology, events).find())
    return kept[1]


class _Finder:
    """The search for stretches in one plant."""

    def __init__(self, topology: Topology, events: tuple[bool, ...]) -> None:
        self.t = topology
        n = len(topology.plant.stations)
        sensed = topology.sensed
        self.ends = [events[s] or "out" in sensed[s] for s in range(n)]
        self.starts = [events[s] or bool({"state", "in"} & sensed[s]) for s in range(n)]
        self.to = [self._targets(s) for s in range(n)]

    def _targets(self, s: int) -> set[int]:
        """Where parts of a station go: stations, or DONE and SCRAP (negative)."""
        found = set()
        for p, k in self.t.into[s]:
            for target in (self.t.likely[p][k], *self.t.alts[p][k]):
                found.add(target if target in (DONE, SCRAP) else self.t.at[p][target])
        return found

    def find(self) -> tuple[tuple[Stretch, ...], dict[str, str]]:
        hidden = [s for s in range(len(self.ends)) if not self.ends[s] and self.t.into[s]]
        reasons, made = {}, []
        for chain in self._chains(hidden):
            found = next((r for r in (self._odd(s) for s in chain) if r), "") or self._make(chain)
            if isinstance(found, Stretch):
                made.append(found)
            else:
                reasons.update({self.t.plant.stations[s].id: found for s in chain})
        return tuple(made), reasons

    def _chains(self, hidden: list[int]) -> list[list[int]]:
        """Maximal chains of hidden stations; a station whose ends are seen but not its starts ends the chain before
        it.
        """
        onward = {s: next(iter(self.to[s])) for s in hidden if len(self.to[s]) == 1}
        heads = [s for s in hidden if not any(onward.get(f) == s for f in self.t.feeds[s])]
        chains = []
        for head in heads:
            chain = [head]
            while (after := onward.get(chain[-1], DONE)) in hidden and after not in chain and after >= 0:
                if self.t.feeds[after] != {chain[-1]}:
                    break
                chain.append(after)
            chains.append(chain)
        left = set(hidden) - {s for chain in chains for s in chain}
        return [*chains, *([s] for s in sorted(left))]

    def _odd(self, s: int) -> str:
        """Why a station is beyond what members know, "" when it is not."""
        spec = self.t.plant.stations[s]
        if len(self.to[s]) != 1 or SCRAP in self.to[s]:
            return "its parts go several ways, and no sensor tells which"
        if self.starts[s]:
            return "its states are sensed but not its ends"
        rules: dict[str, object] = {
            "batches": spec.batch, "setups": spec.setups, "operators": spec.operators, "a kanban": self.t.kanban[s],
            "a calendar": spec.calendar, "a dispatching rule": any(w for _, w in spec.dispatch),
            "components": any(self.t.needs[p][k] for p, k in self.t.into[s]),
        }  # fmt: skip
        odd = [name for name, there in rules.items() if there]
        if any(m.planned or m.clock == "parts" for m in spec.modes) or len(spec.modes) > 1:
            odd.append("several or planned modes of failure")
        if any(m.part != "resumes" for m in spec.modes):
            odd.append("failures that do not let work resume")
        return f"it has {', '.join(odd)}" if odd else ""

    def _make(self, chain: list[int]) -> Stretch | str:
        head, last = chain[0], chain[-1]
        before = tuple(sorted(self.t.feeds[head]))
        begin = sorted({p for p, k in self.t.into[head] if k == 0})
        if any(k == 0 for s in chain[1:] for _, k in self.t.into[s]):
            return "products begin inside the stretch"
        if any(not self.ends[s] or self._elsewhere(s, head) for s in before):
            return "it is not seen what comes to it"
        policies = {self.t.plant.products[p].release.policy for p in begin}
        counted = all(any((x.thing, x.property) == (self.t.plant.products[p].id, "in") for x in self.t.plant.sensors)
                      for p in begin)  # fmt: skip
        saturated = bool(begin) and not counted and policies == {"saturated"} and not before
        if begin and not counted and not saturated:
            return "it is not seen what is released to it"
        behind, after, stock, stations = self._behind(last)
        pulled = self._pulled(last) if behind == UNSEEN else ()
        entry = () if saturated else tuple(begin)
        ways = (COUNTED if pulled else behind, after, stock, pulled)
        return Stretch((*chain, *stations), before, entry, saturated, *ways)

    def _pulled(self, last: int) -> tuple[int, ...]:
        """The products that end at a station and nowhere else, where the rule of release lets one in exactly when one
        has gone: a cap that nothing else holds back or changes, counted releases, no scrap.
        """
        plant, found = self.t.plant, sorted({p for p, _ in self.t.into[last]})
        set_by_hand, grouped = {c.sets for c in plant.controls}, {name for g in plant.groups for name, _ in g.mix}
        for p in found:
            spec, rule = plant.products[p], plant.products[p].release
            ways = [(step.station, target) for step in spec.steps for target, _ in step.next]
            ends = {name for name, target in ways if target in (DONE, SCRAP)}
            free = rule.policy == "conwip" and rule.cap is not None and rule.base_stock is None
            free = free and not rule.consumes and rule.calendar is None and spec.lot == 1 and spec.id not in grouped
            first = plant.stations[self.t.at[p][0]].capacity == UNLIMITED
            counted = any((x.thing, x.property) == (spec.id, "in") and x.tag in self.t.counters for x in plant.sensors)
            once = ends == {plant.stations[last].id} and all(target != SCRAP for _, target in ways)
            if not (free and first and counted and once) or f"release.{spec.id}.cap" in set_by_hand:
                return ()
        return tuple(found)

    def _elsewhere(self, s: int, head: int) -> bool:
        """Do parts of a station before the stretch go elsewhere too (scrap is counted where it is)?"""
        return bool(self.to[s] - {head})

    def _behind(self, last: int) -> tuple[int, int, int, tuple[int, ...]]:
        """What is seen behind a stretch: (kind, next station, stock, further stations of the stretch)."""
        (after,) = self.to[last]
        if after == DONE:
            stocks = {self.t.fills[p] for p, _ in self.t.into[last]}
            stock = next(iter(stocks))
            name = self.t.plant.stocks[stock].id if stock >= 0 else ""
            sensed = any((x.thing, x.property) == (name, "on_hand") for x in self.t.plant.sensors)
            return (COUNTED, -1, stock, ()) if len(stocks) == 1 and sensed else (UNSEEN, -1, -1, ())
        alone = self.t.feeds[after] == {last} and not any(k == 0 for _, k in self.t.into[after])
        if not alone:
            return UNSEEN, -1, -1, ()
        if self.ends[after] and self.starts[after]:
            return STATION, after, -1, ()
        if self.ends[after] and not self._odd_but_branching(after):
            return COUNTED, -1, -1, (after,)
        return UNSEEN, -1, -1, ()

    def _odd_but_branching(self, s: int) -> str:
        """As `_odd`, for a station whose ends are counted: where its parts go then does not matter."""
        kept, self.to[s] = self.to[s], {DONE}
        try:
            return self._odd(s)
        finally:
            self.to[s] = kept


def works(topology: Topology, s: int) -> list[Dist]:
    """The different work times of a station."""
    found = [topology.plant.products[p].steps[k].work for p, k in topology.into[s]]
    return list(dict.fromkeys(found))


def tables(topology: Topology, stretch: Stretch) -> Floats:
    """Durations of a stretch (ms), float64[3 K, 2 + 2 POINTS]: work, time to failure and repair of each station."""
    rows = []
    ms = topology.plant.tick_s * 1000.0
    for s in stretch.stations:
        mode = mode_of(topology.plant.stations[s])
        after = () if mode is None or mode.after is None else (mode.after,)
        repair = () if mode is None else (mode.repair,)
        rows += [table(tuple(dists), ms) for dists in (works(topology, s), after, repair)]
    return np.array(rows)


@lru_cache(maxsize=512)
def table(dists: tuple[Dist, ...], tick_ms: float) -> Floats:
    """One duration, or several equally likely ones, as (share that is exponential, mean in ms, points in ms, their
    probabilities); without any: never ends.
    """
    out = np.zeros(2 + 2 * POINTS)
    out[0], out[1] = 1.0, 1e15
    if not dists:
        return out
    out[1] = max(float(np.mean([mean(d) for d in dists])) * tick_ms, 1.0)
    if {d.kind for d in dists} == {"exponential"} and len(dists) == 1:
        return out
    pieces = [_pieces(d) for d in dists]
    low, top, share = (np.concatenate(part) for part in zip(*pieces, strict=True))
    share = share / share.sum()
    points = _points(low, top, share) * tick_ms
    out[0] = ODD
    out[2 : 2 + POINTS], out[2 + POINTS :] = points, _chance(points / tick_ms, (low, top, share))
    out[2 + POINTS], out[-1] = 0.0, 1.0
    return out


def _pieces(dist: Dist) -> tuple[Floats, Floats, Floats]:
    """The uniforms (ticks) that a duration is made of in the kernel; fixed times get their play."""
    low, width, weight = drawn(quantile_table(dist))
    bottom, top = low / FINE, (low + width) / FINE
    if dist.kind in ("constant", "discrete", "empirical"):
        bottom, top = bottom * (1.0 - PLAY), top * (1.0 + PLAY)
    top = np.maximum(top, bottom + 1e-3)
    return bottom.astype(np.float64), top.astype(np.float64), weight / weight.sum()


def _chance(x: Floats, pieces: tuple[Floats, Floats, Floats]) -> Floats:
    low, top, share = pieces
    inside = np.clip((x[:, None] - low[None, :]) / (top - low)[None, :], 0.0, 1.0)
    return inside @ share


def _points(low: Floats, top: Floats, share: Floats) -> Floats:
    """Ticks between which the distribution function is drawn straight: closer together in the tails."""
    edges = np.unique(np.concatenate((low, top)))
    known = _chance(edges, (low, top, share))
    tail = 2.0 ** -np.arange(24.0, 8.0, -1.0)
    middle = np.linspace(2.0**-8, 1.0 - 2.0**-8, POINTS - 2 * len(tail) - 2)
    wanted = np.concatenate(([0.0], tail, middle, 1.0 - tail[::-1], [1.0]))
    keep = np.concatenate(([True], np.diff(known) > 0.0))
    points = np.interp(wanted, known[keep], edges[keep])
    points[0], points[-1] = edges[0], edges[-1]
    rising = np.maximum.accumulate(points + np.arange(POINTS) * 1e-6)
    return np.asarray(rising)


def mode_of(spec: Station) -> Mode | None:
    """The mode of failure of a station's units."""
    return spec.modes[0] if spec.modes else None


def clock(spec: Station) -> int:
    """How the clock of a station's failures runs."""
    mode = mode_of(spec)
    if mode is None or mode.after is None:
        return NO_CLOCK
    return TDF if mode.clock == "tdf" else ODF


def settings(topology: Topology, stretch: Stretch) -> Floats:
    """The fixed part of a stretch's settings (`twin.hidden_kernel`)."""
    plant = topology.plant
    specs = [plant.stations[s] for s in stretch.stations]
    places = [plant.stations[s].capacity for s in stretch.places]
    places += [UNLIMITED] * (len(specs) + 1 - len(places))
    head = np.zeros(HEAD)
    head[STATIONS], head[UNITS] = len(specs), max(spec.units for spec in specs)
    head[EXIT], head[ENTRY], head[LEVEL] = stretch.behind, SATURATED * stretch.saturated, -1.0
    caps = [MANY if n == UNLIMITED else float(n) for n in places]
    return np.concatenate((head, caps, [spec.units for spec in specs], [clock(spec) for spec in specs]))


def new_members(cfg: Floats, n: int) -> Floats:
    """`n` members without a part, all units free."""
    stations, units = int(cfg[STATIONS]), int(cfg[UNITS])
    mem = np.zeros((n, QUEUES + stations + 1 + stations * units * FIELDS))
    for k in range(stations):
        for c in range(int(cfg[HEAD + stations + 1 + k]), units):
            mem[:, QUEUES + stations + 1 + (k * units + c) * FIELDS + PHASE] = -1.0
    return mem


def shortest(topology: Topology, stretch: Stretch) -> float:
    """The least mean work time (ms) of a stretch: what happens in it is looked at that often."""
    return min(mean(d) for s in stretch.stations for d in works(topology, s)) * topology.plant.tick_s * 1000.0


def ids(topology: Topology, where: Sequence[int]) -> list[str]:
    return [topology.plant.stations[s].id for s in where]
