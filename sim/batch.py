"""Advance a batch whose replicas stand at different times, as environments with their own episode clocks do."""

from __future__ import annotations

from sim.compile import Compiled
from sim.engine import run
from sim.state import Array


def advance(rows: Array, compiled: Compiled, until: Array, threads: int = 1) -> None:
    """Advance rows [R, W] in place, each to its own tick `until` [R]. Raises `KernelError` on overflow."""
    run(rows, compiled, until, threads)
