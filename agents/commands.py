"""The commands `env`, `train`, `tune`, `evaluate` and `advise`. Heavy imports are made inside."""

from __future__ import annotations

import json
import shlex
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from agents.train import Trained
    from sim.compile import Compiled

PlantArg = Annotated[str, typer.Argument(help="A bundled plant's name or the path of a plant file.")]
JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Threads = Annotated[int, typer.Option(min=1, help="Threads of the kernel (and of torch).")]
AllowCode = Annotated[
    bool,
    typer.Option(
        "--allow-code", help="Let code of yours run: a plant's own rules (engine: simpy), a policy MODULE:CALLABLE."
    ),
]


@contextmanager
def _told() -> Iterator[None]:
    """Turn this package's errors into one sentence and exit code 1."""
    from agents.errors import AgentError
    from ingest.keys import KeyFileError
    from sim.compile import CompileError
    from sim.kernel import KernelError
    from twin.posterior_file import PosteriorError

    try:
        yield
    except (AgentError, CompileError, KernelError, PosteriorError, KeyFileError) as e:
        typer.echo(f"plantwin: {e}", err=True)
        raise typer.Exit(1) from e


def _compiled(plant: str, allow_code: bool = False) -> Compiled:
    from sim.compile import compile_plant
    from sim.ownrules import allow
    from sim.plantfile import load

    return compile_plant(allow(load(plant)) if allow_code else load(plant))


def seconds(text: str) -> float:
    """Seconds of `90s`, `10m`, `2h` or a bare number of seconds; `typer.BadParameter` otherwise."""
    units = {"s": 1.0, "m": 60.0, "h": 3600.0}
    number, unit = (text[:-1], text[-1]) if text[-1:] in units else (text, "s")
    try:
        value = float(number) * units[unit]
    except ValueError as e:
        raise typer.BadParameter(f"{text!r}: expected a time such as 90s, 10m or 2h") from e
    if not value > 0 or value == float("inf"):
        raise typer.BadParameter(f"{text!r}: expected a time greater than 0")
    return value


def env(
    plant: PlantArg,
    json_: JsonFlag = False,
    steps: Annotated[int, typer.Option(help="Random steps of the check.", min=1)] = 200,
    decide: Annotated[str, typer.Option(help="When decisions fall: interval, or events.")] = "interval",
    allow_code: AllowCode = False,
) -> None:
    """Describe a plant's environment and check it: a random episode, finite and in spec, the same again with the
    same seed.
    """
    with _told():
        from agents.check import check, describe

        compiled = _compiled(plant, allow_code)
        about = describe(compiled, decide=decide)
        about["check"] = check(compiled, steps, decide=decide)
    if json_:
        typer.echo(json.dumps(about))
        return
    when = "at every event, and at the latest after" if decide == "events" else "every"
    typer.echo(
        f"{about['plant']}: one decision {when} {about['epoch_s'] / 3600:g} h, reward in units of "
        f"{about['reward_unit']:.4g} {about['currency']}"
    )
    typer.echo(
        f"an episode: {about['max_episode_s'] / 86_400:g} days; info['discount'] falls to 1/e in "
        f"{about['discount_s'] / 3600:g} h"
    )
    typer.echo(f"observation ({len(about['fields'])}): {', '.join(about['fields'])}")
    for control in about["controls"]:
        typer.echo(f"action {control['id']}: {control['low']} to {control['high']} in steps of {control['step']}")
    typer.echo(f"check: {about['check']}")


