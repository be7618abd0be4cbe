"""The dashboard's own HTTP routes: the stream, the twin's bodies passed through, decisions passed on."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse, PlainTextResponse, StreamingResponse

from dashboard import acting, moves, words
from dashboard.acting import NO_STORE
from dashboard.feed import STALE_S, Feed, TwinError
from dashboard.layout import fit

PROXIED = ("state", "ledger", "forecast", "fidelity", "drift", "refits")


def _unavailable(error: TwinError) -> JSONResponse:
    return JSONResponse({"detail": str(error)}, status_code=503, headers=NO_STORE)


def build(feed: Feed) -> APIRouter:
    """All routes over one feed."""
    router = APIRouter()
    _reading(router, feed)
    _bodies(router, feed)
    acting.build(router, feed)
    _watching(router, feed)
    return router


def _reading(router: APIRouter, feed: Feed) -> None:
    @router.get("/stream")
    async def stream() -> StreamingResponse:
        headers = NO_STORE | {"x-accel-buffering": "no"}
        return StreamingResponse(feed.stream(), media_type="text/event-stream", headers=headers)

    @router.get("/api/frame")
    async def frame() -> JSONResponse:
        if feed.frame is None:
            return JSONResponse({"detail": feed.trouble}, status_code=503, headers=NO_STORE)
        age = feed.age_s() or 0.0
        return JSONResponse(feed.frame, headers=NO_STORE | {"x-frame-age-s": f"{age:.3f}"})

    @router.get("/api/history")
    async def history(after: int = -1, points: int = 240) -> JSONResponse:
        most = min(max(points, 4), 2000)
        body = {"frames": len(feed.history), "series": feed.history.series(after, most)}
        return JSONResponse(body, headers=NO_STORE)

    @router.get("/api/plant")
    async def plant(aspect: float = 1.9, width: float = 0.0) -> JSONResponse:
        try:
            found = await feed.plant()
        except TwinError as error:
            return _unavailable(error)
        controls = [c | {"words": words.control_words(str(c.get("id")), found)} for c in found.get("controls", [])]
        # a large plant takes a second to lay out: the stream must not wait for it
        drawn = await asyncio.to_thread(fit, found, aspect, width)
        body = {k: v for k, v in found.items() if k != "flow"} | {"controls": controls, "map": drawn.as_json()}
        return JSONResponse(body, headers=NO_STORE)


def _told(rec: Mapping[str, Any], plant: Mapping[str, Any]) -> dict[str, Any]:
    """What is said of a recommendation in a line, in words."""
    return {
        "words": words.action(rec, plant),
        "moves_words": moves.named(rec, plant),
        "short": moves.short(rec, plant),
        "gain_words": words.gain(rec.get("gain")),
        "stands": moves.standing(rec, plant),
    }


def _bodies(router: APIRouter, feed: Feed) -> None:
    """The twin's bodies, passed through as they are or with words added."""

    def passed(name: str) -> None:
        async def route() -> JSONResponse:
            try:
                return JSONResponse(await feed.get(f"/{name}"), headers=NO_STORE)
            except TwinError as error:
                return _unavailable(error)

        router.add_api_route(f"/api/{name}", route, methods=["GET"], name=name)

    for name in PROXIED:
        passed(name)

    @router.get("/api/recommendations")
    async def recommendations() -> JSONResponse:
        try:
            recs, plant = await feed.get("/recommendations"), await feed.plant()
        except TwinError as error:
            return _unavailable(error)
        told = [rec | _told(rec, plant) for rec in recs if isinstance(rec, dict)]
        return JSONResponse(told, headers=NO_STORE)

    @router.get("/api/scores")
    async def scores(name: str = "", last: int = 60) -> JSONResponse:
        window = {"name": name[:200], "last": min(max(last, 1), 200)} if name else {}
        try:
            return JSONResponse(await feed.get("/scores", **window), headers=NO_STORE)
        except TwinError as error:
            return _unavailable(error)

    @router.get("/api/log")
    async def log(after: int | None = None, limit: int = 50) -> JSONResponse:
        window = {"limit": min(max(limit, 1), 500)} | ({} if after is None else {"after": max(after, 0)})
        try:
            found = await feed.get("/log", **window)
        except TwinError as error:
            return _unavailable(error)
        return JSONResponse(found, headers=NO_STORE)


def _watching(router: APIRouter, feed: Feed) -> None:
    @router.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @router.get("/readyz")
    async def readyz() -> JSONResponse:
        if feed.live():
            return JSONResponse({"status": "ready"})
        detail = feed.trouble or f"no new frame for {STALE_S:g} s"
        return JSONResponse({"status": "not ready", "detail": detail}, status_code=503)

    @router.get("/metrics")
    async def metrics() -> PlainTextResponse:
        count = feed.counters
        age = feed.age_s()
        rows = [
            ("frames_total", count.frames),
            ("frames_bad_total", count.bad_frames),
            ("twin_poll_errors_total", count.poll_errors),
            ("twin_restarts_total", count.restarts),
            ("stream_clients", count.clients),
            ("stream_frames_sent_total", count.sent),
            ("requests_refused_total", count.refused),
            ("frame_age_seconds", "NaN" if age is None else f"{age:.3f}"),
            ("history_frames", len(feed.history)),
        ]
        lines = [f"plantwin_dashboard_{name} {value}" for name, value in rows]
        lines += [
            f'plantwin_dashboard_decisions_total{{outcome="{outcome}"}} {n}'
            for outcome, n in sorted(count.decisions.items())
        ]
        return PlainTextResponse("\n".join(lines) + "\n", media_type="text/plain; version=0.0.4")
