"""`plantwin experiment`: scenarios of one plant file, compared on common random numbers."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sim.commands_run import AllowCode

if TYPE_CHECKING:
    from sim.study import Spec, Study

SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="a factor: release.housing.cap=4,6,8, PATH='40 s..80 s' or PATH='+-10 %'; repeatable"),
]
Outputs = Annotated[
    list[str] | None, typer.Option("--output", help="a figure, as throughput or stations.turn.work; repeatable")
]


@contextmanager
def _told() -> Iterator[None]:
    """What is wrong with the input ends with exit code 2, what went wrong in the computation with 1."""
    from sim.compile import CompileError
    from sim.design import DesignError
    from sim.plantfile import PlantError
    from sim.results import ResultError
    from sim.study import StudyError
    from sim.work import WorkError

    try:
        yield
    except (PlantError, CompileError, DesignError, StudyError, ResultError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from error
    except WorkError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error


def experiment(
    plant: Annotated[str | None, typer.Argument(help="bundled plant or path of a plant file")] = None,
    settings: SetOption = None,
    file: Annotated[Path | None, typer.Option("--file", help="an experiment file; options win over it")] = None,
    design: Annotated[
        str | None, typer.Option(help="factorial (default), oat, lhs, screening or screening-folded")
    ] = None,
    points: Annotated[int | None, typer.Option(help="runs of a Latin hypercube")] = None,
    outputs: Outputs = None,
    until: Annotated[str | None, typer.Option(help="end, as `30d` or a number of the plant's time units")] = None,
    warmup: Annotated[str | None, typer.Option(help="what is forgotten at the beginning, or auto (MSER-5)")] = None,
    replications: Annotated[int | None, typer.Option(min=2, help="of each scenario; 20 by default")] = None,
    seed: int | None = None,
    engine: Annotated[str | None, typer.Option(help="kernel or simpy; by default the plant's")] = None,
    baseline: Annotated[str | None, typer.Option(help="scenario to compare with; base is the file as it is")] = None,
    level: Annotated[float | None, typer.Option(help="confidence, 0.95 by default")] = None,
    simultaneous: Annotated[
        bool | None, typer.Option("--simultaneous", help="all comparisons hold at once (Bonferroni)")
    ] = None,
    method: Annotated[str | None, typer.Option(help="replications, or batch for one long run")] = None,
    batches: Annotated[int | None, typer.Option(help="batches of the long run before any are joined; 64")] = None,
    maximise: Annotated[str | None, typer.Option(help="select the scenario with most of this figure")] = None,
    minimise: Annotated[str | None, typer.Option(help="select the scenario with least of this figure")] = None,
    delta: Annotated[float | None, typer.Option(help="smallest difference worth acting on, for the selection")] = None,
    most: Annotated[int, typer.Option(help="replications of a scenario that the selection may use")] = 1000,
    executor: Annotated[str, typer.Option(help="serial, processes or ray")] = "processes",
    workers: Annotated[int | None, typer.Option(min=1, help="processes; by default one a processor")] = None,
    address: Annotated[str | None, typer.Option(help="a running Ray cluster")] = None,
    out: Annotated[Path | None, typer.Option(help="folder of the results; an interrupted run goes on there")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="forget the results in --out")] = False,
    parquet: Annotated[bool, typer.Option("--parquet", help="also results.parquet in --out")] = False,
    plots: Annotated[
        str | None, typer.Option(help="also pictures in --out: html, png, svg, separated by commas")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="machine-readable")] = False,
    allow_code: AllowCode = False,
) -> None:
    """Compare scenarios of a plant on the same random numbers, find the best one and what matters."""
    from sim.work import executor as workers_of

    kinds = tuple(k.strip() for k in plots.split(",")) if plots else ()
    with _told():
        given = {
            "plant": plant, "settings": _settings(settings or []), "design": design, "points": points,
            "outputs": tuple(outputs or ()), "until": until, "warmup": warmup, "replications": replications,
            "seed": seed, "engine": engine, "baseline": baseline, "level": level, "simultaneous": simultaneous,
            "method": method, "batches": batches, "goal": _goal(maximise, minimise, delta, most),
            "allow_code": allow_code or None,
        }  # fmt: skip
        spec = _spec(file, given)
        _require(kinds, parquet, out)
        study = _study(spec)
        pool = workers_of(executor, workers or os.cpu_count() or 1, address)
        try:
            report, columns = _run(study, pool, None if out is None else out / "units.jsonl", fresh, as_json)
        finally:
            pool.close()
        if out is not None:
            (out / "report.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
            _extras(report, columns, out, kinds, parquet)
    _say(report, as_json)


def _say(report: dict[str, Any], as_json: bool) -> None:
    from sim.experiment_text import show

    if as_json:
        typer.echo(json.dumps(report))
    else:
        show(report)


def _settings(texts: list[str]) -> dict[str, str]:
    from sim.study import StudyError

    found: dict[str, str] = {}
    for text in texts:
        path, equals, values = text.partition("=")
        if not equals or not path.strip() or not values.strip():
            raise StudyError(f"--set: expected PATH=VALUES, found '{text}'; write release.housing.cap=4,6,8")
        if path.strip() in found:
            raise StudyError(f"--set: expected each path once, found '{path.strip()}' again; use commas")
        found[path.strip()] = values
    return found


def _goal(maximise: str | None, minimise: str | None, delta: float | None, most: int) -> Any:
    from sim.study import Goal, StudyError

    if maximise is None and minimise is None:
        if delta is not None:
            raise StudyError("--delta: expected '--maximise FIGURE' or '--minimise FIGURE' beside it, found neither")
        return None
    if maximise is not None and minimise is not None:
        raise StudyError("--maximise, --minimise: expected one of them, found both; take one out")
    if delta is None:
        raise StudyError("selection: expected '--delta', found none; give the smallest difference worth acting on")
    return Goal(maximise or minimise or "", maximise is not None, delta, most)


def _spec(file: Path | None, options: dict[str, Any]) -> Spec:
    """The file's fields, then those of the options that were given."""
    from sim.study import Spec, StudyError
    from sim.studyfile import read_study

    fields = read_study(file) if file is not None else {}
    fields |= {name: value for name, value in options.items() if value not in (None, (), {})}
    if "plant" not in fields:
        raise StudyError("experiment: expected a plant, found none; name it first, or as 'plant:' in the file")
    return Spec(**fields)


