"""Rows without what nobody at the plant can know: when running clocks will end is drawn anew.

A row of the kernel holds the future of what is under way: when the next customer comes, when a machine will fail, how
long the work in hand still takes, when an order will arrive. Who plans from a row would plan for just that luck. So
before a row is simulated further these numbers are replaced by draws that depend on what can be seen alone: of work,
setup and repair how long it has taken so far (since the unit's present state began), of everything else only that it
runs. There the age is not in the row, so the rest is drawn as at a moment picked at random (the equilibrium
distribution of renewal theory: a duration by its length, then a uniform part of it; exponential clocks lose nothing).

Known and kept: calendars, tariffs, reviews, planned maintenance, constant durations, lists and books of orders.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from agents.seeds import ONE, reseed
from sim import state as st
from sim.quantile import CONSTANT, FINE, LENGTH, drawn
from sim.residual import OVERDUE, Drawer

if TYPE_CHECKING:
    from sim.compile import Compiled

Rows = NDArray[np.int64]
Floats = NDArray[np.float64]
POINTS = 1024
"""Equally likely values by which a duration is represented here."""
LATE_SEED = 20_111


@dataclass(frozen=True, slots=True)
class Pool:
    """A duration as `POINTS` equally likely values in ticks, in order, and the sums of their shares by length."""

    values: Floats
    by_length: Floats = field(init=False)

    def __post_init__(self) -> None:
        sums = np.cumsum(np.maximum(self.values, 1e-9))
        object.__setattr__(self, "by_length", sums / sums[-1])

    @property
    def constant(self) -> bool:
        """Always the same?"""
        return bool(self.values[0] == self.values[-1])

    def rest(self, age: Floats, u: Floats) -> Floats:
        """What remains of durations that have lasted `age` ticks, by uniform numbers `u` of the same shape."""
        n = len(self.values)
        first = np.searchsorted(self.values, age, side="right")
        over = first >= n  # longer than it can take: as in sim.residual
        picked = np.where(over, u * n, first + u * (n - first)).astype(np.int64)
        whole = self.values[np.minimum(picked, n - 1)]
        return np.where(over, OVERDUE * whole, whole - age)

    def unknown(self, u: Floats, v: Floats) -> Floats:
        """What remains at a moment picked at random, by two uniform numbers."""
        return self.values[np.minimum(np.searchsorted(self.by_length, u, side="right"), len(self.values) - 1)] * v


def points(table: Rows) -> Floats:
    """`POINTS` equally likely values, in ticks and in order, of a quantile table."""
    low, width, weight = drawn(table)
    if table[0] == CONSTANT:
        return np.full(POINTS, low[0] / FINE)
    ends = np.cumsum(weight) / weight.sum()
    at = (np.arange(POINTS) + 0.5) / POINTS
    piece = np.searchsorted(ends, at, side="left")
    begin = np.concatenate(([0.0], ends))[piece]
    share = (at - begin) / np.maximum(ends[piece] - begin, 1e-12)
    return np.sort((low[piece] + width[piece] * share) / FINE)


@dataclass(frozen=True, slots=True)
class Clock:
    """A timer of unknown age: its slot in the row, where what is left of it stands while it is paused (-1 nowhere), the
    position of its factor 2^-16 (-1: one), and the season of a demand (-1 none).
    """

    pool: Pool
    slot: int
    paused: int
    scale: int
    season: int = -1


class Unseen:
    """Draws the hidden numbers of a plant's rows anew; see the module."""

    def __init__(self, compiled: Compiled) -> None:
        self.compiled, self.layout, self.plant = compiled, compiled.layout, compiled.plant
        self.d = Drawer(compiled, 0, 0, 1)
        self._pools: dict[tuple[int, int], Pool] = {}
        self.clocks = [*self._floor_clocks(), *self._arrivals()]
        self.lanes = {lane: pool for lane in range(len(compiled.lanes)) if (pool := self._lane(lane)) is not None}
        self.units = [compiled.station_index[station] for station, _ in compiled.units]
        places = self.layout.sizes["transit"]
        self.words = len(self.clocks) + len(self.units) + len(self.lanes) * places
        """Pairs of uniform numbers that a row takes."""

    # what there is ------------------------------------------------------------------------------------------------

    def pool(self, at: int, pieces: int = 1) -> Pool:
        """The pool of the table at `at` of params; of the sum of so many draws."""
        if (at, pieces) not in self._pools:
            values = points(self.d.params[at : at + LENGTH])
            if pieces > 1:
                rng = np.random.Generator(np.random.PCG64(pieces))
                values = np.sort(rng.choice(values, (POINTS, pieces)).sum(axis=1))
            self._pools[at, pieces] = Pool(values)
        return self._pools[at, pieces]

    def _floor_clocks(self) -> Iterable[Clock]:
        """Failures and wear. A condition's clocks are taken at the level of its table in `level_pool`."""
        for u, (station, _) in enumerate(self.compiled.units):
            s = self.compiled.station_index[station]
            scale = self.layout.at("fail_scale", s)
            first = self.d.of("units", u, "first_clock")
            for number, mode in enumerate(self.plant.stations[s].modes):
                c = first + number
                table = self.d.of("clocks", c, "clock_table")
                if not mode.planned and mode.clock in {"odf", "tdf"} and table >= 0:
                    slot = self.d.of("clocks", c, "clock_slot")
                    yield Clock(self.pool(table), self._slot(slot), self.layout.at("clock_left", c), scale)

    def _arrivals(self) -> Iterable[Clock]:
        """Products that arrive by themselves, and customers."""
        for i, product in enumerate(self.plant.products):
            slot, table = (self.d.of("products", i, f"arrival_{x}") for x in ("slot", "table"))
            if product.release.policy != "orders" and slot >= 0:
                paused, scale = (self.layout.at(name, i) for name in ("arrival_left", "arrival_scale"))
                yield Clock(self.pool(table), self._slot(slot), paused, scale)
        for i, demand in enumerate(self.plant.demands):
            if not demand.book:
                slot, table, season = (self.d.of("demands", i, x) for x in ("demand_slot", "demand_table", "season_at"))
                paused, scale = (self.layout.at(name, i) for name in ("demand_left", "demand_scale"))
                yield Clock(self.pool(table), self._slot(slot), paused, scale, season)

    def _slot(self, slot: int) -> int:
        return self.layout.at("next_time", slot)

    def _lane(self, lane: int) -> Pool | None:
        """Lead time and lateness of a lane; None where both are known."""
        values = points(self.d.params[(at := self.d.of("lanes", lane, "lead_table")) : at + LENGTH])
        supplier = self.d.of("lanes", lane, "lane_supplier")
        late = -1 if supplier < 0 else self.d.of("suppliers", supplier, "late_table")
        if late >= 0:
            rng = np.random.Generator(np.random.PCG64(LATE_SEED))
            by = points(self.d.params[late : late + LENGTH])[rng.permutation(POINTS)]
            missed = rng.permutation(POINTS) >= self.d.of("suppliers", supplier, "in_time") / 2.0**32 * POINTS
            values = np.sort(values + np.where(missed, by, 0.0))
        pool = Pool(values)
        return None if pool.constant else pool

    # what is drawn ------------------------------------------------------------------------------------------------

    def uniforms(self, seeds: Iterable[int], futures: int) -> Floats:
        """Uniform numbers [R, futures, words, 2], those of each row from a seed of its own."""
        shape = (futures, self.words, 2)
        return np.stack([np.random.Generator(np.random.PCG64(seed)).random(shape) for seed in seeds])

    def redraw(self, rows: Rows, u: Floats) -> None:
        """Replace what is hidden in rows [R, W], in place, by uniform numbers [R, words, 2]."""
        now = rows[:, st.NOW]
        for k, clock in enumerate(self.clocks):
            self._clock(rows, now, clock, u[:, k])
        first = len(self.clocks)
        for k, s in enumerate(self.units):
            self._unit(rows, now, (k, s), u[:, first + k])
        first += len(self.units)
        places = self.layout.sizes["transit"]
        for k, (lane, pool) in enumerate(self.lanes.items()):
            self._orders(rows, now, (lane, pool), u[:, first + k * places : first + (k + 1) * places])

    def _factor(self, rows: Rows, scale: int) -> Floats:
        return np.asarray(rows[:, scale] / ONE)

    def _clock(self, rows: Rows, now: Rows, clock: Clock, u: Floats) -> None:
        if clock.pool.constant:
            return
        left = clock.pool.unknown(u[:, 0], u[:, 1]) * self._factor(rows, clock.scale)
        ticks = np.maximum(np.rint(left), 1).astype(np.int64)
        due = now + ticks
        if clock.season >= 0:
            from sim.facts_time import _in_season

            due = ticks.copy()
            _in_season(rows, self.compiled.params, clock.season, due)
        self._put(rows, clock.slot, clock.paused, due, due - now)

    def _put(self, rows: Rows, slot: int, paused: int, due: Rows, left: Rows) -> None:
        """A timer that runs stands in its slot; a paused one keeps what is left; others do not exist."""
        runs = rows[:, slot] < st.INFINITY
        rows[:, slot] = np.where(runs, due, rows[:, slot])
        if paused >= 0:
            waits = ~runs & (rows[:, paused] > 0) & (rows[:, paused] < st.INFINITY)
            rows[:, paused] = np.where(waits, left, rows[:, paused])

    def _unit(self, rows: Rows, now: Rows, which: tuple[int, int], u: Floats) -> None:
        """Work, setup and repair of one unit. Work that was interrupted has an unknown age."""
        k, s = which
        view = self.layout.view
        phase, state = view(rows, "unit_phase")[:, k].copy(), view(rows, "unit_state")[:, k]
        age = (now - view(rows, "unit_since")[:, k]).astype(np.float64)
        busy = (phase == st.IN_WORK) | (phase == st.IN_SETUP)
        slot, paused = self._slot(k), self.layout.at("unit_left", k)
        keys = self._key(rows, k, phase)
        for key in np.unique(keys[busy]):
            who = np.flatnonzero(busy & (keys == key))
            pool = self._task(s, int(key))
            factor = self._slow(rows[who], k, s, int(key))
            running = rows[who, slot] < st.INFINITY
            known = pool.rest(age[who] / factor, u[who, 0])
            left = np.where(running, known, pool.unknown(u[who, 0], u[who, 1])) * factor
            ticks = np.maximum(np.rint(left), 0 if pool.constant else 1).astype(np.int64)
            if pool.constant and not running.all():
                ticks = np.where(running, ticks, rows[who, paused])
            part = rows[who]
            self._put(part, slot, paused, now[who] + ticks, ticks)
            rows[who] = part
        self._level_clocks(rows, now, (k, s), u)
        repair = self._slot(self.d.of("units", k, "repair_slot"))
        down = np.flatnonzero((state == st.DOWN) & (rows[:, repair] < st.INFINITY))
        for c in np.unique(view(rows, "unit_mode")[down, k]):
            who = down[view(rows, "unit_mode")[down, k] == c]
            pool = self.pool(self.d.of("clocks", int(c), "repair_table"))
            planned = self.plant.stations[s].modes[self.d.of("clocks", int(c), "clock_number")].planned
            factor = np.ones(len(who)) if planned else self._factor(rows[who], self.layout.at("repair_scale", s))
            left = pool.rest(age[who] / factor, u[who, 0]) * factor
            rows[who, repair] = now[who] + np.maximum(np.rint(left), 1).astype(np.int64)

    def _key(self, rows: Rows, k: int, phase: Rows) -> Rows:
        """Which operation [R] the unit does: its step, or less than 0 for the setup for a product."""
        part = np.maximum(self.layout.view(rows, "unit_part")[:, k], 0)
        lines = np.arange(len(rows))
        step = self.layout.view(rows, "part_step")[lines, part]
        product = self.layout.view(rows, "part_product")[lines, part]
        return np.where(phase == st.IN_SETUP, -1 - product, step)

    def _task(self, s: int, key: int) -> Pool:
        """The pool of an operation at station `s`, or of a setup, from any family."""
        if key >= 0:
            choices = self.d.listed("steps", key, "choices")
            table = next(t for station, t in zip(choices[::4], choices[1::4], strict=True) if station == s)
            product = next(
                i for i in reversed(range(len(self.plant.products))) if self.d.of("products", i, "first_step") <= key
            )
            return self.pool(table, self.d.of("products", product, "transfer"))
        at, families = self.d.of("stations", s, "setup_at"), len(self.compiled.families)
        to = self.d.of("products", -1 - key, "family")
        tables = {int(self.d.params[at + 2 * (f * families + to)]) for f in range(families + 1)} - {-1}
        mixed = np.sort(np.concatenate([self.pool(t).values for t in sorted(tables)]))
        return Pool(mixed[len(tables) // 2 :: len(tables)])

    def _slow(self, rows: Rows, k: int, s: int, key: int) -> Floats:
        """The factor on the time of an operation [R]: of the replica, and of the unit's condition."""
        if key < 0:
            return np.ones(len(rows))
        factor = self._factor(rows, self.layout.at("work_scale", s))
        condition = self.d.of("stations", s, "condition_at")
        if condition >= 0:
            factor = factor * self.d.params[condition + 4 * self.layout.view(rows, "unit_level")[:, k] + 2] / ONE
        return factor

    def _level_clocks(self, rows: Rows, now: Rows, which: tuple[int, int], u: Floats) -> None:
        """Wear, and failure by condition, at the unit's present level. (A unit's words serve again: which of its clocks
        strikes first is drawn with them, so they are turned by a part of a round each.)
        """
        k, s = which
        condition = self.d.of("stations", s, "condition_at")
        if condition < 0:
            return
        scale = self._factor(rows, self.layout.at("fail_scale", s))
        level = self.layout.view(rows, "unit_level")[:, k]
        timers = [(0, self.d.of("units", k, "wear_slot"), self.layout.at("unit_wear", k))]
        first = self.d.of("units", k, "first_clock")
        for number, mode in enumerate(self.plant.stations[s].modes):
            if mode.clock == "condition" and not mode.planned:
                slot = self.d.of("clocks", first + number, "clock_slot")
                timers.append((1, slot, self.layout.at("clock_left", first + number)))
        for turn, (column, slot, paused) in enumerate(timers):
            for value in np.unique(level):
                table = int(self.d.params[condition + 4 * int(value) + column])
                if slot < 0 or table < 0:
                    continue
                who = np.flatnonzero(level == value)
                words = (u[who] * (7919.0 * (turn + 1))) % 1.0  # the fine digits of a uniform number are one again
                left = self.pool(table).unknown(words[:, 0], words[:, 1]) * scale[who]
                ticks = np.maximum(np.rint(left), 1).astype(np.int64)
                part = rows[who]
                self._put(part, self._slot(slot), paused, now[who] + ticks, ticks)
                rows[who] = part

    def _orders(self, rows: Rows, now: Rows, lane: tuple[int, Pool], u: Floats) -> None:
        """Orders on their way, each as if looked at a moment picked at random."""
        which, pool = lane
        due = self.layout.view(rows, "transit_due")[:, which]
        there = self.layout.view(rows, "transit_qty")[:, which] > 0
        stock = self.compiled.stock_index[self.compiled.lanes[which][0]]
        factor = self._factor(rows, self.layout.at("lead_scale", stock))
        left = pool.unknown(u[:, :, 0], u[:, :, 1]) * factor[:, None]
        due[...] = np.where(there, now[:, None] + np.maximum(np.rint(left), 1).astype(np.int64), due)
        slot = self._slot(self.d.of("lanes", which, "delivery_slot"))
        rows[:, slot] = np.where(there.any(axis=1), due.min(axis=1), rows[:, slot])

    # what is seen -------------------------------------------------------------------------------------------------

    def marks(self, rows: Rows) -> list[int]:
        """A number below 2^40 for each of rows [R, W], made of what can be seen of it alone: rows that differ in
        hidden numbers (or in their address) only have the same one.
        """
        plain = rows.copy()
        reseed(plain, self.layout, 0)
        plain[:, st.REPLICA] = 0
        self.redraw(plain, np.full((len(rows), self.words, 2), 0.5))
        return [int.from_bytes(hashlib.blake2b(row.tobytes(), digest_size=5).digest(), "big") for row in plain]
