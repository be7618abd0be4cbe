"""What a person waits for at the command line (row 7): the first `simulate` of a warm cache, and `--help`.

`plantwin bench startup [--json] [--pairs N]`. Wall time of a new process, in turn with one of Python that only
imports the libraries a simulation cannot do without; the ratio is against the time allowed. CPU time is told too: it
minds other work of the machine less. Python's own cache of compiled sources is in use, as it is for everybody who
installs a package, in a folder of the benchmark.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import _record
from benchmarks._record import Figure

ROOT = Path(__file__).parents[1]
SIMULATE_S, HELP_S = 1.5, 0.3
SIMULATE = ("-m", "plantwin", "simulate", "line3", "--until", "1d", "--replications", "4", "--json")
HELP = ("-m", "plantwin", "--help")
IMPORTS = ("-c", "import numpy, typer, rich.progress")
BARE = ("-c", "pass")


@dataclass
class Process:
    """Runs Python processes and keeps the CPU time of each."""

    pycache: str
    cpu: list[float] = field(default_factory=list)

    def seconds(self, arguments: tuple[str, ...]) -> float:
        """Wall time of a Python process, which must end well."""
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        environment["PYTHONPYCACHEPREFIX"] = self.pycache
        used, start = os.times(), time.perf_counter()
        done = subprocess.run(
            (sys.executable, *arguments), cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
        spent, after = time.perf_counter() - start, os.times()
        assert done.returncode == 0, f"{' '.join(arguments)}: {done.stderr[-2000:]}"
        self.cpu.append(after.children_user + after.children_system - used.children_user - used.children_system)
        return spent


def measure(pairs: int) -> tuple[list[Figure], dict[str, Any]]:
    """Both figures of row 7, and the medians in seconds behind them."""
    figures, detail = [], {}
    with tempfile.TemporaryDirectory() as folder:
        for name, ours, floor, limit in (
            ("first `simulate` of a warm cache", SIMULATE, IMPORTS, SIMULATE_S),
            ("`--help`", HELP, BARE, HELP_S),
        ):
            mine, least = Process(folder), Process(folder)
            for process, arguments in ((mine, ours), (mine, ours), (least, floor)):
                process.seconds(arguments)  # fills the caches, those that the end of a first run fills too
            mine.cpu.clear()
            found, others = _record.interleave(partial(mine.seconds, ours), partial(least.seconds, floor), pairs)
            middle, spread = _record.ratios(found, [limit] * pairs)
            what = f"{name}, a new process, {median(found):.2f} s of wall time, {median(mine.cpu):.2f} s of CPU time"
            figures.append(Figure(7, what, f"the {limit} s allowed", middle, "< 1x", pairs, spread))
            detail[name] = {
                "seconds": round(median(found), 3),
                "cpu_seconds": round(median(mine.cpu), 3),
                "least_that_python_needs": {" ".join(floor): round(median(others), 3)},
            }
    return figures, detail


def main(argv: list[str]) -> int:
    """`plantwin bench startup`."""
    parser = argparse.ArgumentParser(
        prog="plantwin bench startup", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    parser.add_argument("--pairs", type=int, default=7, help="measurements of each side, at least 5 to be kept")
    options = parser.parse_args(argv)
    if options.pairs < 1:
        parser.error("--pairs: at least 1")
    figures, detail = measure(options.pairs)
    if options.pairs >= 5:
        _record.keep("startup", figures, _record.versions("numba", "numpy", "scipy", "typer"), detail)
    if options.json:
        print(json.dumps([figure.__dict__ for figure in figures]))
    else:
        print(_record.show(figures))
        for name, found in detail.items():
            floor = ", ".join(f"python {k}: {v} s" for k, v in found["least_that_python_needs"].items())
            print(f"     {name}: {found['seconds']} s; {floor}; load {os.getloadavg()[0]:.1f}")
    return 0
