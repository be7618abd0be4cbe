"""The page of published figures with its plots, from the result files.

`plantwin bench performance --write docs/performance.md` writes the table and the list of plots into the page, and the
plots beside it under `img/`.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import _plot
from benchmarks._record import RESULTS, in_order
from benchmarks.real_data import replace_between

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
PREFIX = "performance-"
"""Plots under docs/img/ that begin so belong to the page."""
BOARDS = {"make_to_stock": ("Q3", "<= 0.25 %, worst <= 1 %"), "lost_sales": ("Q4", "<= 0.24 %")}
"""Leader boards that answer a row, and what is to be reached."""
Result = dict[str, Any]
Figure = dict[str, Any]


def results(folder: Path = RESULTS) -> list[Result]:
    """All result files, in order of name; `group` is the file's name. Leader boards of plants with a row count."""
    found = []
    for path in sorted(folder.glob("*.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        if content.get("plant") in BOARDS and content.get("optimum"):
            content |= of_board(content)
        if "figures" in content:
            found.append(content | {"group": path.stem})
    return found


def of_board(content: Result) -> Result:
    """A leader board's agents as a figure: per cent above the optimum, the training seed as the unit."""
    least = content["optimum"]["cost"]
    gaps = [
        round(100.0 * (line["cost"] / least - 1.0), 6) + 0.0 for line in content["lines"] if line["kind"] == "agent"
    ]
    fixed = next(line["cost"] for line in content["lines"] if line["name"] == "best fixed setpoints")
    row, target = BOARDS[content["plant"]]
    figure = {
        "row": row,
        "what": f"% above the optimum: {content['plant']}, {content['settings']['budget']} a seed, final policies",
        "peer": f"best fixed setpoints: {100.0 * (fixed / least - 1.0):.2f} %",
        "ratio": statistics.median(gaps),
        "target": target,
        "n": len(gaps),
        "spread": [min(gaps), max(gaps)],
    }
    machine, cores, _ = content["machine"].split(", ")
    return {"figures": [figure], "cpu": machine, "cores": cores.split()[0], "load_1min": "not recorded"}


def _ratio(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.3g}"


def _ordered(found: Sequence[Result]) -> list[tuple[Figure, Result]]:
    rows = [(figure, result) for result in found for figure in result["figures"]]
    return sorted(rows, key=lambda pair: in_order(pair[0]["row"]))


def table(found: Sequence[Result]) -> str:
    """One line a figure, by row number, each with the command that makes it."""
    lines = [
        "| row | what | against | ratio (least to greatest of n) | reach | command, machine |",
        "|---|---|---|---|---|---|",
    ]
    for figure, result in _ordered(found):
        spread = figure["spread"]
        span = f" ({_ratio(spread[0])} to {_ratio(spread[1])}, n = {figure['n']})" if spread else ""
        where = f"{result['device']} beside a CPU {result['cpu']}" if "device" in result else result["cpu"]
        machine = f"{result['date']}, {where}, {result['cores']} cores, load {result['load_1min']}"
        lines.append(
            f"| {figure['row']} | {figure['what']} | {figure['peer']} | {_ratio(figure['ratio'])}{span} | "
            f"{figure['target']} | `{result['command']}`; {machine} |"
        )
    return "\n".join(lines)


def share(figure: Figure) -> tuple[float, tuple[float, float]] | None:
    """How much of its reach a figure has, with least and greatest; None where it was not measured or has no ratio to
    reach (its reach is not of the form `>= 60x` or `<= 2x`).
    """
    target = re.fullmatch(r"([<>])=? *([0-9.]+)x", figure["target"])
    if target is None or figure["ratio"] is None or not figure["spread"]:
        return None
    aim = float(target[2])
    values = [figure["ratio"], *figure["spread"]]
    parts = [value / aim if target[1] == ">" else aim / value for value in values]
    return parts[0], (min(parts[1:]), max(parts[1:]))


def plots(found: Sequence[Result]) -> dict[str, tuple[str, str]]:
    """Every plot by file name: what it shows, and its SVG."""
    made: dict[str, tuple[str, str]] = {}
    rows = []
    for figure, _ in _ordered(found):
        part = share(figure)
        if part is not None:
            rows.append((f"{figure['row']}  {figure['what']}", *part))
    if rows:
        made[f"{PREFIX}reach.svg"] = ("Each figure as a share of what is to be reached", _plot.reached(rows))
    for result in found:
        for number, one in enumerate(result.get("detail", {}).get("curves", []), 1):
            device = f", {result['device']}" if "device" in result else ""
            words = f"{one['what']} against {one['x']} ({result['date']}{device}, `{result['command']}`)"
            made[f"{PREFIX}{result['group']}-{number}.svg"] = (words, _plot.curve(one))
    return made


def pictures(made: dict[str, tuple[str, str]]) -> str:
    """The plots as the page shows them."""
    return "\n\n".join(f"{words}\n\n![{words.partition(' (')[0]}](img/{name})" for name, (words, _) in made.items())


def write(page: Path, found: Sequence[Result]) -> None:
    """Put table and plots into a page, and the plots' files beside it; plots that no result file makes are removed."""
    made = plots(found)
    text = replace_between(page.read_text(encoding="utf-8"), "figures", table(found))
    page.write_text(replace_between(text, "plots", pictures(made)), encoding="utf-8")
    folder = page.parent / "img"
    folder.mkdir(exist_ok=True)
    for path in folder.glob(f"{PREFIX}*.svg"):
        if path.name not in made:
            path.unlink()
    for name, (_, svg) in made.items():
        (folder / name).write_text(svg, encoding="utf-8")


def main(argv: Sequence[str]) -> int:
    """Entry point of `plantwin bench performance`."""
    parser = argparse.ArgumentParser(prog="plantwin bench performance", description="The table of figures.")
    parser.add_argument("--json", action="store_true", help="all figures, machine-readable")
    parser.add_argument("--write", type=Path, help="page whose table and plots are replaced")
    options = parser.parse_args(argv)
    found = results()
    if options.write:
        write(options.write, found)
    print(json.dumps([f for r in found for f in r["figures"]]) if options.json else table(found))
    return 0
