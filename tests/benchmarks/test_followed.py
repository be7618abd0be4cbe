"""`plantwin bench followed`: leases end as at the gateway, renewal is the service's, the page is the file's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agents.advice.compare import Answer, Question
from agents.control.rollout import ticks
from agents.control.unseen import Unseen
from agents.envs.env import compiled_plant
from benchmarks import followed
from benchmarks._record import RESULTS
from sim.compile import Compiled
from sim.kernel import get_controls, new_rows

PAGE = Path(__file__).resolve().parents[2] / "docs" / "agents.md"


@pytest.fixture(scope="module")
def line3() -> Compiled:
    return compiled_plant("line3")


class Scripted:
    """Recommends one value after the other, for four hours each, and remembers the questions."""

    def __init__(self, *values: int) -> None:
        self.values, self.asked = list(values), list[Question]()

    def __call__(self, q: Question) -> Answer:
        self.asked.append(q)
        value = self.values.pop(0) if self.values and not q.locked else None
        move = {"control": "cap", "from": q.present["cap"], "to": value}
        body = None if value is None else {"moves": [move], "lease_s": 4 * 3600.0}
        return Answer("", body, 1, {})


def plant_of(compiled: Compiled, renewed: bool) -> followed.Followed:
    advice = followed.Advice(compiled, None, None, 256, joint=True, renewed=renewed)
    return followed.Followed(advice, new_rows(compiled, 3, 1), Unseen(compiled))


def cap(plant: followed.Followed) -> int:
    return int(get_controls(plant.row, plant.advice.compiled)[0, 0])


@pytest.mark.parametrize("renewed", [False, True])
def test_every_recommendation_is_accepted_and_ends(
    line3: Compiled, monkeypatch: pytest.MonkeyPatch, renewed: bool
) -> None:
    scripted = Scripted(9, 10)
    monkeypatch.setattr(followed, "propose", scripted)
    plant, hour = plant_of(line3, renewed), ticks(line3, 3600.0)
    assert line3.plant.controls[0].every <= 2 * hour
    plant.run(2 * hour)
    before = cap(plant)
    assert before not in {9, 10}
    plant.ask(1)
    assert (cap(plant), plant.leases) == (9, {0: (before, 6 * hour)})
    plant.run(5 * hour)
    plant.ask(2)
    question = scripted.asked[-1]
    assert question.leases == ((0, before, 6 * hour),)
    assert question.locked == (() if renewed else ("cap",))
    assert (cap(plant), plant.clicks) == ((10, 2) if renewed else (9, 1))
    plant.run(7 * hour)
    assert cap(plant) == (10 if renewed else before), "the new lease took the place of the old one"
    plant.run(20 * hour)
    assert (cap(plant), plant.leases) == (before, {}), "and led back to where that would have"
    assert plant.leased == (7 if renewed else 4) * hour


def test_presents_differ_in_what_nobody_sees_only(line3: Compiled, monkeypatch: pytest.MonkeyPatch) -> None:
    scripted = Scripted()
    monkeypatch.setattr(followed, "propose", scripted)
    plant = plant_of(line3, True)
    plant.run(ticks(line3, 30 * 3600.0))
    plant.ask(1)
    rows = scripted.asked[0].rows
    assert len({row.tobytes() for row in rows}) > len(rows) // 2
    assert len(set(plant.unseen.marks(rows))) == 1


def test_the_page_is_the_result_files() -> None:
    kept: dict[str, Any] = json.loads((RESULTS / "followed.json").read_text(encoding="utf-8"))["detail"]
    made = followed.table(kept["lines"], kept["size"]["words"])
    assert f"{followed.BEGIN}\n{made}\n{followed.END}" in PAGE.read_text(encoding="utf-8")
    nothing = next(line for line in kept["lines"] if line["name"] == "nothing")
    for line in kept["lines"]:
        assert line["beside"]["mean"] == pytest.approx(line["cost"] - nothing["cost"])
        if line["name"] in followed.ADVICE:
            runs = [run[line["name"]]["cost"] for run in kept["runs"]]
            assert line["cost"] == pytest.approx(sum(runs) / len(runs))
