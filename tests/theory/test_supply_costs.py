"""Costs of supply policies in the kernel's own money, the bullwhip ratio, and the numbers bundled plants rest on."""

from __future__ import annotations

import numpy as np
import pytest

from sim import kernel
from sim.experiment import Run
from sim.kpi import Values
from tests.oracles import bullwhip, dual_sourcing, lost_sales, multiechelon, ss_policy
from tests.oracles.inventory import poisson_law
from tests.oracles.queues import Class, c_mu, holding_rate
from tests.theory.cases_supply import bundled, supplied
from tests.theory.compare import assert_agrees, compiled, estimate, figures

SEED = 20260105
BEFORE = "conventions: {review_order: review_order_receive_satisfy}\n"
"""Order, receive what comes at once, sell; then a day passes: periods as the literature counts them."""


def run(text: str, days: int, replications: int = 100, warmup: int = 50) -> dict[str, Values]:
    """Figures of replications of whole days after the warm-up."""
    built = compiled(text)
    day = built.ticks(86_400.0)
    return figures(built, Run((warmup + days) * day, warmup * day, replications, SEED))


@pytest.mark.parametrize(
    ("mean", "reorder", "level", "cost"), [(10, 6, 40, 35.022), (15, 10, 49, 42.698), (20, 14, 62, 49.173)]
)
def test_zheng_and_federgruens_instances_cost_what_their_table_says(
    mean: int, reorder: int, level: int, cost: float
) -> None:
    """K = 64, h = 1, p = 9, no lead time, review every period (Operations Research 39, 1991, table 1)."""
    law = poisson_law(float(mean))
    assert ss_policy.best_policy(law, 64, ss_policy.period_cost(law, 1, 9))[:2] == (reorder, level)
    text = supplied(
        f"kind: s_S, reorder: {reorder}, level: {level}, every: 1 d",
        f"arrivals: constant(1 d), quantity: poisson({mean}), backlog: 9 EUR/d",
        lead="0 d",
        initial=level,
        more=", holding: 1 EUR/d, order_cost: 64 EUR",
    )
    assert_agrees(estimate(run(text + BEFORE, 5000)["cost_rate"]), cost, 0.003)


def test_lost_sales_cost_what_zipkin_says() -> None:
    """The bundled plant: base stock 16 costs 4.64 a day, the best policy of all 4.40."""
    model = lost_sales.LostSales(5.0, 2, 1.0, 4.0, 32, 16)
    orders = lost_sales.capped_base_stock(model, 16, 16)
    assert lost_sales.best_base_stock(model)[0] == 16
    assert lost_sales.best(model)[0] == pytest.approx(4.40, abs=0.0051)
    missed, found = lost_sales.lost(model, orders), run(bundled("lost_sales"), 7000)
    assert_agrees(estimate(found["cost_rate"]), lost_sales.cost(model, orders), 0.005)
    assert_agrees(estimate(found["shelf.lost"]), missed / model.mean, 0.02)
    assert_agrees(estimate(found["shelf.on_hand"]), lost_sales.cost(model, orders) - 4.0 * missed, 0.01)


def test_dual_sourcing_costs_what_its_chain_costs() -> None:
    """The bundled plant: what is left and owed, the cost beside the material, and that no levels nearby are cheaper."""
    model = dual_sourcing.DualSourcing((0.2,) * 5, 5.0, 495.0, 10.0)
    assert dual_sourcing.best(model, range(2, 7), range(4, 12))[:2] == (4, 8)
    exact, found = dual_sourcing.figures(model, 4, 8), run(bundled("dual_sourcing"), 4000)
    assert_agrees(estimate(found["cost_rate"]), exact.cost + 200.0, 0.005)
    assert_agrees(estimate(found["shelf.on_hand"]), exact.on_hand, 0.01)
    assert exact.backorders == pytest.approx(0.0, abs=1e-9)  # the express level is the largest demand
    assert float(found["shelf.backorders"].max()) == 0.0


def test_serial_supply_has_the_best_levels() -> None:
    """Clark and Scarf: the levels in the plant file are those of the decomposition."""
    system = multiechelon.poisson_serial((5.0, 5.0, 10.0), (1.0, 1.0, 1.0), 20.0)
    told = {stock.id: stock.level for stock in compiled(bundled("serial_supply3")).plant.stocks}
    assert (told["shop"], told["warehouse"], told["depot"]) == multiechelon.best_levels(system)[0]


@pytest.mark.parametrize(("lead", "window"), [(0, 4), (2, 4), (2, 12)])
def test_forecasts_make_orders_vary_more_than_demand(lead: int, window: int) -> None:
    """Order-up-to with a moving average: variance of the orders of a day over that of the demand of a day."""
    mean, days, warmup = 100, 400, 40
    text = supplied(
        f"kind: forecast, window: {window}, cover: {lead + 1}, safety: 50, every: 1 d",
        f"arrivals: constant(1 d), quantity: poisson({mean})",
        lead=f"{lead} d",
        initial=100 * (lead + 1),
    )
    built = compiled(text)
    day, ordered = built.ticks(86_400.0), []
    rows = kernel.new_rows(built, SEED, 800)
    for n in range(warmup, warmup + days + 1):
        kernel.run(rows, built, n * day + 1)
        ordered.append(built.layout.view(rows, "ordered").sum(axis=1).astype(float))
    orders = np.diff(np.array(ordered), axis=0)
    assert orders.min() > 0, "an order-up-to level that falls below the position would order less than nothing"
    ratio = estimate(((orders - mean) ** 2).mean(axis=0) / mean)
    assert_agrees(ratio, bullwhip.moving_average(lead + 1, window), 0.015)


CMU3 = (Class(0.2, 1.0, 1.0, 1.0), Class(0.15, 2.0, 1.0, 3.0), Class(0.1, 3.0, 1.0, 2.0))


def test_the_c_mu_order_costs_what_cobham_says_and_beats_its_reverse() -> None:
    """The bundled plant under both orders, on the same random numbers."""
    best = c_mu(CMU3)
    rules = {"cmu": best, "{cmu: 1}": best[::-1]}
    assert best == [1, 0, 2]
    cost = {}
    for rule, order in rules.items():
        text = bundled("cmu3").replace("dispatch: fifo", f"dispatch: {rule}")
        cost[rule] = run(text, 4000, warmup=100)["cost_rate"]
        assert_agrees(estimate(cost[rule]), holding_rate(CMU3, order), 0.02)
    assert (cost["{cmu: 1}"] > cost["cmu"]).all(), "the worst order was cheaper in a replication"
