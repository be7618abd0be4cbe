"""The environment on a device is the one on the host: in numba's simulator here, on a device where there is one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from agents.envs.device import DeviceGrid
from agents.envs.grid import Grid
from sim.compile import compile_plant
from sim.plantfile import load
from tests.sim.test_engines import run_python

SIMULATOR = {"NUMBA_DISABLE_JIT": "1", "NUMBA_ENABLE_CUDASIM": "1"}


def test_rows_money_observations_and_learning_are_the_same_in_the_simulator() -> None:
    assert run_python("tests.agents.device_inside", **SIMULATOR).split() == ["same"]


@pytest.mark.gpu
def test_rows_money_observations_and_learning_are_the_same_on_the_device() -> None:
    from sim.cuda import available, simulated
    from tests.agents.device_inside import main

    if not available() or simulated():
        pytest.skip("no CUDA device here")
    main(["gearmotor=6,30"])
    side: Any = torch.cuda.Stream  # without types of its own
    with torch.cuda.stream(side()):  # handed over to another stream, nothing is read too early
        main([])


def test_limits_move_the_same_setpoints_as_on_the_host() -> None:
    compiled = compile_plant(load("gearmotor"))
    grid = Grid(compiled.plant)
    rng = np.random.Generator(np.random.PCG64(1))
    rows = np.zeros((400, compiled.layout.width), dtype=np.int64)
    rows[:, compiled.controls] = grid.decode(rng.integers(0, grid.counts, size=(400, grid.size)))
    paint = next(i for i, s in enumerate(compiled.plant.stations) if s.id == "paint")
    rows[::2, compiled.layout.at("n_state", paint, 5)] = 1
    actions = rng.integers(0, grid.counts, size=(400, grid.size))
    decision = rng.integers(0, 30, size=400)
    ratio = np.array([1 + c % 4 for c in range(grid.size)])
    present = rows[:, compiled.controls]
    wanted = grid.decode(actions)
    kept = (decision[:, None] % ratio != 0) & (wanted != present)
    wanted = np.where(kept, present, wanted)
    expected = grid.limit(wanted, rows, compiled.layout)
    on_device = DeviceGrid(grid, compiled, torch.device("cpu"))
    found, clipped, held = on_device.admitted(
        torch.as_tensor(actions), torch.as_tensor(rows.T.copy()), torch.as_tensor(decision), ratio
    )
    assert np.array_equal(found.numpy(), expected)
    assert np.array_equal(clipped.numpy(), (expected != wanted).sum(axis=1))
    assert np.array_equal(held.numpy(), kept.sum(axis=1))
    assert clipped.sum() > 10, "no limit was met: nothing was tested"


@pytest.mark.gpu
def test_a_graph_learns_what_single_launches_learn() -> None:
    from sim.cuda import available, simulated

    if not available() or simulated() or not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    from agents.envs.device import PlantDeviceEnv
    from agents.training.device_lanes import DeviceLanes
    from agents.training.resident import ResidentPPO

    weights = []
    for graphs in (False, True):
        lanes = DeviceLanes(PlantDeviceEnv(64, "make_to_stock", stagger=True, reward_unit=10.0), 0.0, 10.0)
        lanes.seed(5)
        model = ResidentPPO(
            "MlpPolicy", lanes, n_steps=8, batch_size=128, n_epochs=2, device="cuda", seed=3, graphs=graphs,
            learning_rate=lambda left: 1e-3 * left,
        )  # fmt: skip
        model.learn(64 * 8 * 3)
        assert (model._graphed is not None) == graphs
        weights.append({name: value.cpu() for name, value in model.policy.state_dict().items()})
    for name, value in weights[0].items():
        torch.testing.assert_close(weights[1][name], value, atol=2e-5, rtol=1e-4, msg=name)
