"""Rules of stocks: receiving, serving claims, deciding, ordering, shipping (docs/kernel.md, Stocks)."""

from __future__ import annotations

from sim import state as st
from sim.draws import LATE, LATENESS, LEAD, draw
from sim.jit import leaf, rare
from sim.rules_base import (
    count_demand,
    count_stock,
    duration,
    of_stock,
    owed_to,
    scaled,
    station_at,
    stock_at,
    timer,
    upper,
    wake,
    wake_held,
    wake_listed,
    wake_product,
)
from sim.rules_demand import demand_at, settle_dates
from sim.state import Array


@leaf
def lane_at(p: Array, lane: int) -> int:
    return p[st.AT_LANES] + st.LANE_W * lane


@leaf
def of_lane(p: Array, lane: int) -> int:
    return p[st.TO_LANES] + st.LANE_PW * lane


# --- in transit ---------------------------------------------------------------------------------------------------


@rare
def send(row: Array, p: Array, lane: int, ready: int, quantity: int) -> None:
    """`quantity` units leave the source of the lane at tick `ready`, its lead time before they arrive."""
    b = of_lane(p, lane)
    stream = lane_at(p, lane) + st.LEAD_DRAWS
    scale = row[stock_at(p, p[b + st.LANE_STOCK]) + st.LEAD_SCALE]
    due = ready + scaled(duration(row, p, p[b + st.LEAD_TABLE], stream, p[b + st.LANE_ENTITY], LEAD), scale)
    supplier = p[b + st.LANE_SUPPLIER]
    if supplier >= 0:
        t = p[st.TO_SUPPLIERS] + st.SUPPLIER_PW * supplier
        if p[t + st.LATE_TABLE] >= 0:
            due += lateness(row, p, lane, p[t + st.IN_TIME], p[t + st.LATE_TABLE], scale)
    places = p[st.N_TRANSIT]
    dues = p[st.AT_TRANSIT_DUE] + places * lane
    quantities = p[st.AT_TRANSIT_QTY] + places * lane
    i = 0
    while i < places and row[quantities + i] > 0:
        i += 1
    if i == places:
        row[st.ERROR] = 2
    else:
        row[dues + i] = due
        row[quantities + i] = quantity
        slot = timer(p, p[b + st.DELIVERY_SLOT])
        if due < row[slot]:  # noqa: PLR1730
            row[slot] = due


@leaf
def lateness(row: Array, p: Array, lane: int, in_time: int, table: int, scale: int) -> int:
    """Extra ticks of an order that the supplier does not keep in time, else 0."""
    late = 0
    entity = p[of_lane(p, lane) + st.LANE_ENTITY]
    stream = lane_at(p, lane) + st.LATE_DRAWS
    if in_time < 1 << 32 and is_late(row, stream, entity, in_time):
        late = scaled(duration(row, p, table, stream + 2, entity, LATENESS), scale)
    return late


@leaf
def is_late(row: Array, stream: int, entity: int, in_time: int) -> bool:
    from_word = draw(row, stream, entity, LATE)
    return upper(from_word) >= in_time


@leaf
def arrive(row: Array, p: Array, lane: int) -> int:
    """Take the order that is due now out of the lane's table (ties: lowest place); its quantity."""
    places = p[st.N_TRANSIT]
    dues = p[st.AT_TRANSIT_DUE] + places * lane
    quantities = p[st.AT_TRANSIT_QTY] + places * lane
    first = 0
    while first < places - 1 and row[dues + first] != row[st.NOW]:
        first += 1
    quantity = row[quantities + first]
    row[quantities + first] = 0
    row[dues + first] = st.INFINITY
    earliest = row[dues]
    for i in range(dues, dues + places):
        earliest = row[i] if row[i] < earliest else earliest  # noqa: FURB136
    row[timer(p, p[of_lane(p, lane) + st.DELIVERY_SLOT])] = earliest
    return quantity


# --- claims -------------------------------------------------------------------------------------------------------


@leaf
def serve_demand(row: Array, p: Array, k: int, d: int) -> None:
    """Ship what waits for demand `d`, as far as stock `k` has it."""
    a = stock_at(p, k)
    b = demand_at(p, d)
    shipped = row[b + st.WAITING]
    if shipped > row[a + st.ON_HAND]:  # noqa: PLR1730
        shipped = row[a + st.ON_HAND]
    if shipped > 0:
        count_demand(row, p, d)
        row[b + st.WAITING] -= shipped
        row[a + st.BACKORDERS] -= shipped
        row[a + st.ON_HAND] -= shipped
        row[a + st.SHIPPED] += shipped
        if row[b + st.RING_LEN] > 0:
            settle_dates(row, p, d, shipped)


