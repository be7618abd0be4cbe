"""What runs of many rules say of a machine that wears: at each event, from which state and action to which state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from agents.envs.epochs import EVENTS, decision_kinds
from agents.envs.grid import Grid, switches
from agents.rules.conditions import Family, Many, unit_of
from sim.value import operating_terms, weights

if TYPE_CHECKING:
    from sim.compile import Compiled
    from sim.plant import Plant

Rows = NDArray[np.int64]
Values = NDArray[np.int64]
Floats = NDArray[np.float64]

ACTIONS = 3
IDLE, PRODUCE, MAINTAIN = range(ACTIONS)
RANDOM = (0.1, 0.02)
"""Shares of the decisions in which production, and in which maintenance, is decided by lot."""
STEPS = 1 << 23
"""A round of runs ends after so many steps: more would not tell more."""
BUFFER = 1 << 20


@dataclass(frozen=True, slots=True)
class Machine:
    """A station with one unit whose tables, places `base`, `care` and `deep` (the one below) among the family's, are
    switches: produce or not, maintain or not. Net stocks from `low` to `high`; `busy`: does it also matter whether a
    part is in work?
    """

    station: str
    stock: str
    base: int
    care: int
    deep: int
    levels: int
    low: int
    high: int
    busy: bool

    @property
    def tables(self) -> list[int]:
        """Places of its tables."""
        return [self.base, self.care, self.deep]

    @property
    def stocks(self) -> int:
        """How many net stocks are told apart."""
        return self.high - self.low + 1


def machines(plant: Plant, family: Family) -> list[Machine]:
    """The stations of a family of tables of which such a model can be made."""
    found, yes_or_no = [], set(switches(plant))
    sets = {c.id: c.sets for c in plant.controls}
    for c, care in enumerate(family.tables):
        if not care.below:
            continue
        station = next(s for s in plant.stations if s.id == care.station)
        for b, base in enumerate(family.tables):
            item = next((s.item for s in plant.stocks if s.id == care.stock), "")
            ours = base.station == care.station and sets[base.control] == f"release.{item}.base_stock"
            if not ours or not {care.control, base.control} <= yes_or_no:
                continue
            product = next(p for p in plant.products if p.id == item)
            free = product.release.stops and all(not m.finish for m in station.modes if m.planned)
            low, high = int(family.low[c].min()) + 1, int(family.high[c].max())
            found.append(Machine(station.id, str(care.stock), b, c - 1, c, len(care.values), low, high, not free))
    return found


@dataclass(frozen=True, slots=True)
class Situation:
    """Where a machine stands in each of R replicas, int64 [R]: `status`, its condition, or what it is down for, counted
    on; `net`, the stock less what is owed, cut to the machine's range; `busy`, 1 where a part is in work and that
    matters.
    """

    status: Values
    net: Values
    busy: Values

    def code(self, machine: Machine) -> Values:
        """The state [R] as one number."""
        return (self.status * 2 + self.busy) * machine.stocks + self.net - machine.low


def situation(rows: Rows, compiled: Compiled, machine: Machine) -> Situation:
    """What the model sees of rows [R, W]."""
    view, plant = compiled.layout.view, compiled.plant
    unit, s = unit_of(plant, machine.station), compiled.stock_index[machine.stock]
    mode, level = view(rows, "unit_mode")[:, unit], view(rows, "unit_level")[:, unit]
    net = view(rows, "on_hand")[:, s] - view(rows, "backorders")[:, s]
    busy = np.zeros(len(rows), dtype=np.int64)
    if machine.busy:
        item = next(x.item for x in plant.stocks if x.id == machine.stock)
        busy[:] = view(rows, "wip")[:, [p.id for p in plant.products].index(item)] > 0
    return Situation(np.where(mode >= 0, machine.levels + mode, level), np.clip(net, machine.low, machine.high), busy)


class Seen:
    """What runs said of a machine: how often each state, action and next state followed each other, with their ticks
    and money.
    """

    def __init__(self, machine: Machine, compiled: Compiled) -> None:
        self.machine = machine
        self.states = 2 * (machine.levels + compiled.layout.shape["clock_left"][0]) * machine.stocks
        self.keys: Values = np.zeros(0, dtype=np.int64)
        self.sums: Floats = np.zeros((0, 3))
        self._new: list[tuple[Values, Floats]] = []

    def add(self, steps: tuple[Values, Values, Values], ticks: Values, money: Floats) -> None:
        """Steps (states, actions, next states), each int64 [R], with their ticks and money [R]."""
        state, action, after = steps
        key = (state * ACTIONS + action) * self.states + after
        self._new.append((key, np.column_stack([np.ones(len(key)), ticks, money])))
        if len(self._new) * len(key) > BUFFER:
            self.merge()

    def merge(self) -> None:
        """Add up what is alike."""
        keys = np.concatenate([self.keys, *(k for k, _ in self._new)])
        sums = np.concatenate([self.sums, *(s for _, s in self._new)])
        self.keys, back = np.unique(keys, return_inverse=True)
        self.sums = np.column_stack([np.bincount(back.reshape(-1), weights=column) for column in sums.T])
        self._new = []


@dataclass(frozen=True, slots=True)
class Runs:
    """Replicas at `seed`, from `first` on, that run until they have taken `ticks` together; decisions are at most
    `epoch` ticks apart.
    """

    seed: int
    first: int
    ticks: float
    epoch: int
    threads: int = 1


def watch(seen: Seen, who: Many, runs: Runs) -> float:
    """Add to `seen` what happens where each replica follows a rule of its own, numbers [R, T, N], and now and then
    none; the ticks that it took.
    """
    from sim.batch import Turn
    from sim.engine import new_rows, play

    compiled, machine, grid = who.compiled, seen.machine, Grid(who.compiled.plant)
    rows = new_rows(compiled, runs.seed, len(who.numbers), runs.first)
    rng = np.random.Generator(np.random.PCG64([runs.seed, runs.first]))
    lots = [
        (grid.ids.index(who.tables[t].control), share)
        for t, share in zip((machine.base, machine.care), RANDOM, strict=True)
    ]
    kinds, clock = decision_kinds(EVENTS, None), compiled.layout.at("now")
    positions, prices = weights(compiled, operating_terms(compiled.plant))
    here, now, money = situation(rows, compiled, machine), rows[:, clock].copy(), rows[:, positions] @ prices
    steps = 0
    while now.sum() < runs.ticks and steps < STEPS:
        steps += len(rows)
        values = who.act(rows)
        for c, share in lots:
            by_lot = rng.random(len(rows)) < share
            values[by_lot, c] = np.where(rng.random(int(by_lot.sum())) < 0.5, grid.low[c], grid.high[c])
        # what says "maintain" from a worse condition on would do so within the step
        care = lots[1][0]
        values[:, care] = np.where(values[:, care] <= here.status, values[:, care], grid.high[care])
        values = grid.limit(values, rows, compiled.layout)
        action = action_of(here, values[:, lots[0][0]], values[:, care], machine)
        play(rows, compiled, Turn(now + runs.epoch, kinds, values, threads=runs.threads))
        state, before, spent = here.code(machine), now, money
        here, now, money = situation(rows, compiled, machine), rows[:, clock].copy(), rows[:, positions] @ prices
        seen.add((state, action, here.code(machine)), now - before, money - spent)
    seen.merge()
    return float(now.sum())


def action_of(here: Situation, base: Values, care: Values, machine: Machine) -> Values:
    """What setpoints [R] of the two controls mean: to maintain where the condition has come to `care`, else to produce
    below `base`; while it is down nothing, unless parts wait at it.
    """
    down = here.status >= machine.levels
    produce = (here.net < base) & (~down | machine.busy)
    return np.where(~down & (care <= here.status), MAINTAIN, np.where(produce, PRODUCE, IDLE))
