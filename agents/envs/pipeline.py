"""When orders under way arrive: the columns `STOCK.arriving.K` of an observation.

How much is on order does not say what to order next: under periodic review with a lead time of several periods the
state is what is on hand *and* what comes in each period to come (Zipkin 2008, Operations Research 56). Only what a
plant knows is shown: when an order with a constant lead time arrives is known when it is sent. A random lead time, or
a supplier who may be late, is drawn by the kernel when the order is sent, so the row holds what the plant cannot know
yet; such stocks have no such columns (nor can the age of an order be shown: a row does not hold when it was sent).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sim.plant import Dist, Plant

if TYPE_CHECKING:
    from sim.compile import Compiled

Rows = NDArray[np.int64]
MOST = 8
"""Columns of a lane; the last one then holds all that comes later."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """The lane ("regular" or "express") of a stock: what comes in each of the next `count` intervals of `ticks`."""

    stock: str
    lane: str
    ticks: int
    count: int

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns, the next interval first."""
        lane = "" if self.lane == "regular" else f"{self.lane}."
        return tuple(f"{self.stock}.{lane}arriving.{k + 1}" for k in range(self.count))


def stretches(plant: Plant) -> list[Stretch]:
    """The lanes of a plant whose arrivals are shown: of stocks that are reviewed periodically, with a constant lead
    time longer than a period, from another stock or a supplier who is always in time.
    """
    unreliable = {s.id for s in plant.suppliers if s.late is not None}
    found = []
    for stock in plant.stocks:
        lanes: list[tuple[str, str, Dist | None]] = [("regular", stock.source, stock.lead)]
        if stock.express is not None:
            lanes.append(("express", stock.express.source, stock.express.lead))
        for lane, source, lead in lanes:
            known = lead is not None and lead.kind == "constant" and source not in unreliable
            if stock.review is None or lead is None or not known:
                continue
            count = ceil(lead.args[0] / stock.review)
            if count > 1:  # else everything under way comes within the period: `on_order` says so
                found.append(Stretch(stock.id, lane, stock.review, min(count, MOST)))
    return found


class Pipeline:
    """The columns of a compiled plant: `names`, their `shares` (stock, part of its full level that counts as full in
    one period: as much may come in each of them as is on hand) and `lanes` int64 [L, 7] as
    `sim.arriving.arriving_rows` wants them.
    """

    def __init__(self, compiled: Compiled) -> None:
        self.stretches = stretches(compiled.plant)
        self.names = tuple(name for s in self.stretches for name in s.names)
        self.shares = tuple((s.stock, 1.0 / (s.count + 1)) for s in self.stretches for _ in s.names)
        layout, places = compiled.layout, compiled.layout.sizes["transit"]
        self.lanes = np.zeros((len(self.stretches), 7), dtype=np.int64)
        for row, s in zip(self.lanes, self.stretches, strict=True):
            lane = compiled.lane_index[s.stock, s.lane]
            row[:3] = layout.at("transit_due", lane, 0), layout.at("transit_qty", lane, 0), places
            row[3:] = layout.at("lane_order", lane), layout.at("owed", lane), s.ticks, s.count

    def write(self, rows: Rows, scale: NDArray[np.float32], first: int, out: NDArray[np.float32]) -> None:
        """Into out[:, first:] [R, D], the units of rows [R, W] that arrive, times `scale` [C]."""
        if not self.names:
            return
        from sim.arriving import arriving_rows

        arriving_rows(np.require(rows, requirements=["C"]), self.lanes, scale.astype(np.float64), first, out)
