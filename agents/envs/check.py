"""Our own checker of an environment: random episodes on it, alone, in a batch, again, from a state, on a device."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.envs.env import PlantEnv, PlantVectorEnv
from agents.envs.epochs import LONG_AGO
from agents.envs.fields import fields
from agents.envs.register import vector_env
from agents.errors import AgentError
from sim.compile import Compiled

SLACK = 1e-6
"""By how much the clock's sines may differ on a device; everything else is the same to the last bit."""
TOLD = ("cost", "cash", "clipped", "held", "elapsed", "discount", "accrual")
"""What every step tells in `info`."""


@dataclass(slots=True)
class Story:
    """What an environment showed: observations [T + 1, N, D], then by step rewards, ends and each of `TOLD` [T, N]."""

    seen: list[Any] = field(default_factory=list)
    rewards: list[Any] = field(default_factory=list)
    ends: list[Any] = field(default_factory=list)
    told: dict[str, list[Any]] = field(default_factory=lambda: {k: [] for k in TOLD})

    def same(self, other: Story, slack: float = 0.0) -> str:
        """The first thing that differs; "" where nothing does."""
        for name, mine, theirs in (("reward", self.rewards, other.rewards), ("end", self.ends, other.ends)):
            if not np.array_equal(mine, theirs):
                return name
        for name in TOLD:
            exact = slack == 0.0 or name not in {"discount", "accrual"}
            if not np.allclose(self.told[name], other.told[name], rtol=0.0 if exact else 1e-12, atol=0.0):
                return name
        a, b = np.array(self.seen), np.array(other.seen)
        return "" if np.allclose(a, b, rtol=0.0, atol=slack) else "observation"


