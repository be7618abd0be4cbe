"""The command `optimum`, and `policy table` and `policy cost`: exact costs of small plants. Heavy imports inside."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from agents import asked
from agents.commands import JsonFlag, PlantArg, _compiled, _disk, _told, seconds

PlantOption = Annotated[str, typer.Option(help="A bundled plant's name or the path of a plant file.")]
Limit = Annotated[str, typer.Option(help="Wall time: 90s, 10m, 2h. Bounds found by then are printed.")]


@contextmanager
def _exact() -> Iterator[None]:
    """A plant that cannot be solved exactly is a wrong input: one sentence and exit code 2; other errors of agents end
    with 1. (`_told` knows the kernel's too, but imports it.)
    """
    from agents.errors import AgentError, NotExactError, TooLargeError

    try:
        yield
    except AgentError as e:
        typer.echo(f"plantwin: {e}", err=True)
        raise typer.Exit(2 if isinstance(e, NotExactError | TooLargeError) else 1) from e
    except OSError as e:
        raise _disk(e) from e


def _say(text: str) -> None:
    typer.echo(text, err=True)


def optimum(
    plant: PlantArg,
    out: Annotated[Path | None, typer.Option(help="File for the best policy (JSON).")] = None,
    precision: Annotated[float, typer.Option(min=1e-10, help="Width of the bounds, as a share of the cost.")] = 1e-8,
    limit: Limit = "10m",
    json_: JsonFlag = False,
) -> None:
    """The least long-run cost of a plant small enough to be solved exactly, between proved bounds, and its policy."""
    asked.out_file(out)
    with _exact():
        from agents.exact.optimum import Effort, write_policy
        from agents.exact.optimum import optimum as least
        from sim.plantfile import load

        found = least(load(plant), Effort(precision, seconds(limit, "--limit"), _say if sys.stderr.isatty() else None))
        if out is not None:
            write_policy(out, found.policy)
    if json_:
        typer.echo(json.dumps(found.as_json()))
        return
    typer.echo(
        f"{found.plant} ({found.kind}): at best {found.cost:.6g} {found.unit}, in [{found.low:.9g}, {found.high:.9g}]"
    )
    for name, cost in found.also:
        typer.echo(f"{name}: at best {cost:.6g} {found.unit}")
    for line in (*found.about, *found.shape):
        typer.echo(line)
    typer.echo(f"policy written to {out}" if out else "policy not written (--out FILE writes it)")


def table(
    policy: Annotated[str, typer.Argument(help="A bundle's folder, a rule's file, rule, policy or CONTROL=VALUE,...")],
    plant: PlantOption,
    out: Annotated[Path, typer.Option(help="File for the table (JSON).")],
    seen: Annotated[str, typer.Option(help="What the policy is shown: the machine working, free, or auto.")] = "auto",
    json_: JsonFlag = False,
) -> None:
    """Write what a policy or rule does in every state of a small plant: {"x,k": "idle|produce|pm"} to stock."""
    asked.out_file(out)
    with _told(), _exact():
        from agents.control.controllers import controller
        from agents.exact.optimum import write_policy
        from agents.exact.table import table_of

        compiled = _compiled(plant)
        found = table_of(controller(policy, compiled), compiled, seen)
        write_policy(out, found.policy)
    if json_:
        typer.echo(json.dumps({"plant": compiled.plant.id, "states": len(found.policy), "notes": list(found.notes)}))
        return
    for line in found.notes:
        typer.echo(line)
    typer.echo(f"{len(found.policy)} states written to {out}")


def cost(
    policy: Annotated[Path, typer.Argument(help="A table of `policy table` or `optimum --out` (JSON).")],
    plant: PlantOption,
    limit: Limit = "10m",
    json_: JsonFlag = False,
) -> None:
    """The exact long-run cost of a table, and how far it lies above the optimum. Nothing is simulated."""
    with _exact():
        from agents.exact.optimum import Effort, policy_cost, read_policy
        from agents.exact.optimum import optimum as least
        from sim.plantfile import load

        described, effort = load(plant), Effort(limit_s=seconds(limit, "--limit"))
        low, high = policy_cost(described, read_policy(policy), effort)
        best = least(described, effort)
    mean = (low + high) / 2.0
    gap = (mean - best.cost) / abs(best.cost) if best.cost != 0.0 else float("inf")
    if json_:
        told = {"plant": best.plant, "cost": mean, "bounds": [low, high], "optimum": best.cost, "gap": gap}
        typer.echo(json.dumps(told | {"unit": best.unit, "optimum_bounds": [best.low, best.high]}))
        return
    typer.echo(f"{mean:.6g} {best.unit}, {100.0 * max(gap, 0.0):.2f} % above the optimum {best.cost:.6g} {best.unit}")
