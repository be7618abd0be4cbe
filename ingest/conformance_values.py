"""Rules about what messages say: counters, states, types, assertions, plant time."""

from __future__ import annotations

from collections.abc import Iterator

from ingest.codes import BAD, UNIT_STATES
from ingest.conformance_log import Item, Log, Unjudged
from ingest.payloads import Tag

COUNTED = frozenset({"work_start", "work_end", "part_in", "part_out", "scrap"})
"""Kinds of events that lead to a counter."""
STATED = frozenset({"state", "setup", "setup_end", "up"})
"""Kinds of events that lead to a state of a unit."""
AHEAD_MS = 120_000
"""A clock may be so far ahead (wall time) before it is called wrong."""
BEHIND_MS = 30 * 86_400_000
"""No gateway is expected to have kept anything for longer (plant time)."""


def _readings(log: Log) -> Iterator[tuple[Item, Tag, float, int]]:
    """(message, tag, value, plant ms) of every reading that is not bad, by epoch and number."""
    tags: dict[str, dict[int, Tag]] = {}
    for item in log.kind("birth"):
        tags.setdefault(item.payload.e, {}).update({tag.i: tag for tag in item.payload.tags})
    for item in _once(log.kind("data", "hist")):
        p = item.payload
        for i, dt, v, q in zip(p.i, p.dt, p.v, p.q, strict=True):
            tag = tags.get(p.e, {}).get(i)
            if tag is not None and q != BAD:
                yield item, tag, v, p.t0 + dt


def _once(items: list[Item]) -> list[Item]:
    """Messages in the order of their numbers, each once: what is sent again must not count again."""
    first: dict[tuple[str, int], Item] = {}
    for item in items:
        first.setdefault((item.payload.e, item.payload.s), item)
    return [first[key] for key in sorted(first)]


def counters(log: Log) -> Iterator[tuple[Item | None, str]]:
    """A counter never falls inside an epoch."""
    newest: dict[tuple[str, str], float] = {}
    counted = False
    for item, tag, value, _ in _readings(log):
        if tag.type != "counter":
            continue
        counted = True
        key = (item.payload.e, tag.name)
        if value < newest.get(key, 0):
            yield item, f"{tag.name} fell from {newest.get(key, 0):g} to {value:g} inside epoch {item.payload.e}"
        newest[key] = max(value, newest.get(key, 0))
    for item in _once(log.kind("event")):
        event = item.payload
        if event.count is None:
            continue
        counted = True
        key = (event.e, f"{event.thing}/{event.kind}/{event.product or ''}/{event.unit or ''}/{event.step or ''}")
        if event.count < newest.get(key, 0):
            yield item, f"count of {event.thing} {event.kind} fell from {newest[key]:g} to {event.count}"
        newest[key] = event.count
    if not counted:
        raise Unjudged("no counter and no counted event came")


def states(log: Log) -> Iterator[tuple[Item | None, str]]:
    """A state is a position in its tag's enumeration; an event's state is a state's name."""
    judged = False
    for item, tag, value, _ in _readings(log):
        if tag.type == "enum" and value == int(value):
            judged = True
            names = tag.enum if tag.enum is not None else list(UNIT_STATES)
            if not 0 <= value < len(names):
                yield item, f"{tag.name}: state {value:g}, its enumeration has {len(names)} names (from 0)"
    for item in log.kind("event"):
        event = item.payload
        if event.kind in STATED and event.state is not None:
            judged = True
            if event.state not in UNIT_STATES:
                yield item, f"{event.thing} {event.kind}: state {event.state!r} is none of {', '.join(UNIT_STATES)}"
    if not judged:
        raise Unjudged("no state came")


def types(log: Log) -> Iterator[tuple[Item | None, str]]:
    """Whole numbers where the birth says so; counters are not negative."""
    for item, tag, value, _ in _readings(log):
        if tag.type != "float" and value != int(value):
            yield item, f"{tag.name} is of type {tag.type}, found {value:g}"
        elif tag.type == "counter" and value < 0:
            yield item, f"{tag.name} is a counter, found {value:g}"


def events_assert(log: Log) -> Iterator[tuple[Item | None, str]]:
    """Events of counted kinds carry the count, those of states the state."""
    for item in log.kind("event"):
        event = item.payload
        if event.kind in COUNTED and event.count is None:
            yield item, f"{event.thing} {event.kind} without the count it leads to"
        elif event.kind in ("state", "setup", "setup_end") and event.state is None:
            yield item, f"{event.thing} {event.kind} without the state it leads to"


def plant_time(log: Log) -> Iterator[tuple[Item | None, str]]:
    """Times are plausible: not in seconds, not ahead of plant time, not older than any outbox keeps."""
    clock = log.clock()
    if clock is None:
        raise Unjudged("plant time is not known: no birth that decodes, or a retained one without plant_time.wall")
    judged = False
    for item in log.kind("data", "hist", "event", "cmdack", "status"):
        times = _times(item)
        if not times:
            continue
        judged = True
        now = clock.at(item.seen.recv)
        ahead = AHEAD_MS * max(1.0, clock.speed)
        high, low = max(times), min(times)
        if low < 100_000_000_000:
            yield item, f"time {low} is {low / 3.6e6:.0f} h after 1970: seconds instead of milliseconds?"
        elif high > now + ahead:
            yield item, f"time {high} is {(high - now) / 1000:.0f} s ahead of plant time"
        elif low < now - BEHIND_MS and not item.seen.retained:
            yield item, f"time {low} is {(now - low) / 86_400_000:.0f} days before plant time"
    if not judged:
        raise Unjudged("nothing with a time came")


def _times(item: Item) -> list[int]:
    p = item.payload
    if item.kind in ("data", "hist"):
        return [p.t0 + dt for dt in p.dt]
    if item.kind == "status":
        return [p.ts] if p.online else []  # a will is written before its time is known
    return [p.t]
