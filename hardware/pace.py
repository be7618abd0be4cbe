"""Wall clock to plant clock of a simulated plant."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

DEFAULT_SPEED = 60.0
MAX_SPEED = 600.0
"""Beyond this one plant second is shorter than the resolution of messages and approvals make sense for."""


def check_speed(speed: float) -> float:
    """`speed` if it is allowed, else ValueError in one sentence."""
    if not 0.1 <= speed <= MAX_SPEED:
        raise ValueError(
            f"--speed {speed:g}: expected 0.1 to {MAX_SPEED:g} plant seconds per wall second; choose one in that range"
        )
    return speed


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

    def stepped(self) -> int | None:
        """The machine's clock minus ours in ms when that has just changed by more than 5 s."""
        off = self.wall() - self.now()
        if abs(off - self._known) <= STEP_MS:
            return None
        self._known = off
        return off


@dataclass(slots=True)
class Pace:
    """Plant time = origin + (wall now - wall) x speed, in ms; `wall` is the wall time of going live.

    `mono` is the monotonic clock in seconds (injectable), so that a step of the machine's clock
    does not make the plant jump.
    """

    origin: int
    speed: float
    wall: int = field(default_factory=wall_ms)
    mono: Callable[[], float] = time.monotonic
    _from: float = field(init=False)

    def __post_init__(self) -> None:
        check_speed(self.speed)
        self._from = self.mono()

    def now(self) -> int:
        """Plant time now, ms."""
        return self.origin + int((self.mono() - self._from) * 1000 * self.speed)
