"""The published table is the one that the result files give."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as ET

from benchmarks import _plot
from benchmarks.performance import PAGE, PREFIX, main, of_board, pictures, plots, results, share, table, write


def test_the_page_shows_the_result_files() -> None:
    assert table(results()) in PAGE.read_text(encoding="utf-8")


def test_the_plots_are_those_of_the_result_files() -> None:
    made = plots(results())
    assert pictures(made) in PAGE.read_text(encoding="utf-8")
    kept = {path.name: path.read_text(encoding="utf-8") for path in (PAGE.parent / "img").glob(f"{PREFIX}*.svg")}
    assert kept == {name: svg for name, (_, svg) in made.items()}, (
        "plantwin bench performance --write docs/performance.md"
    )


def test_a_share_of_one_is_what_is_to_be_reached() -> None:
    figure = {"ratio": 30.0, "spread": [20.0, 60.0], "target": ">= 60x"}
    assert share(figure) == (0.5, (1 / 3, 1.0))
    assert share(figure | {"target": "<= 15x"}) == (0.5, (0.25, 0.75))
    assert share(figure | {"target": "<= 5 s on 2 cores"}) is None
    assert share(figure | {"ratio": None, "spread": None}) is None


def test_a_curve_stands_where_its_numbers_say() -> None:
    one = {"what": "cost <b>", "x": "stations", "y": "ns", "points": [[1, 10.0], [10, 100.0], [100, 1000.0]]}
    root = ET.fromstring(_plot.curve(one))
    circles = [(float(c.attrib["cx"]), float(c.attrib["cy"])) for c in root.iter() if c.tag.endswith("circle")]
    (x1, y1), (x2, y2), (x3, y3) = circles
    assert x1 == _plot.LEFT
    assert y3 == _plot.TOP
    assert abs((x1 + x3) / 2 - x2) < 0.2, "logarithmic: a decade is a decade"
    assert abs((y1 + y3) / 2 - y2) < 0.2
    assert y1 > y2 > y3, "more is higher"
    assert "cost <b>" in [text.text for text in root.iter() if text.tag.endswith("text")]


def test_curves_of_a_result_file_become_plots_and_old_plots_go(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- figures --><!-- /figures -->\n<!-- plots -->\n<!-- /plots -->\n", encoding="utf-8")
    (tmp_path / "img").mkdir()
    (tmp_path / "img" / f"{PREFIX}gone-1.svg").write_text("old", encoding="utf-8")
    (tmp_path / "img" / "other.svg").write_text("kept", encoding="utf-8")
    curves = [{"what": "events", "x": "replicas", "y": "events a second", "points": [[1024, 3e8], [4096, 9e8]]}]
    device = {
        "group": "cuda-x",
        "device": "X",
        "date": "d",
        "command": "c",
        "figures": [],
        "detail": {"curves": curves},
    }
    write(page, [device])
    assert {path.name for path in (tmp_path / "img").iterdir()} == {f"{PREFIX}cuda-x-1.svg", "other.svg"}
    assert f"![events against replicas](img/{PREFIX}cuda-x-1.svg)" in page.read_text(encoding="utf-8")
    assert "events against replicas (d, X, `c`)" in page.read_text(encoding="utf-8")


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
    page.write_text("a\n<!-- figures -->old<!-- /figures -->\n<!-- plots -->old<!-- /plots -->\n", encoding="utf-8")
    assert main(["--write", str(page)]) == 0
    assert table(results()) in page.read_text(encoding="utf-8")


def test_a_leader_board_is_a_figure_of_its_seeds() -> None:
    lines = [{"kind": "agent", "cost": c, "name": "seed"} for c in (10.2, 10.0, 10.1)]
    board = {
        "plant": "lost_sales", "optimum": {"cost": 10.0}, "settings": {"budget": "60s"},
        "machine": "a CPU, 4 CPUs, 1 thread(s)",
        "lines": [*lines, {"kind": "fixed", "cost": 11.0, "name": "best fixed setpoints"}],
    }  # fmt: skip
    found = of_board(board)
    (figure,) = found["figures"]
    assert (figure["row"], figure["ratio"], figure["n"], figure["spread"]) == ("Q4", 1.0, 3, [0.0, 2.0])
    assert figure["peer"] == "best fixed setpoints: 10.00 %"
    assert (found["cpu"], found["cores"]) == ("a CPU", "4")
