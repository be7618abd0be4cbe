"""`plantwin validate` and `plantwin init`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from sim.plant import Plant


def validate(
    plant: Annotated[str, typer.Argument(metavar="FILE", help="plant file, or the name of a bundled plant")],
    json: Annotated[bool, typer.Option("--json", help="the same as one JSON object on standard output")] = False,
) -> None:
    """Check a plant file: every error with file and line, or one screen on what it describes."""
    from sim.plantfile import PlantError, resolve
    from sim.plantfile import validate as read
    from sim.report import untabled

    try:
        found, problems, notes = read(resolve(plant))
    except PlantError as err:
        problems, found, notes = err.problems, None, []
    if found is not None:
        problems = untabled(found)
    if json:
        _print_json(found if not problems else None, problems, notes)
        return
    if found is None or problems:
        for line in problems:
            typer.echo(line, err=True)
        count = len(problems)
        typer.echo(f"{plant}: {count} problem{'' if count == 1 else 's'}; nothing was run", err=True)
        raise typer.Exit(2)
    _show(found, notes)


def _print_json(plant: Plant | None, problems: list[str], notes: list[str]) -> None:
    import msgspec

    from sim.report import as_json

    if plant is None:
        said = {"valid": False, "problems": problems, "notes": notes}
    else:
        said = as_json(plant, notes)
    typer.echo(msgspec.json.format(msgspec.json.encode(said), indent=2).decode())
    if plant is None:
        raise typer.Exit(2)


WIDE = 110
"""Characters of a terminal that has room for a station's row on one line."""


def _show(plant: Plant, notes: list[str]) -> None:
    from rich.console import Console
    from rich.table import Table

    from sim import report
    from sim.plantdraft import WARNING
    from sim.traffic import traffic

    loads = traffic(plant)
    console = Console(highlight=False)
    console.soft_wrap = not console.is_terminal  # what is piped keeps its lines
    for line in report.heading(plant):
        console.print(line, markup=False)
    console.print(f"conventions: {report.conventions(plant)}", markup=False)
    if plant.stations:
        wide = console.width >= WIDE
        table = Table(box=None, pad_edge=False, padding=(0, 2 if wide else 1, 0, 0))
        for column in report.STATION_COLUMNS:
            table.add_column(column, overflow="fold", no_wrap=column in ("mean work", "utilisation"))
        for *row, said in report.station_rows(plant, loads):
            apart = said.replace(" (", "\n(").replace(") bottleneck", ")\nbottleneck")
            table.add_row(*row, said if wide else apart)
        console.print(table)
    for line in report.throughput_lines(plant, loads):
        console.print(line, markup=False)
    for note in notes:
        console.print(note if note.startswith(WARNING) else f"note: {note}", markup=False)
    for warning in report.warnings(plant, loads):
        console.print(f"warning: {warning}", markup=False)
    console.print("no errors", markup=False)


def init(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="the file to write; never overwrites")],
    like: Annotated[str, typer.Option(help="copy this bundled plant instead of the commented starter")] = "",
    feature: Annotated[str, typer.Option(help="write the example of this feature (docs/plant-file.md)")] = "",
) -> None:
    """Write a commented plant file to start from."""
    from sim.plantfile import PlantError, resolve
    from sim.starter import text

    try:
        content = _example(feature) if feature else text(file.name)
        if like:
            content = resolve(like).read_text(encoding="utf-8")
    except PlantError as err:
        typer.echo(str(err), err=True)
        raise typer.Exit(2) from err
    try:
        with file.open("x", encoding="utf-8") as out:
            out.write(content)
    except FileExistsError as err:
        typer.echo(f"{file}: expected a new file, found one; choose another name or remove it", err=True)
        raise typer.Exit(2) from err
    except OSError as err:
        typer.echo(f"{file}: cannot be written ({err.strerror}); choose another place", err=True)
        raise typer.Exit(2) from err
    typer.echo(f"{file}: written; edit it, then check it with: plantwin validate {file}")


def _example(feature: str) -> str:
    """The plant file that shows a feature; raises `PlantError` with a suggestion when there is none."""
    from sim.plantexamples import examples
    from sim.plantfile import PlantError
    from sim.units import suggestion

    known = examples()
    if feature not in known:
        hint = suggestion(feature, known)
        raise PlantError([f"{feature}: expected a feature of the plant file, found none of that name; {hint}"])
    return known[feature]
