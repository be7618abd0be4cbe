"""A live state written as rows: what is known must stand in every row, what is hidden must be spread as it should
be."""

from __future__ import annotations

import numpy as np
import pytest

from sim.compile import compile_plant
from sim.facts import Facts, FactsError, OrderFacts, PartFacts, StockFacts, UnitFacts, residuals, rows_from_facts
from sim.kernel import new_rows, run
from sim.plant import Dist
from sim.plantfile import load
from sim.quantile import table
from sim.state import State
from tests.sim.facts_from_row import facts_from_row

VISIBLE = (
    "unit_state",
    "q_len",
    "wip",
    "on_hand",
    "backorders",
    "on_order",
    "n_state",
    "crew_free",
    "cal_open",
    "cap",
    "level",
    "held",
)


@pytest.mark.parametrize("plant", ["mm1", "line3", "line10", "gearmotor"])
@pytest.mark.parametrize("hours", [7.3, 31.0, 62.7])
def test_what_an_observer_sees_of_a_run_is_what_the_rows_say(plant: str, hours: float) -> None:
    compiled = compile_plant(load(plant))
    real = new_rows(compiled, 3, 1)
    run(real, compiled, compiled.ticks(hours * 3600))
    rows = rows_from_facts(compiled, facts_from_row(real[0], compiled), 8, 16)
    for name in VISIBLE:
        assert np.array_equal(
            compiled.layout.view(rows, name), np.repeat(compiled.layout.view(real, name), 16, axis=0)
        ), name
    run(rows, compiled, compiled.ticks(hours * 3600) + compiled.ticks(4 * 3600))
    assert len({row.tobytes() for row in rows}) == 16  # same state, different futures


def test_rows_are_a_function_of_facts_and_addresses() -> None:
    compiled = compile_plant(load("gearmotor"))
    real = new_rows(compiled, 3, 1)
    run(real, compiled, compiled.ticks(30 * 3600))
    facts = facts_from_row(real[0], compiled)
    one, two = rows_from_facts(compiled, facts, 8, 6), rows_from_facts(compiled, facts, 8, 3, first=3)
    assert np.array_equal(one[3:], two)


def test_residual_of_an_exponential_has_no_memory() -> None:
    words = np.random.default_rng(1).integers(-(2**63), 2**63 - 1, 40_000, dtype=np.int64)
    values = table(Dist("exponential", (60_000.0,)))
    for age in (0.0, 30_000.0, 300_000.0):
        assert residuals(values, age, words).mean() == pytest.approx(60_000.0, rel=0.02)


def test_residual_of_a_uniform_is_uniform_on_what_is_left() -> None:
    words = np.random.default_rng(2).integers(-(2**63), 2**63 - 1, 40_000, dtype=np.int64)
    left = residuals(table(Dist("uniform", (40_000.0, 60_000.0))), 50_000.0, words)
    assert left.min() >= 0
    assert left.max() <= 10_001
    assert left.mean() == pytest.approx(5_000.0, rel=0.02)


def test_work_that_lasts_longer_than_it_can_ends_soon_but_not_at_once() -> None:
    words = np.arange(100, dtype=np.int64) << 57
    left = residuals(table(Dist("constant", (50_000.0,))), 55_000.0, words)
    assert (left == 5_000.0).all()


def test_known_orders_in_transit_arrive_when_due_and_others_within_their_lead_time() -> None:
    compiled = compile_plant(load("gearmotor"))
    tick = compiled.ticks(50 * 3600)
    orders = (OrderFacts(100, due=tick + 5_000), OrderFacts(60, placed=tick - compiled.ticks(20 * 3600)))
    rows = rows_from_facts(compiled, Facts(tick, stocks={"kits": StockFacts(300, 0, orders)}), 1, 200)
    k = compiled.stock_index["kits"]
    due = compiled.layout.view(rows, "transit_due")[:, k]
    assert (due[:, 0] == tick + 5_000).all()
    # lead time gamma(mean 60 h, cv 0.2), 20 h old: about 40 h to go
    assert (due[:, 1] - tick).mean() / compiled.ticks(3600) == pytest.approx(40.0, rel=0.06)
    assert (compiled.layout.view(rows, "on_order")[:, k] == 160).all()


def test_a_free_machine_in_front_of_waiting_parts_starts_at_once() -> None:
    compiled = compile_plant(load("line3"))
    tick = compiled.ticks(7 * 3600)
    facts = Facts(tick, queues={"mill": (PartFacts("housing", "mill"),) * 2}, stocks={"finished": StockFacts(100)})
    state = State(rows_from_facts(compiled, facts, 1, 1)[0], compiled.layout)
    mill = compiled.station_index["mill"]
    assert state.q_len[mill] == 1
    assert state.n_state[mill][1] == 1


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        (Facts(0, queues={"mill": (PartFacts("housing", "mill"),) * 5}), "at most 4 parts, found 5"),
        (Facts(0, queues={"mill": (PartFacts("housing", "wash"),)}), "another station"),
        (Facts(0, units={("mill", 1): UnitFacts("work")}), "must have a part"),
        (Facts(0, units={("mill", 1): UnitFacts("asleep")}), "found 'asleep'"),
        (Facts(0, units={("wash", 1): UnitFacts("down", PartFacts("housing", "wash"))}), "no `fails:`"),
        (Facts(0, queues={"mill": (PartFacts("sofa", "mill"),)}), "no such operation"),
        (Facts(0, stocks={"finished": StockFacts(-1)}), "neither can be negative"),
    ],
)
def test_facts_that_contradict_the_plant_are_refused(facts: Facts, words: str) -> None:
    compiled = compile_plant(load("line3"))
    with pytest.raises(FactsError, match=words):
        rows_from_facts(compiled, facts, 1, 2)
