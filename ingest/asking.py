"""When to ask a source for something again: one request at a time, after a wait, backing off, never a storm."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from ingest import watermark
from ingest.intake import Intake
from ingest.payloads import Req

WAIT_S = 2.0
"""A hole may close by itself for this long (wall time)."""
MAX_WAIT_S = 60.0
SPAN = 5_000
"""The most numbers one replay request covers."""


@dataclass(slots=True)
class _Asked:
    about: object
    next_at: float
    times: int = 0


@dataclass
class Asking:
    """`due(intake, now, wall)` gives the requests to send now; `now` is monotonic seconds, `wall` ms."""

    wait_s: float = WAIT_S
    _holes: dict[str, _Asked] = field(default_factory=dict)
    _births: dict[str, _Asked] = field(default_factory=dict)

    def due(self, intake: Intake, now: float, wall: int) -> list[tuple[str, Req]]:
        """(source, request) for every hole and missing birth whose time has come."""
        found: list[tuple[str, Req]] = []
        for source, epoch in list(intake.orphans.items()):
            asked = self._turn(self._births, source, epoch, now, first=0.0)
            if asked is not None:
                found.append((source, Req(e=epoch, want="rebirth", expires=self._until(intake, wall, asked))))
        for gone in self._births.keys() - intake.orphans.keys():
            del self._births[gone]
        for source in intake.aliases.sources():
            epoch = intake.aliases.epoch(source) or ""
            mark = intake.marks[source, epoch]
            seen = intake.seen.get((source, epoch))
            if not mark.runs and (seen is None or seen <= mark.hw):
                self._holes.pop(source, None)
                intake.asked.pop(source, None)
                continue
            missing = watermark.holes(mark, seen)
            low = missing[0][0]
            asked = self._turn(self._holes, source, (epoch, low), now, first=self.wait_s)
            if asked is None:
                continue
            high = min(low + SPAN - 1, max(b for a, b in missing if a < low + SPAN))
            intake.asked[source] = (low, high)
            req = Req(e=epoch, want="replay", from_=low, to=high, expires=self._until(intake, wall, asked))
            found.append((source, req))
        return found

    def _turn(self, table: dict[str, _Asked], source: str, about: object, now: float, first: float) -> _Asked | None:
        asked = table.get(source)
        if asked is None or asked.about != about:
            asked = table[source] = _Asked(about, now + first)
        if now < asked.next_at:
            return None
        asked.times += 1
        wait = min(MAX_WAIT_S, self.wait_s * 2**asked.times)
        asked.next_at = now + wait * random.uniform(0.8, 1.2)  # noqa: S311 - spreads many sources out
        return asked

    def _until(self, intake: Intake, wall: int, asked: _Asked) -> int:
        """A request is void (in plant time) when the next one would be sent."""
        if intake.clock is None:  # its plant time is unknown and may be ahead of ours
            return wall + 10 * 365 * 86_400_000
        wait_ms = min(MAX_WAIT_S, self.wait_s * 2**asked.times) * 1000
        return intake.now(wall + round(wait_ms))
