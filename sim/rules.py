"""What every event does: the rules of docs/kernel.md as compiled functions over (row, params).

Loops and ifs on integers only; nothing here allocates, recurses or closes over anything, so that the same
functions compile for the CPU and for CUDA. `sim.reference` writes the same rules independently.
"""

from __future__ import annotations

from sim import state as st
from sim.draws import ARRIVAL, DEMAND, FAIL, LEAD, REPAIR, ROUTE, WORK, draw, quantile
from sim.jit import leaf, rule
from sim.plant import DONE
from sim.state import Array  # fmt: skip

# --- bookkeeping -------------------------------------------------------------------------------------------------


@leaf
def set_state(row: Array, p: Array, u: int, new: int) -> None:
    """Unit `u` enters state `new`; the time in its old state is accumulated."""
    s = p[p[st.UNIT_STATION] + u]
    at = row[p[st.UNIT_STATE] + u]
    since = p[st.UNIT_SINCE] + u
    row[p[st.ST_TICKS] + 7 * s + at] += row[st.NOW] - row[since]
    row[since] = row[st.NOW]
    row[p[st.N_STATE] + 7 * s + at] -= 1
    row[p[st.N_STATE] + 7 * s + new] += 1
    row[p[st.UNIT_STATE] + u] = new


@leaf
def count_queue(row: Array, p: Array, s: int) -> None:
    """Accumulate part-ticks of queue `s` up to now; call before its length changes."""
    last = p[st.Q_LAST] + s
    row[p[st.Q_AREA] + s] += row[p[st.Q_LEN] + s] * (row[st.NOW] - row[last])
    row[last] = row[st.NOW]


@leaf
def change_wip(row: Array, p: Array, product: int, by: int) -> None:
    last = p[st.WIP_LAST] + product
    wip = p[st.WIP] + product
    row[p[st.WIP_AREA] + product] += row[wip] * (row[st.NOW] - row[last])
    row[last] = row[st.NOW]
    row[wip] += by


@leaf
def count_stock(row: Array, p: Array, k: int) -> None:
    """Accumulate unit-ticks of stock `k` up to now; call before on-hand or backorders change."""
    last = p[st.STOCK_LAST] + k
    spell = row[st.NOW] - row[last]
    row[p[st.ON_HAND_AREA] + k] += row[p[st.ON_HAND] + k] * spell
    row[p[st.BACKORDER_AREA] + k] += row[p[st.BACKORDERS] + k] * spell
    row[last] = row[st.NOW]


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
    return calendar < 0 or row[p[st.CAL_OPEN] + calendar] == 1


# --- the worklist of zero-time consequences ----------------------------------------------------------------------


@leaf
def wake(row: Array, p: Array, entity: int) -> None:
    """Put an entity into the worklist unless it waits there; those woken by one step stand in ascending order."""
    flag = p[st.WORK_FLAG] + entity
    if row[flag] == 0:
        row[flag] = 1
        ring = p[st.WORK_LIST]
        size = p[st.N_ENTITIES]
        j = row[st.WORK_LEN]
        row[st.WORK_LEN] = j + 1
        at = row[st.WORK_HEAD] + j
        if at >= size:
            at -= size
        while j > row[st.WORK_SEG]:
            before = at - 1 if at > 0 else size - 1
            if row[ring + before] < entity:
                break
            row[ring + at] = row[ring + before]
            at = before
            j -= 1
        row[ring + at] = entity


@leaf
def wake_product(row: Array, p: Array, product: int) -> None:
    wake(row, p, p[st.N_STATIONS] + product)


@rule
def wake_users(row: Array, p: Array, k: int) -> None:
    """Wake the products whose release consumes stock `k`."""
    for i in range(p[p[st.USERS_AT] + k], p[p[st.USERS_AT] + k + 1]):
        wake_product(row, p, p[p[st.USERS] + i])


