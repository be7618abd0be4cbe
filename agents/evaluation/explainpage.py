"""The page of `plantwin policy explain`: pictures as SVG, written by hand so that the same numbers give the same bytes,
and sentences.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

WIDTH, LEFT, RIGHT = 760, 200, 30
INK, GRID, NIGHT = "#57606a", "#8c959f55", "#8c959f22"
MINE, OTHER, GOOD, BAD = "#0969da", "#bc4c00", "#1a7f37", "#cf222e"
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
NOISE = 1e-9


def _text(x: float, y: float, words: str, anchor: str = "start", size: int = 12) -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}"'
    return f'<text {place} fill="{INK}">{escape(words)}</text>'


def _line(ends: tuple[float, float, float, float], colour: str, width: float = 1) -> str:
    x1, y1, x2, y2 = ends
    place = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {place} stroke="{colour}" stroke-width="{width:g}"/>'


def _picture(title: str, height: float, parts: Sequence[str]) -> str:
    box = f'viewBox="0 0 {WIDTH} {height:g}" font-family="sans-serif" role="img"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {box}>'
    return "\n".join([head, f"<title>{escape(title)}</title>", _text(12, 22, title, size=14), *parts, "</svg>", ""])


def costs(found: dict[str, Any]) -> str:
    """Which costs fall and which rise: difference an hour with its 95 % interval."""
    rows = [line for line in found["costs"] if abs(line["mean"]) > NOISE or line["kind"] == "all"]
    most = max([abs(v) for line in rows for v in (line["lo"], line["hi"])] + [NOISE])
    middle, reach = (LEFT + WIDTH - RIGHT) / 2, (WIDTH - RIGHT - LEFT) / 2
    parts = [_line((middle, 34, middle, 40 + 26 * len(rows)), INK)]
    for i, line in enumerate(rows):
        y, x = 52 + 26 * i, middle + reach * line["mean"] / most
        colour = GOOD if line["hi"] < 0 else BAD if line["lo"] > 0 else INK
        ends = [middle + reach * line[k] / most for k in ("lo", "hi")]
        parts.append(_text(12, y + 4, f"{line['kind']}: {line['mean']:+.2f} of {line['other']:.2f}"))
        parts.append(_line((ends[0], y, ends[1], y), colour, 3))
        parts.append(f'<circle cx="{x:.1f}" cy="{y}" r="4.5" fill="{colour}"/>')
    title = f"{found['plant']}: cost an hour, difference in {found['currency']} (left: saved; bars: 95 %)"
    return _picture(title, 56 + 26 * len(rows), parts)


Series = Sequence[tuple[str, Sequence[float]]]
"""Colour and the values of every hour of the week."""


def _week(found: dict[str, Any], series: Series, box: tuple[float, float, str]) -> list[str]:
    """Series over the hours of a week in a strip from `top`, `high` pixels high."""
    top, high, label = box
    values = [v for _, s in series for v in s]
    low, up = min([*values, 0.0]), max([*values, 0.0])
    size = max(up - low, NOISE)
    across = (WIDTH - RIGHT - LEFT) / 168

    def at(value: float) -> float:
        return top + high - (value - low) / size * high

    parts = [
        f'<rect x="{LEFT + across * h:.1f}" y="{top}" width="{across + 0.1:.2f}" height="{high}" fill="{NIGHT}"/>'
        for h, is_open in enumerate(found["open"])
        if not is_open
    ]
    parts += [_line((LEFT, at(0), WIDTH - RIGHT, at(0)), GRID), _text(12, top + high / 2 + 4, label)]
    parts += [_text(LEFT - 6, top + 10, f"{up:.3g}", "end", 10), _text(LEFT - 6, top + high, f"{low:.3g}", "end", 10)]
    for colour, s in series:
        path = " ".join(f"{LEFT + across * (h + 0.5):.1f},{at(v):.1f}" for h, v in enumerate(s))
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
    return parts


def _days(y: float) -> list[str]:
    across = (WIDTH - RIGHT - LEFT) / 7
    return [_text(LEFT + across * (i + 0.5), y, day, "middle") for i, day in enumerate(DAYS)]


def week(found: dict[str, Any]) -> str:
    """By how much every moved control lies above the other's setpoint, by hour of the week."""
    moved = [c for c in found["controls"] if c["moved"]]
    parts: list[str] = []
    for i, control in enumerate(moved):
        parts += _week(found, [(MINE, control["by_hour"])], (40 + 64 * i, 50, control["control"]))
    parts += _days(54 + 64 * len(moved))
    title = f"{found['plant']}: setpoint less the other's, mean by hour of the week (grey: closed)"
    return _picture(title, 64 + 64 * len(moved), parts)


