"""Every feature of the plant file: what its example is read into, and how slips in it are answered."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.plant import DONE, FEATURES, SCRAP, STATES, UNLIMITED, Batch, Dist, Express, Mode, Order, Plant, Pool
from sim.plantexamples import Example, examples, features, whole
from sim.plantfile import validate
from sim.report import as_json, untabled, warnings
from sim.settings import PATHS
from sim.settings import settings as settings_of
from sim.traffic import traffic

EXAMPLES = examples()
MIN, HOUR, DAY = 60_000, 3_600_000, 86_400_000


def read(tmp_path: Path, text: str) -> tuple[Plant | None, list[str], list[str]]:
    path = tmp_path / "tiny.yaml"
    path.write_text(text, encoding="utf-8")
    return validate(path)


@pytest.fixture
def plant(request: pytest.FixtureRequest, tmp_path: Path) -> Plant:
    """The plant of the example that a test names."""
    found, problems, _ = read(tmp_path, EXAMPLES[request.param])
    assert problems == []
    assert found is not None
    return found


def of(name: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("plant", [name], indirect=True)


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_example_is_valid_and_unquestionable(tmp_path: Path, name: str) -> None:
    found, problems, notes = read(tmp_path, EXAMPLES[name])
    assert problems == []
    assert found is not None
    loads = traffic(found)
    assert [n for n in notes if n.startswith("warning")] + warnings(found, loads) + untabled(found) == []
    assert 0.1 < loads.bottleneck.utilisation <= 1


@of("alternatives")
def test_alternatives(plant: Plant) -> None:
    cut = plant.products[0].steps[0]
    assert cut.eligible == (("new", Dist("constant", (50_000.0,))), ("old", Dist("constant", (90_000.0,))))
    loads = {load.station: load.utilisation for load in traffic(plant).loads}
    assert loads["old"] == pytest.approx(loads["new"])
    assert loads["old"] == pytest.approx(30 / 3600 / (1 / 90 + 1 / 50))


def test_alternatives_as_a_list_take_the_stations_own_times(tmp_path: Path) -> None:
    text = EXAMPLES["alternatives"].replace("{new: 50 s, old: 90 s}", "[new, old]")
    text = text.replace("old: {units: 1}", "old: {work: 70 s}").replace("new: {units: 1}", "new: {work: {nut: 20 s}}")
    found, problems, _ = read(tmp_path, text)
    assert problems == []
    assert found is not None
    assert [dist.args for _, dist in found.products[0].steps[0].eligible] == [(20_000.0,), (70_000.0,)]


@of("assembly")
def test_assembly(plant: Plant) -> None:
    nut, whole = plant.products
    assert whole.steps[1].needs == (("nuts", 2), ("rods", 1))
    assert whole.release.consumes == (("trays", 1),)
    assert (nut.release.policy, nut.release.cap, nut.release.base_stock) == ("conwip", None, 40)
    rods = plant.stocks[1]
    assert (rods.source, rods.lead, rods.price) == ("acme", Dist("constant", (4.0 * HOUR,)), 2.0)
    assert traffic(plant).rates["nut"] == pytest.approx(2 * traffic(plant).rates["set"])


@of("lots")
def test_lots(plant: Plant) -> None:
    nut = plant.products[0]
    assert (nut.lot, nut.transfer) == (12, 4)
    assert nut.holding == pytest.approx(0.1 / HOUR)


@of("rework")
def test_yield_becomes_scrap_of_every_operation(plant: Plant) -> None:
    cut, test = plant.products[0].steps
    assert dict(cut.next) == pytest.approx({1: 0.98, SCRAP: 0.02})
    assert dict(test.next) == pytest.approx({0: 0.08, DONE: 0.92})


@of("failures")
def test_failure_modes(plant: Plant) -> None:
    drive, power, jam = plant.stations[0].modes
    assert (drive.id, drive.clock, drive.crew, drive.part, drive.priority) == ("drive", "odf", "fitters", "resumes", 0)
    assert (power.clock, power.crew, power.part) == ("tdf", None, "scrapped")
    assert (jam.clock, jam.after, jam.part, jam.priority, jam.cost) == ("parts", None, "repeats", -1, 2.0)
    assert jam.life[0] == pytest.approx((1, 1 / 80), abs=1e-9)
    assert sum(p for _, p in jam.life) == pytest.approx(1)
    assert sum(n * p for n, p in jam.life) == pytest.approx(80, rel=1e-6)
    assert plant.stations[0].fails is drive


@of("tool")
def test_minor_stops_and_tool(plant: Plant) -> None:
    minor, tool = plant.stations[0].modes
    assert minor == Mode("minor", "odf", Dist("exponential", (40_000.0,)), Dist("exponential", (20.0 * MIN,)))
    assert (tool.clock, tool.life, tool.planned, tool.finish, tool.cost) == ("parts", ((400, 1.0),), True, True, 18.0)


@of("condition")
def test_condition_and_its_maintenance(plant: Plant) -> None:
    cut = plant.stations[0]
    assert cut.condition is not None
    assert [d.args[0] / HOUR for d in cut.condition.wear] == pytest.approx([30, 20, 15, 8])
    assert [d if d is None else d.args[0] / HOUR for d in cut.condition.fails] == [None, None, 200, 60]
    assert cut.condition.slow == pytest.approx((1, 1, 1 / 0.95, 1 / 0.85))
    assert cut.condition.scrap == (0.0, 0.005, 0.01, 0.03)
    broken, planned = cut.modes
    assert (broken.clock, broken.restores, broken.cost, broken.planned) == ("condition", True, 900.0, False)
    assert (planned.clock, planned.at_level, planned.restores, planned.cost) == ("none", 2, True, 80.0)
    assert planned.planned
    assert planned.finish
    assert plant.controls[0].klass == "maintenance"


@of("maintenance")
def test_age_and_block_maintenance(plant: Plant) -> None:
    bearing, belt, overhaul, weekly = plant.stations[0].modes
    assert bearing.renews == belt.renews == ("overhaul",), "a repair starts only the age of the overhaul anew"
    assert (overhaul.clock, overhaul.renews, overhaul.crew) == ("odf", ("bearing",), "fitters")
    assert (weekly.clock, weekly.renews, weekly.after) == ("tdf", ("belt",), Dist("constant", (7.0 * DAY,)))


@of("setups")
def test_setups(plant: Plant) -> None:
    paint = plant.stations[0]
    times = {(a, b): dist for a, b, dist in paint.setups}
    assert set(times) == {("warm", "cold"), ("cold", "warm")}, "none within a family"
    assert times["warm", "cold"] == Dist("constant", (3.0 * MIN,))
    assert times["cold", "warm"].kind == "lognormal"
    assert paint.dispatch == (("setup", 1),)
    load = traffic(plant).loads[0]
    half = (10 / 14) * (4 / 14) * (3 + 5)  # minutes a part, in random order
    assert load.setups == pytest.approx(14 * half / 60)


@of("batch")
def test_batch(plant: Plant) -> None:
    assert plant.stations[1].batch == Batch(4, 8, 30 * MIN, "family")
    assert traffic(plant).loads[1].utilisation == pytest.approx(30 * 0.1 / 8)


@of("dispatch")
def test_dispatching(plant: Plant) -> None:
    assert plant.stations[0].dispatch == (("work", 1), ("slack", 2))
    assert plant.stations[1].dispatch == (("due", 1),)
    assert plant.products[1].due == Dist("constant", (8.0 * HOUR,))
    assert plant.products[1].priority == 1
    assert (plant.controls[0].sets, plant.controls[0].klass) == ("stations.cut.dispatch.slack", "dispatch")


@of("operators")
def test_operators(plant: Plant) -> None:
    assert plant.pools == (Pool("hands", 2),)
    assert [(s.operators, s.priority) for s in plant.stations] == [(("hands", 1), 0), (("hands", 1), 1)]


@of("kanban")
def test_kanban(plant: Plant) -> None:
    pack = plant.stations[1]
    assert (pack.kanban, pack.capacity) == (5, UNLIMITED)


@of("calendars")
def test_calendars(plant: Plant) -> None:
    day, lab = plant.calendars
    assert day.breaks == tuple((d, m, m + 15) for d in range(5) for m in (540, 1020))
    assert day.closed == ((date(2026, 1, 6), date(2026, 1, 6)), (date(2026, 12, 24), date(2027, 1, 1)))
    assert (day.at_close, lab.at_close, day.overtime) == ("finish", "freeze", 0)
    assert day.overtime_cost == pytest.approx(120 / HOUR)
    control = plant.controls[0]
    assert (control.low, control.high, control.step, control.klass) == (0, 2 * HOUR, 30 * MIN, "capacity")
    assert plant.limits[0].value == HOUR


@of("energy")
def test_energy(plant: Plant) -> None:
    cut = plant.stations[0]
    watts = dict(zip(STATES, cut.power, strict=True))
    assert (watts["work"], watts["idle"], watts["setup"], watts["down"], watts["off"]) == (
        12_000,
        3_000,
        3_000,
        1_000,
        0,
    )
    assert cut.part_energy == 400.0
    assert plant.tariff is not None
    assert plant.tariff.prices == (0.31, 0.19)
    assert [plant.tariff.hours[h] for h in (7, 8, 19, 20, 5 * 24 + 12)] == [1, 0, 0, 1, 1]
    assert plant.tariff.co2 == pytest.approx(0.38)


@of("groups")
def test_groups(plant: Plant) -> None:
    assert plant.groups[0].cap == 12
    assert plant.groups[0].mix == (("nut", 2), ("bolt", 1))
    assert [p.release.cap for p in plant.products] == [None, 6]
    rates = traffic(plant).rates
    assert rates["nut"] == pytest.approx(2 * rates["bolt"])


@of("orders")
def test_order_list(plant: Plant) -> None:
    assert plant.products[0].release.orders == (
        Order(0, 40, 2 * HOUR),
        Order(2 * HOUR, 60, 9 * HOUR),
        Order(8 * HOUR, 10, None),
    )


@of("suppliers")
def test_suppliers(plant: Plant) -> None:
    acme = plant.suppliers[0]
    assert (acme.unit_ticks, acme.reliability) == (96_000, 0.92)
    rods = plant.stocks[0]
    assert (rods.least, rods.price, rods.lead) == (100, 5.0, Dist("constant", (2.0 * DAY,)))
    courier = Dist("constant", (6.0 * HOUR,))
    assert rods.express == Express("express", courier, 400, price=7.0, order_cost=40.0, least=1, multiple=50)


@of("echelons")
def test_echelons(plant: Plant) -> None:
    _, north, south = plant.stocks
    assert (north.source, north.policy, north.level, north.priority) == ("out", "base_stock", 150, 0)
    assert (south.policy, south.reorder, south.level, south.priority) == ("s_S", 60, 150, 1)
    assert traffic(plant).rates["nut"] * HOUR == pytest.approx(24), "the line makes what is asked two stages on"


@of("echelon-policy")
def test_echelon_policies(plant: Plant) -> None:
    assert [(k.policy, k.echelon) for k in plant.stocks] == [("base_stock", True)] * 2


@of("reorder")
def test_reorder_policies(plant: Plant) -> None:
    rods, boxes, labels = plant.stocks
    assert (rods.policy, rods.reorder, rods.level, rods.review) == ("s_S", 4500, 7000, DAY)
    assert (boxes.policy, boxes.reorder, boxes.quantity, boxes.level, boxes.review) == ("r_Q", 2200, 1500, None, None)
    assert (labels.policy, labels.window, labels.cover, labels.safety, labels.level) == ("forecast", 3, 3.0, 3000, None)
    assert [k.order_cost for k in plant.stocks] == [60.0] * 3, "the supplier's"


@of("lost-sales")
def test_lost_sales_and_compound_demand(plant: Plant) -> None:
    shop = plant.demands[0]
    assert (shop.unmet, shop.lost_cost) == ("lost", 4.0)
    assert sum(p for _, p in shop.quantity) == pytest.approx(1)
    assert sum(n * p for n, p in shop.quantity) == pytest.approx(25, rel=1e-7)


@of("bounds")
def test_what_stops_at_once_and_waits_up_to_a_bound(plant: Plant) -> None:
    assert (plant.demands[0].unmet, plant.demands[0].most, plant.demands[0].lost_cost) == ("backorder", 30, 4.0)
    assert plant.products[0].release.stops
    broken, planned = plant.stations[0].modes
    assert (planned.at_level, planned.finish, planned.part, broken.part) == (1, False, "scrapped", "scrapped")


def test_a_poisson_quantity_may_be_nothing(tmp_path: Path) -> None:
    found, problems, _ = read(tmp_path, EXAMPLES["lost-sales"].replace("poisson(25)", "poisson(5)"))
    assert problems == []
    assert found is not None
    assert found.demands[0].quantity[0] == pytest.approx((0, 0.006737947), rel=1e-6)


@of("season")
def test_season(plant: Plant) -> None:
    shop = plant.demands[0]
    assert shop.quantity == ((1, 0.8), (2, 0.15), (5, 0.05))
    assert len(shop.season) == 168
    assert (shop.season[3], shop.season[9], shop.season[4 * 24 + 9], shop.season[6 * 24 + 9]) == (0, 1.5, 3.0, 0)


@of("book")
def test_order_book(plant: Plant) -> None:
    contract, walk_in = plant.demands
    assert contract.arrivals is None
    assert contract.book[1] == Order(6 * HOUR, 40, 10 * HOUR)
    assert (walk_in.due, walk_in.priority) == (4 * HOUR, 1)


def test_lists_come_from_tables_as_well(tmp_path: Path) -> None:
    (tmp_path / "week.csv").write_text("at,quantity,due\n1 h,15,3 h\n6 h,,\n", encoding="utf-8")
    text = re.sub(r"book:\n( +- .*\n)+", "book: week.csv\n", EXAMPLES["book"])
    found, problems, _ = read(tmp_path, text)
    assert problems == []
    assert found is not None
    assert found.demands[0].book == (Order(HOUR, 15, 3 * HOUR), Order(6 * HOUR, 1, None))


@of("conventions")
def test_conventions_are_the_defaults_of_what_says_nothing(plant: Plant) -> None:
    mode = plant.stations[0].modes[0]
    assert (mode.clock, mode.part) == ("tdf", "repeats")
    assert plant.conventions["blocking"] == "before_service"
    assert plant.conventions["pipeline_holding"] == "charged"


def test_the_only_calendar_is_not_that_of_a_season_or_book(tmp_path: Path) -> None:
    day = 'calendars: {day: {open: "Mon-Fri 06:00-22:00"}}\n'
    for name in ("season", "book"):
        found, problems, _ = read(tmp_path, EXAMPLES[name] + day)
        assert problems == []
        assert found is not None
        assert found.demands[0].calendar is None
        assert found.stations[0].calendar == "day"


# (example, what is replaced, by what, part of the message)
WRONG = [
    ("alternatives", "{new: 50 s, old: 90 s}", "{nwe: 50 s, old: 90 s}", "did you mean 'new'?"),
    ("alternatives", "{new: 50 s, old: 90 s}", "[]", "expected at least one station"),
    ("alternatives", "{new: 50 s, old: 90 s}", "[old, old]", "each station once"),
    ("alternatives", "{step: cut, stations", "{stations", "expected the key 'step'"),
    ("alternatives", "stations: {new", "station: old, stations: {new", "'station' or 'stations'"),
    ("alternatives", "new: {units: 1}", "new: {units: 1, yield: 90 %}", "one yield for all stations of a step"),
    ("assembly", "nuts: 2", "nut: 2", "did you mean 'nuts'?"),
    ("assembly", "nuts: 2", "nuts: 0", "whole number of 1 or more"),
    ("assembly", "rods: 1}", "rods: 500}", "at most 400 units of rods at a time"),
    ("assembly", "trays: 1", "trays: 401", "at most 400 units of trays at a time"),
    ("assembly", "nuts: 2", "nuts: 41", "at most 40 units of nuts at a time"),
    ("assembly", "{policy: base_stock, level: 40}", "{policy: base_stock}", "expected the key 'level'"),
    ("lots", "transfer: 4", "transfer: 5", "a multiple of the transfer size, found 12 and 5"),
    ("lots", "cap: 36", "cap: 11", "a cap of at least the lot (12), found 11"),
    ("lots", "  b: {before", "  a: {before: cut, capacity: 1}\n  b: {before", "a lot of at most the 2"),
    ("rework", "yield: 98 %", "yield: 0 %", "a yield above 0 %"),
    ("rework", "yield: 98 %", "yield: 980 %", "a probability between 0 % and 100 %"),
    ("rework", "cut: 8 %", "cut: 8 %, scrap: 95 %", "below 100 % beside 'rest'"),
    ("failures", "name: power", "name: drive", "a name of its own for each mode"),
    ("failures", "life: geometric(80)", "after: 8 h", "expected the key 'life'"),
    ("failures", "after: exponential(20 h)", "life: 30", "no 'life' with clock odf"),
    ("failures", "geometric(80)", "geometric(0.5)", "geometric with a mean above 1"),
    ("failures", "part: scrapped", "part: vanishes", "resumes or repeats or scrapped"),
    ("failures", "crew: fitters, priority", "crew: fiters, priority", "did you mean 'fitters'?"),
    ("failures", "part: scrapped", "renews: jamm", "did you mean 'jam'?"),
    ("tool", "life: 400", "life: 0", "whole number of 1 or more"),
    ("tool", "last: exponential(40 s)", "last: 40", "write the unit"),
    ("tool", "change: 5 min, ", "", "expected the key 'change'"),
    ("condition", "levels: 4", "levels: 5", "5 entries, one for each level, found 4"),
    ("condition", "[100 %, 100 %, 95 %, 85 %]", "[1, 1, 1, 0]", "speeds above 0"),
    ("condition", "corrective: exponential(5 h), corrective_cost: 900 EUR, ", "", "to bring a worn-out unit back"),
    ("condition", "at_level: 2", "at_level: 5", "'at_level' of 1 .. 4 (4 is never), found 5"),
    ("condition", "at_level: 2", "at_level: 2, every: 80 h", "'at_level' or 'every', one of them, found both"),
    ("condition", ", at_level: 2", "", "'at_level' or 'every', one of them, found none"),
    ("condition", "from: 1, to: 4", "from: 0, to: 4", "'from' of 1 or more"),
    ("condition", "from: 1, to: 4", "from: 1, to: 6", "'to' of at most 4"),
    ("maintenance", "policy: age", "policy: rage", "did you mean 'age'?"),
    ("maintenance", "every: 80 h", "at_level: 1", "a 'condition' for 'at_level'"),
    ("maintenance", "preventive: 2 h", "corrective: 2 h", "a 'condition' of the station for it"),
    ("maintenance", "name: weekly", "name: overhaul", "a name of its own for each mode"),
    ("maintenance", "preventive: 20 min", "preventive: 0 min", "maintenance that takes time"),
    ("setups", "cold: {warm:", "cold: {wram:", "a family of the products, found 'wram'; did you mean 'warm'?"),
    ("setups", "default: 3 min", "default: -3 min", "times are never negative"),
    ("setups", "dispatch: setup", "dispatch: setups", "did you mean 'setup'?"),
    ("batch", "min: 4", "min: 9", "at most 'max' (8)"),
    ("batch", "min: 4, max: 8, wait: 30 min", "min: 25, max: 30", "25, and 24 parts of 'nut' that the caps admit"),
    ("batch", "b: {before: pack, capacity: 10", "b: {before: oven, capacity: 1", None),
    ("batch", "by: family", "by: colour", "family or product or any"),
    ("batch", "wait: 30 min", "wait: 0 min", "a time above 0"),
    ("dispatch", "{work: 1, slack: 2}", "{wrok: 1, slack: 2}", "did you mean 'work'?"),
    ("dispatch", "slack: 2", "slack: 2000", "a whole number in -1000..1000"),
    ("dispatch", "from: 0, to: 10", "from: 0, to: 1001", "'to' of at most 1000"),
    ("dispatch", "dispatch.slack", "dispatch.slak", "did you mean 'stations.cut.dispatch.slack'?"),
    ("dispatch", "due: 8 h, ", "", "'due' beside 'tardiness'"),
    ("operators", "hands: 1}, priority: 0", "hand: 1}, priority: 0", "did you mean 'hands'?"),
    ("operators", "hands: 1}, priority: 0", "hands: 3}, priority: 0", "at most the 2 of hands, found 3"),
    ("operators", "hands: {size: 2}", "hands: {size: 2, names: [a, b]}", "never persons"),
    ("operators", "hands: {size: 2}", "hands: {size: 2}\nstaff: {}", "never persons"),
    ("kanban", "kanban: 5", "kanban: 0", "whole number of 1 or more"),
    ("kanban", "kanban: 5, ", "", "expected the key 'capacity'"),
    ("calendars", "Mon-Fri 09:00-09:15", "Mon-Fri 05:00-05:15", "breaks within the opening hours"),
    ("calendars", "2026-12-24 to 2027-01-01", "2026-12-24 to 2025-01-01", "correct this one"),
    ("calendars", "2026-01-06,", "6.1.2026,", "days such as '2026-12-24'"),
    ("calendars", "at_close: freeze", "at_close: stop", "finish or freeze"),
    ("calendars", "to: 2 h", "to: 200 h", "'to' of at most 604800000"),
    ("calendars", "to: 2 h", "to: 2", "write the unit"),
    ("calendars", "overtime <= 1 h", "overtime <= 1 x", "a number after the comparison"),
    ("calendars", "overtime <= 1 h", "overtime <= 0 h", None),
    ("energy", "idle: 3 kW, ", "", "expected the key 'idle'"),
    ("energy", "work: 12 kW", "work: 12", "a power such as '12 kW'"),
    ("energy", "0.4 kWh", "0.4 kW", "an energy such as '0.4 kWh'"),
    ("energy", "0.31 EUR/kWh", "0.31 EUR", "write '/kWh' after the currency"),
    ("energy", "0.38 kg/kWh", "0.38 kg", "write '/kWh' after the mass"),
    ("energy", ', hours: "Mon-Fri 08:00-20:00"', "", "one band without hours"),
    ("energy", "08:00-20:00", "08:30-20:00", "whole hours"),
    ("energy", "0.19 EUR/kWh}", '0.19 EUR/kWh, hours: "Mon-Fri 18:00-22:00"}', "hours that no other band has"),
    ("energy", "0.19 EUR/kWh}", '0.19 EUR/kWh, hours: "Sat 18:00-22:00"}', "a price for every hour"),
    ("groups", "bolt: 1}", "bold: 1}", "did you mean 'bolt'?"),
    ("groups", "{policy: conwip}", "{policy: saturated}", "policy conwip in group all"),
    ("groups", "all: {cap", "more: {cap: 5, mix: {nut: 1}}\n  all: {cap", "each product in one group"),
    ("groups", "groups:\n  all: {cap: 12, mix: {nut: 2, bolt: 1}}", "", "expected the key 'cap'"),
    ("groups", "nut: {routing: [cut, pack]}", "nut: {routing: [cut, pack], lot: 13}", "at least the lot of nut (13)"),
    ("orders", "policy: orders", "policy: orders\n    calendar: always", "no 'calendar' with policy orders"),
    ("orders", "at: 2 h", "at: 9 h", "lines in rising order of 'at'"),
    ("orders", "due: 2 h", "due: 2", "write the unit"),
    ("orders", "at: 2 h, quantity: 60, due: 9 h", "at: 2 h, quantity: 60, due: 1 h", "a due date not before 'at'"),
    ("orders", "quantity: 60", "quantity: 0", "whole number of 1 or more"),
    ("suppliers", "late: gamma(mean=1 d, cv=0.5), ", "", "'late' beside a reliability below 100 %"),
    ("suppliers", "reliability: 92 %, ", "", "'reliability' below 100 % beside it"),
    ("suppliers", "capacity: 900/d", "capacity: 900", "write '/'"),
    ("suppliers", "time_unit: h", "time_unit: h\ntick: 20 s", "set a 'tick:' below 20 s"),
    ("suppliers", "capacity: 900/d", "capacity: 1/us", "a rate of at most one a tick"),
    ("suppliers", "express: {from: express", "express: {from: expres", "did you mean 'express'?"),
    ("suppliers", "lead: constant(2 d), ", "", "expected the key 'lead'"),
    ("suppliers", "{from: express, level", "{from: line, level", "a supplier or a stock, found 'line'"),
    ("suppliers", "multiple: 50", "multiple: 0", "whole number of 1 or more"),
    ("echelons", "north: {item: nut", "north: {item: bolt", "the same item as its source"),
    ("echelons", "north: {item: nut, from: out", "north: {item: nut, from: north", "a circle back to itself"),
    ("echelons", "reorder: 60", "reorder: 150", "a reorder point below 'level' (150)"),
    ("reorder", "quantity: 1500", "level: 9", "no 'level' with policy r_Q"),
    ("reorder", "safety: 3000, every: 1 d", "safety: 3000", "expected the key 'every'"),
    ("reorder", "window: 3", "window: 0", "whole number of 1 or more"),
    ("reorder", "kind: s_S", "kind: sS", "did you mean 's_S'?"),
    ("lost-sales", "lost_cost: 4 EUR", "lost_cost: 4 EUR, backlog: 3 EUR/h", "no 'backlog' where unmet demand is lost"),
    ("lost-sales", "unmet: lost", "unmet: backorder", "no 'lost_cost' where unmet demand waits"),
    ("bounds", "most: 30", "most: 0", "whole number of 1 or more"),
    ("bounds", "most: 30, backlog: 3 EUR/h", "unmet: lost, most: 30", "no 'most' where unmet demand is lost"),
    ("bounds", "most: 30, ", "", "or 'most' (units that wait at most)"),
    ("bounds", "finish: no", "finish: perhaps", "yes or no"),
    ("bounds", "cap: 8, base_stock: 30", "cap: 8", "a base stock beside 'surplus: scrapped', found none"),
    ("bounds", "surplus: scrapped", "surplus: sold", "finished or scrapped"),
    ("lost-sales", "poisson(25)", "poison(25)", "did you mean 'poisson'?"),
    ("lost-sales", "unmet: lost, lost_cost: 4 EUR", "due: 2 h", None),
    ("season", "{1: 80 %", "{1: 70 %", "probabilities that sum to 100 %, found '90 %'"),
    ("season", "100 %, 200 %", "200 %", "7 factors, found 6"),
    ("season", "backlog: 3 EUR/h", "backlog: 3 EUR/h\n    calendar: always", "no 'calendar' beside a season"),
    ("season", "[100 %, 100 %, 100 %, 100 %, 200 %, 50 %, 0 %]", "[0, 0, 0, 0, 0, 0, 0]", "a factor above 0"),
    ("book", "backlog: 3 EUR/h", "arrivals: poisson(3/h)", "no 'arrivals' beside a book"),
    ("book", "due: 4 h, ", "", "'due' beside 'tardiness'"),
    ("book", "at: 6 h", "at: 0 h", "lines in rising order"),
    ("conventions", "pack: {work: 45 s}", "pack: {work: 45 s, batch: {max: 2}}", "no batch with blocking"),
    ("conventions", "routing: [cut, pack]", "routing: [{step: a, stations: [cut, pack]}]", "one station a step"),
    ("conventions", "charged", "sometimes", "not_charged or charged"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "old", "new", "message"), WRONG, ids=[f"{w[0]}: {w[2] or w[1]}" for w in WRONG])
def test_a_slip_is_answered_at_its_line(tmp_path: Path, name: str, old: str, new: str, message: str | None) -> None:
    assert old in EXAMPLES[name]
    text = EXAMPLES[name].replace(old, new, 1)
    found, problems, _ = read(tmp_path, text)
    if message is None:  # not wrong: the neighbouring slips are not refused for the wrong reason
        assert problems == []
        return
    assert found is None
    assert any(message in p for p in problems), problems
    matches = [re.fullmatch(r"tiny\.yaml:(\d+): .+, found .+; .+|tiny\.yaml:(\d+): .+", p) for p in problems]
    assert all(matches)


PAIRS = re.compile(r"\b(\w+): ([^,{}\[\]\n]+)")


@pytest.mark.parametrize("name", EXAMPLES)
def test_no_value_is_passed_over(tmp_path: Path, name: str) -> None:
    """Whatever value of an example is replaced by nonsense, the file is refused: every key is really read."""
    fragment = next(e.text for e in features() if e.name == name)
    for match in PAIRS.finditer(fragment):
        key, value = match.groups()
        if key == "note" or ("(" in value and ")" not in value):
            continue
        wrong = fragment[: match.start(2)] + '"?!"' + fragment[match.end(2) :]
        assert read(tmp_path, whole(Example(name, "", wrong)))[1], match.group()


def test_the_line_of_a_slip_in_a_feature_is_its_own(tmp_path: Path) -> None:
    text = EXAMPLES["condition"].replace("at_level: 2", "at_level: 5")
    _, problems, _ = read(tmp_path, text)
    line = next(n for n, words in enumerate(text.splitlines(), 1) if "at_level: 5" in words)
    assert problems[0].startswith(f"tiny.yaml:{line}: ")


GROUP = "groups: {all: {cap: 10, mix: {nut: 1, set: 1}}}\n"


def test_a_common_cap_that_assemblies_can_fill_is_refused(tmp_path: Path) -> None:
    text = EXAMPLES["assembly"].replace("cap: 6, base_stock: 20", "base_stock: 20") + GROUP
    _, problems, _ = read(tmp_path, text)
    assert any("room for nut beside the assemblies that wait for it" in p for p in problems), problems
    assert "own caps of at most 9 together" in problems[0]
    assert read(tmp_path, EXAMPLES["assembly"] + GROUP)[1] == [], "their own cap of 6 leaves room"


def test_waiting_assemblies_that_bar_their_components_are_warned_about(tmp_path: Path) -> None:
    text = EXAMPLES["assembly"].replace("station: bench, needs", "station: cut, needs").replace("bench:", "x-bench:")
    text = text.replace("x-bench: {work: gamma(mean=80 s, cv=0.3)}", "")
    text = text.replace("b: {before: pack", "b: {before: cut")
    text = text.replace("cap: 6", "cap: 20")
    _, problems, notes = read(tmp_path, text)
    assert problems == []
    assert any("they can lock for ever" in n and n.startswith("warning: tiny.yaml:") for n in notes), notes


def test_a_cycle_without_time_is_refused(tmp_path: Path) -> None:
    routing = "routing: [cut, {step: look, station: pack, work: 0 s, next: {again: 50 %, done: rest}}, "
    routing += "{step: again, station: pack, work: 0 s, next: look}]"
    _, problems, _ = read(tmp_path, EXAMPLES["kanban"].replace("routing: [cut, pack]", routing))
    assert any("work that takes time in every cycle, found none at look, again" in p for p in problems), problems


OVEN = """
products:
  nut: {routing: [{step: bake, station: oven, work: 10 min}, {step: open, station: oven, work: 0 s}]}
