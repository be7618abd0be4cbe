"""What a state is worth under a rule: a linear estimate of the cost still to come, by which a lookahead may end early.

The features of a row are counts that people look at (stocks net of what customers wait for, positions, parts in the
plant, queues, units by state, the hour of the week), the larger ones piecewise linear. Their weights solve the
projected Bellman equation of the rule, LSTD(lambda) with eligibility traces (Bradtke and Barto 1996; Boyan 2002), on
runs of the rule. The cost is counted against its average, so the estimate is a relative value: only differences mean
anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from agents.controllers import Controller
from agents.epochs import discount_s
from agents.rollout import Operation
from agents.seeds import TRAIN, block_seed
from agents.tune import judge_span
from sim import state as st
from sim.plant import STATES
from sim.value import operating_cost

if TYPE_CHECKING:
    from sim.compile import Compiled

Rows = NDArray[np.int64]
Floats = NDArray[np.float64]
KNOTS = (0.1, 0.5, 0.9)
"""Quantiles of a count, as runs of the rule show it, at which its weight may change."""
SHIFT_S = 8 * 3600.0
CHUNK = 512


@dataclass(frozen=True, slots=True)
class Fit:
    """How to estimate: `replicas` runs of the rule of `steps` intervals each after the warm-up; `trace` is lambda;
    `ridge` keeps weights of what hardly varies small; `seed` within the block for training.
    """

    replicas: int = 1024
    steps: int = 84
    trace: float = 0.5
    ridge: float = 1e-3
    seed: int = 0


class Features:
    """Counts of rows [R, W] as numbers [R, D]; `learn` places the knots first."""

    def __init__(self, compiled: Compiled) -> None:
        self.compiled, self.plant = compiled, compiled.plant
        self.knots: Floats = np.zeros((0, 0))
        self.mean: Floats = np.zeros(0)
        self.spread: Floats = np.ones(0)

    def counts(self, rows: Rows) -> Floats:
        """[R, M]: what gets knots."""
        view, plant = self.compiled.layout.view, self.plant
        net = view(rows, "on_hand") - view(rows, "backorders")
        position = net + view(rows, "on_order")
        wip = view(rows, "wip")
        found = [net, position, wip, view(rows, "q_len"), view(rows, "pending")]
        for i, product in enumerate(plant.products):
            own = [k for k, stock in enumerate(plant.stocks) if stock.item == product.id]
            if own:
                found.append((wip[:, i] + position[:, own].sum(axis=1))[:, None])
        found.append(wip.sum(axis=1, keepdims=True))
        return np.concatenate(found, axis=1).astype(np.float64)

    def shares(self, rows: Rows) -> Floats:
        """[R, N]: what stays linear: units by state, conditions, the shift of the week as one of 21."""
        view, layout = self.compiled.layout.view, self.compiled.layout
        states = view(rows, "n_state")[:, :, [STATES.index(s) for s in ("work", "setup", "down", "blocked")]]
        level = view(rows, "unit_level")
        start = self.compiled.start
        begun = ((start.weekday() * 24 + start.hour) * 60 + start.minute) * 60 + start.second
        at = (begun + rows[:, layout.at("now")] * self.plant.tick_s) / SHIFT_S
        shift = (at.astype(np.int64) % 21)[:, None] == np.arange(21)
        return np.concatenate([states.reshape(len(rows), -1), level, level**2, shift], axis=1).astype(np.float64)

    def learn(self, rows: Rows) -> None:
        """Place the knots and the scales by a sample of rows."""
        self.knots = np.quantile(self.counts(rows), KNOTS, axis=0)
        plain = self._plain(rows)
        self.mean, self.spread = plain.mean(axis=0), plain.std(axis=0)

    def _plain(self, rows: Rows) -> Floats:
        counts = self.counts(rows)
        bends = [np.maximum(counts - knot, 0.0) for knot in self.knots]
        return np.concatenate([counts, *bends, self.shares(rows)], axis=1)

    def __call__(self, rows: Rows) -> Floats:
        """[R, D], each of about unit spread in the sample; a constant last."""
        scaled = (self._plain(rows) - self.mean) / np.where(self.spread > 1e-9, self.spread, np.inf)
        return np.concatenate([scaled, np.ones((len(rows), 1))], axis=1)


@dataclass(frozen=True, slots=True)
class CostToGo:
    """The estimate: money [R] still to come after rows [R, W], up to a constant; `average`: what an interval costs."""

    features: Features
    weights: Floats
    average: float

    def __call__(self, rows: Rows) -> Floats:
        """Relative cost to go of rows [R, W], in money."""
        return self.features(rows) @ self.weights


def cost_to_go(who: Controller, compiled: Compiled, epoch: int, fit: Fit | None = None) -> CostToGo:
    """The estimate for controller `who`, from its own runs, looked at every `epoch` ticks."""
    from sim.engine import new_rows

    fit = fit or Fit()
    gamma = float(np.exp(-epoch * compiled.plant.tick_s / discount_s(compiled, epoch * compiled.plant.tick_s)))
    warm = -(-judge_span(compiled).warmup // epoch) * epoch
    features = Features(compiled)
    sums: list[Floats] = []
    firsts = range(0, fit.replicas, CHUNK)
    for first in firsts:
        rows = new_rows(compiled, block_seed(TRAIN, fit.seed), min(CHUNK, fit.replicas - first), first)
        operation = Operation(compiled, who, epoch)
        operation.run(rows, warm)
        if not sums:
            ahead = [rows.copy()]
            trial = rows.copy()
            for _ in range(3):  # a day and more, so that every shift is there
                operation.run(trial, int(trial[0, st.NOW]) + 7 * epoch)
                ahead.append(trial.copy())
            features.learn(np.concatenate(ahead))
        part = _traced(rows, operation, features, (fit.steps, epoch, gamma * fit.trace, gamma))
        sums = part if not sums else [a + b for a, b in zip(sums, part, strict=True)]
    matrix, costs, traces, money, n = sums
    average = float(money / n)
    matrix = matrix / n + fit.ridge * np.eye(len(matrix))
    weights = np.linalg.solve(matrix, (costs - average * traces) / n)
    return CostToGo(features, weights, average)


def _traced(rows: Rows, operation: Operation, features: Features, how: tuple[int, int, float, float]) -> list[Floats]:
    """Sums over runs from rows [R, W]: z (f - gamma f')' , z c, z, c, and how many, z the trace of the features f."""
    steps, epoch, decay, gamma = how
    now = features(rows)
    trace = np.zeros_like(now)
    size = now.shape[1]
    matrix, costs, traces, money = np.zeros((size, size)), np.zeros(size), np.zeros(size), 0.0
    for _ in range(steps):
        before = rows.copy()
        operation.run(rows, int(rows[0, st.NOW]) + epoch)
        cost = operating_cost(before, rows, operation.compiled)
        following = features(rows)
        trace = decay * trace + now
        matrix += trace.T @ (now - gamma * following)
        costs += trace.T @ cost
        traces += trace.sum(axis=0)
        money += float(cost.sum())
        now = following
    return [matrix, costs, traces, np.asarray(money), np.asarray(float(steps * len(rows)))]


