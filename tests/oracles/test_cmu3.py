"""Value iteration of priorities against the M/M/1 queue and Cobham's formula."""

from __future__ import annotations

import pytest

from tests.oracles.cmu3 import Shop, iterate
from tests.oracles.queues import Class, holding_rate


def test_one_class_is_a_queue() -> None:
    """Number in an M/M/1 queue: load / (1 - load)."""
    assert iterate(Shop((0.3,), (1.0,), (2.0,), 40))[0] == pytest.approx(2.0 * 0.3 / 0.7, rel=1e-5)


def test_orders_of_two_classes_cost_what_cobham_says() -> None:
    shop = Shop((0.2, 0.1), (1.0, 0.5), (1.0, 4.0), 25)
    classes = (Class(0.2, 1.0, 1.0, 1.0), Class(0.1, 2.0, 1.0, 4.0))
    for order in ((0, 1), (1, 0)):
        assert iterate(shop, order)[0] == pytest.approx(holding_rate(classes, order), rel=1e-4)


def test_the_best_choice_serves_whenever_somebody_waits() -> None:
    cost, chosen = iterate(Shop((0.2, 0.1), (1.0, 0.5), (1.0, 4.0), 25))
    assert chosen[0, 0] == -1
    assert (chosen[1:15, 0] == 0).all()
    assert (chosen[:15, 1:15] == 1).all(), "4 / 2 is more than 1 / 1"
    assert cost == pytest.approx(holding_rate((Class(0.2, 1.0, 1.0, 1.0), Class(0.1, 2.0, 1.0, 4.0)), (1, 0)), rel=1e-4)
