"""What the ensembles say: parts by station with a spread, who is down, and members in the words of the kernel."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import msgspec
import numpy as np

from sim.compile import Compiled
from sim.facts import Facts, PartFacts, UnitFacts
from twin.floor import Floor
from twin.hidden import Run, pick, update
from twin.hidden_kernel import AGE, CLOCK, DOWN, FIELDS, HELD, HOLDS, LOGW, PHASE, QUEUES, STATION, UNSEEN, WORKS
from twin.hidden_model import Floats, Stretch, events_of, ids, mode_of, stretches, why_not
from twin.hidden_state import Hidden
from twin.model import Part, TwinState
from twin.topology import Topology

GROUPS, SHARING = 32, 4
"""Most members that an ensemble of rows is drawn from, and least replicas that share one: telling each costs 3 ms."""


@dataclass(frozen=True, slots=True)
class Place:
    """Parts at a station (`held`; in its queue `queue`) and the chance that one of its units is down: means and
    standard deviations. `down` is None where the units are seen or never fail.
    """

    held: float
    spread: float
    queue: float
    queue_spread: float
    down: float | None


def present(topology: Topology, state: TwinState) -> list[tuple[Stretch, Hidden, Floats]]:
    """The members of every stretch at `state.t` (copies), with their log weights normalised to a sum of one."""
    found = []
    for stretch in stretches(topology, events_of(state)) if state.hidden else ():
        kept = state.hidden.get(stretch.key)
        if kept is None:
            continue
        hidden = msgspec.structs.replace(
            kept, members=bytearray(kept.members), marks=list(kept.marks), counts=dict(kept.counts),
            since_mark=[list(s) for s in kept.since_mark],
        )  # fmt: skip
        update(Floor(topology, state, state.t), stretch, hidden)
        run = Run(topology, stretch, hidden)
        run.go(state.t)
        mem = run.mem.copy()
        mem[:, LOGW] -= np.log(np.exp(mem[:, LOGW]).sum())
        found.append((stretch, hidden, mem))
    return found


def units_of(stretch: Stretch, mem: Floats, k: int) -> Floats:
    """Fields of the units of the k-th station of a stretch, float64[n, units, FIELDS]."""
    stations = len(stretch.stations)
    block = mem[:, QUEUES + stations + 1 :].reshape(len(mem), stations, -1, FIELDS)
    return block[:, k]


Present = list[tuple[Stretch, Hidden, Floats]]


def places(topology: Topology, state: TwinState, now: Present | None = None) -> dict[int, Place]:
    """By station (position): what is believed of those whose parts the ensembles hold; `now`: `present`, if at hand."""
    found = {}
    for stretch, _, mem in present(topology, state) if now is None else now:
        w = np.exp(mem[:, LOGW])
        for k, s in enumerate(stretch.places):
            queue = mem[:, QUEUES + k]
            held, down = queue, None
            if k < len(stretch.stations):
                units = units_of(stretch, mem, k)
                held = queue + (units[:, :, PHASE] > 0.0).sum(axis=1)
                if topology.plant.stations[s].modes:
                    down = float(w @ (units[:, :, DOWN] > 0.0).any(axis=1))
            else:
                held = queue + sum(len(unit.parts) for unit in state.stations[s].units)
            found[s] = Place(*_moments(w, held), *_moments(w, queue), down)
    return found


def _moments(w: Floats, x: Floats) -> tuple[float, float]:
    mean = float(w @ x)
    return mean, float(np.sqrt(max(float(w @ (x - mean) ** 2), 0.0)))


@dataclass(frozen=True, slots=True)
class Totals:
    """Of all stretches: the stations whose parts they hold, the parts there (mean and variance: within a stretch places
    are known far less well than their sum), and the standard deviation of what has left the line out of them uncounted.
    """

    where: frozenset[int]
    mean: float
    variance: float
    gone_spread: float


def totals(topology: Topology, state: TwinState, now: Present | None = None) -> Totals:
    """What the ensembles say of the line as a whole; `now`: `present`, if at hand."""
    where: set[int] = set()
    mean, variance, gone = 0.0, 0.0, 0.0
    for stretch, _, mem in present(topology, state) if now is None else now:
        w = np.exp(mem[:, LOGW])
        held = mem[:, QUEUES : QUEUES + len(stretch.places)].sum(axis=1)
        for k in range(len(stretch.stations)):
            held = held + (units_of(stretch, mem, k)[:, :, PHASE] > 0.0).sum(axis=1)
        if stretch.behind == UNSEEN:
            gone += _moments(w, held + mem[:, HELD])[1] ** 2
        if stretch.behind == STATION:
            held = held + sum(len(unit.parts) for unit in state.stations[stretch.next].units)
        m, sd = _moments(w, held)
        where |= set(stretch.places)
        mean, variance = mean + m, variance + sd * sd
    return Totals(frozenset(where), mean, variance, gone**0.5)


def health(topology: Topology, state: TwinState) -> dict[str, Any]:
    """How the ensembles fare, for `/state`: by stretch, and the stations that have none with the reason."""
    found = []
    for stretch in stretches(topology, events_of(state)):
        hidden = state.hidden.get(stretch.key)
        row: dict[str, Any] = {"stations": ids(topology, stretch.places)}
        if hidden is not None:
            row |= {
                "members": hidden.n, "ess": round(hidden.ess, 1), "seen": hidden.seen, "resampled": hidden.resampled,
                "again": hidden.again, "rethought": hidden.rethought, "surprises": hidden.surprises,
            }  # fmt: skip
        found.append(row)
    return {"stretches": found, "rule_of_thumb": why_not(topology, events_of(state))}


def fitted(compiled: Compiled, topology: Topology, state: TwinState, facts: Facts, replicas: int) -> list[Facts]:
    """The facts with what members of the ensembles hold: one for each group of replicas, members drawn by weight.

    Where there is no ensemble: the facts themselves, once.
    """
    found = present(topology, state)
    if not found:
        return [facts]
    n = max(min(replicas // SHARING, GROUPS), 1)
    chosen = [facts] * n
    for stretch, hidden, mem in found:
        u = np.random.Generator(np.random.PCG64([hidden.step, 2])).random()
        order = pick(np.exp(mem[:, LOGW]), n, u)
        writer = _Writer(compiled, topology, state, stretch)
        # stretches are independent given what was seen: their members are joined in another order each time
        order = np.random.Generator(np.random.PCG64([hidden.step, 3])).permutation(order)
        chosen = [writer.put(facts, mem[i]) for facts, i in zip(chosen, order, strict=True)]
    return chosen


class _Writer:
    """Puts members of one stretch into facts."""

    def __init__(self, compiled: Compiled, topology: Topology, state: TwinState, stretch: Stretch) -> None:
        self.c, self.t, self.state, self.stretch = compiled, topology, state, stretch
        self.order: list[Part] = []  # the parts believed to be in the stretch, the foremost first
        for k, s in reversed(list(enumerate(stretch.places))):
            station = state.stations[s]
            units = [part for unit in station.units for part in unit.parts] if k < len(stretch.stations) else []
            self.order += [*units, *station.queue]

    def put(self, facts: Facts, member: Floats) -> Facts:
        """Facts with the parts and units of one member."""
        stretch, plant = self.stretch, self.c.plant
        queues, units, left = dict(facts.queues), dict(facts.units), list(self.order)
        row = member[None, :]
        for k, s in reversed(list(enumerate(stretch.places))):
            spec = plant.stations[s]
            if k < len(stretch.stations):
                for c, fields in enumerate(units_of(stretch, row, k)[0][: spec.units]):
                    units[spec.id, c + 1] = self.unit(facts, s, fields, left)
            queues[spec.id] = tuple(self.part(facts, s, left) for _ in range(round(float(member[QUEUES + k]))))
        return replace(facts, queues=queues, units=units)

    def part(self, facts: Facts, s: int, left: list[Part], *, done: bool = False) -> PartFacts:
        """The next part from the front, at station `s` (`done`: waiting for room behind it); one made up if need be."""
        known = left.pop(0) if left else None
        p, k = next(((p, k) for p, k in self.t.into[s] if known is None or p == known.product), self.t.into[s][0])
        product = self.c.plant.products[p]
        tick_ms = self.c.tick_ms
        born = facts.tick if known is None else max(round((known.born - self.c.start_ms) / tick_ms), 0)
        target = self.t.likely[p][k]
        step = product.steps[k].id if not done else product.steps[target].id if target >= 0 else "done"
        due = None if product.due is None else born + round(product.due.args[0])
        return PartFacts(product.id, step, born, due)

    def unit(self, facts: Facts, s: int, fields: Floats, left: list[Part]) -> UnitFacts:
        """One unit of a member."""
        phase, down = fields[PHASE], fields[DOWN] > 0.0
        part = self.part(facts, s, left, done=phase == HOLDS) if phase > 0.0 else None
        doing = "work" if phase == WORKS else "blocked" if phase == HOLDS else "free"
        mode = mode_of(self.c.plant.stations[s])
        age, clock = round(float(fields[AGE]) / self.c.tick_ms), round(float(fields[CLOCK]) / self.c.tick_ms)
        return UnitFacts(
            state="down" if down else doing,
            part=part,
            worked=age if phase == WORKS else 0,
            age=0 if down else clock,
            since=facts.tick,
            repaired=clock if down else None,
            mode=mode.id if down and mode is not None else "",
            doing="" if not down else "nothing" if doing == "free" else doing,
        )
