"""The dashboard's process: Dash on FastAPI, one uvicorn, loopback only."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn
from dash import Dash, Input, Output
from fastapi import FastAPI

from dashboard import api, cards, page_health, pages
from dashboard.feed import Feed, TwinError
from dashboard.guard import LOOPBACK, Guard


@dataclass(frozen=True, slots=True)
class Settings:
    """`twin` None: the address is read from `data`/run/twin.json, again and again until it is there."""

    data: Path
    twin: str | None = None
    host: str = "127.0.0.1"
    port: int = 8050
    allow_remote: bool = False


class SettingsError(Exception):
    """The dashboard cannot start with these settings; the text says what to change, `code` is the exit code."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code


def build(settings: Settings, feed: Feed) -> tuple[FastAPI, Dash]:
    """The application over one feed; its life includes the polling of the twin."""

    @contextlib.asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        poller = asyncio.create_task(feed.run())
        yield
        poller.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await poller
        await feed.close()

    server = FastAPI(lifespan=life, docs_url=None, redoc_url=None, openapi_url=None)
    server.include_router(api.build(feed))
    dash = Dash(
        "plantwin",
        server=server,  # type: ignore[arg-type]  # dash annotates Flask servers only
        backend="fastapi",
        assets_folder=str(Path(__file__).parent / "assets"),
        title="plantwin",
        update_title=None,  # type: ignore[arg-type]  # documented: no "Updating..." in the title
        suppress_callback_exceptions=True,
        enable_mcp=False,
        serve_locally=True,
    )
    # Dash's renderer opens its websocket worker whenever the server could; ours is one event stream instead.
    dash.backend.websocket_capability = False
    dash.layout = pages.shell()
    _callbacks(dash, feed)
    # Dash does this at the first request of "/" only; a first visitor of /decide would get a page without scripts.
    dash._setup_server()  # type: ignore[no-untyped-call]

    def refused() -> None:
        feed.counters.refused += 1

    hosts = frozenset({settings.host}) if settings.allow_remote else frozenset()
    server.add_middleware(Guard, refused=refused, hosts=hosts)
    return server, dash


def versions(frame: Mapping[str, Any]) -> str:
    """What of a frame the cards depend on; the asset builds the same text and asks for new cards when it differs."""
    advised = (frame.get("advice") or {}).get("t")
    return json.dumps([frame.get("rec_v"), bool(frame.get("paused")), advised], separators=(",", ":"))


def _callbacks(dash: Dash, feed: Feed) -> None:
    """All are coroutines: a plain function would hold up every open stream while it runs."""

    async def present() -> list[Any]:
        try:
            recs, plant = await asyncio.gather(feed.get("/recommendations"), feed.plant())
        except TwinError as error:
            return [pages.panel("The twin does not answer", str(error), "card")]
        return cards.build(recs, plant, feed.frame)

    @dash.callback(Output("page", "children"), Input("url", "pathname"))
    async def route(path: str | None) -> Any:
        match (path or "/").rstrip("/") or "/":
            case "/":
                return pages.overview()
            case "/decide":
                shown = versions(feed.frame or {})
                return pages.decide(await present(), shown)
            case "/health":
                return page_health.health()
            case other:
                return pages.missing(other)

    @dash.callback(Output("cards", "children"), Input("rec-version", "data"), prevent_initial_call=True)
    async def refresh(_: Any) -> Any:
        return await present()


class _Server(uvicorn.Server):
    """Announces itself when it listens, and ends the open streams when it is told to stop."""

    def __init__(self, config: uvicorn.Config, feed: Feed, settings: Settings) -> None:
        super().__init__(config)
        self._feed = feed
        self._settings = settings

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        if self.started and sockets:
            announce(self._settings, sockets[0].getsockname()[1])

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._feed.closing.set()
        super().handle_exit(sig, frame)


def announce(settings: Settings, port: int) -> None:
    """Write run/dashboard.json, whole or not at all."""
    url = f"http://{settings.host}:{port}" if ":" not in settings.host else f"http://[{settings.host}]:{port}"
    folder = settings.data / "run"
    folder.mkdir(parents=True, exist_ok=True)
    body = {"name": "dashboard", "pid": os.getpid(), "port": port, "url": url}
    part = folder / "dashboard.json.part"
    part.write_text(json.dumps(body))
    part.replace(folder / "dashboard.json")
    print(f"dashboard: {url}", flush=True)


def listen(settings: Settings) -> socket.socket:
    """The listening socket; raises SettingsError when the address is not allowed or taken."""
    if settings.host not in LOOPBACK and not settings.allow_remote:
        raise SettingsError(
            f"host: expected a loopback address ({', '.join(sorted(LOOPBACK))}), found {settings.host!r}; there is no "
            "sign-in yet, so anyone who reaches the page could act: add --allow-remote if that is what you want",
            code=2,
        )
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((settings.host, settings.port))
        made.listen(128)
    except OSError as error:
        made.close()
        where = f"{settings.host}:{settings.port}"
        raise SettingsError(
            f"port: cannot listen on {where} ({error.strerror}); choose another with --port", 1
        ) from None
    return made


def serve(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT; returns within about two seconds of it, open streams or not."""
    made = listen(settings)
    feed = Feed(settings.twin, settings.data)
    server, _ = build(settings, feed)
    config = uvicorn.Config(server, log_level="warning", access_log=False, timeout_graceful_shutdown=2, ws="none")
    try:
        with contextlib.suppress(KeyboardInterrupt):
            # uvicorn raises the signal again after its shutdown; a stop that was asked for is a success.
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            _Server(config, feed, settings).run(sockets=[made])
    finally:
        made.close()
        (settings.data / "run" / "dashboard.json").unlink(missing_ok=True)
