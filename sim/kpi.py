"""Key figures of a run, computed after it from the integers in the rows.

Times and rates are in the plant file's `time_unit`; money in its currency. Names are those of Factory Physics:
throughput, WIP, flow time (release to finish of a part); `wait` is the part of the flow time spent in queues.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.compile import Compiled
from sim.plant import STATES
from sim.state import Array

Values = NDArray[np.float64]

UNIT_SECONDS = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}


def ticks_per_unit(compiled: Compiled) -> float:
    """Ticks in the plant file's time unit."""
    return UNIT_SECONDS[compiled.plant.time_unit] / compiled.plant.tick_s


def _ratio(a: NDArray[Any], b: NDArray[Any]) -> Values:
    """A / b, NaN where nothing happened."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(np.asarray(b) > 0, np.asarray(a, dtype=float) / np.asarray(b, dtype=float), np.nan)


def cost_weights(compiled: Compiled) -> tuple[Array, Values]:
    """Positions in the row and coefficients whose sum of products is the money spent less the money earned since
    `clear_stats`.

    Holding by queue and stock, backlog, orders, purchases, scrap; less revenue at shipment, or at completion where no
    stock receives the product.
    """
    plant, at_ = compiled.plant, compiled.layout.at
    terms: list[tuple[int, float]] = []
    filled = {k.item: i for i, k in enumerate(plant.stocks) if k.source == "line"}
    for s, station in enumerate(plant.stations):
        terms.append((at_("q_area", s), station.holding))
    for i, product in enumerate(plant.products):
        at = at_("shipped", filled[product.id]) if product.id in filled else at_("finished", i)
        terms.append((at, -product.revenue))
        terms.append((at_("scrapped", i), product.scrap_cost))
    for k, stock in enumerate(plant.stocks):
        terms.append((at_("on_hand_area", k), stock.holding))
    for i, (stock_id, which) in enumerate(compiled.lanes):
        stock = plant.stocks[compiled.stock_index[stock_id]]
        way = stock if which == "regular" or stock.express is None else stock.express
        terms += [(at_("orders", i), way.order_cost), (at_("ordered", i), way.price)]
    for demand in plant.demands:
        terms.append((at_("backorder_area", compiled.stock_index[demand.stock]), demand.backlog))
    terms = [(at, weight) for at, weight in terms if weight != 0.0]
    positions = np.array([at for at, _ in terms], dtype=np.int64)
    return positions, np.array([weight for _, weight in terms], dtype=float)


def money(rows: Array, compiled: Compiled) -> Values:
    """Money spent less money earned since `clear_stats`, for each replica [R]; negative is profit."""
    positions, weights = cost_weights(compiled)
    return np.asarray(rows[:, positions] @ weights, dtype=float)


def elapsed(rows: Array, compiled: Compiled) -> Values:
    """Ticks since `clear_stats` [R]."""
    return (rows[:, 0] - compiled.layout.view(rows, "stats_from")).astype(float)


def kpis(rows: Array, compiled: Compiled) -> dict[str, Values]:
    """Figures of the whole plant, each [R]; NaN where a figure has no meaning in a replica (no part finished, no
    demand).
    """
    view = {
        n: compiled.layout.view(rows, n)
        for n in ("finished", "scrapped", "flow_sum", "wip_area", "q_area", "demanded", "met")
    }
    time = elapsed(rows, compiled)
    unit = ticks_per_unit(compiled)
    finished = view["finished"].sum(axis=1)
    gone = finished + view["scrapped"].sum(axis=1)
    result = {
        "throughput": _ratio(finished * unit, time),
        "wip": _ratio(view["wip_area"].sum(axis=1), time),
        "flow_time": _ratio(view["flow_sum"].sum(axis=1), finished * unit),
        "wait": _ratio(view["q_area"].sum(axis=1), gone * unit),
        "cost_rate": _ratio(money(rows, compiled) * unit, time),
    }
    if compiled.plant.demands:
        result["fill_rate"] = _ratio(view["met"].sum(axis=1), view["demanded"].sum(axis=1))
        backorders = compiled.layout.view(rows, "backorder_area").sum(axis=1)
        result["backorders"] = _ratio(backorders, time)
    return result


def station_kpis(rows: Array, compiled: Compiled) -> dict[str, dict[str, Values]]:
    """Per station: the fraction of its units' time in each state (sum 1), parts in the queue, operations ended per
    time unit.
    """
    view = compiled.layout.view
    time = elapsed(rows, compiled)
    unit = ticks_per_unit(compiled)
    result = {}
    for s, station in enumerate(compiled.plant.stations):
        ticks = view(rows, "st_ticks")[:, s]
        figures = {name: _ratio(ticks[:, i], time * station.units) for i, name in enumerate(STATES)}
        figures["queue"] = _ratio(view(rows, "q_area")[:, s], time)
        figures["rate"] = _ratio(view(rows, "ended")[:, s] * unit, time)
        result[station.id] = figures
    return result


def stock_kpis(rows: Array, compiled: Compiled) -> dict[str, dict[str, Values]]:
    """Per stock point: mean on hand and backorders, fill rate, orders per time unit."""
    view = compiled.layout.view
    time = elapsed(rows, compiled)
    unit = ticks_per_unit(compiled)
    result = {}
    for k, stock in enumerate(compiled.plant.stocks):
        figures = {
            "on_hand": _ratio(view(rows, "on_hand_area")[:, k], time),
            "backorders": _ratio(view(rows, "backorder_area")[:, k], time),
            "order_rate": _ratio(view(rows, "orders")[:, k] * unit, time),
        }
        if any(d.stock == stock.id for d in compiled.plant.demands):
            figures["fill_rate"] = _ratio(view(rows, "met")[:, k], view(rows, "demanded")[:, k])
        result[stock.id] = figures
    return result
