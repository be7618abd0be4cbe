"""Commands of the edge: `plant`, `gateway`, `replay`. Heavy imports stay inside."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ingest.tls import Tls

Data = Annotated[Path, typer.Option("--data", help="Folder of this installation's files.")]
Ca = Annotated[Path | None, typer.Option("--ca", help="TLS: certificate of the site's CA.")]
Cert = Annotated[Path | None, typer.Option("--cert", help="TLS: our certificate; {cell} in it is the cell.")]
Key = Annotated[Path | None, typer.Option("--key", help="TLS: its private key; {cell} as in --cert.")]
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
    ca: Ca = None,
    cert: Cert = None,
    key: Key = None,
    record: Annotated[str, typer.Option(help="Write this long (24h) into journal.db and truth.jsonl, then end.")] = "",
) -> None:
    """Run a virtual plant with a fieldbus, or record one for `plantwin track`."""
    from hardware.plant_service import PlantOptions, serve
    from hardware.service import run

    options = PlantOptions(plant, data, port, speed, seed, warmup, broker, disturb, twist, _tls("plant", ca, cert, key))
    if record:
        from hardware.recorder import record_plant

        run("plant", record_plant(options, record))
        return
    run("plant", serve(options))


def gateway(
    plant: Annotated[str, typer.Argument(help="A bundled plant's name or a plant file.")] = "",
    data: Data = Path("plantwin-data"),
    fieldbus: Annotated[str, typer.Option(help="Fieldbus of a virtual plant, HOST:PORT; others need --config.")] = "",
    broker: Broker = "127.0.0.1:1883",
    config: Annotated[Path | None, typer.Option(help="A YAML file with plant, fieldbus, broker and more.")] = None,
    check: Annotated[Path | None, typer.Option(help="Check such a file instead of running.")] = None,
    connect: Annotated[bool, typer.Option("--connect", help="With --check: read every tag once.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --check: as JSON.")] = False,
    ca: Ca = None,
    cert: Cert = None,
    key: Key = None,
) -> None:
    """Carry a fieldbus to MQTT and checked commands back, with a durable outbox."""
    if check is not None:
        from hardware.gateway_check import run_check

        raise typer.Exit(run_check(check, data, connect=connect, as_json=as_json))
    from hardware.gateway_config import GatewayConfig
    from hardware.gateway_file import read_config
    from hardware.gateway_service import serve
    from hardware.service import run

    if config is None and not (plant and fieldbus):
        typer.echo("gateway: expected PLANT with --fieldbus HOST:PORT, or --config FILE", err=True)
        raise typer.Exit(2)
    try:
        settings = read_config(config, data) if config is not None else GatewayConfig(plant, fieldbus, broker, data)
        tls = _tls("gateway", ca, cert, key)
        settings = replace(settings, tls=tls or settings.tls)
    except ValueError as error:
        typer.echo(str(error), err=True)
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
    ca: Ca = None,
    cert: Cert = None,
    key: Key = None,
) -> None:
    """Publish a recorded event log, or a table of sensor readings, over MQTT at speed."""
    from hardware.replay import ReplayOptions, serve
    from hardware.service import run

    tls = _tls("replay", ca, cert, key)
    window = (mapping, since, until, tls)
    run(
        "replay",
        serve(ReplayOptions(events, plant, broker, data, speed, *window, table, line, time, tuple(skip or ()))),
    )


def _tls(name: str, ca: Path | None, cert: Path | None, key: Path | None) -> Tls | None:
    from ingest.tls import Tls, TlsError

    try:
        return Tls.of(ca, cert, key)
    except TlsError as error:
        typer.echo(f"{name}: {error}", err=True)
        raise typer.Exit(2) from error
