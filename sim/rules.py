"""What every event does: the rules of docs/kernel.md as compiled functions over (row, params).

Loops and ifs on integers only; nothing here allocates, recurses or closes over anything, so that the same
functions compile for the CPU and for CUDA. `sim.reference` writes the same rules independently.
"""

from __future__ import annotations

from sim import state as st
from sim.draws import ARRIVAL, DEMAND, FAIL, LEAD, REPAIR, ROUTE, WORK, draw, quantile
from sim.jit import leaf, rule
from sim.plant import DONE
from sim.state import (
    ARRIVAL_DRAWS,
    ARRIVAL_LEFT,
    ARRIVAL_SCALE,
    ARRIVAL_SLOT,
    ARRIVAL_TABLE,
    BACKORDER_AREA,
    BACKORDERS,
    BASE_STOCK,
    BLOCKED,
    BLOCKED_HEAD,
    CAL_AT,
    CAL_NEXT,
    CAL_OPEN,
    CAL_TICKS,
    CAL_WEEKLY,
    CALENDAR_SLOT,
    CAP,
    CAPACITY,
    CONSUMES,
    CONSUMES_AT,
    CONTINUOUS,
    CREW_FREE,
    CREW_HEAD,
    DELIVERY_SLOT,
    DEMAND_CALENDAR,
    DEMAND_DRAWS,
    DEMAND_ENTITY,
    DEMAND_LEFT,
    DEMAND_SCALE,
    DEMAND_SLOT,
    DEMAND_STOCK,
    DEMAND_TABLE,
    DEMANDED,
    DOWN,
    ENDED,
    ERROR,
    FAIL_SCALE,
    FAIL_SLOT,
    FAIL_TABLE,
    FAILURES,
    FILLER,
    FINISHED,
    FIRST_STEP,
    FIRST_UNIT,
    FLOW_SUM,
    HELD,
    IDLE,
    INFINITY,
    LEAD_DRAWS,
    LEAD_SCALE,
    LEAD_TABLE,
    LEVEL,
    MET,
    N_DEMANDS,
    N_ENTITIES,
    N_PARTS,
    N_PRODUCTS,
    N_STATE,
    N_STATIONS,
    N_TRANSIT,
    N_UNITS,
    NEXT_TIME,
    NOBODY,
    NOW,
    OFF,
    ON_HAND,
    ON_HAND_AREA,
    ON_ORDER,
    ORDERED,
    ORDERS,
    PART_FREE,
    PART_NEXT,
    PART_PRODUCT,
    PART_RELEASE,
    PART_STEP,
    PART_USED,
    PENDING,
    POLICY,
    PRODUCT_CALENDAR,
    PRODUCT_ENTITY,
    PRODUCT_STOCK,
    PUSH,
    Q_AREA,
    Q_HEAD,
    Q_LAST,
    Q_LEN,
    Q_TAIL,
    RECEIVED,
    RELEASED,
    REPAIR_SCALE,
    REPAIR_SLOT,
    REPAIR_TABLE,
    REVIEW_SLOT,
    REVIEW_TICKS,
    ROUTE_AT,
    SATURATED,
    SCRAPPED,
    SHIPPED,
    ST_CALENDAR,
    ST_CREW,
    ST_HELD,
    ST_TICKS,
    STARTED,
    STARTERS,
    STARTERS_AT,
    STARVED,
    STEP_STATION,
    STEP_TABLE,
    STOCK_ENTITY,
    STOCK_LAST,
    TRANSIT_DUE,
    TRANSIT_QTY,
    UNIT_ASKED,
    UNIT_COUNT,
    UNIT_DRAWS,
    UNIT_ENTITY,
    UNIT_LEFT,
    UNIT_LINK,
    UNIT_PART,
    UNIT_SINCE,
    UNIT_STATE,
    UNIT_STATION,
    UNIT_TTF,
    USERS,
    USERS_AT,
    WEEK,
    WIP,
    WIP_AREA,
    WIP_LAST,
    WORK_FLAG,
    WORK_HEAD,
    WORK_LEN,
    WORK_LIST,
    WORK_SCALE,
    WORK_SEG,
    WORKING,
    Array,
)  # fmt: skip

ROUTE_TABLE = st.ROUTE  # the table; `sim.draws.ROUTE` is the purpose

# --- bookkeeping -------------------------------------------------------------------------------------------------


