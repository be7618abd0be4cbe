"""Exact optima against the oracles, which know other methods; what cannot be solved is refused with its reason."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from scipy.sparse import csr_matrix

import plantwin
from agents.errors import AgentError, NotExactError, SchemaError, TooLargeError
from agents.exact import optimum_periodic, optimum_priority, optimum_stock, optimum_tandem
from agents.exact.optimum import Effort, optimum, policy_cost, read_policy
from agents.exact.optimum_solver import Problem, gain, solve
from sim.plant import Dist, Plant
from sim.plantfile import load
from tests.agents.test_played import text_of
from tests.oracles import cmu3, dual_sourcing, lost_sales, tandem_release
from tests.oracles import make_to_stock as oracle
from tests.oracles import make_to_stock_parts as parts


def written(tmp_path: Path, name: str, *changes: tuple[str, str]) -> Plant:
    text = text_of(name)
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    path = tmp_path / "plant.yaml"
    path.write_text(text, encoding="utf-8")
    return load(path)


# --- the solver


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_bounds_hold_what_a_linear_programme_finds(seed: int) -> None:
    """Least average cost over state-action frequencies (Manne 1960), on random processes."""
    rng = np.random.default_rng(seed)
    states, actions = 6, 3
    move = rng.dirichlet(np.full(states, 0.5), size=states * actions)
    cost = rng.normal(size=states * actions) * 10
    found = solve(Problem(np.arange(states) * actions, csr_matrix(move), cost, 0.5), 1e-9)
    stay = np.repeat(np.eye(states), actions, axis=0) - move
    exact = linprog(
        cost, A_eq=np.vstack([stay.T, np.ones(states * actions)]), b_eq=np.append(np.zeros(states), 1.0), method="highs"
    )
    assert found.low - 1e-6 <= exact.fun / 0.5 <= found.high + 1e-6
    assert found.high - found.low < 1e-7
    assert gain(Problem(np.arange(states) * actions, csr_matrix(move), cost, 0.5), found.chosen, 0)[0] == pytest.approx(
        found.cost, abs=1e-6
    )


def test_bounds_hold_when_time_runs_out() -> None:
    chain = optimum_stock.Chain(optimum_stock.read(load("make_to_stock")), free=True)
    early = solve(chain.problem, limit_s=0.0)
    assert early.low < 8.628 < early.high
    assert early.high - early.low > 1.0


def test_a_periodic_chain_is_solved() -> None:
    """Two states in turn, costs 1 and 3: plain value iteration would swing for ever."""
    turn = Problem(np.array([0, 1]), csr_matrix(np.array([[0.0, 1.0], [1.0, 0.0]])), np.array([1.0, 3.0]), 1.0)
    assert solve(turn).cost == pytest.approx(2.0)


def test_a_policy_that_chance_decides_has_no_single_cost() -> None:
    moves = csr_matrix(np.array([[0.0, 0.5, 0.5], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]))
    split = Problem(np.arange(3), moves, np.array([0.0, 1.0, 2.0]), 1.0)
    with pytest.raises(AgentError, match="chance decides"):
        gain(split, np.arange(3), 0)
    assert gain(split, np.arange(3), 2)[0] == pytest.approx(2.0)


# --- one machine that makes to stock


def test_make_to_stock_has_the_oracles_optimum() -> None:
    found, (exact, policy) = optimum(load("make_to_stock")), oracle.best(oracle.MakeToStock())
    assert found.low - 1e-7 <= exact <= found.high + 1e-7
    assert found.cost == pytest.approx(8.628, abs=5e-4)
    named = {f"{x},{k}": oracle.ACTIONS[policy[x + 12, k]] for x in range(-12, 26) for k in range(5)}
    assert found.policy == named
    assert found.also == (), "the plant file lets the machine be stopped at every event"


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_other_parameters_have_the_oracles_optimum(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 5))
    fail = tuple(np.cumsum(rng.uniform(0.0, 0.03, n)))
    other = oracle.MakeToStock(
        demand=0.5, mu=tuple(rng.uniform(0.7, 1.5, n)), wear=tuple(rng.uniform(0.05, 0.3, n)), fail=fail,
        preventive=0.3, corrective=0.1, holding=1.0, backlog=float(rng.uniform(2, 9)), lost=20.0, preventive_cost=5.0,
        corrective_cost=40.0, low=-5, high=9,
    )  # fmt: skip
    bundled = optimum_stock.read(load("make_to_stock"))
    same = replace(
        bundled, **{k: getattr(other, k) for k in other.__dataclass_fields__}, scrap=(0.0,) * n, most=5, initial=3
    )
    chain = optimum_stock.Chain(same, free=True)
    found, (exact, policy) = solve(chain.problem), oracle.best(other)
    assert found.cost == pytest.approx(exact, rel=1e-7)
    table = {f"{x},{k}": oracle.ACTIONS[policy[x + 5, k]] for x in range(-5, 10) for k in range(n)}
    assert gain(chain.problem, chain.chosen(table), chain.start)[0] == pytest.approx(exact, rel=1e-7)


def test_the_rules_gaps_are_the_oracles() -> None:
    """Two numbers lose 12.2 %, ten a quarter of a per cent, the optimum's own table nothing."""
    plant, model = load("make_to_stock"), oracle.MakeToStock()
    best, m = optimum(plant), optimum_stock.read(plant)
    exact, level, at = oracle.best_two_numbers(model)
    two = policy_cost(plant, optimum_stock.constant(m, level, at))[0]
    assert two == pytest.approx(exact, rel=1e-9)
    assert two / best.cost - 1 == pytest.approx(0.122, abs=0.001)
    # what tests/oracles finds by coordinate search (`best_ten_numbers`): stated here, because that takes a while
    ten = policy_cost(plant, optimum_stock.per_condition(m, [5, 9, 6, -12, -12], [26, 9, 6, -12, -12]))[0]
    assert 0.0 < ten / best.cost - 1 < 0.0026
    assert policy_cost(plant, best.policy)[1] == pytest.approx(best.cost, rel=1e-8)


