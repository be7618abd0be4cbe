"""Serial chains by a program of their own: on random chains it does, draws, shows and pays what the kernel does."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from agents.envs.supply import OR_GYM, Chain, SupplyVectorEnv, Trade
from sim import serial as own
from sim.compile import compile_plant
from sim.plant import Demand, Dist, Plant, Stock, Supplier
from sim.plantfile import load
from sim.serial import chain_of, serial
from tests.sim.supply_plants import constant, controls, plant, supplied

QUANTITIES = (
    ((7, 1.0),),
    ((0, 0.4), (3, 0.35), (25, 0.25)),
    ((1, 1e-9), (2, 0.5), (900, 0.5 - 1e-9)),
    tuple((n, 1 / 300) for n in range(300)),  # more than the guide has places for in some of its cells
)
ENVS, PERIODS = 9, 25


def random_chain(seed: int) -> tuple[Plant, Trade]:
    """One to five stages in any order in the file, short of everything or drowning in it."""
    rng = random.Random(seed)
    period, stages = rng.choice((1, 3, 1440)), rng.randint(1, 5)
    names = [f"k{i}" for i in range(stages)]
    stocks = [
        Stock(
            name, "unit", names[i + 1] if i + 1 < stages else "acme", rng.choice((0, 4, 60)), rng.uniform(0, 2),
            level=rng.randint(0, 9), review=period, lead=constant(rng.randint(1, 12) * period),
            policy="constant_order", vehicle=rng.choice((1, 9, 500)),
        )
        for i, name in enumerate(names)
    ]  # fmt: skip
    most = [rng.choice((1, 12, 200)) for _ in names]
    rng.shuffle(stocks)
    made = plant(
        f"serial-{seed}",
        products=(),
        stations=(),
        stocks=tuple(stocks),
        demands=(Demand("people", "k0", constant(period), backlog=rng.uniform(0, 2), quantity=rng.choice(QUANTITIES)),),
        controls=controls(*((f"stocks.{name}.level", 0, n) for name, n in zip(names, most, strict=True))),
        conventions={"review_order": "review_order_receive_satisfy"},
    )
    prices, costs, owed = (tuple(rng.uniform(0, 3) for _ in range(n)) for n in (stages + 1, stages + 1, stages))
    return made, Trade(prices, costs, owed, rng.choice((1.0, 0.97)), PERIODS)


def expected_state(env: SupplyVectorEnv) -> NDArray[np.int64]:
    """The numbers of the program, as they stand in the kernel's rows."""
    chain, rows, layout = env.chain, env.rows, env.compiled.layout
    view = layout.view
    state = np.zeros((len(rows), own.SCALARS), dtype=np.int64)
    period = view(rows, "now") // chain.period
    state[:, own.PERIODS], state[:, own.SEED] = period, view(rows, "seed")
    state[:, own.REPLICA], state[:, own.WAITING] = view(rows, "replica"), view(rows, "waiting")[:, 0]
    state[:, own.DRAWS : own.DRAWS + 2] = view(rows, "quantity_draws")[:, 0]
    records, rings = [state], []
    for i, lead in zip(chain.stages, map(round, chain.leads), strict=True):
        lane = env.compiled.lane_index[env.compiled.plant.stocks[i].id, "regular"]
        stock = [view(rows, "on_hand")[:, i], view(rows, "on_order")[:, i], view(rows, "owed")[:, lane], period % lead]
        records.append(np.stack(stock, axis=1))
        ring = np.zeros((len(rows), lead), dtype=np.int64)
        due, quantity = view(rows, "transit_due")[:, lane], view(rows, "transit_qty")[:, lane]
        who, place = np.nonzero(quantity)
        np.add.at(ring, (who, due[who, place] // chain.period % lead), quantity[who, place])
        rings.append(ring)
    return np.concatenate(records + rings, axis=1)


@pytest.mark.parametrize("seed", range(24))
def test_the_program_is_the_kernel(seed: int) -> None:
    """State, observations, rewards and the ends of episodes, to the bit, over two episodes of random orders."""
    made, trade = random_chain(seed)
    compiled = compile_plant(made)
    quick = SupplyVectorEnv(ENVS, compiled, trade, first=3, threads=2)
    slow = SupplyVectorEnv(ENVS, compiled, trade, first=3, quick=False)
    rng = np.random.default_rng(seed)
    assert np.array_equal(quick.reset(seed=seed)[0], slow.reset(seed=seed)[0])
    assert quick.quick
    assert not slow.quick
    for _ in range(2 * PERIODS + 3):
        state: Any = quick._state
        assert np.array_equal(state, expected_state(slow))
        orders = rng.integers(-1, slow.chain.most + 2, (ENVS, len(slow.chain.most)))
        one, two = quick.step(orders), slow.step(orders)
        for found, expected in zip(one[:4], two[:4], strict=True):
            assert np.array_equal(found, expected)
        assert one[4].keys() == two[4].keys()
        assert all(np.array_equal(one[4][key], two[4][key]) for key in one[4])
    assert np.array_equal(quick.rows, slow.rows)


def test_random_chains_meet_every_case() -> None:
    """Something is owed for want of room and for want of goods, customers wait, and a stage has more than it sells."""
    met = set()
    for seed in range(24):
        made, trade = random_chain(seed)
        env = SupplyVectorEnv(4, compile_plant(made), trade)
        seen, _ = env.reset(seed=seed)
        for _ in range(PERIODS - 1):
            before = env.rows.copy()
            seen, *_ = env.step(env.action_space.sample())
            view, chain = env.compiled.layout.view, env.chain
            lanes = [env.compiled.lane_index[made.stocks[i].id, "regular"] for i in chain.stages]
            owed = view(env.rows, "owed")[:, lanes]
            above = view(before, "on_hand")[:, chain.stages][:, 1:] if len(lanes) > 1 else np.ones((4, 0))
            met |= {"room"} if (owed[:, -1] > 0).any() else set()
            met |= {"goods"} if ((owed[:, :-1] > 0) & (above == 0)).any() else set()
            met |= {"waits"} if (view(env.rows, "waiting") > 0).any() else set()
            met |= {"plenty"} if (view(env.rows, "on_hand")[:, chain.stages[0]] > 100).any() else set()
            assert np.isfinite(seen).all()
    assert met == {"room", "goods", "waits", "plenty"}


BEYOND = {
    "another order of events": {"conventions.review_order": "receive_review_order_satisfy"},
    "half a period": {"stocks.factory.lead": "constant(36 h)"},
    "no lead time": {"stocks.factory.lead": "constant(0 d)"},
    "a random lead time": {"stocks.factory.lead": "uniform(1 d, 3 d)"},
    "two reviews a day": {"stocks.factory.policy.every": "12 h"},
    "another policy": {"stocks.factory.policy.kind": "base_stock"},
    "random times between customers": {"demand.customers.arrivals": "poisson(1/d)"},
}


@pytest.mark.parametrize("what", BEYOND)
def test_what_is_no_such_chain_is_left_to_the_kernel(what: str) -> None:
    assert serial(compile_plant(load("serial_backlog4", BEYOND[what])), []) is None


@pytest.mark.parametrize("terms", [{"unit_ticks": 2}, {"reliability": 0.5, "late": Dist("constant", (5.0,))}])
def test_a_supplier_who_is_late_is_left_to_the_kernel(terms: dict[str, Any]) -> None:
    made, _ = random_chain(0)
    assert serial(compile_plant(made), []) is not None
    late = replace(made, suppliers=(Supplier("acme", **terms),))
    assert serial(compile_plant(late), []) is None


def test_least_orders_are_left_to_the_kernel() -> None:
    made, _ = random_chain(0)
    changes: tuple[dict[str, Any], ...] = ({"least": 3}, {"multiple": 2}, {"vehicle": 0})
    for change in changes:
        stocks = (replace(made.stocks[0], **change), *made.stocks[1:])
        assert serial(compile_plant(replace(made, stocks=stocks)), []) is None


def test_customers_who_do_not_just_wait_are_left_to_the_kernel() -> None:
    made, _ = random_chain(0)
    changes: tuple[dict[str, Any], ...] = ({"unmet": "lost"}, {"most": 3}, {"due": 0}, {"season": (1.0,) * 168})
    for change in changes:
        assert serial(compile_plant(replace(made, demands=(replace(made.demands[0], **change),))), []) is None


def test_only_a_whole_plant_is_a_chain() -> None:
    made, _ = random_chain(3)
    assert [k.id for k in chain_of(made)] == [f"k{i}" for i in range(len(made.stocks))]
    assert not chain_of(replace(made, stocks=(*made.stocks, supplied("other"))))
    assert not chain_of(replace(made, demands=()))
    assert not chain_of(load("gearmotor"))


def test_a_state_given_is_played_by_the_kernel_to_the_same_money() -> None:
    env = SupplyVectorEnv(2)
    env.reset(seed=1)
    for _ in range(4):
        env.step(np.full((2, 3), 30))
    kept = env.rows
    with pytest.raises(ValueError, match="read-only"):
        kept[0, 0] = 1
    kept = kept.copy()
    told = env.step(np.full((2, 3), 10))
    env.reset(seed=1, options={"state": kept})
    assert not env.quick
    again = env.step(np.full((2, 3), 10))
    assert np.array_equal(told[1], again[1])
    assert np.array_equal(told[0], again[0])
    env.reset(seed=1)
    assert env.quick


def test_when_orders_arrive_is_seen() -> None:
    """By hand: 30, 40 and 20 ordered by the retailer arrive three days later, the first of them next."""
    env = SupplyVectorEnv(1)
    env.reset(seed=1)
    for n in (30, 40, 20):
        seen, *_ = env.step(np.array([[n, 0, 0]]))
    by = dict(zip(env.fields, seen[0], strict=True))
    arriving = [by[f"retailer.arriving.{k}"] for k in (1, 2, 3)]
    np.testing.assert_allclose(arriving, np.array([30, 40, 20]) / 100, rtol=1e-6)
    assert by["wholesaler.arriving.5"] == 0.0
    assert by["retailer.on_order"] == pytest.approx(0.9)
    assert len(Chain("serial_backlog4", OR_GYM).pipeline.names) == 3 + 5 + 8


def test_the_page_says_how_much_a_replica_is() -> None:
    env = SupplyVectorEnv(1)
    env.reset(seed=0)
    page = (Path(__file__).parents[2] / "docs" / "agents.md").read_text(encoding="utf-8")
    state: Any = env._state
    assert f"on {state.nbytes} bytes a replica" in page
    assert f"in rows of {env.rows.nbytes / 1000:.1f} KB" in page
    assert f"writing the {len(env.fields)} observed numbers" in page
