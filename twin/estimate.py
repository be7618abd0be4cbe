"""From what is believed to rows of the kernel: facts, the posterior of the parameters, the ensemble, the state hash."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sim.compile import Compiled
from sim.distributions import mean
from sim.facts import Facts, FactsError, rows_from_facts
from sim.facts_supply import mean_quantity
from sim.state import LAYOUT_VERSION
from twin.facts import to_facts, to_tick
from twin.hidden_view import fitted
from twin.model import StationState, TwinState, held
from twin.topology import build

Array = NDArray[np.int64]

HASH_ROWS = 32
"""Replicas in the ensemble whose hash is the state hash."""
HASH_SEED = 7
SPREADS = {"work_scale": 0.03, "fail_scale": 0.2, "repair_scale": 0.15, "arrival_scale": 0.05, "lead_scale": 0.12}
"""Prior spread (log standard deviation) of the factors on the plant file's times: it is a description, not the
plant."""
DEMAND_SPREAD = 0.05
"""Prior coefficient of variation of a demand rate; what was observed narrows and moves it (gamma-Poisson)."""
ONE = 65_536


@dataclass(frozen=True, slots=True)
class Posterior:
    """What is believed of the parameters. `demand` per demand: (shape, rate) of the gamma factor on its order rate."""

    demand: tuple[tuple[float, float], ...]

    @property
    def id(self) -> str:
        """Names the posterior by its content."""
        text = repr([(round(a, 3), round(b, 3)) for a, b in self.demand])
        return "p-" + hashlib.sha256(text.encode()).hexdigest()[:12]


def posterior(compiled: Compiled, state: TwinState) -> Posterior:
    """Demand rates after what was counted since the first row, in open hours."""
    prior = 1.0 / DEMAND_SPREAD**2
    demand = []
    for d, spec in enumerate(compiled.plant.demands):
        customer = state.demands[d]
        if not customer.counted or state.started == 0 or spec.arrivals is None or spec.season:
            demand.append((prior, prior))
            continue
        hours = open_ticks(compiled, spec.calendar, to_tick(compiled, state.started), to_tick(compiled, state.t))
        orders = customer.demanded / max(mean_quantity(spec.quantity), 1e-9)
        demand.append((prior + orders, prior + hours / mean(spec.arrivals)))
    return Posterior(tuple(demand))


def open_ticks(compiled: Compiled, calendar: str | None, a: int, b: int) -> int:
    """Ticks between `a` and `b` in which a calendar is open (all of them where there is none)."""
    if calendar is None or b <= a:
        return max(b - a, 0)
    from sim.calendars import transitions

    spec = next(c for c in compiled.plant.calendars if c.id == calendar)
    weeks = max(int(b * compiled.plant.tick_s // 604_800) + 2, 2)
    opened, ticks = transitions(spec, compiled.plant.timezone, compiled.start, weeks, compiled.plant.tick_s)
    total, at, is_open = 0, a, bool(opened) ^ bool(np.searchsorted(ticks, a, side="right") & 1)
    for change in [*(int(x) for x in ticks if a < x < b), b]:
        total += (change - at) if is_open else 0
        at, is_open = change, not is_open
    return total


def draw_scales(compiled: Compiled, believed: Posterior, seed: int, replicas: int) -> dict[str, Array]:
    """Replica-wise parameter factors (2^-16), int64[replicas, n] by field: the posterior, drawn from `seed` alone."""
    rng = np.random.Generator(np.random.PCG64([seed, 0x7077]))
    sizes = compiled.layout.sizes
    count = {
        "work_scale": "stations",
        "fail_scale": "stations",
        "repair_scale": "stations",
        "arrival_scale": "products",
    }
    scales: dict[str, Array] = {}
    for name, spread in SPREADS.items():
        n = sizes[count.get(name, "stocks")]
        factor = np.exp(spread * rng.standard_normal((replicas, n)) - spread * spread / 2)
        scales[name] = _fixed(factor)
    demand = np.ones((replicas, sizes["demands"]))
    for d, (shape, rate) in enumerate(believed.demand):
        demand[:, d] = rate / np.maximum(rng.standard_gamma(shape, replicas), 1e-9)
    scales["demand_scale"] = _fixed(demand)
    return scales


def _fixed(factor: NDArray[np.float64]) -> Array:
    return np.clip(np.rint(factor * ONE), ONE // 8, 8 * ONE).astype(np.int64)


def ensemble(compiled: Compiled, state: TwinState, seed: int, replicas: int) -> Array:
    """Rows int64[replicas, W] that agree with the twin state, parameters and hidden residuals drawn from `seed`.

    What no sensor sees differs between them as it does between the members of its ensemble.

    Should more parts be believed than the plant can hold, guessed ones are left out, newest first.
    """
    scales = draw_scales(compiled, posterior(compiled, state), seed, replicas)
    facts = to_facts(compiled, state)
    groups = fitted(compiled, build(compiled.plant), state, facts, replicas) if state.hidden else [facts]
    ends = [round(replicas * (i + 1) / len(groups)) for i in range(len(groups))]
    rows = []
    for facts, first, end in zip(groups, [0, *ends], ends, strict=False):
        own = {name: values[first:end] for name, values in scales.items()}
        rows.append(_rows(compiled, facts, (seed, first, end), own))
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


__all__ = ["Posterior", "ensemble", "posterior", "rows_hash", "spread_of", "state_hash", "to_facts", "to_tick"]


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
    return rows_hash(compiled, ensemble(compiled, state, HASH_SEED, HASH_ROWS))


def spread_of(station: StationState, *, covered: bool) -> float:
    """Standard deviation (parts) of what is believed to be at a station: 0 where every move is counted and agrees."""
    variance = float(station.miss_by**2) if station.misses else 0.0
    if station.suspect:
        variance += 1.0
    if not covered:
        variance += 0.25 + 0.5 * held(station)
    return float(np.sqrt(variance))
