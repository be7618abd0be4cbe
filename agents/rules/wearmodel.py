"""Numbers by condition through a model: what simulated runs say happens in each condition and stock, solved exactly.

Ten numbers cannot be told apart by comparing what whole runs cost: on a machine that fails now and then a run of three
weeks has a standard deviation of half its cost, and the better of two rules shows after millions of hours. But each
event of each run says where the machine goes next from its condition and the stock, how soon and at what cost, whatever
rule was followed. Added up over runs of many rules that is an empirical semi-Markov model of a few hundred states
(certainty equivalence; Kumar and Varaiya 1986, Stochastic Systems), in which the long-run cost of any rule is the
solution of linear equations: the search is in the model, not in noise.

Where clocks are not exponential, or something else also decides what comes next, the model is only nearly right: it
proposes, and paired runs of the kernel judge.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from agents.rules.conditions import Family, Many
from agents.rules.wearruns import (
    ACTIONS,
    IDLE,
    MAINTAIN,
    PRODUCE,
    Runs,
    Seen,
    Situation,
    action_of,
    machines,
    watch,
)

if TYPE_CHECKING:
    from sim.compile import Compiled

Values = NDArray[np.int64]
Floats = NDArray[np.float64]

REPLICAS = 1024
MOST = 1500
"""States of the largest model that is solved (by elimination)."""
SPREADS = (0.3, 0.1, 0.04)
"""Rules of a round: standard deviations of their numbers about the best so far, as shares of a number's range."""
LEAST = 25
"""An action seen in fewer steps, in a state and in the others of its status, is not known there."""
PRIOR = 300.0
"""Steps of what is usual in a status that each of its states has beside its own."""
UNKNOWN = 1e3
"""What a step that is not known costs, in mean costs of a step."""
RESTART = 1e-9
"""Chance of a jump to the first state at each event, so that every rule has one long-run cost."""
ROUNDS = 50
"""Of policy iteration at most."""
STILL = 1e-9


