"""From what is believed to rows of the kernel: facts, the posterior of the parameters, the ensemble, the state hash."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from sim.compile import Compiled
from sim.facts import Facts, FactsError, rows_from_facts
from sim.state import LAYOUT_VERSION
from twin.believe import Posterior, draw_scales, posterior
from twin.facts import to_facts, to_tick
from twin.guesses import drawn
from twin.hidden_view import fitted
from twin.inforce import running
from twin.model import StationState, TwinState, held
from twin.topology import build

Array = NDArray[np.int64]

HASH_ROWS = 32
"""Replicas in the ensemble whose hash is the state hash."""
HASH_SEED = 7


def ensemble(compiled: Compiled, state: TwinState, seed: int, replicas: int) -> Array:
    """Rows int64[replicas, W] that agree with the twin state, parameters and hidden residuals drawn from `seed`.

    What no sensor sees differs between them as it does between the members of its ensemble. Rows go on with
    `running(compiled, state.refits)`.

    Should more parts be believed than the plant can hold, guessed ones are left out, newest first.
    """
    return rows_with(compiled, state, seed, replicas, draw_scales(compiled, posterior(compiled, state), seed, replicas))


def rows_with(compiled: Compiled, state: TwinState, seed: int, replicas: int, scales: dict[str, Array]) -> Array:
    """As `ensemble`, with these parameter factors int64[replicas, n] by field."""
    facts = to_facts(compiled, state)
    live = running(compiled, state.refits)
    topology = build(compiled.plant)
    groups = fitted(compiled, topology, state, facts, replicas) if state.hidden else [facts]
    groups = drawn(compiled, topology, state, groups, seed, replicas)
    ends = [round(replicas * (i + 1) / len(groups)) for i in range(len(groups))]
    rows = []
    for facts, first, end in zip(groups, [0, *ends], ends, strict=False):
        own = {name: values[first:end] for name, values in scales.items()}
        rows.append(_rows(live, facts, (seed, first, end), own))
    return rows[0] if len(rows) == 1 else np.concatenate(rows)


def _rows(compiled: Compiled, facts: Facts, which: tuple[int, int, int], scales: dict[str, Array]) -> Array:
    """Rows of the replicas `which` = (seed, first, end); guessed parts are left out until they agree with the plant."""
    seed, first, end = which
    for _ in range(64):
        try:
            return rows_from_facts(compiled, facts, seed, end - first, first, scales=scales)
        except FactsError:
            facts = _lighter(facts)
    return rows_from_facts(compiled, facts, seed, end - first, first, scales=scales)


__all__ = ["Posterior", "draw_scales", "ensemble", "posterior", "rows_hash", "running", "spread_of", "state_hash"]
__all__ += ["to_facts", "to_tick"]


def _lighter(facts: Facts) -> Facts:
    longest = max(facts.queues, key=lambda s: len(facts.queues[s]))
    queues = dict(facts.queues)
    queues[longest] = queues[longest][:-1]
    return replace(facts, queues=queues)


def rows_hash(compiled: Compiled, rows: Array) -> str:
    """SHA-256 of layout version, params hash and the rows in order."""
    h = hashlib.sha256(LAYOUT_VERSION.to_bytes(4, "big"))
    h.update(compiled.hash.encode())
    h.update(np.ascontiguousarray(rows, dtype="<i8").tobytes())
    return "sha256:" + h.hexdigest()


def state_hash(compiled: Compiled, state: TwinState) -> str:
    """Hash of the twin state: that of its standard ensemble."""
    return rows_hash(running(compiled, state.refits), ensemble(compiled, state, HASH_SEED, HASH_ROWS))


def spread_of(station: StationState, *, covered: bool) -> float:
    """Standard deviation (parts) of what is believed to be at a station: 0 where every move is counted and agrees."""
    variance = float(station.miss_by**2) if station.misses else 0.0
    if station.suspect:
        variance += 1.0
    if not covered:
        variance += 0.25 + 0.5 * held(station)
    return float(np.sqrt(variance))
