"""The shifts of a plant: the windows of its calendar as written, in plant time (UTC ms).

A shift is a window of the opening hours as the plant file writes it, breaks inside it included. Windows that adjoin are
two shifts (the change lies between them), windows up to an hour (`APART_MS`) apart are one with a break as long as that
is no more than ten hours of work (`LONG_MS`). Planned stops take away what they cover; overtime puts off an end behind
which the plant would close. Without a calendar a shift is a fixed stretch of eight hours, from 00:00, 08:00 and
16:00 UTC.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from sim.calendars import DAY_MINUTES, instant, zone
from sim.plant import Calendar, Plant

EPOCH_MS = 8 * 3_600_000
APART_MS = 3_600_000
LONG_MS = 10 * 3_600_000
LOOK_DAYS = 60
"""Days ahead in which the next shift is looked for: no planned stop is longer."""


@dataclass(frozen=True, slots=True)
class Shift:
    """From plant ms `a` to before `b`. `kind`: when it begins (local time) and on what sort of day: "06:00 weekday"."""

    kind: str
    a: int
    b: int


class Shifts:
    """When the shifts of a plant begin and end."""

    def __init__(self, plant: Plant) -> None:
        self._zone = zone(plant.timezone)
        self.calendar: Calendar | None = kept(plant)
        self._control = next((c.id for c in plant.controls if self._sets_overtime(c.sets)), "")
        self._tick_ms = plant.tick_s * 1000

    def _sets_overtime(self, path: str) -> bool:
        return self.calendar is not None and path == f"calendars.{self.calendar.id}.overtime"

    def overtime_ms(self, controls: dict[str, int]) -> int:
        """The overtime in force, by the plant's controls or the plant file."""
        if self.calendar is None:
            return 0
        return round(controls.get(self._control, self.calendar.overtime) * self._tick_ms)

    def at(self, t: int, overtime_ms: int = 0) -> Shift | None:
        """The shift that runs at `t`, None where the plant is closed."""
        if self.calendar is None:
            a = t - t % EPOCH_MS
            return Shift(_kind(datetime.fromtimestamp(a / 1000, UTC)), a, a + EPOCH_MS)
        day = datetime.fromtimestamp(t / 1000, self._zone).date()
        found = self._between(day - timedelta(days=2), day + timedelta(days=2))
        return next((s for s in _prolonged(found, overtime_ms) if s.a <= t < s.b), None)

    def after(self, t: int) -> Shift | None:
        """The first shift that begins after `t`."""
        if self.calendar is None:
            return self.at(t - t % EPOCH_MS + EPOCH_MS)
        day = datetime.fromtimestamp(t / 1000, self._zone).date()
        for ahead in (3, LOOK_DAYS):
            found = self._between(day - timedelta(days=2), day + timedelta(days=ahead))
            if following := next((s for s in found if s.a > t), None):
                return following
        return None

    def _between(self, first: date, last: date) -> list[Shift]:
        """The shifts that begin on these local days, in order, without overtime."""
        assert self.calendar is not None
        spans: list[list[int]] = []  # from, to, and ms of work
        day = first
        while day <= last:
            for weekday, begin, end in self.calendar.open:
                if weekday == day.weekday():
                    a, b = self._less_stops(_ms(instant(day, begin, self._zone)), _ms(instant(day, end, self._zone)))
                    if a >= b:
                        continue
                    if spans and 0 < a - spans[-1][1] <= APART_MS and spans[-1][2] + b - a <= LONG_MS:
                        spans[-1] = [spans[-1][0], b, spans[-1][2] + b - a]
                    else:
                        spans.append([a, b, b - a])
            day += timedelta(days=1)
        return [Shift(_kind(datetime.fromtimestamp(a / 1000, self._zone)), a, b) for a, b, _ in spans]

    def _less_stops(self, a: int, b: int) -> tuple[int, int]:
        """A window without what planned stops cover of it (whole days: they take its begin, its end or all of it)."""
        assert self.calendar is not None
        for first, last in self.calendar.closed:
            shut, again = _ms(instant(first, 0, self._zone)), _ms(instant(last, DAY_MINUTES, self._zone))
            if shut <= a < again:
                a = again
            elif a < shut < b:
                b = shut
        return a, b


def kept(plant: Plant) -> Calendar | None:
    """The calendar that most stations keep (the first of those named alike often), None where most are always open."""
    count = Counter(s.calendar for s in plant.stations)
    if not count or not plant.calendars:
        return None
    name = max(count, key=lambda c: count[c])
    return next((c for c in plant.calendars if c.id == name), None)


def _prolonged(shifts: list[Shift], overtime_ms: int) -> list[Shift]:
    """Ends behind which the plant closes, put off by the overtime, at most until it opens again."""
    found = []
    for i, one in enumerate(shifts):
        following = shifts[i + 1].a if i + 1 < len(shifts) else one.b + EPOCH_MS
        found.append(Shift(one.kind, one.a, min(one.b + overtime_ms, max(following, one.b))))
    return found


def _kind(begin: datetime) -> str:
    return f"{begin:%H:%M} {'weekend' if begin.weekday() >= 5 else 'weekday'}"


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
