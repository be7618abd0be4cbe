"""Change points of a real pump-and-valve test bed (SKAB): delay, misses and false notices of the twin's condition
fold, beside ADWIN and Page-Hinkley of river on the same errors and on the raw signals where river is installed."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twin.condition import GAP, Condition, Settings
from twin.onestep import OneStep

DEVELOPED = ("valve1/0", "valve1/1", "valve1/2", "valve1/3", "valve1/4", "valve1/5")
"""Files on which the options of twin/condition.py were chosen, with the first half of anomaly-free; the rest counts."""
LABELS = ("anomaly", "changepoint")
RETURN_S = 60
"""Notices so soon after an anomaly's end are of the return, which is a change as well."""


@dataclass(frozen=True)
class Table:
    """A file: times (plant ms), values [rows, signals], label 0 or 1 a row (all 0 where the file has none)."""

    name: str
    tags: tuple[str, ...]
    t: NDArray[np.int64]
    values: NDArray[np.float64]
    anomaly: NDArray[np.bool_]

    def part(self, first: int, last: int, name: str) -> Table:
        """Rows first to last (not included), under another name."""
        rows = slice(first, last)
        return Table(name, self.tags, self.t[rows], self.values[rows], self.anomaly[rows])


@dataclass
class Found:
    """One detector on one file: seconds into the anomaly of the first notice (None: missed), notices while quiet (also
    after the return), hours of quiet that were charted, notices of the return."""

    file: str
    delay: float | None
    has: bool
    false: int
    quiet_h: float
    returned: bool
    flagged: NDArray[np.bool_] = field(repr=False)
    moved: str = ""


