"""`plantwin calibrate`: what a journal says about the parameters of a plant file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer


def calibrate(
    plant: Annotated[str, typer.Argument(help="A bundled plant's name or a plant file.")],
    journal: Annotated[Path | None, typer.Argument(help="A journal file (journal.db).")] = None,
    data: Annotated[Path | None, typer.Option(help="Data folder whose journal is read, instead of JOURNAL.")] = None,
    forget: Annotated[str, typer.Option(help="Half-life of what is remembered, such as '14 d'; never forgets.")] = "",
    out: Annotated[Path | None, typer.Option(help="Write the plant file with what is proposed to this path.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw the factors on the plant file's values as SVG.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable.")] = False,
) -> None:
    """Print each parameter as the plant file has it and as it was seen, with what is proposed."""
    from ingest.journal import JournalError
    from sim.plantfile import PlantError, load
    from twin.calibrate import table
    from twin.learned import Learned
    from twin.limits import TwinLimitError
    from twin.patch import PatchError, patch
    from twin.shiftplan import proposed

    file = journal or (data / "journal.db" if data is not None else None)
    if file is None or not file.is_file():
        _stop(f"calibrate: expected a journal file or --data DIR with journal.db in it, found {file or 'neither'}", 2)
    try:
        found = load(plant)
        half_life = forget_ms(forget)
        tracker = learn(file, found, half_life)  # type: ignore[arg-type]
    except (PlantError, TwinLimitError, JournalError, ValueError) as error:
        _stop(f"calibrate: {error}" if not isinstance(error, PlantError) else str(error), 2)
    learned: Learned = tracker.learned
    rows = table(found, learned, tracker.state.refits)
    hours = proposed(found, learned.active)
    unplaced: list[str] = []
    if out is not None:
        try:
            unplaced = patch(found, rows, out)
        except (PatchError, OSError) as error:
            _stop(f"calibrate: {error}", 1)
    if plot is not None:
        from twin.forest import forest

        plot.write_text(forest(found.id, rows), encoding="utf-8")
    if as_json:
        from sim.compile import compile_plant
        from twin.posterior_file import as_body

        body = {"plant": found.id, "until": learned.t, "lost": learned.lost, "rows": [r.as_dict() for r in rows]}
        body |= {"unplaced": unplaced, "hours": hours["hours"]}
        typer.echo(json.dumps(body | {"posterior": as_body(compile_plant(found), tracker.state)}))
        return
    typer.echo(text(found.id, rows, learned))
    for one in hours["hours"]:
        typer.echo(f"hours: {one}")
    for calendar, text_ in hours["open"].items():
        typer.echo(f"proposed: open of {calendar}: {text_} (breaks included)")
    for name in unplaced:
        typer.echo(f"{name}: has no place of its own in the plant file; write it by hand")


def learn(journal: Path, plant: Any, half_life: int) -> Any:
    """The tracker after all rows of a journal. Raises JournalError, TwinLimitError."""
    from ingest.journal import Journal
    from twin.engine import BATCH
    from twin.tracker import Tracker

    reader, tracker = Journal.open_reader(journal), Tracker(plant, half_life)
    try:
        while rows := reader.read(tracker.pos, BATCH):
            for row in rows:
                tracker.apply(row)
    finally:
        reader.close()
    return tracker


def forget_ms(text: str) -> int:
    """A half-life in ms, 0 for an empty text; ValueError (`QuantityError`) for one that is none."""
    if not text:
        return 0
    from sim.units import seconds

    found = round(float(seconds(text)) * 1000)
    if found <= 0:
        raise ValueError(f"expected a half-life above 0 for --forget, found {text!r}")
    return found


def text(plant: str, rows: list[Any], learned: Any) -> str:
    """The table as people read it."""
    from twin.texts import duration_text

    def show(row: Any, value: float) -> str:
        if row.unit == "s":
            return duration_text(value)
        return f"{100 * value:.3g} %" if not row.unit else f"{value:.4g}"

    head = ["parameter", "file", "posterior (90 %)", "seen (90 %)", "n", "cens.", "left out", "verdict"]
    lines = [head]
    for row in rows:
        believed = f"{show(row, row.mean)} ({show(row, row.lo)} to {show(row, row.hi)})"
        alone = f"{show(row, row.seen)} ({show(row, row.seen_lo)} to {show(row, row.seen_hi)})" if row.n else "-"
        n = f"{row.n:.0f}"
        lines.append([row.title, show(row, row.file), believed, alone, n, str(row.cut), str(row.left_out), row.verdict])
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    shown = ["  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in lines]
    shown.append("")
    for row in rows:
        if row.refit:
            score = f"; score of the newer half {row.score[0]:.4g} -> {row.score[1]:.4g}" if row.score else ""
            shown.append(f"proposed: {row.title}: {row.refit} instead of {show(row, row.file)}{score}")
    shown += [f"not seen: {row.title}: {row.untold}" for row in rows if row.untold]
    shown.append(f"{plant}: {learned.lost} messages lost; spans they cut count as censored")
    return "\n".join(shown)


def _stop(message: str, code: int) -> None:
    typer.echo(message, err=True)
    raise typer.Exit(code)