def check(
    plant: str | Compiled, steps: int = 200, lanes: int = 3, seed: int = 7, device: str = "cpu", **settings: Any
) -> str:
    """Play random actions; `AgentError` unless everything is finite, in spec and inside the bounds that `plantwin env`
    prints, repeatable by seed, equal alone and in a batch, equal after starting from its own state, the parts of the
    cost add up, and no setpoint breaks a grid, a limit or an `every`. With `device="cuda"`, unless the environment on
    the device tells the same story. `settings`: fields of `agents.envs.env.Settings`.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    settings = {"max_episode_steps": max(steps // 2, 1), "terms": True, **settings}
    batch = PlantVectorEnv(lanes, plant, **settings)
    settings["reward_unit"] = batch.reward_unit
    name = batch.compiled.plant.id
    actions = rng.integers(0, batch.grid.counts, size=(steps, lanes, batch.grid.size))
    first = _play(batch, actions, seed, _Watch(batch))
    if differs := first.same(_play(batch, actions, seed)):
        raise AgentError(f"{name}: the same seed and actions gave another episode ({differs}): report it")
    _alone(PlantEnv(plant, **{**settings, "first": lanes - 1}), first, actions, seed)
    _from_state(batch, PlantVectorEnv(lanes, plant, **settings), actions[:20], seed)
    said = f"{steps} random steps of {lanes} replicas: finite, in spec, repeatable by seed, equal alone and in a batch"
    said += ", equal from a state, inside limits"
    if device == "cpu":
        return said
    check_device(batch.compiled, steps, lanes, seed, device, **settings)
    return f"{said}, the same on {device}"


def check_device(
    plant: str | Compiled, steps: int, lanes: int, seed: int = 7, device: str = "cuda", **settings: Any
) -> None:
    """`AgentError` unless the environment on a device tells the host's story: everything to the last bit, the clock's
    sines within `SLACK`.
    """
    settings = {"max_episode_steps": max(steps // 2, 1), **settings, "terms": False}
    here = PlantVectorEnv(lanes, plant, **settings)
    rng = np.random.Generator(np.random.PCG64(seed))
    actions = rng.integers(0, here.grid.counts, size=(steps, lanes, here.grid.size))
    there = vector_env(lanes, device, plant=here.compiled, **{**settings, "reward_unit": here.reward_unit})
    if differs := _play(here, actions, seed).same(_play(there, actions, seed), SLACK):
        raise AgentError(f"{here.compiled.plant.id}: {differs} on device {device} differs from the host's: report it")


def _play(env: PlantVectorEnv, actions: Any, seed: int, watch: _Watch | None = None) -> Story:
    """The story of an environment under these actions [T, N, C]; `AgentError` for what is out of spec."""
    story = Story()
    story.seen.append(env.reset(seed=seed)[0])
    for action in actions:
        if watch is not None:
            watch.before()
        observation, reward, terminated, truncated, info = env.step(action)
        told = [np.asarray(info[k]) for k in TOLD]
        fit = env.observation_space.contains(observation) and all(np.isfinite(x).all() for x in (reward, *told))
        if not fit or terminated.any():
            raise AgentError(f"{env.compiled.plant.id}: an observation or reward is out of spec; please report this")
        if watch is not None:
            watch.after(observation, truncated, info)
        story.seen.append(observation.copy())
        story.rewards.append(reward)
        story.ends.append(truncated)
        for key, value in zip(TOLD, told, strict=True):
            story.told[key].append(value)
    return story


class _Watch:
    """Whether an environment keeps what it promises, from its rows before and after each step."""

    def __init__(self, env: PlantVectorEnv) -> None:
        self.env, self.name = env, env.compiled.plant.id
        found = fields(env.compiled)
        self.low, self.high = (np.array([getattr(f, k) for f in found]) for k in ("low", "high"))
        self.every = np.array([c.every for c in env.grid.controls])
        self.moved = np.full((env.num_envs, env.grid.size), LONG_AGO, dtype=np.int64)
        self.rows = env.rows

    def before(self) -> None:
        """Keep the rows [N, W] as they are."""
        self.rows = self.env.rows.copy()

    def after(self, observation: Any, ended: NDArray[np.bool_], info: dict[str, Any]) -> None:
        """Raise `AgentError` for the first promise that is broken; rows of ended episodes are new ones."""
        env, layout = self.env, self.env.compiled.layout
        if names := [
            f for k, f in enumerate(env.observer.fields) if not self._inside(k, observation[:, k], info, ended)
        ]:
            raise AgentError(f"{self.name}: {names[0]} is outside the bounds that are said of it: report it")
        total = sum(info["terms"].values())
        if not np.allclose(total, info["cost"], rtol=1e-9, atol=1e-6):
            raise AgentError(f"{self.name}: the parts of the cost do not add up to it: report it")
        was, now = (rows[:, env.compiled.controls] for rows in (self.rows, env.rows))
        tick = self.rows[:, layout.at("now")]
        for i in np.flatnonzero(~ended):
            changed = was[i] != now[i]
            if not np.array_equal(env.grid.decode(env.grid.encode(now[i])), now[i]):
                raise AgentError(f"{self.name}: setpoints {now[i].tolist()} are not on the grid: report it")
            if changed.any() and env.grid.broken(now[i], self.rows[i : i + 1], layout):
                raise AgentError(f"{self.name}: setpoints {now[i].tolist()} break a limit: report it")
            # what a limit moves need not wait, and need not be waited for
            changed &= not env.grid.broken(was[i], self.rows[i : i + 1], layout)
            early = changed & (tick[i] - self.moved[i] < self.every)
            if early.any():
                raise AgentError(f"{self.name}: {env.grid.ids[int(early.argmax())]} moved before its time: report it")
            self.moved[i, changed] = tick[i]
        self.moved[ended] = LONG_AGO

    def _inside(self, k: int, values: Any, info: dict[str, Any], ended: NDArray[np.bool_]) -> bool:
        """Is column k in its bounds, in the observations [N] and in the last ones of episodes that ended?"""
        seen = np.concatenate([values, info["final_obs"][ended, k]]) if "final_obs" in info else values
        return bool((seen >= self.low[k] - SLACK).all() and (seen <= self.high[k] + SLACK).all())


def _alone(single: PlantEnv, batch: Story, actions: Any, seed: int) -> None:
    """`AgentError` unless an environment alone is the last one of the batch, until its episode ends."""
    observation, _ = single.reset(seed=seed)
    name = single.compiled.plant.id
    for k in range(len(actions)):
        if not np.array_equal(observation, batch.seen[k][-1]):
            raise AgentError(f"{name}: the environment alone differs from its place in a batch at step {k}: report it")
        observation, reward, _, truncated, info = single.step(actions[k, -1])
        told = (reward, truncated, *(info[key] for key in TOLD))
        if told != tuple(each[k][-1] for each in (batch.rewards, batch.ends, *(batch.told[key] for key in TOLD))):
            raise AgentError(
                f"{name}: reward, end or duration of a step of the environment alone differ from the batch at step "
                f"{k}: report it"
            )
        if truncated:
            return


def _from_state(env: PlantVectorEnv, other: PlantVectorEnv, actions: Any, seed: int) -> None:
    """`AgentError` unless an environment that starts from another's present rows shows what that one shows."""
    env.reset(seed=seed)
    for action in actions:
        seen = env.step(action)[0]
    begun, _ = other.reset(seed=seed + 1, options={"state": env.rows})
    if not np.array_equal(begun, seen) or not np.array_equal(other.rows, env.rows):
        raise AgentError(f"{env.compiled.plant.id}: started from a state it shows something else: report it")