@rule
def settle(row: Array, p: Array) -> None:
    """Drain the worklist: all that follows at once from the last event."""
    steps = 0
    while row[st.WORK_LEN] > 0 and row[st.ERROR] == 0:
        head = row[st.WORK_HEAD]
        entity = row[p[st.WORK_LIST] + head]
        row[p[st.WORK_LIST] + head] = 0
        row[p[st.WORK_FLAG] + entity] = 0
        row[st.WORK_LEN] -= 1
        row[st.WORK_SEG] = row[st.WORK_LEN]
        head += 1
        row[st.WORK_HEAD] = 0 if head == p[st.N_ENTITIES] or row[st.WORK_LEN] == 0 else head
        if entity < p[st.N_STATIONS]:
            handle_station(row, p, entity)
        else:
            handle_product(row, p, entity - p[st.N_STATIONS])
        steps += 1
        if steps > 1000000:
            row[st.ERROR] = 3
    row[st.WORK_SEG] = 0


# --- queues and units --------------------------------------------------------------------------------------------


@leaf
def free_units(row: Array, p: Array, s: int) -> int:
    return row[p[st.N_STATE] + 7 * s + st.IDLE] + row[p[st.N_STATE] + 7 * s + st.STARVED]


@leaf
def has_room(row: Array, p: Array, s: int) -> bool:
    return row[p[st.Q_LEN] + s] < p[p[st.CAPACITY] + s] + free_units(row, p, s)


@leaf
def enqueue(row: Array, p: Array, s: int, part: int) -> None:
    count_queue(row, p, s)
    row[p[st.PART_NEXT] + part] = st.NOBODY
    tail = row[p[st.Q_TAIL] + s]
    if tail < 0:
        row[p[st.Q_HEAD] + s] = part
    else:
        row[p[st.PART_NEXT] + tail] = part
    row[p[st.Q_TAIL] + s] = part
    row[p[st.Q_LEN] + s] += 1


@leaf
def dequeue(row: Array, p: Array, s: int) -> int:
    count_queue(row, p, s)
    part = row[p[st.Q_HEAD] + s]
    after = row[p[st.PART_NEXT] + part]
    row[p[st.PART_NEXT] + part] = st.NOBODY
    row[p[st.Q_HEAD] + s] = after
    if after < 0:
        row[p[st.Q_TAIL] + s] = st.NOBODY
    row[p[st.Q_LEN] + s] -= 1
    return part


@leaf
def free_state(row: Array, p: Array, s: int) -> int:
    """State of a free unit of `s`: off, idle (a decision holds work back) or starved."""
    if not is_open(row, p, p[p[st.ST_CALENDAR] + s]):
        state = st.OFF
    elif row[p[st.ST_HELD] + s] > 0:
        state = st.IDLE
    else:
        state = st.STARVED
    return state


@leaf
def give_up_part(row: Array, p: Array, u: int) -> None:
    """Unit `u` no longer has a part: it becomes free, or off."""
    row[p[st.UNIT_PART] + u] = st.NOBODY
    set_state(row, p, u, free_state(row, p, p[p[st.UNIT_STATION] + u]))


@leaf
def join(row: Array, p: Array, head: int, u: int) -> None:
    """Unit `u` joins the list at `row[head]`, ordered by (tick of asking, unit)."""
    row[p[st.UNIT_ASKED] + u] = row[st.NOW]
    previous = st.NOBODY
    v = row[head]
    while v >= 0 and (row[p[st.UNIT_ASKED] + v] < row[st.NOW] or v < u):
        previous = v
        v = row[p[st.UNIT_LINK] + v]
    row[p[st.UNIT_LINK] + u] = v
    if previous < 0:
        row[head] = u
    else:
        row[p[st.UNIT_LINK] + previous] = u


@leaf
def leave(row: Array, p: Array, head: int) -> int:
    """Take the first unit out of the list at `row[head]`."""
    u = row[head]
    row[head] = row[p[st.UNIT_LINK] + u]
    row[p[st.UNIT_LINK] + u] = st.NOBODY
    row[p[st.UNIT_ASKED] + u] = 0
    return u


