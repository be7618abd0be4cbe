"""What a promise is worth when parameters come from twenty observations: fitted as if known, and posterior-averaged.

`plantwin bench calibration [--json] [--runs N] [--write docs/twin.md]`. A machine with Poisson arrivals, known, and
exponential times, unknown: 20 of them have been seen. The promise is the mean time in system. Fitted as if known, it is
that of the fitted mean; posterior-averaged it is the mean over the posterior, of what is stable. Broken by over 20 %:
the true mean is more than 1.2 times what was promised. Both are closed forms (M/M/1: 1 / (mu - lambda)).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import _record
from benchmarks.real_data import replace_between
from twin.fit import Data, Prior, spans

SEEN = 20
LOADS = (0.5, 0.7, 0.8)
SPREAD = 0.25
"""Prior spread with which true times are drawn, and which the posterior knows (as the twin's repairs)."""
BROKEN = 1.2


def promise(load: float, seed: int) -> tuple[float, float, float]:
    """(true, fitted as if known, posterior-averaged) mean time in system over the file's mean service time."""
    rng = np.random.default_rng([seed, round(100 * load)])
    true = float(np.exp(SPREAD * rng.standard_normal() - SPREAD**2 / 2))
    if load * true >= 0.95:  # such a machine has no mean to promise
        return promise(load, seed + 1_000_003)
    seen = rng.exponential(true, SEEN)
    belief = spans(Prior(SPREAD, "exponential"), Data(tuple(seen), (1.0,) * SEEN, (False,) * SEEN))
    factor = belief.draw(rng, 2000)
    factor = factor[load * factor < 0.95]
    return sojourn(true, load), sojourn(min(float(seen.mean()), 0.95 / load), load), float(sojourn(factor, load).mean())


def sojourn(service: Any, rate: float) -> Any:
    """Mean time in an M/M/1 system: 1 / (mu - lambda)."""
    return 1.0 / (1.0 / service - rate)


def measure(runs: int) -> dict[str, Any]:
    """Shares of runs whose promise was broken by over 20 %, by load."""
    rows = []
    for load in LOADS:
        found = np.array([promise(load, seed) for seed in range(runs)])
        known, averaged = ((found[:, 0] > BROKEN * found[:, k]).mean() for k in (1, 2))
        rows.append({"load": load, "as_if_known": round(float(known), 3), "averaged": round(float(averaged), 3)})
    both = [float(np.mean([row[name] for row in rows])) for name in ("as_if_known", "averaged")]
    return {"runs": runs, "seen": SEEN, "rows": rows, "mean": [round(v, 3) for v in both]}


def table(found: dict[str, Any]) -> str:
    """The measurement as the page shows it."""
    lines = ["| load | broken by over 20 %: fitted as if known | posterior-averaged |", "|---|---|---|"]
    lines += [f"| {r['load']} | {100 * r['as_if_known']:.0f} % | {100 * r['averaged']:.0f} % |" for r in found["rows"]]
    return "\n".join([*lines, f"| all | {100 * found['mean'][0]:.0f} % | {100 * found['mean'][1]:.0f} % |"])


def main(argv: Sequence[str]) -> int:
    """`plantwin bench calibration`."""
    parser = argparse.ArgumentParser(prog="plantwin bench calibration", description="Promises from few observations.")
    parser.add_argument("--json", action="store_true", help="machine-readable")
    parser.add_argument("--runs", type=int, default=2000, help="runs of each load, at least 1000 to be kept")
    parser.add_argument("--write", type=Path, help="page whose table is replaced")
    options = parser.parse_args(argv)
    if options.runs < 1:
        parser.error("--runs: at least 1")
    found = measure(options.runs)
    if options.runs >= 1000:
        _record.keep("calibration", [], _record.versions("numpy", "scipy"), found)
    if options.write:
        page = options.write.read_text(encoding="utf-8")
        options.write.write_text(replace_between(page, "promises", table(found)), encoding="utf-8")
    print(json.dumps(found) if options.json else table(found))
    return 0
