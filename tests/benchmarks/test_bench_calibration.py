"""The benchmark of promises: its closed forms, and that its figures are those of the page."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.calibration import measure, sojourn, table

ROOT = Path(__file__).resolve().parents[2]


def test_the_mean_time_in_system_is_that_of_the_oracle() -> None:
    """M/M/1 at a load of 0.8: five times the service time."""
    assert sojourn(1.0, 0.8) == pytest.approx(5.0)


def test_averaging_breaks_fewer_promises() -> None:
    found = measure(150)
    known, averaged = found["mean"]
    assert 0.25 < known < 0.5
    assert averaged < known - 0.05


def test_the_page_shows_what_was_measured() -> None:
    kept = json.loads((ROOT / "benchmarks" / "results" / "calibration.json").read_text())
    assert table(kept["detail"]) in (ROOT / "docs" / "twin.md").read_text()
