"""Facts of supply: stocks, what is in transit to them, customers that wait."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sim import distributions
from sim import state as st
from sim.compile import Compiled
from sim.draws import LATE, LATENESS, LEAD, ONE
from sim.factsheet import Facts, FactsError, OrderFacts, StockFacts
from sim.plant import Quantity
from sim.residual import Drawer, late_residuals
from sim.state import INFINITY, Array


def mean_quantity(quantity: Quantity) -> float:
    """Mean of a random whole number."""
    return sum(value * p for value, p in quantity)


class SupplyWriter:
    """Writes stocks, lanes, suppliers and waiting customers."""

    def __init__(self, compiled: Compiled, facts: Facts, rows: Array, drawer: Drawer) -> None:
        self.c, self.facts, self.rows, self.d = compiled, facts, rows, drawer
        self.view = {f.name: compiled.layout.view(rows, f.name) for f in st.FIELDS}

    def write(self) -> None:
        """All stocks of the plant, then the suppliers."""
        for k, stock in enumerate(self.c.plant.stocks):
            self.stock(k, self.facts.stocks.get(stock.id, StockFacts()))
        for i, supplier in enumerate(self.c.plant.suppliers):
            self.view["busy_until"][:, i] = self.facts.busy.get(supplier.id, 0)

    def stock(self, k: int, facts: StockFacts) -> None:
        stock, view = self.c.plant.stocks[k], self.view
        if facts.on_hand < 0 or facts.backorders < 0:
            raise FactsError(
                f"stock {stock.id}: {facts.on_hand} on hand and {facts.backorders} backorders; neither can be negative"
            )
        view["on_hand"][:, k] = facts.on_hand
        lanes = (("regular", facts.orders, facts.owed), ("express", facts.express, facts.express_owed))
        for name, orders, owed in lanes:
            lane = self.c.lane_index.get((stock.id, name))
            if lane is not None:
                self.lane(lane, orders, owed)
            elif orders or owed:
                raise FactsError(f"stock {stock.id}: orders in its {name} lane, but it has none in the plant file")
        self.customers(k, facts.backorders)
        if stock.policy == "forecast":
            self.forecast(k, facts)

    def lane(self, lane: int, orders: Sequence[OrderFacts], owed: int) -> None:
        """Orders on their way, and what the source stock still owes."""
        view, (stock_id, _) = self.view, self.c.lanes[lane]
        k = self.c.stock_index[stock_id]
        if len(orders) > self.c.layout.sizes["transit"]:
            raise FactsError(
                f"stock {stock_id}: {len(orders)} orders in transit, the table holds {self.c.layout.sizes['transit']}"
            )
        if owed and self.d.of("lanes", lane, "lane_source") < 0 and self.d.of("lanes", lane, "vehicle") == 0:
            raise FactsError(
                f"stock {stock_id}: {owed} units owed to it, but it is not supplied by another stock or by a vehicle"
            )
        total = sum(o.quantity for o in orders) + owed
        view["owed"][:, lane] = owed
        view["lane_order"][:, lane] = total
        view["on_order"][:, k] += total
        for i, order in enumerate(orders):
            view["transit_due"][:, lane, i] = self.arrival(lane, order, view["lead_scale"][:, k], i)
            view["transit_qty"][:, lane, i] = order.quantity
        if orders:
            view["next_time"][:, self.d.of("lanes", lane, "delivery_slot")] = view["transit_due"][:, lane].min(axis=1)

    def arrival(self, lane: int, order: OrderFacts, scale: Array, i: int) -> Array:
        """When order number `i` of a lane comes [R], given that it has not come yet: the longer it is on its way, the
        likelier an unreliable supplier is late with it.
        """
        now = self.facts.tick
        if order.placed is None:
            return np.full(len(self.rows), max(order.due or 0, now), dtype=np.int64)
        entity, table = self.d.of("lanes", lane, "lane_entity"), self.d.of("lanes", lane, "lead_table")
        supplier = self.d.of("lanes", lane, "lane_supplier")
        late_table = -1 if supplier < 0 else self.d.of("suppliers", supplier, "late_table")
        age = now - order.placed
        if late_table < 0:
            return now + self.d.left(table, age, (entity, LEAD), scale, i)
        in_time = self.d.of("suppliers", supplier, "in_time") / 2.0**32
        words = (self.d.words(entity, LATE, i), self.d.words(entity, LEAD, i), self.d.words(entity, LATENESS, i))
        tables = (self.d.table(table), self.d.table(late_table))
        return now + late_residuals(tables, in_time, age, scale, words)

    def customers(self, k: int, backorders: int) -> None:
        """Put the stock's backorders to its demands: those known first, the rest to the demands served last."""
        pairs = self.d.listed("stocks", k, "claims")
        demands = [i for kind, i in zip(pairs[::2], pairs[1::2], strict=True) if kind == 0]
        open_ = [d for d in demands if self.c.plant.demands[d].unmet == "backorder"]
        known = {d: self.facts.waiting.get(self.c.plant.demands[d].id, 0) for d in open_}
        rest = backorders - sum(known.values())
        if rest < 0 or (rest and not open_):
            raise FactsError(
                f"stock {self.c.plant.stocks[k].id}: {backorders} units backordered, but its demands wait for "
                f"{sum(known.values())}" + ("" if open_ else "; none of them lets its orders wait")
            )
        if rest:
            known[open_[-1]] += rest
        self.view["backorders"][:, k] = backorders
        for d, units in known.items():
            self.view["waiting"][:, d] = units
            if units and self.d.of("demands", d, "promise") >= 0:
                self.dates(d, units)

    def dates(self, d: int, units: int) -> None:
        """Promised dates of waiting units."""
        demand, left = self.c.plant.demands[d], units
        ring: list[tuple[int, int]] = []
        for due, quantity in self.facts.dates.get(demand.id, ()):
            taken = min(quantity, left)
            ring += [(due, taken)] if taken > 0 else []
            left -= taken
        if left:
            ring.append((INFINITY if demand.due is None else self.facts.tick + demand.due, left))
        if len(ring) > self.c.layout.sizes["ring"]:
            raise FactsError(f"demand {demand.id}: {len(ring)} orders with dates wait; the table is shorter")
        self.view["ring_len"][:, d] = len(ring)
        for i, (due, quantity) in enumerate(ring):
            self.view["ring_due"][:, d, i] = due
            self.view["ring_qty"][:, d, i] = quantity

    def forecast(self, k: int, facts: StockFacts) -> None:
        """Demand of past periods and the level that follows from it, as at the last review."""
        stock = self.c.plant.stocks[k]
        past = facts.past or (self._expected(k),) * stock.window
        padded = (*past, *(0 for _ in range(stock.window)))[: stock.window]
        self.view["past"][:, k, : stock.window] = padded
        self.view["seen"][:, k] = -facts.period
        cover = round(stock.cover * ONE)
        self.view["level"][:, k] = ((sum(padded) * cover // max(stock.window, 1) + ONE // 2) >> 16) + stock.safety

    def _expected(self, k: int) -> int:
        """Demand that the plant file lets expect in a review period."""
        stock, total = self.c.plant.stocks[k], 0.0
        for demand in self.c.plant.demands:
            if demand.stock == stock.id and demand.arrivals is not None:
                gap = max(distributions.mean(demand.arrivals), 1e-9)
                total += (stock.review or 0) / gap * mean_quantity(demand.quantity)
        return round(total)
