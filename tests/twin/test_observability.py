"""`plantwin observe`: with every tag everything is known, without any nothing is; a tag is worth what it tells."""

from __future__ import annotations

from pathlib import Path

import pytest

from sim.compile import compile_plant
from sim.plantfile import load
from twin.observability import observe, read_tags, stretch
from twin.observability_plant import Watched, candidates


@pytest.fixture(name="plant_file", scope="module")
def _plant_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from benchmarks._tracking_plants import line

    path = tmp_path_factory.mktemp("observe") / "line.yaml"
    path.write_text(line(3))
    return path


def test_all_tags_and_none(plant_file: Path) -> None:
    plant = load(str(plant_file))
    full = observe(plant, None, 1.0, 1)
    assert full["unknown"] < 0.02
    assert {q["is"] for q in full["quantities"] if q["what"].startswith(("state", "flow"))} == {"measured"}
    blind = observe(plant, [], 1.0, 1)
    assert blind["unknown"] > 0.6
    assert not any(q["is"] == "measured" for q in blind["quantities"])
    assert blind["more"], "some tag helps somebody who has none"
    assert blind["more"][0]["gain"] > 0


def test_the_tag_that_is_missing_is_the_one_that_would_help_most(plant_file: Path) -> None:
    plant = load(str(plant_file))
    found = observe(plant, [s for s in plant.sensors if s.tag != "s2/out"], 2.0, 1)
    assert found["more"][0]["tag"] == "s2/out"
    assert all(row["gain"] > 0 for row in found["needed"])
    assert set(found["unneeded"]).isdisjoint(row["tag"] for row in found["needed"])


def test_counts_of_the_reference_are_its_own() -> None:
    """Ends by unit and product, worked out event by event, add up to what each station has ended."""
    compiled = compile_plant(load("line3"))
    watched = Watched(compiled, 1)
    watched.run(compiled.ticks(9 * 3600))
    for center in watched.model.centers:
        assert sum(n for (s, _, _), n in watched.ended.items() if s == center.spec.id) == center.ended > 0


def test_tags_from_a_file(plant_file: Path, tmp_path: Path) -> None:
    plant = load(str(plant_file))
    path = tmp_path / "tags.txt"
    path.write_text("s1/out  # counted at the door\n\nb2/level\n")
    assert [s.tag for s in read_tags(path, plant)] == ["s1/out", "b2/level"]
    path.write_text("s1/out\nnowhere\n")
    with pytest.raises(ValueError, match=r"tags.txt:2: expected a tag of plant line3 .*'nowhere'"):
        read_tags(path, plant)
    assert "part/released" not in [s.tag for s in candidates(plant)], "the file has that tag under another name"
    assert stretch(plant, 0.0, 10) == pytest.approx(2.5)
