"""The commands of the history: history, compact, import."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import typer

DATA = typer.Option(help="Data folder.")


def _fail(text: str, code: int = 1) -> typer.Exit:
    typer.echo(text, err=True)
    return typer.Exit(code)


def moment(text: str) -> int:
    """Plant ms of `2026-01-05`, `2026-01-05T06:00+01:00` (UTC where no zone is given) or of a number of ms."""
    if text.lstrip("-").isdigit():
        return int(text)
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise _fail(f"expected a time such as 2026-01-05T06:00Z or plant ms, found {text}", 2) from None
    return round((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1000)


def span(text: str) -> int:
    """Milliseconds of `1h`, `30s`, `500ms` ..."""
    from sim.units import QuantityError, seconds

    try:
        return round(seconds(text) * 1000)
    except QuantityError as error:
        raise _fail(f"--step: {error}", 2) from None


def history(
    tags: Annotated[list[str] | None, typer.Argument(help="Tags; none lists the tags there are.")] = None,
    start: Annotated[str, typer.Option("--from", help="From this time on (UTC, or plant ms).")] = "1970-01-01",
    end: Annotated[str, typer.Option("--to", help="Up to this time.")] = "2200-01-01",
    step: Annotated[str | None, typer.Option(help="Step, such as 1h or 1min; none gives the readings.")] = None,
    aggregate: Annotated[
        str, typer.Option("--agg", help="auto mean twmean min max first last sum count bad.")
    ] = "auto",
    out: Annotated[Path | None, typer.Option(help="File to write: .csv or .parquet (else CSV to the screen).")] = None,
    data: Annotated[Path, DATA] = Path("plantwin-data"),
) -> None:
    """Read the history, or export it for training: closed files, rollups and the journal's end as one."""
    from ingest.history import History
    from ingest.history_api import as_csv, as_parquet
    from ingest.manifest import HistoryError

    if out is not None and out.suffix not in {".csv", ".parquet"}:
        raise _fail(f"plantwin history: --out: expected a name ending in .csv or .parquet, found {out}", 2)
    if not (data / "journal.db").exists() and not (data / "history").exists():
        raise _fail(f"plantwin history: {data} holds no journal and no history; name the folder of `plantwin ingest`")
    try:
        with History(data) as opened:
            if not tags:
                for tag in opened.tags():
                    when = datetime.fromtimestamp(tag.t / 1000, UTC).isoformat(timespec="seconds")
                    typer.echo(f"{tag.tag}  {tag.type or '?'} {tag.unit}  {tag.value:g} at {when}  {tag.source}")
                return
            answer = opened.query(tags, moment(start), moment(end), span(step) if step else None, aggregate)
        body = as_parquet(answer) if out is not None and out.suffix == ".parquet" else as_csv(answer)
        if out is None:
            sys.stdout.write(body.decode())
            return
        out.write_bytes(body)
    except ValueError as error:
        raise _fail(f"plantwin history: {error}", 2) from None
    except (HistoryError, OSError) as error:
        raise _fail(f"plantwin history: {error}") from None
    typer.echo(f"{out}: {len(answer.rows)} rows")


def compact(
    data: Annotated[Path, DATA] = Path("plantwin-data"),
    follow: Annotated[bool, typer.Option("--follow", help="Go on until told to end.")] = False,
) -> None:
    """Turn what the journal holds into Parquet and rollups, once (beside a running ingest this needs nobody)."""
    from ingest.child import follow_parent
    from ingest.compactor import Compactor
    from ingest.compactor import follow as keep_on
    from ingest.journal import JournalError
    from ingest.manifest import HistoryError

    if not (data / "journal.db").exists():
        raise _fail(f"plantwin compact: {data} holds no journal.db; name the folder of `plantwin ingest`")
    try:
        compactor = Compactor(data)
        if follow:
            keep_on(compactor, follow_parent(piped=False))
        while not follow and compactor.step(close_all=True):
            pass
    except (HistoryError, JournalError, OSError) as error:
        raise _fail(f"plantwin compact: {error}") from None
    stats = compactor.stats
    compactor.close()
    typer.echo(
        f"{data / 'history'}: journal position {stats.pos}, {stats.segments} segments, {stats.readings} readings"
    )


def import_(
    kind: Annotated[Literal["influx", "csv", "opcua-history"], typer.Argument(help="What to read.")],
    origin: Annotated[str, typer.Argument(help="Address of the server, or the CSV file.")],
    map_file: Annotated[Path, typer.Option("--map", help="Their names and our tags (YAML).")],
    start: Annotated[
        str | None, typer.Option("--from", help="From this time on (UTC); a CSV may leave it out.")
    ] = None,
    end: Annotated[str | None, typer.Option("--to", help="Up to this time.")] = None,
    site: Annotated[str, typer.Option(help="Site, area and line it belongs to, as SITE/AREA/LINE.")] = "site/area/line",
    database: Annotated[str, typer.Option(help="influx: database (or bucket).")] = "plantwin",
    token: Annotated[str, typer.Option(envvar="INFLUX_TOKEN", help="influx: token (better in the environment).")] = "",
    data: Annotated[Path, DATA] = Path("plantwin-data"),
) -> None:
    """Back-fill the history from a historian: never into the live state; again is harmless, and it can be resumed."""
    from ingest.backfill import MapError, Plan, load_map, run
    from ingest.manifest import HistoryError

    try:
        mapping = load_map(map_file)
        low, high = (moment(text) if text else None for text in (start, end))
        plan = Plan(data, kind, origin, mapping, site, low, high, database, token)
        report = run(plan, progress=sys.stderr.isatty())
    except MapError as error:
        raise _fail(str(error), 2) from None
    except (HistoryError, OSError) as error:
        raise _fail(f"plantwin import: {error}") from None
    bad = ", ".join(f"{n} {reason}" for reason, n in sorted(report.bad.items())) or "none"
    typer.echo(
        f"{report.rows} readings in {report.days} days; {report.skipped} days were there already; refused: {bad}"
    )
