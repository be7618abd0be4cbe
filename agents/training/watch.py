"""What watches a training: the end of its budget or its target, checkpoints judged on the seeds for choices, numbers
that are none, what is shown, and when all of it is kept for a resume.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.callbacks import BaseCallback

from agents.bundles.policy import Network
from agents.control.over import unmoved
from agents.envs.grid import Grid
from agents.errors import TrainingError
from agents.training.checkpoint import Saved
from agents.training.goal import Goal, reached
from agents.training.lanes import Lanes
from agents.training.learning import Judge

if TYPE_CHECKING:
    from agents.control.controllers import RuleController
    from agents.rules.rule import Rule

SAMPLE = 64
"""Observations kept of each update, to know what the policy has seen."""
CONFIRM = 1000
"""First of the seeds for choices on which a checkpoint is confirmed that may have reached its target."""


@dataclass(frozen=True, slots=True)
class Progress:
    """What the progress bar shows: share of the budget, decisions a second, cost an hour of the training lanes, best
    checkpoint's cost and the rule's, on the same seeds, and the least cost there is (None: not known).
    """

    done: float
    steps: int
    rate: float
    cost: float
    best: float
    rule: float
    optimum: float | None = None


@dataclass(slots=True)
class Clock:
    """Wall time of a training, `before` a cut and since; with `steps`, decisions say how much is done."""

    budget_s: float
    steps: int | None
    before: float = 0.0
    began: float = field(default_factory=time.monotonic)

    def used(self) -> float:
        """Seconds."""
        return self.before + time.monotonic() - self.began

    def done(self, timesteps: int) -> float:
        """Share of the budget that is used."""
        return timesteps / self.steps if self.steps is not None else self.used() / self.budget_s


def extract(model: Any, grid: Grid) -> Network:
    """The policy of an SB3 model as plain numpy."""
    policy: Any = model.policy
    layers = [m for m in policy.mlp_extractor.policy_net if isinstance(m, torch.nn.Linear)] + [policy.action_net]
    weights = tuple(layer.weight.detach().cpu().numpy().astype(np.float32).copy() for layer in layers)
    if not all(np.isfinite(w).all() for w in weights):
        raise TrainingError(
            "the weights are no longer finite: learning diverged; use a smaller learning rate or check the "
            "costs in the plant file"
        )
    biases = tuple(layer.bias.detach().cpu().numpy().astype(np.float32).copy() for layer in layers)
    return Network(weights, biases, tuple(int(n) for n in grid.counts), "median")


class Watch(BaseCallback):
    """Stops at the end of the budget or at the target, judges checkpoints and keeps the best, watches for NaN.

    `keep` is called between two rollouts where `every_s` seconds have passed since it was called last. `over`: the
    rule that the best policy moves, if it does. `ended`: the target has been reached.
    """

    def __init__(self, judge: Judge, lanes: Lanes, clock: Clock, goal: Goal, show: Callable[[Progress], None]) -> None:
        super().__init__()
        self.judge, self.lanes, self.clock, self.goal, self.show = judge, lanes, clock, goal, show
        self.rule_cost = float("nan")
        self.best: Network | None = None
        self.over: RuleController | None = None
        self.best_cost = np.inf
        self.history: list[dict[str, float]] = []
        self.seen: list[NDArray[np.float32]] = []
        self.checked = 0
        self.checks = judge.checks
        self.cost = float("nan")
        self.ended = False
        self.resumed: list[int] = []
        self._later = 0
        self.rng = np.random.Generator(np.random.PCG64(0))
        self.keep: Callable[[], None] = lambda: None
        self.every_s = float("inf")
        self._kept = time.monotonic()
        self._at = (0, time.monotonic())

    def begin(self, rule: Rule) -> None:
        """What a new training begins with: the rule's cost."""
        self.rule_cost = self.judge.rule(rule)

    def _on_training_start(self) -> None:
        self._at = (self.num_timesteps, time.monotonic())
        self._kept = time.monotonic()

    def _on_step(self) -> bool:
        return not self.ended and (self.clock.steps is not None or self.clock.used() < self.clock.budget_s)

    def _on_rollout_end(self) -> None:
        model: Any = self.model
        buffer = model.rollout_buffer
        rewards, seen = (torch.as_tensor(x) for x in (buffer.rewards, buffer.observations))
        if not bool(torch.isfinite(rewards).all()):
            raise TrainingError("a reward is not finite; check the costs in the plant file")
        flat = seen.reshape(-1, seen.shape[-1])
        which = torch.as_tensor(self.rng.integers(0, len(flat), SAMPLE), device=flat.device)
        self.seen.append(flat[which].cpu().numpy().copy())
        cost, ticks = self.lanes.take()
        self.cost = cost / (ticks * self.judge.compiled.plant.tick_s / 3600.0)

    def _on_rollout_start(self) -> None:
        now = time.monotonic()
        if self.num_timesteps > self._at[0] and now - self._kept >= self.every_s:
            self.keep()
            self._kept = time.monotonic()
        if self.clock.done(self.num_timesteps) * self.checks >= self.checked:
            self.check(self.model)
            self.checked += 1
        rate = (self.num_timesteps - self._at[0]) / max(time.monotonic() - self._at[1], 1e-9)
        done = 1.0 if self.ended else min(self.clock.done(self.num_timesteps), 1.0)
        cost, best = self.cost, float(self.best_cost)
        told = Progress(done, self.num_timesteps, rate, cost, best, self.rule_cost, self.goal.optimum)
        self.show(told)
        self._log(told)

    def _log(self, told: Progress) -> None:
        """The same and what the update recorded, for TensorBoard and the like; nothing listens otherwise."""
        record = self.logger.record
        record("cost/best_checkpoint", told.best)
        record("cost/rule", told.rule)
        if np.isfinite(told.cost):
            record("cost/training_lanes", told.cost)
        for name, least in (("rule", told.rule), ("optimum", told.optimum)):
            if least:
                record(f"cost/percent_above_{name}", 100.0 * (told.best - least) / abs(least))
        record("time/decisions_per_second", told.rate)
        self.logger.dump(self.num_timesteps)

    def check(self, model: Any) -> None:
        """Judge the present weights; keep them when they are the best so far, and see whether the target is reached."""
        network = extract(model, self.judge.grid)
        costs = self.judge.costs(network)
        cost = float(costs.mean())
        self.history.append({"steps": float(self.num_timesteps), "cost_per_hour": round(cost, 4)})
        if not cost < self.best_cost:
            return
        self.best, self.best_cost = network, cost
        self.enough(network, costs)

    def enough(
        self, network: Network, costs: NDArray[np.float64] | None = None, over: RuleController | None = None
    ) -> bool:
        """Has a network reached the target, surely? `costs`: where they are known, of the replicas that checkpoints are
        compared on.
        """
        if self.goal.target is None or self.ended:
            return self.ended
        if costs is None:
            self._later += 1
            costs = self.judge.costs(network, over=over)
        first = CONFIRM + 10 * (len(self.history) + self._later)
        self.ended = reached(self.goal.target, costs, lambda k, n: self.judge.costs(network, (first + k, n), over))
        return self.ended

    def adopt(self, network: Network, decisions: int, sure: float) -> bool:
        """Take a network of a later stage, `decisions` after the last, unless the best so far is better by `sure`
        standard errors of the difference on the same seeds; was it taken?
        """
        assert self.best is not None, "a checkpoint is judged before"
        costs = self._judged(network, decisions)
        worse = costs - self.judge.costs(self.best, over=self.over)
        if worse.mean() > sure * worse.std(ddof=1) / np.sqrt(worse.size):
            return False
        self.best, self.best_cost, self.over = network, float(costs.mean()), None
        return True

    def better(self, network: Network, decisions: int, over: RuleController | None = None) -> bool:
        """Take a network of a later stage, `decisions` after the last, if it costs less than the rule and the best so
        far on the same seeds; was it taken?
        """
        cost = float(self._judged(network, decisions, over).mean())
        if cost >= min(float(self.best_cost), self.rule_cost):
            return False
        self.best, self.best_cost, self.over = network, cost, over
        return True

    def return_to(self, rule: RuleController) -> None:
        """Take the rule itself, as a policy over it that moves nothing."""
        network = unmoved(rule.grid, self.judge.observer.size)
        cost = float(self._judged(network, 0, rule).mean())
        self.best, self.best_cost, self.over = network, cost, rule

    def _judged(self, network: Network, decisions: int, over: RuleController | None = None) -> NDArray[np.float64]:
        costs = self.judge.costs(network, over=over)
        self.num_timesteps += decisions
        self.history.append({"steps": float(self.num_timesteps), "cost_per_hour": round(float(costs.mean()), 4)})
        return costs

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Arrays and facts from which `restore` makes it what it is."""
        best = self.best
        assert best is not None, "a checkpoint is judged before anything is kept"
        nothing = np.zeros((0, self.judge.observer.size), dtype=np.float32)
        arrays: dict[str, NDArray[Any]] = {"watch.seen": np.concatenate([nothing, *self.seen])}
        for k, (weight, bias) in enumerate(zip(best.weights, best.biases, strict=True)):
            arrays |= {f"watch.best.{k}.weight": weight, f"watch.best.{k}.bias": bias}
        cost = self.cost if np.isfinite(self.cost) else None  # no rollout yet
        facts = {
            "history": self.history, "best_cost": float(self.best_cost), "rule_cost": self.rule_cost,
            "checked": self.checked, "cost": cost, "over": self.ended, "resumed": self.resumed,
            "sampler": self.rng.bit_generator.state, "used_s": self.clock.used(),
        }  # fmt: skip
        return arrays, facts

    def restore(self, saved: Saved, model: Any) -> None:
        """Go on from a checkpoint; `model` has the same layers as the best network in it."""
        like = extract(model, self.judge.grid)
        layers = range(len(like.weights))
        weights = tuple(saved.array(f"watch.best.{k}.weight", like.weights[k]) for k in layers)
        biases = tuple(saved.array(f"watch.best.{k}.bias", like.biases[k]) for k in layers)
        self.best = Network(weights, biases, like.counts, like.decode)
        self.seen = [saved.arrays["watch.seen"]] if saved.arrays["watch.seen"].size else []
        self.history, self.checked = saved.fact("history"), int(saved.fact("checked"))
        self.best_cost, self.rule_cost = float(saved.fact("best_cost")), float(saved.fact("rule_cost"))
        known = saved.fact("cost")
        self.cost, self.ended = float("nan") if known is None else float(known), bool(saved.fact("over"))
        self.resumed = [*saved.fact("resumed"), int(saved.fact("timesteps"))]
        self.rng.bit_generator.state = saved.fact("sampler")
        self.num_timesteps = int(saved.fact("timesteps"))
