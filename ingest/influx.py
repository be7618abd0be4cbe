"""InfluxDB as a sink: a process of its own that follows the journal with its own cursor.

The cursor moves only after the server has taken the points, so an outage of any length loses nothing and
needs no memory: what was not written is still in the journal. A batch that the server refuses for good
(4xx) is halved until the offending rows stand alone; they are counted, kept as samples and passed over.

Its state is `run/sink-influx.json`; run it alone with `python -m ingest.influx DATA` (settings in the
environment, see `Target.environment`).
"""

from __future__ import annotations

import logging
import os
import random
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from ingest.child import Child, follow_parent, say
from ingest.codes import QUALITIES
from ingest.journal import Cursor, Journal, JournalError, JournalReader
from ingest.payloads import WireError
from ingest.readings import Aliases, Reading, Row, decode

log = logging.getLogger("ingest.influx")

BATCH = 1_000
MAX_POINTS = 5_000
"""A request carries about this many points at most, whatever a message holds."""
IDLE_S = 0.25
MAX_WAIT_S = 30.0
_RETRY = frozenset({401, 403, 404, 408, 429})
"""Client errors that are about the request's time or rights, not about its points: worth another try."""


@dataclass(frozen=True)
class Target:
    """An InfluxDB v2 server (or one that takes its line protocol)."""

    url: str
    token: str = ""
    org: str = "plantwin"
    bucket: str = "plantwin"

    def environment(self) -> dict[str, str]:
        """As environment variables, so that the token is on no command line."""
        return {
            "PLANTWIN_INFLUX_URL": self.url,
            "PLANTWIN_INFLUX_TOKEN": self.token,
            "PLANTWIN_INFLUX_ORG": self.org,
            "PLANTWIN_INFLUX_BUCKET": self.bucket,
        }

    @classmethod
    def of_environment(cls) -> Target:
        """The inverse of `environment`."""
        return cls(*(os.environ[key] for key in cls("").environment()))


class PoisonError(RuntimeError):
    """The server will never take these points."""


class OutageError(RuntimeError):
    """The server cannot take anything now."""


class Stats(msgspec.Struct):
    """What the sink says about itself: journal position, rows behind, points written, rows refused for good."""

    pos: int = 0
    behind: int = 0
    points: int = 0
    poison: int = 0
    failures: int = 0
    state: str = "starting"
    samples: list[str] = msgspec.field(default_factory=list)


_KEY = str.maketrans({",": r"\,", "=": r"\=", " ": r"\ "})


def line(reading: Reading) -> str:
    """A reading in line protocol: one measurement, the source and the tag as tags, value and quality as fields."""
    _, _, site, area, where, cell = reading.source.split("/")
    tags = f"site={site},area={area},line={where},cell={cell},tag={reading.name.translate(_KEY)},kind={reading.kind}"
    return f'reading,{tags} value={reading.value!r},q="{QUALITIES[reading.quality]}" {reading.t}'


Write = Callable[[list[str]], None]
"""Writes lines or raises PoisonError or OutageError."""


@dataclass
class Sink:
    """Follows a journal. `step` writes at most one batch and says whether there was anything."""

    reader: JournalReader
    cursor: Cursor
    write: Write
    stats: Stats = field(default_factory=Stats)
    _aliases: Aliases = field(default_factory=Aliases)
    _pos: int = -1

    def step(self) -> bool:
        """One batch; raises OutageError when the server cannot take it, and then nothing has moved."""
        if self._pos < 0:
            self._start()
        rows = self.reader.read(self._pos, BATCH)
        if not rows:
            self.stats.behind = 0
            return False
        pairs: list[tuple[Row, list[str]]] = []
        points = 0
        for row in rows:
            lines = self._lines(row)
            pairs.append((row, lines))
            points += len(lines)
            if points >= MAX_POINTS:
                break
        self._put([pair for pair in pairs if pair[1]])
        self._pos = pairs[-1][0].pos
        self.cursor.store(self._pos)
        self.stats.pos = self._pos
        self.stats.behind = self.reader.last() - self._pos
        return True

    def _start(self) -> None:
        """Take the cursor, and the births before it: they give the tags their names."""
        self._pos = self.cursor.load()
        for row in self.reader.births(self._pos):
            self._aliases.feed_row(row)

    def _lines(self, row: Row) -> list[str]:
        try:
            return [line(reading) for reading in decode(row, self._aliases)]
        except WireError as error:
            self._refused(row, str(error))
            return []

    def _put(self, pairs: list[tuple[Row, list[str]]]) -> None:
        """Write, halving what is refused for good until single rows are left."""
        if not pairs:
            return
        try:
            self.write([text for _, lines in pairs for text in lines])
        except PoisonError as error:
            if len(pairs) == 1:
                self._refused(pairs[0][0], str(error))
                return
            half = len(pairs) // 2
            self._put(pairs[:half])
            self._put(pairs[half:])
            return
        self.stats.points += sum(len(lines) for _, lines in pairs)

    def _refused(self, row: Row, why: str) -> None:
        self.stats.poison += 1
        self.stats.samples = [*self.stats.samples[-9:], f"row {row.pos}: {why[:200]}"]


def writer(target: Target, timeout_s: float = 10.0) -> Write:
    """The synchronous writer of `influxdb-client`, its errors sorted into outage and poison."""
    from influxdb_client.client.influxdb_client import InfluxDBClient
    from influxdb_client.client.write_api import SYNCHRONOUS
    from influxdb_client.rest import ApiException
    from urllib3.exceptions import HTTPError

    client = InfluxDBClient(
        url=target.url, token=target.token, org=target.org, timeout=int(timeout_s * 1000), retries=False
    )
    api = client.write_api(write_options=SYNCHRONOUS)

    def write(lines: list[str]) -> None:
        try:
            api.write(bucket=target.bucket, org=target.org, record="\n".join(lines), write_precision="ms")  # type: ignore[arg-type]
        except ApiException as error:
            status = error.status or 0
            text = f"{status} {str(error.body)[:200]}"
            if 400 <= status < 500 and status not in _RETRY:
                raise PoisonError(text) from None
            raise OutageError(text) from None
        except (HTTPError, OSError) as error:
            raise OutageError(str(error)[:200]) from None

    return write


def follow(data: Path, write: Write, stop: threading.Event) -> None:
    """Follow the journal of a data folder until `stop`, backing off with jitter while the server is away."""
    reader = Journal.open_reader(data / "journal.db")
    sink = Sink(reader, Cursor(data / "cursors" / "influx.json"), write)
    failures = 0
    while not stop.is_set():
        wait = 0.0
        try:
            if not sink.step():
                wait = IDLE_S
            failures, sink.stats.state = 0, "ok"
        except (OutageError, JournalError) as error:
            failures += 1
            sink.stats.failures += 1
            sink.stats.behind = max(0, reader.last() - max(0, sink.stats.pos))
            if failures == 1:
                log.warning("nothing can be written now: %s", error)
            sink.stats.state = f"waiting: {error}"
            wait = min(MAX_WAIT_S, 0.5 * 2 ** min(failures, 10)) * random.uniform(0.7, 1.3)  # noqa: S311 - jitter
        say(data, "influx", sink.stats)
        stop.wait(wait)
    reader.close()


def child(data: Path, target: Target) -> Child:
    """The sink as a child process of ingest."""
    return Child("ingest.influx", [str(data)], target.environment())


def main(arguments: list[str]) -> int:
    """Run the sink alone: `python -m ingest.influx DATA`."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    stop = follow_parent()
    follow(Path(arguments[0]), writer(Target.of_environment()), stop)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
