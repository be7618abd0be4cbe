"""The stage of a training after PPO, on what is left of the budget, from PPO's best checkpoint on: where states can be
counted `agents.training.improve`, elsewhere, where decisions fall at intervals and the budget allows it,
`agents.training.distill`.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from threadpoolctl import threadpool_limits

from agents.advice.horizon import SHIFT_S
from agents.bundles.policy import Network
from agents.control.controllers import Controller, RuleController
from agents.envs.env import PlantVectorEnv
from agents.envs.epochs import INTERVAL
from agents.rules.tune import judge_span
from agents.training.distill import LOOKED, Distillation, Distiller
from agents.training.gates import as_asked
from agents.training.improve import JOINT, Improvement, Improver, telling
from agents.training.learning import Config, Untold
from agents.training.watch import Progress

if TYPE_CHECKING:
    from agents.training.train import Run
    from sim.compile import Compiled

PROBE = (128, 128)
"""Lanes and random decisions after which it is seen whether states come again."""
AGAIN = 0.5
"""They do when at most so many of the observations are distinct."""
SEEN = 1000
"""Observations kept to know what the policy has seen."""
JUDGED = 256
"""Replicas that PPO's checkpoints, and at last both stages, are compared on where states are counted: the choice
matters little then, and thousands of replicas would take the budget.
"""
SURE, EARLIER = 1.0, 4
"""Standard errors by which PPO's checkpoint, or a policy before the last, must be better to be kept; how many before
the last are looked at, each from two thirds of the moments of the next one.
"""
PPO_SHARE, PPO_S = 0.05, 10.0
"""Of a budget where another stage follows PPO gets so much, and at most so many seconds: what it finds there is a
beginning, and on `make_to_stock` it was half of the time to 1 % above the optimum.
"""
GATED = Improvement(every=16)
"""With gates there is little to compare, and much to be known of what follows: half as many steps again a second are
played for a quarter of the branches.
"""
COUNTED, DISTILLED = "counted", "distilled"
"""The kinds of this stage, as a bundle's evidence names them."""
FITS = 0.2
"""Share of the budget that one estimate of the cost to go may take, so that there is time for a round."""
PART, LOOKS = 0.34, 3.0
"""A round of distilling takes this share of what is left of the budget, and at least so many times its estimate."""


@dataclass(frozen=True, slots=True)
class Ending:
    """Which kind of stage follows PPO ("": none), and what share of the budget it gets; `epoch_s`: the interval between
    decisions that it wants (None: the usual one). `why`: what people should know where none follows that could.
    """

    kind: str = ""
    share: float = 0.0
    epoch_s: float | None = None
    why: str = ""


def share_of(config: Config, wall_s: float, steps: int | None) -> float:
    """Share of a budget (wall time, or that many decisions) that a stage after PPO gets."""
    if config.improve is not None:
        return config.improve
    return 1.0 - (PPO_SHARE if steps is not None else min(PPO_SHARE, PPO_S / wall_s))


