"""`plantwin twin`: the process around the engine. One loop folds and frames, one looks ahead, one carries commands."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import uvicorn

from twin.api import build
from twin.courier import Courier
from twin.engine import Engine, Settings
from twin.log import Entry

FRAME_EVERY_S = 0.5
POLL_EVERY_S = 0.02
COURIER_EVERY_S = 0.2


class Service:
    """The threads of a twin. `start` folds what the journal holds already, `stop` ends them and saves."""

    def __init__(self, engine: Engine, courier: Courier) -> None:
        self.engine, self.courier = engine, courier
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._framed = 0.0

    def start(self) -> None:
        engine = self.engine
        engine.poll()
        engine.progress()
        engine.make_frame()
        entry = Entry(
            t=engine.tracker.state.t,
            type="start",
            actor="service:twin",
            body=_origin(engine),
            journal=engine.tracker.pos,
        )
        engine.log.append(entry)
        self._run("fold", POLL_EVERY_S, self._fold)
        self._run("look-ahead", engine.settings.forecast_every_s, engine.look_ahead)
        self._run("courier", COURIER_EVERY_S, self.courier.work)

    def _fold(self) -> None:
        engine = self.engine
        engine.poll()
        now = time.monotonic()
        if now - self._framed >= FRAME_EVERY_S:
            self._framed = now
            engine.make_frame()
            engine.progress()
            engine.settle_scores()
            engine.save_if_due()

    def _run(self, name: str, every_s: float, turn: Callable[[], None]) -> None:
        def loop() -> None:
            while not self._stop.is_set():
                begun = time.monotonic()
                try:
                    turn()
                except Exception as error:  # noqa: BLE001 - a fault is counted and said; the twin goes on
                    self.engine.note_error(name, error)
                self._stop.wait(max(every_s - (time.monotonic() - begun), 0.01))

        thread = threading.Thread(target=loop, name=name, daemon=True)
        thread.start()
        self._threads.append(thread)

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=5)
        self.engine.save()
        self.engine.log.flush()


def _origin(engine: Engine) -> dict[str, object]:
    return {"plant": engine.plant.id, "params": engine.compiled.hash, "pid": os.getpid(), "pos": engine.tracker.pos}


def announce(data: Path, port: int) -> Path:
    """Write `run/twin.json` in one step: the service is ready."""
    folder = data / "run"
    folder.mkdir(parents=True, exist_ok=True)
    path, part = folder / "twin.json", folder / ".twin.json.new"
    part.write_text(
        json.dumps({"name": "twin", "pid": os.getpid(), "port": port, "url": f"http://127.0.0.1:{port}"}) + "\n"
    )
    part.replace(path)
    return path


def serve(settings: Settings, port: int, ingest: str) -> None:
    """Run until SIGTERM or SIGINT; OSError with one sentence when the port is taken."""
    try:
        listener = socket.create_server(("127.0.0.1", port))
    except OSError as error:
        raise OSError(
            f"port {port} cannot be opened ({error.strerror}); choose another with --port, or 0 for a free one"
        ) from error
    engine = Engine(settings)
    courier = Courier(engine, ingest, settings.data)
    service = Service(engine, courier)
    config = uvicorn.Config(
        build(engine, courier), log_level="warning", timeout_graceful_shutdown=2, access_log=False, lifespan="off"
    )
    server = uvicorn.Server(config)
    service.start()
    at = listener.getsockname()[1]
    path = announce(settings.data, at)
    print(f"twin: {settings.plant.id} at http://127.0.0.1:{at}, journal position {engine.tracker.pos}", flush=True)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _already_stopping)  # uvicorn raises the signal again after its own clean stop
    try:
        server.run(sockets=[listener])
    finally:
        service.stop()
        path.unlink(missing_ok=True)
        listener.close()


def _already_stopping(_number: int, _frame: object) -> None:
    """The stop that uvicorn began goes on."""
