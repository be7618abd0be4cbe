"""What physics says when sensors and counts disagree: bounds, levels, states; contradictions are named."""

from __future__ import annotations

from sim.plant import DONE, SCRAP
from twin import floor, moves, search
from twin.floor import Floor, drop
from twin.hidden_model import led, onward
from twin.model import BLOCKED, DOWN, FREE, IDLE, OFF, SETUP, STARVED, WORK, Contradiction, Part, Unit, count
from twin.supply import contradict
from twin.topology import setup_ms

PATIENCE_MS = 20_000
"""How long a unit's state may contradict the part it is believed to hold (sensors are some seconds late)."""
JUST_NOW_MS = 6_000
"""A level that rises so soon after a branch says which way the part went (sensors are some seconds late)."""
AGREE = 2
"""Level readings in a row that must differ by the same number before a fully counted queue is corrected."""
FORGET_MS = 1_800_000
"""A contradiction that has not come back for so long is no longer shown."""


def level(f: Floor, s: int, value: int, tag: str) -> None:
    """A level reading of the queue of station `s` (the sensor's own value)."""
    station = f.state.stations[s]
    station.level, station.level_t = value, f.t
    name = f.topology.plant.stations[s].id
    sees = [tag, *(f"{f.topology.plant.stations[i].id} counts" for i in sorted(f.topology.feeds[s]))]
    if not station.queue and floor.all_free(f, s) and not f.topology.patient[s]:
        station.bias = value if value in (station.bias, 0) else station.bias
        if value:
            what = f"queue of {name}: {tag} shows {value}, but its units are free and would take a part"
            contradict(f.state, f"bias/{name}", Contradiction(what, [tag, f"{name} state"], value, f.t, f.t))
            station.bias = value if station.misses >= 1 and station.miss_by == value else station.bias
            station.misses, station.miss_by = station.misses + 1, value
            return
    by = max(value - station.bias, 0) - len(station.queue)
    if by < 0 and station.refill:
        refill(f, s)  # the part that the level misses has moved into the unit that ended one at this moment
        by = max(value - station.bias, 0) - len(station.queue)
    while by > 0 and (part := search.other_branch(f, s, None, JUST_NOW_MS)) is not None:
        part.since = f.t
        station.queue.append(part)  # a branch that was taken just now
        by -= 1
    if by == 0:
        station.misses, station.suspect = 0, False
        return
    station.misses = station.misses + 1 if station.miss_by == by and station.misses else 1
    station.miss_by = by
    counted = (station.events or f.starts_seen(s)) and all(f.covered(i) for i in f.topology.feeds[s])
    if counted and not station.suspect:
        what = f"queue of {name}: {tag} shows {value}, the counts leave {len(station.queue)}"
        contradict(f.state, f"level/{name}", Contradiction(what, sees, by, f.t, f.t))
        if station.misses < AGREE:
            return
        count(f.state, "level_corrections")
    correct(f, s, by)
    station.misses, station.suspect = 0, False


def refill(f: Floor, s: int) -> None:
    """Units of which only the ends are counted, and that still say that they work, have taken their next part."""
    f.state.stations[s].refill = False
    for u, unit in enumerate(f.state.stations[s].units):
        if unit.said in (WORK, SETUP) and not unit.parts:
            moves.assume(f, s, u)


def correct(f: Floor, s: int, by: int) -> None:
    """Bring the queue of `s` to what was counted there: `by` parts more (or fewer, negative)."""
    places = f.places(s)
    queue = f.state.stations[s].queue
    for _ in range(by):
        if places is not None and len(queue) >= places:
            return
        part = moves.find_elsewhere(f, s, None)
        if part is None:
            return
        part.since = f.t
        queue.append(part)
    for _ in range(-by):
        if queue:
            _one_fewer(f, s, queue)


def _one_fewer(f: Floor, s: int, queue: list[Part]) -> None:
    for part in reversed(queue):
        if part.came >= 0 and not f.covered(part.came):
            drop(queue, part)
            _put_back(f, part)
            return
    for part in reversed(queue):
        open_alts = [k for k in part.alts if f.t - part.moved <= floor.RECALL_MS and _may_be(f, part, k)]
        if open_alts:
            drop(queue, part)
            _other_branch(f, part, open_alts[0])
            return
    if not f.state.stations[s].events and _took_more(f, s, queue):
        return
    free = floor.free_units(f, s)
    if free and not f.starts_seen(s):
        moves.start(f, s, free[0], None)
        return
    moves.give_up(f, s, next((p for p in reversed(queue) if p.guess), queue[-1]))


