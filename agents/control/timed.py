"""What a decision takes: a controller that looks at the clock."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.control.controllers import Controller

Rows = NDArray[np.int64]
Values = NDArray[np.int64]


class Timed:
    """The same controller; `seconds` of CPU (of the process, all its threads) went into `decisions`, one for each
    replica and moment at which it was asked.
    """

    def __init__(self, who: Controller) -> None:
        self.who, self.seconds, self.decisions = who, 0.0, 0

    @property
    def name(self) -> str:
        """The controller's."""
        return self.who.name

    @property
    def static(self) -> bool:
        """The controller's."""
        return self.who.static

    @property
    def epoch_s(self) -> float | None:
        """The controller's."""
        return self.who.epoch_s

    @property
    def each(self) -> float | None:
        """CPU seconds a decision; None where it was never asked."""
        return self.seconds / self.decisions if self.decisions else None

    def act(self, rows: Rows) -> Values | None:
        """The controller's setpoints."""
        began = time.process_time()
        values = self.who.act(rows)
        self.seconds += time.process_time() - began
        self.decisions += len(rows)
        return values

    def __getattr__(self, name: str) -> Any:
        """`kinds`, `warnings`, whatever else it has."""
        return getattr(object.__getattribute__(self, "who"), name)


def in_words(seconds: float | None) -> str:
    """CPU time a decision for people."""
    if seconds is None:
        return "never asked"
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-6:.3g} µs"
