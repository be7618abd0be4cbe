"""`plantwin simulate` and `plantwin trace`."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from sim.compile import Compiled

AllowCode = Annotated[
    bool, typer.Option("--allow-code", help="let the plant's own rules run (engine: simpy): code from its file")
]

Gantt = Annotated[
    Path | None,
    typer.Option(help="draw replica 0 as a state chart, .svg or .html; figures only with --replications or --json"),
]


def _compiled(plant: str, allow_code: bool = False) -> Compiled:
    from sim.compile import CompileError, compile_plant
    from sim.ownrules import allow
    from sim.plantfile import PlantError, load

    try:
        read = load(plant)
        return compile_plant(allow(read) if allow_code else read)
    except (PlantError, CompileError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from error


def _ticks(compiled: Compiled, text: str, option: str) -> int:
    """Ticks of a duration; a bare number is in the plant file's time unit."""
    from sim.kpi import ticks_per_unit
    from sim.units import QuantityError, Scale

    try:
        return round(float(text) * ticks_per_unit(compiled))
    except ValueError:
        pass
    try:
        return round(Scale(Fraction(str(compiled.plant.tick_s)), compiled.plant.currency).duration(text))
    except QuantityError as error:
        typer.echo(f"{option}: {error}", err=True)
        raise typer.Exit(2) from error


