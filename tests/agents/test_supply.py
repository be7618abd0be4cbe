"""Serial chains: the same periods as or-gym-inventory's, plans that bound and can be played, rules, the environment."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from gymnasium.utils.env_checker import data_equivalence

from agents.envs.schema import Floats
from agents.envs.supply import OR_GYM, Chain, SupplyVectorEnv, Trade
from agents.errors import SchemaError
from agents.rules.supply_plan import perfect_information, shrinking_horizon
from agents.rules.supply_rules import Orders, base_stock, demand_paths, played
from benchmarks import _or_gym
from benchmarks._or_gym import CASES, Case
from sim.compile import compile_plant
from sim.plantfile import load

RECORDED: dict[str, dict[str, Any]] = json.loads(_or_gym.FIXTURE.read_text(encoding="utf-8"))


def assert_close(found: Any, expected: Any) -> None:
    """Relative; absolute where a period earns next to nothing: profits are of the order of 10."""
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


@pytest.fixture(scope="module")
def chain() -> Chain:
    return Chain("serial_backlog4")


def replayed(case: Case, orders: Orders) -> tuple[Any, Any]:
    """Rewards [N, T] and orders [N, T, S] of our environment, which orders as given, or by its own base stock."""
    chain, periods = case.chain(), case.trade.periods
    env = SupplyVectorEnv(case.paths, chain.compiled, case.trade)
    rule = base_stock(np.array([int(w) for w in case.how.split()[2:]])) if case.how.startswith("base") else None
    placed = np.zeros_like(orders)

    def policy(env: SupplyVectorEnv, seen: Floats) -> Orders:
        t = periods - env.periods_left
        placed[:, t] = orders[:, t] if rule is None else rule(env, seen)
        return placed[:, t]

    return played(env, policy, case.seed).T, placed


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_rewards_are_those_of_or_gym_inventory(case: Case) -> None:
    kept = RECORDED[case.name]
    assert demand_paths(case.chain(), case.seed, case.paths).tolist() == kept["demand"]
    rewards, orders = replayed(case, np.array(kept["orders"]))
    assert orders.tolist() == kept["orders"]
    assert_close(rewards, kept["rewards"])


@pytest.mark.skipif(_or_gym.source() is None, reason="or-gym-inventory is not installed")
def test_what_was_recorded_is_what_the_package_says() -> None:
    for case in CASES:
        assert _or_gym.record(case) == RECORDED[case.name]


@pytest.mark.skipif(_or_gym.source() is None, reason="or-gym-inventory is not installed")
def test_as_published_goods_come_from_nowhere(chain: Chain) -> None:
    """Why most cases put the package's stocks right: what is in the chain is not what came in less what went out."""
    case = next(case for case in CASES if case.name == "random orders")
    kept = RECORDED[case.name]
    for conserving in (False, True):
        env = _or_gym.peer(chain, conserving, kept["demand"][0])
        env.reset(seed=0)
        for orders in kept["orders"][0]:
            env.step(np.array(orders))
        inside = int(env.I[-1].sum()) + sum(int(env.R[-lead:, i].sum()) for i, lead in enumerate(env.lead_time))
        went_in, went_out = int(env.R[:, -1].sum()), int(env.S[:, 0].sum())
        assert (inside == sum(env.I0) + went_in - went_out) == conserving
        assert (env.I.min() >= 0) == conserving


def test_a_book_of_orders_is_a_demand_path_too() -> None:
    """Given demand, unlike any Poisson path, replayed as a trace of the plant file."""
    path = [0, 55, 0, 0, 90, 5, 5, 5, 0, 120]
    book = ", ".join(f"{{at: {t + 1} d, quantity: {n}}}" for t, n in enumerate(path) if n)
    text = (_or_gym.ROOT / "sim" / "plants" / "serial_backlog4.yaml").read_text(encoding="utf-8")
    changed = text.replace("arrivals: constant(1 d), quantity: poisson(20)", f"book: [{book}]")
    assert changed != text
    env = SupplyVectorEnv(2, compile_plant(_parsed(changed)), OR_GYM)
    env.reset(seed=0)
    rewards = [env.step(np.full((2, 3), 15))[1] for _ in path]
    assert np.array_equal(*np.array(rewards).T)
    # by hand: shipped from 100 on hand and 15 a day from the fourth day on, with the stages above always able to send
    shop, owed, wholesaler, factory, expected = 100, 0, 100, 200, []
    for t, asked in enumerate(path):
        shop += 15 if t >= 3 else 0
        sold = min(shop, owed + asked)
        shop, owed = shop - sold, owed + asked - sold
        wholesaler += (15 if t >= 5 else 0) - 15
        factory -= 15
        profit = 0.5 * sold + 15 * (0.5 + 0.25 + 0.25) - 0.15 * shop - 0.1 * wholesaler - 0.05 * factory - 0.1 * owed
        expected.append(0.97**t * profit)
    assert_close(np.array(rewards)[:, 0], expected)


def _parsed(text: str) -> Any:
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "plant.yaml").write_text(text, encoding="utf-8")
        return load(Path(folder) / "plant.yaml")


