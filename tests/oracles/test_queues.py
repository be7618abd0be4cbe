"""The queueing formulas against hand-computed values, against birth-death chains and against each other."""

from __future__ import annotations

from math import exp

import numpy as np
import pytest

from tests.oracles import queues as q

LONG = 3000
"""Places of a queue cut off where nothing is left to cut."""


def test_mm1_by_hand() -> None:
    found = q.mm1(0.8, 1.0)
    assert (found.wait, found.flow_time, found.queue, found.wip) == pytest.approx((4.0, 5.0, 3.2, 4.0))


def test_mmc_by_hand() -> None:
    """Two servers, load 3/4: the chance to wait is 9/14, the wait 9/7 service times."""
    assert q.mmc(1.5, 1.0, 2).wait == pytest.approx(9 / 7)
    assert q.mmc(0.8, 1.0, 1) == q.mm1(0.8, 1.0)


def test_erlang_b_by_hand() -> None:
    """Two lines offered two erlang lose 2 / (1 + 2 + 2); ten lines offered five lose 0.0184 (published tables)."""
    assert q.erlang_b(2.0, 2) == pytest.approx(2 / 5)
    assert q.erlang_b(5.0, 10) == pytest.approx(0.0184, abs=5e-5)


@pytest.mark.parametrize(("servers", "load"), [(1, 0.5), (2, 0.9), (5, 0.75), (12, 0.6)])
def test_mmc_is_the_birth_death_chain(servers: int, load: float) -> None:
    arrival = servers * load
    chance = q.birth_death([arrival] * LONG, [min(n, servers) * 1.0 for n in range(1, LONG + 1)])
    assert q.mmc(arrival, 1.0, servers).wip == pytest.approx(float(chance @ np.arange(LONG + 1)), rel=1e-9)


@pytest.mark.parametrize("places", [1, 4, 40])
def test_mm1k_closed_form(places: int) -> None:
    """Share lost (1 - rho) rho^K / (1 - rho^(K + 1))."""
    load = 0.8
    found = q.mmck(load, 1.0, 1, places)
    assert found.lost == pytest.approx((1 - load) * load**places / (1 - load ** (places + 1)))
    assert found.throughput == pytest.approx(load * (1 - found.lost))
    assert found.wip - found.queue == pytest.approx(found.throughput)


def test_loss_without_waiting_is_erlang_b() -> None:
    assert q.mmck(3.0, 1.0, 4, 4).lost == pytest.approx(q.erlang_b(3.0, 4))
    assert q.mmck(0.8, 1.0, 1, LONG).wip == pytest.approx(q.mm1(0.8, 1.0).wip)


def test_mg1_between_constant_and_exponential_work() -> None:
    assert q.mg1(0.8, 1.0, 1.0).wait == pytest.approx(q.mm1(0.8, 1.0).wait)
    assert q.md1(0.8, 1.0).wait == pytest.approx(2.0)
    assert q.mg1(0.8, 1.0, 0.5).wait == pytest.approx(2.5)


def test_gm1_with_known_transforms() -> None:
    """Exponential gaps give M/M/1; for D/M/1 at load 1/2 the root is 0.2032 (exp(-2 (1 - x)) = x)."""
    assert q.gm1(lambda s: 0.8 / (0.8 + s), 0.8, 1.0).wait == pytest.approx(4.0, rel=1e-9)
    root = q.gm1(lambda s: exp(-2.0 * s), 0.5, 1.0).wait
    assert root / (1 + root) == pytest.approx(0.2032, abs=5e-5)


def test_breakdowns_that_never_come_change_nothing() -> None:
    assert q.with_breakdowns(2.0, 0.7, 0.0, 5.0, 1.0) == pytest.approx((2.0, 0.7))


def test_breakdowns_by_moments_of_the_phases() -> None:
    """Exponential work, failures and repairs: C is of phase type, E[C^k] = k! a (-T)^-k 1."""
    work, fail, repair = 1.0, 0.1, 0.25
    minus = np.array([[work + fail, -fail], [-repair, repair]])
    inverse = np.linalg.inv(minus)
    first, second = float(inverse[0].sum()), float(2 * (inverse @ inverse)[0].sum())
    mean, cv = q.with_breakdowns(1 / work, 1.0, fail, 1 / repair, 1.0)
    assert mean == pytest.approx(first)
    assert cv == pytest.approx(np.sqrt(second / first**2 - 1))


