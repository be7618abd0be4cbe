"""The kernel against theory: what is known exactly lies within three standard errors of independent replications."""

from __future__ import annotations

from math import factorial

import numpy as np
import pytest
from numpy.typing import NDArray

from sim import kernel
from sim.compile import Compiled, compile_plant
from sim.kpi import kpis
from sim.plant import Dist, Failure, Product, Release, Station, Step
from sim.state import STARVED
from tests.sim.engines import compiled_bundled
from tests.sim.small_plants import plant, product, station

Values = NDArray[np.float64]
SEED = 20260105


def replicate(compiled: Compiled, warmup: int, until: int, replicas: int) -> dict[str, Values]:
    """Figures of each replication after the warm-up."""
    found: dict[str, list[Values]] = {}
    for first in range(0, replicas, 10):  # rows of plants with unlimited queues are long
        rows = kernel.new_rows(compiled, SEED, 10, first)
        kernel.run(rows, compiled, warmup)
        kernel.clear_stats(rows, compiled)
        kernel.run(rows, compiled, until)
        for name, values in kpis(rows, compiled).items():
            found.setdefault(name, []).append(values)
        starved = compiled.layout.view(rows, "st_ticks")[:, :, STARVED].sum(axis=1)
        found.setdefault("starved", []).append(starved / (until - warmup))
    return {name: np.concatenate(values) for name, values in found.items()}


def assert_within(values: Values, expected: float, known: float = 0.0, sharp: float = 0.01) -> None:
    """The mean is `expected` within three standard errors plus the precision to which `expected` is known.

    `sharp` is the relative half-width the experiment must reach, so that a wide interval cannot pass for agreement.
    """
    error = float(values.std(ddof=1) / np.sqrt(len(values)))
    assert 3 * error < sharp * expected, f"three standard errors {3 * error:.4g} are too wide to say anything"
    mean = float(values.mean())
    assert abs(mean - expected) <= 3 * error + known, f"{mean:.5g} is not {expected:.5g} (standard error {error:.2g})"


def test_mm1() -> None:
    found = replicate(compiled_bundled("mm1"), 1_000_000, 41_000_000, 100)
    assert_within(found["wait"], 4.0, sharp=0.03)
    assert_within(found["flow_time"], 5.0, sharp=0.03)
    assert_within(found["throughput"], 0.8)
    assert_within(found["wip"], 4.0, sharp=0.03)


def test_line10() -> None:
    found = replicate(compiled_bundled("line10"), 2_000_000, 42_000_000, 80)
    assert_within(found["throughput"], 0.641, known=0.0005, sharp=0.005)


def erlang_wait(servers: int, load: float) -> float:
    """Mean wait over mean service of M/M/c with offered load `load` (Erlang C)."""
    top = load**servers / factorial(servers) * servers / (servers - load)
    waits = top / (sum(load**k / factorial(k) for k in range(servers)) + top)
    return waits / (servers - load)


@pytest.mark.parametrize("servers", [2, 3, 5])
def test_mmc(servers: int) -> None:
    load, service = 0.75 * servers, 1000.0
    release = Release("push", arrivals=Dist("exponential", (service / load,)))
    one = Step("op", "a", Dist("exponential", (service,)), ((-1, 1.0),))
    compiled = compile_plant(plant([station("a", units=servers)], [Product("x", (one,), release)]))
    found = replicate(compiled, 1_000_000, 31_000_000, 40)
    assert_within(found["wait"], erlang_wait(servers, load) * service, sharp=0.03)


def test_mean_wait_follows_pollaczek_khinchine() -> None:
    """M/G/1 with gamma work: wait = load / (1 - load) * (1 + cv^2) / 2 * mean."""
    release = Release("push", arrivals=Dist("exponential", (1250.0,)))
    one = Step("op", "a", Dist("gamma", (1000.0, 0.5)), ((-1, 1.0),))
    compiled = compile_plant(plant([station("a")], [Product("x", (one,), release)]))
    found = replicate(compiled, 1_000_000, 31_000_000, 100)
    assert_within(found["wait"], 0.8 / 0.2 * (1 + 0.25) / 2 * 1000.0, sharp=0.03)


def test_a_machine_that_fails_while_working() -> None:
    """A saturated machine makes 1 / (work * (1 + repair / up)) parts a tick, whatever the distributions."""
    broken = Failure("odf", Dist("weibull", (5000.0, 1.5)), Dist("lognormal", (700.0, 0.9)))
    one = Step("op", "a", Dist("gamma", (100.0, 0.3)), ((-1, 1.0),))
    compiled = compile_plant(plant([Station("a", modes=(broken,))], [Product("x", (one,), Release("saturated"))]))
    up = 5000.0 * 0.9027452929509336  # mean of a Weibull with shape 1.5: scale * gamma(1 + 1 / 1.5)
    found = replicate(compiled, 100_000, 10_100_000, 20)
    assert_within(found["throughput"], 1 / (100.0 * (1 + 700.0 / up)))


def test_two_machines_without_a_buffer() -> None:
    """Saturated tandem of two exponential machines without a place between: throughput 2/3 of one machine's."""
    one = product("x", [("a", 0), ("b", 0)], Release("saturated"))
    steps = tuple(Step(s.id, s.station, Dist("exponential", (1000.0,)), s.next) for s in one.steps)
    compiled = compile_plant(plant([station("a", 0), station("b", 0)], [Product("x", steps, Release("saturated"))]))
    found = replicate(compiled, 100_000, 20_100_000, 40)
    assert_within(found["throughput"], 2 / 3 / 1000.0)
    assert_within(found["starved"], 1 / 3)


def test_conwip_line_is_a_closed_network() -> None:
    """Two exponential machines, four parts always in the line: throughput of the closed network is n / (n + 1)."""
    line = product("x", [("a", 0), ("b", 0)], Release("conwip", cap=4))
    steps = tuple(Step(s.id, s.station, Dist("exponential", (1000.0,)), s.next) for s in line.steps)
    told = plant([station("a"), station("b")], [Product("x", steps, line.release)])
    found = replicate(compile_plant(told), 100_000, 20_100_000, 40)
    assert_within(found["throughput"], 4 / 5 / 1000.0)
    assert_within(found["flow_time"], 5000.0)
