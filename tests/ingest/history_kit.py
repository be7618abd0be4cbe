"""What the tests of the history share: a journal filled as ingest fills it, and what must come out."""

from __future__ import annotations

from pathlib import Path

import msgspec

from ingest.compactor import Compactor
from ingest.intake import Intake
from ingest.journal import Journal
from ingest.retention import Limits
from ingest.wire import Birth, Data, Tag, encode, topic
from tests.ingest.kit import CELL1, LINE, ORIGIN, said

TAGS = [
    Tag(i=0, name="turn/state", type="enum", enum=["idle", "work"]),
    Tag(i=1, name="turn/temp", type="float", unit="degC"),
    Tag(i=2, name="b1/level", type="int", unit="parts"),
]
T0 = ORIGIN
"""Plant ms of the first reading: 2026-01-05 06:00 UTC."""
SMALL = Limits(segment_rows=20, segment_readings=60, segment_s=3600.0, journal_hours=0.0, free_bytes=0)

Value = tuple[int, int, float, int]
"""alias, plant ms, value, quality"""


def born(journal: Journal, epoch: str = "e1", source: str = CELL1) -> None:
    body = encode(Birth(v=1, e=epoch, s=1, sw="test 1", tags=TAGS))
    intake = Intake.restore(LINE, Intake(LINE).topics, journal)
    journal.commit(intake.take([said(topic(source, "birth"), body, retain=True)]))


def message(number: int, values: list[Value], epoch: str = "e1") -> bytes:
    t0 = min(t for _, t, _, _ in values)
    i, t, v, q = (list(column) for column in zip(*values, strict=True))
    return encode(Data(e=epoch, s=number, t0=t0, i=i, dt=[one - t0 for one in t], v=v, q=q))


def tell(journal: Journal, first: int, messages: list[list[Value]], source: str = CELL1) -> int:
    """Journal data messages numbered from `first`; the next number."""
    intake = Intake.restore(LINE, Intake(LINE).topics, journal)
    bodies = [said(topic(source, "data"), message(first + n, values)) for n, values in enumerate(messages)]
    journal.commit(intake.take(bodies))
    return first + len(messages)


def minutes(count: int, start: int = T0) -> list[list[Value]]:
    """`count` messages a minute apart: a temperature that rises by one, and a level that follows it."""
    return [[(1, start + 60_000 * n, 20.0 + n, 0), (2, start + 60_000 * n, float(n % 5), 0)] for n in range(count)]


def compact(data: Path, limits: Limits = SMALL, *, close_all: bool = True) -> Compactor:
    """Everything that is to be done, done."""
    found = Compactor(data, limits)
    while found.step(close_all=close_all):
        pass
    return found


def stored(data: Path) -> list[tuple[int, int, str, float, int]]:
    """(pos, t, tag, value, quality) of every reading in the closed files that the manifest names."""
    from ingest.manifest import READINGS, Manifest
    from ingest.rollup import Scan
    from ingest.segments import connect

    manifest = Manifest.there(data)
    if manifest is None:
        return []
    paths = tuple(str(manifest.folder / file.path) for file in manifest.files(READINGS))
    manifest.close()
    if not paths:
        return []
    with connect() as db:
        found: list[tuple[int, int, str, float, int]] = db.execute(
            Scan(paths).sql("pos, t, tag, value, quality", "true") + " ORDER BY pos, k"
        ).fetchall()
    return found


def decoded(body: bytes) -> dict[str, object]:
    found: dict[str, object] = msgspec.json.decode(body)
    return found
