"""Tables of what controllers do: what the machine would really do, in states that the kernel has."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from agents.control.controllers import Hold, RuleController, controller
from agents.envs.grid import Grid
from agents.envs.schema import Observer
from agents.errors import AgentError, NotExactError
from agents.exact import optimum_stock
from agents.exact.optimum import optimum, policy_cost, write_policy
from agents.exact.played import TableController
from agents.exact.table import settle, stock_rows, table_of
from agents.exact.table_tandem import FREE, line_rows, tandem_table
from agents.rules.rule import Boost, Rule, save_rule
from sim.compile import Compiled, compile_plant
from sim.engine import new_rows, set_controls
from sim.engine import run as run_kernel
from sim.plantfile import load
from tests.agents.test_bundle import write
from tests.agents.test_optimum import run

Rows = NDArray[np.int64]
STATES = [(x, k) for x in range(-12, 26) for k in range(5)]
IN_WORK = 2


@pytest.fixture(scope="module")
def stock() -> Compiled:
    return compile_plant(load("make_to_stock"))


@dataclass
class Says:
    """A controller that computes its setpoints from net stock, condition, whether it works, and its own setpoints."""

    compiled: Compiled
    rule: str
    name: str = "says"
    static: bool = False
    epoch_s: float | None = None

    def act(self, rows: Rows) -> Rows:
        view = self.compiled.layout.view
        x = view(rows, "on_hand")[:, 0] - view(rows, "backorders")[:, 0]
        k, works = view(rows, "unit_level")[:, 0], view(rows, "n_state")[:, 0, 1]
        base = rows[:, self.compiled.controls[0]]
        rules = {
            "per condition": (np.array([5, 9, 6, 0, 0])[k], np.where((k == 2) & (x >= 6) | (k > 2), k, 5)),
            "step by step": (np.minimum(base + 1, 20 - k), np.full(len(x), 5)),
            "never settled": (25 - base, np.full(len(x), 5)),
            "busy": (np.where(works > 0, 25, 0), np.full(len(x), 5)),
        }
        return np.stack(rules[self.rule], axis=1)


def test_the_machine_does_what_the_table_says(stock: Compiled) -> None:
    """In every state and under many setpoints: what the kernel does at once is what the table calls it."""
    rng = np.random.default_rng(1)
    for kind in ("free", "working"):
        for _ in range(6):
            base, care = int(rng.integers(0, 26)), int(rng.integers(1, 6))
            rows = stock_rows(stock, STATES, kind)
            set_controls(rows, stock, np.array([base, care]))
            phase, mode = (stock.layout.view(rows, f)[:, 0] for f in ("unit_phase", "unit_mode"))
            found = table_of(controller(f"base={base},care={care}", stock), stock).policy
            did = ["pm" if m >= 0 else "produce" if p == IN_WORK else "idle" for p, m in zip(phase, mode, strict=True)]
            assert did == list(found.values()), (kind, base, care)


def test_rows_are_those_that_the_kernel_has(stock: Compiled) -> None:
    """All an observer sees of such a row, it sees of one that has come about: setpoints apart."""
    observer = Observer(stock)
    for kind, base in (("free", 8), ("working", 9)):
        rows = new_rows(stock, 0, 1)
        set_controls(rows, stock, np.array([0, 5]))
        set_controls(rows, stock, np.array([base, 5]))  # 8 on hand: 9 asks for a part, 8 does not
        made = stock_rows(stock, [(8, 0)], kind)
        rows[:, stock.controls] = made[:, stock.controls]
        assert observer(made) == pytest.approx(observer(rows))


def test_a_rule_with_numbers_for_each_condition(stock: Compiled) -> None:
    found = table_of(Says(stock, "per condition"), stock)
    m = optimum_stock.read(stock.plant)
    expected = optimum_stock.per_condition(m, [5, 9, 6, 0, 0], [26, 26, 6, -12, -12])
    assert found.policy == expected
    assert found.notes == ()


def test_a_controller_is_asked_until_it_keeps_its_setpoints(stock: Compiled) -> None:
    rows = stock_rows(stock, STATES, "free")
    setpoints, open_ = settle(Says(stock, "step by step"), stock, rows)
    assert open_ == 38, "from 10 to 20 takes ten looks, and an eleventh to see that nothing changes any more"
    assert (setpoints[:, 0] == np.array([min(20 - k, 20) for _, k in STATES])).all()
    assert table_of(Says(stock, "never settled"), stock).notes


def test_what_is_seen_of_the_machine_matters_and_is_told(stock: Compiled) -> None:
    who = Says(stock, "busy")
    working, free = (table_of(who, stock, seen) for seen in ("working", "free"))
    assert working.policy["3,0"] == "produce"
    assert free.policy["3,0"] == "idle"
    assert any("does not do the same" in note for note in free.notes)
    assert table_of(who, stock).policy["3,0"] == "produce"
    assert table_of(who, stock).policy["25,0"] == "idle"
    with pytest.raises(AgentError, match="expected one of auto, working, free"):
        table_of(who, stock, "asleep")


def test_a_bundle_and_a_rule_file_in_a_round(
    stock: Compiled, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Written by the command, priced by the command; a bundle whose weights are drawn at random makes a full table."""
    write(tmp_path / "bundle", stock)
    out = tmp_path / "policy.json"
    code, said, _ = run(
        capsys, "policy", "table", str(tmp_path / "bundle"), "--plant", "make_to_stock", "--out", str(out)
    )
    assert code == 0
    assert "190 states written" in said
    table = json.loads(out.read_text())
    assert list(table) == [f"{x},{k}" for x, k in STATES]
    assert set(table.values()) <= {"idle", "produce", "pm"}
    rule = Rule({"base": 7, "care": 2}, (Boost("base", "finished", 3, 4),))
    rule.check(stock.plant, Grid(stock.plant))
    save_rule(tmp_path / "rule.json", rule, stock.plant)
    assert (
        run(capsys, "policy", "table", str(tmp_path / "rule.json"), "--plant", "make_to_stock", "--out", str(out))[0]
        == 0
    )
    code, said, _ = run(capsys, "policy", "cost", str(out), "--plant", "make_to_stock")
    assert (code, said) == (0, "9.67953 EUR/h, 12.19 % above the optimum 8.62802 EUR/h\n")


