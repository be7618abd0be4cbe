"""Machine condition: a change is called and named, a quiet machine is not; frames, saving, refusals."""

from __future__ import annotations

import numpy as np
import pytest

from ingest.codes import BAD
from ingest.wire import Reading
from tests.twin.test_onestep import Array, machine
from twin.condition import Change, Condition, Settings, sentence

TAGS = ("pressure", "flow", "temperature", "voltage")


def watched(values: Array, learn: int = 400) -> Condition:
    fold = Condition(Settings("pump", TAGS, learn=learn))
    for i, v in enumerate(values):
        fold.frame(1000 * (i + 1), v)
    return fold


def readings(values: Array) -> list[Reading]:
    return [
        Reading(1000 * i + 10 * k, tag, float(v), 0, "cell", "e1", i, i)
        for i, row in enumerate(values)
        for k, (tag, v) in enumerate(zip(TAGS, row, strict=True))
    ]


def test_a_change_is_called_and_named() -> None:
    values = machine(1500, 7)
    values[1000:, 1] += 2.0
    (notice,) = watched(values).notices
    assert 1_000_000 < notice.t < 1_060_000
    assert notice.since == pytest.approx(1_001_000, abs=5000)
    assert notice.moved[0].tag == "flow"
    assert notice.moved[0].shift > 1.0
    assert sentence(notice).startswith("pump behaves differently: flow up (+")


def test_quiet_machines_are_left_alone_although_their_signals_wander() -> None:
    folds = [watched(machine(2400, seed)) for seed in range(3)]
    # at 0.7 a week none is expected in two hours; the raw random walk alone moves by several of its first deviations
    assert sum(len(f.notices) for f in folds) == 0
    assert all(abs(value) < 0.15 for f in folds for value in f.autocorrelation().values())


def test_saving_in_the_middle_changes_nothing() -> None:
    values = machine(1200, 8)
    values[900:, 3] -= 40.0
    whole = watched(values)
    half = watched(values[:905])  # while the sum is rising
    again = Condition.load(half.save())
    for i, v in enumerate(values[905:], start=905):
        again.frame(1000 * (i + 1), v)
    assert len(whole.notices) == 1
    assert again.notices == whole.notices
    assert again.save() == whole.save()


def test_readings_become_frames_whatever_their_order_within_two_frames() -> None:
    values = machine(900, 9)
    values[700:, 1] += 3.0
    told: list[list[Change]] = []
    rng = np.random.default_rng(1)
    for mixed in (False, True):
        fold, row = Condition(Settings("pump", TAGS)), readings(values)
        if mixed:
            row = [row[i] for i in np.argsort([r.t + rng.uniform(0, 1500) for r in row])]
        for reading in row:
            fold.take(reading)
        fold.end()
        assert (fold.state.late, fold.state.partial) == (0, 0)
        told.append(fold.notices)
    assert told[0] == told[1] == watched(values).notices
    assert len(told[0]) == 1


def test_late_bad_and_foreign_readings_are_no_part_of_a_frame() -> None:
    fold = Condition(Settings("pump", TAGS))
    for reading in readings(machine(20, 1)):
        fold.take(reading)
    before = fold.save()
    fold.take(Reading(19_000, "flow", 5.0, BAD, "cell", "e1", 1, 1))
    fold.take(Reading(19_000, "elsewhere", 5.0, 0, "cell", "e1", 1, 1))
    assert fold.save() == before
    fold.take(Reading(2_000, "flow", 5.0, 0, "cell", "e1", 1, 1))
    assert fold.state.late == 1
    fold.take(Reading(60_000, "flow", 5.0, 0, "cell", "e1", 1, 1))
    fold.end()
    assert fold.state.partial == 1


def test_a_gap_is_not_a_change() -> None:
    values = machine(3000, 2)
    fold = Condition(Settings("pump", TAGS))
    for i, v in enumerate(values[:1000]):
        fold.frame(1000 * (i + 1), v)
    for i, v in enumerate(values[1020:1900]):  # 20 frames are missing
        fold.frame(1000 * (i + 1021), v)
    assert fold.notices == []


def test_what_cannot_be_watched_is_refused() -> None:
    for settings in (Settings("pump", ()), Settings("pump", ("a", "a"))):
        with pytest.raises(ValueError, match="pump: expected tags, each once"):
            Condition(settings)
    with pytest.raises(ValueError, match="40 frames or more"):
        Condition(Settings("pump", ("a",), learn=10))
    body = Condition(Settings("pump", ("a",))).save().replace(b'"version":1', b'"version":7')
    with pytest.raises(ValueError, match="version 1 expected, found 7"):
        Condition.load(body)
