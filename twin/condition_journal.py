"""Machine condition from a journal: what is there already in order of time, then, on demand, what comes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from ingest.journal import Journal
from ingest.wire import Aliases, Reading, decode
from twin.condition import Change, Condition

POLL_S = 1.0


def readings(journal: Path, tags: tuple[str, ...]) -> tuple[list[Reading], int]:
    """Readings of these tags so far, in order of their time (history that came late is in its place), and the position
    up to which the journal was read.
    """
    reader, aliases, wanted = Journal.open_reader(journal), Aliases(), set(tags)
    found: list[Reading] = []
    after = 0
    try:
        for rows in reader.follow(0):
            for row in rows:
                found += [r for r in decode(row, aliases) if r.name in wanted]
            after = rows[-1].pos
    finally:
        reader.close()
    return sorted(found, key=lambda r: r.t), after


def following(journal: Path, after: int, stop: Callable[[], bool]) -> Iterator[Reading]:
    """Readings from `after` on as they come, in the journal's order, until `stop` says so."""
    reader, aliases = Journal.open_reader(journal), Aliases()
    try:
        for rows in reader.follow(0):
            for row in rows:
                new = decode(row, aliases)
                if row.pos > after:
                    yield from new
            after = max(after, rows[-1].pos)
        while not stop():
            for rows in reader.follow(after):
                for row in rows:
                    yield from decode(row, aliases)
                after = rows[-1].pos
            time.sleep(POLL_S)
    finally:
        reader.close()


def notices(
    fold: Condition, journal: Path, follow: bool = False, stop: Callable[[], bool] = lambda: False
) -> Iterator[Change]:
    """The notices of a fold over a journal. Without `follow` all frames are closed at its end."""
    known, after = readings(journal, fold.state.settings.tags)
    for reading in known:
        if (notice := fold.take(reading)) is not None:
            yield notice
    if not follow:
        if (notice := fold.end()) is not None:
            yield notice
        return
    for reading in following(journal, after, stop):
        if (notice := fold.take(reading)) is not None:
            yield notice
