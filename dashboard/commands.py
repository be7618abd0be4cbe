"""The dashboard's commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def dashboard(
    data: Annotated[Path, typer.Option(help="Data folder; run/twin.json in it names the twin.")] = Path(
        "plantwin-data"
    ),
    twin: Annotated[str | None, typer.Option(help="Address of the twin, instead of run/twin.json.")] = None,
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.", min=0, max=65535)] = 8050,
    host: Annotated[str, typer.Option(help="Address to listen on: loopback unless --allow-remote.")] = "127.0.0.1",
    allow_remote: Annotated[bool, typer.Option(help="Listen on another address although there is no sign-in.")] = False,
) -> None:
    """Serve the pages: what the plant does, what to do next, whether to believe it."""
    from dashboard.service import Settings, SettingsError, serve

    try:
        serve(Settings(data, twin, host, port, allow_remote))
    except SettingsError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(error.code) from None
