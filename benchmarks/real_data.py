"""Forecasts of a real machine shop from its own log: rolling origin, against naive forecasts.

`plantwin bench real_data [--json] [--journal FILE] [--choose] [--write docs/real-data.md]`. From each midnight of the
last four weeks, using only what came before it, plant files are drafted, the open orders at that moment become the
twin's state, and replicas say how many orders will be finished within 1 to 7 days, how many will stand at each work
center then, and how long each open order will take. With `--journal` the events are read from the journal of
`plantwin ingest`, into which `plantwin replay` sent them over MQTT; otherwise straight from the CSV file. The figures
are the same, which a test checks. `--choose` scores the options on the weeks before instead (19 January to 5 February).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._plot_lines import lines
from benchmarks._record import RESULTS, keep, versions
from benchmarks._shop import (
    END,
    HORIZONS,
    VALIDATION,
    Event,
    Method,
    Origin,
    Past,
    midnights,
    past_of,
    plant_ms,
    rolling,
)
from benchmarks._shop_score import all_scores, total
from sim.eventlog import Report, read
from twin.orders import DAY_MS

CHOSEN = Method(half_life=28.0, bootstrap=True, drafts=5, draws=3, replicas=500)
"""By `--choose`, on the weeks before the scored ones."""
CHOICES = tuple(
    Method(half_life, bootstrap, 2, 4, 160)
    for half_life, bootstrap in ((None, False), (None, True), (28.0, True), (14.0, True), (7.0, True))
)
SHOWN = {"completions": "Completions", "wip": "WIP per work center", "remaining": "Remaining time per open order"}


def data_folder() -> Path:
    return Path(os.environ.get("PLANTWIN_DATA", "../shared/data")) / "machine_shop"


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


def table(result: dict[str, Any]) -> str:
    """All scores as one Markdown table."""
    out = [
        "| target | horizon | forecaster | n | bias | MAE | CRPS | inside the 90 % band |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for target, by_horizon in result.items():
        for horizon, rows in by_horizon.items():
            for name, s in rows.items():
                band = f"{100 * s['coverage90']:.0f} %" if "coverage90" in s else "-"
                out.append(
                    f"| {SHOWN[target]} | {horizon} | {name} | {s['n']:.0f} | {s['bias']:+.2f} | {s['mae']:.2f} | "
                    f"{s['crps']:.3f} | {band} |"
                )
    return "\n".join(out)


def days_of(origins: Sequence[Origin], past: Past) -> list[dict[str, Any]]:
    """Every midnight: what was open, what was forecast for 1, 3 and 7 days, what came (None: after the file's end)."""
    found = []
    for o in origins:
        one: dict[str, Any] = {"midnight": f"{o.day:%a %d %b}", "open": len(o.snapshot.orders)}
        for h in (1, 3, 7):
            lo, hi = np.quantile(o.forecast.completions[h], [0.05, 0.95])
            ends = o.midnight + h * DAY_MS
            came = past.completions(o.midnight, ends) if ends <= plant_ms(END) else None
            one[f"{h}"] = [float(o.forecast.completions[h].mean()), float(lo), float(hi), came]
        found.append(one)
    return found


def days_table(days: Sequence[dict[str, Any]]) -> str:
    """The same as Markdown."""
    out = [
        "| midnight | open orders | 1 day: mean (90 % band) | came | 3 days | came | 7 days | came |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for one in days:
        cells = []
        for h in ("1", "3", "7"):
            mean, lo, hi, came = one[h]
            cells += [f"{mean:.1f} ({lo:.0f} to {hi:.0f})", "not scored" if came is None else str(came)]
        out.append(f"| {one['midnight']} | {one['open']} | {' | '.join(cells)} |")
    return "\n".join(out)


def choice_table(rows: dict[str, float]) -> str:
    """The options and their score on the weeks before."""
    best = min(rows, key=lambda name: rows[name])
    shown = [f"| {name}{' (taken)' if name == best else ''} | {value:.3f} |" for name, value in rows.items()]
    return "\n".join(["| options | CRPS relative to the naive forecast |", "|---|---|", *shown])


def pictures(result: dict[str, Any]) -> dict[str, str]:
    """File name -> SVG: CRPS over the horizon by forecaster, of completions and of WIP."""
    found = {}
    for target in ("completions", "wip"):
        series = {name: [result[target][f"{h} d"][name]["crps"] for h in HORIZONS] for name in result[target]["1 d"]}
        title = f"{SHOWN[target]}: CRPS in orders (smaller is better)"
        found[f"real-data-{target}.svg"] = lines(title, "days ahead", list(map(float, HORIZONS)), series)
    return found


def replace_between(text: str, name: str, body: str) -> str:
    """Put `body` between the markers `<!-- name -->` and `<!-- /name -->`."""
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    if begin not in text or end not in text:
        raise ValueError(f"the page has no markers {begin} and {end}")
    return text[: text.index(begin) + len(begin)] + "\n" + body + "\n" + text[text.index(end) :]


def choose(log: Sequence[Report], events: Sequence[Event]) -> dict[str, float]:
    """Score of each option on every second midnight of the validation weeks."""
    past, result = past_of(events), {}
    for method in CHOICES:
        origins = []
        for day in list(midnights(*VALIDATION))[::2]:
            origins += rolling(log, events, method, day, day + timedelta(days=1))
        result[method.name] = total(all_scores(origins, past, plant_ms(VALIDATION[1])))
    return result


def write(page: Path, detail: dict[str, Any]) -> None:
    """Put the tables of a result file into the page, and its pictures beside it."""
    text = page.read_text(encoding="utf-8")
    text = replace_between(text, "scores", table(detail["scores"]))
    text = replace_between(text, "days", days_table(detail["days"]))
    choice = RESULTS / "real_data_choice.json"
    if choice.exists():
        rows = json.loads(choice.read_text(encoding="utf-8"))["detail"]["crps_ratio"]
        text = replace_between(text, "choice", choice_table(rows))
    page.write_text(text, encoding="utf-8")
    (page.parent / "img").mkdir(exist_ok=True)
    for name, svg in pictures(detail["scores"]).items():
        (page.parent / "img" / name).write_text(svg, encoding="utf-8")


def main(argv: Sequence[str]) -> int:
    """Entry point of `plantwin bench real_data`."""
    parser = argparse.ArgumentParser(
        prog="plantwin bench real_data", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument("--json", action="store_true", help="machine-readable")
    parser.add_argument("--journal", type=Path, help="journal with the replayed events")
    parser.add_argument("--choose", action="store_true", help="score the options on the weeks before instead")
    parser.add_argument(
        "--kept", action="store_true", help="take the figures of benchmarks/results instead of measuring"
    )
    parser.add_argument("--write", type=Path, help="page whose tables are replaced; pictures go to img beside it")
    options = parser.parse_args(argv)
    path = data_folder() / "events.csv"
    if options.kept:
        detail = json.loads((RESULTS / "real_data.json").read_text(encoding="utf-8"))["detail"]
    elif not path.exists():
        print(f"{path} is absent: set PLANTWIN_DATA to the folder with machine_shop/events.csv", file=sys.stderr)
        return 1
    else:
        log = read(path)
        events = events_of_journal(options.journal) if options.journal else events_of(log)
        if options.choose:
            rows = choose(log, events)
            file = keep("real_data_choice", [], versions("numpy", "numba"), {"crps_ratio": rows})
            made = file.read_text(encoding="utf-8").replace("bench real_data_choice", "bench real_data --choose")
            file.write_text(made, encoding="utf-8")
            print(json.dumps(rows, indent=2) if options.json else choice_table(rows))
            return 0
        origins, past = rolling(log, events, CHOSEN), past_of(events)
        detail = {
            "method": CHOSEN.name,
            "scores": all_scores(origins, past, plant_ms(END)),
            "days": days_of(origins, past),
        }
        keep("real_data", [], versions("numpy", "numba"), detail)
    if options.write:
        write(options.write, detail)
    print(json.dumps(detail["scores"]) if options.json else table(detail["scores"]))
    return 0
