"""Inventory positions of all stocks in many rows at once: what the kernel's policies of ordering look at.

They are the kernel's own (docs/kernel.md, Decide; `sim.rules_supply.position`), in numpy, so that a rule outside the
kernel can order by them, also by the one that the plant file's policy does not use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sim.tables import downstream
from sim.traits import mean_ticks
from sim.value import lanes_of

if TYPE_CHECKING:
    from sim.compile import Compiled

Rows = NDArray[np.int64]
Values = NDArray[np.int64]


def _net(rows: Rows, compiled: Compiled) -> Values:
    """On hand and on order less backorders [R, K], what is owed to others still in it."""
    view = compiled.layout.view
    return np.asarray(view(rows, "on_hand") + view(rows, "on_order") - view(rows, "backorders"), dtype=np.int64)


def _owed(rows: Rows, compiled: Compiled, of_source: bool) -> Values:
    """Units [R, K] ordered between stocks and not yet shipped: by the stock that owes them, or by the one that waits.

    What a supplier still owes (a vehicle's load) counts for the stock that waits only.
    """
    plant, index = compiled.plant, compiled.stock_index
    owed, out = compiled.layout.view(rows, "owed"), np.zeros((len(rows), len(plant.stocks)), dtype=np.int64)
    for i, (stock, lane) in enumerate(lanes_of(plant)):
        k = index.get(lane.source) if of_source else index[stock.id]
        if k is not None:
            out[:, k] += owed[:, i]
    return out


def installation(rows: Rows, compiled: Compiled) -> Values:
    """Installation positions [R, K]: on hand, less backorders and what is owed to other stocks, and on order."""
    return _net(rows, compiled) - _owed(rows, compiled, of_source=True)


def echelon(rows: Rows, compiled: Compiled) -> Values:
    """Echelon positions [R, K]: on order, and on hand and on the way from here down to the customers, less what these
    wait for. Of a stock with nothing downstream that is its installation position.
    """
    net, index = _net(rows, compiled), compiled.stock_index
    below, out = net - _owed(rows, compiled, of_source=False), net.copy()
    for stock in compiled.plant.stocks:
        under = [index[name] for name in downstream(compiled.plant, stock.id)]
        if under:
            out[:, index[stock.id]] += below[:, under].sum(axis=1)
    return out


def at_once(rows: Rows, compiled: Compiled, stock: int, level: Values) -> Values:
    """Units [R] that the express lane of a stock (by index) orders at a review now, up to a level [R]; express orders
    are placed first, so the regular lane already counts them.
    """
    plant, view = compiled.plant, compiled.layout.view
    express = plant.stocks[stock].express
    assert express is not None
    lanes, name = compiled.lane_index, plant.stocks[stock].id
    net = view(rows, "on_hand") - view(rows, "backorders") - _owed(rows, compiled, of_source=True)
    soon = rows[:, compiled.layout.at("now")] + mean_ticks(express.lead)
    regular = lanes[name, "regular"]
    due, units = view(rows, "transit_due")[:, regular], view(rows, "transit_qty")[:, regular]
    coming = np.where(due <= soon[:, None], units, 0).sum(axis=1)
    short = level - net[:, stock] - view(rows, "lane_order")[:, lanes[name, "express"]] - coming
    whole = -(-np.maximum(short, express.least) // express.multiple) * express.multiple
    return np.where(short > 0, whole, 0)
