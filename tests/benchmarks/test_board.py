"""The leader board says what was measured, and the page what is stored."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agents.control.controllers import controller
from benchmarks import board
from benchmarks._board_page import page, section

DOCS = Path(__file__).resolve().parents[2] / "docs" / "leaderboard.md"
SMALL = "lanes: 16\nrollout: 8\nminibatch: 64\nepochs: 1\nhidden: [8]\nselect: 2\nchecks: 1\n"


def test_costs_are_exact_where_they_can_be() -> None:
    exact = board.Board("lost_sales", 64)
    cost, half, _ = exact.price(controller("level=16", exact.compiled))
    assert (round(cost, 4), half, exact.unit) == (4.6386, None, "EUR/d")
    told, sure = exact.simulated(controller("level=16", exact.compiled))
    assert abs(told - cost) < 3.0 * sure, "the simulated cost is in the same unit"
    other = board.Board("line3", 64)
    assert other.best is None
    assert "not of a kind that can be solved exactly" in other.why
    cost, half, _ = other.price(controller("cap=6", other.compiled))
    assert half is not None
    assert 0.0 < half < cost


def test_a_board_is_measured_stored_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings, target = tmp_path / "s.yaml", tmp_path / "page.md"
    settings.write_text(SMALL)
    run = ["lost_sales", "--run", "--seeds", "3", "--steps", "128", "--hours", "1", "--config", str(settings)]
    run += ["--results", str(tmp_path)]
    assert board.main([*run, "--also", "level 14=level=14", "--out", str(tmp_path / "kept")]) == 0
    shown = capsys.readouterr().out
    stored = json.loads((tmp_path / "board-lost_sales.json").read_text())
    assert [line["name"] for line in stored["lines"]] == [
        "as in the plant file", "best fixed setpoints", "tuned rule: fixed", "tuned rule: order",
        "agent, seed 0", "agent, seed 1", "agent, seed 2", "level 14",
    ]  # fmt: skip
    assert all(line["cost"] >= stored["optimum"]["cost"] - 1e-6 for line in stored["lines"])
    assert {line["decisions"] for line in stored["lines"] if line["kind"] == "agent"} == {128}
    assert board.main(["--page", str(target), "--results", str(tmp_path)]) == 0
    text = target.read_text()
    assert text == page([stored])
    for part in (shown.strip(), text):
        assert "| **optimum** | 4.3953 | 0.00 % |" in part
        assert "| best fixed setpoints | 4.6386 | 5.54 % |" in part
        assert "plantwin bench board lost_sales --run --seeds 3" in part
    assert board.main([*run, "--trained", str(tmp_path / "kept" / "lost_sales")]) == 0
    again = json.loads((tmp_path / "board-lost_sales.json").read_text())
    assert [line for line in again["lines"] if line["kind"] == "agent"] == [
        line for line in stored["lines"] if line["kind"] == "agent"
    ], "the same agents, priced again"
    with pytest.raises(SystemExit):
        board.main([*run, "--trained", str(tmp_path)])
    assert "folders seed-0" in capsys.readouterr().err


def test_the_median_and_the_worst_seed_count() -> None:
    def line(name: str, kind: str, cost: float, half: float | None = None) -> dict[str, object]:
        return {"name": name, "kind": kind, "cost": cost, "half": half, "wall_s": 10.0 * cost, "hours": 0.0,
                "decisions": 7, "about": ""}  # fmt: skip

    costs = (3.0, 2.2, 2.5, 2.1, 2.9)
    found = {
        "plant": "x", "unit": "EUR/h", "pairs": 10, "command": "c", "date": "d", "machine": "m", "not_exact": "big",
        "optimum": {"cost": 2.0, "low": 2.0, "high": 2.0, "wall_s": 1.0},
        "lines": [line("a rule", "rule", 2.4, 0.1), *(line(f"agent {k}", "agent", c) for k, c in enumerate(costs))],
    }  # fmt: skip
    lines = section(found)
    table = [text for text in lines if text.startswith("|")][2:]
    assert [text.split("|")[1].strip() for text in table] == [
        "**optimum**", "a rule", "agent, median of 5 seeds", "agent, worst of 5 seeds",
    ]  # fmt: skip
    assert table[1].startswith("| a rule | 2.4000 ± 0.1000 | 20.00 % |")
    assert table[2] == "| agent, median of 5 seeds | 2.5000 | 25.00 % |  | 7 | 25 s |"
    assert table[3].startswith("| agent, worst of 5 seeds | 3.0000 | 50.00 % |")
    assert "3.0000, 2.2000, 2.5000, 2.1000, 2.9000; mean 2.5400 ± 0.5013 (95 %" in "\n".join(lines)
    # 2.7764 (t, 4 degrees) * sqrt(0.652 / 4) / sqrt(5)
    simulated = section({**found, "optimum": None})
    assert "No exact optimum: big." in "\n".join(simulated)


def test_the_page_is_what_is_stored() -> None:
    stored = [json.loads(path.read_text()) for path in sorted(board.RESULTS.glob("board-*.json"))]
    assert DOCS.exists() == bool(stored)
    if stored:
        assert DOCS.read_text() == page(stored), "plantwin bench board --page docs/leaderboard.md"


def test_what_the_readme_says_of_small_plants_is_what_was_measured() -> None:
    found = json.loads((board.RESULTS / "board-make_to_stock.json").read_text())
    least = found["optimum"]["cost"]
    gaps = sorted(100 * (line["cost"] / least - 1) for line in found["lines"] if line["kind"] == "agent")
    fixed = next(line["cost"] for line in found["lines"] if line["name"] == "best fixed setpoints")
    text = (DOCS.parents[1] / "README.md").read_text()
    assert len(gaps) == 5
    assert f"median {gaps[2]:.2f} % above it, worst {gaps[-1]:.2f} % (the best two-number rule: " in text
    assert f"rule: {100 * (fixed / least - 1):.1f} %)" in text
