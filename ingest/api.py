"""The loopback HTTP interface of ingest: health, ledger, and what others want journaled or published."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.middleware.trustedhost import TrustedHostMiddleware

from ingest.history_api import routes as history_routes
from ingest.journal import JournalError
from ingest.keys import KeyFileError, load_public, verify
from ingest.payloads import BIG, MAX_BYTES, Cmd, Rec, Supply, WireError, parse
from ingest.readings import Manual
from ingest.service import Job, Service

TIMEOUT_S = 10.0


class RefusedError(ValueError):
    """A request that is not granted: HTTP status and the reason."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


def build(service: Service) -> FastAPI:
    """The application; every answer is JSON, every refusal `{"error": why}`."""
    app = FastAPI(title="plantwin ingest", docs_url=None, redoc_url=None)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])

    @app.exception_handler(RefusedError)
    async def refused(_request: Request, error: RefusedError) -> JSONResponse:
        return JSONResponse({"error": str(error)}, status_code=error.status)

    @app.get("/healthz")
    async def healthz() -> JSONResponse:
        health = service.health()
        return JSONResponse(health, status_code=200 if health["ok"] else 503)

    @app.get("/ledger")
    async def ledger() -> dict[str, Any]:
        rejected_here = {"overflow": service.overflow} if service.overflow else {}
        view = service.intake.ledger.view()
        view["rejected"] |= rejected_here
        storage = msgspec.to_builtins(service.storage.view)
        return view | {"sinks": sinks(service.settings.data), "storage": storage}

    app.include_router(history_routes(service.settings.data))

    @app.post("/command")
    async def command(request: Request) -> dict[str, Any]:
        body = await read(request)
        cmd: Cmd = checked("cmd", body)
        try:
            valid = verify(cmd, load_public(service.settings.data))
        except KeyFileError as error:
            raise RefusedError(503, str(error)) from None
        if not valid:
            raise RefusedError(403, f"command {cmd.id}: its signature is not this site's")
        return await outcome(service.submit(Job("command", body, cmd)))

    @app.post("/manual")
    async def manual(request: Request) -> dict[str, Any]:
        return await outcome(service.submit(Job("manual", b"", read_manual(await read(request)))))

    @app.post("/supply")
    async def supply(request: Request) -> dict[str, Any]:
        body = await read(request)
        document: Supply = checked("supply", body)
        return await outcome(service.submit(Job("supply", body, document)))

    @app.post("/rec")
    async def rec(request: Request) -> dict[str, Any]:
        body = await read(request)
        found: Rec | None = None if body.strip() in (b"", b"{}", b"null") else checked("rec", body)
        return {"published": service.publish_rec(found)}

    return app


async def read(request: Request) -> bytes:
    """The body, bounded; refuses what a foreign web page sends through an operator's browser."""
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).hostname not in ("127.0.0.1", "localhost"):
        raise RefusedError(403, f"origin {origin[:100]} is not this machine")
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BYTES:
            raise RefusedError(413, f"more than {MAX_BYTES} bytes")
    return body


def checked(kind: str, body: bytes) -> Any:
    """The payload of a kind, or a refusal with the reason."""
    try:
        return parse(kind, body)
    except WireError as error:
        raise RefusedError(422, str(error)) from None


class _ManualIn(msgspec.Struct, frozen=True):
    thing: str
    property: str
    value: float
    sd: float = 0.0
    role: str = "operator"
    t: int = 0


def read_manual(body: bytes) -> Manual:
    """A manual count; `t` 0 is now."""
    try:
        found = msgspec.json.decode(body, type=_ManualIn)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RefusedError(422, str(error)) from None
    texts = (found.thing, found.property, found.role)
    if not all(0 < len(text) <= 128 for text in texts) or abs(found.value) > BIG or not 0 <= found.sd <= BIG:
        raise RefusedError(
            422, "expected thing, property and role of 1 to 128 characters, value and sd (>= 0) in range"
        )
    return Manual(found.t, found.thing, found.property, found.value, found.sd, found.role)


async def outcome(done: Future[dict[str, Any]]) -> dict[str, Any]:
    """What became of a job: 409 refused, 503 nothing can be written."""
    try:
        return await asyncio.wait_for(asyncio.wrap_future(done), TIMEOUT_S)
    except WireError as error:
        raise RefusedError(409, error.detail) from None
    except JournalError as error:
        raise RefusedError(503, str(error)) from None
    except TimeoutError:
        raise RefusedError(503, f"not written within {TIMEOUT_S:g} s; ask again") from None


def sinks(data: Path) -> dict[str, Any]:
    """What the sinks, processes of their own, last said about themselves."""
    found: dict[str, Any] = {}
    for path in sorted((data / "run").glob("sink-*.json")):
        try:
            found[path.stem.removeprefix("sink-")] = json.loads(path.read_bytes())
        except (OSError, ValueError):
            continue
    return found


Builder = Callable[[Service], FastAPI]
