"""Wall time that does not jump, and the word when the machine's clock did."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field


def wall_ms() -> int:
    """Wall time, UTC milliseconds."""
    return time.time_ns() // 1_000_000


STEP_MS = 5000


@dataclass(slots=True)
class SteadyWall:
    """Wall time that does not jump: taken once, then carried on by the monotonic clock, so that leases stay right.

    `stepped()` tells, once for each step, by how many ms the machine's clock has left it. Both clocks are injectable.
    """

    wall: Callable[[], int] = wall_ms
    mono: Callable[[], float] = time.monotonic
    _wall: int = field(init=False)
    _from: float = field(init=False)
    _known: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._wall, self._from = self.wall(), self.mono()

    def now(self) -> int:
        """Wall ms by the monotonic clock."""
        return self._wall + int((self.mono() - self._from) * 1000)

    @property
    def step(self) -> int:
        """The machine's clock minus ours in ms, as `stepped` last told."""
        return self._known

    def stepped(self) -> int | None:
        """The machine's clock minus ours in ms when that has just changed by more than 5 s."""
        off = self.wall() - self.now()
        if abs(off - self._known) <= STEP_MS:
            return None
        self._known = off
        return off