NO_SURPLUS = (", surplus: scrapped", "")


@pytest.mark.parametrize(
    ("change", "at_once", "resumes"),
    [
        (("      finish: no\n      part: scrapped\n", ""), False, True),
        (("      part: scrapped\n", ""), True, True),
        (("part: scrapped", "part: scrapped"), True, False),
    ],
)
def test_parts_that_are_finished_cost_more(
    change: tuple[str, str], at_once: bool, resumes: bool, tmp_path: Path
) -> None:
    """Without `surplus: scrapped` or without `finish: no` another optimum stands beside; an oracle has it."""
    found = optimum(written(tmp_path, "make_to_stock", NO_SURPLUS, change))
    assert found.cost == pytest.approx(8.628, abs=5e-4)
    [(name, cost)] = found.also
    assert "finished" in name
    assert cost == pytest.approx(parts.best(parts.Shop(oracle.MakeToStock(), at_once, resumes))[0], rel=1e-6)


def test_demand_that_is_lost_at_once(tmp_path: Path) -> None:
    lost = ("most: 12, backlog: 5 EUR/h, lost_cost", "unmet: lost, lost_cost")
    found = optimum(written(tmp_path, "make_to_stock", lost))
    assert found.cost == pytest.approx(oracle.best(oracle.MakeToStock(low=0))[0], rel=1e-7)


def test_customers_without_a_limit(tmp_path: Path) -> None:
    """The chain is cut where that changes nothing, and says so."""
    plant = written(
        tmp_path, "make_to_stock", ("most: 12, ", ""), (", lost_cost: 35 EUR", ""), ("poisson(0.7/h)", "poisson(0.3/h)")
    )
    found, deep = optimum(plant), oracle.MakeToStock(demand=0.3, low=-70, lost=0.0)
    assert any("any number of customers waits; cut at" in line for line in found.about)
    assert found.cost == pytest.approx(oracle.best(deep)[0], rel=1e-5)
    assert policy_cost(plant, found.policy)[0] == pytest.approx(found.cost, rel=1e-6)


# --- the others


def test_a_longer_lead_time_has_zipkins_cost(tmp_path: Path) -> None:
    """Table 1 of Zipkin 2008: lead time 3, p = 4."""
    plant = written(tmp_path, "lost_sales", ("constant(2 d)", "constant(3 d)"), ("from: 0, to: 40", "from: 0, to: 32"))
    assert optimum(plant).cost == pytest.approx(4.60, abs=0.0051)


def test_lost_sales_has_zipkins_optimum() -> None:
    found = optimum(load("lost_sales"))
    exact, orders = lost_sales.best(lost_sales.LostSales(5.0, 2, 1.0, 4.0, 32, 16))
    assert found.cost == pytest.approx(exact, abs=1e-5)
    assert found.cost == pytest.approx(4.40, abs=0.0051)
    assert [int(found.policy[f"{x},{y}"]) for x, y in ((0, 0), (6, 5), (12, 4))] == [
        int(orders[x, y]) for x, y in ((0, 0), (6, 5), (12, 4))
    ]