@leaf
def set_state(row: Array, p: Array, u: int, new: int) -> None:
    """Unit `u` enters state `new`; the time in its old state is accumulated."""
    s = p[p[UNIT_STATION] + u]
    at = row[p[UNIT_STATE] + u]
    since = p[UNIT_SINCE] + u
    row[p[ST_TICKS] + 7 * s + at] += row[NOW] - row[since]
    row[since] = row[NOW]
    row[p[N_STATE] + 7 * s + at] -= 1
    row[p[N_STATE] + 7 * s + new] += 1
    row[p[UNIT_STATE] + u] = new


@leaf
def count_queue(row: Array, p: Array, s: int) -> None:
    """Accumulate part-ticks of queue `s` up to now; call before its length changes."""
    last = p[Q_LAST] + s
    row[p[Q_AREA] + s] += row[p[Q_LEN] + s] * (row[NOW] - row[last])
    row[last] = row[NOW]


@leaf
def change_wip(row: Array, p: Array, product: int, by: int) -> None:
    last = p[WIP_LAST] + product
    wip = p[WIP] + product
    row[p[WIP_AREA] + product] += row[wip] * (row[NOW] - row[last])
    row[last] = row[NOW]
    row[wip] += by


@leaf
def count_stock(row: Array, p: Array, k: int) -> None:
    """Accumulate unit-ticks of stock `k` up to now; call before on-hand or backorders change."""
    last = p[STOCK_LAST] + k
    spell = row[NOW] - row[last]
    row[p[ON_HAND_AREA] + k] += row[p[ON_HAND] + k] * spell
    row[p[BACKORDER_AREA] + k] += row[p[BACKORDERS] + k] * spell
    row[last] = row[NOW]


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
def is_open(row: Array, p: Array, calendar: int) -> bool:
    return calendar < 0 or row[p[CAL_OPEN] + calendar] == 1


# --- the worklist of zero-time consequences ----------------------------------------------------------------------


@leaf
def wake(row: Array, p: Array, entity: int) -> None:
    """Put an entity into the worklist unless it waits there; those woken by one step stand in ascending order."""
    flag = p[WORK_FLAG] + entity
    if row[flag] == 0:
        row[flag] = 1
        ring = p[WORK_LIST]
        size = p[N_ENTITIES]
        j = row[WORK_LEN]
        row[WORK_LEN] = j + 1
        at = row[WORK_HEAD] + j
        if at >= size:
            at -= size
        while j > row[WORK_SEG]:
            before = at - 1 if at > 0 else size - 1
            if row[ring + before] < entity:
                break
            row[ring + at] = row[ring + before]
            at = before
            j -= 1
        row[ring + at] = entity


@leaf
def wake_product(row: Array, p: Array, product: int) -> None:
    wake(row, p, p[N_STATIONS] + product)


@rule
def wake_users(row: Array, p: Array, k: int) -> None:
    """Wake the products whose release consumes stock `k`."""
    for i in range(p[p[USERS_AT] + k], p[p[USERS_AT] + k + 1]):
        wake_product(row, p, p[p[USERS] + i])


@rule
def settle(row: Array, p: Array) -> None:
    """Drain the worklist: all that follows at once from the last event."""
    steps = 0
    while row[WORK_LEN] > 0 and row[ERROR] == 0:
        head = row[WORK_HEAD]
        entity = row[p[WORK_LIST] + head]
        row[p[WORK_LIST] + head] = 0
        row[p[WORK_FLAG] + entity] = 0
        row[WORK_LEN] -= 1
        row[WORK_SEG] = row[WORK_LEN]
        head += 1
        row[WORK_HEAD] = 0 if head == p[N_ENTITIES] or row[WORK_LEN] == 0 else head
        if entity < p[N_STATIONS]:
            handle_station(row, p, entity)
        else:
            handle_product(row, p, entity - p[N_STATIONS])
        steps += 1
        if steps > 1000000:
            row[ERROR] = 3
    row[WORK_SEG] = 0


# --- queues and units --------------------------------------------------------------------------------------------


@leaf
def free_units(row: Array, p: Array, s: int) -> int:
    return row[p[N_STATE] + 7 * s + IDLE] + row[p[N_STATE] + 7 * s + STARVED]


@leaf
def has_room(row: Array, p: Array, s: int) -> bool:
    return row[p[Q_LEN] + s] < p[p[CAPACITY] + s] + free_units(row, p, s)


