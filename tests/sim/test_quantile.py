"""Quantile tables against scipy's distributions and closed-form partial moments, which the tables do not use."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from sim import draws
from sim.facts import residuals
from sim.plant import Dist
from sim.quantile import FINE, LENGTH, drawn, mean_variance, quantile_rank, table

MASK = (1 << 64) - 1


def frozen(dist: Dist) -> Any:
    """The same distribution, by scipy."""
    a = dist.args
    makers: dict[str, Callable[[], Any]] = {
        "exponential": lambda: stats.expon(scale=a[0]),
        "erlang": lambda: stats.gamma(a[1], scale=a[0] / a[1]),
        "gamma": lambda: stats.gamma(a[1] ** -2, scale=a[0] * a[1] ** 2),
        "lognormal": lambda: stats.lognorm(math.sqrt(math.log1p(a[1] ** 2)), scale=a[0] / math.sqrt(1 + a[1] ** 2)),
        "weibull": lambda: stats.weibull_min(a[1], scale=a[0]),
        "normal": lambda: stats.truncnorm(-a[0] / a[1], np.inf, loc=a[0], scale=a[1]),
        "uniform": lambda: stats.uniform(a[0], a[1] - a[0]),
        "triangular": lambda: stats.triang((a[1] - a[0]) / (a[2] - a[0]), loc=a[0], scale=a[2] - a[0]),
    }
    return makers[dist.kind]()


times = st.floats(2_000, 1e7)


def _shaped(kind: str, low: float, high: float) -> st.SearchStrategy[Dist]:
    return st.builds(lambda m, s: Dist(kind, (m, s)), times, st.floats(low, high))


def _bounded(low: float, span: float, place: float) -> Dist:
    return Dist("triangular", (low, low + place * span, low + span))


def _accepted(dist: Dist) -> bool:
    """Is its spread one that a table can hold? What is wider is refused (see the test of that)."""
    try:
        table(dist)
    except ValueError as refused:
        if "expected spreads below" in str(refused):
            return False
        raise
    return True


continuous_dists = st.one_of(
    st.builds(lambda m: Dist("exponential", (m,)), times),
    st.builds(lambda m, k: Dist("erlang", (m, float(k))), times, st.integers(1, 200)),
    _shaped("gamma", 0.02, 8.0),
    _shaped("lognormal", 0.02, 4.0),
    _shaped("weibull", 0.4, 30.0),
    st.builds(lambda m, r: Dist("normal", (m, m * r)), times, st.floats(0.02, 4.0)),
    st.builds(lambda a, w: Dist("uniform", (a, a + w)), st.floats(0, 1e8), times),
    st.builds(_bounded, st.floats(0, 1e8), times, st.sampled_from([0.0, 0.001, 0.3, 0.5, 0.9, 1.0]) | st.floats(0, 1)),
).filter(_accepted)


def test_a_spread_too_wide_for_a_table_is_refused_with_a_way_out() -> None:
    with pytest.raises(ValueError, match=r"expected spreads below 2\^35 ticks.*choose a tick at least 3 times as long"):
        table(Dist("lognormal", (9237228.0, 4.0)))


@settings(deadline=None, max_examples=50)
@given(continuous_dists)
def test_mean_and_variance_are_those_of_the_distribution(dist: Dist) -> None:
    mean, variance = frozen(dist).stats("mv")
    got_mean, got_variance = mean_variance(table(dist))
    assert got_mean == pytest.approx(float(mean), rel=1e-6)
    assert got_variance == pytest.approx(float(variance), rel=1e-5)
    assert int(table(dist)[2:].min()) >= 0


@settings(deadline=None, max_examples=30)
@given(continuous_dists, st.sampled_from([1e-4, 1e-3, 0.01, 0.1, 0.3, 0.5, 0.77, 0.99, 0.999, 0.9999]))
def test_the_rank_of_a_quantile_is_its_probability_within_a_bin(dist: Dist, p: float) -> None:
    """A bin is 1/256, in the outer 1/256 on both sides 1/65,536; values are no finer than a tick."""
    scipy_dist = frozen(dist)
    value = float(scipy_dist.ppf(p))
    a_bin = 2.0**-8 if min(p, 1 - p) >= 2.0**-8 else 2.0**-16
    rank = quantile_rank(table(dist), value)
    assert float(scipy_dist.cdf(value - 1)) - a_bin <= rank <= float(scipy_dist.cdf(value + 1)) + a_bin


@pytest.mark.parametrize("shape", [0.3, 0.8, 1.0, 2.5, 40.0])
def test_every_bin_has_the_exact_conditional_mean_and_variance(shape: float) -> None:
    """Closed-form partial moments of the gamma distribution through incomplete gamma functions."""
    mean = 5e7
    pairs = table(Dist("gamma", (mean, shape**-0.5)))[2:].reshape(5, 256, 2) / FINE
    unit = mean / shape
    for sub, width, upper in ((0, 1 / 256, False), (1, 2.0**-16, False), (3, 2.0**-16, True), (4, 2.0**-24, True)):
        for n in range(1, 255) if sub == 0 else range(1, 255, 9):
            if upper:
                x = special.gammainccinv(shape, np.array([(256 - n) * width, (255 - n) * width]))
                moments = [special.gammaincc(shape + k, x) for k in range(3)]
            else:
                x = special.gammaincinv(shape, np.array([(n + 1) * width, n * width]))
                moments = [special.gammainc(shape + k, x) for k in range(3)]
            mass, first, second = (float(m[0] - m[1]) for m in moments)
            centre = unit * shape * first / mass
            spread = unit * unit * shape * (shape + 1) * second / mass - centre**2
            low, span = pairs[sub, n]
            assert low + span / 2 == pytest.approx(centre, rel=1e-7, abs=0.01)
            if spread < centre**2 / 3.01 and spread > 1e-8 * centre**2 and span > 100:
                assert span**2 / 12 == pytest.approx(spread, rel=2e-3)


def test_the_last_bin_carries_the_whole_tail_of_an_exponential() -> None:
    low, width = table(Dist("exponential", (1e6,)))[-2:] / FINE
    assert low + width / 2 == pytest.approx(1e6 * (24 * math.log(2) + 1), rel=1e-9)
    assert width / math.sqrt(12) == pytest.approx(1e6, rel=1e-6)


values_and_weights = st.lists(
    st.tuples(st.integers(0, 10**8), st.integers(1, 1000)), min_size=2, max_size=12, unique_by=lambda pair: pair[0]
)


@settings(deadline=None, max_examples=60)
@given(values_and_weights)
def test_discrete_keeps_mean_variance_and_nearly_all_values(pairs: list[tuple[int, int]]) -> None:
    total = sum(w for _, w in pairs)
    probabilities = {float(v): w / total for v, w in pairs}
    dist = Dist("discrete", tuple(x for pair in probabilities.items() for x in pair))
    mean = math.fsum(v * p for v, p in probabilities.items())
    variance = math.fsum(p * (v - mean) ** 2 for v, p in probabilities.items())
    built = table(dist)
    got_mean, got_variance = mean_variance(built)
    assert got_mean == pytest.approx(mean, rel=1e-6, abs=0.01)
    assert got_variance == pytest.approx(variance, rel=1e-5, abs=0.1)
    low, width, weight = drawn(built)
    elsewhere = sum(
        int(w) for a, b, w in zip(low, width, weight, strict=True) if b or float(a) / FINE not in probabilities
    )
    assert elsewhere / 2**24 <= (len(pairs) - 1) / 128


def test_discrete_with_round_probabilities_is_exact() -> None:
    built = table(Dist("discrete", (10_000.0, 0.25, 20_000.0, 0.5, 60_000.0, 0.25)))
    low, width, weight = drawn(built)
    assert not width.any()
    got = {int(v) // FINE: int(weight[low == v].sum()) / 2**24 for v in np.unique(low)}
    assert got == {10_000: 0.25, 20_000: 0.5, 60_000: 0.25}


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(0, 10**7), min_size=1, max_size=400))
def test_empirical_has_the_mean_and_variance_of_the_observations(observed: list[int]) -> None:
    got_mean, got_variance = mean_variance(table(Dist("empirical", tuple(float(v) for v in observed))))
    assert got_mean == pytest.approx(float(np.mean(observed)), rel=1e-6, abs=0.01)
    assert got_variance == pytest.approx(float(np.var(observed)), rel=1e-5, abs=0.1)


def test_constants_have_the_short_form() -> None:
    assert table(Dist("constant", (45_000.5,))).tolist() == [0, 45_000 * FINE + 128]
    assert table(Dist("discrete", (7.0, 1.0))).tolist() == [0, 7 * FINE]
    assert table(Dist("empirical", (7.0, 7.0, 7.0))).tolist() == [0, 7 * FINE]
    assert len(table(Dist("exponential", (7.0,)))) == LENGTH


def test_a_spread_too_wide_for_the_form_says_which_and_what_to_do() -> None:
    with pytest.raises(ValueError, match=r"exponential\(1e\+11\).*tick at least \d+ times as long"):
        table(Dist("exponential", (1e11,)))


def test_a_tail_too_heavy_for_the_form_is_refused() -> None:
    with pytest.raises(ValueError, match=r"lognormal.*tail.*smaller cv"):
        table(Dist("lognormal", (1e5, 20.0)))


def by_hand(built: np.ndarray[Any, Any], word: int) -> int:
    """The sampler as the table's docstring describes it."""
    pairs = built[2:].reshape(5, 256, 2)
    sub, shift = 0, 56
    for inner, path in ((0, (0, 1, 2)), (255, (0, 3, 4))):
        level = 0
        while level < 2 and all((word >> (56 - 8 * k)) & 255 == inner for k in range(level + 1)):
            level += 1
        if level:
            sub, shift = path[level], 56 - 8 * level
    low, width = (int(x) for x in pairs[sub, (word >> shift) & 255])
    u = (word >> (shift - 20)) & 0xFFFFF
    return (low + ((width * u + 2**19) >> 20) + 128) >> 8