@rule
def start(row: Array, p: Array, s: int) -> None:
    """The lowest-numbered free unit of `s` starts the part at the head of the queue."""
    u = p[p[st.FIRST_UNIT] + s]
    while row[p[st.UNIT_STATE] + u] != st.IDLE and row[p[st.UNIT_STATE] + u] != st.STARVED:
        u += 1
    part = dequeue(row, p, s)
    row[p[st.UNIT_PART] + u] = part
    set_state(row, p, u, st.WORKING)
    row[p[st.STARTED] + s] += 1
    table = p[p[st.STEP_TABLE] + row[p[st.PART_STEP] + part]]
    ticks = duration(row, p, table, p[st.UNIT_DRAWS] + 8 * u + 2 * WORK, p[p[st.UNIT_ENTITY] + u], WORK)
    row[p[st.NEXT_TIME] + u] = row[st.NOW] + scaled(ticks, row[p[st.WORK_SCALE] + s])
    if p[p[st.FAIL_SLOT] + u] >= 0:
        row[p[st.NEXT_TIME] + p[p[st.FAIL_SLOT] + u]] = row[st.NOW] + row[p[st.UNIT_TTF] + u]
        row[p[st.UNIT_TTF] + u] = 0


@rule
def handle_station(row: Array, p: Array, s: int) -> None:
    started = False
    while True:
        if row[p[st.Q_LEN] + s] > 0 and free_units(row, p, s) > 0:
            start(row, p, s)
            started = True
        elif row[p[st.BLOCKED_HEAD] + s] >= 0 and has_room(row, p, s):
            u = leave(row, p, p[st.BLOCKED_HEAD] + s)
            enqueue(row, p, s, row[p[st.UNIT_PART] + u])
            give_up_part(row, p, u)
            wake(row, p, p[p[st.UNIT_STATION] + u])
        else:
            break
    if started or p[p[st.CAPACITY] + s] == 0:
        for i in range(p[p[st.STARTERS_AT] + s], p[p[st.STARTERS_AT] + s + 1]):
            wake_product(row, p, p[p[st.STARTERS] + i])


# --- stocks ------------------------------------------------------------------------------------------------------


@rule
def order_up(row: Array, p: Array, k: int) -> None:
    """Order what lifts the inventory position of stock `k` to its level."""
    quantity = row[p[st.LEVEL] + k] - (row[p[st.ON_HAND] + k] + row[p[st.ON_ORDER] + k] - row[p[st.BACKORDERS] + k])
    if quantity > 0:
        places = p[st.N_TRANSIT]
        i = 0
        while i < places and row[p[st.TRANSIT_QTY] + k * places + i] > 0:
            i += 1
        if i == places:
            row[st.ERROR] = 2
        else:
            ticks = duration(row, p, p[p[st.LEAD_TABLE] + k], p[st.LEAD_DRAWS] + 2 * k, p[p[st.STOCK_ENTITY] + k], LEAD)
            due = row[st.NOW] + scaled(ticks, row[p[st.LEAD_SCALE] + k])
            row[p[st.TRANSIT_DUE] + k * places + i] = due
            row[p[st.TRANSIT_QTY] + k * places + i] = quantity
            row[p[st.ON_ORDER] + k] += quantity
            row[p[st.ORDERS] + k] += 1
            row[p[st.ORDERED] + k] += quantity
            slot = p[st.NEXT_TIME] + p[p[st.DELIVERY_SLOT] + k]
            if due < row[slot]:  # noqa: PLR1730 - a min() of integers does not compile for CUDA
                row[slot] = due


@rule
def receive(row: Array, p: Array, k: int, quantity: int) -> None:
    """Stock `k` gets `quantity` units; backorders are shipped first."""
    count_stock(row, p, k)
    shipped = row[p[st.BACKORDERS] + k]
    if shipped > quantity:  # noqa: PLR1730
        shipped = quantity
    row[p[st.BACKORDERS] + k] -= shipped
    row[p[st.SHIPPED] + k] += shipped
    row[p[st.ON_HAND] + k] += quantity - shipped
    row[p[st.RECEIVED] + k] += quantity
    if p[p[st.FILLER] + k] >= 0:
        wake_product(row, p, p[p[st.FILLER] + k])
    wake_users(row, p, k)


