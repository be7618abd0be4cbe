"""Several lines on linear axes from nought, as SVG text (see `_plot`)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from benchmarks._plot import BOTTOM, GRID, HEIGHT, LEFT, LINE, RIGHT, TOP, WIDTH, _line, _page, _text, short

COLOURS = (LINE, "#bf8700", "#cf222e", "#8250df")


def lines(title: str, across: str, x: Sequence[float], series: Mapping[str, Sequence[float]]) -> str:
    """`series`: up to four lines by name, one value for each `x`."""
    if len(series) > len(COLOURS):
        raise ValueError(f"at most {len(COLOURS)} lines can be told apart, found {len(series)}")
    top = max(max(values) for values in series.values())
    step = 10.0 ** math.floor(math.log10(top / 2)) if top > 0 else 1.0
    step *= next(m for m in (1, 2, 5, 10) if top / (step * m) <= 6)
    most = math.ceil(top / step) * step
    right = WIDTH - RIGHT - 170

    def at(value: float) -> float:
        return LEFT + (value - min(x)) / (max(x) - min(x)) * (right - LEFT)

    def up(value: float) -> float:
        return HEIGHT - BOTTOM - value / most * (HEIGHT - BOTTOM - TOP)

    parts = [_text(LEFT, 24, title, "start", 14), _text((LEFT + right) / 2, HEIGHT - 14, across)]
    for i in range(round(most / step) + 1):
        parts += [_line(LEFT, up(i * step), right, up(i * step), GRID)]
        parts += [_text(LEFT - 8, up(i * step) + 4, short(i * step), "end")]
    parts += [_text(at(value), HEIGHT - BOTTOM + 18, short(value)) for value in x]
    for n, ((name, values), colour) in enumerate(zip(series.items(), COLOURS, strict=False)):
        path = " ".join(f"{at(a):.1f},{up(b):.1f}" for a, b in zip(x, values, strict=True))
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{3 if n == 0 else 2}"/>')
        parts += [
            f'<circle cx="{at(a):.1f}" cy="{up(b):.1f}" r="3" fill="{colour}"/>' for a, b in zip(x, values, strict=True)
        ]
        y = TOP + 12 + 20 * n
        parts += [_line(right + 12, y, right + 30, y, colour, 3), _text(right + 36, y + 4, name, "start", 11)]
    return _page(title, HEIGHT, parts)
