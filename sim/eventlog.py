"""Shop-floor event logs: one row for each report of work (order, activity, start, complete).

Worker identifiers are read only to count how many people work at once; they are replaced by numbers of no
meaning while the file is read and never leave this module's records.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import yaml

COLUMNS = {
    "case": "case",
    "activity": "activity",
    "start": "start",
    "complete": "complete",
    "worker": "resource",
    "kind": "report_type",
}
"""What a log must name -> default column. `worker` and `kind` may be absent."""
REQUIRED = ("case", "activity", "start", "complete")
FORMATS = ("%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M")


class EventLogError(ValueError):
    """The file is not a usable event log: names file, line, what was expected and found."""


@dataclass(frozen=True, slots=True)
class Report:
    """One report of work on an order at an activity (an id as in the plant file), in the log's local time."""

    order: str
    activity: str
    label: str
    start: datetime
    complete: datetime
    kind: str = "D"
    worker: int = 0  # meaningless number, equal for equal workers of one reading


def activity_id(label: str) -> str:
    """`Turning & Milling` -> `turning-milling`; a leading SETUP is the same work center."""
    words = re.sub(r"^\s*setup\s+", "", label.strip().lower())
    return re.sub(r"[^a-z0-9]+", "-", words).strip("-")[:64] or "unnamed"


def _columns(path: Path | None) -> dict[str, str]:
    if path is None:
        return dict(COLUMNS)
    given = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(given, dict) or not set(given) <= set(COLUMNS):
        raise EventLogError(f"{path}: a mapping of {', '.join(COLUMNS)} to column names expected")
    return {**COLUMNS, **{str(k): str(v) for k, v in given.items()}}


def _time(text: str, where: str) -> datetime:
    for form in FORMATS:
        try:
            return datetime.strptime(text, form)  # noqa: DTZ007 - the log is in local time and says no zone
        except ValueError:
            continue
    raise EventLogError(f"{where}: a local time such as 2012-01-31 14:05 expected, found {text!r}")


def read(path: Path, mapping: Path | None = None) -> list[Report]:
    """All reports of a CSV file, ordered by (start, complete, line). Raises `EventLogError`."""
    columns = _columns(mapping)
    numbers: dict[str, int] = {}
    reports = []
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        header = reader.fieldnames or []
        for name in REQUIRED:
            if columns[name] not in header:
                raise EventLogError(
                    f"{path}:1: column {columns[name]!r} for {name!r} expected, found {', '.join(header)}; use --map"
                )
        for line, row in enumerate(reader, start=2):
            where = f"{path}:{line}"
            start, complete = _time(row[columns["start"]], where), _time(row[columns["complete"]], where)
            if complete < start:
                raise EventLogError(f"{where}: complete {complete} lies before start {start}")
            label = row[columns["activity"]].strip()
            worker = numbers.setdefault(row.get(columns["worker"]) or "", len(numbers))
            kind = row.get(columns["kind"]) or "D"
            reports.append(Report(row[columns["case"]], activity_id(label), label, start, complete, kind, worker))
    return sorted(reports, key=lambda r: (r.start, r.complete))
