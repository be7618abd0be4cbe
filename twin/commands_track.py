"""The commands that say how near the twin is to the plant: `track` on a recording, `observe` before there is one."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from sim.plant import Plant
    from twin.faults import Faults

Many = list[str] | None
SAMPLED = 5
"""Replays after which it is said how long the rest will take."""


def track(  # the options are the faults
    log: Annotated[Path, typer.Argument(help="A journal, or a folder with journal.db (and truth.jsonl).")],
    truth: Annotated[Path | None, typer.Option(help="Truth log; by default truth.jsonl beside the journal.")] = None,
    plant: Annotated[str, typer.Option(help="Plant file; by default the truth log's bundled plant.")] = "",
    channel: Annotated[str, typer.Option(help="wire (what is lost is sent again) or plain (at most once).")] = "wire",
    loss: Annotated[str, typer.Option(help="Share of messages lost: 0.05 or 5%.")] = "0",
    duplicates: Annotated[str, typer.Option(help="Share of messages that come twice.")] = "0",
    late: Annotated[str, typer.Option(help="Share of late messages and by how much at most: 0.05:10min.")] = "0",
    reorder: Annotated[str, typer.Option(help="Share of messages overtaken by up to five later ones.")] = "0",
    outage: Annotated[Many, typer.Option(help="No connection: 2h..3h from the log's beginning; repeatable.")] = None,
    skew: Annotated[str, typer.Option(help="The gateways' clocks are ahead by this (or -5s behind).")] = "0",
    stuck: Annotated[Many, typer.Option(help="A sensor that sticks: TAG or TAG@2h..5h; repeatable.")] = None,
    bias: Annotated[Many, typer.Option(help="A sensor that is off: TAG=+1 or TAG=-2@2h..5h; repeatable.")] = None,
    resets: Annotated[str, typer.Option(help="Counters begin again at 0, unannounced: 4h,12h.")] = "",
    hours: Annotated[float, typer.Option(help="Only the first hours of the log; 0: all.")] = 0.0,
    seed: int = 1,
    as_json: Annotated[bool, typer.Option("--json", help="machine-readable")] = False,
    plot: Annotated[Path | None, typer.Option(help="Picture of the error over time (.png, .svg).")] = None,
) -> None:
    """Replay a recording with faults through the twin and compare with the truth."""
    from sim.units import QuantityError
    from twin import track as tracking
    from twin.faults import Faults
    from twin.faults_text import FaultError, bad_sensors, share, time_of, window
    from twin.faults_text import late as late_of
    from twin.limits import TwinLimitError

    journal = log / "journal.db" if log.is_dir() else log
    try:
        told = tracking.read_truth(truth if truth is not None else journal.parent / "truth.jsonl")
        described = _plant(plant or str(told.header.get("plant", "")))
        if channel not in ("wire", "plain"):
            raise FaultError(f"--channel {channel}: expected wire or plain")
        late_share, late_s = late_of(late)
        ahead = -time_of(skew[1:], "--skew") if skew.startswith("-") else time_of(skew, "--skew")
        faults = Faults(
            loss=share(loss, "--loss"),
            duplicates=share(duplicates, "--duplicates"),
            late=late_share,
            late_s=late_s,
            reorder=share(reorder, "--reorder"),
            outages=tuple(window(text, "--outage") for text in outage or ()),
            skew_s=ahead,
            sensors=bad_sensors(stuck or (), bias or (), (s.tag for s in described.sensors)),
            resets=tuple(time_of(text, "--resets") for text in resets.split(",") if text),
            channel=channel,
            seed=seed,
        )
        rows = tracking.read_rows(journal)
        if hours > 0:
            told, rows = tracking.first_hours(told, rows, hours)
        found, run, clean = tracking.report(described, rows, told, faults)
    except (FaultError, QuantityError, TwinLimitError, tracking.TrackError) as error:
        typer.echo(f"track: {error}", err=True)
        raise typer.Exit(2) from error
    if plot is not None:
        from twin.track_plot import draw

        draw(described.id, run, clean, faults, plot)
    typer.echo(json.dumps(found)) if as_json else _show(found, faults)


def _plant(name: str) -> Plant:
    from sim.plantfile import load

    return load(name)


def _cell(value: Any, digits: int = 3) -> str:
    return "" if value is None else f"{value:.{digits}g}"


def _show(found: dict[str, Any], faults: Faults) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    channel = "what is lost is sent again" if faults.channel == "wire" else "at most once: what is lost is lost"
    title = (
        f"{found['plant']}: {found['hours']:.1f} h, {found['comparisons']} comparisons, {found['channel']} ({channel})"
    )
    table = Table(title=title, box=box.SIMPLE)
    columns = ("things", "RMSE", "mean error", "without faults", "greatest", "time out of step", "in the 90 % band")
    for name in ("quantity", *columns):
        table.add_column(name, justify="left" if name == "quantity" else "right")
    for name, q in found["quantities"].items():
        cover = f"{q['coverage90']:.1%}" if "coverage90" in q else "no spread"
        table.add_row(
            name, str(q["n"]), _cell(q["rmse"]), _cell(q["mean_abs"]), _cell(q["clean_mean_abs"]), _cell(q["max"]),
            f"{q['out_of_step']:.1%}", cover,
        )  # fmt: skip
    console.print(table)
    if found["messages"]:
        console.print("messages: " + ", ".join(f"{n} {what}" for what, n in found["messages"].items()))
    if found["worst"]:
        console.print("worst: " + ", ".join(f"{w['what']} {w['mean_abs']:g}" for w in found["worst"]))
    for o in found["outages"]:
        back = "not before the log ends" if o["reconverged_s"] is None else f"after {o['reconverged_s'] / 60:.0f} min"
        console.print(f"outage from {o['from_s'] / 60:.0f} to {o['to_s'] / 60:.0f} min: back in step {back}")
    g = found["growth"]
    if g["blocks"] >= 4:
        console.print(
            f"growth: {g['slope_per_day']:+.3g} parts a day (total WIP error, hourly means; p of a trend {g['p']:.2g})"
        )
    for n in found["named"]:
        console.print(
            f"named: {n['sensor']} in {n['share']:.1%} of the comparisons more ({n['without_faults']:.1%} without)"
        )
    for tag, n in found["failed_checks"].items():
        console.print(f"checks: {tag} failed {n} times more")


def observe(
    plant: Annotated[str, typer.Argument(help="A bundled plant's name or a plant file.")],
    tags: Annotated[Path | None, typer.Option(help="File with the tags there are, one a line; default: all.")] = None,
    hours: Annotated[float, typer.Option(help="Plant hours simulated; 0: enough for some hundred parts.")] = 0.0,
    seed: int = 1,
    as_json: Annotated[bool, typer.Option("--json", help="machine-readable")] = False,
    plot: Annotated[Path | None, typer.Option(help="Picture of the spreads (.png, .svg).")] = None,
) -> None:
    """Say before anything is connected what the plant's tags let the twin know, and to what spread."""
    from sim.compile import CompileError
    from sim.kernel import KernelError
    from twin import observability
    from twin.limits import TwinLimitError

    described = _plant(plant)
    try:
        chosen = None if tags is None else observability.read_tags(tags, described)
        with _progress() as tell:
            found = observability.observe(described, chosen, hours, seed, tell)
    except (ValueError, TwinLimitError, CompileError) as error:
        typer.echo(f"observe: {error}", err=True)
        raise typer.Exit(2) from error
    except KernelError as error:
        typer.echo(f"observe: {error}", err=True)
        raise typer.Exit(1) from error
    if plot is not None:
        from twin.track_plot import draw_spreads

        draw_spreads(found, plot)
    typer.echo(json.dumps(found)) if as_json else _tell(found)


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """A bar with what is left, on the error output; where that is no terminal, one line once the pace is known."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console, began = Console(stderr=True), time.monotonic()
    columns = (TextColumn("replays"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("left"))
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as bar:
        task = bar.add_task("replays", total=None)

        def tell(done: int, of: int) -> None:
            bar.update(task, completed=done, total=of)
            if done == SAMPLED and not console.is_terminal:
                left = (time.monotonic() - began) / done * (of - done)
                typer.echo(f"observe: {of} replays, about {max(left / 60, 0.1):.1f} min left", err=True)

        yield tell


def _tell(found: dict[str, Any]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    console.print(found["how"], soft_wrap=True)
    table = Table(title=f"{found['plant']}: what {found['tags']} tags let the twin know", box=box.SIMPLE)
    for name in ("quantity", "is", "spread", "without any tag", "unit", "tags"):
        table.add_column(name, justify="right" if name in ("spread", "without any tag") else "left")
    for q in found["quantities"]:
        table.add_row(q["what"], q["is"], _cell(q["spread"]), _cell(q["blind"]), q["unit"], _some(q["tags"]))
    console.print(table)
    for title, name in (("One tag more would help most", "more"), ("Without these the twin knows less", "needed")):
        rows = found[name]
        if rows:
            console.print(f"[bold]{title}[/] (change of the mean spread, parts):")
        for row in rows[:8]:
            console.print(f"  {row['tag']}  {row['gain']:+.3g}  {row.get('why', '')}")
    if found["unneeded"]:
        console.print("[bold]Taken away alone, these change nothing measurable:[/] " + ", ".join(found["unneeded"]))


def _some(tags: Sequence[str], most: int = 3) -> str:
    return ", ".join(tags[:most]) + (f" and {len(tags) - most} more" if len(tags) > most else "")
