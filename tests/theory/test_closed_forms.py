"""Every value that `sim.closed_forms` calls exact is what the kernel's runs come to."""

from __future__ import annotations

import pytest

from sim.closed_forms import theory
from sim.compile import compile_plant
from sim.plant import DONE, SCRAP, Dist, Failure, Plant, Product, Release, Station, Step
from tests.sim.small_plants import conwip, plant, product, station
from tests.theory.agreement import assert_agrees, run


def exponential(mean: float) -> Dist:
    return Dist("exponential", (mean,))


def poisson(gap: float) -> Release:
    return Release("push", arrivals=exponential(gap))


def rework() -> Plant:
    """Two products over three stations, one with two units; 20 % of the first product go round again."""
    a, b, c = (exponential(x) for x in (600.0, 900.0, 350.0))
    one = Product(
        "one",
        (
            Step("cut", "a", a, ((1, 1.0),)),
            Step("mill", "b", b, ((2, 1.0),)),
            Step("test", "c", c, ((1, 0.2), (DONE, 0.8))),
        ),
        poisson(2000.0),
    )
    two = Product("two", (Step("cut", "a", a, ((1, 1.0),)), Step("test", "c", c, ((DONE, 1.0),))), poisson(4000.0))
    return plant([station("a"), station("b", units=2), station("c")], [one, two])


def scrapping_conwip() -> Plant:
    """Five parts round three unequal machines; a tenth is scrapped, a fifth goes through the second machine again."""
    steps = (
        Step("cut", "a", exponential(400.0), ((1, 1.0),)),
        Step("mill", "b", exponential(500.0), ((1, 0.2), (2, 0.7), (SCRAP, 0.1))),
        Step("test", "c", exponential(300.0), ((DONE, 1.0),)),
    )
    return plant([station("a"), station("b"), station("c", 4)], [Product("one", steps, conwip(5))])


def failing() -> Plant:
    """M/G/1: gamma work that failures interrupt."""
    fails = Failure("odf", exponential(5000.0), Dist("lognormal", (800.0, 0.7)))
    step = Step("cut", "a", Dist("gamma", (700.0, 0.6)), ((DONE, 1.0),))
    return plant([Station("a", modes=(fails,))], [Product("one", (step,), poisson(1500.0))])


def constant(cap: int) -> Plant:
    """No variability: three units of the slowest step."""
    steps = [("a", 700.0), ("b", 2400.0), ("c", 300.0)]
    return plant([station("a"), station("b", units=3), station("c")], [product("one", steps, conwip(cap))])


@pytest.mark.parametrize(
    ("told", "relative", "values"),
    [(rework(), 0.03, 10), (scrapping_conwip(), 0.015, 9), (failing(), 0.03, 6)],
    ids=["jackson", "mva", "mg1_failures"],
)
def test_exact_values(told: Plant, relative: float, values: int) -> None:
    exact = [t for t in theory(told) if t.exact]
    assert len(exact) == values
    found = run(compile_plant(told), 300_000, 15_300_000, 40)
    for t in exact:
        name = f"{t.owner}.{t.name}" if t.owner else t.name
        assert_agrees(f"{t.form} {name}", found[name], t.value, relative)


@pytest.mark.parametrize("cap", [3, 9])
def test_the_best_case_is_what_a_line_without_variability_makes(cap: int) -> None:
    told = constant(cap)
    found = run(compile_plant(told), 300_000, 15_300_000, 1)
    values = theory(told)
    assert [t.form for t in values] == ["best case"] * 4
    for t in values:
        assert float(found[t.name][0]) == pytest.approx(t.value, rel=2e-4), t.name  # one part more or less at the end


def test_vut_is_near_and_says_that_it_is_not_exact() -> None:
    """Three stations in line, none exponential: each wait by VUT within 15 % of the simulated one."""
    steps = tuple(
        Step(s, s, Dist("gamma", (800.0, cv)), ((DONE if s == "c" else i + 1, 1.0),))
        for i, (s, cv) in enumerate((("a", 0.5), ("b", 1.2), ("c", 0.7)))
    )
    told = plant(
        [station(s) for s in "abc"], [Product("one", steps, Release("push", arrivals=Dist("gamma", (1000.0, 0.6))))]
    )
    found = run(compile_plant(told), 300_000, 15_300_000, 30)
    near = {f"{t.owner}.{t.name}": t for t in theory(told) if t.form == "VUT"}
    assert len(near) == 6
    assert not any(t.exact for t in near.values())
    for name in ("a.queue", "b.queue", "c.queue"):
        assert found[name].mean() == pytest.approx(near[name].value, rel=0.15), name
