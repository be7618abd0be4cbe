"""Rules about the one sequence of a source."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from ingest.conformance_log import Item, Log, Unjudged


def sequence_first(log: Log) -> Iterator[tuple[Item | None, str]]:
    """No number lies below the first one that the birth declares."""
    born = log.births()
    for item in log.items:
        number = item.number
        if number is not None and number[0] in born and number[1] < born[number[0]].s:
            yield item, f"number {number[1]} of epoch {number[0]}, whose first is {born[number[0]].s}"


def once(log: Log) -> Iterator[tuple[Item | None, str]]:
    """The same number never carries another content."""
    known: dict[tuple[str, int], Item] = {}
    for item in log.items:
        number = item.number
        if number is None:
            continue
        first = known.setdefault(number, item)
        if first is not item and same(first) != same(item):
            yield item, f"number {number[1]} of epoch {number[0]} came before with another content"


def same(item: Item) -> object:
    """What must not change when a number is sent again: history is data with a flag, in any order of its fields."""
    if item.kind == "hist" and item.payload is not None:
        p = item.payload
        return ("data", p.e, p.s, p.t0, p.i, p.dt, p.v, p.q)
    if item.kind == "data" and item.payload is not None:
        p = item.payload
        return ("data", p.e, p.s, p.t0, p.i, p.dt, p.v, p.q)
    return (item.kind, item.ident, item.seen.body)


def holes(log: Log) -> Iterator[tuple[Item | None, str]]:
    """Every number between the lowest and the highest seen came, or is covered by a gap record."""
    numbers: dict[str, set[int]] = {}
    last_of: dict[str, Item] = {}
    for item in log.items:
        number = item.number
        if number is None:
            continue
        numbers.setdefault(number[0], set()).add(number[1])
        last_of[number[0]] = item
        if item.kind == "gap" and item.payload is not None and item.payload.to - item.payload.from_ < 1_000_000:
            numbers[number[0]].update(range(item.payload.from_, item.payload.to + 1))
    if not numbers:
        raise Unjudged("no numbered message came")
    backlog = bool(log.kind("hist")) or any(i.kind == "req" and i.payload for i in log.asked)
    waits = ""
    for epoch, seen in numbers.items():
        missing = _missing(seen)
        if not missing:
            continue
        low, high = missing[0]
        text = f"{low}" if low == high else f"{low}..{high}"
        why = f"epoch {epoch}: {text} never came and no gap record covers it"
        if backlog:
            waits = f"{why}; the backlog may still be on its way: record for longer"
        else:
            yield last_of[epoch], why
    if waits:
        raise Unjudged(waits)


def _missing(seen: set[int]) -> list[tuple[int, int]]:
    ordered = sorted(seen)
    return [(a + 1, b - 1) for a, b in pairwise(ordered) if b > a + 1]


def took_turns(log: Log) -> Iterator[tuple[Item | None, str]]:
    """After the birth of a new epoch nothing of an older one comes."""
    old: set[str] = set()
    now = ""
    for item in log.items:
        if item.kind == "birth" and item.payload is not None and item.payload.e != now:
            if item.payload.e in old:
                yield item, f"epoch {item.payload.e} was replaced before: an epoch does not come back"
            old.add(now)
            now = item.payload.e
        number = item.number
        if number is not None and number[0] in old and number[0] != now:
            yield item, f"epoch {number[0]} goes on after the birth of {now}"
