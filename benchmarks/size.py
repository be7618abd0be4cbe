"""Cost of an event against stations, replicas and parts in the system, and memory of a replica (row 6).

`plantwin bench size [--json] [--pairs N] [--events N]`. CPU time of one core, all sizes in turn, median of the rounds.
Memory as the layout says and as the process grows.
"""

from __future__ import annotations

import argparse
import gc
import json
import resource
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks import _record
from benchmarks._lines import full, line
from benchmarks._record import Figure
from sim import kernel
from sim.compile import Compiled
from sim.state import EVENTS, NOW

STATIONS = (4, 10, 16, 32, 64, 128, 256)
REPLICAS = (1, 16, 256, 1024, 4096, 16_384)
PARTS = (10, 100, 1000, 10_000)
SMALL, LARGE = 10, 256
EVENTS_A_RUN = 400_000
EVENTS_A_STEP = 30
"""Events of a replica in one step of an environment: it is visited once for so many."""
MEASURED_BYTES = 64 << 20
SECOND = 1000


def cost(compiled: Compiled, replicas: int, events: int) -> Callable[[], float]:
    """A function that advances the replicas by about so many events in all; nanoseconds of CPU an event."""
    rows = kernel.new_rows(compiled, 1, replicas)
    kernel.run(rows, compiled, 20 * SECOND)
    seen = int(rows[:, EVENTS].sum())
    step = max(20 * SECOND * events // max(seen, 1), 1)
    kernel.run(rows, compiled, int(rows[0, NOW]) + max(step // 4, 1))  # beyond the filling of the line

    def run() -> float:
        before, until = int(rows[:, EVENTS].sum()), int(rows[0, NOW]) + step
        start = time.process_time()
        kernel.run(rows, compiled, until)
        spent = time.process_time() - start
        done = int(rows[:, EVENTS].sum()) - before
        assert done > 0, "a measurement without an event measures nothing"
        return spent / done * 1e9

    return run


def rounds(sides: Mapping[int, Callable[[], float]], n: int) -> dict[int, list[float]]:
    """Call all in turn, n times over; the results of each."""
    found: dict[int, list[float]] = {size: [] for size in sides}
    for _ in range(n):
        for size, side in sides.items():
            found[size].append(side())
    return found


def resident_bytes() -> int:
    """Memory of this process that is in the machine's memory."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()


def memory(compiled: Compiled) -> dict[str, int]:
    """Bytes of a replica: the layout's, and what the process grows by when many are copied."""
    width = compiled.layout.width * 8
    replicas = max(MEASURED_BYTES // width, 1)
    row = kernel.new_rows(compiled, 1, 1)
    gc.collect()
    before = resident_bytes()
    rows = np.repeat(row, replicas, axis=0)
    grown = resident_bytes() - before
    assert len(rows) == replicas
    return {"layout": width, "measured": round(grown / replicas)}


def curve(what: str, against: str, unit: str, points: Mapping[int, list[float]]) -> dict[str, Any]:
    """A curve as result files keep it: medians of the rounds."""
    return {
        "what": what,
        "x": against,
        "y": unit,
        "points": [[size, round(median(values), 3)] for size, values in sorted(points.items())],
    }


def measure(pairs: int, events: int) -> tuple[list[Figure], dict[str, Any]]:
    """The figure of row 6 and the curves."""
    lines = {n: line(n) for n in STATIONS}
    parts = {n: full(n) for n in PARTS}
    large, small = cost(lines[LARGE], 1, events), cost(lines[SMALL], 1, events)
    middle, spread = _record.ratios(*_record.interleave(large, small, pairs))
    what = f"an event of a line of {LARGE} stations, one core"
    figures = [Figure(6, what, f"an event of a line of {SMALL} stations", middle, "<= 2.5x", pairs, spread)]
    by_station = rounds({n: cost(compiled, 1, events) for n, compiled in lines.items()}, pairs)
    by_replica = rounds({n: cost(lines[SMALL], n, max(events, EVENTS_A_STEP * n)) for n in REPLICAS}, pairs)
    by_part = rounds({n: cost(compiled, 1, events) for n, compiled in parts.items()}, pairs)
    bytes_of = {n: memory(compiled) for n, compiled in lines.items()}
    bytes_full = {n: memory(compiled) for n, compiled in parts.items()}
    curves = [
        curve("cost of an event, one replica", "stations", "ns of CPU an event", by_station),
        curve(f"cost of an event, {SMALL} stations", "replicas", "ns of CPU an event", by_replica),
        curve(f"cost of an event, {SMALL} stations, one replica", "parts in the system", "ns of CPU an event", by_part),
        curve("memory of a replica", "stations", "bytes", {n: [float(b["layout"])] for n, b in bytes_of.items()}),
        curve(
            f"memory of a replica, {SMALL} stations",
            "parts that fit",
            "bytes",
            {n: [float(b["layout"])] for n, b in bytes_full.items()},
        ),
    ]
    return figures, {"curves": curves, "bytes_by_stations": bytes_of, "bytes_by_parts": bytes_full}


def main(argv: list[str]) -> int:
    """`plantwin bench size`."""
    parser = argparse.ArgumentParser(prog="plantwin bench size", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    parser.add_argument("--pairs", type=int, default=5, help="measurements of each size, at least 5 to be kept")
    parser.add_argument("--events", type=int, default=EVENTS_A_RUN, help="events of a measurement, about")
    options = parser.parse_args(argv)
    if options.pairs < 1 or options.events < 1:
        parser.error("--pairs and --events: at least 1")
    figures, detail = measure(options.pairs, options.events)
    if options.pairs >= 5 and options.events >= EVENTS_A_RUN:
        _record.keep("size", figures, _record.versions("numba", "numpy", "llvmlite"), detail)
    if options.json:
        print(json.dumps([figure.__dict__ for figure in figures]))
        return 0
    print(_record.show(figures))
    for one in detail["curves"]:
        print(
            f"     {one['what']} ({one['y']}) against {one['x']}: " + ", ".join(f"{x}: {y:g}" for x, y in one["points"])
        )
    for name in ("bytes_by_stations", "bytes_by_parts"):
        for size, found in detail[name].items():
            print(f"     {name} {size}: {found['layout']} by the layout, {found['measured']} measured")
    return 0
