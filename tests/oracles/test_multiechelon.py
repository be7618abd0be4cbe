"""Series of stocks: the decomposition against forward computation, enumeration, a published case, plain simulation."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy.stats import norm

from tests.oracles.inventory import base_stock, newsvendor_poisson, poisson_law
from tests.oracles.multiechelon import Serial, best_levels, cost, normal_serial, poisson_serial, stages

TWO = poisson_serial((3.0, 4.0), (2.0, 1.0), 25.0)
THREE = poisson_serial((5.0, 5.0, 10.0), (1.0, 1.0, 1.0), 20.0)


def test_one_stage_is_a_newsvendor_and_a_base_stock() -> None:
    system = Serial((poisson_law(8.0),), (2.0,), 9.0)
    level, least = newsvendor_poisson(8.0, 9.0, 2.0)
    (found_level,), found_cost = best_levels(system)
    assert (found_level, found_cost) == pytest.approx((level, least))
    only, same = stages(system, (11,))[0], base_stock(11, 4.0, 2.0)
    found = only.on_hand, only.backorders, only.fill_rate
    assert found == pytest.approx((same.on_hand, same.backorders, same.fill_rate))


@pytest.mark.parametrize("system", [TWO, THREE])
def test_decomposition_and_forward_cost_agree_and_no_levels_nearby_are_cheaper(system: Serial) -> None:
    levels, least = best_levels(system)
    assert cost(system, levels) == pytest.approx(least, rel=1e-9)
    near = [range(level - 2, level + 3) for level in levels]
    assert min(cost(system, tried) for tried in product(*near)) == pytest.approx(least, rel=1e-9)


def test_snyder_and_shen_example_6_1() -> None:
    """Demand N(5, 1), lead times 1, 1, 2, echelon holding 3, 2, 2, backlog 37.12: levels 6.49, 12.02, 22.71.

    The cost of these levels once more, by quadrature over the three normal demands.
    """
    step = 0.01
    levels, least = best_levels(normal_serial((5.0, 1.0), (1.0, 1.0, 2.0), (3.0, 2.0, 2.0), 37.12, step))
    assert tuple(step * level for level in levels) == pytest.approx((6.49, 12.02, 22.71))
    z = np.linspace(-7, 7, 801)
    weight = norm.pdf(z) / norm.pdf(z).sum()
    three = 22.71 - (10 + 2**0.5 * z)[:, None]
    two = np.minimum(12.02, three) - (5 + z)[None, :]
    one = np.minimum(6.49, two) - 5  # less a standard normal: its shortage is the normal loss function
    shortage = norm.pdf(one) - one * norm.sf(one)
    total = 2 * three + 2 * two + 3 * one + (37.12 + 7) * shortage
    assert least == pytest.approx(float(weight @ total @ weight), abs=2e-3)


def test_two_stages_followed_order_by_order() -> None:
    """Installation stocks 4 and 5 (the echelon levels 4 and 9), Poisson 2, lead times 1.5 and 2: units followed singly.

    Unit n ordered by customer n comes to stage 2 a lead time after customer n ordered it; the n-th unit that stage 2
    sends is the n-th demanded there, once it has come: both stages serve first come, first served.
    """
    generator, count, low, high = np.random.default_rng(20260105), 400_000, 4, 5
    times = np.cumsum(generator.exponential(0.5, count))
    at_two = np.concatenate([np.zeros(high), times[: count - high] + 2.0])  # n-th unit is at stage 2
    sent = np.maximum(at_two, times)  # to stage 1, for customer n's order
    at_one = np.concatenate([np.zeros(low), sent[: count - low] + 1.5])
    exact = stages(poisson_serial((3.0, 4.0), (1.0, 1.0), 1.0), (low, low + high))
    span = times[-1]
    waits = {"two": (sent - times, exact[1].backorders), "one": (np.maximum(at_one - times, 0), exact[0].backorders)}
    for name, (wait, backorders) in waits.items():
        batches = wait[: count - count % 50].reshape(50, -1).mean(axis=1) * (count / span)  # Little
        error = float(batches.std(ddof=1)) / 50**0.5
        assert 3 * error < 0.05 * backorders, name
        assert abs(float(batches.mean()) - backorders) <= 3 * error, name
    at_once = (sent == times).mean(), (at_one <= times).mean()
    assert at_once == pytest.approx((exact[1].fill_rate, exact[0].fill_rate), rel=0.02)
    held = np.maximum(times - at_one, 0)[low:].mean() * (count / span)
    assert held == pytest.approx(exact[0].on_hand, rel=0.02)
