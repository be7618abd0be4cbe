"""Stock points of the kernel against exact inventory theory (backorders, Poisson demand of single units)."""

from __future__ import annotations

import pytest

from sim.closed_forms import theory
from sim.compile import Compiled, compile_plant
from sim.plant import Demand, Dist, Stock
from tests.oracles import inventory
from tests.oracles.inventory import Figures
from tests.sim.small_plants import const, plant
from tests.theory.agreement import assert_agrees, run

GAP = 500.0
"""Mean ticks between demands."""


def stock_plant(level: int, lead: Dist, review: int | None = None) -> Compiled:
    """One supplied stock with Poisson demand and nothing else."""
    stock = Stock("shelf", "part", "acme", level, level=level, lead=lead, review=review, holding=1.0)
    demand = Demand("customer", "shelf", Dist("exponential", (GAP,)), backlog=9.0)
    return compile_plant(plant([], [], stocks=(stock,), demands=(demand,)))


def assert_stock(compiled: Compiled, exact: Figures) -> None:
    found = run(compiled, 100_000, 8_100_000, 100)
    per_minute = found["shelf.order_rate"]  # a tick is a minute
    assert_agrees("order rate", per_minute, exact.order_rate)
    assert_agrees("on hand", found["shelf.on_hand"], exact.on_hand)
    assert_agrees("fill rate", found["shelf.fill_rate"], exact.fill_rate)
    assert_agrees("backorders", found["shelf.backorders"], exact.backorders, relative=0.01)


def test_base_stock_with_a_constant_lead_time() -> None:
    assert_stock(stock_plant(5, const(2000.0)), inventory.base_stock(5, 1 / GAP, 2000.0))


def test_base_stock_does_not_mind_how_lead_times_vary() -> None:
    """Palm's theorem: lead times that cross leave as many orders outstanding as constant ones."""
    lead = Dist("gamma", (2000.0, 0.8))
    assert_stock(stock_plant(5, lead), inventory.base_stock(5, 1 / GAP, 2000.0))


@pytest.mark.parametrize(("level", "lead", "period"), [(7, 1300.0, 1700), (12, 4100.0, 1000)])
def test_base_stock_with_periodic_review(level: int, lead: float, period: int) -> None:
    """Also with several orders outstanding (a lead time of four review periods)."""
    exact = inventory.base_stock_periodic(level, 1 / GAP, lead, period)
    assert_stock(stock_plant(level, const(lead), review=period), exact)


def test_the_closed_form_beside_the_simulation_is_the_exact_one() -> None:
    told = {t.name: t.value for t in theory(stock_plant(5, const(2000.0)).plant)}
    exact = inventory.base_stock(5, 1 / GAP, 2000.0)
    for name in ("on_hand", "backorders", "fill_rate"):
        assert told[name] == pytest.approx(getattr(exact, name), rel=1e-9)
    assert told["best_level"] == inventory.newsvendor_poisson(4.0, 9.0, 1.0)[0]
    assert theory(stock_plant(5, const(2000.0), review=1000).plant) == []
