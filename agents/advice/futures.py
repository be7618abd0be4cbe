"""Many futures of one present: candidate setpoints on the same states, the same parameters and the same luck."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from agents.advice.horizon import Reach
from agents.seeds import Spread, reseed, spread_parameters
from sim.value import operating_cost

if TYPE_CHECKING:
    from sim.compile import Compiled

Rows = NDArray[np.int64]
Values = NDArray[np.int64]
Costs = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Block:
    """A set of presents with their own luck: rows [R, W] of the twin's state, reseeded, parameters spread. Replica r
    of every candidate starts from the same row and meets the same draws. `leases`: controls that go back by
    themselves, as (control, value it goes back to, tick).
    """

    rows: Rows
    seed: int
    leases: tuple[tuple[int, int, int], ...] = ()


def block(rows: Rows, compiled: Compiled, seed: int, spread: Spread | None) -> Block:
    """A block from snapshot rows [R, W] (copied): addresses (seed, 0...R-1), parameters drawn about the twin's with
    `seed`.
    """
    mine = np.ascontiguousarray(rows, dtype=np.int64).copy()
    reseed(mine, compiled.layout, seed)
    if spread is not None:
        spread_parameters(mine, compiled, spread, seed)
    return Block(mine, seed)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What each candidate led to: operating costs [K, R], and the change of the row over the horizon [K, R, W]."""

    costs: Costs
    change: Rows


def play(
    presents: Block, compiled: Compiled, values: Values, over: Reach, threads: int = 1, first: int | None = None
) -> Outcome:
    """Hold setpoints [K, C] or [K, R, C] for the lease, return to those in force now, go on to the horizon, on the
    `first` replicas of the block (None: all).

    A control under a lease goes back when that ends. Where it is moved, the new lease takes the place of the one
    before and leads back to the same value, as at the gateway.
    """
    from sim.engine import run, set_controls
    from sim.kernel import get_controls

    rows = presents.rows if first is None else presents.rows[:first]
    k, r = len(values), len(rows)
    batch = np.tile(rows, (k, 1))
    before = batch.copy()
    now = int(rows[0, compiled.layout.at("now")])
    each = np.broadcast_to(values[:, None, :] if values.ndim == 2 else values, (k, r, values.shape[-1])).reshape(
        k * r, -1
    )
    set_controls(batch, compiled, np.ascontiguousarray(each))
    held = np.array(get_controls(before, compiled))
    back, moved = held.copy(), each != held
    ends = np.full(each.shape[1], now + over.horizon, dtype=np.int64)
    for control, value, tick in presents.leases:
        back[:, control], ends[control] = value, tick
    for tick in sorted({now + over.lease, *(int(t) for t in ends if now < t < now + over.horizon)}):
        run(batch, compiled, tick, threads)
        over_now = np.where(moved, now + over.lease, ends) <= tick
        set_controls(batch, compiled, np.where(over_now, back, each))
    run(batch, compiled, now + over.horizon, threads)
    change = batch - before
    costs = operating_cost(before, batch, compiled)
    return Outcome(costs.reshape(k, r), change.reshape(k, r, -1))


def halve(
    presents: Block, compiled: Compiled, values: Values, over: Reach, threads: int = 1, start: int = 16
) -> tuple[list[int], Costs]:
    """Sequential halving of candidates [K, C]; candidate 0 is doing nothing and is always kept.

    Each round doubles the replicas and keeps the better half by mean paired gain. Returns the candidates in order of
    merit (last survivors first) and each one's latest mean gain [K] over doing nothing.
    """
    alive = list(range(1, len(values)))
    dropped: list[int] = []
    gains = np.zeros(len(values), dtype=np.float64)
    replicas = min(start, len(presents.rows))
    while alive:
        costs = play(presents, compiled, values[[0, *alive]], over, threads, replicas).costs
        gain = (costs[0] - costs[1:]).mean(axis=1)
        for candidate, value in zip(alive, gain, strict=True):
            gains[candidate] = value
        order = [alive[i] for i in np.argsort(-gain, kind="stable")]
        keep = (len(order) + 1) // 2
        if len(order) <= 3 or replicas == len(presents.rows):
            return order + dropped, gains
        dropped = order[keep:] + dropped
        alive = order[:keep]
        replicas = min(2 * replicas, len(presents.rows))
    return dropped, gains
