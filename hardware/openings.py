"""Opening hours of the virtual plant: weekly local times turned into seconds since the plant's start."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from sim.plant import Calendar, Plant

if TYPE_CHECKING:
    from simpy import Environment, Event


def start_of(plant: Plant) -> datetime:
    """Tick 0 as an aware UTC time."""
    start = plant.start if plant.start.tzinfo else plant.start.replace(tzinfo=ZoneInfo(plant.timezone))
    return start.astimezone(UTC)


def _raw(calendar: Calendar, zone: ZoneInfo, origin: datetime) -> Iterator[tuple[float, float]]:
    day = (origin.astimezone(zone) - timedelta(days=2)).replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
    while True:
        for weekday, first, last in calendar.open:
            if weekday == day.weekday():
                pair = [(day + timedelta(minutes=m)).replace(tzinfo=zone) for m in (first, last)]
                yield (pair[0] - origin).total_seconds(), (pair[1] - origin).total_seconds()
        day += timedelta(days=1)


def spans(calendar: Calendar, timezone: str, origin: datetime) -> Iterator[tuple[float, float]]:
    """Open intervals [from, to) in seconds since `origin`, ascending, touching ones joined up to four weeks."""
    if not calendar.open:
        return
    held: tuple[float, float] | None = None
    for low, high in _raw(calendar, ZoneInfo(timezone), origin):
        if held is not None and low <= held[1] and held[1] - held[0] < 28 * 86400:
            held = (held[0], max(held[1], high))
            continue
        if held is not None and held[1] > 0:
            yield held
        held = (low, high)


class Opening:
    """One calendar in force: `open` now, since `opened_at`; each change fires `changed` and calls `on_change`."""

    def __init__(
        self, env: Environment, calendar: Calendar, plant: Plant, on_change: Callable[[Opening], None]
    ) -> None:
        self.id = calendar.id
        self.open = False
        self.opened_at = -1e18
        self.changed = env.event()
        self._env = env
        self._spans = spans(calendar, plant.timezone, start_of(plant))
        self._on_change = on_change
        env.process(self._life())

    def _life(self) -> Generator[Event, Any, None]:
        closes = -1e18
        for low, high in self._spans:
            if low > self._env.now:
                if self.open:
                    self._set(False)
                yield self._env.timeout(low - self._env.now)
            if not self.open or low > closes:
                self.opened_at = max(low, 0.0)
                self._set(True)
            closes = high
            yield self._env.timeout(high - self._env.now)
        if self.open:
            self._set(False)

    def _set(self, value: bool) -> None:
        self.open = value
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
