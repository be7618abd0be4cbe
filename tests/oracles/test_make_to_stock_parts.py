"""Does it matter that a part in work can be dropped? The evidence of docs/decisions/0011."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.oracles import make_to_stock as exact
from tests.oracles.make_to_stock import IDLE, PRODUCE, MakeToStock
from tests.oracles.make_to_stock_parts import Shop, best


def similar(seed: int) -> MakeToStock:
    """Parameters about the bundled ones."""
    rng = np.random.default_rng(seed)
    m, u = MakeToStock(), rng.uniform
    return replace(
        m,
        demand=u(0.45, 0.8),
        mu=tuple(-np.sort(-1.1 * u(0.6, 1.3, 5))),
        wear=tuple(np.sort(np.array(m.wear) * u(0.5, 2, 5))),
        fail=tuple(np.sort(np.array(m.fail) * u(0.5, 2, 5))),
        preventive=0.22 * u(0.5, 2),
        corrective=0.07 * u(0.6, 2),
        backlog=u(2, 12),
        lost=u(15, 80),
        preventive_cost=u(2, 20),
        corrective_cost=u(20, 120),
    )


def losses(m: MakeToStock, *, at_once: bool, resumes: bool) -> tuple[float, float]:
    """How much dearer, as a share of the optimum, the best of such a shop is there, and its table in the model."""
    optimum, _ = exact.best(m)
    gain, table = best(Shop(m, at_once, resumes))
    return gain / optimum - 1, exact.evaluate(m, table)[0] / optimum - 1


def test_finishing_the_part_first_costs_several_per_cent_and_teaches_another_table() -> None:
    for resumes in (True, False):
        assert losses(MakeToStock(), at_once=False, resumes=resumes) == pytest.approx((0.047, 0.0157), abs=0.0005)


def test_a_part_that_must_be_finished_after_maintenance_teaches_another_table() -> None:
    assert losses(MakeToStock(), at_once=True, resumes=True) == pytest.approx((0.0002, 0.0027), abs=0.0001)


@pytest.mark.parametrize("seed", range(6))
def test_maintenance_at_once_that_scraps_the_part_is_the_model(seed: int) -> None:
    """The best of all never rests where it has just been at work, so that work need not be stopped for that."""
    m = similar(seed) if seed else MakeToStock()
    assert losses(m, at_once=True, resumes=False) == pytest.approx((0, 0), abs=2e-5)
    waits = losses(m, at_once=False, resumes=False)
    assert waits[0] > 0.01
    assert waits[1] > 0.0004


@pytest.mark.parametrize("seed", range(6))
def test_the_best_machine_never_rests_while_it_owes(seed: int) -> None:
    """So setpoints of 0 and more say all that is worth saying (base stock 0: rest, if nothing is owed)."""
    m = similar(seed) if seed else MakeToStock()
    _, table = exact.best(m)
    owing = table[: -m.low]
    assert not (owing == IDLE).any()
    assert (table[-m.low - 1, 0], m.stocks[-m.low - 1]) == (PRODUCE, -1)
