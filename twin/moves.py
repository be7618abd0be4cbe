"""How believed parts move: start, end, hand over, release, finish.

The rules mirror those of `docs/kernel.md`, but each move is caused by evidence (an event, a counter, a
level) instead of a clock. A part that must exist but was never seen appears (counted), one that cannot
exist any more vanishes (counted), so parts are conserved: released + appeared = held + finished + scrapped + vanished.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sim.plant import SCRAP
from twin import dispatch, search, supply
from twin.crews import mode_of
from twin.floor import (
    Floor,
    appear,
    blocked_for,
    drop,
    most,
    ready,
    relabel,
    set_state,
    swap,
    take_out,
    undone,
    vanish,
)
from twin.model import BLOCKED, DOWN, OFF, SETUP, WORK, Part, Unit, count, guess
from twin.topology import counter_key, release_key, setup_ms

LATELY = 24
"""How many finished or scrapped parts are kept in case they turn out to have gone elsewhere."""


@contextmanager
def made_up(f: Floor) -> Iterator[None]:
    """What is done inside happened before, unseen: sensors of stocks have told it already."""
    before, f.sure = f.sure, False
    try:
        yield
    finally:
        f.sure = before


def start(f: Floor, s: int, u: int, product: int | None, step: int | None = None) -> None:
    """Unit `u` of station `s` begins work on a part (of `product` at `step`, where known). At one moment an oven takes
    several.
    """
    station = f.state.stations[s]
    unit = station.units[u]
    joins = _joins(f, s, unit)
    if unit.parts and not joins:
        clear(f, s, u)
    part = _take(f, s, product, step, u)
    if unit.parts and not joins:
        # handing over and taking make room, and without a sensor of starts a waiting part has moved in meanwhile
        station.queue[:0] = unit.parts
        station.started -= len(unit.parts)
        unit.parts = []
    if product is not None:
        part.product, part.guess = product, False
    part.done = False
    unit.parts.append(part)
    if not joins:
        unit.started, unit.on_part, unit.on_setup, unit.assumed = f.t, 0, 0, False
        told = f.starts_seen(s)
        first = SETUP if not told and setup_ms(f.topology, s, unit.family, f.topology.family[part.product]) else WORK
        set_state(f, s, u, first)
    station.started += 1
    for k, n in f.topology.needs[part.product][part.step]:
        if f.counts(k):
            supply.take(f.state.stocks[k], n)
    drain(f, s)


def _joins(f: Floor, s: int, unit: Unit) -> bool:
    """Does a part that starts now belong to the batch the unit has begun at this very moment?"""
    fresh = unit.started == f.t and not any(part.done for part in unit.parts)
    return bool(unit.parts) and fresh and len(unit.parts) < most(f, s)


def assume(f: Floor, s: int, u: int) -> None:
    """Unit `u` works although no start was seen: it has taken what the rules would have given it, an oven of which
    nothing is known as many as it needs.
    """
    if f.state.stations[s].units[u].done:
        clear(f, s, u)
    with made_up(f):
        for part in ready(f, s):
            start(f, s, u, part.product, part.step)
        batch = f.topology.plant.stations[s].batch
        if not f.state.stations[s].units[u].parts:
            for _ in range(batch.least if batch is not None else 1):
                start(f, s, u, None)
    f.state.stations[s].units[u].assumed = True


def clear(f: Floor, s: int, u: int) -> None:
    """Whatever the unit holds has ended and gone on."""
    unit = f.state.stations[s].units[u]
    spare(f, s, u)
    with made_up(f):
        while undone(unit, None) is not None:
            count(f.state, "inferred_ends")
            end(f, s, u, None)
    unload(f, s, u, force=True)


def spare(f: Floor, s: int, u: int) -> None:
    """A batch has ended as a whole: what has not ended with it was never in it, and still waits."""
    unit = f.state.stations[s].units[u]
    if unit.ended != f.t or f.topology.plant.stations[s].batch is None:
        return
    for part in [p for p in unit.parts if not p.done and unit.started < f.t]:
        take_out(f, s, u, part)
        part.since = f.t
        f.state.stations[s].queue.insert(0, part)
        f.state.stations[s].started -= 1
        count(f.state, "not_in_batch")
    unload(f, s, u)


def end(f: Floor, s: int, u: int, product: int | None, step: int | None = None, *, hold: bool = False) -> None:
    """A part of unit `u` of station `s` ends its work; when all have, they go on, or stay where there is no room (or
    `hold`).
    """
    station = f.state.stations[s]
    unit = station.units[u]
    part = undone(unit, product, step)
    if part is None:
        part = _never_started(f, s, u, product, step)
    elif product is not None and part.product != product:
        swap(f, s, part, [*(p for p in unit.parts if not p.done), *station.queue], product)
    if unit.state in (DOWN, SETUP):
        set_state(f, s, u, WORK)
    if unit.ended != f.t or not any(p.done for p in unit.parts):
        _operation(f, s, unit)
    station.ended += 1
    station.ended_of[part.product] += 1
    if not f.sure:
        plant = f.topology.plant
        thing, name = plant.stations[s].id, plant.products[part.product].id
        guess(f.state, counter_key(f.topology, thing, "work_end", u + 1, name))
    unit.ended, unit.family = f.t, f.topology.family[part.product]
    target = f.topology.likely[part.product][part.step]
    part.alts = list(f.topology.alts[part.product][part.step])
    part.came, part.moved = s, f.t
    part.step, part.done = target, True
    if hold and target >= 0:
        set_state(f, s, u, BLOCKED)
    else:
        unload(f, s, u)


def _never_started(f: Floor, s: int, u: int, product: int | None, step: int | None) -> Part:
    """The part that ends although its start was not seen: it has been in the unit all the same."""
    unit = f.state.stations[s].units[u]
    count(f.state, "inferred_starts")
    with made_up(f):
        if unit.parts and unit.ended == f.t and len(unit.parts) < most(f, s):
            part = _take(f, s, product, step)
            unit.parts.append(part)
            f.state.stations[s].started += 1
        else:
            start(f, s, u, product, step)
    found = undone(unit, product, step)
    assert found is not None, "a part has just been put into the unit"
    return found


def _operation(f: Floor, s: int, unit: Unit) -> None:
    """An operation has ended (a batch is one): clocks that count operations go on."""
    if f.topology.clocks[s]:
        for mode in f.topology.plant.stations[s].modes:
            if mode.clock == "parts":
                unit.ages[mode.id] = unit.ages.get(mode.id, 0) + 1


def unload(f: Floor, s: int, u: int, *, force: bool = False) -> None:
    """When all that a unit holds has ended: its parts go on in their order, as far as there is room (or `force`)."""
    unit = f.state.stations[s].units[u]
    while unit.parts and (force or unit.done) and unit.parts[0].done:
        part = unit.parts[0]
        gone = part.step < 0
        if not gone and not force and not f.room(f.topology.at[part.product][part.step]):
            set_state(f, s, u, BLOCKED)
            return
        take_out(f, s, u, part)
        if gone:
            leave(f, part, part.step)
        else:
            join(f, part, part.step)
        drain(f, s)


def hold_back(f: Floor, s: int, u: int, head: int) -> None:
    """The part that station `s` last handed to `head`, in its unit `u` all the time: there was no room for it."""
    station = f.state.stations[head]
    part = next((p for p in reversed(station.queue) if p.came == s), None)
    if part is not None:
        drop(station.queue, part)
    else:
        found = [(p.moved, -i) for i, unit in enumerate(station.units) for p in unit.parts if p.came == s]
        if not found:
            return
        i = -max(found)[1]
        part = take_out(f, head, i, station.units[i].parts[0])
        station.started -= 1
    part.done = True
    f.state.stations[s].units[u].parts.append(part)


def join(f: Floor, part: Part, step: int) -> None:
    """Put a part at the tail of the queue of its step's station; start it where no sensor would tell."""
    part.step, part.since, part.done = step, f.t, False
    s = f.topology.at[part.product][step]
    f.state.stations[s].queue.append(part)
    if not f.starts_seen(s):
        auto_start(f, s)


