"""From what is known about a plant at one moment to kernel rows: how a live state becomes a what-if.

The known part is written into the rows; what no one can see (how long the work still takes, when the machine fails,
when an order arrives) is drawn conditionally on what is known (it has lasted so long already), each replica from
its own address. Then the zero-time consequences are drained, so the rows are a state the plant can be in.
"""

from __future__ import annotations

import numpy as np

from sim import state as st
from sim.compile import Compiled
from sim.engine import react
from sim.facts_floor import FloorWriter
from sim.facts_supply import SupplyWriter
from sim.facts_time import TimeWriter
from sim.factsheet import Facts, FactsError, OrderFacts, PartFacts, StockFacts, UnitFacts
from sim.kernel import blank_rows, check
from sim.residual import FROM_PRESENT, OVERDUE, Drawer, residuals
from sim.state import Array

__all__ = [
    "FROM_PRESENT", "OVERDUE", "Facts", "FactsError", "OrderFacts", "PartFacts", "StockFacts", "UnitFacts", "residuals",
    "rows_from_facts",
]  # fmt: skip


def rows_from_facts(
    compiled: Compiled, facts: Facts, seed: int, replicas: int, first: int = 0, scales: dict[str, Array] | None = None
) -> Array:
    """Rows [replicas, W] that agree with the facts, hidden residuals drawn from the addresses (seed, first ...).

    `scales` are replica-wise parameter factors by field name (`work_scale` [R, stations] and so on; 65,536 is one).
    Raises `FactsError` when the facts contradict the plant.
    """
    rows = blank_rows(compiled, seed, replicas, first)
    layout = compiled.layout
    for name, values in (scales or {}).items():
        layout.view(rows, name)[...] = values
    rows[:, st.NOW] = facts.tick
    for name in st.SINCE:
        layout.view(rows, name)[...] = facts.tick
    for control, value in facts.controls.items():
        rows[:, compiled.controls[compiled.control_index[control]]] = value
    drawer = Drawer(compiled, seed, first, replicas)
    TimeWriter(compiled, facts, rows, drawer).write()
    FloorWriter(compiled, facts, rows, drawer).write()
    SupplyWriter(compiled, facts, rows, drawer).write()
    _power(compiled, rows)
    react(rows, compiled)
    check(rows, compiled)
    return rows


def _power(compiled: Compiled, rows: Array) -> None:
    """Watts of the units in their present states."""
    counts = compiled.layout.view(rows, "n_state")
    watts = np.zeros(len(rows), dtype=np.int64)
    for s, station in enumerate(compiled.plant.stations):
        if station.power:
            watts += counts[:, s] @ np.array(station.power, dtype=np.int64)
    rows[:, st.POWER] = watts
