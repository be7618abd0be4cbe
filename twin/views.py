"""What the API shows, as pure functions of the twin's state: the plant, the frame, the values with their marks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sim.distributions import mean
from sim.drawing_graph import graph
from sim.plant import DONE, SCRAP, STATES, UNLIMITED, Plant
from twin import papers, sensing
from twin.check import REFUSED
from twin.estimate import spread_of
from twin.floor import Floor
from twin.hidden_view import health, places, totals
from twin.model import (
    BAD,
    BLOCKED,
    DOWN,
    ESTIMATED,
    FREE,
    MEASURED,
    SETUP,
    STALE,
    WORK,
    StationState,
    TwinState,
    done,
    held,
)
from twin.topology import Topology

GOOD_Q, UNCERTAIN_Q, STALE_Q, BAD_Q, _, ESTIMATED_Q = range(6)
QUALITY = {MEASURED: GOOD_Q, ESTIMATED: ESTIMATED_Q, STALE: STALE_Q, BAD: BAD_Q}
HOUR_MS = 3_600_000
Z90 = 1.645
UNITS = {"dispatch": "", "supply": "units", "capacity": "ticks", "maintenance": ""}
"""What a control counts, by its class; parts where nothing else is said."""
UNIT_S = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}


@dataclass(frozen=True, slots=True)
class Around:
    """What the frame needs beside the state. `age_s` wall seconds since the newest row; `stale` the reason, "" when
    fresh.
    """

    seq: int = 0
    age_s: float = 0.0
    stale: str = ""
    mode: str = "live"
    holes: int = 0
    fidelity: str = "unknown"
    drifting: int = 0  # open notices of drift
    rec_v: int = 0
    fc_v: int = 0
    paused: bool = False
    advice: dict[str, Any] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)  # what it has to do without, a sentence each


def plant_view(plant: Plant) -> dict[str, Any]:
    """The static description of the plant (`GET /plant`)."""
    onward: dict[str, list[str]] = {s.id: [] for s in plant.stations}
    for product in plant.products:
        for step in product.steps:
            for target, _ in step.next:
                if target in (DONE, SCRAP):
                    continue
                there = product.steps[target].station
                if there not in onward[step.station] and there != step.station:
                    onward[step.station].append(there)
    filled = {s.item: s.id for s in plant.stocks if s.source == "line"}
    return {
        "id": plant.id,
        "site": plant.site,
        "area": plant.area,
        "line": plant.line,
        "timezone": plant.timezone,
        "time_unit": plant.time_unit,
        "currency": plant.currency,
        "question": plant.question,
        "stations": [
            {"id": s.id, "units": s.units, "capacity": _places(s.capacity), "buffer": s.buffer, "next": onward[s.id]}
            for s in plant.stations
        ],
        "stocks": [{"id": s.id, "item": s.item, "source": s.source, "level": s.level} for s in plant.stocks],
        "suppliers": [{"id": s.id} for s in plant.suppliers],
        "demands": [{"id": d.id, "stock": d.stock} for d in plant.demands],
        "products": [
            {
                "id": p.id,
                "stations": list(dict.fromkeys(step.station for step in p.steps)),
                "policy": p.release.policy,
                "consumes": [[stock, n] for stock, n in p.release.consumes],
                "stock": filled.get(p.id),
            }
            for p in plant.products
        ],
        "controls": [
            {
                "id": c.id,
                "sets": c.sets,
                "low": c.low,
                "high": c.high,
                "step": c.step,
                "every_s": c.every * plant.tick_s,
                "class": c.klass,
                "worth": c.worth,
                "unit": UNITS.get(c.klass, "parts"),
                "approve": c.approve,
            }
            for c in plant.controls
        ],
        "horizons": {"forecast_s": 8 * 3600},
        "flow": graph(plant).as_json(),
    }


def _places(capacity: int) -> int | None:
    return None if capacity == UNLIMITED else capacity


def frame(topology: Topology, state: TwinState, around: Around) -> dict[str, Any]:
    """The small frame that is drawn twice a second (`GET /frame`)."""
    plant = topology.plant
    return {
        "v": 1,
        "seq": around.seq,
        "t": state.t,
        "mode": "stale" if around.stale else around.mode,
        "st": [station_code(station) for station in state.stations],
        "q": [station_quality(topology, state, s, stale=bool(around.stale)) for s in range(len(plant.stations))],
        "buf": [[n, _places(spec.capacity)] for n, spec in zip(queues(topology, state), plant.stations, strict=True)],
        "stk": [[k.on_hand, k.backorder, k.on_order] for k in state.stocks],
        "kpi": kpis(topology, state),
        "sync": {
            "age_s": round(around.age_s, 3),
            "fidelity": around.fidelity,
            "holes": around.holes,
            "why": around.stale,
            "missing": around.missing,
        },
        "ctl": dict(state.controls),
        "notices": len(state.contradictions) + (around.holes > 0) + around.drifting + len(papers.notices(state)),
        "rec_v": around.rec_v,
        "fc_v": around.fc_v,
        "lead": bottleneck(state),
        "paused": around.paused,
        "advice": around.advice,
    }


def queues(topology: Topology, state: TwinState) -> list[int]:
    """Parts believed to wait before each station, to the nearest whole part."""
    hidden = places(topology, state) if state.hidden else {}
    return [round(hidden[i].queue) if i in hidden else len(s.queue) for i, s in enumerate(state.stations)]


def station_code(station: StationState) -> int:
    """One state for a station: down if a unit is down, else work if one works, else the commonest of the rest."""
    codes = [u.state if u.state >= 0 else (WORK if u.parts else 3) for u in station.units]
    for code in (DOWN, WORK, SETUP, BLOCKED):
        if code in codes:
            return code
    return max(set(codes), key=lambda code: (codes.count(code), -code))


def station_quality(topology: Topology, state: TwinState, s: int, *, stale: bool) -> int:
    """Quality code of a station: stale, estimated (no sensor of its own), uncertain (contradicted lately), good."""
    if stale:
        return STALE_Q
    floor = Floor(topology, state, state.t)
    if not floor.covered(s) or not any(u.measured for u in state.stations[s].units):
        return ESTIMATED_Q
    name = topology.plant.stations[s].id
    recent = any(
        c.t > state.t - 120_000 and key.partition("/")[2].split("/")[0] == name
        for key, c in state.contradictions.items()
    )
    return UNCERTAIN_Q if recent or state.stations[s].suspect else GOOD_Q


def kpis(topology: Topology, state: TwinState) -> dict[str, list[float | None]]:
    """Indicators [value, lo, hi]: measured ones have lo = hi = value. Throughput is over the last hour, per time
    unit.
    """
    unit_s = UNIT_S[topology.plant.time_unit]
    floor = Floor(topology, state, state.t)
    unseen = totals(topology, state)
    seen = [(i, s) for i, s in enumerate(state.stations) if i not in unseen.where]
    spread = (sum(spread_of(s, covered=floor.covered(i)) ** 2 for i, s in seen) + unseen.variance) ** 0.5
    wip = float(sum(held(s) for _, s in seen)) + round(unseen.mean, 1)
    output, width = float(done(state, topology.ends)), round(Z90 * unseen.gone_spread, 1)
    found: dict[str, list[float | None]] = {
        "throughput": _same(_rate(state, unit_s, topology.ends)),
        "wip": [wip, round(max(wip - Z90 * spread, 0.0), 1), round(wip + Z90 * spread, 1)],
        "output": [output, max(output - width, 0.0), output + width],
    }
    if topology.plant.demands:
        owed = sorted(set(topology.demand_stock.values()))
        found["backlog"] = _stocks(topology, state, "backorder", owed)
    sold = {topology.plant.products[p].id for p in topology.ends}
    if goods := [k for k, spec in enumerate(topology.plant.stocks) if spec.item in sold]:
        found["inventory"] = _stocks(topology, state, "on_hand", goods)
    if rate := _rate(state, unit_s, topology.ends):
        # Little's law. The mean over finished parts would be too short: parts met on connecting have no known release.
        share = sum(state.wip[p] for p in topology.ends) / max(sum(state.wip), 1)
        found["flow_time"] = _same(round(_mean_wip(state) * share / rate, 3))
    return found


def _same(value: float | None) -> list[float | None]:
    return [value, value, value]


def _stocks(topology: Topology, state: TwinState, what: str, which: Sequence[int]) -> list[float | None]:
    """Sum of a figure of some stocks; a band where a sensor has never said it."""
    value = float(sum(getattr(state.stocks[k], what) for k in which))
    unseen = [_unseen(topology, state, k) for k in which if what not in state.stocks[k].measured_t]
    width = Z90 * sum(spread**2 for spread in unseen) ** 0.5
    return [value, round(max(value - width, 0.0), 1), round(value + width, 1)] if unseen else _same(value)


def _rate(state: TwinState, unit_s: float, ends: list[int]) -> float | None:
    """Finished products per time unit over the last hour that is known."""
    past = [row for row in state.history if row[0] >= state.t - HOUR_MS]
    if not past or state.t - past[0][0] < HOUR_MS // 12:
        return None
    return round((done(state, ends) - past[0][2]) / ((state.t - past[0][0]) / 1000) * unit_s, 3)


def _mean_wip(state: TwinState) -> float:
    """Mean WIP over the last hour that is known."""
    past = [row[1] for row in state.history if row[0] >= state.t - HOUR_MS]
    return sum(past) / len(past)


def bottleneck(state: TwinState) -> int | None:
    """The station that was busy or down for the largest share of its open time so far."""
    shares = []
    for s, ms in enumerate(state.meters.state_ms):
        open_ms = sum(ms) - ms[STATES.index("off")]
        shares.append(((ms[WORK] + ms[DOWN] + ms[SETUP]) / open_ms if open_ms else 0.0, -s))
    best = max(shares, default=(0.0, 0))
    return -best[1] if best[0] > 0 else None


def state_view(topology: Topology, state: TwinState, *, stale: str) -> dict[str, Any]:
    """Every value with its spread, age, quality and mark, the contradictions and the WIP by station (`GET /state`,
    less the hash).
    """
    floor = Floor(topology, state, state.t)
    values, wip, hidden = [], {}, places(topology, state)
    for s, (spec, station) in enumerate(zip(topology.plant.stations, state.stations, strict=True)):
        covered = floor.covered(s)
        spread = spread_of(station, covered=covered)
        n: float = len(station.queue)
        wip[spec.id] = [held(station), round(spread, 2)]
        if place := hidden.get(s):
            wip[spec.id] = [round(place.held, 2), round(place.spread, 2)]
            n, spread = round(place.queue, 2), place.queue_spread
        counted = covered and floor.starts_seen(s)
        mark = MEASURED if station.level is not None or counted else ESTIMATED
        t = station.level_t if station.level is not None else state.t
        values.append(_value(state, (spec.buffer or spec.id, "queue", n), round(spread, 2), t, mark, stale))
        for u, unit in enumerate(station.units):
            name = spec.id if len(station.units) == 1 else f"{spec.id}/{u + 1}"
            mark = MEASURED if unit.measured or station.events else ESTIMATED
            doubt = 0.0 if mark == MEASURED else 0.5
            code = unit.state if unit.state >= 0 else WORK if unit.parts else FREE[1]
            values.append(_value(state, (name, "state", code), doubt, max(unit.seen, unit.since), mark, stale))
        if place is not None and place.down is not None:
            doubt = round((place.down * (1.0 - place.down)) ** 0.5, 3)
            values.append(_value(state, (spec.id, "down", round(place.down, 3)), doubt, state.t, ESTIMATED, stale))
    for k, (room, stock) in enumerate(zip(topology.plant.stocks, state.stocks, strict=True)):
        for what in ("on_hand", "backorder", "on_order"):
            t = stock.measured_t.get(what, 0)
            if what == "backorder" and not any(d == k for d in topology.demand_stock.values()):
                continue
            if what == "on_order" and room.source == "line":
                continue
            mark = MEASURED if t else ESTIMATED
            spread = 0.0 if t else _unseen(topology, state, k)
            values.append(_value(state, (room.id, what, getattr(stock, what)), spread, t or state.started, mark, stale))
    for name, tag in sorted(state.tags.items()):
        sensor = topology.tags.get(name)
        if REFUSED.intersection({tag.flag}) and sensor is not None:
            values.append(_value(state, (sensor.thing, sensor.property, tag.value), 0.0, tag.t, BAD, ""))
    for control, value in state.controls.items():
        tag_t = state.tags.get(f"set/{control}")
        mark = MEASURED if tag_t is not None else ESTIMATED
        values.append(_value(state, (control, "set", value), 0.0, tag_t.t if tag_t else state.started, mark, stale))
    return {
        "t": state.t,
        "values": values,
        "contradictions": [
            {"what": c.what, "sensors": c.sensors, "by": c.by, "since": c.since, "t": c.t, "n": c.n}
            for c in sorted(state.contradictions.values(), key=lambda c: -c.t)
        ],
        "wip": wip,
        "hidden": health(topology, state),
        "counts": dict(sorted(state.counts.items())),
        "sensors": sensing.rows(topology, state),
        "checks": {name: tag.failed for name, tag in sorted(state.tags.items()) if tag.failed},
        "supply": papers.view(state),
        "manual": {name: {"value": m.value, "sd": m.sd, "t": m.t, "role": m.role} for name, m in state.manual.items()},
    }


def _unseen(topology: Topology, state: TwinState, k: int) -> float:
    """Spread (units) of a stock that no sensor has spoken of: all the orders that may have come since the start."""
    if topology.claims[k] and all(state.demands[d].counted for d in topology.claims[k]):
        return 1.0
    tick_ms = topology.plant.tick_s * 1000
    orders = [
        mean(d.arrivals) * tick_ms
        for d in topology.plant.demands
        if topology.demand_stock[d.id] == k and d.arrivals is not None
    ]
    return round(sum((state.t - state.started) / each for each in orders) + 1.0, 1)


def _value(
    state: TwinState, what: tuple[str, str, float], spread: float, t: int, mark: str, stale: str
) -> dict[str, Any]:
    mark = STALE if stale and mark == MEASURED else mark
    quality = QUALITY[mark]
    if mark == MEASURED and spread > 0:
        quality = UNCERTAIN_Q
    return {
        "thing": what[0],
        "property": what[1],
        "value": what[2],
        "spread": spread,
        "quality": quality,
        "age_s": round(max(state.t - t, 0) / 1000, 1),
        "mark": mark,
    }
