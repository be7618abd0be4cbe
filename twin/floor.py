"""How believed parts move: start, end, hand over, release, finish.

The rules mirror those of `docs/kernel.md`, but each move is caused by evidence (an event, a counter, a
level) instead of a clock. A part that must exist but was never seen appears (counted), one that cannot
exist any more vanishes (counted), so parts are conserved: released + appeared = held + finished + scrapped + vanished.
"""

from __future__ import annotations

from dataclasses import dataclass

from sim.plant import DONE, SCRAP
from twin import supply
from twin.model import BLOCKED, FREE, OFF, STARVED, WORK, Part, TwinState, Unit, count
from twin.topology import Topology, capacity

LATELY = 24
"""How many finished or scrapped parts are kept in case they turn out to have gone elsewhere."""
RECALL_MS = 3_600_000
"""How long after a branch a part may still be moved to the other branch."""


@dataclass(slots=True)
class Floor:
    """The state being changed, what is known of the plant, and the present moment `t` (plant ms)."""

    topology: Topology
    state: TwinState
    t: int = 0

    def covered(self, s: int) -> bool:
        """Is every end of work at station `s` seen (events or an out counter)?"""
        return self.state.stations[s].events or "out" in self.topology.sensed[s]

    def starts_seen(self, s: int) -> bool:
        return self.state.stations[s].events or bool({"state", "in"} & self.topology.sensed[s])

    def room(self, s: int) -> bool:
        places = capacity(self.topology, s)
        station = self.state.stations[s]
        if places is None:
            return True
        free = sum(u.part is None and u.state != OFF for u in station.units)
        return len(station.queue) < places + free


def start(f: Floor, s: int, u: int, product: int | None) -> None:
    """Unit `u` of station `s` begins work on a part (of `product`, where known)."""
    unit = f.state.stations[s].units[u]
    if unit.part is not None:
        if not unit.done:
            count(f.state, "inferred_ends")
            end(f, s, u, None)
        if unit.part is not None:
            hand_over(f, s, u)
    part = _take(f, s, product)
    if unit.part is not None:
        # handing over and taking make room, and without a sensor of starts a waiting part has moved in meanwhile
        f.state.stations[s].queue.insert(0, unit.part)
        f.state.stations[s].started -= 1
    if product is not None:
        part.product, part.guess = product, False
    unit.part, unit.done, unit.started, unit.on_part = part, False, f.t, 0
    set_state(f, s, u, WORK)
    f.state.stations[s].started += 1
    drain(f, s)


def end(f: Floor, s: int, u: int, product: int | None, *, hold: bool = False) -> None:
    """Unit `u` of station `s` ends work; the part goes on, or stays in the unit where there is no room (or `hold`)."""
    station = f.state.stations[s]
    unit = station.units[u]
    if unit.part is None or unit.done:
        count(f.state, "inferred_starts")
        start(f, s, u, product)
    part = unit.part
    assert part is not None
    if product is not None and part.product != product:
        _swap(f, s, part, product)
    station.ended += 1
    station.ended_of[part.product] += 1
    target = f.topology.likely[part.product][part.step]
    part.alts = list(f.topology.alts[part.product][part.step])
    part.came, part.moved = s, f.t
    if target in (DONE, SCRAP):
        unit.part = None
        set_state(f, s, u, STARVED)
        leave(f, part, target)
        drain(f, s)
        return
    part.step = target
    if hold or not f.room(f.topology.at[part.product][target]):
        unit.done = True
        set_state(f, s, u, BLOCKED)
    else:
        hand_over(f, s, u)


def hand_over(f: Floor, s: int, u: int) -> None:
    """The finished part of a unit joins the queue it waits for, whether or not there seems to be room."""
    unit = f.state.stations[s].units[u]
    part = unit.part
    assert part is not None
    unit.part, unit.done = None, False
    set_state(f, s, u, STARVED)
    join(f, part, part.step)
    drain(f, s)


def join(f: Floor, part: Part, step: int) -> None:
    """Put a part at the tail of the queue of its step's station; start it where no sensor would tell."""
    part.step, part.since = step, f.t
    s = f.topology.at[part.product][step]
    f.state.stations[s].queue.append(part)
    if not f.starts_seen(s):
        auto_start(f, s)


def auto_start(f: Floor, s: int) -> None:
    """Free units of a station without sensors take what waits: parts do not lie beside an idle machine."""
    station = f.state.stations[s]
    for u, unit in enumerate(station.units):
        if station.queue and unit.part is None and unit.state != OFF:
            start(f, s, u, None)


