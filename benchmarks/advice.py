"""How long one decision moment takes on `gearmotor` from a live state (row 18).

`plantwin bench advice [--json] [--runs N] [--threads T]`. A moment is everything between the twin's presents and the
answer: 20 candidates, choice by sequential halving, promise on fresh seeds, horizons as docs/agents.md says. Wall
time, because that is what an engineer waits; CPU time stands beside it. The peer is quoted, not run: see `PEER`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from statistics import median

import numpy as np

from agents.advice.compare import FUTURES, Question, propose
from agents.advice.horizon import reach
from agents.advice.moves import MOST
from agents.bundles.bundle import BUNDLED
from agents.control.controllers import Controller, PolicyController, controller
from agents.envs.grid import Grid
from agents.errors import AgentError
from benchmarks import _record
from benchmarks._record import Figure
from sim.compile import Compiled, compile_plant
from sim.kernel import get_controls, new_rows, run
from sim.plantfile import load

PEER = "nagasim 0.18, quoted not run: 16 s for a 4-station line, 3 candidates x 20 replicas x 2 h"
PEER_S = 16.0
PRESENTS = 512


def question(compiled: Compiled, seed: int, threads: int) -> Question:
    """A decision moment on a Tuesday at ten, after a week of running."""
    rows = new_rows(compiled, 1000 + seed, 1)
    run(rows, compiled, compiled.ticks(8 * 86_400 + 10 * 3600))
    present = {c.id: int(v) for c, v in zip(compiled.plant.controls, get_controls(rows, compiled)[0], strict=True)}
    policy, rule = (_shipped(name, compiled) for name in ("policy", "rule"))
    found = policy if isinstance(policy, PolicyController) else None
    return Question(compiled, np.repeat(rows, PRESENTS, axis=0), present, seed, found, rule, threads=threads)


def _shipped(name: str, compiled: Compiled) -> Controller | None:
    if not (BUNDLED / compiled.plant.id).is_dir():
        return None
    try:
        return controller(name, compiled)
    except AgentError:
        return None


def main(argv: list[str]) -> int:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(prog="plantwin bench advice", description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args(argv)
    compiled = compile_plant(load("gearmotor"))
    propose(question(compiled, 0, options.threads))  # compiles the kernel
    wall, cpu, candidates, recommended = [], [], [], 0
    for seed in range(1, options.runs + 1):
        asked = question(compiled, seed, options.threads)
        began, began_cpu = time.perf_counter(), time.process_time()
        answer = propose(asked)
        wall.append(time.perf_counter() - began)
        cpu.append(time.process_time() - began_cpu)
        candidates.append(answer.candidates)
        recommended += answer.recommendation is not None
    assert min(candidates) == MOST, f"{candidates} candidates, expected {MOST} at every moment"
    ratios = sorted(PEER_S / w for w in wall)
    what = f"advice on gearmotor: {MOST} candidates, {options.threads} threads, {median(wall):.2f} s a moment"
    figure = Figure(18, what, PEER, median(ratios), "<= 5 s on 2 cores", len(wall), (ratios[0], ratios[-1]))
    now = compiled.ticks(8 * 86_400 + 10 * 3600)
    hours = {
        c.id: reach(c, compiled, now).horizon * compiled.plant.tick_s / 3600 for c in Grid(compiled.plant).controls
    }
    detail = {
        "wall_s": wall,
        "cpu_s": cpu,
        "recommended": recommended,
        "horizon_h": hours,
        "futures": FUTURES,
        "plant": compiled.hash,
        "note": "a different job from the peer's: five times the candidates, 25 times the horizon and more",
    }
    if options.runs >= 5:
        _record.keep("advice", [figure], _record.versions("numba", "numpy"), detail)
    if options.json:
        print(json.dumps([figure.__dict__], default=list))
    else:
        print(_record.show([figure]))
        print(f"CPU time {median(cpu):.2f} s; horizons {hours}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
