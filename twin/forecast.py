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
from twin.estimate import ensemble, posterior, rows_hash, to_tick
from twin.model import TwinState, done

Values = NDArray[np.float64]

REPLICAS = 200
HORIZON_S = 8 * 3600
MINUTE_MS = 60_000
STARVED_WITHIN_S = 1800
STARVED_FOR_S = 300
QUANTILES = tuple(round(0.05 * i, 2) for i in range(1, 20))
"""Levels at which a stored forecast keeps its distribution; the first and last make the 90 % band."""
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
    """Names of the series, in the order of the columns of the state's history."""
    return ["wip", "output", "backlog", *(f"stock/{k.id}" for k in compiled.plant.stocks)]


def measure(rows: Array, compiled: Compiled) -> Values:
    """The series' values in rows [R, W] -> [len(series_names), R]; output counts from the row's start."""
    view = compiled.layout.view
    columns = [
        view(rows, "wip").sum(axis=1),
        view(rows, "finished")[:, end_products(compiled.plant)].sum(axis=1),
        view(rows, "backorders").sum(axis=1),
        *view(rows, "on_hand").T,
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
    seed, checks [{name, made, t, now, q (19 quantiles), mean}]. `output` counts finished parts from `t` on.
    """
    rows = ensemble(compiled, state, options.seed, options.replicas)
    sampled = simulate(compiled, rows, state.t, options.horizon_s)
    now = dict(zip(series_names(compiled), measure(rows, compiled).mean(axis=1), strict=True))
    series, checks = {}, []
    for name, values in sampled.series.items():
        q = np.quantile(values, QUANTILES, axis=1)
        mean = values.mean(axis=1)
        series[name] = {
            "t": sampled.t,
            "mean": _short(mean),
            "lo": _short(q[0]),
            "hi": _short(q[-1]),
        }
        for ahead in CHECKED_S:
            target = state.t - state.t % MINUTE_MS + ahead * 1000
            if target in sampled.t:
                g = sampled.t.index(target)
                checks.append(
                    {
                        "name": name,
                        "ahead_s": ahead,
                        "made": state.t,
                        "t": target,
                        "now": round(float(now[name]), 3),
                        "mean": round(float(mean[g]), 3),
                        "q": _short(q[:, g]),
                        "base": done(state, end_products(compiled.plant)),
                    }
                )
    return {
        "t": state.t,
        "horizon_s": options.horizon_s,
        "n": options.replicas,
        "series": series,
        "events": sampled.events,
        "state": rows_hash(compiled, rows),
        "posterior": posterior(compiled, state).id,
        "seed": options.seed,
        "checks": checks,
    }


def _short(values: Values) -> list[float]:
    return [round(float(v), 3) for v in values]
