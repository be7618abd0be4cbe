"""What each setpoint of a control is worth in a state, by regression on few noisy moments: a network with one hidden
layer.

The gain of setting a control to v where b would have been set is taken as g(s, v) - g(s, b), with g a parabola in v
whose two coefficients are linear in features of the observation s: one for each time of the week at which decisions
fall, the observed columns themselves, and three bends in each of them. Three groups, each with a penalty of its own
(ridge regression; Hastie, Tibshirani and Friedman 2009, The Elements of Statistical Learning, 3.4), chosen control by
control by cross-validation over blocks of time; a group may be left out, and where nothing predicts better than "no
gain" the control stays where it was. Without that, noise would move every control of a plant whose moments cost a
hundred simulated shifts each.
"""

from __future__ import annotations

import itertools
from copy import copy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.bundles.policy import Network
from agents.control.over import Moves
from agents.envs.grid import Grid
from agents.envs.schema import CLOCK, Floats

Doubles = NDArray[np.float64]
Indices = NDArray[np.int64]

PENALTIES = (None, 1e-2, 1e-1, 1.0, 10.0)
"""Of a group, in units of the mean diagonal of the normal equations; None: left out."""
FREE = 1e-3
"""Penalty of the constant."""
FOLDS, BLOCK = 4, 64
"""Of the cross-validation; moments that follow each other are alike, so they stay together in blocks."""
KNOTS = (0.1, 0.5, 0.9)
"""Quantiles of a column at which it may bend."""
STILL = 1e-3
"""A column with a smaller spread is taken as constant."""
NEAR, BEND = 0.15, 3.0
"""Slopes, for one standard deviation, of units that are nearly linear, and of units that bend."""
OUTSIDE = 1e4
"""What a step of the grid outside of what was tried counts as costing, money."""
TIE = 1e-3
"""What a move by one span from the policy before costs at least, money, so that the nearest of equals is taken."""
CONSTANT, SLOT, LINE, CURVE = 0, 1, 2, 3
QUARTERS = 7 * 24 * 4
"""Of an hour, in a week."""
LEAST = 100
"""Fewer moments of a control say nothing."""
SURE = 2.0
"""Standard errors by which a fit must predict better than nothing."""
Penalty = tuple[float | None, ...]
"""By group."""


@dataclass(frozen=True, slots=True)
class Moments:
    """N states with their observations `seen` [N, D] and the setpoints that the policy had there, `base` [N, C]; and M
    trials: in state `at` [M] control `control` [M] set to `value` [M] gained `gain` [M] (money). Over a rule all
    setpoints are told as moves from the rule's.
    """

    seen: Floats
    base: Indices
    at: Indices
    control: Indices
    value: Indices
    gain: Doubles


