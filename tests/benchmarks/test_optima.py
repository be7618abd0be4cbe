"""The table of optima in docs/agents.md is what the solver says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agents.exact.optimum import optimum
from benchmarks import optima
from sim.plantfile import load

PAGE = Path(__file__).resolve().parents[2] / "docs" / "agents.md"


def rows() -> dict[str, list[str]]:
    """Cells of the page's table by plant."""
    table = PAGE.read_text(encoding="utf-8").split(optima.BEGIN)[1].split(optima.END)[0]
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.strip().splitlines()[2:]]
    return {cells[0].strip("`"): cells for cells in lines}


def test_every_plant_of_the_bench_stands_in_the_page() -> None:
    assert tuple(rows()) == optima.PLANTS


@pytest.mark.parametrize("name", optima.PLANTS)
def test_the_page_says_what_the_solver_says(name: str) -> None:
    _, told, states, fixed, cost, gap = rows()[name]
    plant = load(name)
    found = optimum(plant)
    assert told == f"{found.cost:.4f} {found.unit}"
    assert states in {str(found.states), "a formula"}
    if name != "cmu3":
        numbers = tuple(int(n) for n in re.findall(r" (-?\d+)", fixed))
        exact = optima.fixed_cost(plant)
        assert float(cost) == pytest.approx(exact(numbers), abs=6e-5)
        assert float(gap.split()[0]) == pytest.approx(100 * (exact(numbers) / found.cost - 1), abs=6e-3)
        # no neighbour is better
        for i, _control in enumerate(plant.controls):
            for step in (-1, 1):
                near = tuple(n + step * (i == k) for k, n in enumerate(numbers))
                assert exact(near) >= exact(numbers) - 1e-9
