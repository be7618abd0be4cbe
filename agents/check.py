"""Our own checker of an environment: one random episode on it, alone and in a batch."""

from __future__ import annotations

from typing import Any

import numpy as np

from agents.env import PlantEnv, PlantVectorEnv
from agents.errors import AgentError
from sim.compile import Compiled


def describe(plant: str | Compiled) -> dict[str, Any]:
    """What an environment of this plant shows and takes."""
    env = PlantVectorEnv(1, plant)
    p = env.compiled.plant
    return {
        "plant": p.id,
        "currency": p.currency,
        "epoch_s": env.epoch * p.tick_s,
        "reward_unit": env.reward_unit,
        "max_episode_steps": env.limit_steps,
        "fields": list(env.observer.fields),
        "observation": env.observer.hash,
        "action": env.grid.hash,
        "controls": [{"id": c.id, "low": c.low, "high": c.high, "step": c.step} for c in env.grid.controls],
    }


def check(plant: str | Compiled, steps: int = 200, lanes: int = 3, seed: int = 7) -> str:
    """Play random actions; `AgentError` unless everything is finite, in spec, repeatable by seed, and equal alone
    and in a batch.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    batch = PlantVectorEnv(lanes, plant, max_episode_steps=max(steps // 2, 1))
    actions = rng.integers(0, batch.grid.counts, size=(steps, lanes, batch.grid.size))
    first = _play(batch, actions, seed)
    if not all(np.array_equal(x, y) for x, y in zip(first, _play(batch, actions, seed), strict=True)):
        raise AgentError(f"{batch.compiled.plant.id}: the same seed and actions gave another episode: report it")
    single = PlantEnv(plant, first=lanes - 1, max_episode_steps=batch.limit_steps, reward_unit=batch.reward_unit)
    observation, _ = single.reset(seed=seed)
    for k in range(batch.limit_steps):
        if not np.array_equal(observation, first[0][k, -1]):
            raise AgentError(
                f"{batch.compiled.plant.id}: the environment alone differs from its place in a batch at step {k}: "
                "report it"
            )
        observation, reward, _, truncated, _ = single.step(actions[k, -1])
        if reward != first[1][k, -1] or truncated != bool(first[2][k, -1]):
            raise AgentError(
                f"{batch.compiled.plant.id}: reward or end of the environment alone differ from the batch at "
                f"step {k}: report it"
            )
    return f"{steps} random steps of {lanes} replicas: finite, in spec, repeatable by seed, equal alone and in a batch"


def _play(env: PlantVectorEnv, actions: Any, seed: int) -> tuple[Any, Any, Any]:
    seen, rewards, ends = [env.reset(seed=seed)[0]], [], []
    for action in actions:
        observation, reward, terminated, truncated, _ = env.step(action)
        if not env.observation_space.contains(observation) or not np.isfinite(reward).all() or terminated.any():
            raise AgentError(f"{env.compiled.plant.id}: an observation or reward is out of spec; please report this")
        seen.append(observation)
        rewards.append(reward)
        ends.append(truncated)
    return np.array(seen), np.array(rewards), np.array(ends)
