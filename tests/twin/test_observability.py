"""`plantwin observe`: with every tag everything is known, without any nothing is; a tag is worth what it tells."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from sim.compile import compile_plant
from sim.plantfile import load
from twin import commands_track, observability
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


def test_the_lazy_search_finds_what_trying_all_finds_with_fewer_replays(
    plant_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant, told = load(str(plant_file)), []
    few = [s for s in plant.sensors if s.property == "state"]
    found = observe(plant, few, 0.5, 1, lambda done, of: told.append((done, of)))
    monkeypatch.setattr(observability, "_lazily", all_of_them)
    everything: list[tuple[int, int]] = []
    again = observe(plant, few, 0.5, 1, lambda done, of: everything.append((done, of)))
    assert found == again
    assert len(found["more"]) >= 2
    assert [done for done, _ in told] == list(range(1, len(told) + 1))
    assert all(done <= of for done, of in told)
    assert len(told) < len(everything)


def all_of_them(study: Any, chosen: Any, gains: Any, now: float) -> Any:
    """What the search was before: every tag that has gained anything, each time."""
    fresh = [(now - study.unknown(study.spreads([*chosen, sensor])), sensor) for _, sensor in gains]
    return sorted(fresh, key=lambda pair: -pair[0])


def test_signals_of_machines_are_no_tags_of_parts(plant_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "line.yaml"
    path.write_text(plant_file.read_text() + "\nsignals:\n  - {of: s1, tag: s1/vibration}\n")
    plant = load(str(path))
    found = observe(plant, None, 0.5, 1)
    assert found["tags"] == len(plant.sensors) - 1
    assert "s1/vibration" not in [*found["unneeded"], *(row["tag"] for row in [*found["more"], *found["needed"]])]


def test_the_command_says_how_long_it_will_take(plant_file: Path) -> None:
    command = typer.Typer()
    command.command()(commands_track.observe)
    result = CliRunner().invoke(command, [str(plant_file), "--hours", "0.5", "--json"])
    assert result.exit_code == 0, result.output
    assert re.search(r"observe: \d+ replays, about \d+\.\d min left", result.stderr)
    assert json.loads(result.stdout)["hours"] == 0.5
