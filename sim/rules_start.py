"""Rules of stations and products: starting parts, releasing lots, and what a woken entity does (docs/kernel.md)."""

from __future__ import annotations

from sim import state as st
from sim.draws import ARRIVAL
from sim.draws import DUE as DUE_DRAW
from sim.draws import SETUP as SETUP_DRAW
from sim.jit import leaf, rare, rule
from sim.rules_base import (
    change_wip,
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
    stock_at,
    timer,
    unit_at,
    wake,
    wake_group,
    wake_listed,
    wake_product,
)
from sim.rules_queue import (
    batch_key,
    candidate,
    dequeue,
    dispatch_key,
    enqueue,
    family_of,
    has_room,
    has_room_for,
    is_free,
    nearest_unit,
    pick_station,
    setup_entry,
)
from sim.rules_supply import take, withdrawn
from sim.rules_unit import (
    begin_work,
    comes_before,
    first_mate,
    go_down,
    leave,
    next_step,
    of_clock,
    pop_part,
    show_free_state,
    unload,
)
from sim.state import Array

# --- starting -----------------------------------------------------------------------------------------------------


@rare
def place_in_queue(row: Array, p: Array, s: int, part: int) -> int:
    """How many parts stand before the part in the queue of `s`."""
    n = 0
    other = row[station_at(p, s) + st.Q_HEAD]
    while other != part:
        other = row[part_at(p, other) + st.PART_NEXT]
        n += 1
    return n


@rare
def next_of_batch(row: Array, p: Array, s: int, key: int, after: int, place: int) -> int:
    """Of the parts with this batch key that follow (dispatching key `after`, place) in order, the first; -1 for none."""
    a = of_station(p, s)
    best = st.NOBODY
    least = 0
    n = 0
    part = row[station_at(p, s) + st.Q_HEAD]
    while part >= 0:
        if batch_key(row, p, s, part) == key:
            value = dispatch_key(row, p, s, part) if p[a + st.PICKS] == 1 else 0
            follows = value > after or (value == after and n >= place)
            if follows and (best < 0 or value < least):
                best, least = part, value
        part = row[part_at(p, part) + st.PART_NEXT]
        n += 1
    return best


@rare
def load_batch(row: Array, p: Array, s: int, u: int, first: int) -> None:
    """The candidate `first` and the next parts of its key leave the queue and are in unit `u`, in order."""
    a = of_station(p, s)
    w = unit_at(p, u)
    key = batch_key(row, p, s, first)
    last = st.NOBODY
    part = first
    while part >= 0:
        place = place_in_queue(row, p, s, part)
        value = dispatch_key(row, p, s, part) if p[a + st.PICKS] == 1 else 0
        dequeue(row, p, s, part)
        if last < 0:
            row[w + st.UNIT_PART] = part
        else:
            row[part_at(p, last) + st.PART_NEXT] = part
        last = part
        row[w + st.UNIT_COUNT] += 1
        part = st.NOBODY
        if row[w + st.UNIT_COUNT] < p[a + st.BATCH_MOST]:
            part = next_of_batch(row, p, s, key, value, place)


@rare
def take_needs(row: Array, p: Array, part: int) -> None:
    """What the part's operation needs is taken from the stocks."""
    a = part_at(p, part)
    b = of_step(p, row[a + st.PART_STEP])
    pieces = p[of_product(p, row[a + st.PART_PRODUCT]) + st.TRANSFER]
    for i in range(p[b + st.NEEDS_AT], p[b + st.NEEDS_END], 2):
        take(row, p, p[i], p[i + 1] * pieces)
    for i in range(p[b + st.NEEDS_AT], p[b + st.NEEDS_END], 2):
        withdrawn(row, p, p[i])


@rare
def take_operators(row: Array, p: Array, s: int) -> None:
    a = of_station(p, s)
    pool = p[a + st.ST_POOL]
    row[p[st.AT_POOLS] + pool] -= p[a + st.ST_PEOPLE]
    row[station_at(p, s) + st.ST_ASKED] = st.NOBODY
    if row[p[st.AT_POOLS] + pool] > 0:
        first = first_mate(row, p, pool)
        if first >= 0:
            wake(row, p, first)


@rare
def may_take_operators(row: Array, p: Array, s: int) -> bool:
    """Are there operators for station `s`, and does nobody who waits come before it? If not it waits from now on."""
    a = of_station(p, s)
    z = station_at(p, s)
    pool = p[a + st.ST_POOL]
    asked = row[z + st.ST_ASKED]
    if asked < 0:
        asked = row[st.NOW]
    may = row[p[st.AT_POOLS] + pool] >= p[a + st.ST_PEOPLE]
    if may:
        first = first_mate(row, p, pool)
        may = first < 0 or first == s or comes_before(row, p, s, asked, first)
    if not may:
        row[z + st.ST_ASKED] = asked
    return may


