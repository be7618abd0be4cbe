"""After a campaign: is every number in the journal and its archive once, with the content that was sent, in order?"""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import msgspec

from hardware.outbox import issued
from ingest.journal import Journal
from ingest.manifest import READINGS, Manifest
from ingest.payloads import Birth, Data, Event, parse
from tests.faults.floor import CELLS, ORIGIN, WIDTH, Floor, cell_of, tag_name

NUMBERED = ("data", "hist", "event", "gap", "cmdack")


@dataclass
class Verdict:
    """What was found. Lists hold the first few of what is wrong, in words."""

    issued: int = 0  # numbered messages
    messages: int = 0  # of them in the journal
    readings: int = 0  # tag values of the fieldbus, each with its own content
    events: int = 0
    told_again: int = 0  # readings that assert a value anew
    late: int = 0  # messages journaled after a newer one
    waiting: int = 0  # not confirmed, and still in the outbox: the last words of a gateway that was stopped
    lost: int = 0
    doubled: int = 0
    altered: int = 0
    out_of_order: int = 0
    gaps: int = 0
    unread: int = 0  # of the fieldbus, never numbered: in a killed gateway's memory or on the way to it
    unread_runs: int = 0
    stored_readings: int = 0  # rows in Parquet
    stored_doubled: int = 0
    stored_missing: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Nothing lost, doubled, altered or out of order, anywhere."""
        bad = (self.lost, self.doubled, self.altered, self.out_of_order, self.gaps)
        return not any(bad) and not self.stored_doubled and not self.stored_missing

    def say(self, text: str) -> None:
        """Remember one thing that is wrong."""
        if len(self.wrong) < 20:
            self.wrong.append(text)


@dataclass
class _Source:
    """What a source has in the journal: number -> kind and body."""

    names: dict[int, int] = field(default_factory=dict)  # alias -> k
    rows: dict[int, tuple[str, bytes]] = field(default_factory=dict)
    newest: int = -1


def check(data: Path, outbox: Path, floor: Floor) -> Verdict:
    """Read everything back and compare it with what the plant was."""
    pile, verdict = _read(data), Verdict()
    seen = [bytearray(len(floor.times)) for _ in range(WIDTH)]
    events: Counter[int] = Counter()
    held = _held(outbox)
    for (source, epoch), last in issued(outbox).items():
        one = pile.sources.pop((source, epoch), _Source())
        verdict.issued += last
        verdict.messages += len(one.rows)
        absent = [n for n in range(1, last + 1) if n not in one.rows]
        missing = [n for n in absent if n not in held.get(source, ())]
        verdict.waiting += len(absent) - len(missing)
        verdict.lost += len(missing)
        if missing:
            verdict.say(f"{source}: {len(missing)} numbers of 1..{last} are not there, the first {missing[0]}")
        _contents(verdict, floor, source, one, seen, events)
    for (source, epoch), one in pile.sources.items():
        if one.rows:
            verdict.say(f"{source} {epoch}: {len(one.rows)} numbers that no outbox issued")
            verdict.altered += len(one.rows)
    for text, times in pile.doubles.items():
        verdict.say(f"twice: {text}")
        verdict.doubled += times
    verdict.late = pile.late
    verdict.readings = sum(sum(column) for column in seen)
    verdict.events = len(events)
    verdict.doubled += sum(n - 1 for n in events.values())
    verdict.unread = WIDTH * len(floor.times) - verdict.readings
    verdict.unread_runs = _runs(seen)
    _check_store(data, verdict, pile.columns)
    return verdict


def _held(outbox: Path) -> dict[str, set[int]]:
    """The numbers of each source that the outbox still has: they would be sent at the next start."""
    if not outbox.exists():
        return {}
    found: dict[str, set[int]] = {}
    with closing(sqlite3.connect(f"{outbox.resolve().as_uri()}?mode=ro", uri=True)) as db:
        for source, number in db.execute("SELECT source, s FROM messages"):
            found.setdefault(source, set()).add(int(number))
    return found


@dataclass
class _Pile:
    """The numbered rows of a journal and its archive."""

    sources: dict[tuple[str, str], _Source] = field(default_factory=dict)
    doubles: Counter[str] = field(default_factory=Counter)
    late: int = 0
    columns: int = 0  # readings in data rows


def _read(data: Path) -> _Pile:
    pile, reader = _Pile(), Journal.open_reader(data / "journal.db")
    names = {tag_name(k): k for k in range(WIDTH)}
    for row in (row for rows in reader.follow(0, 5_000) for row in rows):
        if row.e is None:
            continue
        one = pile.sources.setdefault((row.source, row.e), _Source())
        if row.kind == "birth":
            birth: Birth = parse("birth", row.body)
            one.names = {tag.i: names[tag.name] for tag in birth.tags if tag.name in names}
        elif row.kind in NUMBERED and row.s is not None:
            pile.doubles.update([f"{row.source} {row.s}"] if row.s in one.rows else [])
            pile.late += row.s < one.newest
            one.newest = max(one.newest, row.s)
            one.rows[row.s] = (row.kind, row.body)
            pile.columns += len(msgspec.json.decode(row.body, type=Data).i) if row.kind in {"data", "hist"} else 0
    reader.close()
    return pile


def _contents(
    verdict: Verdict, floor: Floor, source: str, one: _Source, seen: list[bytearray], events: Counter[int]
) -> None:
    """In the order of a source's numbers each tag's readings go forward, and each is one the plant had."""
    cell, newest, last_event = source.rpartition("/")[2], dict.fromkeys(range(WIDTH), -1), -1
    for number in sorted(one.rows):
        kind, body = one.rows[number]
        if kind == "gap":
            verdict.gaps += 1
            verdict.say(f"{source} {number}: a gap record {body[:100]!r}")
        elif kind == "event":
            event = msgspec.json.decode(body, type=Event)
            m = int(event.text or -1)
            events[m] += 1
            verdict.altered += not (0 <= m < len(floor.events) and floor.events[m] == event.t)
            verdict.out_of_order += m <= last_event
            last_event = m
        else:
            columns = msgspec.json.decode(body, type=Data)
            for i, dt, value in zip(columns.i, columns.dt, columns.v, strict=True):
                if i not in one.names:
                    continue  # the mode, which this plant does not tell
                k, t = one.names[i], columns.t0 + dt
                n, other = divmod(int(value), WIDTH)
                if other != k or cell_of(k) != cell or not 0 <= n < len(floor.times):
                    verdict.altered += 1
                    verdict.say(f"{source} {number}: {tag_name(k)} had no value {value}")
                elif n < newest[k]:
                    verdict.out_of_order += 1
                    verdict.say(f"{source} {number}: {tag_name(k)} goes back from step {newest[k]} to {n}")
                elif n == newest[k]:
                    verdict.told_again += 1
                elif floor.times[n] != t:
                    verdict.altered += 1
                    when = f"at {t - ORIGIN}, not {floor.times[n] - ORIGIN}"
                    verdict.say(f"{source} {number}: {tag_name(k)} step {n} {when}")
                else:
                    newest[k] = n
                    seen[k][n] = 1


def _runs(seen: list[bytearray]) -> int:
    """The most stretches of steps that one cell's first tag lacks."""
    most = 0
    for cell in range(CELLS):
        column = seen[cell * 2]
        most = max(most, sum(1 for n, there in enumerate(column) if not there and (n == 0 or column[n - 1])))
    return most


def _check_store(data: Path, verdict: Verdict, expected: int) -> None:
    """Each reading of the journal is in Parquet once (everything was compacted before)."""
    manifest = Manifest.there(data)
    assert manifest is not None, "nothing was compacted"
    files = [str(manifest.folder / file.path) for file in manifest.files(READINGS)]
    manifest.close()
    table = f"read_parquet({files!r}, hive_partitioning=false)"
    sql = f"SELECT count(*), count(DISTINCT (pos, k)) FROM {table} WHERE kind IN ('data', 'hist')"
    (row,) = duckdb.connect().execute(sql).fetchall()
    verdict.stored_readings = int(row[0])
    verdict.stored_doubled = int(row[0]) - int(row[1])
    verdict.stored_missing = expected - int(row[1])
