"""The leader board of a plant: optimum, fixed setpoints, tuned rules, agents of several seeds, and what each took.

    plantwin bench board PLANT... --run [--seeds 5] [--budget 10m | --steps N] [--hours 1e8] [--also NAME=WHAT]
    plantwin bench board PLANT --run --trained DIR       # the agents of a training's folder, none trained
    plantwin bench board --page docs/leaderboard.md

`--run` tunes rules and trains agents from the tuned constants, prices all of them and stores what was found in
benchmarks/results/board-PLANT.json. `--page` writes the page from what is stored there, and computes nothing.

Where a plant can be solved exactly a cost is that of the controller's table, exactly; elsewhere it is simulated on the
block of seeds for tests. `--also` adds what `plantwin evaluate` understands (a bundle's folder, a rule's file).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from agents.control.controllers import Controller, Hold, RuleController, controller
from agents.control.rollout import cost_over
from agents.envs.env import compiled_plant
from agents.envs.grid import Grid
from agents.errors import NotExactError, TooLargeError
from agents.exact.optimum import Effort as Exactness
from agents.exact.optimum import Optimum, optimum, policy_cost
from agents.exact.optimum_read import UNIT_S
from agents.exact.table import table_of
from agents.rules.rule import sentences
from agents.rules.tune import Effort, judge_span, tune
from agents.seeds import TEST, block_seed
from agents.training.recipe import Recipe, read_config
from benchmarks import optima
from benchmarks._board_page import page, section
from sim.compile import Compiled

RESULTS = Path(__file__).parent / "results"
CHUNK = 256


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the board. `cost` a time unit; `half` of its 95 % interval, None where the cost is exact; `decisions`
    trained on, `hours` simulated (0: not simulated), `wall_s` it took to find.
    """

    name: str
    kind: str
    cost: float
    half: float | None
    wall_s: float
    hours: float = 0.0
    decisions: int = 0
    about: str = ""


class Board:
    """Prices controllers of one plant."""

    def __init__(self, plant: str, pairs: int, threads: int = 1) -> None:
        self.compiled: Compiled = compiled_plant(plant)
        self.pairs, self.threads = pairs, threads
        self.unit = f"{self.compiled.plant.currency}/{self.compiled.plant.time_unit}"
        self.best: Optimum | None = None
        self.why = ""
        try:
            self.best = optimum(self.compiled.plant, Exactness(1e-7, 120.0))
        except (NotExactError, TooLargeError) as e:
            self.why = str(e)

    def price(self, who: Controller) -> tuple[float, float | None, str]:
        """(cost a time unit, half of its 95 % interval or None, what was not unambiguous)."""
        if self.best is not None:
            try:
                table = table_of(who, self.compiled)
                low, high = policy_cost(self.compiled.plant, table.policy)
                return (low + high) / 2.0, None, "; ".join(table.notes)
            except NotExactError as e:
                return (*self.simulated(who), f"simulated: {e}")
        return (*self.simulated(who), "")

    def simulated(self, who: Controller) -> tuple[float, float]:
        """Mean cost a time unit on the seeds for tests, and half of its interval."""
        from sim.engine import new_rows

        span, costs = judge_span(self.compiled), []
        for first in range(0, self.pairs, CHUNK):
            rows = new_rows(self.compiled, block_seed(TEST, 0), min(CHUNK, self.pairs - first), first)
            costs.append(cost_over(rows, self.compiled, who, span, self.threads))
        unit = UNIT_S[self.compiled.plant.time_unit] / (span.length * self.compiled.plant.tick_s)
        found = np.concatenate(costs) * unit
        half = float(stats.t.ppf(0.975, len(found) - 1) * found.std(ddof=1) / np.sqrt(len(found)))
        return float(found.mean()), half


def rules(board: Board, hours: float | None, seed: int) -> tuple[list[Line], Any]:
    """Lines of the rules, and the rule of constants that agents start from."""
    compiled, grid, lines = board.compiled, Grid(board.compiled.plant), []
    cost, half, about = board.price(Hold())
    lines.append(Line("as in the plant file", "fixed", cost, half, 0.0, about=about))
    if board.best is not None and compiled.plant.id in set(optima.PLANTS) - set(optima.ORDERED):
        began = time.perf_counter()
        numbers, exact = optima.best_fixed(compiled.plant)
        says = ", ".join(f"{c.id} {n}" for c, n in zip(compiled.plant.controls, numbers, strict=True))
        lines.append(Line("best fixed setpoints", "fixed", exact, None, time.perf_counter() - began, about=says))
    result = tune(
        compiled, Effort(seed=seed, threads=board.threads, hours=hours), lambda text: print(text, file=sys.stderr)
    )
    for name, family in result.families.items():
        cost, half, about = board.price(RuleController(family.rule, compiled, grid))
        says = ", ".join(f"{k} {v}" for k, v in family.rule.values.items()) if name == "fixed" else family.rule.name
        if family.rule.orders:
            says = "; ".join(sentences(family.rule, compiled.plant))
        text = f"{says}; {about}" if about else says
        lines.append(Line(f"tuned rule: {name}", "rule", cost, half, family.wall_s, family.hours, about=text))
    return lines, result.families["fixed"].rule


