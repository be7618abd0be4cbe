"""Rollouts distilled into a network: the regression, the proof, and what comes out against exact optima."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from agents.control.controllers import controller
from agents.control.costtogo import Fit
from agents.envs.env import compiled_plant
from agents.envs.grid import Grid
from agents.envs.schema import CLOCK
from agents.exact.optimum import optimum, policy_cost
from agents.exact.table import table_of
from agents.training.distill import Distillation, Distiller
from agents.training.regress import SLOT, Basis, Moments, Regression, ridge
from sim import state as st

SMALL = Distillation(rows=64, futures=2, fit=Fit(replicas=64, steps=60), runs=32)


def moments_of(gain: np.ndarray, seen: np.ndarray, base: np.ndarray, value: np.ndarray) -> Moments:
    n = len(gain)
    return Moments(seen.astype(np.float32), base[:, None], np.arange(n), np.zeros(n, dtype=np.int64), value, gain)


def made_up(noise: float, seed: int = 0, n: int = 4000) -> tuple[Moments, np.ndarray, Grid, tuple[str, ...]]:
    """One control (lost_sales' level) whose best value is 10 in odd shifts, and 4 + 8 x the stock in even ones."""
    rng = np.random.default_rng(seed)
    grid = Grid(compiled_plant("lost_sales").plant)
    shift = rng.integers(0, 21, n)
    turn = 2.0 * np.pi * shift / 21.0
    stock, other = rng.random(n), rng.random(n)
    seen = np.stack([stock, other, np.sin(3 * turn), np.cos(3 * turn), np.sin(turn), np.cos(turn)], axis=1)
    best = np.where(shift % 2 == 1, 10.0, 4.0 + 8.0 * stock)
    base = np.full(n, 8)
    value = base + rng.integers(-6, 7, n)
    gain = (base - best) ** 2 - (value - best) ** 2 + noise * rng.normal(size=n)
    return moments_of(gain, seen, base, value), best, grid, ("stock", "other", *CLOCK)


def test_the_best_value_of_each_state_is_found_in_noise() -> None:
    moments, best, grid, fields = made_up(noise=30.0)
    found = Regression(moments, fields, grid).after(moments)
    network = found.network()
    set_to = grid.decode(network.decide(moments.seen))[:, 0]
    odd = best == 10.0
    assert found.heads[0].sure
    assert np.abs(set_to - best).mean() < 1.5 < np.abs(8 - best).mean()
    assert np.abs(set_to[odd] - 10.0).mean() < 1.5
    assert set_to.min() >= 2
    assert set_to.max() <= 14, "nothing that was not tried"


def test_a_policy_that_nothing_was_learnt_about_is_followed() -> None:
    """Setpoints by condition, as a rule may have them, and no gain anywhere: the network sets what the rule sets."""
    moments, best, grid, fields = made_up(noise=30.0)
    base = np.where(moments.seen[:, 0] > 0.5, 14, 8)
    rng = np.random.default_rng(3)
    empty = replace(moments, base=base[:, None], value=base, gain=np.zeros(len(best)))
    sets = grid.decode(Regression(empty, fields, grid).after(empty).network().decide(moments.seen))[:, 0]
    assert np.abs(sets - base).mean() < 1.0
    assert (sets[base == 14].mean(), sets[base == 8].mean()) == (pytest.approx(14, abs=0.7), pytest.approx(8, abs=0.7))
    constant = replace(empty, base=np.full((len(best), 1), 8), value=8 + rng.integers(-1, 2, len(best)))
    same = Regression(constant, fields, grid).after(constant).network().decide(moments.seen)
    assert (grid.decode(same) == 8).all()


def test_between_two_decisions_the_last_one_holds() -> None:
    """Decisions every 8 h: whatever the hour is, exactly the unit of the shift that runs is on."""
    turn = 2.0 * np.pi * np.arange(21) / 21.0
    basis = Basis(np.stack([np.sin(turn), np.cos(turn), np.sin(turn), np.cos(turn)], axis=1).astype(np.float32), CLOCK)
    assert (basis.group == SLOT).sum() == 21
    hours = np.arange(0.0, 168.0, 0.5)
    turn = 2.0 * np.pi * hours / 168.0
    seen = np.stack([np.sin(turn), np.cos(turn), np.sin(turn), np.cos(turn)], axis=1).astype(np.float32)
    on = np.tanh(seen @ basis.weights.T + basis.biases)[:, basis.group[1:] == SLOT]
    assert (on.argmax(axis=1) == hours // 8).all()
    assert (np.sort(on, axis=1)[:, -1] > 0.9).all()
    assert (np.sort(on, axis=1)[:, -2] < -0.9).all()


def test_noise_moves_nothing() -> None:
    moments, _, grid, fields = made_up(noise=30.0)
    rng = np.random.default_rng(1)
    moved = 0
    for _ in range(10):
        empty = replace(moments, gain=30.0 * rng.normal(size=len(moments.gain)))
        found = Regression(empty, fields, grid).after(empty)
        moved += int(found.heads[0].sure)
    assert moved <= 1


def test_a_second_round_keeps_what_the_first_found() -> None:
    """From the best setpoints no trial gains: what is known says so already."""
    moments, best, grid, fields = made_up(noise=0.0)
    known = Regression(moments, fields, grid).after(moments)
    assert known.heads[0].explained > 0.8
    base = grid.decode(known.network().decide(moments.seen))[:, 0]
    gain = (base - best) ** 2 - (moments.value - best) ** 2 + 30.0 * np.random.default_rng(2).normal(size=len(base))
    again = known.after(replace(moments, base=base[:, None], gain=gain))
    moved = grid.decode(again.network().decide(moments.seen))[:, 0]
    assert np.abs(moved - best).mean() <= np.abs(base - best).mean() + 0.3


def test_few_longer_futures_correct_many_short_ones() -> None:
    """Short futures believe that each unit above 8 is worth 10 more than it is; the longer ones say so."""
    moments, best, grid, fields = made_up(noise=10.0)
    value = moments.value
    wrong = 10.0 * (value - 8)
    known = Regression(moments, fields, grid).after(replace(moments, gain=moments.gain + wrong))
    few = np.arange(0, len(best), 8)
    noise = 10.0 * np.random.default_rng(4).normal(size=len(few))
    later = replace(moments, at=few, control=moments.control[few], value=value[few], gain=noise - wrong[few])

    def off(found: Regression) -> float:
        return float(np.abs(grid.decode(found.network().decide(moments.seen))[:, 0] - best).mean())

    assert off(known) > 2.5
    assert off(known.corrected(later)) < 1.5
    same = known.corrected(replace(later, gain=noise))
    assert abs(off(same) - off(known)) < 0.3, "what says nothing corrects nothing"


def test_ridge_tells_signal_from_noise() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1200, 30))
    group, block = np.repeat([0, 1, 2], 10), np.arange(1200) // 40
    noise = rng.normal(size=1200)
    fit = ridge(x, x @ np.repeat([0.0, 0.3, 0.0], 10) + noise, group, block)
    assert fit.sure
    assert fit.explained == pytest.approx(0.9 / 1.9, abs=0.1)
    assert fit.variance.mean() < 0.05
    assert not ridge(x, noise, group, block).sure


