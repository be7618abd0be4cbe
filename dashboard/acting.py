"""What people do on the pages, passed on to the twin (and, in a demo, to the cable): checked, never decided here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from dashboard import words
from dashboard.feed import Feed, TwinError
from dashboard.guard import LOOPBACK

NO_STORE = {"cache-control": "no-store"}
LONGEST = 128
LONGEST_REASON = 1000
MANUAL = ("thing", "property", "value", "sd", "role", "to")


def build(router: APIRouter, feed: Feed) -> None:
    """All writing routes of one feed."""
    _deciding(router, feed)
    _believing(router, feed)
    _cable(router, feed)


async def pass_on(feed: Feed, path: str, body: dict[str, Any], key: str = "") -> JSONResponse:
    """POST to the twin; its status and body come back unchanged."""
    headers = {"idempotency-key": key} if key else {}
    try:
        answer = await feed.client.post(feed.url + path, json=body, headers=headers)
        return JSONResponse(answer.json(), status_code=answer.status_code, headers=NO_STORE)
    except (httpx.HTTPError, ValueError, TwinError) as error:
        trouble = "it did not answer in time" if isinstance(error, httpx.TimeoutException) else f"{error}".strip()
        what = f"{type(error).__name__}: {trouble}" if trouble else type(error).__name__
        detail = f"the twin may have taken it or not ({path}: {what}); look again what it says now"
        return JSONResponse({"detail": detail}, status_code=503, headers=NO_STORE)


async def body_of(request: Request) -> dict[str, Any]:
    """The JSON object of a request; an empty one where there is none."""
    try:
        body = await request.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _count(feed: Feed, outcome: str) -> None:
    feed.counters.decisions[outcome] = feed.counters.decisions.get(outcome, 0) + 1


def _refused(feed: Feed, problem: str) -> JSONResponse:
    _count(feed, "malformed")
    return JSONResponse({"detail": problem}, status_code=422, headers=NO_STORE)


def _deciding(router: APIRouter, feed: Feed) -> None:
    @router.post("/api/decisions")
    async def decide(request: Request) -> JSONResponse:
        body = await body_of(request)
        problem = words.decision_problem(body)
        if problem:
            return _refused(feed, problem)
        body = {name: body.get(name) for name in ("id", "version", "decision", "reason", "key")}
        answer = await pass_on(feed, "/decisions", body, str(body["key"]))
        _count(feed, str(body["decision"]) if answer.status_code == 200 else f"refused_{answer.status_code}")
        return answer

    @router.post("/api/pause")
    async def pause(request: Request) -> JSONResponse:
        body = await body_of(request)
        if not isinstance(body.get("on"), bool):
            return JSONResponse({"detail": f"on: expected true or false, found {body.get('on')!r}"}, status_code=422)
        return await pass_on(feed, "/pause", {"on": body["on"]})


def texts_problem(body: Mapping[str, Any], limits: Mapping[str, int]) -> str:
    """Why these fields are not texts of 1 to so many characters, or ""."""
    for name, most in limits.items():
        found = body.get(name)
        if not isinstance(found, str) or not 0 < len(found.strip()) <= most:
            return f"{name}: expected a text of 1 to {most} characters, found {str(found)[:40]!r}"
    return ""


def manual_problem(body: Mapping[str, Any]) -> str:
    """Why this is no manual count, or ""."""
    problem = texts_problem(body, dict.fromkeys(("thing", "property", "role"), LONGEST))
    if problem:
        return problem
    for name in ("value", "sd"):
        found = body.get(name)
        if isinstance(found, bool) or not isinstance(found, int | float) or not abs(found) < 1e12:
            return f"{name}: expected a number, found {str(found)[:40]!r}"
    if body["sd"] < 0:
        return f"sd: expected 0 or more, found {body['sd']:g}"
    return ""


def _believing(router: APIRouter, feed: Feed) -> None:
    """Refits, notices of drift, counts by hand."""

    @router.post("/api/refits")
    async def refit(request: Request) -> JSONResponse:
        body = await body_of(request)
        limits = {"id": LONGEST, "decision": LONGEST, "role": LONGEST, "reason": LONGEST_REASON}
        problem = texts_problem(body, limits)
        if not problem and body["decision"] not in ("approve", "reject", "withdraw"):
            problem = f"decision: expected approve, reject or withdraw, found {body['decision'][:40]!r}"
        if problem:
            return _refused(feed, problem)
        answer = await pass_on(feed, "/refits", {name: body[name].strip() for name in limits})
        done = f"refit_{body['decision']}" if answer.status_code == 200 else f"refused_{answer.status_code}"
        _count(feed, done)
        return answer

    @router.post("/api/drift")
    async def settle(request: Request) -> JSONResponse:
        body = await body_of(request)
        problem = texts_problem(body, {"id": 4 * LONGEST, "why": 200})
        if problem:
            return _refused(feed, problem)
        return await pass_on(feed, "/drift", {"id": body["id"], "why": body["why"].strip()})

    @router.post("/api/manual")
    async def manual(request: Request) -> JSONResponse:
        body = await body_of(request)
        problem = manual_problem(body)
        if problem:
            return _refused(feed, problem)
        return await pass_on(feed, "/manual", {name: body[name] for name in MANUAL if body.get(name) not in (None, "")})


def cable_url(data: Path) -> str:
    """Where the demo's cable listens, "" where this is no demo. Only loopback is believed."""
    try:
        url = str(json.loads((data / "run" / "cable.json").read_text())["url"]).rstrip("/")
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    return url if url.startswith("http://") and urlsplit(url).hostname in LOOPBACK else ""


def _cable(router: APIRouter, feed: Feed) -> None:
    """The cable between gateway and broker: there in a demo only."""

    async def asked(path: str, body: dict[str, Any] | None) -> JSONResponse:
        url = cable_url(feed.data)
        if not url:
            if body is None:
                return JSONResponse({"demo": False}, headers=NO_STORE)
            why = "there is no cable to pull: it belongs to `plantwin demo`, and this is a real installation"
            return JSONResponse({"detail": why}, status_code=404, headers=NO_STORE)
        try:
            answer = await (feed.client.get(url + path) if body is None else feed.client.post(url + path, json=body))
            found = answer.json() | {"demo": True}
            return JSONResponse(found, status_code=answer.status_code, headers=NO_STORE)
        except (httpx.HTTPError, ValueError, TypeError) as error:
            detail = f"the demo's cable does not answer: {type(error).__name__} {error}"
            return JSONResponse({"demo": True, "detail": detail}, status_code=503, headers=NO_STORE)

    @router.get("/api/cable")
    async def cable() -> JSONResponse:
        return await asked("/", None)

    @router.post("/api/cable")
    async def pull(request: Request) -> JSONResponse:
        body = await body_of(request)
        if body.get("plug") is True:
            return await asked("/plug", {})
        seconds = body.get("seconds")
        if isinstance(seconds, bool) or not isinstance(seconds, int):
            return _refused(feed, f"seconds: expected a whole number, found {str(seconds)[:40]!r}")
        return await asked("/pull", {"seconds": seconds})
