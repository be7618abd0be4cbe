"""Every bundled plant with controls is an environment that keeps its promises, and says in which units it speaks."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import typer
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.env_checker import check_env as sb3_check_env
from typer.testing import CliRunner

from agents import commands
from agents.envs.check import check
from agents.envs.describe import describe, text_of
from agents.envs.env import PlantEnv, PlantVectorEnv, compiled_plant
from agents.envs.epochs import Moves, automatic, span_text
from agents.envs.fields import fields
from agents.envs.grid import Grid
from agents.envs.money import Terms
from agents.envs.schema import Observer
from agents.errors import AgentError, SchemaError
from agents.training.learning import Config
from sim.compile import Compiled, compile_plant
from sim.value import operating_cost
from tests.agents.kit import PLANTS
from tests.sim.test_engines import run_python

MODES = ("interval", "events")


def test_none_is_forgotten() -> None:
    assert {"gearmotor", "make_to_stock", "ft06", "serial_backlog4"} <= set(PLANTS)
    assert len(PLANTS) >= 12


@pytest.mark.parametrize("decide", MODES)
@pytest.mark.parametrize("name", PLANTS)
def test_all_three_checkers_pass(name: str, decide: str) -> None:
    compiled = compiled_plant(name)
    single = PlantEnv(compiled, decide=decide, reward_unit=1.0)
    check_env(single, skip_render_check=True)
    sb3_check_env(single, warn=True, skip_render_check=True)
    assert "equal from a state, inside limits" in check(compiled, 40, decide=decide, reward_unit=1.0)


def test_every_plant_plays_the_same_in_the_simulator_of_a_device() -> None:
    found = run_python("tests.agents.device_check", NUMBA_DISABLE_JIT="1", NUMBA_ENABLE_CUDASIM="1")
    assert found.split() == ["same"]


def test_a_device_that_plays_something_else_is_found(line3: Compiled, monkeypatch: pytest.MonkeyPatch) -> None:
    def other(lanes: int, device: str, **settings: Any) -> PlantVectorEnv:
        assert device == "cuda"
        return PlantVectorEnv(lanes, **{**settings, **wrong})

    monkeypatch.setattr("agents.envs.check.vector_env", other)
    wrong: dict[str, Any] = {}
    assert check(line3, 20, device="cuda").endswith("the same on cuda")
    for change, differs in (
        ({"first": 1}, "reward"),
        ({"discount_s": 99.0}, "discount"),
        ({"reward_unit": 9.0}, "reward"),
    ):
        wrong.clear()
        wrong.update(change)
        with pytest.raises(AgentError, match=f"{differs} on device cuda differs"):
            check(line3, 20, device="cuda")


@pytest.mark.gpu
def test_every_plant_plays_the_same_on_the_device() -> None:
    from sim.cuda import available, simulated
    from tests.agents.device_check import main

    if not available() or simulated():
        pytest.skip("no CUDA device here")
    main([])


class Sabotage:
    """Breaks one promise of the environment."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.set = monkeypatch.setattr

    def limit(self) -> None:
        self.set(Grid, "limit", lambda self, values, _rows, _layout: np.clip(values, self.low, self.high))

    def grid(self) -> None:
        def between(env: PlantVectorEnv, actions: Any) -> Any:
            values, none = env.grid.decode(actions), np.zeros(len(actions), dtype=np.int64)
            return np.minimum(values + 1, env.grid.high), {"clipped": none, "held": none}

        self.set(PlantVectorEnv, "_choose", between)

    def every(self) -> None:
        self.set(Moves, "kept", lambda _self, _now, wanted, _present: np.zeros(wanted.shape, dtype=bool))

    def terms(self) -> None:
        step = Terms.step
        self.set(Terms, "step", lambda self, rows: {k: 1.01 * v for k, v in step(self, rows).items()})

    def bounds(self) -> None:
        finish = Observer.finish

        def high(self: Observer, rows: Any, out: Any) -> None:
            finish(self, rows, out)
            out[:, 0] += 0.5

        self.set(Observer, "finish", high)

    def state(self) -> None:
        new = PlantVectorEnv._new

        def late(self: PlantVectorEnv, who: Any, state: Any = None) -> Any:
            rows = np.array(new(self, who, state))
            if state is not None:
                rows[:, self.compiled.layout.at("on_hand", 0)] += 1
            return rows

        self.set(PlantVectorEnv, "_new", late)


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("limit", "break a limit"),
        ("grid", "are not on the grid"),
        ("every", "moved before its time"),
        ("terms", "do not add up"),
        ("bounds", "turn.work is outside the bounds"),
        ("state", "started from a state it shows something else"),
    ],
)
def test_the_checker_finds_what_is_broken(
    what: str, told: str, line3: Compiled, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant = line3.plant
    coarse = compile_plant(replace(plant, controls=(replace(plant.controls[0], step=2, high=10),)))
    getattr(Sabotage(monkeypatch), what)()
    with pytest.raises(AgentError, match=told):
        check(coarse, 400, decide="events", reward_unit=1.0)


@pytest.mark.parametrize("name", PLANTS)
def test_units_turn_what_is_observed_into_quantities_of_the_plant(name: str) -> None:
    compiled = compiled_plant(name)
    env = PlantVectorEnv(2, compiled, reward_unit=1.0)
    observer, said = env.observer, fields(compiled)
    assert [f.name for f in said] == list(observer.fields)
    env.reset(seed=3)
    for _ in range(30):
        seen = env.step(env.action_space.sample())[0]
    for k, (f, at) in enumerate(zip(said, observer.offsets, strict=False)):
        quantity = f.zero + (f.one - f.zero) * seen[:, k]
        inside = np.abs(seen[:, k]) < 10.0
        assert quantity[inside] == pytest.approx(env.rows[inside, at], abs=1e-3), f.name


def test_a_period_to_come_and_a_whole_stock_are_named_with_their_size() -> None:
    said = {f.name: f for f in fields(compiled_plant("lost_sales"))}
    coming = said["shelf.arriving.1"]
    assert coming.meaning == "arrives at shelf in the 1. period of 24 h from now"
    assert said["shelf.arriving.2"].meaning.endswith("and later")
    assert coming.one == pytest.approx(40 / 3), "the highest level, over one more than the columns"
    assert (said["shelf.on_hand"].one, said["shelf.on_hand"].unit) == (40, "units")
    turn = {f.name: f for f in fields(compiled_plant("line3"))}
    assert (turn["control.cap"].zero, turn["control.cap"].one) == (2, 11)
    assert turn["wash.queue"].meaning == "parts in front of wash (buffer b2)"


@pytest.mark.parametrize("name", PLANTS)
def test_what_auto_would_choose_is_what_training_chooses(name: str) -> None:
    compiled = compiled_plant(name)
    decide, why = automatic(compiled.plant)
    assert decide == Config().decides(compiled)
    slow = [c for c in compiled.plant.controls if c.every * compiled.plant.tick_s >= 60.0]
    assert (decide == "events") == (not slow)
    assert any(c.id in why for c in slow) or decide == "events"


def test_a_time_is_said_in_its_largest_unit() -> None:
    times = (172_800.0, 7200.0, 600.0, 90.0, 0.1, 4321.5)
    assert [span_text(t) for t in times] == ["2 d", "2 h", "10 min", "90 s", "0.1 s", "1.20042 h"]


@pytest.mark.parametrize("name", PLANTS)
def test_the_command_describes_and_checks(name: str) -> None:
    app = typer.Typer()
    app.command()(commands.env)
    done = CliRunner().invoke(app, [name, "--steps", "5", "--json"])
    assert done.exit_code == 0, done.output
    about = json.loads(done.stdout)
    assert about["observation_space"]["shape"] == [len(about["fields"])] == [len(about["observed"])]
    assert about["action_space"]["nvec"] == [c["count"] for c in about["controls"]]
    for c in about["controls"]:
        assert c["low"] <= c["file"] <= c["high"]
        assert c["unit"]
    assert about["terms"]
    text = text_of(about)
    for word in (*about["fields"], *(c["id"] for c in about["controls"]), about["auto"]["why"]):
        assert word in text
    assert "equal alone and in a batch" in about["check"]


def test_the_text_says_units_bounds_and_when(line3: Compiled) -> None:
    text = text_of(describe(line3))
    assert "cap: 2 to 11 parts in steps of 1, moves once in 10 min; 6 in the file (release.housing.cap)" in text
    assert "limit: cap <= 8 while turn.down" in text
    assert "the interval: an hour, since a control may move as often" in text
    assert "would choose interval: cap may move once in 10 min only: asked at every event, an agent" in text
    assert "finished.on_hand     0 to 10   1 is 20 units" in text
    assert "in_all's" in text_of(describe("dual_sourcing"))
    narrowed = text_of(describe("make_to_stock", decide="events", decide_on=("demand", "wear")))
    assert "one decision at events (demand, wear), and at the latest after 1 h" in narrowed


def test_the_parts_of_the_cost_are_named_and_a_reward_may_be_made_of_them(line3: Compiled) -> None:
    def careful(info: dict[str, Any]) -> Any:
        return -(info["cost"] + 9.0 * info["terms"]["backlog.finished"])

    plain = PlantVectorEnv(3, line3, terms=True, max_episode_steps=4)
    own = PlantVectorEnv(3, line3, reward=careful, max_episode_steps=4)
    for env in (plain, own):
        env.reset(seed=2)
    for _ in range(9):
        action = plain.action_space.sample()
        before = plain.rows.copy()
        _, usual, _, ended, info = plain.step(action)
        _, reward, *_ = own.step(action)
        if not ended.any():
            assert info["cost"] == pytest.approx(operating_cost(before, plain.rows, line3))
        assert sum(info["terms"].values()) == pytest.approx(info["cost"])
        assert reward == pytest.approx(-info["cost"] - 9.0 * info["terms"]["backlog.finished"])
        assert usual == pytest.approx(-info["cost"] / plain.reward_unit)
    single = PlantEnv(line3, reward=careful)
    single.reset(seed=2)
    _, alone, *_, told = single.step(single.action_space.sample())
    assert alone == pytest.approx(-told["cost"] - 9.0 * told["terms"]["backlog.finished"])


def test_a_reward_that_is_none_is_refused(line3: Compiled) -> None:
    for wrong in (lambda _: 1.0, lambda info: info["cost"] * np.nan):
        env = PlantVectorEnv(2, line3, reward=wrong)
        env.reset(seed=1)
        with pytest.raises(SchemaError, match="expected 2 finite numbers, one for each environment"):
            env.step(env.action_space.sample())
    from agents.envs.settings import Settings

    with pytest.raises(ValueError, match="expected device 'cpu', found 'cuda'"):
        Settings(terms=True).check("cuda")
