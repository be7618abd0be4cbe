"""`plantwin import`: what a historian already holds becomes part of the history, and of nothing else.

What is imported goes into files of its own, labelled `import`, under the source `ptw/v1/SITE/AREA/LINE/_import`; the
journal and the live state never see it. It comes in chunks (a day, or so many lines of a CSV file). A chunk is written
and committed at once, and its content is known by what it was made from: run again, it is passed over when nothing
changed and replaced when something did. So an import can be stopped, resumed and repeated.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import msgspec

from ingest.codes import BAD, GOOD, UNCERTAIN
from ingest.compactor import Compactor
from ingest.manifest import DAY_MS, Change, Manifest
from ingest.payloads import BIG
from ingest.readings import Reading, wall_ms
from ingest.segments import Placed, connect, load_readings, write_readings
from ingest.topicmap import finite
from sim.units import QuantityError
from sim.yamlfile import Fields, Item, Problems, WrongKindError, convert, read_tree

KIND = "import"


class MapError(ValueError):
    """A map of names that cannot be used, or a plan that makes no sense; lines say what to do."""


class Target(msgspec.Struct, frozen=True):
    """Their number x scale + offset is our tag."""

    tag: str
    scale: float = 1.0
    offset: float = 0.0


@dataclass(frozen=True)
class Plan:
    """What to import: `kind` influx, csv or opcua-history from `origin`; `low`, `high` plant ms."""

    data: Path
    kind: str
    origin: str
    mapping: dict[str, Target]
    line: str
    low: int | None = None
    high: int | None = None
    database: str = ""
    token: str = ""

    @property
    def name(self) -> str:
        """What the chunks of this origin are known by."""
        origin = str(Path(self.origin).resolve()) if self.kind == "csv" else self.origin
        return f"{self.kind} {origin} {self.database} {self.line}"


@dataclass
class Report:
    """Readings and days (or blocks) written, those that were there already, rows refused by reason."""

    rows: int = 0
    days: int = 0
    skipped: int = 0
    bad: Counter[str] = field(default_factory=Counter)


class Value(msgspec.Struct, frozen=True, gc=False):
    """One number as a historian tells it: its own name, plant ms, quality code."""

    name: str
    t: int
    value: float
    quality: int = GOOD


@dataclass
class Chunk:
    """One piece of work: `key` names it, `mark` says what it was made from, `values` reads it (counting bad rows)."""

    key: str
    mark: str
    values: Iterator[Value]
    bad: Counter[str]


class Done(msgspec.Struct, frozen=True):
    """What the manifest remembers of a chunk."""

    mark: str
    rows: int
    files: list[str]
    hours: list[int]
    bad: dict[str, int]


def load_map(path: Path) -> dict[str, Target]:
    """Read `their name: our tag` or `their name: {tag, scale, offset}`; raises MapError with every problem."""
    problems = Problems(str(path))
    top = read_tree(path, problems)
    found: dict[str, Target] = {}
    try:
        entries = top.entries() if top is not None else {}
    except WrongKindError as error:
        problems.error(top.line if top is not None else 1, str(error))
        entries = {}
    for name, item in entries.items():
        found[name] = _target(item)
    if not found and not problems.errors:
        problems.error(1, "the file: expected 'their name: our tag' lines, found none")
    if problems.errors:
        raise MapError("\n".join(problems.lines()))
    return found


def _target(item: Item) -> Target:
    if not item.is_mapping:
        return Target(convert(item, _tag, ""))
    fields = Fields(item, ("tag", "scale", "offset"))
    tag = fields.need("tag", _tag, "", "turn/temperature")
    return Target(tag, fields.take("scale", finite, 1.0), fields.take("offset", finite, 0.0))


def _tag(text: str) -> str:
    if not 0 < len(text) <= 128:
        raise QuantityError("a tag of 1 to 128 characters", text, "correct it")
    return text


def run(plan: Plan, *, progress: bool = False) -> Report:
    """Import; raises MapError for a plan that makes no sense, HistoryError when reading or writing fails."""
    parts = plan.line.split("/")
    if len(parts) != 3 or not all(parts):
        raise MapError(f"--site: expected SITE/AREA/LINE, found {plan.line}")
    if plan.kind != "csv" and (plan.low is None or plan.high is None or plan.low >= plan.high):
        raise MapError(f"--from, --to: expected a span of time for {plan.kind}, from before to")
    from ingest.backfill_sources import chunks

    report = Report()
    compactor = Compactor(plan.data)
    number = 0
    try:
        total = None if plan.low is None or plan.high is None else -(-plan.high // DAY_MS) - plan.low // DAY_MS
        with _Bar(total if plan.kind != "csv" else None, shown=progress) as advance:
            for chunk in chunks(plan):
                _take(plan, compactor.manifest, chunk, report)
                number += 1
                advance()
        while plan.kind == "csv" and _emptied(plan, compactor.manifest, f"block {number}"):
            number += 1  # the file has become shorter
        working = True
        while working:
            with compactor.manifest.writing():
                working = compactor.roll()
    finally:
        compactor.close()
    return report


def marked(plan: Plan, *facts: object) -> str:
    """A mark over the mapping and the facts."""
    body = msgspec.json.encode([sorted((k, v.tag, v.scale, v.offset) for k, v in plan.mapping.items()), facts])
    return hashlib.sha256(body).hexdigest()[:24]


def _emptied(plan: Plan, manifest: Manifest, key: str) -> bool:
    """Empty a chunk that is no longer; False when there never was one."""
    if manifest.chunk(plan.name, key) is None:
        return False
    _take(plan, manifest, Chunk(key, "empty", iter(()), Counter()), Report())
    return True


def _take(plan: Plan, manifest: Manifest, chunk: Chunk, report: Report) -> None:
    origin = plan.name
    old = manifest.chunk(origin, chunk.key)
    known = msgspec.json.decode(old, type=Done) if old is not None else None
    if known is not None and known.mark == chunk.mark:
        report.skipped += 1
        report.bad.update(known.bad)
        return
    source = f"ptw/v1/{plan.line}/_import"
    now = wall_ms()
    placed: list[Placed] = []
    for value in chunk.values:
        target = plan.mapping[value.name]
        number = value.value * target.scale + target.offset
        if not abs(number) <= BIG:  # a NaN is not
            chunk.bad["bad_number"] += 1
            continue
        placed.append(
            (Reading(value.t, target.tag, number, value.quality, source, "", 0, 0, KIND), now, len(placed), KIND)
        )
    name = hashlib.sha256(f"{origin} {chunk.key}".encode()).hexdigest()[:12]
    change = Change(remove=known.files if known else [])
    with manifest.writing():
        if placed:
            with connect() as db:
                load_readings(db, "chunk", placed)
                closed = write_readings(db, manifest.folder, "chunk", f"import-{name}-{chunk.mark[:12]}-{now}", 0)
            change.add, change.tags, change.dirty = closed.files, closed.tags, set(closed.hours)
        hours = sorted({hour for _, hour in change.dirty})
        change.dirty |= {(plan.line.partition("/")[0], hour) for hour in (known.hours if known else [])}
        done = Done(chunk.mark, len(placed), [file.path for file in change.add], hours, dict(chunk.bad))
        change.chunk = (origin, chunk.key, msgspec.json.encode(done))
        manifest.apply(change)
        manifest.unlink(change.remove)
    report.rows += len(placed)
    report.days += 1
    report.bad.update(chunk.bad)


class _Bar:
    """A progress bar on the terminal, or nothing."""

    def __init__(self, total: int | None, *, shown: bool) -> None:
        from rich.console import Console
        from rich.progress import Progress

        self._progress = Progress(console=Console(stderr=True), disable=not shown)
        self._task = self._progress.add_task("importing", total=total)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def __call__(self) -> None:
        self._progress.advance(self._task)


def quality_of(good: bool, bad: bool) -> int:
    """Our quality code of a status with two bits, as OPC UA has it."""
    return GOOD if good else BAD if bad else UNCERTAIN
