"""Numbers by condition found in a model of what runs saw, priced exactly; and which rule is kept."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from agents.control.controllers import RuleController
from agents.envs.env import compiled_plant
from agents.envs.grid import Grid
from agents.errors import SchemaError
from agents.exact.optimum import optimum, policy_cost
from agents.exact.table import table_of
from agents.rules import wearmodel
from agents.rules.conditions import Many, family, numbers_of
from agents.rules.keep import Fresh, keep, proves
from agents.rules.rule import Rule, load_rule, save_rule
from agents.rules.wearruns import Runs, Seen, machines, watch
from benchmarks.unseen import draw, text
from sim.compile import Compiled

HOUR = 36_000
"""Ticks."""
FIFTEEN = ((5, 9, 7, 7, 7), (26, 9, 6, -12, -12), (-13, -13, -11, -13, -13))


@pytest.fixture(scope="module")
def worn() -> Compiled:
    return compiled_plant("make_to_stock")


def rule_of(numbers: NDArray[np.int64], compiled: Compiled) -> Rule:
    values = {"base": 7, "care": 2}
    tables = family(compiled.plant, np.array([7, 2])).tables
    told = [replace(t, values=tuple(n.tolist())) for t, n in zip(tables, numbers, strict=True)]
    return Rule(values, by_condition=tuple(told))


def exact(numbers: NDArray[np.int64], compiled: Compiled) -> float:
    table = table_of(RuleController(rule_of(numbers, compiled), compiled, Grid(compiled.plant)), compiled)
    return sum(policy_cost(compiled.plant, table.policy)) / 2.0


def test_fifteen_numbers_are_the_optimum(worn: Compiled) -> None:
    assert exact(np.array(FIFTEEN), worn) == pytest.approx(optimum(worn.plant).cost, rel=1e-6)


def test_the_model_prices_rules_as_the_exact_chain_does(worn: Compiled) -> None:
    tables = family(worn.plant, np.array([7, 2]))
    (machine,) = machines(worn.plant, tables)
    assert not machine.busy
    rng = np.random.default_rng(3)
    numbers = rng.integers(tables.low, tables.high + 1, (1024, *tables.low.shape))
    numbers[::2] = np.array(FIFTEEN)
    seen = Seen(machine, worn)
    took = watch(seen, Many(worn, tables.tables, np.array([7, 2]), numbers, 0), Runs(1, 0, 2e5 * HOUR, HOUR))
    assert 2e5 * HOUR <= took < 2.1e5 * HOUR
    assert seen.sums[:, 1].sum() == took, "every tick is somebody's"
    model = wearmodel.Model(seen, HOUR)
    for rule in (np.array(FIFTEEN), numbers_of(tables.tables)):
        actions = model.actions(rule, (1, 5))
        assert model.cost(actions) == pytest.approx(exact(rule, worn), rel=0.1)
        # what few other actions cost is the same whether all equations are solved again or not
        other = actions.copy()
        other[model.status == 1] = 2
        assert model.others(actions, [other, actions]) == pytest.approx([model.cost(other), model.cost(actions)])


@pytest.mark.parametrize("drawn", [None, 2])
def test_what_is_found_costs_little_more_than_the_optimum(drawn: int | None, worn: Compiled, tmp_path: Path) -> None:
    compiled = worn
    if drawn is not None:
        (tmp_path / "plant.yaml").write_text(text(draw(drawn), "drawn"), encoding="utf-8")
        compiled = compiled_plant(str(tmp_path / "plant.yaml"))
    tables = family(compiled.plant, np.array([7, 2]))
    start = numbers_of(tables.tables)
    numbers, took = wearmodel.found(compiled, tables, np.array([7, 2]), start, Runs(5, 0, 6e5 * HOUR, HOUR))
    assert 6e5 * HOUR <= took < 6.2e5 * HOUR
    least = optimum(compiled.plant).cost
    assert exact(start, compiled) > 1.09 * least
    assert exact(numbers, compiled) < 1.015 * least


def test_tables_below_in_files(tmp_path: Path, worn: Compiled) -> None:
    rule = rule_of(np.array(FIFTEEN), worn)
    save_rule(tmp_path / "r.json", rule, worn.plant)
    content = json.loads((tmp_path / "r.json").read_text())
    assert content["format"] == 3
    assert ["below" in t for t in content["by_condition"]] == [False, False, True]
    assert load_rule(tmp_path / "r.json") == rule
    lonely = Rule(rule.values, by_condition=(rule.by_condition[2],))
    with pytest.raises(SchemaError, match="before it one other table by stock"):
        lonely.check(worn.plant, Grid(worn.plant))


def test_the_simpler_rule_wins_ties_and_close_races_are_played_on() -> None:
    rng = np.random.default_rng(1)
    luck = rng.normal(10.0, 3.0, 4096)
    own = rng.normal(0.0, 1.0, 4096)
    swings = np.resize([1.0, -1.0], 4096)
    costs = {"simple": luck, "same": luck, "better": luck - 0.15 + swings, "much": luck - 2.0 + own}
    fresh = Fresh(lambda name, first, n: costs[name][first : first + n])
    assert keep(fresh, ["simple", "same"], 50) == "simple"
    assert len(fresh.costs["same"]) == 50
    assert keep(fresh, ["simple", "much"], 50) == "much"
    assert len(fresh.costs["much"]) == 50
    assert keep(fresh, ["simple", "better"], 50) == "better"
    assert len(fresh.costs["better"]) == 200, "one in 0.14 after 50 runs, two in 0.07 after 200"
    mean, low, high = fresh.against("simple", "much", 2.0)
    assert low < mean < high
    assert mean == pytest.approx(-4.0, abs=0.7)


def _of(costs: dict[str, NDArray[np.float64]], name: str, first: int, n: int) -> NDArray[np.float64]:
    return costs[name][first : first + n]


def test_a_richer_rule_that_is_no_better_is_seldom_kept() -> None:
    kept = 0
    for seed in range(400):
        rng = np.random.default_rng(seed)
        costs = {"simple": rng.standard_normal(512), "rich": rng.standard_normal(512)}
        fresh = Fresh(partial(_of, costs))
        kept += keep(fresh, ["simple", "rich"], 64) == "rich"
    assert kept < 36, "5 % are 20, with a standard deviation of 4.4"


def test_a_change_is_dropped_taken_or_run_on() -> None:
    luck = np.random.default_rng(1).normal(10.0, 3.0, 256)
    swings = np.resize([1.0, -1.0], 256)
    late = np.where(np.arange(256) < 64, 0.05, -0.1)
    costs = {"now": luck, "same": luck, "much": luck - 1.0, "bad": luck + 0.1 * swings + 0.01}
    costs |= {"slightly": luck - 0.1 + swings, "fairly": luck - 0.07 + swings, "hardly": luck - 0.03 + swings}
    costs["turns"] = luck - late + 0.3 * swings
    found = {}
    for name in costs.keys() - {"now"}:
        fresh = Fresh(partial(_of, costs))
        found[name] = (proves(fresh, "now", name, 64), len(fresh.costs[name]))
    assert found == {
        "same": (False, 64),  # as much is not less
        "bad": (False, 64),
        "much": (True, 64),
        "slightly": (True, 256),  # 0.8, 1.1 and 1.6 standard errors: fairly at last
        "fairly": (True, 256),
        "hardly": (False, 256),  # half a standard error at last
        "turns": (False, 128),  # it looked fair at first
    }
