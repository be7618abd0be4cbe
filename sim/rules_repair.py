"""Rules of units that go down and come up again: failures, maintenance, wear, crews (docs/kernel.md, Units)."""

from __future__ import annotations

from sim import state as st
from sim.draws import REPAIR
from sim.jit import rare
from sim.plant import SCRAP
from sim.rules_base import (
    duration,
    of_station,
    of_step,
    of_unit,
    part_at,
    scaled,
    set_state,
    station_at,
    timer,
    unit_at,
    wake,
    wake_without,
)
from sim.rules_clock import (
    clock_at,
    clock_scale,
    count_planned_down,
    draw_clock,
    draw_wear,
    of_clock,
    run_calendar_clocks,
    run_clock,
    run_clocks,
    stop_all_clocks,
    stop_clocks,
)
from sim.rules_unit import (
    become_free,
    give_operators_back,
    give_place_back,
    is_frozen,
    leave,
    leave_line,
    open_station,
    pop_part,
    unload,
    wake_around,
    work_ticks,
)
from sim.state import Array

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
def stop_work(row: Array, p: Array, u: int) -> None:
    """Unit `u`, up and in setup or work, stops: its parts are scrapped and it is free."""
    s = p[of_unit(p, u) + st.STATION]
    row[timer(p, u)] = st.INFINITY
    stop_clocks(row, p, u)
    scrap_all(row, p, u, s)
    become_free(row, p, u, s)


@rare
def leave_door(row: Array, p: Array, u: int) -> None:
    """A blocked unit no longer waits before its door: a station there may have room for one that stood behind it."""
    w = unit_at(p, u)
    step = row[part_at(p, row[w + st.UNIT_PART]) + st.PART_STEP]
    for i in range(p[of_step(p, step) + st.CHOICES_AT], p[of_step(p, step) + st.CHOICES_END], 4):
        if row[station_at(p, p[i]) + st.KANBAN] < st.NO_LIMIT:
            wake(row, p, p[i])
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
    if row[w + st.UNIT_PHASE] == st.FREE and open_station(row, p, s):
        row[z + st.ST_FREE] -= 1
        wake_without(row, p, s)
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
    count_planned_down(row, p, u, s)
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
def level_clock(row: Array, p: Array, u: int, s: int) -> int:
    """The clock of the planned mode that the condition of unit `u` calls for; -1 for none."""
    b = of_unit(p, u)
    if row[station_at(p, s) + st.AT_LEVEL] <= row[unit_at(p, u) + st.UNIT_LEVEL]:
        for i in range(p[b + st.CLOCK_TOTAL]):
            if p[of_clock(p, p[b + st.FIRST_CLOCK] + i) + st.WATCHES_LEVEL] == 1:
                return p[b + st.FIRST_CLOCK] + i
    return -1


@rare
def clock_at_once(row: Array, p: Array, u: int, s: int) -> int:
    """The clock of the mode that the condition of unit `u` calls for at once, whatever it does; -1 for none."""
    c = level_clock(row, p, u, s)
    return c if c >= 0 and p[of_clock(p, c) + st.FINISH] == 0 else -1


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
        if clock_at_once(row, p, u, s) >= 0:
            wake(row, p, s)


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
