"""The environment on a device as Stable-Baselines3 wants it, and as `ResidentPPO` would rather have it: by tensors."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agents.envs.device import Frames, PlantDeviceEnv
from agents.training.lanes import Lanes
from agents.training.resident import Played


class DeviceLanes(Lanes):
    """Adapter of a `PlantDeviceEnv`; the reward is that of `Lanes`.

    As any `VecEnv` it copies to the host and back; by `frames`, `look` and `play` nothing is copied.
    """

    env: PlantDeviceEnv

    def __init__(self, env: PlantDeviceEnv, centre: float = 0.0, scale: float = 1.0) -> None:
        super().__init__(env, centre, scale)
        self._frames: Frames | None = None
        self._told: Tensor | None = None

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
        told = torch.stack([step.cost.sum(), step.elapsed.sum().double()])
        self._told = told if self._told is None else self._told + told
        gain, discount = self.centre - step.cost, None
        if self.env.pace.by_events:
            gain = (self.centre * (step.elapsed / self.env.epoch) - step.cost) * step.accrual
            discount = step.discount.float()
        return Played((gain / self.scale).float(), discount, step.ended, step.ended, step.final)

    def free(self) -> Tensor:
        """As `Lanes.free`, on the device."""
        env, device = self.env, self.env._device
        if env.pace.by_events:
            return device.now[:, None] - device._moved >= device._every
        return device.now[:, None] // env.epoch % torch.as_tensor(env.ratio, device=env.device) == 0

    def take(self) -> tuple[float, int]:
        """As `Lanes.take`; waits for the device, and raises `KernelError` if a replica has stopped."""
        self.env.check()
        if self._told is not None:
            cost, ticks = self._told.tolist()
            self.cost_sum, self.ticks, self._told = self.cost_sum + cost, self.ticks + int(ticks), None
        return super().take()
