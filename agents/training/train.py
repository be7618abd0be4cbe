"""Train a policy with PPO, Stable-Baselines3's own or `ResidentPPO`, and write it as a bundle."""

from __future__ import annotations

import json
import platform
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.logger import Logger

from agents.bundles import bundle
from agents.control.controllers import Hold, PolicyController, RuleController
from agents.envs.env import PlantVectorEnv
from agents.envs.grid import as_switches, switches
from agents.envs.schema import Observer
from agents.errors import TrainingError
from agents.evaluation.evaluate import Trial, Verdict, compare
from agents.rules.rule import Rule
from agents.training import checkpoint, resume
from agents.training.finish import COUNTED, JUDGED, Ending, ending, improve
from agents.training.goal import Goal, goal_of
from agents.training.lanes import Lanes
from agents.training.learning import Config, Judge, Scales, card, check_learnable, longest_s, measure, spec, start_bias
from agents.training.recipe import Begun, Recipe, read_begun
from agents.training.resident import ResidentPPO
from agents.training.watch import Clock, Progress, Watch
from sim.compile import Compiled, compile_plant

if TYPE_CHECKING:
    from agents.training.improve import Improver
    from agents.training.monitor import Monitor, Outputs
    from twin.posterior_file import FilePosterior

CHECKPOINTS = "checkpoints"
"""Folder in that of a training; empty when all is done."""


