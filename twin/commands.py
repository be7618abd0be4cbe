"""The command of the twin."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def twin(
    plant: Annotated[str, typer.Argument(help="A bundled plant's name or a plant file.")],
    port: Annotated[int, typer.Option(help="Port of the loopback API; 0 takes a free one.")] = 8100,
    ingest: Annotated[str, typer.Option(help="Address of ingest's API.")] = "http://127.0.0.1:8090",
    data: Annotated[Path, typer.Option(help="Data folder.")] = Path("plantwin-data"),
    forecast_every: Annotated[float, typer.Option(help="Wall seconds between two forecasts.")] = 10.0,
    replicas: Annotated[int, typer.Option(help="Replicas of a forecast.")] = 200,
    horizon: Annotated[float, typer.Option(help="Horizon of a forecast in plant hours.")] = 8.0,
    forget: Annotated[
        str, typer.Option(help="Half-life of what parameters are learned from, such as '14 d'; empty: for ever.")
    ] = "",
    allow_code: Annotated[
        bool, typer.Option("--allow-code", help="Let the plant's own rules run (engine: simpy): code from its file.")
    ] = False,
) -> None:
    """Keep the twin in step with the journal; serve its state, forecasts and log."""
    from sim.ownrules import OwnRulesError, allow
    from sim.ownrules import load as load_rules
    from sim.plantfile import PlantError, load
    from twin.limits import TwinLimitError, refuse

    try:
        found = allow(load(plant)) if allow_code else load(plant)
        load_rules(found)
        refuse(found)
    except (PlantError, OwnRulesError, TwinLimitError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    if not 0 <= port < 65536 or replicas < 1 or horizon < 0.5 or forecast_every <= 0:
        message = "twin: expected --port 0 to 65535, --replicas from 1, --horizon from 0.5 h, --forecast-every above 0"
        typer.echo(message, err=True)
        raise typer.Exit(2)
    from twin.commands_calibrate import forget_ms
    from twin.engine import Settings
    from twin.forecast import Options
    from twin.service import serve

    try:
        options = Options(replicas, round(horizon * 3600))
        settings = Settings(data, found, forecast_every, options, forget_ms(forget))
    except ValueError as error:
        typer.echo(f"twin: {error}", err=True)
        raise typer.Exit(2) from None
    try:
        serve(settings, port, ingest)
    except (OSError, RuntimeError) as error:
        typer.echo(f"twin: {error}", err=True)
        raise typer.Exit(1) from None
