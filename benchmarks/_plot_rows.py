"""A mean with its range in each row, on one linear axis from nought, as SVG text (see `_plot`)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from benchmarks._plot import GRID, INK, LINE, RIGHT, TOP, WIDTH, _line, _page, _text, short

STEP, LEFT = 26, 190


def rows(title: str, told: Sequence[tuple[str, float, tuple[float, float]]]) -> str:
    """`told`: (label, mean, (least, greatest)), none below nought."""
    most = max(spread[1] for _, _, spread in told)
    unit = 10.0 ** math.floor(math.log10(most)) if most > 0 else 1.0
    unit = next(unit * part for part in (0.1, 0.2, 0.5, 1.0, 2.0) if most / (unit * part) <= 8)
    end = math.ceil(most / unit) * unit
    height = TOP + STEP * len(told) + 40
    bottom = height - 34

    def at(value: float) -> float:
        return LEFT + value / end * (WIDTH - RIGHT - LEFT)

    parts = [_text(12, 24, title, "start", 14)]
    for i in range(round(end / unit) + 1):
        parts += [_line(at(i * unit), TOP - 8, at(i * unit), bottom, INK if i == 0 else GRID)]
        parts.append(_text(at(i * unit), height - 14, short(i * unit)))
    for i, (label, mean, (least, greatest)) in enumerate(told):
        y = TOP + STEP * i + 8
        parts += [_text(12, y + 4, label, "start"), _line(at(least), y, at(greatest), y, LINE, 3)]
        parts.append(f'<circle cx="{at(mean):.1f}" cy="{y:.1f}" r="5" fill="{LINE}"/>')
    return _page(title, height, parts)
