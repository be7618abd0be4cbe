"""Members of the ensemble for a stretch of stations that no sensor sees: how one moves by itself, and how what was
seen is imposed on it.

A member is a row of floats: log weight, parts that the stations before hold for want of room, parts made up, the queues
(the last one is that of the station behind the stretch), then four numbers for each unit: phase (-1: no such unit), is
it down, ms worked on the part, ms on the clock of the failure (of the repair while it is down). No residual is kept:
given the ages, residuals depend on nothing that was seen, so each step draws them anew, conditionally.

A completion that would be seen is never drawn. That it has not happened multiplies the weight with the survival
function, that it happens now with the hazard rate (derivation: docs/twin.md, "Hidden state").
"""

from __future__ import annotations

import math
from typing import Any

from sim.jit import entry, rule
from twin.hidden_durations import hazard, longer, residual, uniform

STATIONS, UNITS, EXIT, ENTRY, WILLING, LEAST, MOST, LEVEL, DELTA, REACTED, SPARE, HEAD = range(12)
"""Positions in the settings of a stretch; from `HEAD` on: places of each queue, units and clock of each station.
`LEAST` and `MOST`: how many units before the stretch are seen to be blocked; `LEVEL`: the last queue as sensed (-1: not
sensed); `DELTA`: ms within which two things count as one moment; `REACTED`: log probability that a free unit behind the
stretch has left a part waiting, or (`serve`) that it takes it only now; `SPARE`: units behind it that were free before
this moment."""
UNSEEN, STATION, COUNTED = range(3)
"""What is behind the stretch: nothing is seen; a station whose starts are seen; a counter of its completions."""
SATURATED = 1
"""`ENTRY`: there is always one more part before the first station."""
NO_CLOCK, ODF, TDF = range(3)
LOGW, HELD, DEBT, QUEUES = range(4)
PHASE, DOWN, AGE, CLOCK, FIELDS = range(5)
FREE, WORKS, HOLDS = range(3)
WORK, FAIL, REPAIR = range(3)
FORCED, CREATED, ODD_LEVEL = 14.0, 20.0, 3.0
"""Log weights lost by a member in which a part had to be moved along, or made up, or whose queue is not as sensed, by
part."""
MISMATCH_MS = 2_000.0
"""How fast a member dies that has other units blocked than are seen (their sensors are some seconds late)."""
MOST_ADDED = 50
"""Parts put in at once where units before the stretch are seen to be blocked and a member has room for them."""


@rule
def unit_at(cfg: Any, k: int, c: int) -> int:
    """Column of unit `c` of station `k`."""
    return QUEUES + int(cfg[STATIONS]) + 1 + (k * int(cfg[UNITS]) + c) * FIELDS


@rule
def station_of(cfg: Any, u: int) -> int:
    """Station of the unit at column `u`."""
    return (u - QUEUES - int(cfg[STATIONS]) - 1) // (int(cfg[UNITS]) * FIELDS)


@rule
def clock_of(cfg: Any, k: int) -> int:
    return int(cfg[HEAD + 2 * int(cfg[STATIONS]) + 1 + k])


@rule
def has_room(mem: Any, i: int, cfg: Any, k: int) -> bool:
    """May one more part come to queue `k`? Free units count as places."""
    n = int(cfg[STATIONS])
    free = cfg[WILLING] if k == n else 0.0
    if k < n:
        for c in range(int(cfg[UNITS])):
            u = unit_at(cfg, k, c)
            free += mem[i, u + PHASE] == FREE and mem[i, u + DOWN] == 0.0
    return mem[i, QUEUES + k] < cfg[HEAD + k] + free


@rule
def moves_on(mem: Any, i: int, cfg: Any, k: int) -> bool:
    """Would a part that ends at station `k` leave its unit?"""
    if k == int(cfg[STATIONS]) - 1 and cfg[EXIT] != STATION:
        return True
    return has_room(mem, i, cfg, k + 1)


@rule
def stuck_below(mem: Any, i: int, cfg: Any, k: int) -> bool:
    """Would room at station `k` be room all the way up, for a part that is held before the stretch?"""
    if mem[i, HELD] <= 0.0:
        return False
    for j in range(k):
        stuck = False
        for c in range(int(cfg[UNITS])):
            u = unit_at(cfg, j, c)
            stuck = stuck or (mem[i, u + PHASE] == HOLDS and mem[i, u + DOWN] == 0.0)
        if not stuck:
            return False
    return True


@rule
def frees(mem: Any, i: int, cfg: Any, k: int) -> bool:
    """Would an end at station `k` make room all the way up?"""
    return moves_on(mem, i, cfg, k) and stuck_below(mem, i, cfg, k)


