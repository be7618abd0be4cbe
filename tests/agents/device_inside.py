"""The environment on a device beside the one on the host: `python -m tests.agents.device_inside [PLANT=LANES,STEPS]`.

In numba's simulator of a device (NUMBA_ENABLE_CUDASIM=1, NUMBA_DISABLE_JIT=1) or on a real one. Prints "same".
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from agents.envs.device import PlantDeviceEnv
from agents.envs.env import PlantVectorEnv
from agents.seeds import Spread
from agents.training import resume
from agents.training.checkpoint import Saved
from agents.training.device_lanes import DeviceLanes
from agents.training.lanes import Lanes
from agents.training.resident import ResidentPPO
from sim.kernel import KernelError
from sim.state import ERROR

CASES = {"line3": (4, 12), "make_to_stock": (3, 10), "dual_sourcing": (3, 12)}


def same_story(plant: str, lanes: int, steps: int, **settings: Any) -> None:
    """Rows, money and everything else to the last bit; observations too, but for the clock's sines (1e-6)."""
    common: dict[str, Any] = {"max_episode_steps": 5, "stagger": True, "reward_unit": 2.0, **settings}
    host = PlantVectorEnv(lanes, plant, **common)
    device = PlantDeviceEnv(lanes, plant, **common)
    told = [env.reset(seed=11)[0] for env in (host, device)]
    np.testing.assert_allclose(told[0], told[1], atol=1e-6)
    rng = np.random.Generator(np.random.PCG64(4))
    ended = 0
    for _ in range(steps):
        actions = rng.integers(0, host.grid.counts, size=(lanes, host.grid.size))
        a: Any = host.step(actions)
        b: Any = device.step(actions)
        assert np.array_equal(device.to_host(), host.rows), f"{plant}: rows differ"
        np.testing.assert_allclose(a[0], b[0], atol=1e-6)
        clockless = host.observer.scale.size
        assert np.array_equal(a[0][:, :clockless], b[0][:, :clockless]), f"{plant}: observations differ"
        for k in (1, 2, 3):
            assert np.array_equal(a[k], b[k])
        for key in ("cost", "cash", "clipped", "held", "elapsed", "_final_obs"):
            if key in a[4]:
                assert np.array_equal(a[4][key], b[4][key]), f"{plant}: {key} differs"
        for key in ("discount", "accrual"):
            np.testing.assert_allclose(a[4][key], b[4][key], rtol=1e-12)
        if "final_obs" in a[4]:
            np.testing.assert_allclose(a[4]["final_obs"], b[4]["final_obs"], atol=1e-6)
        ended += int(a[3].sum())
    assert ended > lanes, f"{plant}: too few episodes ended to have tested anything"


def same_learning(plant: str, lanes: int) -> None:
    """A rollout by tensors fills the buffer as one through the host does, from the same actions."""
    common: dict[str, Any] = {"max_episode_steps": 3, "stagger": True, "reward_unit": 1.0}
    models: list[ResidentPPO] = []
    for kind in ("host", "device"):
        env: Any
        if kind == "host":
            env = Lanes(PlantVectorEnv(lanes, plant, copy=False, **common), 1.0, 2.0)
        else:
            env = DeviceLanes(PlantDeviceEnv(lanes, plant, **common), 1.0, 2.0)
        env.seed(3)
        on = env.env.device if kind == "device" else torch.device("cpu")
        model = ResidentPPO("MlpPolicy", env, n_steps=6, batch_size=6 * lanes, n_epochs=1, seed=2, device=on)
        chosen = iter(
            torch.randint(
                0,
                int(env.env.grid.counts.min()),
                (6, lanes, env.env.grid.size),
                generator=torch.Generator().manual_seed(1),
            )
        )

        def act(seen: torch.Tensor, model: Any = model, chosen: Any = chosen) -> Any:
            actions = next(chosen).to(seen.device)
            values, log_prob, _ = model.policy.evaluate_actions(seen, actions)
            return actions, values.flatten(), log_prob

        model._act = act  # type: ignore[method-assign, assignment]
        if models:
            model.policy.load_state_dict(models[0].policy.state_dict())
        models.append(model)
    for model in models:
        total, callback = model._setup_learn(10**6, None)
        del total
        model.collect_rollouts(model.env, callback, model.rollout_buffer, 6)
    mine, theirs = (m.rollout_buffer for m in models)
    for name in ("frames", "actions", "rewards", "values", "advantages", "returns", "episode_starts"):
        a, b = (getattr(x, name).cpu().numpy() for x in (mine, theirs))
        np.testing.assert_allclose(a, b, atol=1e-4, rtol=1e-4, err_msg=f"{plant}: {name}")
    assert mine.episode_starts[1:].sum() > 0
    for model in models:
        model.train()
    for name, value in models[0].policy.state_dict().items():
        other = models[1].policy.state_dict()[name].cpu()
        torch.testing.assert_close(other, value.cpu(), atol=2e-4, rtol=2e-4, msg=name)