class Basis:
    """Features of observations as tanh units of a hidden layer: weights [F, D], biases [F], and each one's group."""

    def __init__(self, seen: Floats, fields: tuple[str, ...]) -> None:
        mean, spread = seen.mean(axis=0, dtype=np.float64), seen.std(axis=0, dtype=np.float64)
        told = {*CLOCK, *(f for f in fields if f.endswith(".open"))}  # what the slots say already
        live = [i for i, f in enumerate(fields) if spread[i] > STILL and not (f in told and CLOCK[0] in fields)]
        units: list[tuple[dict[int, float], float, int]] = []
        if CLOCK[0] in fields:
            units += _slots(seen, fields)
        units += [({i: NEAR / spread[i]}, -NEAR * mean[i] / spread[i], LINE) for i in live]
        for i in live:
            for knot in np.unique(np.quantile(seen[:, i], KNOTS)).tolist():
                units.append(({i: BEND / spread[i]}, -BEND * knot / spread[i], CURVE))
        self.weights = np.zeros((len(units), len(fields)), dtype=np.float32)
        for k, (columns, _, _) in enumerate(units):
            for i, w in columns.items():
                self.weights[k, i] = w
        self.biases = np.array([b for _, b, _ in units], dtype=np.float32)
        self.group = np.array([CONSTANT, *(g for _, _, g in units)])
        hidden = self._hidden(seen)
        self.mean, self.spread = hidden.mean(axis=0), hidden.std(axis=0) + 1e-9

    def _hidden(self, seen: Floats) -> Doubles:
        found: Doubles = np.tanh(seen @ self.weights.T + self.biases).astype(np.float64)
        return found

    def __call__(self, seen: Floats) -> Doubles:
        """Features [N, F + 1] of observations [N, D], of unit spread where they were placed; the constant first."""
        scaled = (self._hidden(seen) - self.mean) / self.spread
        return np.concatenate([np.ones((len(seen), 1)), scaled], axis=1)

    def network(self, heads: list[Doubles], counts: tuple[int, ...]) -> Network:
        """The network whose logits are what each value is worth: `heads` [n, F + 1] of each control."""
        all_ = np.concatenate(heads)
        weights = all_[:, 1:] / self.spread
        biases = all_[:, 0] - weights @ self.mean
        out = (weights.astype(np.float32), biases.astype(np.float32))
        return Network((self.weights, out[0]), (self.biases, out[1]), counts, "mode")


