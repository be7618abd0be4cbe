"""Pictures of an experiment: differences to the baseline, tornado of the effects, the warm-up's series.

A picture is a small description that two libraries can draw: plotly makes a page for a browser (`.html`), matplotlib an
image (`.png`, `.svg`). Both belong to the extra `[experiment]`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

KINDS = ("html", "png", "svg")


@dataclass(frozen=True, slots=True)
class Bars:
    """Horizontal bars with intervals, the first on top: (label, mean, lo, hi)."""

    title: str
    axis: str
    rows: tuple[tuple[str, float, float, float], ...]


@dataclass(frozen=True, slots=True)
class Line:
    """A series over time (hours) with the moment until which it is forgotten."""

    title: str
    axis: str
    hours: tuple[float, ...]
    values: tuple[float, ...]
    cut: float


def pictures(report: dict[str, Any]) -> Iterator[tuple[str, Bars | Line]]:
    """(file name without its end, picture) of everything in the report that can be drawn."""
    for figure in report["scenarios"][0]["kpis"]:
        rows = []
        for scenario in report["scenarios"]:
            against = scenario["against"].get(figure)
            if against is not None and against["lo"] is not None:
                d = against
                rows.append((scenario["name"], d["mean"], d["lo"], d["hi"]))
        if rows:
            unit = report["scenarios"][0]["kpis"][figure]["unit"]
            axis = f"{figure} less that of {report['baseline']} [{unit}]"
            yield f"difference-{figure}", Bars(f"{report['plant']}: {figure}", axis, tuple(rows))
    for table in report["sensitivity"]:
        rows = [
            (f"{e['path']}: {e['low']} to {e['high']}", e["effect"]["mean"], e["effect"]["lo"], e["effect"]["hi"])
            for e in table["effects"]
        ]
        if rows:
            title = f"{report['plant']}: what moves {table['figure']}"
            yield f"tornado-{table['figure']}", Bars(title, f"effect on {table['figure']}", tuple(rows))
    series = report["warmup"]["series"]
    if series:
        hours = tuple((n + 1) * series["every_s"] / 3600 for n in range(len(series["values"])))
        title = f"{report['plant']}: warm-up by MSER-5 on {series['figure']} of {series['scenario']}"
        cut = report["warmup"]["seconds"] / 3600
        yield "warm-up", Line(title, series["figure"], hours, tuple(series["values"]), cut)


def require(kinds: tuple[str, ...]) -> None:
    """Import what the kinds need, to fail before an hour's computing. Raises `ModuleNotFoundError`, `ValueError`."""
    for kind in kinds:
        if kind not in KINDS:
            raise ValueError(f"plots: expected {', '.join(KINDS)}, found '{kind}'; choose among them")
        if kind == "html":
            pass
        else:
            import matplotlib.figure  # noqa: F401


def draw(report: dict[str, Any], folder: Path, kinds: tuple[str, ...]) -> list[Path]:
    """Draw every picture in every kind; the files, in order."""
    files = []
    for name, picture in pictures(report):
        for kind in kinds:
            file = folder / f"{name}.{kind}"
            if kind == "html":
                _plotly(picture, file)
            else:
                _matplotlib(picture, file)
            files.append(file)
    return files


def _plotly(picture: Bars | Line, file: Path) -> None:
    import plotly.graph_objects as go

    if isinstance(picture, Bars):
        labels, means, lows, highs = (list(column) for column in zip(*picture.rows, strict=True))
        spread = {
            "type": "data", "symmetric": False,
            "array": [hi - m for hi, m in zip(highs, means, strict=True)],
            "arrayminus": [m - lo for lo, m in zip(lows, means, strict=True)],
        }  # fmt: skip
        figure = go.Figure(go.Bar(x=means, y=labels, orientation="h", error_x=spread))
        figure.update_yaxes(autorange="reversed")
        figure.update_xaxes(title=picture.axis)
    else:
        figure = go.Figure(go.Scatter(x=list(picture.hours), y=list(picture.values), mode="lines"))
        figure.add_vline(x=picture.cut, line_dash="dash")
        figure.update_layout(xaxis_title="time [h]", yaxis_title=picture.axis)
    figure.update_layout(title=picture.title, template="plotly_white")
    # the library lies in the page, so it opens without a network
    file.write_text(figure.to_html(include_plotlyjs=True, div_id="picture"), encoding="utf-8")


def _matplotlib(picture: Bars | Line, file: Path) -> None:
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    height = max(2.4, 0.4 * len(picture.rows) + 1.2) if isinstance(picture, Bars) else 3.6
    with rc_context({"svg.hashsalt": "plantwin"}):
        figure = Figure(figsize=(8, height), layout="constrained")
        axes = figure.add_subplot()
        if isinstance(picture, Bars):
            labels, means, lows, highs = (list(column) for column in zip(*picture.rows, strict=True))
            less = [m - lo for lo, m in zip(lows, means, strict=True)]
            more = [hi - m for hi, m in zip(highs, means, strict=True)]
            axes.barh(range(len(labels)), means, xerr=[less, more], color="#4c78a8", ecolor="#222222", capsize=3)
            axes.set_yticks(range(len(labels)), labels)
            axes.invert_yaxis()
            axes.axvline(0, color="#222222", linewidth=0.8)
            axes.set_xlabel(picture.axis)
        else:
            axes.plot(picture.hours, picture.values, color="#4c78a8")
            axes.axvline(picture.cut, color="#222222", linestyle="--")
            axes.set_xlabel("time [h]")
            axes.set_ylabel(picture.axis)
        axes.set_title(picture.title)
        # no date and no version in the file: the same report gives the same picture
        figure.savefig(file, dpi=120, metadata={"Date": None} if file.suffix == ".svg" else {"Software": None})
