"""Rules of products: releasing lots, arrivals, and what a woken product does (docs/kernel.md, Release)."""

from __future__ import annotations

from sim import state as st
from sim.draws import ARRIVAL
from sim.draws import DUE as DUE_DRAW
from sim.jit import leaf, rare, rule, shared
from sim.rules_base import (
    change_wip,
    duration,
    is_open,
    of_product,
    of_step,
    part_at,
    product_at,
    scaled,
    station_at,
    stock_at,
    timer,
    unit_at,
    wake,
    wake_group,
    wake_hopeful,
    wake_product,
)
from sim.rules_queue import enqueue, has_room_for, pick_station
from sim.rules_repair import stop_work
from sim.rules_supply import take, withdrawn
from sim.rules_unit import show_free_state
from sim.state import Array

# --- a product is handled -----------------------------------------------------------------------------------------


@leaf
def stocks_suffice(row: Array, p: Array, product: int) -> bool:
    """Is everything on hand that the release of a lot takes?"""
    b = of_product(p, product)
    enough = True
    for i in range(p[b + st.CONSUMES_AT], p[b + st.CONSUMES_END], 2):
        if row[stock_at(p, p[i]) + st.ON_HAND] < p[i + 1] * p[b + st.LOT]:
            enough = False
    return enough


@leaf
def own_decision_allows(row: Array, p: Array, product: int) -> bool:
    """CONWIP cap and base stock of the product."""
    b = of_product(p, product)
    a = product_at(p, product)
    wip = row[a + st.WIP]
    allowed = wip + p[b + st.LOT] <= row[a + st.CAP]
    k = p[b + st.PRODUCT_STOCK]
    if k >= 0 and row[a + st.BASE_STOCK] >= 0:
        z = stock_at(p, k)
        allowed = allowed and row[z + st.ON_HAND] - row[z + st.BACKORDERS] + wip < row[a + st.BASE_STOCK]
    return allowed


@leaf
def group_allows(row: Array, p: Array, product: int) -> bool:
    """The cap of the product's group."""
    b = of_product(p, product)
    group = p[b + st.PRODUCT_GROUP]
    allowed = True
    if group >= 0:
        g = p[st.AT_GROUPS] + st.GROUP_W * group
        allowed = row[g + st.GROUP_WIP] + p[b + st.LOT] <= row[g + st.GROUP_CAP]
    return allowed


@rare
def has_turn(row: Array, p: Array, product: int) -> bool:
    """Is no other product of the group further behind its share that could be released now?"""
    b = of_product(p, product)
    group = p[st.TO_GROUPS] + st.GROUP_PW * p[b + st.PRODUCT_GROUP]
    mine = row[product_at(p, product) + st.RELEASED]
    turn = True
    for i in range(p[group + st.MEMBERS_AT], p[group + st.MEMBERS_END]):
        other = p[i]
        if other != product:
            a = mine * p[of_product(p, other) + st.MIX]
            its = row[product_at(p, other) + st.RELEASED] * p[b + st.MIX]
            if (its < a or (its == a and other < product)) and could_release(row, p, other):
                turn = False
    return turn


@rare
def could_release(row: Array, p: Array, product: int) -> bool:
    b = of_product(p, product)
    ready = p[b + st.POLICY] == st.CONWIP and is_open(row, p, p[b + st.PRODUCT_CALENDAR])
    return ready and stocks_suffice(row, p, product) and own_decision_allows(row, p, product)


@rare
def consume(row: Array, p: Array, product: int) -> None:
    b = of_product(p, product)
    for i in range(p[b + st.CONSUMES_AT], p[b + st.CONSUMES_END], 2):
        take(row, p, p[i], p[i + 1] * p[b + st.LOT])
    for i in range(p[b + st.CONSUMES_AT], p[b + st.CONSUMES_END], 2):
        withdrawn(row, p, p[i])