@leaf
def serve_lane(row: Array, p: Array, k: int, lane: int) -> None:
    """Send what is owed to a lane from stock `k`, as far as it has it."""
    a = stock_at(p, k)
    b = lane_at(p, lane)
    sent = row[b + st.OWED]
    if sent > row[a + st.ON_HAND]:  # noqa: PLR1730
        sent = row[a + st.ON_HAND]
    if sent > 0 and p[of_lane(p, lane) + st.VEHICLE] == 0:
        count_stock(row, p, p[of_lane(p, lane) + st.LANE_STOCK])
        row[b + st.OWED] -= sent
        row[a + st.ON_HAND] -= sent
        send(row, p, lane, row[st.NOW], sent)


@leaf
def receive(row: Array, p: Array, k: int, quantity: int) -> None:
    """Stock `k` gets `quantity` units; claims are served first."""
    a = stock_at(p, k)
    b = of_stock(p, k)
    count_stock(row, p, k)
    row[a + st.ON_HAND] += quantity
    row[a + st.RECEIVED] += quantity
    for i in range(p[b + st.CLAIMS_AT], p[b + st.CLAIMS_END], 2):
        if p[i] == 0:
            serve_demand(row, p, k, p[i + 1])
        else:
            serve_lane(row, p, k, p[i + 1])
    if p[b + st.FILLER] >= 0:
        wake_product(row, p, p[b + st.FILLER])
    wake_listed(row, p, p[b + st.USERS_AT], p[b + st.USERS_END], p[st.N_STATIONS])
    wake_listed(row, p, p[b + st.NEEDERS_AT], p[b + st.NEEDERS_END], 0)


# --- deciding and ordering ----------------------------------------------------------------------------------------


@leaf
def position(row: Array, p: Array, k: int) -> int:
    """Inventory position of stock `k`: its own, or its echelon's."""
    a = stock_at(p, k)
    b = of_stock(p, k)
    total = row[a + st.ON_HAND] - row[a + st.BACKORDERS] + row[a + st.ON_ORDER]
    if p[b + st.ECHELON] == 1:
        for i in range(p[b + st.BELOW_AT], p[b + st.BELOW_END]):
            d = p[i]
            e = stock_at(p, d)
            total += row[e + st.ON_HAND] - row[e + st.BACKORDERS] + row[e + st.ON_ORDER] - owed_to(row, p, d)
    else:
        for i in range(p[b + st.CLAIMS_AT], p[b + st.CLAIMS_END], 2):
            if p[i] == 1:
                total -= row[lane_at(p, p[i + 1]) + st.OWED]
    return total


@rare
def express_position(row: Array, p: Array, k: int) -> int:
    """What stock `k` will have within the express lane's mean lead time, if nobody takes any."""
    a = stock_at(p, k)
    b = of_stock(p, k)
    express = p[b + st.LANE_EXPRESS]
    total = row[a + st.ON_HAND] - row[a + st.BACKORDERS] + row[lane_at(p, express) + st.LANE_ORDER]
    for i in range(p[b + st.CLAIMS_AT], p[b + st.CLAIMS_END], 2):
        if p[i] == 1:
            total -= row[lane_at(p, p[i + 1]) + st.OWED]
    soon = row[st.NOW] + p[of_lane(p, express) + st.LEAD_MEAN]
    places = p[st.N_TRANSIT]
    first = places * p[b + st.LANE_REGULAR]
    for i in range(first, first + places):
        if row[p[st.AT_TRANSIT_DUE] + i] <= soon:
            total += row[p[st.AT_TRANSIT_QTY] + i]
    return total


