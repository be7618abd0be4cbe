"""Average-cost Markov decision processes: the least cost a time unit of all policies, between two proved bounds.

Method: policy iteration (Howard; Puterman 1994, Markov Decision Processes, 8.6) where the chain is narrow enough for
elimination, else modified policy iteration (8.7), that is value iteration whose sweeps mostly follow the policy of the
last improvement. Bounds: for any values h with Bellman residual d = Th - h, the
least long-run cost a step lies between min d and max d, and the policy that attains Th costs at most max d (Odoni 1969;
Puterman, theorem 8.5.5). So the interval holds wherever the iteration is stopped.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.errors import AgentError

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
Say = Callable[[str], None]

SWEEPS = 60
"""Sweeps that follow one policy between two improvements."""
DAMPING = 0.95
"""Share of a step that is taken: without it a chain that is periodic (a constant demand) would swing for ever."""
SOLVED_DIRECTLY = 3000
"""Largest chain that is solved by elimination instead of iteration, where it may be dense."""
NARROW = 200_000
"""The same where its states lie in a narrow band, as those of clocks do: elimination is linear in them."""
BEFORE = 5
"""Rounds of sweeps before the first elimination: the first policies may never come back from somewhere."""
Move = tuple[float, int, float]
"""Rate or probability, next state, cost of the jump."""


@dataclass(frozen=True, slots=True)
class Problem:
    """State-action pairs, sorted by state. `first` [S]: a state's first pair; `moves` [K, S]: probabilities (sparse,
    by rows); `cost` [K]: expected cost of a step; `step`: time units a step takes. `narrow`: do the states lie in a
    narrow band?
    """

    first: Indices
    moves: Any
    cost: Floats
    step: float
    narrow: bool = False

    @property
    def direct(self) -> bool:
        """Is elimination quicker than iteration?"""
        return self.states <= (NARROW if self.narrow else SOLVED_DIRECTLY)

    @property
    def states(self) -> int:
        """Number of states."""
        return len(self.first)

    @property
    def owner(self) -> Indices:
        """State [K] of each pair."""
        return np.repeat(np.arange(self.states), np.diff(np.append(self.first, len(self.cost))))

    def improve(self, values: Floats) -> tuple[Floats, Indices]:
        """One step of value iteration: (best values [S], the first pair [S] that attains them)."""
        worth = self.cost + self.moves @ values
        best = np.minimum.reduceat(worth, self.first)
        attains = np.flatnonzero(worth <= best[self.owner] + 1e-12 * (1.0 + np.abs(best).max()))
        states, at = np.unique(self.owner[attains], return_index=True)
        assert len(states) == self.states
        return best, attains[at]


@dataclass(frozen=True, slots=True)
class Solution:
    """`low` and `high` bound the least cost a time unit; `chosen` [S] are the pairs of a policy that costs at most
    `high`; `values` [S] are its relative values.
    """

    low: float
    high: float
    chosen: Indices
    values: Floats
    sweeps: int
    wall_s: float

    @property
    def cost(self) -> float:
        """The middle of the bounds."""
        return (self.low + self.high) / 2.0


def solve(problem: Problem, precision: float = 1e-9, limit_s: float = 600.0, say: Say | None = None) -> Solution:
    """Least cost a time unit: until the bounds are within `precision` of the cost (or of 1), or `limit_s` seconds have
    passed (then the bounds are simply wider). `say` gets a line every few seconds.
    """
    began, told, sweeps, stuck, rounds = time.monotonic(), time.monotonic(), 0, 0, 0
    values, width = np.zeros(problem.states), np.inf
    while True:
        best, chosen = problem.improve(values)
        residual = best - values
        low, high = float(residual.min()) / problem.step, float(residual.max()) / problem.step
        # rounding bounds what can be reached: give up when the width has stopped shrinking
        stuck = 0 if high - low < 0.999 * width else stuck + 1
        width, rounds = min(width, high - low), rounds + 1
        now = time.monotonic()
        if high - low <= precision * max(1.0, abs(low)) or now - began > limit_s or stuck > 50:
            return Solution(low, high, chosen, values, sweeps, now - began)
        if say is not None and now - told > 3.0:
            say(f"{sweeps} sweeps: between {low:.6g} and {high:.6g}")
            told = now
        moves, cost = problem.moves[chosen], problem.cost[chosen]
        solved = _eliminate(moves, cost) if problem.direct and rounds > BEFORE and stuck == 0 else None
        if solved is None:
            values = values + DAMPING * residual
            for _ in range(SWEEPS):
                values = values + DAMPING * (cost + moves @ values - values)
            solved = values - values[0]
            sweeps += SWEEPS + 1
        values = solved


def _eliminate(moves: Any, cost: Floats) -> Floats | None:
    """Relative values [S] of a policy's chain; None where it has several sets of states that it never leaves."""
    from scipy.sparse import csc_matrix, eye, hstack
    from scipy.sparse.linalg import splu

    # h + g = cost + moves h with h = 0 in the first state, whose column therefore stands for g
    size = len(cost)
    system = (eye(size, format="csc") - moves.tocsc())[:, 1:]
    ones = csc_matrix(np.ones((size, 1)))
    try:
        solution = splu(hstack([ones, system], format="csc")).solve(cost)
    except RuntimeError:  # exactly singular
        return None
    values = np.append(0.0, solution[1:])
    return values if np.isfinite(values).all() else None