@dataclass(frozen=True, slots=True)
class Job:
    """What to train: the plant, the rule to start from, and how long. `budget_s` is wall time a seed; with `steps`,
    that many decisions instead, which makes the weights a function of the seed alone (on one machine and thread count).
    With a `posterior`, of the plant `compiled`, each episode's parameters are drawn from it. `target`: end early where
    it is reached (`agents.training.goal.goal_of`). A checkpoint is kept every `keep_s` seconds (inf: never); `resume`:
    go on from those in `out`. `say` is told what people should know.
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
    target: str | None = None
    keep_s: float = 60.0
    resume: bool = False
    say: Callable[[str], None] = lambda _: None
    monitor: Monitor | None = None

    @property
    def on_device(self) -> bool:
        """Does the simulation, too, run on a CUDA device?"""
        if self.config.trainer == "stock" or self.device == "cpu" or self.compiled.own is not None:
            return False
        return self.device == "cuda" or torch.cuda.is_available()

    def recipe(self, seeds: int = 1) -> Recipe:
        """What was asked for."""
        return Recipe(self.budget_s, self.steps, seeds, self.device, self.threads, self.target, self.config)

    def kept(self, seed: int) -> Path:
        """Where the checkpoint of a seed is."""
        return self.out / CHECKPOINTS / f"seed-{seed}.safetensors"


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


@dataclass(slots=True)
class Run:
    """The training of one seed as it goes: what its stages work with. `compiled` is the plant as it is learned on (its
    switches have two values); `host`: environments on the CPU; `ending`: the stage after PPO, `improver`: what it works
    with where states are counted, `improved`: its kind where its policy was taken; `began_s`: when the present stage
    began; `stage`: how many of `STAGES` are done; `extra`: what others want kept (JSON).
    """

    job: Job
    seed: int
    compiled: Compiled
    scales: Scales
    lanes: Lanes
    model: PPO
    clock: Clock
    watch: Watch
    host: PlantVectorEnv
    ending: Ending = field(default_factory=Ending)
    improved: str = ""
    began_s: float = 0.0
    improver: Improver | None = None
    stage: int = 0
    extra: dict[str, Any] = field(default_factory=dict)

    def keep(self) -> None:
        """Write everything that a resume needs."""
        arrays, facts = resume.take(self.model, self.lanes)
        more, watched = self.watch.state()
        own: dict[str, Any] = {
            "seed": self.seed,
            "stage": self.stage,
            "scales": asdict(self.scales),
            "device": self.model.device.type,
        }
        own["ending"] = asdict(self.ending)
        checkpoint.write(self.job.kept(self.seed), arrays | more, facts | watched | own | self.extra)

    def restore(self, saved: checkpoint.Saved) -> None:
        """Go on from a checkpoint."""
        if saved.fact("device") != self.model.device.type:
            raise TrainingError(
                f"{saved.path}: written on {saved.fact('device')}, found {self.model.device.type}: its random numbers "
                f"are others; resume with --device {saved.fact('device')}"
            )
        resume.put(saved, self.model, self.lanes)
        self.watch.restore(saved, self.model)
        self.stage = int(saved.fact("stage"))


def _ppo(run: Run) -> None:
    """PPO until the budget is used up or the target is reached."""
    model, steps = run.model, run.clock.steps or 10**12
    if model.num_timesteps < steps and not run.watch.ended:
        # learn() adds what has been done to what it is asked for, unless it begins anew
        begun = bool(run.watch.resumed)
        model.learn(steps - model.num_timesteps, run.watch, log_interval=10**9, reset_num_timesteps=not begun)
    if not run.watch.ended:
        run.watch.check(model)


STAGES: tuple[tuple[str, Callable[[Run], None]], ...] = (("PPO", _ppo), ("improvement", improve))
"""One after the other; what comes after PPO starts from its end when a training is resumed."""


def train(job: Job, seeds: int, show: Callable[[int, Progress], None] = lambda _s, _p: None) -> Trained:
    """Train `seeds` policies into `out/seed-N`, and copy the best on the seeds for choices to `out` itself."""
    prepare_torch(job)
    begun, results = begin(job, seeds), []
    goal = goal_of(job.compiled, job.target, job.posterior is None)
    for seed in range(seeds):
        if seed in begun.done:
            results.append(_finished(job, seed))
            continue
        results.append(run_seed(job, seed, goal, partial(show, seed)))
        begun = begun.finished(seed, job.out)
        job.kept(seed).unlink(missing_ok=True)
    best = min(results, key=lambda r: r.cost)
    for name in ("policy.safetensors", "policy.json", "evidence.json", "card.md"):
        shutil.copyfile(best.path / name, job.out / name)
    (job.out / "SIGNATURE").unlink(missing_ok=True)  # of what lay here before
    return Trained(job.out, best.seed, best.cost, best.rule_cost, best.verdicts)


def prepare_torch(job: Job) -> None:
    """Once before seeds are trained. `TrainingError` where there is nothing to learn."""
    check_learnable(job.compiled)
    torch.set_num_threads(job.threads)
    # each distribution checks its logits otherwise, five controls a step; the weights are checked at every checkpoint
    torch.distributions.Distribution.set_default_validate_args(False)


def versions() -> str:
    """Of what the numbers depend on."""
    return ", ".join(f"{p} {version(p)}" for p in ("stable-baselines3", "torch", "numpy", "numba"))


def begin(job: Job, seeds: int) -> Begun:
    """Begin a training in its folder, or take one up again. `TrainingError` where it is another one's."""
    recipe = job.recipe(seeds)
    posterior = None if job.posterior is None else job.posterior.id
    mine = Begun(job.compiled.plant.id, job.compiled.hash, job.rule.name, posterior, recipe, versions())
    if not job.resume:
        left = sorted((job.out / CHECKPOINTS).glob("*.safetensors"))
        if left:
            raise TrainingError(
                f"{left[0]}: a training that was cut off; go on with it by --resume {job.out}, remove that file, or "
                f"choose another folder"
            )
        mine.write(job.out)
        return mine
    begun = read_begun(job.out)
    begun.check(job.compiled, job.out)
    begun.same(recipe.flat(), job.out)
    for what, was, found in (("rule", begun.rule, mine.rule), ("posterior", begun.posterior, posterior)):
        if was != found:
            raise TrainingError(f"{job.out}: expected the {what} that the training began with, {was}, found {found}")
    if begun.versions != mine.versions:
        job.say(f"begun with {begun.versions}, now {mine.versions}: the weights may differ in their last digits")
    return begun


