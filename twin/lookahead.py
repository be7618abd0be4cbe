"""What goes with each look ahead beside the forecast: forecasts of shifts, and the posterior in a file for training."""

from __future__ import annotations

import threading
from pathlib import Path

from sim.compile import Compiled
from twin.inforce import encode, values_of
from twin.model import TwinState
from twin.posterior_file import NAME, write_posterior
from twin.shiftbook import ShiftBook

SHIFTS_AT_ONCE = 2
"""Forecasts of shifts made (or made again) at one look ahead."""


def look_at_shifts(book: ShiftBook, lock: threading.RLock, state: TwinState, pos: int) -> None:
    """Forecast the shift that has begun, and again those that are over when the model is another now.

    `state` is a copy, believed at journal row `pos`; the book is touched under its `lock`, forecasts are made without.
    """
    for _ in range(SHIFTS_AT_ONCE):
        with lock:
            kept = book.wanting(state)
        if kept is None:
            return
        values = book.make(kept, state)
        with lock:
            book.take(kept, values, state, pos)


class PosteriorKeeper:
    """Writes `posterior.json` into a folder where it is another than the one written last."""

    def __init__(self, compiled: Compiled, folder: Path) -> None:
        self._compiled, self._path = compiled, folder / NAME
        self._written = ("", "")

    def keep(self, state: TwinState, name: str) -> None:
        """`name` is that of the posterior believed in `state`; OSError when it cannot be written."""
        key = (name, encode(values_of(self._compiled.plant, state.refits)))
        if key != self._written:
            write_posterior(self._compiled, state, self._path)
            self._written = key
