"""`plantwin bench q5`: its plants are plants, its verdicts follow from the numbers, its page is its result file's."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents.control.controllers import Hold, controller
from benchmarks import q5
from benchmarks._paired import Run, Size, gap, play
from benchmarks._plot_gap import gaps
from benchmarks._random_plants import random_plant
from benchmarks._record import RESULTS
from sim.compile import compile_plant
from sim.plantfile import load
from sim.traffic import traffic

PAGE = Path(__file__).resolve().parents[2] / "docs" / "agents.md"


@pytest.mark.parametrize("seed", range(10))
def test_a_random_plant_is_a_plant_that_can_cope(seed: int, tmp_path: Path) -> None:
    text = random_plant(seed)
    assert text == random_plant(seed)
    assert text.partition("line:")[2] != random_plant(seed + 1).partition("line:")[2]
    file = tmp_path / "shop.yaml"
    file.write_text(text, encoding="utf-8")
    plant = load(str(file))
    assert 5 <= len(plant.stations) <= 9
    assert len(plant.products) == 3
    kinds = {c.sets.split(".")[0] for c in plant.controls}
    assert kinds == {"groups", "release", "stations", "stocks"}
    assert traffic(plant).bottleneck.utilisation < 0.95


def test_pairs_share_their_luck_and_a_gap_has_the_interval_of_student(tmp_path: Path) -> None:
    file = tmp_path / "shop.yaml"
    file.write_text(random_plant(4), encoding="utf-8")
    compiled = compile_plant(load(str(file)))
    size = Size(4, 0, 1)
    one, two = (play(compiled, Hold(), Hold(), size) for _ in range(2))
    assert (one.costs == two.costs).all()
    now = {c.id: c for c in compiled.plant.controls}
    other = ",".join(f"{name}={c.low}" for name, c in now.items())
    assert (play(compiled, Hold(), controller(other, compiled), size).costs != one.costs).all()
    found = gap(np.array([1.0, 2.0, 3.0]), 10.0)
    assert (found.mean, found.share, found.n) == (2.0, 0.2, 3)
    assert found.hi - found.mean == pytest.approx(4.302653 / np.sqrt(3))


def _line(policy: tuple[float, float], seconds: float) -> dict[str, Any]:
    return {
        "rollout": {"decision_s": 1.0},
        "policy": {
            "against_rollout": {"lo": policy[0], "hi": policy[1], "share": sum(policy) / 200.0},
            "decision_s": seconds,
        },
    }


@pytest.mark.parametrize(
    ("policy", "seconds", "passes"),
    [
        ((-2.0, -1.0), 10.0, True),  # better, whatever it takes
        ((-1.0, 1.0), 0.009, True),  # as good at less than a hundredth
        ((-1.0, 1.0), 0.011, False),
        ((-1.0, 3.5), 0.009, False),  # no difference is shown, but 1.25 % is no equality
        ((0.1, 1.0), 1e-6, False),  # a loss is a loss
    ],
)
def test_what_passes(policy: tuple[float, float], seconds: float, passes: bool) -> None:
    assert q5.passes(_line(policy, seconds)) is passes


def test_several_seeds_count_as_one_number_each() -> None:
    rule, ahead = Run(np.array([10.0, 12.0, 11.0]), 1e-5), Run(np.array([9.0, 11.0]), 1.0)
    runs = [Run(rule.costs - by, 1e-3) for by in (1.0, 2.0, 3.0)]
    found = q5._policies(runs, rule, ahead)
    assert found["against_rule"]["n"] == 3
    assert found["against_rule"]["mean"] == pytest.approx(-2.0)
    assert found["against_rollout"]["mean"] == pytest.approx(-1.0)
    one = q5._policies(runs[:1], rule, ahead)
    assert (one["against_rule"]["n"], one["against_rollout"]["n"]) == (3, 2)


def test_a_picture_shows_losses_in_red() -> None:
    text = gaps("t", [("won", -0.01, -0.02, -0.005), ("lost", 0.01, 0.005, 0.02), ("open", 0.0, -0.01, 0.01)])
    assert text.count("#1a7f37") == text.count("#cf222e") == 2


def test_the_page_is_the_result_file() -> None:
    kept = json.loads((RESULTS / "q5.json").read_text(encoding="utf-8"))["detail"]
    shown = PAGE.read_text(encoding="utf-8").split(q5.BEGIN)[1].split(q5.END)[0].strip()
    assert shown == q5.table(kept["lines"], kept["size"])
    assert q5.PICTURE.read_text(encoding="utf-8") == q5.picture(kept["lines"])
    assert "gearmotor" in {line["plant"] for line in kept["lines"]}


@pytest.mark.usefixtures("briefly_judged")
@pytest.mark.slow
def test_a_small_run(tmp_path: Path) -> None:
    file = tmp_path / "shop.yaml"
    file.write_text(random_plant(4), encoding="utf-8")
    options = Namespace(
        candidates=2, replicas=8, train="3s", seeds=1, pairs=4, rollout_pairs=2, settle=0, weeks=1, fit_replicas=16,
        fit_steps=8,
    )  # fmt: skip
    line = q5.measure(compile_plant(load(str(file))), options, tmp_path, shipped=False)
    assert line["rollout"]["n"] == 2
    assert line["rollout"]["decision_s"] > line["policy"]["decision_s"] > 0
    assert line["plant"] in q5.table([line], {"words": "small"})
