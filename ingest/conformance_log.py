"""What a conformance check looks at: recorded messages of one topic root, decoded once.

A recording is a file of JSON lines `{"topic", "payload", "qos", "retained", "recv"}` (`payload64`, base64, in the
place of `payload` where that is not UTF-8; `recv` wall ms). `retained` means that the broker handed the message out
as a stored one, so a recorder subscribes a second time at its end.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from ingest.payloads import MAX_BYTES, NUMBERED, Birth, WireError, parse
from ingest.readings import PlantClock
from ingest.topics import parse_topic


class RecordingError(ValueError):
    """A recording that cannot be read: which line, what was expected, what was found."""


class Unjudged(Exception):  # noqa: N818 - an outcome, not an error
    """What was seen does not let a rule be judged; says why and what would."""


class Seen(msgspec.Struct, frozen=True):
    """One message as it came; `recv` wall ms."""

    topic: str
    body: bytes
    qos: int = 1
    retained: bool = False
    recv: int = 0

    def line(self) -> bytes:
        """The line of a recording."""
        fields: dict[str, Any] = {"topic": self.topic}
        try:
            fields["payload"] = self.body.decode()
        except UnicodeDecodeError:
            fields["payload64"] = base64.b64encode(self.body).decode("ascii")
        return msgspec.json.encode(fields | {"qos": self.qos, "retained": self.retained, "recv": self.recv})


class _Line(msgspec.Struct):
    topic: str
    qos: int = 1
    retained: bool = False
    recv: int = 0
    payload: str | None = None
    payload64: str | None = None


def read_recording(path: Path) -> list[Seen]:
    """The messages of a recording in the order of the file; raises RecordingError or OSError."""
    found = []
    for number, text in enumerate(path.read_bytes().splitlines(), start=1):
        if not text.strip():
            continue
        try:
            line = msgspec.json.decode(text, type=_Line)
            body = base64.b64decode(line.payload64, validate=True) if line.payload64 is not None else None
        except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
            raise RecordingError(f'{path}:{number}: expected {{"topic", "payload", ...}}, found {error}') from None
        if body is None:
            if line.payload is None:
                raise RecordingError(f"{path}:{number}: expected a payload or payload64, found neither")
            body = line.payload.encode()
        found.append(Seen(line.topic, body, line.qos, line.retained, line.recv))
    return found


@dataclass(frozen=True, slots=True)
class Item:
    """A message of the source: its kind ("" where the topic is unknown), its payload or why there is none."""

    seen: Seen
    kind: str
    ident: str = ""
    payload: Any = None
    error: WireError | None = None

    @property
    def number(self) -> tuple[str, int] | None:
        """(epoch, number) of a numbered message, also of one that does not decode but says so."""
        if self.kind not in NUMBERED:
            return None
        if self.payload is not None:
            return self.payload.e, self.payload.s
        try:
            found = msgspec.json.decode(self.seen.body, type=_Envelope)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        return found.e, found.s


class _Envelope(msgspec.Struct):
    e: str
    s: int


@dataclass
class Log:
    """The recording of one source. `items` are what the source said, `asked` what the twin did."""

    root: str
    items: list[Item] = field(default_factory=list)
    asked: list[Item] = field(default_factory=list)
    others: list[Item] = field(default_factory=list)  # of other sources of the same recording
    end: int = 0

    @classmethod
    def of(cls, messages: Iterable[Seen], root: str) -> Log:
        """Sort a recording's messages by who said them."""
        log = cls(root)
        for seen in messages:
            log.end = max(log.end, seen.recv)
            if not seen.topic.startswith(root + "/"):
                other = _item(seen)
                if other.kind:
                    log.others.append(other)
                continue
            item = _item(seen)
            (log.asked if item.kind in ("ack", "req", "cmd", "rec") else log.items).append(item)
        return log

    def kind(self, *kinds: str) -> list[Item]:
        """Decoded messages of these kinds, in the order they came."""
        return [item for item in self.items if item.kind in kinds and item.payload is not None]

    def births(self) -> dict[str, Birth]:
        """The first birth of each epoch."""
        found: dict[str, Birth] = {}
        for item in self.kind("birth"):
            found.setdefault(item.payload.e, item.payload)
        return found

    def clock(self) -> PlantClock | None:
        """Plant time as the newest birth declares it; None where nobody can know it (no wall time in it)."""
        born = self.kind("birth")
        if not born:
            return None
        newest: Birth = born[-1].payload
        if newest.plant_time is not None and newest.plant_time.wall is None and born[-1].seen.retained:
            return None
        return PlantClock.of(newest.plant_time, born[-1].seen.recv)


def _item(seen: Seen) -> Item:
    try:
        where = parse_topic(seen.topic)
    except WireError as error:
        return Item(seen, "", error=error)
    if not seen.body and seen.retained is False:
        return Item(seen, where.kind, where.id, error=WireError("not_json", "an empty message"))
    try:
        return Item(seen, where.kind, where.id, parse(where.kind, seen.body, MAX_BYTES))
    except WireError as error:
        return Item(seen, where.kind, where.id, error=error)


def roots(messages: Iterable[Seen]) -> list[str]:
    """The topic roots that a recording holds births or numbered messages of, in the order of their first."""
    found: dict[str, None] = {}
    for seen in messages:
        item = _item(seen)
        if item.kind == "birth" or item.kind in NUMBERED:
            found.setdefault(seen.topic.rsplit("/", 2 if item.ident else 1)[0])
    return list(found)