def agents(board: Board, start: Any, recipe: Recipe, out: Path) -> list[Line]:
    """Lines of the agents, a seed each."""
    from agents.training.train import Job, train

    job = Job(
        board.compiled, start, out, recipe.budget_s, recipe.steps, recipe.device, recipe.threads, pairs=8,
        command="plantwin bench board", config=recipe.config,
    )  # fmt: skip
    train(job, recipe.seeds)
    return trained(board, out)


def trained(board: Board, out: Path) -> list[Line]:
    """Lines of the agents in the folder of a training, a seed each."""
    lines = []
    for folder in sorted(out.glob("seed-*"), key=lambda f: int(f.name[5:])):
        seed = int(folder.name[5:])
        evidence = json.loads((folder / "evidence.json").read_text(encoding="utf-8"))
        cost, half, about = board.price(controller(str(folder), board.compiled))
        if evidence.get("improved"):
            about = "; ".join(filter(None, ("PPO, then improved", about)))
        lines.append(
            Line(f"agent, seed {seed}", "agent", cost, half, evidence["seconds"], 0.0, evidence["steps"], about)
        )
    return lines


def measured(plant: str, given: argparse.Namespace) -> dict[str, Any]:
    """What a plant's file of results holds."""
    board = Board(plant, given.pairs, given.threads)
    recipe = Recipe() if given.config is None else Recipe().updated(read_config(given.config), str(given.config))
    own = {"budget": given.budget, "steps": given.steps, "seeds": given.seeds, "threads": given.threads}
    recipe = recipe.updated({k: v for k, v in own.items() if v is not None}, "the command line")
    lines, start = rules(board, given.hours, 0)
    if given.trained is not None:
        lines += trained(board, given.trained)
    else:
        with tempfile.TemporaryDirectory() as folder:
            lines += agents(board, start, recipe, given.out / plant if given.out is not None else Path(folder))
    for text in given.also:
        name, _, what = text.partition("=")
        cost, half, about = board.price(controller(what, board.compiled))
        lines.append(Line(name, "other", cost, half, 0.0, about=about))
    best = board.best
    return {
        "plant": board.compiled.plant.id, "plant_hash": board.compiled.hash, "unit": board.unit,
        "date": datetime.now(UTC).date().isoformat(),
        "command": "plantwin bench board " + shlex.join(given.typed),
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs, {given.threads} thread(s)",
        "optimum": None if best is None else {
            "cost": best.cost, "low": best.low, "high": best.high, "states": best.states, "wall_s": best.wall_s,
        },
        "not_exact": board.why, "pairs": given.pairs, "seeds": recipe.seeds, "settings": recipe.flat(),
        "lines": [asdict(line) for line in lines],
    }  # fmt: skip


def main(argv: list[str]) -> int:
    """Measure, store, write."""
    parser = argparse.ArgumentParser(prog="plantwin bench board", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("plants", nargs="*", help="bundled names or paths")
    parser.add_argument("--run", action="store_true", help="measure these plants and store what was found")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--budget", help="wall time a seed (10m)")
    parser.add_argument("--steps", type=int, help="decisions a seed instead")
    parser.add_argument("--hours", type=float, help="plant hours that each family of rules may simulate")
    parser.add_argument("--pairs", type=int, default=1000, help="runs of a simulated cost")
    parser.add_argument("--config", type=Path, help="settings of the training")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="folder in which the agents are kept")
    parser.add_argument("--trained", type=Path, help="price the agents of this training's folder, train none")
    parser.add_argument("--also", action="append", default=[], metavar="NAME=WHAT", help="another line of the board")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--page", type=Path, help="page to write")
    given = parser.parse_args(argv)
    given.typed = argv
    if given.run and not given.plants:
        parser.error("--run: expected one or more plants")
    if given.trained is not None and (len(given.plants) != 1 or not list(given.trained.glob("seed-*/evidence.json"))):
        parser.error(f"--trained: expected one plant, and folders seed-0, ... of its training in {given.trained}")
    for plant in given.plants if given.run else []:
        found = measured(plant, given)
        path = given.results / f"board-{found['plant']}.json"
        path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        print("\n".join(section(found)))
    if given.page is not None:
        stored = [json.loads(p.read_text(encoding="utf-8")) for p in sorted(given.results.glob("board-*.json"))]
        if not stored:
            parser.error(f"--page: nothing is stored in {given.results}; measure with PLANT --run first")
        given.page.write_text(page(stored), encoding="utf-8")
    return 0