def test_repeating_what_has_no_memory_is_resuming_it() -> None:
    assert q.with_repeats(1.0 / 1.1, 0.1, 4.0) == pytest.approx(q.with_breakdowns(1.0, 1.0, 0.1, 4.0, 1.0)[0])
    constant = q.with_repeats(exp(-0.1), 0.1, 4.0)  # by hand: (e^0.1 - 1) (10 + 4)
    assert constant == pytest.approx(0.1051709 * 14)
    assert constant > q.with_breakdowns(1.0, 0.0, 0.1, 4.0, 1.0)[0]


CLASSES = (q.Class(0.2, 1.0, 1.0, 1.0), q.Class(0.1, 2.0, 0.5, 5.0), q.Class(0.3, 0.8, 0.0, 1.5))


def test_priorities_of_one_class_are_no_priorities() -> None:
    assert q.cobham([q.Class(0.8, 1.0, 0.5)])[0] == pytest.approx(q.mg1(0.8, 1.0, 0.5).wait)


def test_cobham_by_hand() -> None:
    """Two equal exponential classes, 0.4 each: W_0 = 0.8, waits 0.8 / 0.6 and 0.8 / (0.6 * 0.2)."""
    assert q.cobham([q.Class(0.4, 1.0, 1.0)] * 2) == pytest.approx([0.8 / 0.6, 0.8 / 0.12])


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_work_waiting_is_conserved_by_priorities(order: tuple[int, ...]) -> None:
    """Kleinrock's conservation law: the load-weighted wait is that of any order, W_0 rho / (1 - rho)."""
    ranked = [CLASSES[i] for i in order]
    loads = [c.arrival * c.mean for c in ranked]
    residual = sum(c.arrival * c.mean**2 * (1 + c.cv**2) for c in ranked) / 2
    waits = q.cobham(ranked)
    total = sum(loads)
    assert sum(r * w for r, w in zip(loads, waits, strict=True)) == pytest.approx(residual * total / (1 - total))


def test_the_c_mu_order_is_the_cheapest() -> None:
    assert q.c_mu(CLASSES) == [1, 2, 0]
    assert tuple(q.c_mu(CLASSES)) == q.best_order(CLASSES)
    worst = q.holding_rate(CLASSES, (0, 2, 1))
    assert q.holding_rate(CLASSES, q.c_mu(CLASSES)) < worst


@pytest.mark.parametrize("base_stock", [0, 1, 5])
def test_a_shelf_is_a_chain_of_units_missing(base_stock: int) -> None:
    missing = q.birth_death([0.8] * LONG, [1.0] * LONG)
    n = np.arange(LONG + 1)
    found = q.make_to_stock(0.8, 1.0, base_stock)
    assert found.fill_rate == pytest.approx(float(missing[n < base_stock].sum()), abs=1e-12)
    assert found.on_hand == pytest.approx(float(missing @ np.maximum(base_stock - n, 0)), abs=1e-9)
    assert found.backorders == pytest.approx(float(missing @ np.maximum(n - base_stock, 0)), rel=1e-9)


def test_a_shelf_of_one_that_loses_demand_by_hand() -> None:
    """On hand or in work: met with probability 1 / (1 + 0.8)."""
    found = q.make_to_stock_with_loss(0.8, 1.0, 1)
    assert (found.fill_rate, found.on_hand) == pytest.approx((1 / 1.8, 1 / 1.8))


@pytest.mark.parametrize(("units", "crew"), [(1, 1), (6, 1), (6, 2), (4, 4)])
def test_machine_interference_in_balance(units: int, crew: int) -> None:
    found = q.finite_source(units, 0.1, 0.4, crew)
    assert found.working * 0.1 == pytest.approx(found.busy * 0.4)  # failures = repairs
    assert found.down == pytest.approx(found.waiting + found.busy)
    if crew >= units:  # nobody waits: each unit by itself
        assert found.working == pytest.approx(units * 0.4 / 0.5)
    if crew == 1:
        assert found.working == pytest.approx(q.machine_repair_sum(units, 0.1, 0.4))


def test_a_queue_that_never_settles_is_refused() -> None:
    with pytest.raises(ValueError, match="load 1"):
        q.mm1(1.0, 1.0)
