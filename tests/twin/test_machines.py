"""Machines' signals in the running twin: learned, a change told once, kept over a restart, never acted on."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from ingest.wire import Reading, Row
from sim.plant import Plant
from sim.plantfile import PlantError, load
from tests.twin.journals import LINE, SENSORS, T0, Writer, fold, line
from tests.twin.test_onestep import machine
from twin.drift import BUDGET, divided
from twin.machines import machines_of, rows
from twin.tracker import Tracker
from twin.watch import Watch, folded

SIGNALS = """
signals:
  - {of: mill, unit: 1, tag: mill/1/vibration, in: mm/s, learn: 120}
  - {of: mill, unit: 1, tag: mill/1/temperature, in: °C, learn: 90}
  - {of: wash, tag: wash/pressure, every: 10 s}
"""
NAMES = ("mill/1/vibration", "mill/1/temperature")
LEARN = 120


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Plant:
    return line(tmp_path_factory.mktemp("plant"), SENSORS + SIGNALS)


def told(plant: Plant, n: int, *, step: float = 0.0, since: int = 10**9, signals: bool = True) -> list[Row]:
    """`n` seconds of two signals, of which the first rises by `step` at second `since`; and a part now and then."""
    w, values = Writer(plant), machine(n, 3)
    for t in range(n):
        jump = step if t >= since else 0.0
        if signals:
            w.data(t + 0.2, **{NAMES[0]: values[t, 3] + jump, NAMES[1]: values[t, 0]})
        if t % 60 == 30:
            w.data(t + 0.4, cut__a=t // 60 + 1)
        if t % 5 == 4:
            w.tick(t + 1)
    return w.rows


def test_the_plant_file_says_whose_signals_they_are(plant: Plant) -> None:
    mill, wash = machines_of(plant)
    assert (mill.name, wash.name) == ("mill/1", "wash")
    assert [s.tag for s in mill.signals] == list(NAMES)
    signal = wash.signals[0].signal
    assert signal is not None
    assert (signal.every_ms, signal.learn, signal.measured_in) == (10_000, 400, "")


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ("{of: mill, unit: 3, tag: a}", "a unit of mill (1..2), found 3"),
        ("{of: b1, tag: a}", "a station, found 'b1'"),
        ("{of: mill, tag: cut/a}", "a tag of its own, found 'cut/a' of sensor 2 again"),
        ("{of: mill, tag: a, learn: 5}", "expected a whole number of 40 or more, found '5'"),
        ("{of: mill, tag: a, property: state}", "property"),
        ("{of: mill, tag: set/cap}", "a tag other than 'set/..' and 'mode'"),
        ("{of: mill, tag: a, in: '?'}", "expected a unit such as mm/s, °C or A, up to 16 letters, found '?'"),
        ("{of: mill}", "expected the key 'tag', found none"),
    ],
)
def test_a_wrong_signal_is_named_with_its_line(tmp_path: Path, entry: str, says: str) -> None:
    path = tmp_path / "test.yaml"
    text = "\n".join(row for row in (LINE + SENSORS).splitlines() if row) + f"\nsignals:\n  - {entry}\n"
    path.write_text(text)
    with pytest.raises(PlantError) as found:
        load(str(path))
    (problem,) = found.value.problems
    assert problem.startswith(f"test.yaml:{len(text.splitlines())}: signals.1")
    assert says in problem


def test_a_change_is_told_once_and_stays_until_somebody_settles_it(plant: Plant) -> None:
    tracker = fold(plant, told(plant, 500, step=30.0, since=400))
    watch = Watch(["wip"], signals=True)
    (notice,) = watch.notices(tracker.state)
    assert (notice["kind"], notice["place"], notice["closed"]) == ("condition", "mill/1", "")
    assert notice["since"] == pytest.approx(T0 + 401_000, abs=5000)
    assert notice["moved"][0]["tag"] == "mill/1/vibration"
    assert notice["text"].startswith("mill/1 behaves differently: mill/1/vibration up (+")
    mill, wash = rows(tracker.machines, tracker.state.t, watch.notices(tracker.state))
    assert (mill["condition"], mill["since"], mill["moved"][0]) == ("changed", notice["since"], "mill/1/vibration")
    assert wash["condition"] == "unheard"
    assert watch.fresh(tracker.state) == [notice]
    assert watch.fresh(tracker.state) == []
    assert watch.close(notice["id"], "bearing replaced", folded(tracker.state))
    assert not watch.close(notice["id"], "again", folded(tracker.state))
    assert not watch.close("condition-nothing-1", "?", folded(tracker.state))
    mill, _ = rows(tracker.machines, tracker.state.t, watch.notices(tracker.state))
    assert (mill["condition"], mill["moved"]) == ("learnt", [])


def test_a_changed_machine_neither_dims_a_light_nor_stops_advice(plant: Plant) -> None:
    changed, calm = fold(plant, told(plant, 500, step=30.0, since=400)), fold(plant, told(plant, 500))
    assert len(changed.state.learned.changes) == 1
    assert calm.state.learned.changes == []
    lights = []
    for tracker in (changed, calm):
        found = Watch(["wip"], signals=True).certify(tracker.state, {"wip": 0.0})
        lights.append((found["light"], found["stations"]))
        assert found["drifting"] == len(tracker.state.learned.changes)
    assert lights[0] == lights[1]


def test_learning_is_counted_and_silence_is_said(plant: Plant) -> None:
    tracker = fold(plant, told(plant, 43))
    mill, _ = rows(tracker.machines, tracker.state.t, [])
    assert (mill["condition"], mill["have"], mill["need"]) == ("learning", 40, LEARN)  # the newest frames are open
    assert mill["silent"] == []
    assert mill["signals"][1] | {"value": 0} == {
        "tag": "mill/1/temperature", "name": "temperature", "in": "°C", "value": 0, "age_s": 0.0,
    }  # fmt: skip
    w = Writer(plant)
    w.tick(343)
    tracker.apply(Row(10_000, T0, T0 + 343_000, "tick", "", None, None, b'{"t":%d}' % (T0 + 343_000)))
    mill, _ = rows(tracker.machines, tracker.state.t, [])
    assert (mill["silent"], mill["silent_s"]) == (list(NAMES), pytest.approx(300, abs=1.5))


def test_a_restart_goes_on_and_a_replay_gives_the_same(plant: Plant) -> None:
    all_rows = told(plant, 500, step=30.0, since=400)
    whole = fold(plant, all_rows)
    half = fold(plant, all_rows[: len(all_rows) * 41 // 50])  # while the sum is rising
    assert half.learned.changes == []
    again = Tracker.restore(plant, half.snapshot())
    for row in all_rows:
        again.apply(row)
    assert again.learned.changes == whole.learned.changes != []
    assert again.snapshot() == whole.snapshot()


def test_signals_move_nothing_and_lose_no_number(plant: Plant) -> None:
    """What is believed of parts, and what calibration holds for lost, is the same with and without them."""
    tracker, bare = fold(plant, told(plant, 1200)), fold(plant, told(plant, 1200, signals=False))
    assert tracker.learned.lost == tracker.holes == 0
    assert tracker.learned.sources
    assert tracker.state.stations == bare.state.stations
    assert tracker.state.stations[0].ended > 0
    assert tracker.state.tags == bare.state.tags
    assert tracker.learned.spans == bare.learned.spans
    assert len(tracker._recent) < 2 * 450 + 200, "one observation a message, whatever it carries"


def test_wrong_clocks_do_not_blind_it(plant: Plant) -> None:
    tracker = fold(plant, told(plant, 200))
    w = Writer(plant)
    w.s, ahead = 10_000, 3600 + 200
    row = w.data(ahead, mill__1__vibration=1.0)
    tracker.apply(Row(9_999, row.recv, row.t, "data", row.source, row.e, row.s, row.body))
    fold_ = tracker.machines.folds["mill/1"]
    index = fold_.state.index
    assert fold_.state.late == 1
    assert index < T0 // 1000 + 201
    tracker._step_back(T0)
    assert fold_.state.index == -1
    assert fold_.learned == LEARN, "what is known of the machine stays"


def test_memory_is_bounded_whatever_comes(plant: Plant) -> None:
    """Snapshots after 2,000 and 4,000 frames of signals that never sit still are as long."""
    rng, sizes = np.random.default_rng(1), []
    tracker = Tracker(plant)
    fold_ = tracker.machines.folds["mill/1"]
    for t in range(4000):
        fold_.frame(1000 * (t + 1), rng.standard_normal(2) + 0.004 * t)
        if t in (1999, 3999):
            sizes.append(len(tracker.snapshot()))
    assert sizes[1] < 1.2 * sizes[0]


def test_one_budget_for_the_plant() -> None:
    for signals in (False, True):
        shares = divided(signals=signals)
        assert shares.spans + shares.ranks + shares.signals == pytest.approx(BUDGET)
    assert divided(signals=False).signals == 0.0
    assert divided(signals=True).signals > 0.0


def test_its_signals_share_their_part_of_it(plant: Plant) -> None:
    settings = [fold_.state.settings for fold_ in Tracker(plant).machines.folds.values()]
    assert {s.streams for s in settings} == {3}
    assert {s.budget for s in settings} == {divided(signals=True).signals}
    tracker = Tracker(plant)
    assert tracker.learned.drift.budget == divided(signals=True).spans


def test_a_frame_costs_little(plant: Plant) -> None:
    """Two milliseconds of CPU a frame of two signals at most, also on a busy machine (measured: 0.2)."""
    tracker = Tracker(plant)
    readings = [
        Reading(1000 * i + 10 * k, tag, float(v), 0, "cell1", "e1", i, i)
        for i, row in enumerate(machine(1000, 5))
        for k, (tag, v) in enumerate(zip(NAMES, row, strict=False))
    ]
    begun = time.process_time()
    for reading in readings:
        tracker.machines.take(reading, 0)
    assert (time.process_time() - begun) / 1000 < 0.002
    assert tracker.machines.folds["mill/1"].learned == LEARN
