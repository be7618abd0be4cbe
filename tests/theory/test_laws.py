"""What holds in every run: Little's law, monotonicity, reversibility, and the laws of the Penny Fab."""

from __future__ import annotations

import numpy as np
import pytest

from sim.experiment import Run
from sim.kpi import Values
from tests.oracles.lines import Line, Machine
from tests.oracles.networks import best_case, practical_worst_case, worst_case
from tests.theory.compare import assert_agrees, compiled, estimate, figures
from tests.theory.plants import plant, push, routed, serial, single

SEED = 20260105
WORKS = ("gamma(mean=1 s, cv=0.5)", "lognormal(mean=0.9 s, cv=1)", "uniform(0.5 s, 1.7 s)", "exponential(0.8 s)")
FAILS = (
    "{clock: odf, after: weibull(scale=60 s, shape=1.5), repair: gamma(mean=6 s, cv=0.7)}",
    "{clock: odf, after: exponential(25 s), repair: lognormal(mean=4 s, cv=1.2)}",
)


def general_line(order: tuple[int, ...], places: tuple[int, ...], release: str = "policy: saturated") -> str:
    """A line of machines `order` with other distributions than exponential; odd ones fail in one way, even in the
    other.
    """
    names = [f"m{i}" for i in order]
    return plant(
        f"products: {{part: {{routing: [{', '.join(names)}]}}}}",
        "stations:",
        *(f"  {name}: {{work: {WORKS[i]}, fails: {FAILS[i % 2]}}}" for name, i in zip(names, order, strict=True)),
        "buffers:",
        *(f"  b{name}: {{before: {name}, capacity: {size}}}" for name, size in zip(names[1:], places, strict=True)),
        f"release: {{part: {{{release}}}}}",
    )


def run(text: str, seconds: float, warmup: float, replications: int) -> dict[str, Values]:
    built = compiled(text)
    return figures(built, Run(built.ticks(warmup + seconds), built.ticks(warmup), replications, SEED))


LITTLE = {
    "open": single("'gamma(mean=1 s, cv=1.5)'", push(0.7)),
    "rework": routed(
        "[a, {step: t, station: b, next: {a: 20 %, done: rest}}]",
        ["a: {work: exponential(1 s)}", "b: {work: 0.9 s}"],
        push(0.6),
    ),
    "conwip": general_line((0, 1, 2), (2, 2), "policy: conwip, cap: 5"),
    "line": serial(Line((Machine(1.0, 0.05, 0.2),) * 3, (2, 2), crew=1)),
}


@pytest.mark.parametrize("name", LITTLE)
def test_littles_law_in_every_replication(name: str) -> None:
    """WIP = throughput x flow time; what is left are the parts present at the two ends of the run."""
    found = run(LITTLE[name], 60_000, 1000, 10)
    assert found["throughput"] * found["flow_time"] == pytest.approx(found["wip"], rel=1e-3)
    assert float(found["wip"].min()) > 0.5


@pytest.mark.parametrize("failures", [True, False])
def test_more_places_never_hurt_on_the_same_random_numbers(failures: bool) -> None:
    """After service, every part leaves no later when a place is added (Shanthikumar and Yao 1989): path by path."""
    made = []
    for places in ((0, 0, 0), (1, 0, 0), (1, 2, 0), (1, 2, 1), (3, 2, 1), (3, 2, 6), (20, 20, 20)):
        text = general_line((0, 1, 2, 3), places)
        if not failures:
            for fails in FAILS:
                text = text.replace(f", fails: {fails}", "")
        made.append(run(text, 5000, 0, 20)["throughput"])
    steps = np.diff(np.array(made), axis=0)
    assert steps.min() >= 0.0, "a replication made less with more places"
    assert (steps.mean(axis=1) > 0).all(), "a place more never did any good"


def test_a_higher_cap_never_hurts_on_the_same_random_numbers() -> None:
    made = [
        run(general_line((0, 1, 2), (9, 9), f"policy: conwip, cap: {cap}"), 5000, 0, 20)["throughput"]
        for cap in (1, 2, 3, 5, 8)
    ]
    steps = np.diff(np.array(made), axis=0)
    assert steps.min() >= 0.0
    assert (steps.mean(axis=1) > 0).all()


def test_a_line_backwards_makes_as_much() -> None:
    """Reversibility holds for any distribution of work and for failures of the machine while it works (Muth 1979)."""
    ahead = run(general_line((0, 1, 2, 3), (1, 0, 2)), 20_000, 500, 50)["throughput"]
    back = run(general_line((3, 2, 1, 0), (2, 0, 1)), 20_000, 500, 50)["throughput"]
    gap = estimate(back - ahead)
    assert 3 * gap.error < 0.005 * float(ahead.mean())
    assert abs(gap.mean) <= 3 * gap.error


BOTTLENECK, RAW_TIME, HOUR = 0.5, 8.0, 3600.0


def penny_fab(products: dict[str, str], caps: dict[str, int]) -> str:
    """Four machines of two hours; works by product."""
    names = ("head", "trim", "rim", "deburr")
    works = ", ".join(f"{product}: {work}" for product, work in products.items())
    text = plant(
        "products:",
        *(f"  {product}: {{routing: [{', '.join(names)}]}}" for product in products),
        "stations:",
        *(f"  {name}: {{work: {{{works}}}}}" for name in names),
        "release:",
        *(f"  {product}: {{policy: conwip, cap: {cap}}}" for product, cap in caps.items()),
        tick="1 s",
    )
    return text.replace("time_unit: s", "time_unit: h")


@pytest.mark.parametrize("parts", [1, 2, 3, 4, 5, 9])
def test_the_best_case_of_the_penny_fab(parts: int) -> None:
    """Constant times: the first law of Factory Physics to the last digit."""
    found = run(penny_fab({"penny": "2 h"}, {"penny": parts}), 720 * HOUR, 72 * HOUR, 1)
    assert (found["throughput"][0], found["flow_time"][0]) == pytest.approx(best_case(parts, BOTTLENECK, RAW_TIME))


@pytest.mark.parametrize("parts", [2, 4])
def test_the_worst_case_of_the_penny_fab(parts: int) -> None:
    """One part does the work of all, the others follow it in no time (a second): everybody waits for everybody."""
    works = {"slow": f"{2 * parts} h"} | {f"quick{i}": "1 s" for i in range(1, parts)}
    found = run(penny_fab(works, dict.fromkeys(works, 1)), 80 * parts * HOUR, 16 * parts * HOUR, 1)
    assert (found["throughput"][0], found["flow_time"][0]) == pytest.approx(worst_case(parts, RAW_TIME))


@pytest.mark.parametrize("parts", [1, 3, 8])
def test_the_practical_worst_case_of_the_penny_fab(parts: int) -> None:
    found = run(penny_fab({"penny": "exponential(2 h)"}, {"penny": parts}), 50_000 * HOUR, 500 * HOUR, 50)
    throughput, flow_time = practical_worst_case(parts, BOTTLENECK, RAW_TIME)
    assert_agrees(estimate(found["throughput"]), throughput)
    assert_agrees(estimate(found["flow_time"]), flow_time)
    assert worst_case(parts, RAW_TIME)[0] <= throughput <= best_case(parts, BOTTLENECK, RAW_TIME)[0]
