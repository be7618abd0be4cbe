"""Value iteration of the tandem against Jackson's product form, and against what must hold."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.oracles.tandem_release import Tandem, constant, iterate

SMALL = Tandem(demand=0.45, cap=24, base=7, low=-45)


def test_a_base_stock_alone_is_two_queues_in_line() -> None:
    """What is short of the base stock waits for the first machine or is at the second: independent, geometric."""
    n = np.arange(200)
    first, second = (((1 - r) * r**n) for r in (SMALL.demand / SMALL.first, SMALL.demand / SMALL.second))
    net = SMALL.base - (n[:, None] + n[None, :])
    stock = SMALL.holding * np.maximum(net, 0) + SMALL.backlog * np.maximum(-net, 0)
    exact = float(first @ stock @ second) + SMALL.between * float(second @ np.maximum(n - 1, 0))
    found = iterate(SMALL, constant(SMALL, SMALL.cap, SMALL.base))[0]
    assert found == pytest.approx(exact, rel=1e-5)


def test_the_best_policy_is_no_worse_and_waits_where_much_is_between() -> None:
    least, starts = iterate(SMALL)
    assert least < min(iterate(SMALL, constant(SMALL, cap, 7))[0] for cap in (3, 6, 24))
    limit = [int(np.flatnonzero(row).max()) for row in starts[:8]]
    assert limit == sorted(limit, reverse=True), "the more is between, the less stock it takes to wait"
    dear = iterate(replace(SMALL, between=20.0))[1]
    assert dear.sum() < starts.sum()
