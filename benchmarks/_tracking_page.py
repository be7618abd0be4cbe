"""The tables and plots of `docs/tracking.md`, from the result file of `plantwin bench tracking`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.real_data import replace_between

Row = dict[str, Any]
IMAGES = ("tracking-loss.svg", "tracking-outage.svg")


def _n(value: float | None, digits: int = 2) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _pct(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.0f} %"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def of_faults(rows: Sequence[Row]) -> str:
    """One line a plant and fault: the WIP error by station, and the other quantities."""
    lines = []
    for r in rows:
        q = r["quantities"]
        wip = q["wip"]
        lines.append(
            [
                r["case"], r["what"], _n(wip["mean_abs"], 3), _n(wip["rmse"]), f"{wip['max']:.0f}",
                _pct(wip["out_of_step"]), _pct(wip.get("coverage90")), _n(q["state"]["mean_abs"], 3),
                _n(q["on_hand"]["mean_abs"], 3) if "on_hand" in q else "", _n(q["done"]["mean_abs"]),
            ]
        )  # fmt: skip
    header = ["plant", "fault", "WIP error by station", "RMSE", "greatest", "time out of step", "in 90 % band",
              "unit state wrong", "stock error", "finished error"]  # fmt: skip
    return table(header, lines)


def of_outages(rows: Sequence[Row]) -> str:
    lines = []
    for r in rows:
        for o in r["outages"]:
            back = "not before the end" if o["reconverged_s"] is None else f"{o['reconverged_s'] / 60:.0f} min"
            lines.append([r["case"], f"{(o['to_s'] - o['from_s']) / 60:.0f} min", r["channel"], back])
    return table(["plant", "outage", "channel", "back in step after"], lines)


def of_sensors(rows: Sequence[Row]) -> str:
    """Does the twin name the sensor that is wrong? A counter is named as the counts of its station (or unit)."""
    lines = []
    for r in rows:
        for tag in r["bad"]:
            said = [n["sensor"] for n in r["named"]]
            mine = [n for n in r["named"] if n["sensor"] in _names(tag)]
            place = f"yes, as number {said.index(mine[0]['sensor']) + 1}" if mine else "no"
            share = _pct(mine[0]["share"] if mine else 0.0)
            lines.append(
                [r["case"], r["what"], place, share, ", ".join(said[:3]), _n(r["quantities"]["wip"]["mean_abs"], 3)]
            )
    return table(["plant", "fault (a third of the time)", "named", "time", "named most", "WIP error by station"], lines)


def _names(tag: str) -> list[str]:
    """How contradictions name a tag: as itself, a counter as `STATION counts` or `STATION/1 counts`."""
    thing = tag.partition("/")[0]
    return [tag, *([f"{thing} counts", f"{thing}/1 counts"] if "/out" in tag else [])]


def of_growth(rows: Sequence[Row]) -> str:
    lines = [
        [
            r["case"],
            r["what"],
            f"{r['hours']:g} h",
            f"{r['slope_per_day']:+.2f}",
            f"{r['p']:.2f}",
            _n(r["first_quarter"]),
            _n(r["last_quarter"]),
        ]
        for r in rows
    ]
    header = ["plant", "fault", "time", "slope (parts a day, all stations)", "p", "first quarter", "last quarter"]
    return table(header, lines)


def of_increments(found: Row) -> str:
    lines = [
        [
            way,
            _n(found[way]["mean"]),
            f"{found[way]['least']:.2f} to {found[way]['greatest']:.2f}",
            _n(found[f"{way}_last"]["mean"]),
        ]
        for way in ("increments", "cumulative")
    ]
    head = f"mean WIP error by machine over {found['hours']:g} h, {found['recordings']} recordings"
    return table(["counts sent as", head, "least to greatest", "in the last hour"], lines)


def text(result: Row) -> str:
    """Everything that stands between the page's markers."""
    d = result["detail"]
    made = (
        f"Made by `{result['command']}` on {result['date']} ({result['cpu']}, {result['cores']} cores, "
        f"{d['seconds'] / 60:.0f} min), seed {result['seed']}, {result['hours']:g} h of each plant."
    )
    plants = table(["plant", "what it is"], [[k, v] for k, v in result["plants"].items()])
    parts = [made, plants, "### Each fault", of_faults(d["faults"]), "### After an outage", of_outages(d["faults"])]
    parts += ["### Wrong sensors", of_sensors(d["faults"])]
    if d["growth"]:
        parts += ["### Does the error grow?", of_growth(d["growth"])]
    parts += ["### Counts that assert", of_increments(d["increments"])]
    return "\n\n".join(parts)


def losses(rows: Sequence[Row]) -> dict[tuple[str, str], list[tuple[float, float]]]:
    """(plant, channel) -> (share lost, WIP error by station), the run without faults at 0."""
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for r in rows:
        error = r["quantities"]["wip"]["mean_abs"]
        if r["what"] == "clean":
            for channel in ("wire", "plain"):
                found.setdefault((r["case"], channel), []).append((0.0, error))
        elif r["what"].startswith("loss"):
            found.setdefault((r["case"], r["channel"]), []).append((float(r["what"].split()[1].rstrip("%")), error))
    return found


def draw(result: Row, folder: Path) -> None:
    """The plots of the page (SVG)."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    rows = result["detail"]["faults"]
    names = list(result["plants"])
    colours = dict(zip(names, ("#4c78a8", "#e45756", "#54a24b", "#b279a2"), strict=False))
    with rc_context({"svg.hashsalt": "plantwin", "svg.fonttype": "none"}):
        figure = Figure(figsize=(8, 4), layout="constrained")
        axes = figure.add_subplot()
        for (case, channel), points in losses(rows).items():
            xs, ys = zip(*sorted(points), strict=True)
            style = "-" if channel == "wire" else "--"
            axes.plot(xs, ys, style, color=colours[case], marker="o", markersize=3, label=f"{case}, {channel}")
        axes.set_xlabel("messages lost [%]")
        axes.set_ylabel("mean WIP error by station [parts]")
        axes.legend(fontsize=8)
        figure.savefig(folder / IMAGES[0], metadata={"Date": None})
        shown = [r for r in rows if r["outages"] and r["what"].startswith("outage 60 min")]
        figure = Figure(figsize=(8, 1.9 * len(names) + 0.6), layout="constrained")
        panels = figure.subplots(len(names), 1, sharex=True, squeeze=False)[:, 0]
        for panel, case in zip(panels, names, strict=True):
            for r in (r for r in shown if r["case"] == case):
                style = "-" if r["channel"] == "wire" else "--"
                panel.plot(
                    r["series"]["hours"],
                    r["series"]["wip"],
                    style,
                    color=colours[case],
                    label=r["channel"],
                    linewidth=1,
                )
                panel.axvspan(
                    r["outages"][0]["from_s"] / 3600, r["outages"][0]["to_s"] / 3600, color="#8c959f", alpha=0.1
                )
            panel.set_title(case, fontsize=9)
            panel.set_ylabel("parts")
            panel.legend(fontsize=7)
        panels[-1].set_xlabel("hours; shaded: one hour without a connection. WIP error, all stations")
        figure.savefig(folder / IMAGES[1], metadata={"Date": None})


def write(page: Path, result: Row) -> None:
    """Put the tables into the page and the plots beside it."""
    page.write_text(replace_between(page.read_text(encoding="utf-8"), "results", text(result)), encoding="utf-8")
    folder = page.parent / "img"
    folder.mkdir(exist_ok=True)
    draw(result, folder)
