"""A plain Gymnasium loop: play a plant with random setpoints, say what they cost.

python examples/gym_loop.py [PLANT] [STEPS]
"""
# ruff: noqa: ANN001, ANN201

import sys

import gymnasium


def main(plant="line3", steps=48, seed=1):
    """Play, and return the mean operating cost an hour, in money of the plant."""
    env = gymnasium.make("plantwin:Plant-v0", plant=plant)
    observation, info = env.reset(seed=seed)
    env.action_space.seed(seed)
    print(f"{len(observation)} numbers are seen: {', '.join(info['fields'])}")
    money = hours = 0.0
    for _ in range(int(steps)):
        observation, reward, terminated, truncated, info = env.step(env.action_space.sample())
        money, hours = money + info["cost"], hours + info["elapsed"] * env.unwrapped.compiled.plant.tick_s / 3600
        assert not terminated, "a factory does not end: bootstrap where an episode is truncated"
        if truncated:
            observation, info = env.reset()
    print(f"{money / hours:.2f} an hour with random setpoints, the last reward was {reward:.3f}")
    return money / hours


if __name__ == "__main__":
    main(*sys.argv[1:])