def auto_start(f: Floor, s: int) -> None:
    """Free units of a station without sensors take what is ready: parts do not lie beside an idle machine."""
    for u, unit in enumerate(f.state.stations[s].units):
        if not unit.parts and unit.state not in (OFF, DOWN):
            for part in ready(f, s):
                start(f, s, u, part.product, part.step)


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
            part = take_out(f, other, u, f.state.stations[other].units[u].parts[0])
            join(f, part, part.step)
            unload(f, other, u)
            todo.append(other)


def leave(f: Floor, part: Part, target: int) -> None:
    """A part is finished (its stock receives it) or scrapped."""
    meters = f.state.meters
    if target == SCRAP:
        meters.scrapped[part.product] += 1
    else:
        meters.finished[part.product] += 1
        k = f.topology.fills[part.product]
        if k >= 0 and f.counts(k):
            supply.receive(f.topology, f.state, k, 1)
    f.state.wip[part.product] -= 1
    part.done = False
    if part.alts:
        part.step = target
        f.state.lately = [*f.state.lately[-LATELY + 1 :], part]


def release(f: Floor, product: int, *, seen: bool) -> Part:
    """A new part enters the line; it takes what it consumes from stock. Not put into a queue yet."""
    f.state.meters.released[product] += 1
    f.state.wip[product] += 1
    for k, n in f.topology.consumes[product]:
        if f.counts(k):
            supply.take(f.state.stocks[k], n)
    return Part(product=product, step=0, born=f.t, since=f.t, guess=not seen)


