"""Two cores against one (row 4): a batch of environments advanced by two threads and by one, wall time.

`plantwin bench threads [--json] [--pairs N]`. Says something only on a machine that is idle: the result file has the
load.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np

from benchmarks import _record
from benchmarks._lines import line
from benchmarks._record import Figure
from sim import kernel
from sim.compile import Compiled
from sim.state import EVENTS, NOW, Array

ENVIRONMENTS = 4096
SECONDS = 100
WARMUP = 200
SECOND = 1000


def side(rows: Array, compiled: Compiled, threads: int, seconds: int) -> Callable[[], float]:
    """A function that advances the rows; events a second of wall time."""

    def run() -> float:
        before, until = int(rows[:, EVENTS].sum()), int(rows[0, NOW]) + seconds * SECOND
        start = time.perf_counter()
        kernel.run(rows, compiled, until, threads=threads)
        spent = time.perf_counter() - start
        return (int(rows[:, EVENTS].sum()) - before) / spent

    return run


def measure(pairs: int, environments: int, seconds: int) -> tuple[list[Figure], dict[str, Any]]:
    """The figure of row 4 and the rates behind it. Asserts that threads change no number."""
    compiled = line(10)
    one = kernel.new_rows(compiled, 1, environments)
    kernel.run(one, compiled, WARMUP * SECOND)
    two = one.copy()
    mine, others = _record.interleave(side(two, compiled, 2, seconds), side(one, compiled, 1, seconds), pairs)
    assert np.array_equal(one, two), "two threads did something else than one"
    middle, spread = _record.ratios(mine, others)
    cores = len(os.sched_getaffinity(0))
    what = f"two threads, batch of {environments} lines of 10 stations, wall time, {cores} cores to use"
    detail = {"events_per_second": {"two": round(median(mine)), "one": round(median(others))}}
    return [Figure(4, what, "one thread", middle, ">= 1.7x", pairs, spread)], detail


def main(argv: list[str]) -> int:
    """`plantwin bench threads`."""
    parser = argparse.ArgumentParser(
        prog="plantwin bench threads", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    parser.add_argument("--pairs", type=int, default=7, help="measurements of each side, at least 5 to be kept")
    parser.add_argument("--environments", type=int, default=ENVIRONMENTS, help="replicas in the batch")
    parser.add_argument("--seconds", type=int, default=SECONDS, help="plant time of a measurement")
    options = parser.parse_args(argv)
    if options.pairs < 1 or options.environments < 4 or options.seconds < 1:
        parser.error("--pairs and --seconds: at least 1; --environments: at least 4")
    figures, detail = measure(options.pairs, options.environments, options.seconds)
    if options.pairs >= 5 and options.environments >= ENVIRONMENTS and options.seconds >= SECONDS:
        _record.keep("threads", figures, _record.versions("numba", "numpy"), detail)
    if options.json:
        print(json.dumps([figure.__dict__ for figure in figures]))
    else:
        print(_record.show(figures))
        print(f"     events a second of wall time: {detail['events_per_second']}, load {os.getloadavg()[0]:.1f}")
    return 0
