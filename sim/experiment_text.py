"""The report of an experiment as tables for people."""

from __future__ import annotations

import math
from typing import Any

from rich.console import Console
from rich.table import Table

from sim.scenario import short_names


def show(report: dict[str, Any], console: Console | None = None) -> None:
    """Print the report."""
    console = console or Console()
    how = (
        f"{report['replications']} replications" if report["method"] == "replications" else "one long run (batch means)"
    )
    console.print(
        f"[bold]{report['plant']}[/] on {report['engine']}: {len(report['scenarios'])} scenarios, {how}, "
        f"until {report['until_s'] / 3600:g} h, warm-up {report['warmup_s'] / 3600:g} h, seed {report['seed']}",
        highlight=False,
    )
    _warmup(report["warmup"], console)
    _batches(report["batches"], console)
    for figure in report["scenarios"][0]["kpis"]:
        _figure(report, figure, console)
    for table in report["sensitivity"]:
        _sensitivity(table, console)
    if report["selection"]:
        _selection(report["selection"], console)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _mean(interval: dict[str, Any]) -> str:
    """Mean and half of the interval, as many digits as it says something."""
    if interval["mean"] is None:
        return ""
    if interval["lo"] is None:
        return f"{interval['mean']:.4g}"
    half = (interval["hi"] - interval["lo"]) / 2
    if half <= 0:
        return f"{interval['mean']:.4g} ± 0"
    digits = min(9, max(0, 1 - math.floor(math.log10(half))))
    return f"{interval['mean']:.{digits}f} ± {half:.{digits}f}"


def _warmup(warmup: dict[str, Any], console: Console) -> None:
    if warmup["asked"] != "auto":
        return
    worst = max(warmup["found"], key=lambda f: f["seconds"])
    console.print(
        f"warm-up by MSER-5: {warmup['seconds'] / 3600:.4g} h, as {worst['figure']} of {worst['scenario']} asks",
        highlight=False,
    )
    short = sorted({f"{f['figure']} of {f['scenario']}" for f in warmup["found"] if not f["enough"]})
    if short:
        console.print(
            f"[yellow]too short to tell[/] where the warm-up of {', '.join(short[:4])} ends: half of the run is "
            "forgotten; give a longer --until",
            highlight=False,
        )


def _batches(batches: list[dict[str, Any]], console: Console) -> None:
    short = sorted({b["figure"] for b in batches if not b["enough"]})
    if short:
        console.print(
            f"[yellow]batches still correlated[/] for {', '.join(short)}: the intervals are too narrow; "
            "give a longer --until or use replications",
            highlight=False,
        )


def _figure(report: dict[str, Any], figure: str, console: Console) -> None:
    unit = report["scenarios"][0]["kpis"][figure]["unit"]
    level = f"{100 * report['comparison_level']:.4g} %"
    table = Table(
        "scenario", "mean", f"less {report['baseline']}, {level}", "correlation", "variance ratio",
        title=f"{figure} [{unit}]", title_justify="left",
    )  # fmt: skip
    for scenario in report["scenarios"]:
        own, against = scenario["kpis"][figure], scenario["against"].get(figure)
        cells = [scenario["name"], _mean(own)]
        if against is not None:
            star = " *" if against["significant"] else ""
            cells += [_mean(against) + star, _number(against["correlation"]), _number(against["variance_ratio"])]
        table.add_row(*cells)
    console.print(table)


def _sensitivity(table: dict[str, Any], console: Console) -> None:
    if table["note"]:
        console.print(f"what moves {table['figure']}: {table['note']}", highlight=False)
        return
    fit = "" if table["r2"] is None else f" (a plane explains {100 * table['r2']:.1f} % of the spread)"
    shown = Table(
        "factor", "from", "to", "effect", "t", "share", "elasticity",
        title=f"what moves {table['figure']}{fit}", title_justify="left",
    )  # fmt: skip
    names = short_names([e["path"] for e in table["effects"]])
    for e in table["effects"]:
        elasticity = _number(e["elasticity"]["mean"]) if e["elasticity"] else ""
        cells = [_mean(e["effect"]), _number(e["t"]), _number(e["share"]), elasticity]
        shown.add_row(names[e["path"]], e["low"], e["high"], *cells)
    console.print(shown)


def _selection(selection: dict[str, Any], console: Console) -> None:
    used = sum(selection["replications"].values())
    if selection["decided"]:
        said = f"with probability {selection['level']:g} no scenario is better by {selection['delta']:g} or more"
    else:
        said = f"not decided against {', '.join(selection['rivals'])}: give a larger --most or --delta"
    console.print(
        f"best to {selection['goal']} {selection['figure']}: [bold]{selection['best']}[/] ({said}; "
        f"{used} replications)",
        highlight=False,
    )
