"""The believed shop floor: what stands where, whether there is room, what could start; the smallest changes to it.

The rules mirror those of `docs/kernel.md`. How parts move is in `twin/moves.py`, where a part is looked for that must
be somewhere in `twin/search.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from twin import crews
from twin.model import DOWN, FREE, OFF, SETUP, STARVED, Part, TwinState, Unit, count
from twin.topology import Topology, capacity

RECALL_MS = 3_600_000
"""How long after a branch a part may still be moved to the other branch."""


@dataclass(slots=True)
class Floor:
    """The state being changed, what is known of the plant, and the present moment `t` (plant ms).

    `sure`: what is done now happened at `t`; otherwise it is made up for, and sensors of stocks have long seen it.
    """

    topology: Topology
    state: TwinState
    t: int = 0
    sure: bool = True

    def covered(self, s: int) -> bool:
        """Is every end of work at station `s` seen (events or an out counter)?"""
        return self.state.stations[s].events or "out" in self.topology.sensed[s]

    def starts_seen(self, s: int) -> bool:
        return self.state.stations[s].events or bool({"state", "in"} & self.topology.sensed[s])

    def room(self, s: int) -> bool:
        """May one more part join the queue of `s`? Free open units count as places, a kanban counts all it holds."""
        station, places = self.state.stations[s], capacity(self.topology, s)
        kanban = self.topology.kanban[s]
        limit = self.state.controls.get(kanban) if isinstance(kanban, str) else kanban
        held = len(station.queue) + sum(len(u.parts) for u in station.units)
        if limit is not None and limit > 0 and held >= limit:
            return False
        if places is None:
            return True
        free = sum(not u.parts and u.state not in (OFF, DOWN) for u in station.units)
        return len(station.queue) < places + free

    def places(self, s: int) -> int | None:
        """Most parts that can stand in the queue of `s`, None where unlimited: some wait beside a free unit."""
        places = capacity(self.topology, s)
        if places is None or not self.topology.patient[s]:
            return places
        return places + len(free_units(self, s))

    def counts(self, k: int) -> bool:
        """Is stock `k` to be moved by what happens now? Not where its sensor has seen it and the moment is past."""
        return self.sure or "on_hand" not in self.state.stocks[k].measured_t


def set_state(f: Floor, s: int, u: int, state: int) -> None:
    """The unit's state follows from what happened; a sensor may say so later."""
    unit = f.state.stations[s].units[u]
    if unit.state == state:
        return
    if unit.state == DOWN:
        crews.came_up(f.topology, f.state, s, u)
    if state == SETUP and unit.state not in (DOWN, OFF):
        f.state.stations[s].set_ups += 1
    if state in (DOWN, OFF) and unit.state not in (DOWN, OFF):
        unit.was = unit.state
    unit.state, unit.since = state, f.t
    if state == DOWN:
        crews.went_down(f.topology, f.state, s, u)


def take_out(f: Floor, s: int, u: int, part: Part) -> Part:
    """A part leaves a unit; without parts the unit is free."""
    unit = f.state.stations[s].units[u]
    drop(unit.parts, part)
    part.done = False
    if not unit.parts:
        unit.assumed = False
        if unit.state not in FREE:
            set_state(f, s, u, STARVED)
    return part


def drop(parts: list[Part], part: Part) -> None:
    """Take this very part out of a list (another may be equal to it)."""
    parts[:] = [p for p in parts if p is not part]


def most(f: Floor, s: int) -> int:
    """Parts that a unit of `s` holds."""
    batch = f.topology.plant.stations[s].batch
    return batch.most if batch is not None else 1


def ready(f: Floor, s: int, *, since: int | None = None) -> list[Part]:
    """The waiting parts that a free unit of `s` would take now, by the rules; with `since`, would have taken then."""
    queue, at = f.state.stations[s].queue, f.t if since is None else since
    waiting = [part for part in queue if part.since <= at]
    batch = f.topology.plant.stations[s].batch
    for first in waiting:
        if batch is None:
            if _supplied(f, first, at):
                return [first]
            continue
        mates = [part for part in waiting if batch_key(f, s, part) == batch_key(f, s, first)]
        longest = round(batch.wait * f.topology.plant.tick_s * 1000) if batch.wait is not None else None
        if len(mates) >= batch.least or (longest is not None and first.since + longest <= at):
            return mates[: batch.most]
    return []


def _supplied(f: Floor, part: Part, at: int) -> bool:
    """Are the components of a part's operation on hand, and were they at `at`?"""
    stocks = f.state.stocks
    needs = f.topology.needs[part.product][part.step]
    return all(stocks[k].on_hand >= n and stocks[k].grown <= at for k, n in needs)


def batch_key(f: Floor, s: int, part: Part) -> str:
    """What parts in one batch of station `s` have in common."""
    batch = f.topology.plant.stations[s].batch
    assert batch is not None
    if batch.by == "any":
        return ""
    return f.topology.family[part.product] if batch.by == "family" else f.topology.plant.products[part.product].id


def blocked_for(f: Floor, s: int, product: int | None = None) -> tuple[int, int] | None:
    """(station, unit) of the part that has waited longest for room at `s`."""
    found: list[tuple[int, int, int]] = []
    for other in f.topology.feeds[s]:
        for u, unit in enumerate(f.state.stations[other].units):
            part = unit.part
            if part is None or not unit.done or unit.state == DOWN or part.step < 0:
                continue
            if f.topology.at[part.product][part.step] == s and product in (None, part.product):
                found.append((unit.since, other, u))
    return min(found)[1:] if found else None


def appear(f: Floor, product: int, step: int) -> Part:
    """A part that must be here although nothing told how it came."""
    count(f.state, "appeared")
    f.state.wip[product] += 1
    return Part(product=product, step=step, born=f.t, since=f.t, guess=True)


def vanish(f: Floor, part: Part) -> None:
    """A part that cannot exist any more."""
    count(f.state, "vanished")
    f.state.wip[part.product] -= 1


def relabel(f: Floor, s: int, part: Part, product: int) -> None:
    """A part at `s` turns out to be of another product."""
    f.state.wip[part.product] -= 1
    f.state.wip[product] += 1
    count(f.state, "relabelled")
    part.product, part.guess = product, False
    part.step = next((k for p, k in f.topology.into[s] if p == product), 0)


def swap(f: Floor, s: int, part: Part, others: Iterable[Part], product: int) -> None:
    """A part of a unit turns out to be of another product: it changes places with one of `others`, or its name."""
    other = next((p for p in others if p.product == product), None)
    if other is None:
        relabel(f, s, part, product)
        return
    for name in ("product", "step", "born", "since", "guess"):
        mine = getattr(part, name)
        setattr(part, name, getattr(other, name))
        setattr(other, name, mine)
    part.guess = False


def free_units(f: Floor, s: int) -> list[int]:
    return [u for u, unit in enumerate(f.state.stations[s].units) if not unit.parts]


def all_free(f: Floor, s: int) -> bool:
    """Are all units of `s` seen to be free and open, so that its queue must be empty?"""
    return all(unit.measured and unit.state in FREE and unit.state != OFF for unit in f.state.stations[s].units)


def undone(unit: Unit, product: int | None, step: int | None = None) -> Part | None:
    """The part of a unit that is still worked on, best of this product and step; None when there is none."""
    left = [part for part in unit.parts if not part.done]
    fits = [part for part in left if product is None or part.product == product]
    exact = [part for part in fits if step is None or part.step == step]
    return next(iter([*exact, *fits, *left]), None)
