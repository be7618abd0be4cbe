"""Rules of queues: room, which station, which part, in and out (docs/kernel.md, Queues, room, starting)."""

from __future__ import annotations

from sim import state as st
from sim.jit import leaf, rare
from sim.rules_base import (
    count_queue,
    of_product,
    of_station,
    of_step,
    part_at,
    station_at,
    stock_at,
    unit_at,
)
from sim.state import Array

FAR = 1 << 40
"""Bound of times in dispatching features; also the time to the date of a part without one."""


# --- room ---------------------------------------------------------------------------------------------------------


@rare
def in_units(row: Array, p: Array, s: int) -> int:
    """Parts in the units of station `s`."""
    a = of_station(p, s)
    total = 0
    for u in range(p[a + st.FIRST_UNIT], p[a + st.FIRST_UNIT] + p[a + st.UNIT_TOTAL]):
        total += row[unit_at(p, u) + st.UNIT_COUNT]
    return total


@rare
def kanban_allows(row: Array, p: Array, s: int, parts: int, own: int) -> bool:
    z = station_at(p, s)
    here = row[z + st.Q_LEN] + in_units(row, p, s) + row[z + st.ST_RESERVED] - own
    return here + parts <= row[z + st.KANBAN]


@leaf
def has_room(row: Array, p: Array, s: int, own: int) -> bool:
    """May one more part come to station `s`? `own`: 1 for a part that comes from a unit of `s` itself."""
    z = station_at(p, s)
    places = p[of_station(p, s) + st.CAPACITY] + row[z + st.ST_FREE]
    room = row[z + st.Q_LEN] + row[z + st.ST_RESERVED] < places
    if room and row[z + st.KANBAN] < st.NO_LIMIT:
        room = kanban_allows(row, p, s, 1, own)
    return room


@leaf
def has_room_for(row: Array, p: Array, s: int, parts: int) -> bool:
    """May `parts` new parts come to station `s` at once?"""
    room = has_room(row, p, s, 0)
    if room and parts > 1:
        z = station_at(p, s)
        places = p[of_station(p, s) + st.CAPACITY] + row[z + st.ST_FREE]
        room = row[z + st.Q_LEN] + row[z + st.ST_RESERVED] + parts <= places
        room = room and (row[z + st.KANBAN] >= st.NO_LIMIT or kanban_allows(row, p, s, parts, 0))
    return room


@rare
def pick_among(row: Array, p: Array, step: int, origin: int) -> int:
    """Of several eligible stations with room the one with the fewest parts a unit (ties: file order), or -1."""
    a = of_step(p, step)
    best = -1
    load = 0
    units = 1
    for i in range(p[a + st.CHOICES_AT], p[a + st.CHOICES_END], 4):
        s = p[i]
        own = 1 if s == origin else 0
        if has_room(row, p, s, own):
            parts = row[station_at(p, s) + st.Q_LEN] + in_units(row, p, s)
            n = p[of_station(p, s) + st.UNIT_TOTAL]
            if best < 0 or parts * units < load * n:
                best, load, units = s, parts, n
    return best


@leaf
def pick_station(row: Array, p: Array, step: int, origin: int) -> int:
    """The station that a part from station `origin` (-1: none) goes to for `step`; -1 where there is no room."""
    a = of_step(p, step)
    if p[a + st.CHOICES_END] - p[a + st.CHOICES_AT] > 4:
        found = pick_among(row, p, step, origin)
    else:
        s = p[a + st.STEP_STATION]
        found = s if has_room(row, p, s, 1 if s == origin else 0) else -1
    return found


# --- in and out ---------------------------------------------------------------------------------------------------


