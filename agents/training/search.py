"""Search for better settings of a training with Optuna, judged on seeds for choices as all that is chosen.

What a trial is worth is the cost of the policy at its end minus the rule's on the same luck. Not that of its best
checkpoint: where learning goes wrong that is the start, which is the rule, and all settings look alike. The best of
many trials flatters itself, so what is told at the end is measured once more on fresh replicas, beside the settings
that the search began from.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import yaml
from numpy.typing import NDArray

from agents.bundles.policy import Network
from agents.control.controllers import RuleController
from agents.envs.grid import as_switches, switches
from agents.errors import TrainingError
from agents.training import checkpoint
from agents.training.goal import Goal
from agents.training.learning import Judge
from agents.training.recipe import Recipe
from agents.training.train import Job, learned, prepare_torch
from agents.training.watch import extract
from sim.compile import compile_plant

JUDGED, TOLD = 500, 501
"""Seeds of the block for choices: on which trials are compared, and on which the best is measured once more."""
OWN = ("budget", "steps", "seeds", "target", "device", "threads")
"""Settings that are no part of what was found."""
HALF = 1.96
"""Standard errors in half of a 95 % interval."""


@dataclass(frozen=True, slots=True)
class Told:
    """Cost an hour minus the rule's, on the same luck: mean and half of its 95 % interval."""

    difference: float
    half: float
    cost: float

    def says(self, unit: str) -> str:
        return f"{self.difference:+.4f} ± {self.half:.4f} {unit} against the rule ({self.cost:.4f} {unit})"


@dataclass(frozen=True, slots=True)
class Found:
    """The best settings, what they and those of the beginning gave on fresh replicas, and how many trials there were
    (`failed`: those that learning itself ended).
    """

    settings: dict[str, Any]
    trial: int
    best: Told
    first: Told | None
    trials: int
    failed: int


