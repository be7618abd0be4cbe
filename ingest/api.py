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
from ingest.payloads import BIG, MAX_BYTES, Cmd, Rec, Supply, WireError, encode, parse
from ingest.readings import Manual, wall_ms
from ingest.service import Job, Service

TIMEOUT_S = 10.0
MAX_BATCH_BYTES = 2**20
MAX_DOCUMENTS = 1_000


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
        if service.sparkplug is not None:
            view["sparkplug"] = service.sparkplug.view()
        papers = service.intake.papers.view(service.intake.now(wall_ms()))
        storage = msgspec.to_builtins(service.storage.view)
        return view | {"sinks": sinks(service.settings.data), "supply": papers, "storage": storage}

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

    @app.post("/api/supply")
    async def supplies(request: Request) -> JSONResponse:
        return await batch(service, await read(request, MAX_BATCH_BYTES))

    @app.post("/rec")
    async def rec(request: Request) -> dict[str, Any]:
        body = await read(request)
        found: Rec | None = None if body.strip() in (b"", b"{}", b"null") else checked("rec", body)
        return {"published": service.publish_rec(found)}

    return app


async def read(request: Request, most: int = MAX_BYTES) -> bytes:
    """The body, bounded; refuses what a foreign web page sends through an operator's browser."""
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).hostname not in ("127.0.0.1", "localhost"):
        raise RefusedError(403, f"origin {origin[:100]} is not this machine")
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            raise RefusedError(413, f"more than {most} bytes")
    return body


async def batch(service: Service, body: bytes) -> JSONResponse:
    """Supply documents, one or a list: what became of each, in their order. 200 when all are in the journal, 422 when
    one is wrong (the others are taken: each is known by `doc` and `version`, so the list may be sent again), 503 when
    nothing can be written.
    """
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RefusedError(422, str(error)) from None
    documents = found if isinstance(found, list) else [found]
    if not 1 <= len(documents) <= MAX_DOCUMENTS:
        raise RefusedError(422, f"expected 1 to {MAX_DOCUMENTS} documents, found {len(documents)}")
    waiting: list[Future[dict[str, Any]] | str] = []
    for one in documents:
        try:
            document: Supply = parse("supply", msgspec.json.encode(one))
            waiting.append(service.submit(Job("supply", encode(document), document)))
        except WireError as error:
            waiting.append(str(error))
    results: list[dict[str, Any]] = []
    for one in waiting:
        if isinstance(one, str):
            results.append({"error": one})
            continue
        try:
            results.append(await outcome(one))
        except RefusedError as error:
            if error.status == 503:
                raise
            results.append({"error": str(error)})
    wrong = sum("error" in one for one in results)
    return JSONResponse({"results": results, "wrong": wrong}, status_code=422 if wrong else 200)


def checked(kind: str, body: bytes) -> Any:
    """The payload of a kind, or a refusal with the reason."""
    try:
        return parse(kind, body)
    except WireError as error:
        raise RefusedError(422, str(error)) from None


MOST_TEXT = 4000


class _ManualIn(msgspec.Struct, frozen=True):
    """`to`: where parts went that were moved by hand (`property` is `moved`)."""

    thing: str
    property: str
    value: float
    sd: float = 0.0
    role: str = "operator"
    t: int = 0
    to: str = ""
    text: str = ""


def read_manual(body: bytes) -> Manual:
    """A manual count; `t` 0 is now."""
    try:
        found = msgspec.json.decode(body, type=_ManualIn)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RefusedError(422, str(error)) from None
    texts = (found.thing, found.property, found.role)
    fits = all(0 < len(text) <= 128 for text in texts) and len(found.text) <= MOST_TEXT
    if not fits or abs(found.value) > BIG or not 0 <= found.sd <= BIG:
        raise RefusedError(
            422,
            "expected thing, property and role of 1 to 128 characters, value and sd (>= 0) in range, "
            f"text of at most {MOST_TEXT} characters",
        )
    if len(found.to) > 128 or (found.property == "moved") != bool(found.to) or (found.to and found.value < 0):
        raise RefusedError(422, "`to` (1 to 128 characters) belongs to the property `moved`, whose value is 0 or more")
    return Manual(found.t, found.thing, found.property, found.value, found.sd, found.role, found.to, found.text)


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
