"""CSV files as a fieldbus: a recording at some speed, or a file that a historian goes on writing.

Long form has the columns `t,name,value` and perhaps `quality`; wide form has `t` and one column a raw name, an
empty cell says nothing. Times are ISO 8601 (UTC where they name no zone) or ms or s since 1970. The file must be in
order of time; a row before its predecessor takes the predecessor's time and is uncertain.
"""

from __future__ import annotations

import asyncio
import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hardware.adapter import Clock, Deliver, FieldbusError, Sample
from hardware.adapter_mqtt import time_of
from hardware.pace import wall_ms
from ingest.wire import BAD, GOOD, QUALITIES, STALE, UNCERTAIN

LOOK_S = 0.5
"""How often a growing file is looked at."""
SLICE_S = 0.1
MAX_LINE = 64 * 1024


@dataclass(frozen=True, slots=True)
class CsvOptions:
    """`speed`: recorded seconds a wall second, 0: follow the file as it grows. `column`: the one with the time."""

    speed: float = 1.0
    column: str = "t"


@dataclass(slots=True)
class Rows:
    """The rows of a file as samples, in order. `bad` counts unreadable rows, `backward` those out of order."""

    header: list[str]
    column: str
    wanted: set[str]
    bad: int = 0
    backward: int = 0
    last: int = 0
    long: bool = False

    def __post_init__(self) -> None:
        if self.column not in self.header:
            raise FieldbusError(
                f"expected a column {self.column!r} with the time, found {', '.join(self.header)[:200]}; "
                "name it with csv.time"
            )
        self.long = {"name", "value"} <= set(self.header)

    def samples(self, line: str) -> dict[str, Sample]:
        """What a line says about the raw names wanted, {raw: sample}."""
        found = next(csv.reader([line]), [])
        row = dict(zip(self.header, found, strict=False))
        t = time_of(row.get(self.column, "").strip())
        if t is None or len(found) != len(self.header):
            self.bad += bool(found)
            return {}
        back = t < self.last
        self.backward += back
        self.last = t = max(t, self.last)
        cells = [(row["name"], row["value"])] if self.long else [(k, v) for k, v in row.items() if v != ""]
        stated = _quality(row.get("quality", "")) if self.long else GOOD
        if stated is None:
            self.bad += 1
            return {}
        return {
            raw: replace(_sample(text.strip(), t), quality=max(stated, UNCERTAIN * back) if text.strip() else BAD)
            for raw, text in cells
            if raw in self.wanted
        }


class CsvAdapter:
    """The file at `path`."""

    timed = False  # the file tells the time itself; the delay of an export is no skew

    def __init__(self, path: Path, raws: Sequence[str], options: CsvOptions) -> None:
        self._path, self._raws, self._options = path, set(raws), options
        self.clock: Clock | None = None
        self._last: dict[str, Sample] = {}
        self._open = False

    @property
    def connected(self) -> bool:
        return self._open

    def _begin(self, file: Iterator[str]) -> Rows:
        header = next(csv.reader([next(file, "")]), [])
        if not header:
            raise FieldbusError(f"{self._path}: expected a header line, found nothing")
        try:
            return Rows([h.strip() for h in header], self._options.column, self._raws)
        except FieldbusError as error:
            raise FieldbusError(f"{self._path}: {error}") from error

    async def run_once(self, deliver: Deliver) -> None:
        try:
            with self._path.open(encoding="utf-8-sig", newline="") as file:
                rows = self._begin(file)
                self._open = True
                if self._options.speed > 0:
                    await self._play(file, rows, deliver)
                else:
                    await self._follow(_Growing(self._path, file), rows, deliver)
        except UnicodeDecodeError as error:
            raise FieldbusError(f"{self._path}: expected UTF-8 text ({error})") from error
        finally:
            self._open = False

    # a recording --------------------------------------------------------------------------------

    async def _play(self, file: Iterator[str], rows: Rows, deliver: Deliver) -> None:
        """The file's first moment is now; at its end every value is stale, and that is how it stays."""
        speed, loop = self._options.speed, asyncio.get_running_loop()
        first, began, turn = True, loop.time(), loop.time()
        for line in file:
            found = rows.samples(line)
            if not found:
                continue
            if first:
                self.clock = self.clock or Clock(rows.last, speed, wall_ms())
                began = loop.time() - (wall_ms() - self.clock.wall) / 1000
            wait = began + (rows.last - self._origin) / 1000 / speed - loop.time()
            if wait > 0:
                await asyncio.sleep(wait)
            elif loop.time() >= turn:
                await asyncio.sleep(0)  # rows that are due are no reason to keep everybody else waiting
                turn = loop.time() + SLICE_S
            self._last |= found
            deliver(found, first)
            first = False
        deliver({raw: replace(s, quality=STALE, t=rows.last) for raw, s in self._last.items()}, first)
        await asyncio.Event().wait()

    @property
    def _origin(self) -> int:
        return self.clock.origin if self.clock is not None else 0

    # a file that grows --------------------------------------------------------------------------

    async def _follow(self, growing: _Growing, rows: Rows, deliver: Deliver) -> None:
        """What the file holds so far gives the image at the start; then each line as it comes."""
        for line in growing.lines():
            self._last |= rows.samples(line)
        deliver(dict(self._last), True)
        while True:
            await asyncio.sleep(LOOK_S)
            for line in growing.lines():
                found = rows.samples(line)
                self._last |= found
                if found:
                    deliver(found, False)

    async def read(self, raws: Sequence[str]) -> dict[str, Sample]:
        if not self._open:
            raise FieldbusError(f"{self._path} is not open")
        return {raw: self._last[raw] for raw in raws if raw in self._last}

    async def write(self, items: Sequence[tuple[str, int]]) -> None:
        raise FieldbusError(f"{items[0][0]}: a file cannot be commanded")


class _Growing:
    """Whole lines of a file as they are written; OSError where the file was replaced or cut."""

    def __init__(self, path: Path, file: Iterator[str]) -> None:
        self._path, self._file = path, file
        self._begun = ""
        self._inode, self._size = path.stat().st_ino, 0

    def lines(self) -> Iterator[str]:
        now = self._path.stat()
        if now.st_ino != self._inode or now.st_size < self._size:
            raise FieldbusError(f"{self._path} was replaced or cut; beginning anew")
        self._size = now.st_size
        for piece in self._file:
            self._begun += piece
            if self._begun.endswith("\n"):
                line, self._begun = self._begun, ""
                yield line
            elif len(self._begun) > MAX_LINE:
                raise FieldbusError(f"{self._path}: a line of more than {MAX_LINE} characters")


def _sample(text: str, t: int) -> Sample:
    """A cell: a number, or a text as it stands."""
    for kind in (int, float):
        try:
            return Sample(kind(text), t=t)
        except ValueError:
            continue
    words = {"true": 1, "false": 0}
    return Sample(words.get(text.lower(), text) if text else None, t=t)


def _quality(text: str) -> int | None:
    """Our words, or the number of OPC classic (192 and more good, 64 and more uncertain, else bad); None: neither."""
    word = text.strip().lower()
    if word in QUALITIES:
        return QUALITIES.index(word)
    if not word:
        return GOOD
    if not word.isdigit() or int(word) > 255:
        return None
    return {3: GOOD, 1: UNCERTAIN}.get(int(word) >> 6, BAD)
