"""Every example of the plant file and every bundled plant runs, in the way of `plantwin simulate`."""

from __future__ import annotations

from pathlib import Path

import pytest

from sim.compile import compile_plant
from sim.experiment import Run, simulate
from sim.plantexamples import examples
from sim.plantfile import bundled, load

EXAMPLES = examples()


def run(plant: str | Path, days: int) -> None:
    """Three short replications: every part of the report is there, every figure that has a meaning is a number."""
    compiled = compile_plant(load(str(plant)))
    end = compiled.ticks(days * 86_400.0)
    report = simulate(compiled, Run(end, end // 4, 3))
    assert set(report["stations"]) == {s.id for s in compiled.plant.stations}
    assert set(report["products"]) == {p.id for p in compiled.plant.products}
    assert set(report["stocks"]) == {s.id for s in compiled.plant.stocks}
    for station in report["stations"].values():
        shares = [station[state]["mean"] for state in ("idle", "work", "blocked", "starved", "setup", "down", "off")]
        assert sum(shares) == pytest.approx(1)
    assert report["kpis"]["wip"]["n"] == 3


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_example_runs(name: str, tmp_path: Path) -> None:
    path = tmp_path / "example.yaml"
    path.write_text(EXAMPLES[name], encoding="utf-8")
    for source in (Path(__file__).parents[2] / "sim" / "examples").glob("*.csv"):
        (tmp_path / source.name).write_bytes(source.read_bytes())
    run(path, 3)


@pytest.mark.parametrize("name", bundled())
def test_every_bundled_plant_runs(name: str) -> None:
    run(name, 2)


@pytest.mark.parametrize("name", bundled())
def test_every_bundled_plant_is_listed_with_its_question(name: str) -> None:
    page = (Path(__file__).parents[2] / "docs" / "plant-file.md").read_text(encoding="utf-8")
    assert f"| `{name}` | {load(name).question} |" in page
