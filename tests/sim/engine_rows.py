"""Digests of what an engine does: `python -m tests.sim.engine_rows ENGINE REPLICAS NAME=UNTIL ...` prints JSON.

ENGINE is `kernel` (compiled, or pure Python with NUMBA_DISABLE_JIT=1) or `cuda`. A NAME that is a number is the seed
of a random plant, else a bundled plant. The digest covers the events and the final row of every replica.
"""

from __future__ import annotations

import hashlib
import json
import sys

import numpy as np

from sim import kernel
from sim.compile import Compiled
from tests.sim.engines import SEED, compiled_bundled, compiled_random

LIMIT = 4096


def find(name: str) -> Compiled:
    """The compiled plant of a name."""
    return compiled_random(int(name)) if name.isdigit() else compiled_bundled(name)


def digest(engine: str, compiled: Compiled, until: int, replicas: int) -> str:
    """SHA-256 over events and rows of the replicas."""
    if engine == "cuda":
        from sim.cuda import trace_device  # first of all: it refuses settings with which nothing would work

        rows, traces = trace_device(kernel.new_rows(compiled, SEED, replicas), compiled, until, LIMIT)
    else:
        rows = kernel.new_rows(compiled, SEED, replicas)
        traces = [kernel.trace(row, compiled, until) for row in rows]
    total = hashlib.sha256()
    for row, trace in zip(rows, traces, strict=True):
        total.update(np.ascontiguousarray(trace).tobytes())
        total.update(np.ascontiguousarray(row).tobytes())
    return total.hexdigest()


def digests(engine: str, replicas: int, plants: dict[str, int]) -> dict[str, str]:
    """Digest of each plant, run until its tick."""
    return {name: digest(engine, find(name), until, replicas) for name, until in plants.items()}


if __name__ == "__main__":
    wanted = dict(pair.split("=") for pair in sys.argv[3:])
    json.dump(digests(sys.argv[1], int(sys.argv[2]), {name: int(until) for name, until in wanted.items()}), sys.stdout)
