"""Compile the kernel's entries into the cache: `python -m tests.warm`, before tests that start services."""

from __future__ import annotations

import numpy as np

from sim import kernel
from sim.compile import compile_plant
from sim.plantfile import load


def main() -> None:
    """Call each entry with the types that services call it with."""
    plant = compile_plant(load("line3"))
    rows = kernel.new_rows(plant, 1, 2)
    kernel.set_controls(rows, plant, kernel.get_controls(rows, plant))
    kernel.run(rows, plant, 10)
    kernel.trace(rows[0], plant, 20)
    scales, out = np.ones(1), np.zeros((2, 1), dtype=np.float32)
    kernel.gather_rows(rows, np.zeros(1, dtype=np.int64), scales, out)
    kernel.linear_rows(rows, np.zeros(1, dtype=np.int64), scales, np.zeros(2))


if __name__ == "__main__":
    main()
