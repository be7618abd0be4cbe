"""Compacts a data folder and kills itself with -9 at the nth durable step (started by test_compactor)."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import NoReturn

import ingest.compactor
import ingest.segments
from ingest.manifest import Change, Manifest, publish
from tests.ingest.history_kit import SMALL, compact


def die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def arm(nth: int) -> None:
    """Every file begun, named, committed or removed is a step, and the moment inside a commit is one."""
    apply, unlink = Manifest.apply, Manifest.unlink
    count = 0

    def step() -> None:
        nonlocal count
        count += 1
        if count == nth:
            die()

    def doomed_publish(temporary: Path, path: Path) -> None:
        step()
        publish(temporary, path)
        step()

    def doomed_apply(self: Manifest, change: Change) -> None:
        step()
        self._db.set_trace_callback(lambda sql: step() if sql == "COMMIT" else None)
        apply(self, change)
        self._db.set_trace_callback(None)
        step()

    def doomed_unlink(self: Manifest, paths: list[str]) -> None:
        for path in paths:
            step()
            unlink(self, [path])

    ingest.segments.publish = doomed_publish  # type: ignore[attr-defined]
    Manifest.apply = doomed_apply  # type: ignore[method-assign]
    Manifest.unlink = doomed_unlink  # type: ignore[method-assign, assignment]


if __name__ == "__main__":
    arm(int(sys.argv[2]))
    compact(Path(sys.argv[1]), SMALL).close()
