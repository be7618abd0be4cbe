"""Overall equipment effectiveness: each factor and convention against a story worked by hand. A tick is a minute."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from plantwin import HERE, main
from sim import kernel
from sim.compile import compile_plant
from sim.kpi import station_kpis
from sim.plant import DONE, SCRAP, Batch, Condition, Failure, Mode, Order, Plant, Product, Release, Step
from sim.plantfile import load
from sim.reference import Reference
from tests.sim.small_plants import SATURATED, const, plant, product, push, shift, station

NAMES = ("availability", "effectiveness", "quality_ratio", "oee")


def figures(told: Plant, until: int) -> list[float]:
    """The four figures of the first station, which both engines agree on."""
    compiled = compile_plant(told)
    rows = kernel.new_rows(compiled, 1, 1)
    kernel.run(rows, compiled, until)
    model = Reference(compiled, 1)
    model.run(until)
    assert np.array_equal(rows[0], model.to_row())
    found = station_kpis(rows, compiled)[told.stations[0].id]
    return [float(found[name][0]) for name in NAMES]


def named(told: Plant, **conventions: str) -> Plant:
    return replace(told, conventions=conventions)


def test_waiting_and_repairs_lie_inside_planned_busy_time() -> None:
    # parts arrive at 10, 20, ... 90 and take 4; the machine fails after 5 of work and is down for 3
    told = plant([station("m", modes=(Failure("odf", const(5), const(3)),))], [product("p", [("m", 4)], push(10))])
    assert figures(told, 100) == pytest.approx([36 / 100, 1.0, 1.0, 36 / 100])


def test_hours_closed_lie_outside_planned_busy_time() -> None:
    # open until 58, works until it has finished the part in hand at 60: 15 parts
    told = plant([station("m", calendar="shift")], [product("p", [("m", 4)], SATURATED)], calendars=(shift((0, 58)),))
    assert figures(told, 100) == pytest.approx([1.0, 1.0, 1.0, 1.0])


def setups() -> Plant:
    # a and b arrive together at 20, 40, 60, 80: a takes 3 and b 5, each is set up for in 2 (a not at first)
    return plant(
        [station("m", setups=(("a", "b", const(2)), ("b", "a", const(2))))],
        [product("a", [("m", 3)], push(20)), product("b", [("m", 5)], push(20))],
    )


def test_setups_lie_inside_or_outside_planned_busy_time() -> None:
    inside = named(setups(), oee_setups="inside_planned_busy_time")
    outside = named(setups(), oee_setups="outside_planned_busy_time")
    assert figures(inside, 100) == figures(setups(), 100) == pytest.approx([32 / 100, 1.0, 1.0, 32 / 100])
    assert figures(outside, 100) == pytest.approx([32 / 86, 1.0, 1.0, 32 / 86])


def upkeep() -> Plant:
    """Always at work but for a repair of 3 after each 10 of work, and maintenance of 10 after each 35 that it is up."""
    failure = Failure("odf", const(10), const(3))
    planned = Mode("preventive", "tdf", const(10), after=const(35), planned=True)
    return plant([station("m", modes=(failure, planned))], [product("p", [("m", 2)], SATURATED)])


@pytest.mark.parametrize(("until", "work", "planned", "ended"), [(49, 35, 5, 17), (71, 49, 10, 24)])
def test_planned_stops_lie_outside_or_inside_planned_busy_time(until: int, work: int, planned: int, ended: int) -> None:
    # failures at 10, 23, 36, 59; maintenance from 44 to 54
    outside = named(upkeep(), oee_planned_stops="outside_planned_busy_time")
    inside = named(upkeep(), oee_planned_stops="inside_planned_busy_time")
    done = 2 * ended / work
    for told, busy in ((outside, until - planned), (upkeep(), until - planned), (inside, until)):
        assert figures(told, until) == pytest.approx([work / busy, done, 1.0, 2 * ended / busy])


def test_planned_stops_are_counted_on_from_the_end_of_a_warm_up() -> None:
    compiled = compile_plant(upkeep())
    rows = kernel.new_rows(compiled, 1, 1)
    kernel.run(rows, compiled, 49)
    kernel.clear_stats(rows, compiled)
    model = Reference.from_row(compiled, rows[0])
    kernel.run(rows, compiled, 58)
    model.run(58)
    assert np.array_equal(rows[0], model.to_row())
    assert station_kpis(rows, compiled)["m"]["availability"][0] == 4 / (9 - 5)


def test_a_worn_machine_is_less_effective() -> None:
    # at half speed from the first 12 of work on: parts end at 4, 8, 12, then at 20, 28, ... 100
    worn = Condition((const(12), const(10_000)), (None, None), (1.0, 2.0), (0.0, 0.0))
    told = plant(
        [station("m", condition=worn, modes=(Mode("worn", "condition", const(1), restores=True),))],
        [product("p", [("m", 4)], SATURATED)],
    )
    assert figures(told, 101) == pytest.approx([1.0, (3 + 11) * 4 / 101, 1.0, (3 + 11) * 4 / 101])


def test_scrap_is_counted_where_it_arises() -> None:
    # every part is scrapped after the second station: all are good at the first
    steps = (Step("a", "a", const(5), ((1, 1.0),)), Step("b", "b", const(2), ((SCRAP, 1.0),)))
    told = plant([station("a"), station("b")], [Product("p", steps, SATURATED)])
    assert figures(told, 51) == pytest.approx([1.0, 50 / 51, 1.0, 50 / 51])
    compiled = compile_plant(told)
    rows = kernel.new_rows(compiled, 1, 1)
    kernel.run(rows, compiled, 51)
    found = station_kpis(rows, compiled)["b"]
    assert [float(found[name][0]) for name in NAMES] == pytest.approx([19 / 51, 18 / 19, 0.0, 0.0])


def test_a_half_full_oven_is_half_effective() -> None:
    # two parts at 0, then two at 10: places for four, ten minutes each
    made = product("p", [("oven", 10)], Release("orders", orders=(Order(0, 2), Order(10, 2))))
    told = plant([station("oven", batch=Batch(2, 4))], [made])
    assert figures(told, 40) == pytest.approx([20 / 40, 0.5, 1.0, 0.25])


def test_operations_of_different_length_count_by_their_plan() -> None:
    # the first try of every part takes 6, the second 2: three of each until 24
    steps = (Step("try", "m", const(6), ((1, 1.0),)), Step("again", "m", const(2), ((DONE, 1.0),)))
    told = plant([station("m")], [Product("p", steps, Release("conwip", cap=1))])
    assert figures(told, 25) == pytest.approx([1.0, 24 / 25, 1.0, 24 / 25])


def test_a_machine_that_makes_nothing_has_no_effectiveness() -> None:
    told = plant([station("m")], [product("p", [("m", 4)], push(1000))])
    found = figures(told, 100)
    assert (found[0], found[3]) == (0.0, 0.0)
    assert np.isnan(found[1:3]).all()


@pytest.mark.parametrize("name", sorted(path.stem for path in (HERE / "sim" / "plants").glob("*.yaml")))
def test_validate_prints_the_conventions_of_every_plant(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["validate", name])
    said = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("conventions: "))
    for key, value in load(name).conventions.items():
        assert f"{key} {value}" in said
    for key in ("pipeline_holding", "oee_planned_stops", "oee_setups"):
        assert key in said
