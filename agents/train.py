"""Train a policy with PPO, Stable-Baselines3's own or `ResidentPPO`, and write it as a bundle."""

from __future__ import annotations

import json
import platform
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback

from agents import bundle
from agents.controllers import Hold, PolicyController, RuleController
from agents.env import PlantVectorEnv
from agents.errors import TrainingError
from agents.evaluate import Trial, Verdict, compare
from agents.grid import Grid, as_switches, switches
from agents.lanes import Lanes
from agents.learning import Config, Judge, Scales, card, check_learnable, measure, spec, start_bias
from agents.policy import Network
from agents.resident import ResidentPPO
from agents.rules import Rule
from agents.schema import Observer
from sim.compile import Compiled, compile_plant

if TYPE_CHECKING:
    from twin.posterior_file import FilePosterior

SAMPLE = 64
"""Observations kept of each update, to know what the policy has seen."""


@dataclass(frozen=True, slots=True)
class Job:
    """What to train: the plant, the rule to start from, and how long. `budget_s` is wall time a seed; with `steps`,
    that many decisions instead, which makes the weights a function of the seed alone (on one machine and thread count).
    With a `posterior`, of the plant `compiled`, each episode's parameters are drawn from it.
    """

    compiled: Compiled
    rule: Rule
    out: Path
    budget_s: float = 600.0
    steps: int | None = None
    device: str = "auto"
    threads: int = 1
    pairs: int = 300
    command: str = "plantwin train"
    config: Config = field(default_factory=Config)
    posterior: FilePosterior | None = None

    @property
    def on_device(self) -> bool:
        """Does the simulation, too, run on a CUDA device?"""
        if self.config.trainer == "stock" or self.device == "cpu" or self.compiled.own is not None:
            return False
        return self.device == "cuda" or torch.cuda.is_available()


@dataclass(frozen=True, slots=True)
class Progress:
    """What the progress bar shows: share of the budget, decisions a second, cost an hour of the training lanes, best
    checkpoint's cost and the rule's, on the same seeds.
    """

    done: float
    steps: int
    rate: float
    cost: float
    best: float
    rule: float


@dataclass(frozen=True, slots=True)
class Trained:
    """One seed's outcome: where the bundle is, the checkpoint's cost an hour on the seeds for choices, and the
    verdicts.
    """

    path: Path
    seed: int
    cost: float
    rule_cost: float
    verdicts: dict[str, Verdict]


def train(job: Job, seeds: int, show: Callable[[int, Progress], None] = lambda _s, _p: None) -> Trained:
    """Train `seeds` policies into `out/seed-N`, and copy the best on the seeds for choices to `out` itself."""
    check_learnable(job.compiled)
    torch.set_num_threads(job.threads)
    # each distribution checks its logits otherwise, five controls a step; the weights are checked at every checkpoint
    torch.distributions.Distribution.set_default_validate_args(False)
    results = [_one(job, seed, lambda p, s=seed: show(s, p)) for seed in range(seeds)]  # type: ignore[misc]
    best = min(results, key=lambda r: r.cost)
    for name in ("policy.safetensors", "policy.json", "evidence.json", "card.md"):
        shutil.copyfile(best.path / name, job.out / name)
    (job.out / "SIGNATURE").unlink(missing_ok=True)  # of what lay here before
    return Trained(job.out, best.seed, best.cost, best.rule_cost, best.verdicts)


def _one(job: Job, seed: int, show: Callable[[Progress], None]) -> Trained:
    config, compiled = job.config, job.compiled
    if switches(compiled.plant):
        compiled = compile_plant(as_switches(compiled.plant))
    decide = config.decides(compiled)
    settings: dict[str, Any] = {
        "epoch_s": config.epoch_s,
        "reward_unit": 1.0,
        "max_episode_s": config.episode_weeks * 7 * 86_400.0,
        "stagger": True,
        "posterior": job.posterior,
        "decide": decide,
    }
    env = PlantVectorEnv(config.lanes, compiled, threads=job.threads, copy=False, **settings)
    scales = measure(env, job.rule, config)
    lanes = Lanes(env, scales.centre, scales.scale)
    if job.on_device:
        from agents.device import PlantDeviceEnv
        from agents.device_lanes import DeviceLanes

        lanes = DeviceLanes(PlantDeviceEnv(config.lanes, compiled, **settings), scales.centre, scales.scale)
    began = time.monotonic()
    model = _model(job, compiled, lanes, seed, scales, began)
    judge = Judge(compiled, config, scales.epoch, job.threads, job.posterior)
    watch = _Watch(job, judge, lanes, began, show)
    lanes.seed(seed)
    model.learn(job.steps or 10**12, callback=watch, log_interval=10**9)
    watch.check(model)
    return _write(job, seed, watch, scales, time.monotonic() - began)


