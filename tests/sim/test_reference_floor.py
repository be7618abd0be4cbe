"""The floor of the SimPy reference by hand-computed stories: one for each rule of docs/kernel.md."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

import numpy as np
import pytest

from sim.compile import compile_plant
from sim.plant import (
    DONE,
    SCRAP,
    Batch,
    Calendar,
    Condition,
    Control,
    Crew,
    Dist,
    Group,
    Mode,
    Order,
    Plant,
    Pool,
    Product,
    Release,
    Station,
    Step,
    Stock,
    Supplier,
    Tariff,
)
from sim.reference import Reference
from sim.state import DOWN, KINDS, OFF, SETUP, WORKING, State

SATURATED = Release("saturated")


def const(ticks: float) -> Dist:
    return Dist("constant", (float(ticks),))


def product(name: str, steps: list[tuple[str, float]], release: Release = SATURATED, **more: Any) -> Product:
    last = len(steps) - 1
    made = (
        Step(f"op{i}", where, const(work), ((DONE if i == last else i + 1, 1.0),))
        for i, (where, work) in enumerate(steps)
    )
    return Product(name, tuple(made), release, **more)


def listed(*lines: tuple[int, int]) -> Release:
    """Order list of (tick, lots)."""
    return Release("orders", orders=tuple(Order(at, quantity) for at, quantity in lines))


def plant(stations: list[Station], products: list[Product], **more: Any) -> Plant:
    """A tick is a minute; tick 0 is Monday midnight, UTC."""
    return Plant(
        "story", "site", "area", "line", "UTC", 60.0, "min", "EUR", datetime(2026, 1, 5),
        products=tuple(products), stations=tuple(stations), **more,
    )  # fmt: skip


def shift(*hours: tuple[int, int], **more: Any) -> Calendar:
    """The calendar `shift`, open from minute to minute of Monday."""
    return Calendar("shift", tuple((0, first, end) for first, end in hours), **more)


def play(told: Plant, until: int) -> tuple[list[str], State]:
    """Events in words, and the state; on the way the model is put into a row and back at every fifth tick."""
    compiled = compile_plant(told)
    model, events = Reference(compiled, 7), []
    for tick in [*range(0, until, 5), until]:
        row = model.to_row()
        model = Reference.from_row(compiled, row)
        assert np.array_equal(model.to_row(), row)
        model.run(tick)
        events += [f"{at} {KINDS[kind]} {compiled.slots[slot][1]}" for at, slot, kind in model.trace]
    return events, State(model.to_row(), compiled.layout)


# --- failures, wear, maintenance


def test_a_tdf_clock_ages_while_the_unit_is_free_and_its_part_begins_anew() -> None:
    mode = Mode("failure", "tdf", const(3), after=const(10), part="repeats")
    events, state = play(plant([Station("a", modes=(mode,))], [product("x", [("a", 7)], listed((6, 1)))]), 40)
    assert events == [
        "6 arrival x",
        "10 failure a/1",  # four ticks of work are lost
        "13 repair_end a/1",
        "20 work_end a/1",
        "23 failure a/1",
        "26 repair_end a/1",
        "36 failure a/1",
        "39 repair_end a/1",
    ]
    assert state.st_ticks[0, WORKING] == 4 + 7


def test_a_failure_scraps_the_part_in_hand() -> None:
    mode = Mode("failure", "odf", const(2), after=const(5), part="scrapped")
    events, state = play(plant([Station("a", modes=(mode,))], [product("x", [("a", 4)])]), 20)
    assert events[:5] == ["4 work_end a/1", "5 failure a/1", "7 repair_end a/1", "11 work_end a/1", "12 failure a/1"]
    assert (state.scrapped[0], state.finished[0], state.failures[0]) == (3, 3, 3)


def test_a_tool_is_changed_after_its_parts_and_renews_the_failure_clock() -> None:
    tool = Mode("tool", "parts", const(2), life=((3, 1.0),), planned=True, renews=("failure",))
    odf = Mode("failure", "odf", const(50), after=const(15))
    events, state = play(plant([Station("a", modes=(odf, tool))], [product("x", [("a", 5)])]), 40)
    assert events == [
        "5 work_end a/1",
        "10 work_end a/1",
        "15 work_end a/1",  # before the failure of the same tick, which the change of tools puts off
        "17 repair_end a/1",
        "22 work_end a/1",
        "27 work_end a/1",
        "32 work_end a/1",
        "34 repair_end a/1",
        "39 work_end a/1",
    ]
    assert (state.failures[0], state.maintained[0], state.begun.tolist()) == (0, 2, [0, 2])


def test_maintenance_waits_for_the_part_in_hand() -> None:
    service = Mode("service", "tdf", const(4), after=const(12), planned=True, finish=True)
    events, _ = play(plant([Station("a", modes=(service,))], [product("x", [("a", 10)])]), 40)
    assert events == [
        "10 work_end a/1",
        "12 failure a/1/service",
        "20 work_end a/1",
        "24 repair_end a/1",
        "34 work_end a/1",
        "36 failure a/1/service",
    ]


def test_a_crew_serves_the_more_urgent_mode_first() -> None:
    def failing(name: str, priority: int) -> Station:
        return Station(
            name, modes=(Mode("failure", "odf", const(10), after=const(5), crew="fitters", priority=priority),)
        )

    stations = [failing("a", 1), failing("b", 2), failing("c", 1)]
    lines = [product(f"x{s.id}", [(s.id, 100)]) for s in stations]
    events, _ = play(plant(stations, lines, crews=(Crew("fitters", 1),)), 36)
    ends = [event for event in events if "repair_end" in event]
    assert ends == ["15 repair_end a/1", "25 repair_end c/1", "35 repair_end a/1"]  # a fails again at 20, before b


def test_wear_slows_down_scraps_and_is_repaired() -> None:
    condition = Condition((const(10), const(8)), (None, None), (1.0, 1.5), (0.0, 1.0))
    worn = Mode("worn", "condition", const(5), restores=True)
    events, state = play(plant([Station("a", modes=(worn,), condition=condition)], [product("x", [("a", 4)])]), 30)
    assert events == [
        "4 work_end a/1",
        "8 work_end a/1",
        "10 wear a/1",  # two ticks of work left are three now
        "13 work_end a/1",
        "18 wear a/1",  # the last level: down, one tick of six of the work left
        "23 repair_end a/1",
        "24 work_end a/1",
        "28 work_end a/1",
    ]
    assert (state.scrapped[0], state.finished[0]) == (1, 4)


def test_maintenance_by_condition() -> None:
    condition = Condition((const(10), const(8)), (None, None), (1.0, 1.0), (0.0, 0.0))
    worn = Mode("worn", "condition", const(50), restores=True)
    grease = Mode("grease", "none", const(2), planned=True, finish=True, restores=True, at_level=1)
    told = plant([Station("a", modes=(worn, grease), condition=condition)], [product("x", [("a", 4)])])
    events, state = play(told, 20)
    assert events == [
        "4 work_end a/1",
        "8 work_end a/1",
        "10 wear a/1",
        "12 work_end a/1",
        "14 repair_end a/1",
        "18 work_end a/1",
    ]
    assert (state.maintained[0], state.failures[0], state.unit_level[0]) == (1, 0, 0)


def test_a_blocked_unit_that_fails_hands_over_after_its_repair() -> None:
    tdf = Mode("failure", "tdf", const(6), after=const(5))
    stations = [Station("a", modes=(tdf,)), Station("b", capacity=0)]
    events, state = play(plant(stations, [product("x", [("a", 2), ("b", 7)])]), 18)
    assert events == [
        "2 work_end a/1",
        "4 work_end a/1",  # blocked
        "5 failure a/1",
        "9 work_end b/1",  # takes nothing from a unit that is down
        "11 repair_end a/1",
        "13 work_end a/1",  # blocked again
        "16 failure a/1",
    ]
    assert state.st_ticks[0, DOWN] == 6 + 2


# --- calendars and energy


def test_work_freezes_at_closing_time() -> None:
    told = plant(
        [Station("a", calendar="shift")],
        [product("x", [("a", 8)])],
        calendars=(shift((0, 10), (20, 30), at_close="freeze"),),
    )
    events, state = play(told, 30)
    assert events == ["8 work_end a/1", "10 calendar shift", "20 calendar shift", "26 work_end a/1"]
    assert (state.st_ticks[0, WORKING], state.st_ticks[0, OFF]) == (20, 10)


def test_overtime_puts_closing_off_at_most_until_the_next_opening() -> None:
    told = plant(
        [Station("a", calendar="shift")], [product("x", [("a", 100)])],
        calendars=(shift((0, 10), (13, 20), at_close="freeze", overtime=5),),
    )  # fmt: skip
    events, state = play(told, 30)
    assert [e for e in events if "calendar" in e] == [
        "10 calendar shift", "13 calendar shift", "13 calendar shift", "20 calendar shift", "25 calendar shift",
    ]  # fmt: skip
    assert (state.overtime_ticks[0], state.st_ticks[0, WORKING]) == (8, 25)


def test_energy_by_state_part_and_hour() -> None:
    station = Station("a", power=(1, 10, 0, 2, 0, 0, 0), part_energy=0.5)
    tariff = Tariff((0.1, 0.2), (0, 1, *([0] * 166)))
    _, state = play(plant([station], [product("x", [("a", 50)], listed((20, 1)))], tariff=tariff), 100)
    assert state.energy.tolist() == [20 * 2 + 40 * 10, 10 * 10 + 30 * 2 + 30]  # half a watt-hour is 30 watt-minutes


# --- starting


def test_setups_and_the_rule_that_avoids_them() -> None:
    setups = (("red", "blue", const(5)), ("blue", "red", const(5)))
    products = [
        product("r", [("a", 2)], listed((0, 1), (1, 1)), family="red"),
        product("b", [("a", 2)], listed((0, 1)), family="blue"),
    ]
    events, state = play(plant([Station("a", setups=setups)], products), 30)
    assert [e for e in events if "work_end" in e] == [f"{t} work_end a/1" for t in (2, 7, 9, 14, 16)]
    assert (state.set_ups[0], state.st_ticks[0, SETUP]) == (2, 10)
    avoiding = Station("a", setups=setups, dispatch=(("setup", 1),))
    events, state = play(plant([avoiding], products), 30)
    assert [e for e in events if "work_end" in e] == [f"{t} work_end a/1" for t in (2, 4, 9, 11)]
    assert state.set_ups[0] == 1


@pytest.mark.parametrize(
    ("rule", "order"),
    [
        ((), "x y z"),
        ((("work", 1),), "y z x"),
        ((("due", 1),), "z x y"),
        ((("priority", 1),), "z y x"),
        ((("ratio", 1),), "z x y"),
        ((("cmu", -1),), "z y x"),
        ((("steps_left", -1),), "x y z"),
    ],
)
def test_dispatching_rules(rule: tuple[tuple[str, int], ...], order: str) -> None:
    def listed_due(due: int) -> Release:
        return Release("orders", orders=(Order(1, 1, due),))

    block = product("w", [("a", 3)], listed((0, 1)))
    products = [
        block,
        product("x", [("a", 6), ("b", 1)], listed_due(50), priority=3, holding=0.1),
        product("y", [("a", 2)], listed_due(60), priority=2, holding=0.1),
        product("z", [("a", 4)], listed_due(20), priority=1, holding=1.0),
    ]
    told = plant([Station("a", dispatch=rule), Station("b")], products)
    compiled = compile_plant(told)
    model = Reference(compiled, 7)
    ends: dict[str, int] = {}
    for tick in range(30):
        model.run(tick)
        for name, part in ((p.spec.id, p) for p in model.products[1:]):
            unit = model.units[0]
            if unit.parts and unit.parts[0].product is part:
                ends.setdefault(name, tick)
    assert " ".join(sorted(ends, key=lambda name: ends[name])) == order


def test_an_oven_waits_for_a_batch_but_not_for_ever() -> None:
    oven = Station("a", batch=Batch(2, 3, wait=20, by="family"))
    told = plant([oven], [product("x", [("a", 5)], listed((0, 1), (4, 1), (5, 2), (11, 1)))])
    events, state = play(told, 50)
    assert events == [
        "0 arrival x",
        "4 arrival x",  # two are enough
        "5 arrival x",
        "9 work_end a/1",  # the next two
        "11 arrival x",
        "14 work_end a/1",
        "31 wait a",
        "36 work_end a/1",
    ]
    assert (state.started[0], state.finished[0]) == (5, 5)


def test_assembly_waits_for_components() -> None:
    step = Step("fit", "a", const(2), ((DONE, 1.0),), needs=(("screws", 4),))
    screws = Stock("screws", "screw", "acme", initial=6, level=6, lead=const(10))
    told = plant([Station("a")], [Product("x", (step,), SATURATED)], stocks=(screws,), suppliers=(Supplier("acme"),))
    events, state = play(told, 30)
    assert events == [
        "2 work_end a/1", "10 delivery screws", "12 work_end a/1", "20 delivery screws", "22 work_end a/1",
    ]  # fmt: skip
    assert state.on_hand[0] == 2


def test_parts_go_to_the_less_loaded_of_two_stations() -> None:
    second = Step("op1", "b", const(10), ((DONE, 1.0),), others=(("c", const(4)),))
    first = Step("op0", "a", const(1), ((1, 1.0),))
    stations = [Station("a"), Station("b", capacity=0), Station("c", capacity=0)]
    events, state = play(plant(stations, [Product("x", (first, second), SATURATED)]), 12)
    assert events == [
        "1 work_end a/1",  # to b: both are empty
        "2 work_end a/1",  # to c
        "3 work_end a/1",  # blocked
        "6 work_end c/1",
        "7 work_end a/1",
        "10 work_end c/1",
        "11 work_end a/1",  # blocked, and at once
        "11 work_end b/1",  # not any more
    ]
    assert state.blocked_head.max() == -1


def test_blocking_before_service() -> None:
    stations = [Station("a"), Station("b", capacity=0)]
    told = plant(stations, [product("x", [("a", 2), ("b", 5)])], conventions={"blocking": "before_service"})
    events, state = play(told, 19)
    assert events == ["2 work_end a/1", "7 work_end b/1", "9 work_end a/1", "14 work_end b/1", "16 work_end a/1"]
    assert (state.st_barred[0], state.part_target[state.q_head[0]]) == (1, 1)


def test_a_kanban_limits_queue_and_units_together() -> None:
    stations = [Station("a"), Station("b", kanban=2)]
    events, state = play(plant(stations, [product("x", [("a", 2), ("b", 9)])]), 24)
    assert [e for e in events if "a/1" in e] == [
        "2 work_end a/1",
        "4 work_end a/1",
        "6 work_end a/1",
        "13 work_end a/1",
        "22 work_end a/1",
    ]
    assert state.q_len[1] == 1


def test_operators_go_to_the_more_urgent_station() -> None:
    def served(name: str, priority: int) -> Station:
        return Station(name, operators=("staff", 1), priority=priority)

    told = plant(
        [served("a", 2), served("b", 1), served("c", 2)],
        [product("x", [("a", 4)]), product("y", [("b", 3)], listed((1, 2))), product("z", [("c", 2)], listed((0, 1)))],
        pools=(Pool("staff", 1),),
    )
    events, state = play(told, 20)
    assert [e for e in events if "work_end" in e] == [
        "4 work_end a/1",
        "7 work_end b/1",  # came later, but is more urgent
        "10 work_end b/1",
        "12 work_end c/1",  # has asked since 0, a again since 4
        "16 work_end a/1",
    ]
    assert state.pool_free[0] == 0


# --- lots, groups, controls


def test_a_lot_moves_in_transfer_batches() -> None:
    told = plant([Station("a"), Station("b")], [product("x", [("a", 2), ("b", 1)], listed((0, 1)), lot=6, transfer=3)])
    events, state = play(told, 30)
    assert events == ["0 arrival x", "6 work_end a/1", "9 work_end b/1", "12 work_end a/1", "15 work_end b/1"]
    assert (state.released[0], state.finished[0], state.flow_sum[0]) == (6, 6, 3 * 9 + 3 * 15)


def test_a_group_shares_its_cap_by_the_mix() -> None:
    release = Release("conwip", cap=100)
    told = plant(
        [Station("a")], [product("x", [("a", 1)], release), product("y", [("a", 1)], release)],
        groups=(Group("both", 3, (("x", 2), ("y", 1))),),
    )  # fmt: skip
    _, state = play(told, 301)
    assert state.wip.sum() == state.group_wip[0] == 3
    assert abs(state.released[0] - 2 * state.released[1]) <= 2


def test_controls_reach_every_setting() -> None:
    grease = Mode("grease", "none", const(2), planned=True, finish=True, restores=True, at_level=1)
    worn = Mode("worn", "condition", const(9), restores=True)
    condition = Condition((const(10), const(8)), (None, None), (1.0, 1.0), (0.0, 0.0))
    station = Station(
        "a",
        buffer="before-a",
        kanban=4,
        modes=(worn, grease),
        condition=condition,
        calendar="shift",
        dispatch=(("due", 1),),
    )
    release = Release("conwip", cap=3)
    told = plant(
        [station],
        [product("x", [("a", 4)], release)],
        calendars=(shift((0, 10)),),
        groups=(Group("g", 5, (("x", 1),)),),
    )
    paths = {
        "release.x.cap": ("cap", 1), "groups.g.cap": ("group_cap", 2), "buffers.before-a.kanban": ("kanban", 3),
        "stations.a.at_level": ("at_level", 5), "calendars.shift.overtime": ("overtime", 7),
    }  # fmt: skip
    controls = tuple(Control(f"c{i}", path, 0, 9, 1, 1, "release", 0.0, "operator") for i, path in enumerate(paths))
    weight = replace(controls[0], id="w", sets="stations.a.dispatch.work")
    model = Reference(compile_plant(replace(told, controls=(*controls, weight))), 7)
    model.set_controls([*(value for _, value in paths.values()), 8])
    state = State(model.to_row(), model.compiled.layout)
    for field, value in paths.values():
        assert getattr(state, field)[0] == value, field
    assert state.weights[0, 0] == 8


def test_scrap_by_routing_counts_and_frees_the_record() -> None:
    step = Step("op", "a", const(2), ((SCRAP, 1.0),))
    _, state = play(plant([Station("a")], [Product("x", (step,), SATURATED)]), 9)
    assert (state.scrapped[0], state.part_used) == (4, 2)
