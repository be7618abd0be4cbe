"""Opening hours in local time: parsing them, and the ticks at which they open and close.

A tick is physical time, a shift is wall-clock time: where a clock change falls into a shift, the shift is an
hour longer or shorter; a time that the spring change skips means the one an hour later (02:30 is 03:30).
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sim.plant import Calendar
from sim.units import QuantityError

if TYPE_CHECKING:  # a gateway reads plant files without numpy
    import numpy as np
    import numpy.typing as npt

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
DAY_MINUTES = 1440
WEEK_MINUTES = 7 * DAY_MINUTES

_WINDOW = re.compile(r"(?:([A-Za-z]{3})(?:\s*-\s*([A-Za-z]{3}))?\s+)?(\d{1,2}):(\d{2})\s*-\s*(\d{1,2}):(\d{2})\Z")
_EXPECTED = "opening hours such as 'Mon-Fri 06:00-22:00, Sat 06:00-14:00'"


def parse(text: str) -> tuple[tuple[int, int, int], ...]:
    """(weekday 0 = Monday, start minute of the day, end minute) of every window, sorted.

    An end at or before its start is on the next day (`22:00-06:00`, end minute above 1440; `00:00-24:00` is a
    whole day). A window without days repeats the days of the one before it (`Mon-Fri 06:00-12:00, 13:00-17:00`).
    Raises `QuantityError` for a text that says something else, and for overlapping windows.
    """
    windows: list[tuple[int, int, int]] = []
    days: list[int] = []
    for part in (p.strip() for p in text.split(",")):
        match = _WINDOW.match(part)
        if match is None:
            raise QuantityError(_EXPECTED, part or text, "correct this window")
        first, last = match.group(1), match.group(2)
        if first:
            days = _days(first, last or first, part)
        if not days:
            raise QuantityError(_EXPECTED, part, "start with a day")
        start = _minute(match.group(3), match.group(4), part)
        end = _minute(match.group(5), match.group(6), part)
        if end <= start:
            end += DAY_MINUTES
        windows += [(day, start, end) for day in days]
    windows.sort()
    _refuse_overlap(windows, text)
    return tuple(windows)


def _days(first: str, last: str, part: str) -> list[int]:
    for name in (first, last):
        if name not in DAYS:
            raise QuantityError(_EXPECTED, part, f"'{name}' is no day; use " + ", ".join(DAYS))
    a, b = DAYS.index(first), DAYS.index(last)
    return [(a + n) % 7 for n in range((b - a) % 7 + 1)]


def _minute(hour: str, minute: str, part: str) -> int:
    value = int(hour) * 60 + int(minute)
    if int(minute) > 59 or value > DAY_MINUTES:
        raise QuantityError(_EXPECTED, part, "use times from 00:00 to 24:00")
    return value


def _refuse_overlap(windows: list[tuple[int, int, int]], text: str) -> None:
    spans = sorted((day * DAY_MINUTES + start, day * DAY_MINUTES + end) for day, start, end in windows)
    spans += [(spans[0][0] + WEEK_MINUTES, spans[0][1] + WEEK_MINUTES)]
    for (_, end), (start, _) in pairwise(spans):
        if start < end:
            raise QuantityError("opening hours that do not overlap", text, "join the overlapping windows")


def open_minutes(calendar: Calendar) -> int:
    """Open minutes in a week without clock changes, planned stops and overtime; breaks do not count."""
    windows = sum(end - start for _, start, end in calendar.open)
    return windows - sum(end - start for _, start, end in calendar.breaks)


def zone(name: str) -> ZoneInfo:
    """The time zone of that name; raises `QuantityError` when there is none."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as err:
        raise QuantityError("a time zone such as 'Europe/Berlin'", name, "use a name of the IANA database") from err


def instant(day: date, minute: int, tz: ZoneInfo) -> datetime:
    """The UTC instant of a local wall-clock minute (may exceed the day).

    A time that a clock change skips is read with the offset before the change; of a time that happens twice, the
    first is meant.
    """
    local = datetime(day.year, day.month, day.day, tzinfo=tz) + timedelta(minutes=minute)  # wall-clock arithmetic
    return local.replace(fold=0).astimezone(UTC)


def transitions(
    calendar: Calendar, tz_name: str, start: datetime, weeks: int, tick_s: float = 0.001
) -> tuple[bool, npt.NDArray[np.int64]]:
    """Whether the calendar is open at tick 0, and the ticks > 0 at which that changes.

    `start` is tick 0 (local to the zone when naive); changes up to `weeks` weeks after it are listed, in rising
    order, breaks and planned stops taken out, adjoining windows joined. A calendar that is never or always open has
    no changes.
    """
    import numpy as np

    tz = zone(tz_name)
    origin = start.replace(tzinfo=tz) if start.tzinfo is None else start
    origin = origin.astimezone(UTC)
    until = origin + timedelta(weeks=weeks)
    monday = (origin.astimezone(tz) - timedelta(days=8)).date()
    monday -= timedelta(days=monday.weekday())
    opened, closed = [], [(instant(a, 0, tz), instant(b, DAY_MINUTES, tz)) for a, b in calendar.closed]
    while instant(monday, 0, tz) <= until:
        opened += _week(calendar.open, monday, tz)
        closed += _week(calendar.breaks, monday, tz)
        monday += timedelta(days=7)
    spans = _without(opened, closed)
    open_at_start = any(begin <= origin < end for begin, end in spans)
    changes = [moment for span in spans for moment in span if origin < moment <= until]
    ticks = [round((moment - origin).total_seconds() / tick_s) for moment in changes]
    return open_at_start, np.array(ticks, dtype=np.int64)


Span = tuple[datetime, datetime]
"""From an instant to a later one."""


def _week(windows: tuple[tuple[int, int, int], ...], monday: date, tz: ZoneInfo) -> list[Span]:
    """The windows of one week as instants; those that a clock change makes empty are left out."""
    days = [(monday + timedelta(days=weekday), begin, end) for weekday, begin, end in windows]
    spans = [(instant(day, begin, tz), instant(day, end, tz)) for day, begin, end in days]
    return [(begin, end) for begin, end in spans if begin < end]


def _without(opened: list[Span], closed: list[Span]) -> list[Span]:
    """What is opened and not closed, adjoining spans joined, in order."""
    changes: dict[datetime, list[int]] = {}
    for kind, spans in enumerate((opened, closed)):
        for begin, end in spans:
            changes.setdefault(begin, [0, 0])[kind] += 1
            changes.setdefault(end, [0, 0])[kind] -= 1
    depth, result = [0, 0], list[Span]()
    begun: datetime | None = None
    for moment in sorted(changes):
        depth = [depth[0] + changes[moment][0], depth[1] + changes[moment][1]]
        is_open = depth[0] > 0 and depth[1] == 0
        if is_open and begun is None:
            begun = moment
        elif not is_open and begun is not None:
            result.append((begun, moment))
            begun = None
    return result