@rule
def shows(mem: Any, i: int, cfg: Any, k: int) -> bool:
    """Would an end at station `k` be seen?"""
    n = int(cfg[STATIONS])
    if k == n - 1:
        if cfg[EXIT] == COUNTED:
            return True
        if cfg[EXIT] == STATION:
            if cfg[WILLING] > 0.0 and mem[i, QUEUES + n] == 0.0:
                return True
            if cfg[LEVEL] >= 0.0 and has_room(mem, i, cfg, n):
                return True
    return cfg[LEAST] > 0.0 and frees(mem, i, cfg, k)


@rule
def repair_shows(mem: Any, i: int, cfg: Any, u: int) -> bool:
    """Would the end of the repair of unit `u` be seen, because a part can go on, or one can come?"""
    k = station_of(cfg, u)
    if mem[i, u + PHASE] == HOLDS:
        return shows(mem, i, cfg, k)
    return mem[i, u + PHASE] == FREE and cfg[LEAST] > 0.0 and stuck_below(mem, i, cfg, k)


@rule
def hand_over(mem: Any, i: int, cfg: Any, k: int) -> bool:
    """Parts held at station `k` go on as far as there is room; whether any did."""
    n, moved = int(cfg[STATIONS]), False
    for c in range(int(cfg[UNITS])):
        u = unit_at(cfg, k, c)
        if mem[i, u + PHASE] == HOLDS and mem[i, u + DOWN] == 0.0 and moves_on(mem, i, cfg, k):
            if k < n - 1 or cfg[EXIT] == STATION:
                mem[i, QUEUES + k + 1] += 1.0
            mem[i, u + PHASE] = FREE
            moved = True
    return moved


@rule
def begin(mem: Any, i: int, cfg: Any, k: int) -> bool:
    """Free units of station `k` take what waits; whether any did."""
    moved = False
    for c in range(int(cfg[UNITS])):
        u = unit_at(cfg, k, c)
        if mem[i, u + PHASE] == FREE and mem[i, u + DOWN] == 0.0 and mem[i, QUEUES + k] > 0.0:
            mem[i, QUEUES + k] -= 1.0
            mem[i, u + PHASE], mem[i, u + AGE] = WORKS, 0.0
            moved = True
    return moved


@rule
def settle(mem: Any, i: int, cfg: Any) -> None:
    """All that follows at once from what has happened: from the end of the stretch to its beginning, until nothing
    moves.
    """
    moved = True
    while moved:
        moved = False
        for j in range(int(cfg[STATIONS])):
            k = int(cfg[STATIONS]) - 1 - j
            moved = hand_over(mem, i, cfg, k) or moved
            moved = begin(mem, i, cfg, k) or moved
        if mem[i, HELD] > 0.0 and has_room(mem, i, cfg, 0):
            mem[i, HELD] -= 1.0
            mem[i, QUEUES] += 1.0
            moved = True
        if cfg[ENTRY] == SATURATED and mem[i, QUEUES] == 0.0:
            mem[i, QUEUES] = 1.0
            moved = True


@rule
def runs(mem: Any, i: int, u: int, clock: int) -> bool:
    """Does the clock of a unit's failure (its repair while it is down) run?"""
    if mem[i, u + DOWN] > 0.0:
        return True
    return clock == TDF or (clock == ODF and mem[i, u + PHASE] == WORKS)


@rule
def strike(mem: Any, i: int, u: int) -> None:
    """A unit goes down, or is up again: its clock begins anew."""
    mem[i, u + DOWN] = 1.0 - mem[i, u + DOWN]
    mem[i, u + CLOCK] = 0.0


@rule
def first_unseen(mem: Any, i: int, cfg: Any, tab: Any, rng: Any, until: float) -> tuple[float, int]:
    """What happens first in member `i` without being seen, within `until` ms: (when, twice the column of the unit, plus
    one for the end of its work); -1 when nothing does.
    """
    best, which = until, -1
    for k in range(int(cfg[STATIONS])):
        seen, clock = shows(mem, i, cfg, k), clock_of(cfg, k)
        for c in range(int(cfg[UNITS])):
            u = unit_at(cfg, k, c)
            if mem[i, u + PHASE] < 0.0:
                continue
            if mem[i, u + PHASE] == WORKS and mem[i, u + DOWN] == 0.0 and not seen:
                left = residual(tab, 3 * k + WORK, mem[i, u + AGE], rng)
                if left < best:
                    best, which = left, 2 * u + 1
            if runs(mem, i, u, clock) and not (mem[i, u + DOWN] > 0.0 and repair_shows(mem, i, cfg, u)):
                what = REPAIR if mem[i, u + DOWN] > 0.0 else FAIL
                left = residual(tab, 3 * k + what, mem[i, u + CLOCK], rng)
                if left < best:
                    best, which = left, 2 * u
    return best, which


