"""Training on plants nobody tuned it for: `make_to_stock` with other parameters, each with its exact optimum (Q3).

`plantwin bench unseen [--json] [--sets 5] [--seeds 1] [--budget 3m] [--first 0] [--jobs 1]`. Set k is drawn by seed k:
every rate and every cost of the bundled plant is multiplied by a factor of its own (log-uniform within `RANGE`), and
worse conditions stay worse. For each: the best of all (base stock, condition of maintenance) pairs by exact cost, and
trainings with the defaults, begun from the plant file's setpoints, `--jobs` at a time, a core each. All costs are
exact; a set counts with the median of its seeds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from agents.control.controllers import controller
from agents.envs.env import compiled_plant
from agents.exact.optimum import optimum, policy_cost
from agents.exact.table import table_of
from agents.rules.rule import Rule
from agents.training.goal import goal_of
from agents.training.learning import Config
from agents.training.recipe import Recipe
from agents.training.train import Job, prepare_torch, run_seed
from benchmarks import _record
from benchmarks._record import Figure
from benchmarks.optima import fixed_cost
from sim.settings import settings

LEVELS = 5
LIBRARIES = ("numba", "numpy", "scipy", "stable-baselines3", "torch")
RANGE = 1.6
"""A rate or cost is at most so many times larger or smaller than in the bundled plant."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """Rates an hour (by condition where a tuple) and money, as in the bundled `make_to_stock`."""

    demand: float = 0.7
    mu: tuple[float, ...] = (1.1, 1.1, 1.0, 0.9, 0.7)
    wear: tuple[float, ...] = (0.08, 0.1, 0.12, 0.15, 0.22)
    fail: tuple[float, ...] = (0.0, 0.003, 0.01, 0.03, 0.09)
    preventive: float = 0.22
    corrective: float = 0.07
    backlog: float = 5.0
    lost: float = 35.0
    preventive_cost: float = 7.0
    corrective_cost: float = 55.0


def draw(seed: int) -> Parameters:
    """Set `seed`; demand and speed move together, so that the machine neither idles nor drowns."""
    rng = np.random.Generator(np.random.PCG64(seed))
    base = Parameters()

    def factor(width: float = RANGE) -> float:
        return float(np.exp(rng.uniform(-np.log(width), np.log(width))))

    pace = factor()
    wear, fail = factor(), factor()
    slower = np.cumprod([1.0, *rng.uniform(0.8, 1.0, LEVELS - 1)])
    return Parameters(
        demand=base.demand * pace * factor(1.15),
        mu=tuple((1.1 * pace * slower).tolist()),
        wear=tuple(sorted(w * wear * factor(1.2) for w in base.wear)),
        fail=(0.0, *sorted(f * fail * factor(1.2) for f in base.fail[1:])),
        preventive=base.preventive * factor(),
        corrective=base.corrective * factor(),
        backlog=base.backlog * factor(),
        lost=base.lost * factor(),
        preventive_cost=base.preventive_cost * factor(),
        corrective_cost=base.corrective_cost * factor(),
    )


def text(p: Parameters, name: str) -> str:
    """The plant file of a set."""

    def clocks(rates: tuple[float, ...]) -> str:
        return "[" + ", ".join("never" if r == 0.0 else f"exponential({1.0 / r!r} h)" for r in rates) + "]"

    speed = ", ".join(repr(m / p.mu[0]) for m in p.mu)
    return f"""plantwin: 1
site: demo
area: theory
line: {name}
tick: 100 ms
time_unit: h
products:
  part: {{routing: [machine]}}
stations:
  machine:
    work: exponential({1.0 / p.mu[0]!r} h)
    condition:
      levels: {LEVELS}
      wear: {clocks(p.wear)}
      fails: {clocks(p.fail)}
      speed: [{speed}]
    maintenance:
      preventive: exponential({1.0 / p.preventive!r} h)
      cost: {p.preventive_cost!r} EUR
      corrective: exponential({1.0 / p.corrective!r} h)
      corrective_cost: {p.corrective_cost!r} EUR
      at_level: 3
      finish: no
      part: scrapped
