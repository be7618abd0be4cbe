"""Why an action pays, in the plant's words: computed from the two futures, never made up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sim.plant import STATES, UNLIMITED
from sim.traits import end_products
from sim.value import Term, kwh, lanes_of, operating_terms

if TYPE_CHECKING:
    from sim.compile import Compiled

Rows = NDArray[np.int64]
MOST = 3
"""Money drivers named."""


def reasons(compiled: Compiled, present: Rows, without: Rows, with_: Rows, horizon: int) -> list[str]:
    """What is out of order now (rows [N, W]), then the largest parts of the money difference between the changes of
    the row over the horizon without and with the action (each [R, W]).
    """
    return now_words(compiled, present) + money_words(compiled, without, with_, horizon)


def now_words(compiled: Compiled, rows: Rows) -> list[str]:
    """Stations that are down, full in front or blocked in most of the twin's presents, and customers waiting: one line,
    in the past, as it is read later.
    """
    plant, layout = compiled.plant, compiled.layout
    state = layout.view(rows, "n_state").mean(axis=0)
    queue = layout.view(rows, "q_len").mean(axis=0)
    said = []
    for i, station in enumerate(plant.stations):
        down = state[i, STATES.index("down")]
        if down > 0.5:
            said.append(f"{down:.0f} of {station.units} units of {station.id} {_was(down)} down")
        elif station.capacity not in {UNLIMITED, 0} and queue[i] >= 0.8 * station.capacity:
            said.append(f"{queue[i]:.0f} of {station.capacity} places in front of {station.id} were taken")
    for i, stock in enumerate(plant.stocks):
        waiting = layout.view(rows, "backorders")[:, i].mean()
        if waiting >= 1.0:
            who = "customer" if round(waiting) == 1 else "customers"
            said.append(f"{waiting:.0f} {who} waited for {stock.item} at {stock.id}")
    return [f"when this was proposed: {', '.join(said[:MOST])}"] if said else []


def _was(count: float) -> str:
    return "was" if round(count) == 1 else "were"


def money_words(compiled: Compiled, without: Rows, with_: Rows, horizon: int) -> list[str]:
    """The largest terms of the cost difference, each with the quantity behind it without and with the action."""
    unit = compiled.plant.currency
    found = []
    for term in operating_terms(compiled.plant):
        at = compiled.layout.at(term.field, term.index)
        a, b = float(without[:, at].mean()), float(with_[:, at].mean())
        found.append(((b - a) * term.coefficient, _quantity(term, a, b, compiled, horizon)))
    found.sort(key=lambda item: -abs(item[0]))
    total = sum(abs(money) for money, _ in found)
    said = []
    for money, quantity in found[:MOST]:
        if abs(money) > 0.02 * total:
            said.append(f"{quantity}: {'costs' if money > 0 else 'saves'} {abs(money):.1f} {unit}")
    return said


_AVERAGED = {
    "q_area": "parts held in {}",
    "on_hand_area": "parts held in {}",
    "transit_area": "parts on their way to {}",
    "wip_area": "{} in the plant",
    "waiting_area": "orders waiting for {}",
}
"""Accumulators that are read as a mean over the horizon."""
_COUNTED = {
    "orders": "orders placed for {}",
    "ordered": "units ordered for {}",
    "scrapped": "{} scrapped",
    "finished": "{} finished",
    "set_ups": "setups of {}",
    "begun": "repairs of {}",
    "lost_units": "orders lost by {}",
}


def _quantity(term: Term, a: float, b: float, compiled: Compiled, horizon: int) -> str:
    """What a term of money counts, without and with the action."""
    hour = 3600.0 / compiled.plant.tick_s
    if term.field in _AVERAGED:
        return f"{_AVERAGED[term.field]} on average {{:.1f}} → {{:.1f}}".format(term.thing, a / horizon, b / horizon)
    if term.field in _COUNTED:
        thing = term.thing
        if term.field in {"orders", "ordered"}:  # a stock with a dearer, faster source has two lanes
            stock, lane = lanes_of(compiled.plant)[term.index]
            thing = f"{stock.id} from {lane.source}"
        return f"{_COUNTED[term.field]} {{:.1f}} → {{:.1f}}".format(thing, a, b)
    if term.field == "energy":
        return f"kWh at the price of {term.thing} {a * kwh(compiled.plant):.1f} → {b * kwh(compiled.plant):.1f}"
    what = {"tardy_sum": "lateness of {}", "late_sum": "lateness to {}", "overtime_ticks": "overtime of {}"}
    return f"{what[term.field].format(term.thing)} {a / hour:.1f} h → {b / hour:.1f} h"


def effects(compiled: Compiled, without: Rows, with_: Rows, horizon: int) -> dict[str, Any]:
    """KPIs over the horizon without and with the action, each as [mean, lo, hi] (90 % of the futures): finished
    products, parts in the plant, orders waiting, finished goods on hand.
    """
    layout, plant = compiled.layout, compiled.plant
    sold = {plant.products[p].id for p in end_products(plant)}
    filled = [i for i, s in enumerate(plant.stocks) if s.item in sold]
    measures: dict[str, tuple[str, list[int], float]] = {"finished products": ("finished", end_products(plant), 1.0)}
    measures["parts in the plant"] = ("wip_area", list(range(len(plant.products))), float(horizon))
    demanded = [i for i, s in enumerate(plant.stocks) if any(d.stock == s.id for d in plant.demands)]
    if demanded:
        measures["orders waiting"] = ("backorder_area", demanded, float(horizon))
    if filled:
        measures["finished goods on hand"] = ("on_hand_area", filled, float(horizon))
    out: dict[str, Any] = {}
    for name, (field, index, scale) in measures.items():
        sides = [layout.view(change, field)[:, index].sum(axis=1) / scale for change in (without, with_)]
        out[name] = {"from": _band(sides[0]), "to": _band(sides[1])}
    return out


def _band(values: NDArray[np.float64]) -> list[float]:
    lo, hi = np.quantile(values, [0.05, 0.95])
    return [round(float(values.mean()), 3), round(float(lo), 3), round(float(hi), 3)]
