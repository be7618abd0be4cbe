"""Rules of work units: phases, work, ending work and handing parts on (docs/kernel.md, Units)."""

from __future__ import annotations

from sim import state as st
from sim.draws import ROUTE, SCRAP_DRAW, WORK, draw, quantile
from sim.jit import leaf, rare, shared
from sim.plant import DONE, SCRAP
from sim.rules_base import (
    change_wip,
    choose,
    is_open,
    of_product,
    of_station,
    of_step,
    of_unit,
    part_at,
    product_at,
    scaled,
    set_state,
    station_at,
    timer,
    unit_at,
    upper,
    wake,
    wake_group,
    wake_listed,
)
from sim.rules_clock import run_clocks
from sim.rules_queue import choice_at, enqueue, pick_station
from sim.rules_supply import receive
from sim.state import Array


@leaf
def open_station(row: Array, p: Array, s: int) -> bool:
    return is_open(row, p, p[of_station(p, s) + st.ST_CALENDAR])


@leaf
def free_state(row: Array, p: Array, s: int) -> int:
    """State of a unit of `s` without a part: off, blocked (barred), idle (a decision holds work back) or starved."""
    z = station_at(p, s)
    if not open_station(row, p, s):
        state = st.OFF
    elif row[z + st.ST_BARRED] == 1:
        state = st.BLOCKED
    elif row[z + st.ST_HELD] > 0:
        state = st.IDLE
    else:
        state = st.STARVED
    return state


@rare
def show_free_state(row: Array, p: Array, s: int) -> None:
    """Derive the state of the units of `s` without a part again."""
    a = of_station(p, s)
    new = free_state(row, p, s)
    for u in range(p[a + st.FIRST_UNIT], p[a + st.FIRST_UNIT] + p[a + st.UNIT_TOTAL]):
        w = unit_at(p, u)
        if row[w + st.UNIT_PHASE] == st.FREE and row[w + st.UNIT_MODE] < 0 and row[w + st.UNIT_STATE] != new:
            set_state(row, p, u, s, new)


@leaf
def become_free(row: Array, p: Array, u: int, s: int) -> None:
    """Unit `u` of station `s`, up and without a part, is free, or off."""
    row[unit_at(p, u) + st.UNIT_PHASE] = st.FREE
    new = free_state(row, p, s)
    if new != st.OFF:
        row[station_at(p, s) + st.ST_FREE] += 1
    set_state(row, p, u, s, new)


@leaf
def is_frozen(row: Array, p: Array, s: int) -> bool:
    """Do units of `s` that are in setup or work stand still now?"""
    return p[of_station(p, s) + st.FREEZES] == 1 and not open_station(row, p, s)


# --- work ---------------------------------------------------------------------------------------------------------


@leaf
def work_ticks(row: Array, p: Array, u: int, s: int) -> int:
    """Draw the work time of the operation of unit `u`."""
    w = unit_at(p, u)
    a = part_at(p, row[w + st.UNIT_PART])
    step = row[a + st.PART_STEP]
    table = p[of_step(p, step) + st.STEP_TABLE]
    if p[of_step(p, step) + st.CHOICES_END] - p[of_step(p, step) + st.CHOICES_AT] > 4:
        table = p[choice_at(p, s, step) + 1]
    scale = row[station_at(p, s) + st.WORK_SCALE]
    entity = p[of_unit(p, u) + st.UNIT_ENTITY]
    pieces = p[of_product(p, row[a + st.PART_PRODUCT]) + st.TRANSFER]
    ticks = 0
    if p[table] == 0:
        ticks = pieces * scaled((p[table + 1] + 128) >> 8, scale)
    else:
        while True:
            ticks += scaled(quantile(p, table, draw(row, w + st.UNIT_DRAWS + 2 * WORK, entity, WORK)), scale)
            pieces -= 1
            if pieces == 0:
                break
    condition = p[of_station(p, s) + st.CONDITION_AT]
    if condition >= 0:
        ticks = scaled(ticks, p[condition + 4 * row[w + st.UNIT_LEVEL] + 2])
    return ticks


@leaf
def begin_work(row: Array, p: Array, u: int, s: int) -> None:
    row[unit_at(p, u) + st.UNIT_PHASE] = st.IN_WORK
    set_state(row, p, u, s, st.WORKING)
    row[timer(p, u)] = row[st.NOW] + work_ticks(row, p, u, s)
    run_clocks(row, p, u)


