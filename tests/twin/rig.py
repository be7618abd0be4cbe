"""A running twin over a journal file in a folder, asked through its API; ingest is not there, or is faked."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI

from ingest.keys import make_keys
from ingest.wire import Cmd, parse
from sim.plant import Plant
from tests.twin.journals import T0, Writer, write_journal
from twin.api import build
from twin.courier import Courier
from twin.engine import Engine, Settings
from twin.forecast import Options


class Fake:
    """Ingest, as far as the twin talks to it: keeps commands, writes them to the journal file as ingest would."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.commands: list[Cmd] = []
        self.shown: list[bytes] = []
        self.refuse = ""

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/command":
            if self.refuse:
                return httpx.Response(409, json={"error": self.refuse})
            self.commands.append(parse("cmd", request.content))
            return httpx.Response(200, json={"id": self.commands[-1].id})
        if request.url.path == "/rec":
            self.shown.append(request.content)
            return httpx.Response(200, json={"published": True})
        return httpx.Response(200, json={"sources": {}, "rejected": {}, "samples": [], "sinks": {}})


class Local:
    """Requests to an application in this process."""

    def __init__(self, app: FastAPI) -> None:
        self.app = app

    def request(self, method: str, path: str, **more: Any) -> httpx.Response:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
                return await client.request(method, path, **more)

        return asyncio.run(ask())

    def get(self, path: str, **more: Any) -> httpx.Response:
        return self.request("GET", path, **more)

    def post(self, path: str, **more: Any) -> httpx.Response:
        return self.request("POST", path, **more)


class Rig:
    """An engine over a data folder, whose wall clock is the newest row's."""

    def __init__(self, plant: Plant, data: Path) -> None:
        self.data, self.w = data, Writer(plant)
        make_keys(data)
        zero = {tag: 0 for tag in self.w.index if tag.endswith(("/a", "/b"))}
        self.w.data(0, cut__state=3, wash__state=3, b1__level=0, b2__level=0, fa__on_hand=5, set__cap=6, **zero)
        self.w.ticks(1, 5)
        self.written = 0
        self.flush()
        self.engine = self.start(plant)
        self.fake = Fake(data)
        self.courier = Courier(
            self.engine,
            "http://ingest",
            data,
            httpx.Client(transport=httpx.MockTransport(self.fake), base_url="http://ingest"),
        )
        self.client = Local(build(self.engine, self.courier))

    def start(self, plant: Plant) -> Engine:
        settings = Settings(self.data, plant, 10.0, Options(40, 4 * 3600))
        engine = Engine(settings, wall=lambda: self.w.rows[-1].recv)
        engine.poll()
        return engine

    def flush(self) -> None:
        write_journal(self.data / "journal.db", self.w.rows[self.written :])
        self.written = len(self.w.rows)

    def go(self, until: int) -> None:
        """Plant time goes on."""
        self.w.ticks(round((self.w.rows[-1].t - T0) / 1000) + 1, until)
        self.flush()
        self.engine.poll()
        self.engine.progress()

    def post(self, path: str, **body: Any) -> httpx.Response:
        return self.client.post(path, json=body)

    def propose(self, name: str = "r-1", **more: Any) -> httpx.Response:
        gain = {"mean": 18.0, "lo": 4.0, "hi": 31.0, "unit": "EUR", "worse": 0.04}
        return self.post(
            "/recommendations",
            **({"id": name, "control": "cap", "from": 6, "to": 8, "gain": gain, "horizon_s": 600} | more),
        )
