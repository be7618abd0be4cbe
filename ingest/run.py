"""The life of the ingest process: HTTP, service, sink, ready file, signals."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from importlib.util import find_spec

import msgspec
import uvicorn

from ingest.api import build
from ingest.compactor import child as compactor
from ingest.influx import Target
from ingest.influx import child as influx_sink
from ingest.journal import write_atomic
from ingest.service import Job, Service, Settings
from ingest.supplydrop import Drop

CONNECT_S = 5.0
DAY_S = 86_400.0


def run(settings: Settings, http_port: int, target: Target | None = None) -> int:
    """Serve until SIGTERM or SIGINT; raises JournalError or OSError when it cannot start."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    done = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: done.set())
    listener = listen(http_port)
    port = int(listener.getsockname()[1])
    service = Service(settings)
    web = Web(service, listener)
    service.start()
    web.start()
    children = [compactor(settings.data, settings.limits)] if settings.history and find_spec("duckdb") else []
    children += [influx_sink(settings.data, target)] if target is not None else []
    try:
        _wait(lambda: web.server.started and service.link.granted, done)  # plain topics tell nothing twice
        line = settings.line
        ready = {
            "name": "ingest", "pid": os.getpid(), "port": port, "url": f"http://127.0.0.1:{port}",
            "broker": f"{settings.host}:{settings.port}", "site": line.site, "area": line.area, "line": line.line,
        }  # fmt: skip
        write_atomic(settings.data / "run" / "ingest.json", msgspec.json.encode(ready))
        logging.getLogger("ingest").info("ready on http://127.0.0.1:%d", port)
        told, drop = -DAY_S, drop_of(service)
        while not done.wait(1.0):
            if drop is not None:
                drop.scan()
            for child in children:
                child.keep_up()
            told = certificate(service, told)
    finally:
        for child in children:
            child.stop()
        web.stop()
        service.stop()
    return 0


def drop_of(service: Service) -> Drop | None:
    """The folder of supply documents, where there is one."""
    folder = service.settings.drop
    if folder is None:
        return None
    log = logging.getLogger("ingest")
    return Drop(
        folder, lambda doc, body: service.submit(Job("supply", body, doc)), lambda text: log.info("supply: %s", text)
    )


def certificate(service: Service, told: float) -> float:
    """Take a replaced certificate into use; warn once a day of one that is about to expire. Returns when it did."""
    tls, now = service.settings.tls, time.monotonic()
    if tls is None:
        return told
    log = logging.getLogger("ingest")
    if service.link.renew():
        log.info("new certificate %s: connecting anew", tls.cert)
    if now - told >= DAY_S and (warning := tls.warning()) is not None:
        log.warning(warning)
    return now if now - told >= DAY_S else told


class Web:
    """The HTTP interface in a thread of its own."""

    def __init__(self, service: Service, listener: socket.socket) -> None:
        self.server = uvicorn.Server(
            uvicorn.Config(build(service), log_level="warning", access_log=False, lifespan="off")
        )
        run = {"sockets": [listener]}
        self._thread = threading.Thread(target=self.server.run, kwargs=run, name="http", daemon=True)

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()

    def stop(self) -> None:
        """Stop serving."""
        self.server.should_exit = True
        self._thread.join(3)


def listen(port: int) -> socket.socket:
    """A loopback socket bound to `port` (0: a free one); raises OSError with what to do."""
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
