"""The plant with every feature, for the tests that tell its happenings by hand."""

from __future__ import annotations

import pytest

from sim.plant import Plant
from tests.twin.motor_rows import NO_TAGS
from tests.twin.motors import motors


@pytest.fixture(scope="session")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Plant:
    return motors(tmp_path_factory.mktemp("motors"))


@pytest.fixture(scope="session")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Plant:
    """The same plant, with next to no sensors: events and documents say all."""
    return motors(tmp_path_factory.mktemp("bare"), NO_TAGS)
