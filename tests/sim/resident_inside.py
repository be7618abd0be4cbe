"""What can only be looked at inside numba's simulator of a device: `python -m tests.sim.resident_inside`."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest

from sim import kernel
from sim.cuda import NoDeviceError, Resident, device_name, run_device
from sim.state import ERROR, NOW, SEED
from tests.sim.engines import compiled_bundled, compiled_random


def refused(error: type[Exception], words: str, act: Callable[[], object]) -> None:
    """`act` raises this error with these words."""
    with pytest.raises(error, match=re.escape(words)):
        act()


def time_and_errors() -> None:
    """A replica that would go back stays and is told; an error in a replica is told with its address."""
    compiled = compiled_random(3)
    rows = kernel.new_rows(compiled, 7, 4)
    resident = Resident(rows, compiled)
    resident.advance(60)
    resident.check()
    before = resident.to_host()
    resident.advance(np.array([60, 59, 61, 80]))
    refused(ValueError, "replica 1 was to advance to a tick before its own (1 of 4 replicas)", resident.check)
    after = resident.to_host()
    assert np.array_equal(after[1], before[1])
    assert after[:, NOW].tolist() == [60, 60, 61, 80]
    resident.put([1], before[1])
    resident.check()
    resident.advance_events(np.array([80, 59, 80, 80]))
    refused(ValueError, "replica 1 was to advance to a tick before its own (1 of 4 replicas)", resident.check)
    refused(ValueError, "time never runs backwards", lambda: run_device(after, compiled, 10))
    rows[2, ERROR] = 1
    stopped = Resident(rows, compiled)
    stopped.advance(60)
    refused(kernel.KernelError, "replica 2 of seed 7 stopped at tick 0", stopped.check)
    assert np.array_equal(stopped.to_host([0, 3]), before[[0, 3]])


def bad_input() -> None:
    """Each wrong shape is named."""
    compiled = compiled_bundled("line3")
    rows = kernel.new_rows(compiled, 7, 3)
    resident = Resident(rows, compiled)
    width = compiled.layout.width
    refused(ValueError, "expected [R, ", lambda: Resident(rows[:, 1:], compiled))
    refused(ValueError, "ticks of shape (2,); expected (3,)", lambda: resident.advance(np.zeros(2, dtype=np.int64)))
    refused(ValueError, "different numbers from 0 to 2", lambda: resident.put([1, 1], rows[:2]))
    refused(ValueError, "different numbers from 0 to 2", lambda: resident.to_host([3]))
    refused(ValueError, "expected one shape [J]", lambda: resident.selection([1, 2], [1.0]))
    refused(ValueError, f"a row has {width} numbers", lambda: resident.selection([width], [1.0]))
    what = resident.selection([NOW], [1.0])
    refused(TypeError, "expected a device array float32 of (3, 1)", lambda: resident.gather(what, np.zeros((3, 1))))
    wrong = resident.linear(what)
    refused(ValueError, "out on the device: float64 of (3,); expected float32", lambda: resident.gather(what, wrong))
    refused(ValueError, "numba's CUDA simulator has none", lambda: resident.use(12345))
    other = Resident(rows[:2], compiled)
    refused(ValueError, "source of 2 replicas", lambda: resident.restore(np.ones(3, dtype=bool), other))


def views() -> None:
    """Fields and observations are shared, never copied, with numpy and with torch."""
    from torch.utils.dlpack import from_dlpack

    compiled = compiled_bundled("gearmotor")
    resident = Resident.new(compiled, 7, 3)
    resident.advance(500_000)
    rows = resident.to_host()
    for name in ("now", "q_len", "n_state", "unit_draws", "finished"):
        expected = compiled.layout.view(rows, name)
        assert np.array_equal(np.from_dlpack(resident.view(name)), expected), name
        assert np.array_equal(from_dlpack(resident.view(name)).numpy(), expected), name
    from_dlpack(resident.view("seed"))[1] = 99
    assert resident.to_host()[:, SEED].tolist() == [7, 99, 7]
    what = resident.selection([NOW, SEED], [0.5, 2.0])
    seen = resident.gather(what)
    shared = from_dlpack(resident.share(seen))
    assert shared.tolist() == [[250_000.0, 14.0], [250_000.0, 198.0], [250_000.0, 14.0]]
    resident.advance(600_000)
    assert resident.gather(what, seen) is seen
    assert shared[:, 0].tolist() == [300_000.0] * 3
    assert resident.nbytes == rows.nbytes


if __name__ == "__main__":
    assert issubclass(NoDeviceError, kernel.KernelError)
    assert "simulator" in device_name()
    time_and_errors()
    bad_input()
    views()
    print("all well")