@rule
def stocks_suffice(row: Array, p: Array, product: int) -> bool:
    enough = True
    for i in range(p[p[st.CONSUMES_AT] + product], p[p[st.CONSUMES_AT] + product + 1]):
        if row[p[st.ON_HAND] + p[p[st.CONSUMES] + 2 * i]] < p[p[st.CONSUMES] + 2 * i + 1]:
            enough = False
    return enough


@rule
def consume(row: Array, p: Array, product: int) -> None:
    for i in range(p[p[st.CONSUMES_AT] + product], p[p[st.CONSUMES_AT] + product + 1]):
        k = p[p[st.CONSUMES] + 2 * i]
        count_stock(row, p, k)
        row[p[st.ON_HAND] + k] -= p[p[st.CONSUMES] + 2 * i + 1]
        if p[p[st.FILLER] + k] >= 0:
            wake_product(row, p, p[p[st.FILLER] + k])
        if p[p[st.CONTINUOUS] + k] == 1:
            order_up(row, p, k)


# --- release -----------------------------------------------------------------------------------------------------


@rule
def decision_allows(row: Array, p: Array, product: int) -> bool:
    """CONWIP cap and base stock of the product."""
    wip = row[p[st.WIP] + product]
    allowed = wip < row[p[st.CAP] + product]
    k = p[p[st.PRODUCT_STOCK] + product]
    if k >= 0 and row[p[st.BASE_STOCK] + product] >= 0:
        allowed = allowed and row[p[st.ON_HAND] + k] - row[p[st.BACKORDERS] + k] + wip < row[p[st.BASE_STOCK] + product]
    return allowed


@rule
def create_part(row: Array, p: Array, product: int) -> None:
    part = row[st.PART_FREE]
    if part >= 0:
        row[st.PART_FREE] = row[p[st.PART_NEXT] + part]
    elif row[st.PART_USED] < p[st.N_PARTS]:
        part = row[st.PART_USED]
        row[st.PART_USED] += 1
    else:
        row[st.ERROR] = 1
    if part >= 0:
        step = p[p[st.FIRST_STEP] + product]
        row[p[st.PART_PRODUCT] + part] = product
        row[p[st.PART_STEP] + part] = step
        row[p[st.PART_RELEASE] + part] = row[st.NOW]
        row[p[st.RELEASED] + product] += 1
        change_wip(row, p, product, 1)
        s = p[p[st.STEP_STATION] + step]
        enqueue(row, p, s, part)
        wake(row, p, s)
        wake_product(row, p, product)


@leaf
def free_part(row: Array, p: Array, part: int) -> None:
    row[p[st.PART_PRODUCT] + part] = 0
    row[p[st.PART_STEP] + part] = 0
    row[p[st.PART_RELEASE] + part] = 0
    row[p[st.PART_NEXT] + part] = row[st.PART_FREE]
    row[st.PART_FREE] = part


@rule
def set_held(row: Array, p: Array, product: int, held: int) -> None:
    """Note whether the decision alone holds the product back; free units of its first station show it."""
    if held != row[p[st.HELD] + product]:
        row[p[st.HELD] + product] = held
        s = p[p[st.STEP_STATION] + p[p[st.FIRST_STEP] + product]]
        row[p[st.ST_HELD] + s] += 2 * held - 1
        new = free_state(row, p, s)
        for u in range(p[p[st.FIRST_UNIT] + s], p[p[st.FIRST_UNIT] + s] + p[p[st.UNIT_COUNT] + s]):
            now = row[p[st.UNIT_STATE] + u]
            if now != new and (now == st.IDLE or now == st.STARVED):  # noqa: PLR1714 - tuples cost in compiled code
                set_state(row, p, u, new)


