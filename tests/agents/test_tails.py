"""Heavy tails are seen, and nothing is said against an interval that holds."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from agents.evaluation.evaluate import interval
from agents.evaluation.tails import doubts, largest, largest_share, needed, tail_index


def drawn(seed: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def test_the_index_of_a_power_law_is_found() -> None:
    for alpha, low, high in ((1.2, 1.0, 1.4), (1.6, 1.3, 1.9), (3.0, 2.0, 3.3)):  # too low where the tail begins late
        found = [tail_index(drawn(k).pareto(alpha, 4000)) or 0.0 for k in range(20)]
        assert low < np.mean(found) < high
    normal = tail_index(drawn(1).standard_normal(2000))
    assert normal is not None
    assert normal > 3.5


def test_no_index_without_a_tail() -> None:
    assert tail_index(np.zeros(200)) is None
    assert tail_index(drawn().standard_normal(49)) is None
    few = np.zeros(1000)
    few[:5] = 1.0
    assert tail_index(few) is None


def test_the_share_of_the_largest_hundredth() -> None:
    x = drawn().standard_normal(100_000)
    cut = stats.norm.ppf(0.995)
    expected = 2 * (cut * stats.norm.pdf(cut) + 0.005)
    assert largest_share(x) == pytest.approx(expected, rel=0.03)
    one = np.array([0.0] * 99 + [50.0])
    assert largest(one).tolist() == [99]
    assert largest_share(one) > 0.98
    assert largest_share(np.ones(10)) == 0.0


def test_the_pairs_needed_follow_the_skewness() -> None:
    x = drawn().exponential(1.0, 400_000)
    assert needed(x) == pytest.approx(28 + 25 * 4, abs=4)
    assert needed(drawn().standard_normal(10_000)) == 29
    assert needed(np.ones(5)) == 28


def test_it_doubts_intervals_that_miss_and_not_those_that_hold() -> None:
    """The true mean lies in the interval as often as it says, or there is a doubt."""
    mean, missed, doubted, quiet = float(np.exp(1.5**2 / 2)), 0, 0, 0
    for k in range(300):
        x = drawn(k).lognormal(0.0, 1.5, 60)
        _, lo, hi = interval(x)
        missed += not lo <= mean <= hi
        doubted += bool(doubts(x))
        quiet += not doubts(drawn(k).standard_normal(200))
    assert missed > 40, "one in twenty would be fifteen"
    assert doubted > 285
    assert quiet > 285


def test_doubts_say_why() -> None:
    assert any("says little" in t or "say little" in t for t in doubts(drawn().standard_normal(12)))
    assert any("the tail index is 1." in t for t in doubts(drawn().pareto(1.1, 3000)))
    sign = np.concatenate([np.full(199, -1.0) + 0.01 * drawn().standard_normal(199), [500.0]])
    assert any("without the largest 2 pairs the mean has the other sign" in t for t in doubts(sign))
    assert any("of 200 plants make 100 % of the variance" in t for t in doubts(sign, "plants"))
