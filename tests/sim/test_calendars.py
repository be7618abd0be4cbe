"""Opening hours in local time, across both changes of the clock."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.calendars import open_minutes, parse, transitions
from sim.plant import Calendar
from sim.units import QuantityError

BERLIN = ZoneInfo("Europe/Berlin")
HOUR = 3_600_000


def test_windows_are_parsed_and_sorted() -> None:
    assert parse("Sat 08:00-12:00, Mon-Tue 06:00-22:00") == ((0, 360, 1320), (1, 360, 1320), (5, 480, 720))
    assert parse("Mon 06:00-12:00, 13:00-17:00") == ((0, 360, 720), (0, 780, 1020))
    assert parse("Fri-Mon 22:00-06:00") == tuple((d, 1320, 1800) for d in (0, 4, 5, 6))
    assert parse("Sun 00:00-24:00") == ((6, 0, 1440),)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("06:00-22:00", "start with a day"),
        ("Mon 6-22", "correct this window"),
        ("Mo 06:00-22:00", "correct this window"),
        ("Mon-Foo 06:00-22:00", "no day"),
        ("Mon 06:00-25:00", "00:00 to 24:00"),
        ("Mon 06:61-22:00", "00:00 to 24:00"),
        ("Mon 06:00-14:00, Mon 13:00-22:00", "overlap"),
        ("Sun 20:00-08:00, Mon 06:00-10:00", "overlap"),
        ("", "correct this window"),
    ],
)
def test_wrong_windows_are_refused(text: str, why: str) -> None:
    with pytest.raises(QuantityError) as caught:
        parse(text)
    assert why in str(caught.value)


def two_shifts(start: datetime, weeks: int = 1) -> tuple[bool, list[int]]:
    is_open, ticks = transitions(Calendar("c", parse("Mon-Fri 06:00-22:00")), "Europe/Berlin", start, weeks)
    return is_open, [int(t) for t in ticks]


def test_an_ordinary_week() -> None:
    is_open, ticks = two_shifts(datetime(2026, 1, 5, tzinfo=BERLIN))
    assert not is_open
    assert ticks == [h * HOUR for day in range(5) for h in (24 * day + 6, 24 * day + 22)]


def test_a_start_within_a_shift_is_open_and_at_its_edges_exact() -> None:
    assert two_shifts(datetime(2026, 1, 5, 12, tzinfo=BERLIN))[0]
    assert two_shifts(datetime(2026, 1, 5, 6, tzinfo=BERLIN))[0]
    assert two_shifts(datetime(2026, 1, 5, 6, tzinfo=BERLIN))[1][0] == 16 * HOUR
    assert not two_shifts(datetime(2026, 1, 5, 22, tzinfo=BERLIN))[0]


def test_spring_and_autumn_move_the_shift_by_an_hour_of_physical_time() -> None:
    """29 March and 25 October 2026 are Sundays; Monday's shift opens an hour earlier, then an hour later."""
    spring = two_shifts(datetime(2026, 3, 27, 23, tzinfo=BERLIN))[1]
    assert spring[0] == (1 + 48 + 6 - 1) * HOUR
    autumn = two_shifts(datetime(2026, 10, 23, 23, tzinfo=BERLIN))[1]
    assert autumn[0] == (1 + 48 + 6 + 1) * HOUR


@pytest.mark.parametrize(("day", "hours"), [((2026, 3, 28), 7), ((2026, 10, 24), 9), ((2026, 5, 2), 8)])
def test_a_night_shift_across_the_change_is_shorter_or_longer(day: tuple[int, int, int], hours: int) -> None:
    calendar = Calendar("night", parse("Sat 22:00-06:00"))
    _, ticks = transitions(calendar, "Europe/Berlin", datetime(*day, 12, tzinfo=BERLIN), 1)
    assert ticks[1] - ticks[0] == hours * HOUR