def drain(f: Floor, s: int) -> None:
    """Parts blocked for want of room at `s` move in, the longest waiting first, and so on upstream."""
    todo = [s]
    while todo:
        here = todo.pop()
        while f.room(here):
            waiting = blocked_for(f, here)
            if waiting is None:
                break
            other, u = waiting
            unit = f.state.stations[other].units[u]
            part = unit.part
            assert part is not None
            unit.part, unit.done = None, False
            set_state(f, other, u, STARVED)
            join(f, part, part.step)
            todo.append(other)


def blocked_for(f: Floor, s: int, product: int | None = None) -> tuple[int, int] | None:
    """(station, unit) of the part that has waited longest for room at `s`."""
    found: list[tuple[int, int, int]] = []
    for other in f.topology.feeds[s]:
        for u, unit in enumerate(f.state.stations[other].units):
            part = unit.part
            if part is None or not unit.done or f.topology.at[part.product][part.step] != s:
                continue
            if product is None or part.product == product:
                found.append((unit.since, other, u))
    return min(found)[1:] if found else None


def set_state(f: Floor, s: int, u: int, state: int) -> None:
    """The unit's state follows from what happened; a sensor may say so later."""
    unit = f.state.stations[s].units[u]
    if unit.state != state:
        unit.state, unit.since = state, f.t


def leave(f: Floor, part: Part, target: int) -> None:
    """A part is finished (its stock receives it) or scrapped."""
    meters = f.state.meters
    if target == SCRAP:
        meters.scrapped[part.product] += 1
    else:
        meters.finished[part.product] += 1
        k = f.topology.fills[part.product]
        if k >= 0:
            supply.receive(f.state.stocks[k], 1)
    f.state.wip[part.product] -= 1
    if part.alts:
        part.step = target
        f.state.lately = [*f.state.lately[-LATELY + 1 :], part]


def release(f: Floor, product: int, *, seen: bool) -> Part:
    """A new part enters the line; it takes what it consumes from stock. Not put into a queue yet."""
    f.state.meters.released[product] += 1
    f.state.wip[product] += 1
    for k, n in f.topology.consumes[product]:
        supply.take(f.state.stocks[k], n)
    return Part(product=product, step=0, born=f.t, since=f.t, guess=not seen)


def appear(f: Floor, product: int, step: int) -> Part:
    """A part that must be here although nothing told how it came."""
    count(f.state, "appeared")
    f.state.wip[product] += 1
    return Part(product=product, step=step, born=f.t, since=f.t, guess=True)


def vanish(f: Floor, part: Part) -> None:
    """A part that cannot exist any more."""
    count(f.state, "vanished")
    f.state.wip[part.product] -= 1


def scrap(f: Floor, s: int, product: int | None) -> None:
    """The part that last left `s` (of `product`) was scrapped there, wherever it was believed to have gone."""
    found = recall(f, SCRAP, s, product)
    if found is None:
        for unit in f.state.stations[s].units:
            if unit.part is not None and (product is None or unit.part.product == product):
                found, unit.part, unit.done = unit.part, None, False
                break
    if found is None:
        count(f.state, "unplaced_scrap")
        return
    found.alts = []
    leave(f, found, SCRAP)


def recall(f: Floor, target: int, s: int, product: int | None) -> Part | None:
    """Take back the part that last left `s` and could have gone to `target` (a step, or SCRAP); None when there is
    none.
    """

    def fits(part: Part | None) -> bool:
        return (
            part is not None
            and part.came == s
            and target in part.alts
            and f.t - part.moved <= RECALL_MS
            and (product is None or part.product == product)
        )

    best: tuple[int, list[Part] | Unit, Part] | None = None
    for station in f.state.stations:
        for part in station.queue:
            if fits(part) and (best is None or part.moved >= best[0]):
                best = (part.moved, station.queue, part)
        for unit in station.units:
            held = unit.part if unit.done or not unit.measured else None
            if held is not None and fits(held) and (best is None or held.moved >= best[0]):
                best = (held.moved, unit, held)
    for part in f.state.lately:
        if fits(part) and (best is None or part.moved >= best[0]):
            best = (part.moved, f.state.lately, part)
    if best is None:
        return None
    _, where, part = best
    if isinstance(where, Unit):
        where.part, where.done = None, False
    else:
        where.remove(part)
        if where is f.state.lately:
            _undo_leave(f, part)
    return part


def _undo_leave(f: Floor, part: Part) -> None:
    meters = f.state.meters
    f.state.wip[part.product] += 1
    if part.step == SCRAP:
        meters.scrapped[part.product] -= 1
        return
    meters.finished[part.product] -= 1
    k = f.topology.fills[part.product]
    if k >= 0:
        supply.take(f.state.stocks[k], 1)