@leaf
def enqueue(row: Array, p: Array, s: int, part: int) -> None:
    """The part joins the tail of the queue of `s`."""
    z = station_at(p, s)
    a = part_at(p, part)
    count_queue(row, z)
    row[a + st.PART_NEXT] = st.NOBODY
    row[a + st.PART_QUEUED] = row[st.NOW]
    tail = row[z + st.Q_TAIL]
    if tail < 0:
        row[z + st.Q_HEAD] = part
    else:
        row[part_at(p, tail) + st.PART_NEXT] = part
    row[z + st.Q_TAIL] = part
    row[z + st.Q_LEN] += 1


@rare
def previous_in_queue(row: Array, p: Array, z: int, part: int) -> int:
    before = row[z + st.Q_HEAD]
    while row[part_at(p, before) + st.PART_NEXT] != part:
        before = row[part_at(p, before) + st.PART_NEXT]
    return before


@leaf
def dequeue(row: Array, p: Array, s: int, part: int) -> None:
    """The part leaves the queue of `s`, wherever it stands in it."""
    z = station_at(p, s)
    a = part_at(p, part)
    count_queue(row, z)
    after = row[a + st.PART_NEXT]
    before = st.NOBODY
    if row[z + st.Q_HEAD] == part:
        row[z + st.Q_HEAD] = after
    else:
        before = previous_in_queue(row, p, z, part)
        row[part_at(p, before) + st.PART_NEXT] = after
    if after < 0:
        row[z + st.Q_TAIL] = before
    row[a + st.PART_NEXT] = st.NOBODY
    row[a + st.PART_QUEUED] = 0
    row[z + st.Q_LEN] -= 1


# --- which part ---------------------------------------------------------------------------------------------------


@leaf
def held_within(value: int) -> int:
    if value > FAR:  # noqa: PLR1730
        value = FAR
    if value < -FAR:  # noqa: PLR1730
        value = -FAR
    return value


@leaf
def choice_at(p: Array, s: int, step: int) -> int:
    """Position of the (station, work table, mean work, c-mu index) entry of `step` at station `s`."""
    i = p[of_step(p, step) + st.CHOICES_AT]
    while p[i] != s:
        i += 4
    return i


@leaf
def setup_entry(row: Array, p: Array, s: int, u: int, family: int) -> int:
    """Position of the (table, mean) entry for a setup of unit `u` to `family`."""
    from_family = row[unit_at(p, u) + st.UNIT_FAMILY]
    return p[of_station(p, s) + st.SETUP_AT] + 2 * ((from_family + 1) * p[st.FAMILIES] + family)


@leaf
def is_free(row: Array, p: Array, u: int) -> bool:
    """Without a part and up (whether its station is open is asked elsewhere)."""
    w = unit_at(p, u)
    return row[w + st.UNIT_PHASE] == st.FREE and row[w + st.UNIT_MODE] < 0


@rare
def nearest_unit(row: Array, p: Array, s: int, family: int) -> int:
    """The free unit of `s` with the least mean setup time to `family` (ties: lowest number)."""
    a = of_station(p, s)
    best = -1
    least = 0
    for u in range(p[a + st.FIRST_UNIT], p[a + st.FIRST_UNIT] + p[a + st.UNIT_TOTAL]):
        if is_free(row, p, u):
            mean = p[setup_entry(row, p, s, u, family) + 1] if p[a + st.SETUP_AT] >= 0 else 0
            if best < 0 or mean < least:
                best, least = u, mean
    return best


@leaf
def family_of(row: Array, p: Array, part: int) -> int:
    return p[of_product(p, row[part_at(p, part) + st.PART_PRODUCT]) + st.FAMILY]


