"""A plant of one's own (bakery.yaml) and a reward of one's own, in two ways: a function of the named parts of the cost,
and a wrapper of Gymnasium's.

python examples/own_reward.py [PLANT FILE]
"""
# ruff: noqa: ANN001, ANN003, ANN201, ANN204

import sys
from pathlib import Path

import gymnasium
import numpy as np

HERE = Path(__file__).resolve().parent


def service(info):
    """Rewards [N]: a customer lost counts three times, everything else as it costs. `info` is that of the step."""
    return -(info["cost"] + 2.0 * info["terms"]["lost.customers"])


class Calm(gymnasium.Wrapper):
    """The usual reward, less a little for every setpoint that moves: operators like a quiet day."""

    def __init__(self, env, price=0.05):
        super().__init__(env)
        self.price, self.last = price, None

    def reset(self, **options):
        self.last = None
        return self.env.reset(**options)

    def step(self, action):
        observation, reward, terminated, truncated, info = self.env.step(action)
        moved = 0 if self.last is None else int(np.count_nonzero(np.asarray(action) != self.last))
        self.last = np.array(action)
        return observation, reward - self.price * moved, terminated, truncated, info


def main(plant=HERE / "bakery.yaml", steps=100):
    """Play both, and return the sums of their rewards and of their cost."""
    envs = gymnasium.make_vec("plantwin:Plant-v0", num_envs=8, plant=str(plant), reward=service)
    envs.reset(seed=1)
    envs.action_space.seed(1)
    total = np.zeros(8)
    for _ in range(int(steps)):
        _, reward, _, _, info = envs.step(envs.action_space.sample())
        total += reward
    print("parts of the last step's cost:", {name: float(money[0].round(3)) for name, money in info["terms"].items()})
    calm = Calm(gymnasium.make("plantwin:Plant-v0", plant=str(plant)))
    calm.reset(seed=1)
    calm.action_space.seed(1)
    quiet = sum(calm.step(calm.action_space.sample())[1] for _ in range(int(steps)))
    print(f"service: {total.mean():.1f} a replica; calm: {quiet:.1f}")
    return float(total.mean()), float(quiet)


if __name__ == "__main__":
    main(*sys.argv[1:])
