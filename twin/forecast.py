"""What will probably happen from the live state: bands per series and probabilities of events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim import engine
from sim.compile import Compiled
from sim.plant import STATES
from sim.state import Array
from sim.traits import end_products
from twin.estimate import ensemble, posterior, rows_hash, running, to_tick
from twin.model import TwinState, done
from twin.scores import RANKED

Values = NDArray[np.float64]

REPLICAS = 200
HORIZON_S = 8 * 3600
MINUTE_MS = 60_000
STARVED_WITHIN_S = 1800
STARVED_FOR_S = 300
CHECKED_S = (900, 3600, HORIZON_S)
"""Horizons at which forecasts are scored (plant seconds)."""


@dataclass(frozen=True, slots=True)
class Options:
    """Replicas, horizon (plant seconds) and seed of a forecast."""

    replicas: int = REPLICAS
    horizon_s: int = HORIZON_S
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Sampled:
    """Replicas at grid times: `t` plant ms [G]; `series` name -> values [G, R]; `names` in the order of the state's
    history.
    """

    t: list[int]
    series: dict[str, Values]
    events: list[dict[str, Any]]


def grid(now: int, horizon_s: int) -> list[int]:
    """Plant times of a forecast: whole minutes 5, 10, 15, 30 minutes ahead, then every half hour, to the horizon."""
    base = now - now % MINUTE_MS
    minutes = [m for m in (5, 10, 15, *range(30, horizon_s // 60 + 1, 30)) if m * 60 <= horizon_s]
    return [base + m * MINUTE_MS for m in minutes if base + m * MINUTE_MS > now]


def series_names(compiled: Compiled) -> list[str]:
    """Names of the series, in the order of the columns of the state's history.

    `at/STATION` are parts in its queue and units, `out/STATION` operations ended there.
    """
    plant = compiled.plant
    stations = [f"{what}/{s.id}" for what in ("at", "out") for s in plant.stations]
    return ["wip", "output", "backlog", *(f"stock/{k.id}" for k in plant.stocks), *stations]


def measure(rows: Array, compiled: Compiled) -> Values:
    """The series' values in rows [R, W] -> [len(series_names), R]; what is counted counts from the row's start."""
    view = compiled.layout.view
    inside = np.zeros((len(compiled.plant.stations), len(rows)), dtype=np.int64)
    np.add.at(
        inside,
        np.repeat(np.arange(len(inside)), [s.units for s in compiled.plant.stations]),
        view(rows, "unit_count").T,
    )
    columns = [
        view(rows, "wip").sum(axis=1),
        view(rows, "finished")[:, end_products(compiled.plant)].sum(axis=1),
        view(rows, "backorders").sum(axis=1),
        *view(rows, "on_hand").T,
        *(view(rows, "q_len").T + inside),
        *view(rows, "ended").T,
    ]
    return np.array(columns, dtype=np.float64)


def simulate(compiled: Compiled, rows: Array, t: int, horizon_s: int) -> Sampled:
    """Run copies of `rows` (a state at plant time `t`) through the grid of the horizon."""
    rows = rows.copy()
    names = series_names(compiled)
    times = grid(t, horizon_s)
    out_of_stock = np.zeros((len(compiled.plant.stocks), len(rows)), dtype=bool)
    starved: Values | None = None
    found: list[Values] = []
    stats = {n: compiled.layout.view(rows, n) for n in ("backorder_area", "on_hand", "st_ticks", "backorders")}
    area0 = stats["backorder_area"].copy()
    for at in times:
        engine.run(rows, compiled, to_tick(compiled, at))
        found.append(measure(rows, compiled))
        out_of_stock |= ((stats["backorder_area"] > area0) | (stats["on_hand"] == 0)).T
        if starved is None and at - t >= STARVED_WITHIN_S * 1000 - MINUTE_MS:
            ticks = stats["st_ticks"][:, :, STATES.index("starved")]
            starved = (ticks > compiled.ticks(STARVED_FOR_S)).astype(float)
    values = np.array(found)
    series = {name: values[:, i, :] for i, name in enumerate(names)}
    return Sampled(times, series, _events(compiled, out_of_stock, starved, horizon_s))


def _events(compiled: Compiled, out: NDArray[np.bool_], starved: Values | None, horizon_s: int) -> list[dict[str, Any]]:
    hours = f"{horizon_s / 3600:g} h"
    events = [
        {"what": f"{stock.id} out of stock within {hours}", "p": round(float(out[k].mean()), 3)}
        for k, stock in enumerate(compiled.plant.stocks)
    ]
    if starved is not None:
        for s, station in enumerate(compiled.plant.stations):
            p = round(float(starved[:, s].mean()), 3)
            events.append({"what": f"{station.id} starved over 5 min within 30 min", "p": p})
    return sorted(events, key=lambda e: -float(e["p"]))


def forecast(compiled: Compiled, state: TwinState, options: Options) -> dict[str, Any]:
    """A forecast as the API gives it, with what is needed to score and to repeat it.

    Keys: t, horizon_s, n, series {name: {t, mean, lo, hi}} (90 % bands), events [{what, p}], state (hash of the
    rows), posterior,
    seed, checks [{name, ahead_s, made, t, now, mean, r (99 replicas, sorted), base}] (none below 99 replicas).
    `output` and `out/STATION` count from `t` on; stations are in the checks only.
    """
    rows, live = ensemble(compiled, state, options.seed, options.replicas), running(compiled, state.refits)
    sampled = simulate(live, rows, state.t, options.horizon_s)
    now = dict(zip(series_names(compiled), measure(rows, compiled).mean(axis=1), strict=True))
    base = _bases(compiled, state)
    series: dict[str, dict[str, Any]] = {}
    checks = []
    for name, values in sampled.series.items():
        lo, hi = np.quantile(values, (0.05, 0.95), axis=1)
        mean = values.mean(axis=1)
        if "/" not in name or name.startswith("stock/"):
            series[name] = {"t": sampled.t, "mean": _short(mean), "lo": _short(lo), "hi": _short(hi)}
        for ahead in CHECKED_S:
            target = state.t - state.t % MINUTE_MS + ahead * 1000
            if target not in sampled.t or options.replicas < RANKED:
                continue
            g = sampled.t.index(target)
            checks.append(
                {
                    "name": name,
                    "ahead_s": ahead,
                    "made": state.t,
                    "t": target,
                    "now": None if name in base else round(float(now[name]), 3),
                    "mean": round(float(mean[g]), 3),
                    "r": [int(v) for v in np.sort(values[g, :RANKED])],
                    "base": base.get(name, 0),
                }
            )
    return {
        "t": state.t,
        "horizon_s": options.horizon_s,
        "n": options.replicas,
        "series": series,
        "events": sampled.events,
        "state": rows_hash(live, rows),
        "posterior": posterior(compiled, state).id,
        "seed": options.seed,
        "checks": checks,
    }


def _bases(compiled: Compiled, state: TwinState) -> dict[str, int]:
    """What the cumulative series of the state's history stand at now."""
    ended = {f"out/{spec.id}": s.ended for spec, s in zip(compiled.plant.stations, state.stations, strict=True)}
    return {"output": done(state, end_products(compiled.plant)), **ended}


def _short(values: Values) -> list[float]:
    return [round(float(v), 3) for v in values]
