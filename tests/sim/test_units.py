"""Quantities and distribution expressions."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim import distributions
from sim.plant import Dist
from sim.units import TIME_UNITS, QuantityError, Scale, number, per_second, probability, seconds, suggestion, whole

MS = Scale(Fraction(1, 1000))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("45 s", 45_000),
        ("45s", 45_000),
        ("2 h", 7_200_000),
        ("2 d", 172_800_000),
        ("100 min", 6_000_000),
        ("1.5 min", 90_000),
        ("250 ms", 250),
        ("1 w", 604_800_000),
        ("0.3 s", 300),
        ("1e3 s", 1_000_000),
        (".5 s", 500),
        ("0 s", 0),
    ],
)
def test_durations_become_ticks(text: str, expected: int) -> None:
    assert MS.ticks(text) == expected


@given(st.decimals(0, 10_000, places=6), st.sampled_from(sorted(TIME_UNITS)))
def test_durations_are_exact(value: object, unit: str) -> None:
    assert seconds(f"{value} {unit}") == Fraction(str(value)) * TIME_UNITS[unit]


@pytest.mark.parametrize(
    ("text", "todo"),
    [
        ("45", "write the unit"),
        ("45 m", "did you mean 'min'?"),
        ("45 sec", "did you mean 's'?"),
        ("45 mins", "did you mean 'min'?"),
        ("45 kW", "measures power or energy"),
        ("45 parsec", "no unit of time"),
        ("-3 s", "never negative"),
        ("fast", "start with a number"),
        ("", "start with a number"),
        ("nan s", "start with a number"),
        ("inf s", "start with a number"),
        ("1e400 s", "no unit of time"),
        ("1e99 d", "use a longer tick"),
        ("0.0001 ms", "a tick is 0.001 s"),
        ("1:30 h", "no unit of time"),
    ],
)
def test_what_is_no_duration_is_refused_with_advice(text: str, todo: str) -> None:
    with pytest.raises(QuantityError) as caught:
        MS.ticks(text)
    assert todo in str(caught.value)
    assert "expected" in str(caught.value)


def test_rates_money_and_percentages() -> None:
    assert per_second("30/h") == Fraction(30, 3600)
    assert MS.mean_between("36 / h") == pytest.approx(100_000)
    assert MS.money("42 EUR") == 42.0
    assert MS.money_rate("0.2 EUR/h") * 3_600_000 == pytest.approx(0.2)
    assert probability("8 %") == Fraction(8, 100)
    assert probability("0.08") == Fraction(8, 100)
    assert whole("12", 1) == 12


@pytest.mark.parametrize(
    ("read", "text", "todo"),
    [
        (MS.money, "42", "write the currency 'EUR'"),
        (MS.money, "42 USD", "currency"),
        (MS.money, "42 EUR/h", "leave the '/' part out"),
        (MS.money, "-1 EUR", "positive"),
        (MS.money_rate, "0.2 EUR", "write '/' and a unit of time"),
        (MS.money_rate, "0.2 EUR/", "unit of time"),
        (MS.money_rate, "0.2 EUR/fortnight", "no unit of time"),
        (MS.mean_between, "36 h", "write '/'"),
        (MS.mean_between, "36", "write '/'"),
        (MS.mean_between, "0/h", "correct"),
        (probability, "108 %", "correct"),
        (probability, "8 permille", "use %"),
        (number, "3 s", "leave the unit out"),
        (lambda t: whole(t, 1), "1.5", "digits only"),
        (lambda t: whole(t, 1), "0", "digits only"),
        (lambda t: whole(t, 1), "two", "start with a number"),
    ],
)
def test_wrong_quantities_say_what_to_do(read: object, text: str, todo: str) -> None:
    assert callable(read)
    with pytest.raises(QuantityError) as caught:
        read(text)
    assert todo in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("50 s", Dist("constant", (50_000.0,))),
        ("constant(50 s)", Dist("constant", (50_000.0,))),
        ("exponential(60 s)", Dist("exponential", (60_000.0,))),
        ("exponential(mean=1 min)", Dist("exponential", (60_000.0,))),
        ("gamma(mean=55 s, cv=0.4)", Dist("gamma", (55_000.0, 0.4))),
        ("gamma(cv=0.4, mean=55 s)", Dist("gamma", (55_000.0, 0.4))),
        ("erlang(2 s, 3)", Dist("erlang", (2_000.0, 3.0))),
        ("lognormal(mean=1 s, cv=2)", Dist("lognormal", (1_000.0, 2.0))),
        ("weibull(scale=2 s, shape=1.5)", Dist("weibull", (2_000.0, 1.5))),
        ("normal(mean=5 s, sd=1 s)", Dist("normal", (5_000.0, 1_000.0))),
        ("uniform(4 s, 6 s)", Dist("uniform", (4_000.0, 6_000.0))),
        ("triangular(4 s, 5 s, 7 s)", Dist("triangular", (4_000.0, 5_000.0, 7_000.0))),
        ("poisson(36/h)", Dist("exponential", (100_000.0,))),
        ("discrete(4 s: 30 %, 6 s: 70 %)", Dist("discrete", (4_000.0, 0.3, 6_000.0, 0.7))),
        ("discrete(6 s, 0.7, 4 s, 0.3)", Dist("discrete", (4_000.0, 0.3, 6_000.0, 0.7))),
        ("empirical([3 s, 1 s, 1 s])", Dist("empirical", (1_000.0, 1_000.0, 3_000.0))),
    ],
)
def test_distribution_expressions(text: str, expected: Dist) -> None:
    got = MS.dist(text)
    assert got.kind == expected.kind
    assert got.args == pytest.approx(expected.args)


@pytest.mark.parametrize(
    ("text", "todo"),
    [
        ("exponential(60)", "write the unit"),
        ("exponentail(60 s)", "did you mean 'exponential'?"),
        ("exponential", "in parentheses"),
        ("exponential()", "add mean"),
        ("exponential(0 s)", "above 0"),
        ("gamma(mean=55 s)", "add cv"),
        ("gamma(55 s, 0.4, 3)", "once"),
        ("gamma(mean=55 s, mean=3 s)", "once"),
        ("gamma(mean=55 s, cv=0)", "cv between"),
        ("gamma(mean=55 s, cv=4 s)", "leave the unit out"),
        ("lognormal(mean=55 s, cv=9)", "cv between"),
        ("uniform(6 s, 4 s)", "order them"),
        ("uniform(4 s, 4 s)", "constant"),
        ("normal(5 s, 0 s)", "constant"),
        ("erlang(5 s, 2.5)", "digits only"),
        ("discrete(4 s: 30 %, 6 s: 60 %)", "sum to 90 %"),
        ("discrete()", "at least one"),
        ("empirical([])", "at least one"),
        ("poisson(36 h)", "write '/'"),
        ("__import__('os')", "unknown"),
        ("soon", "use one of"),
    ],
)
def test_wrong_expressions_say_what_to_do(text: str, todo: str) -> None:
    with pytest.raises(QuantityError) as caught:
        MS.dist(text)
    assert todo in str(caught.value)


def test_truncated_normal_mean_and_variance_are_those_after_truncation() -> None:
    half_normal = Dist("normal", (0.0, 1000.0))
    assert distributions.mean(half_normal) == pytest.approx(1000 * math.sqrt(2 / math.pi))
    assert distributions.variance(half_normal) == pytest.approx(1e6 * (1 - 2 / math.pi))


def test_suggestions_without_a_near_word_list_what_there_is() -> None:
    assert suggestion("xyz", ["b", "a"]) == "use one of: a, b"
