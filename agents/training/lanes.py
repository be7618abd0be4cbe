"""Our vector environment as Stable-Baselines3 wants it; imported by training only."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env.base_vec_env import VecEnv

from agents.envs.env import PlantVectorEnv
from agents.envs.masks import action_masks, free


class Lanes(VecEnv):
    """Adapter of a `PlantVectorEnv` in autoreset SAME_STEP, which is SB3's own meaning.

    The reward is `(centre - cost of the interval) / scale`; at events `centre` is still the money of a whole interval,
    each step gets its share by the time it took, money is worth its mean inside the step, and `discount` [N] is what
    the step discounts (for `ResidentPPO`; stock PPO has one gamma for all steps).

    One list of infos is shared by all steps, and only the dictionaries of environments that ended are filled: building
    thousands of dictionaries a step would cost more than the simulation. SB3 keeps the last observation by reference
    while it steps, so the environment must hand out at least two arrays in turn (`copy=False` does just that).
    """

    def __init__(self, env: PlantVectorEnv, centre: float = 0.0, scale: float = 1.0) -> None:
        self.env, self.centre, self.scale = env, centre, scale
        self._infos: list[dict[str, Any]] = [{} for _ in range(env.num_envs)]
        self._filled: list[int] = []
        self._actions: NDArray[np.int64] | None = None
        self.discount: NDArray[np.float64] | None = None
        self.cost_sum, self.ticks = 0.0, 0
        super().__init__(env.num_envs, env.single_observation_space, env.single_action_space)

    def reset(self) -> NDArray[np.float32]:
        """Observations [N, D] of new episodes."""
        seed = self._seeds[0]
        self._reset_seeds()
        observation, _ = self.env.reset(seed=seed)
        return observation

    def step_async(self, actions: NDArray[np.int64]) -> None:
        """Keep the actions for `step_wait`."""
        self._actions = actions

    def step_wait(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]:
        """Run one interval; an ended environment's info holds its last observation and that it was cut off, not
        ended.
        """
        assert self._actions is not None, "step_async comes first"
        observation, _, terminated, truncated, info = self.env.step(self._actions)
        for i in self._filled:
            self._infos[i] = {}
        self._filled = np.flatnonzero(truncated | terminated).tolist()
        for i in self._filled:
            self._infos[i] = {
                "terminal_observation": info["final_obs"][i],
                "TimeLimit.truncated": bool(truncated[i] and not terminated[i]),
            }
        self.cost_sum += float(info["cost"].sum())
        self.ticks += int(info["elapsed"].sum())
        gain = self.centre - info["cost"]
        if self.env.pace.by_events:
            gain = (self.centre * (info["elapsed"] / self.env.epoch) - info["cost"]) * info["accrual"]
            self.discount = info["discount"]
        reward = (gain / self.scale).astype(np.float32)
        return observation, reward, truncated | terminated, self._infos

    def free(self) -> Any:
        """Which controls [N, C] may move at this decision (for `ResidentPPO(masked=True)`)."""
        return free(self.env)

    def take(self) -> tuple[float, int]:
        """(operating cost, ticks) of all environments since the last call."""
        found = self.cost_sum, self.ticks
        self.cost_sum, self.ticks = 0.0, 0
        return found

    def close(self) -> None:
        """Nothing is held open."""

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """The same value for every environment asked about."""
        return [getattr(self.env, attr_name) for _ in self._which(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Refused: replicas share one kernel, none can be set apart."""
        raise NotImplementedError(
            f"cannot set {attr_name!r} on replicas {indices}: they share one environment object; make another one"
        )

    def env_method(self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any) -> list[Any]:
        """`action_masks`, as sb3-contrib's MaskablePPO asks for them; anything else is refused, as `set_attr`."""
        if method_name == "action_masks" and not method_args and not method_kwargs:
            masks = action_masks(self.env)
            return [masks[i] for i in self._which(indices)]
        raise NotImplementedError(
            f"cannot call {method_name!r} on replicas {indices}: they share one environment object"
        )

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        """Replicas are never wrapped."""
        del wrapper_class
        return [False for _ in self._which(indices)]

    def _which(self, indices: Any) -> Iterable[int]:
        return self._get_indices(indices)
