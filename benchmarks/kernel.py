"""Speed of the kernel on `line10` against a plain SimPy model and against cimba (rows 1 to 3).

`plantwin bench kernel [--json] [--pairs N]`. A model event is the end of one timed delay. Times are CPU times; both
sides are single-threaded and take turns. With five pairs or more the result file is written. cimba is no dependency:
`benchmarks/install_peers.sh` puts it where this looks for it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from subprocess import PIPE, Popen
from typing import Any

import numpy as np

import sim.plantfile
from benchmarks import _record
from benchmarks._record import Figure
from benchmarks._simpy_line10 import Line
from sim import kernel
from sim.compile import compile_plant
from sim.state import EVENTS, WORKING

PEERS = Path(__file__).parents[1] / "build" / "peers"
CIMBA = "0.9.6"
SECOND = 1000
"""Ticks in a second of `line10`; its mean work is one second."""
ENVIRONMENTS = 4096
STEP = 5
"""Seconds of plant time between two observations of an environment."""
SIMPY_SECONDS = 8000
STEPPED_SECONDS = 4000
KERNEL_SECONDS = 200_000
CIMBA_SECONDS = 200_000
WARMUP = 1000
KNOWN_THROUGHPUT = 0.641


@dataclass
class Rates:
    """Events a CPU second of every run, by name."""

    of: dict[str, list[float]] = field(default_factory=dict)
    throughput: dict[str, float] = field(default_factory=dict)

    def note(self, name: str, events: float, seconds: float, finished: float, simulated: float) -> float:
        """Keep one measurement; its events a CPU second. Asserts that it simulated the same line."""
        rate = events / seconds
        self.of.setdefault(name, []).append(rate)
        self.throughput[name] = finished / simulated
        assert abs(finished / simulated / KNOWN_THROUGHPUT - 1) < 0.1, f"{name}: throughput {finished / simulated}"
        return rate


def simpy_side(rates: Rates, seconds: int, stepped: bool) -> Callable[[], float]:
    """Run the SimPy model once, in one go or step by step with observations."""
    seeds = iter(range(1, 1 << 20))

    def run() -> float:
        line = Line(next(seeds))
        line.env.run(until=WARMUP)
        before, finished = line.events, line.finished
        start = time.process_time()
        if stepped:
            for at in range(WARMUP + STEP, WARMUP + seconds + 1, STEP):
                line.env.run(until=at)
                line.observe()
        else:
            line.env.run(until=WARMUP + seconds)
        spent = time.process_time() - start
        name = "simpy stepped" if stepped else "simpy"
        return rates.note(name, line.events - before, spent, line.finished - finished, seconds)

    return run


def kernel_side(rates: Rates) -> Callable[[], float]:
    """Run one replica of the kernel on and on."""
    compiled = compile_plant(sim.plantfile.load("line10"))
    rows = kernel.new_rows(compiled, 1, 1)
    kernel.run(rows, compiled, WARMUP * SECOND)
    made = compiled.layout.at("finished")

    def run() -> float:
        before, finished = int(rows[0, EVENTS]), int(rows[0, made])
        until = int(rows[0, 0]) + KERNEL_SECONDS * SECOND
        start = time.process_time()
        kernel.run(rows, compiled, until)
        spent = time.process_time() - start
        return rates.note("kernel", rows[0, EVENTS] - before, spent, rows[0, made] - finished, KERNEL_SECONDS)

    return run


def batch_side(rates: Rates) -> Callable[[], float]:
    """Advance a batch of replicas step by step, with an observation of each after each step."""
    compiled = compile_plant(sim.plantfile.load("line10"))
    layout = compiled.layout
    rows = kernel.new_rows(compiled, 1, ENVIRONMENTS)
    kernel.run(rows, compiled, WARMUP * SECOND)
    working = [layout.at("n_state", s, WORKING) for s in range(10)]
    positions = np.array([*(layout.at("q_len", s) for s in range(1, 10)), *working], dtype=np.int64)
    scales = np.concatenate([np.full(9, 0.1), np.ones(10)])
    look = kernel.Observation(positions, scales, np.empty((ENVIRONMENTS, len(positions)), dtype=np.float32))
    made = layout.at("finished")
    steps = 20

    def run() -> float:
        before, finished = int(rows[:, EVENTS].sum()), int(rows[:, made].sum())
        start = time.process_time()
        for _ in range(steps):
            kernel.run(rows, compiled, int(rows[0, 0]) + STEP * SECOND, observe=look)
        spent = time.process_time() - start
        events = int(rows[:, EVENTS].sum()) - before
        return rates.note("batch", events, spent, int(rows[:, made].sum()) - finished, ENVIRONMENTS * steps * STEP)

    run()  # the caches
    rates.of.pop("batch")
    return run


def cimba_installed() -> bool:
    """Is the peer where `install_peers.sh` puts it, or in the environment?"""
    return (PEERS / "cimba").is_dir() or find_spec("cimba") is not None


@contextmanager
def cimba_side(rates: Rates) -> Iterator[Callable[[], float]]:
    """Run the cimba model once, in a process that lives as long as the context."""
    seeds = iter(range(1, 1 << 20))
    root = Path(__file__).parents[1]
    command = [sys.executable, "-m", "benchmarks._cimba_line10"]
    variables = os.environ | {"PYTHONPATH": f"{root}{os.pathsep}{PEERS}"}
    with Popen(command, cwd=root, env=variables, stdin=PIPE, stdout=PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        asks, answers = process.stdin, process.stdout

        def ask(seconds: int) -> tuple[int, int, float]:
            print(next(seeds), seconds, file=asks, flush=True)
            answer = answers.readline().split()
            assert len(answer) == 3, "the cimba process ended; its own message stands above"
            return int(answer[0]), int(answer[1]), float(answer[2])

        def run() -> float:
            events, finished, spent = ask(CIMBA_SECONDS)
            return rates.note("cimba", events, spent, finished, CIMBA_SECONDS)

        ask(1000)  # compiles it
        yield run
        asks.close()


def measure(pairs: int) -> tuple[list[Figure], dict[str, Any]]:
    """All rows, and the rates behind them in events a CPU second."""
    rates = Rates()
    ours = kernel_side(rates)
    middle, spread = _record.ratios(*_record.interleave(ours, simpy_side(rates, SIMPY_SECONDS, False), pairs))
    figures = [Figure(1, "kernel on line10, one core", "plain SimPy model", middle, ">= 60x", pairs, spread)]
    if cimba_installed():
        with cimba_side(rates) as theirs:
            middle, spread = _record.ratios(*_record.interleave(ours, theirs, pairs))
        figures.append(Figure(2, "kernel on line10, one core", f"cimba {CIMBA}", middle, ">= 2x", pairs, spread))
    else:
        peer = f"cimba {CIMBA} (peer not installed: benchmarks/install_peers.sh)"
        figures.append(Figure(2, "kernel on line10, one core", peer, None, ">= 2x", 0, None))
    stepped = simpy_side(rates, STEPPED_SECONDS, True)
    middle, spread = _record.ratios(*_record.interleave(batch_side(rates), stepped, pairs))
    what = f"batch of {ENVIRONMENTS} environments with observations every {STEP} s, one core"
    figures.append(Figure(3, what, "plain SimPy model stepped", middle, ">= 50x", pairs, spread))
    detail = {
        "events_per_cpu_second": {name: round(median(values)) for name, values in rates.of.items()},
        "throughput_of_last_run": {name: round(value, 4) for name, value in rates.throughput.items()},
    }
    return figures, detail


def main(argv: list[str]) -> int:
    """`plantwin bench kernel`."""
    parser = argparse.ArgumentParser(
        prog="plantwin bench kernel", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    parser.add_argument("--pairs", type=int, default=7, help="measurements of each side, at least 5 to be kept")
    options = parser.parse_args(argv)
    if options.pairs < 1:
        parser.error("--pairs: at least 1")
    figures, detail = measure(options.pairs)
    if options.pairs >= 5:
        libraries = _record.versions("numba", "numpy", "simpy", "llvmlite")
        libraries["cimba"] = CIMBA if cimba_installed() else "not installed"
        _record.keep("kernel", figures, libraries, detail)
    if options.json:
        print(json.dumps([figure.__dict__ for figure in figures]))
    else:
        print(_record.show(figures))
        for name, rate in detail["events_per_cpu_second"].items():
            print(f"     {name}: {rate / 1e6:.3g} M events a CPU second")
    return 0
