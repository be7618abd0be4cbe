"""Gaps with their intervals as SVG text, one line each; a vertical line at 0."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks._plot import BAD, GOOD, GRID, INK, RIGHT, TOP, WIDTH, _line, _page, _text

LEFT = 260
Row = tuple[str, float, float, float]
"""Label, mean, and the ends of the interval, as shares."""


def gaps(title: str, rows: Sequence[Row]) -> str:
    """A picture of rows; green where the whole interval is below 0, red where it is above."""
    most = max([abs(v) for _, *numbers in rows for v in numbers] + [1e-4])
    middle, reach, step = (LEFT + WIDTH - RIGHT) / 2, (WIDTH - RIGHT - LEFT) / 2, 24
    bottom = TOP + step * len(rows)
    parts = [_text(12, 24, title, "start", 14), _line(middle, TOP - 8, middle, bottom, INK, 2)]
    for share in (-1.0, -0.5, 0.5, 1.0):
        x = middle + reach * share
        parts += [_line(x, TOP - 8, x, bottom, GRID), _text(x, bottom + 18, f"{100 * share * most:+.2g} %")]
    for i, (label, mean, lo, hi) in enumerate(rows):
        y = TOP + step * i + 6
        colour = GOOD if hi < 0 else BAD if lo > 0 else INK
        parts.append(_text(12, y + 4, label, "start"))
        parts.append(_line(middle + reach * lo / most, y, middle + reach * hi / most, y, colour, 3))
        parts.append(f'<circle cx="{middle + reach * mean / most:.1f}" cy="{y}" r="4.5" fill="{colour}"/>')
    return _page(title, bottom + 30, parts)