def ending(
    config: Config, compiled: Compiled, drawn: bool, settings: dict[str, Any], budget: tuple[float, int | None]
) -> Ending:
    """What follows PPO on this plant. `drawn`: parameters differ from episode to episode, so moments would mix plants;
    `budget`: wall time, or that many decisions.
    """
    wall, steps = budget
    share = share_of(config, wall, steps)
    if share <= 0.0 or config.trainer != "resident" or compiled.own is not None or drawn:
        return Ending()
    lanes, decisions = PROBE
    env, *_ = as_asked(PlantVectorEnv(lanes, compiled, **{**settings, "posterior": None}))
    use = telling(env)
    rng, met = np.random.Generator(np.random.PCG64(0)), []
    env.reset(seed=0)
    began = 0.0
    for k in range(decisions):
        if k == 1:  # the first step may compile
            began = time.perf_counter()
        seen, *_ = env.step(rng.integers(0, env.grid.counts, (lanes, len(env.grid.counts))))
        met.append(seen[:, use])
    took = time.perf_counter() - began
    distinct = len(np.unique(np.concatenate(met), axis=0))
    if int(np.prod(env.grid.counts, dtype=float)) <= JOINT and distinct <= AGAIN * lanes * decisions:
        return Ending(COUNTED, share)
    if config.decides(compiled) != INTERVAL:
        return Ending()
    usual = env.epoch * compiled.plant.tick_s
    epoch_s = config.epoch_s or (max(SHIFT_S, usual) if compiled.plant.calendars else usual)
    fit = Distillation().fit
    intervals = fit.replicas * (fit.steps + judge_span(compiled).warmup * compiled.plant.tick_s / epoch_s)
    each = took / (lanes * (decisions - 1)) * epoch_s / usual
    needed, given, what = intervals * each / FITS, wall, ("s", "--budget")
    if steps is not None:
        needed, given, what = intervals / FITS, float(steps), ("decisions", "--steps")
    if needed <= given:
        return Ending(DISTILLED, share, epoch_s)
    return Ending(
        why=f"PPO has the whole budget: distilling rollouts after it takes about {needed:,.0f} {what[0]} or more, "
        f"found {given:,.0f}; raise {what[1]}"
    )


def improve(run: Run) -> None:
    """Improve on PPO's best checkpoint, or on the rule, until the budget is used up; what is worse than the rule
    does not remain at the end.
    """
    if run.watch.ended or run.watch.best is None:
        return
    kind = run.ending.kind
    if kind != COUNTED:  # PPO began with the rule's constants alone: what is surely better is kept
        _no_worse(run, -SURE)
    if kind:
        with threadpool_limits(limits=run.job.threads, user_api="blas"):
            (_counted if kind == COUNTED else _distilled)(run)
    if kind == COUNTED and not run.watch.ended:
        _no_worse(run, SURE)


def _counted(run: Run) -> None:
    """Policy iteration on counted states. What comes out is taken unless a policy shortly before it, or PPO's, is
    surely better on the seeds for choices: the difference is mostly smaller than their noise, but nothing says that
    least squares ends on a good policy (one seed of five on `dual_sourcing` ended 0.8 % above its rule, the others
    1.8 % below).
    """
    job, watch = run.job, run.watch
    assert watch.best is not None
    env, spelled, asked = as_asked(run.host)
    settings = Improvement() if env is run.host else GATED
    run.improver = improver = Improver(env, run.scales.scale, partial(asked, watch.best), settings, run.seed, spelled)
    told = _Telling(run)
    judged, earlier = 0, deque[Network](maxlen=EARLIER)
    while told.done(improver.decisions) < 1.0:
        improver.round()
        if improver.full:
            job.say(f"seed {run.seed}: {len(improver.states):,} states met, more than can be counted: ends early")
            break
        if improver.moments_told != judged:
            judged = improver.moments_told
            earlier.append(improver.network)
            if watch.enough(improver.network):
                break
        told.show(improver.decisions, env.num_envs * 128)
    if improver.moments == 0:
        job.say(f"seed {run.seed}: PPO took the whole budget, nothing was improved after it; raise --budget")
        return
    improver.improve()
    if watch.adopt(_best_of(run, improver.network, earlier), improver.decisions, SURE):
        run.improved = COUNTED
        watch.seen.append(improver.sample(SEEN))


def _best_of(run: Run, last: Network, earlier: Iterable[Network]) -> Network:
    """The last policy, unless one before it is surely better on the seeds for choices."""
    judge = run.watch.judge
    costs = judge.costs(last)
    for network in earlier:
        less = costs - (found := judge.costs(network))
        if less.mean() > SURE * less.std(ddof=1) / np.sqrt(less.size):
            last, costs = network, found
    return last