@leaf
def enqueue(row: Array, p: Array, s: int, part: int) -> None:
    count_queue(row, p, s)
    row[p[PART_NEXT] + part] = NOBODY
    tail = row[p[Q_TAIL] + s]
    if tail < 0:
        row[p[Q_HEAD] + s] = part
    else:
        row[p[PART_NEXT] + tail] = part
    row[p[Q_TAIL] + s] = part
    row[p[Q_LEN] + s] += 1


@leaf
def dequeue(row: Array, p: Array, s: int) -> int:
    count_queue(row, p, s)
    part = row[p[Q_HEAD] + s]
    after = row[p[PART_NEXT] + part]
    row[p[PART_NEXT] + part] = NOBODY
    row[p[Q_HEAD] + s] = after
    if after < 0:
        row[p[Q_TAIL] + s] = NOBODY
    row[p[Q_LEN] + s] -= 1
    return part


@leaf
def free_state(row: Array, p: Array, s: int) -> int:
    """State of a free unit of `s`: off, idle (a decision holds work back) or starved."""
    if not is_open(row, p, p[p[ST_CALENDAR] + s]):
        state = OFF
    elif row[p[ST_HELD] + s] > 0:
        state = IDLE
    else:
        state = STARVED
    return state


@leaf
def give_up_part(row: Array, p: Array, u: int) -> None:
    """Unit `u` no longer has a part: it becomes free, or off."""
    row[p[UNIT_PART] + u] = NOBODY
    set_state(row, p, u, free_state(row, p, p[p[UNIT_STATION] + u]))


@leaf
def join(row: Array, p: Array, head: int, u: int) -> None:
    """Unit `u` joins the list at `row[head]`, ordered by (tick of asking, unit)."""
    row[p[UNIT_ASKED] + u] = row[NOW]
    previous = NOBODY
    v = row[head]
    while v >= 0 and (row[p[UNIT_ASKED] + v] < row[NOW] or v < u):
        previous = v
        v = row[p[UNIT_LINK] + v]
    row[p[UNIT_LINK] + u] = v
    if previous < 0:
        row[head] = u
    else:
        row[p[UNIT_LINK] + previous] = u


@leaf
def leave(row: Array, p: Array, head: int) -> int:
    """Take the first unit out of the list at `row[head]`."""
    u = row[head]
    row[head] = row[p[UNIT_LINK] + u]
    row[p[UNIT_LINK] + u] = NOBODY
    row[p[UNIT_ASKED] + u] = 0
    return u


@rule
def start(row: Array, p: Array, s: int) -> None:
    """The lowest-numbered free unit of `s` starts the part at the head of the queue."""
    u = p[p[FIRST_UNIT] + s]
    while row[p[UNIT_STATE] + u] != IDLE and row[p[UNIT_STATE] + u] != STARVED:
        u += 1
    part = dequeue(row, p, s)
    row[p[UNIT_PART] + u] = part
    set_state(row, p, u, WORKING)
    row[p[STARTED] + s] += 1
    table = p[p[STEP_TABLE] + row[p[PART_STEP] + part]]
    ticks = duration(row, p, table, p[UNIT_DRAWS] + 8 * u + 2 * WORK, p[p[UNIT_ENTITY] + u], WORK)
    row[p[NEXT_TIME] + u] = row[NOW] + scaled(ticks, row[p[WORK_SCALE] + s])
    if p[p[FAIL_SLOT] + u] >= 0:
        row[p[NEXT_TIME] + p[p[FAIL_SLOT] + u]] = row[NOW] + row[p[UNIT_TTF] + u]
        row[p[UNIT_TTF] + u] = 0


@rule
def handle_station(row: Array, p: Array, s: int) -> None:
    started = False
    while True:
        if row[p[Q_LEN] + s] > 0 and free_units(row, p, s) > 0:
            start(row, p, s)
            started = True
        elif row[p[BLOCKED_HEAD] + s] >= 0 and has_room(row, p, s):
            u = leave(row, p, p[BLOCKED_HEAD] + s)
            enqueue(row, p, s, row[p[UNIT_PART] + u])
            give_up_part(row, p, u)
            wake(row, p, p[p[UNIT_STATION] + u])
        else:
            break
    if started or p[p[CAPACITY] + s] == 0:
        for i in range(p[p[STARTERS_AT] + s], p[p[STARTERS_AT] + s + 1]):
            wake_product(row, p, p[p[STARTERS] + i])


