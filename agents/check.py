"""Our own checker of an environment: one random episode on it, alone and in a batch."""

from __future__ import annotations

from typing import Any

import numpy as np

from agents.env import PlantEnv, PlantVectorEnv
from agents.epochs import ENDLESS
from agents.errors import AgentError
from sim.compile import Compiled


def describe(plant: str | Compiled, **settings: Any) -> dict[str, Any]:
    """What an environment of this plant, with these fields of `agents.env.Settings`, shows and takes."""
    env = PlantVectorEnv(1, plant, **settings)
    p = env.compiled.plant
    return {
        "plant": p.id,
        "currency": p.currency,
        "decide": env.settings.decide,
        "epoch_s": env.epoch * p.tick_s,
        "reward_unit": env.reward_unit,
        "discount_s": env.pace.constant * p.tick_s,
        "max_episode_steps": env.limit_steps if env.limit_steps < ENDLESS else None,
        "max_episode_s": env.pace.limit * p.tick_s if env.pace.by_events else env.limit_steps * env.epoch * p.tick_s,
        "fields": list(env.observer.fields),
        "observation": env.observer.hash,
        "action": env.grid.hash,
        "controls": [{"id": c.id, "low": c.low, "high": c.high, "step": c.step} for c in env.grid.controls],
    }


def check(plant: str | Compiled, steps: int = 200, lanes: int = 3, seed: int = 7, **settings: Any) -> str:
    """Play random actions; `AgentError` unless everything is finite, in spec, repeatable by seed, and equal alone
    and in a batch. `settings`: fields of `agents.env.Settings`.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    settings = {"max_episode_steps": max(steps // 2, 1), **settings}
    batch = PlantVectorEnv(lanes, plant, **settings)
    actions = rng.integers(0, batch.grid.counts, size=(steps, lanes, batch.grid.size))
    first = _play(batch, actions, seed)
    if not all(np.array_equal(x, y) for x, y in zip(first, _play(batch, actions, seed), strict=True)):
        raise AgentError(f"{batch.compiled.plant.id}: the same seed and actions gave another episode: report it")
    single = PlantEnv(plant, **{**settings, "first": lanes - 1, "reward_unit": batch.reward_unit})
    observation, _ = single.reset(seed=seed)
    for k in range(min(batch.limit_steps, steps)):
        if not np.array_equal(observation, first[0][k, -1]):
            raise AgentError(
                f"{batch.compiled.plant.id}: the environment alone differs from its place in a batch at step {k}: "
                "report it"
            )
        observation, reward, _, truncated, info = single.step(actions[k, -1])
        if (reward, truncated, info["elapsed"]) != tuple(each[k, -1] for each in first[1:]):
            raise AgentError(
                f"{batch.compiled.plant.id}: reward, end or duration of a step of the environment alone differ from "
                f"the batch at step {k}: report it"
            )
        if truncated:
            break
    return f"{steps} random steps of {lanes} replicas: finite, in spec, repeatable by seed, equal alone and in a batch"


def _play(env: PlantVectorEnv, actions: Any, seed: int) -> tuple[Any, ...]:
    """Observations, rewards, ends and durations of the steps."""
    seen, rewards, ends, elapsed = [env.reset(seed=seed)[0]], [], [], []
    for action in actions:
        observation, reward, terminated, truncated, info = env.step(action)
        if not env.observation_space.contains(observation) or not np.isfinite(reward).all() or terminated.any():
            raise AgentError(f"{env.compiled.plant.id}: an observation or reward is out of spec; please report this")
        seen.append(observation)
        rewards.append(reward)
        ends.append(truncated)
        elapsed.append(info["elapsed"])
    return np.array(seen), np.array(rewards), np.array(ends), np.array(elapsed)
