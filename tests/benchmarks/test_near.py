"""Unseen parameters are plants of their own kind; the time to near the optimum is counted as it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents.bundles.policy import Network
from agents.envs.env import compiled_plant
from agents.envs.schema import Observer
from agents.exact.optimum import optimum
from benchmarks.near import Look, Reached, figures
from benchmarks.unseen import Parameters, draw, text


def optimum_of(parameters: Parameters, folder: Path) -> float:
    path = folder / "plant.yaml"
    path.write_text(text(parameters, "plant"), encoding="utf-8")
    return optimum(compiled_plant(str(path)).plant).cost


def test_without_factors_it_is_the_bundled_plant(tmp_path: Path) -> None:
    bundled = optimum(compiled_plant("make_to_stock").plant).cost
    assert optimum_of(Parameters(), tmp_path) == pytest.approx(bundled, rel=1e-9)


def test_sets_differ_and_worse_conditions_stay_worse(tmp_path: Path) -> None:
    costs = set()
    for seed in range(4):
        found = draw(seed)
        assert found == draw(seed)
        assert list(found.mu) == sorted(found.mu, reverse=True)
        assert list(found.wear) == sorted(found.wear)
        assert list(found.fail) == sorted(found.fail)
        costs.add(round(optimum_of(found, tmp_path), 6))
    assert len(costs) == 4


def test_a_peer_that_did_not_get_there_took_at_least_the_cap() -> None:
    def training(seconds: float | None, gap: float) -> dict[str, Any]:
        return {"seconds": seconds, "least_gap": gap, "curve": []}

    found = {
        "plantwin train": training(30.0, 0.004),
        "stock SB3, tuned": training(90.0, 0.009),
        "stock SB3, its defaults": training(None, 1.5),
    }
    defaults, tuned = figures(found, 240.0, "make_to_stock")
    assert (defaults.ratio, tuned.ratio) == (8.0, 3.0)
    assert "after 240 s was 150.0 % above at best" in defaults.peer
    assert "at least" in defaults.what
    found["plantwin train"] = training(None, 0.02)
    assert [row.ratio for row in figures(found, 240.0, "make_to_stock")] == [None, None]


def test_a_look_ends_a_training_that_is_near_and_prices_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    look = Look("make_to_stock", 600.0)
    look.start()
    monkeypatch.setattr("benchmarks.near.EVERY_S", 0.0)
    asked: list[float] = []

    def never() -> Network | None:
        asked.append(1.0)
        return None

    look.at(never)
    assert asked, "it was time to look"
    assert look.curve == [], "nothing to price yet"
    size = Observer(look.compiled).size
    # produces always, never maintains: far above
    always = Network((np.zeros((4, size), np.float32),), (np.array([0.0, 1.0, 0.0, 1.0], np.float32),), (2, 2), "mode")
    look.at(lambda: always)
    assert look.curve[0][1] > 0.5
    look.cap_s = 0.0
    with pytest.raises(Reached):
        look.at(lambda: always)
