"""One poll of the twin for all browsers: frames in, server-sent events out."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from dashboard.history import History, numbers

PERIOD_S = 0.5
"""How often the twin is asked for its frame, in wall seconds."""
STALE_S = 3.0
"""Without a new frame for this long, what is shown is stale."""
KEEPALIVE_S = 1.0


class TwinError(Exception):
    """The twin could not be reached or answered with nonsense; the text says which and what to do."""


@dataclass(slots=True)
class Counters:
    frames: int = 0
    poll_errors: int = 0
    bad_frames: int = 0
    restarts: int = 0
    clients: int = 0
    sent: int = 0
    refused: int = 0
    decisions: dict[str, int] = field(default_factory=dict)


def _problem(frame: object) -> str | None:
    """Why this is not a frame that can be drawn, or None."""
    if not isinstance(frame, dict):
        return f"frame: expected an object, found {type(frame).__name__}"
    for name in ("seq", "t"):
        if not isinstance(frame.get(name), int) or isinstance(frame.get(name), bool):
            return f"frame: expected a whole number in `{name}`, found {frame.get(name)!r}"
    for name, kind in (("st", list), ("q", list), ("buf", list), ("kpi", dict), ("sync", dict)):
        if not isinstance(frame.get(name), kind):
            return f"frame: expected {kind.__name__} in `{name}`, found {type(frame.get(name)).__name__}"
    try:
        numbers(frame)
    except (TypeError, ValueError, IndexError, KeyError) as error:
        return (
            f"frame: expected [number, ...] in every entry of `kpi`, `buf` and `stk`; {type(error).__name__}: {error}"
        )
    return None


class Feed:
    """Polls the twin, keeps the newest frame and the recent past, and wakes the open streams.

    `twin` is a fixed address, or None: then the address is read from `run/twin.json` in `data`
    before each attempt, so the order in which services start does not matter.
    """

    def __init__(self, twin: str | None, data: Path) -> None:
        self._twin = twin.rstrip("/") if twin else None
        self.data = data
        # uvicorn closes a connection that was idle for 5 s: one as old here would be closed under the next request
        limits = httpx.Limits(keepalive_expiry=2.0)
        self.client = httpx.AsyncClient(timeout=httpx.Timeout(5.0), trust_env=False, limits=limits)
        self.history = History()
        self.counters = Counters()
        self.frame: dict[str, Any] | None = None
        self.encoded = b""
        self.received = 0.0
        self.trouble = "no frame yet"
        self.closing = asyncio.Event()
        self._plant: dict[str, Any] | None = None
        self._fresh = asyncio.Event()  # of the next frame; a new one is made for each

    @property
    def url(self) -> str:
        """Address of the twin; raises TwinError when it is not known."""
        if self._twin:
            return self._twin
        path = self.data / "run" / "twin.json"
        try:
            return str(json.loads(path.read_text())["url"]).rstrip("/")
        except (OSError, ValueError, KeyError, TypeError):
            raise TwinError(f"twin address: expected `url` in {path}, found none; start `plantwin twin`") from None

    def age_s(self) -> float | None:
        """Wall seconds since the last new frame, None before the first."""
        return None if self.frame is None else time.monotonic() - self.received

    def live(self) -> bool:
        age = self.age_s()
        return age is not None and age < STALE_S

    async def get(self, path: str, **params: Any) -> Any:
        """JSON of a GET at the twin; raises TwinError."""
        try:
            answer = await self.client.get(self.url + path, params=params or None)
            answer.raise_for_status()
            return answer.json()
        except (httpx.HTTPError, ValueError) as error:
            raise TwinError(f"twin {path}: {type(error).__name__} {error}".strip()) from error

    async def plant(self) -> dict[str, Any]:
        """The static plant description, fetched once for each life of the twin; raises TwinError."""
        if self._plant is None:
            found = await self.get("/plant")
            if not isinstance(found, dict):
                raise TwinError(f"twin /plant: expected an object, found {type(found).__name__}")
            self._plant = found
        return self._plant

    async def poll(self) -> None:
        """Ask once; a new frame is kept and announced, anything else is counted and changes nothing."""
        try:
            frame = await self.get("/frame")
        except TwinError as error:
            self.counters.poll_errors += 1
            self.trouble = str(error)
            if not self.live():
                self.history.gap()
            return
        problem = _problem(frame)
        if problem:
            self.counters.bad_frames += 1
            self.trouble = problem
            return
        if self.frame and frame["seq"] == self.frame["seq"] and frame["t"] == self.frame["t"]:
            return
        if self.frame and frame["seq"] < self.frame["seq"]:
            self.counters.restarts += 1
            self._plant = None
        self.frame, self.received, self.trouble = frame, time.monotonic(), ""
        self.encoded = f"id: {frame['seq']}\ndata: {json.dumps(frame, separators=(',', ':'))}\n\n".encode()
        self.history.add(frame)
        self.counters.frames += 1
        self._wake()

    def _wake(self) -> None:
        """Wake all streams. Without a lock: one held by a stream that is being closed would stop the poll for ever."""
        self._fresh.set()
        self._fresh = asyncio.Event()

    async def run(self) -> None:
        """Poll until cancelled, at a steady beat that a slow answer does not push back."""
        beat = time.monotonic()
        while not self.closing.is_set():
            await self.poll()
            beat = max(beat + PERIOD_S, time.monotonic())
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.closing.wait(), beat - time.monotonic())

    async def stream(self) -> AsyncIterator[bytes]:
        """Server-sent events for one browser: the newest frame at once, then every new one it is quick enough for."""
        self.counters.clients += 1
        seen = -1
        try:
            yield b"retry: 1000\n\n"
            while not self.closing.is_set():
                fresh = self._fresh
                if self.frame is not None and self.frame["seq"] != seen:
                    seen = self.frame["seq"]
                    self.counters.sent += 1
                    yield self.encoded if self.live() else b"event: old\n" + self.encoded
                    continue
                try:
                    await asyncio.wait_for(fresh.wait(), KEEPALIVE_S)
                except TimeoutError:
                    yield b": still here\n\n"
        finally:
            self.counters.clients -= 1

    async def close(self) -> None:
        """End all streams and the connection to the twin."""
        self.closing.set()
        self._wake()
        await self.client.aclose()
