"""What the twin says on the wire: watermarks, commands, the recommendation in force, its own state."""

from __future__ import annotations

from typing import Any

from ingest import watermark
from ingest.intake import Intake
from ingest.mqtt import Link
from ingest.payloads import Ack, TwinState, encode
from ingest.readings import wall_ms
from ingest.topics import topic

ACK_S = 0.2
"""Watermarks are published at most this often per source."""
ACK_HOLES = 200
RESEND_S = 5.0
"""A command without any answer is published again this often until it expires; gateways know it by its id."""


class Outgoing:
    """Called from the writer thread, but for `rec`."""

    def __init__(self, link: Link, state_topic: str) -> None:
        self._link = link
        self._state_topic = state_topic
        self._dirty: set[str] = set()
        self._acked: dict[str, float] = {}
        self._sent: dict[str, float] = {}
        self._rec: tuple[str, bytes] | None = None

    def up(self, intake: Intake) -> None:
        """The connection is new: a broker may have forgotten everything."""
        self._link.publish(self._state_topic, encode(TwinState(online=True, ts=intake.now(wall_ms()))), retain=True)
        self._acked.clear()
        self._sent.clear()
        self._dirty.update(intake.aliases.sources())
        if self._rec is not None:
            self._link.publish(*self._rec, retain=True)

    def committed(self, intake: Intake, rows: list[tuple[Any, ...]]) -> None:
        """A batch is on disk: its sources' watermarks are due, and commands for a source that came back."""
        for row in rows:
            kind, source, number = row[2], row[3], row[5]
            if number is not None or kind == "birth":
                self._dirty.add(source)
            if kind in ("birth", "status"):
                for ident, (root, _) in intake.pending.items():
                    if root == source:
                        self._sent.pop(ident, None)

    def slow(self, intake: Intake, now: float, wall: int) -> None:
        """Several times a second: publish what is due."""
        for source in list(self._dirty):
            if now - self._acked.get(source, -ACK_S) < ACK_S:
                continue
            self._dirty.discard(source)
            new = ack_of(intake, source, wall)
            if new is not None and self._link.publish(topic(source, "ack"), new, retain=True):
                self._acked[source] = now
        self.commands(intake, now, wall)

    def commands(self, intake: Intake, now: float, wall: int) -> None:
        """Publish commands that no gateway has answered, never retained, until they expire."""
        plant = intake.now(wall)
        for ident, (root, cmd) in list(intake.pending.items()):
            if plant >= cmd.expires:
                del intake.pending[ident]
                self._sent.pop(ident, None)
                continue
            due = now - self._sent.get(ident, -RESEND_S) >= RESEND_S
            if due and self._link.publish(topic(root, "cmd", ident), encode(cmd)):
                self._sent[ident] = now

    def rec(self, where: str, body: bytes) -> bool:
        """Publish the recommendation in force, retained; remembered for the next connection."""
        self._rec = (where, body)
        return self._link.publish(where, body, retain=True)


def ack_of(intake: Intake, source: str, wall: int) -> bytes | None:
    """The watermark message of a source's present epoch, None where it has none."""
    epoch = intake.aliases.epoch(source)
    if epoch is None:
        return None
    key = (source, epoch)
    found = watermark.holes(intake.marks[key], intake.seen.get(key), limit=ACK_HOLES)
    return encode(Ack(e=epoch, hw=intake.marks[key].hw, holes=found, ts=intake.now(wall)))
