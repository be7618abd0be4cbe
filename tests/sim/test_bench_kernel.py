"""What the benchmark of the kernel stands on: the peer simulates the same line, and ratios are taken pair by pair."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import _record
from benchmarks._record import Figure
from benchmarks._simpy_line10 import Line


def test_the_plain_simpy_model_is_line10() -> None:
    made, events = [], []
    for seed in range(12):
        line = Line(seed)
        line.env.run(until=500)
        finished, before = line.finished, line.events
        line.env.run(until=3500)
        made.append((line.finished - finished) / 3000)
        events.append((line.events - before) / (line.finished - finished))
    error = float(np.std(made, ddof=1) / np.sqrt(len(made)))
    assert error < 0.02
    assert abs(float(np.mean(made)) - 0.641) <= 3 * error + 0.0005
    # ten ends of work a part; one failure and one repair each hundred of work; failures that met a machine at rest
    assert 10.2 < float(np.mean(events)) < 10.6


def test_ratios_are_taken_pair_by_pair() -> None:
    middle, spread = _record.ratios([10.0, 30.0, 60.0], [1.0, 2.0, 3.0])
    assert (middle, spread) == (15.0, (10.0, 20.0))


def test_sides_take_turns() -> None:
    calls: list[str] = []

    def side(name: str) -> float:
        calls.append(name)
        return 1.0

    _record.interleave(lambda: side("ours"), lambda: side("theirs"), 3)
    assert calls == ["theirs", "ours"] * 3


def test_a_result_file_names_the_machine_and_the_versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_record, "RESULTS", tmp_path / "results")
    figures = [Figure(1, "a", "b", 2.0, ">= 1x", 5, (1.5, 2.5)), Figure(2, "a", "c", None, ">= 1x", 0, None)]
    path = _record.keep("group", figures, _record.versions("numpy", "no-such-distribution"), {"rates": {}})
    kept = json.loads(path.read_text())
    assert kept["figures"][0]["ratio"] == 2.0
    assert kept["figures"][1]["ratio"] is None
    assert kept["versions"]["no-such-distribution"] == "not installed"
    assert kept["cpu"]
    assert "not measured" in _record.show(figures)