@leaf
def wanted(row: Array, p: Array, k: int) -> int:
    """Units that the policy of stock `k` orders in its regular lane, before the source's smallest order."""
    a = stock_at(p, k)
    b = of_stock(p, k)
    policy = p[b + st.ORDER_POLICY]
    now = position(row, p, k) if policy != st.CONSTANT_ORDER else 0
    quantity = 0
    if policy == st.R_Q:
        if now <= row[a + st.REORDER]:
            n = p[b + st.ORDER_QUANTITY]
            quantity = ((row[a + st.REORDER] - now) // n + 1) * n
    elif policy == st.CONSTANT_ORDER:
        quantity = row[a + st.LEVEL]
    elif policy != st.S_S or now <= row[a + st.REORDER]:
        quantity = row[a + st.LEVEL] - now
    return quantity


@leaf
def order(row: Array, p: Array, lane: int, quantity: int) -> None:
    """Order at least `quantity` units in a lane (nothing when it is 0 or less)."""
    b = of_lane(p, lane)
    a = lane_at(p, lane)
    k = p[b + st.LANE_STOCK]
    if quantity < p[b + st.LEAST]:  # noqa: PLR1730
        quantity = p[b + st.LEAST]
    n = p[b + st.MULTIPLE]
    quantity = (quantity + n - 1) // n * n
    count_stock(row, p, k)
    row[a + st.ORDERS] += 1
    row[a + st.ORDERED] += quantity
    row[a + st.LANE_ORDER] += quantity
    row[stock_at(p, k) + st.ON_ORDER] += quantity
    source = p[b + st.LANE_SOURCE]
    if p[b + st.VEHICLE] > 0:
        row[a + st.OWED] += quantity
    elif source >= 0:
        count_stock(row, p, source)
        sent = row[stock_at(p, source) + st.ON_HAND]
        if sent > quantity:  # noqa: PLR1730
            sent = quantity
        row[a + st.OWED] += quantity - sent
        if sent > 0:
            row[stock_at(p, source) + st.ON_HAND] -= sent
            send(row, p, lane, row[st.NOW], sent)
    else:
        send(row, p, lane, made_ready(row, p, p[b + st.LANE_SUPPLIER], quantity), quantity)


@leaf
def made_ready(row: Array, p: Array, supplier: int, quantity: int) -> int:
    """When the supplier has `quantity` units ready, given its capacity."""
    ready = row[st.NOW]
    if supplier >= 0:
        ticks = p[p[st.TO_SUPPLIERS] + st.SUPPLIER_PW * supplier + st.UNIT_TICKS]
        if ticks > 0:
            busy = p[st.AT_SUPPLIERS] + supplier
            if row[busy] > ready:  # noqa: PLR1730
                ready = row[busy]
            ready += quantity * ticks
            row[busy] = ready
    return ready


@leaf
def load_vehicle(row: Array, p: Array, lane: int) -> int:
    """The vehicle of a lane leaves with what is owed, as far as it has room and the source units; how many."""
    a = lane_at(p, lane)
    b = of_lane(p, lane)
    sent = row[a + st.OWED]
    if sent > p[b + st.VEHICLE]:  # noqa: PLR1730
        sent = p[b + st.VEHICLE]
    source = p[b + st.LANE_SOURCE]
    if source >= 0 and sent > row[stock_at(p, source) + st.ON_HAND]:
        sent = row[stock_at(p, source) + st.ON_HAND]
    if sent > 0:
        count_stock(row, p, p[b + st.LANE_STOCK])
        row[a + st.OWED] -= sent
        ready = row[st.NOW]
        if source >= 0:
            count_stock(row, p, source)
            row[stock_at(p, source) + st.ON_HAND] -= sent
        else:
            ready = made_ready(row, p, p[b + st.LANE_SUPPLIER], sent)
        send(row, p, lane, ready, sent)
    return sent


@rare
def decide(row: Array, p: Array, k: int) -> int:
    """Order what the policies of stock `k` ask for, express first, and let its vehicle leave; from which lanes' source
    stocks (1 regular, 2 express) something was ordered or taken.
    """
    b = of_stock(p, k)
    express = p[b + st.LANE_EXPRESS]
    asked = 0
    if express >= 0:
        quantity = row[stock_at(p, k) + st.EXPRESS_LEVEL] - express_position(row, p, k)
        if quantity > 0:
            order(row, p, express, quantity)
            if p[of_lane(p, express) + st.LANE_SOURCE] >= 0:
                asked = 2
    lane = p[b + st.LANE_REGULAR]
    quantity = wanted(row, p, k)
    moved = 0
    if quantity > 0:
        order(row, p, lane, quantity)
        moved = 1
    if p[of_lane(p, lane) + st.VEHICLE] > 0 and load_vehicle(row, p, lane) > 0:
        moved = 1
    if moved == 1 and p[b + st.SOURCE_STOCK] >= 0:
        asked += 1
    return asked


@rare
def wake_misled(row: Array, p: Array, k: int) -> None:
    """Wake those who count on units of stock `k` that may be gone: products held back by decision alone or by another
    one's turn, stations that wait for operators or for room.
    """
    b = of_stock(p, k)
    for i in range(p[b + st.USERS_AT], p[b + st.USERS_END]):
        wake_held(row, p, p[i])
    for i in range(p[b + st.NEEDERS_AT], p[b + st.NEEDERS_END]):
        z = station_at(p, p[i])
        if row[z + st.ST_ASKED] >= 0 or row[z + st.ST_BARRED] == 1:
            wake(row, p, p[i])


@rare
def withdrawn(row: Array, p: Array, k: int) -> None:
    """Something was taken from stock `k`, or asked of it: all that this makes the stocks above it do.

    Where both lanes ask stocks, the regular one's waits in `later`, a stack of digits (a device knows no recursion).
    There is one for each stock on the way up that has two such lanes; six fit for a thousand stocks.
    """
    base = p[st.N_STOCKS] + 1
    later = 0
    while k >= 0:
        b = of_stock(p, k)
        if p[b + st.FILLER] >= 0:
            wake_product(row, p, p[b + st.FILLER])
        if p[b + st.USERS_END] > p[b + st.USERS_AT] or p[b + st.NEEDERS_END] > p[b + st.NEEDERS_AT]:
            wake_misled(row, p, k)
        asked = 0
        if p[b + st.CONTINUOUS] == 1:
            asked = decide(row, p, k)
        source = p[b + st.SOURCE_STOCK]
        if source >= 0 and asked & 1 == 0 and p[of_stock(p, source) + st.ECHELON] == 0:
            source = -1
        if asked & 2 > 0:
            fast = p[of_lane(p, p[b + st.LANE_EXPRESS]) + st.LANE_SOURCE]
            if fast != source:
                if source >= 0:
                    later = later * base + source + 1
                source = fast
        if source < 0 and later > 0:
            source = later % base - 1
            later = later // base
        k = source


@rare
def take(row: Array, p: Array, k: int, quantity: int) -> None:
    """Take units that are on hand out of stock `k`; `withdrawn` must follow when everything was taken."""
    count_stock(row, p, k)
    row[stock_at(p, k) + st.ON_HAND] -= quantity


@rare
def forecast(row: Array, p: Array, k: int) -> None:
    """A demand period of stock `k` ends: the level for the next ones."""
    a = stock_at(p, k)
    b = of_stock(p, k)
    window = p[b + st.WINDOW]
    past = p[st.AT_PAST] + p[st.N_PERIODS] * k
    for i in range(window - 1, 0, -1):
        row[past + i] = row[past + i - 1]
    row[past] = row[a + st.DEMANDED] - row[a + st.SEEN]
    row[a + st.SEEN] = row[a + st.DEMANDED]
    total = 0
    for i in range(window):
        total += row[past + i]
    row[a + st.LEVEL] = ((total * p[b + st.COVER] // window + 32768) >> 16) + p[b + st.SAFETY]


@leaf
def review(row: Array, p: Array, k: int) -> None:
    b = of_stock(p, k)
    row[timer(p, p[b + st.REVIEW_SLOT])] += p[b + st.REVIEW_TICKS]
    if p[b + st.ORDER_POLICY] == st.FORECAST:
        forecast(row, p, k)
    asked = decide(row, p, k)
    source = p[b + st.SOURCE_STOCK] if asked & 1 > 0 else -1
    if asked & 2 > 0:
        fast = p[of_lane(p, p[b + st.LANE_EXPRESS]) + st.LANE_SOURCE]
        if fast != source:
            withdrawn(row, p, fast)
    if source >= 0:
        withdrawn(row, p, source)


@leaf
def delivery(row: Array, p: Array, lane: int) -> None:
    k = p[of_lane(p, lane) + st.LANE_STOCK]
    quantity = arrive(row, p, lane)
    count_stock(row, p, k)
    row[lane_at(p, lane) + st.LANE_ORDER] -= quantity
    row[stock_at(p, k) + st.ON_ORDER] -= quantity
    receive(row, p, k, quantity)
