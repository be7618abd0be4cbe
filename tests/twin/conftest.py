"""The plant with every feature, for the tests that tell its happenings by hand; a running twin of a test's plant."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sim.plant import Plant
from tests.twin.motor_rows import NO_TAGS
from tests.twin.motors import motors
from tests.twin.rig import Rig


@pytest.fixture(scope="session")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Plant:
    return motors(tmp_path_factory.mktemp("motors"))


@pytest.fixture(scope="session")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Plant:
    """The same plant, with next to no sensors: events and documents say all."""
    return motors(tmp_path_factory.mktemp("bare"), NO_TAGS)


@pytest.fixture
def rig(plant: Plant, tmp_path: Path) -> Iterator[Rig]:
    """A running twin of the `plant` of the test's module."""
    made = Rig(plant, tmp_path)
    yield made
    made.engine.log.close()
    made.courier.client.close()
