"""When a reading happened, by a device whose clock may be wrong.

For a device whose clock is right, arrival - device time is the way's delay and never negative; a clock that is
off by x shifts all of it by x. The lower quantile over a window is therefore the best estimate of the skew that needs
no help of the device: the quickest ways are the ones that carry the least delay. (The same idea as the minimum filter
of RFC 5905, clause 10, with a quantile, because one wrong stamp must not decide.)
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from ingest.wire import GOOD, UNCERTAIN

ENOUGH = 20
"""Readings before an estimate is believed, and before a step of the device's clock is."""
STEP_SPAN_MS = 10_000
"""A step has to last: a burst of delayed readings comes all at once."""


@dataclass(slots=True)
class DeviceClock:
    """One device's clock. All times are ms; `place` is called for each reading in the order of arrival.

    Within `tolerance_ms` a device time is taken as it is. `counts` tells how many were not, by reason:
    `skewed` (corrected), `unplaced` (off, and no estimate yet: time of arrival), `future` (bounded by the arrival),
    `late` (older than `late_ms`), `backward` (before the tag's last one: bounded by it).
    """

    tolerance_ms: int = 2_000
    late_ms: int = 60_000
    window_ms: int = 600_000
    quantile: float = 0.05
    counts: dict[str, int] = field(default_factory=dict)
    steps: int = 0
    skew_ms: int | None = None
    _offsets: deque[tuple[int, int]] = field(default_factory=lambda: deque(maxlen=500))
    _since: int = 0
    _last: dict[str, int] = field(default_factory=dict)

    @property
    def flagged(self) -> int:
        """Readings whose time was not taken as it came."""
        return sum(self.counts.values())

    def place(self, name: str, t: int, arrival: int) -> tuple[int, int]:
        """(time, quality) of a reading of `name` with device time `t`, never after `arrival`, never before its last."""
        self._learn(arrival, arrival - t)
        at, why = self._corrected(t, arrival)
        if at > arrival:
            why = "future" if at > arrival + self.tolerance_ms else why
            at = arrival
        elif arrival - at > self.late_ms:
            why = "late"
        last = self._last.get(name, at)
        if at < last:
            at, why = last, "backward"
        self._last[name] = at
        if not why:
            return at, GOOD
        self.counts[why] = self.counts.get(why, 0) + 1
        return at, UNCERTAIN

    def seen(self, name: str, at: int) -> None:
        """A reading of `name` was placed at `at` by other means (the image at the start): none may come before it."""
        self._last[name] = max(at, self._last.get(name, at))

    def _corrected(self, t: int, arrival: int) -> tuple[int, str]:
        if self.skew_ms is None:
            off = abs(arrival - t) > self.tolerance_ms
            return (arrival, "unplaced") if off else (t, "")
        if abs(self.skew_ms) <= self.tolerance_ms:
            return t, ""
        return t + self.skew_ms, "skewed"

    def _learn(self, arrival: int, offset: int) -> None:
        self._offsets.append((arrival, offset))
        while self._offsets[0][0] < arrival - self.window_ms and len(self._offsets) > ENOUGH:
            self._offsets.popleft()
        self._since += 1
        if len(self._offsets) < ENOUGH or self._since % 5:
            return
        self._watch_step()
        ordered = sorted(o for _, o in self._offsets)
        self.skew_ms = ordered[int(self.quantile * len(ordered))]

    def _watch_step(self) -> None:
        """The newest readings agree with each other and not with the estimate: the device's clock was set."""
        newest = list(self._offsets)[-ENOUGH:]
        offsets = [o for _, o in newest]
        low, high = min(offsets), max(offsets)
        if self.skew_ms is None or newest[-1][0] - newest[0][0] < STEP_SPAN_MS or high - low > self.tolerance_ms:
            return
        if abs(low - self.skew_ms) > self.tolerance_ms:
            self.steps += 1
            self._offsets = deque(newest, maxlen=500)