@rule
def handle_product(row: Array, p: Array, product: int) -> None:
    s = p[p[st.STEP_STATION] + p[p[st.FIRST_STEP] + product]]
    policy = p[p[st.POLICY] + product]
    if policy == st.PUSH:
        if row[p[st.PENDING] + product] > 0 and stocks_suffice(row, p, product) and has_room(row, p, s):
            row[p[st.PENDING] + product] -= 1
            consume(row, p, product)
            create_part(row, p, product)
    else:
        possible = is_open(row, p, p[p[st.PRODUCT_CALENDAR] + product]) and stocks_suffice(row, p, product)
        if policy == st.SATURATED:
            if possible and row[p[st.Q_LEN] + s] == 0 and has_room(row, p, s):
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
    at = p[p[st.ROUTE_AT] + step]
    end = p[p[st.ROUTE_AT] + step + 1]
    if end - at > 1:
        w = (draw(row, p[st.UNIT_DRAWS] + 8 * u + 2 * ROUTE, p[p[st.UNIT_ENTITY] + u], ROUTE) >> 32) & 0xFFFFFFFF
        while at < end - 1 and p[p[st.ROUTE] + 2 * at] <= w:
            at += 1
    return p[p[st.ROUTE] + 2 * at + 1]


@rule
def leave_line(row: Array, p: Array, part: int, target: int) -> None:
    """The part is finished or scrapped."""
    product = row[p[st.PART_PRODUCT] + part]
    if target == DONE:
        row[p[st.FINISHED] + product] += 1
        row[p[st.FLOW_SUM] + product] += row[st.NOW] - row[p[st.PART_RELEASE] + part]
    else:
        row[p[st.SCRAPPED] + product] += 1
    change_wip(row, p, product, -1)
    if target == DONE and p[p[st.PRODUCT_STOCK] + product] >= 0:
        receive(row, p, p[p[st.PRODUCT_STOCK] + product], 1)
    wake_product(row, p, product)
    free_part(row, p, part)


@rule
def work_end(row: Array, p: Array, u: int) -> None:
    s = p[p[st.UNIT_STATION] + u]
    part = row[p[st.UNIT_PART] + u]
    row[p[st.NEXT_TIME] + u] = st.INFINITY
    row[p[st.ENDED] + s] += 1
    if p[p[st.FAIL_SLOT] + u] >= 0:
        slot = p[st.NEXT_TIME] + p[p[st.FAIL_SLOT] + u]
        row[p[st.UNIT_TTF] + u] = row[slot] - row[st.NOW]
        row[slot] = st.INFINITY
    target = next_step(row, p, u, row[p[st.PART_STEP] + part])
    if target < 0:
        leave_line(row, p, part, target)
        give_up_part(row, p, u)
        wake(row, p, s)
    else:
        row[p[st.PART_STEP] + part] = target
        d = p[p[st.STEP_STATION] + target]
        if has_room(row, p, d):
            enqueue(row, p, d, part)
            give_up_part(row, p, u)
            wake(row, p, s)
            wake(row, p, d)
        else:
            set_state(row, p, u, st.BLOCKED)
            join(row, p, p[st.BLOCKED_HEAD] + d, u)


@rule
def start_repair(row: Array, p: Array, u: int) -> None:
    s = p[p[st.UNIT_STATION] + u]
    ticks = duration(
        row, p, p[p[st.REPAIR_TABLE] + s], p[st.UNIT_DRAWS] + 8 * u + 2 * REPAIR, p[p[st.UNIT_ENTITY] + u], REPAIR
    )
    row[p[st.NEXT_TIME] + p[p[st.REPAIR_SLOT] + u]] = row[st.NOW] + scaled(ticks, row[p[st.REPAIR_SCALE] + s])


@rule
def failure(row: Array, p: Array, u: int) -> None:
    s = p[p[st.UNIT_STATION] + u]
    row[p[st.UNIT_LEFT] + u] = row[p[st.NEXT_TIME] + u] - row[st.NOW]
    row[p[st.NEXT_TIME] + u] = st.INFINITY
    row[p[st.NEXT_TIME] + p[p[st.FAIL_SLOT] + u]] = st.INFINITY
    row[p[st.FAILURES] + s] += 1
    set_state(row, p, u, st.DOWN)
    crew = p[p[st.ST_CREW] + s]
    if crew < 0:
        start_repair(row, p, u)
    elif row[p[st.CREW_FREE] + crew] > 0:
        row[p[st.CREW_FREE] + crew] -= 1
        start_repair(row, p, u)
    else:
        join(row, p, p[st.CREW_HEAD] + crew, u)