def find_elsewhere(f: Floor, s: int, product: int | None, *, ghost: bool = True) -> Part | None:
    """A part for station `s` that is not in its queue: blocked before it, in a station without sensors, on another
    branch, newly released, or (with `ghost`) one that appears. Returned with its step set, in no queue.
    """
    waiting = blocked_for(f, s, product)
    if waiting is not None:
        other, u = waiting
        unit = f.state.stations[other].units[u]
        part = unit.part
        assert part is not None
        unit.part, unit.done = None, False
        set_state(f, other, u, STARVED)
        return part
    found = _from_unseen(f, s, product)
    for p, k in f.topology.into[s]:
        if found is not None:
            break
        if product is not None and p != product:
            continue
        for other in sorted(f.topology.feeds[s]):
            found = recall(f, k, other, p)
            if found is not None:
                found.step, found.alts = k, []
                break
    if found is not None:
        return found
    choice = likely_product(f, s) if product is None else product
    step = next((k for p, k in f.topology.into[s] if p == choice), None)
    if step is None:
        return None
    if step == 0 and not _release_seen(f, choice):
        return release(f, choice, seen=product is not None)
    return appear(f, choice, step) if ghost else None


def _release_seen(f: Floor, product: int) -> bool:
    return f"=in/{f.topology.plant.products[product].id}" in f.state.channels


def _from_unseen(f: Floor, s: int, product: int | None) -> Part | None:
    """A part out of a station without sensors that feeds `s`."""
    for other in sorted(f.topology.feeds[s]):
        if f.covered(other):
            continue
        station = f.state.stations[other]
        for unit in station.units:
            part = unit.part
            if part is not None and _leads_to(f, part, s, product):
                unit.part, unit.done = None, False
                part.step, part.came, part.moved = _step_at(f, part, s), other, f.t
                station.ended += 1
                unit.state = STARVED
                auto_start(f, other)
                return part
        for part in station.queue:
            if _leads_to(f, part, s, product):
                station.queue.remove(part)
                part.step, part.came, part.moved = _step_at(f, part, s), other, f.t
                station.ended += 1
                return part
    return None


def _leads_to(f: Floor, part: Part, s: int, product: int | None) -> bool:
    return (product is None or part.product == product) and _step_at(f, part, s) >= 0


def _step_at(f: Floor, part: Part, s: int) -> int:
    """The next step of a part that would be done at `s`, or -1."""
    targets = [f.topology.likely[part.product][part.step], *f.topology.alts[part.product][part.step]]
    return next((k for k in targets if k >= 0 and f.topology.at[part.product][k] == s), -1)


def likely_product(f: Floor, s: int) -> int:
    """The product whose share at `s` lags most behind what was counted there and upstream (deterministic)."""
    totals = [1.0 + f.state.stations[s].ended_of[p] for p in range(len(f.topology.plant.products))]
    here = sorted({p for p, _ in f.topology.into[s]})
    present = [sum(part.product == p for part in f.state.stations[s].queue) for p in range(len(totals))]
    return max(here, key=lambda p: (totals[p] / (present[p] + 1), -p))


def _take(f: Floor, s: int, product: int | None) -> Part:
    queue = f.state.stations[s].queue
    for part in queue:
        if product is None or part.product == product:
            queue.remove(part)
            return part
    if queue and product is not None and blocked_for(f, s, product) is None:
        # a number of parts is surer than their names: one in the queue was taken for another product
        part = next((p for p in queue if p.guess), queue[0])
        queue.remove(part)
        _relabel(f, s, part, product)
        return part
    found = find_elsewhere(f, s, product)
    assert found is not None, "a station is reached by at least one step"
    return found


def _swap(f: Floor, s: int, part: Part, product: int) -> None:
    """The unit's part turns out to be of another product: exchange it with one in the queue, or relabel it."""
    queue = f.state.stations[s].queue
    for i, other in enumerate(queue):
        if other.product == product:
            queue[i] = Part(other.product, other.step, other.born, other.since, other.guess)
            fields = ("product", "step", "born", "since")
            mine = {name: getattr(part, name) for name in fields}
            for name in fields:
                setattr(part, name, getattr(other, name))
                setattr(queue[i], name, mine[name])
            return
    _relabel(f, s, part, product)


def _relabel(f: Floor, s: int, part: Part, product: int) -> None:
    f.state.wip[part.product] -= 1
    f.state.wip[product] += 1
    count(f.state, "relabelled")
    part.product, part.guess = product, False
    part.step = next((k for p, k in f.topology.into[s] if p == product), 0)


def free_units(f: Floor, s: int) -> list[int]:
    return [u for u, unit in enumerate(f.state.stations[s].units) if unit.part is None]


def all_free(f: Floor, s: int) -> bool:
    """Are all units of `s` seen to be free and open, so that its queue must be empty?"""
    return all(unit.measured and unit.state in FREE and unit.state != OFF for unit in f.state.stations[s].units)
