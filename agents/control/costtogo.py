"""What a state is worth under a rule: a linear estimate of the cost still to come, by which a lookahead may end early.

The features of a row are counts that people look at (stocks net of what customers wait for, positions, parts in the
plant, queues, units by state, the shift of the week), the larger ones piecewise linear, and by how much of the next day
and of the two after it is open: stock before a weekend is worth something else than on a Monday. Their weights solve
the projected Bellman equation of the rule (LSTD, Bradtke and Barto 1996) on runs of the rule that are disturbed now and
then: a rule that keeps a sum of parts constant shows by itself nothing of what another sum would be worth, and that
is what a lookahead asks. The cost is counted against its average, so only differences of the estimate mean anything.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from agents.control.controllers import Controller
from agents.control.rollout import Operation
from agents.envs.epochs import discount_s
from agents.envs.schema import Observer
from agents.rules.tune import judge_span
from agents.seeds import TRAIN, block_seed
from sim import state as st
from sim.compile import control_field
from sim.plant import STATES
from sim.value import operating_cost

if TYPE_CHECKING:
    from sim.compile import Compiled

Rows = NDArray[np.int64]
Floats = NDArray[np.float64]
KNOTS = (0.1, 0.5, 0.9)
"""Quantiles of a count, as runs show it, at which its weight may change."""
DISTURBED, MOVED = 0.3, 0.35
"""Share of the intervals in which a run is disturbed, and of the controls that are moved then."""
AHEAD_H = (24, 72)
WEEK_H = 168
SHIFT_S = 8 * 3600.0
CHUNK = 512


@dataclass(frozen=True, slots=True)
class Fit:
    """How to estimate: `replicas` runs of `steps` intervals each after the warm-up; `ridge` keeps weights of what
    hardly varies small; `seed` within the block for training.
    """

    replicas: int = 1024
    steps: int = 168
    ridge: float = 1e-3
    seed: int = 0


class Features:
    """Counts of rows [R, W] as numbers [R, D]; `learn` places the knots first."""

    def __init__(self, compiled: Compiled) -> None:
        self.compiled, self.plant = compiled, compiled.plant
        start = compiled.start
        self.begun_s = ((start.weekday() * 24 + start.hour) * 60 + start.minute) * 60 + start.second
        self.open = _open_ahead(compiled)
        self.observer = Observer(compiled)
        coming = [i for i, name in enumerate(self.observer.fields) if ".arriving." in name]
        self.coming = np.array(coming, dtype=np.int64)
        self.knots: Floats = np.zeros((0, 0))
        self.mean: Floats = np.zeros(0)
        self.spread: Floats = np.ones(0)

    def counts(self, rows: Rows) -> Floats:
        """[R, M]: what gets knots."""
        view, plant = self.compiled.layout.view, self.plant
        net = view(rows, "on_hand") - view(rows, "backorders")
        position = net + view(rows, "on_order")
        wip = view(rows, "wip")
        found: list[NDArray[Any]] = [net, position, wip, view(rows, "q_len"), view(rows, "pending")]
        for i, product in enumerate(plant.products):
            own = [k for k, stock in enumerate(plant.stocks) if stock.item == product.id]
            if own:
                found.append((wip[:, i] + position[:, own].sum(axis=1))[:, None])
        found.append(wip.sum(axis=1, keepdims=True))
        if self.coming.size:
            found.append(self.observer(rows)[:, self.coming])
        return np.concatenate(found, axis=1).astype(np.float64)

    def shares(self, rows: Rows) -> Floats:
        """[R, N]: what stays linear: units by state, conditions, the shift of the week as one of 21."""
        view = self.compiled.layout.view
        states = view(rows, "n_state")[:, :, [STATES.index(s) for s in ("work", "setup", "down", "blocked")]]
        level = view(rows, "unit_level")
        shift = (self._seconds(rows) // SHIFT_S % 21)[:, None] == np.arange(21)
        parts = [states.reshape(len(rows), -1), level, level**2, shift]
        return np.asarray(np.concatenate(parts, axis=1), dtype=np.float64)

    def _seconds(self, rows: Rows) -> Floats:
        """Seconds since a Monday, local time."""
        return np.asarray(self.begun_s + rows[:, st.NOW] * self.plant.tick_s, dtype=np.float64)

    def learn(self, rows: Rows) -> None:
        """Place the knots and the scales by a sample of rows."""
        self.knots = np.quantile(self.counts(rows), KNOTS, axis=0)
        plain = self._plain(rows)
        self.mean, self.spread = plain.mean(axis=0), plain.std(axis=0)

    def _plain(self, rows: Rows) -> Floats:
        counts = self.counts(rows)
        bends = [np.maximum(counts - knot, 0.0) for knot in self.knots]
        hour = (self._seconds(rows) // 3600.0).astype(np.int64) % WEEK_H
        by_hours = [counts * share[hour][:, None] for share in self.open]
        return np.concatenate([counts, *bends, *by_hours, self.shares(rows)], axis=1)

    def __call__(self, rows: Rows) -> Floats:
        """[R, D], each of about unit spread in the sample; a constant last."""
        scaled = (self._plain(rows) - self.mean) / np.where(self.spread > 1e-9, self.spread, np.inf)
        return np.asarray(np.concatenate([scaled, np.ones((len(rows), 1))], axis=1), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class CostToGo:
    """The estimate: money [R] still to come after rows [R, W], up to a constant; `average`: what an interval costs."""

    features: Features
    weights: Floats
    average: float

    def __call__(self, rows: Rows) -> Floats:
        """Relative cost to go of rows [R, W], in money."""
        return self.features(rows) @ self.weights


def _open_ahead(compiled: Compiled) -> list[Floats]:
    """For every hour of the local week the open share of the hours that follow, less its mean; [] without calendars."""
    if not compiled.plant.calendars:
        return []
    opened = np.zeros((len(compiled.plant.calendars), WEEK_H))
    for i, calendar in enumerate(compiled.plant.calendars):
        for day, start, end in calendar.open:
            for minute in range(start, end, 30):
                opened[i, (day * 24 + minute // 60) % WEEK_H] += 0.5
    hours = np.tile(opened.mean(axis=0), 2)
    means = [np.array([hours[h : h + span].mean() for h in range(WEEK_H)]) for span in AHEAD_H]
    return [m - m.mean() for m in means]


def said(who: Controller, rows: Rows, compiled: Compiled) -> Rows:
    """What a controller sets in rows [R, W]; the plant file's setpoints where it leaves the controls alone."""
    wanted = who.act(rows)
    if wanted is not None:
        return wanted
    places = [control_field(compiled.plant, c.sets) for c in compiled.plant.controls]
    return np.tile([int(compiled.initial[name][place]) for name, place in places], (len(rows), 1))


