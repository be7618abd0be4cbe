"""The commands `env`, `train`, `tune`, `evaluate` and `advise`. Heavy imports are made inside."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agents import asked

if TYPE_CHECKING:
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
    except OSError as e:
        raise _disk(e) from e


def _disk(error: OSError) -> typer.Exit:
    """A file that cannot be read or written, in a sentence, and the exit; anything else goes on."""
    if error.filename is None:
        raise error
    why = error.strerror or type(error).__name__
    typer.echo(f"plantwin: {error.filename}: expected a file or folder that can be used, found: {why}", err=True)
    return typer.Exit(1)


def _compiled(plant: str, allow_code: bool = False) -> Compiled:
    from sim.compile import compile_plant
    from sim.ownrules import allow
    from sim.plantfile import load

    return compile_plant(allow(load(plant)) if allow_code else load(plant))


def seconds(text: str, option: str = "--budget") -> float:
    """Seconds of `90s`, `10m`, `2h` or a bare number of seconds; `typer.BadParameter`, naming the option, otherwise."""
    units = {"s": 1.0, "m": 60.0, "h": 3600.0}
    number, unit = (text[:-1], text[-1]) if text[-1:] in units else (text, "s")
    try:
        value = float(number) * units[unit]
    except ValueError as e:
        raise asked.wrong(option, f"{text!r}: expected a time such as 90s, 10m or 2h") from e
    if not value > 0 or value == float("inf"):
        raise asked.wrong(option, f"{text!r}: expected a time greater than 0, such as 90s, 10m or 2h")
    return value


def env(
    plant: PlantArg,
    json_: JsonFlag = False,
    steps: Annotated[int, typer.Option(help="Random steps of the check.", min=1)] = 200,
    decide: Annotated[str, typer.Option(help="When decisions fall: interval, or events.")] = "interval",
    device: Annotated[str, typer.Option(help="cpu; cuda: does the device play the same, too?")] = "cpu",
    allow_code: AllowCode = False,
) -> None:
    """Describe the environment of a plant (every observed number with unit and bounds, every control, when decisions
    fall and why) and check it: random episodes, finite and in spec, the same again with the same seed.
    """
    if device not in {"cpu", "cuda"}:
        raise asked.wrong("--device", f"{device!r}: expected cpu or cuda")
    asked.device(device)
    with _told():
        from agents.envs.check import check
        from agents.envs.describe import describe, text_of

        compiled = _compiled(plant, allow_code)
        about = describe(compiled, decide=decide)
        about["check"] = check(compiled, steps, device=device, decide=decide)
    if json_:
        typer.echo(json.dumps(about))
        return
    typer.echo(text_of(about))
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
    """Tune rules on common random numbers: constants, boosts while customers wait, one number per condition, orders by
    inventory position.
    """
    asked.out_file(out)
    with _told():
        from agents.rules.rule import save_rule, sentences
        from agents.rules.tune import Effort
        from agents.rules.tune import tune as search

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
        "says": sentences(result.rule, compiled.plant),
        "cost": result.cost,
        "nothing": result.nothing,
        "fixed": result.fixed,
        "unit": unit,
        "weeks": result.weeks,
        "families": {
            k: {"cost": f.cost, "more_than_fixed": f.more, "hours": f.hours, "wall_s": f.wall_s}
            for k, f in result.families.items()
        },
    }
    if json_:
        typer.echo(json.dumps(found))
        return
    typer.echo(
        f"{result.rule.values} costs {result.cost:.3f} {unit}; the plant file's setpoints {result.nothing:.3f} "
        f"({result.weeks:.0f} weeks simulated)"
    )
    for name, family in result.families.items():
        more = "" if name == "fixed" else " (than fixed {:+.3f} [{:+.3f}, {:+.3f}])".format(*family.more)
        typer.echo(
            f"{name}: {family.cost:.3f} {unit}{more}, found in {family.hours:,.0f} simulated hours "
            f"({family.wall_s:.0f} s)"
        )
    for text in sentences(result.rule, compiled.plant):
        typer.echo(text)
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
    disturb: Annotated[
        float | None, typer.Option(help="Judge on plants disturbed by so much, such as 0.2, the same for A and B.")
    ] = None,
    posterior: Annotated[
        Path | None, typer.Option(help="Judge on plants a twin believes in: its data folder, or a file.")
    ] = None,
    draws: Annotated[int, typer.Option(min=5, help="Plants of --disturb or --posterior; they share the pairs.")] = 40,
    threads: Threads = 1,
    json_: JsonFlag = False,
    allow_code: AllowCode = False,
) -> None:
    """Compare two controllers on the same random numbers: mean difference with its interval and whether to trust it,
    worst decile, worst family of products; over training seeds where A is a folder with several; over plants.
    """
    if disturb is not None and posterior is not None:
        raise typer.BadParameter("expected --disturb or --posterior, found both")
    if disturb is not None and not 0.0 < disturb <= 1.0:
        raise typer.BadParameter(f"--disturb {disturb:g}: expected more than 0 and at most 1, such as 0.2")
    with _told():
        from agents.evaluation.judging import Case, judged

        compiled = _compiled(plant, allow_code)
        found = judged(Case(compiled, a, against, disturb, posterior, draws, allow_code), pairs, seed, threads)
    if json_:
        typer.echo(json.dumps(found.data))
        return
    for text in found.warnings:
        typer.echo(f"plantwin: warning: {text}", err=True)
    for text in found.lines:
        typer.echo(text)


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
        from agents.advice.advise import Options, Stop, serve
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
