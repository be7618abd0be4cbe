"""Stable-Baselines3's PPO on 256 replicas of a plant, from scratch: python examples/sb3_ppo.py [PLANT] [DECISIONS]"""
# ruff: noqa: ANN001, ANN201

import sys
from pathlib import Path

from stable_baselines3 import PPO

from agents.envs.env import PlantVectorEnv
from agents.training.lanes import Lanes  # the vector environment as Stable-Baselines3 wants it

HERE = Path(__file__).resolve().parent


def main(plant=HERE / "bakery.yaml", decisions=200_000, replicas=256):
    """Train, and return the last mean operating cost an hour of the training replicas."""
    env = PlantVectorEnv(replicas, str(plant), copy=False, stagger=True)
    lanes = Lanes(env, centre=env.reward_unit, scale=env.reward_unit)
    options = {"n_steps": 32, "batch_size": replicas * 8, "n_epochs": 4, "gamma": 0.95, "learning_rate": 2e-3}
    model = PPO("MlpPolicy", lanes, seed=0, device="cpu", **options)
    for _ in range(max(int(decisions) // (replicas * 32), 1)):
        model.learn(replicas * 32, reset_num_timesteps=False)
        cost, ticks = lanes.take()
        print(f"{model.num_timesteps} decisions: {cost / (ticks * env.compiled.plant.tick_s / 3600):.3f} an hour")
    model.save("policy.zip")  # plantwin policy import policy.zip --plant PLANT --out DIR; plantwin evaluate DIR
    return cost / (ticks * env.compiled.plant.tick_s / 3600)


if __name__ == "__main__":
    main(*sys.argv[1:])