def _distilled(run: Run) -> None:
    """Rounds of distilling from the better of the rule and PPO's best checkpoint. A round's policy is the next round's
    if it costs less than all before it on the seeds for choices; else its moments are too few, and more are collected.
    """
    watch, epoch_s = run.watch, run.scales.epoch * run.compiled.plant.tick_s
    told, spent = _Telling(run), 0
    began = told.done(0)
    distiller = Distiller(run.compiled, _best(run), epoch_s, seed=run.seed, threads=run.job.threads)
    over = distiller.over
    fitted = told.done(distiller.decisions) - began
    while (now := told.done(distiller.decisions)) < 1.0:
        distiller.collect(_over(told, distiller, _until(now, fitted)))
        proven = distiller.settle(distiller.propose())
        if not proven.taken:
            continue
        better, spent = watch.better(proven.network, distiller.decisions - spent, over), distiller.decisions
        if better:
            run.improved = DISTILLED
            watch.seen.append(distiller.sample(SEEN))
            if watch.enough(proven.network, over=over):
                return
            if told.done(distiller.decisions) > 1.0 - LOOKS * fitted:
                return  # there is no time for another round
            distiller.begin(distiller.controller(proven.network), proven.known)


def _until(now: float, fitted: float) -> float:
    """When a round that begins to look at `now` has looked enough: with the budget, if there is no time for another."""
    until = now + max(PART * (1.0 - now), LOOKS * fitted)
    return 1.0 if 1.0 - until < LOOKS * fitted else until


def _over(told: _Telling, distiller: Distiller, until: float) -> Callable[[], bool]:
    begun = distiller.moments

    def over() -> bool:
        told.show(distiller.decisions, 1)
        return told.done(distiller.decisions) >= until or distiller.moments - begun >= LOOKED

    return over


def _rule(run: Run) -> RuleController:
    return RuleController(run.job.rule, run.compiled, run.watch.judge.grid)


def _more(run: Run) -> float:
    """By how many standard errors the best policy so far costs more than the rule, on the seeds for choices."""
    judge, watch = run.watch.judge, run.watch
    assert watch.best is not None
    more = judge.costs(watch.best, over=watch.over) - judge.rule_costs(run.job.rule)
    mean, error = float(more.mean()), float(more.std(ddof=1)) / float(np.sqrt(more.size))
    return mean / error if error > 0.0 else 0.0


def _no_worse(run: Run, errors: float) -> None:
    """Go back to the rule where the best policy costs more by so many standard errors (less than 0: where it does not
    cost less by them): as a policy over the rule, which is the rule until something proves better. Not from a rule of
    constants, which PPO begins as, nor where anything is decided at events: no policy is over a rule there.
    """
    rule, watch = _rule(run), run.watch
    if rule.static or rule.kinds or watch.judge.kinds or _more(run) < errors:
        return
    watch.return_to(rule)
    run.improved = ""


def _best(run: Run) -> Controller:
    """The best policy so far: the rule, unless PPO's best checkpoint costs surely less on the seeds for choices."""
    watch, judge = run.watch, run.watch.judge
    assert watch.best is not None
    if watch.over is not None or _more(run) >= -SURE:
        return _rule(run)
    epoch_s = run.scales.epoch * run.compiled.plant.tick_s
    return Untold(watch.best, judge.observer, judge.grid, judge.kinds, epoch_s=epoch_s)


class _Telling:
    """How far a stage is, and the progress bar."""

    def __init__(self, run: Run) -> None:
        self.run, self.shown, self.at = run, -1, 0.0

    def done(self, decisions: int) -> float:
        """Share of the budget that is used, `decisions` after PPO."""
        run = self.run
        if run.job.steps is not None:
            return (run.model.num_timesteps + decisions) / run.job.steps
        return run.clock.used() / run.job.budget_s

    def show(self, decisions: int, every: int) -> None:
        """Tell people, after so many decisions, twice a second at most."""
        run, now = self.run, time.monotonic()
        if self.shown >= 0 and (decisions - self.shown < every or now - self.at < 0.5):
            return
        self.shown, self.at = decisions, now
        watch = run.watch
        rate = decisions / max(run.clock.used() - run.began_s, 1e-9)
        costs = (watch.cost, float(watch.best_cost), watch.rule_cost, watch.goal.optimum)
        watch.show(Progress(min(self.done(decisions), 1.0), run.model.num_timesteps + decisions, rate, *costs))
