"""Rules, ground floor: accounting of time, drawing, the worklist of zero-time consequences (see docs/kernel.md).

Everywhere in the rules: `u`, `c`, `s`, `k` are indices of a unit, clock, station, stock; a record's place in the row
is `AT_X + X_W * index`, in the params `TO_X + X_PW * index`. Loops and ifs on integers only; nothing here allocates,
recurses or closes over anything, so that the same functions compile for the CPU and for CUDA. (`a if b < c else b` is
written out: a min() of integers does not compile for CUDA.)
"""

from __future__ import annotations

from sim import state as st
from sim.draws import draw, quantile
from sim.jit import leaf, rare
from sim.state import Array

HALF_MASK = 0xFFFFFFFF


# --- places of records --------------------------------------------------------------------------------------------


@leaf
def unit_at(p: Array, u: int) -> int:
    return p[st.AT_UNITS] + st.UNIT_W * u


@leaf
def station_at(p: Array, s: int) -> int:
    return p[st.AT_STATIONS] + st.STATION_W * s


@leaf
def part_at(p: Array, part: int) -> int:
    return p[st.AT_PARTS] + st.PART_W * part


@leaf
def product_at(p: Array, product: int) -> int:
    return p[st.AT_PRODUCTS] + st.PRODUCT_W * product


@leaf
def stock_at(p: Array, k: int) -> int:
    return p[st.AT_STOCKS] + st.STOCK_W * k


@leaf
def of_unit(p: Array, u: int) -> int:
    return p[st.TO_UNITS] + st.UNIT_PW * u


@leaf
def of_station(p: Array, s: int) -> int:
    return p[st.TO_STATIONS] + st.STATION_PW * s


@leaf
def of_step(p: Array, step: int) -> int:
    return p[st.TO_STEPS] + st.STEP_PW * step


@leaf
def of_product(p: Array, product: int) -> int:
    return p[st.TO_PRODUCTS] + st.PRODUCT_PW * product


@leaf
def of_stock(p: Array, k: int) -> int:
    return p[st.TO_STOCKS] + st.STOCK_PW * k


@leaf
def timer(p: Array, slot: int) -> int:
    """Place of a slot's next time in the row."""
    return p[st.AT_SLOTS] + slot


# --- accounting ---------------------------------------------------------------------------------------------------


@rare
def change_power(row: Array, p: Array, s: int, old: int, new: int) -> None:
    """Energy used so far at the present band; then the watts of a unit of `s` that goes from state `old` to `new`."""
    row[p[st.AT_BANDS] + row[st.BAND]] += row[st.POWER] * (row[st.NOW] - row[st.ENERGY_LAST])
    row[st.ENERGY_LAST] = row[st.NOW]
    watts = p[of_station(p, s) + st.POWER_AT]
    if watts >= 0:
        row[st.POWER] += p[watts + new] - p[watts + old]


@leaf
def set_state(row: Array, p: Array, u: int, s: int, new: int) -> None:
    """Unit `u` of station `s` enters state `new`; the time in its old state is accumulated."""
    w = unit_at(p, u)
    z = station_at(p, s)
    old = row[w + st.UNIT_STATE]
    row[z + st.ST_TICKS + old] += row[st.NOW] - row[w + st.UNIT_SINCE]
    row[w + st.UNIT_SINCE] = row[st.NOW]
    row[z + st.N_STATE + old] -= 1
    row[z + st.N_STATE + new] += 1
    row[w + st.UNIT_STATE] = new
    if p[st.POWERED] == 1:
        change_power(row, p, s, old, new)


@leaf
def count_queue(row: Array, z: int) -> None:
    """Accumulate part-ticks of the queue of the station record `z` up to now; call before its length changes."""
    row[z + st.Q_AREA] += row[z + st.Q_LEN] * (row[st.NOW] - row[z + st.Q_LAST])
    row[z + st.Q_LAST] = row[st.NOW]


@leaf
def change_wip(row: Array, p: Array, product: int, by: int) -> None:
    q = product_at(p, product)
    row[q + st.WIP_AREA] += row[q + st.WIP] * (row[st.NOW] - row[q + st.WIP_LAST])
    row[q + st.WIP_LAST] = row[st.NOW]
    row[q + st.WIP] += by
    group = p[of_product(p, product) + st.PRODUCT_GROUP]
    if group >= 0:
        row[p[st.AT_GROUPS] + st.GROUP_W * group + st.GROUP_WIP] += by


@leaf
def owed_to(row: Array, p: Array, k: int) -> int:
    """Units ordered for stock `k` that the stocks it orders from have not yet shipped, in both lanes."""
    owed = 0
    regular, express = p[of_stock(p, k) + st.LANE_REGULAR], p[of_stock(p, k) + st.LANE_EXPRESS]
    if regular >= 0:
        owed += row[p[st.AT_LANES] + st.LANE_W * regular + st.OWED]
    if express >= 0:
        owed += row[p[st.AT_LANES] + st.LANE_W * express + st.OWED]
    return owed


@leaf
def count_stock(row: Array, p: Array, k: int) -> None:
    """Accumulate unit-ticks of stock `k` up to now; call before anything in it changes."""
    a = stock_at(p, k)
    spell = row[st.NOW] - row[a + st.STOCK_LAST]
    if spell > 0:
        row[a + st.ON_HAND_AREA] += row[a + st.ON_HAND] * spell
        row[a + st.BACKORDER_AREA] += row[a + st.BACKORDERS] * spell
        moving = row[a + st.ON_ORDER]
        row[a + st.TRANSIT_AREA] += (moving - owed_to(row, p, k)) * spell
        row[a + st.STOCK_LAST] = row[st.NOW]


