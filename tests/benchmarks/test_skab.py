"""The scoring of the test-bed benchmark, by hand; the page and its result file; one real file where it is present."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks._record import RESULTS
from benchmarks._skab import Table, f1, judge, rate_interval, read, summary, twin_calls
from benchmarks.real_data import data_folder
from benchmarks.skab import files_table, main, stored, stored_table, table
from hardware.replay_table import tag_name
from ingest.wire import Reading

PAGE = Path(__file__).parents[2] / "docs" / "real-data.md"
SKAB = data_folder().parent / "skab" / "valve1"


def made(anomaly: tuple[int, int] | None, rows: int = 1000) -> Table:
    """A file of one signal; `anomaly`: first row and the row after the last."""
    label = np.zeros(rows, dtype=bool)
    if anomaly:
        label[slice(*anomaly)] = True
    return Table("made", ("flow",), 1000 * np.arange(rows), np.zeros((rows, 1)), label)


def test_notices_against_labels_by_hand() -> None:
    one = made((600, 800))
    found = judge(one, [(450_000, "flow"), (630_000, "flow"), (700_000, ""), (830_000, ""), (900_000, "")])
    assert found.delay == 30.0
    assert found.false == 2  # before the change, and more than a minute after its end
    assert found.returned
    assert found.quiet_h * 3600 == pytest.approx(200 + 200 - 60, abs=2)
    missed = judge(one, [])
    assert missed.delay is None
    quiet = judge(made(None), [(500_000, "flow")])
    assert (quiet.has, quiet.false) == (False, 1)
    assert quiet.quiet_h * 3600 == pytest.approx(600, abs=2)
    told = summary([found, missed, quiet])
    assert (told["files"], told["detected"], told["within_60_s"], told["false"]) == (2, 1, 1, 3)


def test_rows_and_rates_by_hand() -> None:
    one = made((600, 800))
    found = judge(one, [(650_000, "flow"), (800_000, "")])  # flagged: rows 650 to 800
    rows = f1([one], [found])
    assert rows["mar"] == pytest.approx(50 / 200)
    assert rows["far"] == pytest.approx(1 / 400)
    assert rows["f1"] == pytest.approx(2 * 150 / (2 * 150 + 1 + 50))
    assert list(rate_interval(0, 2.0)) == pytest.approx([0.0, 1.844], abs=0.001)  # -ln 0.025 / 2
    assert list(rate_interval(3, 1.0)) == pytest.approx([0.619, 8.767], abs=0.001)


def test_what_the_journal_lacks_or_has_twice_is_counted() -> None:
    one = Table(
        "made", ("Flow Rate",), np.array([0, 1000, 2000]), np.array([[1.0], [2.0], [3.0]]), np.zeros(3, dtype=bool)
    )
    there = [
        Reading(t, "flow-rate", v, 0, "s", "e", 1, 1) for t, v in ((0, 1.0), (1000, 2.0), (1000, 2.0), (1000, 9.0))
    ]
    found = stored(one, there)
    assert (found["once"], found["more_often"], found["lost"], found["foreign"]) == (1, 1, 1, 1)


def test_the_page_is_the_result_file() -> None:
    kept = json.loads((RESULTS / "skab.json").read_text())["detail"]
    page = PAGE.read_text()
    for text in (table(kept), files_table(kept), stored_table(kept)):
        assert text in page
    for one in kept["stored"].values():
        assert one["once"] == one["readings"] == 8 * one["rows"]
        assert one["more_often"] == one["lost"] == one["foreign"] == 0


def test_kept_figures_are_printed_without_the_data(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--kept"]) == 0
    assert "twin, the other files" in capsys.readouterr().out


@pytest.mark.skipif(not (SKAB / "8.csv").exists(), reason="PLANTWIN_DATA has no skab/valve1/8.csv")
def test_a_valve_that_closes_is_noticed_within_a_minute() -> None:
    one = read(SKAB / "8.csv")
    assert one.values.shape == (1144, 8)
    found = judge(one, twin_calls(one)[0])
    assert found.false == 0
    assert found.delay is not None
    assert found.delay <= 60
    assert "Flow" in found.moved
    assert tag_name(found.moved) == "volume-flow-raterms"
