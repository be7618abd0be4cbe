from __future__ import annotations

import pytest

from agents.envs.env import compiled_plant
from sim.compile import Compiled
from tests.plants import TWO_MOTORS


@pytest.fixture(scope="session")
def gearmotor() -> Compiled:
    return compiled_plant("gearmotor")


@pytest.fixture(scope="session")
def two_motors() -> Compiled:
    return compiled_plant(TWO_MOTORS)


@pytest.fixture(scope="session")
def line3() -> Compiled:
    return compiled_plant("line3")