@rare
def reserve(row: Array, p: Array, s: int, part: int) -> bool:
    """Before service: draw the candidate's next step and reserve a place for it; was there room?"""
    a = part_at(p, part)
    if row[a + st.PART_TARGET] == st.UNDRAWN:
        u = nearest_unit(row, p, s, family_of(row, p, part))
        row[a + st.PART_TARGET] = next_step(row, p, u, row[a + st.PART_STEP])
    room = True
    if row[a + st.PART_TARGET] >= 0:
        room = pick_station(row, p, row[a + st.PART_TARGET], s) >= 0
    return room


@leaf
def starts(row: Array, p: Array, s: int) -> bool:
    """Start the candidate of station `s`, which has a free unit; was there one that could?"""
    z = station_at(p, s)
    a = of_station(p, s)
    part = candidate(row, p, s)
    possible = part >= 0
    if possible and p[st.BEFORE_SERVICE] == 1:
        possible = reserve(row, p, s, part)
        row[z + st.ST_BARRED] = 0 if possible else 1
    if possible and p[a + st.ST_POOL] >= 0:
        possible = may_take_operators(row, p, s)
    if possible:
        start(row, p, s, part)
    return possible


@leaf
def start(row: Array, p: Array, s: int, part: int) -> None:
    """The part (with its batch) starts on the unit chosen for it."""
    z = station_at(p, s)
    a = of_station(p, s)
    u = p[a + st.FIRST_UNIT]
    if p[a + st.SETUP_AT] >= 0:
        u = nearest_unit(row, p, s, family_of(row, p, part))
    else:
        while not is_free(row, p, u):
            u += 1
    w = unit_at(p, u)
    if p[a + st.BATCH_MOST] > 1:
        load_batch(row, p, s, u, part)
    else:
        dequeue(row, p, s, part)
        row[w + st.UNIT_PART] = part
        row[w + st.UNIT_COUNT] = 1
    row[z + st.STARTED] += row[w + st.UNIT_COUNT]
    row[z + st.ST_FREE] -= 1
    if p[a + st.EAGER] == 1:
        take_needs(row, p, part)
        if p[a + st.ST_POOL] >= 0:
            take_operators(row, p, s)
        target = row[part_at(p, part) + st.PART_TARGET]
        if target >= 0:
            d = p[of_step(p, target) + st.STEP_STATION]
            row[station_at(p, d) + st.ST_RESERVED] += 1
            row[part_at(p, part) + st.PART_DEST] = d
    if p[a + st.SETUP_AT] >= 0 and sets_up(row, p, u, s, family_of(row, p, part)):
        row[w + st.UNIT_PHASE] = st.IN_SETUP
        set_state(row, p, u, s, st.SETUP)
    else:
        begin_work(row, p, u, s)


@rare
def sets_up(row: Array, p: Array, u: int, s: int, family: int) -> bool:
    """Begin the setup of unit `u` to `family`, if it takes one."""
    entry = setup_entry(row, p, s, u, family)
    w = unit_at(p, u)
    row[w + st.UNIT_FAMILY] = family
    needed = p[entry] >= 0
    if needed:
        row[station_at(p, s) + st.SET_UPS] += 1
        stream = w + st.UNIT_DRAWS + 4
        ticks = duration(row, p, p[entry], stream, p[of_unit(p, u) + st.UNIT_ENTITY], SETUP_DRAW)
        row[timer(p, u)] = row[st.NOW] + ticks
    return needed


# --- a station is handled -----------------------------------------------------------------------------------------


@rare
def maintain(row: Array, p: Array, s: int) -> None:
    """Units of `s` that have no part and are due go down for planned modes."""
    a = of_station(p, s)
    for u in range(p[a + st.FIRST_UNIT], p[a + st.FIRST_UNIT] + p[a + st.UNIT_TOTAL]):
        if is_free(row, p, u):
            c = due_clock(row, p, u, s)
            if c >= 0:
                go_down(row, p, c)


