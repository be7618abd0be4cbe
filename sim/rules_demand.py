"""What customers asked for and did not get: what waits, by when it was promised, and what is lost."""

from __future__ import annotations

from sim import state as st
from sim.jit import leaf, rare
from sim.rules_base import stock_at
from sim.state import Array


@leaf
def demand_at(p: Array, d: int) -> int:
    return p[st.AT_DEMANDS] + st.DEMAND_W * d


@leaf
def of_demand(p: Array, d: int) -> int:
    return p[st.TO_DEMANDS] + st.DEMAND_PW * d


@rare
def settle_dates(row: Array, p: Array, d: int, shipped: int) -> None:
    """`shipped` units go to the oldest of the orders with a date; what is late is counted."""
    a = demand_at(p, d)
    dues = p[st.AT_RING_DUE] + p[st.N_RING] * d
    quantities = p[st.AT_RING_QTY] + p[st.N_RING] * d
    while shipped > 0 and row[a + st.RING_LEN] > 0:
        part = row[quantities]
        if part > shipped:  # noqa: PLR1730
            part = shipped
        if row[st.NOW] > row[dues]:
            row[a + st.LATE_UNITS] += part
            row[a + st.LATE_SUM] += part * (row[st.NOW] - row[dues])
        row[quantities] -= part
        shipped -= part
        if row[quantities] == 0:
            n = row[a + st.RING_LEN] - 1
            for i in range(n):
                row[dues + i] = row[dues + i + 1]
                row[quantities + i] = row[quantities + i + 1]
            row[dues + n] = 0
            row[quantities + n] = 0
            row[a + st.RING_LEN] = n


@rare
def promise(row: Array, p: Array, d: int, quantity: int, due: int) -> None:
    """Note an order that waits and has a date."""
    a = demand_at(p, d)
    n = row[a + st.RING_LEN]
    if n == p[st.N_RING]:
        row[st.ERROR] = 4
    else:
        row[p[st.AT_RING_DUE] + p[st.N_RING] * d + n] = due
        row[p[st.AT_RING_QTY] + p[st.N_RING] * d + n] = quantity
        row[a + st.RING_LEN] = n + 1


@rare
def leave_unmet(row: Array, p: Array, d: int, rest: int, due: int) -> None:
    """Of `rest` units that are not there those wait that may (partial backordering), the others are lost."""
    b = of_demand(p, d)
    a = demand_at(p, d)
    z = stock_at(p, p[b + st.DEMAND_STOCK])
    owed = p[b + st.MOST_OWED] - row[a + st.WAITING]
    if owed > rest:  # noqa: PLR1730
        owed = rest
    if owed > 0:
        row[z + st.BACKORDERS] += owed
        row[a + st.WAITING] += owed
        if p[b + st.PROMISE] >= 0:
            promise(row, p, d, owed, due)
        rest -= owed
    row[z + st.LOST] += rest
    row[a + st.LOST_UNITS] += rest
