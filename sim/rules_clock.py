"""Rules of clocks: times to failure, maintenance and wear (docs/kernel.md, Clocks)."""

from __future__ import annotations

from sim import state as st
from sim.draws import FAIL, WEAR
from sim.jit import leaf, rare
from sim.rules_base import choose, duration, of_station, of_unit, scaled, station_at, timer, unit_at
from sim.state import Array


@leaf
def clock_at(p: Array, c: int) -> int:
    return p[st.AT_CLOCKS] + st.CLOCK_W * c


@leaf
def of_clock(p: Array, c: int) -> int:
    return p[st.TO_CLOCKS] + st.CLOCK_PW * c


@rare
def count_planned_down(row: Array, p: Array, u: int, s: int) -> None:
    """Accumulate the time of a unit that is down, if for a planned mode; call before its `unit_since` moves."""
    w = unit_at(p, u)
    if p[of_clock(p, row[w + st.UNIT_MODE]) + st.PLANNED] == 1:
        row[station_at(p, s) + st.PLANNED_DOWN] += row[st.NOW] - row[w + st.UNIT_SINCE]


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
def switch_work_clocks(row: Array, p: Array, u: int, runs: bool) -> None:
    """The odf and condition clocks of unit `u` and its wear run or stop; `runs` is a constant of the compiled code."""
    a = of_unit(p, u)
    c = p[a + st.FIRST_CLOCK]
    end = c + p[a + st.CLOCK_TOTAL]
    while c < end:  # a range() would divide
        kind = p[of_clock(p, c) + st.CLOCK_KIND]
        if kind == st.ODF or kind == st.BY_CONDITION:  # noqa: PLR1714
            switch_clock(row, p, p[of_clock(p, c) + st.CLOCK_SLOT], clock_at(p, c) + st.CLOCK_LEFT, runs)
        c += 1
    if p[a + st.WEAR_SLOT] >= 0:
        switch_clock(row, p, p[a + st.WEAR_SLOT], unit_at(p, u) + st.UNIT_WEAR, runs)


@leaf
def switch_clock(row: Array, p: Array, slot: int, left: int, runs: bool) -> None:
    if runs:
        run_clock(row, p, slot, left)
    else:
        stop_clock(row, p, slot, left)


@leaf
def run_clocks(row: Array, p: Array, u: int) -> None:
    """Unit `u` works."""
    switch_work_clocks(row, p, u, True)


@leaf
def stop_clocks(row: Array, p: Array, u: int) -> None:
    """Unit `u` no longer works."""
    switch_work_clocks(row, p, u, False)


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
