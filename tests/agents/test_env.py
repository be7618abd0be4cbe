from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode

from agents.envs.check import check
from agents.envs.env import PlantEnv, PlantVectorEnv
from agents.errors import SchemaError
from agents.seeds import Spread
from sim.compile import Compiled
from sim.kernel import new_rows, run
from sim.kpi import cost_weights


def test_gymnasium_makes_both_by_the_module_form() -> None:
    env = gymnasium.make("plantwin:Plant-v0", plant="gearmotor", max_episode_steps=5)
    observation, info = env.reset(seed=1)
    assert env.observation_space.contains(observation)
    assert info["fields"][0] == "machining.work"
    envs = gymnasium.make_vec("plantwin:Plant-v0", num_envs=3, plant="gearmotor")
    assert envs.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    first, _ = envs.reset(seed=1)
    assert first.shape == (3, observation.size)
    assert np.array_equal(first[0], observation)


@pytest.mark.parametrize("name", ["gearmotor", "line3"])
def test_gymnasiums_own_checker_passes(name: str) -> None:
    env = gymnasium.make("plantwin:Plant-v0", plant=name).unwrapped
    check_env(env, skip_render_check=True)


@pytest.mark.parametrize("name", ["gearmotor", "line3"])
def test_our_checker_passes(name: str) -> None:
    assert "equal alone and in a batch" in check(name, 60)


def test_a_checker_that_sees_a_broken_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: PlantVectorEnv, actions: np.ndarray) -> Any:
        observation, reward, *rest = original(self, actions)
        return observation, reward + np.random.default_rng().random(), *rest

    original = PlantVectorEnv.step
    monkeypatch.setattr(PlantVectorEnv, "step", broken)
    with pytest.raises(Exception, match="another episode"):
        check("line3", 20)


def test_reward_is_minus_cost_in_its_unit_and_info_has_the_money(two_motors: Compiled) -> None:
    env = PlantVectorEnv(4, two_motors)
    env.reset(seed=5)
    before = env.rows.copy()
    action = env.action_space.sample()
    _, reward, _, _, info = env.step(action)
    offsets, weights = cost_weights(two_motors)
    assert info["cash"] == pytest.approx((env.rows - before)[:, offsets] @ weights)
    assert reward == pytest.approx(-info["cost"] / env.reward_unit)


def test_same_step_autoreset_hands_out_the_last_observation_and_truncates(line3: Compiled) -> None:
    env = PlantVectorEnv(4, line3, max_episode_steps=6, stagger=True)
    env.reset(seed=2)
    ended = []
    for _ in range(12):
        observation, _, terminated, truncated, info = env.step(env.action_space.sample())
        assert not terminated.any()
        assert ("final_obs" in info) == bool(truncated.any())
        for i in np.flatnonzero(truncated):
            assert env.rows[i, 0] == 0  # a fresh plant at tick 0
            assert not np.array_equal(info["final_obs"][i], observation[i])
        ended.append(int(truncated.sum()))
    assert max(ended) < 4, "staggered clocks do not end together"
    assert sum(ended) == 8, "each of four environments ends once in six steps"


def test_limits_are_kept_and_what_was_moved_is_counted(two_motors: Compiled) -> None:
    env = PlantVectorEnv(64, two_motors, stagger=False)
    env.reset(seed=1)
    top = np.repeat((env.grid.counts - 1)[None, :], 64, axis=0)
    moved = 0
    paint = two_motors.station_index["paint"]
    for _ in range(60):
        down = two_motors.layout.view(env.rows, "n_state")[:, paint, 5] > 0
        present = env.rows[:, two_motors.controls].copy()
        *_, info = env.step(top)
        now = env.rows[:, two_motors.controls]
        moved += int(info["clipped"].sum())
        assert (now[down, 0] <= 22).all()
        assert (now[down, 1] <= 15).all()
        assert (now[~down, 0] == 26).all()
        assert ((now[:, 4] == present[:, 4]) | (now[:, 4] == 1200)).all()
    assert moved > 0


def test_a_control_moves_only_when_its_every_has_passed(two_motors: Compiled) -> None:
    env = PlantVectorEnv(1, two_motors)
    env.reset(seed=0)
    held = []
    for k in range(48):
        action = np.full((1, env.grid.size), k % 2 * 5)
        held.append(int(env.step(action)[4]["held"][0]))
    kit = env.grid.ids.index("kit_level")
    assert env.ratio[kit] == 24
    assert sum(held) > 24


def test_it_starts_from_any_state(two_motors: Compiled) -> None:
    rows = new_rows(two_motors, 9, 1)
    run(rows, two_motors, two_motors.ticks(90_000))
    env = PlantEnv(two_motors)
    observation, _ = env.reset(seed=0, options={"state": rows[0]})
    assert np.array_equal(env.rows, rows)
    assert observation[env.fields.index("stock40.on_hand")] > 0
    with pytest.raises(SchemaError, match="width"):
        env.reset(options={"state": rows[0, :-1]})


def test_parameters_are_spread_and_repeatable(line3: Compiled) -> None:
    rows = []
    for _ in range(2):
        env = PlantVectorEnv(8, line3, spread=Spread())
        env.reset(seed=4)
        rows.append(line3.layout.view(env.rows, "work_scale").copy())
    assert np.array_equal(rows[0], rows[1])
    assert len(np.unique(rows[0])) > 10


def test_a_plant_without_controls_is_refused() -> None:
    with pytest.raises(SchemaError, match="mm1 has no controls"):
        PlantVectorEnv(2, "mm1")


def test_the_accelerator_is_refused_not_ignored(line3: Compiled) -> None:
    with pytest.raises(ValueError, match=r"make_vec\(\.\.\., device='cuda'\)"):
        PlantVectorEnv(2, line3, device="cuda")
