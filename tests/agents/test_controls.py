"""A control may set any number of `sim.settings`: it is seen, steered, explained and told back by the same names."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from agents.advice.horizon import reach
from agents.advice.why import money_words
from agents.envs.grid import Grid, as_switches, switches
from agents.envs.schema import Observer, columns
from sim.compile import compile_plant
from sim.kernel import get_controls, new_rows, run, set_controls
from sim.plant import Control, Plant
from sim.plantfile import load
from sim.settings import action_class, settings
from sim.value import operating_terms
from tests.sim.rich_plants import floor, supply
from twin.topology import first_controls

FLOOR = (
    "release.a.cap", "groups.all.cap", "buffers.mill.kanban", "stations.fit.at_level", "stations.mill.dispatch.due",
    "calendars.shift.overtime", "stocks.bolts.level",
)  # fmt: skip
SUPPLY = ("stocks.depot.reorder", "stocks.shop.express", "stocks.shop.level")


def controlled(plant: Plant, paths: tuple[str, ...], every: int = 10**6) -> Plant:
    """The plant with a control of each path, one step below and above its value."""
    stations = tuple(replace(s, buffer=s.id) for s in plant.stations)
    plant = replace(plant, stations=stations)
    present = settings(plant)
    return replace(
        plant,
        controls=tuple(
            Control(f"c{i}", path, present[path] - 1, present[path] + 1, 1, every, action_class(path), 1.0, "operator")
            for i, path in enumerate(paths)
        ),
    )


def test_controls_of_every_kind_are_seen_and_set() -> None:
    for plant in (controlled(floor(), FLOOR), controlled(supply(), SUPPLY)):
        compiled = compile_plant(plant)
        grid, observer = Grid(plant), Observer(compiled)
        rows = new_rows(compiled, 1, 3)
        present = [first_controls(plant)[name] for name in grid.ids]
        assert get_controls(rows, compiled)[0].tolist() == present
        seen = [observer.fields.index(f"control.{name}") for name in grid.ids]
        assert np.allclose(observer(rows)[:, seen], 0.5)
        set_controls(rows, compiled, grid.decode(grid.counts - 1))
        assert get_controls(rows, compiled)[0].tolist() == [value + 1 for value in present]
        assert np.allclose(observer(rows)[:, seen], 1.0)
        for control in plant.controls:
            reached = reach(control, compiled, 0)
            assert 0 < reached.lease <= reached.horizon


def test_a_control_that_may_move_at_any_time_is_not_seen() -> None:
    minute = round(60.0 / floor().tick_s)
    for every, seen in ((minute, True), (minute - 1, False)):
        fields = Observer(compile_plant(controlled(floor(), FLOOR, every))).fields
        assert any(name.startswith("control.") for name in fields) == seen


def test_columns_know_setups_and_all_that_takes_a_unit_down() -> None:
    names = [column.name for column in columns(floor())]
    assert "saw.setup" in names
    assert "oven.setup" not in names
    assert "fit.down" in names


def test_every_kind_of_money_has_words() -> None:
    plant = supply()
    plant = replace(
        plant,
        stations=tuple(replace(s, holding=0.01) for s in plant.stations),
        demands=tuple(replace(d, tardiness=1.0, lost_cost=2.0, backlog=0.5) for d in plant.demands),
        stocks=tuple(replace(k, order_cost=3.0, price=1.0, holding=0.1) for k in plant.stocks),
        products=tuple(replace(p, holding=0.2, tardiness=0.5, revenue=9.0) for p in plant.products),
    )
    compiled = compile_plant(plant)
    before = new_rows(compiled, 1, 2)
    after = before.copy()
    run(after, compiled, 400)
    for term in operating_terms(plant):
        # the money of this term alone differs
        change = np.zeros_like(after)
        change[:, compiled.layout.at(term.field, term.index)] = 1000
        said = money_words(compiled, 0 * change, change, 400)
        assert len(said) == 1
        assert term.thing in said[0]
    assert money_words(compiled, 0 * after, after - before, 400)


def test_the_condition_of_a_machine_is_seen_and_a_clock_only_where_something_keeps_hours() -> None:
    compiled = compile_plant(load("make_to_stock"))
    observer = Observer(compiled)
    assert not any(name.startswith("time.") for name in observer.fields)
    rows = new_rows(compiled, 1, 2)
    rows[1, compiled.layout.at("unit_level", 0)] = 3
    assert np.allclose(observer(rows)[:, observer.fields.index("machine.condition")], [0.0, 3 / 5])
    assert sum(name.startswith("time.") for name in Observer(compile_plant(load("gearmotor"))).fields) == 4


def test_controls_that_only_say_yes_or_no_are_switches() -> None:
    plant = load("make_to_stock")
    assert switches(plant) == ("base", "care")
    grid = Grid(as_switches(plant))
    assert grid.decode(np.array([[0, 0], [1, 1]])).tolist() == [[0, 1], [25, 5]]
    line = plant.products[0]
    wider = replace(plant, products=(replace(line, release=replace(line.release, cap=2)),))
    assert switches(wider) == ("care",), "several parts may be on their way: how many is a number"
    twins = replace(plant, stations=(replace(plant.stations[0], units=2),))
    assert switches(twins) == ("base",), "two units may be in different conditions"
    slow = replace(plant, controls=tuple(replace(c, every=round(3600 / plant.tick_s)) for c in plant.controls))
    assert switches(slow) == ()
    assert switches(load("gearmotor")) == switches(load("tandem_release")) == ()
    assert as_switches(slow) == slow
