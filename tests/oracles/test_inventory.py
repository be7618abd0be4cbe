"""The oracles of stock points against published values, hand computations and plain simulation."""

from __future__ import annotations

from math import exp

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import fftconvolve

from tests.oracles import inventory, ss_policy
from tests.oracles.inventory import Figures

Values = NDArray[np.float64]

ZHENG_FEDERGRUEN = [(10, 6, 40, 35.022), (15, 10, 49, 42.698), (20, 14, 62, 49.173), (25, 19, 56, 54.262)]
"""Poisson mean, s, S, cost of a period: K = 64, h = 1, p = 9, no lead time."""


def test_eoq_is_where_ordering_and_holding_cost_the_same() -> None:
    quantity, cost = inventory.eoq(1200, 50, 3)
    assert (quantity, cost) == pytest.approx((200, 600))
    assert min((1200 / q * 50 + q / 2 * 3, q) for q in range(1, 1000)) == pytest.approx((cost, quantity))


def test_newsvendor_is_the_cheapest_of_all_levels() -> None:
    level, cost = inventory.newsvendor_poisson(20, 7, 2)
    law = inventory.poisson_law(20)
    costs = [ss_policy.period_cost(law, 2, 7)(y) for y in range(60)]
    assert (level, cost) == pytest.approx((np.argmin(costs), min(costs)))
    mean, sd = 100.0, 15.0
    level_n, cost_n = inventory.newsvendor_normal(mean, sd, 7, 2)
    grid = np.linspace(mean - 10 * sd, mean + 10 * sd, 200_001)
    density = np.exp(-(((grid - mean) / sd) ** 2) / 2) / (sd * np.sqrt(2 * np.pi))
    left = level_n - grid
    expected = np.trapezoid(density * (2 * np.maximum(left, 0) + 7 * np.maximum(-left, 0)), grid)
    assert cost_n == pytest.approx(expected, rel=1e-8)


def test_base_stock_backorders_by_hand() -> None:
    """Sherbrooke's expected backorders of a Poisson pipeline of one unit: 1, 1/e, 3/e - 1 ... by hand."""
    e = exp(-1)
    by_hand = [1.0, e, 3 * e - 1, 5.5 * e - 2]
    assert [inventory.base_stock(s, 0.5, 2).backorders for s in range(4)] == pytest.approx(by_hand)
    three = inventory.base_stock(3, 0.5, 2)
    assert three.on_hand - three.backorders == pytest.approx(3 - 1)
    assert three.fill_rate == pytest.approx(2.5 * e), "a unit is met when fewer than 3 are in the pipeline"
    assert three.no_backorder == pytest.approx((2.5 + 1 / 6) * e)


def test_base_stock_with_lost_sales_by_hand() -> None:
    """Level 2, mean 2 in a lead time: outstanding 1 : 2 : 2, so 2 of 5 are lost and 0.8 are on hand."""
    found = inventory.base_stock_lost(2, 4.0, 0.5)
    assert (found.fill_rate, found.on_hand, found.order_rate) == pytest.approx((0.6, 0.8, 2.4))
    assert found.on_hand == pytest.approx(2 - 2 * 0.6), "Little: on order is what is ordered times the lead time"
    assert inventory.base_stock_lost(60, 4.0, 0.5).fill_rate == pytest.approx(1)


def test_compound_law_is_a_mixture_of_convolutions() -> None:
    size = np.array([0.0, 0.5, 0.2, 0.0, 0.3])
    found = inventory.compound_law(3.0, size)
    expected, power, chance = np.zeros(len(found)), np.ones(1), exp(-3.0)
    for n in range(60):
        reach = min(len(power), len(expected))
        expected[:reach] += chance * power[:reach]
        power, chance = fftconvolve(power, size), chance * 3.0 / (n + 1)
    assert found == pytest.approx(expected, abs=1e-12)


def test_a_window_of_no_width_is_the_plain_law() -> None:
    wide, plain = inventory.mixed_law(3.0, 4.0, 1e-9), inventory.poisson_law(12.0)
    assert wide[: len(plain)] == pytest.approx(plain, abs=1e-8)


