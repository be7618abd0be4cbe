"""Rules of work units: phases, clocks, going down and up, ending work (docs/kernel.md, Units)."""

from __future__ import annotations

from sim import state as st
from sim.draws import FAIL, REPAIR, ROUTE, SCRAP_DRAW, WEAR, WORK, draw, quantile
from sim.jit import leaf, rare
from sim.plant import DONE, SCRAP
from sim.rules_base import (
    change_wip,
    choose,
    duration,
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
from sim.rules_queue import choice_at, enqueue, pick_station
from sim.rules_supply import receive
from sim.state import Array


@leaf
def clock_at(p: Array, c: int) -> int:
    return p[st.AT_CLOCKS] + st.CLOCK_W * c


@leaf
def of_clock(p: Array, c: int) -> int:
    return p[st.TO_CLOCKS] + st.CLOCK_PW * c


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


# --- clocks -------------------------------------------------------------------------------------------------------


@leaf
def clock_scale(row: Array, p: Array, c: int, field: int) -> int:
    """Scale of a clock's times: that of its station for unplanned modes, one for planned ones."""
    a = of_clock(p, c)
    scale = 65536
    if p[a + st.PLANNED] == 0:
        scale = row[station_at(p, p[of_unit(p, p[a + st.CLOCK_UNIT]) + st.STATION]) + field]
    return scale


@leaf
def at_least_one(ticks: int) -> int:
    return ticks if ticks > 1 else 1  # noqa: FURB136


@rare
def draw_clock(row: Array, p: Array, c: int) -> None:
    """A new time (or number of operations) to the next strike of clock `c`."""
    a = of_clock(p, c)
    b = clock_at(p, c)
    kind = p[a + st.CLOCK_KIND]
    u = p[a + st.CLOCK_UNIT]
    table = p[a + st.CLOCK_TABLE]
    if kind == st.BY_CONDITION:
        at = p[of_station(p, p[of_unit(p, u) + st.STATION]) + st.CONDITION_AT]
        table = p[at + 4 * row[unit_at(p, u) + st.UNIT_LEVEL] + 1]
    if kind == st.PER_PART:
        at = choose(row, p, table + 1, table + 1 + 2 * p[table], b + st.CLOCK_DRAWS, p[a + st.CLOCK_ENTITY], FAIL)
        row[b + st.CLOCK_LEFT] = p[at + 1]
    elif kind == st.NO_CLOCK or table < 0:
        row[b + st.CLOCK_LEFT] = st.INFINITY
    else:
        ticks = duration(row, p, table, b + st.CLOCK_DRAWS, p[a + st.CLOCK_ENTITY], FAIL)
        row[b + st.CLOCK_LEFT] = at_least_one(scaled(ticks, clock_scale(row, p, c, st.FAIL_SCALE)))


@rare
def draw_wear(row: Array, p: Array, u: int) -> None:
    """A new working time to the next level of wear of unit `u`."""
    w = unit_at(p, u)
    s = p[of_unit(p, u) + st.STATION]
    table = p[p[of_station(p, s) + st.CONDITION_AT] + 4 * row[w + st.UNIT_LEVEL]]
    ticks = duration(row, p, table, w + st.UNIT_DRAWS + 6, p[of_unit(p, u) + st.UNIT_ENTITY], WEAR)
    row[w + st.UNIT_WEAR] = at_least_one(scaled(ticks, row[station_at(p, s) + st.FAIL_SCALE]))


@leaf
def run_clock(row: Array, p: Array, slot: int, left: int) -> None:
    """A clock runs on, from what stands at row[left]."""
    if row[left] < st.INFINITY:
        row[timer(p, slot)] = row[st.NOW] + row[left]
        row[left] = 0


@leaf
def stop_clock(row: Array, p: Array, slot: int, left: int) -> None:
    """A clock stops; what it had left is kept."""
    at = timer(p, slot)
    if row[at] < st.INFINITY:
        row[left] = row[at] - row[st.NOW]
        row[at] = st.INFINITY


@leaf
def run_clocks(row: Array, p: Array, u: int) -> None:
    """Unit `u` works: its odf and condition clocks and its wear run."""
    a = of_unit(p, u)
    c = p[a + st.FIRST_CLOCK]
    end = c + p[a + st.CLOCK_TOTAL]
    while c < end:  # a range() would divide
        kind = p[of_clock(p, c) + st.CLOCK_KIND]
        if kind == st.ODF or kind == st.BY_CONDITION:  # noqa: PLR1714
            run_clock(row, p, p[of_clock(p, c) + st.CLOCK_SLOT], clock_at(p, c) + st.CLOCK_LEFT)
        c += 1
    if p[a + st.WEAR_SLOT] >= 0:
        run_clock(row, p, p[a + st.WEAR_SLOT], unit_at(p, u) + st.UNIT_WEAR)


@leaf
def stop_clocks(row: Array, p: Array, u: int) -> None:
    """Unit `u` no longer works: its odf and condition clocks and its wear stop."""
    a = of_unit(p, u)
    c = p[a + st.FIRST_CLOCK]
    end = c + p[a + st.CLOCK_TOTAL]
    while c < end:  # a range() would divide
        kind = p[of_clock(p, c) + st.CLOCK_KIND]
        if kind == st.ODF or kind == st.BY_CONDITION:  # noqa: PLR1714
            stop_clock(row, p, p[of_clock(p, c) + st.CLOCK_SLOT], clock_at(p, c) + st.CLOCK_LEFT)
        c += 1
    if p[a + st.WEAR_SLOT] >= 0:
        stop_clock(row, p, p[a + st.WEAR_SLOT], unit_at(p, u) + st.UNIT_WEAR)


@rare
def run_calendar_clocks(row: Array, p: Array, u: int) -> None:
    """Unit `u` is up: its tdf clocks run."""
    a = of_unit(p, u)
    for c in range(p[a + st.FIRST_CLOCK], p[a + st.FIRST_CLOCK] + p[a + st.CLOCK_TOTAL]):
        if p[of_clock(p, c) + st.CLOCK_KIND] == st.TDF:
            run_clock(row, p, p[of_clock(p, c) + st.CLOCK_SLOT], clock_at(p, c) + st.CLOCK_LEFT)


@rare
def stop_all_clocks(row: Array, p: Array, u: int) -> None:
    """Unit `u` is down: every clock stops."""
    stop_clocks(row, p, u)
    a = of_unit(p, u)
    for c in range(p[a + st.FIRST_CLOCK], p[a + st.FIRST_CLOCK] + p[a + st.CLOCK_TOTAL]):
        if p[of_clock(p, c) + st.CLOCK_KIND] == st.TDF:
            stop_clock(row, p, p[of_clock(p, c) + st.CLOCK_SLOT], clock_at(p, c) + st.CLOCK_LEFT)


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
    return p[choose(row, p, p[a + st.ROUTE_AT], p[a + st.ROUTE_END], stream, p[of_unit(p, u) + st.UNIT_ENTITY], ROUTE) + 1]


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
    """A unit of `s` no longer needs its operators."""
    a = of_station(p, s)
    pool = p[a + st.ST_POOL]
    row[p[st.AT_POOLS] + pool] += p[a + st.ST_PEOPLE]
    first = first_mate(row, p, pool)
    if first >= 0:
        wake(row, p, first)


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
    """A unit of `s` has become free: wakes the station and, under before_service, its feeders."""
    wake(row, p, s)
    if p[st.BEFORE_SERVICE] == 1:
        wake_listed(row, p, p[of_station(p, s) + st.FEEDERS_AT], p[of_station(p, s) + st.FEEDERS_END], 0)


@leaf
def destination(row: Array, p: Array, u: int, s: int, part: int) -> int:
    """The station that takes the ended part of unit `u` now, or -1: its reserved one, else one with room."""
    a = part_at(p, part)
    d = row[a + st.PART_DEST]
    if d >= 0:
        row[station_at(p, d) + st.ST_RESERVED] -= 1
        row[a + st.PART_DEST] = st.NOBODY
    else:
        d = pick_station(row, p, row[a + st.PART_STEP], s)
    return d


@leaf
def unload(row: Array, p: Array, u: int, s: int) -> None:
    """Send the ended parts of unit `u` on, as far as there is room for them."""
    w = unit_at(p, u)
    while row[w + st.UNIT_PART] >= 0:
        part = row[w + st.UNIT_PART]
        target = row[part_at(p, part) + st.PART_STEP]
        if target < 0:
            pop_part(row, p, u)
            leave_line(row, p, part, target)
        else:
            d = destination(row, p, u, s, part)
            if d < 0:
                if row[w + st.UNIT_STATE] != st.BLOCKED:
                    set_state(row, p, u, s, st.BLOCKED)
                join(row, p, p[st.AT_DOORS] + p[of_step(p, target) + st.STEP_DOOR], u)
                break
            pop_part(row, p, u)
            enqueue(row, p, d, part)
            wake(row, p, d)
    if row[w + st.UNIT_PART] < 0:
        become_free(row, p, u, s)
        wake_around(row, p, s)


# --- down and up --------------------------------------------------------------------------------------------------


@rare
def start_repair(row: Array, p: Array, c: int) -> None:
    """Somebody begins to repair (or maintain) the unit of clock `c`."""
    a = of_clock(p, c)
    stream = clock_at(p, c) + st.CLOCK_DRAWS + 2
    ticks = duration(row, p, p[a + st.REPAIR_TABLE], stream, p[a + st.CLOCK_ENTITY], REPAIR)
    slot = p[of_unit(p, p[a + st.CLOCK_UNIT]) + st.REPAIR_SLOT]
    row[timer(p, slot)] = row[st.NOW] + scaled(ticks, clock_scale(row, p, c, st.REPAIR_SCALE))


@rare
def ask_for_repair(row: Array, p: Array, c: int) -> None:
    """A repairer of the mode's crew if one is free (or none is needed), else a place in the list."""
    a = of_clock(p, c)
    crew = p[a + st.CLOCK_CREW]
    if crew < 0:
        start_repair(row, p, c)
    else:
        b = p[st.AT_CREWS] + st.CREW_W * crew
        if row[b + st.CREW_FREE] > 0:
            row[b + st.CREW_FREE] -= 1
            start_repair(row, p, c)
        else:
            join_crew(row, p, b + st.CREW_HEAD, c)


@rare
def join_crew(row: Array, p: Array, head: int, c: int) -> None:
    """The unit of clock `c` joins those waiting for a crew, ordered by (priority of the mode, tick, unit)."""
    u = p[of_clock(p, c) + st.CLOCK_UNIT]
    priority = p[of_clock(p, c) + st.CLOCK_PRIORITY]
    row[unit_at(p, u) + st.UNIT_ASKED] = row[st.NOW]
    previous = st.NOBODY
    v = row[head]
    while v >= 0:
        its = p[of_clock(p, row[unit_at(p, v) + st.UNIT_MODE]) + st.CLOCK_PRIORITY]
        asked = row[unit_at(p, v) + st.UNIT_ASKED]
        if its > priority or (its == priority and asked == row[st.NOW] and v > u):
            break
        previous = v
        v = row[unit_at(p, v) + st.UNIT_LINK]
    row[unit_at(p, u) + st.UNIT_LINK] = v
    if previous < 0:
        row[head] = u
    else:
        row[unit_at(p, previous) + st.UNIT_LINK] = u


@rare
def scrap_all(row: Array, p: Array, u: int, s: int) -> None:
    """The work in hand of a unit that has gone down is lost."""
    w = unit_at(p, u)
    while row[w + st.UNIT_PART] >= 0:
        part = pop_part(row, p, u)
        give_place_back(row, p, part)
        leave_line(row, p, part, SCRAP)
    row[w + st.UNIT_PHASE] = st.FREE
    row[w + st.UNIT_LEFT] = 0
    if p[of_station(p, s) + st.ST_POOL] >= 0:
        give_operators_back(row, p, s)
    wake_around(row, p, s)


@rare
def leave_door(row: Array, p: Array, u: int) -> None:
    """A blocked unit no longer waits before its door."""
    w = unit_at(p, u)
    step = row[part_at(p, row[w + st.UNIT_PART]) + st.PART_STEP]
    head = p[st.AT_DOORS] + p[of_step(p, step) + st.STEP_DOOR]
    if row[head] == u:
        leave(row, p, head)
    else:
        v = row[head]
        while row[unit_at(p, v) + st.UNIT_LINK] != u:
            v = row[unit_at(p, v) + st.UNIT_LINK]
        row[unit_at(p, v) + st.UNIT_LINK] = row[w + st.UNIT_LINK]
        row[w + st.UNIT_LINK] = st.NOBODY
        row[w + st.UNIT_ASKED] = 0


@rare
def go_down(row: Array, p: Array, c: int) -> None:
    """The unit of clock `c` goes down for the clock's mode."""
    a = of_clock(p, c)
    u = p[a + st.CLOCK_UNIT]
    s = p[of_unit(p, u) + st.STATION]
    w = unit_at(p, u)
    z = station_at(p, s)
    row[clock_at(p, c) + st.BEGUN] += 1
    if p[a + st.PLANNED] == 1:
        row[z + st.MAINTAINED] += 1
    else:
        row[z + st.FAILURES] += 1
    if row[timer(p, u)] < st.INFINITY:
        row[w + st.UNIT_LEFT] = row[timer(p, u)] - row[st.NOW]
        row[timer(p, u)] = st.INFINITY
    stop_all_clocks(row, p, u)
    if p[a + st.CLOCK_KIND] != st.NO_CLOCK:
        row[clock_at(p, c) + st.CLOCK_LEFT] = 0
    row[w + st.UNIT_DUE] &= ~(1 << p[a + st.CLOCK_NUMBER])
    if row[w + st.UNIT_PHASE] == st.FREE:
        if open_station(row, p, s):
            row[z + st.ST_FREE] -= 1
        if row[z + st.ST_ASKED] >= 0:
            wake(row, p, s)
    if row[w + st.UNIT_PHASE] == st.HOLDS:
        leave_door(row, p, u)
    row[w + st.UNIT_MODE] = c
    set_state(row, p, u, s, st.DOWN)
    if row[w + st.UNIT_PHASE] == st.IN_WORK:
        if p[a + st.WORK_AFTER] == st.REPEATS:
            row[w + st.UNIT_LEFT] = work_ticks(row, p, u, s)
        elif p[a + st.WORK_AFTER] == st.IS_SCRAPPED:
            scrap_all(row, p, u, s)
    ask_for_repair(row, p, c)


@rare
def condition_clock(p: Array, u: int) -> int:
    """The clock of unit `u` that belongs to its condition, -1 for none."""
    a = of_unit(p, u)
    found = -1
    for c in range(p[a + st.FIRST_CLOCK], p[a + st.FIRST_CLOCK] + p[a + st.CLOCK_TOTAL]):
        if p[of_clock(p, c) + st.CLOCK_KIND] == st.BY_CONDITION:
            found = c
    return found


@rare
def failure(row: Array, p: Array, c: int) -> None:
    """A clock strikes."""
    a = of_clock(p, c)
    w = unit_at(p, p[a + st.CLOCK_UNIT])
    row[timer(p, p[a + st.CLOCK_SLOT])] = st.INFINITY
    row[clock_at(p, c) + st.CLOCK_LEFT] = 0
    if p[a + st.FINISH] == 1 and row[w + st.UNIT_PHASE] != st.FREE:
        row[w + st.UNIT_DUE] |= 1 << p[a + st.CLOCK_NUMBER]
        row[clock_at(p, c) + st.CLOCK_LEFT] = st.INFINITY
    else:
        go_down(row, p, c)


@rare
def renew_clocks(row: Array, p: Array, c: int) -> None:
    """What is as new after the repair for clock `c`."""
    a = of_clock(p, c)
    u = p[a + st.CLOCK_UNIT]
    b = of_unit(p, u)
    w = unit_at(p, u)
    restored = p[a + st.RESTORES] == 1 and p[b + st.WEAR_SLOT] >= 0
    if restored:
        row[w + st.UNIT_LEVEL] = 0
        draw_wear(row, p, u)
        other = condition_clock(p, u)
        if other >= 0:
            draw_clock(row, p, other)
    for i in range(p[b + st.CLOCK_TOTAL]):
        other = p[b + st.FIRST_CLOCK] + i
        if other == c or (p[a + st.RENEWS] >> i) & 1 == 1:
            row[w + st.UNIT_DUE] &= ~(1 << i)
            if not restored or p[of_clock(p, other) + st.CLOCK_KIND] != st.BY_CONDITION:
                draw_clock(row, p, other)


@rare
def repair_end(row: Array, p: Array, u: int) -> None:
    w = unit_at(p, u)
    s = p[of_unit(p, u) + st.STATION]
    c = row[w + st.UNIT_MODE]
    row[timer(p, p[of_unit(p, u) + st.REPAIR_SLOT])] = st.INFINITY
    crew = p[of_clock(p, c) + st.CLOCK_CREW]
    if crew >= 0:
        b = p[st.AT_CREWS] + st.CREW_W * crew
        if row[b + st.CREW_HEAD] >= 0:
            start_repair(row, p, row[unit_at(p, leave(row, p, b + st.CREW_HEAD)) + st.UNIT_MODE])
        else:
            row[b + st.CREW_FREE] += 1
    renew_clocks(row, p, c)
    row[w + st.UNIT_MODE] = st.NOBODY
    run_calendar_clocks(row, p, u)
    phase = row[w + st.UNIT_PHASE]
    if phase == st.FREE:
        become_free(row, p, u, s)
    elif phase == st.HOLDS:
        unload(row, p, u, s)
    elif is_frozen(row, p, s):
        set_state(row, p, u, s, st.OFF)
    else:
        go_on(row, p, u, s)
    wake_around(row, p, s)


@rare
def go_on(row: Array, p: Array, u: int, s: int) -> None:
    """A unit that is up and not frozen goes on with the setup or work it has left."""
    w = unit_at(p, u)
    row[timer(p, u)] = row[st.NOW] + row[w + st.UNIT_LEFT]
    row[w + st.UNIT_LEFT] = 0
    if row[w + st.UNIT_PHASE] == st.IN_WORK:
        set_state(row, p, u, s, st.WORKING)
        run_clocks(row, p, u)
    else:
        set_state(row, p, u, s, st.SETUP)


@rare
def freeze(row: Array, p: Array, u: int, s: int) -> None:
    """A unit that runs stops at closing."""
    w = unit_at(p, u)
    row[w + st.UNIT_LEFT] = row[timer(p, u)] - row[st.NOW]
    row[timer(p, u)] = st.INFINITY
    if row[w + st.UNIT_PHASE] == st.IN_WORK:
        stop_clocks(row, p, u)
    set_state(row, p, u, s, st.OFF)


@rare
def wear(row: Array, p: Array, u: int) -> None:
    w = unit_at(p, u)
    s = p[of_unit(p, u) + st.STATION]
    a = of_station(p, s)
    row[timer(p, p[of_unit(p, u) + st.WEAR_SLOT])] = st.INFINITY
    row[w + st.UNIT_WEAR] = 0
    level = row[w + st.UNIT_LEVEL]
    clock = condition_clock(p, u)
    if level == p[a + st.LEVELS] - 1:
        go_down(row, p, clock)
    else:
        at = p[a + st.CONDITION_AT] + 4 * level
        row[w + st.UNIT_LEVEL] = level + 1
        left = row[timer(p, u)] - row[st.NOW]
        row[timer(p, u)] = row[st.NOW] + left * p[at + 4 + 2] // p[at + 2]
        draw_wear(row, p, u)
        run_clock(row, p, p[of_unit(p, u) + st.WEAR_SLOT], w + st.UNIT_WEAR)
        if clock >= 0:
            slot = p[of_clock(p, clock) + st.CLOCK_SLOT]
            row[timer(p, slot)] = st.INFINITY
            draw_clock(row, p, clock)
            run_clock(row, p, slot, clock_at(p, clock) + st.CLOCK_LEFT)


# --- the end of an operation --------------------------------------------------------------------------------------


@rare
def is_spoilt(row: Array, p: Array, u: int, share: int) -> bool:
    """Does the condition of unit `u` spoil a part? `share`: probability in 2^-32."""
    stream = unit_at(p, u) + st.UNIT_DRAWS + 8
    return upper(draw(row, stream, p[of_unit(p, u) + st.UNIT_ENTITY], SCRAP_DRAW)) < share


@leaf
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


@rare
def count_operation(row: Array, p: Array, u: int) -> None:
    """The parts clocks of unit `u` after an operation, in order: a struck one takes the unit down, or waits for it."""
    a = of_unit(p, u)
    w = unit_at(p, u)
    for i in range(p[a + st.CLOCK_TOTAL]):
        c = p[a + st.FIRST_CLOCK] + i
        left = clock_at(p, c) + st.CLOCK_LEFT
        if p[of_clock(p, c) + st.CLOCK_KIND] == st.PER_PART and row[left] < st.INFINITY:
            if row[left] > 0:
                row[left] -= 1
            if row[left] == 0:
                strike(row, p, c, w)


@rare
def strike(row: Array, p: Array, c: int, w: int) -> None:
    """The operations of clock `c` of the unit with record `w` are used up."""
    a = of_clock(p, c)
    is_down = row[w + st.UNIT_MODE] >= 0
    if p[a + st.PLANNED] == 0:
        if not is_down:
            go_down(row, p, c)
    elif is_down or row[w + st.UNIT_PHASE] != st.FREE:
        row[w + st.UNIT_DUE] |= 1 << p[a + st.CLOCK_NUMBER]
        row[clock_at(p, c) + st.CLOCK_LEFT] = st.INFINITY
    else:
        go_down(row, p, c)