release:
  part: {{policy: conwip, cap: 1, base_stock: 10, surplus: scrapped}}
stocks:
  finished: {{item: part, from: line, initial: 8, holding: 1 EUR/h}}
demand:
  customers: {{stock: finished, arrivals: poisson({p.demand!r}/h), most: 12, backlog: {p.backlog!r} EUR/h,
              lost_cost: {p.lost!r} EUR}}
controls:
  base: {{sets: release.part.base_stock, from: 0, to: 25, every: 100 ms, worth: 1 EUR}}
  care: {{sets: stations.machine.at_level, from: 1, to: 5, every: 100 ms, worth: 1 EUR}}
"""


def one(seed: int, recipe: Recipe, folder: Path, seeds: int, pool: Executor) -> Callable[[], dict[str, Any]]:
    """Optimum, best pair of numbers and trained policies of a set, when they are asked for; training begins at once."""
    path = folder / f"unseen{seed}.yaml"
    path.write_text(text(draw(seed), f"unseen{seed}"), encoding="utf-8")
    jobs = [pool.submit(trained, path, recipe, folder / f"out{seed}-{k}", k) for k in range(seeds)]
    compiled = compiled_plant(str(path))

    def told() -> dict[str, Any]:
        best = optimum(compiled.plant)
        priced = fixed_cost(compiled.plant, "make_to_stock")
        numbers = min(((b, c) for b in range(26) for c in range(1, LEVELS + 1)), key=priced)
        costs, took = zip(*(job.result() for job in jobs), strict=True)
        return {
            "set": seed, "parameters": asdict(draw(seed)), "optimum": best.cost,
            "two_numbers": list(numbers), "two_numbers_above": priced(numbers) / best.cost - 1.0,
            "trained": list(costs), "trained_above": [cost / best.cost - 1.0 for cost in costs], "wall_s": list(took),
        }  # fmt: skip

    return told


def trained(path: Path, recipe: Recipe, out: Path, seed: int) -> tuple[float, float]:
    """Exact cost of the policy of a training with this seed, and how long it took, seconds."""
    compiled = compiled_plant(str(path))
    present = settings(compiled.plant)
    rule = Rule({c.id: present[c.sets] for c in compiled.plant.controls})
    job = Job(compiled, rule, out, recipe.budget_s, pairs=8, config=Config())
    began = time.perf_counter()
    prepare_torch(job)
    done = run_seed(job, seed, goal_of(compiled, None, True), lambda _: None)
    took = time.perf_counter() - began
    table = table_of(controller(str(done.path), compiled), compiled)
    return policy_cost(compiled.plant, table.policy)[0], round(took, 1)


def main(argv: list[str]) -> int:
    """Measure, keep, show."""
    parser = argparse.ArgumentParser(prog="plantwin bench unseen", description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--sets", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--budget", default="3m", help="wall time a set")
    options = parser.parse_args(argv)
    recipe = Recipe().updated({"budget": options.budget}, "the command line")
    with tempfile.TemporaryDirectory() as folder, ProcessPoolExecutor(options.jobs, get_context("spawn")) as pool:
        sets = range(options.first, options.first + options.sets)
        asked = [one(k, recipe, Path(folder), options.seeds, pool) for k in sets]
        found = [told() for told in asked]
    gaps = [100.0 * statistics.median(f["trained_above"]) for f in found]
    each = [100.0 * gap for f in found for gap in f["trained_above"]]
    rules = [100.0 * f["two_numbers_above"] for f in found]
    many = f"{len(found)} unseen sets of parameters, {options.seeds} seeds of {options.budget} each"
    what = f"% above the optimum: make_to_stock, {many}, median"
    peer = f"best two-number rule of each: {statistics.median(rules):.1f} %"
    rows = [Figure("Q3", what, peer, statistics.median(gaps), "<= 0.25 %", len(each), (min(each), max(each)))]
    where = _record.keep("unseen", rows, _record.versions(*LIBRARIES), {"sets": found})
    print(json.dumps(found) if options.json else _record.show(rows) + f"\nkept in {where}")
    return 0