def run_seed(job: Job, seed: int, goal: Goal, show: Callable[[Progress], None]) -> Trained:
    """Train one seed, judge it, write its bundle."""
    run, outputs = learned(job, seed, goal, show)
    done = _write(run)
    if outputs is not None:
        outputs.end(done)
    return done


def learned(job: Job, seed: int, goal: Goal, show: Callable[[Progress], None]) -> tuple[Run, Outputs | None]:
    """A seed after all stages, from its checkpoint where the job is resumed; and where its numbers went."""
    path = job.kept(seed)
    saved = checkpoint.read(path) if job.resume and path.exists() else None
    if job.resume and saved is None:
        job.say(f"seed {seed}: no checkpoint yet, begins anew")
    run = _prepare(job, seed, goal, show, saved)
    outputs = None if job.monitor is None else job.monitor.begin(run, saved)
    begun = run.stage
    for k, (name, stage) in enumerate(STAGES[begun:], begun):
        if saved is not None and 0 < k == begun:
            job.say(f"seed {seed}: stage {name} is not resumed, it starts over from the last checkpoint")
        run.began_s = run.clock.used()
        stage(run)
        run.stage = k + 1
        if k + 1 < len(STAGES) and job.keep_s < float("inf"):
            run.keep()
    return run, outputs


def _prepare(job: Job, seed: int, goal: Goal, show: Callable[[Progress], None], saved: checkpoint.Saved | None) -> Run:
    """Environments, model and watch of a seed, as they are at the beginning or were at the checkpoint."""
    config, compiled = job.config, job.compiled
    if switches(compiled.plant):
        compiled = compile_plant(as_switches(compiled.plant))
    settings: dict[str, Any] = {
        "epoch_s": config.epoch_s or longest_s(compiled, config),
        "reward_unit": 1.0,
        "max_episode_s": config.episode_weeks * 7 * 86_400.0,
        "stagger": True,
        "posterior": job.posterior,
        "decide": config.decides(compiled),
    }
    if saved is not None:  # what the budget allows depends on the machine's speed; it has been decided
        last = Ending(**saved.fact("ending"))
    else:
        last = ending(config, compiled, job.posterior is not None, settings, (job.budget_s, job.steps))
        if last.why:
            job.say(f"seed {seed}: {last.why}")
    settings["epoch_s"] = last.epoch_s or settings["epoch_s"]
    env = PlantVectorEnv(config.lanes, compiled, threads=job.threads, copy=False, **settings)
    scales = measure(env, job.rule, config) if saved is None else Scales(**saved.fact("scales"))
    lanes = Lanes(env, scales.centre, scales.scale)
    if job.on_device:
        from agents.envs.device import PlantDeviceEnv
        from agents.training.device_lanes import DeviceLanes

        lanes = DeviceLanes(PlantDeviceEnv(config.lanes, compiled, **settings), scales.centre, scales.scale)
    first = 1.0 - last.share
    steps = None if job.steps is None else max(round(job.steps * first), 1)
    clock = Clock(job.budget_s * first, steps, 0.0 if saved is None else float(saved.fact("used_s")))
    model = _model(job, compiled, lanes, seed, scales, clock)
    judge = Judge(compiled, config, scales.epoch, job.threads, job.posterior)
    if last.kind == COUNTED:
        judge.replicas, judge.checks = min(judge.replicas, JUDGED), min(judge.checks, 3)
    watch = Watch(judge, lanes, clock, goal, show)
    run = Run(job, seed, compiled, scales, lanes, model, clock, watch, env, last)
    watch.keep, watch.every_s = run.keep, job.keep_s
    if saved is not None:
        run.restore(saved)
    else:
        watch.begin(job.rule)
        lanes.seed(seed)
    return run


