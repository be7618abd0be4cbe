"""The commands that look after a whole machine: `demo`, its `cable`, and `doctor`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import typer


def demo(
    plant: Annotated[str, typer.Option(help="A bundled plant or a path to a plant file.")] = "gearmotor",
    speed: Annotated[float, typer.Option(help="Seconds of plant time in a second.", min=0.1, max=600)] = 60.0,
    seconds: Annotated[float | None, typer.Option("--for", help="End after so many seconds.", min=1)] = None,
    headless: Annotated[bool, typer.Option(help="Plain lines, any free dashboard port.")] = False,
    approve: Annotated[
        Literal["auto", "none"], typer.Option(help="auto: a scripted operator accepts the first good recommendation.")
    ] = "none",
    report: Annotated[Path | None, typer.Option(help="Write the figures of the run to this JSON file.")] = None,
    data: Annotated[Path, typer.Option(help="Data folder; emptied when it is of an earlier demo.")] = Path(
        "plantwin-data/demo"
    ),
    port: Annotated[
        int | None, typer.Option(help="Port of the dashboard; 0 takes a free one.", min=0, max=65535)
    ] = None,
    broker: Annotated[Literal["embedded", "mosquitto"], typer.Option(help="Which MQTT broker.")] = "embedded",
) -> None:
    """Run the whole loop on a virtual plant: broker, plant, gateway, ingest, twin, advice and dashboard."""
    from hardware.demo import Demo, DemoError, Options
    from hardware.supervisor import StartError, free_ports

    if port is None:
        port = 0 if headless else 8050
    if port == 0:
        port = free_ports(1)[0]
    options = Options(plant, speed, seconds, headless, approve, report, data, port, broker)
    try:
        code = Demo(options, _printer(headless)).run()
    except (DemoError, StartError) as error:
        typer.echo(f"plantwin demo: {error}", err=True)
        raise typer.Exit(2 if isinstance(error, DemoError) else 1) from None
    raise typer.Exit(code)


def cable(
    port: Annotated[int, typer.Option(help="Port on loopback that the gateway connects to.", min=1, max=65535)],
    broker: Annotated[str, typer.Option(help="The broker behind it, HOST:PORT.")],
    data: Annotated[Path, typer.Option(help="Data folder of the gateway.")] = Path("plantwin-data/demo"),
) -> None:
    """Carry the gateway's connection to the broker; the demo's dashboard pulls it for 30, 60 or 120 seconds."""
    from hardware.cable_service import serve
    from hardware.link import host_port
    from hardware.service import run

    try:
        where = host_port(broker, "--broker")
    except ValueError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from error
    run("cable", serve(where, port, data))


def doctor(
    data: Annotated[Path, typer.Option(help="Data folder whose disk is looked at.")] = Path("plantwin-data"),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what works on this machine and what to do about the rest."""
    import json

    from hardware import doctor as checks

    findings = checks.examine(data)
    if as_json:
        typer.echo(json.dumps([finding.as_dict() for finding in findings], indent=2))
    else:
        checks.show(findings)
    raise typer.Exit(1 if any(finding.status == checks.BAD for finding in findings) else 0)


def _printer(headless: bool) -> Callable[[str], None]:
    """Prints a line with the time of day; in colour for a person."""
    import time

    if headless:
        return lambda line: print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)

    def say(line: str) -> None:
        style = "bold green" if line.startswith("dashboard:") else "yellow" if " ended (" in line else ""
        console.print(Text(time.strftime("%H:%M:%S "), "dim") + Text(line, style), soft_wrap=True)

    return say
