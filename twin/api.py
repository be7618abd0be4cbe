"""The twin's loopback HTTP interface (docs/architecture.md names every path and shape)."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.middleware.trustedhost import TrustedHostMiddleware

from twin.courier import Courier
from twin.decisions import Refused
from twin.engine import Engine
from twin.metrics import exposition
from twin.views import plant_view

MOST_BODY = 256 * 1024
MOST_ROWS = 1000
MOST_REPLICAS = 4096
OPERATOR, ADVISE = "operator", "service:advise"


class BadRequest(ValueError):  # noqa: N818 - the name of an answer
    """A body that cannot be understood."""


def build(engine: Engine, courier: Courier) -> FastAPI:
    """The application; a refusal is `{"error": why}` with 409, a body that cannot be understood 422."""
    app = FastAPI(title="plantwin twin", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost", "testserver"])

    @app.exception_handler(Refused)
    async def refused(_: Request, error: Refused) -> JSONResponse:
        return JSONResponse({"error": str(error), "reason": str(error)}, status_code=409)

    @app.exception_handler(BadRequest)
    async def bad(_: Request, error: BadRequest) -> JSONResponse:
        return JSONResponse({"error": str(error)}, status_code=422)

    _reading(app, engine)
    _evidence(app, engine, courier)
    _writing(app, engine, courier)
    _passing(app, courier)
    return app


def _json(body: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(body), status_code=status, media_type="application/json")


def _reading(app: FastAPI, engine: Engine) -> None:
    plant = plant_view(engine.plant)

    @app.get("/healthz")
    def healthz() -> Response:
        return _json({"ok": True, "pos": engine.tracker.pos, "errors": engine.errors})

    @app.get("/readyz")
    def readyz() -> Response:
        stale = engine.stale()
        return _json({"ready": not stale, "why": stale}, 503 if stale else 200)

    @app.get("/plant")
    def plant_() -> Response:
        return _json(plant)

    @app.get("/frame")
    def frame() -> Response:
        return _json(engine.frame or engine.make_frame())

    @app.get("/state")
    def state() -> Response:
        return _json(engine.state_view())

    @app.get("/snapshot")
    def snapshot(n: int = 256, seed: int = 11) -> Response:
        if not 1 <= n <= MOST_REPLICAS or not 0 <= seed < 2**31:
            raise BadRequest(
                f"n must be from 1 to {MOST_REPLICAS} and seed from 0 to 2^31 - 1, found n={n}, seed={seed}"
            )
        if not engine.tracker.state.t:
            return _json({"error": "no data have come yet"}, 503)
        return Response(engine.snapshot(n, seed), media_type="application/octet-stream")

    @app.get("/forecast")
    def forecast() -> Response:
        return _json(engine.forecast or {"v": 0, "t": 0, "horizon_s": 0, "series": {}, "events": []})

    @app.get("/scores")
    def scores(name: str = "", last: int = 60) -> Response:
        with engine.lock:
            found = engine.scores.summary() | {"shifts": engine.shifts.summary()}
            if name:
                found["rows"] = engine.scores.newest(name.split(","), min(max(last, 1), MOST_ROWS))
            return _json(found)

    @app.get("/fidelity")
    def fidelity() -> Response:
        return _json(engine.certificate())

    @app.get("/drift")
    def drift() -> Response:
        return _json(engine.drift_view())


def _evidence(app: FastAPI, engine: Engine, courier: Courier) -> None:
    @app.get("/recommendations")
    def recommendations() -> Response:
        with engine.lock:
            return _json(engine.book.newest_first())

    @app.get("/refits")
    def refits() -> Response:
        with engine.lock:
            return _json(engine.refits.told(engine.plant, engine.tracker.glance))

    @app.get("/log")
    def log(after: int | None = None, limit: int = 200) -> Response:
        limit = min(max(limit, 1), MOST_ROWS)
        start = max(engine.log.checkpoint().seq - limit, 0) if after is None else after
        return _json({"rows": engine.log.read(start, limit), "checkpoint": engine.log.checkpoint().seq})

    @app.get("/ledger")
    def ledger() -> Response:
        try:
            return _json(courier.ledger())
        except (httpx.HTTPError, ValueError) as error:
            return _json({"error": f"ingest does not answer: {error}"}, 503)

    @app.get("/metrics")
    def metrics() -> PlainTextResponse:
        return PlainTextResponse(exposition(engine))


def _writing(app: FastAPI, engine: Engine, courier: Courier) -> None:
    @app.post("/recommendations")
    async def propose(request: Request) -> Response:
        body = await _body(request)

        def work() -> dict[str, Any]:
            with engine.whole():
                return engine.book.propose(body, engine.present(with_hash=True), ADVISE)

        return _json(await run_in_threadpool(work))

    @app.post("/advice")
    async def advice(request: Request) -> Response:
        return _json(await run_in_threadpool(_advised, engine, await _body(request)))

    @app.post("/decisions")
    async def decide(request: Request) -> Response:
        body = await _body(request)
        return _json(await run_in_threadpool(engine.decide, body, OPERATOR))

    @app.post("/drift")
    async def settle(request: Request) -> Response:
        body = await _body(request)
        notice, why = str(body.get("id") or ""), str(body.get("why") or "").strip()[:200]
        if not why:
            raise BadRequest("why must say how the notice was settled, in up to 200 letters; found nothing")
        if not await run_in_threadpool(engine.settle_notice, notice, why, OPERATOR):
            raise Refused(f"no open notice of drift {notice[:100]!r}; GET /drift lists them")
        return _json({"id": notice, "closed": why})

    @app.post("/refits")
    async def refit(request: Request) -> Response:
        body = await _body(request)
        try:
            return _json(await run_in_threadpool(courier.refit, body))
        except (httpx.HTTPError, ValueError) as error:
            return _json({"error": f"ingest does not answer: {error}"}, 503)

    @app.post("/pause")
    async def pause(request: Request) -> Response:
        body = await _body(request)
        if not isinstance(body.get("on"), bool):
            raise BadRequest(f"on must be true or false, found {body.get('on')!r}")

        def work() -> dict[str, Any]:
            with engine.lock:
                engine.book.pause(body["on"], engine.present(), OPERATOR)
                return {"paused": engine.book.paused}

        return _json(await run_in_threadpool(work))


def _advised(engine: Engine, body: dict[str, Any]) -> dict[str, Any]:
    """A decision moment without a recommendation, or how the service's policy is."""
    if "policy" in body:
        policy = _policy(body["policy"])
        with engine.lock:
            engine.book.policy_told(policy, engine.present(), ADVISE)
            return {"policy": policy}
    n, why = body.get("evaluated", 1), str(body.get("why") or "")[:1000]
    if isinstance(n, bool) or not isinstance(n, int) or not 0 <= n <= 1000:
        raise BadRequest(f"evaluated must be a whole number from 0 to 1000, found {n!r}")
    with engine.lock:
        engine.book.advise(n, why, engine.present(), ADVISE)
        return {"evaluated": engine.book.evaluated}


