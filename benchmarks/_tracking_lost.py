"""Counts that assert against counts that increment: three machines in a row, 5 % of the messages lost.

The same recorded changes of the release and out counters are sent in two ways: as the cumulative count (the newest that
came holds) and as the increase since the last change (what came is added up). The parts at a machine are what the one
before it has ended less what it has ended. No level sensor, no repetition of values, no twin: only what the wire says.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._tracking_plants import plant_of
from hardware.recorder import Recorder
from hardware.twist import Twist
from hardware.virtual_plant import Options
from ingest.wire import Aliases, Data, parse
from twin import track

LOSS = 0.05


def changes(folder: Path, hours: float, seed: int) -> tuple[list[tuple[int, str, int]], track.Truth]:
    """(plant ms, counter, its new value) of every change of a count, and the truth of the recording."""
    plant = plant_of("line3", folder)
    if not (folder / "truth.jsonl").exists():
        Recorder(plant, Options(seed=seed, warmup_s=7200.0, twist=Twist()), folder, events=False).run(hours)
    aliases, found, last = Aliases(), [], dict[str, int]()
    counters = {s.tag for s in plant.sensors if s.type == "counter"}
    for row in track.read_rows(folder / "journal.db"):
        if row.kind == "birth":
            aliases.feed_row(row)
        elif row.kind == "data":
            data: Data = parse("data", row.body)
            table = aliases.table(row.source, data.e) or {}
            for i, v in zip(data.i, data.v, strict=True):
                tag = table[i].name
                if tag in counters and last.get(tag) != int(v):
                    found.append((data.t0, tag, int(v)))
                    last[tag] = int(v)
    return found, track.read_truth(folder / "truth.jsonl")


def errors(folder: Path, hours: float, seed: int) -> dict[str, float]:
    """Mean absolute WIP error of a machine, by the way of counting, over all minutes and over the last hour."""
    log, truth = changes(folder, hours, seed)
    order = ["release/part", "s1/out", "s2/out", "s3/out"]
    stations = ["s1", "s2", "s3"]
    heard = np.random.default_rng([seed, 5]).random(len(log)) >= LOSS
    value = {way: dict.fromkeys(order, 0) for way in ("cumulative", "increments")}
    first: dict[str, int] = {}
    miss: dict[str, list[float]] = {way: [] for way in value}
    start = truth.lines[0]["wip"]
    last, k = dict[str, int](), 0
    for line in truth.lines:
        while k < len(log) and log[k][0] < line["t"]:
            _, tag, count = log[k]
            step = count - last.get(tag, count)
            last[tag] = count
            if tag not in first:
                first[tag] = count
            elif heard[k]:
                value["cumulative"][tag] = count - first[tag]
                value["increments"][tag] += step
            k += 1
        if line is truth.lines[0]:
            base = {way: dict(counts) for way, counts in value.items()}
        for way, counts in value.items():
            gone = [counts[tag] - base[way][tag] for tag in order]
            found = [start[s] + gone[i] - gone[i + 1] for i, s in enumerate(stations)]
            miss[way].append(float(np.mean([abs(n - line["wip"][s]) for n, s in zip(found, stations, strict=True)])))
    return {way: float(np.mean(v)) for way, v in miss.items()} | {
        f"{way}_last": float(np.mean(v[-60:])) for way, v in miss.items()
    }


def cumulative_or_not(folder: Path, hours: float, seeds: int) -> dict[str, Any]:
    """Both ways over several recordings: means, and least and greatest."""
    rows = [errors(folder / str(seed), hours, seed) for seed in range(1, seeds + 1)]
    return {"hours": hours, "recordings": seeds, "loss": LOSS} | {
        name: {"mean": float(np.mean([r[name] for r in rows])), "least": min(r[name] for r in rows),
               "greatest": max(r[name] for r in rows)}
        for name in rows[0]
    }  # fmt: skip
