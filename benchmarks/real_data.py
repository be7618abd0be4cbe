"""Forecasts of a real machine shop from its own log: rolling origin, against two naive forecasts.

`plantwin bench real_data [--json] [--journal FILE] [--write docs/real-data.md]`. From each midnight of the last four
weeks, using only what came before it, a plant file is drafted, the open orders at that moment become the twin's
state, and replicas of the twin say how many orders will be finished within 1 and 3 days. With `--journal` the events
are read from the journal of `plantwin ingest`, into which `plantwin replay` sent them over MQTT; otherwise straight
from the CSV file. The figures are the same, which a test checks.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.compile import compile_plant
from sim.discover import discover
from sim.draft import plant_file
from sim.eventlog import Report, read
from sim.facts import rows_from_facts
from sim.kernel import run
from sim.plantfile import load
from twin.orders import DAY_MS, OrderBook, ensemble

FIRST_ORIGIN = datetime(2012, 2, 6)
END = datetime(2012, 3, 5)
BEGIN = datetime(2012, 1, 2)
HORIZONS = (1, 3)
SEED = 20120205
MEMBERS = 50
"""Draws of what the log hides at a midnight; each is run with several replicas."""
Samples = NDArray[np.float64]
Event = tuple[int, str, str, str]  # plant ms, kind, order, activity


def data_folder() -> Path:
    return Path(os.environ.get("PLANTWIN_DATA", "../shared/data")) / "machine_shop"


def plant_ms(local: datetime) -> int:
    """The log's local time as plant time; it says no zone, so UTC."""
    return round(local.replace(tzinfo=UTC).timestamp() * 1000)


def events_of(log: Sequence[Report]) -> list[Event]:
    """Start and completion of every report, in order of time (a start before a completion at the same minute)."""
    both = [(plant_ms(r.start), 0, "report_start", r.order, r.activity) for r in log]
    both += [(plant_ms(r.complete), 1, "report_complete", r.order, r.activity) for r in log]
    return [(t, kind, order, activity) for t, _, kind, order, activity in sorted(both)]


def events_of_payloads(bodies: Iterable[bytes]) -> list[Event]:
    """The same from the payloads of `/event` messages, in any order."""
    found = []
    for body in map(json.loads, bodies):
        if body["kind"].startswith("report_"):
            ended = int(body["kind"] == "report_complete")
            found.append((body["t"], ended, body["kind"], body["order"], body["thing"]))
    return [(t, kind, order, thing) for t, _, kind, order, thing in sorted(found)]


def events_of_journal(path: Path) -> list[Event]:
    """The same from the journal of `plantwin ingest`."""
    from ingest.journal import Journal

    journal = Journal.open_reader(path)
    bodies: list[bytes] = []
    after = 0
    while rows := journal.read(after, 2000):
        bodies += [row.body for row in rows if row.kind == "event"]
        after = rows[-1].pos
    return events_of_payloads(bodies)


@dataclass
class Origin:
    """One midnight: forecasts and what happened, by horizon in days."""

    day: datetime
    open_orders: int
    wip: dict[str, int]
    twin: dict[int, Samples] = field(default_factory=dict)
    last_week: dict[int, int] = field(default_factory=dict)
    average: dict[int, float] = field(default_factory=dict)
    actual: dict[int, int] = field(default_factory=dict)


