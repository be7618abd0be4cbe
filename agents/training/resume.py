"""Everything that a training needs to go on as if nothing had happened, out of its objects and back into them.

That is: the network and Adam's moments, the random numbers' states (torch, numpy), counters, and the plants that are
trained on: rows, clocks and money of all lanes. It is taken between two rollouts, where a buffer holds nothing that is
still needed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3 import PPO

from agents.errors import TrainingError
from agents.training.checkpoint import Saved
from agents.training.lanes import Lanes

Arrays = dict[str, NDArray[Any]]
MOMENTS = ("step", "exp_avg", "exp_avg_sq")
"""What Adam keeps of each parameter."""


def take(model: PPO, lanes: Lanes) -> tuple[Arrays, dict[str, Any]]:
    """Arrays and facts of a model and its environments, as they stand."""
    arrays: Arrays = {}
    policy: Any = model.policy
    for name, parameter in policy.named_parameters():
        arrays[f"network.{name}"] = _array(parameter)
        for key, value in policy.optimizer.state.get(parameter, {}).items():
            arrays[f"adam.{key}.{name}"] = _array(value)
    arrays |= {f"random.{name}": value for name, value in _random(model).items()}
    arrays |= {f"lanes.{name}": value for name, value in lanes_state(lanes).items()}
    observed: Any = model._last_obs
    starts: Any = model._last_episode_starts
    arrays["model.observation"], arrays["model.starts"] = np.array(observed), np.array(starts)
    counted, money = lanes.cost_sum, lanes.ticks
    facts = {
        "timesteps": int(model.num_timesteps),
        "updates": int(model._n_updates),
        "left": float(model._current_progress_remaining),
        "kernel_seed": lanes.env._kernel_seed,
        "counted": [counted, money],
    }
    return arrays, facts


def put(saved: Saved, model: PPO, lanes: Lanes) -> None:
    """Make a model and its environments, made by the same settings, what they were. `TrainingError` for what does not
    fit.
    """
    policy: Any = model.policy
    expected = {f"network.{name}" for name, _ in policy.named_parameters()}
    found = {name for name in saved.arrays if name.startswith("network.")}
    if expected != found:
        odd = min(expected ^ found)
        raise TrainingError(f"{saved.path}: {odd} is not in both networks; it belongs to another training")
    with torch.no_grad():
        for name, parameter in policy.named_parameters():
            parameter.copy_(torch.from_numpy(saved.array(f"network.{name}", _array(parameter))))
            _moments(saved, policy.optimizer, name, parameter)
    _set_random(saved, model)
    set_lanes(saved, lanes)
    state: Any = model
    like = np.zeros((lanes.num_envs, *model.observation_space.shape), np.float32)  # type: ignore[misc]
    state._last_obs = saved.array("model.observation", like)
    state._last_episode_starts = saved.array("model.starts", np.zeros(lanes.num_envs, np.bool_))
    state.num_timesteps = int(saved.fact("timesteps"))
    state._n_updates = int(saved.fact("updates"))
    state._current_progress_remaining = float(saved.fact("left"))
    lanes.cost_sum, lanes.ticks = saved.fact("counted")


def _array(value: Any) -> NDArray[Any]:
    found: NDArray[Any] = value.detach().cpu().numpy().copy()
    return found


def _moments(saved: Saved, optimizer: Any, name: str, parameter: torch.nn.Parameter) -> None:
    """What Adam knows of a parameter; nothing before the first update."""
    if f"adam.step.{name}" not in saved.arrays:
        return
    like = _array(parameter)
    shapes = {"step": np.zeros((), np.float32), "exp_avg": like, "exp_avg_sq": like}
    read = {key: torch.from_numpy(saved.array(f"adam.{key}.{name}", shapes[key]).copy()) for key in MOMENTS}
    # the step stays on the host, as Adam wants it; a CUDA graph moves it itself
    optimizer.state[parameter] = {k: v if k == "step" else v.to(parameter.device) for k, v in read.items()}


def _random(model: PPO) -> Arrays:
    """States of the generators that a rollout or an update draws from."""
    _, keys, position, has_gauss, gauss = np.random.get_state()  # noqa: NPY002 - stock PPO shuffles with it
    found: Arrays = {
        "torch": torch.get_rng_state().numpy().copy(),
        "numpy": np.asarray(keys, dtype=np.uint32).astype(np.int64),
        "numpy_at": np.array([int(position), int(has_gauss)], dtype=np.int64),
        "numpy_gauss": np.array([float(gauss)]),
    }
    if model.device.type == "cuda":
        found["cuda"] = torch.cuda.get_rng_state(model.device).numpy().copy()
    return found


def _set_random(saved: Saved, model: PPO) -> None:
    like = _random(model)
    read = {name: saved.array(f"random.{name}", value) for name, value in like.items()}
    torch.set_rng_state(torch.from_numpy(read["torch"].copy()))
    at, has_gauss = (int(x) for x in read["numpy_at"])
    state = ("MT19937", read["numpy"].astype(np.uint32), at, has_gauss, float(read["numpy_gauss"][0]))
    np.random.set_state(state)  # noqa: NPY002
    if "cuda" in read:
        torch.cuda.set_rng_state(torch.from_numpy(read["cuda"].copy()), model.device)


def lanes_state(lanes: Lanes) -> Arrays:
    """Rows, clocks and money of the environments."""
    env: Any = lanes.env
    device = getattr(env, "_device", None)
    rows, moved, money = env.rows, env.moves.last, env.money
    if device is not None:
        rows, moved, money = env.to_host(), _array(device._moved), _array(device.money)
    clocks = {"elapsed": env._elapsed, "episode": env._episode, "ends": env._ends}
    return {name: np.array(value) for name, value in {"rows": rows, "moved": moved, "money": money, **clocks}.items()}


def set_lanes(saved: Saved, lanes: Lanes) -> None:
    """Make the environments what they were when `lanes_state` looked at them."""
    env: Any = lanes.env
    env._kernel_seed = int(saved.fact("kernel_seed"))
    read = {name: saved.array(f"lanes.{name}", value) for name, value in lanes_state(lanes).items()}
    for name in ("elapsed", "episode", "ends"):
        getattr(env, f"_{name}")[...] = read[name]
    device = getattr(env, "_device", None)
    if device is None:
        env.rows[...], env.moves.last[...], env.money[...] = read["rows"], read["moved"], read["money"]
        return
    device.put(np.arange(env.num_envs), np.ascontiguousarray(read["rows"]))
    for tensor, name in ((device._moved, "moved"), (device.money, "money"), (device.ends, "ends")):
        tensor.copy_(torch.from_numpy(read[name].copy()))
