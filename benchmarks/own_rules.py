"""What rules of one's own cost: the example of docs/own-rules.md against the SimPy model without them and the kernel.

`plantwin bench own_rules [--json] [--pairs N] [--write docs/own-rules.md]`. All sides run the same plant in turn; times
are CPU times of single-threaded runs. An empty class changes nothing, so what it gives is compared with the kernel's.
With five pairs or more the result file is written; the page quotes it.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks import _record
from benchmarks.real_data import replace_between
from sim import plantfile
from sim.compile import Compiled, compile_plant
from sim.engine import new_rows, run
from sim.ownrules import allow
from sim.reference import Reference
from sim.state import EVENTS, Array

PAGE = Path(__file__).parents[1] / "docs" / "own-rules.md"
EMPTY = "from sim.reference import Reference\n\n\nclass Drum(Reference):\n    pass\n"
REFERENCE = "SimPy reference"
DAYS: dict[str, float] = {"kernel": 150, REFERENCE: 2, "empty class": 2, "example": 2}
"""Simulated days of a run: half a second or so each."""


def sides(folder: Path) -> dict[str, Compiled]:
    """The example's plant on the kernel, with a class that overrides nothing, and with the class of the page."""
    text = PAGE.read_text(encoding="utf-8")
    plant, code = (re.search(rf"```{kind}\n(.*?)```", text, re.DOTALL) for kind in ("yaml", "python"))
    assert plant is not None
    assert code is not None
    found = {}
    for name, rules in (("kernel", None), ("empty class", EMPTY), ("example", code[1])):
        place = folder / name.replace(" ", "_")
        place.mkdir()
        lines = plant[1] if rules else re.sub(r"^engine:.*\n", "", plant[1], flags=re.MULTILINE)
        (place / "drum.yaml").write_text(lines, encoding="utf-8")
        (place / "drum.py").write_text(rules or "", encoding="utf-8")
        found[name] = compile_plant(allow(plantfile.load(place / "drum.yaml")))
    return found


def runner(compiled: Compiled, days: float) -> Callable[[], float]:
    """Events a CPU second of one replica of seed 1, from the start, each time the same."""

    def once() -> float:
        rows = new_rows(compiled, 1, 1)
        start = time.process_time()
        run(rows, compiled, compiled.ticks(86_400 * days))
        return int(rows[0, EVENTS]) / (time.process_time() - start)

    return once


def reference_runner(compiled: Compiled, days: float) -> Callable[[], float]:
    """The same of the SimPy model that the kernel is compared with."""

    def once() -> float:
        model = Reference(compiled, 1, 0)
        start = time.process_time()
        model.run(compiled.ticks(86_400 * days))
        return len(model.trace) / (time.process_time() - start)

    return once


def row_after(compiled: Compiled, days: int) -> Array:
    """One replica's accumulated output and clock, by name, without the rules' own numbers."""
    rows = new_rows(compiled, 1, 1)
    run(rows, compiled, compiled.ticks(86_400 * days))
    names = ("now", "events", "finished", "flow_sum", "wip_area", "st_ticks", "q_area", "on_hand_area")
    return np.concatenate([compiled.layout.view(rows, name).ravel() for name in names])


def measure(pairs: int) -> dict[str, Any]:
    """Median events a CPU second of each side, and how many times slower than the kernel, with least and greatest."""
    with tempfile.TemporaryDirectory(prefix="plantwin-") as folder:
        plants = sides(Path(folder))
        assert np.array_equal(row_after(plants["kernel"], 1), row_after(plants["empty class"], 1))
        once = {name: runner(compiled, DAYS[name]) for name, compiled in plants.items()}
        once[REFERENCE] = reference_runner(plants["kernel"], DAYS[REFERENCE])
        seen: dict[str, list[float]] = {name: [] for name in once}
        for _ in range(pairs):
            for name, measured in once.items():
                seen[name].append(measured())
    slower = {}
    for name in (REFERENCE, "empty class", "example"):
        ratios = [a / b for a, b in zip(seen["kernel"], seen[name], strict=True)]
        slower[name] = [round(value, 1) for value in (median(ratios), min(ratios), max(ratios))]
    hooks = [a / b for a, b in zip(seen["empty class"], seen["example"], strict=True)]
    return {
        "events_per_cpu_second": {name: round(median(values)) for name, values in seen.items()},
        "times_slower_than_kernel": slower,
        "example_against_empty_class": [round(value, 2) for value in (median(hooks), min(hooks), max(hooks))],
        "pairs": pairs,
    }


def table(found: dict[str, Any]) -> str:
    """The measurement as the page shows it."""
    head = "| the plant of this page on | events a CPU second | times slower than the kernel (least to greatest) |"
    lines = [head, "|---|---|---|"]
    for name, rate in found["events_per_cpu_second"].items():
        slow = found["times_slower_than_kernel"].get(name)
        more = "" if slow is None else f"{slow[0]:.0f} ({slow[1]:.0f} to {slow[2]:.0f}, n = {found['pairs']})"
        lines.append(f"| {name} | {rate:,} | {more} |")
    return "\n".join(lines)


def main(argv: Sequence[str]) -> int:
    """`plantwin bench own_rules`."""
    parser = argparse.ArgumentParser(prog="plantwin bench own_rules", description="What rules of one's own cost.")
    parser.add_argument("--json", action="store_true", help="machine-readable")
    parser.add_argument("--pairs", type=int, default=7, help="measurements of each side, at least 5 to be kept")
    parser.add_argument("--write", type=Path, help="page whose table is replaced")
    options = parser.parse_args(argv)
    if options.pairs < 1:
        parser.error("--pairs: at least 1")
    found = measure(options.pairs)
    if options.pairs >= 5:
        _record.keep("own_rules", [], _record.versions("numba", "numpy", "simpy"), found)
    if options.write:
        page = options.write.read_text(encoding="utf-8")
        options.write.write_text(replace_between(page, "cost", table(found)), encoding="utf-8")
    print(json.dumps(found) if options.json else table(found))
    return 0
