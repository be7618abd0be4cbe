"""What an action really did: measured operating cost against the twin's own counterfactual from the stored row."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim import kernel
from sim.compile import Compiled
from sim.state import Array
from sim.value import operating_cost, operating_terms
from twin.estimate import ensemble, rows_hash, to_tick
from twin.log import EvidenceLog
from twin.model import TwinState

REPLICAS = 256


def measured(compiled: Compiled, state: TwinState) -> dict[str, list[float]]:
    """The accumulators that operating cost is made of, as measured since the twin's first row (areas in unit-ticks)."""
    m, per_tick = state.meters, 1.0 / compiled.tick_ms
    return {
        "q_area": [v * per_tick for v in m.queue_ms],
        "on_hand_area": [v * per_tick for v in m.hand_ms],
        "backorder_area": [v * per_tick for v in m.back_ms],
        "orders": [float(k.placed) for k in state.stocks],
        "scrapped": [float(v) for v in m.scrapped],
        "finished": [float(v) for v in m.finished],
    }


def measured_cost(compiled: Compiled, before: dict[str, list[float]], after: dict[str, list[float]]) -> float:
    """Operating cost between two measurements, in the plant's currency."""
    return sum(
        t.coefficient * (after[t.field][t.index] - before[t.field][t.index]) for t in operating_terms(compiled.plant)
    )


def keep(compiled: Compiled, state: TwinState, log: EvidenceLog, seed: int) -> dict[str, Any]:
    """Evidence stored when an action is accepted: the rows (as bytes in the log), their hash, the meters."""
    rows = ensemble(compiled, state, seed, REPLICAS)
    buffer = io.BytesIO()
    np.save(buffer, rows, allow_pickle=False)
    return {
        "t": state.t,
        "seed": seed,
        "rows": log.put_blob(buffer.getvalue()),
        "rows_hash": rows_hash(compiled, rows),
        "meters": measured(compiled, state),
    }


def counterfactual(compiled: Compiled, rows: Array, until: int) -> NDArray[np.float64]:
    """Operating cost [R] of "nothing" from the stored rows to plant time `until` (ms)."""
    after = rows.copy()
    kernel.run(after, compiled, to_tick(compiled, until))
    return operating_cost(rows, after, compiled)


def realised(compiled: Compiled, state: TwinState, log: EvidenceLog, accepted: dict[str, Any]) -> dict[str, Any]:
    """Gain that was measured: counterfactual cost of doing nothing less the measured cost, from acceptance until
    `state.t`.

    `lo` and `hi` bound it by the 5 and 95 % quantiles of the counterfactual. It rests on the twin's model: says so.
    """
    rows = np.load(io.BytesIO(log.get_blob(accepted["rows"])), allow_pickle=False)
    nothing = counterfactual(compiled, rows, state.t)
    cost = measured_cost(compiled, accepted["meters"], measured(compiled, state))
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
    }
