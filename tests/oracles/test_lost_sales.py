"""Lost sales with a lead time: Zipkin's table, a linear programme, the explicit Markov chain."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import linprog

from tests.oracles.inventory import poisson_law
from tests.oracles.lost_sales import (
    LostSales,
    best,
    best_base_stock,
    best_capped,
    capped_base_stock,
    cost,
    lost,
    time_on_hand,
)

Values = NDArray[np.float64]

ZIPKIN = [
    (1, 4, 4.04, 4.16), (1, 9, 5.44, 5.55), (1, 19, 6.68, 6.73), (1, 39, 7.84, 7.86),
    (2, 4, 4.40, 4.64), (2, 9, 6.09, 6.32), (2, 19, 7.66, 7.84), (2, 39, 9.11, 9.19),
    (3, 4, 4.60, 4.98),
]  # fmt: skip
"""Lead time, p, cost of the best policy, of the best base-stock policy; Poisson mean 5, h = 1."""


@pytest.mark.parametrize(("lead", "lost", "optimal", "base_stock"), ZIPKIN)
def test_zipkins_table(lead: int, lost: float, optimal: float, base_stock: float) -> None:
    model = LostSales(5.0, lead, 1.0, lost, 32 if lead < 3 else 26, 16 if lead < 3 else 13)
    least, orders = best(model)
    assert int(orders.max()) < model.largest, "the lattice does not hold the best policy back"
    assert least == pytest.approx(optimal, abs=0.0051)
    assert best_base_stock(model)[1] == pytest.approx(base_stock, abs=0.0051)


def test_a_cap_helps_a_base_stock_and_the_lattice_is_large_enough() -> None:
    model = LostSales(5.0, 2, 1.0, 4.0, 32, 16)
    level, plain = best_base_stock(model)
    wide, cap, capped = best_capped(model, range(level, level + 4), range(4, 8))
    assert (wide, cap) == (17, 5)
    assert best(model)[0] < capped < plain
    larger = replace(model, most=40, largest=20)
    assert cost(larger, capped_base_stock(larger, level, 20)) == pytest.approx(plain, abs=2e-4)
    assert best(larger)[0] == pytest.approx(best(model)[0], abs=1e-5)


SMALL = LostSales(1.0, 2, 1.0, 4.0, 8, 3)


def explicit(model: LostSales) -> tuple[Values, Values]:
    """Transitions [state, order, state] and costs [state] for lead time 2, written out demand by demand."""
    law, states = poisson_law(model.mean), list(product(range(model.most + 1), range(model.largest + 1)))
    move, stage = np.zeros((len(states), model.largest + 1, len(states))), np.zeros(len(states))
    for i, (stock, coming) in enumerate(states):
        for demand, chance in enumerate(law):
            stage[i] += chance * (model.holding * max(stock - demand, 0) + model.lost * max(demand - stock, 0))
            for order in range(model.largest + 1):
                after = min(max(stock - demand, 0) + coming, model.most)
                move[i, order, states.index((after, order))] += chance
    return move, stage


def test_the_best_policy_is_that_of_the_linear_programme() -> None:
    """Least average cost over state-action frequencies (Manne 1960)."""
    move, stage = explicit(SMALL)
    states, orders, _ = move.shape
    stay = np.repeat(np.eye(states), orders, axis=0) - move.reshape(-1, states)
    equal = np.vstack([stay.T, np.ones(states * orders)])
    right = np.append(np.zeros(states), 1.0)
    found = linprog(np.repeat(stage, orders), A_eq=equal, b_eq=right, method="highs")
    assert best(SMALL)[0] == pytest.approx(found.fun, abs=1e-5)


def test_the_parts_of_the_cost() -> None:
    """Holding at the end of the period and lost units make the cost; over time more is on hand than at the end."""
    orders = capped_base_stock(SMALL, 4, 2)
    missed, left = lost(SMALL, orders), cost(replace(SMALL, lost=0.0), orders)
    assert cost(SMALL, orders) == pytest.approx(4.0 * missed + left, abs=1e-5)
    assert left < time_on_hand(SMALL, orders) < left + SMALL.mean - missed


def test_figures_followed_period_by_period() -> None:
    """Level 4, at most 2 a period, lead time 2, mean 1; stock over time by the customers' arrivals within a period."""
    generator, periods = np.random.default_rng(20260105), 60_000
    stock, coming, missed, held = 3, 1, np.zeros(periods), np.zeros(periods)
    for n in range(periods):
        order = min(max(4 - stock - coming, 0), 2)
        times = np.sort(generator.random(generator.poisson(1.0)))
        sold = min(stock, len(times))
        held[n] = stock - (1 - times[:sold]).sum()
        missed[n] = len(times) - sold
        stock, coming = stock - sold + coming, order
    orders = capped_base_stock(SMALL, 4, 2)
    for found, exact in ((missed, lost(SMALL, orders)), (held, time_on_hand(SMALL, orders))):
        batches = found.reshape(50, -1).mean(axis=1)
        error = float(batches.std(ddof=1)) / 50**0.5
        assert 3 * error < 0.06 * exact
        assert abs(float(batches.mean()) - exact) <= 3 * error


def test_a_policy_costs_what_its_markov_chain_costs() -> None:
    move, stage = explicit(SMALL)
    chosen = capped_base_stock(SMALL, 4, 2).reshape(-1)
    chain = move[np.arange(len(chosen)), chosen]
    system = np.vstack([chain.T - np.eye(len(chain)), np.ones(len(chain))])
    law = np.linalg.lstsq(system, np.append(np.zeros(len(chain)), 1.0), rcond=None)[0]
    assert cost(SMALL, capped_base_stock(SMALL, 4, 2)) == pytest.approx(float(law @ stage), abs=1e-5)
