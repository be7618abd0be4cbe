"""Networks by hand, in their limits, and mean value analysis against the sum over all states."""

from __future__ import annotations

import pytest

from tests.oracles.networks import (
    Network,
    Node,
    best_case,
    closed,
    closed_by_states,
    jackson,
    practical_worst_case,
    traffic,
    worst_case,
)
from tests.oracles.queues import finite_source, mm1

MIXED = ((Node(1.0), Node(2.2, 3), Node(0.6, 2)), (1.0, 1.25, 2.0))


def test_rework_by_hand() -> None:
    """A test that sends a quarter back: 4/3 visits a part."""
    rates = traffic([0.6, 0.0], [[0.0, 1.0], [0.25, 0.0]])
    assert rates == pytest.approx([0.8, 0.8])
    found = jackson([Node(1.0), Node(0.5)], [0.6, 0.0], [[0.0, 1.0], [0.25, 0.0]])
    assert found.wip == pytest.approx((4.0, 0.4 / 0.6))
    assert found.flow_time == pytest.approx((4.0 + 0.4 / 0.6) / 0.6)


def test_a_tandem_is_a_row_of_mm1() -> None:
    found = jackson([Node(1.0)] * 3, [0.7, 0, 0], [[0, 1, 0], [0, 0, 1], [0, 0, 0]])
    assert found.flow_time == pytest.approx(3 * mm1(0.7, 1.0).flow_time)


@pytest.mark.parametrize("parts", [1, 2, 5, 12])
def test_mean_value_analysis_is_the_sum_over_all_states(parts: int) -> None:
    one, other = closed(*MIXED, parts), closed_by_states(*MIXED, parts)
    for name in Network.__slots__:
        assert getattr(one, name) == pytest.approx(getattr(other, name), rel=1e-9), name
    assert sum(one.wip) == pytest.approx(parts)


@pytest.mark.parametrize("parts", [1, 4, 20])
def test_a_balanced_line_is_the_practical_worst_case(parts: int) -> None:
    """By hand: n machines of rate 1 with w parts make w / (w + n - 1)."""
    found = closed([Node(1.0)] * 4, [1.0] * 4, parts)
    assert found.throughput == pytest.approx(parts / (parts + 3))
    assert (found.throughput, found.flow_time) == pytest.approx(practical_worst_case(parts, 1.0, 4.0))


def test_units_with_repairers_are_a_closed_network() -> None:
    """Six units that work 10 and are repaired in 2.5 by two: a station of six servers and one of two."""
    found = closed([Node(10.0, 6), Node(2.5, 2)], [1.0, 1.0], 6)
    assert found.wip[0] == pytest.approx(finite_source(6, 0.1, 0.4, 2).working)


def test_many_parts_load_the_bottleneck() -> None:
    assert closed([Node(1.0), Node(0.5)], [1.0, 1.0], 60).throughput == pytest.approx(1.0, abs=1e-12)


def test_the_penny_fab() -> None:
    """Factory Physics, chapter 7: four stations of two hours, rb = 0.5, T0 = 8, W0 = 4."""
    assert [best_case(w, 0.5, 8.0) for w in (1, 4, 6)] == [(0.125, 8.0), (0.5, 8.0), (0.5, 12.0)]
    assert worst_case(4, 8.0) == (0.125, 32.0)
    assert practical_worst_case(4, 0.5, 8.0) == pytest.approx((4 / 7 * 0.5, 14.0))
