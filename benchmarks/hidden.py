"""What no sensor sees (Q6): the ensemble's error over that of the exact Bayes filter, on the same paths of small lines.

`plantwin bench hidden [--json] [--paths N] [--events N] [--lines NAME ...]`. True paths come from the lines' own Markov
chains; both filters are told the same transitions and are asked for the mean of the parts at each hidden place every
two mean work times. The interval is a bootstrap over paths (2.5 to 97.5 %). Lines: `tests/twin/hidden_lines.py`; the
exact filter: `tests/oracles/bayes_filter.py`.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import _record
from benchmarks._record import Figure
from tests.oracles.bayes_filter import path
from tests.twin.hidden_lines import LINES, Compared, Told, compare, plant, ratio
from twin.hidden import MEMBERS
from twin.topology import Topology, build

ROW = 6
TARGET = "<= 1.1"
BOOTSTRAPS = 2_000
KEPT_PATHS = 30


def interval(found: list[Compared]) -> tuple[float, float]:
    """Bootstrap interval (2.5 to 97.5 %) over paths of the ratio of the root mean squared errors."""
    ours = np.array([one.ours.sum() for one in found])
    exact = np.array([one.exact.sum() for one in found])
    drawn = np.random.default_rng(1).integers(0, len(found), (BOOTSTRAPS, len(found)))
    ratios = np.sqrt(ours[drawn].sum(axis=1) / exact[drawn].sum(axis=1))
    lo, hi = np.quantile(ratios, (0.025, 0.975))
    return float(lo), float(hi)


def cost_us(name: str, topology: Topology, events: int = 2_000) -> float:
    """Mean CPU time of taking in one observation (microseconds)."""
    line = LINES[name]
    told, before, n, spent = Told.of(line, topology, 1, MEMBERS), line.empty(), 0, 0.0
    for t, after, shown in path(line, events, np.random.default_rng(1)):
        if shown is not None:
            start = time.process_time()
            told.see(t, before, after, shown)
            spent, n = spent + time.process_time() - start, n + 1
        before = after
    return spent / n * 1e6


def measure(names: list[str], paths: int, events: int) -> tuple[list[Figure], dict[str, Any]]:
    """One figure for each line, and the detail."""
    figures, detail = [], {}
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            topology = build(plant(LINES[name], Path(folder)))
        found = [compare(LINES[name], topology, seed, events, MEMBERS) for seed in range(paths)]
        value, spread = ratio(found), interval(found)
        figures.append(
            Figure(ROW, f"hidden WIP, line {name}: RMSE", "exact Bayes filter", value, TARGET, paths, spread)
        )
        looks = sum(len(one.ours) for one in found)
        ess = np.concatenate([one.ess for one in found])
        detail[name] = {
            "rmse": np.sqrt(sum(one.ours.sum(axis=0) for one in found) / looks).round(4).tolist(),
            "rmse_exact": np.sqrt(sum(one.exact.sum(axis=0) for one in found) / looks).round(4).tolist(),
            "inside_90_band": np.concatenate([one.covered for one in found]).mean(axis=0).round(3).tolist(),
            "ess_mean": round(float(ess.mean()), 3),
            "ess_below_5_percent": round(float((ess < 0.05).mean()), 4),
            "looks": looks,
            "cpu_us_per_observation": round(cost_us(name, topology), 1),
        }
    return figures, detail


def main(argv: list[str]) -> int:
    """`plantwin bench hidden`."""
    parser = argparse.ArgumentParser(prog="plantwin bench hidden", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    parser.add_argument("--paths", type=int, default=KEPT_PATHS, help="true paths of each line; 30 to be kept")
    parser.add_argument("--events", type=int, default=1_000, help="transitions of each path")
    parser.add_argument("--lines", nargs="*", default=sorted(LINES), choices=sorted(LINES), help="which lines")
    options = parser.parse_args(argv)
    if options.paths < 1 or options.events < 100:
        parser.error("--paths: at least 1; --events: at least 100")
    figures, detail = measure(options.lines, options.paths, options.events)
    if options.paths >= KEPT_PATHS and options.lines == sorted(LINES):
        _record.keep("hidden", figures, _record.versions("numba", "numpy", "scipy"), {"members": MEMBERS, **detail})
    if options.json:
        print(json.dumps([figure.__dict__ for figure in figures]))
        return 0
    print(_record.show(figures).replace("median of", "paths:"))
    for name, found in detail.items():
        print(f"     {name}: {json.dumps(found)}")
    return 0
