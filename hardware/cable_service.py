"""The demo's cable as a process: the relay, and a small loopback interface by which it is pulled."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.middleware.trustedhost import TrustedHostMiddleware

from hardware.cable import Cable, CableError, of_folder
from hardware.service import announce, retire, say, stop_on_signals

LOOPBACK = ["127.0.0.1", "localhost", "testserver"]


def build(cable: Cable) -> FastAPI:
    """`GET /` how it stands, `POST /pull {seconds}`, `POST /plug {}`; a refusal is `{"error": why}` with 409."""
    app = FastAPI(title="plantwin cable", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=LOOPBACK)

    @app.get("/healthz")
    async def healthz() -> dict[str, bool]:
        return {"ok": True}

    @app.get("/")
    async def view() -> dict[str, Any]:
        return cable.view()

    @app.post("/pull")
    async def pull(request: Request) -> JSONResponse:
        if _foreign(request):
            return JSONResponse({"error": "origin: this page is not of this machine"}, status_code=403)
        try:
            body = await request.json()
            cable.pull(body["seconds"] if isinstance(body, dict) and "seconds" in body else 0)
        except CableError as error:
            return JSONResponse({"error": str(error)}, status_code=409)
        except ValueError as error:
            return JSONResponse({"error": f"the body is not JSON: {error}"}, status_code=422)
        return JSONResponse(cable.view())

    @app.post("/plug")
    async def plug(request: Request) -> JSONResponse:
        if _foreign(request):
            return JSONResponse({"error": "origin: this page is not of this machine"}, status_code=403)
        cable.plug()
        return JSONResponse(cable.view())

    return app


class _Server(uvicorn.Server):
    """Ends when it is told to; the signals belong to the service around it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _foreign(request: Request) -> bool:
    """Whether a page of another site sends this through somebody's browser."""
    origin = request.headers.get("origin")
    return origin is not None and urlsplit(origin).hostname not in LOOPBACK


async def serve(broker: tuple[str, int], port: int, data: Path) -> None:
    """Relay and interface until a signal comes. Raises OSError when a port is taken."""
    stop = stop_on_signals()
    cable = of_folder(broker, data)
    await cable.start(port)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        at = int(listening.getsockname()[1])
        config = uvicorn.Config(build(cable), log_level="warning", access_log=False, ws="none", lifespan="off")
        server = _Server(config)
        serving = asyncio.create_task(server.serve([listening]))
        ready = announce(data, "cable", port=port, url=f"http://127.0.0.1:{at}")
        say("cable", f"127.0.0.1:{port} to the broker {broker[0]}:{broker[1]}")
        await cable.watch(stop)
        retire(ready)
        server.should_exit = True
        await serving
    await cable.stop()
