"""Exact costs hold in the kernel: tables are played there, on plants of every kind whose controls can say them."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import sim
from agents.control.controllers import Hold
from agents.control.rollout import Span, cost_of, default_epoch
from agents.errors import NotExactError
from agents.exact.optimum import Table, optimum, policy_cost
from agents.exact.played import TableController
from agents.exact.table import table_of
from sim.compile import Compiled, compile_plant
from sim.plantfile import load


def text_of(name: str) -> str:
    return (Path(sim.__file__).parent / "plants" / f"{name}.yaml").read_text(encoding="utf-8")


def written(tmp_path: Path, text: str) -> Compiled:
    path = tmp_path / "plant.yaml"
    path.write_text(text, encoding="utf-8")
    return compile_plant(load(str(path)))


def agrees(compiled: Compiled, table: Table, exact: float, run: tuple[float, float, int], sharp: float) -> None:
    """Played for `run` = (warm-up, length, replicas) time units: within three standard errors, sharp ones."""
    second = {"h": 3600.0, "d": 86_400.0}[compiled.plant.time_unit]
    span = Span(default_epoch(compiled), compiled.ticks(run[0] * second), compiled.ticks(run[1] * second))
    costs = cost_of(TableController(table, compiled), compiled, span, 20_260_105, run[2]) / run[1]
    error = float(costs.std(ddof=1)) / np.sqrt(run[2])
    assert 3 * error < sharp * exact
    assert abs(float(costs.mean()) - exact) < 3 * error, f"{costs.mean():.5g} ± {error:.2g}, exact {exact:.6g}"


@pytest.mark.parametrize("name", ["lost_sales", "dual_sourcing"])
def test_orders_of_the_optimum_cost_what_is_exact(name: str) -> None:
    compiled = compile_plant(load(name))
    best = optimum(compiled.plant)
    agrees(compiled, best.policy, best.cost, (30, 500, 400), 0.01)


LATE = ("review_order_receive_satisfy", "receive_satisfy_review_order")


@pytest.mark.parametrize(
    ("name", "days"), [("lost_sales", 3), ("lost_sales", 1), ("lost_sales", 0), ("dual_sourcing", 3)]
)
def test_reviews_after_the_demand_are_counted_as_the_kernel_does(name: str, days: int, tmp_path: Path) -> None:
    """Constant levels: an order has a day less to come, the express source's too."""
    text = text_of(name).replace(*LATE).replace("constant(0 d)", "constant(1 d)")
    text = text.replace("lead: constant(2 d)", f"lead: constant({days} d)")
    text = text.replace("holding: 1 EUR/d", "order_cost: 3 EUR, holding: 1 EUR/d")
    compiled = written(tmp_path, text)
    table = table_of(Hold(), compiled).policy
    span = Span(1, compiled.ticks(30 * 86_400.0), compiled.ticks(500 * 86_400.0))
    costs = cost_of(Hold(), compiled, span, 20_260_106, 400) / 500
    error, exact = float(costs.std(ddof=1)) / 20.0, policy_cost(compiled.plant, table)[0]
    assert 3 * error < 0.01 * exact
    assert abs(float(costs.mean()) - exact) < 3 * error
    with pytest.raises(NotExactError, match="reviews follow the demand"):
        TableController(table, compiled)


def test_a_day_less_to_come_is_the_same_plant(tmp_path: Path) -> None:
    text = text_of("dual_sourcing").replace(*LATE).replace("constant(0 d)", "constant(1 d)")
    compiled = written(tmp_path, text.replace("lead: constant(2 d)", "lead: constant(3 d)"))
    assert optimum(compiled.plant).cost == pytest.approx(optimum(load("dual_sourcing")).cost, rel=1e-7)


def test_orders_that_come_at_once(tmp_path: Path) -> None:
    """A cost of each order beside it: then the best levels differ from state to state."""
    text = text_of("lost_sales").replace("constant(2 d)", "constant(0 d)").replace("poisson(5)", "poisson(2)")
    compiled = written(tmp_path, text.replace("holding:", "order_cost: 3 EUR, holding:"))
    best = optimum(compiled.plant)
    assert best.cost < policy_cost(compiled.plant, table_of(Hold(), compiled).policy)[0]
    agrees(compiled, best.policy, best.cost, (30, 500, 400), 0.01)


def test_releases_of_the_optimum_cost_what_is_exact(tmp_path: Path) -> None:
    """A lighter load than the bundled one: long queues forget slowly."""
    text = text_of("tandem_release").replace("poisson(0.7/h)", "poisson(0.5/h)").replace("every: 100 ms", "every: 1 ms")
    compiled = written(tmp_path, text)
    best = optimum(compiled.plant)
    agrees(compiled, best.policy, best.cost, (200, 600, 600), 0.03)


def test_a_machine_to_stock_with_other_parameters(tmp_path: Path) -> None:
    """Three conditions and parts that are scrapped; the bundled parameters are played in tests/theory."""
    text = re.sub(
        r"wear: \[[^]]*\]", "wear: [exponential(12 h), exponential(8 h), exponential(5 h)]", text_of("make_to_stock")
    )
    text = re.sub(r"fails: \[[^]]*\]", "fails: [never, exponential(90 h), exponential(20 h)]", text)
    text = re.sub(r"speed: \[[^]]*\]", "speed: [1, 0.9, 0.7]\n      scrap: [0 %, 5 %, 20 %]", text)
    text = text.replace("levels: 5", "levels: 3").replace("most: 12", "most: 5").replace("every: 1 s", "every: 100 ms")
    text = text.replace("at_level: 3", "at_level: 2").replace("to: 5, every", "to: 3, every")
    compiled = written(tmp_path, text)
    best = optimum(compiled.plant)
    assert policy_cost(compiled.plant, best.policy)[1] == pytest.approx(best.cost, rel=1e-7)
    agrees(compiled, best.policy, best.cost, (200, 600, 1000), 0.03)
