"""Helpers of ingest that run as processes of their own: started beside it, started again, never outliving it."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

log = logging.getLogger("ingest")


class Child:
    """`python -m MODULE ARGUMENTS` as a child process, started again (at most once a `keep_up`) when it ends."""

    def __init__(self, module: str, arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        self._call = [sys.executable, "-m", module, *arguments]
        self._module, self._environment = module, dict(environment or {})
        self._process = self._begin()

    def _begin(self) -> subprocess.Popen[bytes]:
        # it ends when its standard input does, so that it never outlives us
        home = str(Path(__file__).resolve().parent.parent)
        environment = os.environ | self._environment | {"PYTHONPATH": home}
        return subprocess.Popen(self._call, stdin=subprocess.PIPE, env=environment)

    def keep_up(self) -> None:
        """Start it again when it ended."""
        if self._process.poll() is not None:
            log.warning("%s ended with %s; starting it again", self._module, self._process.returncode)
            self._close()
            self._process = self._begin()

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._close()

    def _close(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()


def follow_parent(*, piped: bool = True) -> threading.Event:
    """An event that is set by SIGTERM, SIGINT and (`piped`) the end of standard input: the parent is gone."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    if piped and not sys.stdin.isatty():

        def orphaned() -> None:
            while os.read(0, 4096):  # unbuffered: no lock that the end of the interpreter would wait for
                pass
            stop.set()

        threading.Thread(target=orphaned, daemon=True).start()
    return stop


def say(data: Path, name: str, stats: msgspec.Struct) -> None:
    """Leave word in `run/sink-NAME.json`, which the ledger shows; a full disk must not end who says it."""
    path = data / "run" / f"sink-{name}.json"
    temporary = path.with_suffix(".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(msgspec.json.encode(stats))
        temporary.replace(path)
    except OSError as error:
        log.warning("%s: %s", path, error)
