"""How well the twin tracks a plant when messages are lost, late or wrong: against the truth of recorded plants.

`plantwin bench tracking [--json] [--write docs/tracking.md] [--work DIR] [--hours 4] [--processes 2]`. Each plant is
recorded once (virtual plant, its own luck and noise), then replayed through the twin's tracker with one fault at a
time. Every figure follows from the seeds; a run that was interrupted goes on from the files in `--work`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from datetime import UTC, datetime
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks._record import RESULTS, cpu_model, versions
from benchmarks._tracking_lost import cumulative_or_not
from benchmarks._tracking_page import write
from benchmarks._tracking_plants import CASES, Case, plant_of
from hardware.recorder import Recorder
from hardware.twist import Twist
from hardware.virtual_plant import Options
from ingest.wire import Row
from sim.plant import Plant
from twin import track
from twin.faults import Bad, Channelled, Faults, arrivals, inject
from twin.topology import build

SEED = 1
WARMUP_S = 7200.0
LOSSES = (0.01, 0.05, 0.2)
OUTAGES = (60.0, 600.0, 3600.0)
Recording = tuple[Plant, list[Row], track.Truth]
Spec = tuple[str, Faults]


def faults_of(case: Case, hours: float, *, tiny: bool = False) -> list[Spec]:
    """Every fault that a case is replayed with, by name. Outages begin a third of the way through."""
    begin = hours * 1200
    found: list[Spec] = [("clean", Faults())]
    channels = ("wire", "plain")
    for p in LOSSES[1:2] if tiny else LOSSES:
        found += [(f"loss {p:.0%} {c}", Faults(loss=p, channel=c)) for c in channels]
    for s in OUTAGES[1:2] if tiny else OUTAGES:
        found += [(f"outage {s / 60:g} min {c}", Faults(outages=((begin, begin + s),), channel=c)) for c in channels]
    if tiny:
        return found
    found += [
        ("duplicates 20%", Faults(duplicates=0.2, channel="plain")),
        ("late 5% by up to 2 min", Faults(late=0.05, late_s=120.0, channel="plain")),
        ("late 5% by up to 30 min", Faults(late=0.05, late_s=1800.0, channel="plain")),
        ("reordered 20%", Faults(reorder=0.2, channel="plain")),
        ("clocks 30 s ahead", Faults(skew_s=30.0)),
        ("clocks 30 s behind", Faults(skew_s=-30.0)),
        ("counters reset unannounced, twice", Faults(resets=(hours * 1200, hours * 2400))),
    ]
    level, count = SENSORS[case.name]
    window = (begin, 2 * begin)
    found += [
        (f"stuck {level}", Faults(sensors=(Bad(level, None, *window),))),
        (f"biased {level}+2", Faults(sensors=(Bad(level, 2.0, *window),))),
        (f"stuck {count}", Faults(sensors=(Bad(count, None, *window),))),
    ]
    return found


SENSORS = {
    "line10": ("b5/level", "s5/out"),
    "half": ("b5/level", "s5/out"),
    "resets": ("b5/level", "s5/out"),
    "gearmotor": ("hobbing/queue", "grinding/out/gm40"),
}
"""The sensors of each plant that go wrong: a level and a counter."""


def record(case: Case, folder: Path, hours: float) -> None:
    """Record a plant once; an unfinished recording is made again."""
    done = folder / f"recorded-{hours:g}"
    if done.exists():
        return
    for name in ("journal.db", "journal.db-wal", "journal.db-shm", "truth.jsonl"):
        (folder / name).unlink(missing_ok=True)
    twist = None if case.name == "gearmotor" else Twist()
    warmup = 86400.0 if case.name == "gearmotor" else WARMUP_S
    options = Options(seed=SEED, warmup_s=warmup, twist=twist)
    Recorder(plant_of(case.name, folder), options, folder, events=case.events).run(hours)
    done.touch()


@cache
def recording(name: str, folder: Path, hours: float) -> Recording:
    """A recorded plant, its first hours."""
    truth, rows = track.first_hours(
        track.read_truth(folder / "truth.jsonl"), track.read_rows(folder / "journal.db"), hours
    )
    return plant_of(name, folder), rows, truth


@cache
def clean_of(name: str, folder: Path, hours: float) -> track.Followed:
    plant, rows, truth = recording(name, folder, hours)
    return track.follow(plant, Channelled(list(rows), arrivals(rows)), truth)


def one(case: Case, spec: Spec, folder: Path, hours: float) -> dict[str, Any]:
    """The figures of one fault; read from `folder` where they are."""
    what, faults = spec
    path = folder / f"{hours:g}h {what.replace('/', '_')}.json"
    if path.exists():
        kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return kept
    began = time.perf_counter()
    plant, rows, truth = recording(case.name, folder, hours)
    clean = clean_of(case.name, folder, hours)
    log = inject(build(plant), rows, faults)
    run = clean if what == "clean" else track.follow(plant, log, truth)
    found = track.summary(plant, faults, run, clean)
    found |= {"case": case.name, "what": what, "messages": log.counts, "seconds": round(time.perf_counter() - began, 1)}
    found["bad"] = [bad.tag for bad in faults.sensors]
    if what.startswith("outage 60 min"):
        found["series"] = {"hours": [round(h, 4) for h in ((run.t - run.t[0]) / 3.6e6).tolist()],
                           "wip": run.total().tolist()}  # fmt: skip
    path.write_text(json.dumps(found), encoding="utf-8")
    return found


def growth_of(case: Case, folder: Path, long: float) -> list[dict[str, Any]]:
    """Does the error grow over the long recording: clean and with 5 % lost for good?"""
    path = folder / f"growth {long:g}h.json"
    if path.exists():
        kept: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
        return kept
    plant, rows, truth = recording(case.name, folder, long)
    found = []
    for what, faults in (("clean", Faults()), ("loss 5% plain", Faults(loss=0.05, channel="plain"))):
        run = track.follow(plant, inject(build(plant), rows, faults), truth)
        total = run.total()
        quarter = len(total) // 4
        found.append(
            {"case": case.name, "what": what, "hours": long, **track.growth([run]),
             "first_quarter": float(total[:quarter].mean()), "last_quarter": float(total[-quarter:].mean())}
        )  # fmt: skip
    path.write_text(json.dumps(found), encoding="utf-8")
    return found


def _job(kind: str, case: Case, spec: Spec | None, folder: str, times: tuple[float, float]) -> Any:
    os.environ["OMP_NUM_THREADS"] = "1"
    if kind == "growth":
        return growth_of(case, Path(folder), times[1])
    assert spec is not None
    return one(case, spec, Path(folder), times[0])


def measure(
    cases: Sequence[Case], work: Path, hours: float, *, processes: int = 1, tiny: bool = False
) -> dict[str, Any]:
    """All figures of these plants."""
    began = time.perf_counter()
    jobs: list[tuple[str, Case, Spec | None, str, tuple[float, float]]] = []
    for case in cases:
        folder = work / case.name
        folder.mkdir(parents=True, exist_ok=True)
        long = hours if tiny else max(case.hours, hours)
        record(case, folder, long)
        if not tiny:
            jobs.append(("growth", case, None, str(folder), (hours, long)))
        jobs += [("fault", case, spec, str(folder), (hours, long)) for spec in faults_of(case, hours, tiny=tiny)]
    found: list[Any] = []
    if processes == 1:
        found = [_job(*job) for job in jobs]
    else:
        with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
            waiting = {pool.submit(_job, *job): i for i, job in enumerate(jobs)}
            for done, future in enumerate(as_completed(waiting), 1):
                future.result()
                print(f"\r{done} of {len(jobs)}", end="", file=sys.stderr, flush=True)
            print(file=sys.stderr)
            found = [future.result() for future in sorted(waiting, key=lambda f: waiting[f])]
    return {
        "faults": [one for (kind, *_), one in zip(jobs, found, strict=True) if kind == "fault"],
        "growth": [row for (kind, *_), rows in zip(jobs, found, strict=True) if kind == "growth" for row in rows],
        "increments": cumulative_or_not(work / "line3", 2.0 if tiny else 24.0, 2 if tiny else 10),
        "seconds": round(time.perf_counter() - began, 1),
    }


def main(argv: Sequence[str]) -> int:
    """Entry point of `plantwin bench tracking`."""
    parser = argparse.ArgumentParser(prog="plantwin bench tracking", description="Tracking against the truth.")
    parser.add_argument("--json", action="store_true", help="all figures, machine-readable")
    parser.add_argument("--hours", type=float, default=4.0, help="plant hours of each fault (growth: 12 to 16)")
    parser.add_argument("--plants", default="", help="only these, separated by commas")
    parser.add_argument("--work", type=Path, help="folder of recordings and results; an interrupted run goes on there")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--tiny", action="store_true", help="one hour, few faults; nothing is kept")
    parser.add_argument("--write", type=Path, help="page whose tables and plots are replaced")
    parser.add_argument("--from", dest="kept", type=Path, help="write the page from this result file, measure nothing")
    options = parser.parse_args(argv)
    cases = [c for c in CASES if not options.plants or c.name in options.plants.split(",")]
    if options.kept:
        result = json.loads(options.kept.read_text(encoding="utf-8"))
    else:
        with tempfile.TemporaryDirectory() as folder:
            work = options.work or Path(folder)
            hours = 1.0 if options.tiny else options.hours
            detail = measure(cases, work, hours, processes=options.processes, tiny=options.tiny)
        result = {
            "command": "plantwin bench tracking", "date": datetime.now(UTC).strftime("%Y-%m-%d"), "cpu": cpu_model(),
            "cores": os.cpu_count(), "hours": hours, "seed": SEED, "versions": versions("numpy", "simpy"),
            "plants": {c.name: c.words for c in cases}, "detail": detail,
        }  # fmt: skip
        if not options.tiny and not options.plants:
            (RESULTS / "tracking.json").write_text(json.dumps(result) + "\n", encoding="utf-8")
    if options.write:
        write(options.write, result)
    if options.json:
        print(json.dumps(result))
    else:
        from benchmarks._tracking_page import text

        print(text(result))
    return 0
