"""When shifts begin and end: changes, breaks, planned stops, overtime, clock changes, plants without a calendar."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sim.plant import Plant
from sim.plantfile import load
from tests.twin.journals import LINE, T0
from tests.twin.test_shiftplan import week
from twin.shiftplan import differences, opening_hours, proposed
from twin.shifts import EPOCH_MS, Shift, Shifts

HOUR = 3_600_000


def plant(folder: Path, calendars: str, zone: str = "UTC", control: str = "") -> Plant:
    path = folder / "shifts.yaml"
    text = LINE.replace("sensors:\n", "").replace("timezone: UTC", f"timezone: {zone}")
    text = text.replace("limits:\n", f"{control}limits:\n") + (f"calendars:\n{calendars}" if calendars else "")
    path.write_text("\n".join(row for row in text.splitlines() if row))
    return load(str(path))


def at(day: int, hour: float, month: int = 1) -> int:
    """UTC ms of an hour of a day of 2026; Monday is 5 January."""
    return round((datetime(2026, month, 1, tzinfo=UTC) + timedelta(days=day - 1, hours=hour)).timestamp() * 1000)


def test_windows_that_adjoin_are_two_shifts_and_breaks_are_inside(tmp_path: Path) -> None:
    found = Shifts(plant(tmp_path, '  s: {open: "Mon-Fri 06:00-14:00, 14:00-22:00", breaks: "Mon-Fri 10:00-10:30"}\n'))
    early, late = Shift("06:00 weekday", at(5, 6), at(5, 14)), Shift("14:00 weekday", at(5, 14), at(5, 22))
    assert found.at(at(5, 10.2)) == early
    assert found.at(at(5, 14) - 1) == early
    assert found.at(at(5, 14)) == found.after(at(5, 13)) == late
    assert found.at(at(5, 22)) is None
    assert found.after(at(9, 21)) == Shift("06:00 weekday", at(12, 6), at(12, 14)), "over the weekend"


def test_a_gap_up_to_an_hour_is_a_break_and_saturday_is_another_kind(tmp_path: Path) -> None:
    found = Shifts(plant(tmp_path, '  s: {open: "Mon-Sat 06:00-12:00, 13:00-17:00, 19:00-21:00"}\n'))
    assert found.at(at(5, 12.5)) == Shift("06:00 weekday", at(5, 6), at(5, 17))
    assert found.at(at(5, 18)) is None
    assert found.at(at(10, 20)) == Shift("19:00 weekend", at(10, 19), at(10, 21))


def test_planned_stops_take_days_out_and_cut_a_night(tmp_path: Path) -> None:
    text = '  s: {open: "Mon-Fri 06:00-14:00, 22:00-06:00", closed: [2026-01-07]}\n'
    found = Shifts(plant(tmp_path, text))
    assert found.at(at(6, 23)) == Shift("22:00 weekday", at(6, 22), at(7, 0)), "Tuesday night ends at midnight"
    assert found.at(at(7, 8)) is None
    assert found.after(at(6, 23)) == Shift("00:00 weekday", at(8, 0), at(8, 6)), "and Wednesday night begins there"
    assert found.after(at(8, 0)) == Shift("06:00 weekday", at(8, 6), at(8, 14))


def test_overtime_puts_off_an_end_at_which_the_plant_closes(tmp_path: Path) -> None:
    control = "  extra: {sets: calendars.s.overtime, from: 0 min, to: 120 min, step: 30 min, every: 1 h, class: capacity, worth: 1 EUR, approve: operator}\n"  # noqa: E501
    text = '  s: {open: "Mon-Fri 06:00-14:00, 14:00-22:00", overtime: 60 min}\n'
    found = Shifts(plant(tmp_path, text, control=control))
    assert found.overtime_ms({}) == HOUR
    assert found.overtime_ms({"extra": 7_200_000}) == 2 * HOUR, "what is set holds, not what the file says"
    assert found.at(at(5, 13), HOUR) == Shift("06:00 weekday", at(5, 6), at(5, 14)), "the next shift follows at once"
    assert found.at(at(5, 22.5), HOUR) == Shift("14:00 weekday", at(5, 14), at(5, 23))
    assert found.at(at(5, 22.5), 0) is None
    assert found.at(at(5, 20), 20 * HOUR) == Shift("14:00 weekday", at(5, 14), at(6, 6)), "at most until it opens"


def test_local_time_and_the_change_of_the_clock(tmp_path: Path) -> None:
    """Berlin, 29 March: 22:00 to 06:00 is seven hours long."""
    found = Shifts(plant(tmp_path, '  s: {open: "Mon-Sun 22:00-06:00"}\n', "Europe/Berlin"))
    shift = found.at(at(28, 23, 3))
    assert shift == Shift("22:00 weekend", at(28, 21, 3), at(29, 4, 3))


def test_without_a_calendar_a_shift_is_eight_hours(tmp_path: Path) -> None:
    found = Shifts(plant(tmp_path, ""))
    assert found.calendar is None
    assert found.at(T0 + 1) == Shift("08:00 weekday", T0, T0 + EPOCH_MS)
    assert found.after(T0) == Shift("16:00 weekday", T0 + EPOCH_MS, T0 + 2 * EPOCH_MS)


def test_proposed_hours_keep_the_changes_of_shift_and_the_night_in_one_piece(tmp_path: Path) -> None:
    """Three shifts, the early one begins at 06:40: written out and read back the shifts are still three."""
    text = '  s: {open: "Mon-Fri 06:00-14:00, 14:00-22:00, 22:00-06:00", breaks: "Mon-Fri 10:00-10:30"}\n'
    where = plant(tmp_path, text)
    work = [(d, a, b) for d in range(5) for a, b in ((6 + 2 / 3, 10.0), (10.5, 24.0))]
    work += [(d, 0.0, 6.0) for d in range(1, 6)]
    active = week(work)
    found = differences(where, active)
    assert [one.text for one in found] == ["stands Mon-Fri 06:00-06:40 although the calendar says open (5 of 5 days)"]
    hours = opening_hours(where, "s", found)
    assert hours.startswith("Mon 06:40-10:00, Mon 10:30-14:00, Mon 14:00-22:00, Mon 22:00-06:00, Tue 06:40-10:00")
    assert proposed(where, active) == {"hours": [one.text for one in found], "open": {"s": hours}}
    again = Shifts(plant(tmp_path, f'  s: {{open: "{hours}"}}\n'))
    assert again.at(at(6, 7)) == Shift("06:40 weekday", round(at(6, 6) + 2400e3), at(6, 14))
    assert again.at(at(6, 23)) == Shift("22:00 weekday", at(6, 22), at(7, 6))


@pytest.mark.parametrize("hours", ["Mon-Sun 00:00-24:00", "Mon-Sun 22:00-06:00"])
def test_hours_that_go_round_the_week_are_written_out_as_they_are(tmp_path: Path, hours: str) -> None:
    where = plant(tmp_path, f'  s: {{open: "{hours}"}}\n')
    again = Shifts(plant(tmp_path, f'  s: {{open: "{opening_hours(where, "s", [])}"}}\n'))
    for k in range(7 * 24):
        assert again.at(at(5, k + 0.5)) == Shifts(where).at(at(5, k + 0.5))
