"""The benchmark of the history at a tiny size: its sides agree, and its figures are of what it says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import _record, history


def test_all_sides_give_the_same_means_and_a_difference_is_found(tmp_path: Path) -> None:
    figures, detail = history.measure(tmp_path, signals=3, days=2, hz=0.01, runs=2)
    assert detail["readings"] == 5184
    assert [(figure.row, figure.target) for figure in figures] == [(17, "<= 0.05x"), (17, "<= 1x"), (17, "<= 1x")]
    assert all(figure.ratio and figure.ratio > 0 and figure.n == 2 for figure in figures)
    with pytest.raises(AssertionError, match="sqlite"):
        history.same({"ours": {("a", 1): 2.0}, "sqlite": {("a", 1): 2.1}})
    with pytest.raises(AssertionError):
        history.same({"ours": {("a", 1): 2.0}, "duckdb": {}})


def test_the_command_keeps_its_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(_record, "RESULTS", tmp_path / "results")
    sizes = ["--signals", "2", "--days", "1", "--hz", "0.01", "--runs", "1", "--folder", str(tmp_path)]
    assert history.main(["--json", *sizes]) == 0
    assert [figure["row"] for figure in json.loads(capsys.readouterr().out)] == [17, 17, 17]
    kept = json.loads((tmp_path / "results" / "history.json").read_text(encoding="utf-8"))
    assert kept["command"] == "plantwin bench history"
    assert set(kept["detail"]["cpu_s"]) == {"ours", "sqlite", "duckdb", "ours, closed files without rollups"}
