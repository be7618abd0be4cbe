"""Clients of ours give a connection up before the server does: uvicorn closes one that was idle for 5 s."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from agents.advice import advise
from twin import courier

UVICORN_S = 5.0


class Handler(BaseHTTPRequestHandler):
    """Answers `{}` and keeps the connection; each connection is counted."""

    protocol_version = "HTTP/1.1"
    connections = 0

    def setup(self) -> None:
        super().setup()
        Handler.connections += 1

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    Handler.connections = 0
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def of_courier(url: str, data: Path) -> tuple[Callable[[], Any], Callable[[], None]]:
    engine: Any = None
    made = courier.Courier(engine, url, data)
    return made.ledger, made.client.close


def of_advice(url: str, _: Path) -> tuple[Callable[[], Any], Callable[[], None]]:
    client = advise.client_of(url)
    return lambda: client.get("/frame"), client.close


@pytest.mark.parametrize(("module", "make"), [(courier, of_courier), (advise, of_advice)])
def test_an_idle_connection_is_given_up_in_time(
    module: Any, make: Any, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert module.KEEPALIVE_S < UVICORN_S / 2
    monkeypatch.setattr(module, "KEEPALIVE_S", 0.1)
    ask, close = make(url, tmp_path)
    try:
        ask()
        ask()
        assert Handler.connections == 1  # it is kept while it is fresh
        time.sleep(0.2)
        ask()
        assert Handler.connections == 2
    finally:
        close()