def gain(problem: Problem, chosen: Indices, start: int, limit_s: float = 600.0) -> tuple[float, float]:
    """Bounds of the long-run cost a time unit of the policy that takes the pairs `chosen` [S], begun in state `start`.

    Raises AgentError where the policy may end in one of several sets of states that it never leaves: then chance
    decides what it costs.
    """
    moves, cost = problem.moves[chosen], problem.cost[chosen]
    inside = _recurrent(moves, start)
    moves, cost = moves[inside][:, inside], cost[inside]
    alone = Problem(np.arange(len(inside)), moves, cost, problem.step, problem.narrow)
    values = _eliminate(moves, cost) if alone.direct else None
    if values is None:
        found = solve(alone, 1e-9, limit_s)
        return found.low, found.high
    residual = (cost + moves @ values - values) / problem.step
    return float(residual.min()), float(residual.max())


def _recurrent(moves: Any, start: int) -> Indices:
    """The states that a chain begun in `start` stays in for ever."""
    from scipy.sparse.csgraph import breadth_first_order, connected_components

    reached = np.sort(breadth_first_order(moves, start, return_predecessors=False))
    part = moves[reached][:, reached]
    count, label = connected_components(part, connection="strong")
    leaving = part.tocoo()
    crossing = (label[leaving.row] != label[leaving.col]) & (leaving.data > 0.0)
    closed = np.setdiff1d(np.arange(count), label[leaving.row[crossing]])
    if len(closed) > 1:
        raise AgentError(
            f"the policy ends in one of {len(closed)} sets of states that it never leaves, and chance decides "
            f"in which: it has no single long-run cost; expected a policy that always comes back"
        )
    return np.asarray(reached[label == closed[0]], dtype=np.int64)


class Clocks:
    """Builds a `Problem` in continuous time: states with exponential clocks, made uniform (Puterman 1994, 11.5).

    States are added in the order of their numbers, each with its pairs. A pair either lets time pass (`wait`) or takes
    none and goes on as another state's only pair does (`jump`).
    """

    def __init__(self) -> None:
        self.labels: list[tuple[int, str]] = []
        """(state, action) of every pair."""
        self._flows: list[tuple[float, list[Move]] | tuple[float, int]] = []
        self._only: dict[int, int] = {}

    def wait(self, state: int, action: str, cost: float, moves: list[Move]) -> None:
        """While in `state` with `action`: `cost` a time unit; each of `moves` happens at its rate."""
        self._only[state] = len(self.labels)
        self.labels.append((state, action))
        self._flows.append((cost, moves))

    def jump(self, state: int, action: str, cost: float, to: int) -> None:
        """`action` costs `cost` at once and goes on in state `to`, which must have one pair that waits."""
        self.labels.append((state, action))
        self._flows.append((cost, to))

    def problem(self) -> Problem:
        """The chain in steps of 1 / (largest total rate)."""
        from scipy.sparse import csr_matrix

        waits = [(f, cost) for cost, f in self._flows if isinstance(f, list)]
        top = 1.001 * max(sum(rate for rate, _, _ in f) for f, _ in waits)
        row: list[int] = []
        column: list[int] = []
        chance: list[float] = []
        costs = np.zeros(len(self.labels))
        for k, (cost, flow) in enumerate(self._flows):
            origin, at, extra = self.labels[k][0], k, 0.0
            if not isinstance(flow, list):
                origin, at, extra = flow, self._only[flow], cost
            rate_cost, moves = self._flows[at]
            assert isinstance(moves, list)
            costs[k] = extra + (rate_cost + sum(rate * jump for rate, _, jump in moves)) / top
            for rate, to, _ in [*moves, (top - sum(rate for rate, _, _ in moves), origin, 0.0)]:
                row.append(k)
                column.append(to)
                chance.append(rate / top)
        states = [state for state, _ in self.labels]
        first = np.searchsorted(states, np.arange(states[-1] + 1))
        size = (len(states), states[-1] + 1)
        return Problem(first, csr_matrix((chance, (row, column)), shape=size), costs, 1.0 / top, narrow=True)