def read(path: Path) -> Table:
    """A SKAB file. Times are local without a zone, taken as UTC."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file, delimiter=";"))
    header = rows[0]
    signals = [i for i, name in enumerate(header) if i and name not in LABELS]
    t = [round(datetime.fromisoformat(row[0]).replace(tzinfo=UTC).timestamp() * 1000) for row in rows[1:]]
    label = header.index("anomaly") if "anomaly" in header else None
    return Table(
        f"{path.parent.name}/{path.stem}" if label is not None else path.stem,
        tuple(header[i] for i in signals),
        np.array(t, dtype=np.int64),
        np.array([[float(row[i]) for i in signals] for row in rows[1:]]),
        np.array([label is not None and float(row[label]) > 0 for row in rows[1:]]),
    )


Calls = list[tuple[int, str]]  # (plant ms, which signals)


def twin_calls(table: Table, learn: int = 400) -> tuple[Calls, Condition]:
    """The notices of the condition fold on a table, frame by frame."""
    fold = Condition(Settings(table.name, table.tags, learn=learn))
    for t, values in zip(table.t.tolist(), table.values, strict=True):
        fold.frame(t, values)
    return [(n.t, ", ".join(m.tag for m in n.moved[:2])) for n in fold.notices], fold


def judge(table: Table, calls: Calls, learn: int = 400) -> Found:
    """Notices against the labels."""
    charted = table.t[learn]
    has = bool(table.anomaly.any())
    begin, end = (table.t[table.anomaly][0], table.t[table.anomaly][-1]) if has else (table.t[-1] + 1, table.t[-1] + 1)
    inside = [(t, tags) for t, tags in calls if begin <= t <= end]
    back = [t for t, _ in calls if end < t <= end + RETURN_S * 1000]
    quiet = [t for t, _ in calls if charted <= t < begin or t > end + RETURN_S * 1000]
    after = max(int(table.t[-1] - end) - RETURN_S * 1000, 0) if has else 0
    flagged = np.zeros(len(table.t), dtype=bool)
    if inside:
        flagged = (table.t >= inside[0][0]) & (table.t <= (back[0] if back else table.t[-1]))
    for t in quiet:
        flagged |= (table.t >= t) & (table.t < t + RETURN_S * 1000)
    return Found(
        table.name, (inside[0][0] - int(begin)) / 1000 if inside else None, has, len(quiet),
        (int(min(begin, table.t[-1]) - charted) + after) / 3_600_000, bool(back), flagged[learn:],
        inside[0][1] if inside else "",
    )  # fmt: skip


def rate_interval(count: int, hours: float) -> tuple[float, float]:
    """Exact 95 % interval of a Poisson rate an hour (Garwood, Biometrika 28, 1936)."""
    from scipy.stats import chi2

    low = chi2.ppf(0.025, 2 * count) / 2 / hours if count else 0.0
    return float(low), float(chi2.ppf(0.975, 2 * count + 2) / 2 / hours)


def summary(found: Sequence[Found]) -> dict[str, Any]:
    """Detected, missed, delays, false notices a quiet hour with its interval."""
    delays = sorted(f.delay for f in found if f.delay is not None)
    false, hours = sum(f.false for f in found), sum(f.quiet_h for f in found)
    low, high = rate_interval(false, hours)
    return {
        "files": sum(f.has for f in found), "detected": len(delays), "within_60_s": sum(d <= 60 for d in delays),
        "median_delay_s": float(np.median(delays)) if delays else None, "false": false, "quiet_h": round(hours, 2),
        "false_per_h": false / hours, "low": low, "high": high,
    }  # fmt: skip


def f1(tables: Sequence[Table], found: Sequence[Found], learn: int = 400) -> dict[str, float]:
    """F1, false-alarm and missing-alarm rate by row, as SKAB's outlier table states them (first 400 rows left out).

    A change detector says when, not how long: rows count as flagged from the notice to the notice of the return (else
    the file's end), and for a minute after a false one.
    """
    truth = np.concatenate([t.anomaly[learn:] for t in tables])
    said = np.concatenate([f.flagged for f in found])
    hit, false, missed = int((truth & said).sum()), int((~truth & said).sum()), int((truth & ~said).sum())
    return {
        "f1": 2 * hit / max(2 * hit + false + missed, 1),
        "far": false / max(int((~truth).sum()), 1),
        "mar": missed / max(int(truth.sum()), 1),
    }


def river_calls(streams: NDArray[np.float64], t: NDArray[np.int64], make: Callable[[], Any]) -> Calls:
    """Calls of a river detector on each column; those within a minute of each other count as one (as the twin's)."""
    detectors = [make() for _ in range(streams.shape[1])]
    calls: Calls = []
    last = -RETURN_S * 1000
    for at, values in zip(t.tolist(), streams, strict=True):
        hit = False
        for detector, value in zip(detectors, values, strict=True):
            detector.update(float(value))
            hit |= bool(detector.drift_detected)
        if hit:
            if at - last > RETURN_S * 1000:
                calls.append((at, ""))
            last = at
    return calls


def errors(table: Table, learn: int = 400) -> NDArray[np.float64]:
    """The one-step errors that the fold charts, standardised: [rows, signals], nought where there are none."""
    model = OneStep(table.values[: learn // 2])
    found, no = np.zeros_like(table.values), np.zeros(len(table.tags), dtype=bool)
    for i, values in enumerate(table.values):
        if i and table.t[i] - table.t[i - 1] > GAP * 1000:
            model.restart()
        stepped = model.step(values, no)
        if stepped is not None:
            found[i] = stepped[0]
    return found


def rivals(tables: Sequence[Table], learn: int = 400) -> dict[str, dict[str, Any]]:
    """ADWIN and Page-Hinkley with river's defaults, on the standardised raw signals and on the same errors; empty
    where river is not installed."""
    try:
        drift = import_module("river.drift")
    except ImportError:
        return {}
    result = {}
    for what, make in (("ADWIN", drift.ADWIN), ("Page-Hinkley", drift.PageHinkley)):
        for where in ("raw signals", "one-step errors"):
            found = []
            for table in tables:
                first = table.values[:learn]
                raw = (table.values - first.mean(axis=0)) / np.maximum(first.std(axis=0), 1e-9)
                streams = raw if where == "raw signals" else errors(table, learn)
                calls = [c for c in river_calls(streams, table.t, make) if c[0] >= table.t[learn]]
                found.append(judge(table, calls, learn))
            result[f"{what} on {where}"] = summary(found) | f1(
                [t for t in tables if t.anomaly.any()], [f for f in found if f.has]
            )
    return result