def drivers(found: dict[str, Any]) -> str:
    """Every moved control against the observed column that it goes along with most, by tenths."""
    moved = [c for c in found["controls"] if c["moved"] and c.get("with")]
    size, parts = 180.0, []
    for i, control in enumerate(moved):
        x0, y0 = 56 + (i % 3) * 238, 64 + (i // 3) * (size + 40)
        best = control["with"][0]
        xs, ys = zip(*best["points"], strict=True)
        spread = max(max(xs) - min(xs), NOISE), max(max(ys) - min(ys), NOISE)
        points = [
            (x0 + 130 * (x - min(xs)) / spread[0] + 20, y0 + (size - 60) * (1 - (y - min(ys)) / spread[1]))
            for x, y in best["points"]
        ]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        foot = y0 + size - 60
        parts += [_line((x0, y0, x0, foot), GRID), _line((x0, foot, x0 + 170, foot), GRID)]
        parts.append(f'<polyline points="{path}" fill="none" stroke="{MINE}" stroke-width="2"/>')
        parts.append(_text(x0, y0 - 10, f"{control['control']} (rule {control['other']:.4g})", size=12))
        parts += [_text(x0 - 4, y0 + 8, f"{max(ys):.4g}", "end", 10), _text(x0 - 4, foot, f"{min(ys):.4g}", "end", 10)]
        parts.append(_text(x0, y0 + size - 44, f"{best['field']}, r {best['r']:+.2f}", size=11))
    rows = -(-len(moved) // 3)
    return _picture(f"{found['plant']}: setpoint against what it goes along with most", 50 + rows * (size + 40), parts)


def power(found: dict[str, Any]) -> str:
    """Load in kW by hour of the week with both."""
    load = found["power"]
    parts = _week(found, [(OTHER, load["other"]), (MINE, load["mine"])], (44, 180, "kW"))
    parts += [*_days(244), _text(12, 60, "blue: this one", size=11), _text(12, 76, "orange: the other", size=11)]
    return _picture(f"{found['plant']}: power by hour of the week (grey: closed)", 256, parts)


def sentences(found: dict[str, Any]) -> list[str]:
    """What can be said in words, all of it from the numbers."""
    said = []
    whole = found["costs"][-1]
    unit = found["currency"]
    said.append(
        f"All in all {whole['mean']:+.2f} {unit}/h [{whole['lo']:+.2f}, {whole['hi']:+.2f}] of {whole['other']:.2f} "
        f"({found['replicas']} runs of {found['weeks']} weeks on the same luck)."
    )
    for side, rule in zip(("This one", "The other"), found.get("says", ((), ())), strict=True):
        said += [f"{side}: {text}." for text in rule]
    for control in found["controls"]:
        if not control["moved"]:
            continue
        spread = f"{control['mean']:.4g} ± {control['sd']:.2g}" if control["sd"] else f"always {control['mean']:.4g}"
        text = f"{control['control']}: {spread} where the other has {control['other']:.4g}"
        if control.get("with"):
            best = control["with"][0]
            text += (
                f"; from {best['points'][0][1]:.4g} in the lowest to {best['points'][-1][1]:.4g} in the highest tenth "
                f"of {best['field']} (r {best['r']:+.2f})"
            )
        said.append(text + ".")
    still = [c["control"] for c in found["controls"] if not c["moved"]]
    if still:
        said.append(f"Hardly or never moved: {', '.join(still)}.")
    for line in found["supply"]:
        said.append(
            f"Expedites: {line['stock']} from {line['source']}, {line['mean']:+.1f} "
            f"[{line['lo']:+.1f}, {line['hi']:+.1f}] units a week beside {line['other']:.1f}."
        )
    for line in found["maintenance"]:
        said.append(
            f"{line['station']}, {line['what']}: {line['mean']:+.2f} [{line['lo']:+.2f}, {line['hi']:+.2f}] a week "
            f"beside {line['other']:.2f}."
        )
    if not found["maintenance"]:
        said.append("Maintains: this plant has no control of maintenance.")
    for band in found["power"].get("bands", []):
        said.append(
            f"Load at {band['price']:g} {unit}/kWh: {band['mean']:+.1f} [{band['lo']:+.1f}, {band['hi']:+.1f}] kWh a "
            f"week beside {band['other']:.0f}."
        )
    return said


def pictures(found: dict[str, Any]) -> dict[str, str]:
    """Name and SVG text of every picture."""
    made = {"costs": costs(found), "week": week(found), "drivers": drivers(found)}
    return made | ({"power": power(found)} if found["power"] else {})


def write(found: dict[str, Any], folder: Path) -> list[Path]:
    """`explained.html` with all of it, `explained.json` with the numbers, and each picture by itself; the files."""
    folder.mkdir(parents=True, exist_ok=True)
    made = pictures(found)
    files = [folder / "explained.html", folder / "explained.json"]
    body = "\n".join([*(f"<p>{escape(text)}</p>" for text in sentences(found)), *made.values()])
    head = f"{found['who']} beside {found['other']} on {found['plant']}"
    start = f'<!doctype html><meta charset="utf-8"><title>{escape(head)}</title>'
    page = f'{start}<body style="max-width:60em"><h1>{escape(head)}</h1>'
    files[0].write_text(f"{page}\n{body}\n</body>\n", encoding="utf-8")
    files[1].write_text(json.dumps(found) + "\n", encoding="utf-8")
    for name, svg in made.items():
        files.append(folder / f"{name}.svg")
        files[-1].write_text(svg, encoding="utf-8")
    return files
