"""The environment and the futures run a plant's own rules as the model itself does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from agents.advice.futures import block, play
from agents.advice.horizon import Reach
from agents.envs.env import PlantEnv, PlantVectorEnv
from sim import engine
from sim.compile import CompileError
from tests.sim.own_rules import drum, write

HOUR = 3_600_000


def test_the_environment_is_the_model_stepped_by_the_hour(tmp_path: Path) -> None:
    path = str(write(tmp_path))
    with pytest.raises(CompileError, match="allow_code=True"):
        PlantEnv(path)
    env = PlantVectorEnv(2, path, allow_code=True, reward_unit=100.0, max_episode_steps=4)
    env.reset(seed=3)
    own = env.compiled.own
    assert own is not None
    seed = int(env.rows[1, env.compiled.layout.at("seed")])
    model = own.model(env.compiled, seed, int(env.rows[1, env.compiled.layout.at("replica")]))
    for hour, index in enumerate((0, 18, 5), 1):
        _, rewards, _, truncated, _ = env.step(np.full((2, 1), index))
        model.set_controls([2 + index])
        model.run(hour * HOUR)
        assert np.array_equal(env.rows[1], model.to_row())
        assert np.isfinite(rewards).all()
        assert not truncated.any()
    assert env.step(np.zeros((2, 1), dtype=np.int64))[3].all()


def test_futures_of_one_present_differ_by_their_setpoints_only(tmp_path: Path) -> None:
    compiled = drum(tmp_path)
    rows = engine.new_rows(compiled, 7, 2)
    engine.run(rows, compiled, 2 * HOUR)
    over = Reach(lease=HOUR, horizon=2 * HOUR)
    outcome = play(block(rows, compiled, 5, None), compiled, np.array([[20], [20], [2]]), over)
    assert np.array_equal(outcome.change[0], outcome.change[1])
    assert not np.array_equal(outcome.change[0], outcome.change[2])