# --- stocks ------------------------------------------------------------------------------------------------------


@rule
def order_up(row: Array, p: Array, k: int) -> None:
    """Order what lifts the inventory position of stock `k` to its level."""
    quantity = row[p[LEVEL] + k] - (row[p[ON_HAND] + k] + row[p[ON_ORDER] + k] - row[p[BACKORDERS] + k])
    if quantity > 0:
        places = p[N_TRANSIT]
        i = 0
        while i < places and row[p[TRANSIT_QTY] + k * places + i] > 0:
            i += 1
        if i == places:
            row[ERROR] = 2
        else:
            ticks = duration(row, p, p[p[LEAD_TABLE] + k], p[LEAD_DRAWS] + 2 * k, p[p[STOCK_ENTITY] + k], LEAD)
            due = row[NOW] + scaled(ticks, row[p[LEAD_SCALE] + k])
            row[p[TRANSIT_DUE] + k * places + i] = due
            row[p[TRANSIT_QTY] + k * places + i] = quantity
            row[p[ON_ORDER] + k] += quantity
            row[p[ORDERS] + k] += 1
            row[p[ORDERED] + k] += quantity
            slot = p[NEXT_TIME] + p[p[DELIVERY_SLOT] + k]
            if due < row[slot]:  # noqa: PLR1730 - a min() of integers does not compile for CUDA
                row[slot] = due


@rule
def receive(row: Array, p: Array, k: int, quantity: int) -> None:
    """Stock `k` gets `quantity` units; backorders are shipped first."""
    count_stock(row, p, k)
    shipped = row[p[BACKORDERS] + k]
    if shipped > quantity:  # noqa: PLR1730
        shipped = quantity
    row[p[BACKORDERS] + k] -= shipped
    row[p[SHIPPED] + k] += shipped
    row[p[ON_HAND] + k] += quantity - shipped
    row[p[RECEIVED] + k] += quantity
    if p[p[FILLER] + k] >= 0:
        wake_product(row, p, p[p[FILLER] + k])
    wake_users(row, p, k)


@rule
def stocks_suffice(row: Array, p: Array, product: int) -> bool:
    enough = True
    for i in range(p[p[CONSUMES_AT] + product], p[p[CONSUMES_AT] + product + 1]):
        if row[p[ON_HAND] + p[p[CONSUMES] + 2 * i]] < p[p[CONSUMES] + 2 * i + 1]:
            enough = False
    return enough


@rule
def consume(row: Array, p: Array, product: int) -> None:
    for i in range(p[p[CONSUMES_AT] + product], p[p[CONSUMES_AT] + product + 1]):
        k = p[p[CONSUMES] + 2 * i]
        count_stock(row, p, k)
        row[p[ON_HAND] + k] -= p[p[CONSUMES] + 2 * i + 1]
        if p[p[FILLER] + k] >= 0:
            wake_product(row, p, p[p[FILLER] + k])
        if p[p[CONTINUOUS] + k] == 1:
            order_up(row, p, k)


# --- release -----------------------------------------------------------------------------------------------------


@rule
def decision_allows(row: Array, p: Array, product: int) -> bool:
    """CONWIP cap and base stock of the product."""
    wip = row[p[WIP] + product]
    allowed = wip < row[p[CAP] + product]
    k = p[p[PRODUCT_STOCK] + product]
    if k >= 0 and row[p[BASE_STOCK] + product] >= 0:
        allowed = allowed and row[p[ON_HAND] + k] - row[p[BACKORDERS] + k] + wip < row[p[BASE_STOCK] + product]
    return allowed


@rule
def create_part(row: Array, p: Array, product: int) -> None:
    part = row[PART_FREE]
    if part >= 0:
        row[PART_FREE] = row[p[PART_NEXT] + part]
    elif row[PART_USED] < p[N_PARTS]:
        part = row[PART_USED]
        row[PART_USED] += 1
    else:
        row[ERROR] = 1
    if part >= 0:
        step = p[p[FIRST_STEP] + product]
        row[p[PART_PRODUCT] + part] = product
        row[p[PART_STEP] + part] = step
        row[p[PART_RELEASE] + part] = row[NOW]
        row[p[RELEASED] + product] += 1
        change_wip(row, p, product, 1)
        s = p[p[STEP_STATION] + step]
        enqueue(row, p, s, part)
        wake(row, p, s)
        wake_product(row, p, product)


