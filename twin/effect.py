"""What an action really did: measured operating cost against the twin's own counterfactual from the stored row."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim import engine
from sim.compile import Compiled
from sim.kernel import get_controls
from sim.plant import Stock
from sim.state import Array
from sim.value import Term, cost_between, lanes_of, operating_terms
from twin.estimate import ensemble, rows_hash, running, to_tick
from twin.inforce import compiled_with, encode, values_of
from twin.leases import Lease
from twin.log import EvidenceLog
from twin.model import StockState, TwinState

REPLICAS = 256


def measured(compiled: Compiled, state: TwinState) -> dict[str, list[float]]:
    """The accumulators that operating cost is made of, as measured since the twin's first row (areas in unit-ticks)."""
    m, per_tick = state.meters, 1.0 / compiled.tick_ms
    lanes = [(k, "regular" if lane is k else "express") for k, lane in lanes_of(compiled.plant)]

    def of(stock: Stock) -> StockState:
        return state.stocks[compiled.stock_index[stock.id]]

    return {
        "q_area": [v * per_tick for v in m.queue_ms],
        "on_hand_area": [v * per_tick for v in m.hand_ms],
        "wip_area": [v * per_tick for v in m.wip_ms],
        "waiting_area": [v * per_tick for v in m.wait_ms],
        "orders": [float(of(k).placed.get(name, 0)) for k, name in lanes],
        "ordered": [float(of(k).ordered.get(name, 0)) for k, name in lanes],
        "lost_units": [float(d.lost) for d in state.demands],
        "set_ups": [float(s.set_ups) for s in state.stations],
        "scrapped": [float(v) for v in m.scrapped],
        "finished": [float(v) for v in m.finished],
    }


def measured_cost(compiled: Compiled, before: dict[str, list[float]], after: dict[str, list[float]]) -> float:
    """Operating cost between two measurements, in the plant's currency."""
    return sum(
        t.coefficient * (after[t.field][t.index] - before[t.field][t.index]) for t in measured_terms(compiled, after)
    )


def measured_terms(compiled: Compiled, meters: dict[str, list[float]]) -> list[Term]:
    """The terms of operating cost that a measurement holds; nobody measures repairs, energy and dates yet."""
    return [t for t in operating_terms(compiled.plant) if t.field in meters]


def keep(
    compiled: Compiled, state: TwinState, log: EvidenceLog, seed: int, leases: Mapping[str, Lease] | None = None
) -> dict[str, Any]:
    """Evidence stored when an action is accepted: the rows (as bytes in the log), their hash, the meters, and of the
    `leases` that run by then where each leads back and when: doing nothing would not have kept those setpoints.
    """
    rows = ensemble(compiled, state, seed, REPLICAS)
    buffer = io.BytesIO()
    np.save(buffer, rows, allow_pickle=False)
    return {
        "t": state.t,
        "seed": seed,
        "rows": log.put_blob(buffer.getvalue()),
        "rows_hash": rows_hash(running(compiled, state.refits), rows),
        "refitted": encode(values_of(compiled.plant, state.refits)),
        "meters": measured(compiled, state),
        "leases": {control: [lease.before, lease.ends] for control, lease in (leases or {}).items()},
    }


def counterfactual(
    compiled: Compiled, rows: Array, until: int, terms: list[Term], leases: Mapping[str, Sequence[int]] | None = None
) -> NDArray[np.float64]:
    """Operating cost [R], of the terms given, of "nothing" from the stored rows to plant time `until` (ms). `leases`:
    the controls that would have gone back by themselves, (to which setpoint, when in ms) each.
    """
    after = rows.copy()
    back = leases or {}
    for ends in sorted({ms for _, ms in back.values() if ms < until}):
        engine.run(after, compiled, to_tick(compiled, ends))
        values = np.array(get_controls(after, compiled))
        for control, (before, ms) in back.items():
            if ms == ends:
                values[:, compiled.control_index[control]] = before
        engine.set_controls(after, compiled, values)
    engine.run(after, compiled, to_tick(compiled, until))
    return cost_between(rows, after, compiled, terms)


def realised(compiled: Compiled, state: TwinState, log: EvidenceLog, accepted: dict[str, Any]) -> dict[str, Any]:
    """Gain that was measured: counterfactual cost of doing nothing less the measured cost, from acceptance until
    `state.t`.

    `lo` and `hi` bound it by the 5 and 95 % quantiles of the counterfactual. It rests on the twin's model: says so.
    """
    rows = np.load(io.BytesIO(log.get_blob(accepted["rows"])), allow_pickle=False)
    now = {name: values for name, values in measured(compiled, state).items() if name in accepted["meters"]}
    terms = measured_terms(compiled, now)
    then = compiled_with(compiled, accepted.get("refitted", ""))  # what was in force when the rows were drawn
    nothing = counterfactual(then, rows, state.t, terms, accepted.get("leases"))
    cost = measured_cost(compiled, accepted["meters"], now)
    missing = sorted({t.kind for t in operating_terms(compiled.plant)} - {t.kind for t in terms})
    lo, hi = np.quantile(nothing, (0.05, 0.95))
    return {
        "value": round(float(nothing.mean()) - cost, 2),
        "lo": round(float(lo) - cost, 2),
        "hi": round(float(hi) - cost, 2),
        "counterfactual": round(float(nothing.mean()), 2),
        "cost": round(cost, 2),
        "unit": compiled.plant.currency,
        "hours": round((state.t - accepted["t"]) / 3_600_000, 2),
        "label": "model-based",
    } | ({"not_measured": missing} if missing else {})
