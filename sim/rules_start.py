"""Rules of stations: starting parts, and what a woken station does (docs/kernel.md, Queues, room, starting)."""

from __future__ import annotations

from sim import state as st
from sim.draws import SETUP as SETUP_DRAW
from sim.jit import leaf, rare, shared
from sim.rules_base import (
    duration,
    of_product,
    of_station,
    of_step,
    of_unit,
    part_at,
    set_state,
    station_at,
    timer,
    unit_at,
    wake,
    wake_hopeful,
    wake_listed,
)
from sim.rules_queue import (
    batch_key,
    candidate,
    dequeue,
    dispatch_key,
    enqueue,
    family_of,
    has_room,
    is_free,
    nearest_unit,
    pick_station,
    setup_entry,
)
from sim.rules_repair import clock_at_once, go_down, level_clock
from sim.rules_supply import take, withdrawn
from sim.rules_unit import begin_work, comes_before, first_mate, leave, next_step, pop_part, show_free_state, unload
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
    """Of the parts with this batch key that follow (dispatching key `after`, place) in order the first, or -1."""
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
def starts(row: Array, p: Array, s: int, plain: bool) -> bool:
    """Start the candidate of station `s`, which has a free unit; was there one that could?"""
    z = station_at(p, s)
    a = of_station(p, s)
    if plain:
        start(row, p, s, row[z + st.Q_HEAD], plain)
        return True
    part = candidate(row, p, s)
    possible = part >= 0
    if possible and p[st.BEFORE_SERVICE] == 1:
        possible = reserve(row, p, s, part)
        row[z + st.ST_BARRED] = 0 if possible else 1
    if possible and p[a + st.ST_POOL] >= 0:
        possible = may_take_operators(row, p, s)
    if possible:
        start(row, p, s, part, plain)
    return possible


@leaf
def start(row: Array, p: Array, s: int, part: int, plain: bool) -> None:
    """The part (with its batch) starts on the unit chosen for it."""
    z = station_at(p, s)
    a = of_station(p, s)
    u = p[a + st.FIRST_UNIT]
    if not plain and p[a + st.SETUP_AT] >= 0:
        u = nearest_unit(row, p, s, family_of(row, p, part))
    else:
        while not is_free(row, p, u):
            u += 1
    w = unit_at(p, u)
    if not plain and p[a + st.BATCH_MOST] > 1:
        load_batch(row, p, s, u, part)
    else:
        dequeue(row, p, s, part)
        row[w + st.UNIT_PART] = part
        row[w + st.UNIT_COUNT] = 1
    row[z + st.STARTED] += row[w + st.UNIT_COUNT]
    row[z + st.ST_FREE] -= 1
    if not plain and p[a + st.EAGER] == 1:
        take_needs(row, p, part)
        if p[a + st.ST_POOL] >= 0:
            take_operators(row, p, s)
        target = row[part_at(p, part) + st.PART_TARGET]
        if target >= 0:
            d = p[of_step(p, target) + st.STEP_STATION]
            row[station_at(p, d) + st.ST_RESERVED] += 1
            row[part_at(p, part) + st.PART_DEST] = d
            wake_hopeful(row, p, d)
    if not plain and p[a + st.SETUP_AT] >= 0 and sets_up(row, p, u, s, family_of(row, p, part)):
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
    """Units of `s` that are due go down for planned modes: free ones, and busy ones for a mode that does not wait."""
    a = of_station(p, s)
    for u in range(p[a + st.FIRST_UNIT], p[a + st.FIRST_UNIT] + p[a + st.UNIT_TOTAL]):
        c = -1
        if is_free(row, p, u):
            c = due_clock(row, p, u, s)
        elif row[unit_at(p, u) + st.UNIT_MODE] < 0:
            c = clock_at_once(row, p, u, s)
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
    return level_clock(row, p, u, s)


