"""Rules of events: what the firing of each kind of slot does (docs/kernel.md, Events)."""

from __future__ import annotations

from sim import state as st
from sim.draws import DEMAND, QUANTITY
from sim.jit import leaf, rare, rule, shared
from sim.rules_base import (
    choose,
    count_demand,
    count_stock,
    duration,
    of_product,
    of_station,
    of_unit,
    part_at,
    product_at,
    scaled,
    set_state,
    station_at,
    stock_at,
    timer,
    unit_at,
    wake,
    wake_held,
    wake_listed,
    wake_product,
    wake_without,
)
from sim.rules_clock import stop_clocks
from sim.rules_demand import demand_at, leave_unmet, of_demand
from sim.rules_queue import choice_at, is_free
from sim.rules_release import arrival, handle_product, line_time
from sim.rules_repair import count_operation, failure, freeze, go_on, repair_end, wear
from sim.rules_start import can_act, handle_plain, handle_special
from sim.rules_supply import delivery, review, withdrawn
from sim.rules_unit import begin_work, decide_next, free_state, give_operators_back, next_step, send_on, wake_around
from sim.state import Array


@leaf
def pop_worklist(row: Array, p: Array) -> int:
    """The entity that has waited longest in the worklist leaves it; -1 for none."""
    n = row[st.WORK_LEN] - 1
    entity = st.NOBODY
    if n >= 0:
        head = row[st.WORK_HEAD]
        at = p[st.AT_ENTITIES] + st.ENTITY_W * head + st.WORK_LIST
        entity = row[at]
        row[at] = 0
        row[st.WORK_LEN] = n
        head += 1
        row[st.WORK_HEAD] = 0 if head == p[st.N_ENTITIES] or n == 0 else head
    return entity


@leaf
def drain(row: Array, p: Array, first: int, second: int) -> None:
    """All that follows at once from the last event. `first` and `second` (-1: none) stand before the worklist: most
    events wake two stations, which need not be written down to be read again; their flags are set.
    """
    steps = 0
    while row[st.ERROR] == 0:
        entity = first
        first = second
        second = st.NOBODY
        if entity < 0:
            entity = pop_worklist(row, p)
            if entity < 0:
                break
        row[p[st.AT_ENTITIES] + st.ENTITY_W * entity + st.WORK_FLAG] = 0
        row[st.WORK_SEG] = row[st.WORK_LEN]
        if entity < p[st.N_STATIONS]:
            if p[of_station(p, entity) + st.PLAIN] == 0:
                handle_special(row, p, entity)
            elif can_act(row, p, entity):
                handle_plain(row, p, entity)
        else:
            handle_product(row, p, entity - p[st.N_STATIONS])
        steps += 1
        if steps > 1000000:
            row[st.ERROR] = 3
    row[st.WORK_SEG] = 0


@rare
def settle(row: Array, p: Array) -> None:
    """Drain the worklist: all that follows at once from what was written into the row."""
    drain(row, p, st.NOBODY, st.NOBODY)


# --- the end of setup or work -------------------------------------------------------------------------------------


@leaf
def work_end(row: Array, p: Array, u: int) -> tuple[int, int]:
    """Setup or work of unit `u` ends; who stands before the worklist (see `drain`)."""
    first = st.NOBODY
    second = st.NOBODY
    w = unit_at(p, u)
    s = p[of_unit(p, u) + st.STATION]
    row[timer(p, u)] = st.INFINITY
    if row[w + st.UNIT_PHASE] == st.IN_SETUP:
        begin_work(row, p, u, s)
    else:
        first, second = end_operation(row, p, u, s)
    return first, second


@shared
def count_planned_work(row: Array, p: Array, u: int, s: int) -> None:
    """The planned times of the parts whose operation has ended, while they still stand at its step."""
    part = row[unit_at(p, u) + st.UNIT_PART]
    while part >= 0:
        row[station_at(p, s) + st.PLANNED_WORK] += p[choice_at(p, s, row[part_at(p, part) + st.PART_STEP]) + 2]
        part = row[part_at(p, part) + st.PART_NEXT]