@leaf
def next_step(row: Array, p: Array, u: int, step: int) -> int:
    """Draw where a part of unit `u` goes after `step`: a global step index, DONE or SCRAP."""
    a = of_step(p, step)
    stream = unit_at(p, u) + st.UNIT_DRAWS + 2 * ROUTE
    return p[
        choose(row, p, p[a + st.ROUTE_AT], p[a + st.ROUTE_END], stream, p[of_unit(p, u) + st.UNIT_ENTITY], ROUTE) + 1
    ]


@rare
def first_mate(row: Array, p: Array, pool: int) -> int:
    """Of the stations that wait for operators of a pool the one that comes first in (priority, asked, rank); -1."""
    a = p[st.TO_POOLS] + st.POOL_PW * pool
    best = -1
    for i in range(p[a + st.MATES_AT], p[a + st.MATES_END]):
        s = p[i]
        asked = row[station_at(p, s) + st.ST_ASKED]
        if asked >= 0 and (best < 0 or comes_before(row, p, s, asked, best)):
            best = s
    return best


@leaf
def comes_before(row: Array, p: Array, s: int, asked: int, other: int) -> bool:
    """Does station `s`, waiting since `asked`, come before the waiting station `other`?"""
    mine = p[of_station(p, s) + st.ST_PRIORITY]
    its = p[of_station(p, other) + st.ST_PRIORITY]
    since = row[station_at(p, other) + st.ST_ASKED]
    before = mine < its
    if mine == its:
        before = asked < since or (asked == since and s < other)
    return before


@rare
def give_operators_back(row: Array, p: Array, s: int) -> None:
    """A unit of `s` no longer needs its operators; its own station asks before they are offered to others."""
    a = of_station(p, s)
    row[p[st.AT_POOLS] + p[a + st.ST_POOL]] += p[a + st.ST_PEOPLE]
    wake(row, p, s)


@rare
def give_place_back(row: Array, p: Array, part: int) -> None:
    """A part no longer needs the place it had reserved (before_service)."""
    a = part_at(p, part)
    d = row[a + st.PART_DEST]
    if d >= 0:
        row[station_at(p, d) + st.ST_RESERVED] -= 1
        row[a + st.PART_DEST] = st.NOBODY
        wake(row, p, d)
        wake_listed(row, p, p[of_station(p, d) + st.FEEDERS_AT], p[of_station(p, d) + st.FEEDERS_END], 0)


@leaf
def free_record(row: Array, p: Array, part: int) -> None:
    a = part_at(p, part)
    row[a + st.PART_PRODUCT] = 0
    row[a + st.PART_STEP] = 0
    row[a + st.PART_RELEASE] = 0
    row[a + st.PART_DUE] = 0
    row[a + st.PART_QUEUED] = 0
    row[a + st.PART_TARGET] = 0
    row[a + st.PART_DEST] = 0
    row[a + st.PART_NEXT] = row[st.PART_FREE]
    row[st.PART_FREE] = part


@leaf
def leave_line(row: Array, p: Array, part: int, target: int) -> None:
    """The part is finished or scrapped."""
    a = part_at(p, part)
    product = row[a + st.PART_PRODUCT]
    q = product_at(p, product)
    pieces = p[of_product(p, product) + st.TRANSFER]
    change_wip(row, p, product, -pieces)
    if target == DONE:
        row[q + st.FINISHED] += pieces
        row[q + st.FLOW_SUM] += pieces * (row[st.NOW] - row[a + st.PART_RELEASE])
        if row[st.NOW] > row[a + st.PART_DUE]:
            row[q + st.TARDY] += pieces
            row[q + st.TARDY_SUM] += pieces * (row[st.NOW] - row[a + st.PART_DUE])
        k = p[of_product(p, product) + st.PRODUCT_STOCK]
        if k >= 0:
            receive(row, p, k, pieces)
    else:
        row[q + st.SCRAPPED] += pieces
    wake_group(row, p, product)
    free_record(row, p, part)


@leaf
def join(row: Array, p: Array, head: int, u: int) -> None:
    """Unit `u` joins the list of blocked units at `row[head]`, ordered by (tick of asking, unit)."""
    row[unit_at(p, u) + st.UNIT_ASKED] = row[st.NOW]
    previous = st.NOBODY
    v = row[head]
    while v >= 0 and (row[unit_at(p, v) + st.UNIT_ASKED] < row[st.NOW] or v < u):
        previous = v
        v = row[unit_at(p, v) + st.UNIT_LINK]
    row[unit_at(p, u) + st.UNIT_LINK] = v
    if previous < 0:
        row[head] = u
    else:
        row[unit_at(p, previous) + st.UNIT_LINK] = u