@settings(deadline=None, max_examples=300)
@given(st.integers(0, MASK) | st.integers(0, 1 << 44) | st.integers(MASK - (1 << 44), MASK))
def test_the_kernel_reads_the_table_as_described(word: int) -> None:
    built = table(Dist("gamma", (55_000.0, 0.4)))
    assert draws.sample(built, word) == by_hand(built, word)


def test_evenly_spread_words_give_the_mean() -> None:
    dist = Dist("weibull", (90_000.0, 1.5))
    mean = float(np.mean([by_hand(table(dist), w) for w in spread_words(10_000)]))
    assert mean == pytest.approx(float(frozen(dist).mean()), rel=1e-3)


def spread_words(n: int) -> list[int]:
    return [((2 * k + 1) << 63) // n for k in range(n)]


@settings(deadline=None, max_examples=15)
@given(continuous_dists, st.floats(0.0, 0.999))
def test_residual_life_has_the_conditional_mean(dist: Dist, p: float) -> None:
    """E[X - a | X > a] by integrating scipy's survival function."""
    scipy_dist = frozen(dist)
    age = round(float(scipy_dist.ppf(p)))
    survival = float(scipy_dist.sf(age))
    if survival < 1e-4:
        return
    far = float(scipy_dist.isf(1e-9))
    grid = age + (far - age) * np.linspace(0, 1, 20_001) ** 3
    expected = float(np.trapezoid(scipy_dist.sf(grid), grid)) / survival
    words = np.random.default_rng(5).integers(-(2**63), 2**63 - 1, 20_000)
    got = float(residuals(table(dist), float(age), words).mean())
    assert got == pytest.approx(expected, rel=0.05, abs=1.0)


@settings(deadline=None, max_examples=30)
@given(continuous_dists, st.integers(0, 2**40), st.integers(-(2**63), 2**63 - 1))
def test_residual_life_is_never_negative_nor_longer_than_the_table(dist: Dist, age: int, word: int) -> None:
    left = residuals(table(dist), float(age), np.array([word]))[0]
    low, width, _ = drawn(table(dist))
    assert 0 <= left <= float((low + width).max()) / FINE


@settings(deadline=None, max_examples=30)
@given(continuous_dists, st.lists(st.floats(0.0, 2.0**40), min_size=1, max_size=12), st.integers(0, 2**32))
def test_ages_at_once_leave_what_each_leaves_alone(dist: Dist, ages: list[float], seed: int) -> None:
    """To the last bit: a state's hash is that of rows drawn this way. Long ages lie beyond the table: overdue."""
    words = np.random.default_rng(seed).integers(-(2**63), 2**63 - 1, len(ages))
    alone = [residuals(table(dist), age, words[i : i + 1])[0] for i, age in enumerate(ages)]
    assert residuals(table(dist), np.array(ages), words).tolist() == alone
    same = residuals(table(dist), ages[0], words)
    assert same.tolist() == residuals(table(dist), np.full(len(ages), ages[0]), words).tolist()
