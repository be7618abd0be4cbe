"""The page of published figures, from the result files: `plantwin bench performance --write docs/performance.md`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks._record import RESULTS
from benchmarks.real_data import replace_between

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
Result = dict[str, Any]


def results(folder: Path = RESULTS) -> list[Result]:
    """All result files, in order of name."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]


def _ratio(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.3g}"


def table(found: Sequence[Result]) -> str:
    """One line a figure, by row number, each with the command that makes it."""
    lines = [
        "| row | what | against | ratio (least to greatest of n) | reach | command, machine |",
        "|---|---|---|---|---|---|",
    ]
    rows = [(figure, result) for result in found for figure in result["figures"]]
    for figure, result in sorted(rows, key=lambda pair: int(pair[0]["row"])):
        spread = figure["spread"]
        span = f" ({_ratio(spread[0])} to {_ratio(spread[1])}, n = {figure['n']})" if spread else ""
        machine = f"{result['date']}, {result['cpu']}, {result['cores']} cores, load {result['load_1min']}"
        lines.append(
            f"| {figure['row']} | {figure['what']} | {figure['peer']} | {_ratio(figure['ratio'])}{span} | "
            f"{figure['target']} | `{result['command']}`; {machine} |"
        )
    return "\n".join(lines)


def main(argv: Sequence[str]) -> int:
    """Entry point of `plantwin bench performance`."""
    parser = argparse.ArgumentParser(prog="plantwin bench performance", description="The table of figures.")
    parser.add_argument("--json", action="store_true", help="all figures, machine-readable")
    parser.add_argument("--write", type=Path, help="page whose table is replaced")
    options = parser.parse_args(argv)
    found = results()
    if options.write:
        page = options.write.read_text(encoding="utf-8")
        options.write.write_text(replace_between(page, "figures", table(found)), encoding="utf-8")
    print(json.dumps([f for r in found for f in r["figures"]]) if options.json else table(found))
    return 0
