"""A batch is looked at while it runs: what is seen is what stands in the rows afterwards."""

from __future__ import annotations

import numpy as np
import pytest

import sim.plantfile
from sim import kernel
from sim.compile import compile_plant
from sim.state import WORKING


@pytest.mark.parametrize("threads", [1, 2])
def test_observed_on_the_way_is_gathered_afterwards(threads: int) -> None:
    compiled = compile_plant(sim.plantfile.load("line10"))
    layout = compiled.layout
    positions = np.array([layout.at("q_len", 3), layout.at("n_state", 2, WORKING), layout.at("finished")])
    scales = np.array([0.1, 1.0, 1 / 3])
    rows = kernel.new_rows(compiled, 5, 7)
    plain = rows.copy()
    look = kernel.Observation(positions, scales, np.full((7, 3), np.nan, dtype=np.float32))
    kernel.run(rows, compiled, 40_000, threads, look)
    kernel.run(plain, compiled, 40_000)
    expected = np.empty((7, 3), dtype=np.float32)
    kernel.gather_rows(plain, positions, scales, expected)
    np.testing.assert_array_equal(rows, plain)
    np.testing.assert_array_equal(look.out, expected)
    assert len(np.unique(expected[:, 2])) > 1  # replicas differ, so a row seen at another's place would show


def test_a_place_of_the_wrong_shape_is_refused() -> None:
    compiled = compile_plant(sim.plantfile.load("line10"))
    rows = kernel.new_rows(compiled, 5, 2)
    look = kernel.Observation(np.array([0]), np.ones(1), np.empty((3, 1), dtype=np.float32))
    with pytest.raises(ValueError, match=r"expected shape \(2, 1\), found \(3, 1\)"):
        kernel.run(rows, compiled, 10, observe=look)
