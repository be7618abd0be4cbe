"""A broker of each kind and a fake twin on it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest.broker import free_port
from tests.hardware.fakes import FakeTwin, Running


@pytest.fixture(params=["embedded", "mosquitto"])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Running]:
    if request.param == "mosquitto" and shutil.which("mosquitto") is None and not Path("/usr/sbin/mosquitto").exists():
        pytest.skip("mosquitto is not installed")
    running = Running(request.param, free_port(), tmp_path / "broker")
    running.start()
    yield running
    running.broker.stop()


@pytest.fixture
def twin(broker: Running) -> Iterator[FakeTwin]:
    fake = FakeTwin(broker.port)
    fake.start()
    yield fake
    fake.stop()