class Model:
    """The empirical semi-Markov model: one linear equation a state and action, `rows` [S, A, S] and `right` [S, A].

    Unknown are the values of the states against the first, and in its place the cost an hour: for a step of mean time
    t and cost c with chances P, value + t * cost an hour - P @ values = c. What a step does to status and stock, and
    how long it takes, is much the same at all stocks; so each state has, beside what was seen there, `PRIOR` steps of
    what was seen at all stocks in its status. Else a rare failure that chance left out somewhere would be believed in.
    """

    def __init__(self, seen: Seen, hour: float) -> None:
        machine, size = seen.machine, seen.states
        self.machine, x = machine, machine.stocks
        pair, after = seen.keys // size, seen.keys % size
        state, action = pair // ACTIONS, pair % ACTIONS
        kinds = np.unique(np.concatenate([state // x, after // x]))
        self.size = len(kinds) * x
        self.net = np.tile(np.arange(x), len(kinds)) + machine.low
        self.status = np.repeat(kinds // 2, x)
        if self.size > MOST:
            return
        at = np.searchsorted(kinds, state // x) * x + state % x
        to = np.searchsorted(kinds, after // x) * x + after % x
        counts = np.zeros((self.size, ACTIONS, self.size))
        counts[at, action, to] = seen.sums[:, 0]
        totals = np.zeros((self.size, ACTIONS, 2))  # hours, money
        np.add.at(totals, (at, action), seen.sums[:, 1:] / [hour, 1.0])
        often = counts.sum(axis=2)
        self.first = int(often.sum(axis=1).argmax())
        self._pool(counts, totals, often)
        known, each = often >= LEAST, np.maximum(often, 1.0)
        chance = counts / each[:, :, None] * (1.0 - RESTART)
        chance[~known] = 0.0
        chance[:, :, self.first] += np.where(known, RESTART, 1.0)
        mean = totals[often > 0].sum(axis=0) / each[often > 0].sum()
        step, self.right = np.where(known[:, :, None], totals / each[:, :, None], mean * [1.0, UNKNOWN]).transpose(
            2, 0, 1
        )
        self.rows = -chance
        self.rows[np.arange(self.size), :, np.arange(self.size)] += 1.0
        self.rows[:, :, self.first] = step

    def _pool(self, counts: Floats, totals: Floats, often: Floats) -> None:
        """Add to each state and action `PRIOR` steps as they are at the stocks of its status, the lowest and the
        highest left out, where a step is cut.
        """
        x = self.machine.stocks
        here = np.arange(x)
        money = self._money(totals, often)
        for k in range(self.size // x):
            own, inner = slice(k * x, (k + 1) * x), slice(k * x + 1, (k + 1) * x - 1)
            for a in range(ACTIONS):
                steps = often[inner, a].sum()
                if steps < LEAST:
                    continue
                share = PRIOR / steps
                for q in range(self.size // x):
                    block = counts[own, a, q * x : (q + 1) * x].copy()
                    block[[0, -1]] = 0.0
                    for step in range(1 - x, x):
                        total = float(np.trace(block, step))
                        if total > 0.0:
                            counts[k * x + here, a, q * x + np.clip(here + step, 0, x - 1)] += share * total
                totals[own, a, 0] += share * totals[inner, a, 0].sum()
                totals[own, a, 1] += PRIOR * money[own, a]
                often[own, a] += PRIOR

    def _money(self, totals: Floats, often: Floats) -> Floats:
        """What a step in a state and action [S, A] usually costs: so much for each status and action (least squares),
        and for the time it usually takes there so much for each part on hand and each owed, and where no more may be.
        """
        x, k = self.machine.stocks, self.size // self.machine.stocks
        net = np.arange(x) + self.machine.low
        by = np.column_stack([np.maximum(net, 0), np.maximum(-net, 0), net == self.machine.low]).astype(np.float64)
        n = often.reshape(k, x, ACTIONS).transpose(0, 2, 1)  # [K, A, X]
        hours, spent = totals.reshape(k, x, ACTIONS, 2).transpose(3, 0, 2, 1)
        group = np.maximum(n.sum(axis=2), 1.0)[:, :, None]
        each = by * (hours.sum(axis=2)[:, :, None] / group)[..., None]  # [K, A, X, 3]
        mean = spent / np.maximum(n, 1.0)
        centre = (n[..., None] * each).sum(axis=2, keepdims=True) / group[..., None]
        level = (n * mean).sum(axis=2, keepdims=True) / group
        root = np.sqrt(n)
        prices = np.linalg.lstsq(
            ((each - centre) * root[..., None]).reshape(-1, by.shape[1]),
            ((mean - level) * root).reshape(-1),
            rcond=None,
        )[0]
        return (level + (each - centre) @ prices).transpose(0, 2, 1).reshape(self.size, ACTIONS)

    def actions(self, numbers: Values, maintained: tuple[int, int]) -> Values:
        """Actions [S] of tables with these numbers [T, N]; `maintained`: lowest and highest value of the control of
        maintenance.
        """
        machine = self.machine
        k = np.where(self.status < machine.levels, self.status, 0)
        here = Situation(self.status, self.net, np.zeros(self.size, dtype=np.int64))
        now = (self.net >= numbers[machine.care, k]) | (self.net <= numbers[machine.deep, k])
        care = np.where(now, *maintained)
        return action_of(here, numbers[machine.base, k], care, machine)

    def cost(self, actions: Values) -> float:
        """Money an hour of a rule that takes these actions [S]."""
        each = np.arange(self.size)
        return float(np.linalg.solve(self.rows[each, actions], self.right[each, actions])[self.first])

    def least(self, actions: Values) -> tuple[Floats, Floats]:
        """The best of all policies, by policy iteration from these actions [S]: (by how much an action [S, A] in a
        state is worse there, how often a state [S] comes an hour).
        """
        each = np.arange(self.size)
        for _ in range(ROUNDS):
            inverse = np.linalg.inv(self.rows[each, actions])
            values = inverse @ self.right[each, actions]
            worse = self.right - self.rows @ values
            better = worse.min(axis=1) < -STILL * np.abs(values).max()
            if not better.any():
                break
            actions = np.where(better, worse.argmin(axis=1), actions)
        return worse, np.maximum(inverse[self.first], 0.0)

    def others(self, actions: Values, tried: list[Values]) -> Floats:
        """Costs [K] of rules that take other actions [S] in few states (Woodbury's identity)."""
        each = np.arange(self.size)
        inverse = np.linalg.inv(self.rows[each, actions])
        values = inverse @ self.right[each, actions]
        costs = np.full(len(tried), values[self.first])
        for i, other in enumerate(tried):
            r = np.flatnonzero(other != actions)
            if not r.size:
                continue
            change = self.rows[r, other[r]] - self.rows[r, actions[r]]
            moved = values + inverse[:, r] @ (self.right[r, other[r]] - self.right[r, actions[r]])
            inner = np.eye(r.size) + change @ inverse[:, r]
            costs[i] = moved[self.first] - inverse[self.first, r] @ np.linalg.solve(inner, change @ moved)
        return costs

    def fitted(self, start: Values, family: Family, maintained: tuple[int, int]) -> Values:
        """Numbers [T, N] of this machine's tables that are nearest to the best of all policies: condition by condition,
        the least sum over the stocks of what an action costs more there, as often as the best policy comes there.
        """
        machine, numbers = self.machine, start.copy()
        worse, often = self.least(self.actions(start, maintained))
        for k in range(machine.levels):
            here = self.status == k
            loss = np.zeros((machine.stocks, ACTIONS))
            np.add.at(loss, self.net[here] - machine.low, (often[:, None] * worse)[here])
            least = float("inf")
            ends = [range(family.low[t, k], family.high[t, k] + 1) for t in machine.tables]
            for base in ends[0]:
                produced = np.arange(machine.low, machine.high + 1) < base
                gained = np.where(produced, loss[:, PRODUCE], loss[:, IDLE]) - loss[:, MAINTAIN]
                total = np.append(0.0, np.cumsum(gained))
                # not maintained are the stocks above `deep` and below `care`
                upto = total[np.array(ends[1]) - machine.low]
                after = total[np.array(ends[2]) + 1 - machine.low]
                costs = upto[:, None] - after[None, :]
                c, d = np.unravel_index(int(costs.argmin()), costs.shape)
                if costs[c, d] < least:
                    least = float(costs[c, d])
                    numbers[machine.tables, k] = base, ends[1][c], ends[2][d]
        return numbers

    def best(self, start: Values, family: Family, maintained: tuple[int, int], last: bool) -> Values:
        """Numbers [T, N] of this machine's tables: those nearest to the best of all policies where they cost less in
        the model than `start`; the `last` time no other value of a single one improves on them, and one that decides
        nothing is as in `start`.
        """
        tried = [start, self.fitted(start, family, maintained)]
        numbers = min(tried, key=lambda n: self.cost(self.actions(n, maintained)))
        if not last:
            return numbers
        numbers = self.descended(numbers, family, maintained)
        actions = self.actions(numbers, maintained)
        for place in [(t, k) for t in self.machine.tables for k in range(self.machine.levels)]:
            other = numbers.copy()
            other[place] = start[place]
            numbers = other if np.array_equal(self.actions(other, maintained), actions) else numbers
        return numbers

    def descended(self, start: Values, family: Family, maintained: tuple[int, int]) -> Values:
        """Numbers [T, N] of this machine's tables that no other value of a single one improves on in the model."""
        numbers = start.copy()
        cost, before = self.cost(self.actions(numbers, maintained)), float("inf")
        while cost < before - STILL * abs(cost):
            before = cost
            for place in [(t, k) for t in self.machine.tables for k in range(self.machine.levels)]:
                values = np.arange(family.low[place], family.high[place] + 1)
                tried = np.repeat(numbers[None], len(values), axis=0)
                tried[(slice(None), *place)] = values
                costs = self.others(self.actions(numbers, maintained), [self.actions(n, maintained) for n in tried])
                if costs.min() < cost - STILL * abs(cost):
                    numbers, cost = tried[int(costs.argmin())], float(costs.min())
        return numbers


def found(compiled: Compiled, family: Family, values: Values, start: Values, runs: Runs) -> tuple[Values, float]:
    """(numbers [T, N] of the family's tables, ticks taken): machine after machine, in rounds of runs ever nearer to the
    best of the model so far; `values` [C] hold the other controls. `runs.ticks` are shared by all machines.
    """
    numbers, spent, first = start.copy(), 0.0, runs.first
    every = machines(compiled.plant, family)
    for machine in every:
        seen, width = Seen(machine, compiled), family.high - family.low
        free = np.zeros_like(width)
        free[machine.tables, : machine.levels] = width[machine.tables, : machine.levels]
        care = next(c for c in compiled.plant.controls if c.id == family.tables[machine.care].control)
        for spread in SPREADS:
            rng = np.random.Generator(np.random.PCG64([runs.seed, first]))
            moved = numbers + np.rint(rng.normal(0.0, spread, (REPLICAS, *width.shape)) * free).astype(np.int64)
            if (
                spread == SPREADS[0]
            ):  # half of them anywhere, or maintained from a condition on, to see all that there is
                anywhere = rng.integers(family.low, family.high + 1, (REPLICAS // 2, *width.shape))
                begin = rng.integers(1, machine.levels + 1, REPLICAS // 4)[:, None]
                late = np.arange(width.shape[1]) < begin
                anywhere[::2, machine.care] = np.where(late, machine.high, machine.low)
                anywhere[::2, machine.deep] = machine.low - 1
                moved[: REPLICAS // 2] = np.where(free > 0, anywhere, numbers)
            who = Many(compiled, family.tables, values, np.clip(moved, family.low, family.high), 0)
            share = runs.ticks / len(SPREADS) / len(every)
            spent += watch(seen, who, Runs(runs.seed, first, share, runs.epoch, runs.threads))
            first += REPLICAS
            model = Model(seen, 3600.0 / compiled.plant.tick_s)
            if model.size > MOST:
                break
            numbers = model.best(numbers, family, (care.low, care.high), last=spread == SPREADS[-1])
    return numbers, spent