@leaf
def free_part(row: Array, p: Array, part: int) -> None:
    row[p[PART_PRODUCT] + part] = 0
    row[p[PART_STEP] + part] = 0
    row[p[PART_RELEASE] + part] = 0
    row[p[PART_NEXT] + part] = row[PART_FREE]
    row[PART_FREE] = part


@rule
def set_held(row: Array, p: Array, product: int, held: int) -> None:
    """Note whether the decision alone holds the product back; free units of its first station show it."""
    if held != row[p[HELD] + product]:
        row[p[HELD] + product] = held
        s = p[p[STEP_STATION] + p[p[FIRST_STEP] + product]]
        row[p[ST_HELD] + s] += 2 * held - 1
        new = free_state(row, p, s)
        for u in range(p[p[FIRST_UNIT] + s], p[p[FIRST_UNIT] + s] + p[p[UNIT_COUNT] + s]):
            now = row[p[UNIT_STATE] + u]
            if now != new and (now == IDLE or now == STARVED):  # noqa: SIM109, PLR1714 - tuples cost in compiled code
                set_state(row, p, u, new)


@rule
def handle_product(row: Array, p: Array, product: int) -> None:
    s = p[p[STEP_STATION] + p[p[FIRST_STEP] + product]]
    policy = p[p[POLICY] + product]
    if policy == PUSH:
        if row[p[PENDING] + product] > 0 and stocks_suffice(row, p, product) and has_room(row, p, s):
            row[p[PENDING] + product] -= 1
            consume(row, p, product)
            create_part(row, p, product)
    else:
        possible = is_open(row, p, p[p[PRODUCT_CALENDAR] + product]) and stocks_suffice(row, p, product)
        if policy == SATURATED:
            if possible and row[p[Q_LEN] + s] == 0 and has_room(row, p, s):
                consume(row, p, product)
                create_part(row, p, product)
        else:
            if possible and decision_allows(row, p, product) and has_room(row, p, s):
                consume(row, p, product)
                create_part(row, p, product)
                possible = stocks_suffice(row, p, product)
            set_held(row, p, product, 1 if possible and not decision_allows(row, p, product) else 0)


# --- events ------------------------------------------------------------------------------------------------------


@leaf
def next_step(row: Array, p: Array, u: int, step: int) -> int:
    """Draw where the part of unit `u` goes after `step`: a global step index, DONE or SCRAP."""
    at = p[p[ROUTE_AT] + step]
    end = p[p[ROUTE_AT] + step + 1]
    if end - at > 1:
        w = (draw(row, p[UNIT_DRAWS] + 8 * u + 2 * ROUTE, p[p[UNIT_ENTITY] + u], ROUTE) >> 32) & 0xFFFFFFFF
        while at < end - 1 and p[p[ROUTE_TABLE] + 2 * at] <= w:
            at += 1
    return p[p[ROUTE_TABLE] + 2 * at + 1]


@rule
def leave_line(row: Array, p: Array, part: int, target: int) -> None:
    """The part is finished or scrapped."""
    product = row[p[PART_PRODUCT] + part]
    if target == DONE:
        row[p[FINISHED] + product] += 1
        row[p[FLOW_SUM] + product] += row[NOW] - row[p[PART_RELEASE] + part]
    else:
        row[p[SCRAPPED] + product] += 1
    change_wip(row, p, product, -1)
    if target == DONE and p[p[PRODUCT_STOCK] + product] >= 0:
        receive(row, p, p[p[PRODUCT_STOCK] + product], 1)
    wake_product(row, p, product)
    free_part(row, p, part)


@rule
def work_end(row: Array, p: Array, u: int) -> None:
    s = p[p[UNIT_STATION] + u]
    part = row[p[UNIT_PART] + u]
    row[p[NEXT_TIME] + u] = INFINITY
    row[p[ENDED] + s] += 1
    if p[p[FAIL_SLOT] + u] >= 0:
        slot = p[NEXT_TIME] + p[p[FAIL_SLOT] + u]
        row[p[UNIT_TTF] + u] = row[slot] - row[NOW]
        row[slot] = INFINITY
    target = next_step(row, p, u, row[p[PART_STEP] + part])
    if target < 0:
        leave_line(row, p, part, target)
        give_up_part(row, p, u)
        wake(row, p, s)
    else:
        row[p[PART_STEP] + part] = target
        d = p[p[STEP_STATION] + target]
        if has_room(row, p, d):
            enqueue(row, p, d, part)
            give_up_part(row, p, u)
            wake(row, p, s)
            wake(row, p, d)
        else:
            set_state(row, p, u, BLOCKED)
            join(row, p, p[BLOCKED_HEAD] + d, u)


