"""`plantwin discover`."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from sim.discover import Discovery


def _day(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        typer.echo(f"--until: a date such as 2012-02-05 expected, found {text!r}", err=True)
        raise typer.Exit(2) from error


def _show(found: Discovery) -> None:
    from rich.console import Console
    from rich.table import Table

    from sim.draft import summary

    console = Console(stderr=True)
    table = Table("work center", "reports", "people at once", "orders at once", "mean hours", "gone from here")
    for name, reports, people, parallel, hours, gone in summary(found):
        table.add_row(name, str(reports), str(people), str(parallel), f"{hours:.2f}", str(gone))
    console.print(table)
    console.print("What this log cannot tell:")
    for note in found.notes:
        console.print(f" - {note}", highlight=False)


def discover(
    events: Annotated[Path, typer.Argument(help="CSV with case, activity, start, complete")],
    until: Annotated[str | None, typer.Option(help="use only what was known at this local time")] = None,
    column_map: Annotated[Path | None, typer.Option("--map", help="YAML: which column is what")] = None,
    last: Annotated[str, typer.Option(help="activity whose first report completes an order")] = "packing",
    line: Annotated[str, typer.Option(help="id of the line in the draft")] = "machine_shop",
    source: Annotated[str | None, typer.Option(help="where the log comes from, for the head of the draft")] = None,
    timezone: Annotated[str, typer.Option(help="time zone of the log's local times")] = "UTC",
    out: Annotated[Path | None, typer.Option(help="file to write; default: standard output")] = None,
) -> None:
    """Draft a plant file from a shop-floor event log; what the log cannot tell is printed."""
    from sim.discover import discover as draft_from
    from sim.draft import plant_file
    from sim.eventlog import EventLogError, read

    try:
        log = read(events, column_map)
        end = _day(until) if until else max(r.complete for r in log) + timedelta(minutes=1)
        found = draft_from(log, end, last)
    except (OSError, EventLogError, ValueError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from error
    text = plant_file(found, line, source or events.name, timezone)
    _show(found)
    if out is None:
        typer.echo(text, nl=False)
    else:
        out.write_text(text, encoding="utf-8")
        typer.echo(f"wrote {out}; check it with `plantwin validate {out}`", err=True)