def suggested(trial: optuna.Trial, base: Recipe) -> dict[str, Any]:
    """Settings of a trial, as in a file of `--config`; a minibatch is never larger than a rollout."""
    rollout = trial.suggest_categorical("rollout", [16, 32, 64, 128])
    batches = trial.suggest_categorical("minibatches", [1, 2, 4, 8, 16])
    width = trial.suggest_categorical("width", [32, 64, 128])
    return {
        "rollout": rollout,
        "minibatch": max(base.config.lanes * rollout // batches, 2),
        "hidden": [width, width],
        "rate": trial.suggest_float("rate", 1e-4, 5e-3, log=True),
        "gae": trial.suggest_float("gae", 0.9, 0.995),
        "epochs": trial.suggest_int("epochs", 1, 8),
        "entropy": trial.suggest_float("entropy", 1e-6, 1e-2, log=True),
    }


def search(job: Job, recipe: Recipe, trials: int, show: Callable[[str], None] = lambda _: None) -> Found:
    """Search in the study of `job.out` until it has `trials` of them; trial 0 are the settings of `recipe` themselves.

    A trial trains `recipe.seeds` seeds for the recipe's budget. Raises `TrainingError` for a study of another plant or
    of another budget, and where no trial succeeded.
    """
    prepare_torch(job)
    study = _study(job, recipe)
    _tidy(study)
    while len(done := _ended(study)) < trials:
        study.sampler = optuna.samplers.TPESampler(seed=len(done), n_startup_trials=max(trials // 4, 5))
        trial = study.ask()
        begun = any(t.user_attrs["settings"] == {} for t in done)
        settings = suggested(trial, recipe) if begun else {}
        trial.set_user_attr("settings", settings)
        try:
            told = _tried(job, recipe.updated(settings, f"trial {trial.number}"), trial.number)
        except TrainingError as e:
            trial.set_user_attr("failed", str(e))
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
            show(f"trial {trial.number}: failed, {e}")
            continue
        study.tell(trial, told.difference)
        what = settings or "as begun"
        show(f"trial {trial.number}: {told.difference:+.4f} ± {told.half:.4f} against the rule, {what}")
    return _found(job, recipe, study)


def _ended(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """Trials that count: those that gave a cost, and those that learning itself ended (not those that were cut off)."""
    done = study.get_trials(deepcopy=False)
    return [t for t in done if t.state == optuna.trial.TrialState.COMPLETE or "failed" in t.user_attrs]


def _study(job: Job, recipe: Recipe) -> optuna.Study:
    """The study of a folder, begun or taken up again."""
    job.out.mkdir(parents=True, exist_ok=True)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        storage=f"sqlite:///{job.out.absolute() / 'study.db'}", study_name="plantwin", load_if_exists=True
    )
    mine = {"plant": job.compiled.hash, "rule": job.rule.name, "settings": recipe.flat()}
    for name, value in mine.items():
        known = study.user_attrs.get(name)
        if known is None:
            study.set_user_attr(name, value)
        elif known != value:
            raise TrainingError(
                f"{job.out / 'study.db'}: a study of {name} {known}, found {value}; costs of trials would not compare; "
                f"choose another folder"
            )
    return study


def _tidy(study: optuna.Study) -> None:
    """Trials that were cut off count as failed, since nobody will end them."""
    for trial in study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
        study.tell(trial.number, state=optuna.trial.TrialState.FAIL)


def _tried(job: Job, recipe: Recipe, number: int) -> Told:
    """Train by these settings and judge the policies; they are kept for the last measurement."""
    tried = replace(
        job, config=recipe.config, budget_s=recipe.budget_s, steps=recipe.steps, keep_s=float("inf"), monitor=None
    )
    pairs, cost = [], []
    for seed in range(recipe.seeds):
        run, _ = learned(tried, seed, Goal(), lambda _: None)
        judge, best = run.watch.judge, run.watch.best
        # not the best checkpoint: where that is the start, the rule, all settings look alike
        network, over = extract(run.model, judge.grid), None
        if run.improved and best is not None:
            network, over = best, run.watch.over
        layers = zip(network.weights, network.biases, strict=True)
        arrays = {f"{k}.{name}": a for k, both in enumerate(layers) for name, a in zip("wb", both, strict=True)}
        facts = {
            "counts": network.counts,
            "decode": network.decode,
            "epoch": run.scales.epoch,
            "over": over is not None,
        }
        checkpoint.write(_policy(job, number, seed), arrays, facts)
        costs = judge.costs(network, (JUDGED, judge.replicas), over)
        pairs.append(costs - judge.rule_costs(job.rule, (JUDGED, judge.replicas)))
        cost.append(costs.mean())
    return _told(pairs, float(np.mean(cost)))


def _told(pairs: list[NDArray[np.float64]], cost: float) -> Told:
    mean = np.mean(pairs, axis=0)  # seeds meet the same luck
    return Told(float(mean.mean()), HALF * float(mean.std(ddof=1) / np.sqrt(mean.size)), cost)


def _policy(job: Job, number: int, seed: int) -> Path:
    return job.out / "policies" / f"trial-{number}-seed-{seed}.safetensors"


def _found(job: Job, recipe: Recipe, study: optuna.Study) -> Found:
    """The best of a study and its beginning, measured once more."""
    ended = _ended(study)
    good = [t for t in ended if "failed" not in t.user_attrs]
    if not good:
        reasons = {str(t.user_attrs["failed"]) for t in ended}
        raise TrainingError(f"{job.out}: no trial succeeded: {'; '.join(sorted(reasons))}")
    best = study.best_trial
    told = _again(job, recipe, best.number)
    begun = [t.number for t in good if t.user_attrs["settings"] == {}]
    first = _again(job, recipe, begun[0]) if begun else None
    settings = {**recipe.flat(), **best.user_attrs["settings"]}
    for name in OWN:
        settings.pop(name)
    return Found(settings, best.number, told, first, len(good), len(ended) - len(good))


def _again(job: Job, recipe: Recipe, number: int) -> Told:
    compiled = job.compiled
    if switches(compiled.plant):
        compiled = compile_plant(as_switches(compiled.plant))
    epoch = int(checkpoint.read(_policy(job, number, 0)).fact("epoch"))
    judge = Judge(compiled, recipe.config, epoch, job.threads, job.posterior)
    which = (TOLD, 4 * judge.replicas)
    rule, pairs, cost = judge.rule_costs(job.rule, which), [], []
    for seed in range(recipe.seeds):
        saved = checkpoint.read(_policy(job, number, seed))
        layers = range(len(saved.arrays) // 2)
        weights, biases = (tuple(saved.arrays[f"{k}.{name}"] for k in layers) for name in "wb")
        network = Network(weights, biases, tuple(saved.fact("counts")), saved.fact("decode"))
        over = RuleController(job.rule, compiled, judge.grid) if saved.fact("over") else None
        costs = judge.costs(network, which, over)
        pairs.append(costs - rule)
        cost.append(costs.mean())
    return _told(pairs, float(np.mean(cost)))


def write_config(path: Path, found: Found, command: str, unit: str) -> None:
    """The settings as a file of `plantwin train --config`."""
    head = [
        f"made by: {command}",
        f"trial {found.trial}, the best of {found.trials}: {found.best.says(unit)}",
        f"as begun: {found.first.says(unit) if found.first is not None else 'failed'}",
    ]
    settings = {k: v for k, v in found.settings.items() if v is not None}
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(f"# {line}\n" for line in head) + yaml.safe_dump(settings, sort_keys=False)
    path.write_text(text, encoding="utf-8")


def write_plots(study: Path) -> list[Path]:
    """Pages with the history of a study, and with its values over each setting; needs plotly."""
    from optuna.visualization import plot_optimization_history, plot_slice

    read = optuna.load_study(study_name="plantwin", storage=f"sqlite:///{study.absolute()}")
    made = []
    for name, plot in (("history", plot_optimization_history), ("settings", plot_slice)):
        path = study.with_name(f"{name}.html")
        plot(read).write_html(path, include_plotlyjs=True)
        made.append(path)
    return made