stations:
  oven: {batch: {min: 2, max: 3}}
release:
  nut: {policy: saturated}
"""


def test_a_batch_without_time_that_goes_on_for_ever_is_refused(tmp_path: Path) -> None:
    """A part that is only to be taken out leads the batch: whoever rides with it is baked in no time, for ever."""
    head = "plantwin: 1\nsite: s\narea: a\nline: l\ntime_unit: h\n"
    _, problems, _ = read(tmp_path, head + OVEN)
    assert any("a batch that bake rides in and that takes none where oven: nut/open leads it" in p for p in problems)
    for old, new in (("0 s", "1 s"), ("max: 3", "max: 1"), ("min: 2, max: 3", "min: 1, max: 1")):
        found = read(tmp_path, head + OVEN.replace(old, new))[1]
        assert not any("leads it" in p for p in found), (new, found)
    pushed = OVEN.replace("{policy: saturated}", "{policy: push, arrivals: poisson(2/h)}")
    assert read(tmp_path, head + pushed)[1] == [], "nothing follows a part that is gone"


def test_every_form_of_a_setting_occurs_and_no_other(tmp_path: Path) -> None:
    forms = {re.sub(r"[A-Z]+", "([a-z0-9_-]+)", form.replace(".", r"\.")): form for form in PATHS}
    found = set()
    for name, text in EXAMPLES.items():
        plant, _, _ = read(tmp_path, text)
        assert plant is not None
        current = settings_of(plant)
        assert all(current[c.sets] in range(c.low, c.high + 1, c.step) for c in plant.controls), name
        for path in current:
            matching = [form for pattern, form in forms.items() if re.fullmatch(pattern, path)]
            assert len(matching) == 1, path
            found.add(matching[0])
    assert found == set(PATHS)


def test_rules_that_look_at_what_nobody_has_are_warned_about(tmp_path: Path) -> None:
    for rule, word in (("edd", "due dates"), ("cmu", "holding costs"), ("setup", "setup times")):
        text = EXAMPLES["kanban"].replace("pack: {work: 45 s}", f"pack: {{work: 45 s, dispatch: {rule}}}")
        _, problems, notes = read(tmp_path, text)
        assert problems == []
        assert any(word in n for n in notes), notes


def test_every_feature_of_parts_can_be_weighted(tmp_path: Path) -> None:
    weights = ", ".join(f"{name}: {n - 5}" for n, name in enumerate(FEATURES, 1))
    text = EXAMPLES["dispatch"].replace("{work: 1, slack: 2}", f"{{{weights}}}")
    found, problems, _ = read(tmp_path, text.replace("from: 0, to: 10", "from: -10, to: 10"))
    assert problems == []
    assert found is not None
    assert dict(found.stations[0].dispatch) == {name: n - 5 for n, name in enumerate(FEATURES, 1) if n != 5}


def test_incomplete_batches_that_use_up_a_common_cap_are_warned_about(tmp_path: Path) -> None:
    text = EXAMPLES["groups"].replace("pack: {work: 45 s}", "pack: {work: 45 s, batch: {min: 7, max: 8}}")
    text = text.replace(", cap: 6}", "}").replace("capacity: 10", "capacity: unlimited")
    _, problems, notes = read(tmp_path, text.replace("cap: 12", "cap: 10"))
    assert problems == []
    assert any("6 parts of each of nut, bolt can use up the cap of group all (10)" in n for n in notes), notes
    assert not any("use up" in n for n in read(tmp_path, text.replace("cap: 12", "cap: 13"))[2])


BITS = (
    "",
    "[]",
    "{}",
    "[a]",
    "{a: b}",
    "0",
    "-1",
    "nan",
    "always",
    "cut",
    "5 s",
    "~",
    "[[1]]",
    "{empirical: [1]}",
    "rest",
)


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_no_mutilated_feature_crashes_the_reader(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Values replaced, lines lost or brought in from elsewhere: either it is still a plant, or there are problems."""
    text = EXAMPLES[data.draw(st.sampled_from(sorted(EXAMPLES)))]
    match = data.draw(st.sampled_from(list(PAIRS.finditer(text))))
    text = text[: match.start(2)] + data.draw(st.sampled_from(BITS)) + text[match.end(2) :]
    lines = text.splitlines()
    other = EXAMPLES[data.draw(st.sampled_from(sorted(EXAMPLES)))].splitlines()
    if data.draw(st.booleans()):
        del lines[data.draw(st.integers(0, len(lines) - 1))]
    if data.draw(st.booleans()):
        lines.insert(data.draw(st.integers(0, len(lines))), data.draw(st.sampled_from(other)))
    plant, problems, notes = read(tmp_path_factory.mktemp("m"), "\n".join(lines))
    assert (plant is None) == bool(problems)
    if plant is not None:
        assert as_json(plant, notes)["valid"]
