"""The tariff of energy as a list of changes of its price band."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from sim.calendars import instant, zone
from sim.plant import Tariff


def changes(
    tariff: Tariff, tz_name: str, start: datetime, weeks: int, tick_s: float
) -> tuple[int, list[tuple[int, int]]]:
    """Band at tick 0, and (tick > 0, band from then on) up to `weeks` weeks after `start` (aware), in rising order.

    Local hours, daylight saving included; a tariff of one band has no changes.
    """
    tz = zone(tz_name)
    origin = start.astimezone(UTC)
    until = origin + timedelta(weeks=weeks)
    monday = (origin.astimezone(tz) - timedelta(days=8)).date()
    monday -= timedelta(days=monday.weekday())
    steps = [0, *(h for h in range(1, 168) if tariff.hours[h] != tariff.hours[h - 1])]
    found: list[tuple[datetime, int]] = []
    while instant(monday, 0, tz) <= until:
        found += [(instant(monday, 60 * h, tz), tariff.hours[h]) for h in steps]
        monday += timedelta(days=7)
    present = [band for moment, band in found if moment <= origin][-1]
    later = [
        (round((moment - origin).total_seconds() / tick_s), band) for moment, band in found if origin < moment <= until
    ]
    bands = [(0, present), *later]
    return present, [b for a, b in pairwise(bands) if a[1] != b[1]]
