"""Forecasts from the live state against the truth (figure Q7): `plantwin bench fidelity [--json] [--epochs 240]`.

A virtual plant is recorded (its own luck, a twist unknown to the twin), the twin's tracker reads the recording, and at
the end of each hour the forecast made at its beginning is set against the truth log. Epochs do not overlap. Rivals:
it stays as it is (a count: as in the hour before), as a day before, and a typical start: replicas that began with the
recording and have run without data ever since.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._record import Figure, keep, show, versions
from benchmarks._tracking_plants import plant_of
from hardware.recorder import Recorder
from hardware.twist import Twist
from hardware.virtual_plant import Options
from sim import engine
from sim.compile import Compiled, compile_plant
from sim.plant import Plant
from sim.traits import end_products
from twin.estimate import ensemble, to_tick
from twin.fidelity import uniform
from twin.forecast import measure as series_of
from twin.forecast import series_names
from twin.scores import HIGH, LOW, RANKED, crps, share_below
from twin.track import Truth, read_rows, read_truth
from twin.tracker import Tracker
from twin.verdict import wilson

EPOCH_S = 3600
LEARN = 24
"""Epochs at the beginning that are not scored: the twin learns the plant, and 'a day before' needs a day."""
CASES = {"line10": (False, 7200.0), "line10 twisted": (True, 7200.0), "gearmotor": (True, 86400.0)}
"""Plant -> (twisted, warm-up in seconds)."""
RIVALS = ("persistence", "a day before", "typical start")


def record(name: str, folder: Path, epochs: int) -> tuple[Plant, Truth]:
    twisted, warmup = CASES[name]
    plant = plant_of(name.partition(" ")[0], folder)
    options = Options(seed=11, warmup_s=warmup, twist=None if twisted else Twist())
    Recorder(plant, options, folder).run((epochs + LEARN) * EPOCH_S / 3600 + 0.1)
    return plant, read_truth(folder / "truth.jsonl")


def of_truth(plant: Plant, line: dict[str, Any]) -> dict[str, float]:
    """The series of a line of truth; counts since the beginning of time."""
    leave = [plant.products[i].id for i in end_products(plant)]  # components that others are made of are no output
    found = {"wip": float(sum(line["wip"].values())), "output": float(sum(line["finished"].get(p, 0) for p in leave))}
    found |= {f"at/{name}": float(n) for name, n in line["wip"].items()}
    return found | {f"stock/{s.id}": float(line["stock"][s.id]) for s in plant.stocks if s.id in line["stock"]}


def ahead(compiled: Compiled, rows: Any, t: int) -> dict[str, Any]:
    """Values of the series in each row after an epoch that begins at plant ms `t`."""
    rows = rows.copy()
    begin = series_of(rows, compiled)
    engine.run(rows, compiled, to_tick(compiled, t + EPOCH_S * 1000))
    values = dict(zip(series_names(compiled), series_of(rows, compiled), strict=True))
    values["output"] = values["output"] - begin[series_names(compiled).index("output")]
    return values


def score(name: str, folder: Path, epochs: int) -> list[dict[str, Any]]:
    """One row for each epoch and series: what came, the band, the rank, and the CRPS of everyone."""
    plant, truth = record(name, folder, epochs)
    compiled = compile_plant(plant)
    at = {line["t"]: of_truth(plant, line) for line in truth.lines}
    times = sorted(at)
    tracker, rows = Tracker(plant), iter(read_rows(folder / "journal.db"))
    pending = next(rows, None)
    typical: Any = None
    made: dict[str, Any] | None = None
    last: dict[str, list[float]] = defaultdict(list)
    found: list[dict[str, Any]] = []
    start = times[0] + 60_000
    for k in range(epochs + LEARN):
        t = min(times, key=lambda x: abs(x - (start + k * EPOCH_S * 1000)))
        while pending is not None and pending.recv <= t:
            tracker.apply(pending)
            pending = next(rows, None)
        if made is not None:
            found += _settled(made, at, t, last, k)
        fresh = ensemble(compiled, tracker.state, 1000 + k, RANKED)
        typical = fresh if typical is None else typical
        engine.run(typical, compiled, to_tick(compiled, t))
        made = {"t": t, "ours": ahead(compiled, fresh, t), "typical": ahead(compiled, typical, t)}
    return found


def _settled(
    made: dict[str, Any], at: dict[int, dict[str, float]], t: int, last: dict[str, list[float]], k: int
) -> list[dict[str, Any]]:
    rows = []
    for name, now in at[t].items():
        before = at[made["t"]][name]
        counts = name == "output"
        value = now - before if counts else now
        ours, free = np.sort(made["ours"][name]), np.sort(made["typical"][name])
        past = last[name]
        if k > LEARN:
            rows.append(
                {
                    "name": name,
                    "covered": bool(ours[LOW] <= value <= ours[HIGH]),
                    "share": (share := share_below([float(v) for v in ours], value, f"{name} {t}")),
                    "inside": 0.05 <= share <= 0.95,
                    "error": float(ours.mean() - value),
                    "twin": crps(ours.tolist(), value),
                    "persistence": abs(value - (past[-1] if counts else before)),
                    "a day before": abs(value - past[-24]),
                    "typical start": crps(free.tolist(), value),
                }
            )
        past.append(value)
    return rows


def summary(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Coverage, p of uniform ranks, bias and the CRPS of everyone, of some rows.

    `coverage` counts ranks between 5 and 95 %, where a place among equal values is drawn: `closed`, the share inside
    the band as it is shown, is larger for whole numbers, and that is no merit.
    """
    n, hits = len(rows), sum(r["inside"] for r in rows)
    means = {who: float(np.mean([r[who] for r in rows])) for who in ("twin", *RIVALS)}
    lo, hi = wilson(hits, n, 0.9)
    p = uniform([r["share"] for r in rows])
    bias = float(np.mean([r["error"] for r in rows]))
    closed = sum(r["covered"] for r in rows) / n
    return {"n": n, "coverage": hits / n, "lo": lo, "hi": hi, "closed": closed, "p": p, "bias": bias, "crps": means}