def test_dual_sourcing_has_the_optimum_of_the_split_decision() -> None:
    plant, model = load("dual_sourcing"), dual_sourcing.DualSourcing((0.2,) * 5, 5.0, 495.0, 10.0)
    assert optimum(plant).cost == pytest.approx(dual_sourcing.optimum(model, 16), rel=1e-6)
    chain = optimum_periodic.Chain(optimum_periodic.read(plant))
    levels = policy_cost(plant, optimum_periodic.by_levels(chain, 8, 4))[0]
    assert levels == pytest.approx(dual_sourcing.best(model, range(3, 6), range(7, 10))[2], rel=1e-9)


def test_tandem_release_has_the_optimum_of_the_arrays(tmp_path: Path) -> None:
    """At a lighter load, at which neither method has to look far; docs/agents.md has the bundled plant's optimum."""
    plant, model = written(tmp_path, "tandem_release", ("0.7/h", "0.5/h")), tandem_release.Tandem(demand=0.5, low=-50)
    found, exact = optimum(plant), tandem_release.iterate(model)
    assert found.cost == pytest.approx(exact[0], rel=1e-6)
    starts = {key: value == "start" for key, value in found.policy.items()}
    assert all(starts[f"{n},{x}"] == exact[1][n, x + 50] for n in range(9) for x in range(-10, 9))
    table = optimum_tandem.by_levels(optimum_tandem.Chain(optimum_tandem.read(plant)), 8, 6)
    exact_constant = tandem_release.iterate(model, tandem_release.constant(model, 8, 6))[0]
    assert policy_cost(plant, table)[0] == pytest.approx(exact_constant, rel=1e-6)


def test_cmu3_is_served_as_value_iteration_would() -> None:
    """The formula against an oracle that knows none, at a lighter load; and its order for the bundled plant."""
    plant = load("cmu3")
    assert optimum(plant).policy == {"1": "b", "2": "a", "3": "c"}
    shop = cmu3.Shop((0.1, 0.08, 0.05), (1.0, 0.5, 1 / 3), (1.0, 3.0, 2.0), 9)
    kinds = tuple(
        optimum_priority.Kind(name, rate, 1 / mu, 2 / mu**2, c, c, 0.0)
        for name, rate, mu, c in zip("abc", shop.arrivals, shop.rates, shop.cost, strict=True)
    )
    assert [k.name for k in optimum_priority.best(kinds)] == ["b", "a", "c"]
    assert optimum_priority.cost(optimum_priority.best(kinds)) == pytest.approx(cmu3.iterate(shop)[0], rel=5e-5)
    assert optimum_priority.cost(kinds) == pytest.approx(cmu3.iterate(shop, (0, 1, 2))[0], rel=5e-5)


def test_any_work_time_and_revenue_in_the_c_mu_plant(tmp_path: Path) -> None:
    """A constant work time has half the waiting of an exponential one (Pollaczek and Khinchine)."""
    plant = written(
        tmp_path, "cmu3", ("a: exponential(1 h)", "a: 1 h"), ("a: {routing:", "a: {revenue: 4 EUR, routing:")
    )
    kinds = optimum_priority.read(plant)
    assert kinds[0].square == pytest.approx(1.0)
    assert kinds[0].finished == -4.0
    assert optimum(plant).cost < 7.1642 - 0.8


# --- what cannot be solved

CARE = next(line + "\n" for line in text_of("make_to_stock").splitlines() if line.startswith("  care:"))
LATE = "{lead: constant(2 d), reliability: 90 %, late: 1 d}"
REFUSED = [
    ("make_to_stock", ("arrivals: poisson(0.7/h)", "arrivals: constant(1 h)"), "arrivals of customers.*exponential"),
    ("make_to_stock", ("corrective: exponential(14.28571428571429 h)", "corrective: 14 h"), "corrective.*exponential"),
    ("make_to_stock", ("cap: 1,", "cap: 2,"), "policy and cap: expected .'conwip', 1., found .'conwip', 2."),
    ("make_to_stock", ("part: {routing: [machine]}", "part: {routing: [machine], holding: 1 EUR/h}"), "part: holding"),
    ("make_to_stock", (CARE, ""), "sets stations.machine.at_level"),
    ("make_to_stock", ("machine:\n", "machine:\n    yield: 90 %\n"), "what follows its operation"),
    ("lost_sales", ("constant(2 d)", "constant(36 h)"), "whole review periods"),
    ("lost_sales", ("constant(2 d)", "uniform(1 d, 2 d)"), "constant lead time"),
    ("lost_sales", ("arrivals: constant(1 d)", "arrivals: poisson(1/d)"), "arrivals .one every review."),
    ("lost_sales", ("level: 16, every: 1 d", "level: 16"), "expected a review every period"),
    ("lost_sales", ("{lead: constant(2 d)}", LATE), "supplier maker: reliability"),
    ("tandem_release", ("capacity: 0", "capacity: 3"), "places before it"),
    ("tandem_release", ("poisson(0.7/h)", "poisson(0.95/h)"), "no policy has a finite cost"),
    ("tandem_release", ("{work: exponential(1.1 h)}", "{work: exponential(1.1 h), units: 2}"), "second: units is 2"),
    ("cmu3", ("a: exponential(1 h)", "a: exponential(3 h)"), "load is 1.2"),
    ("cmu3", ("poisson(0.2/h)", "constant(5 h)"), "arrivals of a"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "change", "reason"), REFUSED, ids=[f"{n}-{c[1][:20]}" for n, c, _ in REFUSED])
