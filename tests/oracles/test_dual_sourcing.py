"""Dual-index levels: cases worked by hand, and the periods followed singly."""

from __future__ import annotations

import numpy as np
import pytest

from tests.oracles.dual_sourcing import DualSourcing, best, figures, optimum


def test_a_demand_known_beforehand_needs_no_dear_unit_and_no_stock() -> None:
    """One unit a period: a position of 3 before it covers this period's and the two of the lead time."""
    found = figures(DualSourcing((0.0, 1.0), 1.0, 9.0, 5.0), -9, 3)
    assert (found.on_hand, found.backorders, found.at_once, found.cost) == pytest.approx((0.0, 0.0, 0.0, 0.0), abs=1e-9)
    short = figures(DualSourcing((0.0, 1.0), 1.0, 9.0, 5.0), -9, 2)
    assert (short.backorders, short.cost) == pytest.approx((1.0, 9.0))


def test_the_dear_source_alone_is_a_newsvendor() -> None:
    """Equal levels: all is bought at once, so stock before demand is always the level."""
    model = DualSourcing((0.2,) * 5, 5.0, 45.0, 0.0)
    found = figures(model, 3, 3)
    assert (found.on_hand, found.backorders, found.at_once) == pytest.approx((1.2, 0.2, 2.0))


def test_periods_followed_singly() -> None:
    model, express, regular = DualSourcing((0.3, 0.3, 0.2, 0.1, 0.1), 2.0, 20.0, 4.0), 3, 6
    demand = np.random.default_rng(20260105).choice(5, size=100_000, p=model.demand)
    net, now, then, seen = express, 0, 0, np.zeros((len(demand), 3))
    for n, units in enumerate(demand):
        bought = max(express - net - now, 0)
        late = max(regular - net - now - then - bought, 0)
        net, now, then = net + now + bought - int(units), then, late
        seen[n] = max(net, 0), max(-net, 0), bought
    exact = figures(model, express, regular)
    for values, value in zip(seen.T, (exact.on_hand, exact.backorders, exact.at_once), strict=True):
        batches = values.reshape(50, -1).mean(axis=1)
        error = float(batches.std(ddof=1)) / 50**0.5
        assert 3 * error < 0.1 * value
        assert abs(float(batches.mean()) - value) <= 3 * error


def test_a_dearer_express_is_used_less() -> None:
    cheap, dear = (
        best(DualSourcing((0.25, 0.5, 0.25), 5.0, 95.0, more), range(3), range(2, 6)) for more in (1.0, 60.0)
    )
    assert dear[0] < cheap[0]
    assert dear[2] > cheap[2]


def test_the_best_policy_of_all() -> None:
    """Where the second source costs nothing more it is a newsvendor; elsewhere no pair of levels is better."""
    free = DualSourcing((0.2,) * 5, 5.0, 45.0, 0.0)
    assert optimum(free, 10) == pytest.approx(min(figures(free, s, s).cost for s in range(6)))
    dear = DualSourcing((0.3, 0.3, 0.2, 0.1, 0.1), 2.0, 20.0, 4.0)
    levels = best(dear, range(5), range(3, 10))[2]
    assert 0.9 * levels < optimum(dear, 10) <= levels