def _slots(seen: Floats, fields: tuple[str, ...]) -> list[tuple[dict[int, float], float, int]]:
    """A unit for each time of the week at which there were decisions; it is on from a quarter of an hour before it
    until the next one, so that whoever asks in between is told what has been set.
    """
    sine, cosine = (fields.index(name) for name in CLOCK[2:])
    turns = np.arctan2(seen[:, sine], seen[:, cosine]) / (2.0 * np.pi) % 1.0
    begins = np.unique(np.rint(turns * QUARTERS).astype(np.int64) % QUARTERS)
    gaps = np.diff([*begins, begins[0] + QUARTERS])
    found = []
    for begin, gap in zip(begins.tolist(), np.minimum(gaps, QUARTERS // 2).tolist(), strict=True):
        at, half = 2.0 * np.pi / QUARTERS * (begin + gap / 2.0 - 1.0), np.pi / QUARTERS * gap
        inside = half - 2.0 * np.pi / QUARTERS if gap > 2 else half / 2.0
        steep = BEND / (np.cos(inside) - np.cos(half))
        found.append(({sine: steep * np.sin(at), cosine: steep * np.cos(at)}, -steep * np.cos(half), SLOT))
    return found


@dataclass(slots=True)
class Head:
    """What the values of one control are worth: parabolas in t = (v - `middle`) / `span`, between the values `low` and
    `high` that were tried, with coefficients linear in the features, `weights` [2, F + 1]. `explained`: share of the
    squared gains of the last moments that was predicted from other moments; `doubt`: standard error of what a step by
    one `span` is said to gain; `sure`: have the last moments something to say? `lean` [F + 1]: t of the policy that
    the moments were taken under, as a function of the features.
    """

    middle: float
    span: float
    low: int
    high: int
    weights: Doubles
    lean: Doubles
    explained: float = 0.0
    doubt: float = 0.0
    sure: bool = False

    def powers(self, value: Indices) -> Doubles:
        """[..., 2]: t and its square."""
        t = (np.clip(value, self.low, self.high) - self.middle) / self.span
        return np.stack([t, t * t], axis=-1)

    def worth(self, values: Indices, step: int) -> Doubles:
        """Weights [n, F + 1] of what each of `values` [n] is worth, those outside of what was tried excluded."""
        found: Doubles = self.powers(values) @ self.weights
        away = np.maximum(self.low - values, 0) + np.maximum(values - self.high, 0)
        # what is not sure to gain is not worth a move; of values that are worth the same take the nearest
        t = (values - self.middle) / self.span
        found += (self.doubt + TIE) * 2.0 * t[:, None] * self.lean
        found[:, 0] -= OUTSIDE * away / step + (self.doubt + TIE) * t**2
        return found


class Regression:
    """Heads of all controls, improved with each round's moments: what a round has to add to what is known is fitted to
    what is left of the gains when what is known has been taken off, so that without new moments the policy stays.
    `grid`: the values that controls can have, or the moves that a policy over a rule can make.
    """

    def __init__(self, first: Moments, fields: tuple[str, ...], grid: Grid | Moves) -> None:
        self.grid, self.basis = grid, Basis(first.seen, fields)
        size, features = len(self.basis.group), self.basis(first.seen)
        self.heads = []
        for c in range(grid.size):
            base = first.base[:, c]
            low, high, middle = int(base.min()), int(base.max()), float(np.median(base))
            lean = _followed(features, np.asarray(base - middle, dtype=np.float64))
            self.heads.append(Head(middle, 1.0, low, high, np.zeros((2, size)), lean))

    def after(self, moments: Moments) -> Regression:
        """What is known when a round's moments have been taken in."""
        features = self.basis(moments.seen)
        block = np.arange(len(features)) // BLOCK
        known = copy(self)
        known.heads = list(self.heads)
        for c, head in enumerate(self.heads):
            mine = moments.control == c
            if mine.sum() >= LEAST and moments.gain[mine].any():
                known.heads[c] = self._improved(head, moments, features, (mine, block, c))
        return known

    def corrected(self, moments: Moments) -> Regression:
        """With what longer futures say in addition: the gains of `moments` are by how much theirs differ from those
        that the heads were fitted to. Taken where it predicts better than nothing.
        """
        features = self.basis(moments.seen)
        block = np.arange(len(features)) // BLOCK
        known = copy(self)
        known.heads = list(self.heads)
        for c, head in enumerate(self.heads):
            mine = moments.control == c
            if not head.sure or mine.sum() < LEAST or not moments.gain[mine].any():
                continue
            at = moments.at[mine]
            moved = head.powers(moments.value[mine]) - head.powers(moments.base[at, c])
            fit = ridge(_inputs(features[at], moved), moments.gain[mine], np.tile(self.basis.group, 2), block[at])
            if fit.explained > 0.0:
                known.heads[c] = replace(head, weights=head.weights + fit.weights.reshape(2, -1))
        return known

    def _improved(self, head: Head, moments: Moments, features: Doubles, which: tuple[Any, Indices, int]) -> Head:
        mine, block, c = which
        at, value, gain = moments.at[mine], moments.value[mine], moments.gain[mine]
        low, high = min(head.low, int(value.min())), max(head.high, int(value.max()))
        span = head.span if head.weights.any() else max((high - low) / 2.0, 1.0)
        lean = _followed(features, np.asarray((moments.base[:, c] - head.middle) / span, dtype=np.float64))
        new = replace(head, low=low, high=high, span=span, lean=lean)
        moved = new.powers(value) - new.powers(moments.base[at, c])
        x = _inputs(features[at], moved)
        fit = ridge(x, gain - x @ head.weights.ravel(), np.tile(self.basis.group, 2), block[at])
        new.explained, new.sure = fit.explained, fit.sure
        if fit.sure:
            new.weights = head.weights + fit.weights.reshape(2, -1)
            size = np.abs(moved[:, 0])
            far = size > 0.0
            new.doubt = float(np.sqrt(np.mean(fit.variance[far] / size[far] ** 2)))
        return new

    def with_head(self, other: Regression, c: int) -> Regression:
        """The same, but for control `c`, of which `other` knows."""
        mixed = copy(self)
        mixed.heads = [*self.heads[:c], other.heads[c], *self.heads[c + 1 :]]
        return mixed

    def network(self) -> Network:
        """The policy that takes, control by control, what is worth most."""
        grid = self.grid
        values = [grid.low[c] + np.arange(grid.counts[c]) * grid.step[c] for c in range(grid.size)]
        made = [h.worth(v, int(s)) for h, v, s in zip(self.heads, values, grid.step, strict=True)]
        return self.basis.network(made, tuple(int(n) for n in grid.counts))


def _inputs(features: Doubles, moved: Doubles) -> Doubles:
    """[M, 2 (F + 1)]: what a trial's gain is linear in, by its features [M, F + 1] and its change of powers [M, 2]."""
    found: Doubles = (features[:, None, :] * moved[:, :, None]).reshape(len(moved), -1)
    return found


def _followed(features: Doubles, base: Doubles) -> Doubles:
    """Weights [F + 1] by which features [N, F + 1] say what a policy sets, `base` [N]."""
    if not base.any():
        return np.zeros(features.shape[1])
    gram = features.T @ features
    gram[np.diag_indices_from(gram)] += 1e-4 * np.trace(gram) / len(gram)
    found: Doubles = np.linalg.solve(gram, features.T @ base).astype(np.float64, copy=False)
    return found


@dataclass(frozen=True, slots=True)
class Ridge:
    """Weights [K]; `explained`: share of the squares that moments predict which were left out; `sure`: is it more than
    nothing by two standard errors over blocks? `variance` [N] of what is predicted where it was fitted.
    """

    weights: Doubles
    explained: float
    sure: bool
    variance: Doubles


def ridge(x: Doubles, y: Doubles, group: Indices, block: Indices) -> Ridge:
    """Fit y [N] on x [N, K] with a penalty for each group of columns, by what predicts other blocks [N] best."""
    fold = block % FOLDS
    grams = [x[fold == f].T @ x[fold == f] for f in range(FOLDS)]
    rights = [x[fold == f].T @ y[fold == f] for f in range(FOLDS)]
    gram, right = sum(grams[1:], grams[0]), sum(rights[1:], rights[0])
    unit = float(np.trace(gram)) / len(gram)

    def penalised(a: Doubles, penalty: Penalty) -> tuple[Doubles, NDArray[np.bool_]]:
        each = np.array([np.inf if p is None else p for p in penalty])[group]
        keep = np.isfinite(each)
        out = a[np.ix_(keep, keep)]
        out[np.diag_indices_from(out)] += each[keep] * unit
        return out, keep

    def solve(a: Doubles, b: Doubles, penalty: Penalty) -> Doubles:
        matrix, keep = penalised(a, penalty)
        out = np.zeros(len(a))
        out[keep] = np.linalg.solve(matrix, b[keep])
        return out

    def without(f: int, penalty: Penalty) -> Doubles:
        return solve(gram - grams[f], right - rights[f], penalty)

    def error(penalty: Penalty) -> float:  # less the squares themselves
        each = [(without(f, penalty), f) for f in range(FOLDS)]
        return sum(float(w @ grams[f] @ w) - 2.0 * float(w @ rights[f]) for w, f in each)

    slot, line, curve = (PENALTIES if (group == g).any() else (None,) for g in (SLOT, LINE, CURVE))
    best: Penalty = min(((FREE, *p, None) for p in itertools.product(slot, line)), key=error)
    best = min(((*best[:3], p) for p in curve), key=error)  # bends are many: looked at last
    predicted = np.zeros(len(y))
    for f in range(FOLDS):
        predicted[fold == f] = x[fold == f] @ without(f, best)
    less = y**2 - (y - predicted) ** 2
    by_block = np.bincount(block, less)[np.unique(block)]
    sure = by_block.sum() > SURE * by_block.std() * np.sqrt(len(by_block))
    matrix, keep = penalised(gram, best)
    half = np.linalg.solve(matrix, x[:, keep].T)
    noise = float(((y - predicted) ** 2).mean())
    variance = noise * np.einsum("nk,kn->n", x[:, keep], half)
    return Ridge(solve(gram, right, best), float(less.sum() / max((y**2).sum(), 1e-300)), bool(sure), variance)
