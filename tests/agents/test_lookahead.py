"""Rollout over a rule: the same state gets the same answer, limits hold, and it comes near an optimum that is known."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from agents.control import lookahead
from agents.control.controllers import controller
from agents.control.costtogo import Fit, cost_to_go
from agents.control.lookahead import Luck, Plan, Rollout
from agents.control.rollout import Operation
from agents.control.timed import Timed, in_words
from benchmarks._paired import Size, gap, play
from plantwin import main
from sim.compile import Compiled, compile_plant
from sim.engine import new_rows
from sim.plantfile import load

OPTIMUM = 4.3953
"""EUR a day, of `lost_sales` (`plantwin optimum lost_sales`); the best base stock costs 4.6386."""
FIT = Fit(256, 300)


@pytest.fixture(scope="module")
def plant() -> Compiled:
    return compile_plant(load("lost_sales"))


@pytest.fixture(scope="module")
def ahead(plant: Compiled) -> Rollout:
    return Rollout(controller("level=16", plant), plant, Plan(fit=FIT))


def test_it_gains_on_the_best_base_stock_and_stays_above_the_optimum(plant: Compiled, ahead: Rollout) -> None:
    size = Size(96, 1, 8)
    rule = play(plant, ahead.rule, ahead.rule, size)
    found = play(plant, ahead.rule, ahead, size)
    gained = gap(found.costs - rule.costs, float(rule.costs.mean()))
    assert gained.hi < 0, gained.words()
    spread = found.costs.std() / np.sqrt(len(found.costs))
    assert found.costs.mean() * 24 > OPTIMUM - 4 * 24 * spread
    assert found.decision_s is not None
    assert found.decision_s > (rule.decision_s or 0)


def test_the_same_state_gets_the_same_answer(plant: Compiled, ahead: Rollout) -> None:
    """Whatever its luck was to be, wherever it stands in the batch."""
    rows = new_rows(plant, 5, 12)
    Operation(plant, ahead.rule, ahead.epoch).run(rows, 40 * ahead.epoch)
    answer = ahead.act(rows)
    assert len(np.unique(answer)) > 1
    assert (ahead.act(rows[::-1].copy()) == answer[::-1]).all()
    other = rows.copy()
    other[:, plant.layout.at("seed")] = 77
    ahead.unseen.redraw(other, ahead.unseen.uniforms([9], len(rows))[0])
    assert (ahead.act(other) == answer).all()


def test_longer_futures_are_those_of_a_longer_tail(plant: Compiled, ahead: Rollout) -> None:
    rows = new_rows(plant, 5, 6)
    Operation(plant, ahead.rule, ahead.epoch).run(rows, 40 * ahead.epoch)
    values = np.stack([np.full((6, 1), 16), np.full((6, 1), 20)], axis=1)
    luck, more = Luck(ahead.unseen.marks(rows), 0, 4), 3 * ahead.epoch
    short, later = ahead.longer(rows, values, luck, more)
    assert (short == ahead.gains(rows, values, luck)).all()
    tail = Rollout(ahead.rule, plant, replace(ahead.plan, tail_s=4 * ahead.epoch * plant.plant.tick_s, fit=FIT))
    assert np.allclose(later, tail.gains(rows, values, luck))
    assert not np.allclose(later, short)


def test_between_its_moments_a_control_stays_where_it_is(plant: Compiled, ahead: Rollout) -> None:
    rows = new_rows(plant, 5, 3)
    Operation(plant, controller("level=19", plant), ahead.epoch).run(rows, 30 * ahead.epoch + ahead.epoch // 2)
    assert (ahead.act(rows) == 19).all()


def test_a_gain_that_is_not_sure_is_not_played(plant: Compiled, ahead: Rollout) -> None:
    rows = new_rows(plant, 5, 12)
    Operation(plant, ahead.rule, ahead.epoch).run(rows, 40 * ahead.epoch)
    careful = Rollout(ahead.rule, plant, Plan(valued=False, sure=1e9))
    assert (careful.act(rows) == 16).all()


def test_evaluate_plays_it_and_says_what_a_decision_takes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = cost_to_go
    small = Fit(64, 40)  # the usual size takes half a minute on a busy machine
    monkeypatch.setattr(lookahead, "cost_to_go", lambda who, compiled, epoch, _: whole(who, compiled, epoch, small))
    asked = ["evaluate", "rollout:level=16", "--against", "level=16", "--plant", "lost_sales", "--pairs", "2", "--json"]
    with pytest.raises(SystemExit) as ended:
        main(asked)
    assert ended.value.code == 0
    said = json.loads(capsys.readouterr().out)
    assert said["a"].startswith("rollout:rule:fixed:")
    assert said["decision_cpu_s"]["a"] > said["decision_cpu_s"]["b"]


def test_time_in_words() -> None:
    assert [in_words(t) for t in (None, 1.5, 0.002, 3e-6)] == ["never asked", "1.5 s", "2 ms", "3 µs"]


def test_a_timed_controller_is_the_controller(plant: Compiled) -> None:
    rule = controller("level=16", plant)
    timed = Timed(rule)
    rows = new_rows(plant, 1, 4)
    values = timed.act(rows)
    assert values is not None
    assert values.shape == (4, 1)
    assert (timed.name, timed.static, timed.kinds, timed.decisions) == (rule.name, True, 0, 4)
    assert timed.each is not None
