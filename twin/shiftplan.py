"""Does the plant work when its calendar says so? Counted ends against opening hours.

A calendar is written once and lived differently: a break is longer, Friday ends early, somebody works on Saturday. A
forecast over a shift cannot be better than its hours, so what differs is named, with a calendar that would fit. Nothing
is concluded from stretches in which nothing at all was heard.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from statistics import median
from typing import Any

from sim.calendars import zone
from sim.plant import Plant
from twin.hours import Hours

SLOT_MS = 300_000
DAY_SLOTS = 288
WEEK_SLOTS = 7 * DAY_SLOTS
KEPT_SLOTS = 3 * WEEK_SLOTS
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
LEAST_PARTS = 2.0
"""Ends in a usual slot below which a quiet one says nothing."""
DAILY = 0.75
"""Share of the days on which a stretch must be quiet to be a rule."""
LEAST_DAILY, LEAST_ONCE, LEAST_WORKED = 2, 12, 6
"""Slots: least length of what is so every day, of what is so on one day of the week, of work in closed time."""


@dataclass(frozen=True, slots=True)
class Difference:
    """`what` "works" or "stands"; weekdays (0 Monday) and slots of the day, `last` behind the end; on how many days it
    was so, of how many.
    """

    what: str
    days: tuple[int, ...]
    first: int
    last: int
    seen: int
    of: int

    @property
    def text(self) -> str:
        """Such as: stands Mon-Fri 10:30-10:55 although the calendar says open (5 of 5 days)."""
        days = DAYS[self.days[0]] + (f"-{DAYS[self.days[-1]]}" if len(self.days) > 1 else "")
        said = "open" if self.what == "stands" else "closed"
        hours = f"{_clock(self.first)}-{_clock(self.last)}"
        return f"{self.what} {days} {hours} although the calendar says {said} ({self.seen} of {self.of} days)"


def differences(plant: Plant, active: Mapping[int, int]) -> list[Difference]:
    """What the counts contradict. `active`: counted ends by slot number (plant ms // `SLOT_MS`), 0 where something was
    heard but nothing ended; slots in which nothing was heard are missing.
    """
    if not plant.calendars or not active:
        return []
    days = _days(plant, active)
    usual = [n for row in days.values() for open_, n in row.values() if open_ and n]
    if not usual or median(usual) < LEAST_PARTS:
        return []
    found: list[Difference] = []
    for kind in ("stands", "works"):
        found += _by_rule(kind, days)
    return [one for one in found if one.what == "stands" or _enough(one, days, median(usual))]


Slots = dict[int, tuple[bool, int]]


def _days(plant: Plant, active: Mapping[int, int]) -> dict[tuple[int, int], Slots]:
    """By (day number, weekday) and slot of the day: whether any calendar is open, and how many ended."""
    hours, local = Hours(plant), zone(plant.timezone)
    found: dict[tuple[int, int], Slots] = {}
    for slot, n in active.items():
        t = slot * SLOT_MS
        at = datetime.fromtimestamp(t / 1000, UTC).astimezone(local)
        opened = any(hours.open_ms(c.id, t, t + SLOT_MS) > SLOT_MS // 2 for c in plant.calendars)
        row = found.setdefault((at.toordinal(), at.weekday()), {})
        row[(at.hour * 60 + at.minute) // 5] = (opened, n)
    return found


def _by_rule(what: str, days: dict[tuple[int, int], Slots]) -> list[Difference]:
    def odd(row: Slots, k: int) -> bool:
        opened, n = row.get(k, (what == "works", 0 if what == "works" else 1))
        return (opened and n == 0) if what == "stands" else (not opened and n > 0)

    def known(row: Slots, k: int) -> bool:
        return k in row and row[k][0] == (what == "stands")

    found: list[Difference] = []
    named: set[tuple[int, int]] = set()
    share = [[(odd(r, k), known(r, k)) for r in days.values()] for k in range(DAY_SLOTS)]
    often = [sum(o for o, _ in s) >= DAILY * max(sum(h for _, h in s), 3) for s in share]
    for first, last in _runs(often, LEAST_DAILY if what == "stands" else LEAST_WORKED):
        weekdays = sorted({w for (_, w), row in days.items() if any(known(row, k) for k in range(first, last))})
        heard = [[odd(row, k) for k in range(first, last) if known(row, k)] for row in days.values()]
        seen, of = sum(bool(h) and all(h) for h in heard), sum(map(bool, heard))
        found.append(Difference(what, tuple(weekdays), first, last, seen, of))
        named |= {(w, k) for w in weekdays for k in range(first, last)}
    for weekday in range(7):
        rows = [row for (_, w), row in days.items() if w == weekday]
        flags = [
            (weekday, k) not in named and any(known(r, k) for r in rows) and all(odd(r, k) for r in rows if known(r, k))
            for k in range(DAY_SLOTS)
        ]
        if what == "works":
            flags = _bridged(flags, rows)
        for first, last in _runs(flags, LEAST_ONCE if what == "stands" else LEAST_WORKED):
            if what == "stands" and not _at_an_edge(rows, first, last):
                continue  # in the middle of a shift once: a failure does that too
            n = sum(any(known(r, k) for k in range(first, last)) for r in rows)
            found.append(Difference(what, (weekday,), first, last, n, n))
    return found


def _enough(one: Difference, days: dict[tuple[int, int], Slots], usual: float) -> bool:
    """Is more than a quarter of the usual made in closed time? What a part in hand or a repair leaves over is less."""
    rows = [row for (_, weekday), row in days.items() if weekday in one.days]
    parts = sum(row.get(k, (False, 0))[1] for row in rows for k in range(one.first, one.last))
    heard = sum(k in row for row in rows for k in range(one.first, one.last))
    return parts > 0.25 * usual * heard


def _bridged(flags: list[bool], rows: list[Slots]) -> list[bool]:
    """Quiet slots of closed time between two with work belong to it, up to an hour."""
    out, since = flags.copy(), None
    for k, flag in enumerate(flags):
        if flag:
            if since is not None and 1 < k - since <= 12:
                out[since:k] = [True] * (k - since)
            since = k
        elif any(row.get(k, (False, 0))[0] for row in rows):
            since = None
    return out


def _at_an_edge(rows: list[Slots], first: int, last: int) -> bool:
    """Does the stretch begin with an opening or end with a closing?"""
    return not all(any(row.get(k, (False, 0))[0] for row in rows) for k in (first - 1, last))


def _runs(flags: list[bool], least: int) -> list[tuple[int, int]]:
    found, first = [], None
    for k, flag in enumerate([*flags, False]):
        if flag and first is None:
            first = k
        elif not flag and first is not None:
            if k - first >= least:
                found.append((first, k))
            first = None
    return found


def proposed(plant: Plant, active: Mapping[int, int]) -> dict[str, Any]:
    """`{hours: [text of each difference], open: {calendar: opening hours that fit, breaks included}}` as plain data."""
    found = differences(plant, active)
    calendars = plant.calendars if found else ()
    return {"hours": [one.text for one in found], "open": {c.id: opening_hours(plant, c.id, found) for c in calendars}}


def opening_hours(plant: Plant, calendar: str, found: list[Difference]) -> str:
    """`open:` of a calendar that fits what was seen, breaks included, shifts apart where the calendar has them apart;
    "" where it would never be open.
    """
    hours, local = Hours(plant), zone(plant.timezone)
    monday = datetime(2026, 1, 5, tzinfo=local)
    t0 = round(monday.timestamp() * 1000)
    week = [hours.open_ms(calendar, t0 + k * SLOT_MS, t0 + (k + 1) * SLOT_MS) * 2 > SLOT_MS for k in range(WEEK_SLOTS)]
    for one in found:
        for day in one.days:
            span = range(day * DAY_SLOTS + one.first, day * DAY_SLOTS + one.last)
            for k in span:
                week[k] = one.what == "works"
    pieces = _windows(week, _changes(plant, calendar))
    return ", ".join(f"{DAYS[first // DAY_SLOTS]} {_clock(first)}-{_clock(last)}" for first, last in pieces)


def _changes(plant: Plant, calendar: str) -> set[int]:
    """Slots of the week at which one shift of a calendar as written ends and the next begins."""
    windows = next(c.open for c in plant.calendars if c.id == calendar)
    begins = {(day * 1440 + begin) % 10_080 for day, begin, _ in windows}
    return {t // 5 for t in begins & {(day * 1440 + end) % 10_080 for day, _, end in windows}}


def _windows(week: list[bool], changes: set[int]) -> list[tuple[int, int]]:
    """Open stretches of a week (the end may lie beyond it), apart at the changes of shift and never over a day long."""
    found: list[tuple[int, int]] = []
    for first, last in _runs(week, 1):
        edges = [first, *(k for k in sorted(changes) if first < k < last), last]
        found += list(pairwise(edges))
    if len(found) > 1 and found[0][0] == 0 and found[-1][1] == WEEK_SLOTS and 0 not in changes:
        found = [*found[1:-1], (found[-1][0], WEEK_SLOTS + found[0][1])]
    short: list[tuple[int, int]] = []
    for first, last in found:
        midnights = range(first - first % DAY_SLOTS + DAY_SLOTS, last, DAY_SLOTS) if last - first > DAY_SLOTS else ()
        short += list(pairwise([first, *midnights, last]))
    return [(a % WEEK_SLOTS, b) for a, b in short]


def _clock(slot: int) -> str:
    return f"{slot // 12 % 24:02d}:{slot % 12 * 5:02d}"
