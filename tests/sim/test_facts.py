"""A live state written as rows: what is known must stand in every row, what is hidden must be spread as it should
be."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sim.compile import Compiled, compile_plant
from sim.facts import Facts, FactsError, OrderFacts, PartFacts, StockFacts, UnitFacts, residuals, rows_from_facts
from sim.kernel import new_rows, run
from sim.plant import DONE, Batch, Dist, Express, Product, Station, Step, Stock, Supplier
from sim.plantfile import load
from sim.quantile import table
from sim.residual import late_residuals
from sim.state import BLOCKED, DOWN, FREE, HOLDS, IN_SETUP, IN_WORK, OFF, SETUP, State
from tests.plants import TWO_MOTORS
from tests.sim.facts_from_row import facts_from_row
from tests.sim.rich_plants import RICH, floor, supply
from tests.sim.small_plants import const, conwip, plant
from tests.twin.motors import motors

TWO = (PartFacts("housing", "mill"),) * 2

VISIBLE = (
    "unit_state", "unit_phase", "unit_count", "unit_due", "unit_family", "unit_level", "q_len", "st_free", "st_held",
    "wip", "group_wip", "pending", "held", "order_at", "order_taken", "order_done", "on_hand", "backorders", "on_order",
    "lane_order", "owed", "past", "n_state", "crew_free", "pool_free", "cal_open", "cal_next", "cal_extra", "cap",
    "level", "waiting", "ring_len", "ring_due", "ring_qty", "book_at", "band", "band_next", "power", "busy_until",
)  # fmt: skip
"""What an observer of everything visible must find again in the rows."""


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


@pytest.mark.parametrize(
    "name",
    [
        "motors",
        "dual_sourcing",
        "serial_supply3",
        "serial_backlog4",
        "lost_sales",
        "make_to_stock",
        "machine_repair",
        "ft06",
    ],
)
def test_what_is_told_of_any_plant_is_what_its_rows_say(name: str, tmp_path: Path) -> None:
    """Ovens, setups, components, lanes between stocks, express orders, wear, dates: everything visible comes back."""
    compiled = compile_plant(motors(tmp_path) if name == "motors" else load(name))
    real = new_rows(compiled, 3, 1)
    seen = np.zeros(4, dtype=bool)
    for hours in np.arange(5.3, 260.0, 11.7):
        run(real, compiled, compiled.ticks(hours * 3600))
        rows = rows_from_facts(compiled, facts_from_row(real[0], compiled), 8, 2)
        for field in VISIBLE:
            found, expected = compiled.layout.view(rows, field), compiled.layout.view(real, field)
            assert (found == expected).all(), f"hour {hours}: {field} {found[0]} instead of {expected[0]}"
        state = State(real[0], compiled.layout)
        waits = (state.q_len > 0) & (state.st_free > 0)
        seen |= [(state.unit_count > 1).any(), (state.unit_phase == IN_SETUP).any(), waits.any(), state.owed.any()]
        run(rows, compiled, compiled.ticks((hours + 4) * 3600))
        for row in rows:
            check(State(row, compiled.layout), compiled)
    if name == "motors":
        assert seen.all(), "a full oven, a setup, a part that waits beside a free unit, a debt to a stock"


def check(state: State, compiled: Compiled) -> None:
    """Counts that must agree in every state a plant can be in."""
    plant = compiled.plant
    transfer = np.array([p.transfer for p in plant.products])
    parts = list(walk(state.part_next, [*state.q_head, *state.unit_part]))
    assert len(set(parts)) == len(parts) == state.q_len.sum() + state.unit_count.sum()
    assert (np.bincount(state.part_product[parts], minlength=len(transfer)) * transfer == state.wip).all()
    assert (state.n_state.sum(axis=1) == [s.units for s in plant.stations]).all()
    owners = np.array([compiled.station_index[s] for s, _ in compiled.units], dtype=np.int64)
    hours = {c.id: bool(state.cal_open[i]) for i, c in enumerate(plant.calendars)}
    opened = np.array([s.calendar is None or hours[s.calendar] for s in plant.stations], dtype=bool)
    free = (state.unit_phase == FREE) & (state.unit_mode < 0) & opened[owners]
    assert (np.bincount(owners, free, minlength=len(opened)) == state.st_free).all()
    busy = np.bincount(owners, np.isin(state.unit_phase, (IN_SETUP, IN_WORK)))
    for i, pool in enumerate(plant.pools):
        taken = sum(int(busy[s]) * x.operators[1] for s, x in enumerate(plant.stations) if x.operators)
        assert state.pool_free[i] == pool.size - taken
    assert (state.transit_qty.sum(axis=1) + state.owed == state.lane_order).all()
    for k, stock in enumerate(plant.stocks):
        waiting = [state.waiting[d] for d, x in enumerate(plant.demands) if x.stock == stock.id]
        assert sum(waiting) == state.backorders[k]
        lanes = [state.lane_order[i] for i, (name, _) in enumerate(compiled.lanes) if name == stock.id]
        assert sum(lanes) == state.on_order[k]
    reserved = np.bincount(state.part_dest[parts][state.part_dest[parts] >= 0], minlength=len(opened))
    assert (reserved == state.st_reserved).all()
    assert (state.next_time >= state.now).all()


def walk(links: np.ndarray, heads: list[int]) -> Iterator[int]:
    for head in heads:
        at = int(head)
        while at >= 0:
            yield at
            at = int(links[at])


@pytest.mark.parametrize("name", list(RICH))
def test_any_moment_of_a_plant_with_everything_can_be_told_and_goes_on(name: str) -> None:
    compiled = compile_plant(RICH[name]())
    real = new_rows(compiled, 5, 1)
    seen = np.zeros((7, 4), dtype=bool)
    for tick in range(3, 900, 23):
        run(real, compiled, tick)
        check(State(real[0], compiled.layout), compiled)
        rows = rows_from_facts(compiled, facts_from_row(real[0], compiled), tick, 4)
        for field in VISIBLE:
            found, expected = compiled.layout.view(rows, field), compiled.layout.view(real, field)
            assert (found == expected).all(), f"tick {tick}: {field} {found[0]} instead of {expected[0]}"
        run(rows, compiled, tick + 200)
        for row in rows:
            check(State(row, compiled.layout), compiled)
        seen[State(real[0], compiled.layout).unit_state, State(real[0], compiled.layout).unit_phase] = True
    if name == "floor":
        for state, phase in ((SETUP, IN_SETUP), (DOWN, IN_WORK), (OFF, IN_WORK), (BLOCKED, HOLDS)):
            assert seen[state, phase], (state, phase)


def test_what_lasts_already_ends_sooner() -> None:
    compiled = compile_plant(floor())
    part = PartFacts("a", "heat")
    units = {
        ("oven", 1): UnitFacts("work", part, worked=10, parts=(part,)),
        ("saw", 1): UnitFacts("setup", PartFacts("b", "cut"), worked=2, family="a"),
        ("fit", 1): UnitFacts("down", mode="jam", repaired=0, level=1),
        ("mill", 1): UnitFacts("free", ages={"tool": 8}, family="a"),
    }
    rows = rows_from_facts(compiled, Facts(500, units), 1, 300)
    view = compiled.layout.view
    assert (view(rows, "next_time")[:, compiled.unit_index["oven", 1]] == 502).all()  # 12 at all
    assert (view(rows, "next_time")[:, compiled.unit_index["saw", 1]] == 501).all()  # 3 at all
    assert (view(rows, "unit_count")[:, compiled.unit_index["oven", 1]] == 2).all()
    assert (view(rows, "clock_left")[:, compiled.clock_index["mill", 1, "tool"]] == 1).all()  # the life of 9
    assert (view(rows, "unit_family")[:, compiled.unit_index["saw", 1]] == compiled.families.index("b")).all()
    repair = view(rows, "next_time")[:, compiled.slot_index["repair_end", "fit/1"]]
    assert (repair - 500).mean() == pytest.approx(6.0, rel=0.2)


def test_a_transfer_batch_has_the_work_of_all_its_pieces_before_it() -> None:
    compiled = compile_plant(floor())
    part = PartFacts("b", "cut")
    left = {}
    for worked in (0, 6):  # two pieces of 6 on average
        facts = Facts(130, {("saw", 1): UnitFacts("work", part, worked=worked)})
        rows = rows_from_facts(compiled, facts, 3, 2000)
        left[worked] = (compiled.layout.view(rows, "next_time")[:, compiled.unit_index["saw", 1]] - 130).mean()
    assert left[0] == pytest.approx(12.0, rel=0.06)
    assert left[6] == pytest.approx(6.0, rel=0.06)


def test_backorders_without_an_owner_wait_for_the_customer_served_last() -> None:
    compiled = compile_plant(supply())
    facts = Facts(50, stocks={"spare": StockFacts(0, 5)}, waiting={"early": 2}, dates={"early": ((48, 1),)})
    state = State(rows_from_facts(compiled, facts, 1, 1)[0], compiled.layout)
    early, later = compiled.demand_index["early"], compiled.demand_index["later"]
    assert (state.waiting[early], state.waiting[later]) == (2, 3)
    assert state.ring_due[early][:2].tolist() == [48, 54]
    assert (state.ring_qty[later][0], state.ring_due[later][0]) == (3, 59)


def test_rows_are_a_function_of_facts_and_addresses() -> None:
    compiled = compile_plant(load(TWO_MOTORS))
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
    compiled = compile_plant(load(TWO_MOTORS))
    tick = compiled.ticks(50 * 3600)
    orders = (OrderFacts(100, due=tick + 5_000), OrderFacts(60, placed=tick - compiled.ticks(20 * 3600)))
    rows = rows_from_facts(compiled, Facts(tick, stocks={"kits": StockFacts(300, 0, orders)}), 1, 200)
    k = compiled.stock_index["kits"]
    due = compiled.layout.view(rows, "transit_due")[:, k]
    assert (due[:, 0] == tick + 5_000).all()
    # lead time gamma(mean 60 h, cv 0.2), 20 h old: about 40 h to go
    assert (due[:, 1] - tick).mean() / compiled.ticks(3600) == pytest.approx(40.0, rel=0.06)
    assert (compiled.layout.view(rows, "on_order")[:, k] == 160).all()


def test_the_longer_an_order_is_on_its_way_the_likelier_it_is_late() -> None:
    """Lead time 10, three orders in ten 20 more: at 5 as at first; at 12 it must be late, with 18 to go."""
    words = np.random.default_rng(3).integers(-(2**63), 2**63 - 1, (3, 2000), dtype=np.int64)
    tables = (table(Dist("constant", (10_000.0,))), table(Dist("constant", (20_000.0,))))
    one = np.full(2000, 65_536, dtype=np.int64)
    left = late_residuals(tables, 0.7, 5_000.0, one, tuple(words))
    assert set(left.tolist()) == {5_000, 25_000}
    assert (left == 25_000).mean() == pytest.approx(0.3, abs=0.04)
    assert (late_residuals(tables, 0.7, 12_000.0, one[:9], tuple(w[:9] for w in words)) == 18_000).all()


@pytest.mark.parametrize("age", [-4_000.0, 15_000.0])
def test_what_remains_of_a_late_order_is_what_many_orders_show(age: float) -> None:
    """Against plain simulation: orders that have not come at that age, and when they do (before 0: not begun yet)."""
    rng = np.random.default_rng(4)
    lead, late = rng.gamma(4.0, 2_500.0, 400_000), rng.exponential(12_000.0, 400_000)
    whole = lead + np.where(rng.random(400_000) < 0.7, 0.0, late)
    expected = whole[whole > age] - age
    words = rng.integers(-(2**63), 2**63 - 1, (3, 3000), dtype=np.int64)
    tables = (table(Dist("gamma", (10_000.0, 0.5))), table(Dist("exponential", (12_000.0,))))
    scale = np.full(3000, 65_536, dtype=np.int64)
    left = late_residuals(tables, 0.7, age, scale, tuple(words))
    assert left.mean() == pytest.approx(expected.mean(), rel=0.06)
    quantiles = (0.1, 0.5, 0.9)
    assert np.quantile(left, quantiles) == pytest.approx(np.quantile(expected, quantiles), rel=0.08)


def test_a_batch_may_hold_finished_parts_behind_a_blocked_one() -> None:
    """Two parts leave the oven: the first waits for room downstream, so the second, which is done, waits as well."""
    steps = (Step("heat", "oven", const(5), ((1, 0.5), (DONE, 0.5))), Step("cool", "rack", const(9), ((DONE, 1.0),)))
    stations = [Station("oven", batch=Batch(2, 2)), Station("rack", capacity=0)]
    compiled = compile_plant(plant(stations, [Product("p", steps, conwip(9))]))
    units = {
        ("oven", 1): UnitFacts("blocked", PartFacts("p", "cool"), parts=(PartFacts("p", "done"),)),
        ("rack", 1): UnitFacts("work", PartFacts("p", "cool"), worked=4),
    }
    rows = rows_from_facts(compiled, Facts(50, units), 1, 3)
    assert (compiled.layout.view(rows, "wip") == 3 + 2 * 3).all()  # up to the cap at once
    run(rows, compiled, 54)
    assert (compiled.layout.view(rows, "finished") == 0).all()
    run(rows, compiled, 56)
    assert (compiled.layout.view(rows, "finished") == 2).all()
    with pytest.raises(FactsError, match="no such operation"):
        rows_from_facts(compiled, Facts(50, queues={"oven": (PartFacts("p", "done"),)}), 1, 1)


def test_parts_beside_a_unit_that_has_closed_since_are_no_contradiction() -> None:
    compiled = compile_plant(replace(floor(), calendars=floor().calendars))
    shut = 60 * 1 + 59  # the cell is closed in the last 12 minutes of every second hour
    queue = (PartFacts("a", "box"),) * 2  # one place, and the free unit's
    rows = rows_from_facts(compiled, Facts(shut, queues={"pack": queue}), 1, 2)
    assert (compiled.layout.view(rows, "q_len")[:, compiled.station_index["pack"]] == 2).all()
    with pytest.raises(FactsError, match="at most 2 parts, found 3"):
        rows_from_facts(compiled, Facts(shut, queues={"pack": (PartFacts("a", "box"),) * 3}), 1, 2)


def test_each_lane_has_its_own_debts() -> None:
    """A shop orders from the depot regularly, and from the yard in haste; both owe it something."""
    stocks = (
        Stock("depot", "bolt", "acme", 0, level=9, lead=const(9)),
        Stock("yard", "bolt", "acme", 0, level=9, lead=const(9)),
        Stock("shop", "bolt", "depot", 0, level=9, lead=const(9), express=Express("yard", const(2), 4)),
    )
    compiled = compile_plant(plant([], [], stocks=stocks))
    told = StockFacts(3, 0, (OrderFacts(2, placed=7),), (OrderFacts(1, due=12),), 4, express_owed=5)
    rows = rows_from_facts(compiled, Facts(10, stocks={"shop": told}), 1, 2)
    view = compiled.layout.view
    lanes = [compiled.lane_index["shop", name] for name in ("regular", "express")]
    assert view(rows, "owed")[0, lanes].tolist() == [4, 5]
    assert view(rows, "lane_order")[0, lanes].tolist() == [6, 6]
    assert view(rows, "transit_due")[0, lanes, 0].tolist() == [16, 12]


def test_an_order_that_its_supplier_has_yet_to_make_has_its_lead_time_before_it() -> None:
    supplier = Supplier("acme", unit_ticks=3)
    stock = Stock("raw", "ore", "acme", 5, level=9, lead=const(20))
    compiled = compile_plant(replace(plant([], [], stocks=(stock,)), suppliers=(supplier,)))
    orders = (OrderFacts(4, placed=94), OrderFacts(4, placed=106))
    rows = rows_from_facts(compiled, Facts(100, stocks={"raw": StockFacts(5, 0, orders)}, busy={"acme": 106}), 1, 2)
    assert compiled.layout.view(rows, "transit_due")[0, 0, :2].tolist() == [114, 126]
    assert (compiled.layout.view(rows, "busy_until") == 106).all()


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
        (Facts(0, stocks={"finished": StockFacts(0, 0, owed=3)}), "has none in the plant file"),
        (Facts(0, units={("mill", 1): UnitFacts("setup", PartFacts("housing", "mill"))}), "no such setup"),
        (Facts(0, units={("mill", 1): UnitFacts("work", PartFacts("housing", "wash"))}), "another station"),
        (Facts(0, units={("mill", 1): UnitFacts("work", TWO[0], parts=TWO)}), "3 parts in it"),
    ],
)
def test_facts_that_contradict_the_plant_are_refused(facts: Facts, words: str) -> None:
    compiled = compile_plant(load("line3"))
    with pytest.raises(FactsError, match=words):
        rows_from_facts(compiled, facts, 1, 2)