@leaf
def wake_ahead(row: Array, p: Array, s: int, taker: int) -> tuple[int, int]:
    """Wake station `s` and station `taker` (-1: nobody), before the worklist if they come before all in it."""
    first = s if s >= 0 else taker
    second = st.NOBODY
    if s >= 0 and taker >= 0 and taker != s:
        first = s if s < taker else taker  # noqa: FURB136
        second = taker if s < taker else s  # noqa: FURB136
    last = second if second >= 0 else first
    if last >= 0:
        at = p[st.AT_ENTITIES]
        if row[st.WORK_LEN] > 0 and row[at + st.ENTITY_W * row[st.WORK_HEAD] + st.WORK_LIST] <= last:
            wake(row, p, first)
            if second >= 0:
                wake(row, p, second)
            first = st.NOBODY
            second = st.NOBODY
        elif second >= 0:
            row[at + st.ENTITY_W * second + st.WORK_FLAG] = 1  # the first one leaves at once, so it may be woken
    return first, second


@leaf
def end_operation(row: Array, p: Array, u: int, s: int) -> tuple[int, int]:
    w = unit_at(p, u)
    a = of_station(p, s)
    row[station_at(p, s) + st.ENDED] += row[w + st.UNIT_COUNT]
    stop_clocks(row, p, u)
    if p[st.POWERED] == 1:
        row[p[st.AT_BANDS] + row[st.BAND]] += p[a + st.PART_ENERGY] * row[w + st.UNIT_COUNT]
    plain = p[a + st.PLAIN] == 1
    part = row[w + st.UNIT_PART]
    if plain:
        z = part_at(p, part)
        row[z + st.PART_STEP] = next_step(row, p, u, row[z + st.PART_STEP])
    else:
        if p[a + st.ST_POOL] >= 0:
            give_operators_back(row, p, s)
        if p[a + st.VARIES] == 1:
            count_planned_work(row, p, u, s)
        while part >= 0:
            decide_next(row, p, u, s, part)
            part = row[part_at(p, part) + st.PART_NEXT]
    row[w + st.UNIT_PHASE] = st.HOLDS
    parts = row[w + st.UNIT_COUNT]
    taker = send_on(row, p, u, s)
    freed = s if row[w + st.UNIT_COUNT] < parts else st.NOBODY  # a unit, or a kanban
    if freed >= 0 and not plain and p[st.BEFORE_SERVICE] == 1:
        wake_listed(row, p, p[a + st.FEEDERS_AT], p[a + st.FEEDERS_END], 0)
    first = st.NOBODY
    second = st.NOBODY
    if not plain and p[a + st.COUNTS] == 1:  # a strike wakes as well
        if freed >= 0:
            wake(row, p, freed)
        if taker >= 0:
            wake(row, p, taker)
        count_operation(row, p, u)
    else:
        first, second = wake_ahead(row, p, freed, taker)
    return first, second


# --- calendars ----------------------------------------------------------------------------------------------------