def _may_be(f: Floor, part: Part, target: int) -> bool:
    """May a part have gone this other way unseen? Not where scrap is counted or a level shows no more than believed."""
    if target == SCRAP:
        return "scrap" not in f.topology.sensed[part.came]
    if target == DONE:
        return True
    station = f.state.stations[f.topology.at[part.product][target]]
    return station.level is None or station.level - station.bias > len(station.queue)


def _took_more(f: Floor, s: int, queue: list[Part]) -> bool:
    """An oven that was only seen to work may have taken more than was thought."""
    for unit in f.state.stations[s].units:
        if unit.assumed and unit.parts and not unit.done and len(unit.parts) < floor.most(f, s):
            key = floor.batch_key(f, s, unit.parts[0])
            part = next((p for p in queue if floor.batch_key(f, s, p) == key), None)
            if part is not None:
                drop(queue, part)
                unit.parts.append(part)
                return True
    return False


def _put_back(f: Floor, part: Part) -> None:
    """A part believed to have left a station without sensors is still there."""
    s = part.came
    step = next((k for p, k in f.topology.into[s] if p == part.product), 0)
    part.step, part.came, part.alts = step, -1, []
    free = floor.free_units(f, s)
    station = f.state.stations[s]
    station.ended -= 1
    if free:
        station.units[free[0]].parts, station.units[free[0]].started = [part], f.t
        floor.set_state(f, s, free[0], WORK)
    else:
        station.queue.insert(0, part)


def _other_branch(f: Floor, part: Part, target: int) -> None:
    part.alts = []
    if target in (DONE, SCRAP):
        moves.leave(f, part, target)
    else:
        moves.join(f, part, target)


def bound(f: Floor, s: int) -> None:
    """No queue longer than its places: what is over has begun work, or does not exist."""
    places = f.places(s)
    station = f.state.stations[s]
    if places is None:
        return
    while len(station.queue) > places:
        free = [u for u in floor.free_units(f, s) if station.units[u].state != OFF]
        if free:
            moves.assume(f, s, free[0])
            continue
        name = f.topology.plant.stations[s].id
        what = f"queue of {name}: the counts leave {len(station.queue)} parts in {places} places"
        contradict(
            f.state, f"bound/{name}", Contradiction(what, [f"{name} counts"], len(station.queue) - places, f.t, f.t)
        )
        station.suspect = True
        moves.give_up(f, s, next((p for p in reversed(station.queue) if p.guess), station.queue[-1]))


def unit_state(f: Floor, s: int, u: int, code: int) -> None:
    """A state reading of one unit. Where events tell of starts and ends, it only gives the state; else it moves
    parts.
    """
    station = f.state.stations[s]
    unit = station.units[u]
    if unit.said == DOWN and unit.state != DOWN and code not in (DOWN, OFF):
        unit.worked, unit.age_known = 0, True
    unit.said, unit.seen, unit.measured = code, f.t, True
    if f.state.hidden and (head := onward(f.topology, f.state, s)) >= 0:
        _room_was_guessed(f, s, u, head)
    if not odd(f, s, unit, code):
        unit.odd = 0
        floor.set_state(f, s, u, code)
        return
    if station.events or (code in FREE and "out" in f.topology.sensed[s] and not unit.done and not unit.assumed):
        unit.odd = unit.odd or f.t
        return
    enforce(f, s, u)


def _room_was_guessed(f: Floor, s: int, u: int, head: int) -> None:
    """Whether there was room in stations without sensors was a guess: the unit that hands to them knows."""
    unit = f.state.stations[s].units[u]
    if unit.said in FREE and unit.done:
        moves.unload(f, s, u, force=True)
    elif unit.said == BLOCKED and not unit.parts:
        moves.hold_back(f, s, u, head)


def odd(f: Floor, s: int, unit: Unit, code: int) -> bool:
    """Does state `code` contradict what the unit is believed to hold?"""
    if (code == OFF and f.topology.freezes[s]) or (code == DOWN and f.topology.rests[s]):
        return False
    if code in FREE:
        return bool(unit.parts)
    if not unit.parts:
        return True
    return unit.done != (code == BLOCKED)


