"""The life of the ingest process: HTTP, service, sink, ready file, signals."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable

import msgspec
import uvicorn

from ingest.api import build
from ingest.influx import SinkProcess, Target
from ingest.journal import write_atomic
from ingest.service import Service, Settings

CONNECT_S = 5.0


def run(settings: Settings, http_port: int, target: Target | None = None) -> int:
    """Serve until SIGTERM or SIGINT; raises JournalError or OSError when it cannot start."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    done = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: done.set())
    listener = _listen(http_port)
    port = int(listener.getsockname()[1])
    service = Service(settings)
    config = uvicorn.Config(build(service), log_level="warning", access_log=False, lifespan="off")
    server = uvicorn.Server(config)
    web = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="http", daemon=True)
    service.start()
    web.start()
    sink = SinkProcess(settings.data, target) if target is not None else None
    try:
        _wait(lambda: server.started and service.link.connected, done)
        line = settings.line
        ready = {
            "name": "ingest", "pid": os.getpid(), "port": port, "url": f"http://127.0.0.1:{port}",
            "broker": f"{settings.host}:{settings.port}", "site": line.site, "area": line.area, "line": line.line,
        }  # fmt: skip
        write_atomic(settings.data / "run" / "ingest.json", msgspec.json.encode(ready))
        logging.getLogger("ingest").info("ready on http://127.0.0.1:%d", port)
        while not done.wait(1.0):
            if sink is not None:
                sink.keep_up()
    finally:
        if sink is not None:
            sink.stop()
        server.should_exit = True
        service.stop()
        web.join(3)
    return 0


def _listen(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError as error:
        listener.close()
        raise OSError(f"HTTP port {port}: {error.strerror}; choose another --port, or 0 for a free one") from None
    return listener


def _wait(condition: Callable[[], bool], done: threading.Event) -> None:
    """Until the condition holds, we are told to end, or a broker that is absent has had its chance."""
    until = time.monotonic() + CONNECT_S
    while not condition() and time.monotonic() < until and not done.wait(0.02):
        pass
