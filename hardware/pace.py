"""Wall clock to plant clock of a simulated plant."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from ingest.steady import SteadyWall, wall_ms

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


__all__ = ["DEFAULT_SPEED", "MAX_SPEED", "Pace", "SteadyWall", "check_speed", "wall_ms"]