@leaf
def change_time(p: Array, c: int, i: int) -> int:
    """Tick of change number `i` of calendar `c`: the table, then its last week again and again."""
    a = p[st.TO_CALENDARS] + st.CALENDAR_PW * c
    at = p[a + st.CHANGES_AT]
    n = p[a + st.CHANGES_END] - at
    if n == 0:
        t = st.INFINITY
    elif i < n:
        t = p[at + i]
    else:
        weekly = p[a + st.CHANGES_WEEKLY]
        t = p[at + n - weekly + (i - n) % weekly] + p[st.WEEK] * (1 + (i - n) // weekly)
    return t


@leaf
def pause(row: Array, left: int, slot: int) -> None:
    """Stop a clock: keep what was left."""
    row[left] = row[slot] - row[st.NOW]
    row[slot] = st.INFINITY


@leaf
def resume(row: Array, left: int, slot: int) -> None:
    row[slot] = row[st.NOW] + row[left]
    row[left] = st.NOBODY


@rare
def switch_stream(row: Array, left: int, slot: int, opens: bool) -> None:
    if opens:
        resume(row, left, slot)
    else:
        pause(row, left, slot)


@rare
def switch_clocks(row: Array, p: Array, c: int, opens: bool) -> None:
    """Arrivals and demands that keep calendar `c` stop or go on."""
    for product in range(p[st.N_PRODUCTS]):
        b = of_product(p, product)
        if p[b + st.PRODUCT_CALENDAR] == c:
            if p[b + st.POLICY] == st.PUSH:
                left = product_at(p, product) + st.ARRIVAL_LEFT
                switch_stream(row, left, timer(p, p[b + st.ARRIVAL_SLOT]), opens)
            if opens:
                wake_product(row, p, product)
            else:
                wake_held(row, p, product)
    for d in range(p[st.N_DEMANDS]):
        b = of_demand(p, d)
        if p[b + st.DEMAND_CALENDAR] == c and p[b + st.BOOK_END] == p[b + st.BOOK_START]:
            switch_stream(row, demand_at(p, d) + st.DEMAND_LEFT, timer(p, p[b + st.DEMAND_SLOT]), opens)


@rare
def switch_station(row: Array, p: Array, s: int, opens: bool) -> None:
    """The calendar of station `s` has opened or closed."""
    a = of_station(p, s)
    z = station_at(p, s)
    free = row[z + st.ST_FREE]
    row[z + st.ST_FREE] = 0
    for u in range(p[a + st.FIRST_UNIT], p[a + st.FIRST_UNIT] + p[a + st.UNIT_TOTAL]):
        w = unit_at(p, u)
        if is_free(row, p, u):
            set_state(row, p, u, s, free_state(row, p, s))
            if opens:
                row[z + st.ST_FREE] += 1
        elif p[a + st.FREEZES] == 1 and row[w + st.UNIT_MODE] < 0 and row[w + st.UNIT_PHASE] != st.HOLDS:
            if opens:
                go_on(row, p, u, s)
            else:
                freeze(row, p, u, s)
    if opens:
        wake_around(row, p, s)
    elif free > 0:
        wake_without(row, p, s)


@rare
def calendar(row: Array, p: Array, c: int) -> None:
    z = p[st.AT_CALENDARS] + st.CALENDAR_W * c
    a = p[st.TO_CALENDARS] + st.CALENDAR_PW * c
    slot = timer(p, p[a + st.CALENDAR_SLOT])
    opens = row[z + st.CAL_OPEN] == 0
    following = change_time(p, c, row[z + st.CAL_NEXT] + 1)
    if following < row[st.NOW]:  # noqa: PLR1730
        following = row[st.NOW]
    if not opens and row[z + st.OVERTIME] > 0 and row[z + st.CAL_EXTRA] == 0:
        row[z + st.CAL_EXTRA] = 1
        later = row[st.NOW] + row[z + st.OVERTIME]
        row[slot] = later if later < following else following  # noqa: FURB136
    else:
        if row[z + st.CAL_EXTRA] == 1:
            row[z + st.OVERTIME_TICKS] += row[st.NOW] - change_time(p, c, row[z + st.CAL_NEXT])
            row[z + st.CAL_EXTRA] = 0
        row[z + st.CAL_OPEN] = 1 if opens else 0
        row[z + st.CAL_NEXT] += 1
        row[slot] = following
        for i in range(p[a + st.CAL_STATIONS_AT], p[a + st.CAL_STATIONS_END]):
            switch_station(row, p, p[i], opens)
        switch_clocks(row, p, c, opens)


@rare
def tariff(row: Array, p: Array) -> None:
    """The price of energy changes."""
    row[p[st.AT_BANDS] + row[st.BAND]] += row[st.POWER] * (row[st.NOW] - row[st.ENERGY_LAST])
    row[st.ENERGY_LAST] = row[st.NOW]
    row[st.BAND] = p[tariff_entry(p, row[st.BAND_NEXT]) + 1]
    row[st.BAND_NEXT] += 1
    row[timer(p, p[st.TARIFF_SLOT])] = tariff_time(p, row[st.BAND_NEXT])


@leaf
def tariff_entry(p: Array, i: int) -> int:
    """Position of the (tick, band) pair of tariff change number `i`."""
    n = (p[st.TARIFF_END] - p[st.TARIFF_AT]) // 2
    if i >= n:
        weekly = p[st.TARIFF_WEEKLY]
        i = n - weekly + (i - n) % weekly
    return p[st.TARIFF_AT] + 2 * i


@leaf
def tariff_time(p: Array, i: int) -> int:
    n = (p[st.TARIFF_END] - p[st.TARIFF_AT]) // 2
    if n == 0:
        t = st.INFINITY
    else:
        t = p[tariff_entry(p, i)]
        if i >= n:
            t += p[st.WEEK] * (1 + (i - n) // p[st.TARIFF_WEEKLY])
    return t


# --- demand -------------------------------------------------------------------------------------------------------


@rare
def in_season(row: Array, p: Array, season: int, rest: int) -> int:
    """The tick at which `rest` ticks of operational time have passed; the factors of 168 hours stand at p[season]."""
    hour = p[st.WEEK] // 168
    now = row[st.NOW]
    at = (p[st.SEASON_START] + now) % p[st.WEEK]
    number = at // hour
    left = hour - at % hour
    while True:
        factor = p[season + number % 168]
        worth = (left * factor) >> 16
        if rest < worth:
            break
        rest -= worth
        now += left
        left = hour
        number += 1
    factor = p[season + number % 168]
    return now + ((rest << 16) + factor - 1) // factor


@leaf
def next_demand(row: Array, p: Array, d: int) -> int:
    """Tick of the next order of demand `d`."""
    b = of_demand(p, d)
    a = demand_at(p, d)
    if p[b + st.BOOK_END] > p[b + st.BOOK_START]:
        time = line_time(row, p, p[b + st.BOOK_START], p[b + st.BOOK_END], row[a + st.BOOK_AT])
    else:
        ticks = duration(row, p, p[b + st.DEMAND_TABLE], a + st.DEMAND_DRAWS, p[b + st.DEMAND_ENTITY], DEMAND)
        ticks = scaled(ticks, row[a + st.DEMAND_SCALE])
        if p[b + st.SEASON_AT] >= 0:
            time = in_season(row, p, p[b + st.SEASON_AT], ticks)
        else:
            time = row[st.NOW] + ticks
    return time


@leaf
def demand(row: Array, p: Array, d: int) -> None:
    b = of_demand(p, d)
    a = demand_at(p, d)
    k = p[b + st.DEMAND_STOCK]
    z = stock_at(p, k)
    due = row[st.NOW] + p[b + st.PROMISE]
    if p[b + st.BOOK_END] > p[b + st.BOOK_START]:
        line = p[b + st.BOOK_START] + 3 * row[a + st.BOOK_AT]
        quantity = p[line + 1]
        due = p[line + 2]
        row[a + st.BOOK_AT] += 1
        row[timer(p, p[b + st.DEMAND_SLOT])] = next_demand(row, p, d)
    else:
        row[timer(p, p[b + st.DEMAND_SLOT])] = next_demand(row, p, d)
        at = choose(
            row, p, p[b + st.QUANTITY_AT], p[b + st.QUANTITY_END], a + st.QUANTITY_DRAWS, p[b + st.DEMAND_ENTITY],
            QUANTITY,
        )  # fmt: skip
        quantity = p[at + 1]
    count_stock(row, p, k)
    count_demand(row, p, d)
    met = quantity if quantity < row[z + st.ON_HAND] else row[z + st.ON_HAND]  # noqa: FURB136
    rest = quantity - met
    row[z + st.DEMANDED] += quantity
    row[a + st.ASKED] += quantity
    row[z + st.ON_HAND] -= met
    row[z + st.MET] += met
    row[z + st.SHIPPED] += met
    row[a + st.SERVED] += met
    if rest > 0:
        leave_unmet(row, p, d, rest, due)
    withdrawn(row, p, k)


# --- all events ---------------------------------------------------------------------------------------------------


@rare
def rare_event(row: Array, p: Array, kind: int, slot: int, owner: int) -> None:
    """Every kind of event but the end of work: one copy, called."""
    if kind == st.K_FAILURE:
        failure(row, p, owner)
    elif kind == st.K_REPAIR_END:
        repair_end(row, p, owner)
    elif kind == st.K_ARRIVAL:
        arrival(row, p, owner)
    elif kind == st.K_DEMAND:
        demand(row, p, owner)
    elif kind == st.K_DELIVERY:
        delivery(row, p, owner)
    elif kind == st.K_REVIEW:
        review(row, p, owner)
    elif kind == st.K_CALENDAR:
        calendar(row, p, owner)
    elif kind == st.K_WEAR:
        wear(row, p, owner)
    elif kind == st.K_TARIFF:
        tariff(row, p)
    else:  # a batch has waited long enough
        row[timer(p, slot)] = st.INFINITY
        wake(row, p, owner)


@rule
def fire(row: Array, p: Array, slot: int) -> None:
    """Execute the event of `slot` and all that follows at once."""
    row[st.NOW] = row[timer(p, slot)]
    row[st.EVENTS] += 1
    first = st.NOBODY
    second = st.NOBODY
    a = p[st.TO_SLOTS] + st.SLOT_PW * slot
    if p[a + st.SLOT_KIND] == st.K_WORK_END:
        first, second = work_end(row, p, p[a + st.SLOT_OWNER])
    else:
        rare_event(row, p, p[a + st.SLOT_KIND], slot, p[a + st.SLOT_OWNER])
    drain(row, p, first, second)
