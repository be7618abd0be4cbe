"""When orders under way arrive is seen: by hand, in every simulator, and as much of it as the best orders need."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from agents.control.controllers import Hold
from agents.envs.check import check
from agents.envs.env import PlantEnv, PlantVectorEnv
from agents.envs.pipeline import stretches
from agents.envs.schema import Observer
from agents.exact import optimum_periodic
from agents.exact.optimum import optimum
from agents.exact.table_periodic import Asking, Shown
from sim.compile import Compiled, compile_plant
from sim.kernel import new_rows
from sim.plantfile import load
from tests.agents.test_played import text_of, written

Rows = NDArray[np.int64]
DAY = 86_400
ARRIVING = ["shelf.arriving.1", "shelf.arriving.2"]


@pytest.fixture(scope="module")
def lost() -> Compiled:
    return compile_plant(load("lost_sales"))


def under_way(compiled: Compiled, orders: list[tuple[int, int, int]], now: int) -> Rows:
    """A row at tick `now` with (place, due, units) in transit."""
    rows, layout = new_rows(compiled, 0, 1), compiled.layout
    rows[:, layout.at("now")] = now
    for place, due, units in orders:
        layout.view(rows, "transit_due")[:, 0, place], layout.view(rows, "transit_qty")[:, 0, place] = due, units
        rows[:, layout.at("lane_order", 0)] += units
    return rows


def test_units_by_the_interval_in_which_they_arrive(lost: Compiled) -> None:
    observer, now = Observer(lost), 5 * DAY
    at = [observer.fields.index(name) for name in ARRIVING]
    full = 40 / 3  # the highest level that may be set, over two periods to come and what is on hand
    for due, column in [(0, 0), (DAY - 1, 0), (DAY, 1), (2 * DAY - 1, 1), (2 * DAY, 1), (7 * DAY, 1)]:
        seen = observer(under_way(lost, [(0, now + due, 6)], now))[0, at]
        assert seen == pytest.approx(np.where(np.arange(2) == column, 6 / full, 0.0)), f"due in {due} s"
    # places between them may have become free, and the table may be full
    several = [(1, now, 3), (4, now + DAY, 5), (63, now + 10, 7)]
    assert observer(under_way(lost, several, now))[0, at] == pytest.approx([10 / full, 5 / full])
    assert observer(under_way(lost, [], now))[0, at].tolist() == [0.0, 0.0]
    # what the source still owes has no date
    owing = under_way(lost, several, now)
    owing[:, lost.layout.at("owed", 0)] = 4
    owing[:, lost.layout.at("lane_order", 0)] += 4
    assert observer(owing)[0, at] == pytest.approx([10 / full, 5 / full])


def test_orders_are_seen_to_come_nearer() -> None:
    """Lead time two days: ordered today it is in the second column tomorrow morning, in the first the day after."""
    env = PlantEnv("lost_sales")
    seen, _ = env.reset(seed=3)
    arriving = [env.fields.index(name) for name in ARRIVING]
    position = env.fields.index("shelf.on_hand"), env.fields.index("shelf.on_order")
    coming = [0.0, 0.0]
    assert seen[arriving].tolist() == coming
    for level in (16, 25, 18, 30, 22, 40):
        ordered = max(level / 40 - float(seen[list(position)].sum()), 0.0)
        seen, *_ = env.step(np.array([level]))
        coming = [coming[1], 3 * ordered]  # each column counts a third of the highest level as full
        assert seen[arriving] == pytest.approx(coming, abs=1e-6)
    assert min(coming) > 0.0


def test_only_what_a_plant_can_know_is_shown(tmp_path: Path) -> None:
    def names(*changes: tuple[str, str]) -> list[str]:
        text = text_of("dual_sourcing")
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        return [name for s in stretches(written(tmp_path, text).plant) for name in s.names]

    slow, fast = "lead: constant(2 d), price: 100", "lead: constant(0 d), price: 110"
    assert names() == ARRIVING
    assert names((slow, "lead: constant(60 h), price: 100")) == [*ARRIVING, "shelf.arriving.3"]
    assert names((slow, "lead: constant(30 d), price: 100")) == [f"shelf.arriving.{k}" for k in range(1, 9)]
    assert names((slow, "lead: constant(3 d), price: 100"), (fast, fast.replace("0 d", "2 d"))) == [
        *ARRIVING, "shelf.arriving.3", "shelf.express.arriving.1", "shelf.express.arriving.2",
    ]  # fmt: skip
    assert names((slow, "lead: constant(1 d), price: 100")) == [], "all of it comes today: on_order says so"
    assert names((slow, 'lead: "gamma(mean=2 d, cv=0.2)", price: 100')) == []
    assert names((slow, f"reliability: 90 %, late: constant(1 d), {slow}")) == []
    assert names(("level: 8, every: 1 d", "level: 8")) == [], "without reviews there are no periods"
    for shown, plant in ((False, "gearmotor"), (True, "serial_backlog4"), (False, "serial_supply3")):
        assert bool(stretches(load(plant))) == shown


def test_the_policy_that_is_shipped_still_fits() -> None:
    """Its hash, as it was before there were such columns."""
    assert Observer(compile_plant(load("gearmotor"))).hash.startswith("sha256:b95230c0ec8fadb4")


@pytest.mark.parametrize("name", ["lost_sales", "serial_backlog4"])
def test_alone_in_a_batch_and_in_the_kernels_pass_it_is_the_same(name: str) -> None:
    assert "equal alone and in a batch" in check(name, 20)
    env = PlantVectorEnv(5, name, copy=False, max_episode_steps=20, stagger=True)
    env.reset(seed=1)
    rng, most = np.random.Generator(np.random.PCG64(2)), np.zeros(env.observer.size)
    for _ in range(30):
        seen, *_ = env.step(rng.integers(0, env.grid.counts, size=(5, env.grid.size)))
        assert np.array_equal(seen, env.observer(env.rows))
        most = np.maximum(most, seen.max(axis=0))
    assert all(most[i] > 0.0 for i, field in enumerate(env.observer.fields) if "arriving" in field)


def test_by_tensors_as_by_the_kernel() -> None:
    """Three lanes, orders due in the past, now and long after, in any place; bit for bit."""
    import torch

    from agents.envs.device import Arrivals

    compiled = compile_plant(load("serial_backlog4"))
    observer, rng = Observer(compiled), np.random.Generator(np.random.PCG64(5))
    rows, layout = new_rows(compiled, 0, 300), compiled.layout
    rows[:, layout.at("now")] = 4 * DAY + rng.integers(0, DAY, 300)
    dues, units = layout.view(rows, "transit_due"), layout.view(rows, "transit_qty")
    units[...] = rng.integers(0, 20, units.shape) * (rng.random(units.shape) < 0.4)
    dues[...] = np.where(units > 0, rng.integers(3 * DAY, 20 * DAY, units.shape), dues)
    layout.view(rows, "lane_order")[...] = units.sum(axis=2)
    expected, found = observer(rows), torch.zeros((300, observer.size))
    n, end = observer.offsets.size, observer.scale.size
    Arrivals(observer, torch.device("cpu")).write(torch.as_tensor(rows.T.copy()), torch.as_tensor(rows[:, 0]), found)
    assert np.array_equal(found[:, n:end].numpy(), expected[:, n:end])
    assert (expected[:, n:end].max(axis=0) > 0.0).all()
    # a stage's columns together are all that is on its way
    lane, part = compiled.lane_index["wholesaler", "regular"], [f"wholesaler.arriving.{k}" for k in range(1, 6)]
    at = [observer.fields.index(name) for name in part]
    assert np.allclose(expected[:, at].sum(axis=1) / observer.scale[at[0]], units[:, lane].sum(axis=1))


def test_the_best_orders_are_a_function_of_what_is_seen(lost: Compiled) -> None:
    """On hand and on order alone are not enough: the same numbers, and other orders are best."""
    chain = optimum_periodic.Chain(optimum_periodic.read(lost.plant))
    best = {tuple(map(int, key.split(","))): int(order) for key, order in optimum(lost.plant).policy.items()}
    asking, observer = Asking(Hold(), chain, lost), Observer(lost)
    state = np.repeat(np.arange(len(chain.states)), chain.states[:, 0] + 1)
    now = np.concatenate([np.arange(x + 1) for x in chain.states[:, 0]])  # of x, so many arrive only now
    seen = observer(asking.rows(Shown(state, now, np.full((len(state), 1), 16))))
    orders = np.array([best[int(a), int(b)] for a, b in chain.states[state]])
    less = [i for i, name in enumerate(observer.fields) if "arriving" not in name]
    for columns, enough in ((list(range(observer.size)), True), (less, False)):
        _, alike = np.unique(seen[:, columns], axis=0, return_inverse=True)
        least, most = np.full(len(seen), 99), np.zeros(len(seen), dtype=np.int64)
        np.minimum.at(least, alike.reshape(-1), orders)
        np.maximum.at(most, alike.reshape(-1), orders)
        assert bool((least >= most)[alike].all()) == enough
