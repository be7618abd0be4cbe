from __future__ import annotations

import pytest

from agents.env import compiled_plant
from sim.compile import Compiled


@pytest.fixture(scope="session")
def gearmotor() -> Compiled:
    return compiled_plant("gearmotor")


@pytest.fixture(scope="session")
def line3() -> Compiled:
    return compiled_plant("line3")