@rule
def draw_ttf(row: Array, p: Array, u: int) -> int:
    s = p[p[st.UNIT_STATION] + u]
    ticks = duration(
        row, p, p[p[st.FAIL_TABLE] + s], p[st.UNIT_DRAWS] + 8 * u + 2 * FAIL, p[p[st.UNIT_ENTITY] + u], FAIL
    )
    return scaled(ticks, row[p[st.FAIL_SCALE] + s])


@rule
def repair_end(row: Array, p: Array, u: int) -> None:
    crew = p[p[st.ST_CREW] + p[p[st.UNIT_STATION] + u]]
    row[p[st.NEXT_TIME] + p[p[st.REPAIR_SLOT] + u]] = st.INFINITY
    if crew >= 0:
        if row[p[st.CREW_HEAD] + crew] >= 0:
            start_repair(row, p, leave(row, p, p[st.CREW_HEAD] + crew))
        else:
            row[p[st.CREW_FREE] + crew] += 1
    set_state(row, p, u, st.WORKING)
    row[p[st.NEXT_TIME] + u] = row[st.NOW] + row[p[st.UNIT_LEFT] + u]
    row[p[st.UNIT_LEFT] + u] = 0
    row[p[st.NEXT_TIME] + p[p[st.FAIL_SLOT] + u]] = row[st.NOW] + draw_ttf(row, p, u)


