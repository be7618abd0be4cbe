"""Continuous-time Markov chains written as moves between states of any kind, solved in the long run."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csc_array, vstack
from scipy.sparse.linalg import splu

S = TypeVar("S", bound=Hashable)
MOST = 40_000


@dataclass(frozen=True)
class LongRun(Generic[S]):
    """The states that can be reached, and the share of time in each."""

    states: list[S]
    chance: NDArray[np.float64]

    def mean(self, value: Callable[[S], float]) -> float:
        """Time average of a figure of the state."""
        return float(self.chance @ np.array([value(state) for state in self.states]))

    def share(self, holds: Callable[[S], bool]) -> float:
        """Share of time in which something is the case."""
        return self.mean(lambda state: float(holds(state)))


def long_run(first: S, moves: Callable[[S], Iterable[tuple[float, S]]]) -> LongRun[S]:
    """Solve pi Q = 0 over all states reached from `first`, which must be recurrent; `moves` gives (rate, next)."""
    number = {first: 0}
    states, rows, columns, rates = [first], [], [], []
    for here, state in enumerate(states):  # grows while it is walked
        for rate, after in moves(state):
            there = number.setdefault(after, len(states))
            if there == len(states):
                states.append(after)
            rows.append(here)
            columns.append(there)
            rates.append(rate)
        if len(states) > MOST:
            raise ValueError(f"more than {MOST} states: cut queues off earlier")
    size = len(states)
    whole = csc_array(coo_array((rates, (rows, columns)), shape=(size, size)))
    leaving = np.asarray(whole.sum(axis=1)).ravel()
    balance = csc_array(whole.T - coo_array((leaving, (range(size), range(size))), shape=(size, size)))
    # one balance equation follows from the others: the sum of all chances takes its place
    system = vstack([np.ones((1, size)), balance[1:]], format="csc")
    chance = splu(system).solve(np.eye(1, size).ravel())
    wrong = float(np.abs(balance @ chance).max())
    if wrong > 1e-12 * float(leaving.max()) or float(chance.min()) < -1e-12:
        raise ArithmeticError(f"the balance equations are met to {wrong:.1e} only")
    return LongRun(states, chance)