@rule
def grow_older(mem: Any, i: int, cfg: Any, tab: Any, dt: float) -> None:
    """All that runs in member `i` has lasted `dt` ms longer; what would have been seen to end has not."""
    for k in range(int(cfg[STATIONS])):
        seen, clock = shows(mem, i, cfg, k), clock_of(cfg, k)
        for c in range(int(cfg[UNITS])):
            u = unit_at(cfg, k, c)
            if mem[i, u + PHASE] < 0.0:
                continue
            if runs(mem, i, u, clock):
                age = mem[i, u + CLOCK]
                if mem[i, u + DOWN] > 0.0 and repair_shows(mem, i, cfg, u):
                    mem[i, LOGW] += longer(tab, 3 * k + REPAIR, age + dt) - longer(tab, 3 * k + REPAIR, age)
                mem[i, u + CLOCK] = age + dt
            if mem[i, u + PHASE] == WORKS and mem[i, u + DOWN] == 0.0:
                age = mem[i, u + AGE]
                if seen:
                    mem[i, LOGW] += longer(tab, 3 * k + WORK, age + dt) - longer(tab, 3 * k + WORK, age)
                mem[i, u + AGE] = age + dt
    if mem[i, HELD] < cfg[LEAST] or mem[i, HELD] > cfg[MOST]:
        mem[i, LOGW] -= dt / MISMATCH_MS


@rule
def travel(mem: Any, i: int, cfg: Any, tab: Any, rng: Any, dt: float) -> None:
    """Member `i` goes on for `dt` ms in which nothing was seen."""
    while True:
        step, which = first_unseen(mem, i, cfg, tab, rng, dt)
        grow_older(mem, i, cfg, tab, step)
        dt -= step
        if which < 0:
            return
        u = which >> 1
        if which & 1:
            mem[i, u + PHASE] = HOLDS
        else:
            strike(mem, i, u)
        settle(mem, i, cfg)


@entry
def advance(mem: Any, cfg: Any, tab: Any, rng: Any, dt: float) -> None:
    """All members go on for `dt` ms in which nothing was seen."""
    n = int(cfg[STATIONS])
    for i in range(mem.shape[0]):
        rng[1], rng[3] = i, 0
        if cfg[EXIT] == STATION and cfg[WILLING] > 0.0 and mem[i, QUEUES + n] > 0.0:
            mem[i, LOGW] += cfg[REACTED]
        travel(mem, i, cfg, tab, rng, dt)


@rule
def rate(mem: Any, i: int, cfg: Any, tab: Any, u: int, upwards: bool) -> float:
    """Rate per ms at which unit `u` does what was seen: a part leaves the stretch or (`upwards`) room is made before
    it.
    """
    k = station_of(cfg, u)
    ends = frees(mem, i, cfg, k) if upwards else k == int(cfg[STATIONS]) - 1
    if mem[i, u + DOWN] == 0.0:
        return hazard(tab, 3 * k + WORK, mem[i, u + AGE]) if ends and mem[i, u + PHASE] == WORKS else 0.0
    comes = upwards and mem[i, u + PHASE] == FREE and stuck_below(mem, i, cfg, k)
    if comes or (ends and mem[i, u + PHASE] == HOLDS):
        return hazard(tab, 3 * k + REPAIR, mem[i, u + CLOCK])
    return 0.0


@rule
def stood_ready(mem: Any, i: int, cfg: Any) -> bool:
    """A part that stood ended in the last station, for want of room, has left it; whether there was one."""
    k = int(cfg[STATIONS]) - 1
    for c in range(int(cfg[UNITS])):
        u = unit_at(cfg, k, c)
        if mem[i, u + PHASE] == HOLDS and mem[i, u + DOWN] == 0.0:
            mem[i, u + PHASE] = FREE
            settle(mem, i, cfg)
            return True
    return False


@rule
def impose(mem: Any, i: int, cfg: Any, tab: Any, rng: Any, upwards: bool) -> bool:
    """What was seen happens now in member `i`, in one of the units that may have done it, in the ratio of their hazard
    rates; the weight takes their sum. Whether there was one.
    """
    if not upwards and stood_ready(mem, i, cfg):
        return True
    first, end, total = unit_at(cfg, 0, 0), unit_at(cfg, int(cfg[STATIONS]), 0), 0.0
    for u in range(first, end, FIELDS):
        total += rate(mem, i, cfg, tab, u, upwards)
    if total <= 0.0:
        return False
    left, chosen = uniform(rng) * total, -1
    for u in range(first, end, FIELDS):
        if left > 0.0:
            r = rate(mem, i, cfg, tab, u, upwards)
            left -= r
            chosen = u if r > 0.0 else chosen
    if mem[i, chosen + DOWN] > 0.0:
        strike(mem, i, chosen)
    elif upwards:
        mem[i, chosen + PHASE] = HOLDS
    if not upwards:
        mem[i, chosen + PHASE] = FREE
    mem[i, LOGW] += math.log(min(total * cfg[DELTA], 1.0))
    settle(mem, i, cfg)
    return True


