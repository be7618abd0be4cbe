"""`plantwin show`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

if TYPE_CHECKING:
    from sim.compile import Compiled

THEMES = ("dark", "light")


def show(
    plant: Annotated[str, typer.Argument(help="bundled plant or path of a plant file")],
    out: Annotated[Path | None, typer.Option(help="file to write, ending in .svg; by default ./PLANT.svg")] = None,
    theme: Annotated[str, typer.Option(help="dark (control room) or light (daylight, print)")] = "dark",
    aspect: Annotated[float, typer.Option(min=0.2, max=10.0, help="width over height to fit the drawing to")] = 1.78,
) -> None:
    """Draw a plant as an SVG picture: what feeds what, with queues, units, rework, scrap, crews and calendars."""
    from sim.drawing import svg
    from sim.plantfile import PlantError, load

    if theme not in THEMES:
        _refuse(f"--theme {theme}: expected one of {', '.join(THEMES)}")
    try:
        found = load(plant)
    except PlantError as error:
        _refuse(str(error))
    path = out or Path(f"{found.id}.svg")
    if path.suffix.lower() != ".svg":
        _refuse(f"--out {path}: expected a file that ends in .svg, found {path.suffix or 'no ending'}; name it *.svg")
    write(path, svg(found, theme, aspect), "--out")
    typer.echo(f"wrote {path}; any browser shows it")


def state_chart(compiled: Compiled, path: Path, seed: int, window: tuple[int, int | None]) -> None:
    """Write the state chart of `simulate --gantt`; `window` in ticks, an end of None where there is enough to see."""
    from rich.console import Console
    from rich.progress import Progress

    from sim import gantt_draw
    from sim.gantt import collect
    from sim.kernel import KernelError

    kind = path.suffix.lower()
    if kind not in (".svg", ".html"):
        _refuse(f"--gantt {path}: expected a file that ends in .svg or .html, found {kind or 'no ending'}; rename it")
    try:
        with Progress(console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task("state chart", total=1.0)
            chart = collect(compiled, seed, *window, progress=lambda share: progress.update(task, completed=share))
    except ValueError as error:
        _refuse(str(error))
    except (KernelError, OverflowError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    write(path, (gantt_draw.html if kind == ".html" else gantt_draw.svg)(chart, compiled), "--gantt")
    typer.echo(f"wrote {path}: {len(chart.bars)} bars of {len(chart.units)} units", err=True)


def write(path: Path, text: str, option: str) -> None:
    """Write a picture, or say which option named a place that cannot be written, and end."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        _refuse(f"{option} {path}: cannot be written ({error.strerror}); choose another place")


def _refuse(sentence: str) -> NoReturn:
    typer.echo(sentence, err=True)
    raise typer.Exit(2)
