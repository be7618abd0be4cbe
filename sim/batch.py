"""What a batch of replicas does between two decisions, each replica at a time of its own: steer, run, look, price.

A turn ends at a given tick, or at the *next decision* of each replica: the first tick, later than its present one, at
which an event of the wanted kinds happens. A tick is never split: all of its events, and all that follows from them at
once, come before the decision. So a batch that takes a turn after the other stands, whatever the turns, in the rows of
one run to the same tick; only where a turn's last tick is T does `sim.kernel.run` have to be asked for T + 1 to have
run the events of tick T too.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim import kernel
from sim.compile import Compiled
from sim.kernel import Observation
from sim.state import KINDS, Array

OWN = "own"
"""The word, beside `sim.state.KINDS`, for the timers of rules of the plant's own."""
_NOTHING = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True)
class Prices:
    """Sums of money of every row: out[i, k] = sum of rows[i, positions[j]] * weights[j] over the j of list k.

    positions int64[M], weights float64[M], ends int64[K]: list k ends before j = ends[k] and begins where the one
    before it ends; out float64[R, K].
    """

    positions: Array
    weights: NDArray[np.float64]
    ends: Array
    out: NDArray[np.float64]


@dataclass(frozen=True)
class Turn:
    """First `values` [R, C] become the setpoints (None: as they are); then every replica runs, at most to its tick
    `until`, int or [R]; then it is looked at and priced.

    `kinds` (see `kinds_of`) 0: to `until`, whose own events do not happen. Else to its next decision, at most to
    `until`, and the events of the tick at which it stops have happened.
    """

    until: int | Array
    kinds: int = 0
    values: Array | None = None
    observe: Observation | None = None
    price: Prices | None = None
    threads: int = 1


def kinds_of(names: tuple[str, ...] | None = None) -> int:
    """Kinds of events (`sim.state.KINDS` and "own") as a set of bits; None: all. ValueError names an unknown one."""
    every = (*KINDS, OWN)
    chosen = every if names is None else names
    unknown = [name for name in chosen if name not in every]
    if unknown or not chosen:
        raise ValueError(f"kinds of events {list(chosen)}: expected some of {', '.join(every)}")
    return sum(1 << every.index(name) for name in set(chosen))


def play(rows: Array, compiled: Compiled, turn: Turn) -> None:
    """One turn of all replicas, rows [R, W], in place.

    Raises `KernelError` where a replica stops, `ValueError` for one past its tick and for outputs of a wrong shape.
    """
    kernel.only_known_rules(compiled)
    ends = np.require(np.atleast_1d(turn.until), np.int64, ["C", "W"])
    kernel.forward(rows, ends)
    seen, money = kernel.NOT_SEEN[1], kernel.NOT_SEEN[3]
    positions, factors, sums = [_NOTHING], [kernel.NOT_SEEN[0]], _NOTHING
    values = np.zeros((1, 0), dtype=np.int64)
    if turn.values is not None:
        wanted = np.broadcast_to(np.asarray(turn.values, dtype=np.int64), (len(rows), len(compiled.controls)))
        values = np.require(wanted, requirements=["C", "W"])
        positions.append(compiled.controls)
    if turn.observe is not None:
        seen = _placed(turn.observe.out, (len(rows), len(turn.observe.positions)), "observations")
        positions.append(turn.observe.positions)
        factors.append(turn.observe.scales)
    if turn.price is not None:
        sums = turn.price.ends
        money = _placed(turn.price.out, (len(rows), len(sums)), "prices")
        positions.append(turn.price.positions)
        factors.append(turn.price.weights)
    at, by = np.concatenate(positions), np.concatenate(factors)
    task = kernel.STEP if turn.kinds else kernel.RUN
    nothing = np.zeros((0, 3), dtype=np.int64)

    def advance(part: slice) -> None:
        own = ends[part] if len(ends) > 1 else ends
        steered = values[part] if len(values) == len(rows) else values
        kernel.drive(
            rows[part], compiled.params, task, own, at, steered, nothing, by, seen[part], sums, money[part], turn.kinds
        )

    kernel.in_parts(advance, len(rows), turn.threads)
    kernel.check(rows, compiled)


def look(rows: Array, turn: Turn) -> None:
    """Look at rows [R, W] and price them as the end of a turn does."""
    if turn.observe is not None:
        _placed(turn.observe.out, (len(rows), len(turn.observe.positions)), "observations")
        kernel.gather_rows(rows, turn.observe.positions, turn.observe.scales, turn.observe.out)
    if turn.price is not None:
        _placed(turn.price.out, (len(rows), len(turn.price.ends)), "prices")
        for k, (first, end) in enumerate(pairwise([0, *turn.price.ends.tolist()])):
            sums = np.empty(len(rows))
            kernel.linear_rows(rows, turn.price.positions[first:end], turn.price.weights[first:end], sums)
            turn.price.out[:, k] = sums


def _placed(out: Any, shape: tuple[int, int], what: str) -> Any:
    if out.shape != shape:
        raise ValueError(f"{what}: expected shape {shape}, found {out.shape}")
    return out