def tune(
    plant: PlantArg,
    out: Annotated[Path | None, typer.Option(help="File for the rule (JSON).")] = None,
    candidates: Annotated[int, typer.Option(min=1, help="Random setpoints to begin with.")] = 96,
    replicas: Annotated[int, typer.Option(min=8, help="Replicas of the last comparisons.")] = 96,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    hours: Annotated[
        float | None,
        typer.Option(min=1.0, help="Plant hours to simulate for each family of rules; default: what constants take."),
    ] = None,
    threads: Threads = 1,
    json_: JsonFlag = False,
    allow_code: AllowCode = False,
) -> None:
    """Tune rules on common random numbers: constants, boosts while customers wait, one number per condition."""
    with _told():
        from agents.rules import save_rule
        from agents.tune import Effort
        from agents.tune import tune as search

        compiled = _compiled(plant, allow_code)
        effort = Effort(candidates, max(replicas // 16, 2), replicas, seed, threads, hours)
        result = search(compiled, effort, lambda text: typer.echo(text, err=True))
        if out is not None:
            save_rule(out, result.rule, compiled.plant)
    unit = f"{compiled.plant.currency}/h"
    found: dict[str, Any] = {
        "plant": compiled.plant.id,
        "rule": result.rule.name,
        "values": result.rule.values,
        "cost": result.cost,
        "nothing": result.nothing,
        "fixed": result.fixed,
        "unit": unit,
        "weeks": result.weeks,
        "families": {k: {"cost": f.cost, "hours": f.hours, "wall_s": f.wall_s} for k, f in result.families.items()},
    }
    if json_:
        typer.echo(json.dumps(found))
        return
    typer.echo(
        f"{result.rule.values} costs {result.cost:.3f} {unit}; the plant file's setpoints {result.nothing:.3f} "
        f"({result.weeks:.0f} weeks simulated)"
    )
    for name, family in result.families.items():
        typer.echo(
            f"{name}: {family.cost:.3f} {unit}, found in {family.hours:,.0f} simulated hours ({family.wall_s:.0f} s)"
        )
    for table in result.rule.by_condition:
        what = f"lowest from a net {table.stock} of" if table.stock else "at"
        typer.echo(f"{table.control} by the condition of {table.station}: {what} {', '.join(map(str, table.values))}")
    for boost in result.rule.boosts:
        typer.echo(f"{boost.control} +{boost.by} while more than {boost.above} customers wait for {boost.stock}")
    typer.echo(f"written to {out}" if out else "not written (--out FILE writes it)")


def evaluate(
    a: Annotated[
        str,
        typer.Argument(
            help="nothing, rule, policy, a bundle's folder, a rule's or an .onnx file, CONTROL=VALUE,... or "
            "MODULE:CALLABLE (with --allow-code); rollout:RULE looks ahead from a rule."
        ),
    ],
    against: Annotated[str, typer.Option(help="The same, to compare with.")] = "rule",
    plant: Annotated[str, typer.Option(help="Plant.")] = "gearmotor",
    pairs: Annotated[int, typer.Option(min=2)] = 1000,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    threads: Threads = 1,
    json_: JsonFlag = False,
    allow_code: AllowCode = False,
) -> None:
    """Compare two controllers on the same random numbers: mean difference with its interval, P(worse), worst decile."""
    with _told():
        from agents.controllers import controller
        from agents.evaluate import Trial, compare
        from agents.timed import Timed, in_words

        compiled = _compiled(plant, allow_code)
        both = [Timed(controller(what, compiled, allow_code=allow_code)) for what in (a, against)]
        verdict = compare(both[0], both[1], compiled, Trial(pairs, seed, threads=threads))
    warnings = [f"{who.name}: {text}" for who in both for text in getattr(who, "warnings", ())]
    if json_:
        spent = dict(zip("ab", (who.each for who in both), strict=True))
        typer.echo(json.dumps({**verdict.as_json(), "warnings": warnings, "decision_cpu_s": spent}))
        return
    for text in warnings:
        typer.echo(f"plantwin: warning: {text}", err=True)
    typer.echo(f"A = {verdict.a}\nB = {verdict.b}")
    typer.echo(verdict.sentence)
    typer.echo(
        f"A {verdict.cost_a:.3f}, B {verdict.cost_b:.3f} {verdict.unit}; A worse in {100 * verdict.p_worse:.0f} "
        f"% of {verdict.pairs} pairs, "
        f"by {verdict.worst_decile:.3f} in its worst tenth; correlation {verdict.correlation}"
    )
    typer.echo(f"CPU time a decision: A {in_words(both[0].each)}, B {in_words(both[1].each)}")


def _told_of(plant: str, done: Trained, as_json: bool) -> str:
    """What came of training, for people or machines."""
    told = {
        "plant": plant,
        "bundle": str(done.path),
        "seed": done.seed,
        "cost": done.cost,
        "rule_cost": done.rule_cost,
        "verdicts": {k: v.as_json() for k, v in done.verdicts.items()},
    }
    if as_json:
        return json.dumps(told)
    lines = [f"written to {done.path} (seed {done.seed})"]
    return "\n".join(lines + [f"A = policy, B = {name}: {v.sentence}" for name, v in done.verdicts.items()])


def train(
    plant: PlantArg,
    out: Annotated[Path, typer.Option(help="Folder for the bundle.")],
    device: Annotated[str, typer.Option(help="auto, cpu or cuda")] = "auto",
    budget: Annotated[str, typer.Option(help="Wall time a seed: 90s, 10m, 2h.")] = "10m",
    seeds: Annotated[int, typer.Option(min=1)] = 1,
    rule: Annotated[Path | None, typer.Option(help="Rule to start from; without one, one is tuned.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Decisions instead of a wall time.")] = None,
    lanes: Annotated[int, typer.Option(min=1, help="Environments stepped together.")] = 1024,
    trainer: Annotated[
        str, typer.Option(help="resident (PPO whose buffer stays on the device) or stock (Stable-Baselines3's PPO)")
    ] = "resident",
    decide: Annotated[
        str, typer.Option(help="Decisions at equal intervals (interval) or at events, or as the controls ask (auto).")
    ] = "auto",
    posterior: Annotated[
        Path | None,
        typer.Option(help="Draw each episode's parameters from what a twin believes: its data folder, or a file."),
    ] = None,
    threads: Threads = 1,
    json_: JsonFlag = False,
    allow_code: AllowCode = False,
) -> None:
    """Train a policy with PPO, starting from the tuned rule, and write it as a bundle with its evidence."""
    if device not in {"auto", "cpu", "cuda"}:
        raise typer.BadParameter(f"{device!r}: expected auto, cpu or cuda")
    with _told():
        from agents.learning import Config, check_learnable
        from agents.training import bar, rule_for
        from twin.posterior_file import read_posterior

        compiled = _compiled(plant, allow_code)
        believed = read_posterior(posterior, compiled) if posterior is not None else None
        compiled = believed.plant_of(compiled) if believed is not None else compiled
        check_learnable(compiled)
        start = rule_for(compiled, rule, threads, out)
        from agents.train import Job
        from agents.train import train as learn

        command = (
            "plantwin " + shlex.join(sys.argv[1:])
            if Path(sys.argv[0]).stem in {"plantwin", "__main__"}
            else f"plantwin train {plant}"
        )
        job = Job(
            compiled, start, out, seconds(budget), steps, device, threads,
            command=command, config=Config(lanes=lanes, trainer=trainer, decide=decide), posterior=believed,
        )  # fmt: skip
        with bar(compiled, quiet=json_) as show:
            done = learn(job, seeds, show)
    typer.echo(_told_of(compiled.plant.id, done, json_))


def advise(
    plant: PlantArg,
    twin: Annotated[
        str | None, typer.Option(help="Address of the twin; default: what it wrote to DATA/run/twin.json.")
    ] = None,
    data: Annotated[Path, typer.Option(help="Data folder.")] = Path("plantwin-data"),
    every: Annotated[float, typer.Option(min=0.5, help="Wall seconds between decision moments.")] = 10.0,
    policy: Annotated[
        str | None, typer.Option(help="Folder of a policy bundle; default: the one shipped for the plant.")
    ] = None,
    rule: Annotated[str | None, typer.Option(help="File of a rule; default: the one shipped for the plant.")] = None,
    policy_budget: Annotated[
        float, typer.Option(min=0.1, help="Wall seconds a policy may take; then rule and search go on without it.")
    ] = 5.0,
    threads: Threads = 1,
    allow_code: AllowCode = False,
    require_signature: Annotated[
        Path | None,
        typer.Option(help="Public key (PEM): use only a policy that is signed with it; without one, none."),
    ] = None,
) -> None:
    """Look for a better setpoint at each decision moment and post what is surely better, or that nothing is."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))  # until the service itself listens
    with _told():
        from agents.advise import Options, Stop, serve
        from ingest.keys import read_public
        from sim.ownrules import allow
        from sim.plantfile import load

        address = twin or _address(data)
        described = allow(load(plant)) if allow_code else load(plant)
        stop = Stop()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, stop.ask)
        chosen = Options(
            described, address, data, every, threads, policy=policy, rule=rule, policy_budget_s=policy_budget,
            signer=read_public(require_signature) if require_signature is not None else None,
        )  # fmt: skip
        serve(chosen, stop)


def _address(data: Path) -> str:
    try:
        return str(json.loads((data / "run" / "twin.json").read_text(encoding="utf-8"))["url"])
    except (OSError, ValueError, KeyError) as e:
        typer.echo(
            f"plantwin: no twin is running on {data} (no address in run/twin.json); start `plantwin twin` or "
            f"give --twin URL",
            err=True,
        )
        raise typer.Exit(1) from e
