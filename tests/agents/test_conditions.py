"""Rules with one number per condition: they say what the model's rule says, come back from files, and are found."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from agents.control.controllers import RuleController, controller
from agents.control.rollout import Span, cost_of, cost_over
from agents.envs.env import compiled_plant
from agents.envs.grid import Grid
from agents.errors import SchemaError
from agents.exact.optimum import policy_cost
from agents.exact.table import table_of
from agents.rules.conditions import ByCondition, Many, family, numbers_of
from agents.rules.race import Course, Price, Values, race
from agents.rules.rule import Rule, load_rule, save_rule
from agents.rules.surface import Reach, descend
from agents.rules.tune import Effort, tune
from sim.compile import Compiled
from sim.kernel import new_rows
from tests.oracles import make_to_stock as oracle

LEVELS, CARE = (5, 9, 7, 7, 7), (26, 9, 6, -12, -12)


@pytest.fixture(scope="module")
def worn() -> Compiled:
    return compiled_plant("make_to_stock")


def ten(levels: tuple[int, ...] = LEVELS, care: tuple[int, ...] = CARE) -> Rule:
    """The rule of ten numbers as a rule of ours."""
    tables = (ByCondition("base", "machine", levels), ByCondition("care", "machine", care, "finished"))
    return Rule({"base": 7, "care": 2}, by_condition=tables)


def test_ten_numbers_cost_exactly_what_the_oracles_do(worn: Compiled) -> None:
    m = oracle.MakeToStock()
    exact = oracle.evaluate(m, oracle.rule(m, list(LEVELS), list(CARE)))[0]
    assert exact < 1.0026 * oracle.best(m)[0], "the best ten numbers are within 0.26 % of the optimum"
    table = table_of(RuleController(ten(), worn, Grid(worn.plant)), worn)
    low, high = policy_cost(worn.plant, table.policy)
    assert low - 1e-9 <= exact <= high + 1e-9
    assert not table.notes


def test_such_a_rule_decides_at_events_and_costs_that_in_the_kernel(worn: Compiled) -> None:
    who = RuleController(ten(), worn, Grid(worn.plant))
    assert who.kinds
    assert not who.static
    assert not RuleController(Rule({"base": 7, "care": 2}), worn, Grid(worn.plant)).kinds
    hours = 400
    costs = cost_of(who, worn, Span(36_000, 200 * 36_000, hours * 36_000), 77, 1000) / hours
    error = float(costs.std(ddof=1)) / np.sqrt(len(costs))
    assert error < 0.2
    assert abs(float(costs.mean()) - 8.6495) < 3 * error


def test_many_rules_at_once_cost_what_each_costs_alone(worn: Compiled) -> None:
    rules = [ten(), ten((5, 9, 7, 7, 9)), ten(care=(26, 4, 4, 0, -3))]
    span = Span(36_000, 0, 100 * 36_000)
    alone = [cost_of(RuleController(r, worn, Grid(worn.plant)), worn, span, 5, 4) for r in rules]
    numbers = np.repeat(np.array([numbers_of(r.by_condition) for r in rules]), 4, axis=0)
    kinds = RuleController(rules[0], worn, Grid(worn.plant)).kinds
    many = Many(worn, rules[0].by_condition, np.array([7, 2]), numbers, kinds)
    together = cost_over(np.tile(new_rows(worn, 5, 4), (3, 1)), worn, many, span).reshape(3, 4)
    assert np.array_equal(together, np.array(alone))
    assert not np.array_equal(alone[0], alone[2])


def test_files_of_rules(tmp_path: Path, worn: Compiled) -> None:
    save_rule(tmp_path / "r.json", ten(), worn.plant)
    assert load_rule(tmp_path / "r.json") == ten()
    assert controller(str(tmp_path / "r.json"), worn).name == ten().name
    plain = Rule({"base": 7, "care": 2})
    save_rule(tmp_path / "old.json", plain, worn.plant)
    content = json.loads((tmp_path / "old.json").read_text())
    assert content["format"] == 1
    assert "by_condition" not in content
    # what a rule without tables was called before there were any
    assert plain.name == "rule:fixed:sha256:48abdcae255e35aa3f906cff4b23476533aba15bbcb089b58f6548511e5ecf47"
    (tmp_path / "new.json").write_text(json.dumps({**content, "format": 5}))
    with pytest.raises(SchemaError, match="format 5, expected 1 to 4"):
        load_rule(tmp_path / "new.json")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (ByCondition("bas", "machine", LEVELS), "expected one table for a control among base, care"),
        (ByCondition("base", "machine", LEVELS[:4]), "a number for each condition"),
        (ByCondition("base", "engine", LEVELS), "a number for each condition"),
        (ByCondition("base", "machine", (5, 9, 7, 7, 26)), "expected 0 to 25"),
        (ByCondition("care", "machine", CARE, "finish"), "no stock 'finish'"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(table: ByCondition, message: str, worn: Compiled) -> None:
    with pytest.raises(SchemaError, match=message):
        Rule({"base": 7, "care": 2}, by_condition=(table,)).check(worn.plant, Grid(worn.plant))


def test_the_tables_to_tune_begin_as_the_constants(worn: Compiled, line3: Compiled) -> None:
    found = family(worn.plant, np.array([7, 2]))
    constants = oracle.base_stock_and_threshold(oracle.MakeToStock(), 7, 2)
    who = RuleController(Rule({"base": 7, "care": 2}, by_condition=found.tables), worn, Grid(worn.plant))
    asked = table_of(who, worn)
    actions = {f"{x - 12},{k}": oracle.ACTIONS[a] for (x, k), a in np.ndenumerate(constants)}
    assert {k: v for k, v in asked.policy.items() if not k.startswith("25,")} == {
        k: v for k, v in actions.items() if not k.startswith("25,")
    }
    assert (found.low[1] == [26, -12, -12, -12, -12]).all(), "no setpoint maintains a machine as good as new"
    assert not family(line3.plant, np.array([5])).tables


def noisy(lowest: Values, seed: int) -> tuple[list[int], Price]:
    """A bowl whose costs have a standard deviation of 5, and the count of its runs."""
    spent = [0]

    def price(points: Values, first: int, n: int) -> NDArray[np.float64]:
        spent[0] += len(points) * n
        luck = np.random.default_rng([seed, first]).standard_normal((len(points), n))
        heights: NDArray[np.float64] = 0.1 * ((points - lowest) ** 2).sum(axis=1)
        return heights[:, None] + 5.0 * luck

    return spent, price


def test_a_race_and_surfaces_find_the_floor_of_a_noisy_bowl() -> None:
    lowest = np.array([3, 12, 20, 7])
    course = Course(np.array([0, 0, 0, 7]), np.array([25, 25, 25, 7]), 64)
    spent, price = noisy(lowest, 1)
    near = race(price, np.array([24, 0, 0, 7]), course, lambda: spent[0] < 60_000)
    assert (np.abs(near - lowest) <= 3).all()
    total = spent[0]
    over = Reach((5, 10), 0, sure=True)
    found = descend(price, near, course, over, lambda s: total + 40_000 - spent[0] > 40_000 * s)
    assert (np.abs(found - lowest) <= 1).all()
    assert spent[0] < 120_000


def test_every_family_has_the_same_budget_and_the_richer_one_is_found(worn: Compiled) -> None:
    result = tune(worn, Effort(candidates=8, replicas=4, final=16, hours=3e5))
    assert set(result.families) == {"fixed", "condition"}
    for name, found in result.families.items():
        assert 0.25e6 < found.hours < 0.45e6, name
    assert result.families["condition"].rule.by_condition
    # what whole runs cost says nothing about fifteen numbers after five hundred of them, what their events say does
    assert not result.rule.static
    mean, low, high = result.families["condition"].more
    assert low < mean < high < 0.0
    assert mean == pytest.approx(result.families["condition"].cost - result.fixed, abs=0.5)
    result.rule.check(worn.plant, Grid(worn.plant))
    low, high = policy_cost(worn.plant, table_of(RuleController(result.rule, worn, Grid(worn.plant)), worn).policy)
    assert high < 1.03 * oracle.best(oracle.MakeToStock())[0], "constants cost 12 % more than the optimum"
