"""The recent past of the frames, in memory, thinned for drawing.

This is a window, not an archive: it holds what the dashboard itself received since it started
(two frames a second, 7,200 of them by default: one hour), and is empty again after a restart.
"""

from __future__ import annotations

from collections import deque
from typing import Any

Point = tuple[int, float | None]


def thin(points: list[Point], most: int) -> list[Point]:
    """At most about `most` points that keep every bucket's minimum and maximum, so no spike is lost.

    `points` are (time, value) in order of time; a value of None is a gap and is kept once per gap.
    The first and the last point are always kept.
    """
    if most < 4 or len(points) <= most:
        return list(points)
    size = max(1, -(-(len(points) - 2) * 2 // (most - 2)))
    kept = [points[0]]
    for start in range(1, len(points) - 1, size):
        bucket = points[start : min(start + size, len(points) - 1)]
        numbers = [p for p in bucket if p[1] is not None]
        chosen = {min(numbers, key=_value), max(numbers, key=_value)} if numbers else set()
        gap = next((p for p in bucket if p[1] is None), None)
        if gap is not None:
            chosen.add(gap)
        kept.extend(sorted(chosen, key=lambda p: p[0]))
    kept.append(points[-1])
    return kept


def _value(point: Point) -> float:
    return 0.0 if point[1] is None else point[1]


class History:
    """A ring of frames, oldest first."""

    def __init__(self, most: int = 7200) -> None:
        self._frames: deque[dict[str, Any]] = deque(maxlen=most)

    def __len__(self) -> int:
        return len(self._frames)

    def add(self, frame: dict[str, Any]) -> None:
        """Append a frame; a frame from before the newest one means the twin began anew: the past is dropped.

        A frame at time 0 is of a twin that has read nothing yet: it is shown, but is no past. Nor is a stale one: what
        it says was true before, or never (a twin that waits for its first readings counts 0 parts).
        """
        if frame["t"] <= 0:
            return
        if frame.get("mode") == "stale":
            self.gap()
            return
        if self._frames and frame["t"] < self._frames[-1]["t"]:
            self._frames.clear()
        self._frames.append(frame)

    def gap(self) -> None:
        """Mark that frames are missing here (the twin could not be reached), so that no line is drawn across."""
        if self._frames and not self._frames[-1].get("gap"):
            self._frames.append({"t": self._frames[-1]["t"], "seq": self._frames[-1]["seq"], "gap": True})

    def series(self, after_t: int = -1, most: int = 240) -> dict[str, dict[str, list[float | int | None]]]:
        """Name -> {t: [plant ms], v: [value or null]}: every indicator, and `buf.N` / `stk.N` levels, thinned."""
        raw: dict[str, list[Point]] = {}
        for frame in self._frames:
            t = int(frame["t"])
            if t <= after_t:
                continue
            if frame.get("gap"):
                for points in raw.values():
                    points.append((t, None))
                continue
            for name, value in numbers(frame):
                raw.setdefault(name, []).append((t, value))
        thinned = {name: thin(points, most) for name, points in raw.items()}
        return {name: {"t": [p[0] for p in pts], "v": [p[1] for p in pts]} for name, pts in thinned.items()}


def numbers(frame: dict[str, Any]) -> list[tuple[str, float]]:
    """(name, value) of every known number; raises TypeError, ValueError, IndexError or KeyError where there is none."""
    found = [(name, float(triple[0])) for name, triple in frame.get("kpi", {}).items() if triple[0] is not None]
    found += [(f"buf.{i}", float(level[0])) for i, level in enumerate(frame.get("buf", [])) if level[0] is not None]
    found += [(f"stk.{i}", float(level[0])) for i, level in enumerate(frame.get("stk", [])) if level[0] is not None]
    return found
