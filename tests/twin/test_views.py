"""The frame tells what was read from what was reckoned."""

from __future__ import annotations

from pathlib import Path

from tests.twin.journals import T0, Writer, line
from twin.tracker import Tracker
from twin.views import kpis, state_view


def test_a_stock_that_no_sensor_has_spoken_of_is_no_measured_indicator(tmp_path: Path) -> None:
    plant = line(tmp_path)
    w = Writer(plant)
    w.data(0, fa__on_hand=5)
    tracker = Tracker(plant)
    for row in w.rows:
        tracker.apply(row)
    found = kpis(tracker.topology, tracker.state)
    value, low, high = found["inventory"]
    assert low != value != high, "only one of the two stocks has been read"
    assert found["backlog"][0] == 0
    assert found["backlog"][2] != 0
    state = tracker.state
    for stock in state.stocks:
        stock.measured_t |= {"on_hand": 1, "backorder": 1}
    assert len(set(kpis(tracker.topology, state)["inventory"])) == 1
    assert kpis(tracker.topology, state)["backlog"] == [0.0, 0.0, 0.0]


def test_every_tag_is_told_of_heard_or_not_with_what_it_failed(tmp_path: Path) -> None:
    plant = line(tmp_path)
    w = Writer(plant)
    w.data(0, b1__level=2, fa__on_hand=5)
    w.data(30, b1__level=9)
    tracker = Tracker(plant)
    for row in w.rows:
        tracker.apply(row)
    tracker.state.t += 60_000
    found = {row["tag"]: row for row in state_view(tracker.topology, tracker.state, stale="")["sensors"]}
    assert list(found) == [sensor.tag for sensor in plant.sensors]
    level, stock, silent = found["b1/level"], found["fa/on_hand"], found["wash/state"]
    assert (level["place"], level["property"], level["quality"], level["flag"]) == ("mill", "level", 3, "range")
    assert level["failed"] == {"range": 1}
    assert level["n"] == 2
    assert (stock["place"], stock["quality"], stock["value"], stock["failed"]) == ("fa", 0, 5.0, {})
    assert stock["age_s"] == round((tracker.state.t - T0) / 1000, 1)
    assert (silent["heard"], silent["quality"], silent["age_s"], silent["n"]) == (False, None, None, 0)
