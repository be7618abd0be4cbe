"""From what is known about a plant at one moment to kernel rows: how a live state becomes a what-if.

The known part is written into the rows; what no one can see (how long the work still takes, when the machine fails,
when an order arrives) is drawn conditionally on what is known (it has lasted so long already), each replica from
its own address. Then the zero-time consequences are drained, so the rows are a state the plant can be in.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sim import state as st
from sim.compile import Compiled
from sim.draws import ONE, pair
from sim.jit import entry
from sim.kernel import blank_rows, check, flush, wake_everything
from sim.quantile import FINE, LENGTH, drawn
from sim.state import INFINITY, NOBODY, Array

RESIDUAL_WORK, RESIDUAL_FAIL, RESIDUAL_REPAIR, RESIDUAL_ARRIVAL, RESIDUAL_DEMAND, RESIDUAL_LEAD = range(8, 14)
"""Purposes of the conditional draws (those of the kernel end at 6); the count is 0 but for orders in transit."""

OVERDUE = 0.1
"""What lasts longer than its distribution allows gets this part of a fresh draw as its residual: the model is wrong
there, and neither "ends now" nor "starts again" would be honest."""


class FactsError(ValueError):
    """The facts contradict the plant (too many parts in a buffer, an unknown product): says which and by how much."""


@dataclass(frozen=True, slots=True)
class PartFacts:
    """A part: its product, the operation it waits for or undergoes, and when it was released (tick; None: now)."""

    product: str
    step: str
    released: int | None = None


@dataclass(frozen=True, slots=True)
class UnitFacts:
    """A work unit. `state`: free, work, blocked or down (a closed calendar makes a free unit off by itself).

    `part`: what it has in hand (work, blocked, down); a blocked part's step is the one it waits for. `worked`: ticks
    of work done on it. `age`: ticks worked since the last repair. `since`: tick its present state began (order among
    blocked units and in the crew's queue). `repaired`: ticks of repair done; None: waiting for the crew, or unknown
    (the crew takes the longest waiting).
    """

    state: str = "free"
    part: PartFacts | None = None
    worked: int = 0
    age: int = 0
    since: int = 0
    repaired: int | None = None


@dataclass(frozen=True, slots=True)
class OrderFacts:
    """An order in transit: quantity and either the tick it was placed (residual lead time is drawn) or the tick it is
    due.
    """

    quantity: int
    placed: int | None = None
    due: int | None = None


@dataclass(frozen=True, slots=True)
class StockFacts:
    on_hand: int = 0
    backorders: int = 0
    orders: tuple[OrderFacts, ...] = ()


@dataclass(frozen=True, slots=True)
class Facts:
    """All that is known at `tick`. Units by (station id, unit from 1), queues (first in front) by station id; what is
    missing is empty.
    """

    tick: int
    units: dict[tuple[str, int], UnitFacts] = field(default_factory=dict)
    queues: dict[str, tuple[PartFacts, ...]] = field(default_factory=dict)
    stocks: dict[str, StockFacts] = field(default_factory=dict)
    controls: dict[str, int] = field(default_factory=dict)
    pending: dict[str, int] = field(default_factory=dict)
    arrival_age: dict[str, int] = field(default_factory=dict)  # ticks since a product's last arrival
    demand_age: dict[str, int] = field(default_factory=dict)  # ticks since a demand's last order


@rule
def _words(seed: int, first: int, entity: int, purpose: int, count: int, out: Array) -> None:
    for i in range(out.shape[0]):
        a, b = pair(seed, first + i, entity * 16 + purpose, count >> 1)
        out[i] = b if count & 1 else a


def residuals(table: Array, age: float, words: Array) -> NDArray[np.float64]:
    """Ticks that remain of a duration that has lasted `age` ticks already, one for each 64-bit word.

    A table is a mixture of uniforms; what lies below the age is cut off. Upper half of a word: which uniform; lower
    half: where in it.
    """
    low, width, weight = drawn(table)
    bottom, top = low / FINE, (low + width) / FINE
    share = np.clip((top - age) / np.maximum(top - bottom, 1.0 / FINE), 0.0, 1.0)
    kept = np.where(top > bottom, share, bottom >= age)
    ends = np.cumsum(weight * kept)  # in order, so that every machine gets the same sums
    if ends[-1] <= 0.0:
        return OVERDUE * residuals(table, 0.0, words)
    u = ((words >> 32) & 0xFFFFFFFF) / 2.0**32
    v = (words & 0xFFFFFFFF) / 2.0**32
    piece = np.searchsorted(ends, u * ends[-1], side="right")
    begin = np.maximum(bottom[piece], age)
    return np.asarray(begin + v * (top[piece] - begin) - age, dtype=float)


class _Writer:
    """Writes the facts into `rows`, all replicas at once."""

    def __init__(self, compiled: Compiled, facts: Facts, rows: Array, seed: int, first: int) -> None:
        self.c, self.facts, self.rows = compiled, facts, rows
        self.seed, self.first = seed, first
        self.parts = 0
        self.view = {f.name: compiled.layout.view(rows, f.name) for f in st.FIELDS}

    def lookup(self, table: int) -> Array:
        return self.c.params[self.c.params[table] :]

    def residual(self, at: int, age: int, entity: int, purpose: int, scale: Array, count: int = 0) -> Array:
        """Residual ticks [R] of the duration with the table at `at` of params, through the rows' scale."""
        words = np.empty(len(self.rows), dtype=np.int64)
        _words(self.seed, self.first, entity, purpose, count, words)
        table = self.c.params[at : at + LENGTH]
        factor = scale / ONE
        if np.all(factor == factor[0]):
            left = residuals(table, age / factor[0], words) * factor[0]
        else:
            left = np.array([residuals(table, age / f, words[i : i + 1])[0] * f for i, f in enumerate(factor)])
        return np.maximum(np.rint(left), 0).astype(np.int64)

    def part(self, facts: PartFacts) -> int:
        c, n = self.c, self.parts
        if facts.product not in c.product_index or (facts.product, facts.step) not in c.step_index:
            raise FactsError(
                f"a part of product {facts.product!r} at step {facts.step!r}: plant {c.plant.id} has no such operation"
            )
        if n == c.most_known_parts:
            raise FactsError(f"more than {n} parts in plant {c.plant.id}: more than its caps or `unlimited:` admit")
        product = c.product_index[facts.product]
        self.view["part_product"][:, n] = product
        self.view["part_step"][:, n] = c.step_index[(facts.product, facts.step)]
        self.view["part_release"][:, n] = self.facts.tick if facts.released is None else facts.released
        self.view["part_next"][:, n] = NOBODY
        self.view["wip"][:, product] += 1
        self.parts += 1
        return n

    def station_of(self, part: int) -> int:
        step = int(self.view["part_step"][0, part])
        return int(self.lookup(st.STEP_STATION)[step])

    def queue(self, station: str, queue: tuple[PartFacts, ...]) -> None:
        s = self.c.station_index[station]
        capacity = int(self.lookup(st.CAPACITY)[s])
        if len(queue) > capacity:
            raise FactsError(
                f"queue of {station}: at most {capacity} parts, found {len(queue)}; reconcile the level first"
            )
        before = NOBODY
        for facts in queue:
            n = self.part(facts)
            if self.station_of(n) != s:
                raise FactsError(
                    f"queue of {station}: step {facts.step!r} of {facts.product} is done at another station"
                )
            if before < 0:
                self.view["q_head"][:, s] = n
            else:
                self.view["part_next"][:, before] = n
            before = n
        self.view["q_tail"][:, s] = before
        self.view["q_len"][:, s] = len(queue)

    def unit(self, key: tuple[str, int], facts: UnitFacts) -> None:
        if facts.state not in ("free", "work", "blocked", "down"):
            raise FactsError(f"unit {key[0]}/{key[1]}: state free, work, blocked or down, found {facts.state!r}")
        u, s = self.c.unit_index[key], self.c.station_index[key[0]]
        view, now = self.view, self.facts.tick
        entity = int(self.lookup(st.UNIT_ENTITY)[u])
        fail_slot = int(self.lookup(st.FAIL_SLOT)[u])
        if facts.state != "free":
            if facts.part is None:
                raise FactsError(f"unit {key[0]}/{key[1]}: it is {facts.state}, so it must have a part in hand")
            n = self.part(facts.part)
            view["unit_part"][:, u] = n
            if facts.state == "blocked":
                self.state(u, s, st.BLOCKED)
            else:
                table = int(self.lookup(st.STEP_TABLE)[int(view["part_step"][0, n])])
                left = self.residual(table, facts.worked, entity, RESIDUAL_WORK, view["work_scale"][:, s])
                if facts.state == "work":
                    self.state(u, s, st.WORKING)
                    view["next_time"][:, u] = now + left
                else:
                    self.state(u, s, st.DOWN)
                    view["unit_left"][:, u] = left
        if fail_slot >= 0 and facts.state != "down":
            table = int(self.lookup(st.FAIL_TABLE)[s])
            left = self.residual(table, facts.age, entity, RESIDUAL_FAIL, view["fail_scale"][:, s])
            if facts.state == "work":
                view["next_time"][:, fail_slot] = now + left
            else:
                view["unit_ttf"][:, u] = left

    def state(self, u: int, s: int, new: int) -> None:
        old = int(self.view["unit_state"][0, u])
        self.view["unit_state"][:, u] = new
        self.view["n_state"][:, s, old] -= 1
        self.view["n_state"][:, s, new] += 1

    def chain(self, head: str, at: int, units: list[tuple[int, int]]) -> None:
        """Link (since, unit) pairs in order into the list `head[at]`."""
        before = NOBODY
        for since, u in sorted(units):
            self.view["unit_asked"][:, u] = min(since, self.facts.tick)
            if before < 0:
                self.view[head][:, at] = u
            else:
                self.view["unit_link"][:, before] = u
            before = u

    def blocked_lists(self) -> None:
        waiting: dict[int, list[tuple[int, int]]] = {}
        for key, facts in self.facts.units.items():
            if facts.state == "blocked":
                u = self.c.unit_index[key]
                destination = self.station_of(int(self.view["unit_part"][0, u]))
                waiting.setdefault(destination, []).append((facts.since, u))
        for s, units in waiting.items():
            self.chain("blocked_head", s, units)

    def repairs(self) -> None:
        """Crews work on the units known to be in repair, then on those down longest; the others wait."""
        down: dict[int, list[tuple[int, tuple[str, int]]]] = {}
        crews = self.lookup(st.ST_CREW)
        for key, facts in self.facts.units.items():
            if facts.state == "down":
                down.setdefault(int(crews[self.c.station_index[key[0]]]), []).append((facts.since, key))
        for crew, units in down.items():
            units.sort(
                key=lambda item: (self.facts.units[item[1]].repaired is None, item[0], self.c.unit_index[item[1]])
            )
            size = len(units) if crew < 0 else self.c.plant.crews[crew].size
            for _, key in units[:size]:
                self.repair(key)
            if crew >= 0:
                self.view["crew_free"][:, crew] = max(size - len(units), 0)
                self.chain("crew_head", crew, [(since, self.c.unit_index[key]) for since, key in units[size:]])

    def repair(self, key: tuple[str, int]) -> None:
        u, s = self.c.unit_index[key], self.c.station_index[key[0]]
        slot = int(self.lookup(st.REPAIR_SLOT)[u])
        if slot < 0:
            raise FactsError(f"unit {key[0]}/{key[1]} is down, but station {key[0]} has no `fails:` in the plant file")
        done = self.facts.units[key].repaired or 0
        table = int(self.lookup(st.REPAIR_TABLE)[s])
        entity = int(self.lookup(st.UNIT_ENTITY)[u])
        left = self.residual(table, done, entity, RESIDUAL_REPAIR, self.view["repair_scale"][:, s])
        self.view["next_time"][:, slot] = self.facts.tick + left

    def calendars(self) -> None:
        now, week = self.facts.tick, int(self.c.params[st.WEEK])
        at, weekly, ticks = self.lookup(st.CAL_AT), self.lookup(st.CAL_WEEKLY), self.lookup(st.CAL_TICKS)
        for i, calendar in enumerate(self.c.plant.calendars):
            table = ticks[at[i] : at[i + 1]]
            passed = int(np.searchsorted(table, now, side="left"))  # changes before now; one at now is still to come
            n, w = len(table), int(weekly[i])

            def change(j: int, table: Array = table, n: int = n, w: int = w) -> int:
                return int(table[j]) if j < n else int(table[n - w + (j - n) % w]) + week * (1 + (j - n) // w)

            while n and change(passed) < now:
                passed += 1
            was_open = int(self.view["cal_open"][0, i])
            self.view["cal_open"][:, i] = was_open ^ (passed & 1)
            self.view["cal_next"][:, i] = passed
            self.view["next_time"][:, self.c.slot_index[("calendar", calendar.id)]] = change(passed) if n else INFINITY
        for s, station in enumerate(self.c.plant.stations):
            closed = station.calendar is not None and not self.is_open(station.calendar)
            for u in range(station.units):
                self.state(self.c.unit_index[(station.id, u + 1)], s, st.OFF if closed else st.STARVED)

    def is_open(self, calendar: str) -> bool:
        i = [c.id for c in self.c.plant.calendars].index(calendar)
        return bool(self.view["cal_open"][0, i])

    def stock(self, k: int, facts: StockFacts) -> None:
        stock, view = self.c.plant.stocks[k], self.view
        if facts.on_hand < 0 or facts.backorders < 0:
            raise FactsError(
                f"stock {stock.id}: {facts.on_hand} on hand and {facts.backorders} backorders; neither can be negative"
            )
        if len(facts.orders) > self.c.layout.sizes["transit"]:
            raise FactsError(
                f"stock {stock.id}: {len(facts.orders)} orders in transit, the table holds "
                f"{self.c.layout.sizes['transit']}"
            )
        view["on_hand"][:, k] = facts.on_hand
        view["backorders"][:, k] = facts.backorders
        view["on_order"][:, k] = sum(o.quantity for o in facts.orders)
        entity, table = int(self.lookup(st.STOCK_ENTITY)[k]), int(self.lookup(st.LEAD_TABLE)[k])
        for i, order in enumerate(facts.orders):
            if order.placed is None:
                due: Array | int = max(order.due or 0, self.facts.tick)
            else:
                age = self.facts.tick - order.placed
                due = self.facts.tick + self.residual(table, age, entity, RESIDUAL_LEAD, view["lead_scale"][:, k], i)
            view["transit_due"][:, k, i] = due
            view["transit_qty"][:, k, i] = order.quantity
        if facts.orders:
            slot = self.c.slot_index[("delivery", stock.id)]
            view["next_time"][:, slot] = view["transit_due"][:, k].min(axis=1)

    def clocks(self) -> None:
        """Arrivals, demands and reviews: residual clocks, paused where the calendar is closed."""
        facts, view, now = self.facts, self.view, self.facts.tick
        for i, product in enumerate(self.c.plant.products):
            slot = self.c.slot_index.get(("arrival", product.id))
            if slot is not None:
                table, entity = int(self.lookup(st.ARRIVAL_TABLE)[i]), int(self.lookup(st.PRODUCT_ENTITY)[i])
                age = facts.arrival_age.get(product.id, 0)
                left = self.residual(table, age, entity, RESIDUAL_ARRIVAL, view["arrival_scale"][:, i])
                self.clock(slot, left, product.release.calendar, view["arrival_left"][:, i])
            view["pending"][:, i] = facts.pending.get(product.id, 0)
        for d, demand in enumerate(self.c.plant.demands):
            table, entity = int(self.lookup(st.DEMAND_TABLE)[d]), int(self.lookup(st.DEMAND_ENTITY)[d])
            age = facts.demand_age.get(demand.id, 0)
            left = self.residual(table, age, entity, RESIDUAL_DEMAND, view["demand_scale"][:, d])
            self.clock(self.c.slot_index[("demand", demand.id)], left, demand.calendar, view["demand_left"][:, d])
        for stock in self.c.plant.stocks:
            slot = self.c.slot_index.get(("review", stock.id))
            if slot is not None and stock.review:
                view["next_time"][:, slot] = -(-now // stock.review) * stock.review

    def clock(self, slot: int, left: Array, calendar: str | None, paused: Array) -> None:
        if calendar is not None and not self.is_open(calendar):
            paused[:] = left
        else:
            self.view["next_time"][:, slot] = self.facts.tick + left


@rule
def _drain(rows: Array, p: Array) -> None:
    for i in range(rows.shape[0]):
        wake_everything(rows[i], p)
        flush(rows[i], p)


def rows_from_facts(
    compiled: Compiled, facts: Facts, seed: int, replicas: int, first: int = 0, scales: dict[str, Array] | None = None
) -> Array:
    """Rows [replicas, W] that agree with the facts, hidden residuals drawn from the addresses (seed, first ...).

    `scales` are replica-wise parameter factors by field name (`work_scale` [R, stations] and so on; 65,536 is one).
    Raises `FactsError` when the facts contradict the plant.
    """
    rows = blank_rows(compiled, seed, replicas, first)
    layout = compiled.layout
    for name, values in (scales or {}).items():
        layout.view(rows, name)[...] = values
    writer = _Writer(compiled, facts, rows, seed, first)
    rows[:, st.NOW] = facts.tick
    for name in ("unit_since", "q_last", "wip_last", "stock_last", "stats_from"):
        layout.view(rows, name)[...] = facts.tick
    for control, value in facts.controls.items():
        rows[:, compiled.controls[compiled.control_index[control]]] = value
    writer.calendars()
    for key in compiled.units:
        writer.unit(key, facts.units.get(key, UnitFacts()))
    for station, queue in facts.queues.items():
        writer.queue(station, queue)
    writer.blocked_lists()
    writer.repairs()
    for k, stock in enumerate(compiled.plant.stocks):
        writer.stock(k, facts.stocks.get(stock.id, StockFacts()))
    writer.clocks()
    rows[:, st.PART_USED] = writer.parts
    _drain(rows, compiled.params)
    check(rows, compiled)
    return rows
