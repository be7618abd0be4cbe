"""Closed forms against numbers worked by hand, from textbooks, and by solving the chains themselves."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from math import exp, prod, sqrt

import pytest

from sim import analytic


def test_little() -> None:
    assert analytic.little(0.8, 5.0) == pytest.approx(4.0)


def birth_death(rate: float, work: float, servers: int) -> tuple[float, float]:
    """Mean number waiting and mean number there, summed over 4,000 states."""
    chance, total, waiting, there = 1.0, 0.0, 0.0, 0.0
    for n in range(4000):
        total, waiting, there = total + chance, waiting + max(n - servers, 0) * chance, there + n * chance
        chance *= rate * work / min(n + 1, servers)
    return waiting / total, there / total


@pytest.mark.parametrize(("rate", "work", "servers"), [(0.8, 1.0, 1), (1.5, 1.0, 2), (0.5, 4.0, 3), (9.5, 1.0, 10)])
def test_mmc_is_its_birth_death_chain(rate: float, work: float, servers: int) -> None:
    found = analytic.mmc(rate, work, servers)
    assert (found.queue, found.wip) == pytest.approx(birth_death(rate, work, servers), rel=1e-9)
    assert found.flow_time == pytest.approx(found.wait + work)
    assert found.wip == pytest.approx(analytic.little(rate, found.flow_time))


def test_mmc_by_hand() -> None:
    assert analytic.mmc(0.8, 1).wait == pytest.approx(4)
    assert analytic.mmc(1.5, 1, 2).wait == pytest.approx(9 / 7)
    assert analytic.mmc(2, 1, 3).wait == pytest.approx(4 / 9)


def test_mg1_lies_between_its_neighbours() -> None:
    assert analytic.mg1(0.8, 1, 1).wait == pytest.approx(analytic.mmc(0.8, 1).wait)
    assert analytic.mg1(0.8, 1, 0).wait == pytest.approx(2), "M/D/1 waits half as long"
    assert analytic.mg1(0.5, 1, 0.25).flow_time == pytest.approx(1.625)


def test_vut_is_exact_where_it_should_be_and_near_for_several_servers() -> None:
    assert analytic.vut(0.8, 1, 1, 1.0, 0.4).wait == pytest.approx(analytic.mg1(0.8, 1, 0.4).wait)
    for servers in (2, 3, 5, 10):
        near, exact = analytic.vut(0.85 * servers, 1, servers, 1, 1).wait, analytic.mmc(0.85 * servers, 1, servers).wait
        assert near == pytest.approx(exact, rel=0.04)
    assert analytic.departures(0.7, 1, 1.0, 1.0) == pytest.approx(1), "M/M/1 leaves as it came (Burke)"
    assert analytic.departures(1.0, 1, 3.0, 0.3) == pytest.approx(0.3), "a busy machine leaves as it works"


def test_outages_of_factory_physics() -> None:
    """Its Hare and Tortoise: 15 min, c2 = 0.05, 75 % available; long rare outages against short frequent ones."""
    hare = analytic.with_outages(15, 0.05, 744, 248, 1)
    tortoise = analytic.with_outages(15, 0.05, 114, 38, 1)
    assert hare == pytest.approx((20, 6.25))
    assert tortoise == pytest.approx((20, 1.0))


def test_outages_from_the_moments_of_the_compound_sum() -> None:
    """Variance of X + sum of N(X) repairs, N Poisson with rate 1 / up: conditional on X, then over X."""
    work, scv, up, repair, repair_scv = 7.0, 0.36, 50.0, 8.0, 0.49
    variance = scv * work**2 * (1 + repair / up) ** 2 + work / up * repair**2 * (1 + repair_scv)
    mean, found = analytic.with_outages(work, scv, up, repair, repair_scv)
    assert mean == pytest.approx(work * (1 + repair / up))
    assert found * mean**2 == pytest.approx(variance)


def test_jackson_with_rework() -> None:
    """One job a minute; a fifth of those tested go back: 1.25 a minute everywhere."""
    first, test = analytic.jackson([1.0, 0.0], [[0, 1], [0.2, 0]], [0.4, 1.2], [1, 2])
    assert first.utilisation == pytest.approx(0.5)
    assert first.queue == pytest.approx(0.5)
    assert test.utilisation == pytest.approx(0.75)
    assert test.wait == pytest.approx(1.2 * 9 / 7)
    with pytest.raises(ValueError, match="go round for ever"):
        analytic.jackson([1.0, 0.0], [[0, 1], [1, 0]], [0.1, 0.1], [1, 1])


def gordon_newell(works: list[float], jobs: int) -> tuple[float, list[float]]:
    """Throughput and jobs at each station by listing every state of the product form."""
    states = [s for s in product(range(jobs + 1), repeat=len(works)) if sum(s) == jobs]
    weights = [prod(w**n for w, n in zip(works, s, strict=True)) for s in states]
    total = sum(weights)
    at = [sum(p * s[i] for p, s in zip(weights, states, strict=True)) / total for i in range(len(works))]
    busy = sum(p for p, s in zip(weights, states, strict=True) if s[0] > 0) / total
    return busy / works[0], at


def test_mva_is_the_product_form() -> None:
    works = [0.4, 1.1, 0.7]
    for jobs in (1, 2, 6):
        found = analytic.mva(works, jobs)
        rate, at = gordon_newell(works, jobs)
        assert found.throughput == pytest.approx(rate, rel=1e-12)
        assert found.at_station == pytest.approx(at, rel=1e-12)
        assert found.utilisation == pytest.approx([rate * w for w in works])


def test_penny_fab_one() -> None:
    """Four machines of two hours: one penny in two hours at most, eight hours to make one, critical WIP four."""
    assert [analytic.best_case(w, 0.5, 8) for w in (1, 2, 4, 8)] == pytest.approx([0.125, 0.25, 0.5, 0.5])
    assert analytic.practical_worst_case(4, 0.5, 8) == pytest.approx(2 / 7)
    assert analytic.mva([2.0] * 4, 4).throughput == pytest.approx(2 / 7), "the balanced exponential line is just that"


def test_stock_formulas_by_hand() -> None:
    assert analytic.eoq(1200, 50, 3) == pytest.approx((200, 600))
    level, cost = analytic.newsvendor(100, 15, 4, 1)
    assert level == pytest.approx(100 + 15 * 0.8416212335729143)
    assert cost == pytest.approx(5 * 15 * 0.27996193)
    e = exp(-1)
    three = analytic.base_stock(3, 1.0)
    assert (three.on_hand, three.backorders, three.fill_rate) == pytest.approx((5.5 * e, 5.5 * e - 2, 2.5 * e))
    assert analytic.base_stock(0, 2.5).backorders == pytest.approx(2.5)
    assert [analytic.newsvendor_poisson(1.0, u, 1) for u in (0.5, 1, 2, 4, 100)] == [0, 1, 1, 2, 4]
    assert analytic.newsvendor_poisson(900.0, 1, 1) == pytest.approx(900, abs=1)
    assert analytic.base_stock(700, 600.0).on_hand == pytest.approx(100, abs=sqrt(600) * 1e-3)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: analytic.mmc(1.0, 1.0), "utilisation 1: expected below 1"),
        (lambda: analytic.vut(3.0, 1.0, 2, 1, 1), "utilisation 1.5"),
        (lambda: analytic.mg1(0.5, 1.0, -0.1), "scv -0.1"),
        (lambda: analytic.mmc(0.0, 1.0), "rate 0: expected a number above 0"),
        (lambda: analytic.mva([1.0, 0.0], 2), r"works\[1\] 0"),
        (lambda: analytic.mva([], 2), "2 jobs at 0 stations"),
        (lambda: analytic.eoq(1, 1, 0), "holding 0"),
        (lambda: analytic.newsvendor(1, 1, 1, 0), "over 0"),
        (lambda: analytic.newsvendor_poisson(1.0, 1.0, 1e-30), "tells from 1"),
        (lambda: analytic.base_stock(-1, 1.0), "level -1"),
    ],
)
def test_what_has_no_meaning_is_refused(call: Callable[[], object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        call()
