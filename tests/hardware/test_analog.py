"""Analog signals of the virtual plant: sampled in time, moved by wear, and no draw of anything else is different."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from hardware.analog import LEVEL, SHIFT, SPREAD, Analog, worn
from hardware.recorder import Recorder
from hardware.shop import Shop
from hardware.twist import draw_twist
from hardware.virtual_plant import Options, VirtualPlant
from ingest.journal import Journal
from sim.plant import Plant
from sim.plantfile import BUNDLED, load
from twin.tracker import Tracker

SIGNALS = """
signals:
  - {of: turn, tag: turn/vibration, in: mm/s, every: 2 s}
  - {of: turn, tag: turn/current, in: A, range: [0, 10.1]}
"""


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Plant:
    path = tmp_path_factory.mktemp("plant") / "line3.yaml"
    path.write_text((BUNDLED / "line3.yaml").read_text() + SIGNALS)
    return load(path)


def heard(plant: Plant, seconds: float) -> list[dict[str, Any]]:
    virtual = VirtualPlant(plant, Options(seed=3, speed=1.0, warmup_s=3600.0), mono=lambda: 0.0)
    found: list[dict[str, Any]] = []
    virtual.emit = found.append
    virtual.run_to(virtual.live_s + seconds)
    return found


def test_samples_come_in_time_and_nothing_else_is_different(plant: Plant) -> None:
    with_signals, without = heard(plant, 600.0), heard(load("line3"), 600.0)
    mine = [(m["t"], m["v"]) for m in with_signals if "v" in m and "turn/vibration" in m["v"]]
    times = [t for t, _ in mine]
    assert len(times) == 300
    assert {b - a for a, b in pairwise(times)} == {2000}
    currents = [m["v"]["turn/current"] for m in with_signals if "v" in m and "turn/current" in m["v"]]
    assert len(currents) == 600
    assert max(currents) == 10.1
    rest = [m for m in with_signals if "v" not in m or not set(m["v"]) & {"turn/vibration", "turn/current"}]
    assert rest == without != []


def test_a_worn_machine_is_higher(plant: Plant) -> None:
    shop = Shop(plant, 3, draw_twist(plant, 3))
    analog, (unit,) = Analog(shop), shop.stations["turn"].units[:1]
    found: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(100):
        shop.run(shop.env.now + 600.0)
        if unit.state == "down":
            analog.skip()
            continue
        analog.skip()
        samples = [taken for _, taken in analog.samples(shop.env.now + 120.0)]
        found[worn(unit, plant.tick_s)] += [taken["turn/vibration"] for taken in samples if "turn/vibration" in taken]
    assert min(len(values) for values in found.values()) >= 150
    assert fmean(found[False]) == pytest.approx(LEVEL, abs=0.3 * SPREAD)
    assert fmean(found[True]) == pytest.approx(LEVEL + SHIFT * SPREAD, abs=0.5 * SPREAD)


def test_from_the_plant_to_the_twin(tmp_path: Path) -> None:
    """A recording carries the signals as any other tag, and the twin learns from them."""
    path = tmp_path / "line3.yaml"
    signals = SIGNALS.replace("every: 2 s", "every: 2 s, learn: 40")
    path.write_text((BUNDLED / "line3.yaml").read_text() + signals)
    plant = load(path)
    Recorder(plant, Options(seed=3, warmup_s=9 * 3600.0), tmp_path).run(0.5)
    tracker, reader = Tracker(plant), Journal.open_reader(tmp_path / "journal.db")
    try:
        for rows in reader.follow(0):
            for row in rows:
                tracker.apply(row)
    finally:
        reader.close()
    fold = tracker.machines.folds["turn"]
    assert fold.state.settings.step_ms == 2000
    assert fold.state.fed + len(fold.state.first) == pytest.approx(900, abs=5)
    assert (fold.state.partial, fold.state.late, fold.unheard()) == (0, 0, [])
    assert tracker.learned.lost == tracker.holes == 0
    assert {tag for tag in tracker.state.tags if "vibration" in tag or "current" in tag} == set()
