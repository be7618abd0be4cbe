"""What would happen next: one decision ahead from the present states of an environment, under actions that are only
thought of.

Every replica carries its luck in its row (`sim.state`: counters of draws), so copies of a row that are steered
differently meet the same luck: differences between actions hold the noise of what the actions change, and no other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agents.envs.env import PlantVectorEnv
from agents.envs.schema import Floats

Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Branches:
    """Outcomes of K imagined steps: observations [K, D] after them, operating `cost` [K] (money), `elapsed` ticks [K],
    `discount` and `accrual` [K] (`agents.envs.epochs.Pace.discount`), and the setpoints [K, C] that were admitted.
    """

    observation: Floats
    cost: NDArray[np.float64]
    elapsed: Indices
    discount: NDArray[np.float64]
    accrual: NDArray[np.float64]
    setpoints: Indices


def branch(env: PlantVectorEnv, who: NDArray[np.intp], actions: Indices) -> Branches:
    """One step of copies of the environments `who` [K] (any may come repeatedly) under grid indices [K, C].

    The environments stay as they are. Limits and each control's `every` hold as in `step`; no episode ends, since its
    end says nothing about the plant.
    """
    from sim.batch import Turn
    from sim.engine import play
    from sim.kernel import Observation

    rows = env.rows[who]
    admitted, *_ = env.admit(rows, actions, env.moves.of(who))
    before = rows[:, env.compiled.layout.at("now")].copy()
    seen = np.empty((len(rows), env.observer.size), dtype=np.float32)
    money = np.empty((len(rows), 2))
    look = Observation(env.observer.positions, env.observer.factors, seen)
    turn = Turn(before + env.epoch, env.pace.kinds, admitted, look, env.prices(money), env.settings.threads)
    play(rows, env.compiled, turn)
    env.observer.finish(rows, seen)
    elapsed = rows[:, env.compiled.layout.at("now")] - before
    discount, accrual = env.pace.discount(elapsed)
    return Branches(seen, money[:, 0] - env.money[who, 0], elapsed, discount, accrual, admitted)
