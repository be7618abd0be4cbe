from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest.broker import Embedded, Options, free_port, make, mosquitto_path
from tests.ingest.kit import Live, Running, serve


@pytest.fixture(scope="session", params=["embedded", "mosquitto"])
def broker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Each kind of broker, started once; the tests keep out of each other's way by their sites' retained topics."""
    kind = request.param
    if kind == "mosquitto" and mosquitto_path() is None:
        pytest.skip("mosquitto is not installed on this machine (apt-get install mosquitto)")
    port = free_port()
    made = make(kind, Options(port, folder=tmp_path_factory.mktemp(kind)))
    made.start()
    port_311 = made.port_311 if isinstance(made, Embedded) else port
    yield Running(kind, port, port_311 or port, made)
    made.stop()


@pytest.fixture
def fresh_broker(broker: Running, tmp_path: Path) -> Iterator[Running]:
    """A broker of the same kind for one test alone (no retained messages of others)."""
    port = free_port()
    made = make("mosquitto" if broker.kind == "mosquitto" else "embedded", Options(port, folder=tmp_path / "broker"))
    made.start()
    port_311 = made.port_311 if isinstance(made, Embedded) else port
    yield Running(broker.kind, port, port_311 or port, made)
    made.stop()


@pytest.fixture
def live(fresh_broker: Running, tmp_path: Path) -> Iterator[Live]:
    """An ingest service on a broker of its own."""
    found = serve(tmp_path / "data", fresh_broker.port)
    yield found
    found.service.stop()
