"""Facts of time: calendars, the tariff, arrivals, customers' next orders, reviews."""

from __future__ import annotations

import numpy as np

from sim import state as st
from sim.compile import Compiled
from sim.draws import ARRIVAL, DEMAND
from sim.factsheet import Facts
from sim.jit import entry
from sim.plant import Order
from sim.residual import Drawer
from sim.rules_event import in_season
from sim.state import INFINITY, Array


@entry
def _in_season(rows: Array, p: Array, season: int, rest: Array) -> None:
    """Turn operational ticks rest [R] from now on into the tick at which they have passed, in place."""
    for i in range(rows.shape[0]):
        rest[i] = in_season(rows[i], p, season, rest[i])


class TimeWriter:
    """Writes what runs by the clock."""

    def __init__(self, compiled: Compiled, facts: Facts, rows: Array, drawer: Drawer) -> None:
        self.c, self.facts, self.rows, self.d = compiled, facts, rows, drawer
        self.view = {f.name: compiled.layout.view(rows, f.name) for f in st.FIELDS}
        self.week = int(compiled.params[st.WEEK])

    def write(self) -> None:
        """Calendars first: they decide which clocks are paused."""
        for i in range(len(self.c.plant.calendars)):
            self.calendar(i)
        self.tariff()
        for i in range(len(self.c.plant.products)):
            self.arrivals(i)
        for d in range(len(self.c.plant.demands)):
            self.demand(d)
        for stock in self.c.plant.stocks:
            slot = self.c.slot_index.get(("review", stock.id))
            if slot is not None and stock.review:
                self.view["next_time"][:, slot] = -(-self.facts.tick // stock.review) * stock.review

    def calendar(self, i: int) -> None:
        """Open or closed, with the overtime in force; a change at the very tick is still to come."""
        now = self.facts.tick
        table = self.d.params[self.d.of("calendars", i, "changes_at") : self.d.of("calendars", i, "changes_end")]
        weekly, n = self.d.of("calendars", i, "changes_weekly"), len(table)

        def change(j: int) -> int:
            if n == 0:
                return INFINITY
            return (
                int(table[j])
                if j < n
                else int(table[n - weekly + (j - n) % weekly]) + self.week * (1 + (j - n) // weekly)
            )

        passed = int(np.searchsorted(table, now, side="left"))
        while n and passed >= n and change(passed) < now:
            passed += 1
        overtime = int(self.view["overtime"][0, i])
        opened_first = int(self.view["cal_open"][0, i])
        is_open, following = opened_first ^ (passed & 1), change(passed)
        if not is_open and passed > 0 and overtime > 0 and change(passed - 1) + overtime >= now:
            passed -= 1
            is_open, following = 1, min(change(passed) + overtime, following)
            self.view["cal_extra"][:, i] = 1
        self.view["cal_open"][:, i] = is_open
        self.view["cal_next"][:, i] = passed
        self.view["next_time"][:, self.d.of("calendars", i, "calendar_slot")] = following

    def is_open(self, calendar: str | None) -> bool:
        """Is a calendar (None: always) open now?"""
        if calendar is None:
            return True
        i = [c.id for c in self.c.plant.calendars].index(calendar)
        return bool(self.view["cal_open"][0, i])

    def tariff(self) -> None:
        """Price band now, and when it changes."""
        changes, weekly, now = self.c.tariff_changes, self.c.tariff_weekly, self.facts.tick
        if not changes:
            return
        n, passed = len(changes), 0

        def at(j: int) -> tuple[int, int]:
            if j < n:
                return changes[j]
            tick, band = changes[n - weekly + (j - n) % weekly]
            return tick + self.week * (1 + (j - n) // weekly), band

        while at(passed)[0] < now:
            passed += 1
        if passed:
            self.rows[:, st.BAND] = at(passed - 1)[1]
        self.rows[:, st.BAND_NEXT] = passed
        self.view["next_time"][:, self.c.slot_index["tariff", "tariff"]] = at(passed)[0]

    def arrivals(self, i: int) -> None:
        """The next arrival of a product, and what has arrived and is not released."""
        product, facts = self.c.plant.products[i], self.facts
        pending = facts.pending.get(product.id, 0)
        self.view["pending"][:, i] = pending
        slot = self.d.of("products", i, "arrival_slot")
        if product.release.policy == "orders":
            lines = product.release.orders
            come = self._lines(lines, slot)
            self.view["order_at"][:, i] = come
            taken = sum(o.quantity for o in lines[:come]) - pending
            line = 0
            while line < come and taken >= lines[line].quantity:
                taken -= lines[line].quantity
                line += 1
            self.view["order_taken"][:, i], self.view["order_done"][:, i] = line, max(taken, 0)
        elif slot >= 0:
            stream = (self.d.of("products", i, "product_entity"), ARRIVAL)
            age, table = facts.arrival_age.get(product.id, 0), self.d.of("products", i, "arrival_table")
            left = self.d.left(table, age, stream, self.view["arrival_scale"][:, i])
            self.clock(slot, facts.tick + left, product.release.calendar, self.view["arrival_left"][:, i])

    def _lines(self, lines: tuple[Order, ...], slot: int) -> int:
        """Lines of an order list or book that have come; the timer stands at the next."""
        come = sum(o.at < self.facts.tick for o in lines)
        self.view["next_time"][:, slot] = lines[come].at if come < len(lines) else INFINITY
        return come

    def demand(self, d: int) -> None:
        """The next order of a customer. With a season the time since the last one counts as operational time."""
        demand, slot = self.c.plant.demands[d], self.d.of("demands", d, "demand_slot")
        if demand.book:
            self.view["book_at"][:, d] = self._lines(demand.book, slot)
            return
        age = self.facts.demand_age.get(demand.id, 0)
        season = self.d.of("demands", d, "season_at")
        if season >= 0:
            age = self._operational(season, age)
        stream = (self.d.of("demands", d, "demand_entity"), DEMAND)
        left = self.d.left(self.d.of("demands", d, "demand_table"), age, stream, self.view["demand_scale"][:, d])
        due = self.facts.tick + left
        if season >= 0:
            due = left.copy()
            _in_season(self.rows, self.c.params, season, due)
        self.clock(slot, due, demand.calendar, self.view["demand_left"][:, d])

    def _operational(self, season: int, age: int) -> int:
        """Operational ticks in the last `age` ticks."""
        hour, now = self.week // 168, self.facts.tick
        at, total = max(now - age, 0), 0
        while at < now:
            local = (int(self.c.params[st.SEASON_START]) + at) % self.week
            spell = min(hour - local % hour, now - at)
            total += (spell * int(self.c.params[season + local // hour % 168])) >> 16
            at += spell
        return total

    def clock(self, slot: int, due: Array, calendar: str | None, paused: Array) -> None:
        """A stream's timer, or what is left of it while its calendar is closed."""
        if self.is_open(calendar):
            self.view["next_time"][:, slot] = due
        else:
            paused[:] = due - self.facts.tick
