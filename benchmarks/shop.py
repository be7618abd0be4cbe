"""Dispatching rules, learnt weights and networks on classical job shops and on `jobshop10`, all through the kernel.

`plantwin bench shop [--json] [--write docs/dispatching.md] [--train SECONDS] [--quick]`. Weights are learned by CMA-ES
on random instances of the size of the published ones, which are only judged on; so are 200 further random ones. On
`jobshop10`, whose orders keep coming, PPO trains for `--train` seconds of wall time beside them. `--write` renews the
result file, the page's tables and its plot; `--quick` learns from next to nothing, to try it out.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import _jobshop_orders, _record
from benchmarks._jobshop import RULES, USED, by_priority, named
from benchmarks._jobshop_learn import Effort, instance, of_size
from benchmarks._plot_rows import rows as drawn_rows
from benchmarks.real_data import replace_between

PAGE = Path(__file__).parents[1] / "docs" / "dispatching.md"
PLOT = "dispatching-gaps.svg"
SIZES = {(6, 6): 10, (10, 5): 99, (20, 5): 99, (10, 10): 99}
"""(jobs, machines) -> longest operation, minutes."""
INSTANCES = ("ft06", "la01", "la02", "la05", "ft20", "la16", "ft10", "abz5")
DRAWS = 100
"""Random priorities of an instance."""
COLUMNS = ("random", *RULES, "learnt", "network", "searched")
QUICK, QUICK_ORDERS = Effort(8, 3, 8, 4, 2, 6, 8, 3), _jobshop_orders.Effort(2, 4, 2, 30, 3, 50, 10)
LABELS = {
    "random": "random priorities", "learnt": "learnt weights", "network": "network", "searched": "searched on itself",
    "best rule": "best of the four rules", "start": "the same, halved and rounded",
    "policy": "trained policy (PPO)",
}  # fmt: skip


def say(text: str) -> None:
    """A line of progress."""
    print(text, file=sys.stderr, flush=True)


def measure(effort: Effort) -> dict[str, Any]:
    """Everything that the page tells."""
    learned, seconds = {}, {}
    for size, longest in SIZES.items():
        began = time.perf_counter()
        learned[size] = of_size(size, longest, effort, say)
        seconds[size] = round(time.perf_counter() - began, 1)
    found = {}
    for name in INSTANCES:
        shop = named(name)
        size = (len(shop.jobs), shop.machines)
        found[name] = instance(name, learned[size], effort, by_priority(shop, DRAWS))
        say(f"{name}: {found[name]}")
    sizes = {
        f"{jobs}x{machines}": {
            "weights": dict(zip(USED, one.weights.tolist(), strict=True)),
            "seconds": seconds[jobs, machines],
            "held": one.held,
        }
        for (jobs, machines), one in learned.items()
    }
    return {"effort": vars(effort).copy(), "sizes": sizes, "instances": found}


def orders_table(detail: dict[str, Any]) -> str:
    """Costs on `jobshop10`."""
    found = detail["orders"]["costs"]
    lines = ["| | cost, EUR/h | more than learnt weights, EUR/h |", "|---|---|---|"]
    for name, one in found.items():
        away = "" if name == "learnt" else f"{one['against_learnt']:+.2f} ± {1.96 * one['standard_error']:.2f}"
        lines.append(f"| {LABELS.get(name, name)} | {one['cost']:.2f} | {away} |")
    return "\n".join(lines)


def gap(found: dict[str, Any], column: str) -> float:
    """Per cent above the best known makespan."""
    return 100.0 * (float(found[column]) / float(found["best"]) - 1.0)


def instance_table(detail: dict[str, Any]) -> str:
    """Gaps by instance, and their mean."""
    found = detail["instances"]
    head = ["instance", "jobs x machines", "optimum", *(LABELS.get(c, c) for c in COLUMNS)]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for name, one in found.items():
        cells = [f"{one[c]:g} (+{gap(one, c):.1f} %)" for c in COLUMNS]
        lines.append(f"| `{name}` | {one['size'][0]} x {one['size'][1]} | {one['best']} | " + " | ".join(cells) + " |")
    means = [f"+{np.mean([gap(one, c) for one in found.values()]):.1f} %" for c in COLUMNS]
    return "\n".join([*lines, "| mean | | | " + " | ".join(means) + " |"])


def held_table(detail: dict[str, Any]) -> str:
    """Mean makespan over the lower bound on random instances held back, and the learnt weights."""
    columns = (*RULES, "best rule", "learnt", "network")
    head = [
        "jobs x machines",
        *(LABELS.get(c, c) for c in columns),
        "network − weights",
        "weights, minutes and operations",
    ]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for size, one in detail["sizes"].items():
        cells = [f"{one['held'][c]['mean']:.3f}" for c in columns]
        net = one["held"]["network"]
        away = f"{net['against_learnt']:+.4f} ± {net['standard_error']:.4f}"
        dispatch = ", ".join(f"{k}: {v}" for k, v in one["weights"].items())
        lines.append(f"| {size.replace('x', ' x ')} | " + " | ".join([*cells, away, f"`{{{dispatch}}}`"]) + " |")
    return "\n".join(lines)


def plot(detail: dict[str, Any]) -> str:
    """Mean and range of the gaps by rule."""
    found = detail["instances"].values()
    told = []
    for column in COLUMNS:
        gaps = [gap(one, column) for one in found]
        told.append((LABELS.get(column, column), float(np.mean(gaps)), (min(gaps), max(gaps))))
    return drawn_rows("Makespan above the optimum, per cent: mean of the instances, least to greatest", told)


def write(page: Path, detail: dict[str, Any]) -> None:
    """Put the tables into the page and the plot beside it."""
    text = page.read_text(encoding="utf-8")
    text = replace_between(text, "instances", instance_table(detail))
    text = replace_between(text, "held", held_table(detail))
    page.write_text(replace_between(text, "orders", orders_table(detail)), encoding="utf-8")
    (page.parent / "img").mkdir(exist_ok=True)
    (page.parent / "img" / PLOT).write_text(plot(detail), encoding="utf-8")


def main(argv: list[str]) -> int:
    """Learn, judge, show, and write where asked."""
    parser = argparse.ArgumentParser(prog="plantwin bench shop", description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true", help="next to no learning")
    parser.add_argument("--train", type=float, default=300.0, help="seconds of PPO on jobshop10; 0: none")
    parser.add_argument("--write", type=Path, help="page whose tables and plot are renewed, and the result file")
    options = parser.parse_args(argv)
    detail = measure(QUICK if options.quick else Effort())
    effort = QUICK_ORDERS if options.quick else _jobshop_orders.Effort(train_s=options.train)
    detail["orders"] = _jobshop_orders.measure(effort, say)
    tables = (instance_table(detail), held_table(detail), orders_table(detail))
    print(json.dumps(detail) if options.json else "\n\n".join(tables))
    if options.write is not None:
        if not options.quick:
            _record.keep("shop", [], _record.versions("numpy", "numba"), detail)
        write(options.write, detail)
    return 0