@rare
def due_clock(row: Array, p: Array, u: int, s: int) -> int:
    """The clock of the planned mode that unit `u` goes down for when it has no part; -1 for none."""
    b = of_unit(p, u)
    w = unit_at(p, u)
    for i in range(p[b + st.CLOCK_TOTAL]):
        if (row[w + st.UNIT_DUE] >> i) & 1 == 1:
            return p[b + st.FIRST_CLOCK] + i
    if row[station_at(p, s) + st.AT_LEVEL] <= row[w + st.UNIT_LEVEL]:
        for i in range(p[b + st.CLOCK_TOTAL]):
            if p[of_clock(p, p[b + st.FIRST_CLOCK] + i) + st.WATCHES_LEVEL] == 1:
                return p[b + st.FIRST_CLOCK] + i
    return -1


@leaf
def first_giver(row: Array, p: Array, s: int) -> int:
    """Door of `s` with the unit that has waited longest for room (ties: lowest unit), or -1."""
    a = of_station(p, s)
    best = s if row[p[st.AT_DOORS] + s] >= 0 else -1
    if p[a + st.DOORS_END] - p[a + st.DOORS_AT] > 1:
        best = first_of_doors(row, p, s)
    return best


@rare
def first_of_doors(row: Array, p: Array, s: int) -> int:
    """`first_giver` for a station with several doors."""
    a = of_station(p, s)
    best = -1
    for i in range(p[a + st.DOORS_AT], p[a + st.DOORS_END]):
        u = row[p[st.AT_DOORS] + p[i]]
        if u >= 0:
            if best < 0:
                best = p[i]
            else:
                other = row[p[st.AT_DOORS] + best]
                asked = row[unit_at(p, u) + st.UNIT_ASKED]
                since = row[unit_at(p, other) + st.UNIT_ASKED]
                if asked < since or (asked == since and u < other):
                    best = p[i]
    return best


@rare
def hand_over(row: Array, p: Array, s: int, door: int) -> bool:
    """The first unit before the door gives its first part to station `s`, if there is room for it."""
    head = p[st.AT_DOORS] + door
    u = row[head]
    own = p[of_unit(p, u) + st.STATION]
    room = has_room(row, p, s, 1 if own == s else 0)
    if room:
        leave(row, p, head)
        enqueue(row, p, s, pop_part(row, p, u))
        unload(row, p, u, own)
    return room


@rare
def end_of_handling(row: Array, p: Array, s: int, started: bool) -> None:
    """Steps 3 to 5 of handling a station that is not plain."""
    a = of_station(p, s)
    z = station_at(p, s)
    if started and p[st.BEFORE_SERVICE] == 1:
        wake_listed(row, p, p[a + st.FEEDERS_AT], p[a + st.FEEDERS_END], 0)
    if row[z + st.ST_ASKED] >= 0 and (row[z + st.ST_FREE] == 0 or candidate(row, p, s) < 0):
        row[z + st.ST_ASKED] = st.NOBODY
        pool = p[a + st.ST_POOL]
        if row[p[st.AT_POOLS] + pool] > 0:
            first = first_mate(row, p, pool)
            if first >= 0:
                wake(row, p, first)
    if p[a + st.WAIT_SLOT] >= 0:
        row[timer(p, p[a + st.WAIT_SLOT])] = next_wait(row, p, s)
    if p[st.BEFORE_SERVICE] == 1:
        show_free_state(row, p, s)


@rare
def next_wait(row: Array, p: Array, s: int) -> int:
    """When the next part in the queue of `s` will have waited long enough."""
    wait = p[of_station(p, s) + st.BATCH_WAIT]
    earliest = st.INFINITY
    part = row[station_at(p, s) + st.Q_HEAD]
    while part >= 0:
        at = row[part_at(p, part) + st.PART_QUEUED] + wait
        if row[st.NOW] < at < earliest:
            earliest = at
        part = row[part_at(p, part) + st.PART_NEXT]
    return earliest


@rule
def handle_station(row: Array, p: Array, s: int) -> None:
    a = of_station(p, s)
    z = station_at(p, s)
    eager = p[a + st.EAGER] == 1
    if eager:
        maintain(row, p, s)
    started = False
    while True:
        if eager:
            row[z + st.ST_BARRED] = 0
        if row[z + st.ST_FREE] > 0 and row[z + st.Q_LEN] > 0 and starts(row, p, s):
            started = True
        else:
            door = first_giver(row, p, s)
            if door < 0 or not hand_over(row, p, s, door):
                break
    if (started or eager) and p[a + st.STARTERS_END] > p[a + st.STARTERS_AT]:
        wake_listed(row, p, p[a + st.STARTERS_AT], p[a + st.STARTERS_END], p[st.N_STATIONS])
    if eager:
        end_of_handling(row, p, s, started)


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


@rule
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