def forecast(
    log: Sequence[Report], book: OrderBook, day: datetime, replicas: int
) -> tuple[dict[int, Samples], dict[str, int]]:
    """Completions within each horizon, one number a replica, and the WIP the state has, from what is known at
    midnight."""
    found = discover(log, day)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "draft.yaml"
        path.write_text(plant_file(found, "machine_shop", "rolling origin"), encoding="utf-8")
        compiled = compile_plant(load(path))
    members = ensemble(book, compiled, found, plant_ms(day), MEMBERS, SEED)
    each = -(-replicas // MEMBERS)
    rows = np.concatenate([rows_from_facts(compiled, m, SEED, each, first=i * each) for i, m in enumerate(members)])
    result = {}
    for h in HORIZONS:
        run(rows, compiled, members[0].tick + h * 86_400)
        result[h] = compiled.layout.view(rows, "finished").sum(axis=1).astype(float)
    return result, dict(book.wip(plant_ms(day)))


def rolling(
    log: Sequence[Report], events: Sequence[Event], replicas: int, first: datetime = FIRST_ORIGIN, end: datetime = END
) -> list[Origin]:
    """All origins; an outcome is attached only where the horizon ends by the end of the file."""
    whole = OrderBook()
    for event in events:
        whole.apply(*event)
    book, origins, i, day = OrderBook(), [], 0, first
    while day < end:
        midnight = plant_ms(day)
        while i < len(events) and events[i][0] < midnight:
            book.apply(*events[i])
            i += 1
        samples, wip = forecast(log, book, day, replicas)
        origin = Origin(day, len(book.open(midnight)), wip, twin=samples)
        for h in HORIZONS:
            if day + timedelta(days=h) <= end:
                origin.actual[h] = whole.completions(midnight, midnight + h * DAY_MS)
                origin.last_week[h] = whole.completions(midnight - 7 * DAY_MS, midnight + (h - 7) * DAY_MS)
                past = whole.completions(plant_ms(BEGIN), midnight)
                origin.average[h] = past / (day - BEGIN).days * h
        origins.append(origin)
        day += timedelta(days=1)
    return origins


def crps(samples: Samples, actual: float) -> float:
    """Continuous ranked probability score of an ensemble (Gneiting and Raftery, JASA 102, 2007, eq. 21)."""
    ordered = np.sort(samples)
    n = len(ordered)
    spread = 2.0 * np.sum((2 * np.arange(1, n + 1) - n - 1) * ordered) / n**2
    return float(np.mean(np.abs(ordered - actual)) - 0.5 * spread)


def score(forecasts: Sequence[Samples], actual: Sequence[float]) -> dict[str, float]:
    """Bias and mean absolute error of the mean, CRPS, share of outcomes inside the central 90 % band."""
    means = np.array([f.mean() for f in forecasts])
    truth = np.asarray(actual, dtype=float)
    inside = [np.quantile(f, 0.05) <= a <= np.quantile(f, 0.95) for f, a in zip(forecasts, truth, strict=True)]
    return {
        "n": len(truth),
        "bias": float(np.mean(means - truth)),
        "mae": float(np.mean(np.abs(means - truth))),
        "crps": float(np.mean([crps(f, a) for f, a in zip(forecasts, truth, strict=True)])),
        "coverage90": float(np.mean(inside)),
    }


def _poisson(mean: float, n: int = 999) -> Samples:
    """Quantiles of a Poisson distribution: the spread that is given to a naive count so that it can be scored as a
    distribution."""
    from scipy.stats import poisson

    if mean <= 0:
        return np.zeros(n)
    return np.asarray(poisson.ppf((np.arange(n) + 0.5) / n, mean), dtype=float)


def scores(origins: Sequence[Origin]) -> dict[str, dict[str, dict[str, float]]]:
    """By horizon and forecaster."""
    result: dict[str, dict[str, dict[str, float]]] = {}
    for h in HORIZONS:
        scored = [o for o in origins if h in o.actual]
        if not scored:
            continue
        actual = [float(o.actual[h]) for o in scored]
        result[f"{h} d"] = {
            "twin": score([o.twin[h] for o in scored], actual),
            "same as last week": score([_poisson(o.last_week[h]) for o in scored], actual),
            "average so far": score([_poisson(o.average[h]) for o in scored], actual),
        }
    return result


def table(result: dict[str, dict[str, dict[str, float]]]) -> str:
    """The scores as a Markdown table."""
    lines = ["| horizon | forecaster | n | bias | MAE | CRPS | inside the 90 % band |", "|---|---|---|---|---|---|---|"]
    for horizon, rows in result.items():
        for name, s in rows.items():
            lines.append(
                f"| {horizon} | {name} | {s['n']:.0f} | {s['bias']:+.2f} | {s['mae']:.2f} | {s['crps']:.3f} | "
                f"{100 * s['coverage90']:.0f} % |"
            )
    return "\n".join(lines)


def days_table(origins: Sequence[Origin]) -> str:
    """Every midnight: what was open, what was forecast, what came."""
    lines = [
        "| midnight | open orders | 1 day: mean (90 % band) | came | 3 days: mean (90 % band) | came |",
        "|---|---|---|---|---|---|",
    ]
    for o in origins:
        cells = []
        for h in HORIZONS:
            lo, hi = np.quantile(o.twin[h], [0.05, 0.95])
            cells += [f"{o.twin[h].mean():.1f} ({lo:.0f} to {hi:.0f})", str(o.actual.get(h, "not scored"))]
        lines.append(f"| {o.day:%a %d %b} | {o.open_orders} | {' | '.join(cells)} |")
    return "\n".join(lines)


def replace_between(text: str, name: str, body: str) -> str:
    """Put `body` between the markers `<!-- name -->` and `<!-- /name -->`."""
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    if begin not in text or end not in text:
        raise ValueError(f"the page has no markers {begin} and {end}")
    return text[: text.index(begin) + len(begin)] + "\n" + body + "\n" + text[text.index(end) :]


def main(argv: Sequence[str]) -> int:
    """Entry point of `plantwin bench real_data`."""
    parser = argparse.ArgumentParser(
        prog="plantwin bench real_data", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument("--json", action="store_true", help="machine-readable")
    parser.add_argument("--journal", type=Path, help="journal with the replayed events")
    parser.add_argument("--replicas", type=int, default=500)
    parser.add_argument("--write", type=Path, help="page whose tables are replaced")
    options = parser.parse_args(argv)
    path = data_folder() / "events.csv"
    if not path.exists():
        print(f"{path} is absent: set PLANTWIN_DATA to the folder with machine_shop/events.csv", file=sys.stderr)
        return 1
    log = read(path)
    events = events_of_journal(options.journal) if options.journal else events_of(log)
    origins = rolling(log, events, options.replicas)
    result = scores(origins)
    if options.write:
        page = options.write.read_text(encoding="utf-8")
        page = replace_between(replace_between(page, "scores", table(result)), "days", days_table(origins))
        options.write.write_text(page, encoding="utf-8")
    output: Any = json.dumps(result) if options.json else table(result)
    print(output)
    return 0
