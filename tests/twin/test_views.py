"""The frame tells what was read from what was reckoned."""

from __future__ import annotations

from pathlib import Path

from tests.twin.journals import Writer, line
from twin.tracker import Tracker
from twin.views import kpis


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
