"""Plots of result files as SVG text: the same input gives the same bytes, so a test can hold page and results together.

Written by hand, as the plots are two simple kinds and a plotting library's output changes with its version: a test
could not compare it. Colours are readable on white and on dark pages.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import Any

WIDTH, HEIGHT = 720, 360
LEFT, RIGHT, TOP, BOTTOM = 84, 24, 48, 56
INK, GRID, LINE, GOOD, BAD = "#57606a", "#8c959f55", "#0969da", "#1a7f37", "#cf222e"


class _Log:
    """A logarithmic axis from `low` to `high` drawn between two pixels."""

    def __init__(self, values: Sequence[float], first: float, last: float) -> None:
        self.low = math.floor(math.log10(min(values)) + 1e-9)
        self.high = max(math.ceil(math.log10(max(values)) - 1e-9), self.low + 1)
        self.first, self.last = first, last

    def at(self, value: float) -> float:
        return self.first + (math.log10(value) - self.low) / (self.high - self.low) * (self.last - self.first)

    def ticks(self) -> list[float]:
        return [10.0**power for power in range(self.low, self.high + 1)]


def short(value: float) -> str:
    """A number as people write it on an axis: 16k, 2.5M, 300."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


def _text(x: float, y: float, words: str, anchor: str = "middle", size: int = 12, more: str = "") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}"'
    return f'<text {place} fill="{INK}"{more}>{escape(words)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, width: float = 1) -> str:
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {ends} stroke="{colour}" stroke-width="{width:g}"/>'


def _page(title: str, height: float, parts: Sequence[str]) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" font-family="sans-serif" role="img">'
    )
    return "\n".join([head, f"<title>{escape(title)}</title>", *parts, "</svg>", ""])


def curve(one: dict[str, Any]) -> str:
    """A curve of a result file (`what`, `x`, `y`, `points`), both axes logarithmic."""
    points = [(float(x), float(y)) for x, y in one["points"]]
    across = _Log([x for x, _ in points], LEFT, WIDTH - RIGHT)
    up = _Log([y for _, y in points], HEIGHT - BOTTOM, TOP)
    parts = [_text(LEFT, 24, one["what"], "start", 14)]
    for x in across.ticks():
        parts += [_line(across.at(x), TOP, across.at(x), HEIGHT - BOTTOM, GRID)]
        parts += [_text(across.at(x), HEIGHT - BOTTOM + 18, short(x))]
    for y in up.ticks():
        parts += [_line(LEFT, up.at(y), WIDTH - RIGHT, up.at(y), GRID), _text(LEFT - 8, up.at(y) + 4, short(y), "end")]
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 14, one["x"]))
    middle = (TOP + HEIGHT - BOTTOM) / 2
    parts.append(_text(18, middle, one["y"], more=f' transform="rotate(-90 18 {middle:.1f})"'))
    path = " ".join(f"{across.at(x):.1f},{up.at(y):.1f}" for x, y in points)
    parts.append(f'<polyline points="{path}" fill="none" stroke="{LINE}" stroke-width="2"/>')
    for x, y in points:
        parts.append(f'<circle cx="{across.at(x):.1f}" cy="{up.at(y):.1f}" r="3.5" fill="{LINE}"/>')
        parts.append(_text(across.at(x), up.at(y) - 9, short(y), size=11))
    return _page(one["what"], HEIGHT, parts)


def reached(rows: Sequence[tuple[str, float, tuple[float, float]]]) -> str:
    """How far each figure is: (label, share of what is to be reached, least and greatest share); 1 and more is reached.

    Shares are drawn on one logarithmic axis whose line at 1 is what is to be reached.
    """
    title = "Share of what is to be reached (right of the line: reached; bars: least to greatest)"
    step, left = 26, 330
    height = TOP + step * len(rows) + 40
    values = [value for _, share, spread in rows for value in (share, *spread)]
    across = _Log([*values, 0.99, 1.01], left, WIDTH - RIGHT)
    bottom = height - 34
    parts = [_text(12, 24, title, "start", 14)]
    for x in across.ticks():
        parts += [_line(across.at(x), TOP - 8, across.at(x), bottom, GRID), _text(across.at(x), height - 14, short(x))]
    parts.append(_line(across.at(1), TOP - 8, across.at(1), bottom, INK, 2))
    for i, (label, share, (least, greatest)) in enumerate(rows):
        y = TOP + step * i + 8
        colour = GOOD if share >= 1 else BAD
        parts.append(_text(12, y + 4, label if len(label) <= 50 else label[:49] + "…", "start"))
        parts.append(_line(across.at(least), y, across.at(greatest), y, colour, 3))
        parts.append(f'<circle cx="{across.at(share):.1f}" cy="{y:.1f}" r="5" fill="{colour}"/>')
    return _page(title, height, parts)
