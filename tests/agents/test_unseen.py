"""What a row holds of the future is drawn anew from what can be seen: nothing else changes, nothing is betrayed."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from agents.control.controllers import Hold
from agents.control.rollout import Operation
from agents.control.unseen import POINTS, Pool, Unseen
from agents.envs.schema import Observer
from benchmarks._random_plants import random_plant
from sim.compile import Compiled, compile_plant
from sim.engine import new_rows, run
from sim.plantfile import load
from sim.value import operating_cost

DAY = 86_400_000
HIDDEN = {"next_time", "clock_left", "demand_left", "arrival_left", "unit_left", "unit_wear", "transit_due"}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    file = tmp_path_factory.mktemp("plants") / "shop.yaml"
    file.write_text(random_plant(4), encoding="utf-8")
    return compile_plant(load(str(file)))


@pytest.fixture(scope="module")
def rows(shop: Compiled) -> NDArray[np.int64]:
    made = new_rows(shop, 11, 384)
    Operation(shop, Hold(), 3_600_000).run(made, 9 * DAY + 10 * 3_600_000)
    return made


def test_only_hidden_numbers_change_and_the_observation_does_not(shop: Compiled, rows: NDArray[np.int64]) -> None:
    unseen, drawn = Unseen(shop), rows.copy()
    unseen.redraw(drawn, unseen.uniforms([3], len(rows))[0])
    changed = {shop.layout.name_at(int(i)).partition("[")[0] for i in np.flatnonzero((drawn != rows).any(axis=0))}
    assert {"next_time", "transit_due"} <= changed <= HIDDEN
    observer = Observer(shop)
    assert (observer(drawn) == observer(rows)).all()
    assert (shop.layout.view(drawn, "next_time") >= 9 * DAY).all()


def test_nothing_of_the_old_future_is_left(shop: Compiled, rows: NDArray[np.int64]) -> None:
    """Two rows that differ in what is hidden alone become the same row, and have the same mark."""
    unseen = Unseen(shop)
    other = rows.copy()
    unseen.redraw(other, unseen.uniforms([3], len(rows))[0])
    assert unseen.marks(rows) == unseen.marks(other)
    assert len(set(unseen.marks(rows))) == len(rows)
    words = unseen.uniforms([4], len(rows))[0]
    a, b = rows.copy(), other
    assert (a != b).any()
    unseen.redraw(a, words)
    unseen.redraw(b, words)
    assert (a == b).all()


def test_the_next_customer_does_not_come_when_it_would_have_come(shop: Compiled, rows: NDArray[np.int64]) -> None:
    unseen, drawn = Unseen(shop), rows.copy()
    unseen.redraw(drawn, unseen.uniforms([5], len(rows))[0])
    slot = unseen.d.of("demands", 0, "demand_slot")
    due = [shop.layout.view(r, "next_time")[:, slot] - r[:, shop.layout.at("now")] for r in (rows, drawn)]
    assert abs(np.corrcoef(due[0], due[1])[0, 1]) < 4 / np.sqrt(len(rows))
    assert due[1].mean() == pytest.approx(due[0].mean(), rel=0.3)


def test_on_average_the_plant_goes_on_as_before(shop: Compiled, rows: NDArray[np.int64]) -> None:
    unseen, drawn = Unseen(shop), rows.copy()
    unseen.redraw(drawn, unseen.uniforms([6], len(rows))[0])
    until = 12 * DAY
    costs = []
    for start in (rows.copy(), drawn):
        before = start.copy()
        run(start, shop, until)
        costs.append(operating_cost(before, start, shop))
    difference = costs[1] - costs[0]
    assert abs(difference.mean()) < 4 * difference.std() / np.sqrt(len(difference))


def test_the_rest_of_a_duration() -> None:
    steps = Pool(np.arange(POINTS, dtype=np.float64))
    u = (np.arange(1000) + 0.5) / 1000
    assert steps.rest(np.zeros(1000), u).mean() == pytest.approx(POINTS / 2, rel=0.01)
    assert steps.rest(np.full(1000, 512.0), u).mean() == pytest.approx(POINTS / 4, rel=0.01)
    assert (steps.rest(np.full(1000, 5000.0), u) <= 0.1 * POINTS).all()  # overdue
    memoryless = Pool(-np.log1p(-(np.arange(POINTS) + 0.5) / POINTS))
    assert memoryless.rest(np.full(1000, 1.0), u).mean() == pytest.approx(1.0, rel=0.02)
    v = np.random.Generator(np.random.PCG64(1)).random(1000)
    assert memoryless.unknown(u, v).mean() == pytest.approx(1.0, rel=0.1)
    assert steps.unknown(u, v).mean() == pytest.approx(POINTS / 3, rel=0.1)  # E[L^2] / 2 E[L]
    assert Pool(np.full(POINTS, 7.0)).rest(np.full(3, 5.0), u[:3]).tolist() == [2.0, 2.0, 2.0]
