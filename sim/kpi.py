"""Key figures of a run, computed after it from the integers in the rows.

Times and rates are in the plant file's `time_unit`; money in its currency. Names are those of Factory Physics:
throughput, WIP, flow time (release to finish of a part); `wait` is the part of the flow time spent in queues.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.compile import Compiled
from sim.plant import STATES, Product
from sim.state import OFF, SETUP, WORKING, Array
from sim.traits import end_products, planned_ticks
from sim.value import cash_terms, kwh, weights

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
    `clear_stats` (see `sim.value.cash_terms`).
    """
    return weights(compiled, cash_terms(compiled.plant))


def money(rows: Array, compiled: Compiled) -> Values:
    """Money spent less money earned since `clear_stats`, for each replica [R]; negative is profit."""
    positions, weights = cost_weights(compiled)
    # not a matrix product: its order of summation depends on the number of rows, and so would the last bit
    return np.asarray((rows[:, positions] * weights).sum(axis=1), dtype=float)


def elapsed(rows: Array, compiled: Compiled) -> Values:
    """Ticks since `clear_stats` [R]."""
    return (rows[:, 0] - compiled.layout.view(rows, "stats_from")).astype(float)


def kpis(rows: Array, compiled: Compiled) -> dict[str, Values]:
    """Figures of the whole plant, each [R]; NaN where a figure has no meaning in a replica (no part finished, no
    demand). `throughput` and `flow_time` are those of the products that leave the plant, `wip` and `wait` of all parts.
    """
    view = {
        n: compiled.layout.view(rows, n)
        for n in ("finished", "scrapped", "flow_sum", "wip_area", "q_area", "demanded", "met")
    }
    time = elapsed(rows, compiled)
    unit = ticks_per_unit(compiled)
    ends = end_products(compiled.plant)
    finished = view["finished"][:, ends].sum(axis=1)
    gone = view["finished"].sum(axis=1) + view["scrapped"].sum(axis=1)
    result = {
        "throughput": _ratio(finished * unit, time),
        "wip": _ratio(view["wip_area"].sum(axis=1), time),
        "flow_time": _ratio(view["flow_sum"][:, ends].sum(axis=1), finished * unit),
        "wait": _ratio(view["q_area"].sum(axis=1), gone * unit),
        "cost_rate": _ratio(money(rows, compiled) * unit, time),
    }
    if compiled.plant.demands:
        result["fill_rate"] = _ratio(view["met"].sum(axis=1), view["demanded"].sum(axis=1))
        backorders = compiled.layout.view(rows, "backorder_area").sum(axis=1)
        result["backorders"] = _ratio(backorders, time)
    return result | _promises(rows, compiled) | _energy(rows, compiled)


def _promises(rows: Array, compiled: Compiled) -> dict[str, Values]:
    """Tardiness of finished units and lateness of shipped ones (means over all of them), and the share of demand that
    was lost; each where the plant file speaks of it.
    """
    view, plant, unit = compiled.layout.view, compiled.plant, ticks_per_unit(compiled)
    result: dict[str, Values] = {}
    if any(_dated(p) for p in plant.products):
        finished = view(rows, "finished").sum(axis=1)
        result["tardiness"] = _ratio(view(rows, "tardy_sum").sum(axis=1), finished * unit)
        result["tardy"] = _ratio(view(rows, "tardy").sum(axis=1), finished)
    if any(d.due is not None or any(o.due is not None for o in d.book) for d in plant.demands):
        shipped = view(rows, "shipped").sum(axis=1)
        result["lateness"] = _ratio(view(rows, "late_sum").sum(axis=1), shipped * unit)
        result["late"] = _ratio(view(rows, "late_units").sum(axis=1), shipped)
    if any(d.can_lose for d in plant.demands):
        result["lost"] = _ratio(view(rows, "lost").sum(axis=1), view(rows, "demanded").sum(axis=1))
    return result


def _dated(product: Product) -> bool:
    return product.due is not None or any(o.due is not None for o in product.release.orders)


def _energy(rows: Array, compiled: Compiled) -> dict[str, Values]:
    """Energy used since `clear_stats`, kWh and kilograms of carbon dioxide a time unit, where power is given."""
    plant = compiled.plant
    if not any(s.power or s.part_energy for s in plant.stations):
        return {}
    used = compiled.layout.view(rows, "energy").sum(axis=1) * kwh(plant)
    time = elapsed(rows, compiled) / ticks_per_unit(compiled)
    result = {"energy": _ratio(used, time)}
    if plant.tariff is not None and plant.tariff.co2 > 0:
        result["co2"] = _ratio(used * plant.tariff.co2, time)
    return result


