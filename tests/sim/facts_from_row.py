"""Test helper: what an all-seeing observer would report about a kernel row."""

from __future__ import annotations

from sim.compile import Compiled
from sim.facts import Facts, OrderFacts, PartFacts, StockFacts, UnitFacts
from sim.plant import STATES
from sim.state import Array, State


def facts_from_row(row: Array, compiled: Compiled) -> Facts:
    """Everything visible in the row; ages and work done are not known to the row and stay 0."""
    state = State(row, compiled.layout)

    def part(i: int) -> PartFacts:
        product, step = compiled.steps[state.part_step[i]]
        return PartFacts(product, step, int(state.part_release[i]))

    units = {}
    for u, key in enumerate(compiled.units):
        name = STATES[state.unit_state[u]]
        held = int(state.unit_part[u])
        if name in ("idle", "starved", "off"):
            name = "free"
        repair = compiled.slot_index.get(("repair_end", f"{key[0]}/{key[1]}"))
        repaired = 0 if repair is not None and state.next_time[repair] < 1 << 58 else None
        units[key] = UnitFacts(
            name, part(held) if held >= 0 else None, since=int(state.unit_asked[u]), repaired=repaired
        )
    queues = {}
    for s, station in enumerate(compiled.plant.stations):
        chain, i = [], int(state.q_head[s])
        while i >= 0:
            chain.append(part(i))
            i = int(state.part_next[i])
        queues[station.id] = tuple(chain)
    stocks = {}
    for k, stock in enumerate(compiled.plant.stocks):
        orders = [
            OrderFacts(int(q), due=int(d))
            for q, d in zip(state.transit_qty[k], state.transit_due[k], strict=True)
            if q > 0
        ]
        stocks[stock.id] = StockFacts(int(state.on_hand[k]), int(state.backorders[k]), tuple(orders))
    controls = {c.id: int(row[compiled.controls[i]]) for i, c in enumerate(compiled.plant.controls)}
    pending = {p.id: int(state.pending[i]) for i, p in enumerate(compiled.plant.products)}
    return Facts(state.now, units, queues, stocks, controls, pending)