def test_with_all_demand_known_the_plan_can_be_played_and_nobody_does_better(chain: Chain) -> None:
    env = SupplyVectorEnv(6, chain.compiled)
    demand = demand_paths(chain, 11, 6)
    env.reset(seed=11)
    plans = perfect_information(env, demand)
    best = np.array([plan.profit for plan in plans])

    def follow(env: SupplyVectorEnv, _: Floats) -> Orders:
        return np.array([plan.sent[OR_GYM.periods - env.periods_left] for plan in plans])

    assert_close(played(env, follow, 11).sum(axis=0), best)
    rng = np.random.default_rng(0)
    others = {
        "random": lambda env, _: rng.integers(0, chain.most + 1, (6, 3)),
        "base stock": base_stock(np.array([91, 218, 446])),
        "shrinking horizon": shrinking_horizon(chain, 20.0),
    }
    worth = {name: played(env, policy, 11).sum(axis=0) for name, policy in others.items()}
    assert all((profit < best).all() for profit in worth.values())
    assert worth["shrinking horizon"].mean() > 0.9 * best.mean() > worth["base stock"].mean() > worth["random"].mean()


def test_a_plan_starts_from_goods_on_their_way(chain: Chain) -> None:
    """A plan made again halfway, with the demand known, earns what the first one had left."""
    env = SupplyVectorEnv(1, chain.compiled)
    demand = demand_paths(chain, 12, 1)
    env.reset(seed=12)
    plan = perfect_information(env, demand)[0]
    earned = sum(float(env.step(plan.sent[None, t])[1][0]) for t in range(12))
    from agents.rules.supply_plan import Planner, situations

    rest = Planner(chain, 18).plan(situations(env)[0], demand[0, 12:].astype(float))
    assert earned + 0.97**12 * rest.profit == pytest.approx(plan.profit, rel=1e-9)


def test_steps_are_those_of_gymnasium_with_the_same_step_autoreset(chain: Chain) -> None:
    env = SupplyVectorEnv(3, chain.compiled, Trade((2.0, 0, 0, 0), (0, 0, 0, 0.5), OR_GYM.owed, 1.0, 4))
    first, _ = env.reset(seed=5)
    start = first.copy()
    assert first.shape == (3, len(env.fields)) == env.observation_space.shape
    env.action_space.seed(1)
    actions = [env.action_space.sample() for _ in range(5)]
    told = []
    for t, action in enumerate(actions):
        observation, reward, terminated, truncated, info = env.step(action)
        assert env.observation_space.contains(observation)
        assert reward.dtype == np.float64
        assert not terminated.any()
        assert truncated.all() == (t == 3) == ("final_obs" in info)
        if t == 3:
            assert np.array_equal(observation, start), "a new episode opens like the first"
            assert not np.array_equal(info["final_obs"], observation)
        told.append((observation.copy(), reward, truncated))
    assert len({float(r) for r in told[4][1]}) > 1
    env.reset(seed=5)
    for action, (observation, reward, truncated) in zip(actions, told, strict=True):
        again = env.step(action)
        assert data_equivalence((again[0], again[1], again[3]), (observation, reward, truncated))
    alone = SupplyVectorEnv(1, chain.compiled, env.trade, first=2)
    alone.reset(seed=5)
    assert all(alone.step(action[2:])[1][0] == told[t][1][2] for t, action in enumerate(actions))


def test_the_observation_before_the_last_is_the_one_that_goes(chain: Chain) -> None:
    """Also where an episode ends: who keeps one by reference while it steps finds it as it was."""
    env = SupplyVectorEnv(2, chain.compiled, Trade(OR_GYM.prices, OR_GYM.costs, OR_GYM.owed, 1.0, 3))
    before, _ = env.reset(seed=1)
    for _ in range(7):
        kept = before.copy()
        seen, *_ = env.step(np.full((2, 3), 30))
        assert np.array_equal(before, kept)
        assert not np.array_equal(before, seen)
        before = seen


def test_orders_beyond_the_grid_are_cut_to_it(chain: Chain) -> None:
    rewards = []
    for orders in ([-5, 1000, 3], [0, 90, 3], [0, 89, 3]):
        env = SupplyVectorEnv(1, chain.compiled)
        env.reset(seed=1)
        rewards.append(float(env.step(np.array([orders]))[1][0]))
    assert rewards[0] == rewards[1] > rewards[2]


def test_an_episode_may_begin_anywhere(chain: Chain) -> None:
    env = SupplyVectorEnv(2, chain.compiled)
    env.reset(seed=1)
    for _ in range(3):
        env.step(np.full((2, 3), 25))
    kept = env.rows.copy()
    told = [env.step(np.full((2, 3), 15))[1] for _ in range(4)]
    env.reset(seed=9, options={"state": kept})
    assert env.periods_left == 27
    assert np.array_equal([env.step(np.full((2, 3), 15))[1] for _ in range(4)], told)


@pytest.mark.parametrize("name", ["serial_supply3", "gearmotor"])
def test_a_plant_that_is_no_such_chain_is_refused(name: str) -> None:
    with pytest.raises(SchemaError, match="expected a serial chain"):
        Chain(name)


def test_a_trade_of_another_length_is_refused(chain: Chain) -> None:
    with pytest.raises(SchemaError, match="trade of 2 stages: expected 4"):
        Chain(chain.compiled, Trade((1.0, 1.0), (1.0, 1.0), (0.0,), 1.0, 5))


def test_a_chain_that_draws_before_the_first_customer_is_refused() -> None:
    plant = load("serial_backlog4", {"demand.customers.arrivals": "poisson(1/d)"})
    with pytest.raises(SchemaError, match="expected nothing to be drawn"):
        SupplyVectorEnv(2, plant)
