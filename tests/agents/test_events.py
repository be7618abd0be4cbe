"""Decisions at events: when they fall, what a step costs and discounts, and that evaluation plays them so."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np
import pytest
import typer
from gymnasium.utils.env_checker import check_env
from numpy.typing import NDArray
from typer.testing import CliRunner

from agents import commands
from agents.advice.horizon import scale_s
from agents.bundles.bundle import Bundle
from agents.control.controllers import Hold, policy
from agents.control.rollout import Operation
from agents.envs.check import check
from agents.envs.env import PlantEnv, PlantVectorEnv
from agents.envs.epochs import HORIZONS
from agents.envs.grid import Grid
from agents.envs.schema import Observer, angle
from agents.errors import SchemaError
from agents.evaluation.evaluate import Trial, compare
from agents.seeds import TRAIN, block_seed
from sim import kernel
from sim.compile import Compiled, compile_plant
from sim.kernel import new_rows, run, trace
from sim.state import EVENTS as EVENT_COUNT
from sim.state import EVERY_KIND, K_DEMAND, NOW
from sim.value import operating_cost

Rows = NDArray[np.int64]


@pytest.fixture(scope="session")
def make_to_stock() -> Compiled:
    from agents.envs.env import compiled_plant

    return compiled_plant("make_to_stock")


def hold(env: PlantVectorEnv) -> NDArray[np.int64]:
    """The action that leaves all controls where they are."""
    return env.grid.encode(kernel.get_controls(env.rows, env.compiled))


@pytest.mark.parametrize("name", ["gearmotor", "make_to_stock"])
def test_gymnasiums_and_our_checker_pass(name: str) -> None:
    env = gymnasium.make("plantwin:Plant-v0", plant=name, decide="events").unwrapped
    check_env(env, skip_render_check=True)
    assert "equal alone and in a batch" in check(name, 60, decide="events")


@pytest.mark.parametrize("decide", ["interval", "events"])
def test_stable_baselines_checker_passes(decide: str, line3: Compiled) -> None:
    from stable_baselines3.common.env_checker import check_env as theirs

    theirs(PlantEnv(line3, decide=decide), warn=True, skip_render_check=True)


def test_a_decision_falls_at_every_tick_with_an_event(make_to_stock: Compiled) -> None:
    env = PlantVectorEnv(3, make_to_stock, decide="events", epoch_s=1e9, max_episode_s=1e9)
    env.reset(seed=3)
    begin = env.rows.copy()
    steps = [env.step(hold(env))[4] for _ in range(80)]
    elapsed = np.array([info["elapsed"] for info in steps])
    for i in range(3):
        row = begin[i].copy()
        events = trace(row, make_to_stock, int(env.rows[i, NOW]) + 1)
        assert np.cumsum(elapsed[:, i]).tolist() == sorted({int(t) for t in events[:, 0]})
    last = begin.copy()
    run(last, make_to_stock, env.rows[:, NOW].copy())
    total = np.sum([info["cost"] for info in steps], axis=0)
    assert total == pytest.approx(operating_cost(begin, last, make_to_stock), rel=1e-9, abs=1e-6)


def test_kinds_narrow_the_decisions_and_an_interval_bounds_them(make_to_stock: Compiled) -> None:
    env = PlantVectorEnv(2, make_to_stock, decide="events", decide_on=("demand",), epoch_s=3600.0, max_episode_s=1e9)
    env.reset(seed=3)
    begin, ticks = env.rows.copy(), []
    for _ in range(60):
        env.step(hold(env))
        ticks.append(env.rows[:, NOW].copy())
    for i in range(2):
        events = trace(begin[i].copy(), make_to_stock, int(env.rows[i, NOW]) + 1)
        orders = {int(t) for t, _, kind in events if kind == K_DEMAND}
        at = [0, *(int(t[i]) for t in ticks)]
        gaps = np.diff(at)
        assert gaps.max() == 36_000
        assert all(now in orders or gap == 36_000 for now, gap in zip(at[1:], gaps, strict=True))
        assert orders <= set(at)


def test_what_a_step_discounts_is_the_time_it_took(make_to_stock: Compiled) -> None:
    env = PlantVectorEnv(16, make_to_stock, decide="events", discount_s=7200.0)
    env.reset(seed=3)
    *_, info = env.step(hold(env))
    seconds = info["elapsed"] * make_to_stock.plant.tick_s
    assert info["discount"] == pytest.approx(np.exp(-seconds / 7200.0))
    assert info["accrual"] == pytest.approx([np.exp(-np.linspace(0, s, 20_001) / 7200.0).mean() for s in seconds], 1e-4)
    assert len(np.unique(info["discount"])) > 4
    usual = PlantVectorEnv(2, make_to_stock)
    usual.reset(seed=3)
    *_, info = usual.step(hold(usual))
    assert info["elapsed"].tolist() == [usual.epoch] * 2
    assert info["discount"] == pytest.approx(np.exp(-3600.0 / (HORIZONS * scale_s(make_to_stock.plant))))


def test_steps_in_a_row_discount_as_one_long_step(make_to_stock: Compiled) -> None:
    """Cost that accrues evenly is worth the same however the time is cut."""
    pace = PlantVectorEnv(1, make_to_stock, decide="events", discount_s=3600.0).pace
    parts = np.array([1, 7000, 30_000, 2, 0, 12_345])
    discount, inside = pace.discount(parts)
    before = np.concatenate([[1.0], np.cumprod(discount)[:-1]])
    whole, accrual = pace.discount(np.array([parts.sum()]))
    assert np.prod(discount) == pytest.approx(whole[0])
    assert (before * inside * parts).sum() == pytest.approx(accrual[0] * parts.sum())


def test_no_control_moves_twice_within_its_every(make_to_stock: Compiled) -> None:
    plant, every = make_to_stock.plant, 108_000
    slow = (plant.controls[0], replace(plant.controls[1], every=every))
    env = PlantVectorEnv(3, compile_plant(replace(plant, controls=slow)), decide="events", max_episode_s=1e9)
    env.reset(seed=0)
    rng = np.random.Generator(np.random.PCG64(1))
    moved: list[list[int]] = [[], [], []]
    held = 0
    for _ in range(200):
        before, now = kernel.get_controls(env.rows, env.compiled), env.rows[:, NOW].copy()
        actions = rng.integers(0, env.grid.counts, size=(3, 2))
        held += int(env.step(actions)[4]["held"].sum())
        for i in np.flatnonzero(kernel.get_controls(env.rows, env.compiled)[:, 1] != before[:, 1]):
            moved[i].append(int(now[i]))
    assert held > 100
    for times in moved:
        assert len(times) >= 20
        assert min(np.diff(times)) >= every
        assert max(np.diff(times)) < 2 * every, "it may move when its time has passed"


def test_an_episode_ends_at_its_plant_time_and_clocks_are_staggered(make_to_stock: Compiled) -> None:
    env = PlantVectorEnv(4, make_to_stock, decide="events", max_episode_s=40 * 3600.0, stagger=True)
    env.reset(seed=5)
    ends: list[list[int]] = [[], [], [], []]
    clock = np.zeros(4, dtype=np.int64)
    while clock.min() < 3 * 1_440_000:
        observation, _, terminated, truncated, info = env.step(hold(env))
        clock += info["elapsed"]
        assert not terminated.any()
        assert ("final_obs" in info) == bool(truncated.any())
        for i in np.flatnonzero(truncated):
            ends[i].append(int(clock[i]))
            assert env.rows[i, NOW] == 0
            assert not np.array_equal(info["final_obs"][i], observation[i])
    assert [one[0] for one in ends] == [1_440_000, 1_080_000, 720_000, 360_000]
    assert all(set(np.diff(one)) == {1_440_000} for one in ends)


def test_without_autoreset_an_environment_goes_on_after_its_end(make_to_stock: Compiled) -> None:
    env = PlantVectorEnv(2, make_to_stock, decide="events", max_episode_s=7200.0, autoreset="disabled")
    env.reset(seed=5)
    truncated = np.zeros(2, dtype=bool)
    while not truncated.all():
        *_, truncated, info = env.step(hold(env))
    *_, truncated, info = env.step(hold(env))
    assert truncated.all()
    assert (info["elapsed"] > 0).all()


def test_what_makes_no_sense_is_refused(line3: Compiled) -> None:
    with pytest.raises(SchemaError, match="decide 'now': expected interval or events"):
        PlantVectorEnv(1, line3, decide="now")
    with pytest.raises(SchemaError, match="expected decide='events' beside it"):
        PlantVectorEnv(1, line3, decide_on=("demand",))
    with pytest.raises(SchemaError, match="expected some of work_end"):
        PlantVectorEnv(1, line3, decide="events", decide_on=("lunch",))


def test_new_episodes_begin_as_the_kernel_begins_them(line3: Compiled) -> None:
    env = PlantVectorEnv(4, line3, first=6, max_episode_steps=2)
    env.reset(seed=9)
    seed = block_seed(TRAIN, 9)
    np.testing.assert_array_equal(env.rows, new_rows(line3, seed, 4, 6))
    for _ in range(2):
        env.step(hold(env))
    np.testing.assert_array_equal(env.rows, new_rows(line3, seed, 4, (1 << 32) + 6))


class Backlog:
    """Raises the last base stock while anybody waits for it; decides at events (or, with `kinds` 0, at intervals)."""

    name = "backlog"
    static = False
    epoch_s: float | None = 3600.0

    def __init__(self, compiled: Compiled, kinds: int) -> None:
        self.compiled, self.kinds = compiled, kinds
        self.asked: list[NDArray[np.int64]] = []

    def act(self, rows: Rows) -> NDArray[np.int64]:
        self.asked.append(rows[:, NOW].copy())
        values = np.repeat(np.array([[6, 3]]), len(rows), axis=0)
        waiting = self.compiled.layout.view(rows, "backorders")[:, 0]
        values[:, 0] += np.minimum(waiting, 10)
        return values


def test_evaluation_asks_at_events_as_the_environment_does(make_to_stock: Compiled) -> None:
    who = Backlog(make_to_stock, EVERY_KIND)
    env = PlantVectorEnv(3, make_to_stock, decide="events", epoch_s=3600.0, max_episode_s=1e9)
    env.reset(seed=4)
    rows = env.rows.copy()
    hour = make_to_stock.ticks(3600.0)
    operation = Operation(make_to_stock, who, hour)
    operation.run(rows, 100 * hour)
    assert (rows[:, NOW] == 100 * hour).all()
    asked = [sorted({int(t[i]) for t in who.asked}) for i in range(3)]
    ticks: list[list[int]] = [[], [], []]
    while (env.rows[:, NOW] < 100 * hour - 1).any():
        for i in range(3):
            ticks[i].append(int(env.rows[i, NOW]))
        env.step(env.grid.encode(who.act(env.rows)))
    for i in range(3):
        kept = [t for t in ticks[i] if t < 100 * hour - 1]
        assert [t for t in asked[i] if t < 100 * hour - 1] == kept
        assert rows[i, EVENT_COUNT] > 80
    later = env.rows.copy()
    until = int(later[:, NOW].max())
    run(later, make_to_stock, until + 1)
    operation.run(rows, until + 1)
    assert set(np.unique(kernel.get_controls(rows, make_to_stock)[:, 1])) == {3}


def test_deciding_more_often_is_worth_something_and_constants_are_worth_the_same(make_to_stock: Compiled) -> None:
    trial = Trial(pairs=64, warmup_s=50 * 3600.0, length_s=300 * 3600.0)

    class Same(Hold):
        static = False
        kinds = EVERY_KIND
        epoch_s: float | None = 3600.0

        def act(self, rows: Rows) -> Any:
            return kernel.get_controls(rows, make_to_stock).copy()

    nothing = compare(Same(), Hold(), make_to_stock, trial)
    assert nothing.difference == pytest.approx(0.0, abs=1e-9)
    slow = Backlog(make_to_stock, 0)
    slow.epoch_s = 24 * 3600.0
    verdict = compare(Backlog(make_to_stock, EVERY_KIND), slow, make_to_stock, trial)
    assert verdict.difference != 0.0


def test_a_bundle_says_when_it_decides(gearmotor: Compiled) -> None:
    from agents.bundles.bundle import BUNDLED
    from agents.control.controllers import PolicyController

    shipped = policy(BUNDLED / "gearmotor", gearmotor)
    assert shipped.kinds == 0
    assert shipped.bundle.decide == "interval"
    loaded = shipped.bundle
    for extra, kinds in (({"decide": "events"}, EVERY_KIND), ({"decide": "events", "decide_on": ["demand"]}, 512)):
        changed = Bundle(loaded.name, loaded.network, {**loaded.spec, **extra}, loaded.evidence)
        who = PolicyController(changed, Observer(gearmotor), Grid(gearmotor.plant))
        assert who.kinds == kinds
        assert Operation(gearmotor, who, 1).kinds == kinds


def test_the_table_of_sines_is_exact_enough() -> None:
    turns = np.concatenate([np.random.Generator(np.random.PCG64(2)).uniform(0, 4000, 5000), np.arange(4097) / 4096])
    sine, cosine = angle(turns)
    np.testing.assert_allclose(sine, np.sin(2 * np.pi * turns), atol=1e-9)
    np.testing.assert_allclose(cosine, np.cos(2 * np.pi * turns), atol=1e-9)


def test_the_command_says_it() -> None:
    app = typer.Typer()
    app.command()(commands.env)
    app.command()(commands.evaluate)
    runner = CliRunner()
    done = runner.invoke(app, ["env", "make_to_stock", "--steps", "20", "--decide", "events"])
    assert done.exit_code == 0, done.output
    assert "one decision at every event, and at the latest after 1 h" in done.stdout
    assert "an episode: 28 days; info['discount'] falls to 1/e in 223.377 h" in done.stdout
    done = runner.invoke(app, ["env", "make_to_stock", "--decide", "never"])
    assert done.exit_code == 1
    assert "decide 'never': expected interval or events" in done.stderr