def test_an_action_counts_that_is_most_frequent_in_the_week(stock: Compiled) -> None:
    class Hours(Says):
        def act(self, rows: Rows) -> Rows:
            hour = rows[:, 0] * self.compiled.plant.tick_s / 3600 % 24
            return np.stack([np.where(hour < 3, 0, 25), np.full(len(rows), 5)], axis=1)

    found = table_of(Hours(stock, ""), stock)
    assert found.policy["3,0"] == "produce"
    assert any("the hour of the week matters" in note for note in found.notes)


def test_other_plants_have_tables_of_constant_setpoints_only() -> None:
    orders = compile_plant(load("lost_sales"))
    table = table_of(controller("level=16", orders), orders).policy
    assert table["4,5"] == "7"
    assert policy_cost(orders.plant, table)[0] == pytest.approx(4.63864, abs=1e-5)
    shop = compile_plant(load("cmu3"))
    with pytest.raises(NotExactError, match="in which order the products are served"):
        table_of(Hold(), shop)


def test_a_table_file_is_a_controller(stock: Compiled, tmp_path: Path) -> None:
    """And its own table is what it says, where setpoints can say it."""
    m = optimum_stock.read(stock.plant)
    table = optimum_stock.per_condition(m, [5, 9, 6, 0, 0], [26, 9, 6, -12, -12])
    write_policy(tmp_path / "table.json", table)
    who = controller(str(tmp_path / "table.json"), stock)
    assert who.name.startswith("table:sha256:")
    assert table_of(who, stock).policy == table
    with pytest.raises(NotExactError, match="nothing is said about the state"):
        TableController({"0,0": "idle"}, stock).act(stock_rows(stock, [(1, 0)], "free"))
    other = replace(stock, plant=replace(stock.plant, stations=()))
    with pytest.raises(NotExactError, match="not of a kind"):
        TableController(table, other)


# --- two machines in line -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tandem() -> Compiled:
    return compile_plant(load("tandem_release"))


@dataclass
class Gate:
    """Lets parts in (cap and base stock at their highest) while the first machine works, or while it is free."""

    compiled: Compiled
    at_work: bool
    name: str = "gate"
    static: bool = False
    epoch_s: float | None = None
    kinds: int = 1

    def act(self, rows: Rows) -> Rows:
        works = self.compiled.layout.view(rows, "n_state")[:, 0, 1] == 1
        return np.where((works == self.at_work)[:, None], [[20, 20]], [[1, 0]])


def test_the_table_of_a_played_table_is_that_table(tandem: Compiled) -> None:
    best = optimum(tandem.plant)
    found = table_of(TableController(best.policy, tandem), tandem)
    assert found.notes == ()
    assert len(found.policy) > 1500
    assert all(best.policy[state] == action for state, action in found.policy.items())
    assert policy_cost(tandem.plant, found.policy)[0] == pytest.approx(best.cost, rel=1e-8)


def test_constants_and_boosts_in_a_tandem_line(tandem: Compiled) -> None:
    fixed = controller("cap=14,base=10", tandem)
    expected = table_of(fixed, tandem).policy
    found, notes = tandem_table(fixed, tandem)
    assert notes == ()
    assert all(expected[state] == action for state, action in found.items())
    boosted = Rule({"cap": 12, "base": 6}, (Boost("base", "finished", 2, 14),))
    table = table_of(RuleController(boosted, tandem, Grid(tandem.plant)), tandem)
    assert [table.policy[f"0,{x}"] for x in (5, 6)] == ["start", "wait"]
    assert [table.policy[f"9,{x}"] for x in (-2, -3)] == ["wait", "start"], "more than two customers wait"
    assert table.policy["12,-8"] == "wait", "the cap"
    assert table.notes == (
        "it decides at equal intervals: the table says what its setpoints of that moment would do at once",
    )


def test_what_was_set_while_the_first_machine_worked_starts_the_next_part(tandem: Compiled) -> None:
    free = table_of(Gate(tandem, at_work=False), tandem)
    assert (free.policy["3,4"], free.policy["0,4"], free.notes) == ("start", "start", ())
    early = table_of(Gate(tandem, at_work=True), tandem)
    assert (early.policy["3,4"], early.policy["0,4"]) == ("start", "wait")
    assert "it waits, but starts at once where the first machine has just ended a part" in early.notes[0]


def test_rows_that_are_shown_look_like_those_of_the_kernel(tandem: Compiled) -> None:
    rows, layout, observer = new_rows(tandem, 3, 256), tandem.layout, Observer(tandem)
    run_kernel(rows, tandem, tandem.ticks(200 * 3600.0))
    busy, n = layout.view(rows, "unit_phase")[:, 0] != FREE, layout.view(rows, "wip")[:, 0]
    x = layout.view(rows, "on_hand")[:, 0] - layout.view(rows, "backorders")[:, 0]
    assert 20 < busy.sum() < 236
    for works in (False, True):
        mine = busy == works
        shown = line_rows(tandem, np.column_stack([n - busy, x])[mine], works)
        assert np.array_equal(observer(shown), observer(rows[mine]))