@rare
def dispatch_key(row: Array, p: Array, s: int, part: int) -> int:
    """Weighted sum of the part's features at station `s` (docs/kernel.md); the least goes first."""
    a = part_at(p, part)
    z = station_at(p, s) + st.WEIGHTS
    step = row[a + st.PART_STEP]
    product = row[a + st.PART_PRODUCT]
    entry = choice_at(p, s, step)
    left = p[of_step(p, step) + st.MEAN_LEFT]
    due = FAR if row[a + st.PART_DUE] == st.INFINITY else held_within(row[a + st.PART_DUE] - row[st.NOW])
    key = row[z] * p[entry + 2] + row[z + 1] * left + row[z + 2] * p[of_step(p, step) + st.STEPS_LEFT]
    key += row[z + 3] * (row[st.NOW] - row[a + st.PART_QUEUED]) + row[z + 4] * due + row[z + 5] * (due - left)
    if row[z + 6] != 0:
        key += row[z + 6] * held_within((due << 10) // (left if left > 1 else 1))  # noqa: FURB136
    if row[z + 7] != 0 and p[of_station(p, s) + st.SETUP_AT] >= 0:
        family = family_of(row, p, part)
        key += row[z + 7] * p[setup_entry(row, p, s, nearest_unit(row, p, s, family), family) + 1]
    return key + row[z + 8] * p[entry + 3] + row[z + 9] * p[of_product(p, product) + st.PART_PRIORITY]


@leaf
def batch_key(row: Array, p: Array, s: int, part: int) -> int:
    """Parts of one key may go into one batch."""
    by = p[of_station(p, s) + st.BATCH_BY]
    if by == st.BY_FAMILY:
        key = family_of(row, p, part)
    elif by == st.BY_PRODUCT:
        key = row[part_at(p, part) + st.PART_PRODUCT]
    else:
        key = 0
    return key


@rare
def batch_ready(row: Array, p: Array, s: int, part: int) -> bool:
    """Are there enough parts of this one's key in the queue, or has it waited long enough?"""
    a = of_station(p, s)
    wait = p[a + st.BATCH_WAIT]
    if wait >= 0 and row[st.NOW] - row[part_at(p, part) + st.PART_QUEUED] >= wait:
        return True
    key = batch_key(row, p, s, part)
    count = 0
    other = row[station_at(p, s) + st.Q_HEAD]
    while other >= 0 and count < p[a + st.BATCH_LEAST]:
        if batch_key(row, p, s, other) == key:
            count += 1
        other = row[part_at(p, other) + st.PART_NEXT]
    return count >= p[a + st.BATCH_LEAST]


@leaf
def needs_met(row: Array, p: Array, part: int) -> bool:
    """Is everything on hand that the part's operation takes from stocks?"""
    a = part_at(p, part)
    b = of_step(p, row[a + st.PART_STEP])
    met = True
    for i in range(p[b + st.NEEDS_AT], p[b + st.NEEDS_END], 2):
        n = p[i + 1] * p[of_product(p, row[a + st.PART_PRODUCT]) + st.TRANSFER]
        if row[stock_at(p, p[i]) + st.ON_HAND] < n:
            met = False
    return met


@rare
def search(row: Array, p: Array, s: int, key: int) -> int:
    """The part of the queue of `s` with the least dispatching key that is ready; with `key` >= 0 the one of this batch
    key, ready or not. -1 for none.
    """
    a = of_station(p, s)
    batches = p[a + st.BATCH_MOST] > 1 or p[a + st.BATCH_WAIT] >= 0
    best = st.NOBODY
    least = 0
    part = row[station_at(p, s) + st.Q_HEAD]
    while part >= 0:
        if key >= 0:
            fits = batch_key(row, p, s, part) == key
        else:
            fits = needs_met(row, p, part) and (not batches or batch_ready(row, p, s, part))
        if fits:
            if p[a + st.PICKS] == 0:
                return part
            value = dispatch_key(row, p, s, part)
            if best < 0 or value < least:
                best, least = part, value
        part = row[part_at(p, part) + st.PART_NEXT]
    return best


@leaf
def candidate(row: Array, p: Array, s: int) -> int:
    """The part that starts next at station `s`, -1 for none."""
    part = row[station_at(p, s) + st.Q_HEAD]
    if part >= 0:
        a = of_station(p, s)
        if p[a + st.PICKS] == 1 or p[a + st.EAGER] == 1:
            part = search(row, p, s, -1)
    return part
