"""docs/plant-file.md: its examples are one valid file, and it names every key the reader knows."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from sim import plantfile, plantread, plantroute, plantsensor
from sim.compile import compile_plant
from sim.distributions import KINDS
from sim.kernel import new_rows, run
from sim.kpi import kpis
from sim.plantfile import CONVENTIONS, validate
from sim.traffic import traffic

PAGE = (Path(__file__).parents[2] / "docs" / "plant-file.md").read_text(encoding="utf-8")
EXAMPLE = "".join(re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))


def test_the_examples_together_are_a_plant_that_runs(tmp_path: Path) -> None:
    path = tmp_path / "page.yaml"
    path.write_text(EXAMPLE, encoding="utf-8")
    plant, problems, _ = validate(path)
    assert problems == []
    assert plant is not None
    assert traffic(plant).bottleneck.utilisation < 1
    compiled = compile_plant(plant)
    rows = new_rows(compiled, 1, 2)
    run(rows, compiled, compiled.ticks(14 * 86_400))
    assert (kpis(rows, compiled)["throughput"] > 10).all()


def known_keys() -> set[str]:
    """Every key that the readers look up, from their source."""
    source = "".join(inspect.getsource(m) for m in (plantread, plantroute, plantsensor, plantfile))
    return set(re.findall(r"""\.(?:take|need|has|mapping|sequence)\(\s*"(\w+)\"""", source))


@pytest.mark.parametrize("key", sorted(known_keys()))
def test_every_key_is_on_the_page(key: str) -> None:
    assert re.search(rf"\b{key}\b", PAGE)


def test_every_distribution_and_convention_is_on_the_page() -> None:
    assert all(kind in PAGE for kind in KINDS)
    assert all(f"{name}: {value}" in EXAMPLE for name, (value, _) in CONVENTIONS.items())


FORMS = re.findall(r"`([a-z]+\([^`]*\))`", PAGE.split("## Distributions")[1].split("## Buffers")[0])


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_distribution_is_understood(tmp_path: Path, form: str) -> None:
    path = tmp_path / "form.yaml"
    path.write_text(EXAMPLE.replace("triangular(15 s, 20 s, 30 s)", form), encoding="utf-8")
    assert validate(path)[1] == []