@leaf
def new_record(row: Array, p: Array) -> int:
    """A free record for a part; -1 and an error where there is none."""
    part = row[st.PART_FREE]
    if part >= 0:
        row[st.PART_FREE] = row[part_at(p, part) + st.PART_NEXT]
    elif row[st.PART_USED] < p[st.N_PARTS]:
        part = row[st.PART_USED]
        row[st.PART_USED] += 1
    else:
        row[st.ERROR] = 1
    return part


@rare
def due_date(row: Array, p: Array, product: int) -> int:
    """The due date of the lot that is released now; a lot of an order list counts as taken."""
    b = of_product(p, product)
    a = product_at(p, product)
    due = st.INFINITY
    if p[b + st.POLICY] == st.LISTED:
        line = p[b + st.LIST_AT] + 3 * row[a + st.ORDER_TAKEN]
        due = p[line + 2]
        row[a + st.ORDER_DONE] += 1
        if row[a + st.ORDER_DONE] == p[line + 1]:
            row[a + st.ORDER_DONE] = 0
            row[a + st.ORDER_TAKEN] += 1
    elif p[b + st.DUE_TABLE] >= 0:
        ticks = duration(row, p, p[b + st.DUE_TABLE], a + st.DUE_DRAWS, p[b + st.PRODUCT_ENTITY], DUE_DRAW)
        due = row[st.NOW] + ticks
    return due