@rule
def start_repair(row: Array, p: Array, u: int) -> None:
    s = p[p[UNIT_STATION] + u]
    ticks = duration(row, p, p[p[REPAIR_TABLE] + s], p[UNIT_DRAWS] + 8 * u + 2 * REPAIR, p[p[UNIT_ENTITY] + u], REPAIR)
    row[p[NEXT_TIME] + p[p[REPAIR_SLOT] + u]] = row[NOW] + scaled(ticks, row[p[REPAIR_SCALE] + s])


@rule
def failure(row: Array, p: Array, u: int) -> None:
    s = p[p[UNIT_STATION] + u]
    row[p[UNIT_LEFT] + u] = row[p[NEXT_TIME] + u] - row[NOW]
    row[p[NEXT_TIME] + u] = INFINITY
    row[p[NEXT_TIME] + p[p[FAIL_SLOT] + u]] = INFINITY
    row[p[FAILURES] + s] += 1
    set_state(row, p, u, DOWN)
    crew = p[p[ST_CREW] + s]
    if crew < 0:
        start_repair(row, p, u)
    elif row[p[CREW_FREE] + crew] > 0:
        row[p[CREW_FREE] + crew] -= 1
        start_repair(row, p, u)
    else:
        join(row, p, p[CREW_HEAD] + crew, u)


@rule
def draw_ttf(row: Array, p: Array, u: int) -> int:
    s = p[p[UNIT_STATION] + u]
    ticks = duration(row, p, p[p[FAIL_TABLE] + s], p[UNIT_DRAWS] + 8 * u + 2 * FAIL, p[p[UNIT_ENTITY] + u], FAIL)
    return scaled(ticks, row[p[FAIL_SCALE] + s])


@rule
def repair_end(row: Array, p: Array, u: int) -> None:
    crew = p[p[ST_CREW] + p[p[UNIT_STATION] + u]]
    row[p[NEXT_TIME] + p[p[REPAIR_SLOT] + u]] = INFINITY
    if crew >= 0:
        if row[p[CREW_HEAD] + crew] >= 0:
            start_repair(row, p, leave(row, p, p[CREW_HEAD] + crew))
        else:
            row[p[CREW_FREE] + crew] += 1
    set_state(row, p, u, WORKING)
    row[p[NEXT_TIME] + u] = row[NOW] + row[p[UNIT_LEFT] + u]
    row[p[UNIT_LEFT] + u] = 0
    row[p[NEXT_TIME] + p[p[FAIL_SLOT] + u]] = row[NOW] + draw_ttf(row, p, u)