@leaf
def leave(row: Array, p: Array, head: int) -> int:
    """Take the first unit out of the list at `row[head]`."""
    u = row[head]
    w = unit_at(p, u)
    row[head] = row[w + st.UNIT_LINK]
    row[w + st.UNIT_LINK] = st.NOBODY
    row[w + st.UNIT_ASKED] = 0
    return u


@leaf
def pop_part(row: Array, p: Array, u: int) -> int:
    """Take the first part out of unit `u`."""
    w = unit_at(p, u)
    part = row[w + st.UNIT_PART]
    row[w + st.UNIT_PART] = row[part_at(p, part) + st.PART_NEXT]
    row[w + st.UNIT_COUNT] -= 1
    return part


@leaf
def wake_around(row: Array, p: Array, s: int) -> None:
    """A unit of `s` is free, or holds fewer parts: wakes the station and, under before_service, its feeders."""
    wake(row, p, s)
    if p[st.BEFORE_SERVICE] == 1:
        wake_listed(row, p, p[of_station(p, s) + st.FEEDERS_AT], p[of_station(p, s) + st.FEEDERS_END], 0)


@leaf
def destination(row: Array, p: Array, s: int, part: int) -> int:
    """The station that takes an ended part of a unit of `s` now, or -1: its reserved one, else one with room."""
    a = part_at(p, part)
    d = row[a + st.PART_DEST]
    if d >= 0:
        row[station_at(p, d) + st.ST_RESERVED] -= 1
        row[a + st.PART_DEST] = st.NOBODY
    else:
        d = pick_station(row, p, row[a + st.PART_STEP], s)
    return d


@leaf
def send_on(row: Array, p: Array, u: int, s: int) -> int:
    """Send the ended parts of unit `u` on, as far as there is room for them; without parts it is free.

    The station that took the last one, or -1, is left to be woken by the caller, as is the unit's own station.
    """
    w = unit_at(p, u)
    taker = st.NOBODY
    while row[w + st.UNIT_PART] >= 0:
        if taker >= 0:
            wake(row, p, taker)
            taker = st.NOBODY
        part = row[w + st.UNIT_PART]
        target = row[part_at(p, part) + st.PART_STEP]
        if target < 0:
            pop_part(row, p, u)
            if target == SCRAP:
                row[station_at(p, s) + st.SPOILT] += 1
            leave_line(row, p, part, target)
        else:
            d = destination(row, p, s, part)
            if d < 0:
                if row[w + st.UNIT_STATE] != st.BLOCKED:
                    set_state(row, p, u, s, st.BLOCKED)
                join(row, p, p[st.AT_DOORS] + p[of_step(p, target) + st.STEP_DOOR], u)
                break
            pop_part(row, p, u)
            enqueue(row, p, d, part)
            taker = d
    if row[w + st.UNIT_PART] < 0:
        become_free(row, p, u, s)
    return taker


@leaf
def unload(row: Array, p: Array, u: int, s: int) -> None:
    """Send the ended parts of unit `u` on and wake whom that concerns."""
    parts = row[unit_at(p, u) + st.UNIT_COUNT]
    taker = send_on(row, p, u, s)
    if parts == 0 or row[unit_at(p, u) + st.UNIT_COUNT] < parts:
        wake_around(row, p, s)
    if taker >= 0:
        wake(row, p, taker)


# --- the end of an operation --------------------------------------------------------------------------------------


@rare
def is_spoilt(row: Array, p: Array, u: int, share: int) -> bool:
    """Does the condition of unit `u` spoil a part? `share`: probability in 2^-32."""
    stream = unit_at(p, u) + st.UNIT_DRAWS + 8
    return upper(draw(row, stream, p[of_unit(p, u) + st.UNIT_ENTITY], SCRAP_DRAW)) < share


@shared
def decide_next(row: Array, p: Array, u: int, s: int, part: int) -> None:
    """The part's next step (or DONE, SCRAP) becomes its step."""
    a = part_at(p, part)
    condition = p[of_station(p, s) + st.CONDITION_AT]
    spoilt = False
    if condition >= 0:
        share = p[condition + 4 * row[unit_at(p, u) + st.UNIT_LEVEL] + 3]
        spoilt = share > 0 and is_spoilt(row, p, u, share)
    if spoilt:
        give_place_back(row, p, part)
        row[a + st.PART_STEP] = SCRAP
        row[a + st.PART_TARGET] = st.UNDRAWN
    elif row[a + st.PART_TARGET] != st.UNDRAWN:
        row[a + st.PART_STEP] = row[a + st.PART_TARGET]
        row[a + st.PART_TARGET] = st.UNDRAWN
    else:
        row[a + st.PART_STEP] = next_step(row, p, u, row[a + st.PART_STEP])
