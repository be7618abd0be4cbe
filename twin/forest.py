"""A forest plot of a calibration: each factor on the plant file's value with its 90 % interval, as SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence

from sim.svg import FONT, THEMES, tag, title, words
from twin.calibrate import Row

WIDTH, LEFT, RIGHT, STEP, TOP = 900, 330, 40, 22, 56
WIDEST = 2.5
"""Factors from 1 / 2.5 to 2.5 are shown; an interval that goes on beyond ends at the edge."""


def forest(plant: str, rows: Sequence[Row]) -> str:
    """The picture of the rows that were seen at all; what differs from the plant file is drawn strong."""
    ink = THEMES["light"]
    shown = [row for row in rows if row.n > 0 and row.file > 0]
    height = TOP + STEP * (len(shown) + 2)

    def x(factor: float) -> float:
        at = (math.log(min(max(factor, 1 / WIDEST), WIDEST)) / math.log(WIDEST) + 1) / 2
        return LEFT + at * (WIDTH - LEFT - RIGHT)

    parts = [
        title(f"{plant}: parameters over the plant file's values"),
        tag("rect", width=WIDTH, height=height, fill=ink["bg"]),
    ]
    parts.append(words(f"{plant}: posterior over the plant file's value, 90 %", 16, 24, 15, fill=ink["text"]))
    for factor in (0.5, 0.8, 1.0, 1.25, 2.0):
        parts.append(tag("line", x1=x(factor), x2=x(factor), y1=TOP - 12, y2=height - STEP, stroke=ink["line"]))
        parts.append(words(f"{factor:g}", x(factor), height - 6, 11, fill=ink["muted"], text_anchor="middle"))
    for i, row in enumerate(shown):
        y = TOP + i * STEP
        colour = "#b42318" if row.refit else ink["edge"]
        parts.append(words(row.title, LEFT - 12, y + 4, 12, fill=ink["text"], text_anchor="end"))
        parts.append(
            tag("line", x1=x(row.lo / row.file), x2=x(row.hi / row.file), y1=y, y2=y, stroke=colour, stroke_width=2)
        )
        parts.append(tag("circle", cx=x(row.mean / row.file), cy=y, r=4, fill=colour))
    attributes = {"xmlns": "http://www.w3.org/2000/svg", "viewBox": f"0 0 {WIDTH} {height}", "font_family": FONT}
    return tag("svg", "\n".join(parts), **attributes) + "\n"