@leaf
def change_time(p: Array, c: int, i: int) -> int:
    """Tick of change number `i` of calendar `c`: the table, then its last week again and again."""
    at = p[p[st.CAL_AT] + c]
    n = p[p[st.CAL_AT] + c + 1] - at
    if n == 0:
        t = st.INFINITY
    elif i < n:
        t = p[p[st.CAL_TICKS] + at + i]
    else:
        weekly = p[p[st.CAL_WEEKLY] + c]
        t = p[p[st.CAL_TICKS] + at + n - weekly + (i - n) % weekly] + p[st.WEEK] * (1 + (i - n) // weekly)
    return t


@leaf
def pause(row: Array, p: Array, left: int, slot: int) -> None:
    """Stop a clock: keep what was left."""
    row[left] = row[p[st.NEXT_TIME] + slot] - row[st.NOW]
    row[p[st.NEXT_TIME] + slot] = st.INFINITY


@leaf
def resume(row: Array, p: Array, left: int, slot: int) -> None:
    row[p[st.NEXT_TIME] + slot] = row[st.NOW] + row[left]
    row[left] = st.NOBODY


@rule
def switch_clocks(row: Array, p: Array, c: int, opens: bool) -> None:
    """Arrivals and demands that keep calendar `c` stop or go on."""
    for product in range(p[st.N_PRODUCTS]):
        if p[p[st.PRODUCT_CALENDAR] + product] == c:
            if p[p[st.ARRIVAL_SLOT] + product] >= 0:
                if opens:
                    resume(row, p, p[st.ARRIVAL_LEFT] + product, p[p[st.ARRIVAL_SLOT] + product])
                else:
                    pause(row, p, p[st.ARRIVAL_LEFT] + product, p[p[st.ARRIVAL_SLOT] + product])
            if opens:
                wake_product(row, p, product)
    for d in range(p[st.N_DEMANDS]):
        if p[p[st.DEMAND_CALENDAR] + d] == c:
            if opens:
                resume(row, p, p[st.DEMAND_LEFT] + d, p[p[st.DEMAND_SLOT] + d])
            else:
                pause(row, p, p[st.DEMAND_LEFT] + d, p[p[st.DEMAND_SLOT] + d])


@rule
def calendar(row: Array, p: Array, c: int) -> None:
    opens = row[p[st.CAL_OPEN] + c] == 0
    row[p[st.CAL_OPEN] + c] = 1 if opens else 0
    row[p[st.CAL_NEXT] + c] += 1
    row[p[st.NEXT_TIME] + p[p[st.CALENDAR_SLOT] + c]] = change_time(p, c, row[p[st.CAL_NEXT] + c])
    for u in range(p[st.N_UNITS]):
        s = p[p[st.UNIT_STATION] + u]
        if p[p[st.ST_CALENDAR] + s] == c:
            now = row[p[st.UNIT_STATE] + u]
            if now == st.OFF or now == st.IDLE or now == st.STARVED:  # noqa: PLR1714
                set_state(row, p, u, free_state(row, p, s))
    if opens:
        for s in range(p[st.N_STATIONS]):
            if p[p[st.ST_CALENDAR] + s] == c:
                wake(row, p, s)
    switch_clocks(row, p, c, opens)


@rule
def delivery(row: Array, p: Array, k: int) -> None:
    places = p[st.N_TRANSIT]
    due = p[st.TRANSIT_DUE] + k * places
    first = 0
    for i in range(1, places):
        if row[due + i] < row[due + first]:
            first = i
    quantity = row[p[st.TRANSIT_QTY] + k * places + first]
    row[p[st.TRANSIT_QTY] + k * places + first] = 0
    row[due + first] = st.INFINITY
    earliest = st.INFINITY
    for i in range(places):
        if row[due + i] < earliest:  # noqa: PLR1730
            earliest = row[due + i]
    row[p[st.NEXT_TIME] + p[p[st.DELIVERY_SLOT] + k]] = earliest
    row[p[st.ON_ORDER] + k] -= quantity
    receive(row, p, k, quantity)


@rule
def draw_arrival(row: Array, p: Array, product: int) -> int:
    ticks = duration(
        row,
        p,
        p[p[st.ARRIVAL_TABLE] + product],
        p[st.ARRIVAL_DRAWS] + 2 * product,
        p[p[st.PRODUCT_ENTITY] + product],
        ARRIVAL,
    )
    return scaled(ticks, row[p[st.ARRIVAL_SCALE] + product])


@rule
def arrival(row: Array, p: Array, product: int) -> None:
    row[p[st.PENDING] + product] += 1
    row[p[st.NEXT_TIME] + p[p[st.ARRIVAL_SLOT] + product]] = row[st.NOW] + draw_arrival(row, p, product)
    wake_product(row, p, product)


@rule
def draw_demand(row: Array, p: Array, d: int) -> int:
    ticks = duration(row, p, p[p[st.DEMAND_TABLE] + d], p[st.DEMAND_DRAWS] + 2 * d, p[p[st.DEMAND_ENTITY] + d], DEMAND)
    return scaled(ticks, row[p[st.DEMAND_SCALE] + d])


@rule
def demand(row: Array, p: Array, d: int) -> None:
    k = p[p[st.DEMAND_STOCK] + d]
    row[p[st.NEXT_TIME] + p[p[st.DEMAND_SLOT] + d]] = row[st.NOW] + draw_demand(row, p, d)
    count_stock(row, p, k)
    row[p[st.DEMANDED] + k] += 1
    if row[p[st.ON_HAND] + k] > 0:
        row[p[st.ON_HAND] + k] -= 1
        row[p[st.MET] + k] += 1
        row[p[st.SHIPPED] + k] += 1
    else:
        row[p[st.BACKORDERS] + k] += 1
    if p[p[st.CONTINUOUS] + k] == 1:
        order_up(row, p, k)
    if p[p[st.FILLER] + k] >= 0:
        wake_product(row, p, p[p[st.FILLER] + k])


@rule
def review(row: Array, p: Array, k: int) -> None:
    row[p[st.NEXT_TIME] + p[p[st.REVIEW_SLOT] + k]] += p[p[st.REVIEW_TICKS] + k]
    order_up(row, p, k)