def test_a_time_that_does_not_exist_is_the_one_an_hour_later_and_a_double_one_the_first() -> None:
    calendar = Calendar("c", parse("Sun 02:30-05:00"))
    _, spring = transitions(calendar, "Europe/Berlin", datetime(2026, 3, 29, tzinfo=BERLIN), 1)
    assert spring[0] == 2.5 * HOUR  # 03:30 summer time: two and a half hours after midnight
    assert spring[1] == 4 * HOUR
    _, autumn = transitions(calendar, "Europe/Berlin", datetime(2026, 10, 25, tzinfo=BERLIN), 1)
    assert autumn[0] == 2.5 * HOUR
    assert autumn[1] == 6 * HOUR


def test_a_calendar_that_is_always_open_never_changes() -> None:
    always = Calendar("c", parse("Mon-Sun 00:00-24:00"))
    is_open, ticks = transitions(always, "UTC", datetime(2026, 1, 7, 3, tzinfo=UTC), 60)
    assert is_open
    assert len(ticks) == 0


def test_the_length_of_a_tick_scales_the_ticks_and_a_naive_start_is_local() -> None:
    calendar = Calendar("c", parse("Mon 06:00-22:00"))
    _, ticks = transitions(calendar, "Asia/Kolkata", datetime(2026, 1, 5), 1, tick_s=60.0)
    assert ticks.tolist() == [360, 1320]
    assert ticks.dtype == np.int64


windows = st.lists(st.integers(0, 7 * 24 * 4), min_size=2, max_size=10, unique=True).filter(lambda x: len(x) % 2 == 0)


