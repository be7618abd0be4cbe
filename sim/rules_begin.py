"""Rules of the start of a row: the first clocks and streams, and everybody's first look."""

from __future__ import annotations

from sim import state as st
from sim.jit import rare
from sim.rules_base import is_open, of_product, of_unit, product_at, timer, unit_at, wake
from sim.rules_clock import draw_clock, draw_wear, run_calendar_clocks
from sim.rules_demand import demand_at, of_demand
from sim.rules_event import next_demand, pause
from sim.rules_release import first_arrival
from sim.state import INFINITY, Array


@rare
def wake_everything(row: Array, p: Array) -> None:
    for e in range(p[st.N_ENTITIES]):
        wake(row, p, e)


@rare
def begin_clocks(row: Array, p: Array) -> None:
    """First times to failure and wear; what runs without work runs."""
    for u in range(p[st.N_UNITS]):
        a = of_unit(p, u)
        for c in range(p[a + st.FIRST_CLOCK], p[a + st.FIRST_CLOCK] + p[a + st.CLOCK_TOTAL]):
            draw_clock(row, p, c)
        if p[a + st.WEAR_SLOT] >= 0:
            draw_wear(row, p, u)
        else:
            row[unit_at(p, u) + st.UNIT_WEAR] = INFINITY
        run_calendar_clocks(row, p, u)


@rare
def begin_streams(row: Array, p: Array) -> None:
    """First arrivals and demands; what is closed at tick 0 waits."""
    for product in range(p[st.N_PRODUCTS]):
        b = of_product(p, product)
        if p[b + st.ARRIVAL_SLOT] >= 0:
            slot = timer(p, p[b + st.ARRIVAL_SLOT])
            row[slot] = first_arrival(row, p, product)
            if p[b + st.POLICY] == st.PUSH and not is_open(row, p, p[b + st.PRODUCT_CALENDAR]):
                pause(row, product_at(p, product) + st.ARRIVAL_LEFT, slot)
    for d in range(p[st.N_DEMANDS]):
        b = of_demand(p, d)
        slot = timer(p, p[b + st.DEMAND_SLOT])
        row[slot] = next_demand(row, p, d)
        if p[b + st.BOOK_END] == p[b + st.BOOK_START] and not is_open(row, p, p[b + st.DEMAND_CALENDAR]):
            pause(row, demand_at(p, d) + st.DEMAND_LEFT, slot)
