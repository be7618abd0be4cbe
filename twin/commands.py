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


def condition(
    tags: Annotated[list[str], typer.Argument(help="The signals of one machine, as the journal names its tags.")],
    data: Annotated[Path, typer.Option(help="Data folder.")] = Path("plantwin-data"),
    place: Annotated[str, typer.Option(help="Name of the machine, for the notices.")] = "machine",
    step: Annotated[float, typer.Option(help="Seconds of a frame: readings within are averaged.")] = 1.0,
    learn: Annotated[int, typer.Option(help="Frames, quiet ones, to learn from before any notice.")] = 400,
    streams: Annotated[int, typer.Option(help="Analog signals watched in the whole plant; 0: these alone.")] = 0,
    follow: Annotated[bool, typer.Option("--follow", help="Go on with what comes.")] = False,
) -> None:
    """Tell when the analog signals of a machine begin to behave differently."""
    from datetime import UTC, datetime

    from ingest.journal import JournalError
    from twin.condition import Condition, Settings, sentence
    from twin.condition_journal import notices

    def when(ms: int) -> str:
        return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")

    try:
        fold = Condition(Settings(place, tuple(tags), round(step * 1000), learn=learn, streams=streams))
        for one in notices(fold, data / "journal.db", follow):
            typer.echo(f"{when(one.t)}: {sentence(one)} since about {when(one.since)}")
    except (ValueError, JournalError) as error:
        typer.echo(f"condition: {error}", err=True)
        raise typer.Exit(2) from None
    state = fold.state
    counts = f"{state.fed} frames, {state.partial} without all signals, {state.late} readings late"
    typer.echo(f"{len(fold.notices)} notices, {counts}", err=True)
