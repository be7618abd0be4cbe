"""Tables of what controllers order under periodic review: found from what they are shown, priced exactly."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from agents.bundles import bundle
from agents.envs.grid import Grid
from agents.envs.schema import Observer
from agents.errors import NotExactError
from agents.exact import optimum_periodic
from agents.exact.optimum import Table, optimum, policy_cost, write_policy
from agents.exact.played import TableController
from agents.exact.table import table_of
from agents.exact.table_periodic import stationary
from agents.training.learning import spec
from sim.compile import Compiled, compile_plant
from sim.plantfile import load
from tests.agents.test_bundle import random_network
from tests.agents.test_optimum import run
from tests.agents.test_played import LATE, agrees, text_of, written

Rows = NDArray[np.int64]
Values = NDArray[np.int64]


@dataclass
class Sees:
    """A controller that is shown what an agent is shown, and sets its levels by a function of that, in units."""

    compiled: Compiled
    levels: Callable[[dict[str, Values]], list[Values]]
    name: str = "sees"
    static: bool = False
    epoch_s: float | None = None

    def act(self, rows: Rows) -> Values:
        observer = Observer(self.compiled)
        units = np.rint((observer(rows) + observer.shift) / observer.scale).astype(np.int64)
        told = {name.removeprefix("shelf."): units[:, i] for i, name in enumerate(observer.fields)}
        return np.stack(self.levels(told), axis=1)


@pytest.fixture(scope="module")
def lost() -> Compiled:
    return compile_plant(load("lost_sales"))


def capped(told: dict[str, Values]) -> list[Values]:
    """At most six an order."""
    return [np.minimum(17, told["on_hand"] + told["on_order"] + 6)]


def by_what_comes(told: dict[str, Values]) -> list[Values]:
    """Less today where more comes tomorrow, whatever the sum."""
    order = np.minimum(7 - told["arriving.2"] // 2, 20 - told["on_hand"] - told["on_order"])
    return [told["on_hand"] + told["on_order"] + np.maximum(order, 0)]


def test_what_is_ordered_by_what_is_seen_is_the_table(lost: Compiled) -> None:
    chain = optimum_periodic.Chain(optimum_periodic.read(lost.plant))
    found = table_of(Sees(lost, capped), lost)
    assert found.policy == optimum_periodic.by_levels(chain, 17, cap=6)
    assert found.notes == ()
    found = table_of(Sees(lost, by_what_comes), lost)
    expected = {f"{x},{y}": str(max(min(7 - y // 2, 20 - x - y), 0)) for x, y in chain.states.tolist()}
    assert found.policy == expected
    assert found.notes == ()
    agrees(lost, found.policy, policy_cost(lost.plant, found.policy)[0], (30, 300, 300), 0.02)


@pytest.mark.parametrize("name", ["lost_sales", "dual_sourcing"])
def test_the_optimum_is_its_own_table(name: str) -> None:
    compiled = compile_plant(load(name))
    best = optimum(compiled.plant)
    assert table_of(TableController(best.policy, compiled), compiled).policy == best.policy


def test_both_sources_by_what_is_seen() -> None:
    """Dual index levels that fall where more is on its way."""
    compiled = compile_plant(load("dual_sourcing"))

    def levels(told: dict[str, Values]) -> list[Values]:
        later = told["arriving.2"]
        return [np.full(len(later), 9), np.where(later > 2, 3, 5)]

    chain = optimum_periodic.Chain(optimum_periodic.read(compiled.plant))
    expected: Table = {}
    for x, y in chain.states.tolist():
        fast = max((3 if y > 2 else 5) - x, 0)
        expected[f"{x},{y}"] = f"{fast}+{max(9 - x - y - fast, 0)}"
    assert table_of(Sees(compiled, levels), compiled).policy == expected


def test_what_it_orders_most_often_counts(lost: Compiled) -> None:
    """One that looks at the shelf before today's delivery, and one that looks at its last level: both are told of."""

    def shelf(told: dict[str, Values]) -> list[Values]:
        return [np.where(told["on_hand"] == 0, 14, 16)]

    def last(told: dict[str, Values]) -> list[Values]:
        return [np.where(told["on_hand"] + told["on_order"] == 0, 16, np.minimum(told["control.level"], 15) + 1)]

    found = table_of(Sees(lost, shelf), lost)
    assert any("in the same state" in note for note in found.notes)
    # position 16 less a demand of five or so; the shelf is seldom empty where much is there after the delivery
    assert found.policy["9,4"] == "3"
    assert found.policy["0,14"] == "0"
    assert found.policy["0,12"] == "2", "nothing is on hand before a delivery of nothing: level 14"
    settled = table_of(Sees(lost, last), lost)
    chain = optimum_periodic.Chain(optimum_periodic.read(lost.plant))
    pairs = chain.chosen(settled.policy)
    share = stationary(chain.problem.moves[pairs], chain.start)
    often = share > 1e-4
    assert (chain.states[often].sum(axis=1) + chain.orders[pairs[often], 1] == 16).all()


def test_shares_of_time(lost: Compiled) -> None:
    """They give the cost that elimination gives."""
    chain = optimum_periodic.Chain(optimum_periodic.read(lost.plant))
    table = optimum_periodic.by_levels(chain, 16)
    pairs = chain.chosen(table)
    share = stationary(chain.problem.moves[pairs], chain.start)
    assert share.sum() == pytest.approx(1.0)
    assert share @ chain.problem.cost[pairs] == pytest.approx(policy_cost(lost.plant, table)[0], abs=1e-7)


def test_networks_in_a_round(lost: Compiled, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Weights drawn at random: the command writes a full table, and the command prices it."""
    observer, grid, out = Observer(lost), Grid(lost.plant), tmp_path / "policy.json"
    made = random_network(np.random.default_rng(1), observer.size, tuple(int(n) for n in grid.counts))
    told_of = spec(lost, made, lost.ticks(86_400), np.zeros((4, observer.size), dtype=np.float32))
    bundle.save(tmp_path / "bundle", made, told_of, {"why": "test"}, "# {name}\n")
    told = run(capsys, "policy", "table", str(tmp_path / "bundle"), "--plant", "lost_sales", "--out", str(out))
    assert told[0] == 0
    chain = optimum_periodic.Chain(optimum_periodic.read(lost.plant))
    table = json.loads(out.read_text())
    assert set(table) == {f"{x},{y}" for x, y in chain.states.tolist()}
    assert len(set(table.values())) > 5
    code, said, _ = run(capsys, "policy", "cost", str(out), "--plant", "lost_sales", "--json")
    assert code == 0
    assert json.loads(said)["gap"] > 0.0
    write_policy(out, table_of(Sees(lost, capped), lost).policy)
    code, said, _ = run(capsys, "policy", "cost", str(out), "--plant", "lost_sales")
    assert (code, "% above the optimum" in said) == (0, True)


def test_who_cannot_be_written_down(lost: Compiled, tmp_path: Path) -> None:
    late = written(tmp_path, text_of("lost_sales").replace(*LATE))
    with pytest.raises(NotExactError, match="reviews follow the demand"):
        table_of(Sees(late, capped), late)
    with pytest.raises(NotExactError, match="decides every 172800 ticks, expected every review"):
        table_of(Sees(lost, capped, epoch_s=172_800.0), lost)
    events = Sees(lost, capped)
    events.kinds = 1  # type: ignore[attr-defined]
    with pytest.raises(NotExactError, match="at events"):
        table_of(events, lost)
    with pytest.raises(NotExactError, match="no level within the controls' ranges"):
        table_of(Sees(lost, lambda told: [np.full(len(told["on_hand"]), 50)]), lost)