def test_rounds_come_near_the_optimum_of_lost_sales() -> None:
    """From the best base stock, which lies 5.5 % above the optimum: another round each time from what was proved."""
    plant = compiled_plant("lost_sales")
    least = optimum(plant.plant).cost
    rule = controller("level=16", plant)
    distiller = Distiller(plant, rule, None, replace(SMALL, reach=2, longer=0), seed=1)
    costs = [policy_cost(plant.plant, table_of(rule, plant).policy)[0]]
    for wanted in (8000, 8000):
        distiller.collect(lambda wanted=wanted: distiller.moments >= wanted)  # type: ignore[misc]
        proven = distiller.settle(distiller.propose())
        who = distiller.controller(proven.network)
        costs.append(policy_cost(plant.plant, table_of(who, plant).policy)[0])
        distiller.begin(who, proven.known)
    assert costs[0] == pytest.approx(1.0554 * least, rel=1e-3)
    assert least <= costs[2] < costs[1] < costs[0]
    assert costs[2] < 1.02 * least
    longer = Distiller(plant, rule, None, replace(SMALL, reach=2), seed=1)
    longer.collect(lambda: longer.moments >= 8000)
    corrected = longer.controller(longer.settle(longer.propose()).network)
    first = policy_cost(plant.plant, table_of(corrected, plant).policy)[0]
    assert least <= first, "nothing is below the optimum"
    assert first - least < 0.7 * (costs[1] - least), "longer futures: a first round leaves half as much"


def test_a_budget_that_is_over_still_looks_at_something() -> None:
    """Every second decision finds the level locked: one look there says nothing, and is not proposed from."""
    plant = compiled_plant("lost_sales")
    distiller = Distiller(plant, controller("level=16", plant), None, SMALL)
    free = distiller.look.every.copy()
    distiller.look.every = 2 * free
    if distiller.rows[0, st.NOW] % (2 * free[0]) == 0:
        distiller.runs.step(distiller.rows)
    distiller.collect(lambda: True)
    assert distiller.moments == SMALL.rows
    assert [len(proposal.heads) for proposal in distiller.propose()] == [1, 1]


def test_half_of_the_simulation_goes_into_longer_futures() -> None:
    """A look as usual takes two intervals a future, one that goes on six more: so it is every third one."""
    plant = compiled_plant("lost_sales")
    distiller = Distiller(plant, controller("level=16", plant), None, replace(SMALL, longer=6), seed=1)
    distiller.collect(lambda: distiller.moments >= 30 * SMALL.rows)
    assert (len(distiller._trials), len(distiller._later)) == (60, 20), "each control up and down"


def test_what_proves_bad_is_not_taken() -> None:
    """A proposal with its signs turned around is sure, and wrong."""
    plant = compiled_plant("lost_sales")
    distiller = Distiller(plant, controller("level=16", plant), None, SMALL, seed=1)
    distiller.collect(lambda: distiller.moments >= 4000)
    proposed = distiller.propose()[0]
    assert proposed.heads[0].sure
    proposed.heads[0] = replace(proposed.heads[0], weights=-proposed.heads[0].weights)
    proven = distiller.settle([proposed])
    assert proven.taken == ()
    seen = distiller.seen
    assert (distiller.look.grid.decode(proven.network.decide(seen)) == 16).all(), "the policy stays"
