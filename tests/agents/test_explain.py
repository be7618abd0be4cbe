"""What a controller does differently: the numbers are those of the runs, the page says them, again the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents.control.controllers import controller
from agents.evaluation.explain import Look, explain
from agents.evaluation.explainpage import pictures, sentences, write
from benchmarks._random_plants import random_plant
from plantwin import main
from sim.compile import Compiled, compile_plant
from sim.plantfile import load
from sim.settings import settings

LOOK = Look(6, 1)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("plants") / "shop.yaml"
    made.write_text(random_plant(4), encoding="utf-8")
    return made


@pytest.fixture(scope="module")
def shop(file: Path) -> Compiled:
    return compile_plant(load(str(file)))


class Nightly:
    """The plant file's setpoints, but a base stock higher by 6 while the two shifts are closed, and care at 1."""

    name, static, epoch_s = "nightly", False, None

    def __init__(self, shop: Compiled) -> None:
        self.shop = shop
        self.plain = np.array([settings(shop.plant)[c.sets] for c in shop.plant.controls])
        self.column = {c.id: i for i, c in enumerate(shop.plant.controls)}

    def act(self, rows: Any) -> Any:
        out = np.tile(self.plain, (len(rows), 1))
        closed = self.shop.layout.view(rows, "cal_open")[:, 0] == 0
        out[:, self.column["base_alpha"]] += 6 * closed
        out[:, self.column["care"]] = 1
        return out


@pytest.fixture(scope="module")
def found(shop: Compiled) -> dict[str, Any]:
    return explain(Nightly(shop), controller("nothing", shop), shop, LOOK)


def test_it_says_when_a_control_is_moved_and_with_what(found: dict[str, Any]) -> None:
    controls = {line["control"]: line for line in found["controls"]}
    assert [name for name, line in controls.items() if line["moved"]] == ["base_alpha", "care"]
    by_hour = controls["base_alpha"]["by_hour"]
    # a decision on the hour comes before the events of that tick: it sees the hour before; this control may be moved at
    # even hours only
    assert {by_hour[h] for h in range(168) if found["open"][h - h % 2 - 1]} == {0.0}
    assert {by_hour[h] for h in range(168) if not found["open"][h - h % 2 - 1]} == {6.0}
    best = controls["base_alpha"]["with"][0]
    assert abs(best["r"]) > 0.5
    assert "with" not in controls["cap"]


def test_the_kinds_of_cost_add_up_to_all(found: dict[str, Any]) -> None:
    *kinds, whole = found["costs"]
    assert whole["kind"] == "all"
    for key in ("mean", "other"):
        assert sum(line[key] for line in kinds) == pytest.approx(whole[key])
    assert {"holding", "backlog", "energy", "repair"} <= {line["kind"] for line in kinds}


def test_maintenance_expediting_and_load_are_told(found: dict[str, Any]) -> None:
    assert next(line for line in found["maintenance"] if line["what"] == "maintained")["mean"] > 0  # care earlier
    assert [line["source"] for line in found["supply"]] == ["trader"]
    assert [band["price"] for band in found["power"]["bands"]] == [0.26, 0.16]
    assert len(found["power"]["mine"]) == 168
    text = " ".join(sentences(found))
    for words in ("base_alpha:", "care: always 1", "Expedites: bars", "maintained:", "kWh a week", "Hardly or never"):
        assert words in text


def test_the_same_runs_give_the_same_files(found: dict[str, Any], shop: Compiled, tmp_path: Path) -> None:
    again = explain(Nightly(shop), controller("nothing", shop), shop, LOOK)
    assert again == found
    files = write(found, tmp_path)
    names = ["costs.svg", "drivers.svg", "explained.html", "explained.json", "power.svg", "week.svg"]
    assert sorted(f.name for f in files) == names
    assert json.loads((tmp_path / "explained.json").read_text(encoding="utf-8")) == found
    page = (tmp_path / "explained.html").read_text(encoding="utf-8")
    assert all(svg in page for svg in pictures(found).values())


def test_the_command(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["policy", "explain", "nothing", "--against", "nothing", "--plant", str(file), "--out", str(tmp_path)]
    with pytest.raises(SystemExit) as ended:
        main([*asked, "--replicas", "2", "--weeks", "1"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert "All in all +0.00 EUR/h [+0.00, +0.00]" in said
    assert (tmp_path / "week.svg").is_file()


def test_the_pictures_and_sentences_of_the_page_are_those_of_its_numbers() -> None:
    docs = Path(__file__).resolve().parents[2] / "docs"
    page = (docs / "agents.md").read_text(encoding="utf-8")
    for name in ("gearmotor-policy", "gearmotor-rollout"):
        folder = docs / "img" / name
        kept = json.loads((folder / "explained.json").read_text(encoding="utf-8"))
        assert f"img/{name}/costs.svg" in page
        for picture, svg in pictures(kept).items():
            assert (folder / f"{picture}.svg").read_text(encoding="utf-8") == svg
        for said in sentences(kept):
            assert said in page, said