def received(
    times: Values, sizes: Values, low: int, high: int | None, lot: int, lead: float, period: float = 0.0
) -> tuple[Values, int]:
    """Units received before each customer under a policy followed step by step, and how many orders were placed.

    `high` None: as few lots of `lot` as needed. `period` 0: a look after each customer, else one every period.
    """
    position = high if high is not None else low + lot
    begin, ordered, when = position, [0.0], [-np.inf]
    looks = np.arange(1, int(times[-1] / period)) * period if period else times
    waiting = np.append(0.0, np.cumsum(sizes))[np.searchsorted(times, looks, side="right")]
    for at, gone in zip(looks, np.diff(waiting, prepend=0.0), strict=True):
        position -= int(gone)
        if position <= low:
            amount = high - position if high is not None else -(-(low + 1 - position) // lot) * lot
            position += amount
            ordered.append(ordered[-1] + amount)
            when.append(at + lead)
    supply = begin + np.array(ordered)[np.searchsorted(np.array(when), times, side="left") - 1]
    return supply, len(when) - 1


def assert_seen(supply: Values, sizes: Values, exact: Figures) -> None:
    """What customers find, batch means against exact time averages (the same, for they come at random)."""
    net = supply - (np.cumsum(sizes) - sizes)
    held = np.maximum(net, 0)
    met = np.minimum(held, sizes) / sizes.mean()
    found = {"on_hand": held, "backorders": np.maximum(-net, 0), "fill_rate": met, "no_backorder": net >= 0}
    for name, values in found.items():
        batches = np.asarray(values, dtype=float).reshape(50, -1).mean(axis=1)
        error, expected = float(batches.std(ddof=1)) / 50**0.5, float(getattr(exact, name))
        assert 3 * error < 0.08 * expected, f"{name}: too wide to say anything"
        assert abs(float(batches.mean()) - expected) <= 3 * error, name


@pytest.mark.parametrize(
    ("low", "high", "lot", "size"),
    [
        (5, None, 6, (0.0, 1.0)),
        (4, 11, 0, (0.0, 1.0)),
        (6, 14, 0, (0.0, 0.5, 0.3, 0.2)),
    ],
)
def test_reorder_policies_followed_step_by_step(low: int, high: int | None, lot: int, size: tuple[float, ...]) -> None:
    generator, count = np.random.default_rng(20260105), 300_000
    times = np.cumsum(generator.exponential(0.5, count))
    sizes = generator.choice(len(size), count, p=size).astype(float)
    supply, orders = received(times, sizes, low, high, lot, 2.5)
    law = np.array(size)
    exact = inventory.reorder_point(low, lot, 2, 2.5) if high is None else ss_policy.continuous(low, high, 2, law, 2.5)
    assert_seen(supply, sizes, exact)
    assert orders / times[-1] == pytest.approx(exact.order_rate, rel=0.01)


def test_s_s_with_single_units_is_r_q() -> None:
    one = np.array([0.0, 1.0])
    same = ss_policy.continuous(4, 11, 2.0, one, 2.5)
    other = inventory.reorder_point(4, 7, 2.0, 2.5)
    for name in ("on_hand", "backorders", "fill_rate", "no_backorder", "order_rate"):
        assert getattr(same, name) == pytest.approx(getattr(other, name), rel=1e-9)
    assert inventory.cycle_service(4, 2.0, 2.5) == pytest.approx(0.440493, abs=1e-6), "P(Poisson(5) <= 4)"


def test_s_s_at_s_one_below_is_base_stock_periodic() -> None:
    same, other = ss_policy.periodic(13, 14, 2.0, 2.5, 3.0), inventory.base_stock_periodic(14, 2.0, 2.5, 3.0)
    for name in ("on_hand", "backorders", "fill_rate", "no_backorder", "order_rate"):
        assert getattr(same, name) == pytest.approx(getattr(other, name), rel=1e-9)


PERIODIC = [
    (11, 12, 0, inventory.base_stock_periodic(12, 2.0, 2.5, 3.0)),
    (9, 17, 0, ss_policy.periodic(9, 17, 2.0, 2.5, 3.0)),
    (8, None, 4, inventory.reorder_point_periodic(8, 4, 2.0, 2.5, 3.0)),
]


@pytest.mark.parametrize(("low", "high", "lot", "exact"), PERIODIC, ids=["base_stock", "s_s", "r_nq"])
def test_periodic_review_followed_step_by_step(low: int, high: int | None, lot: int, exact: Figures) -> None:
    """A look every 3, lead time 2.5, Poisson 2: averages seen by the customers."""
    times = np.cumsum(np.random.default_rng(20260105).exponential(0.5, 400_000))
    supply, orders = received(times, np.ones(len(times)), low, high, lot, 2.5, 3.0)
    assert_seen(supply, np.ones(len(times)), exact)
    assert orders / times[-1] == pytest.approx(exact.order_rate, rel=0.01)


def test_best_r_q_is_the_cheapest_of_all() -> None:
    rate, lead, order, hold, back = 4.0, 2.0, 12.0, 1.0, 9.0
    law = inventory.poisson_law(rate * lead)
    cost = [ss_policy.period_cost(law, hold, back)(y) for y in range(80)]
    best = min(((order * rate + sum(cost[r + 1 : r + q + 1])) / q, r, q) for r in range(20) for q in range(1, 50))
    low, lot, found = inventory.best_reorder_point(rate, lead, order, hold, back)
    assert (found, low, lot) == pytest.approx(best)


@pytest.mark.parametrize(("mean", "low", "high", "cost"), ZHENG_FEDERGRUEN)
def test_zheng_and_federgruen_table(mean: int, low: int, high: int, cost: float) -> None:
    law = inventory.poisson_law(mean)
    found = ss_policy.best_policy(law, 64, ss_policy.period_cost(law, 1, 9))
    assert found == pytest.approx((low, high, cost), abs=6e-4)


def chain_cost(low: int, high: int, law: Values, order_cost: float, cost: Values) -> float:
    """Cost of a period from the stationary law of the position after ordering; cost[y], y = 0 .. high."""
    levels = np.arange(low + 1, high + 1)
    move = np.zeros((len(levels), len(levels)))
    for i, level in enumerate(levels):
        for d, p in enumerate(law):
            after = level - d if level - d > low else high
            move[i, after - low - 1] += p
    size = len(levels)
    system = np.vstack([move.T - np.eye(size), np.ones(size)])
    law_of = np.linalg.lstsq(system, np.append(np.zeros(size), 1.0), rcond=None)[0]
    orders = sum(float(law_of[i]) * float(law[level - low :].sum()) for i, level in enumerate(levels))
    return float(law_of @ cost[levels]) + order_cost * orders


def test_s_s_cost_is_that_of_its_markov_chain_and_least_of_all() -> None:
    law = inventory.poisson_law(10)
    cost = ss_policy.period_cost(law, 1, 9)
    costs = np.array([cost(y) for y in range(80)])
    assert chain_cost(6, 40, law, 64, costs) == pytest.approx(ss_policy.policy_cost(6, 40, law, 64, cost), rel=1e-9)
    table = {(low, high): chain_cost(low, high, law, 64, costs) for low in range(4, 9) for high in range(36, 45)}
    assert min(table, key=lambda pair: table[pair]) == (6, 40)


def test_no_policy_of_any_kind_beats_the_best_s_s() -> None:
    """Relative value iteration over all order quantities; positions -60 .. 100."""
    law, low, high = inventory.poisson_law(10), -60, 100
    cost = ss_policy.period_cost(law, 1, 9)
    stage = np.array([cost(y) for y in range(low, high + 1)])
    reach = np.maximum(np.arange(high - low + 1)[:, None] - np.arange(len(law)), 0)
    value = np.zeros(high - low + 1)
    for _ in range(400):
        after = stage + value[reach] @ law
        cheapest_above = np.minimum.accumulate(after[::-1])[::-1]
        new = np.minimum(after, 64 + cheapest_above)
        step = (new - value)[60:]
        value = new - new[60]
        if np.ptp(step) < 1e-5:
            break
    assert float(step.mean()) == pytest.approx(ss_policy.best_policy(law, 64, cost)[2], abs=1e-4)
