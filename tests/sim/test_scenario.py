"""Factors, designs and scenarios: what may be varied, how, and what is said when it may not."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from sim.design import DesignError, factorial, hadamard, latin_hypercube, one_at_a_time, runs_of, screening
from sim.distributions import parse as parse_dist
from sim.factors import Factor, parse
from sim.plantfile import PlantError, load, resolve
from sim.scenario import factors_of, plan
from sim.units import QuantityError, Scale
from tests.plants import TWO_MOTORS

MS = Scale(Fraction(1, 1000))


def levels(text: str, current: str | None = "10") -> tuple[str, ...]:
    return parse("p", text, current).levels


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("4,6,8", ("4", "6", "8")),
        ("exponential(100 min), gamma(mean=2 h, cv=0.3)", ("exponential(100 min)", "gamma(mean=2 h, cv=0.3)")),
        ("2..8 step 2", ("2", "4", "6", "8")),
        ("2..7 step 2", ("2", "4", "6")),
        ("40 s..80 s in 3", ("40 s", "60 s", "80 s")),
        ("1 min..2 min step 30 s", ("1 min", "1.5 min", "2 min")),
        ("40..80 s", ("40 s", "80 s")),
        ("30 s..2 min", ("0.5 min", "2 min")),
        ("10/h..20/h", ("10/h", "20/h")),
        ("conwip,push", ("conwip", "push")),
        ("+-10 %", ("9", "11")),
        ("+-3%", ("9", "11")),
    ],
)
def test_the_forms_of_values(text: str, expected: tuple[str, ...]) -> None:
    assert levels(text) == expected


def test_relative_values_keep_the_unit() -> None:
    assert levels("+-10 %", "60 s") == ("54 s", "66 s")
    assert levels("+-0.5", "36/h") == ("18/h", "54/h")


@pytest.mark.parametrize(
    ("text", "current", "said"),
    [
        ("8..2", None, "exchange its ends"),
        ("1 s..2 EUR", None, "same unit"),
        ("2..8 step 0", None, "correct the step"),
        ("1..2 in 1", None, "correct the number after 'in'"),
        ("4,,5", None, "take the empty value out"),
        ("4,4", None, "take the repeated value out"),
        ("+-10 %", None, "list the values instead"),
        ("+-10 %", "exponential(2 s)", "start with a number"),
        ("+-110 %", "3", "write for example"),
    ],
)
def test_other_forms_are_refused(text: str, current: str | None, said: str) -> None:
    with pytest.raises(QuantityError, match=said.replace("(", r"\(")):
        parse("p", text, current)


def test_a_range_gives_what_lies_between() -> None:
    whole, length = parse("p", "3..6", None), parse("p", "40 s..80 s", None)
    assert [whole.between(u) for u in (0, 0.24, 0.25, 0.99)] == ["3", "3", "4", "6"]
    assert length.between(0.25) == "50 s"
    assert [parse("p", "a,b", None).between(u) for u in (0.4, 0.6)] == ["a", "b"]
    assert not parse("p", "a,b", None).numeric
    assert parse("p", "60 s,2 min", None).number("2 min") == 120


def test_designs() -> None:
    a, b = Factor("a", ("1", "2", "3")), Factor("b", ("x", "y"))
    assert factorial([a, b]) == [(i, j) for i in "123" for j in "xy"]
    assert one_at_a_time([a, b]) == [(None, None), ("1", None), ("2", None), ("3", None), (None, "x"), (None, "y")]
    cube = latin_hypercube([parse("c", "0 s..1 s", None), parse("d", "1..10", None)], 10, 3)
    assert sorted(int(float(str(c).split()[0]) * 10) for c, _ in cube) == list(range(10)), "each tenth once"
    assert sorted(int(str(d)) for _, d in cube) == list(range(1, 11))
    assert cube == latin_hypercube([parse("c", "0 s..1 s", None), parse("d", "1..10", None)], 10, 3)
    with pytest.raises(DesignError, match="at most"):
        factorial([Factor(str(i), tuple("abcdefghij")) for i in range(6)])
    with pytest.raises(DesignError, match="did you mean 'screening'"):
        runs_of("screning", [a], 2, 1)


@pytest.mark.parametrize("least", [2, 5, 9, 12, 13, 17, 20, 24, 28])
def test_hadamard_matrices_are_orthogonal(least: int) -> None:
    h = hadamard(least)
    n = len(h)
    assert n >= least
    assert n - least < 12
    assert (h @ h.T == n * np.eye(n)).all()
    assert (h[:, 0] == 1).all()
    assert set(np.unique(h)) == {-1, 1}


def test_screening_is_balanced_and_folding_frees_main_effects_of_interactions() -> None:
    factors = [Factor(str(i), ("0", "1")) for i in range(11)]
    runs = np.array([[2 * int(v) - 1 for v in run if v] for run in screening(factors)])
    assert runs.shape == (12, 11)
    assert (runs.sum(axis=0) == 0).all()
    folded = np.array([[2 * int(v) - 1 for v in run if v] for run in screening(factors, folded=True)])
    products = np.array([folded[:, i] * folded[:, j] for i in range(11) for j in range(i)])
    assert (products @ folded == 0).all()
    assert (np.array([runs[:, i] * runs[:, j] for i in range(11) for j in range(i)]) @ runs != 0).any()


def test_overrides_reach_every_kind_of_place() -> None:
    new = load(
        TWO_MOTORS,
        {
            "release.gm40.cap": "12",
            "products.gm40.routing.test.next.rework": "10 %",
            "products.gm40.routing.rework.work.mean": "30 min",
            "stations.hobbing.fails.after.scale": "20 h",
            "stations.packing.units": "2",  # written in the file
            "stocks.kits.policy.level": "800",
            "demand.orders40.arrivals.rate": "5/h",
        },
    )
    old = load(TWO_MOTORS)
    gm40, gm80 = new.products
    assert gm40.release.cap == 12
    assert [p for _, p in gm40.steps[5].next] == pytest.approx([0.1, 0.015, 0.885])
    assert gm40.steps[6].work == parse_dist("gamma(mean=30 min, cv=0.5)", MS)
    assert gm80 == old.products[1], "an anchor's other uses keep their value"
    assert {s.id: s.units for s in new.stations} == {s.id: s.units + (s.id == "packing") for s in old.stations}
    hobbing = next(s for s in new.stations if s.id == "hobbing")
    assert hobbing.fails is not None
    assert hobbing.fails.after == parse_dist("weibull(scale=20 h, shape=1.4)", MS)
    assert new.demands[0].arrivals == parse_dist("poisson(5/h)", MS)
    assert new.stocks[0].level == 800


def test_a_key_that_the_file_leaves_out_and_one_that_a_merge_brings(tmp_path: Path) -> None:
    text = resolve("line3").read_text(encoding="utf-8")
    text = text.replace("stations:\n", "x-usual: &usual {units: 2}\nstations:\n")
    text = text.replace("mill: {units: 1, ", "mill: {<<: *usual, ").replace("wash: {units: 1, ", "wash: {")
    file = tmp_path / "merged.yaml"
    file.write_text(text, encoding="utf-8")
    assert [s.units for s in load(file).stations] == [1, 2, 1]
    found = load(file, {"stations.mill.units": "3", "stations.wash.units": "4"})
    assert [s.units for s in found.stations] == [1, 3, 4]


@pytest.mark.parametrize(
    ("path", "text", "said"),
    [
        ("stations.trn.units", "2", "line3.yaml:13: .*found no 'trn' in stations; did you mean 'turn'"),
        ("release.housing.cpa", "2", "line3.yaml:24: release of housing: .*did you mean 'cap'"),
        ("release.housing.cap", "x", "line3.yaml:24: release of housing, cap: expected a whole number"),
        ("release.housing.cap", "50", "line3.yaml:31: .*change the range"),
        ("release.housing", "3", "found the whole of release.housing; go on, as in 'release.housing.policy'"),
        ("stations.turn.work.housing.cv", "2", "found no 'cv' in 'exponential"),
        ("stations.mill.work.housing", "55", "expected a duration"),
        ("products.housing.routing.9", "wash", "found no '9' in products.housing.routing"),
    ],
)
def test_what_is_wrong_with_an_override_is_said_with_its_line(path: str, text: str, said: str) -> None:
    with pytest.raises(PlantError, match=said):
        load("line3", {path: text})


def test_scenarios_that_are_the_same_plant_are_one() -> None:
    factors = factors_of("line3", {"release.housing.cap": "4,6", "stations.turn.units": "1,2"})
    found = plan("line3", factors, factorial(factors), {"slow": {"stations.turn.units": "1"}}, "base")
    assert [s.name for s in found.scenarios] == ["base", "cap=4 units=1", "cap=4 units=2", "cap=6 units=2"]
    assert found.scenarios[1].overrides == (("release.housing.cap", "4"),)
    assert found.of_run == (1, 2, 0, 3)
    other = plan("line3", factors, [("4", "1")], {}, "cap=4 units=1")
    assert [s.name for s in other.scenarios] == ["cap=4 units=1"]
    with pytest.raises(PlantError, match="found 'cap=9'"):
        found.index("cap=9")


def test_every_bad_scenario_is_listed_by_name() -> None:
    factors = factors_of("line3", {"release.housing.cap": "4,50", "stations.turn.units": "0,1"})
    with pytest.raises(PlantError) as caught:
        plan("line3", factors, factorial(factors), {"odd": {"tick": "2 ms"}}, "base")
    assert "scenario cap=50 units=1: line3.yaml:31:" in str(caught.value)
    assert "scenario cap=4 units=0: line3.yaml:13:" in str(caught.value)
    assert "scenario odd: tick: expected 0.001" in str(caught.value)
    with pytest.raises(PlantError, match=r"line3.yaml:2: .*did you mean 'release'"):
        factors_of("line3", {"relase.housing.cap": "4,6"})