@settings(deadline=None, max_examples=40)
@given(
    windows,
    st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC"]),
    st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 31)),
    st.lists(st.integers(0, 8 * 7 * 24 * 60 - 1), min_size=20, max_size=20),
)
def test_open_at_a_moment_is_what_the_wall_clock_says(
    borders: list[int], zone: str, naive: datetime, minutes: list[int]
) -> None:
    """Against reading the local clock at random moments (skipped within an hour of a border on a day of change)."""
    borders = sorted(borders)
    spans = [(15 * a, 15 * b) for a, b in zip(borders[::2], borders[1::2], strict=True) if b - a <= 96]
    calendar = Calendar("c", tuple((a // 1440, a % 1440, a % 1440 + b - a) for a, b in spans))
    tz = ZoneInfo(zone)
    start = naive.replace(tzinfo=tz, microsecond=0)
    is_open, ticks = transitions(calendar, zone, start, 8)
    assert all(b > a for a, b in pairwise(ticks))
    for minute in minutes:
        moment = start.astimezone(UTC) + timedelta(minutes=minute)
        local = moment.astimezone(tz)
        offsets = {(moment + timedelta(hours=h)).astimezone(tz).utcoffset() for h in (-4, 0, 4)}
        if len(offsets) > 1:
            continue
        of_week = local.weekday() * 1440 + local.hour * 60 + local.minute
        by_clock = any(a <= of_week < b for a, b in spans)
        changes = int(np.searchsorted(ticks, minute * 60_000, side="right"))
        assert (is_open ^ (changes % 2 == 1)) == by_clock


def test_open_minutes_of_a_week() -> None:
    assert open_minutes(Calendar("c", parse("Mon-Fri 06:00-22:00, Sat 22:00-06:00"))) == (5 * 16 + 8) * 60


def hours_of(calendar: Calendar, start: datetime, weeks: int = 1) -> tuple[bool, list[float]]:
    is_open, ticks = transitions(calendar, "Europe/Berlin", start, weeks)
    return is_open, [int(t) / HOUR for t in ticks]


def test_breaks_close_within_the_opening_hours() -> None:
    calendar = Calendar(
        "c", parse("Mon 06:00-14:00, Tue 22:00-06:00"), breaks=parse("Mon 09:00-09:15, Wed 01:00-02:00")
    )
    is_open, hours = hours_of(calendar, datetime(2026, 1, 5, tzinfo=BERLIN))
    assert not is_open
    assert hours == [6, 9, 9.25, 14, 46, 49, 50, 54]
    assert open_minutes(calendar) == 16 * 60 - 75


def test_a_break_at_the_edge_moves_the_opening() -> None:
    calendar = Calendar("c", parse("Mon 06:00-14:00"), breaks=parse("Mon 06:00-06:30, 13:30-14:00"))
    assert hours_of(calendar, datetime(2026, 1, 5, tzinfo=BERLIN)) == (False, [6.5, 13.5])


def test_planned_stops_are_whole_local_days() -> None:
    closed = ((date(2026, 1, 6), date(2026, 1, 7)), (date(2026, 1, 9), date(2026, 1, 9)))
    calendar = Calendar("c", parse("Mon-Fri 06:00-22:00, Thu 22:00-02:00"), closed=closed)
    _, hours = hours_of(calendar, datetime(2026, 1, 5, tzinfo=BERLIN))
    assert hours == [6, 22, 72 + 6, 96], "Thursday's night shift ends where Friday's stop begins"


def test_a_stop_over_the_change_of_the_clock_has_23_hours() -> None:
    """29 March 2026: the clock jumps from 02:00 to 03:00."""
    calendar = Calendar("c", parse("Mon-Sun 00:00-24:00"), closed=((date(2026, 3, 29), date(2026, 3, 29)),))
    is_open, hours = hours_of(calendar, datetime(2026, 3, 28, tzinfo=BERLIN))
    assert is_open
    assert hours == [24, 24 + 23]


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_changes_are_those_of_a_clock_that_asks_every_quarter_of_an_hour(data: st.DataObject) -> None:
    """Open, breaks and stops combined against the plain definition, in local time, over both changes of the clock."""
    quarter = st.integers(0, 95).map(lambda q: 15 * q)
    windows = st.lists(st.tuples(st.integers(0, 6), quarter, st.integers(1, 60).map(lambda q: 15 * q)), max_size=4)

    def made(spans: list[tuple[int, int, int]]) -> tuple[tuple[int, int, int], ...]:
        return tuple(sorted((day, begin, begin + length) for day, begin, length in spans))

    begin = data.draw(st.sampled_from([datetime(2026, 3, 27), datetime(2026, 10, 23), datetime(2026, 1, 5)]))
    first = begin.date() + timedelta(days=data.draw(st.integers(0, 6)))
    last = first + timedelta(days=data.draw(st.integers(0, 2)))
    calendar = Calendar("c", made(data.draw(windows)), breaks=made(data.draw(windows)), closed=((first, last),))
    start = begin.replace(tzinfo=BERLIN)
    is_open, ticks = transitions(calendar, "Europe/Berlin", start, 1)
    for n in range(1, 7 * 96, 7):
        instant = start.astimezone(UTC) + timedelta(minutes=15 * n, seconds=1)
        changes = int((ticks <= (15 * n * 60 + 1) * 1000).sum())
        assert is_open ^ bool(changes % 2) == asked(calendar, instant)


def asked(calendar: Calendar, instant: datetime) -> bool:
    """Whether a calendar is open at an instant, from its definition: no window or stop is turned into changes."""

    def inside(windows: tuple[tuple[int, int, int], ...]) -> bool:
        today = instant.astimezone(BERLIN).date()
        for back in range(3):
            day = today - timedelta(days=back)
            for weekday, a, b in windows:
                if weekday == day.weekday() and wall(day, a) <= instant < wall(day, b):
                    return True
        return False

    stopped = any(wall(a, 0) <= instant < wall(b, 1440) for a, b in calendar.closed)
    return inside(calendar.open) and not inside(calendar.breaks) and not stopped


def wall(day: date, minute: int) -> datetime:
    local = datetime(day.year, day.month, day.day) + timedelta(minutes=minute)
    return local.replace(tzinfo=BERLIN).astimezone(UTC)
