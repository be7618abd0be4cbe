"""Advice promises what it can keep: same luck for all candidates, fresh luck for the promise, few false alarms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from agents.advice import compare
from agents.advice.compare import Question, propose, reproduce
from agents.advice.futures import Outcome, block, halve, play
from agents.advice.gain import gain_of
from agents.advice.horizon import Reach, reach, relaxation_s
from agents.advice.moves import MOST, propose_candidates
from agents.control.controllers import RuleController
from agents.envs.grid import Grid
from agents.rules.rule import Boost, Rule
from agents.seeds import Spread, reseed
from sim.compile import Compiled
from sim.kernel import get_controls, new_rows, run, set_controls


def presents(compiled: Compiled, values: dict[str, int], hours: float, n: int = 64) -> np.ndarray:
    rows = new_rows(compiled, 11, 1)
    set_controls(rows, compiled, Grid(compiled.plant).vector(values))
    run(rows, compiled, compiled.ticks(hours * 3600))
    return np.repeat(rows, n, axis=0)


def rule_of(compiled: Compiled, **values: int) -> RuleController:
    return RuleController(Rule(values), compiled, Grid(compiled.plant))


def test_the_same_luck_for_all_and_different_futures_for_each(line3: Compiled) -> None:
    futures = block(presents(line3, {"cap": 6}, 30), line3, 5, Spread())
    out = play(futures, line3, np.array([[6], [6], [9]]), Reach(line3.ticks(3600), line3.ticks(4 * 3600)))
    assert np.array_equal(out.costs[0], out.costs[1]), "the same setpoint costs the same, to the last bit"
    assert len(np.unique(out.costs[0])) == 64, "no two replicas of one present have the same future"
    assert np.corrcoef(out.costs[0], out.costs[2]).flat[1] > 0.5


def test_replicas_keep_their_luck_whatever_stands_beside_them(line3: Compiled) -> None:
    rows = presents(line3, {"cap": 6}, 30)
    over = Reach(line3.ticks(3600), line3.ticks(2 * 3600))
    whole = play(block(rows, line3, 5, None), line3, np.array([[4]]), over).costs
    part = play(block(rows, line3, 5, None), line3, np.array([[6], [4]]), over, first=16).costs
    assert np.array_equal(whole[0, :16], part[1])


def test_reseeding_leaves_no_trace_of_the_old_luck(line3: Compiled) -> None:
    # an odd count keeps the second word of its block in the row: it must not survive into another address
    a, b = (new_rows(line3, seed, 1) for seed in (1, 2))
    for name in line3.layout.shape:
        if not name.endswith("_draws"):
            line3.layout.view(b, name)[...] = line3.layout.view(a, name)
    for rows in (a, b):
        reseed(rows, line3.layout, 77)
    assert np.array_equal(a, b)


def test_after_the_lease_the_setpoint_before_returns(line3: Compiled) -> None:
    futures = block(presents(line3, {"cap": 6}, 30, 4), line3, 5, None)
    out = play(futures, line3, np.array([[11]]), Reach(line3.ticks(60), line3.ticks(3600)))
    assert (get_controls(out.change[0] + futures.rows, line3) == 6).all()


def test_the_gain_of_an_interval_by_hand() -> None:
    gain = gain_of(np.arange(100.0), np.zeros(100))
    assert gain.mean == pytest.approx(49.5)
    assert (gain.lo, gain.hi) == (4.0, 95.0)
    assert gain.worse == 0.0
    same = gain_of(np.ones(50), np.ones(50))
    assert (same.mean, same.worse, same.t) == (0.0, 0.0, 0.0)


def test_the_promise_is_an_interval_of_the_difference_not_of_its_mean() -> None:
    rng = np.random.default_rng(0)
    few, many = (gain_of(rng.normal(10, 5, n), np.zeros(n)) for n in (200, 20_000))
    assert abs((many.hi - many.lo) - (few.hi - few.lo)) < 3.0, "more replicas do not shrink it"
    fresh = rng.normal(10, 5, 20_000)
    assert 0.88 < np.mean((fresh >= many.lo) & (fresh <= many.hi)) < 0.92


def test_sequential_halving_finds_the_best_of_many(monkeypatch: pytest.MonkeyPatch, line3: Compiled) -> None:
    rng = np.random.default_rng(3)

    def noise(_b: Any, _c: Any, values: np.ndarray, _o: Any, _t: int, first: int) -> Outcome:
        return Outcome(rng.normal(0, 1, (len(values), first)) - values[:, :1], np.zeros((1, 1, 1), dtype=np.int64))

    monkeypatch.setattr("agents.advice.futures.play", noise)
    futures = block(presents(line3, {"cap": 6}, 1, 256), line3, 1, None)
    values = np.array([[0], [0], [0], [1], [0], [0], [0], [0], [0]])
    found = [halve(futures, line3, values, Reach(1, 1))[0][0] for _ in range(20)]
    assert found.count(3) >= 18


def test_worthless_candidates_are_hardly_ever_recommended(
    monkeypatch: pytest.MonkeyPatch, two_motors: Compiled
) -> None:
    rng = np.random.default_rng(1)
    width = two_motors.layout.width

    def noise(block_: Any, _c: Any, values: np.ndarray, _o: Any, _t: int = 1, first: int | None = None) -> Outcome:
        n = len(block_.rows) if first is None else first
        return Outcome(rng.normal(0, 200, (len(values), n)), np.zeros((len(values), n, width), dtype=np.int64))

    monkeypatch.setattr("agents.advice.futures.play", noise)
    monkeypatch.setattr(compare, "play", noise)
    monkeypatch.setattr("agents.advice.moves.play", noise)
    present = {"cap40": 14, "cap80": 9, "base40": 34, "base80": 22, "kit_level": 760}
    rows = presents(two_motors, present, 34, 64)
    told = [propose(Question(two_motors, rows, present, seed)).recommendation is not None for seed in range(60)]
    assert sum(told) <= 3


def test_a_starved_line_is_told_to_release_more_and_it_can_be_recomputed(line3: Compiled) -> None:
    present = {"cap": 2}
    rows = presents(line3, present, 34, 128)
    rule = rule_of(line3, cap=8)
    question = Question(line3, rows, present, 4711, rule=rule)
    answer = propose(question)
    body = answer.recommendation
    assert body is not None, answer.why
    assert (body["control"], body["from"]) == ("cap", 2)
    assert body["to"] > 2
    assert body["gain"]["mean"] > line3.plant.controls[0].worth
    assert body["gain"]["lo"] < body["gain"]["mean"] < body["gain"]["hi"]
    assert set(body["vs"]) == {"nothing", "rule"}
    assert body["lease_s"] < body["horizon_s"]
    assert body["kpis"]["finished products"]["to"][0] > body["kpis"]["finished products"]["from"][0]
    assert any("orders waiting" in line for line in body["why"])
    assert body["evidence"]["seeds"][0] != body["evidence"]["seeds"][1]
    assert reproduce(body["evidence"], rows, line3, None, rule) == body
    with pytest.raises(ValueError, match="rows"):
        reproduce(body["evidence"], rows[1:], line3, None, rule)
    with pytest.raises(ValueError, match="rule"):
        reproduce(body["evidence"], rows, line3, None, None)


def test_candidates_stay_inside_range_limits_and_locks(two_motors: Compiled) -> None:
    present = {"cap40": 22, "cap80": 15, "base40": 64, "base80": 10, "kit_level": 760}
    rows = presents(two_motors, present, 34, 8)
    paint = two_motors.station_index["paint"]
    two_motors.layout.view(rows, "n_state")[:, paint] = 0
    two_motors.layout.view(rows, "n_state")[:, paint, 5] = 1
    rule = rule_of(two_motors, cap40=26, cap80=18, base40=40, base80=20, kit_level=760)
    found = propose_candidates(
        Question(two_motors, rows, present, 1, rule=rule, locked=("base80",)), Grid(two_motors.plant)
    )
    assert all(value <= 22 for c in found for control, value in c.moves if control == "cap40")
    assert all(value <= 15 for c in found for control, value in c.moves if control == "cap80")
    assert all(control != "base80" for c in found for control, _ in c.moves)
    assert any(c.by.startswith("rule:") and c.control == "base40" for c in found)
    assert len(found) == len({c.moves for c in found}) <= MOST


def test_nothing_may_move(line3: Compiled) -> None:
    rows = presents(line3, {"cap": 6}, 34, 8)
    answer = propose(Question(line3, rows, {"cap": 6}, 1, locked=("cap",)))
    assert answer.recommendation is None
    assert "rate limit" in answer.why


def test_horizons_cover_the_lead_time_and_open_hours(two_motors: Compiled) -> None:
    controls = {c.id: c for c in two_motors.plant.controls}
    monday_10, friday_21 = two_motors.ticks(10 * 3600), two_motors.ticks((4 * 24 + 21) * 3600)
    supply = reach(controls["kit_level"], two_motors, monday_10)
    assert supply.lease >= two_motors.ticks(84 * 3600), "lead time and review period"
    assert supply.horizon >= supply.lease + two_motors.ticks(84 * 3600), "what was ordered last has come"
    early, late = (reach(controls["cap40"], two_motors, t) for t in (monday_10, friday_21))
    assert early.lease == two_motors.ticks(8 * 3600)
    assert late.lease == two_motors.ticks((1 + 56 + 7) * 3600), "a shift of open time, over the weekend"
    assert early.horizon - early.lease >= two_motors.ticks(relaxation_s(two_motors.plant))


def test_a_boost_acts_while_customers_wait(two_motors: Compiled) -> None:
    grid = Grid(two_motors.plant)
    values = {"cap40": 14, "cap80": 9, "base40": 34, "base80": 22, "kit_level": 760}
    rule = Rule(values, (Boost("cap40", "stock40", 3, 5),))
    rows = new_rows(two_motors, 1, 2)
    two_motors.layout.view(rows, "backorders")[1, two_motors.stock_index["stock40"]] = 4
    assert rule.act(rows, two_motors, grid)[:, 0].tolist() == [14, 19]
