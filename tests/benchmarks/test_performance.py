"""The published table is the one that the result files give."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.performance import PAGE, main, results, table


def test_the_page_shows_the_result_files() -> None:
    assert table(results()) in PAGE.read_text(encoding="utf-8")


def test_a_figure_says_what_made_it(tmp_path: Path) -> None:
    figure = {"row": 3, "what": "this", "peer": "that", "ratio": 12.345, "target": ">= 10x", "n": 5, "spread": [11, 13]}
    missing = figure | {"row": 2, "ratio": None, "spread": None}
    one = {
        "command": "plantwin bench x",
        "date": "d",
        "cpu": "c",
        "cores": 2,
        "load_1min": 1.0,
        "figures": [figure, missing],
    }
    (tmp_path / "x.json").write_text(json.dumps(one), encoding="utf-8")
    lines = table(results(tmp_path)).splitlines()[2:]
    assert lines[0].startswith("| 2 | this | that | not measured | >= 10x | `plantwin bench x`; d")
    assert "12.3 (11 to 13, n = 5)" in lines[1]


def test_the_command_replaces_the_table(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- figures -->old<!-- /figures -->\n", encoding="utf-8")
    assert main(["--write", str(page)]) == 0
    assert table(results()) in page.read_text(encoding="utf-8")
