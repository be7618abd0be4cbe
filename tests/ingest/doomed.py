"""Runs the ingest service and kills itself with -9 at a chosen point (started by test_kill)."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn

from ingest.journal import Batch, Journal
from ingest.message import Line, Message
from ingest.mqtt import Link
from ingest.service import Service, Settings


def die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def arm(point: str, nth: int) -> None:
    """Patch the journal or the link so that the nth batch that holds data kills us at `point`."""
    commit, acknowledge = Journal.commit, Link.acknowledge
    count = 0

    def doomed_commit(self: Journal, batch: Batch) -> int:
        nonlocal count
        count += any(row[2] == "data" for row in batch.rows)
        if count == nth and point == "before":
            die()
        if count == nth and point == "inside":
            self._db.set_trace_callback(lambda sql: die() if sql == "COMMIT" else None)
        result = commit(self, batch)
        if count == nth and point == "after":
            die()
        return result

    def doomed_acknowledge(self: Link, messages: Iterable[Message]) -> None:
        acknowledge(self, messages)
        if count >= nth and point == "acknowledged":
            die()

    Journal.commit = doomed_commit  # type: ignore[method-assign]
    Link.acknowledge = doomed_acknowledge  # type: ignore[method-assign]


if __name__ == "__main__":
    arm(sys.argv[1], int(sys.argv[2]))
    Service(Settings(Path(sys.argv[3]), "127.0.0.1", int(sys.argv[4]), Line("demo", "machining", "line3"))).start()
    signal.pause()
