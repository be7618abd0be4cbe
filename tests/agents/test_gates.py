"""A free base stock as a gate: what is one, that open lets in one part and shut none, and that a network of gates is
spelled as one of setpoints that decides the same.
"""

from __future__ import annotations

import dataclasses
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from gymnasium.spaces import MultiDiscrete
from threadpoolctl import threadpool_limits

import sim
from agents.bundles.policy import Network
from agents.envs.env import PlantVectorEnv
from agents.envs.grid import Grid
from agents.envs.schema import Observer
from agents.exact.optimum import optimum, policy_cost
from agents.exact.table import table_of
from agents.training.finish import COUNTED, PPO_SHARE, Ending, ending
from agents.training.gates import OPEN, SHUT, Gate, GatedEnv, as_asked, gates
from agents.training.improve import Basis, Improvement, Improver
from agents.training.learning import Config, Untold
from sim.compile import Compiled, compile_plant
from sim.plantfile import load

TEXT = (Path(sim.__file__).parent / "plants" / "tandem_release.yaml").read_text(encoding="utf-8")
CAP = 20


@cache
def tandem() -> Compiled:
    return compile_plant(load("tandem_release"))


def changed(folder: Path, *changes: tuple[str, str]) -> Compiled:
    text = TEXT
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = folder / "plant.yaml"
    path.write_text(text)
    return compile_plant(load(path))


def shaken(count: int, seed: int = 0, compiled: Compiled | None = None) -> tuple[GatedEnv, np.random.Generator]:
    """Environments in many states: gates were set at random, often shut for long."""
    env, rng = GatedEnv(count, compiled or tandem(), decide="events"), np.random.default_rng(seed)
    env.reset(seed=seed)
    often = rng.random(count)
    for _ in range(150):
        env.step(np.stack([np.zeros(count, dtype=np.int64), rng.random(count) < often], axis=1).astype(np.int64))
    return env, rng


def test_what_is_a_gate(tmp_path: Path) -> None:
    assert gates(tandem().plant) == (Gate(base=1, cap=0, product=0, station=0, stocks=(0,)),)
    for old, new in [
        ("every: 100 ms", "every: 1 min"),
        ("to_first: {before: first, capacity: 0}", "to_first: {before: first, capacity: 1}"),
        ("first: {work: exponential(1 h)}", "first: {work: exponential(1 h), units: 2}"),
    ]:
        assert gates(changed(tmp_path, (old, new)).plant) == (), new
    plant = tandem().plant
    wide = changed(tmp_path, ("base_stock, from: 0, to: 20", "base_stock, from: 0, to: 128"))
    assert gates(wide.plant) == (), "more values than a network tells apart beside a shut gate"
    only = dataclasses.replace(plant, controls=plant.controls[1:])
    assert gates(only) == (Gate(base=0, cap=None, product=0, station=0, stocks=(0,)),)
    assert gates(dataclasses.replace(plant, controls=plant.controls[:1])) == (), "a cap alone"
    for name in ("make_to_stock", "gearmotor", "cmu3", "lost_sales"):
        assert gates(load(name)) == (), name


def test_open_lets_in_one_part_and_shut_none() -> None:
    """At its highest the base stock lets in a second one where the first machine is done before all else."""
    env, rng = shaken(400)
    wip, released = env.compiled.layout.at("wip", 0), env.compiled.layout.at("released", 0)
    twice = PlantVectorEnv(400, tandem(), decide="events")
    twice.reset(seed=0)
    let_in: dict[str, list[int]] = {"shut": [], "open": [], "highest": []}
    for _ in range(60):
        before = env.rows.copy()
        there = env.gates.setpoints(env.rows, np.tile([CAP, OPEN], (400, 1)))[:, 1] - 1
        stock = there > 0  # a customer that comes may not bring it below the lowest base stock
        for name, value in (("shut", SHUT), ("open", OPEN)):
            env.reset(options={"state": before})
            env.step(np.tile([0, value], (400, 1)))
            let_in[name] += (env.rows[:, released] - before[:, released])[stock].tolist()
        twice.reset(options={"state": before})
        twice.step(np.tile([19, 20], (400, 1)))
        let_in["highest"] += (twice.rows[:, released] - before[:, released])[stock].tolist()
        env.reset(options={"state": before})
        env.step(np.stack([np.zeros(400, dtype=np.int64), rng.random(400) < 0.6], axis=1).astype(np.int64))
    assert set(let_in["shut"]) == {0}
    assert set(let_in["open"]) == {0, 1}
    assert set(let_in["highest"]) == {0, 1, 2}
    assert env.rows[:, wip].max() > 1


