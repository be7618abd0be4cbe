"""Echelon base stock for serial chains, and how any policy is played on the paths that others are judged on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from agents.envs.schema import Floats, Rows
from agents.envs.supply import Chain, SupplyVectorEnv
from agents.rules import positions
from agents.seeds import TRAIN, block_seed

Orders = NDArray[np.int64]
Policy = Callable[[SupplyVectorEnv, Floats], Orders]
"""(environment, observations [N, D]) -> units that each stage orders [N, S]."""


def played(env: SupplyVectorEnv, policy: Policy, seed: int) -> NDArray[np.float64]:
    """Rewards [T, N] of an episode of every environment, begun by `reset(seed=seed)`."""
    observation, _ = env.reset(seed=seed)
    rewards = np.empty((env.trade.periods, env.num_envs))
    for t in range(env.trade.periods):
        observation, rewards[t], _, _, _ = env.step(policy(env, observation))
    return rewards


def demand_paths(chain: Chain, seed: int, paths: int) -> NDArray[np.int64]:
    """What customers ask for in each period [paths, T] of the episodes that `reset(seed=seed)` begins. What they ask
    depends on the address of the episode alone, not on what anybody orders.
    """
    from sim.kernel import new_rows, run

    rows = new_rows(chain.compiled, block_seed(TRAIN, seed), paths)
    asked = chain.compiled.layout.at("asked", 0)
    seen = []
    for t in range(chain.trade.periods + 1):
        run(rows, chain.compiled, (t + 1) * chain.period)
        seen.append(rows[:, asked].copy())
    path = np.array(seen)
    return (path[1:] - path[:-1]).T


def echelon_positions(chain: Chain, rows: Rows) -> NDArray[np.int64]:
    """Echelon inventory positions [N, S]: on order, and on hand and on the way from here down to the customers, less
    what these wait for.
    """
    return positions.echelon(rows, chain.compiled)[:, chain.stages]


def base_stock(levels: NDArray[np.int64]) -> Policy:
    """Every stage orders its echelon position up to its level, `levels` [S], or [N, S] for each environment."""

    def policy(env: SupplyVectorEnv, _: Floats) -> Orders:
        return np.clip(levels - echelon_positions(env.chain, env.rows), 0, env.chain.most)

    return policy


def tuned_base_stock(chain: Chain, seed: int, paths: int = 256, rounds: int = 8) -> NDArray[np.int64]:
    """The best static echelon levels [S] found: random search, then coordinate search with halving steps, all on the
    same `paths` paths of `reset(seed=seed)`.
    """
    env = SupplyVectorEnv(paths, chain.compiled, chain.trade)
    rng = np.random.Generator(np.random.PCG64(seed))
    mean = float(demand_paths(chain, seed, paths).mean())
    leads = np.cumsum(chain.leads)
    known: dict[tuple[int, ...], float] = {}

    def worth(levels: NDArray[np.int64]) -> float:
        key = tuple(levels.tolist())
        if key not in known:
            known[key] = float(played(env, base_stock(levels), seed).sum(axis=0).mean())
        return known[key]

    usual = mean * (leads + 1)  # what is asked for until an order placed now has come
    trials = [np.maximum(usual * rng.uniform(0.0, 1.6, len(leads)), 0).astype(np.int64) for _ in range(32 * rounds)]
    best = max(trials, key=worth)
    step = np.maximum(usual / 4, 1)
    for _ in range(rounds):
        for i in [*range(len(leads))] * 2:
            for sign in (-1, 1):
                trial = best.copy()
                trial[i] = max(0, trial[i] + sign * max(1, round(step[i])))
                best = trial if worth(trial) > worth(best) else best
        step /= 2
    return best
