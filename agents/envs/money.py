"""The parts of the operating cost by name, step by step: what a reward of one's own is made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from agents.errors import SchemaError
from sim.value import operating_terms, weights

if TYPE_CHECKING:
    from agents.envs.settings import Reward
    from sim.compile import Compiled

Rows = NDArray[np.int64]
Money = NDArray[np.float64]


def term_names(compiled: Compiled) -> tuple[str, ...]:
    """`KIND.THING` of every part of the operating cost, such as `holding.finished`, in the order of `sim.value`."""
    return tuple(dict.fromkeys(f"{t.kind}.{t.thing}" for t in operating_terms(compiled.plant)))


class Terms:
    """The operating cost of the steps of N replicas by `names`; what has one name (parts on hand and under way of one
    stock) is one part. The parts of a step add up to its operating cost.
    """

    def __init__(self, compiled: Compiled, replicas: int) -> None:
        terms = operating_terms(compiled.plant)
        self.names = term_names(compiled)
        self._positions, self._weights = weights(compiled, terms)
        self._part = np.array([self.names.index(f"{t.kind}.{t.thing}") for t in terms], dtype=np.int64)
        self._base = np.zeros((replicas, len(terms)), dtype=np.int64)

    def begin(self, who: NDArray[np.intp], rows: Rows) -> None:
        """New episodes of the replicas `who` [K], which stand as rows [K, W]."""
        self._base[who] = rows[:, self._positions]

    def step(self, rows: Rows) -> dict[str, Money]:
        """Money [N] by name since the last call (or the beginning), of rows [N, W]."""
        now = rows[:, self._positions]
        money = (now - self._base) * self._weights
        self._base = now
        out = np.zeros((len(self.names), len(rows)))
        np.add.at(out, self._part, money.T)
        return dict(zip(self.names, out, strict=True))


def rewards(function: Reward, info: dict[str, Any], replicas: int) -> Money:
    """What a reward of the user's own gives for a step; `SchemaError` unless it is one finite number a replica."""
    found = np.asarray(function(info), dtype=np.float64)
    if found.shape != (replicas,) or not np.isfinite(found).all():
        raise SchemaError(
            f"reward: expected {replicas} finite numbers, one for each environment, found shape {found.shape}"
            + ("" if np.isfinite(found).all() else " with numbers that are not finite")
        )
    return found
