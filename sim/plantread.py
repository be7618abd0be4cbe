"""The smaller sections of a plant file: calendars, crews, operators, energy, controls, limits.

Every reader takes the section's mapping and records what is wrong with it; what it returns may then hold defaults, and
the file as a whole is refused. References between sections are checked by `sim.plantcheck`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import date

from sim.calendars import DAY_MINUTES, WEEK_MINUTES
from sim.plant import Calendar, Control, Crew, Limit, Pool, Tariff
from sim.plantdraft import ALWAYS, Draft, named
from sim.schema import Reader, words
from sim.sections import CALENDAR, CREW, POOL
from sim.sections_supply import BAND, CONTROL, ENERGY_SECTION, LIMIT
from sim.settings import action_class
from sim.units import QuantityError, number, whole
from sim.yamlfile import Item, WrongKindError, convert

_DAYS = re.compile(r"(\d{4}-\d{2}-\d{2})(?:\s+to\s+(\d{4}-\d{2}-\d{2}))?\Z")


def read_calendars(draft: Draft, entries: dict[str, Item]) -> list[Calendar]:
    result = []
    for name, item in named(draft, "calendars", "calendar", entries).items():
        r = Reader(draft, item, CALENDAR)
        if name == ALWAYS:
            item.fail(f"another name than '{ALWAYS}'", "this word means open at all times", f"'{name}'")
        calendar = Calendar(
            id=name,
            open=r["open"],
            at_close=r["at_close"] or draft.conventions["at_close"],
            breaks=r["breaks"],
            closed=_closed(r),
            overtime=r["overtime"],
            overtime_cost=r["overtime_cost"],
        )
        if calendar.breaks and _outside(calendar):
            r.entries["breaks"].fail("breaks within the opening hours", "correct the times of one of them")
        result.append(calendar)
    return result


def _outside(calendar: Calendar) -> bool:
    """Whether a break is not inside one opening window of the week."""
    spans = [(day * DAY_MINUTES + a, day * DAY_MINUTES + b) for day, a, b in calendar.open]
    spans += [(a + WEEK_MINUTES, b + WEEK_MINUTES) for a, b in spans]
    for day, a, b in calendar.breaks:
        begin, end = day * DAY_MINUTES + a, day * DAY_MINUTES + b
        shifted = [(begin, end), (begin + WEEK_MINUTES, end + WEEK_MINUTES)]
        if not any(x <= s and e <= y for s, e in shifted for x, y in spans):
            return True
    return False


def _closed(r: Reader) -> tuple[tuple[date, date], ...]:
    """Planned stops as (first day, last day), sorted."""
    if not r.has("closed"):
        return ()
    item = r.entries["closed"]
    texts: list[str] = []
    try:
        texts = [part.strip() for text in words(item) for part in text.split(",")]
    except WrongKindError as err:
        item.problems.error(item.line, str(err))
    days = []
    for text in texts:
        match = _DAYS.match(text)
        try:
            first = date.fromisoformat(match.group(1)) if match else None
            last = date.fromisoformat(match.group(2)) if match and match.group(2) else first
        except ValueError:
            first = last = None
        if first is None or last is None or last < first:
            item.fail("days such as '2026-12-24' or '2026-12-24 to 2027-01-01'", "correct this one", f"'{text}'")
            continue
        days.append((first, last))
    return tuple(sorted(days))


def read_crews(draft: Draft, entries: dict[str, Item]) -> list[Crew]:
    found = named(draft, "crews", "crew", entries)
    return [Crew(name, Reader(draft, item, CREW)["size"]) for name, item in found.items()]


def read_pools(draft: Draft, entries: dict[str, Item]) -> list[Pool]:
    found = named(draft, "operators", "pool", entries)
    return [Pool(name, Reader(draft, item, POOL)["size"]) for name, item in found.items()]


def read_tariff(draft: Draft, item: Item) -> Tariff | None:
    """Prices by hour of the week; every hour has one band, and one band may be the rest."""
    r = Reader(draft, item, ENERGY_SECTION)
    _ = r["tariff"]
    prices: list[float] = []
    hours: list[int | None] = [None] * 168
    rest: int | None = None
    for name, entry in named(draft, "energy.tariff", "band", r.mapping("tariff")).items():
        band = Reader(draft, entry, BAND)
        windows = band["hours"]
        if windows is None:
            if rest is not None:
                entry.fail("one band without hours", "give this one its hours", "two")
            rest = len(prices)
        elif any(a % 60 or b % 60 for _, a, b in windows):
            band.entries["hours"].fail("whole hours", "energy prices change on the hour")
        else:
            for day, a, b in windows:
                for hour in range(day * 24 + a // 60, day * 24 + b // 60):
                    if hours[hour % 168] is not None:
                        band.entries["hours"].fail("hours that no other band has", f"shorten '{name}' or the other")
                        break
                    hours[hour % 168] = len(prices)
        prices.append(band["price"])
    if not prices:
        return None
    if rest is None and None in hours:
        r.entries["tariff"].fail(
            "a price for every hour", "leave 'hours' out in one band: it is the rest", "hours without"
        )
    return Tariff(tuple(prices), tuple((rest or 0) if h is None else h for h in hours), r["co2"])


def read_controls(draft: Draft, entries: dict[str, Item]) -> list[Control]:
    result = []
    for name, item in named(draft, "controls", "control", entries).items():
        r = Reader(draft, item, CONTROL)
        sets = r["sets"]
        overtime = sets.endswith(".overtime")
        low_most = -1000 if ".dispatch." in sets or sets.endswith(".reorder") else 0
        value: Callable[[str], int] = draft.scale.ticks if overtime else lambda t, low=low_most: whole(t, low)  # type: ignore[misc]
        for key, entry in r.entries.items():
            draft.see(("controls", name, key), entry)
        low = _number(r, "from", value, 0)
        high = _number(r, "to", value, low)
        if high < low:
            r.entries["to"].fail(f"a value of at least 'from' ({low})", "exchange them")
        minute = max(1, draft.scale.ticks("1 min")) if overtime else 1
        step = _number(r, "step", draft.scale.ticks if overtime else lambda t: whole(t, 1), minute)
        if step < 1:
            r.entries["step"].fail("a step above 0", "write the distance of two values")
            step = 1
        klass = r["class"]
        supposed = action_class(sets)
        if klass is not None and klass != supposed:
            r.entries["class"].fail(f"'{supposed}' for what it sets", "correct the class or leave it out")
        result.append(
            Control(name, sets, low, high, step, r["every"], supposed, r["worth"], r["approve"]),
        )
    return result


def _number(r: Reader, key: str, read: Callable[[str], int], default: int) -> int:
    _ = r[key]  # records its absence where it is required
    return convert(r.entries[key], read, default) if r.has(key) else default


_THEN = re.compile(r"^\s*(\S+?)\s*(<=|>=|==|!=|<|>)\s*(\S.*?)\s*$")


def read_limits(draft: Draft, items: list[Item]) -> list[Limit]:
    result = []
    for n, item in enumerate(items, 1):
        draft.where[f"limits.{n}"] = item.line
        r = Reader(draft, replace(item, what=f"limit {n}"), LIMIT)
        condition, then = r["if"], r["then"]
        match = _THEN.match(then)
        if match is None:
            if then:
                r.entries["then"].fail("'CONTROL <= NUMBER' (or >=, <, >, ==, !=)", "write it so")
            result.append(Limit(condition, "", "<=", 0.0))
            continue
        result.append(
            Limit(condition, match.group(1), match.group(2), _bound(draft, r.entries["then"], match.group(3)))
        )
    return result


def _bound(draft: Draft, item: Item, text: str) -> float:
    """The number of a limit; a time in ticks where overtime is meant."""
    try:
        return float(draft.scale.ticks(text)) if text[-1:].isalpha() else number(text)
    except QuantityError as err:
        item.fail("a number after the comparison", err.todo)
        return 0.0