def _require(kinds: tuple[str, ...], parquet: bool, out: Path | None) -> None:
    """Find out now what would be missing at the end."""
    from sim import plots
    from sim.study import StudyError

    if (kinds or parquet) and out is None:
        raise StudyError("--plots, --parquet: expected '--out FOLDER' beside them, found none; say where to write")
    try:
        plots.require(kinds)
    except ValueError as error:
        raise StudyError(str(error)) from error
    if parquet:
        import duckdb  # noqa: F401


def _study(spec: Spec) -> Study:
    from sim.commands_run import _ticks
    from sim.study import Study

    return Study(spec, _ticks)


def _run(study: Study, pool: Any, path: Path | None, fresh: bool, quiet: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """The report and the columns for Parquet, with a bar on the error output."""
    from rich.console import Console
    from rich.progress import Progress

    from sim import findings
    from sim.results import Store

    if fresh and path is not None:
        path.unlink(missing_ok=True)
    store = Store(path)
    try:
        console = Console(stderr=True)
        if store.resumed and not quiet:
            console.print(f"{store.resumed} units of work are done already")
        with Progress(console=console, transient=True, disable=quiet) as progress:
            task = progress.add_task("blocks of replications", total=None)
            found = study.run(store, pool, lambda n, total: progress.update(task, completed=n, total=total))
            progress.update(task, description="analysis", completed=0, total=None)
            report = findings.report(study, store, pool, found)
        return report, findings.columns(study, store)
    finally:
        store.close()


def _extras(report: dict[str, Any], columns: dict[str, Any], out: Path, kinds: tuple[str, ...], parquet: bool) -> None:
    from sim.plots import draw
    from sim.results import write_parquet

    if parquet:
        write_parquet(out / "results.parquet", columns)
    draw(report, out, kinds)