def a_checkpoint_is_the_same(plant: str, **settings: Any) -> None:
    """What a checkpoint holds of the lanes, and which controls may move; put back on the device, all goes on alike."""
    common: dict[str, Any] = {"max_episode_steps": 4, "stagger": True, "reward_unit": 1.0, **settings}
    host = Lanes(PlantVectorEnv(3, plant, copy=False, **common))
    first, second = (DeviceLanes(PlantDeviceEnv(3, plant, **common)) for _ in range(2))
    rng, grid = np.random.Generator(np.random.PCG64(4)), host.env.grid
    for lanes in (host, first):
        lanes.seed(3)
        lanes.reset()
    for at in range(8):
        actions = rng.integers(0, grid.counts, size=(3, grid.size))
        told = resume.lanes_state(host)
        for name, value in resume.lanes_state(first).items():
            expected = told[name][:, 0] if name == "money" else told[name]  # the host counts cash too
            np.testing.assert_allclose(value, expected, rtol=1e-12, err_msg=f"{plant}: {name}")
        assert np.array_equal(np.asarray(host.free()), first.free().cpu().numpy())
        if at == 5:
            saved = Saved(Path(), {f"lanes.{k}": v for k, v in resume.lanes_state(first).items()},
                          {"kernel_seed": first.env._kernel_seed})  # fmt: skip
            resume.set_lanes(saved, second)
        for lanes in (host, first) if at < 5 else (host, first, second):
            lanes.step(actions)
    a, b = (resume.lanes_state(lanes) for lanes in (first, second))
    assert all(np.array_equal(a[name], b[name]) for name in a)
    assert (a["episode"] > 1).all()


def a_stopped_replica_is_told() -> None:
    """Not at once, but when the costs of a rollout are taken."""
    env = PlantDeviceEnv(3, "line3", reward_unit=1.0)
    lanes = DeviceLanes(env)
    lanes.reset()
    lanes.frames(2)
    lanes.play(torch.zeros((3, env.grid.size), dtype=torch.int64, device=env.device), 1)
    lanes.take()
    rows = env.to_host()
    rows[1, ERROR] = 1
    env._device.resident.put([1], rows[1])
    with pytest.raises(KernelError, match="replica 1"):
        lanes.take()


def main(argv: list[str]) -> None:
    """Compare all cases."""
    cases = dict(CASES)
    for word in argv:
        plant, _, numbers = word.partition("=")
        first, second = numbers.split(",")
        cases[plant] = (int(first), int(second))
    for plant, (lanes, steps) in cases.items():
        same_story(plant, lanes, steps)
    same_story("line3", 3, 11, spread=Spread())
    hours = {"decide": "events", "max_episode_steps": None, "max_episode_s": 6 * 3600.0, "epoch_s": 3000.0}
    same_story("make_to_stock", 3, 40, **hours)
    same_story("gearmotor", 2, 12, decide="events", max_episode_steps=4)
    same_learning("make_to_stock", 4)
    a_checkpoint_is_the_same("line3")
    a_checkpoint_is_the_same("make_to_stock", decide="events")
    a_stopped_replica_is_told()
    print("same")


if __name__ == "__main__":
    main(sys.argv[1:])
