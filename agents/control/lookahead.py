"""Rollout over a rule: at each decision try its setpoints and their neighbours in simulation, then play the best.

One step of policy improvement by simulation (Bertsekas 2019, Reinforcement Learning and Optimal Control, ch. 2; Tesauro
and Galperin 1997). Every candidate is in force until the control may move again, then the rule goes on; all meet the
same futures. Those are drawn from what can be seen of the state alone (`agents.control.unseen`): the luck of the run on
which the controller is judged plays no part, and the same state gets the same answer.

1. Candidates: the rule's setpoints with one control moved up or down.
2. The best move of each control, and all of those moves together that pay, are judged on fresh futures. What gains most
   there is played, if the gain exceeds `sure` of its standard errors; else what the rule says.

A future ends a little after the last move was taken back; what comes later is estimated (`agents.control.costtogo`),
or, where `Plan.tail_s` says so, simulated.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from agents.advice.horizon import SHIFT_S
from agents.control.controllers import Controller
from agents.control.costtogo import CostToGo, Fit, cost_to_go, said
from agents.control.rollout import Operation, default_epoch, ticks
from agents.control.unseen import Unseen
from agents.envs.grid import Grid
from agents.seeds import AHEAD, block_seed
from sim import state as st
from sim.value import operating_cost

if TYPE_CHECKING:
    from sim.compile import Compiled

Rows = NDArray[np.int64]
Values = NDArray[np.int64]
Floats = NDArray[np.float64]
ROWS = 4096
"""Futures run together; bounds memory."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How to look ahead: time between decisions (None: a shift where the plant keeps hours, else the usual interval),
    futures for choosing and for the judgement, moves in sixteenths of a control's range (a step of the grid at least),
    and what a gain must exceed, in its standard errors.

    A future goes on for `tail_s` after the moves were taken back (None: one more interval); `valued`: what comes after
    is estimated, else ignored.
    """

    epoch_s: float | None = None
    futures: int = 16
    judged: int = 64
    strides: tuple[int, ...] = (-1, 1)
    sure: float = 1.645
    tail_s: float | None = None
    valued: bool = True
    fit: Fit = field(default_factory=Fit)


def interval(compiled: Compiled, epoch_s: float | None) -> int:
    """Ticks between two looks ahead: `epoch_s` seconds, or (None) a shift where the plant keeps hours, else the usual
    interval.
    """
    if epoch_s is not None:
        return ticks(compiled, epoch_s)
    usual = default_epoch(compiled)
    return max(usual, ticks(compiled, SHIFT_S)) if compiled.plant.calendars else usual


class Rollout:
    """The controller; a `Controller` that decides at equal intervals."""

    static = False

    def __init__(self, rule: Controller, compiled: Compiled, plan: Plan | None = None, threads: int = 1) -> None:
        self.rule, self.compiled, self.plan, self.threads = rule, compiled, plan or Plan(), threads
        self.grid, self.unseen = Grid(compiled.plant), Unseen(compiled)
        self.epoch = interval(compiled, self.plan.epoch_s)
        self.every = np.maximum([c.every for c in self.grid.controls], self.epoch)
        self.unit = np.maximum(self.grid.counts // 16, 1) * self.grid.step
        began = time.perf_counter()
        self.value: CostToGo | None = None
        if self.plan.valued:
            self.value = cost_to_go(rule, compiled, self.epoch, self.plan.fit)
        self.fit_s = time.perf_counter() - began
        self.asked = self.moved = 0
        """Decisions so far, and in how many of them another setpoint than the rule's was played."""

    @property
    def name(self) -> str:
        """`rollout:` and the rule's name."""
        return f"rollout:{self.rule.name}"

    @property
    def epoch_s(self) -> float | None:
        """The time between two decisions."""
        return self.epoch * self.compiled.plant.tick_s

    def act(self, rows: Rows) -> Values:
        """Setpoints [R, C] for rows [R, W], which stand at one common tick."""
        most = max(ROWS // max(self._candidates * self.plan.futures, 3 * self.plan.judged), 1)
        found = [self._act(rows[i : i + most]) for i in range(0, len(rows), most)]
        return np.concatenate(found)

    @property
    def _candidates(self) -> int:
        return 1 + len(self.plan.strides) * self.grid.size

    def _act(self, rows: Rows) -> Values:
        now, layout = int(rows[0, st.NOW]), self.compiled.layout
        base, free = self.standing(rows, now)
        moves = self._moves(base, free, rows)
        marks = self.unseen.marks(rows)
        self.asked += len(rows)
        if moves.shape[1] == 1:
            return base
        luck = Luck(marks, 0, self.plan.futures)
        gains = self.gains(rows, moves, luck)
        finalists = self._finalists(gains, moves, base)
        judged = self.gains(rows, finalists, Luck(marks, self.plan.futures, self.plan.judged))
        mean, error = _mean(judged)
        best = mean.argmax(axis=1)
        lines = np.arange(len(rows))
        good = mean[lines, best] > self.plan.sure * error[lines, best]
        chosen = np.where(good[:, None], finalists[lines, best], base)
        self.moved += int((chosen != base).any(axis=1).sum())
        return self.grid.limit(chosen, rows, layout)

    def standing(self, rows: Rows, now: int) -> tuple[Values, NDArray[np.bool_]]:
        """What the rule sets [R, C], where controls may move [C] at this tick; the others stay as they are."""
        from sim.kernel import get_controls

        present = np.array(get_controls(rows, self.compiled))
        free = now % self.every == 0
        base = np.where(free, said(self.rule, rows, self.compiled), present)
        return self.grid.limit(base, rows, self.compiled.layout), free

    def _moves(self, base: Values, free: NDArray[np.bool_], rows: Rows) -> Values:
        """Candidates [R, K, C]; the first is the base, then one control moved each."""
        found = [base]
        for c in np.flatnonzero(free):
            for stride in self.plan.strides:
                moved = base.copy()
                moved[:, c] = np.clip(moved[:, c] + stride * self.unit[c], self.grid.low[c], self.grid.high[c])
                found.append(self.grid.limit(moved, rows, self.compiled.layout))
        return np.stack(found, axis=1)

    def _finalists(self, gains: Floats, moves: Values, base: Values) -> Values:
        """[R, 3, C]: the base, the best single move, and the best moves of all controls that seem to pay, together."""
        mean, error = _mean(gains)
        lines, n = np.arange(len(base)), len(self.plan.strides)
        single = moves[lines, mean.argmax(axis=1)]
        joint = base.copy()
        for first in range(1, moves.shape[1], n):
            best = first + mean[:, first : first + n].argmax(axis=1)
            pays = mean[lines, best] > error[lines, best]
            joint += np.where(pays[:, None], moves[lines, best] - base, 0)
        return np.stack([base, single, joint], axis=1)

    def gains(self, rows: Rows, values: Values, luck: Luck) -> Floats:
        """[R, K, F]: by how much less than candidate 0 each candidate costs in each future, in money."""
        return self.longer(rows, values, luck, 0)[0]

    def longer(self, rows: Rows, values: Values, luck: Luck, more: int) -> tuple[Floats, Floats]:
        """Gains [R, K, F] as `gains` has them, and what they are where futures go on for `more` ticks."""
        r, k, f = len(rows), values.shape[1], luck.futures
        start = np.repeat(rows, f, axis=0)
        self.unseen.redraw(start, self.unseen.uniforms(luck.seeds(), f).reshape(r * f, -1, 2))
        luck.address(start, self.compiled)
        batch = np.repeat(start.reshape(r, 1, f, -1), k, axis=1).reshape(r * k * f, -1)
        found = self._play(batch, np.repeat(values.reshape(r * k, -1), f, axis=0), more)
        costs, later = (each.reshape(r, k, f) for each in found)
        return costs[:, :1] - costs, later[:, :1] - later

    def _play(self, rows: Rows, values: Values, more: int) -> tuple[Floats, Floats]:
        """Costs [N] of setpoints [N, C] from rows [N, W]: each control goes back to the rule when it may move again.
        And costs [N] where that goes on for `more` ticks.
        """
        from sim.engine import run, set_controls

        before, now = rows.copy(), int(rows[0, st.NOW])
        operation = Operation(self.compiled, self.rule, default_epoch(self.compiled), self.threads)
        set_controls(rows, self.compiled, values)
        ends = {now + int(e) for e in self.every[now % self.every == 0]} or {now + self.epoch}
        if not self.rule.static:  # it is asked at every interval
            ends |= set(range(now + self.epoch, max(ends), self.epoch))
        for end in sorted(ends):
            run(rows, self.compiled, end, self.threads)
            back, _ = self.standing(rows, end)
            set_controls(rows, self.compiled, back)
        last = int(rows[0, st.NOW])
        tail = self.epoch if self.plan.tail_s is None else ticks(self.compiled, self.plan.tail_s)
        operation.due = last  # what may not move yet stays
        operation.run(rows, last + tail)
        costs = self._valued(before, rows)
        if not more:
            return costs, costs
        operation.run(rows, last + tail + more)
        return costs, self._valued(before, rows)

    def _valued(self, before: Rows, after: Rows) -> Floats:
        """Costs [N] between rows, and what is still to come after them where that is estimated."""
        costs = operating_cost(before, after, self.compiled)
        return costs if self.value is None else costs + self.value(after)


@dataclass(frozen=True, slots=True)
class Luck:
    """Futures `first` .. `first + futures` of states with these marks."""

    marks: list[int]
    first: int
    futures: int

    def seeds(self) -> list[int]:
        """A seed for the hidden numbers of each state."""
        return [(mark << 20) + self.first for mark in self.marks]

    def address(self, rows: Rows, compiled: Compiled) -> None:
        """Give rows [R * futures, W] their addresses, as `agents.seeds.reseed` does."""
        from agents.seeds import reseed

        reseed(rows, compiled.layout, 0)
        rows[:, st.SEED] = np.repeat([block_seed(AHEAD, mark) for mark in self.marks], self.futures)
        rows[:, st.REPLICA] = np.tile(self.first + np.arange(self.futures), len(self.marks))


def _mean(gains: Floats) -> tuple[Floats, Floats]:
    """Mean and standard error over the last axis."""
    n = gains.shape[-1]
    return gains.mean(axis=-1), gains.std(axis=-1, ddof=1) / np.sqrt(n)
