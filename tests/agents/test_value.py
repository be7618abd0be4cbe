"""Operating cost is what its page says: an identity between independent ways to add up the money."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agents.envs.env import compiled_plant
from agents.envs.grid import Grid
from sim.compile import Compiled
from sim.kernel import new_rows, run, set_controls
from sim.kpi import cost_weights
from sim.value import lanes_of, material_cost, operating_cost, unit_values
from tests.plants import TWO_MOTORS

# Price of the material in gearmotor's products, added up by hand from its file: a blank is 11 EUR, castings are 14 and
# 23, wire is 10.50 a kilogram, two of them in a small stator and four in a large one.
BY_HAND = {
    "gm40": 46.0,
    "gm63": 67.0,
    "gm80": 76.0,
    "housing_s": 14.0,
    "housing_l": 23.0,
    "stator_s": 21.0,
    "stator_l": 42.0,
}


def value_held(rows: np.ndarray, compiled: Compiled) -> np.ndarray:
    """Money tied up in material and in orders already sold but not yet shipped, from the rows (up to a constant): what
    lies and what is on its way; what has gone into the line and not left it, by what was released and withdrawn.
    """
    plant, layout = compiled.plant, compiled.layout
    worth = unit_values(plant)
    total = np.zeros(len(rows))
    price = {s.id: value for s, (value, _) in zip(plant.stocks, worth, strict=True)}
    material = material_cost(plant)
    for i, product in enumerate(plant.products):
        consumed = sum(n * price[k] for k, n in product.release.consumes)
        total += consumed * layout.view(rows, "released")[:, i]
        total -= material[product.id] * (layout.view(rows, "finished")[:, i] + layout.view(rows, "scrapped")[:, i])
    for name in {k for product in plant.products for step in product.steps for k, _ in step.needs}:
        at = compiled.stock_index[name]
        withdrawn = layout.view(rows, "received")[:, at] - layout.view(rows, "on_hand")[:, at]
        total += price[name] * withdrawn
    for k, stock in enumerate(plant.stocks):
        value, revenue = worth[k]
        total += value * layout.view(rows, "on_hand")[:, k]
        total += (revenue - value) * layout.view(rows, "backorders")[:, k]
        if stock.source != "line":
            total += value * layout.view(rows, "on_order")[:, k]
    for lane, (stock, _) in enumerate(lanes_of(plant)):
        total -= price[stock.id] * layout.view(rows, "owed")[:, lane]
    return total


def test_material_goes_with_the_components_it_is_in() -> None:
    assert material_cost(compiled_plant("gearmotor").plant) == pytest.approx(BY_HAND)


@pytest.mark.parametrize("name", ["gearmotor", TWO_MOTORS, "line3"])
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**6), hours=st.integers(1, 400), data=st.data())
def test_operating_cost_is_cash_less_value_plus_margin_of_orders(
    name: str, seed: int, hours: int, data: st.DataObject
) -> None:
    compiled = compiled_plant(name)
    grid = Grid(compiled.plant)
    rows = new_rows(compiled, seed, 3)
    run(rows, compiled, compiled.ticks(9 * 3600))
    indices = [data.draw(st.integers(0, int(n) - 1)) for n in grid.counts]
    set_controls(rows, compiled, grid.decode(np.array(indices)))
    before = rows.copy()
    run(rows, compiled, compiled.ticks((9 + hours) * 3600))

    offsets, weights = cost_weights(compiled)
    cash = (rows - before)[:, offsets] @ weights
    margin = np.zeros(3)
    for k, (value, revenue) in enumerate(unit_values(compiled.plant)):
        demanded = compiled.layout.view(rows - before, "demanded")[:, k]
        margin += (revenue - value) * demanded
    expected = cash - (value_held(rows, compiled) - value_held(before, compiled)) + margin
    found = operating_cost(before, rows, compiled)
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-6)


def test_ordering_less_is_no_gain_within_the_lead_time(two_motors: Compiled) -> None:
    # cash calls an order not placed a saving of its price; operating cost must not
    grid = Grid(two_motors.plant)
    rows = new_rows(two_motors, 3, 8)
    run(rows, two_motors, two_motors.ticks(15 * 86_400))
    lean = rows.copy()
    values = {c.id: int(v) for c, v in zip(two_motors.plant.controls, rows[0, two_motors.controls], strict=True)}
    set_controls(lean, two_motors, grid.vector({**values, "kit_level": 400}))
    before = [rows.copy(), lean.copy()]
    for batch in (rows, lean):
        run(batch, two_motors, two_motors.ticks(16.5 * 86_400))
    offsets, weights = cost_weights(two_motors)
    cash = [((after - b)[:, offsets] @ weights).mean() for b, after in zip(before, (rows, lean), strict=True)]
    true = [operating_cost(b, after, two_motors).mean() for b, after in zip(before, (rows, lean), strict=True)]
    assert cash[1] < cash[0] - 1000.0
    assert abs(true[1] - true[0]) < 200.0