def released_before(f: Floor, product: int, n: int) -> None:
    """`n` parts that had to appear had been released, as is counted now."""
    f.state.meters.released[product] += n
    count(f.state, "appeared", -n)
    for k, each in f.topology.consumes[product]:
        if "on_hand" not in f.state.stocks[k].measured_t:
            supply.take(f.state.stocks[k], n * each)


def scrap(f: Floor, s: int, product: int | None, u: int | None = None) -> None:
    """The part that last left `s` (of `product`) was scrapped there, wherever it was believed to have gone; or the one
    that a failure has spoilt.
    """
    units = f.state.stations[s].units
    found = _spoilt(f, s, u, product) if u is not None else None
    if found is None:
        found = search.recall(f, SCRAP, s, product)
    for i, unit in enumerate(units):
        part = next((p for p in unit.parts if product in (None, p.product)), None)
        if found is None and part is not None and u in (None, i):
            found = take_out(f, s, i, part)
    if found is None:
        count(f.state, "unplaced_scrap")
        return
    found.alts = []
    leave(f, found, SCRAP)


def _spoilt(f: Floor, s: int, u: int, product: int | None) -> Part | None:
    """A part in a unit that is down for a failure that scraps the work in hand."""
    unit = f.state.stations[s].units[u]
    mode = mode_of(f.topology, s, unit)
    if unit.state != DOWN or mode is None or mode.part != "scrapped":
        return None
    part = undone(unit, product)
    if part is None:
        return None
    drop(unit.parts, part)  # the unit stays down
    unit.family = f.topology.family[part.product]
    return part


def find_elsewhere(f: Floor, s: int, product: int | None, *, ghost: bool = True) -> Part | None:
    """A part for station `s` that is not in its queue: blocked before it, in a station without sensors, on another
    branch, newly released, or (with `ghost`) one that appears. Returned with its step set, in no queue.
    """
    waiting = blocked_for(f, s, product)
    if waiting is not None:
        other, u = waiting
        return take_out(f, other, u, f.state.stations[other].units[u].parts[0])
    found = search.from_unseen(f, s, product)
    if found is not None:
        auto_start(f, found.came)
        return found
    found = search.other_branch(f, s, product)
    if found is not None:
        return found
    choice = search.likely_product(f, s) if product is None else product
    step = next((k for p, k in f.topology.into[s] if p == choice), None)
    if step is None:
        return None
    if step == 0 and not _release_seen(f, choice):
        return release(f, choice, seen=product is not None)
    if not ghost:
        return None
    if step == 0:
        guess(f.state, release_key(f.topology, f.topology.plant.products[choice].id))
    return appear(f, choice, step)


def _release_seen(f: Floor, product: int) -> bool:
    return f"=in/{f.topology.plant.products[product].id}" in f.state.channels


def _take(f: Floor, s: int, product: int | None, step: int | None = None, u: int = 0) -> Part:
    queue = f.state.stations[s].queue
    fits = [part for part in queue if product is None or part.product == product]
    exact = [part for part in fits if step is None or part.step == step]
    for part in [*exact, *fits][:1]:
        other = dispatch.passed_over(f, s, u, part) if product is not None else None
        if other is not None:
            drop(queue, other)
            relabel(f, s, other, part.product)
            other.step = part.step
            return other
        drop(queue, part)
        if product is not None:
            dispatch.hand_on(queue, part)
        return part
    if queue and product is not None and blocked_for(f, s, product) is None:
        # a number of parts is surer than their names: one in the queue was taken for another product
        part = next((p for p in queue if p.guess), queue[0])
        drop(queue, part)
        relabel(f, s, part, product)
        return part
    found = find_elsewhere(f, s, product)
    assert found is not None, "a station is reached by at least one step"
    return found


def give_up(f: Floor, s: int, part: Part) -> None:
    """A part in the queue of `s` that cannot be there."""
    drop(f.state.stations[s].queue, part)
    vanish(f, part)