def product_kpis(rows: Array, compiled: Compiled) -> dict[str, dict[str, Values]]:
    """Per product: finished per time unit, units in the plant, flow time and, where it has due dates, tardiness."""
    view, unit, time = compiled.layout.view, ticks_per_unit(compiled), elapsed(rows, compiled)
    result = {}
    for i, product in enumerate(compiled.plant.products):
        finished = view(rows, "finished")[:, i]
        figures = {
            "throughput": _ratio(finished * unit, time),
            "wip": _ratio(view(rows, "wip_area")[:, i], time),
            "flow_time": _ratio(view(rows, "flow_sum")[:, i], finished * unit),
        }
        if _dated(product):
            figures["tardiness"] = _ratio(view(rows, "tardy_sum")[:, i], finished * unit)
            figures["tardy"] = _ratio(view(rows, "tardy")[:, i], finished)
        result[product.id] = figures
    return result


def station_kpis(rows: Array, compiled: Compiled) -> dict[str, dict[str, Values]]:
    """Per station: the fraction of its units' time in each state (sum 1), parts in the queue, operations ended per
    time unit, where it has setups, these, and its OEE.
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
        if station.setups:
            figures["setup_rate"] = _ratio(view(rows, "set_ups")[:, s] * unit, time)
        result[station.id] = figures | oee(rows, compiled, s)
    return result


def oee(rows: Array, compiled: Compiled, s: int) -> dict[str, Values]:
    """Overall equipment effectiveness of station `s` and its three factors, after ISO 22400-2, each [R].

    availability = actual production time (state work) / planned busy time, which is all time but `off`, and but setups
    and planned modes where the conventions `oee_setups` and `oee_planned_stops` put them outside; effectiveness =
    planned run time of the parts ended (means of the plant file, a batch counted as full) / actual production time;
    quality_ratio = parts ended and not scrapped here / parts ended; oee = their product. It says nothing of a line:
    those of stations are never multiplied.
    """
    station, named, view = compiled.plant.stations[s], compiled.plant.conventions, compiled.layout.view
    ticks = view(rows, "st_ticks")[:, s].astype(float)
    busy = ticks.sum(axis=1) - ticks[:, OFF]
    if named.get("oee_setups") == "outside_planned_busy_time":
        busy -= ticks[:, SETUP]
    if named.get("oee_planned_stops", "outside_planned_busy_time") == "outside_planned_busy_time":
        busy -= view(rows, "planned_down")[:, s]
    ended, planned = view(rows, "ended")[:, s], view(rows, "planned_work")[:, s].astype(float)
    means = planned_ticks(compiled.plant, station.id)
    if len(means) == 1:
        planned = ended * float(*means)
    planned /= 1 if station.batch is None else station.batch.most
    good = ended - view(rows, "spoilt")[:, s]
    return {
        "availability": _ratio(ticks[:, WORKING], busy),
        "effectiveness": _ratio(planned, ticks[:, WORKING]),
        "quality_ratio": _ratio(good, ended),
        "oee": _ratio(planned * np.where(ended > 0, good / np.maximum(ended, 1), 1.0), busy),
    }


def stock_kpis(rows: Array, compiled: Compiled) -> dict[str, dict[str, Values]]:
    """Per stock point: mean on hand and backorders, fill rate, orders per time unit."""
    view = compiled.layout.view
    time = elapsed(rows, compiled)
    unit = ticks_per_unit(compiled)
    result = {}
    orders = view(rows, "orders")
    for k, stock in enumerate(compiled.plant.stocks):
        lanes = [i for i, (name, _) in enumerate(compiled.lanes) if name == stock.id]
        figures = {
            "on_hand": _ratio(view(rows, "on_hand_area")[:, k], time),
            "backorders": _ratio(view(rows, "backorder_area")[:, k], time),
            "order_rate": _ratio(orders[:, lanes].sum(axis=1) * unit, time),
        }
        if any(d.stock == stock.id for d in compiled.plant.demands):
            figures["fill_rate"] = _ratio(view(rows, "met")[:, k], view(rows, "demanded")[:, k])
        if any(d.stock == stock.id and d.can_lose for d in compiled.plant.demands):
            figures["lost"] = _ratio(view(rows, "lost")[:, k], view(rows, "demanded")[:, k])
        result[stock.id] = figures
    return result
