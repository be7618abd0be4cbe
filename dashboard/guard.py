"""What a request must look like before anything else sees it: the right host, and no foreign origin.

A page on the internet can make a browser send requests to a loopback port. Reading is stopped by
checking `Host` (a rebound name does not match), writing by requiring that `Origin` is this very
page and that the body is JSON.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
MOST_BODY = 65_536
"""Bytes of a POST body at most; Dash's own callbacks and decisions are far smaller."""

POLICY = (
    b"default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    b"img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)
"""Nothing but this very server may be asked for anything; Dash's own start needs the inline script."""
HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", POLICY),
)


def _host(name: str) -> str:
    """Host part of `name` or `name:port`, brackets of IPv6 removed."""
    return urlsplit(f"//{name}").hostname or ""


class Guard:
    """ASGI middleware; `refused` is called once for each request turned away. `hosts` are allowed besides loopback."""

    def __init__(self, app: App, refused: Callable[[], None], hosts: frozenset[str] = frozenset()) -> None:
        self._app = app
        self._refused = refused
        self._hosts = LOOPBACK | hosts

    def _why_not(self, scope: Scope) -> tuple[int, str] | None:
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get("host", "")
        if _host(host) not in self._hosts:
            return 421, f"host: expected one of {sorted(self._hosts)}, found {host!r}; open the printed address"
        if scope["type"] == "websocket":
            return 403, "websocket: this dashboard has none"
        if scope["method"] in ("GET", "HEAD"):
            return None
        origin = headers.get("origin", "")
        if urlsplit(origin).netloc != host:
            return 403, f"origin: expected http://{host}, found {origin or 'none'!r}; act from the dashboard's own page"
        if not headers.get("content-type", "").startswith("application/json"):
            return 415, "content-type: expected application/json"
        size = headers.get("content-length", "")
        if not size.isdigit() or int(size) > MOST_BODY:
            return 413, f"content-length: expected at most {MOST_BODY}, found {size or 'none'!r}"
        return None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        problem = self._why_not(scope)
        if problem:
            self._refused()
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
                return
            body = json.dumps({"detail": problem[1]}).encode()
            await send(
                {
                    "type": "http.response.start",
                    "status": problem[0],
                    "headers": [(b"content-type", b"application/json"), *HEADERS],
                }
            )
            await send({"type": "http.response.body", "body": body})
            return

        async def with_headers(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *HEADERS]
            await send(message)

        await self._app(scope, receive, with_headers)
