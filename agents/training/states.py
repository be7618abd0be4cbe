"""What was met: distinct observed states, and what followed from each under each action, summed up.

A small plant shows the same few thousand observations again and again, so counts say everything that millions of
simulated steps said, and can be asked again for every new policy.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agents.envs.schema import Floats

Indices = NDArray[np.int64]
Doubles = NDArray[np.float64]
_SHIFT = 32


class States:
    """Distinct observations, numbered as they come; `use` [D] says which columns tell them apart."""

    def __init__(self, use: NDArray[np.bool_]) -> None:
        self.use = use
        self._by = np.random.Generator(np.random.PCG64(1)).integers(1, 1 << 62, int(use.sum()), dtype=np.uint64) | 1
        self._hash = np.zeros(0, dtype=np.uint64)
        self._id = np.zeros(0, dtype=np.int64)
        self.seen: Floats = np.zeros((0, len(use)), dtype=np.float32)

    def __len__(self) -> int:
        return len(self.seen)

    def find(self, seen: Floats) -> Indices:
        """Numbers [N] of observations [N, D]; new ones are taken in."""
        used = np.ascontiguousarray(seen[:, self.use]) + np.float32(0.0)  # of -0 and 0 one
        code = (used.view(np.uint32).astype(np.uint64) * self._by).sum(axis=1, dtype=np.uint64)
        code ^= code >> np.uint64(29)
        distinct, first, back = np.unique(code, return_index=True, return_inverse=True)
        at = np.searchsorted(self._hash, distinct)
        known = np.zeros(len(distinct), dtype=np.bool_)
        inside = at < len(self._hash)
        known[inside] = self._hash[at[inside]] == distinct[inside]
        ids = np.empty(len(distinct), dtype=np.int64)
        ids[known] = self._id[at[known]]
        fresh = np.flatnonzero(~known)
        if len(fresh):
            ids[fresh] = len(self.seen) + np.arange(len(fresh))
            self._hash = np.insert(self._hash, at[fresh], distinct[fresh])
            self._id = np.insert(self._id, at[fresh], ids[fresh])
            self.seen = np.concatenate([self.seen, seen[first[fresh]]])
        return ids[back]


class Sums:
    """For each (state, action, next state) met, `width` sums; a pair is state x actions + action."""

    def __init__(self, width: int) -> None:
        self._key, self._sums = np.zeros(0, dtype=np.int64), np.zeros((0, width))
        self._late: list[tuple[Indices, Doubles]] = []

    def add(self, pair: Indices, after: Indices, each: Doubles) -> None:
        """T steps: pairs [T], next states [T], what is summed [T, width]."""
        self._late.append(_summed((pair << _SHIFT) | after, each))
        if sum(len(key) for key, _ in self._late) > len(self._key) // 4:
            self._merge()

    def _merge(self) -> None:
        keys, sums = zip((self._key, self._sums), *self._late, strict=True)
        self._key, self._sums = _summed(np.concatenate(keys), np.concatenate(sums))
        self._late = []

    def found(self) -> tuple[Indices, Indices, Doubles]:
        """Pairs [T] and next states [T] in order, and their sums [T, width]."""
        self._merge()
        return self._key >> _SHIFT, self._key & ((1 << _SHIFT) - 1), self._sums


class Played:
    """What was played: for each (state, action, next state) how often, how long it took together, what it cost."""

    def __init__(self, actions: int) -> None:
        self.actions, self._sums = actions, Sums(3)

    def add(self, here: Indices, action: Indices, there: Indices, elapsed: Doubles, cost: Doubles) -> None:
        """T steps from states [T] under joint actions [T] to states [T]."""
        each = np.stack([np.ones(len(here)), elapsed, cost], axis=1)
        self._sums.add(here * self.actions + action, there, each)

    def follows(self) -> tuple[Indices, Indices, Doubles, Doubles, Doubles]:
        """(pair, next state, how often, sum of elapsed times, sum of costs), each [T]."""
        pair, after, sums = self._sums.found()
        often, took, cost = sums.T
        return pair, after, often, took, cost


class Counts:
    """Sums over all moments at which all of `actions` joint actions were tried: by state `times` [S], by state and
    action `cost` [S, J]; and for each (state, action, next state) met how often, and how long it took together.
    """

    def __init__(self, states: States, actions: int) -> None:
        self.states, self.actions = states, actions
        self.times = np.zeros(0)
        self.cost = np.zeros((0, actions))
        self._sums = Sums(2)

    def add(self, seen: Floats, cost: Doubles, elapsed: Doubles, after: Floats) -> None:
        """K moments: observations [K, D], cost and elapsed time [K, J] of the steps, observations [K, J, D] after
        them.
        """
        k, j = cost.shape
        ids = self.states.find(np.concatenate([seen, after.reshape(k * j, -1)]))
        here, there = ids[:k], ids[k:]
        total = self.reach()
        self.times += np.bincount(here, minlength=total)
        pair = (here[:, None] * j + np.arange(j)).ravel()
        self.cost += np.bincount(pair, cost.ravel(), minlength=total * j).reshape(total, j)
        self._sums.add(pair, there, np.stack([np.ones(k * j), elapsed.ravel()], axis=1))

    def reach(self) -> int:
        """Let the sums reach all states that are known by now; how many that are."""
        grow = len(self.states) - len(self.times)
        if grow:
            self.times = np.concatenate([self.times, np.zeros(grow)])
            self.cost = np.concatenate([self.cost, np.zeros((grow, self.actions))])
        return len(self.states)

    def follows(self) -> tuple[Indices, Indices, Doubles, Doubles]:
        """(state x actions + action, next state, how often, sum of elapsed times), each [T], in order."""
        pair, after, sums = self._sums.found()
        often, took = sums.T
        return pair, after, often, took


def _summed(key: Indices, sums: Doubles) -> tuple[Indices, Doubles]:
    """Distinct keys in order, and the sums [T, 2] of each."""
    distinct, back = np.unique(key, return_inverse=True)
    return distinct, np.stack([np.bincount(back, s, minlength=len(distinct)) for s in sums.T], axis=1)