def test_what_does_not_fit_is_named(name: str, change: tuple[str, str], reason: str, tmp_path: Path) -> None:
    plant = written(tmp_path, name, change)
    with pytest.raises(NotExactError, match=reason) as caught:
        optimum(plant)
    assert plant.id in str(caught.value)


def test_too_large_is_said_before_anything_is_built(tmp_path: Path) -> None:
    with pytest.raises(TooLargeError, match=r"too large: up to .* at most"):
        optimum(written(tmp_path, "lost_sales", ("constant(2 d)", "constant(9 d)")))
    plant = load("make_to_stock")
    wide = tuple(replace(c, high=10**6) if c.id == "base" else c for c in plant.controls)
    with pytest.raises(TooLargeError, match=r"too large: 2.6e.07 states"):
        optimum(replace(plant, controls=wide))


def test_other_plants_say_what_they_have() -> None:
    for name in ("gearmotor", "mm1", "line3", "serial_supply3"):
        with pytest.raises(NotExactError, match=f"plant {name} has .* stations, .* expected one machine"):
            optimum(load(name))


def test_a_table_must_say_everything(tmp_path: Path) -> None:
    plant = load("make_to_stock")
    policy = optimum(plant).policy
    with pytest.raises(NotExactError, match="stock 3, condition 1: expected one of idle, produce, pm, found 'rest'"):
        policy_cost(plant, policy | {"3,1": "rest"})
    with pytest.raises(NotExactError, match="stock -12, condition 0"):
        policy_cost(plant, {k: v for k, v in policy.items() if k != "-12,0"})
    with pytest.raises(NotExactError, match="cannot be ordered"):
        policy_cost(load("lost_sales"), optimum(load("lost_sales")).policy | {"3,1": "90"})
    with pytest.raises(NotExactError, match="each of a, b, c once"):
        policy_cost(load("cmu3"), {"1": "a", "2": "a", "3": "c"})
    (tmp_path / "list.json").write_text("[1]")
    with pytest.raises(SchemaError, match="object of texts"):
        read_policy(tmp_path / "list.json")


def test_distributions_of_other_kinds_are_refused_by_name() -> None:
    plant = load("tandem_release")
    product = plant.products[0]
    steps = (replace(product.steps[0], work=Dist("gamma", (3_600_000.0, 0.5))), product.steps[1])
    with pytest.raises(NotExactError, match="work of first, the distribution: expected 'exponential', found 'gamma'"):
        optimum(replace(plant, products=(replace(product, steps=steps),)))


# --- the commands


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    try:
        code = plantwin.main(list(arguments))
    except SystemExit as e:
        code = int(e.code or 0)
    out, err = capsys.readouterr()
    return code, out, err


def test_the_commands_in_a_round(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(tmp_path / "policy.json")
    code, out, _ = run(capsys, "optimum", "make_to_stock", "--json", "--out", path)
    told = json.loads(out)
    assert (code, round(told["cost"], 3), told["unit"]) == (0, 8.628, "EUR/h")
    assert json.loads(Path(path).read_text()) == told["policy"]
    code, out, _ = run(capsys, "policy", "cost", path, "--plant", "make_to_stock")
    assert (code, out) == (0, "8.62802 EUR/h, 0.00 % above the optimum 8.62802 EUR/h\n")
    code, out, _ = run(capsys, "optimum", "cmu3")
    assert code == 0
    assert "at best 7.16429 EUR/h" in out
    assert "b, a, c" in out


def test_refusals_end_with_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "optimum", "gearmotor")
    assert (code, out) == (2, "")
    assert err.startswith("plantwin: plant gearmotor has 10 stations")
    (tmp_path / "p.json").write_text('{"0,0": "idle"}')
    code, _, err = run(capsys, "policy", "cost", str(tmp_path / "p.json"), "--plant", "make_to_stock")
    assert code == 2
    assert "condition" in err


def test_effort_stops_in_time() -> None:
    found = optimum(load("tandem_release"), Effort(precision=1e-10, limit_s=0.0))
    assert any("stopped at the time limit" in line for line in found.about)
    assert found.low < 18.9718 < found.high
