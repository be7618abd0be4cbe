"""A model that deadlocks says which parts wait for what, and no model that can go on is called stuck."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sim import experiment, kernel
from sim.compile import Compiled, compile_plant
from sim.plant import DONE, Batch, Calendar, Crew, Failure, Plant, Pool, Product, Step, Stock
from sim.state import INFINITY, State
from sim.stuck import Stuck, explain, first_stuck
from tests.sim.engines import BUNDLED, SEED, compiled_bundled, compiled_random
from tests.sim.small_plants import SATURATED, const, conwip, plant, product, push, station


def rework_loop() -> Plant:
    """Two stations without room between them; every part goes round once more with probability one half."""
    steps = (
        Step("cut", "cut", const(5), ((1, 1.0),)),
        Step("check", "check", const(7), ((0, 0.5), (DONE, 0.5))),
    )
    return plant([station("cut", 1), station("check", 0)], [Product("rod", steps, SATURATED)])


def missing_components() -> Plant:
    """Frames fill the only saw while they wait for bolts, which must pass it too."""
    fit = Step("fit", "bench", const(3), ((DONE, 1.0),), needs=(("bolts", 1),))
    frame = Product("frame", (Step("saw", "saw", const(4), ((1, 1.0),)), fit), SATURATED)
    bolt = product("bolt", [("saw", 4)], conwip(1, base_stock=1))
    stations = [station("saw", 1), station("bench", 1)]
    return plant(stations, [frame, bolt], stocks=(Stock("bolts", "bolt", "line", initial=1),))


def run(given: Plant, until: int = 2000) -> tuple[np.ndarray, Compiled]:
    compiled = compile_plant(given)
    rows = kernel.new_rows(compiled, SEED, 1)
    kernel.run(rows, compiled, until)
    return rows, compiled


def nothing_will_happen(rows: np.ndarray, compiled: Compiled) -> bool:
    return bool((State(rows[0], compiled.layout).next_time >= INFINITY).all())


def test_rework_loop_with_full_queues() -> None:
    rows, compiled = run(rework_loop())
    assert nothing_will_happen(rows, compiled)
    told = explain(rows[0], compiled)
    assert "unit cut/1 holds part (1 of rod) and waits for room at check (0 in its queue of 0)" in told
    assert "unit check/1 holds part (1 of rod) and waits for room at cut (1 in its queue of 1)" in told
    assert "they wait for each other: cut -> check -> cut" in told


def test_assembly_that_bars_its_components() -> None:
    rows, compiled = run(missing_components())
    assert nothing_will_happen(rows, compiled)
    stuck = Stuck(rows[0], compiled)
    told = [str(wait) for wait in stuck.waits]
    assert told == [
        "unit saw/1 holds part (1 of frame) and waits for room at bench (2 in its queue of 1)",
        "station bench holds parts (2 of frame) and waits for 1 bolts (0 on hand)",
    ]
    assert stuck.cycle() == ["saw", "bench", "saw"]


def test_it_is_not_stuck_before_it_locks() -> None:
    compiled = compile_plant(rework_loop())
    rows = kernel.new_rows(compiled, SEED, 1)
    told = []
    for tick in range(1, 400):
        kernel.run(rows, compiled, tick)
        told.append(bool(explain(rows[0], compiled)) == nothing_will_happen(rows, compiled))
    assert all(told)


def test_a_batch_that_never_fills() -> None:
    rows, compiled = run(plant([station("oven", batch=Batch(3, 3))], [product("rod", [("oven", 5)], conwip(2))]))
    told = explain(rows[0], compiled)
    assert told == "  station oven holds parts (2 of rod) and waits for 3 parts of one family, of which 2 are here"


@pytest.mark.parametrize(
    "waits",
    [
        plant([station("a", calendar="shift"), station("b", 0)], [product("x", [("b", 1), ("a", 5)], SATURATED)],
              calendars=(Calendar("shift", ((0, 60, 70),)),)),
        plant([station("b", 0), station("a", modes=(Failure("odf", const(3), const(9000), "fitters"),), capacity=0)],
              [product("x", [("b", 1), ("a", 5)], SATURATED)], crews=(Crew("fitters", 1),)),
        plant([station("a", operators=("staff", 1)), station("b", operators=("staff", 1))],
              [product("x", [("a", 9000)], push(5)), product("y", [("b", 9)], push(500))], pools=(Pool("staff", 1),)),
        plant([station("oven", batch=Batch(3, 3))], [product("rod", [("oven", 5)], push(20))]),
    ],
    ids=["closed", "in repair", "operators busy", "batch fills slowly"],
)  # fmt: skip
def test_what_only_takes_long_is_not_stuck(waits: Plant) -> None:
    compiled = compile_plant(waits)
    rows = kernel.new_rows(compiled, SEED, 1)
    kernel.run(rows, compiled, 45)
    state = State(rows[0], compiled.layout)
    assert state.q_len.any() or state.blocked_head.max() >= 0
    assert not explain(rows[0], compiled)


@pytest.mark.parametrize("name", BUNDLED)
def test_no_bundled_plant_is_stuck(name: str) -> None:
    compiled = compiled_bundled(name)
    rows = kernel.new_rows(compiled, SEED, 4)
    kernel.run(rows, compiled, 2000)
    assert first_stuck(rows, compiled)[0] == 0


@pytest.mark.parametrize("seed", range(60))
def test_what_is_called_stuck_never_moves_again(seed: int) -> None:
    """Units that are stuck hold the same parts long after; stations that are stuck start nothing."""
    compiled = compiled_random(seed)
    rows = kernel.new_rows(compiled, SEED, 1, seed)
    try:
        kernel.run(rows, compiled, 300)
        stuck = Stuck(rows[0], compiled)
        held = {u: int(stuck.state.unit_part[u]) for u in stuck.dead_units}
        started = {s: int(stuck.state.started[s]) for s in stuck.dead_starts}
        kernel.run(rows, compiled, 1500)
    except kernel.KernelError:
        return
    after = State(rows[0], compiled.layout)
    assert {u: int(after.unit_part[u]) for u in held} == held
    assert {s: int(after.started[s]) for s in started} == started


def test_simulate_says_so() -> None:
    compiled = compile_plant(rework_loop())
    report = experiment.simulate(compiled, experiment.Run(until=2000, warmup=0, replications=5, seed=1))
    assert report["stuck"]["replicas"] == 5
    assert "they wait for each other: cut -> check -> cut" in report["stuck"]["first"]
    free = compile_plant(plant([station("a")], [product("x", [("a", 5)], SATURATED)]))
    assert "stuck" not in experiment.simulate(free, experiment.Run(until=200, warmup=0, replications=2, seed=1))


def test_an_overflow_of_a_stuck_line_says_what_it_waits_for() -> None:
    """The queue before a locked loop grows without bound."""
    late = product("late", [("saw", 5), ("cut", 5)], push(10))
    loop = rework_loop()
    compiled = compile_plant(replace(loop, stations=(*loop.stations, station("saw")), products=(*loop.products, late)))
    rows = kernel.new_rows(compiled, SEED, 1)
    with pytest.raises(kernel.KernelError, match=r"more parts in the system[^$]*can never move again[^$]*cut -> check"):
        kernel.run(rows, compiled, 5000)
