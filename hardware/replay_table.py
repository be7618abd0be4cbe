"""Tables of sensor readings for `plantwin replay --table`: one row a moment, one column a signal.

The separator (`,`, `;` or tab) is the one that the header has most of; the time is the first column or the one named.
Cells that are empty are no readings. Rows must be in order of time: a recording that goes back is refused, since
nothing could be told twice or late without saying so.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from ingest.wire import Tag


class TableError(ValueError):
    """The file is not a usable table: names file, line, what was expected and found."""


@dataclass(frozen=True, slots=True)
class TableRow:
    """The readings of one moment (plant ms), by tag."""

    t: int
    values: tuple[tuple[str, float], ...]


def tag_name(header: str) -> str:
    """`Volume Flow RateRMS` -> `volume-flow-raterms`."""
    return re.sub(r"[^a-z0-9]+", "-", header.strip().lower()).strip("-")[:64] or "unnamed"


def read_table(path: Path, timezone: str, time: str = "", skip: Sequence[str] = ()) -> list[TableRow]:
    """All rows of a table; `skip` are columns that are no readings (labels). Raises `TableError`."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        first = file.readline()
        separator = max(",;\t", key=first.count)
        header = [h.strip() for h in next(csv.reader([first], delimiter=separator), [])]
        at = header.index(time) if time in header else 0
        unknown = [name for name in (*skip, time) if name and name not in header]
        if unknown or len(header) < 2:
            raise TableError(
                f"{path}:1: expected columns {', '.join(unknown) or 'for a time and signals'}, found "
                f"{', '.join(header)[:300] or 'nothing'}"
            )
        signals = [(i, tag_name(h)) for i, h in enumerate(header) if i != at and h not in skip]
        if len({name for _, name in signals}) != len(signals):
            raise TableError(f"{path}:1: two columns have the same name: {', '.join(n for _, n in signals)[:300]}")
        zone, rows = ZoneInfo(timezone), list[TableRow]()
        for line, cells in enumerate(csv.reader(file, delimiter=separator), start=2):
            if not cells:
                continue
            if len(cells) != len(header):
                raise TableError(f"{path}:{line}: expected {len(header)} cells, found {len(cells)}")
            row = TableRow(_time(cells[at], zone, f"{path}:{line}"), _values(cells, signals, f"{path}:{line}"))
            if rows and row.t < rows[-1].t:
                raise TableError(f"{path}:{line}: expected rows in order of time, found {cells[at]} after a later one")
            rows.append(row)
        return rows


def _time(text: str, zone: ZoneInfo, where: str) -> int:
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise TableError(f"{where}: expected a time such as 2020-03-09 10:14:33, found {text[:40]!r}") from None
    return round((moment if moment.tzinfo else moment.replace(tzinfo=zone)).timestamp() * 1000)


def _values(cells: list[str], signals: list[tuple[int, str]], where: str) -> tuple[tuple[str, float], ...]:
    found = []
    for i, name in signals:
        if not cells[i].strip():
            continue
        try:
            value = float(cells[i])
        except ValueError:
            raise TableError(f"{where}: expected a number for {name}, found {cells[i][:40]!r}") from None
        if not math.isfinite(value):
            raise TableError(f"{where}: expected a finite number for {name}, found {cells[i][:40]!r}")
        found.append((name, value))
    return tuple(found)


def table_tags(rows: Sequence[TableRow]) -> list[Tag]:
    """One tag a signal, in the order of the columns."""
    names = dict.fromkeys(name for row in rows for name, _ in row.values)
    return [Tag(i=i, name=name, type="float") for i, name in enumerate(names)]
