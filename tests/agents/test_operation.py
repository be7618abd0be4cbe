"""What is judged is what the environment lets an agent do: the same moves, the same limits, the same rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from agents.control.controllers import Controller, Hold, RuleController
from agents.control.rollout import Operation
from agents.envs.env import PlantVectorEnv
from agents.envs.grid import Grid
from agents.rules.rule import Rule
from sim.compile import Compiled
from sim.kernel import get_controls, run, set_controls

Rows = NDArray[np.int64]


class Restless:
    """Wants something else at every question, by the time and what is on hand."""

    name = "restless"
    static = False
    epoch_s: float | None = None

    def __init__(self, compiled: Compiled) -> None:
        self.compiled, self.grid = compiled, Grid(compiled.plant)
        self.asked: list[int] = []

    def act(self, rows: Rows) -> NDArray[np.int64]:
        now = rows[:, self.compiled.layout.at("now")]
        self.asked.append(int(now[0]))
        stock = self.compiled.layout.view(rows, "on_hand").sum(axis=1)
        index = (now // 1000 + 7 * stock)[:, None] + np.arange(self.grid.size)
        return self.grid.decode(index % self.grid.counts)


def both(compiled: Compiled, who: Controller, action: Any, hours: int, break_at: float) -> tuple[Rows, Rows]:
    """Rows after as many hours in the environment, and in two runs of an operation that meet at `break_at` hours."""
    env = PlantVectorEnv(4, compiled, reward_unit=1.0, autoreset="disabled", max_episode_s=1e9)
    env.reset(seed=3)
    rows = env.rows.copy()
    for _ in range(hours):
        env.step(action(env.rows))
    operation = Operation(compiled, who, env.epoch)
    operation.run(rows, compiled.ticks(break_at * 3600))
    operation.run(rows, compiled.ticks(hours * 3600))
    return env.rows, rows


@pytest.mark.parametrize("break_at", [24.0, 30.35])
def test_controls_move_as_the_environment_lets_them(two_motors: Compiled, break_at: float) -> None:
    who, same = Restless(two_motors), Restless(two_motors)
    grid = who.grid
    there, here = both(two_motors, who, lambda rows: grid.encode(same.act(rows)), 72, break_at)
    assert np.array_equal(there, here)
    assert who.asked == same.asked, "a run that ends inside an interval does not ask twice in it"
    assert len(who.asked) == 72


def test_no_control_moves_sooner_than_its_every(two_motors: Compiled) -> None:
    who = Restless(two_motors)
    env = PlantVectorEnv(2, two_motors, reward_unit=1.0)
    env.reset(seed=1)
    rows, operation = env.rows.copy(), Operation(two_motors, who, env.epoch)
    kit = who.grid.ids.index("kit_level")
    seen = []
    for hour in range(1, 97):
        operation.run(rows, two_motors.ticks(3600 * hour))
        seen.append(int(get_controls(rows, two_motors)[0, kit]))
    moved = np.flatnonzero(np.diff(seen)) + 1
    assert len(moved) >= 2
    assert set(moved % 24) == {0}, "daily, as the plant file says"


def test_a_constant_rule_breaks_no_limit_either(two_motors: Compiled) -> None:
    grid = Grid(two_motors.plant)
    values = {"cap40": 26, "cap80": 18, "base40": 64, "base80": 34, "kit_level": 1200}
    who = RuleController(Rule(values), two_motors, grid)
    assert who.static
    action = np.repeat(grid.encode(grid.vector(values))[None], 4, axis=0)
    there, here = both(two_motors, who, lambda _: action, 96, 48.0)
    assert np.array_equal(there, here)
    free = PlantVectorEnv(4, two_motors, reward_unit=1.0)
    free.reset(seed=3)
    rows = free.rows.copy()
    set_controls(rows, two_motors, grid.vector(values))
    run(rows, two_motors, two_motors.ticks(96 * 3600))
    assert not np.array_equal(here, rows), "no limit was met: nothing was tested"


def test_what_breaks_no_limit_is_asked_once_a_run(two_motors: Compiled) -> None:
    grid = Grid(two_motors.plant)
    values = {"cap40": 14, "cap80": 9, "base40": 34, "base80": 22, "kit_level": 760}
    low, high = (grid.vector({**values, "cap40": cap})[None] for cap in (14, 26))
    assert not grid.depends(low)
    assert grid.depends(high)
    asked = []

    class Once(Hold):
        def act(self, rows: Rows) -> Any:
            asked.append(len(rows))
            return np.repeat(low, len(rows), axis=0)

    env = PlantVectorEnv(2, two_motors, reward_unit=1.0)
    env.reset(seed=1)
    operation = Operation(two_motors, Once(), env.epoch)
    operation.run(env.rows, two_motors.ticks(36_000))
    operation.run(env.rows, two_motors.ticks(72_000))
    assert asked == [2, 2]