@leaf
def first_giver(row: Array, p: Array, s: int, plain: bool) -> int:
    """Door of `s` with the unit that has waited longest for room (ties: lowest unit), or -1."""
    a = of_station(p, s)
    best = s if row[p[st.AT_DOORS] + s] >= 0 else -1
    if not plain and p[a + st.DOORS_END] - p[a + st.DOORS_AT] > 1:
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
def wake_others(row: Array, p: Array, s: int, u: int) -> None:
    """Blocked unit `u` goes from its door to station `s`: the door's other stations with a kanban may have room for one
    of their own units that stood behind it.
    """
    a = of_step(p, row[part_at(p, row[unit_at(p, u) + st.UNIT_PART]) + st.PART_STEP])
    for i in range(p[a + st.CHOICES_AT], p[a + st.CHOICES_END], 4):
        if p[i] != s and row[station_at(p, p[i]) + st.KANBAN] < st.NO_LIMIT:
            wake(row, p, p[i])


@leaf
def hand_over(row: Array, p: Array, s: int, door: int) -> bool:
    """The first unit before the door gives its first part to station `s`, if there is room for it."""
    head = p[st.AT_DOORS] + door
    u = row[head]
    own = p[of_unit(p, u) + st.STATION]
    room = has_room(row, p, s, 1 if own == s else 0)
    if room:
        if door >= p[st.N_STATIONS]:
            wake_others(row, p, s, u)
        leave(row, p, head)
        enqueue(row, p, s, pop_part(row, p, u))
        if row[unit_at(p, u) + st.UNIT_COUNT] > 0:
            wake(row, p, own)
        unload(row, p, u, own)
    return room


@rare
def end_of_handling(row: Array, p: Array, s: int, started: bool) -> None:
    """Steps 3 to 5 of handling a station that is not plain."""
    a = of_station(p, s)
    z = station_at(p, s)
    if started and p[st.BEFORE_SERVICE] == 1:
        wake_listed(row, p, p[a + st.FEEDERS_AT], p[a + st.FEEDERS_END], 0)
    if row[z + st.ST_ASKED] >= 0 and (
        row[z + st.ST_FREE] == 0 or row[z + st.ST_BARRED] == 1 or candidate(row, p, s) < 0
    ):
        row[z + st.ST_ASKED] = st.NOBODY
    if p[a + st.ST_POOL] >= 0 and row[p[st.AT_POOLS] + p[a + st.ST_POOL]] > 0:
        first = first_mate(row, p, p[a + st.ST_POOL])
        if first >= 0 and first != s:
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


@leaf
def handle(row: Array, p: Array, s: int, plain: bool) -> None:
    """Station `s` is woken. `plain` is a constant of the compiled code: a plain station is asked for nothing that it
    does not have.
    """
    a = of_station(p, s)
    z = station_at(p, s)
    eager = not plain and p[a + st.EAGER] == 1
    if eager:
        maintain(row, p, s)
    started = False
    while True:
        if eager:
            row[z + st.ST_BARRED] = 0
        if row[z + st.ST_FREE] > 0 and row[z + st.Q_LEN] > 0 and starts(row, p, s, plain):
            started = True
        else:
            door = first_giver(row, p, s, plain)
            if door < 0 or not hand_over(row, p, s, door):
                break
    if (started or eager) and p[a + st.STARTERS_END] > p[a + st.STARTERS_AT]:
        wake_listed(row, p, p[a + st.STARTERS_AT], p[a + st.STARTERS_END], p[st.N_STATIONS])
    if eager:
        end_of_handling(row, p, s, started)


@shared
def handle_special(row: Array, p: Array, s: int) -> None:
    """A station with anything special is woken."""
    handle(row, p, s, False)


@shared
def handle_plain(row: Array, p: Array, s: int) -> None:
    """A plain station is woken."""
    handle(row, p, s, True)


@leaf
def can_act(row: Array, p: Array, s: int) -> bool:
    """Is there anything for the plain station `s` to do? Half of those woken have nothing."""
    z = station_at(p, s)
    return (row[z + st.ST_FREE] > 0 and row[z + st.Q_LEN] > 0) or row[p[st.AT_DOORS] + s] >= 0