def _model(job: Job, compiled: Compiled, lanes: Lanes, seed: int, scales: Scales, began: float) -> PPO:
    """PPO whose untrained policy is a bell curve about the rule."""
    config = job.config

    def rate(left: float) -> float:
        if job.steps is None:
            left = max(1.0 - (time.monotonic() - began) / job.budget_s, 0.0)
        return config.rate * left

    torch.manual_seed(seed)
    batch = min(config.minibatch, config.lanes * config.steps)
    kind = PPO if config.trainer == "stock" else partial(ResidentPPO, graphs=job.on_device)
    model = kind(
        "MlpPolicy",
        lanes,
        learning_rate=rate,
        n_steps=config.steps,
        batch_size=batch,
        n_epochs=config.epochs,
        gamma=scales.gamma,
        gae_lambda=config.gae,
        clip_range=config.clip,
        ent_coef=config.entropy,
        seed=seed,
        device=job.device,
        verbose=0,
        policy_kwargs={"net_arch": list(config.hidden), "activation_fn": torch.nn.Tanh},
    )
    bias = torch.as_tensor(start_bias(compiled, job.rule, config.explore))
    with torch.no_grad():
        head: Any = model.policy.action_net
        head.bias.copy_(bias)
    return model


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


class _Watch(BaseCallback):
    """Stops at the end of the budget, judges checkpoints on the seeds for choices, keeps the best, watches for NaN."""

    def __init__(self, job: Job, judge: Judge, lanes: Lanes, began: float, show: Callable[[Progress], None]) -> None:
        super().__init__()
        self.job, self.judge, self.lanes, self.began, self.show = job, judge, lanes, began, show
        self.rule_cost = judge.rule(job.rule)
        self.best: Network | None = None
        self.best_cost = np.inf
        self.history: list[dict[str, float]] = []
        self.seen: list[NDArray[np.float32]] = []
        self.checked = 0
        self.cost = float("nan")
        self.rng = np.random.Generator(np.random.PCG64(0))

    def done(self) -> float:
        """Share of the budget that is used."""
        if self.job.steps is not None:
            return self.num_timesteps / self.job.steps
        return (time.monotonic() - self.began) / self.job.budget_s

    def _on_step(self) -> bool:
        return self.job.steps is not None or self.done() < 1.0

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
        if self.done() * self.job.config.checks >= self.checked:
            self.check(self.model)
            self.checked += 1
        rate = self.num_timesteps / max(time.monotonic() - self.began, 1e-9)
        self.show(
            Progress(min(self.done(), 1.0), self.num_timesteps, rate, self.cost, float(self.best_cost), self.rule_cost)
        )

    def check(self, model: Any) -> None:
        """Judge the present weights; keep them when they are the best so far."""
        network = extract(model, self.judge.grid)
        cost = self.judge.network(network)
        self.history.append({"steps": float(self.num_timesteps), "cost_per_hour": round(cost, 4)})
        if cost < self.best_cost:
            self.best, self.best_cost = network, cost


def _write(job: Job, seed: int, watch: _Watch, scales: Scales, seconds: float) -> Trained:
    """Judge the chosen checkpoint on the test seeds and write its bundle."""
    compiled, network, played = job.compiled, watch.best, watch.judge.compiled
    if network is None:
        raise TrainingError("no checkpoint was judged: the budget was too short for one update; raise --budget")
    folder = job.out / f"seed-{seed}"
    about = spec(
        played,
        network,
        scales.epoch,
        np.concatenate(watch.seen or [np.zeros((1, Observer(compiled).size), np.float32)]),
        job.config.decides(compiled),
    )
    about["plant_hash"] = compiled.hash
    loaded = bundle.Bundle("candidate", network, json.loads(json.dumps(about)), {})
    policy = PolicyController(loaded, Observer(compiled), watch.judge.grid)
    trial = Trial(pairs=job.pairs, threads=job.threads)
    rule = RuleController(job.rule, compiled, watch.judge.grid)
    verdicts = {"rule": compare(policy, rule, compiled, trial), "nothing": compare(policy, Hold(), compiled, trial)}
    evidence: dict[str, Any] = {
        "command": job.command,
        "plant": compiled.plant.id,
        "plant_hash": compiled.hash,
        "rule": job.rule.name,
        "seed": seed,
        "steps": int(watch.num_timesteps),
        "seconds": round(seconds, 1),
        "budget_s": job.budget_s,
        "epoch_s": about["epoch_s"],
        "decide": about["decide"],
        "device": str(watch.model.device),
        "hardware": f"{platform.machine()}, {job.threads} thread(s), {watch.model.device}",
        "versions": ", ".join(f"{p} {version(p)}" for p in ("stable-baselines3", "torch", "numpy", "numba")),
        "config": asdict(job.config),
        "scales": asdict(scales),
        "selection": watch.history,
        "selected_cost_per_hour": watch.best_cost,
        "rule_cost_per_hour": watch.rule_cost,
        "verdicts": {k: v.as_json() for k, v in verdicts.items()},
    }
    if job.posterior is not None:
        evidence["posterior"] = job.posterior.id
    bundle.save(folder, network, about, evidence, card(compiled, evidence))
    return Trained(folder, seed, float(watch.best_cost), watch.rule_cost, verdicts)
