"""Hours that are lived differently from the calendar."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

import plantwin
from sim.plant import Plant
from sim.plantfile import load
from tests.twin.journals import LINE, Writer, write_journal
from twin.hours import Hours
from twin.shiftplan import SLOT_MS, differences, opening_hours

MONDAY = datetime(2026, 1, 5, tzinfo=UTC)
CALENDAR = """
calendars:
  day: {open: "Mon-Fri 06:00-14:00", breaks: "Mon-Fri 10:00-10:30"}
"""


@pytest.fixture
def where(tmp_path: Path) -> Plant:
    path = tmp_path / "hours.yaml"
    text = LINE.replace("sensors:\n", "") + CALENDAR
    path.write_text("\n".join(row for row in text.splitlines() if row))
    return load(str(path))


def week(working: list[tuple[int, float, float]], seed: int = 1, rate: float = 9.0) -> dict[int, int]:
    """Counts of a week in which people work in these (weekday, from hour, to hour); something is heard all the time."""
    rng = np.random.default_rng(seed)
    found = {}
    for k in range(7 * 288):
        hour = k % 288 / 12
        at = MONDAY + timedelta(minutes=5 * k)
        on = any(day == k // 288 and a <= hour < b for day, a, b in working)
        found[round(at.timestamp() * 1000) // SLOT_MS] = int(rng.poisson(rate)) if on else 0
    return found


PLAN = [(day, a, b) for day in range(5) for a, b in ((6.0, 10.0), (10.5, 14.0))]


def test_a_plan_that_is_kept_is_not_contradicted(where: Plant) -> None:
    for seed in range(10):
        assert differences(where, week(PLAN, seed)) == []


def test_a_longer_break_is_named_and_the_hours_that_fit(where: Plant) -> None:
    lived = [(day, a, b) for day in range(5) for a, b in ((6.0, 10.0), (11.0, 14.0))]
    (one,) = differences(where, week(lived))
    assert one.text == "stands Mon-Fri 10:30-11:00 although the calendar says open (5 of 5 days)"
    hours = opening_hours(where, "day", [one])
    assert hours.startswith("Mon 06:00-10:00, Mon 11:00-14:00, Tue 06:00-10:00")


def test_a_saturday_shift_and_an_early_friday_are_named(where: Plant) -> None:
    lived = [row for row in PLAN if row != (4, 10.5, 14.0)] + [(4, 10.5, 12.0), (5, 6.0, 12.0)]
    found = {one.text for one in differences(where, week(lived))}
    assert found == {
        "stands Fri 12:00-14:00 although the calendar says open (1 of 1 days)",
        "works Sat 06:00-12:00 although the calendar says closed (1 of 1 days)",
    }


def test_one_long_stop_is_no_rule(where: Plant) -> None:
    """Two hours without a part on one Wednesday, in the middle of the shift: a failure does that too."""
    lived = [row for row in PLAN if row != (2, 10.5, 14.0)] + [(2, 12.5, 14.0)]
    assert differences(where, week([*lived, (2, 10.5, 10.6)])) == []


def test_what_was_not_heard_is_no_evidence(where: Plant) -> None:
    active = week([row for row in PLAN if row != (4, 10.5, 14.0)])
    friday = round((MONDAY + timedelta(days=4, hours=10.5)).timestamp() * 1000) // SLOT_MS
    deaf = {k: n for k, n in active.items() if not friday <= k < friday + 48}
    assert differences(where, active) != []
    assert differences(where, deaf) == []
    assert differences(where, {}) == []


def test_a_slow_plant_says_nothing(where: Plant) -> None:
    """Half a part in five minutes: quiet slots are usual."""
    assert differences(where, week(PLAN, rate=0.5)) == []


def test_the_hours_written_out_are_read_back(where: Plant, tmp_path: Path) -> None:
    hours = opening_hours(where, "day", [])
    path = tmp_path / "again.yaml"
    text = LINE.replace("sensors:\n", "") + f'calendars:\n  day: {{open: "{hours}"}}\n'
    path.write_text("\n".join(row for row in text.splitlines() if row))
    ours, theirs = Hours(where), Hours(load(str(path)))
    t0 = round(MONDAY.timestamp() * 1000)
    for k in range(7 * 96):
        span = ("day", t0 + k * 900_000, t0 + (k + 1) * 900_000)
        assert ours.open_ms(*span) == theirs.open_ms(*span)


def test_calibrate_names_the_hours(where: Plant, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Four days of a journal whose counts stop from 09:00 to 10:30, of which the last half hour is the break."""
    text = Path(where.path or "").read_text(encoding="utf-8")
    path = tmp_path / "counted.yaml"
    path.write_text(text + "\nsensors:\n  - {thing: cut, property: out, product: a, tag: cut/a, type: counter}\n")
    w = Writer(load(str(path)))
    n = 0
    for day in range(4):
        for minute in range(0, 8 * 60, 2):  # the writer's time begins at 08:00
            t = day * 86_400 + minute * 60
            w.tick(t)
            if minute < 60 or minute >= 150:
                n += 1
                w.event(t, "work_end", "cut", product="a", count=n)
            else:
                w.event(t, "alarm", "cut", text="heard")
    w.tick(4 * 86_400)
    write_journal(tmp_path / "journal.db", w.rows)
    with pytest.raises(SystemExit, match="0"):
        plantwin.main(["calibrate", str(path), str(tmp_path / "journal.db"), "--json"])
    hours = json.loads(capsys.readouterr().out)["hours"]
    assert [h for h in hours if h.startswith("stands")] == [
        "stands Mon-Thu 09:00-10:00 although the calendar says open (4 of 4 days)"
    ]
