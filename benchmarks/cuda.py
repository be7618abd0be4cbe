"""The kernel on a CUDA device: equal to the CPU, and events a second against the number of replicas.

`plantwin bench cuda [--json] [--rounds N] [--replicas N,N,...] [--seconds N]`. Wall time between two waits for the
device, with one core of the CPU taking turns. The result file bears the device's name and the date.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from statistics import median
from typing import Any

import numpy as np

from benchmarks import _record
from benchmarks._lines import line
from benchmarks.size import curve
from sim import kernel
from sim.compile import Compiled
from sim.state import EVENTS, NOW, Array

SEED = 1
SECOND = 1000
STEP = 5
"""Seconds of plant time between two observations."""
REPLICAS = (1024, 4096, 16_384, 65_536, 262_144)
SECONDS = 300
CPU_REPLICAS = 256
EQUAL_REPLICAS = 256


def many(compiled: Compiled, replicas: int) -> Array:
    """Rows of fresh replicas in the middle of a run."""
    rows = kernel.new_rows(compiled, SEED, replicas)
    kernel.run(rows, compiled, 20 * SECOND)
    return rows


def assert_equal(compiled: Compiled, replicas: int, seconds: int) -> None:
    """Rows and observations of the device are those of the CPU, to the last bit."""
    from sim.cuda import Resident

    rows = many(compiled, replicas)
    resident = Resident(rows, compiled)
    positions = np.arange(0, compiled.layout.width, 5)
    factors = 0.1 + np.sin(positions) / 3
    what = resident.selection(positions, factors)
    seen, money = np.empty((replicas, len(positions)), dtype=np.float32), np.empty(replicas)
    for part in (1, 2, 3):
        until = 20 * SECOND + part * seconds * SECOND // 3
        kernel.run(rows, compiled, until)
        kernel.gather_rows(rows, positions, factors, seen)
        kernel.linear_rows(rows, positions, factors, money)
        resident.advance(until)
        assert np.array_equal(resident.gather(what).copy_to_host(), seen)
        assert np.array_equal(resident.linear(what).copy_to_host(), money)
        resident.check()
        assert np.array_equal(resident.to_host(), rows)


def cpu_rate(rows: Array, compiled: Compiled, seconds: int) -> float:
    """Events a second of one core of the CPU."""
    before, until = int(rows[:, EVENTS].sum()), int(rows[0, NOW]) + seconds * SECOND
    start = time.perf_counter()
    kernel.run(rows, compiled, until)
    return (int(rows[:, EVENTS].sum()) - before) / (time.perf_counter() - start)


class Batch:
    """A batch on the device whose events can be counted without copying its rows."""

    def __init__(self, compiled: Compiled, replicas: int) -> None:
        from sim.cuda import Resident

        self.resident = Resident(many(compiled, replicas), compiled)
        self.now = 20 * SECOND
        self.counted = self.resident.selection([EVENTS], [1.0])
        positions = np.arange(0, compiled.layout.width, max(compiled.layout.width // 20, 1))
        self.seen = self.resident.selection(positions, np.full(len(positions), 0.1))
        self.out = self.resident.gather(self.seen)

    def rate(self, seconds: int, step: int) -> float:
        """Events a second, advanced `step` seconds of plant time at once with an observation after each."""
        before = self._events()
        start = time.perf_counter()
        for _ in range(0, seconds, step):
            self.now += step * SECOND
            self.resident.advance(self.now)
            self.resident.gather(self.seen, self.out)
        self.resident.synchronize()
        spent = time.perf_counter() - start
        self.resident.check()
        return (self._events() - before) / spent

    def _events(self) -> int:
        return int(self.resident.linear(self.counted).copy_to_host().sum())


def measure(rounds: int, replicas: Sequence[int], seconds: int) -> dict[str, Any]:
    """Curves of events a second, whole and stepped, and the CPU's rate beside them."""
    compiled = line(10)
    assert_equal(compiled, min(EQUAL_REPLICAS, max(replicas)), seconds)
    host = many(compiled, min(CPU_REPLICAS, max(replicas)))
    cpu: list[float] = []
    whole: dict[int, list[float]] = {}
    stepped: dict[int, list[float]] = {}
    for n in replicas:
        batch = Batch(compiled, n)
        batch.rate(STEP, STEP)  # compiles, and leaves the beginning behind
        for _ in range(rounds):
            whole.setdefault(n, []).append(batch.rate(seconds, seconds))
            stepped.setdefault(n, []).append(batch.rate(seconds, STEP))
            cpu.append(cpu_rate(host, compiled, seconds))
    return {
        "equal": f"rows, observations and money of {min(EQUAL_REPLICAS, max(replicas))} replicas, bit for bit",
        "cpu_events_per_second_one_core": round(median(cpu)),
        "bytes_a_replica": compiled.layout.width * 8,
        "curves": [
            curve(
                f"events of a 10-station line on a device, {seconds} s at once", "replicas", "events a second", whole
            ),
            curve(f"the same with an observation every {STEP} s", "replicas", "events a second", stepped),
        ],
    }


def main(argv: list[str]) -> int:
    """`plantwin bench cuda`: 1 where there is no device, and says so."""
    parser = argparse.ArgumentParser(prog="plantwin bench cuda", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--json", action="store_true", help="print the detail as JSON")
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each size, at least 5 to be kept")
    parser.add_argument("--replicas", default=",".join(map(str, REPLICAS)), help="sizes of the batch")
    parser.add_argument("--seconds", type=int, default=SECONDS, help="plant time of a measurement")
    options = parser.parse_args(argv)
    sizes = [int(part) for part in options.replicas.split(",")]
    if options.rounds < 1 or options.seconds < STEP or min(sizes) < 1:
        parser.error(f"--rounds and --replicas: at least 1; --seconds: at least {STEP}")
    from sim.cuda import available, device_name, require_device, simulated

    if not available():
        print("bench cuda: no CUDA device here; `plantwin doctor` says what is missing", file=sys.stderr)
        return 1
    require_device()
    detail = measure(options.rounds, sizes, options.seconds)
    if options.rounds >= 5 and not simulated():
        libraries = _record.versions("numba", "numba-cuda", "numpy", "llvmlite")
        print(f"kept in {_record.keep('cuda', [], libraries, detail, device_name())}", file=sys.stderr)
    if options.json:
        print(json.dumps({"device": device_name(), **detail}))
        return 0
    print(f"{device_name()}: {detail['equal']}")
    for one in detail["curves"]:
        print(f"     {one['what']} against {one['x']}: " + ", ".join(f"{x}: {y:.3g}" for x, y in one["points"]))
    print(f"     one core of the CPU: {detail['cpu_events_per_second_one_core']:.3g} events a second")
    return 0