def _model(job: Job, compiled: Compiled, lanes: Lanes, seed: int, scales: Scales, clock: Clock) -> PPO:
    """PPO whose untrained policy is a bell curve about the rule."""
    config = job.config

    def rate(left: float) -> float:
        if clock.steps is None:
            left = max(1.0 - clock.done(0), 0.0)
        return config.rate * left

    torch.manual_seed(seed)
    batch = min(config.minibatch, config.lanes * config.steps)
    kind = PPO if config.trainer == "stock" else partial(ResidentPPO, graphs=job.on_device, masked=config.masks)
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
    model.set_logger(Logger(None, []))  # SB3's own makes a folder in the place for temporary files, and leaves it there
    bias = torch.as_tensor(start_bias(compiled, job.rule, config.explore))
    with torch.no_grad():
        head: Any = model.policy.action_net
        head.bias.copy_(bias)
    return model


def _write(run: Run) -> Trained:
    """Judge the chosen checkpoint on the test seeds and write its bundle."""
    job, watch, compiled = run.job, run.watch, run.job.compiled
    network, judge, seconds = watch.best, watch.judge, run.clock.used()
    if network is None:
        raise TrainingError("no checkpoint was judged: the budget was too short for one update; raise --budget")
    folder = job.out / f"seed-{run.seed}"
    about = spec(
        judge.compiled,
        network,
        run.scales.epoch,
        np.concatenate(watch.seen or [np.zeros((1, Observer(compiled).size), np.float32)]),
        job.config.decides(compiled),
        None if watch.over is None else watch.over.rule,
    )
    about["plant_hash"] = compiled.hash
    loaded = bundle.Bundle("candidate", network, json.loads(json.dumps(about)), {})
    policy = PolicyController(loaded, Observer(compiled), judge.grid, over=watch.over)
    trial = Trial(pairs=job.pairs, threads=job.threads)
    rule = RuleController(job.rule, compiled, judge.grid)
    verdicts = {"rule": compare(policy, rule, compiled, trial), "nothing": compare(policy, Hold(), compiled, trial)}
    evidence: dict[str, Any] = {
        "command": job.command,
        "plant": compiled.plant.id,
        "plant_hash": compiled.hash,
        "rule": job.rule.name,
        "over": watch.over is not None,
        "seed": run.seed,
        "steps": int(watch.num_timesteps),
        "improved": run.improved,
        "seconds": round(seconds, 1),
        "budget_s": job.budget_s,
        "epoch_s": about["epoch_s"],
        "decide": about["decide"],
        "device": str(run.model.device),
        "hardware": f"{platform.machine()}, {job.threads} thread(s), {run.model.device}",
        "versions": versions(),
        "config": asdict(job.config),
        "scales": asdict(run.scales),
        "selection": watch.history,
        "selected_cost_per_hour": watch.best_cost,
        "rule_cost_per_hour": watch.rule_cost,
        "verdicts": {k: v.as_json() for k, v in verdicts.items()},
        "goal": {**asdict(watch.goal), "reached": watch.ended},
        "resumed_at": watch.resumed,
    }
    if job.posterior is not None:
        evidence["posterior"] = job.posterior.id
    bundle.save(folder, network, about, evidence, card(compiled, evidence))
    return Trained(folder, run.seed, float(watch.best_cost), watch.rule_cost, verdicts)


def _finished(job: Job, seed: int) -> Trained:
    """What a seed came to that was done before the training was cut off."""
    folder = job.out / f"seed-{seed}"
    evidence = bundle.load(folder).evidence
    names = [f.name for f in fields(Verdict)]
    verdicts = {k: Verdict(**{name: v[name] for name in names}) for k, v in evidence["verdicts"].items()}
    cost, rule_cost = (float(evidence[name]) for name in ("selected_cost_per_hour", "rule_cost_per_hour"))
    return Trained(folder, seed, cost, rule_cost, verdicts)
