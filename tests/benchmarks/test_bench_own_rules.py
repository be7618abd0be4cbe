"""What rules of one's own cost: the page says what the result file does, and the command measures it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import _record, own_rules


def test_the_page_has_the_table_of_the_result_file() -> None:
    kept = json.loads((_record.RESULTS / "own_rules.json").read_text(encoding="utf-8"))
    assert own_rules.table(kept["detail"]) in own_rules.PAGE.read_text(encoding="utf-8")


def test_a_quick_run_measures_every_side_and_keeps_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(_record, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(own_rules, "DAYS", dict.fromkeys(own_rules.DAYS, 0.05) | {"kernel": 5})
    page = tmp_path / "page.md"
    page.write_text("<!-- cost -->\n<!-- /cost -->\n", encoding="utf-8")
    assert own_rules.main(["--json", "--pairs", "1", "--write", str(page)]) == 0
    found = json.loads(capsys.readouterr().out)
    rates = found["events_per_cpu_second"]
    assert set(rates) == {"kernel", own_rules.REFERENCE, "empty class", "example"}
    assert rates["kernel"] > 20 * rates["example"] > 0
    assert own_rules.table(found) in page.read_text(encoding="utf-8")
    assert not (tmp_path / "results").exists()
