"""Keeping a handful of processes alive: start in order, notice a death, start again, stop all.

Each part is its own process in its own session, so that Ctrl-C reaches only the supervisor, which then stops the parts
in reverse order. The kernel is asked to end a part when the supervisor itself dies, so nothing is left behind.
"""

from __future__ import annotations

import ctypes
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

FIRST_DELAY_S = 0.5
LONGEST_DELAY_S = 5.0
STEADY_S = 10.0
"""A part that lived this long before it died starts again at the shortest delay."""
STOP_S = 10.0
"""What a part gets to stop by itself before it is killed."""
PR_SET_PDEATHSIG = 1


class StartError(Exception):
    """A part did not become ready; the message says which, why, and shows the end of its output."""


@dataclass(frozen=True, slots=True)
class Part:
    """One process to keep.

    `argv` is the whole command line. It is ready when `run/NAME.json` names its pid and, where that file gives a `url`,
    `/healthz` there answers 200; or, for programs that know nothing of that (`port` given), when the port accepts. The
    start of the next part waits for that unless `wait` is off.
    """

    name: str
    argv: tuple[str, ...]
    port: int | None = None
    start_s: float = 60.0
    wait: bool = True


@dataclass(slots=True)
class Running:
    """What the supervisor knows of one part."""

    part: Part
    process: subprocess.Popen[bytes] | None = None
    since: float = 0.0
    restarts: int = 0
    delay_s: float = FIRST_DELAY_S
    again_at: float | None = None
    ready: bool = False


def python(*arguments: str) -> tuple[str, ...]:
    """The command line of a plantwin command in this same interpreter."""
    return (sys.executable, "-m", "plantwin", *arguments)


def free_ports(count: int) -> list[int]:
    """So many different free TCP ports on loopback; all are held open until the last is found."""
    held = [socket.socket() for _ in range(count)]
    try:
        for one in held:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in held]
    finally:
        for one in held:
            one.close()


def port_is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port now (0: always)."""
    with socket.socket() as probe:
        # as servers do: a port in TIME_WAIT is free, a port somebody listens on is not
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def healthy(url: str, timeout_s: float = 2.0) -> bool:
    """Whether GET `url`/healthz answers 200."""
    where = urlsplit(url)
    connection = http.client.HTTPConnection(where.hostname or "127.0.0.1", where.port, timeout=timeout_s)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _end_with_parent() -> None:
    """In the child, before its program starts: ask Linux to stop it when the supervisor dies."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


@dataclass
class Supervisor:
    """Keeps `parts` running in `folder` (files `run/NAME.json`, `run/NAME.log`) and says what happens through `say`."""

    folder: Path
    parts: Sequence[Part]
    say: Callable[[str], None]
    clock: Callable[[], float] = time.monotonic
    environment: Mapping[str, str] | None = None
    running: dict[str, Running] = field(init=False)

    def __post_init__(self) -> None:
        self.run_folder = self.folder / "run"
        self.run_folder.mkdir(parents=True, exist_ok=True)
        self.running = {part.name: Running(part) for part in self.parts}

    @property
    def restarts(self) -> int:
        """How often any part was started again."""
        return sum(one.restarts for one in self.running.values())

    def start(self) -> None:
        """Start all parts in order, each when those before are ready. Raises StartError and leaves nothing running."""
        try:
            for one in self.running.values():
                self._launch(one)
                if one.part.wait:
                    self._await_ready(one)
        except BaseException:
            self.stop()
            raise

    def poll(self) -> None:
        """Notice deaths, start again what is due. Call it a few times a second."""
        now = self.clock()
        for one in self.running.values():
            if one.process is not None:
                code = one.process.poll()
                if code is None:
                    if not one.ready and self._is_ready(one):
                        one.ready = True
                        self.say(f"{one.part.name} is {'back' if one.restarts else 'ready'}")
                    continue
                self._note_death(one, code, now)
            elif one.again_at is not None and now >= one.again_at:
                one.restarts += 1
                self._launch(one)

    def stop_part(self, name: str) -> None:
        """Stop one part for good."""
        one = self.running[name]
        one.again_at = None
        self._signal([one], signal.SIGTERM)
        self._reap([one])

    def stop(self) -> None:
        """Stop all parts, last started first; whoever does not stop in time is killed."""
        for one in reversed(self.running.values()):
            self.stop_part(one.part.name)

    def info(self, name: str) -> dict[str, object]:
        """What the part wrote in its `run/NAME.json`; empty while it is not there or not whole."""
        try:
            found = json.loads((self.run_folder / f"{name}.json").read_text())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def tail(self, name: str, lines: int = 12) -> str:
        """The last lines a part printed."""
        try:
            text = (self.run_folder / f"{name}.log").read_text(errors="replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-lines:])

    def _launch(self, one: Running) -> None:
        name = one.part.name
        (self.run_folder / f"{name}.json").unlink(missing_ok=True)
        with (self.run_folder / f"{name}.log").open("ab") as output:
            one.process = subprocess.Popen(
                one.part.argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=None if self.environment is None else {**os.environ, **self.environment},
                start_new_session=True,
                preexec_fn=_end_with_parent,  # noqa: PLW1509 - the supervisor has one thread
            )
        one.since = self.clock()
        one.again_at = None
        one.ready = False

    def _await_ready(self, one: Running) -> None:
        """Wait until a part is ready for the first time."""
        name, process = one.part.name, one.process
        end = self.clock() + one.part.start_s
        while process is not None and not self._is_ready(one):
            code = process.poll()
            if code is not None:
                why = f"ended with code {code} before it was ready"
                raise StartError(f"{name} {why}; its last words:\n{self.tail(name)}")
            if self.clock() > end:
                why = f"was not ready after {one.part.start_s:.0f} s"
                raise StartError(f"{name} {why}; its last words:\n{self.tail(name)}")
            time.sleep(0.05)
        one.ready = True

    def _is_ready(self, one: Running) -> bool:
        if one.part.port is not None:
            with socket.socket() as probe:
                probe.settimeout(1.0)
                return probe.connect_ex(("127.0.0.1", one.part.port)) == 0
        info = self.info(one.part.name)
        if one.process is None or info.get("pid") != one.process.pid:
            return False
        url = info.get("url")
        return healthy(url) if isinstance(url, str) and url.startswith("http://") else True

    def _note_death(self, one: Running, code: int, now: float) -> None:
        if now - one.since >= STEADY_S:
            one.delay_s = FIRST_DELAY_S
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"code {code}"
        self.say(f"{one.part.name} ended ({how}); it starts again in {one.delay_s:g} s")
        last = self.tail(one.part.name, 1)
        if last:
            self.say(f"  its last words: {last}")
        one.process, one.ready = None, False
        one.again_at = now + one.delay_s
        one.delay_s = min(2 * one.delay_s, LONGEST_DELAY_S)

    def _signal(self, some: Sequence[Running], number: signal.Signals) -> None:
        for one in some:
            if one.process is not None and one.process.poll() is None:
                try:
                    os.killpg(one.process.pid, number)
                except ProcessLookupError:
                    continue

    def _reap(self, some: Sequence[Running]) -> None:
        end = self.clock() + STOP_S
        for one in some:
            if one.process is None:
                continue
            try:
                one.process.wait(timeout=max(0.1, end - self.clock()))
            except subprocess.TimeoutExpired:
                self.say(f"{one.part.name} did not stop within {STOP_S:.0f} s and was killed")
                self._signal([one], signal.SIGKILL)
                one.process.wait()
            one.process = None
