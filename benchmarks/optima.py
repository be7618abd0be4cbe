"""Exact optima of the bundled plants small enough, beside the best fixed setpoints: nothing here is simulated.

`plantwin bench optima [--json] [--write FILE]`. The best fixed setpoints are found by going down coordinate by
coordinate from the plant file's, on exact costs. `--write` puts the table between the marks of a page.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from agents.exact import optimum_periodic, optimum_stock, optimum_tandem
from agents.exact.optimum import Optimum, optimum
from agents.exact.optimum_solver import gain
from sim.plant import Plant
from sim.plantfile import load

PLANTS = ("make_to_stock", "lost_sales", "dual_sourcing", "tandem_release", "cmu3")
BEGIN, END = "<!-- optima: written by `plantwin bench optima --write docs/agents.md` -->", "<!-- end of the optima -->"
ORDERED = ("cmu3",)
"""Of them those whose controls say in which order products are served: no setpoints to go down on."""
TANDEM_CUT = -160
Cost = Callable[[tuple[int, ...]], float]


def fixed_cost(plant: Plant, kind: str | None = None) -> Cost:
    """Exact cost of fixed setpoints, in the order of the plant's controls; `kind`: the bundled plant it is like."""
    kind = kind or plant.id
    if kind == "make_to_stock":
        stock = optimum_stock.Chain(optimum_stock.read(plant), free=True)
        return lambda n: _gain(stock, optimum_stock.constant(stock.m, n[0], n[1]))
    if kind == "tandem_release":
        tandem = optimum_tandem.Chain(replace(optimum_tandem.read(plant), low=TANDEM_CUT))
        return lambda n: _gain(tandem, optimum_tandem.by_levels(tandem, n[0], n[1]))
    orders = optimum_periodic.Chain(optimum_periodic.read(plant))
    return lambda n: _gain(orders, optimum_periodic.by_levels(orders, *n))


def _gain(chain: optimum_stock.Chain | optimum_tandem.Chain | optimum_periodic.Chain, table: dict[str, str]) -> float:
    return gain(chain.problem, chain.chosen(table), chain.start)[0]


def best_fixed(plant: Plant) -> tuple[tuple[int, ...], float]:
    """The best fixed setpoints: each in turn to its best value, until none helps; and their cost."""
    cost = fixed_cost(plant)
    known: dict[tuple[int, ...], float] = {}
    at = tuple(_present(plant))

    def of(numbers: tuple[int, ...]) -> float:
        if numbers not in known:
            known[numbers] = cost(numbers)
        return known[numbers]

    while True:
        before = at
        for i, control in enumerate(plant.controls):
            tried = [(*at[:i], n, *at[i + 1 :]) for n in range(control.low, control.high + 1, control.step)]
            at = min((t for t in tried if _sensible(plant, t)), key=of)
        if at == before:
            return at, of(at)


def _sensible(plant: Plant, numbers: tuple[int, ...]) -> bool:
    """A level of all orders below that of the dear source would never order from the cheap one."""
    return plant.id != "dual_sourcing" or numbers[0] >= numbers[1]


def _present(plant: Plant) -> list[int]:
    from sim.settings import settings

    return [settings(plant)[c.sets] for c in plant.controls]


def row(found: Optimum, seconds: float, plant: Plant) -> dict[str, object]:
    """A line of the table."""
    line: dict[str, object] = {
        "plant": found.plant, "kind": found.kind, "optimum": round(found.cost, 4), "unit": found.unit,
        "states": found.states, "seconds": round(seconds, 1),
    }  # fmt: skip
    if plant.id in ORDERED:
        return line | {"fixed": "cmu -1, work 0 (the c-mu rule)", "cost": round(found.cost, 4), "gap": 0.0}
    numbers, cost = best_fixed(plant)
    says = ", ".join(f"{c.id} {n}" for c, n in zip(plant.controls, numbers, strict=True))
    return line | {"fixed": says, "cost": round(cost, 4), "gap": round(100 * (cost / found.cost - 1), 2)}


def page(rows: list[dict[str, object]]) -> str:
    """The table in Markdown."""
    lines = [
        "| plant | optimum | states | best fixed setpoints | cost | above the optimum |",
        "|---|---|---|---|---|---|",
    ]
    for r in rows:
        cells = (f"`{r['plant']}`", f"{r['optimum']:.4f} {r['unit']}", r["states"] or "a formula", r["fixed"])
        lines.append("| " + " | ".join(map(str, (*cells, f"{r['cost']:.4f}", f"{r['gap']:.2f} %"))) + " |")
    return "\n".join(lines)


def main(argv: list[str]) -> int:
    """Solve, show, and write where asked."""
    parser = argparse.ArgumentParser(prog="plantwin bench optima", description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--write", type=Path, help="page whose table is replaced")
    options = parser.parse_args(argv)
    rows = []
    for name in PLANTS:
        plant, began = load(name), time.perf_counter()
        found = optimum(plant)
        rows.append(row(found, time.perf_counter() - began, plant))
    print(json.dumps(rows, indent=1) if options.json else page(rows))
    if options.write is not None:
        text = options.write.read_text(encoding="utf-8")
        head, rest = text.split(BEGIN)
        options.write.write_text(f"{head}{BEGIN}\n{page(rows)}\n{END}{rest.split(END)[1]}", encoding="utf-8")
    return 0
