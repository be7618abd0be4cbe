"""The commands `train` and `search`. Heavy imports are made inside."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agents import asked
from agents.commands import AllowCode, JsonFlag, PlantArg, _compiled, _told, seconds

if TYPE_CHECKING:
    from agents.training.recipe import Recipe
    from agents.training.train import Trained
    from sim.compile import Compiled
    from twin.posterior_file import FilePosterior

Out = Annotated[Path | None, typer.Option(help="Folder for the bundle.")]
Posterior = Annotated[
    Path | None,
    typer.Option(help="Draw each episode's parameters from what a twin believes: its data folder, or a file."),
]
RuleFile = Annotated[Path | None, typer.Option(help="Rule to start from; without one, one is tuned.")]


def told_of(plant: str, done: Trained, as_json: bool) -> str:
    """What came of training, for people or machines."""
    from agents.training.learning import against_rule

    advice = against_rule(done.verdicts["rule"].lo, done.verdicts["rule"].hi)
    told = {
        "plant": plant,
        "bundle": str(done.path),
        "seed": done.seed,
        "cost": done.cost,
        "rule_cost": done.rule_cost,
        "verdicts": {k: v.as_json() for k, v in done.verdicts.items()},
        "advice": advice,
    }
    if as_json:
        return json.dumps(told)
    lines = [f"written to {done.path} (seed {done.seed})"]
    lines += [f"A = policy, B = {name}: {v.sentence}" for name, v in done.verdicts.items()]
    return "\n".join(lines + ([f"the policy: {advice}"] if advice else []))


def command_line(otherwise: str) -> str:
    """What was typed, for the evidence."""
    typed = Path(sys.argv[0]).stem in {"plantwin", "__main__"}
    return "plantwin " + shlex.join(sys.argv[1:]) if typed else otherwise


def _recipe(config: Path | None, given: dict[str, Any], resume: Path | None) -> Recipe:
    """The settings: of the training that is resumed, or defaults, then the file's, then those of the command line."""
    from agents.training.recipe import Recipe, read_begun, read_config

    typed = {name: value for name, value in given.items() if value is not None}
    if resume is not None:
        begun = read_begun(resume)
        begun.same({**(read_config(config) if config is not None else {}), **typed}, resume)
        return begun.recipe
    base = Recipe() if config is None else Recipe().updated(read_config(config), str(config))
    return base.updated(typed, "the command line")


def _plant(plant: str, posterior: Path | None, allow_code: bool) -> tuple[Compiled, FilePosterior | None]:
    from agents.training.learning import check_learnable
    from twin.posterior_file import read_posterior

    compiled = _compiled(plant, allow_code)
    believed = read_posterior(posterior, compiled) if posterior is not None else None
    compiled = believed.plant_of(compiled) if believed is not None else compiled
    check_learnable(compiled)
    return compiled, believed


@contextmanager
def _stoppable(left: Callable[[], str]) -> Iterator[None]:
    """Ctrl-C: what was left behind, and what goes on from there, in place of `Aborted!`."""
    try:
        yield
    except KeyboardInterrupt as e:
        typer.echo(f"\nplantwin: stopped; {left()}", err=True)
        raise typer.Exit(130) from e


def left_of_training(folder: Path, plant: str, keep: str, began: bool) -> str:
    """What a training that was cut off has left in its folder, and how it goes on. `began`: it had begun to learn, so
    that what the folder says is of this training and not of an earlier one.
    """
    from agents.training.console import RULE
    from agents.training.recipe import NAME, read_begun

    if not began or not (folder / NAME).exists():
        kept = f"; the rule it would have begun with is kept: --rule {folder / RULE}" if _is(folder / RULE) else ""
        return f"the training had not begun, no policy was written to {folder}{kept}"
    begun = read_begun(folder)
    seeds = begun.recipe.seeds
    done = f"{len(begun.done)} of {seeds} seeds are done"
    going = sorted((folder / "checkpoints").glob("seed-*.safetensors"))
    last = f"the next stands in {going[0]}" if going else f"of the next no checkpoint was written yet (--keep {keep})"
    policy = "the policy there is of an earlier training" if _is(folder / "policy.json") else "there is no policy yet"
    return f"{done}, {last}; {policy} in {folder}. Go on: plantwin train {plant} --resume {folder}"


