"""Opening hours of the virtual plant: weekly local times turned into seconds since the plant's start."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from datetime import UTC, datetime, timedelta
from itertools import chain, pairwise
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from sim.plant import Calendar, Plant

if TYPE_CHECKING:
    from simpy import Environment, Event


def start_of(plant: Plant) -> datetime:
    """Tick 0 as an aware UTC time."""
    start = plant.start if plant.start.tzinfo else plant.start.replace(tzinfo=ZoneInfo(plant.timezone))
    return start.astimezone(UTC)


def _windows(
    hours: tuple[tuple[int, int, int], ...], zone: ZoneInfo, origin: datetime
) -> Iterator[tuple[float, float]]:
    """Weekly windows as seconds since `origin`, ascending, without end."""
    day = (origin.astimezone(zone) - timedelta(days=2)).replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
    while True:
        for weekday, first, last in hours:
            if weekday == day.weekday():
                pair = [(day + timedelta(minutes=m)).replace(tzinfo=zone) for m in (first, last)]
                yield (pair[0] - origin).total_seconds(), (pair[1] - origin).total_seconds()
        day += timedelta(days=1)


def _stops(calendar: Calendar, zone: ZoneInfo, origin: datetime) -> list[tuple[float, float]]:
    """Planned stops of whole local days, as seconds since `origin`, ascending."""
    found = []
    for first, last in calendar.closed:
        begin = datetime(first.year, first.month, first.day, tzinfo=zone)
        end = datetime(last.year, last.month, last.day, tzinfo=zone) + timedelta(days=1)
        found.append(((begin - origin).total_seconds(), (end - origin).total_seconds()))
    return sorted(found)


def spans(calendar: Calendar, timezone: str, origin: datetime) -> Iterator[tuple[float, float]]:
    """Weekly hours [from, to) in seconds since `origin`, ascending, touching ones joined up to four weeks."""
    if not calendar.open:
        return
    held: tuple[float, float] | None = None
    for low, high in _windows(calendar.open, ZoneInfo(timezone), origin):
        if held is not None and low <= held[1] and held[1] - held[0] < 28 * 86400:
            held = (held[0], max(held[1], high))
            continue
        if held is not None and held[1] > 0:
            yield held
        held = (low, high)


def open_spans(calendar: Calendar, timezone: str, origin: datetime) -> Iterator[tuple[float, float, bool]]:
    """Open intervals [from, to) without breaks and planned stops; the third says whether a shift begins there."""
    zone = ZoneInfo(timezone)
    stops = _stops(calendar, zone, origin)
    breaks = _windows(calendar.breaks, zone, origin) if calendar.breaks else iter(())
    coming: list[tuple[float, float]] = []
    read = -1e18
    for low, high in spans(calendar, timezone, origin):
        while calendar.breaks and read < high:
            coming.append(next(breaks))
            read = coming[-1][0]
        coming = [b for b in coming if b[1] > low]
        begins, at = True, low
        for since, until in sorted([*coming, *stops]):
            if until <= at or since >= high:
                continue
            if since > at:
                yield at, since, begins
                begins = False
            at = until
            if (since, until) in stops:
                begins = True
        if at < high:
            yield at, high, begins


class Opening:
    """One calendar in force: `open` now; each change fires `changed` and calls `on_change`.

    `opened_at` is the beginning of the present shift (a break does not end it); `begins_shift` tells, at a change,
    whether one has just begun, `shifts` how many have. `overtime` gives the seconds by which a closing is put off.
    """

    def __init__(
        self,
        env: Environment,
        calendar: Calendar,
        plant: Plant,
        on_change: Callable[[Opening], None],
        overtime: Callable[[str], float] = lambda _: 0.0,
    ) -> None:
        self.id = calendar.id
        self.open = self.begins_shift = False
        self.opened_at = -1e18
        self.shifts = 0
        self.changed = env.event()
        self._env, self._overtime = env, overtime
        self._spans = pairwise(chain(open_spans(calendar, plant.timezone, start_of(plant)), [None]))
        self._on_change = on_change
        env.process(self._life())

    def _life(self) -> Generator[Event, Any, None]:
        for span, following in self._spans:
            assert span is not None  # only the last one has none behind it
            low, high, begins = span
            if high <= self._env.now:
                continue
            if low > self._env.now:
                yield self._env.timeout(low - self._env.now)
            if not self.open:
                if begins:
                    self.opened_at = max(low, 0.0)
                    self.shifts += 1
                self._set(True, begins)
            yield self._env.timeout(high - self._env.now)
            reopens = following[0] if following is not None else 1e18
            extra = min(self._overtime(self.id), reopens - high)
            if extra > 0:
                yield self._env.timeout(extra)
            if reopens > self._env.now:
                self._set(False, False)

    def _set(self, value: bool, begins_shift: bool) -> None:
        self.open, self.begins_shift = value, begins_shift
        past, self.changed = self.changed, self._env.event()
        past.succeed()
        self._on_change(self)


def open_time(env: Environment, seconds: float, opening: Opening | None) -> Generator[Event, Any, None]:
    """Let `seconds` of open time go by (a paused clock keeps what it has left)."""
    if opening is None:
        yield env.timeout(seconds)
        return
    while True:
        while not opening.open:
            yield opening.changed
        since = env.now
        yield env.timeout(seconds) | opening.changed
        seconds -= env.now - since
        if seconds <= 1e-9:
            return
