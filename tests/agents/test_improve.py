"""The last stage of training: branched moments, what is counted of them, and how near it comes to exact optima."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from threadpoolctl import threadpool_limits
from typer.testing import CliRunner

from agents.commands_policy import policy as policy_commands
from agents.control.controllers import controller
from agents.envs.branch import branch
from agents.envs.env import PlantVectorEnv, compiled_plant
from agents.envs.grid import Grid, as_switches
from agents.envs.schema import Observer
from agents.exact.optimum import optimum, policy_cost
from agents.exact.table import table_of
from agents.rules.rule import Rule
from agents.training.finish import COUNTED, DISTILLED, PPO_S, PPO_SHARE, Ending, _best_of, ending, share_of
from agents.training.improve import Basis, Improvement, Improver, _more, _Task
from agents.training.learning import Config, Untold
from agents.training.states import Counts, Played, States
from agents.training.train import Job, train
from sim.compile import compile_plant


def small_env(plant: str = "make_to_stock", lanes: int = 8) -> PlantVectorEnv:
    compiled = compiled_plant(plant)
    return PlantVectorEnv(lanes, compile_plant(as_switches(compiled.plant)), decide="events", epoch_s=36_000.0)


def test_a_branch_is_the_step_that_would_have_been_taken() -> None:
    env, twin = small_env(), small_env()
    for e in (env, twin):
        e.reset(seed=3)
        for k in range(40):
            e.step(np.tile([k % 2, 1], (8, 1)))
    before = env.rows.copy()
    actions = np.array([[0, 1], [1, 1], [0, 0], [1, 0]])
    found = branch(env, np.repeat(np.arange(8), 4), np.tile(actions, (8, 1)))
    assert np.array_equal(env.rows, before), "the environments stay as they are"
    for j, action in enumerate(actions):
        twin.reset(options={"state": before})
        twin.moves.last[...] = env.moves.last
        seen, _, _, _, info = twin.step(np.tile(action, (8, 1)))
        mine = slice(j, None, 4)
        assert np.array_equal(found.observation[mine], seen)
        assert found.cost[mine] == pytest.approx(info["cost"])
        assert np.array_equal(found.elapsed[mine], info["elapsed"])
        assert found.discount[mine] == pytest.approx(info["discount"])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.tuples(st.integers(-2, 2), st.integers(0, 1)), min_size=1, max_size=12), max_size=5))
def test_states_are_numbered_once(batches: list[list[tuple[int, int]]]) -> None:
    states = States(np.array([True, False]))
    numbers: dict[int, int] = {}
    for batch in batches:
        ids = states.find(np.array(batch, dtype=np.float32))
        for (value, _), found in zip(batch, ids.tolist(), strict=True):
            assert numbers.setdefault(value, found) == found
    assert len(states) == len(numbers)
    assert sorted(numbers.values()) == list(range(len(numbers)))


def test_zero_has_no_sign() -> None:
    states = States(np.array([True]))
    assert states.find(np.array([[0.0], [-0.0]], dtype=np.float32)).tolist() == [0, 0]


def test_counts_are_the_sums_of_what_came() -> None:
    rng = np.random.default_rng(0)
    known = Counts(States(np.array([True])), 2)
    cost, often, times = np.zeros((6, 2)), np.zeros((12, 6, 2)), np.zeros(6)
    for _ in range(20):
        here, after = rng.integers(0, 6, 5), rng.integers(0, 6, (5, 2))
        paid, took = rng.random((5, 2)), rng.random((5, 2))
        known.add(here[:, None].astype(np.float32), paid, took, after[:, :, None].astype(np.float32))
        for k in range(5):
            times[here[k]] += 1
            for j in range(2):
                cost[here[k], j] += paid[k, j]
                often[here[k] * 2 + j, after[k, j]] += 1.0, took[k, j]
    name = known.states.seen[:, 0].astype(int)  # number -> value
    pair, next_, *sums = known.follows()
    assert known.times == pytest.approx(times[name])
    assert known.cost == pytest.approx(cost[name])
    for k, found in enumerate(sums):
        mine = sparse.coo_matrix((found, (pair, next_)), shape=(2 * len(name), len(name))).toarray()
        expected = often[:, :, k].reshape(6, 2, 6)[name][:, :, name]
        assert mine.reshape(len(name), 2, -1) == pytest.approx(expected)


def test_values_are_exact_where_the_features_tell_all_states_apart() -> None:
    """Three states in a ring, where steps take 1, 2 and 3: 6 EUR in 6 hours; jumping on the spot from the last state
    costs 0.5 EUR in an hour.
    """
    known = Counts(States(np.array([True])), 2)
    here = np.array([[0.0], [1.0], [2.0]], dtype=np.float32)
    after = np.array([[[1.0], [0.0]], [[2.0], [1.0]], [[0.0], [2.0]]], dtype=np.float32)
    cost, took = np.array([[1.0, 9.0], [2.0, 9.0], [3.0, 0.5]]), np.array([[1.0, 1.0], [2.0, 1.0], [3.0, 1.0]])
    known.add(here, cost, took, after)
    phi = np.eye(3)
    phi[:, 2] = 1.0
    task = _Task(known, phi, Improvement(ridge=0.0), ((2,), np.array([[0], [1]])))
    chosen, at = np.zeros(3, dtype=np.int64), known.states.find(here)
    value, average = task.value(chosen)
    hours = float(took.mean())
    assert average / hours == pytest.approx(1.0), "EUR/h"
    along = value[at]
    assert along[0] - along[1] == pytest.approx(1.0 - 1.0)
    assert along[1] - along[2] == pytest.approx(2.0 - 2.0)
    assert task.choose(task.heads(chosen, value, average))[at].tolist() == [0, 0, 1], "0.5 an hour for ever is cheaper"


def test_a_control_without_effect_is_compared_where_it_has_one() -> None:
    """While maintained (control 1 at 0) the base stock (control 0) makes no difference: it is judged at 1."""
    joint = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    total = np.array([[5.0, 7.0, 5.0, 4.0]])
    more, counts = _more(total, np.array([[0, 0]]), joint, (2, 2), 0)
    assert counts.tolist() == [True]
    assert more.tolist() == [[1.5, -1.5]]
    more, counts = _more(total, np.array([[1, 1]]), joint, (2, 2), 1)
    assert more.tolist() == [[0.5, -0.5]]
    _, counts = _more(np.array([[5.0, 5.0, 5.0, 5.0]]), np.array([[0, 0]]), joint, (2, 2), 0)
    assert counts.tolist() == [False]


def test_the_network_is_the_fitted_policy() -> None:
    env = small_env(lanes=64)
    improver = Improver(env, 1.0, lambda seen: np.ones((len(seen), 2), dtype=np.int64), Improvement(units=24))
    improver.round()
    assert isinstance(improver.basis, Basis)
    seen = improver.states.seen
    assert np.array_equal(improver.network.decide(seen), improver.policy(seen))
    assert len(np.unique(improver.network.decide(seen), axis=0)) > 1


@pytest.mark.parametrize(("plant", "rounds", "above"), [("make_to_stock", 24, 0.08), ("lost_sales", 8, 0.03)])
def test_it_comes_near_the_optimum_in_seconds(plant: str, rounds: int, above: float) -> None:
    """From constant setpoints (the best of make_to_stock lie 12 % above), on a hundredth of a usual budget."""
    full = compiled_plant(plant)
    compiled = compile_plant(as_switches(full.plant))
    decide = Config().decides(compiled)
    env = PlantVectorEnv(512, compiled, decide=decide, epoch_s=20_000.0 if decide == "events" else None, stagger=True)
    middle = np.array(env.grid.counts) // 2
    improver = Improver(env, 1.0, lambda seen: np.tile(middle, (len(seen), 1)), seed=1)
    with threadpool_limits(limits=1, user_api="blas"):
        for _ in range(rounds):
            improver.round()
        improver.improve()
    who = Untold(improver.network, Observer(compiled), Grid(compiled.plant), env.pace.kinds)
    cost = policy_cost(full.plant, table_of(who, full).policy)[0]
    least = optimum(full.plant).cost
    assert least <= cost * (1.0 + 1e-9)
    assert cost <= (1.0 + above) * least


def test_a_policy_is_worth_what_was_played_of_it() -> None:
    """Two states that change places; branched once, at a cost that was luck, and played a million times."""
    known, played = Counts(States(np.array([True])), 2), Played(2)
    here = np.array([[0.0], [1.0]], dtype=np.float32)
    after = np.array([[[1.0], [0.0]], [[0.0], [1.0]]], dtype=np.float32)
    known.add(here, np.array([[50.0, 9.0], [50.0, 9.0]]), np.ones((2, 2)), after)
    a, b = known.states.find(here).tolist()
    for first, then, cost in ((a, b, 1.0), (b, a, 3.0)):
        for _ in range(2):
            n = 1000
            played.add(np.full(n, first), np.zeros(n, dtype=np.int64), np.full(n, then), np.ones(n), np.full(n, cost))
    pair, there, often, took, cost_ = played.follows()
    assert pair.tolist() == sorted([2 * a, 2 * b])
    assert there.tolist() == [b, a] if a < b else [a, b]
    assert often.tolist() == took.tolist() == [2000.0, 2000.0]
    assert sorted(cost_.tolist()) == [2000.0, 6000.0]
    phi = np.eye(2)
    phi[:, 1] = 1.0
    grid = ((2,), np.array([[0], [1]]))
    chosen = np.zeros(2, dtype=np.int64)
    assert _Task(known, phi, Improvement(ridge=0.0), grid).value(chosen)[1] == pytest.approx(50.0)
    value, average = _Task(known, phi, Improvement(ridge=0.0), grid, played=played).value(chosen)
    assert average == pytest.approx((2.0 * 2000.0 + 50.0) / 2001.0)
    assert value[b] - value[a] == pytest.approx(1.0, abs=0.01), "what follows at once costs 2 more, later 2 less"


def test_which_stage_follows_ppo() -> None:
    config, events, interval = Config(), {"decide": "events", "reward_unit": 1.0}, {"reward_unit": 1.0}
    long: tuple[float, int | None] = (600.0, 10**9)  # decisions count, not seconds
    switched = compile_plant(as_switches(compiled_plant("make_to_stock").plant))
    assert ending(config, switched, False, events, long) == Ending(COUNTED, 1.0 - PPO_SHARE)
    assert ending(replace(config, improve=0.0), switched, False, events, long) == Ending()
    assert ending(config, switched, True, events, long) == Ending(), "parameters that differ from episode to episode"
    assert ending(replace(config, trainer="stock"), switched, False, events, long) == Ending()
    large = compiled_plant("gearmotor")
    assert ending(config, large, False, interval, long) == Ending(DISTILLED, 1.0 - PPO_SHARE, 8 * 3600.0)
    assert ending(replace(config, epoch_s=7200.0), large, False, interval, long).epoch_s == 7200.0
    tight: list[tuple[tuple[float, int | None], str]] = [
        ((600.0, 200_000), r"[\d,]+ decisions or more, found 200,000; raise --steps"),
        ((1.0, None), r"[\d,]+ s or more, found 1; raise --budget"),
    ]
    for budget, told in tight:
        found = ending(config, large, False, interval, budget)
        assert (found.kind, found.share) == ("", 0.0), "no time for one estimate and looks"
        assert re.search(told, found.why), found.why


def test_what_ppo_gets_before_another_stage() -> None:
    assert share_of(Config(), 100.0, None) == 1.0 - PPO_SHARE
    assert share_of(Config(), 600.0, None) == 1.0 - PPO_S / 600.0, "no more than so many seconds"
    assert share_of(Config(), 600.0, 10**6) == 1.0 - PPO_SHARE, "decisions have no seconds"
    assert share_of(Config(improve=0.5), 600.0, None) == 0.5, "what is asked for is done"


def test_training_ends_in_it(tmp_path: Path) -> None:
    """`train` itself: PPO first, then this stage, whose policy is taken and told of; better than two numbers can be."""
    plant = compiled_plant("make_to_stock")
    config = Config(lanes=512, steps=16, minibatch=4096, select=4, hidden=(16, 16), episode_weeks=1.0)
    job = Job(plant, Rule({"base": 7, "care": 2}), tmp_path, steps=800_000, device="cpu", pairs=2, config=config)
    train(job, 1)
    policy = controller(str(tmp_path), plant)
    assert policy_cost(plant.plant, table_of(policy, plant).policy)[0] < 1.10 * optimum(plant.plant).cost
    evidence = json.loads((tmp_path / "evidence.json").read_text())
    assert evidence["improved"] == COUNTED
    assert evidence["steps"] >= 800_000
    assert "improved by policy iteration on branched moments" in (tmp_path / "card.md").read_text()
    shown = CliRunner().invoke(policy_commands, ["show", str(tmp_path)])
    assert "sets base, care at events and at least every" in shown.output


def test_a_policy_before_the_last_is_taken_only_where_it_is_surely_better() -> None:
    rng = np.random.default_rng(0)
    luck = 5.0 * rng.normal(size=256)
    costs = {
        "last": 10.0 + luck,
        "like it": 10.0 + luck + rng.normal(size=256),
        "better": 9.8 + luck + rng.normal(size=256),
    }
    run: Any = SimpleNamespace(watch=SimpleNamespace(judge=SimpleNamespace(costs=lambda name: costs[name])))
    assert costs["like it"].mean() < costs["last"].mean(), "by luck"
    chosen: Any = _best_of
    assert chosen(run, "last", ["like it"]) == "last"
    assert chosen(run, "last", ["better", "like it"]) == "better"