def left_of_search(out: Path) -> str:
    """The same for a search."""
    if not _is(out / "study.db"):
        return "no trial had begun"
    return f"the trials that are done are kept in {out / 'study.db'}; the same command goes on with them"


def _is(path: Path) -> bool:
    return path.is_file()


def train(
    plant: PlantArg,
    out: Out = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda")] = None,
    budget: Annotated[str | None, typer.Option(help="Wall time a seed: 90s, 10m, 2h (10m).")] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="Seeds to train; the best is kept (1).")] = None,
    rule: RuleFile = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Decisions instead of a wall time.")] = None,
    target: Annotated[
        str | None,
        typer.Option(help="End early at this cost an hour (8.7), a time unit (4.4/d), or above the optimum (1%)."),
    ] = None,
    lanes: Annotated[int | None, typer.Option(min=1, help="Environments stepped together (1024).")] = None,
    trainer: Annotated[
        str | None,
        typer.Option(help="resident (PPO whose buffer stays on the device) or stock (Stable-Baselines3's PPO)"),
    ] = None,
    decide: Annotated[
        str | None, typer.Option(help="Decisions at equal intervals (interval) or at events, or as the controls ask.")
    ] = None,
    posterior: Posterior = None,
    config: Annotated[Path | None, typer.Option(help="File of settings (YAML or JSON); options win over it.")] = None,
    resume: Annotated[Path | None, typer.Option(help="Go on with the training in this folder.")] = None,
    keep: Annotated[str, typer.Option(help="Wall time between two checkpoints for --resume; 0s: each update.")] = "60s",
    tensorboard: Annotated[Path | None, typer.Option(help="Folder for TensorBoard's events.")] = None,
    mlflow: Annotated[str | None, typer.Option(help="Address of an MLflow tracking server, http://HOST:PORT.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of the kernel and of torch (1).")] = None,
    json_: JsonFlag = False,
    allow_code: AllowCode = False,
) -> None:
    """Train a policy with PPO, starting from the tuned rule, and write it as a bundle with its evidence."""
    if (out is None) == (resume is None):
        raise typer.BadParameter("expected one of --out DIR (begin) and --resume DIR (go on)")
    given = {
        "device": device, "budget": budget, "seeds": seeds, "steps": steps, "target": target, "lanes": lanes,
        "trainer": trainer, "decide": decide, "threads": threads,
    }  # fmt: skip
    began = resume is not None
    with _told(), _stoppable(lambda: left_of_training(out or resume or Path(), plant, keep, began)):
        from agents.training.console import RULE, bar, rule_for

        folder = out or resume
        assert folder is not None
        recipe = _recipe(config, given, resume)
        compiled, believed = _plant(plant, posterior, allow_code)
        _ready(recipe, compiled, folder, resume is not None)
        keep_s = 0.0 if keep in {"0", "0s"} else seconds(keep, "--keep")
        monitor = _monitor(tensorboard, mlflow)
        start = rule_for(compiled, rule or (folder / RULE if resume is not None else None), recipe.threads, folder)
        from agents.training.train import Job
        from agents.training.train import train as learn

        job = Job(
            compiled, start, folder, recipe.budget_s, recipe.steps, recipe.device, recipe.threads,
            command=command_line(f"plantwin train {plant}"), config=recipe.config, posterior=believed,
            target=recipe.target, keep_s=keep_s, resume=resume is not None, say=_say, monitor=monitor,
        )  # fmt: skip
        began = True
        with bar(compiled, quiet=json_) as show:
            done = learn(job, recipe.seeds, show)
    typer.echo(told_of(compiled.plant.id, done, json_))


