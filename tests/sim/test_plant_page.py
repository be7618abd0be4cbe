"""docs/plant-file.md: its guide is one valid file, and its reference is what the readers declare."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sim.distributions import KINDS
from sim.plant import FEATURES, RULES
from sim.plantfile import CONVENTIONS, validate
from sim.plantpage import SECTIONS, page
from sim.schema import PERSONAL
from sim.settings import PATHS
from sim.traffic import traffic

PAGE = (Path(__file__).parents[2] / "docs" / "plant-file.md").read_text(encoding="utf-8")
GUIDE = PAGE.split("## Reference")[0]
EXAMPLE = "".join(re.findall(r"^```yaml\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL))


def test_the_examples_of_the_guide_are_one_plant(tmp_path: Path) -> None:
    path = tmp_path / "page.yaml"
    path.write_text(EXAMPLE, encoding="utf-8")
    plant, problems, _ = validate(path)
    assert problems == []
    assert plant is not None
    assert 0.3 < traffic(plant).bottleneck.utilisation < 1


def test_the_reference_is_what_the_readers_declare() -> None:
    assert page(PAGE) == PAGE, "write it anew: python -m sim.plantpage docs/plant-file.md"
    with pytest.raises(ValueError, match="add them where the reference belongs"):
        page("no marks")


def test_declarations_are_complete() -> None:
    for section in SECTIONS:
        names = [key.name for key in section.keys]
        assert len(names) == len(set(names)), section.path
        assert not set(names) & (set(section.later) | set(section.instead) | set(PERSONAL)), section.path
        assert f"### {section.path}\n" in PAGE


def test_every_distribution_rule_path_and_convention_is_in_the_guide() -> None:
    assert all(kind in GUIDE for kind in KINDS)
    assert all(f"`{rule}`" in GUIDE for rule in RULES if rule != "fifo")
    assert all(f"`{feature}`" in GUIDE for feature in FEATURES)
    assert all(f"`{path}`" in GUIDE for path in PATHS)
    assert all(f"{name}: {values[0]}" in EXAMPLE for name, values in CONVENTIONS.items())


FORMS = re.findall(r"`([a-z]+\([^`]*\))`", PAGE.split("## Distributions")[1].split("## Buffers")[0])


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_distribution_is_understood(tmp_path: Path, form: str) -> None:
    path = tmp_path / "form.yaml"
    path.write_text(EXAMPLE.replace("triangular(15 s, 20 s, 30 s)", form), encoding="utf-8")
    assert validate(path)[1] == []