@rule
def last_part(mem: Any, i: int, cfg: Any) -> bool:
    """Take the foremost part out of the stretch, wherever it stands; whether there was one."""
    n = int(cfg[STATIONS])
    for j in range(n):
        k = n - 1 - j
        for c in range(int(cfg[UNITS])):
            u = unit_at(cfg, k, c)
            if mem[i, u + PHASE] > FREE:
                mem[i, u + PHASE] = FREE
                settle(mem, i, cfg)
                return True
        if mem[i, QUEUES + k] > 0.0:
            mem[i, QUEUES + k] -= 1.0
            settle(mem, i, cfg)
            return True
    if mem[i, HELD] > 0.0:
        mem[i, HELD] -= 1.0
        return True
    return False


@rule
def push_out(mem: Any, i: int, cfg: Any, tab: Any, rng: Any) -> None:
    """A part has left the stretch now: the one that may have ended, else the foremost, else one made up."""
    if not impose(mem, i, cfg, tab, rng, False):
        if last_part(mem, i, cfg):
            mem[i, LOGW] -= FORCED
        else:
            mem[i, LOGW] -= CREATED
            mem[i, DEBT] += 1.0


@entry
def serve(mem: Any, cfg: Any, tab: Any, rng: Any, n: int) -> None:
    """`n` parts were seen to start behind the stretch, or were counted at its end (negative: they had not)."""
    last = QUEUES + int(cfg[STATIONS])
    for i in range(mem.shape[0]):
        rng[1], rng[3] = i, 0
        for j in range(n):
            settle(mem, i, cfg)
            if cfg[EXIT] == STATION and mem[i, last] > 0.0:
                mem[i, last] -= 1.0
                mem[i, LOGW] += cfg[REACTED] if j < cfg[SPARE] else 0.0
                settle(mem, i, cfg)
            else:
                push_out(mem, i, cfg, tab, rng)
        if n < 0 and cfg[EXIT] == STATION:
            mem[i, last] -= n
        settle(mem, i, cfg)


@entry
def sensed(mem: Any, cfg: Any, tab: Any, rng: Any, level: int) -> None:
    """The queue behind the stretch was seen to hold `level` parts: what it lacks has come now."""
    last = QUEUES + int(cfg[STATIONS])
    for i in range(mem.shape[0]):
        rng[1], rng[3] = i, 0
        while mem[i, last] < level and impose(mem, i, cfg, tab, rng, False):
            mem[i, last] += 1.0
        mem[i, LOGW] -= ODD_LEVEL * abs(mem[i, last] - level)


@entry
def arrive(mem: Any, cfg: Any, n: int) -> None:
    """`n` parts have come to the stretch; a count that goes up by several pays for parts that were made up."""
    for i in range(mem.shape[0]):
        known = min(max(mem[i, DEBT], 0.0), float(max(n - 1, 0)))
        mem[i, DEBT] -= known
        mem[i, HELD] += n - known
        settle(mem, i, cfg)


@entry
def unblock(mem: Any, cfg: Any, tab: Any, rng: Any) -> None:
    """Units before the stretch are seen to be blocked no longer: where they were believed to be, room is made now."""
    for i in range(mem.shape[0]):
        rng[1], rng[3] = i, 0
        while mem[i, HELD] > cfg[MOST] and impose(mem, i, cfg, tab, rng, True):
            pass


@entry
def rethink(mem: Any, cfg: Any) -> None:
    """What was seen is next to impossible in every member: in every second one a part is taken out or put in."""
    for i in range(1, mem.shape[0], 2):
        if mem[i, HELD] < cfg[LEAST]:
            for _ in range(MOST_ADDED):
                if mem[i, HELD] < cfg[LEAST]:
                    mem[i, HELD] += 1.0
                    mem[i, DEBT] += 1.0
                    settle(mem, i, cfg)
        elif mem[i, HELD] > cfg[MOST]:
            mem[i, HELD] -= 1.0
            mem[i, DEBT] -= 1.0
        elif last_part(mem, i, cfg):
            mem[i, DEBT] -= 1.0


@entry
def settle_all(mem: Any, cfg: Any) -> None:
    """Bring new members to rest."""
    for i in range(mem.shape[0]):
        settle(mem, i, cfg)