@leaf
def change_time(p: Array, c: int, i: int) -> int:
    """Tick of change number `i` of calendar `c`: the table, then its last week again and again."""
    at = p[p[CAL_AT] + c]
    n = p[p[CAL_AT] + c + 1] - at
    if n == 0:
        t = INFINITY
    elif i < n:
        t = p[p[CAL_TICKS] + at + i]
    else:
        weekly = p[p[CAL_WEEKLY] + c]
        t = p[p[CAL_TICKS] + at + n - weekly + (i - n) % weekly] + p[WEEK] * (1 + (i - n) // weekly)
    return t


@leaf
def pause(row: Array, p: Array, left: int, slot: int) -> None:
    """Stop a clock: keep what was left."""
    row[left] = row[p[NEXT_TIME] + slot] - row[NOW]
    row[p[NEXT_TIME] + slot] = INFINITY


@leaf
def resume(row: Array, p: Array, left: int, slot: int) -> None:
    row[p[NEXT_TIME] + slot] = row[NOW] + row[left]
    row[left] = NOBODY


@rule
def switch_clocks(row: Array, p: Array, c: int, opens: bool) -> None:
    """Arrivals and demands that keep calendar `c` stop or go on."""
    for product in range(p[N_PRODUCTS]):
        if p[p[PRODUCT_CALENDAR] + product] == c:
            if p[p[ARRIVAL_SLOT] + product] >= 0:
                if opens:
                    resume(row, p, p[ARRIVAL_LEFT] + product, p[p[ARRIVAL_SLOT] + product])
                else:
                    pause(row, p, p[ARRIVAL_LEFT] + product, p[p[ARRIVAL_SLOT] + product])
            if opens:
                wake_product(row, p, product)
    for d in range(p[N_DEMANDS]):
        if p[p[DEMAND_CALENDAR] + d] == c:
            if opens:
                resume(row, p, p[DEMAND_LEFT] + d, p[p[DEMAND_SLOT] + d])
            else:
                pause(row, p, p[DEMAND_LEFT] + d, p[p[DEMAND_SLOT] + d])


@rule
def calendar(row: Array, p: Array, c: int) -> None:
    opens = row[p[CAL_OPEN] + c] == 0
    row[p[CAL_OPEN] + c] = 1 if opens else 0
    row[p[CAL_NEXT] + c] += 1
    row[p[NEXT_TIME] + p[p[CALENDAR_SLOT] + c]] = change_time(p, c, row[p[CAL_NEXT] + c])
    for u in range(p[N_UNITS]):
        s = p[p[UNIT_STATION] + u]
        if p[p[ST_CALENDAR] + s] == c:
            now = row[p[UNIT_STATE] + u]
            if now == OFF or now == IDLE or now == STARVED:  # noqa: SIM109, PLR1714
                set_state(row, p, u, free_state(row, p, s))
    if opens:
        for s in range(p[N_STATIONS]):
            if p[p[ST_CALENDAR] + s] == c:
                wake(row, p, s)
    switch_clocks(row, p, c, opens)


@rule
def delivery(row: Array, p: Array, k: int) -> None:
    places = p[N_TRANSIT]
    due = p[TRANSIT_DUE] + k * places
    first = 0
    for i in range(1, places):
        if row[due + i] < row[due + first]:
            first = i
    quantity = row[p[TRANSIT_QTY] + k * places + first]
    row[p[TRANSIT_QTY] + k * places + first] = 0
    row[due + first] = INFINITY
    earliest = INFINITY
    for i in range(places):
        if row[due + i] < earliest:  # noqa: PLR1730
            earliest = row[due + i]
    row[p[NEXT_TIME] + p[p[DELIVERY_SLOT] + k]] = earliest
    row[p[ON_ORDER] + k] -= quantity
    receive(row, p, k, quantity)


@rule
def draw_arrival(row: Array, p: Array, product: int) -> int:
    ticks = duration(
        row, p, p[p[ARRIVAL_TABLE] + product], p[ARRIVAL_DRAWS] + 2 * product, p[p[PRODUCT_ENTITY] + product], ARRIVAL
    )
    return scaled(ticks, row[p[ARRIVAL_SCALE] + product])


@rule
def arrival(row: Array, p: Array, product: int) -> None:
    row[p[PENDING] + product] += 1
    row[p[NEXT_TIME] + p[p[ARRIVAL_SLOT] + product]] = row[NOW] + draw_arrival(row, p, product)
    wake_product(row, p, product)


@rule
def draw_demand(row: Array, p: Array, d: int) -> int:
    ticks = duration(row, p, p[p[DEMAND_TABLE] + d], p[DEMAND_DRAWS] + 2 * d, p[p[DEMAND_ENTITY] + d], DEMAND)
    return scaled(ticks, row[p[DEMAND_SCALE] + d])


@rule
def demand(row: Array, p: Array, d: int) -> None:
    k = p[p[DEMAND_STOCK] + d]
    row[p[NEXT_TIME] + p[p[DEMAND_SLOT] + d]] = row[NOW] + draw_demand(row, p, d)
    count_stock(row, p, k)
    row[p[DEMANDED] + k] += 1
    if row[p[ON_HAND] + k] > 0:
        row[p[ON_HAND] + k] -= 1
        row[p[MET] + k] += 1
        row[p[SHIPPED] + k] += 1
    else:
        row[p[BACKORDERS] + k] += 1
    if p[p[CONTINUOUS] + k] == 1:
        order_up(row, p, k)
    if p[p[FILLER] + k] >= 0:
        wake_product(row, p, p[p[FILLER] + k])


@rule
def review(row: Array, p: Array, k: int) -> None:
    row[p[NEXT_TIME] + p[p[REVIEW_SLOT] + k]] += p[p[REVIEW_TICKS] + k]
    order_up(row, p, k)
