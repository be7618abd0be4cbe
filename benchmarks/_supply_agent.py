"""A stock PPO (Stable-Baselines3) on the serial chain, as a first agent beside the plans and rules of `supply.py`.

An action is a quantity for each stage in units of what is asked for a period, about that itself: order = rounded
(mean (1 + a)), cut to what a vehicle holds. The discount is in the rewards, and an episode really ends after its
periods (what a chain is worth then counts nothing), so nothing is discounted or bootstrapped beyond.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env.base_vec_env import VecEnv

from agents.schema import Floats
from agents.supply import Chain, SupplyVectorEnv
from agents.supply_rules import Orders, Policy

LANES, UNIT = 1024, 20.0
"""Environments stepped together; money of one unit of reward."""


def orders(actions: NDArray[np.floating[Any]], mean: float, most: NDArray[np.int64]) -> Orders:
    """Quantities [N, S] of actions [N, S]."""
    return np.asarray(np.clip(np.rint(mean * (1.0 + actions)), 0, most), dtype=np.int64)


class ChainLanes(VecEnv):
    """`SupplyVectorEnv` as Stable-Baselines3 wants it; the end of an episode is an end, not a truncation."""

    def __init__(self, env: SupplyVectorEnv, mean: float, seed: int) -> None:
        self.env, self.mean, self.start = env, mean, seed
        self._actions: NDArray[Any] = np.zeros((env.num_envs, len(env.chain.most)))
        self._infos: list[dict[str, Any]] = [{} for _ in range(env.num_envs)]
        box = gymnasium.spaces.Box(-5.0, 5.0, (len(env.chain.most),), np.float32)
        super().__init__(env.num_envs, env.single_observation_space, box)

    def reset(self) -> Floats:
        """Observations [N, D] of new episodes."""
        return self.env.reset(seed=self.start)[0]

    def step_async(self, actions: NDArray[Any]) -> None:
        """Keep the actions for `step_wait`."""
        self._actions = actions

    def step_wait(self) -> tuple[Floats, NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]:
        """Play one period."""
        seen, reward, _, ended, _ = self.env.step(orders(self._actions, self.mean, self.env.chain.most))
        return seen, (reward / UNIT).astype(np.float32), ended, self._infos

    def close(self) -> None:
        """Nothing to close."""

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """The attribute of the environment, once for each."""
        return [getattr(self.env, attr_name, None) for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Not offered: the environments are one."""
        raise NotImplementedError("the chains of this adapter are rows of one batch: none can be set or called apart")

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        """Not offered: the environments are one."""
        raise NotImplementedError("the chains of this adapter are rows of one batch: none can be set or called apart")

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        """None is."""
        del wrapper_class
        return [False for _ in self._get_indices(indices)]


def trained(chain: Chain, mean: float, steps: int, seed: int = 0, lanes: int = LANES) -> Policy:
    """A policy trained for `steps` periods of all lanes together; it decides without exploring. Reproducible on one
    machine: seeds fix luck and weights.
    """
    torch.set_num_threads(1)
    env = SupplyVectorEnv(lanes, chain.compiled, chain.trade)
    periods = chain.trade.periods
    model = PPO(
        "MlpPolicy", ChainLanes(env, mean, 1 + seed), n_steps=periods, batch_size=lanes * periods // 4, n_epochs=6,
        gamma=1.0, gae_lambda=0.95, learning_rate=lambda left: 7e-4 * left, seed=seed, device="cpu",
        policy_kwargs={"net_arch": [64, 64], "log_std_init": -0.7},
    )  # fmt: skip
    model.learn(steps)

    def policy(env: SupplyVectorEnv, seen: Floats) -> Orders:
        return orders(model.predict(seen, deterministic=True)[0], mean, env.chain.most)

    return policy