@leaf
def count_demand(row: Array, p: Array, d: int) -> None:
    """Accumulate unit-ticks that wait for demand `d` up to now; call before they change."""
    a = p[st.AT_DEMANDS] + st.DEMAND_W * d
    row[a + st.WAITING_AREA] += row[a + st.WAITING] * (row[st.NOW] - row[a + st.WAITING_LAST])
    row[a + st.WAITING_LAST] = row[st.NOW]


# --- drawing ------------------------------------------------------------------------------------------------------


@leaf
def scaled(ticks: int, scale: int) -> int:
    return (ticks * scale + 32768) >> 16


@leaf
def duration(row: Array, p: Array, table: int, stream: int, entity: int, purpose: int) -> int:
    """A duration in ticks from the table at `p[table]`; a constant draws nothing."""
    if p[table] == 0:
        ticks = (p[table + 1] + 128) >> 8
    else:
        ticks = quantile(p, table, draw(row, stream, entity, purpose))
    return ticks


@leaf
def upper(word: int) -> int:
    """The upper 32 bits of a word, as a number of [0, 2^32)."""
    return (word >> 32) & HALF_MASK


@leaf
def choose(row: Array, p: Array, at: int, end: int, stream: int, entity: int, purpose: int) -> int:
    """Position of the (threshold, value) pair that a word picks from those at p[at:end]; one pair draws nothing."""
    if end - at > 2:
        w = upper(draw(row, stream, entity, purpose))
        while at < end - 2 and p[at] <= w:
            at += 2
    return at


@leaf
def is_open(row: Array, p: Array, calendar: int) -> bool:
    return calendar < 0 or row[p[st.AT_CALENDARS] + st.CALENDAR_W * calendar + st.CAL_OPEN] == 1


# --- the worklist of zero-time consequences -----------------------------------------------------------------------


@rare
def insert(row: Array, p: Array, entity: int) -> None:
    """Put an entity into the worklist; those woken by one step stand in ascending order."""
    ring = p[st.AT_ENTITIES]
    size = p[st.N_ENTITIES]
    j = row[st.WORK_LEN]
    row[st.WORK_LEN] = j + 1
    at = row[st.WORK_HEAD] + j
    if at >= size:
        at -= size
    while j > row[st.WORK_SEG]:
        before = at - 1 if at > 0 else size - 1
        if row[ring + st.ENTITY_W * before + st.WORK_LIST] < entity:
            break
        row[ring + st.ENTITY_W * at + st.WORK_LIST] = row[ring + st.ENTITY_W * before + st.WORK_LIST]
        at = before
        j -= 1
    row[ring + st.ENTITY_W * at + st.WORK_LIST] = entity


@leaf
def wake(row: Array, p: Array, entity: int) -> None:
    """Put an entity into the worklist unless it waits there."""
    flag = p[st.AT_ENTITIES] + st.ENTITY_W * entity + st.WORK_FLAG
    if row[flag] == 0:
        row[flag] = 1
        n = row[st.WORK_LEN]
        if n == row[st.WORK_SEG]:  # the first of this step
            at = row[st.WORK_HEAD] + n
            if at >= p[st.N_ENTITIES]:
                at -= p[st.N_ENTITIES]
            row[p[st.AT_ENTITIES] + st.ENTITY_W * at + st.WORK_LIST] = entity
            row[st.WORK_LEN] = n + 1
        else:
            insert(row, p, entity)


@leaf
def wake_product(row: Array, p: Array, product: int) -> None:
    wake(row, p, p[st.N_STATIONS] + product)


@rare
def wake_listed(row: Array, p: Array, at: int, end: int, first: int) -> None:
    """Wake the entities `first` + p[at:end]."""
    for i in range(at, end):
        wake(row, p, first + p[i])


@leaf
def wake_group(row: Array, p: Array, product: int) -> None:
    """Wake the product and all products of its group."""
    wake_product(row, p, product)
    group = p[of_product(p, product) + st.PRODUCT_GROUP]
    if group >= 0:
        g = p[st.TO_GROUPS] + st.GROUP_PW * group
        wake_listed(row, p, p[g + st.MEMBERS_AT], p[g + st.MEMBERS_END], p[st.N_STATIONS])


@rare
def wake_held(row: Array, p: Array, product: int) -> None:
    """Something that a release of the product depends on is gone: it may be held back by more than the decision now,
    and in a group it may be another one's turn.
    """
    if p[of_product(p, product) + st.PRODUCT_GROUP] >= 0:
        wake_group(row, p, product)
    elif row[product_at(p, product) + st.HELD] == 1:
        wake_product(row, p, product)


@rare
def wake_hopeful(row: Array, p: Array, s: int) -> None:
    """Room at station `s` is gone: under before_service wake its feeders that wait for operators, which count on it."""
    if p[st.BEFORE_SERVICE] == 1:
        for i in range(p[of_station(p, s) + st.FEEDERS_AT], p[of_station(p, s) + st.FEEDERS_END]):
            if row[station_at(p, p[i]) + st.ST_ASKED] >= 0:
                wake(row, p, p[i])


@rare
def wake_without(row: Array, p: Array, s: int) -> None:
    """A free unit of station `s` is gone: wake those who count on it."""
    if p[of_station(p, s) + st.EAGER] == 1:
        wake(row, p, s)
    wake_hopeful(row, p, s)
