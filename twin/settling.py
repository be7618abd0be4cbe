"""What has left the lateness window, on its way into the settled state and into what is learned: piece by piece.

Once in 150 s of plant time everything that can no longer be preceded by anything is settled. After a backlog, or where
many messages come, that is seconds of work, for which a look at the present must not wait. *What* is settled is fixed
when it leaves the window, by the rows alone; only *when* the work is done follows the looks, and whoever needs the
settled state itself (`Settling.go_on` without an end) waits for the rest.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from twin.model import TwinState, count

if TYPE_CHECKING:
    from twin.learn import Learner
    from twin.observe import Obs

PIECE = 16
"""Observations between two looks at the clock (some milliseconds)."""
SHARE = 0.4
"""Part of the time between two looks at the present that goes into settling, where there is something to settle: the
faster readings come the more there is of it, and a batch must be done before the next one."""
LEAST_S, MOST_S = 0.01, 0.05
"""Bounds (wall) of what one look gives to it."""


class Settling:
    """One batch at a time, from `begin` to its last observation."""

    def __init__(self) -> None:
        self._batch: list[Obs] = []
        self._at = 0
        self._looked = 0.0

    @property
    def t(self) -> int:
        """Plant ms up to which observations are settled or on their way, 0 when none are under way."""
        return self._batch[-1].t if self._batch else 0

    def begin(self, learner: Learner, base: TwinState, batch: list[Obs], later: list[Obs]) -> None:
        """Take over a batch; the one before is finished first. `later`: what is known that comes after it."""
        self.go_on(learner, base)
        learner.begin(batch, later)
        self._batch, self._at = batch, 0
        if not batch:
            learner.end(base)

    def go_on(self, learner: Learner, base: TwinState, until: float | None = None) -> bool:
        """Settle, at most until `until` (monotonic); is nothing left?"""
        while self._batch:
            piece = self._batch[self._at : self._at + PIECE]
            for obs in piece:
                learner.take(base, obs)
            self._at += len(piece)
            if self._at == len(self._batch):
                learner.end(base)
                self._batch, self._at = [], 0
            elif until is not None and time.monotonic() > until:
                return False
        return True

    def look(self, learner: Learner, base: TwinState) -> None:
        """What a look at the present gives to it."""
        now = time.monotonic()
        self.go_on(learner, base, now + min(max(SHARE * (now - self._looked), LEAST_S), MOST_S))
        self._looked = now


def step_back(base: TwinState, t: int) -> None:
    """The plant's clock was put back to `t`: what is believed stays, times that now lie ahead end there."""
    base.t = t - 1
    for tag in base.tags.values():
        tag.t, tag.changed = min(tag.t, t), min(tag.changed, t)
    for station in base.stations:
        for unit in station.units:
            unit.since, unit.started, unit.seen = min(unit.since, t), min(unit.started, t), min(unit.seen, t)
    for hidden in base.hidden.values():
        hidden.t, hidden.since = min(hidden.t, t), min(hidden.since, t)
        hidden.marks, hidden.since_mark = [], []
    base.history.clear()
    count(base, "clock_stepped_back")