def _policy(told: Any) -> dict[str, Any]:
    """What the advice service says of its policy."""
    if not isinstance(told, dict) or not isinstance(told.get("ok"), bool):
        raise BadRequest(f"policy must be an object with ok, true or false; found {str(told)[:100]}")
    counts = {name: told.get(name) for name in ("late", "failed")}
    for name, n in counts.items():
        if isinstance(n, bool) or not isinstance(n, int) or n < 0:
            raise BadRequest(f"policy: {name} must be a whole number from 0, found {n!r}")
    return {"ok": told["ok"], "why": str(told.get("why") or "")[:300], **counts}


def _passing(app: FastAPI, courier: Courier) -> None:
    @app.post("/manual")
    async def manual(request: Request) -> Response:
        body = await _body(request)
        try:
            status, answer = await run_in_threadpool(courier.manual, msgspec.json.encode(body))
        except (httpx.HTTPError, ValueError) as error:
            return _json({"error": f"ingest does not answer: {error}"}, 503)
        return _json(answer, status)


async def _body(request: Request) -> dict[str, Any]:
    """The JSON object of a request, bounded; refuses what a foreign page sends through a browser."""
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).hostname not in ("127.0.0.1", "localhost"):
        raise BadRequest(f"origin {origin[:100]} is not this machine")
    data = b""
    async for chunk in request.stream():
        data += chunk
        if len(data) > MOST_BODY:
            raise BadRequest(f"the body is longer than {MOST_BODY} bytes")
    try:
        body = json.loads(data, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"the body is not JSON: {error}") from None
    if not isinstance(body, dict):
        raise BadRequest(f"the body must be an object, found {type(body).__name__}")
    return body


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number")
