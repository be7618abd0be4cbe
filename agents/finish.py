"""The stage of a training after PPO, on plants whose states can be counted: `agents.improve` on what is left of the
budget, from PPO's best checkpoint on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from threadpoolctl import threadpool_limits

from agents.env import PlantVectorEnv
from agents.improve import JOINT, Improver, telling
from agents.learning import Config
from agents.watch import Progress

if TYPE_CHECKING:
    from agents.train import Run
    from sim.compile import Compiled

PROBE = (128, 128)
"""Lanes and random decisions after which it is seen whether states come again."""
AGAIN = 0.5
"""They do when at most so many of the observations are distinct."""
SEEN = 1000
"""Observations kept to know what the policy has seen."""
JUDGED = 256
"""Replicas that PPO's checkpoints, and at last both stages, are compared on where this stage follows: the choice
matters little then, and thousands of replicas would take the budget.
"""
SURE = 1.0
"""Standard errors by which PPO's checkpoint must be better to be kept."""


def share(config: Config, compiled: Compiled, drawn: bool, settings: dict[str, Any]) -> float:
    """Share of the budget for this stage: `Config.improve` where all joint actions can be tried and the states that are
    met come again, else 0. `drawn`: parameters differ from episode to episode, so that counts would mix plants.
    """
    if config.improve <= 0.0 or config.trainer != "resident" or compiled.own is not None or drawn:
        return 0.0
    lanes, decisions = PROBE
    env = PlantVectorEnv(lanes, compiled, **{**settings, "posterior": None})
    if int(np.prod(env.grid.counts, dtype=float)) > JOINT:
        return 0.0
    use = telling(env)
    rng, met = np.random.Generator(np.random.PCG64(0)), []
    env.reset(seed=0)
    for _ in range(decisions):
        seen, *_ = env.step(rng.integers(0, env.grid.counts, (lanes, len(env.grid.counts))))
        met.append(seen[:, use])
    distinct = len(np.unique(np.concatenate(met), axis=0))
    return config.improve if distinct <= AGAIN * lanes * decisions else 0.0


def improve(run: Run) -> None:
    """Improve on PPO's best checkpoint until the budget is used up. What comes out is taken unless PPO's is surely
    better on the seeds for choices: the difference is mostly smaller than their noise.
    """
    job, watch = run.job, run.watch
    if run.improving <= 0.0 or watch.over or watch.best is None:
        return
    env: Any = run.host
    with threadpool_limits(limits=job.threads, user_api="blas"):
        run.improver = improver = Improver(env, run.scales.scale, watch.best.decide, seed=run.seed)
        played = judged = 0
        while (done := _done(run, improver.decisions)) < 1.0:
            improver.round()
            if improver.full:
                job.say(f"seed {run.seed}: {len(improver.states):,} states met, more than can be counted: ends early")
                break
            if improver.moments_told != judged:
                judged = improver.moments_told
                if watch.enough(improver.network):
                    break
            if improver.decisions - played > env.num_envs * 128 or played == 0:
                played = improver.decisions
                rate = improver.decisions / max(run.clock.used() - run.began_s, 1e-9)
                told = (watch.cost, float(watch.best_cost), watch.rule_cost, watch.goal.optimum)
                watch.show(Progress(done, watch.num_timesteps + improver.decisions, rate, *told))
        if improver.moments == 0:
            job.say(f"seed {run.seed}: PPO took the whole budget, nothing was improved after it; raise --budget")
            return
        improver.improve()
    run.improved = watch.adopt(improver.network, improver.decisions, SURE)
    if run.improved:
        watch.seen.append(improver.sample(SEEN))


def _done(run: Run, decisions: int) -> float:
    if run.job.steps is not None:
        return (run.model.num_timesteps + decisions) / run.job.steps
    return run.clock.used() / run.job.budget_s
