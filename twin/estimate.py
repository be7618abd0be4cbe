"""From what is believed to rows of the kernel: facts, the posterior of the parameters, the ensemble, the state hash."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sim.compile import Compiled
from sim.distributions import mean
from sim.facts import Facts, FactsError, OrderFacts, PartFacts, StockFacts, UnitFacts, rows_from_facts
from sim.facts_supply import mean_quantity
from sim.plant import Station
from sim.state import LAYOUT_VERSION
from twin.model import DOWN, SETUP, Part, StationState, StockState, TwinState, Unit

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


def to_facts(compiled: Compiled, state: TwinState) -> Facts:
    """What is believed at `state.t`, as the kernel's facts (ticks and ids)."""
    plant = compiled.plant
    tick = to_tick(compiled, state.t)
    units: dict[tuple[str, int], UnitFacts] = {}
    queues: dict[str, tuple[PartFacts, ...]] = {}
    crews = _in_repair(compiled, state)
    for s, (spec, station) in enumerate(zip(plant.stations, state.stations, strict=True)):
        for u, unit in enumerate(station.units):
            units[spec.id, u + 1] = _unit(compiled, state, unit, spec, repairing=(s, u) in crews)
        places = len(station.queue) if spec.capacity < 0 else spec.capacity
        queues[spec.id] = tuple(_part(compiled, part) for part in station.queue[:places])
    return Facts(
        tick=tick,
        units=units,
        queues=queues,
        stocks={spec.id: _stock(compiled, state.stocks[k], k, tick) for k, spec in enumerate(plant.stocks)},
        controls=dict(state.controls),
        demand_age=_demand_age(compiled, state),
    )


def to_tick(compiled: Compiled, t: int) -> int:
    """Tick of plant time `t` (ms); never negative."""
    return max(round((t - compiled.start_ms) / compiled.tick_ms), 0)


def _part(compiled: Compiled, part: Part) -> PartFacts:
    product = compiled.plant.products[part.product]
    return PartFacts(product.id, product.steps[part.step].id, to_tick(compiled, part.born))


def _unit(compiled: Compiled, state: TwinState, unit: Unit, spec: Station, *, repairing: bool) -> UnitFacts:
    def ticks(ms: int) -> int:
        return max(round(ms / compiled.tick_ms), 0)

    age = ticks(unit.worked)
    since = to_tick(compiled, unit.since)
    repaired = ticks(state.t - unit.since) if repairing else None
    if unit.part is None:
        if unit.state == DOWN and any(m.planned or m.clock in ("tdf", "parts") for m in spec.modes):
            return UnitFacts("down", age=age, since=since, repaired=repaired)
        return UnitFacts(age=age, since=since)
    part = _part(compiled, unit.part)
    if unit.done:
        return UnitFacts("blocked", part, age=age, since=since)
    worked = ticks(unit.on_part)
    if unit.state == DOWN and spec.modes:
        return UnitFacts("down", part, worked, age, since, repaired)
    if unit.state == SETUP and spec.setups:
        known = UnitFacts("setup", part, ticks(state.t - unit.since), age, since)
        return known if _is_set_up(compiled, known, spec) else UnitFacts("work", part, worked, age, since)
    return UnitFacts("work", part, worked, age, since)


def _is_set_up(compiled: Compiled, unit: UnitFacts, spec: Station) -> bool:
    """Does the plant file know a setup for the part in hand?"""
    assert unit.part is not None
    product = compiled.plant.products[compiled.product_index[unit.part.product]]
    return any(to == (product.family or product.id) for _, to, _ in spec.setups)


def _in_repair(compiled: Compiled, state: TwinState) -> set[tuple[int, int]]:
    """(station, unit) of those that a repairer must be working on: the longest down, as many as the crew has people."""
    waiting: dict[str, list[tuple[int, int, int]]] = {}
    found: set[tuple[int, int]] = set()
    for s, (spec, station) in enumerate(zip(compiled.plant.stations, state.stations, strict=True)):
        for u, unit in enumerate(station.units):
            if unit.state != DOWN or not spec.modes:
                continue
            crew = (spec.fails or spec.modes[0]).crew
            if crew is None:
                found.add((s, u))
            else:
                waiting.setdefault(crew, []).append((unit.since, s, u))
    size = {crew.id: crew.size for crew in compiled.plant.crews}
    for crew, units in waiting.items():
        found |= {(s, u) for _, s, u in sorted(units)[: size[crew]]}
    return found


def _stock(compiled: Compiled, stock: StockState, k: int, tick: int) -> StockFacts:
    both = min(stock.on_hand, stock.backorder)  # readings of one moment may overlap
    spec = compiled.plant.stocks[k]
    orders: list[OrderFacts] = []
    if spec.lead is not None:
        known = sorted(stock.orders.values(), key=lambda o: o.issued)
        surplus = sum(o.quantity for o in known) - stock.on_order
        while known and surplus >= known[0].quantity > 0:
            surplus -= known.pop(0).quantity  # received, its document has not come yet
        orders = [OrderFacts(o.quantity, placed=min(to_tick(compiled, o.issued), tick)) for o in known]
        unknown = stock.on_order - sum(o.quantity for o in known)
        if unknown > 0:
            orders.append(OrderFacts(unknown, placed=tick - round(mean(spec.lead) / 2)))
        orders = orders[-compiled.layout.sizes["transit"] :]
    waits = any(d.stock == spec.id and d.unmet == "backorder" for d in compiled.plant.demands)
    return StockFacts(stock.on_hand - both, stock.backorder - both if waits else 0, tuple(orders))


def _demand_age(compiled: Compiled, state: TwinState) -> dict[str, int]:
    ages = {}
    for demand in compiled.plant.demands:
        channel = state.channels.get(f"=demand/{compiled.stock_index[demand.stock]}")
        if channel is not None:
            ages[demand.id] = max(to_tick(compiled, state.t) - to_tick(compiled, channel.t), 0)
    return ages


def posterior(compiled: Compiled, state: TwinState) -> Posterior:
    """Demand rates after what was counted since the first row, in open hours."""
    prior = 1.0 / DEMAND_SPREAD**2
    demand = []
    for spec in compiled.plant.demands:
        stock = state.stocks[compiled.stock_index[spec.stock]]
        one = sum(d.stock == spec.stock for d in compiled.plant.demands) == 1
        seen = f"=demand/{compiled.stock_index[spec.stock]}" in state.channels
        if not (one and seen) or state.started == 0 or spec.arrivals is None:
            demand.append((prior, prior))
            continue
        hours = open_ticks(compiled, spec.calendar, to_tick(compiled, state.started), to_tick(compiled, state.t))
        orders = stock.demanded / max(mean_quantity(spec.quantity), 1e-9)
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

    Should more parts be believed than the plant can hold, guessed ones are left out, newest first.
    """
    scales = draw_scales(compiled, posterior(compiled, state), seed, replicas)
    facts = to_facts(compiled, state)
    for _ in range(64):
        try:
            return rows_from_facts(compiled, facts, seed, replicas, scales=scales)
        except FactsError:
            facts = _lighter(facts)
    return rows_from_facts(compiled, facts, seed, replicas, scales=scales)


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
    held = len(station.queue) + sum(u.part is not None for u in station.units)
    variance = float(station.miss_by**2) if station.misses else 0.0
    if station.suspect:
        variance += 1.0
    if not covered:
        variance += 0.25 + 0.5 * held
    return float(np.sqrt(variance))