def cost_to_go(who: Controller, compiled: Compiled, epoch: int, fit: Fit | None = None) -> CostToGo:
    """The estimate for controller `who`, from disturbed runs of it, looked at every `epoch` ticks."""
    from sim.engine import new_rows

    fit = fit or Fit()
    seconds = epoch * compiled.plant.tick_s
    gamma = float(np.exp(-seconds / discount_s(compiled, seconds)))
    warm = -(-judge_span(compiled).warmup // epoch) * epoch
    features, total = Features(compiled), _Sums()
    for first in range(0, fit.replicas, CHUNK):
        seed = block_seed(TRAIN, fit.seed)
        rows = new_rows(compiled, seed, min(CHUNK, fit.replicas - first), first)
        runs = Disturbed(Operation(compiled, who, epoch), epoch, np.random.Generator(np.random.PCG64([seed, first])))
        runs.operation.run(rows, warm)
        if not first:
            sample = []
            trial = rows[: CHUNK // 4].copy()
            for _ in range(21):  # every shift of the week
                runs.step(trial)
                sample.append(trial.copy())
            features.learn(np.concatenate(sample))
        total.add(rows, runs, features, (fit.steps, gamma))
    average = total.money / total.n
    matrix = total.matrix / total.n + fit.ridge * np.eye(len(total.matrix))
    weights: Floats = np.asarray(np.linalg.solve(matrix, (total.costs - average * total.seen) / total.n), np.float64)
    return CostToGo(features, weights, average)


class Disturbed:
    """Runs of a controller, one interval after the other, in some of which some controls are moved."""

    def __init__(self, operation: Operation, epoch: int, rng: np.random.Generator) -> None:
        self.operation, self.epoch, self.rng = operation, epoch, rng
        self.grid = operation.grid
        self.every = np.maximum([c.every for c in self.grid.controls], epoch)
        self.shift = np.zeros((0, self.grid.size), dtype=np.int64)

    def step(self, rows: Rows) -> NDArray[np.bool_]:
        """One interval of rows [R, W] in place; in which of them nothing was moved."""
        from sim.engine import run, set_controls
        from sim.kernel import get_controls

        now, size = int(rows[0, st.NOW]), (len(rows), self.grid.size)
        if self.shift.shape != size:
            self.shift = np.zeros(size, dtype=np.int64)
        free = now % self.every == 0
        unit = np.maximum(self.grid.counts // 16, 1) * self.grid.step
        moved = (self.rng.random((size[0], 1)) < DISTURBED) & (self.rng.random(size) < MOVED)
        drawn = np.where(moved, self.rng.integers(-3, 4, size) * unit, 0)
        self.shift = np.where(free, drawn, self.shift)
        calm: NDArray[np.bool_] = np.asarray(~self.shift.any(axis=1), dtype=np.bool_)
        if calm.all() or self.operation.kinds:  # what decides at events is not disturbed
            self.operation.run(rows, now + self.epoch)
            return calm
        compiled = self.operation.compiled
        wanted = said(self.operation.who, rows, compiled) + self.shift
        wanted = np.where(free, wanted, get_controls(rows, compiled))
        set_controls(rows, compiled, self.grid.limit(wanted, rows, compiled.layout))
        run(rows, compiled, now + self.epoch, self.operation.threads)
        return calm


@dataclass
class _Sums:
    """Over the calm intervals: f (f - gamma f')', f c, f, c, how many; f features before, f' after, c the cost."""

    matrix: Floats = field(default_factory=lambda: np.zeros((0, 0)))
    costs: Floats = field(default_factory=lambda: np.zeros(0))
    seen: Floats = field(default_factory=lambda: np.zeros(0))
    money: float = 0.0
    n: int = 0

    def add(self, rows: Rows, runs: Disturbed, features: Features, how: tuple[int, float]) -> None:
        """Go on for so many intervals from rows [R, W], and add what is seen."""
        steps, gamma = how
        now = features(rows)
        if not self.n:
            size = now.shape[1]
            self.matrix, self.costs, self.seen = np.zeros((size, size)), np.zeros(size), np.zeros(size)
        for _ in range(steps):
            before = rows.copy()
            calm = runs.step(rows)
            cost = operating_cost(before, rows, runs.operation.compiled)[calm]
            following = features(rows)
            kept = now[calm]
            self.matrix += kept.T @ (kept - gamma * following[calm])
            self.costs += kept.T @ cost
            self.seen += kept.sum(axis=0)
            self.money += float(cost.sum())
            self.n += len(kept)
            now = following
