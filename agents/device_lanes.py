"""The environment on a device as Stable-Baselines3 wants it, and as `ResidentPPO` would rather have it: by tensors."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from agents.device import Frames, PlantDeviceEnv
from agents.lanes import Lanes
from agents.resident import Played


class DeviceLanes(Lanes):
    """Adapter of a `PlantDeviceEnv`; the reward is `(centre - cost of the interval) / scale`, as in `Lanes`.

    As any `VecEnv` it copies to the host and back; by `frames`, `look` and `play` nothing is copied.
    """

    env: PlantDeviceEnv

    def __init__(self, env: PlantDeviceEnv, centre: float = 0.0, scale: float = 1.0) -> None:
        super().__init__(env, centre, scale)
        self._frames: Frames | None = None
        self._cost: Tensor | None = None

    def frames(self, count: int) -> Tensor:
        """Memory for `count` observations [count, N, D], which `look` and `play` write to."""
        self._frames = self.env.frames(count)
        return self._frames.tensor

    def look(self, at: int, observation: NDArray[np.float32] | None = None) -> None:
        """Write the present observation into frame `at`."""
        del observation
        assert self._frames is not None, "frames() comes first"
        self.env.look(self._frames, at)

    def play(self, actions: Tensor, at: int) -> Played:
        """Run one interval; the observation after it goes into frame `at`."""
        assert self._frames is not None, "frames() comes first"
        step = self.env.play(actions, self._frames, at)
        self._cost = step.cost.sum() if self._cost is None else self._cost + step.cost.sum()
        self.cost_n += self.num_envs
        reward = ((self.centre - step.cost) / self.scale).float()
        return Played(reward, None, step.ended, step.ended, step.final)

    def take_cost(self) -> None:
        """Add the cost of what was played since the last call to `cost_sum`; waits for the device."""
        if self._cost is not None:
            self.cost_sum += float(self._cost)
            self._cost = None
