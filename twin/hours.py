"""Opening hours of a plant's calendars in plant time (UTC ms), and the factors of a demand's week."""

from __future__ import annotations

import bisect
from datetime import UTC, datetime, timedelta

from sim.calendars import transitions, zone
from sim.plant import Plant

WEEKS = 12
"""Weeks listed at once."""


class Hours:
    """When the calendars of a plant are open."""

    def __init__(self, plant: Plant) -> None:
        self._plant = plant
        self._specs = {c.id: c for c in plant.calendars}
        self._zone = zone(plant.timezone)
        self._known: dict[tuple[str, int], tuple[bool, int, list[int]]] = {}

    def _changes(self, calendar: str, t: int) -> tuple[bool, int, list[int]]:
        """(open at the start, start in ms, ms of the changes) of the stretch of weeks that holds `t`."""
        long = WEEKS * 7 * 86_400_000
        key = (calendar, t // long)
        if key not in self._known:
            start = datetime.fromtimestamp(key[1] * long / 1000, UTC)
            opened, ticks = transitions(self._specs[calendar], self._plant.timezone, start, WEEKS + 1)
            self._known[key] = (bool(opened), key[1] * long, [key[1] * long + int(x) for x in ticks])
        return self._known[key]

    def open_ms(self, calendar: str | None, a: int, b: int) -> int:
        """Ms between `a` and `b` in which a calendar is open; all of them where there is none."""
        if calendar is None or b <= a:
            return max(b - a, 0)
        total = 0
        while a < b:
            until = min(b, a + 7 * 86_400_000)
            opened, _, changes = self._changes(calendar, a)
            i = bisect.bisect_right(changes, a)
            now = opened ^ bool(i & 1)
            at = a
            for change in [*changes[i : bisect.bisect_left(changes, until, lo=i)], until]:
                total += (change - at) if now else 0
                at, now = change, not now
            a = until
        return total

    def hour_of_week(self, t: int) -> int:
        """Local hour of the week at plant time `t`, 0 is Monday midnight."""
        local = (datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=t)).astimezone(self._zone)
        return local.weekday() * 24 + local.hour
