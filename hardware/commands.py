"""Commands of the edge: `plant`, `gateway`, `replay`. Heavy imports stay inside."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Data = Annotated[Path, typer.Option("--data", help="Folder of this installation's files.")]
Broker = Annotated[str, typer.Option("--broker", help="MQTT broker, HOST:PORT.")]


def plant(
    plant: Annotated[str, typer.Argument(help="A bundled plant's name or a plant file.")],
    data: Data = Path("plantwin-data"),
    port: Annotated[int, typer.Option(help="Fieldbus port on loopback; 0 picks a free one.")] = 0,
    speed: Annotated[float, typer.Option(help="Plant seconds per wall second, 0.1 to 600.")] = 60.0,
    seed: Annotated[int, typer.Option(help="Luck and hidden differences of this plant.")] = 1,
    warmup: Annotated[str, typer.Option(help="Plant time run before going live, for example 3d; auto.")] = "auto",
    broker: Annotated[str, typer.Option(help="MQTT broker for the ERP's documents, HOST:PORT; empty for none.")] = "",
    disturb: Annotated[str, typer.Option(help="auto, none, bottleneck, or a JSON file of breakdowns.")] = "auto",
    twist: Annotated[bool, typer.Option(help="Differ from the plant file in ways the twin is not told.")] = True,
) -> None:
    """Run a virtual plant with a fieldbus."""
    from hardware.plant_service import PlantOptions, serve
    from hardware.service import run

    run("plant", serve(PlantOptions(plant, data, port, speed, seed, warmup, broker, disturb, twist)))


def gateway(
    plant: Annotated[str, typer.Argument(help="A bundled plant's name or a plant file.")] = "",
    data: Data = Path("plantwin-data"),
    fieldbus: Annotated[str, typer.Option(help="Fieldbus of the plant, HOST:PORT.")] = "",
    broker: Broker = "127.0.0.1:1883",
    config: Annotated[Path | None, typer.Option(help="A YAML file with plant, fieldbus, broker and more.")] = None,
) -> None:
    """Carry a fieldbus to MQTT and checked commands back, with a durable outbox."""
    from hardware.gateway_config import GatewayConfig, read_config
    from hardware.gateway_service import serve
    from hardware.service import run

    if config is None and not (plant and fieldbus):
        typer.echo("gateway: expected PLANT with --fieldbus HOST:PORT, or --config FILE", err=True)
        raise typer.Exit(2)
    try:
        settings = read_config(config, data) if config is not None else GatewayConfig(plant, fieldbus, broker, data)
    except ValueError as error:
        typer.echo(f"gateway: {error}", err=True)
        raise typer.Exit(2) from error
    run("gateway", serve(settings))


def replay(
    events: Annotated[Path, typer.Argument(help="Event log (CSV: case, activity, start, complete), or a --table.")],
    plant: Annotated[
        str, typer.Option(help="The plant it belongs to: a bundled name or a plant file.")
    ] = "machine_shop",
    broker: Broker = "127.0.0.1:1883",
    data: Data = Path("plantwin-data"),
    speed: Annotated[float, typer.Option(help="Recorded seconds per wall second, 0.1 to 100000.")] = 3600.0,
    mapping: Annotated[Path | None, typer.Option("--map", help="YAML that names the columns.")] = None,
    since: Annotated[str, typer.Option(help="First day (ISO date, the log's local time).")] = "",
    until: Annotated[str, typer.Option(help="Day before which to end.")] = "",
    table: Annotated[bool, typer.Option("--table", help="The file holds sensor readings, a row a moment.")] = False,
    line: Annotated[str, typer.Option(help="SITE/AREA/LINE it belongs to, instead of a plant's.")] = "",
    time: Annotated[str, typer.Option(help="Column of a table with the time; the first one without.")] = "",
    skip: Annotated[list[str] | None, typer.Option(help="A table's column to leave out; again for more.")] = None,
) -> None:
    """Publish a recorded event log, or a table of sensor readings, over MQTT at speed."""
    from hardware.replay import ReplayOptions, serve
    from hardware.service import run

    window = (mapping, since, until)
    run(
        "replay",
        serve(ReplayOptions(events, plant, broker, data, speed, *window, table, line, time, tuple(skip or ()))),
    )