def _span(seconds: float) -> str:
    """A length of time in its largest whole unit up to days."""
    for unit, size in (("d", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s"


def _theory(figure: dict[str, Any] | None) -> str:
    """A closed form's value and name."""
    if figure is None:
        return ""
    return f"{figure['value']:.4g} ({figure['form']}{'' if figure['exact'] else ', approximate'})"


def _figures(first: str, *names: str) -> Table:
    """A table of numbers under a first column of words, narrow enough for ten columns on 80 characters."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    table.add_column(first, overflow="fold")
    for name in names:
        table.add_column(name, justify="right", overflow="fold")
    return table


def _show(report: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    conventions = ", ".join(f"{k} {v}" for k, v in report["conventions"].items())
    console.print(
        f"[bold]{report['plant']}[/] on {report['engine']}, {report['replications']} replications "
        f"until {_span(report['until_s'])}, seed {report['seed']}"
    )
    console.print(f"conventions: {conventions}", highlight=False)
    told = report.get("analytic", {})
    beside = told.get("kpis")
    table = Table("figure", "mean", "95 % interval", "unit", *(["theory"] if beside else []))
    for name, f in report["kpis"].items():
        if f["mean"] is not None:
            span = "" if f["lo"] is None else f"{f['lo']:.4g} .. {f['hi']:.4g}"
            table.add_row(name, f"{f['mean']:.4g}", span, f["unit"], *([_theory(beside.get(name))] if beside else []))
    console.print(table)
    states = ("work", "idle", "starved", "blocked", "setup", "down", "off")
    console.print("\nshare of the time in each state and OEE in %; mean number of parts in the queue")
    table = _figures("station", *states, "OEE", "queue")
    for station, figures in report["stations"].items():
        shares = ["" if figures[s]["mean"] is None else f"{100 * figures[s]['mean']:.1f}" for s in (*states, "oee")]
        table.add_row(station, *shares, f"{figures['queue']['mean']:.2f}")
    console.print(table)
    if report["stocks"]:
        console.print()
        table = _figures("stock", "on hand", "backorders", "fill rate")
        for stock, figures in report["stocks"].items():
            fill = figures.get("fill_rate", {}).get("mean")
            shown = "" if fill is None else f"{100 * fill:.1f} %"
            table.add_row(stock, f"{figures['on_hand']['mean']:.2f}", f"{figures['backorders']['mean']:.2f}", shown)
        console.print(table)
    if stuck := report.get("stuck"):
        console.print(
            f"[bold red]deadlock[/] in {stuck['replicas']} of {stuck['looked_at']} replications looked at: these parts "
            "can never move again, so the figures mean little"
        )
        console.print(stuck["first"], highlight=False, markup=False)
    for group in ("stations", "stocks"):
        for owner, figures in told.get(group, {}).items():
            values = ", ".join(f"{name} {_theory(figure)}" for name, figure in figures.items())
            console.print(f"theory, {owner}: {values}", highlight=False)


def _draw(compiled: Compiled, path: Path, seed: int, window: tuple[str, str | None]) -> None:
    """The state chart of replica 0 between two times as written."""
    from sim.commands_show import state_chart

    if compiled.own is not None:
        typer.echo("--gantt: expected a plant without rules of its own (engine: simpy), found some", err=True)
        raise typer.Exit(2)
    end = None if window[1] is None else _ticks(compiled, window[1], "--gantt-until")
    state_chart(compiled, path, seed, (_ticks(compiled, window[0], "--gantt-from"), end))


def simulate(
    plant: Annotated[str, typer.Argument(help="bundled plant or path of a plant file")],
    until: Annotated[
        str | None,
        typer.Option(
            help="end, as `30d` or a number of the plant's time units; by default 30 d, less for a busy plant"
        ),
    ] = None,
    warmup: Annotated[str, typer.Option(help="what is forgotten at the beginning")] = "0 s",
    replications: Annotated[int | None, typer.Option(min=1, help="by default 100; with --gantt none")] = None,
    seed: int = 7,
    engine: Annotated[str | None, typer.Option(help="kernel, simpy or cuda; default: what the plant asks for")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="machine-readable")] = False,
    gantt: Gantt = None,
    gantt_from: Annotated[str | None, typer.Option(help="begin of the chart, as `2d 6h`; by default --warmup")] = None,
    gantt_until: Annotated[str | None, typer.Option(help="its end; by default --until, or with enough to see")] = None,
    allow_code: AllowCode = False,
) -> None:
    """Simulate a plant and print its figures with 95 % intervals."""
    from rich.console import Console
    from rich.progress import Progress

    from sim import closed_forms, experiment
    from sim.engine import engine_of
    from sim.kernel import KernelError

    compiled = _compiled(plant, allow_code)
    if gantt is not None:
        drawn_only = replications is None and not as_json
        window = gantt_from or warmup, gantt_until or (until if drawn_only else None)
        _draw(compiled, gantt, seed, window)
        if drawn_only:
            return
    try:
        forgotten, day = _ticks(compiled, warmup, "--warmup"), _ticks(compiled, "1 d", "--until")
        plan = experiment.Run(
            until=forgotten + day if until is None else _ticks(compiled, until, "--until"), warmup=forgotten,
            replications=replications or 100, seed=seed, engine=engine_of(compiled, engine),
            threads=os.cpu_count() or 1,
        )  # fmt: skip
        if until is None:
            plan = replace(plan, until=forgotten + experiment.usual_end(compiled, plan, day))
        with Progress(console=Console(stderr=True), transient=True, disable=as_json) as progress:
            task = progress.add_task("replications", total=plan.replications)
            report = experiment.simulate(compiled, plan, lambda n: progress.advance(task, n))
        # closed forms are of the plant file's rules: nothing to compare others with
        told = {} if compiled.own else closed_forms.as_json(closed_forms.theory(compiled.plant))
    except ValueError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from error
    except (KernelError, OverflowError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    if told:
        report["analytic"] = told
    if as_json:
        typer.echo(json.dumps(report))
    else:
        _show(report)


def trace(
    plant: Annotated[str, typer.Argument(help="bundled plant or path of a plant file")],
    engine: Annotated[str | None, typer.Option(help="kernel or simpy; by default what the plant asks for")] = None,
    seed: int = 7,
    until: Annotated[str, typer.Option(help="end, as `1 h` or a number of the plant's time units")] = "1 h",
    as_hash: Annotated[bool, typer.Option("--hash", help="only the SHA-256 of the lines")] = False,
    allow_code: AllowCode = False,
) -> None:
    """Print the events of replica 0, one `tick slot kind` a line."""
    from sim import experiment
    from sim.engine import engine_of
    from sim.kernel import KernelError

    compiled = _compiled(plant, allow_code)
    try:
        lines = experiment.trace_lines(compiled, engine_of(compiled, engine), seed, _ticks(compiled, until, "--until"))
    except ValueError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from error
    except (KernelError, OverflowError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    typer.echo(experiment.trace_hash(lines) if as_hash else lines, nl=as_hash)