def _ready(recipe: Recipe, compiled: Compiled, folder: Path, resumed: bool) -> None:
    """What can be refused is refused before a rule is tuned, or one of another plant is complained about."""
    from agents.training.goal import check_target
    from agents.training.recipe import read_begun

    if resumed:
        read_begun(folder).check(compiled, folder)
    else:
        asked.training_folder(folder, compiled)
    asked.trainable(recipe, compiled)
    check_target(recipe.target)


def _monitor(tensorboard: Path | None, mlflow: str | None) -> Any:
    """An `agents.training.monitor.Monitor`, whose libraries and server are looked for now, not after an hour."""
    if tensorboard is None and mlflow is None:
        return None
    from agents.training.mlflow import Server
    from agents.training.monitor import Monitor, check_tensorboard

    if tensorboard is not None:
        check_tensorboard()
    server = None
    if mlflow is not None:
        server = Server(mlflow)
        server.check()
    return Monitor(tensorboard, server)


def _say(text: str) -> None:
    typer.echo(f"plantwin: {text}", err=True)


def search(
    plant: PlantArg,
    out: Annotated[Path, typer.Option(help="Folder of the study; one that was cut off goes on.")],
    trials: Annotated[int, typer.Option(min=1, help="Trials, those of before included.")] = 20,
    budget: Annotated[str | None, typer.Option(help="Wall time a trial and seed: 90s, 10m (10m).")] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="Seeds a trial (1).")] = None,
    rule: RuleFile = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Decisions instead of a wall time.")] = None,
    lanes: Annotated[int | None, typer.Option(min=1, help="Environments stepped together (1024).")] = None,
    posterior: Posterior = None,
    config: Annotated[Path | None, typer.Option(help="File of settings to begin with (YAML or JSON).")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda")] = None,
    plots: Annotated[bool, typer.Option("--plots", help="Write history.html and settings.html (plotly).")] = False,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of the kernel and of torch (1).")] = None,
    json_: JsonFlag = False,
    allow_code: AllowCode = False,
) -> None:
    """Search for better settings of a training (Optuna); the best go to OUT/best.yaml, for `train --config`."""
    given = {
        "budget": budget, "seeds": seeds, "steps": steps, "lanes": lanes, "device": device, "threads": threads,
    }  # fmt: skip
    with _told(), _stoppable(lambda: left_of_search(out)):
        from agents.training.console import RULE, rule_for
        from agents.training.search import search as look
        from agents.training.search import write_config, write_plots
        from agents.training.train import Job

        recipe = _recipe(config, given, None)
        compiled, believed = _plant(plant, posterior, allow_code)
        asked.training_folder(out, compiled)
        asked.trainable(recipe, compiled)
        known = out / RULE
        start = rule_for(compiled, rule or (known if known.exists() else None), recipe.threads, out)
        job = Job(
            compiled, start, out, recipe.budget_s, recipe.steps, recipe.device, recipe.threads, posterior=believed,
            config=recipe.config, say=_say,
        )  # fmt: skip
        found = look(job, recipe, trials, lambda text: typer.echo(text, err=True))
        unit = f"{compiled.plant.currency}/h"
        write_config(out / "best.yaml", found, command_line(f"plantwin search {plant}"), unit)
        pages = write_plots(out / "study.db") if plots else []
    if json_:
        from dataclasses import asdict

        typer.echo(json.dumps({"plant": compiled.plant.id, "unit": unit, **asdict(found)}))
        return
    typer.echo(f"trial {found.trial} of {found.trials} is best ({found.failed} failed): {found.best.says(unit)}")
    typer.echo(f"as begun: {found.first.says(unit) if found.first is not None else 'failed'}")
    typer.echo(
        f"settings written to {out / 'best.yaml'}: plantwin train {plant} --config {out / 'best.yaml'} --out DIR"
    )
    for page in pages:
        typer.echo(f"written: {page}")
