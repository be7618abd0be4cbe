"""Which parameter moves which figure: main effects and elasticities with intervals.

Every estimate is a linear function of the runs' outputs, so it is computed once for each replication and its interval
is Student's over them: what common random numbers gave is in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.design import Run
from sim.estimate import Interval, interval
from sim.factors import Factor

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Effect:
    """What moving `path` from `low` to `high` does to a figure, the other factors averaged over the design (one at a
    time: as in the file).

    `t` is the effect over its standard error; `share` the standardised regression coefficient (the signed share of the
    figure's spread over the design; None one at a time); `elasticity` per cent of the figure for a per cent of the
    factor, at the middle of the design (one at a time: at the file's value); None for factors that are not numbers.
    """

    path: str
    low: str
    high: str
    effect: Interval
    t: float | None
    share: float | None
    elasticity: Interval | None


@dataclass(frozen=True, slots=True)
class Table:
    """The effects on one figure, largest first, and `r2`, the part of the spread between the runs that a plane through
    them explains: where it is low, effects interact or bend, and main effects mislead. None one at a time, and where
    there are no more runs than unknowns.
    """

    figure: str
    effects: tuple[Effect, ...]
    r2: float | None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Responses:
    """Outputs of the design's `runs`: `values` [runs, n] of `figure`, element r of all on the same random numbers."""

    figure: str
    factors: Sequence[Factor]
    runs: Sequence[Run]
    values: Values
    level: float = 0.95

    def complete(self) -> Responses:
        """Without the replications in which the figure has no meaning in some run."""
        whole = ~np.isnan(self.values).any(axis=0)
        return Responses(self.figure, self.factors, self.runs, self.values[:, whole], self.level)


def one_at_a_time(responses: Responses, current: Sequence[str | None]) -> Table:
    """Differences along each factor alone; `current` [factors] are the file's own values."""
    data = responses.complete()
    if data.values.shape[1] < 2:
        return Table(data.figure, (), None, "fewer than two replications in which the figure has a meaning")
    base = next(n for n, run in enumerate(data.runs) if all(v is None for v in run))
    effects = []
    for i, factor in enumerate(data.factors):
        place = {run[i]: n for n, run in enumerate(data.runs) if run[i] is not None}
        ordered = _rising(factor)
        own = current[i] or "as it is"
        ends = [(ordered[0], ordered[-1])] if factor.numeric and len(ordered) > 1 else [(own, v) for v in ordered]
        at = _number(factor, current[i])
        for low, high in ends:
            moved = data.values[place[high]] - data.values[place.get(low, base)]
            effects.append(_effect(data, factor, (low, high), moved, (at, data.values[base])))
    return Table(data.figure, _largest_first(effects), None)


def main_effects(responses: Responses) -> Table:
    """Least squares over the runs: a plane in the factors, numbers scaled to -1 .. 1, words by level against the
    first.
    """
    data = responses.complete()
    columns = [
        c for factor, i in zip(data.factors, range(len(data.factors)), strict=True) for c in _columns(data, factor, i)
    ]
    design = np.column_stack([np.ones(len(data.runs)), *[c[3] for c in columns]])
    if np.linalg.matrix_rank(design) < design.shape[1]:
        return Table(
            data.figure, (), None, "the runs do not tell the factors apart: take another design or more points"
        )
    if data.values.shape[1] < 2:
        return Table(data.figure, (), None, "fewer than two replications in which the figure has a meaning")
    solved = np.linalg.pinv(design) @ data.values  # [1 + columns, n]
    means = data.values.mean(axis=1)
    fitted = design @ solved.mean(axis=1)
    spread = float(((means - means.mean()) ** 2).sum())
    spare = len(data.runs) > design.shape[1]  # with as many unknowns as runs the plane fits whatever they say
    r2 = 1 - float(((means - fitted) ** 2).sum()) / spread if spread > 0 and spare else None
    effects = []
    for (factor, low, high, column), slope in zip(columns, solved[1:], strict=True):
        scaled = slope * (2.0 if factor.numeric else 1.0)
        one = _effect(data, factor, (low, high), scaled, (_middle(factor), data.values.mean(axis=0)))
        sd = float(means.std())
        share = float(slope.mean()) * float(column.std()) / sd if sd > 0 else None
        effects.append(Effect(one.path, low, high, one.effect, one.t, share, one.elasticity))
    return Table(data.figure, _largest_first(effects), r2)


def _columns(data: Responses, factor: Factor, i: int) -> list[tuple[Factor, str, str, Values]]:
    """(factor, from, to, values [runs]) of the columns that stand for a factor."""
    texts = [run[i] or "" for run in data.runs]
    if factor.numeric:
        ordered = _rising(factor)
        low, high = (factor.number(ordered[0]) or 0.0), (factor.number(ordered[-1]) or 0.0)
        if high == low:
            return []
        numbers = np.array([factor.number(text) or 0.0 for text in texts])
        return [(factor, ordered[0], ordered[-1], (2 * numbers - low - high) / (high - low))]
    first = factor.levels[0]
    return [(factor, first, level, np.array([float(t == level) for t in texts])) for level in factor.levels[1:]]


def _effect(
    data: Responses, factor: Factor, ends: tuple[str, str], moved: Values, reference: tuple[float | None, Values]
) -> Effect:
    """The effect `moved` [n] of going from one end to the other, and its elasticity at `reference` (factor, figure)."""
    found = interval(moved, data.level)
    t = found.mean / (found.sd / found.n**0.5) if found.mean is not None and found.sd else None
    return Effect(factor.path, *ends, found, t, None, _elasticity(data, factor, ends, moved, reference))


def _elasticity(
    data: Responses, factor: Factor, ends: tuple[str, str], moved: Values, reference: tuple[float | None, Values]
) -> Interval | None:
    """(dy / y) / (dx / x): a ratio of means, its interval by the delta method."""
    low, high = factor.number(ends[0]), factor.number(ends[1])
    at, figure = reference
    mean = float(figure.mean())
    if low is None or high is None or at is None or high == low or mean == 0:
        return None
    scale = at / (high - low) / abs(mean)  # of a loss or a profit: per cent of its size, with the sign of the effect
    value = scale * float(moved.mean())
    found = interval(scale * moved - value * figure / mean + value, data.level)
    return Interval(value, found.lo, found.hi, found.sd, found.n)


def _rising(factor: Factor) -> list[str]:
    """Levels in rising order where they are numbers, else as written."""
    return sorted(factor.levels, key=lambda level: factor.number(level) or 0.0) if factor.numeric else [*factor.levels]


def _middle(factor: Factor) -> float | None:
    if not factor.numeric:
        return None
    ordered = _rising(factor)
    return ((factor.number(ordered[0]) or 0.0) + (factor.number(ordered[-1]) or 0.0)) / 2


def _number(factor: Factor, text: str | None) -> float | None:
    return None if text is None else factor.number(text)


def _largest_first(effects: list[Effect]) -> tuple[Effect, ...]:
    return tuple(sorted(effects, key=lambda e: -abs(e.effect.mean or 0.0)))