@rule
def create_lot(row: Array, p: Array, product: int, s: int) -> None:
    """Release one lot into the queue of station `s`."""
    b = of_product(p, product)
    consume(row, p, product)
    due = st.INFINITY
    if p[b + st.POLICY] == st.LISTED or p[b + st.DUE_TABLE] >= 0:
        due = due_date(row, p, product)
    for _ in range(p[b + st.LOT] // p[b + st.TRANSFER]):
        part = new_record(row, p)
        if part >= 0:
            a = part_at(p, part)
            row[a + st.PART_PRODUCT] = product
            row[a + st.PART_STEP] = p[b + st.FIRST_STEP]
            row[a + st.PART_RELEASE] = row[st.NOW]
            row[a + st.PART_DUE] = due
            row[a + st.PART_TARGET] = st.UNDRAWN
            row[a + st.PART_DEST] = st.NOBODY
            row[product_at(p, product) + st.RELEASED] += p[b + st.TRANSFER]
            change_wip(row, p, product, p[b + st.TRANSFER])
            enqueue(row, p, s, part)
    wake(row, p, s)
    wake_hopeful(row, p, s)
    wake_group(row, p, product)


@rule
def set_held(row: Array, p: Array, product: int, held: int) -> None:
    """Note whether the decision alone holds the product back; free units of its first stations show it."""
    a = product_at(p, product)
    if held != row[a + st.HELD]:
        row[a + st.HELD] = held
        step = of_step(p, p[of_product(p, product) + st.FIRST_STEP])
        for i in range(p[step + st.CHOICES_AT], p[step + st.CHOICES_END], 4):
            row[station_at(p, p[i]) + st.ST_HELD] += 2 * held - 1
            show_free_state(row, p, p[i])


@leaf
def lot_room(row: Array, p: Array, product: int) -> int:
    """The station that takes the whole lot, or -1."""
    b = of_product(p, product)
    s = pick_station(row, p, p[b + st.FIRST_STEP], -1)
    if s >= 0 and not has_room_for(row, p, s, p[b + st.LOT] // p[b + st.TRANSFER]):
        s = -1
    return s


@rare
def stop_surplus(row: Array, p: Array, product: int) -> None:
    """Stop the work on parts that the base stock does not ask for any more, last unit first."""
    a = product_at(p, product)
    z = stock_at(p, p[of_product(p, product) + st.PRODUCT_STOCK])
    over = row[z + st.ON_HAND] - row[z + st.BACKORDERS] - p[of_product(p, product) + st.LOT] - row[a + st.BASE_STOCK]
    u = p[st.N_UNITS] - 1
    while u >= 0 and over + row[a + st.WIP] >= 0:
        if is_stoppable(row, p, u, product):
            stop_work(row, p, u)
        u -= 1


@rare
def is_stoppable(row: Array, p: Array, u: int, product: int) -> bool:
    """Is unit `u` up, and set up for or at work on one part, which is of the product?"""
    w = unit_at(p, u)
    busy = row[w + st.UNIT_PHASE] == st.IN_SETUP or row[w + st.UNIT_PHASE] == st.IN_WORK
    busy = busy and row[w + st.UNIT_MODE] < 0 and row[w + st.UNIT_COUNT] == 1
    return busy and row[part_at(p, row[w + st.UNIT_PART]) + st.PART_PRODUCT] == product


@shared
def handle_product(row: Array, p: Array, product: int) -> None:
    b = of_product(p, product)
    a = product_at(p, product)
    policy = p[b + st.POLICY]
    possible = stocks_suffice(row, p, product)
    if policy == st.CONWIP or policy == st.SATURATED:  # noqa: PLR1714 - tuples cost in compiled code
        possible = possible and is_open(row, p, p[b + st.PRODUCT_CALENDAR])
        allowed = policy == st.SATURATED or (own_decision_allows(row, p, product) and group_allows(row, p, product))
    else:
        allowed = row[a + st.PENDING] > 0
    if possible and allowed and (policy != st.CONWIP or p[b + st.PRODUCT_GROUP] < 0 or has_turn(row, p, product)):
        s = lot_room(row, p, product)
        if s >= 0 and (policy != st.SATURATED or row[station_at(p, s) + st.Q_LEN] == 0):
            if policy == st.PUSH or policy == st.LISTED:  # noqa: PLR1714
                row[a + st.PENDING] -= 1
            create_lot(row, p, product, s)
            possible = stocks_suffice(row, p, product)
    if policy == st.CONWIP:
        possible = possible and is_open(row, p, p[b + st.PRODUCT_CALENDAR])
        allowed = own_decision_allows(row, p, product) and group_allows(row, p, product)
        set_held(row, p, product, 1 if possible and not allowed else 0)
        if p[b + st.STOPS] == 1:
            stop_surplus(row, p, product)


# --- arrivals -----------------------------------------------------------------------------------------------------


@leaf
def draw_arrival(row: Array, p: Array, product: int) -> int:
    b = of_product(p, product)
    a = product_at(p, product)
    ticks = duration(row, p, p[b + st.ARRIVAL_TABLE], a + st.ARRIVAL_DRAWS, p[b + st.PRODUCT_ENTITY], ARRIVAL)
    return scaled(ticks, row[a + st.ARRIVAL_SCALE])


@leaf
def line_time(row: Array, p: Array, at: int, end: int, line: int) -> int:
    """When line number `line` of an order list or book at p[at:end] is due to come; INFINITY after the last."""
    time = st.INFINITY
    if at + 3 * line < end:
        time = p[at + 3 * line]
        if time < row[st.NOW]:  # noqa: PLR1730
            time = row[st.NOW]
    return time


@rare
def arrival(row: Array, p: Array, product: int) -> None:
    b = of_product(p, product)
    a = product_at(p, product)
    slot = timer(p, p[b + st.ARRIVAL_SLOT])
    if p[b + st.POLICY] == st.LISTED:
        row[a + st.PENDING] += p[p[b + st.LIST_AT] + 3 * row[a + st.ORDER_AT] + 1]
        row[a + st.ORDER_AT] += 1
        row[slot] = line_time(row, p, p[b + st.LIST_AT], p[b + st.LIST_END], row[a + st.ORDER_AT])
    else:
        row[a + st.PENDING] += 1
        row[slot] = row[st.NOW] + draw_arrival(row, p, product)
    wake_product(row, p, product)


@leaf
def first_arrival(row: Array, p: Array, product: int) -> int:
    """Tick of the first arrival of a product."""
    b = of_product(p, product)
    if p[b + st.POLICY] == st.LISTED:
        time = line_time(row, p, p[b + st.LIST_AT], p[b + st.LIST_END], row[product_at(p, product) + st.ORDER_AT])
    else:
        time = row[st.NOW] + draw_arrival(row, p, product)
    return time