def enforce(f: Floor, s: int, u: int) -> None:
    """Make the believed parts agree with what the unit's state sensor says."""
    unit = f.state.stations[s].units[u]
    code, unit.odd = unit.said, 0
    moves.spare(f, s, u)
    if code in FREE:
        if unit.parts and not unit.done and unit.assumed:
            for part in reversed(unit.parts):
                part.since = f.t
                f.state.stations[s].queue.insert(0, part)
            unit.parts, unit.assumed = [], False
        elif unit.parts:
            moves.clear(f, s, u)
    elif code in (WORK, SETUP, DOWN):
        if unit.done:
            moves.unload(f, s, u, force=True)
        if not unit.parts:
            moves.assume(f, s, u)
    else:
        with moves.made_up(f):
            while not unit.done:
                moves.end(f, s, u, None, hold=True)
                if not unit.parts:
                    break
    floor.set_state(f, s, u, code)


def bound_all(f: Floor) -> None:
    """All queues but those whose parts follow an ensemble, which knows their places."""
    follows = led(f.topology, f.state)
    for s in range(len(f.state.stations)):
        if s not in follows:
            bound(f, s)


def tick(f: Floor) -> None:
    """Once a second of plant time: what has contradicted itself for too long is settled, old contradictions end."""
    follows = led(f.topology, f.state)
    for s, station in enumerate(f.state.stations):
        for u, unit in enumerate(station.units):
            if unit.odd and f.t - unit.odd > PATIENCE_MS and odd(f, s, unit, unit.said):
                name = f"{f.topology.plant.stations[s].id}/{u + 1}"
                holds = "no part" if not unit.parts else "a finished part" if unit.done else "a part at work"
                what = f"{name}: its state says otherwise than its counts, which leave {holds}"
                contradict(
                    f.state, f"state/{name}", Contradiction(what, [f"{name} state", f"{name} counts"], 1, f.t, f.t)
                )
                count(f.state, "state_corrections")
                enforce(f, s, u)
        if s in follows:
            continue
        if not f.covered(s):
            _let_run(f, s)
        elif station.queue:
            _missed_starts(f, s)
            _no_idle_beside_queue(f, s)
    bound_all(f)
    old = [key for key, c in f.state.contradictions.items() if f.t - c.t > FORGET_MS]
    for key in old:
        del f.state.contradictions[key]


def _missed_starts(f: Floor, s: int) -> None:
    """A unit whose state has never ceased to be at work, beside parts that could start: it has begun the next one."""
    long_ago = f.t - PATIENCE_MS
    for u, unit in enumerate(f.state.stations[s].units):
        works = unit.measured and unit.said in (WORK, SETUP) and not unit.parts and unit.since <= long_ago
        if works and unit.state in FREE and floor.ready(f, s, since=long_ago):
            moves.assume(f, s, u)
            floor.set_state(f, s, u, unit.said)
            count(f.state, "missed_starts")


def _no_idle_beside_queue(f: Floor, s: int) -> None:
    """A unit that has been free for a while proves that nothing waits in front of it."""
    station = f.state.stations[s]
    long_ago = f.t - PATIENCE_MS
    free = any(
        u.measured and u.said in (IDLE, STARVED) and not u.parts and u.seen <= long_ago and u.since <= long_ago
        for u in station.units
    )
    if not free or f.topology.plant.stations[s].operators is not None:
        return
    name = f.topology.plant.stations[s].id
    while ghosts := floor.ready(f, s, since=long_ago):
        what = f"queue of {name}: the counts leave {len(station.queue)}, but a unit is free and would take a part"
        contradict(f.state, f"idle/{name}", Contradiction(what, [f"{name} counts", f"{name} state"], 1, f.t, f.t))
        moves.give_up(f, s, ghosts[-1])


def _let_run(f: Floor, s: int) -> None:
    """A station whose ends nobody sees, and of which there is no ensemble, ends its parts at the mean work time, until
    neighbours tell otherwise.
    """
    for u, unit in enumerate(f.state.stations[s].units):
        if not unit.parts or unit.done or unit.state in (DOWN, OFF):
            continue
        first = unit.parts[0]
        before = setup_ms(f.topology, s, unit.family, f.topology.family[first.product])
        if f.t - unit.started >= before and unit.state == SETUP and not unit.measured:
            floor.set_state(f, s, u, WORK)
        if f.t - unit.started >= before + f.topology.mean_ms[first.product][first.step]:
            for _ in range(len(unit.parts)):
                moves.end(f, s, u, None)
            moves.auto_start(f, s)
