"""`plantwin show`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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


def write(path: Path, text: str, option: str) -> None:
    """Write a picture, or say which option named a place that cannot be written, and end."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        _refuse(f"{option} {path}: cannot be written ({error.strerror}); choose another place")


def _refuse(sentence: str) -> None:
    typer.echo(sentence, err=True)
    raise typer.Exit(2)
