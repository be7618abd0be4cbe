"""Which numbers of a source are safely in the journal: pure functions on a small value.

A `Mark` is the contiguous high water `hw` (everything from `first` up to it is committed or covered by
a committed gap) and the sparse set above it as disjoint, sorted, non-adjacent closed runs. Its size
is the number of holes, however many numbers have gone by.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import NamedTuple

MAX_RUNS = 10_000
"""A source with more holes than this has lost its mind: further numbers are refused."""
MAX_JUMP = 10_000_000
"""A number this far beyond the newest is refused: one forged number must not open an endless hole."""


class Mark(NamedTuple):
    """`hw` = first - 1 where nothing has come yet."""

    first: int
    hw: int
    runs: tuple[tuple[int, int], ...] = ()


def begin(first: int) -> Mark:
    """The mark of an epoch whose first number is `first` and of which nothing has come."""
    return Mark(first, first - 1)


def newest(mark: Mark) -> int:
    """The highest number that is in (or covered), first - 1 when none is."""
    return mark.runs[-1][1] if mark.runs else mark.hw


def has(mark: Mark, number: int) -> bool:
    """Whether `number` is in or covered; numbers before the epoch's first count as in."""
    if number <= mark.hw:
        return True
    at = bisect_right(mark.runs, number, key=lambda run: run[0]) - 1
    return at >= 0 and number <= mark.runs[at][1]


def add(mark: Mark, low: int, high: int) -> Mark:
    """The mark with `low`..`high` (closed, low <= high) in it as well."""
    if low == mark.hw + 1 and not mark.runs:  # the case of every day
        return Mark(mark.first, high)
    low = max(low, mark.hw + 1)
    if low > high:
        return mark
    kept: list[tuple[int, int]] = []
    for a, b in mark.runs:
        if b < low - 1 or a > high + 1:
            kept.append((a, b))
        else:
            low, high = min(a, low), max(b, high)
    kept.append((low, high))
    kept.sort()
    hw = mark.hw
    if kept[0][0] == hw + 1:
        hw = kept.pop(0)[1]
    return Mark(mark.first, hw, tuple(kept))


def acceptable(mark: Mark, number: int) -> str | None:
    """None, or why a new `number` must not be taken (a sentence)."""
    if number > newest(mark) + MAX_JUMP:
        return f"number {number} is more than {MAX_JUMP} beyond the newest, {newest(mark)}"
    if len(mark.runs) >= MAX_RUNS and number > newest(mark) + 1:
        return f"there are {len(mark.runs)} holes already; number {number} must wait until they are filled"
    return None


def holes(mark: Mark, seen: int | None = None, limit: int | None = None) -> list[tuple[int, int]]:
    """Missing closed ranges between `hw` and the newest (or `seen`, a higher number known to exist), lowest first."""
    found: list[tuple[int, int]] = []
    last = mark.hw
    for a, b in mark.runs:
        if limit is not None and len(found) >= limit:
            return found
        found.append((last + 1, a - 1))
        last = b
    if seen is not None and seen > last and (limit is None or len(found) < limit):
        found.append((last + 1, seen))
    return found


def missing(mark: Mark, seen: int | None = None) -> int:
    """How many numbers are missing between `hw` and the newest (or `seen`)."""
    return sum(b - a + 1 for a, b in holes(mark, seen))