@pytest.mark.parametrize(("seed", "low", "high"), [(0, 0, 20), (1, 0, 20), (2, 0, 127), (3, 3, 60)])
def test_a_network_of_gates_is_spelled_as_one_of_setpoints(tmp_path: Path, seed: int, low: int, high: int) -> None:
    compiled = changed(
        tmp_path,
        ("base_stock, from: 0, to: 20", f"base_stock, from: {low}, to: {high}"),
        ("initial: 4", f"initial: {high - 6}"),
    )
    env, rng = shaken(300, seed, compiled)
    seen = env.observer(env.rows)
    basis = Basis(seen, np.ones(seen.shape[1], dtype=np.bool_), 60, rng)
    scale = np.float32(10.0 ** rng.uniform(-3, 2))
    weights, biases = (scale * rng.normal(size=shape).astype(np.float32) for shape in ((3, 60), 3))
    asked = Network((basis.weights, weights), (basis.biases, biases), (1, 2))
    spelled = env.gates.spelled(asked)
    assert spelled.counts == (20, high - low + 1)
    opened = 0
    for _ in range(60):
        action = asked.decide(seen)
        expected = env.gates.setpoints(env.rows, env.grid.decode(action))
        logits = asked.logits(seen)[:, 1:]
        told = np.abs(logits[:, 1] - logits[:, 0]) > 1e-3 * np.abs(weights).max()
        assert np.array_equal(Grid(compiled.plant).decode(spelled.decide(seen))[told], expected[told])
        assert told.mean() > 0.9
        lets = expected[:, 1] > low
        opened += int(lets.sum())
        # and read back, where the grid reaches and the first machine is free
        at, rows = env.compiled.layout.at, env.rows
        wip = rows[:, at("wip", 0)]
        there = wip + rows[:, at("on_hand", 0)] - rows[:, at("backorders", 0)]
        plain = told & (there >= low) & (there < high) & (wip < CAP)
        plain &= seen[:, env.observer.fields.index("first.work")] == 0.0
        back = env.gates.asked(spelled, seen)[:, 1] == OPEN
        assert np.array_equal(back[plain], lets[plain])
        seen, *_ = env.step(action)
    assert 0 < opened < 300 * 60


def test_a_step_of_a_gate_is_the_step_of_the_setpoints_it_stands_for() -> None:
    env, rng = shaken(64)
    twin = PlantVectorEnv(64, tandem(), decide="events")
    twin.reset(options={"state": env.rows.copy()}, seed=0)
    env.reset(options={"state": env.rows.copy()}, seed=0)
    full = Grid(tandem().plant)
    for _ in range(50):
        action = np.stack([np.zeros(64, dtype=np.int64), rng.integers(0, 2, 64)], axis=1)
        setpoints = env.gates.setpoints(env.rows, env.grid.decode(action))
        mine, theirs = env.step(action), twin.step(full.encode(setpoints))
        assert np.array_equal(mine[0], theirs[0])
        assert mine[4]["cost"] == pytest.approx(theirs[4]["cost"])
    assert env.single_action_space == MultiDiscrete([1, 2])


def test_plants_without_gates_are_asked_as_they_are() -> None:
    env = PlantVectorEnv(2, "lost_sales")
    same, spelled, asked = as_asked(env)
    assert same is env
    seen, _ = env.reset(seed=0)
    values = int(env.grid.counts[0])
    network = Network((np.ones((values, seen.shape[1]), np.float32),), (np.zeros(values, np.float32),), (values,))
    assert spelled(network) is network
    assert np.array_equal(asked(network, seen), network.decide(seen))


def test_a_gate_may_be_counted() -> None:
    given = {"decide": "events", "reward_unit": 1.0}
    assert ending(Config(), tandem(), False, given, (600.0, 10**9)) == Ending(COUNTED, 1.0 - PPO_SHARE)
    assert Config().decides(tandem()) == "events"


def test_policy_iteration_on_gates_comes_near_the_optimum(tmp_path: Path) -> None:
    """At half load, where a few seconds tell enough, from setpoints that are 17 % above it."""
    compiled = changed(tmp_path, ("poisson(0.7/h)", "poisson(0.5/h)"))
    env, spelled, asked = as_asked(PlantVectorEnv(512, compiled, decide="events", stagger=True, copy=False))
    start = Network((np.zeros((41, 11), np.float32),), (np.zeros(41, np.float32),), (20, 21))
    start.biases[0][[7, 20 + 6]] = 1.0  # cap 8, base stock 6
    few = Improvement(growth=3.0, each=2500)
    improver = Improver(env, 10.0, lambda seen: asked(start, seen), few, seed=1, spelled=spelled)
    with threadpool_limits(limits=1, user_api="blas"):
        for _ in range(64):
            improver.round()
        improver.improve()
    cost = {}
    for name, network in (("start", start), ("end", improver.network)):
        who = Untold(network, Observer(compiled), Grid(compiled.plant), env.pace.kinds)
        cost[name] = policy_cost(compiled.plant, table_of(who, compiled).policy)[0]
    least = optimum(compiled.plant).cost
    assert cost["start"] > 1.15 * least
    assert least <= cost["end"] * (1.0 + 1e-9)
    assert cost["end"] <= 1.02 * least