def measure(epochs: int, names: Sequence[str]) -> tuple[list[Figure], dict[str, Any]]:
    figures: list[Figure] = []
    detail: dict[str, Any] = {}
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            rows = score(name, Path(folder), epochs)
        series = sorted({r["name"] for r in rows})
        detail[name] = {one: summary([r for r in rows if r["name"] == one]) for one in series}
        whole = summary([r for r in rows if r["name"] in ("wip", "output")])
        every = summary(rows)
        detail[name]["all"] = every
        n = epochs - 1
        for what, one in (("WIP and output", whole), (f"all {len(series)} series", every)):
            words = f"90 % bands 1 h ahead cover, {name}: {what}"
            span = (one["lo"], one["hi"]) if one is whole else None
            figures.append(Figure("Q7", words, "truth", one["coverage"], "0.85 to 0.95", n, span))
        figures += [
            Figure("Q7", f"CRPS, all series, {name}", who, every["crps"]["twin"] / every["crps"][who], "< 1", n, None)
            for who in RIVALS
        ]
    return figures, detail


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="plantwin bench fidelity", description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--epochs", type=int, default=240, help="hours that are forecast and scored")
    parser.add_argument("--only", choices=list(CASES), help="one plant")
    given = parser.parse_args(argv)
    if given.epochs < 2:
        parser.error("expected --epochs from 2")
    figures, detail = measure(given.epochs, [given.only] if given.only else list(CASES))
    path = keep("fidelity", figures, versions("numpy", "numba"), detail)
    print(json.dumps([asdict(f) for f in figures]) if given.json else f"{show(figures)}\nkept in {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
