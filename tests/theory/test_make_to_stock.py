"""The bundled `make_to_stock` is the model of its oracle: policies played in the kernel cost what is exact."""

from __future__ import annotations

import numpy as np
import pytest

from sim import kernel
from sim.compile import Compiled, compile_plant
from sim.plantfile import load
from sim.state import Array
from sim.value import operating_cost
from tests.oracles.make_to_stock import (
    IDLE,
    PM,
    PRODUCE,
    MakeToStock,
    Policy,
    base_stock_and_threshold,
    best,
    best_two_numbers,
    evaluate,
)

M = MakeToStock()
WARM_UP, HOURS, ROWS = 300, 1200, 4000


@pytest.fixture(scope="module")
def compiled() -> Compiled:
    return compile_plant(load("make_to_stock"))


def setpoints(rows: Array, compiled: Compiled, table: Policy) -> Array:
    """Base stock and maintenance level [R, 2] that tell the machine of each row at once what the table says.

    Produce: a base stock above any stock; rest: 0; neither lets wear begin maintenance by itself (level 5 is never).
    Maintenance: the level that the machine has. While it is down it is as it will be afterwards, in condition 0.
    """
    view = compiled.layout.view
    x = view(rows, "on_hand")[:, 0] - view(rows, "backorders")[:, 0]
    k = np.where(view(rows, "unit_mode")[:, 0] >= 0, 0, view(rows, "unit_level")[:, 0])
    action = table[x - M.low, k]
    return np.stack([np.where(action == PRODUCE, M.high, 0), np.where(action == PM, k, M.conditions)], axis=1)


def play(compiled: Compiled, table: Policy, seed: int) -> tuple[float, float]:
    """Cost an hour and its standard error, of a table that is asked at every event."""
    rows = kernel.new_rows(compiled, seed, ROWS)
    moments: list[Array] = []
    for hours in (WARM_UP, WARM_UP + HOURS):
        end = compiled.ticks(hours * 3600)
        now = compiled.layout.view(rows, "now").reshape(-1)
        while (now < end).any():
            kernel.set_controls(rows, compiled, setpoints(rows, compiled, table))
            following = compiled.layout.view(rows, "next_time").min(axis=1) + 1
            kernel.run(rows, compiled, np.clip(following, now, end))
        moments.append(rows.copy())
    return estimate(moments, compiled)


def estimate(moments: list[Array], compiled: Compiled) -> tuple[float, float]:
    cost = operating_cost(moments[0], moments[1], compiled) / HOURS
    return float(cost.mean()), float(cost.std() / np.sqrt(len(cost)))


def agrees(found: tuple[float, float], exact: float) -> None:
    """Within three standard errors of the exact cost, which are about half a per cent each."""
    mean, error = found
    assert error < 0.006 * exact
    assert abs(mean - exact) < 3 * error, f"{mean} ± {error}, exact {exact}"


def test_the_best_two_numbers_cost_what_they_cost(compiled: Compiled) -> None:
    """Constant setpoints: nobody decides anything while it runs."""
    exact, level, at = best_two_numbers(M)
    rows = kernel.new_rows(compiled, 11, ROWS)
    kernel.set_controls(rows, compiled, np.array([level, at]))
    moments = []
    for hours in (WARM_UP, WARM_UP + HOURS):
        kernel.run(rows, compiled, compiled.ticks(hours * 3600))
        moments.append(rows.copy())
    agrees(estimate(moments, compiled), exact)


def test_the_best_table_costs_the_optimum(compiled: Compiled) -> None:
    exact, table = best(M)
    assert exact == pytest.approx(8.628, abs=5e-4)
    agrees(play(compiled, table, 12), exact)


@pytest.mark.slow
def test_the_two_numbers_as_a_table_cost_the_same(compiled: Compiled) -> None:
    exact, level, at = best_two_numbers(M)
    agrees(play(compiled, base_stock_and_threshold(M, level, at), 13), exact)


@pytest.mark.slow
def test_any_table_costs_what_is_exact(compiled: Compiled) -> None:
    """Actions without sense: the machine is stopped in the middle of its work again and again, to rest too."""
    rng = np.random.default_rng(4)
    table = rng.choice([IDLE, PRODUCE, PRODUCE, PRODUCE, PM], (len(M.stocks), M.conditions))
    table[:, 0] = np.where(table[:, 0] == PM, PRODUCE, table[:, 0])  # maintained as new it would stay so: no setpoint
    owing = np.array(M.stocks) < 0
    table[owing] = np.where(table[owing] == IDLE, PRODUCE, table[owing])  # no base stock is below 0
    table[-1] = np.where(table[-1] == PRODUCE, IDLE, table[-1])
    agrees(play(compiled, table, 14), evaluate(M, table)[0])
